"""The index of a dataset: where the rows of each concept stand, and how long they are.

It is all of a dataset that batches are planned from, and is read in parts, so that memory doesn't grow with
the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mldata.errors import InputError

Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]


@dataclass(frozen=True)
class Groups:
    """Where the rows of each concept stand in a dataset: the index, some 20 bytes a row."""

    rows: Ints
    """Row numbers, int64 (n,): a concept's stand together, its anchor's first."""
    starts: Ints
    """Where each concept begins in `rows`, int64 (concepts + 1,)."""
    languages: Ints
    """Which of `names` each row is in, int16 (n,)."""
    names: tuple[str, ...]
    lengths: Ints
    """Tokens of the longer of a row's two sequences, int32 (n,): what padding is about."""
    tokens: Ints
    """Tokens of both sequences, int32 (n,): what a budget is about."""

    @property
    def sizes(self) -> Ints:
        """Rows of each concept, (concepts,)."""
        return np.diff(self.starts)

    def select(self, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Groups:
        """The rows where `keep` (n,) holds; concepts that lose all rows are gone."""
        owner = np.repeat(np.arange(len(self.starts) - 1), self.sizes)[keep]
        sizes = np.bincount(owner, minlength=len(self.starts) - 1)
        return self._with(np.flatnonzero(keep), sizes[sizes > 0])

    def singles(self) -> Groups:
        """Every row as a group of its own."""
        return self._with(np.arange(len(self.rows)), np.ones(len(self.rows), np.int64))

    def _with(self, order: Ints, sizes: Ints) -> Groups:
        return Groups(
            self.rows[order],
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            self.languages[order],
            self.names,
            self.lengths[order],
            self.tokens[order],
        )


def index(
    parts: Iterable[tuple[pl.Series, pl.Series, Ints, Ints]], *, anchor: str, where: str = "the dataset"
) -> Groups:
    """Index a dataset that is read in parts: (concept ids, languages, lengths, tokens) of some rows each.

    The anchor's row is moved to the front of its concept. InputError where a row has no concept or language,
    where a concept's rows don't stand together, or where a language comes twice in a concept.
    """
    names: dict[str, int] = {}
    ids: list[pl.Series] = []
    begins: list[Ints] = []
    columns: list[tuple[Ints, Ints, Ints]] = []
    seen, last = 0, None
    for concepts, languages, lengths, tokens in parts:
        if not len(concepts):
            continue
        if len(missing := (concepts.is_null() | languages.is_null()).arg_true()):
            raise InputError(f"{where}: row {seen + missing[0]} has no concept_id or no language")
        new = (concepts != concepts.shift(1)).fill_null(concepts[0] != last).to_numpy()
        for name in languages.unique(maintain_order=True):
            names.setdefault(name, len(names))
        coded = languages.replace_strict(list(names), range(len(names)), return_dtype=pl.Int16)
        columns.append((coded.to_numpy(), np.asarray(lengths, np.int32), np.asarray(tokens, np.int32)))
        begins.append(np.flatnonzero(new) + seen)
        ids.append(concepts.filter(pl.Series(new)).hash())
        seen, last = seen + len(concepts), concepts[-1]
    if not seen:
        raise InputError(f"{where} has no rows: there is nothing to train on")
    starts = np.concatenate([*begins, [seen]]).astype(np.int64)
    if len(again := (~pl.concat(ids).is_first_distinct()).arg_true()):
        raise InputError(
            f"{where}: the rows of a concept don't stand together: that of row {starts[again[0]]} has others "
            "further up; sort it by concept_id (`dataset.sort('concept_id')`)"
        )
    codes, longest, spent = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = _anchors_first(starts, codes, names.get(anchor, -1))
    _check_languages(starts, codes, tuple(names), where)
    return Groups(order, starts, codes[order], tuple(names), longest[order], spent[order])


def _anchors_first(starts: Ints, languages: Ints, anchor: int) -> Ints:
    first = languages[starts[:-1]] == anchor
    order = np.arange(len(languages), dtype=np.int64)
    if not first.all():
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        order = np.lexsort((languages != anchor, owner)).astype(np.int64)
    return order


def _check_languages(starts: Ints, languages: Ints, names: Sequence[str], where: str) -> None:
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    keys = owner * len(names) + languages
    keys.sort()
    if len(twice := keys[1:][keys[1:] == keys[:-1]]):
        concept, code = divmod(int(twice[0]), len(names))
        raise InputError(
            f"{where}: the concept at row {starts[concept]} has two rows in {names[code]}; "
            "a concept has one row a language"
        )
