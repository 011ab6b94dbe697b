"""Routes: which engines, over which pivots, make up a direction ("en>es>fr").

A route is found, not written down: the fewest hops over what is installed, engines tried in the order
of the recipe. Segments that are already empty stay empty; unknown words of every hop are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mldata.engine import Engine
from mldata.text import Segment
from mldata.translate import Translation, Translator

MAX_HOPS = 3
"""Each hop adds errors; no useful pair needs more."""


@dataclass(frozen=True)
class Hop:
    """One engine, one pair."""

    translator: str
    source: str
    target: str


@dataclass(frozen=True)
class Route:
    """Hops that lead from the first one's source to the last one's target."""

    hops: tuple[Hop, ...]

    def __str__(self) -> str:
        return ">".join([self.hops[0].source, *(hop.target for hop in self.hops)])

    def engines(self, translators: Mapping[str, Translator]) -> list[Engine]:
        """The engine of each hop."""
        return [translators[hop.translator].engine(hop.source, hop.target) for hop in self.hops]


@dataclass(frozen=True)
class Routed:
    """One segment at the end of a route."""

    segment: Segment
    pivots: tuple[str, ...]
    """The text after each hop but the last."""
    unknown: tuple[str, ...]


def find_route(translators: Mapping[str, Translator], source: str, target: str) -> Route | None:
    """The shortest route over the pairs that are installed, or None.

    Among equally short ones the engines' order decides, hop by hop, then the tags' alphabet.
    """
    edges = [
        Hop(name, *pair) for name, translator in translators.items() for pair in sorted(translator.pairs())
    ]
    queue = deque([Route((hop,)) for hop in edges if hop.source == source])
    while queue:
        route = queue.popleft()
        end = route.hops[-1].target
        if end == target:
            return route
        seen = {source, *(hop.target for hop in route.hops)}
        if len(route.hops) < MAX_HOPS:
            queue.extend(
                Route((*route.hops, hop)) for hop in edges if hop.source == end and hop.target not in seen
            )
    return None


def follow(route: Route, translators: Mapping[str, Translator], segments: Sequence[Segment]) -> list[Routed]:
    """Translate `segments` along `route`; one result each, in order."""
    now = [Routed(segment, (), ()) for segment in segments]
    for number, hop in enumerate(route.hops):
        todo = [i for i, routed in enumerate(now) if routed.segment.text]
        translator = translators[hop.translator]
        answers = translator.translate([now[i].segment for i in todo], hop.source, hop.target)
        for i, answer in zip(todo, answers, strict=True):
            now[i] = _advance(now[i], answer, first=number == 0)
    return now


def _advance(before: Routed, answer: Translation, *, first: bool) -> Routed:
    pivots = before.pivots if first else (*before.pivots, before.segment.text)
    return Routed(answer.segment, pivots, (*before.unknown, *answer.unknown))
