"""Near-duplicate concepts: examples that say the same but for a word here and there, in groups.

What repeats is the *whole example*. Several pairs of one prompt are what preference data is made of, and
so is one good answer against several bad ones: two concepts are near-duplicates only if prompt, chosen and
rejected are each alike. MinHash by rensa: batches in Rust, ten times the speed of datasketch, no SciPy.

    WORK/signatures/<digest>/<anchor>/<chunk>.arrow    418 bytes a concept

Signatures are made once a chunk. Grouping reads them once, into a nameless file that the system may page
out, and needs about 50 bytes of memory a concept, never its text. The groups are the connected parts of
"alike": the order of the source decides who is first in a group, and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mldata.chunks import SourceIndex, chunk_table
from mldata.concepts import FIELDS
from mldata.ngrams import VERSION, Numbers, Unit, bordered_runs, number, numbers, said, unit_of, units
from mldata.recipe import fingerprint
from mldata.splits import SALT, split_number
from mldata.store import Store, read_table, write_table

RUN: dict[Unit, int] = {"words": 2, "characters": 5}
"""Units in a run. Preference pairs are short: with the five words of web-scale deduplication, one word
changed in 55 leaves a Jaccard similarity of 0.80, with two 0.93; another answer to the prompt has 0.1."""
FIELD = 0.5
"""What prompt, chosen and rejected must each reach: one word of six changed is 0.56."""
WHOLE_SLOTS, FIELD_SLOTS = 128, 64
"""Slots of the signatures of example and field. The estimate's standard error is at most 0.045 and 0.063."""
BANDS, ROWS = 21, 6
"""Two concepts are compared if some 6 slots of 21 agree: 99.8 % of pairs as alike as 0.8, 93 % at 0.7."""

_SEED = 1
_WIDTH = WHOLE_SLOTS + len(FIELDS) * FIELD_SLOTS
_TAGS = np.array([number(f"\0{name}") for name in FIELDS], np.uint64)
_BAND_FACTOR = np.uint64(0xFF51AFD7ED558CCD)

Positions = npt.NDArray[np.int32]


