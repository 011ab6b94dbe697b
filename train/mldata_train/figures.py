"""evaluation.json: what an evaluation found, each figure with its 95 % interval.

Accuracies and agreements are in percent, gaps and changes in percentage points, margins in nats, all rounded
to six decimals. A file appears whole or not at all, and is read only if it is just what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mldata.errors import InputError
from mldata.store import whole

FILE = "evaluation.json"

Score = Literal["reward", "mean"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Estimate(_Model):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class LanguageFigures(_Model):
    """What was found for one language; in a `Difference`, after minus before."""

    language: str
    unseen: bool = Field(description="training saw no row of it")
    rows: int
    accuracy: Estimate = Field(description="share of right verdicts, percent")
    margin: Estimate = Field(description="mean margin, nats: of reward itself, or ORPO's log odds ratio")
    gap: Estimate | None = Field(description="the anchor's accuracy minus this one, points; null: anchor")
    paired_gap: Estimate | None = Field(
        description="the same over the concepts that have both, points; null: the anchor, or no such concept"
    )
    agreement: Estimate | None = Field(
        description="share of the concepts that have both whose verdict is the anchor's, percent"
    )


class GroupFigures(_Model):
    """What was found for several languages: unweighted means over them."""

    languages: int
    accuracy: Estimate = Field(description="mean accuracy, percent")
    gap: Estimate = Field(description="the anchor's accuracy minus the mean accuracy, points")
    paired_gap: Estimate | None = Field(description="mean of the paired gaps, points; null if none has one")


class Figures(_Model):
    """All figures that have an interval; in a `Difference`, after minus before."""

    anchor: str
    score: Score
    concepts: int
    rows: int
    resamples: int
    seed: int
    languages: tuple[LanguageFigures, ...] = Field(description="the anchor first, then in the set's order")
    others: GroupFigures | None = Field(description="all languages but the anchor; null if there is none")
    seen: GroupFigures | None = Field(description="of these, in training; null unless some are unseen")
    unseen: GroupFigures | None = Field(description="of these, not in training")
    consistency: Estimate | None = Field(
        description="share of concepts with the same verdict in all their languages, percent, of those with "
        "two languages or more; null if there is no such concept"
    )
    agreement: Estimate | None = Field(
        description="share of pairs of languages within a concept with the same verdict, percent"
    )

    @property
    def anchor_accuracy(self) -> Estimate:
        """Accuracy in the anchor's language, percent."""
        return self.languages[0].accuracy


class Evaluation(Figures):
    """An evaluation.json: a model's figures on the rows of a set."""

    format_version: Literal[1] = 1
    model: str
    reference: str | None
    data: str
    digest: str | None = Field(description="of the set's manifest; null if the rows are no set")
    split: str
    runs: int = Field(description="of which figures are means: they differ in their seed")
    worst: str | None = Field(description="the language of the lowest accuracy, but for the anchor")
    pairs: tuple[tuple[float | None, ...], ...] = Field(
        description="agreement of each two languages, percent, rows and columns in the order of languages; "
        "null where no concept has both"
    )


class Difference(Figures):
    """Two models' figures on the same rows, after minus before, with paired intervals.

    A negative change of a gap says that it became narrower.
    """

    format_version: Literal[1] = 1


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write `evaluation` as JSON, whole or not at all."""
    write_text(path, evaluation.model_dump_json(indent=2))


def read_evaluation(path: Path) -> Evaluation:
    """What `write_evaluation` wrote; InputError if it is something else."""
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}): `mldata-train evaluate` writes it"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{path} is no evaluation, or is damaged ({where}: {first['msg']}): "
            "`mldata-train evaluate` writes it anew"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write `text` and a line end, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_text(text + "\n", "utf-8"))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary name beside `path` and rename it; InputError where that can't be."""
    try:
        with whole(path) as temporary:
            write(temporary)
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror}): choose another place") from None
