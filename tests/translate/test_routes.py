"""Routes are the shortest over what is installed, in the recipe's order of engines."""

import pytest

from mldata.engine import Engine
from mldata.text import Segment
from mldata.translate import Translation
from mldata.translate.routes import Network, follow


class Tags:
    """Appends its target's tag, so that the way a segment went can be read off it."""

    def __init__(self, *pairs):
        self._pairs = frozenset(tuple(pair.split(">")) for pair in pairs)

    def pairs(self):
        return self._pairs

    def engine(self, source, target):
        return Engine("tags", "1", f"{source}{target}", "CC0-1.0")

    def translate(self, segments, source, target):
        return [Translation(Segment(f"{s.text} {target}"), (target,)) for s in segments]

    def close(self):
        pass


def test_a_direct_pair_wins_over_a_pivot():
    engines = {"a": Tags("en>es", "es>pt"), "b": Tags("en>pt")}
    assert str(Network(engines).route("en", "pt")) == "en>pt"


def test_the_preferred_engine_wins_among_equally_short_routes():
    engines = {"first": Tags("en>pt"), "second": Tags("en>pt")}
    assert Network(engines).route("en", "pt").hops[0].translator == "first"
    swapped = dict(reversed(engines.items()))
    assert Network(swapped).route("en", "pt").hops[0].translator == "second"


def test_pivots_are_found_and_followed():
    engines = {"a": Tags("en>hr", "hr>mk"), "b": Tags("mk>bg", "en>es")}
    route = Network(engines).route("en", "bg")
    assert str(route) == "en>hr>mk>bg"
    (made,) = follow(route, engines, [Segment("dobro")])
    assert made.segment.text == "dobro hr mk bg"
    assert made.pivots == ("dobro hr", "dobro hr mk")
    assert made.unknown == ("hr", "mk", "bg")


@pytest.mark.parametrize("target", ["en", "xh"])
def test_no_route_is_none(target):
    assert Network({"a": Tags("en>es", "es>fr")}).route("fr", target) is None


def test_no_route_takes_four_hops():
    chain = Tags("en>es", "es>fr", "fr>oc", "oc>ca")
    assert Network({"a": chain}).route("en", "oc") is not None
    assert Network({"a": chain}).route("en", "ca") is None


def test_an_empty_segment_stays_empty_and_is_not_sent():
    engines = {"a": Tags("en>es")}
    made = follow(Network(engines).route("en", "es"), engines, [Segment(""), Segment("yes")])
    assert [m.segment.text for m in made] == ["", "yes es"]


def test_the_first_problem_of_a_segment_is_kept():
    class Refuses(Tags):
        def translate(self, segments, source, target):
            return [Translation(Segment(""), problem="refused") for _ in segments]

    engines = {"no": Refuses("en>es"), "yes": Tags("es>pt")}
    (made,) = follow(Network(engines).route("en", "pt"), engines, [Segment("dobro")])
    assert (made.segment.text, made.problem) == ("", "refused")
