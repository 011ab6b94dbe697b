"""Leaks: concepts that share their wording with texts a model will be evaluated on.

As Tülu 3 does it (Lambert et al. 2024, arXiv 2411.15124, section 3.2; open-instruct, decontamination/): a
word of an evaluation text is matched if a run of 8 words it stands in also stands in the concept, and the
concept leaks if half the text's words are matched. A common phrase is a small part of a question, so it is
no leak; GPT-3's rule (Brown et al. 2020, arXiv 2005.14165, appendix C), one shared run of 13, is
`contamination_words = 13` with a tiny `contamination_overlap`. A text with fewer words than a run is only
looked for as a whole prompt. The evaluation texts themselves are written nowhere: a set must not carry them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.ngrams import BORDER, Numbers, Unit, numbers, runs, said, units
from mldata.sources import open_rows
from mldata.sources.containers import Row

CHARACTERS_A_WORD = 2
"""Characters counted for a word where words aren't written apart: a run of 8 words is one of 16."""


@dataclass(frozen=True)
class Place:
    """Where an evaluation text stands."""

    evaluation: int
    """Which of the files or folders given."""
    file: str
    unit: str
    """What `row` counts: lines or rows."""
    row: int
    column: str
    """"" for a line of text."""


@dataclass(frozen=True)
class Leak:
    """The evaluation text that a concept has most of."""

    place: Place
    overlap: float
    """Share of the evaluation text's words that are matched, 1 for a whole prompt."""


@dataclass(frozen=True)
class Evaluation:
    """One file, folder or data set of evaluation texts, as it was read."""

    given: str
    digest: str
    texts: int


@dataclass(frozen=True)
class EvaluationTexts:
    """All evaluation texts, by their runs. About 16 bytes a word in memory, and no text."""

    evaluations: tuple[Evaluation, ...]
    unit: Unit
    run: int
    """Units in a run."""
    overlap: float
    places: tuple[Place, ...]
    lengths: npt.NDArray[np.int32]
    """Units in each text."""
    keys: Numbers
    """The runs, sorted; a run that stands in several texts, or twice in one, stands here as often."""
    texts: npt.NDArray[np.int32]
    """The text that each of `keys` is from."""
    starts: npt.NDArray[np.int32]
    """Where in the text it starts."""
    prompts: dict[bytes, int]
    """Whole texts shorter than a run -> the text."""

    def leaks(self, concepts: Sequence[tuple[Any, Any, Any]]) -> list[Leak | None]:
        """For each concept (prompt, chosen, rejected) the evaluation text it leaks most of, the earlier of
        two alike, if it leaks any."""
        fields = [numbers(units(said(field), self.unit)) for concept in concepts for field in concept]
        # All fields in one run of numbers, a mark between them that no text holds: a run across it is none.
        whole = np.concatenate([part for field in fields for part in (field, BORDER)])
        sizes = np.array([len(field) + 1 for field in fields]).reshape(-1, len(FIELDS)).sum(1)
        made = runs(whole, self.run)
        places = np.searchsorted(self.keys, made)
        places[places == len(self.keys)] = 0
        hits = np.flatnonzero(self.keys[places] == made) if len(self.keys) else np.zeros(0, np.int64)
        owners = np.searchsorted(np.cumsum(sizes), hits, "right")
        found: list[Leak | None] = [None] * len(concepts)
        for owner in np.unique(owners).tolist():
            found[owner] = self._most_covered(np.unique(made[hits[owners == owner]]))
        for place, (prompt, _, _) in enumerate(concepts):
            if found[place] is None and self.prompts:
                is_text = isinstance(prompt, str)
                asked = fields[place * len(FIELDS)] if is_text else numbers(units(_asked(prompt), self.unit))
                text = self.prompts.get(asked.tobytes()) if len(asked) < self.run else None
                found[place] = None if text is None else Leak(self.places[text], 1.0)
        return found

    def _most_covered(self, shared: Numbers) -> Leak | None:
        """The text most covered by runs that are all in `keys`; None if none is covered enough."""
        low = np.searchsorted(self.keys, shared, "left")
        high = np.searchsorted(self.keys, shared, "right")
        at = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
        texts, counts = np.unique(self.texts[at], return_counts=True)
        best: Leak | None = None
        # m runs cover m + 7 words if they follow one another, and 8m at most.
        possible = np.minimum(counts * self.run, self.lengths[texts]) >= self.overlap * self.lengths[texts]
        for text in texts[possible].tolist():
            covered = np.zeros(self.lengths[text], bool)
            for start in self.starts[at[self.texts[at] == text]].tolist():
                covered[start : start + self.run] = True
            share = float(covered.mean())
            if share >= self.overlap and (best is None or round(share, 4) > best.overlap):
                best = Leak(self.places[text], round(share, 4))
        return best


