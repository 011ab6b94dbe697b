"""Packs groups of rows into bins of a batch's size, by their sizes alone.

A *unit* is what must be dealt together: a bin for every process, all of the same number of rows, or one bin
that makes an optimiser step. Groups aren't cut; where sizes don't come out even some give up rows.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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