@dataclass(frozen=True)
class NearDuplicates:
    """The groups of a source. A concept's position is its place in the source, from 0."""

    first: Positions
    """int32[concepts]: the first of the concept's group, or itself."""
    similarity: dict[int, float]
    """Position of a repeat -> its similarity to the first of its group, estimated. A group is a chain of
    near-duplicates, so its ends may be less alike than the threshold."""
    split: Numbers
    """uint64[concepts]: what decides the split; the same for all that must not straddle."""

    @cached_property
    def firsts(self) -> frozenset[int]:
        """Positions of the first of each group."""
        return frozenset(first for first, _ in self.sizes)

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(position of the first, concepts) of each group, the largest first."""
        repeats = np.flatnonzero(self.first != np.arange(len(self.first)))
        firsts, counts = np.unique(self.first[repeats], return_counts=True)
        order = np.lexsort((firsts, -counts))
        return [(int(firsts[i]), int(counts[i]) + 1) for i in order]


def find(store: Store, index: SourceIndex, anchor: str, threshold: float) -> NearDuplicates:
    """The near-duplicates of a source: Jaccard similarity of whole examples from `threshold` on."""
    unit = unit_of(anchor)
    made_with = [VERSION, SALT.decode(), version("rensa"), unit, RUN[unit]]
    digest = fingerprint([*made_with, WHOLE_SLOTS, FIELD_SLOTS, BANDS, ROWS])
    for chunk in store.missing("signatures", digest, anchor, index.chunks):
        table = sign(chunk_table(store, index.digest, chunk), unit)
        write_table(table, store.path("signatures", digest, anchor, chunk))
    files = [store.path("signatures", digest, anchor, chunk) for chunk in index.chunks]
    size = index.concepts
    prompts = np.zeros(size, np.uint64)
    if not size:
        return NearDuplicates(np.zeros(0, np.int32), {}, prompts)
    with tempfile.TemporaryFile(dir=store.root) as scratch:
        # Reserved first: on a full disk, writing to a mapped file would end the process.
        os.posix_fallocate(scratch.fileno(), 0, size * (4 * BANDS + _WIDTH))
        bands = np.memmap(scratch, np.uint32, "r+", 0, (BANDS, size))
        signatures = np.memmap(scratch, np.uint8, "r+", bands.nbytes, (size, _WIDTH))
        start = 0
        for file in files:
            table = read_table(file)
            rows = slice(start, start + len(table))
            prompts[rows] = table["prompt"].to_numpy()
            bands[:, rows] = _matrix(table["bands"]).view(np.uint32).T
            signatures[rows] = _matrix(table["signature"])
            start += len(table)
        first = group(bands, signatures, threshold)
        repeats = np.flatnonzero(first != np.arange(size))
        similarity = _similarities(signatures, repeats, first)
    return NearDuplicates(first, similarity, _split_numbers(prompts, first, repeats))


def sign(source: pa.Table, unit: Unit) -> pa.Table:
    """The signatures of a chunk: one row a concept.

    `prompt` is the split number, `bands` 21 hashes of 32 bits, `signature` the lowest 8 bits of each slot,
    of the example and then of prompt, chosen and rejected (b-bit MinHash, Li and König 2010,
    arXiv 0910.3349: two unlike slots agree once in 256). In the example's signature a run counts with its
    field, so that a pair with its answers swapped, which contradicts, isn't a near-duplicate.
    """
    prompts = source["prompt"].to_pylist()
    fields = [[_runs(said(value), unit) for value in source[name].to_pylist()] for name in FIELDS]
    wholes = [
        np.concatenate([of_field ^ tag for of_field, tag in zip(row, _TAGS, strict=True)])
        for row in zip(*fields, strict=True)
    ]
    whole = _slots(wholes, WHOLE_SLOTS)
    signature = np.hstack([whole, *(_slots(of_field, FIELD_SLOTS) for of_field in fields)]).astype(np.uint8)
    columns = {
        "prompt": pa.array([split_number(prompt) for prompt in prompts], pa.uint64()),
        "bands": _binary(_bands(whole).view(np.uint8)),
        "signature": _binary(signature),
    }
    return pa.table(columns)


def _runs(text: str, unit: Unit) -> Numbers:
    return bordered_runs(numbers(units(text, unit)), RUN[unit])


def _slots(rows: Sequence[Numbers], slots: int) -> npt.NDArray[np.uint32]:
    """MinHash of sets of runs, uint32[len(rows), slots]."""
    from rensa import RMinHash

    ends = np.cumsum([0, *map(len, rows)]).astype(np.uint64)
    made = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(rows), ends, slots, _SEED)
    return np.array(made.to_rows(), np.uint32)


def _bands(whole: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """A hash of each band's slots, uint32[concepts, BANDS]."""
    slots = whole[:, : BANDS * ROWS].reshape(len(whole), BANDS, ROWS).astype(np.uint64)
    made = np.zeros(slots.shape[:2], np.uint64)
    for row in range(ROWS):
        made = (made ^ slots[:, :, row]) * _BAND_FACTOR
        made ^= made >> np.uint64(32)
    return np.ascontiguousarray(made.astype(np.uint32))


def group(bands: Any, signatures: Any, threshold: float) -> Positions:
    """The first of each concept's group, int32[concepts], from uint32[BANDS, concepts] and
    uint8[concepts, _WIDTH]."""
    parents = np.arange(signatures.shape[0], dtype=np.int32)
    for band in bands:
        keys = np.asarray(band)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        ends = np.r_[starts[1:], len(keys)]
        roots = parents[order]
        # Where all of a bucket are in one group already, there is nothing to find.
        mixed = np.minimum.reduceat(roots, starts) != np.maximum.reduceat(roots, starts)
        del keys, roots
        pairs = mixed & (ends - starts == 2)
        for one, other in _alike_pairs(signatures, order[starts[pairs]], order[starts[pairs] + 1], threshold):
            _join(parents, one, other)
        for start, end in zip(starts[mixed & ~pairs], ends[mixed & ~pairs], strict=True):
            _join_bucket(parents, order[start:end], signatures, threshold)
        while True:  # every concept points at its root again
            jumped = parents[parents]
            if np.array_equal(jumped, parents):
                break
            parents = jumped
    return parents


