"""Language evidence: is the text in the language it should be in, and how much of it is still the anchor's?

Judged segment by segment, since a label of the whole text hides a half that was not translated: of texts
half in English, fastText's label still names the target in two of three. Two identifiers are asked, and
a segment counts as right when either says so: each has languages in which it alone is at fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from mldata.evidence import Column, Unit, letters
from mldata.identify import Identifier
from mldata.languages import Language

COLUMNS = (
    Column("language_score", "min", "share of the text identified as the row's language"),
    Column("anchor_score", "max", "share of the text identified as the anchor language instead"),
)
MIN_WORDS, ENOUGH = 6, 25
"""Shorter pieces are identified by chance: on six words fastText is right in 84 of 100, on two in 61."""


def measure(
    units: Sequence[Unit], identifiers: Sequence[Identifier], language: Language, anchor: Language
) -> pl.DataFrame:
    """One row a unit: language_score, anchor_score, label (fastText's, of most of the text)."""
    pieces = [_judged([pair.target for pair in unit.pairs]) for unit in units]
    texts = sorted({piece for unit in pieces for piece in unit})
    answers = [identifier.identify(texts, language) for identifier in identifiers]
    right = {text: any(a[i].accepted for a in answers) for i, text in enumerate(texts)}
    labels = {text: answers[0][i].label for i, text in enumerate(texts)}
    wrong = [text for text in texts if not right[text]]
    as_anchor: set[str] = set()
    for identifier in identifiers:
        found = identifier.identify(wrong, anchor)
        as_anchor |= {text for text, answer in zip(wrong, found, strict=True) if answer.accepted}
    rows = [_unit(unit, right, as_anchor, labels) for unit in pieces]
    schema = {"language_score": pl.Float64, "anchor_score": pl.Float64, "label": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _judged(texts: Sequence[str]) -> list[str]:
    """The segments long enough to judge; where none is, all of them as one, if that is long enough."""
    long = [text for text in texts if len(text.split()) >= MIN_WORDS and letters(text) >= ENOUGH]
    if long:
        return long
    whole = " ".join(texts)
    return [whole] if letters(whole) >= ENOUGH else []


def _unit(
    pieces: Sequence[str], right: dict[str, bool], as_anchor: set[str], labels: dict[str, str]
) -> tuple[float | None, float | None, str | None]:
    total = sum(map(len, pieces))
    if not total:
        return None, None, None
    votes: Counter[str] = Counter()
    for piece in pieces:
        votes[labels[piece]] += len(piece)
    return (
        sum(len(piece) for piece in pieces if right[piece]) / total,
        sum(len(piece) for piece in pieces if piece in as_anchor) / total,
        max(sorted(votes), key=lambda label: votes[label]),
    )
