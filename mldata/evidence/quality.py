"""Quality evidence: what a model that reads source and translation together makes of each segment.

Only where the recipe names an estimator (`quality = "NAME"`); null everywhere otherwise. What the numbers
mean is the estimator's own affair, so rules over them belong to the recipe that names it. A segment that
stands alone, on either side, has no estimate: `alignment`, `empty_segments` and `added_segments` see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from mldata.evidence import Column, Pair, Unit, is_long
from mldata.quality import QualityEstimator

COLUMNS = (
    Column("quality", "mean", "a quality estimator's view of the segments, weighted by length"),
    Column("quality_min", "min", "the same of the worst segment of four words or more"),
)


class Judged:
    """What an estimator says of segments and their translations; each distinct pair is asked once."""

    def __init__(self, estimator: QualityEstimator) -> None:
        self._estimator = estimator
        self._known: dict[tuple[str, str], float] = {}

    def of(self, pairs: Iterable[Pair]) -> dict[tuple[str, str], float]:
        """(source, target) -> estimate, of pairs that have both sides and aren't too long for the model."""
        asked = {(pair.source, pair.target) for pair in pairs if pair.source and pair.target}
        new = sorted(asked - self._known.keys())
        self._known.update(zip(new, self._estimator.estimate(new).tolist(), strict=True))
        return {pair: self._known[pair] for pair in asked if not np.isnan(self._known[pair])}


def measure(units: Sequence[Unit], judged: Judged | None) -> pl.DataFrame:
    """One row a unit: quality, quality_min."""
    estimates = judged.of(pair for unit in units for pair in unit.pairs) if judged else {}
    rows = [_unit(unit, estimates) for unit in units]
    schema = dict.fromkeys((column.name for column in COLUMNS), pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _unit(unit: Unit, estimates: dict[tuple[str, str], float]) -> tuple[float | None, float | None]:
    pairs = [pair for pair in unit.pairs if (pair.source, pair.target) in estimates]
    if not pairs:
        return None, None
    values = [estimates[pair.source, pair.target] for pair in pairs]
    long = [value for value, pair in zip(values, pairs, strict=True) if is_long(pair.source)]
    return float(np.average(values, weights=[pair.weight for pair in pairs])), min(long, default=None)
