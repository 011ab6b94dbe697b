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

LENGTH_NOISE = 0.2
"""Standard deviation of the log of the factor that blurs lengths before concepts are sorted by them, so that
neighbours in length, and with them the company that a concept keeps, change from epoch to epoch: tasks that
differ in length would otherwise never meet in a batch. Of batches of 10 rows 22 % is padding then, 18 % with
no noise, and 30 % unsorted (concepts of 2 to 10 rows, lengths lognormal with sigma 0.6)."""


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


Slot = tuple[int, int]
"""A place in a batch: for a concept that would bring so many rows, so many of them."""

Bin = list[Slot]

RETRIES = 4
"""How often something else is tried for the sake of groups that would be left out."""


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

    def waste(self, total: int) -> float:
        """The rows that a bin of `total` rows gives up, and a twentieth of its empty places, for each row."""
        goal = self.goal(total)
        return (total - goal + 0.05 * (self.capacity - goal)) / total if goal else math.inf


def unit_shapes(counts: Mapping[int, int], room: Room) -> list[tuple[list[Bin], int]]:
    """Shapes of the units that hold `counts[size]` groups of each size, and how many there are of each shape.

    Groups aren't cut. Where they can't be dealt evenly, some give up rows, and only if that won't do is one
    left out: its places are in no shape.
    """
    units: list[tuple[list[Bin], int]] = []
    left: list[int] = []
    for shape, fitted, repeats in _pack(Counter(counts), room):
        whole = repeats // room.together if fitted else 0
        if whole:
            units.append(([fitted] * room.together, whole))
        # of a bin that can't be filled, which only a step's can be, one is enough to try with what is left
        left.extend(shape * (repeats - whole * room.together if fitted else 1))
    fewest, found = math.inf, units
    for _ in range(RETRIES):
        tail = _tail(left, room)
        out = len(left) - _places(tail)
        if out < fewest:
            fewest, found = out, [*units, *((bins, 1) for bins in tail)]
        if not out or not units:
            break
        (bins, repeats), *units = units
        left += [size for slots in bins for size, _ in slots]
        units = [(bins, repeats - 1)] * (repeats > 1) + units
    return found


