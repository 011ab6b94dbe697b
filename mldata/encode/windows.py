"""Texts of any length through a model that reads so many tokens: in windows, none of it clipped.

Published recipes clip at 256 word pieces, and what a translator dropped or made up after them is never
seen. Here a longer text is encoded in as few windows of equal length as hold it, and is their mean. The
batches depend on the list alone, so the same list gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from mldata.encode import Vectors


@dataclass(frozen=True)
class Window:
    """What the model reads at once."""

    ids: list[int]
    """Tokens, with the model's marks of begin and end."""
    text: int
    """Which of the texts it is of."""


Batches = Callable[[list[Window]], Iterable[list[Window]]]
Forward = Callable[[list[list[int]]], Vectors]


def embed(
    texts: Sequence[list[int]],
    *,
    limit: int,
    marks: tuple[int, int] = (1, 1),
    batches: Batches,
    forward: Forward,
    finish: Callable[[Vectors], Vectors] = lambda vectors: vectors,
    dimension: int,
) -> Vectors:
    """float32[len(texts), dimension], unit norm: the windows' vectors added up.

    `texts` are tokens with `marks` special ones at begin and end; a window has `limit` at most; `forward`
    gives one vector a window of a batch, and `finish` makes of all of them together what is added.
    """
    vectors = np.zeros((len(texts), dimension), np.float32)
    if not texts:
        return vectors
    cut = windows(texts, limit, marks)
    made = finish(np.concatenate([forward([w.ids for w in batch]) for batch in batches(cut)]))
    for window, vector in zip(cut, made, strict=True):  # in this order: a sum's bits depend on it
        vectors[window.text] += vector
    return unit(vectors)


def unit(vectors: Vectors) -> Vectors:
    """`vectors` at length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def windows(texts: Sequence[list[int]], limit: int, marks: tuple[int, int] = (1, 1)) -> list[Window]:
    """All windows of all texts, sorted by length and then by what they hold."""
    cut = [Window(ids, text) for text, whole in enumerate(texts) for ids in _cut(whole, limit, *marks)]
    return sorted(cut, key=lambda window: (len(window.ids), window.ids, window.text))


def _cut(ids: list[int], limit: int, begins: int, ends: int) -> list[list[int]]:
    """A text's tokens in as few windows as the model can take, each with the marks of begin and end."""
    if len(ids) <= limit:
        return [ids]
    stop = len(ids) - ends
    begin, inner, end = ids[:begins], ids[begins:stop], ids[stop:]
    count = -(-len(inner) // (limit - begins - ends))
    cuts = [round(len(inner) * k / count) for k in range(count + 1)]
    return [[*begin, *inner[a:b], *end] for a, b in pairwise(cuts)]


def by_count(count: int) -> Batches:
    """Batches of `count` windows."""

    def batches(cut: list[Window]) -> Iterator[list[Window]]:
        return (cut[start : start + count] for start in range(0, len(cut), count))

    return batches


def by_tokens(tokens: int) -> Batches:
    """Batches of at most `tokens` tokens, padding included, and of one window at least."""

    def batches(cut: list[Window]) -> Iterator[list[Window]]:
        start = 0
        for place, window in enumerate(cut):  # sorted: this one is the longest so far
            if start < place and (place - start + 1) * len(window.ids) > tokens:
                yield cut[start:place]
                start = place
        if cut:
            yield cut[start:]

    return batches


def of_one_length(tokens: int) -> Batches:
    """Batches of at most `tokens` tokens whose windows are all of one length, so that nothing is padded.

    Padding moves an int8 encoder's cosine by up to 1.5e-4, the size of a batch alone by nothing (measured):
    so these batches may be of any size, here and elsewhere, and give the same bits.
    """

    def batches(cut: list[Window]) -> Iterator[list[Window]]:
        for length, group in groupby(cut, key=lambda window: len(window.ids)):
            yield from by_count(max(1, tokens // length))(list(group))

    return batches
