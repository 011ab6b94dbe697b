"""Routes: which engines, over which pivots, make up a direction ("en>es>fr").

A route is found, not written down: the fewest hops over what is installed, engines tried in the order
of the recipe. Segments that are already empty stay empty; unknown words of every hop are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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

    @property
    def translators(self) -> str:
        """The engines that make it up, as "chat>apertium"; one that takes several hops in a row once."""
        names = [hop.translator for hop in self.hops]
        return ">".join(name for i, name in enumerate(names) if i == 0 or name != names[i - 1])

    def then(self, other: Route) -> Route:
        """This route and, where it ends, the other."""
        return Route(self.hops + other.hops)

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


@dataclass(frozen=True)
class Network:
    """The pairs that some translators know, searched for routes."""

    translators: Mapping[str, Translator]
    """In the order of preference."""
    _known: dict[str, dict[str, list[str]]] = field(default_factory=dict, repr=False, compare=False)

    def route(self, source: str, target: str) -> Route | None:
        """The shortest route over the pairs that are installed, or None.

        Among equally short ones the engines' order decides, hop by hop, then the tags' alphabet.
        """
        for length in range(1, MAX_HOPS + 1):
            for hops in self._of_length(length, source, target, frozenset({source})):
                return Route(hops)
        return None

    def _of_length(
        self, length: int, source: str, target: str, seen: frozenset[str]
    ) -> Iterator[tuple[Hop, ...]]:
        for name in self.translators:
            ends = self._targets(name).get(source, [])
            if length == 1:
                if target in ends and target not in seen:
                    yield (Hop(name, source, target),)
                continue
            for end in ends:
                if end in seen or end == target:
                    continue
                for rest in self._of_length(length - 1, end, target, seen | {end}):
                    yield (Hop(name, source, end), *rest)

    def _targets(self, name: str) -> dict[str, list[str]]:
        """Source -> targets, sorted. A model of 200 languages has 40 000 pairs: they are listed once."""
        if name not in self._known:
            targets: dict[str, list[str]] = {}
            for source, target in sorted(self.translators[name].pairs()):
                targets.setdefault(source, []).append(target)
            self._known[name] = targets
        return self._known[name]


def find_route(translators: Mapping[str, Translator], source: str, target: str) -> Route | None:
    """See `Network.route`."""
    return Network(translators).route(source, target)


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
