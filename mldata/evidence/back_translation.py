"""Back-translation evidence: how much of the source comes back.

chrF (Popović 2015, as sacrebleu computes it) sees changed words and cosines changed sense; both are blind
to a copy, which comes back perfect, so neither stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from sacrebleu.metrics import CHRF

from mldata.evidence import Column, Embedded, Unit

COLUMNS = (
    Column("back_chrf", "min", "chrF of the back-translation against the source, 0 to 100"),
    Column("back_similarity", "mean", "cosine of source and back-translation, weighted by length"),
)
_CHRF = CHRF()


def signature() -> str:
    """sacrebleu's own signature of the metric."""
    metric = CHRF(references=[[""]])  # the signature counts references, so it wants to see some
    return str(metric.get_signature())


def measure(units: Sequence[Unit], vectors: Embedded) -> pl.DataFrame:
    """One row a unit: back_chrf over the unit's segments together, back_similarity."""
    rows: list[tuple[float | None, float | None]] = []
    for unit in units:
        pairs = [pair for pair in unit.pairs if pair.back and pair.source]
        if not pairs:
            rows.append((None, None))
            continue
        chrf = _CHRF.corpus_score([p.back for p in pairs], [[p.source for p in pairs]]).score
        cosines = [float(vectors[p.source] @ vectors[p.back]) for p in pairs]
        rows.append((chrf, float(np.average(cosines, weights=[p.weight for p in pairs]))))
    schema = dict.fromkeys((column.name for column in COLUMNS), pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")
