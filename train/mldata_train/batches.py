"""Which rows share a batch: whole concepts, dealt evenly to processes, the same for a seed and an epoch.

A *unit* is what must be dealt together: with `align="device"` one batch for every process, each of whole
concepts and all of the same number of rows; with `align="step"` one optimiser step, whose concepts may be
cut only between its processes and accumulation steps. The *shape* of every unit (how many rows of how large
a concept) is packed once, from the histogram of sizes; an epoch only chooses which concept fills which place.
So every epoch has the same number of batches, which the learning-rate schedule and a resume rely on, and
planning an epoch is array work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mldata.errors import InputError
from mldata_train.groups import Groups, Ints
from mldata_train.packing import Room, unit_shapes

Kind = Literal["aligned", "shuffled", "monolingual", "anchor-only"]
Align = Literal["device", "step"]

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
            rows = part.groups.rows[filled[owner[at]][first:last]]
            yield from self._dealt(rows)

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