def _alike_pairs(signatures: Any, ones: Positions, others: Positions, threshold: float) -> list[Any]:
    """Those of the pairs that are near-duplicates."""
    found: list[Any] = []
    for start in range(0, len(ones), _BLOCK):
        left, right = ones[start : start + _BLOCK], others[start : start + _BLOCK]
        alike = _alike(signatures[left], signatures[right], threshold)
        found += zip(left[alike].tolist(), right[alike].tolist(), strict=True)
    return found


_BLOCK = 1 << 14


def _alike(ones: Any, others: Any, threshold: float) -> npt.NDArray[np.bool_]:
    """Which rows of uint8[n, _WIDTH] (or one of them a single row) are near-duplicates."""
    same = ones == others
    whole = same[..., :WHOLE_SLOTS].sum(-1) >= threshold * WHOLE_SLOTS
    fields = same[..., WHOLE_SLOTS:].reshape(*same.shape[:-1], len(FIELDS), FIELD_SLOTS).sum(-1)
    alike: npt.NDArray[np.bool_] = whole & (fields >= FIELD * FIELD_SLOTS).all(-1)
    return alike


def _join_bucket(parents: Positions, members: Positions, signatures: Any, threshold: float) -> None:
    """Join all near-duplicates of one bucket.

    A search from member to member, each compared only with those not yet reached: one pass where all are
    alike, k²/2 comparisons where k share a band and nothing else.
    """
    rows = signatures[members]
    left = np.arange(len(members))
    while len(left) > 1:
        reached, left = [int(left[0])], left[1:]
        while reached and len(left):
            here = reached.pop()
            alike = _alike(rows[here], rows[left], threshold)
            for there in left[alike].tolist():
                _join(parents, int(members[here]), int(members[there]))
                reached.append(there)
            left = left[~alike]


def _join(parents: Positions, one: int, other: int) -> None:
    """Make one group of two; the first in the source is its root."""
    roots = []
    for place in (one, other):
        while (parent := int(parents[place])) != place:
            parents[place] = parents[parent]
            place = parent
        roots.append(place)
    parents[max(roots)] = min(roots)


def _similarities(signatures: Any, repeats: npt.NDArray[np.int64], first: Positions) -> dict[int, float]:
    found: dict[int, float] = {}
    for start in range(0, len(repeats), _BLOCK):
        block = repeats[start : start + _BLOCK]
        same = signatures[block, :WHOLE_SLOTS] == signatures[first[block], :WHOLE_SLOTS]
        found.update(zip(block.tolist(), same.mean(-1).round(4).tolist(), strict=True))
    return found


def _split_numbers(prompts: Numbers, first: Positions, repeats: npt.NDArray[np.int64]) -> Numbers:
    """One number for all prompts that near-duplicates tie together: that of the first in the source."""
    split = prompts.copy()
    ties = np.stack([prompts[first[repeats]], prompts[repeats]], 1)
    ties = np.unique(ties[ties[:, 0] != ties[:, 1]], axis=0)
    if not len(ties):
        return split
    places = np.flatnonzero(np.isin(prompts, ties))
    tied, where, which = np.unique(prompts[places], return_index=True, return_inverse=True)
    order = np.argsort(where)  # prompts by where they stand first: the lower rank is the root
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    parents = np.arange(len(order), dtype=np.int32)
    for one, other in rank[np.searchsorted(tied, ties)].tolist():
        _join(parents, one, other)
    while not np.array_equal(parents, parents[parents]):
        parents = parents[parents]
    split[places] = tied[order[parents[rank[which]]]]
    return split


def _binary(rows: npt.NDArray[np.uint8]) -> pa.Array:
    """uint8[n, width] as n binary values of that width."""
    return pa.Array.from_buffers(
        pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows))]
    )


def _matrix(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    """The inverse of `_binary`."""
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    width = array.type.byte_width
    flat = np.frombuffer(array.buffers()[1], np.uint8)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