def read_evaluations(given: Sequence[str], unit: Unit, words: int, overlap: float) -> EvaluationTexts:
    """Read evaluation texts: "FILE" or "FILE:column"; InputError for one that can't be read or has no text.

    Files are text lines, or whatever a source may be: JSON Lines, JSON, CSV, TSV, Parquet, Arrow,
    compressed, a folder, a URL. Without a column every string counts, also those inside lists and objects.
    """
    run = words * CHARACTERS_A_WORD if unit == "characters" else words
    evaluations: list[Evaluation] = []
    places: list[Place] = []
    lengths: list[int] = []
    keys, owners, starts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
    prompts: dict[bytes, int] = {}
    for which, name in enumerate(given):
        uri, column = _split_name(name)
        rows = open_rows(uri)
        before = len(places)
        for row, field, text in _texts(name, rows.rows(), column):
            found = numbers(units(text, unit))
            if len(found) < run:
                prompts.setdefault(found.tobytes(), len(places))
            made = runs(found, run)
            keys.append(made)
            owners.append(np.full(len(made), len(places), np.int32))
            starts.append(np.arange(len(made), dtype=np.int32))
            lengths.append(len(found))
            places.append(Place(which, row.file, row.unit, row.number, field))
        if len(places) == before:
            raise InputError(f"{name} has no text to compare with: give a file of lines, or FILE:column")
        digest = hashlib.blake2b(repr(column).encode(), digest_size=16)
        rows.update(digest)
        evaluations.append(Evaluation(name, digest.hexdigest(), len(places) - before))
    sorted_keys = np.concatenate(keys)
    order = np.argsort(sorted_keys, kind="stable")
    return EvaluationTexts(
        tuple(evaluations),
        unit,
        run,
        overlap,
        tuple(places),
        np.array(lengths, np.int32),
        sorted_keys[order],
        np.concatenate(owners)[order],
        np.concatenate(starts)[order],
        prompts,
    )


def _asked(prompt: Sequence[dict[str, Any]]) -> str:
    """What the user asks: a conversation without its system text and answers."""
    return said([message for message in prompt if message["role"] == "user"])


def _split_name(name: str) -> tuple[str, str | None]:
    """Place and column of FILE:column. A URL's own colons and the split of hf://org/name:test stay."""
    uri, _, column = name.rpartition(":")
    hub = name.startswith("hf://") and not name.startswith("hf://datasets/")
    is_split = hub and ":" not in uri.removeprefix("hf://")
    if not uri or not column or is_split or "/" in column or "\\" in column or Path(name).exists():
        return name, None
    return uri, column


def _texts(name: str, rows: Any, column: str | None) -> Iterator[tuple[Row, str, str]]:
    """Every text of a file, with its row and column; InputError for a row that can't be read, for what
    isn't read would pass unchecked."""
    seen: dict[str, None] = {}
    there = False
    with closing(rows):
        for row in rows:
            if row.problem:
                raise InputError(
                    f"{name}: {row.file}, {row.unit} {row.number}: {row.problem}; mend or remove it, so that "
                    "nothing passes unchecked"
                )
            value = row.value
            if column is not None:
                keys = list(value) if isinstance(value, dict) else []
                seen.update(dict.fromkeys(keys))
                there = there or column in keys
                value = {column: value.get(column)} if isinstance(value, dict) else None
            for field, text in _strings(value, ""):
                if text.strip():
                    yield row, field, text
    if column is not None and not there:
        raise InputError(f'{name}: no column "{column}"; there are: {" ".join(seen) or "none"}')


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner, path)
