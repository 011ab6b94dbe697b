"""Whole translations in segments: those that were given, and those of engines that want whole texts.

Such a translation is split in its own language, and its segments are paired with those of the source by the
aligner, so that it is measured as an engine's segments are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mldata.evidence import Embedded
from mldata.evidence.alignment import Pool, Step, align_text
from mldata.text import Split, assemble


@dataclass(frozen=True)
class PairedText:
    """One text of a chunk with its translation, both in segments."""

    concept_id: str
    concept: int
    field: str
    message: int
    text: str
    """The translation; empty where an engine has none."""
    source: Split
    target: Split
    made: bool = False
    """An engine made the translation."""
    pivot: str = ""
    """The text before the last hop of its route."""
    unknown: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Beside:
    """A text that belongs to a translation: what it was made of, or what it comes back as."""

    text: str
    parts: tuple[str, ...]
    """What of it stands for each segment of the translation."""

    @classmethod
    def of_parts(cls, target: Split, parts: Sequence[str]) -> Beside:
        """Of what each segment of a translation became."""
        return cls(assemble(target, parts), tuple(parts))


def beside(targets: Sequence[Split], others: Sequence[Split], vectors: Embedded) -> list[Beside]:
    """Other texts, one for each translation, with their segments paired with the translations'.

    What stands for several segments goes to the first of them, what stands for none to the one before it.
    `vectors` holds those of all segments' plain texts.
    """
    pool = _pool(targets, others, vectors)
    found = []
    for target, other in zip(targets, others, strict=True):
        parts: list[list[str]] = [[] for _ in target.segments]
        for step in align_text(_plain(target), _plain(other), vectors, pool):
            said = [segment.text for segment in other.segments[step.target_start : step.target_end]]
            place = step.source_start if step.source_end > step.source_start else step.source_start - 1
            if parts:
                parts[max(0, place)] += said
        found.append(Beside(assemble(other), tuple(map(" ".join, parts))))
    return found


def rows(
    paired: Sequence[PairedText],
    backs: Sequence[Beside],
    pivots: Sequence[Beside] | None,
    vectors: Embedded,
    among: Sequence[tuple[Split, Split]] = (),
) -> list[dict[str, Any]]:
    """Rows of a translated chunk (`tasks.TRANSLATED`): segments that stand for each other, paired.

    `backs` and `pivots` are one a text; None where no translation went over another language. `vectors`
    holds those of all segments' plain texts. `among` are other texts of the chunk, source and target, that
    say with these what is usual.
    """
    sides = [*((text.source, text.target) for text in paired), *among]
    pool = _pool([source for source, _ in sides], [target for _, target in sides], vectors)
    empty = [Beside("", ("",) * len(text.target.segments)) for text in paired]
    found = []
    for text, back, pivot in zip(paired, backs, pivots or empty, strict=True):
        if text.made and text.source.segments and not text.target.segments:
            segments = [_unanswered(text)]
        else:
            steps = align_text(_plain(text.source), _plain(text.target), vectors, pool)
            segments = [_segment(text, step, back, pivot) for step in steps]
        found.append(
            {
                "concept_id": text.concept_id,
                "concept": text.concept,
                "field": text.field,
                "message": text.message,
                "text": text.text,
                "back": back.text,
                "segments": segments,
                "problem": text.problem,
            }
        )
    return found


def _pool(sources: Sequence[Split], targets: Sequence[Split], vectors: Embedded) -> Pool | None:
    """What is usual among texts that have segments on both sides; None where none has."""
    sides = [(_plain(a), _plain(b)) for a, b in zip(sources, targets, strict=True)]
    whole = [both for both in sides if all(both)]
    return Pool.of(whole, vectors) if whole else None


def _plain(parts: Split) -> list[str]:
    return [segment.plain for segment in parts.segments]


def _unanswered(text: PairedText) -> dict[str, Any]:
    """The whole source beside an engine's answer that has nothing to read: it counts as empty, which the
    segments that an aligner leaves alone don't."""
    return {
        "source": " ".join(segment.text for segment in text.source.segments),
        "protected": [span for segment in text.source.segments for span in segment.protected],
        "translation": text.text.strip(),
        "back": "",
        "pivot": "",
        "unknown": [],
        "fit": None,
    }


def _segment(text: PairedText, step: Step, back: Beside, pivot: Beside) -> dict[str, Any]:
    source = text.source.segments[step.source_start : step.source_end]
    target = text.target.segments[step.target_start : step.target_end]
    translation = " ".join(segment.text for segment in target)
    return {
        "source": " ".join(segment.text for segment in source),
        "protected": [span for segment in source for span in segment.protected],
        "translation": translation,
        "back": _joined(back, step),
        "pivot": _joined(pivot, step),
        "unknown": [word for word in text.unknown if word in translation],
        "fit": step.fit,
    }


def _joined(beside: Beside, step: Step) -> str:
    return " ".join(filter(None, beside.parts[step.target_start : step.target_end]))


def plain_texts(*splits: Sequence[Split]) -> set[str]:
    """The plain texts of all segments: what `rows` and `beside` want the vectors of."""
    return {segment.plain for parts in chain(*splits) for segment in parts.segments}