def _pack(counts: Counter[int], room: Room) -> Iterator[tuple[list[int], Bin, int]]:
    """Bins that waste least, largest group first: group sizes, their places if they fit, and repeats."""
    while counts := +counts:
        shape, fitted = _least_waste(counts, room)
        used = Counter(shape)
        repeats = min(counts[size] // number for size, number in used.items())
        yield shape, fitted, repeats
        counts = counts - Counter({size: number * repeats for size, number in used.items()})


def _least_waste(counts: Counter[int], room: Room) -> tuple[list[int], Bin]:
    """The largest group and those, each at most as often as it is there, that best fill a bin with it."""
    largest = max(counts)
    counts = counts - Counter([largest])
    # where rows may have to be given up anyway, one group too many can be the lesser loss
    most = room.capacity + (largest - 1 if room.least > 1 else 0)
    reached = {largest: largest}  # the size that was added last, for each total
    for size in sorted(counts, reverse=True):
        used: Counter[int] = Counter()
        for total in range(largest + size, most + 1):
            if total not in reached and total - size in reached and used[total - size] < counts[size]:
                reached[total], used[total] = size, used[total - size] + 1
        if room.capacity in reached:
            break
    for total in sorted(reached, key=room.waste):
        shape = list(_added(reached, total))
        fitted = _shrunk([(size, size) for size in shape], room.goal(total), room.keep)
        if len(fitted) == len(shape):
            return shape, fitted
    return shape, []


def _added(reached: Mapping[int, int], total: int) -> Iterator[int]:
    while total:
        yield reached[total]
        total -= reached[total]


def _shrunk(slots: Bin, goal: int, keep: int) -> Bin:
    """The places after giving up rows, from the largest group on, until `goal` are left; none if they can't.

    Groups are left out, the smallest that will do, where there are too many of them for `goal` rows.
    """
    slots = sorted(slots)
    while (over := sum(min(size, keep) for size, _ in slots) - goal) > 0:
        enough = (at for at, (size, _) in enumerate(slots) if min(size, keep) >= min(over, keep))
        slots.pop(next(enough, 0))
    while _total(slots) > goal:
        size, taken = slots.pop()
        slots.append((size, taken - 1))
        slots.sort(key=lambda slot: slot[1])
    return slots if _total(slots) == goal else []


def _total(slots: Bin) -> int:
    return sum(taken for _, taken in slots)


def _places(units: Iterable[list[Bin]]) -> int:
    return sum(len(slots) for bins in units for slots in bins)


def _tail(left: list[int], room: Room) -> list[list[Bin]]:
    """Units of the groups that no full unit took, in as many units as leave out fewest groups."""
    wanted = math.ceil(sum(left) / room.capacity / room.together)
    best: list[list[Bin]] = []
    most = min(wanted, len(left) // room.together)
    for units in range(most, max(most - RETRIES, 0), -1):
        spread = [unit for unit in _spread(left, units, room) if unit]
        if _places(spread) > _places(best):
            best = spread
        if _places(best) == len(left):
            break
    return best


def _spread(left: list[int], units: int, room: Room) -> Iterator[list[Bin]]:
    """So many units: groups spread evenly, largest first, then cut to one size."""
    heap: list[tuple[int, int, Bin]] = [(0, number, []) for number in range(units * room.together)]
    for size in sorted(left, reverse=True):
        total, number, slots = heapq.heappop(heap)
        slots.append((size, size))
        heapq.heappush(heap, (total + size, number, slots))
    bins = [slots for _, _, slots in sorted(heap, reverse=True)]
    for first in range(0, len(bins), room.together):
        yield _evened(bins[first : first + room.together], room)


def _evened(bins: list[Bin], room: Room) -> list[Bin]:
    """The bins, all of the most rows that they can all have; none if there is no such number."""
    for goal in range(room.goal(min(map(_total, bins))), room.least - 1, -room.multiple):
        fitted = [_shrunk(slots, goal, room.keep) for slots in bins]
        if all(fitted):
            return fitted
    return []


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
        if min(rows, processes, accumulation) < 1:
            raise InputError(
                f"{rows} rows in {accumulation} steps on {processes} processes make no batch: "
                "per_device_train_batch_size and gradient_accumulation_steps are at least 1"
            )
        self.groups, self.without_anchor = _chosen(groups, batching)
        aligned = batching.kind == "aligned"
        self.by_step = aligned and batching.align == "step"
        keep = 2 if aligned and batching.with_anchor else 1
        if self.by_step:
            room = Room(rows * processes * accumulation, 1, processes, processes * accumulation, keep)
        else:
            room = Room(rows, together=processes, keep=keep)
        if room.capacity < keep and self.groups.sizes.max(initial=0) > 1:
            spread = "" if self.by_step else ", or spread a concept over the step with --align step"
            raise InputError(
                "a batch of 1 row can't hold the anchor and another language: "
                f"raise per_device_train_batch_size{spread}"
            )
        if batching.group_size is not None and batching.group_size < keep:
            raise InputError(
                f"a group of {batching.group_size} is too small: --group-size is at least {keep}"
                + (", the anchor and another language" if keep > 1 else "")
            )
        self._parts = [_Part(part, batching, room, seed) for part in _parts(self.groups, batching)]
        if not any(part.units for part in self._parts):
            raise InputError(
                f"{self.concepts} concepts ({len(self.groups.rows)} rows) can't be dealt evenly to "
                f"{processes} processes in {accumulation} accumulation steps of at most {rows} rows: "
                "use fewer processes or steps, or raise per_device_train_batch_size"
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
        """A weighted draw without replacement (Efraimidis and Spirakis 2006, algorithm A, as a race)."""
        assert self.batching.weights is not None
        weight = np.array([self.batching.weights.get(name, 0.0) for name in self.groups.names])
        at = self.groups.starts[group, None] + fixed + np.arange(others)
        # a language of weight 0 finishes after all others, and in random order
        finish = random.standard_exponential(at.shape) / np.maximum(weight[self.groups.languages[at]], 1e-200)
        return np.argsort(finish, 1)[:, :number]


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
