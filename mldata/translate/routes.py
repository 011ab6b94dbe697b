"""Routes: which engines, over which pivots, make up a direction ("en>es>fr").

A route is found, not written down: the fewest hops over what is installed, engines tried in the order
of the recipe. Segments that are already empty stay empty; unknown words of every hop are kept, and the
first problem. A route in which an engine wants whole texts is followed text by text: its other engines get
the segments of what the hop before them made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mldata.engine import Engine
from mldata.text import Segment, Split, assemble, split, whole
from mldata.translate import RecordTranslator, Translation, Translator

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
    problem: str = ""
    """The first that an engine told of, see `Translation.problem`."""


@dataclass(frozen=True)
class RoutedText:
    """One whole text at the end of a route."""

    text: str
    """Empty where an engine had a problem with it or left a segment of it empty."""
    pivots: tuple[str, ...] = ()
    """The text after each hop but the last."""
    unknown: tuple[str, ...] = ()
    problem: str = ""


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
    problem = before.problem or answer.problem
    return Routed(answer.segment, pivots, (*before.unknown, *answer.unknown), problem)


def wants_texts(route: Route, translators: Mapping[str, Translator]) -> bool:
    """Whether an engine of the route wants whole texts."""
    return any(isinstance(translators[hop.translator], RecordTranslator) for hop in route.hops)


def follow_texts(
    route: Route, translators: Mapping[str, Translator], records: Sequence[Sequence[str]]
) -> list[list[RoutedText]]:
    """Translate the texts of records along `route`; one result each, in order.

    A record holds the texts of one concept. Those with nothing to translate come out as they are and are
    shown to no engine, nor are those that a hop before left empty.
    """
    now = [[RoutedText(text) for text in record] for record in records]
    for number, hop in enumerate(route.hops):
        shown = [[whole(routed.text, hop.source) for routed in record] for record in now]
        todo = [
            (r, [t for t, segment in enumerate(record) if any(map(str.isalpha, segment.plain))])
            for r, record in enumerate(shown)
        ]
        todo = [(r, places) for r, places in todo if places]
        translator = translators[hop.translator]
        asked = [[shown[r][t] for t in places] for r, places in todo]
        if isinstance(translator, RecordTranslator):
            answers = translator.translate_records(asked, hop.source, hop.target) if asked else []
        else:
            answers = _by_segments(translator, asked, hop)
        if number:
            now = [[replace(one, pivots=(*one.pivots, one.text)) for one in record] for record in now]
        for (r, places), answer in zip(todo, answers, strict=True):
            for t, made in zip(places, answer, strict=True):
                now[r][t] = replace(
                    now[r][t],
                    text="" if made.problem else made.segment.text,
                    unknown=(*now[r][t].unknown, *made.unknown),
                    problem=made.problem,  # a text that had one is empty, and not asked for again
                )
    return now


def _by_segments(
    translator: Translator, records: Sequence[Sequence[Segment]], hop: Hop
) -> list[list[Translation]]:
    """Whole texts by an engine that wants segments: split, each distinct one translated, put together.

    A text of which a segment came back empty is empty: in a whole text nobody would see the gap.
    """
    parts = [[split(text.text, hop.source) for text in record] for record in records]
    distinct = in_order({segment for record in parts for text in record for segment in text.segments})
    answers = translator.translate(distinct, hop.source, hop.target) if distinct else []
    made = dict(zip(distinct, answers, strict=True))
    return [[_together(text, [made[segment] for segment in text.segments]) for text in r] for r in parts]


def _together(parts: Split, made: Sequence[Translation]) -> Translation:
    problem = next((one.problem for one in made if one.problem), "")
    texts = [one.segment.text for one in made]
    text = assemble(parts, texts) if all(map(str.strip, texts)) and not problem else ""
    return Translation(Segment(text), tuple(word for one in made for word in one.unknown), problem)


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Segments in an order that doesn't depend on the texts they are of: batches are the same each time."""
    return sorted(segments, key=lambda s: (len(s.text), s.text, s.spans))
