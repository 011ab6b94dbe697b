"""Which rows share a batch: whole concepts, dealt evenly to processes, the same for a seed and an epoch.

A *unit* is what must be dealt together: with `align="device"` one batch for every process, each of whole
concepts and all of the same number of rows; with `align="step"` one optimiser step, whose concepts may be
cut only between its processes and accumulation steps. The *shape* of every unit (how many rows of how large
a concept) is packed once, from the histogram of sizes; an epoch only chooses which concept fills which place.
So every epoch has the same number of batches, which the learning-rate schedule and a resume rely on, and
planning an epoch is array work.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from mldata.errors import InputError

Kind = Literal["aligned", "shuffled", "monolingual", "anchor-only"]
Align = Literal["device", "step"]
Ints = np.ndarray[Any, np.dtype[np.integer[Any]]]

LENGTH_NOISE = 0.1
"""Standard deviation of the log of the factor that blurs lengths before concepts are sorted by them, so that
neighbours in length, and with them the company that a concept keeps, change from epoch to epoch."""


@dataclass(frozen=True)
class Batching:
    """What a batch is made of."""

    kind: Kind = "aligned"
    """aligned: whole concepts. For comparisons: shuffled (any rows), monolingual (rows of one language),
    anchor-only (rows of the anchor)."""
    align: Align = "device"
    """Whether a concept stays on one device, or is spread over the processes and accumulation steps of one
    optimiser step. The other kinds have no groups to keep together."""
    with_anchor: bool = True
    """Whether the anchor is in every group. Without it its rows are left out (the paper's ablation)."""
    anchor: str = "en"
    group_size: int | None = None
    """At most so many rows of a concept in a step, the anchor among them; the others take turns."""
    by_length: bool = True
    """Whether concepts of like length share a batch, which saves padding. Aligned batches only."""
    weights: Mapping[str, float] | None = None
    """How likely each language is drawn where not all of a concept's fit; they take turns if None."""


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

    The anchor's row is moved to the front of its concept. InputError where a concept's rows don't stand
    together, or where a language comes twice in a concept.
    """
    names: dict[str, int] = {}
    ids: list[pl.Series] = []
    begins: list[Ints] = []
    columns: list[tuple[Ints, Ints, Ints]] = []
    seen, last = 0, None
    for concepts, languages, lengths, tokens in parts:
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
    if pl.concat(ids).n_unique() < len(starts) - 1:
        raise InputError(
            f"{where}: the rows of a concept don't stand together; sort it by concept_id "
            "(`dataset.sort('concept_id')`)"
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
    if len(np.unique(keys)) < len(keys):
        key = int(np.sort(keys)[np.flatnonzero(np.diff(np.sort(keys)) == 0)[0]])
        row = int(starts[key // len(names)])
        raise InputError(
            f"{where}: the concept at row {row} has two rows in {names[key % len(names)]}; "
            "a concept has one row a language"
        )


Slot = tuple[int, int]
"""A place in a batch: for a concept that would bring so many rows, so many of them."""

Bin = list[Slot]


@dataclass(frozen=True)
class Room:
    """What a unit must look like."""

    capacity: int
    """Rows of a bin, at most."""
    together: int = 1
    """Bins of a unit; all have the same number of rows."""
    multiple: int = 1
    """Rows of a bin are a multiple of this."""
    least: int = 1
    """Rows of a bin, at least."""
    keep: int = 1
    """Rows that a group keeps, if it has them, when it has to give up some."""

    def goal(self, total: int) -> int:
        """The rows that a bin of `total` rows can be brought to; 0 if there are too few."""
        goal = min(total, self.capacity) // self.multiple * self.multiple
        return goal if goal >= self.least else 0


def unit_shapes(counts: Mapping[int, int], room: Room) -> list[tuple[list[Bin], int]]:
    """Shapes of the units that hold `counts[size]` groups of each size, and how many there are of each shape.

    Groups aren't cut. Where they can't be dealt evenly, some give up rows, and only if that won't do is one
    left out: at most as many as there are bins in a unit, and their rows' number is not in the shapes.
    """
    units: list[tuple[list[Bin], int]] = []
    left: list[int] = []
    for shape, repeats in _pack(Counter(counts), room.capacity):
        goal = room.goal(sum(shape))
        fitted = _shrunk([(size, size) for size in shape], goal, room.keep) if goal else []
        whole = repeats // room.together if fitted and _total(fitted) == goal else 0
        if whole:
            units.append(([fitted] * room.together, whole))
        left.extend(shape * (repeats - whole * room.together))
    while left and units and (len(left) < room.together or sum(left) < room.together * room.least):
        bins, repeats = units.pop()  # too few for a unit of their own: they share one that was full
        left.extend(size for fitted in bins for size, _ in fitted)
        if repeats > 1:
            units.append((bins, repeats - 1))
    return [*units, *((bins, 1) for bins in _tail(left, room))]


def _pack(counts: Counter[int], capacity: int) -> Iterator[tuple[list[int], int]]:
    """Bins of group sizes that are as full as can be, largest group first, each with its repeats."""
    while counts := +counts:
        largest = max(counts)
        rest = counts - Counter([largest])
        shape = [largest, *_fullest(rest, capacity - largest)]
        used = Counter(shape)
        repeats = min(counts[size] // number for size, number in used.items())
        yield shape, repeats
        counts = counts - Counter({size: number * repeats for size, number in used.items()})


def _fullest(counts: Mapping[int, int], space: int) -> list[int]:
    """Sizes, each at most as often as it is there, whose sum comes closest to `space` from below."""
    reached: dict[int, list[int]] = {0: []}
    for size in sorted((size for size in counts if size <= space), reverse=True):
        for total, sizes in list(reached.items()):
            for number in range(1, min(counts[size], (space - total) // size) + 1):
                reached.setdefault(total + number * size, sizes + [size] * number)
        if space in reached:
            break
    return reached[max(reached)]


def _shrunk(slots: Bin, goal: int, keep: int) -> Bin:
    """The places after giving up rows, from the largest group on, until `goal` are left (or fewer)."""
    slots = sorted(slots, key=lambda slot: slot[1])
    while _total(slots) > goal:
        size, taken = slots.pop()
        if taken > min(size, keep):
            slots.append((size, taken - 1))
            slots.sort(key=lambda slot: slot[1])
        # else none has a row to give up, and this one is left out
    return slots


def _total(slots: Bin) -> int:
    return sum(taken for _, taken in slots)


def _tail(left: list[int], room: Room) -> Iterator[list[Bin]]:
    """Units of the groups that no full unit took: spread evenly, largest first, then cut to one size."""
    wanted = math.ceil(sum(left) / room.capacity / room.together)
    units = min(wanted, len(left) // room.together, sum(left) // room.least // room.together)
    heap: list[tuple[int, int, Bin]] = [(0, number, []) for number in range(units * room.together)]
    for size in sorted(left, reverse=True) if heap else ():
        total, number, slots = heapq.heappop(heap)
        heapq.heappush(heap, (total + size, number, [*slots, (size, size)]))
    bins = [slots for _, _, slots in sorted(heap, reverse=True)]
    for first in range(0, len(bins), room.together):
        unit = bins[first : first + room.together]
        goal = room.goal(min(map(_total, unit)))
        while goal and any(_total(slots) != goal for slots in unit):
            unit = [_shrunk(slots, goal, room.keep) for slots in unit]
            goal = room.goal(min(map(_total, unit)))
        if goal:
            yield unit


class BatchPlan:
    """The batches of every epoch, for all processes: the same on each of them.

    Batch number b of an epoch goes to process b % processes, as accelerate deals whole batches, and
    `accumulation` batches of a process make one optimiser step.
    """

    def __init__(
        self,
        groups: Groups,
        batching: Batching,
        *,
        rows: int,
        processes: int = 1,
        accumulation: int = 1,
        seed: int,
    ) -> None:
        """Plan batches of at most `rows` rows a device. InputError where they can't be made."""
        self.processes, self.accumulation, self.seed = processes, accumulation, seed
        self.batching = batching
        self.groups, self.without_anchor = _chosen(groups, batching)
        aligned = batching.kind == "aligned"
        self.by_step = aligned and batching.align == "step"
        keep = 2 if aligned and batching.with_anchor else 1
        if self.by_step:
            room = Room(rows * processes * accumulation, 1, processes, processes * accumulation, keep)
        else:
            room = Room(rows, together=processes, keep=keep)
        if room.capacity < keep and self.groups.sizes.max(initial=0) > 1:
            raise InputError(
                "a batch of 1 row can't hold the anchor and another language: raise "
                "per_device_train_batch_size, or spread a concept over the step with --align step"
            )
        self._parts = [_Part(part, batching, room, seed) for part in _parts(self.groups, batching)]
        if not any(part.units for part in self._parts):
            raise InputError(
                f"{self.concepts} concepts ({len(self.groups.rows)} rows) are too few for "
                f"{processes} processes and {accumulation} accumulation steps: use fewer of them"
            )

    def __len__(self) -> int:
        """Batches of an epoch, those of all processes together."""
        batches = self.processes * (self.accumulation if self.by_step else 1)
        return sum(part.units for part in self._parts) * batches

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return math.ceil(len(self) / self.processes / self.accumulation)

    @property
    def concepts(self) -> int:
        """Concepts that take part; of row-wise kinds, rows."""
        return len(self.groups.starts) - 1

    @property
    def chooses(self) -> bool:
        """Whether some concept has more rows than are taken of it."""
        return any(part.chooses for part in self._parts)

    @property
    def taken(self) -> int:
        """Rows of an epoch."""
        return sum(part.taken for part in self._parts)

    def epoch(self, number: int) -> Iterator[Ints]:
        """Row numbers of each batch, in order."""
        random = np.random.default_rng([self.seed, number])
        filled = [part.fill(number, random) for part in self._parts]
        owner = np.repeat(np.arange(len(filled)), [part.units for part in self._parts])
        unit = np.concatenate([np.arange(part.units) for part in self._parts])
        for at in random.permutation(len(unit)):
            part = self._parts[owner[at]]
            first, last = part.row_starts[unit[at]], part.row_starts[unit[at] + 1]
            rows = self.groups_of(owner[at]).rows[filled[owner[at]][first:last]]
            yield from self._dealt(rows)

    def groups_of(self, part: int) -> Groups:
        """The index of one part."""
        return self._parts[part].groups

    def _dealt(self, rows: Ints) -> list[Ints]:
        """A unit's rows as batches: process by process, and for a step micro-batch by micro-batch."""
        share = len(rows) // self.processes
        if not self.by_step:
            return np.split(rows, self.processes)
        even, more = divmod(share, self.accumulation)
        sizes = np.repeat([even + (number < more) for number in range(self.accumulation)], self.processes)
        return np.split(rows, np.cumsum(sizes)[:-1])

    def step_tokens(self) -> Iterator[Ints]:
        """Tokens of every optimiser step (a prompt counts with each answer): an array an epoch, forever."""
        of_row = np.zeros(int(self.groups.rows.max()) + 1, np.int64)
        of_row[self.groups.rows] = self.groups.tokens
        for number in itertools.count():
            sums = np.array([of_row[rows].sum() for rows in self.epoch(number)])
            yield np.add.reduceat(sums, np.arange(0, len(sums), self.processes * self.accumulation))

    def steps_within(self, tokens: int) -> int:
        """The optimiser steps that train on at most `tokens` tokens; at least one."""
        spent = steps = 0
        for of_step in self.step_tokens():
            within = int((spent + np.cumsum(of_step) <= tokens).sum())
            steps, spent = steps + within, spent + int(of_step.sum())
            if within < len(of_step):
                break
        return max(1, steps)

    def rows_within(self, steps: int) -> Ints:
        """The row numbers that the first `steps` optimiser steps see, sorted."""
        seen: list[Ints] = []
        batches = steps * self.processes * self.accumulation
        for number in itertools.count():
            seen = [np.unique(np.concatenate([*seen, *itertools.islice(self.epoch(number), batches)]))]
            batches -= len(self)
            if batches <= 0 or len(seen[0]) == len(self.groups.rows):
                return seen[0]
        raise AssertionError("unreachable")

    def tokens_within(self, steps: int) -> int:
        """The tokens of the first `steps` optimiser steps."""
        tokens = 0
        for of_step in self.step_tokens():
            tokens += int(of_step[:steps].sum())
            steps -= len(of_step)
            if steps <= 0:
                break
        return tokens


def _chosen(groups: Groups, batching: Batching) -> tuple[Groups, int]:
    """The rows that a kind of batch trains on, and how many concepts are left out for want of an anchor."""
    if batching.anchor not in groups.names:
        raise InputError(
            f"no row is in the anchor language {batching.anchor}; there are {' '.join(groups.names)}"
        )
    is_anchor = groups.languages == groups.names.index(batching.anchor)
    if batching.kind == "anchor-only":
        return groups.select(is_anchor).singles(), 0
    if not batching.with_anchor:
        chosen, without = groups.select(~is_anchor), 0
        if not len(chosen.rows):
            raise InputError("there is no row but the anchor's, and --no-anchor leaves it out")
    else:
        anchored = np.repeat(is_anchor[groups.starts[:-1]], groups.sizes)
        without = int((~is_anchor[groups.starts[:-1]]).sum())
        chosen = groups.select(anchored)
    return (chosen if batching.kind == "aligned" else chosen.singles()), without


def _parts(groups: Groups, batching: Batching) -> list[Groups]:
    """What is planned by itself: one language at a time, or all at once."""
    if batching.kind != "monolingual":
        return [groups]
    return [groups.select(groups.languages == code) for code in np.unique(groups.languages)]


class _Part:
    """Groups that are planned together: the places of their units, and who fills them in an epoch."""

    def __init__(self, groups: Groups, batching: Batching, room: Room, seed: int) -> None:
        self.groups, self.batching = groups, batching
        self._limit = min(room.capacity, batching.group_size or room.capacity)
        self._wanted = np.minimum(groups.sizes, self._limit)
        sizes, numbers = np.unique(self._wanted, return_counts=True)
        shapes = unit_shapes(dict(zip(sizes.tolist(), numbers.tolist(), strict=True)), room)
        self.chooses = bool((groups.sizes > self._limit).any())
        self.units = sum(repeats for _, repeats in shapes)
        places = [[slot for slots in bins for slot in slots] for bins, _ in shapes]
        order = _evenly([repeats for _, repeats in shapes])
        counts = (
            np.array([len(slots) for slots in places], np.int64)[order] if self.units else np.zeros(0, int)
        )
        begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._wants = np.zeros(begins[-1], np.int32)
        self._takes = np.zeros(begins[-1], np.int32)
        for number, slots in enumerate(places):
            at = begins[:-1][order == number]
            for offset, (size, taken) in enumerate(slots):
                self._wants[at + offset], self._takes[at + offset] = size, taken
        self._ends = np.cumsum(self._takes, dtype=np.int64)
        self.row_starts = np.concatenate([[0], self._ends])[begins]
        self.taken = int(self._ends[-1]) if len(self._ends) else 0
        self._turns = np.random.default_rng([seed, 1 << 32]).integers(0, 1 << 30, (2, len(groups.starts) - 1))

    def fill(self, epoch: int, random: np.random.Generator) -> Ints:
        """Positions in the index of all rows of an epoch, unit after unit."""
        group = self._seated(random)
        rows = np.empty(self.taken, np.int64)
        sizes, begins = self.groups.sizes[group], self._ends - self._takes
        kinds, kind = np.unique(np.stack([sizes, self._takes], 1), axis=0, return_inverse=True)
        for number, (size, taken) in enumerate(kinds.tolist()):
            these = np.flatnonzero(kind.ravel() == number)
            offsets = self._offsets(group[these], size, taken, epoch, random)
            rows[begins[these, None] + np.arange(taken)] = self.groups.starts[group[these], None] + offsets
        return rows

    def _seated(self, random: np.random.Generator) -> Ints:
        """Which group takes each place."""
        chosen = np.empty(len(self._wants), np.int64)
        longest = np.maximum.reduceat(self.groups.lengths, self.groups.starts[:-1])
        for size in np.unique(self._wants):
            places = np.flatnonzero(self._wants == size)
            waiting = random.permutation(np.flatnonzero(self._wanted == size))[: len(places)]
            if self.batching.by_length and self.batching.kind == "aligned":
                blurred = longest[waiting] * np.exp(random.normal(0, LENGTH_NOISE, len(waiting)))
                waiting = waiting[np.argsort(blurred, kind="stable")]
            chosen[places] = waiting
        return chosen

    def _offsets(self, group: Ints, size: int, taken: int, epoch: int, random: np.random.Generator) -> Ints:
        """Which rows of groups of `size` rows are taken, (groups, taken): all, or the anchor and some."""
        fixed = int(self.batching.kind == "aligned" and self.batching.with_anchor)
        others, number = size - fixed, taken - fixed
        if taken == size:
            return np.broadcast_to(np.arange(size), (len(group), size))
        if self.batching.weights is None:
            start, stride = self._turns[:, group]
            coprime = np.array([step for step in range(1, others + 1) if math.gcd(step, others) == 1])
            turn = (start + epoch * number)[:, None] + np.arange(number)
            drawn = turn * coprime[stride % len(coprime)][:, None] % others
        else:
            drawn = self._drawn(group, others, number, fixed, random)
        return np.concatenate([np.zeros((len(group), fixed), np.int64), np.sort(drawn, 1) + fixed], 1)

    def _drawn(self, group: Ints, others: int, number: int, fixed: int, random: np.random.Generator) -> Ints:
        """A weighted draw without replacement (Efraimidis and Spirakis 2006, algorithm A)."""
        assert self.batching.weights is not None
        weight = np.array([self.batching.weights.get(name, 0.0) for name in self.groups.names])
        at = self.groups.starts[group, None] + fixed + np.arange(others)
        keys = np.log(random.random((len(group), others))) / np.maximum(
            weight[self.groups.languages[at]], np.finfo(float).tiny
        )
        return np.argsort(-keys, 1)[:, :number]


def _evenly(repeats: Sequence[int]) -> Ints:
    """Numbers 0, 1, … each as often as `repeats` says, spread evenly: [4, 2] is 0 1 0 0 1 0."""
    number = np.repeat(np.arange(len(repeats)), repeats)
    place = np.concatenate([[], *((np.arange(many) + 0.5) / many for many in repeats if many)])
    return number[np.argsort(place, kind="stable")]


class BatchSampler:
    """A plan as torch's DataLoader wants its `batch_sampler`: batches of an epoch, lists of row numbers."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan, self.number = plan, 0

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.plan.epoch(self.number):
            yield rows.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.number = epoch
