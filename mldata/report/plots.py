"""Plots of a report, as SVG to stand inside a page: its letters are text, its colours those of the page.

Matplotlib draws with stand-in colours, which become the page's CSS variables, so one drawing serves light and
dark; one unit of a drawing is about one CSS pixel, and none is wider than a phone. Only tags of languages and
numbers are drawn, no text of data. Same figures, same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform

from mldata.calibration import LanguageCalibration, direction
from mldata.report.spreads import Spread

WIDTH = 320
"""Units of a drawing."""
ROW, ABOVE, BELOW = 30, 15, 9
"""Of one language: its height, and how far bars reach over and under its line."""
FOOT, HEAD = 22, 4
_COLOURS = {
    "#00000a": "var(--text)",
    "#00000b": "var(--quiet)",
    "#00000c": "var(--line)",
    "#00000d": "var(--raised)",
    "#00000e": "var(--kept)",
    "#00000f": "var(--dropped)",
    "#00001a": "var(--accent)",
}
_TEXT, _QUIET, _LINE, _RAISED, _KEPT, _DROPPED, _ACCENT = _COLOURS
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mldata",
    "font.family": "sans-serif",
    "font.size": 11,
    "path.simplify": False,
}
_REFERRED_TO = ("clipPath", "path")
"""Elements whose ids others name."""
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_DECIMALS = re.compile(r"(\d+\.\d)\d+")


def distribution(spread: Spread, targets: Sequence[str], key: str) -> str:
    """A row a language: kept rows over its line, dropped ones under it, its thresholds across.

    Heights are square roots of counts, the language's highest bar being full, so that a few rows show.
    """
    with mpl.rc_context(_SETTINGS):
        low, high = float(spread.edges[0]), float(spread.edges[-1])
        drawing = _Drawing(targets, low, high)
        lines = [drawing.line(row) for row in range(len(targets))]
        for rule in spread.rules:
            marks = [float(drawing.x(float(rule.threshold(tag)))) for tag in targets]
            fails = direction(rule)
            if fails:
                end = float(drawing.x(low if fails > 0 else high))
                drawing.fill(
                    [
                        [(x, y + ABOVE), (end, y + ABOVE), (end, y - BELOW), (x, y - BELOW)]
                        for x, y in zip(marks, lines, strict=True)
                    ],
                    _RAISED,
                )
            across = [[(x, y - BELOW - 2), (x, y + ABOVE + 1)] for x, y in zip(marks, lines, strict=True)]
            drawing.stroke(across, _TEXT, 1.2, above=True)
        for counts, colour, reach in ((spread.kept, _KEPT, ABOVE), (spread.dropped, _DROPPED, -BELOW)):
            bars: list[Any] = []
            for tag, line in zip(targets, lines, strict=True):
                most = max(spread.kept[tag].max(), spread.dropped[tag].max(), 1)
                heights = np.sqrt(counts[tag] / most) * reach
                bars += _outlines(drawing.x(spread.edges), heights, line)
            drawing.fill(bars, colour)
        drawing.ticks([(x, f"{x:.3g}") for x in (low, (low + high) / 2, high)])
        return drawing.svg(key, f"Values of {spread.name} of kept and of dropped rows, by language")


def false_accepts(kind: str, languages: Mapping[str, LanguageCalibration], rate: float, key: str) -> str:
    """A row a language: the share of wrong items accepted, held out, with its interval; the rate asked for.

    The axis is a square root, so that one and five per cent can be told apart.
    """
    with mpl.rc_context(_SETTINGS):
        told = [
            (row, language.damages[kind])
            for row, language in enumerate(languages.values())
            if kind in language.damages and language.damages[kind].held_out.of
        ]
        highest = min(1.0, max([rate * 4, *(rates.held_out.high for _, rates in told)]))
        drawing = _Drawing(list(languages), 0.0, float(np.sqrt(highest)))
        asked = float(drawing.x(np.sqrt(rate)))
        drawing.stroke([[(asked, FOOT), (asked, drawing.height - HEAD)]], _TEXT, 1.2)
        for row, rates in told:
            over = rates.verdict == "not_reached"
            colour, y = (_DROPPED if over else _KEPT), drawing.line(row)
            share = rates.held_out
            low, x, high = drawing.x(np.sqrt([share.low, share.value, share.high]))
            drawing.stroke([[(low, y), (high, y)]], colour, 3, above=True)
            corners = 4 if over else 24  # the shape says what the colour says
            turns = np.arange(corners) * 2 * np.pi / corners
            size = 5.5 if over else 4.0
            drawing.fill([np.column_stack([x + size * np.cos(turns), y + size * np.sin(turns)])], colour)
        wide = (0.0, 0.05, 0.2, 0.5, 1.0) if highest > 0.5 else (0.0, 0.01, 0.05, 0.2)
        drawing.ticks([(float(np.sqrt(x)), f"{100 * x:g} %") for x in wide if x <= highest])
        return drawing.svg(key, f"Share of {kind} items accepted, with intervals, by language")


class _Drawing:
    """A row for each tag, the tag at the left. Drawn straight onto the figure: axes are slow to make."""

    def __init__(self, tags: Sequence[str], low: float, high: float) -> None:
        self.height = HEAD + ROW * len(tags) + FOOT
        self._left, self._right = 12 + 6.5 * max([4, *map(len, tags)]), WIDTH - 14
        self._low, self._span = low, high - low
        self._figure = Figure(figsize=(WIDTH / 72, self.height / 72), dpi=72)
        self._figure.patch.set_visible(False)
        every = [self.line(row) for row in range(len(tags))]
        self.stroke([[(self._left, y), (self._right, y)] for y in every], _LINE, 1)
        for tag, y in zip(tags, every, strict=True):
            self._say(self._left - 7, y + 3, tag, _TEXT, 11, "right")

    def x(self, value: Any) -> Any:
        """Where a value, or each of some, is."""
        return self._left + (value - self._low) / self._span * (self._right - self._left)

    def line(self, row: int) -> float:
        """How high a row's line is."""
        return self.height - HEAD - ROW * row - ABOVE - 4.0

    def fill(self, outlines: Sequence[Any], colour: str) -> None:
        self._figure.add_artist(
            PolyCollection(outlines, facecolors=colour, linewidths=0, transform=IdentityTransform(), zorder=2)
        )

    def stroke(self, lines: Sequence[Any], colour: str, width: float, *, above: bool = False) -> None:
        drawn = LineCollection(
            lines, colors=colour, linewidths=width, transform=IdentityTransform(), zorder=3 if above else 1
        )
        self._figure.add_artist(drawn)

    def ticks(self, places: Sequence[tuple[float, str]]) -> None:
        """Values at the foot; none leaves the drawing."""
        for value, text in places:
            x = float(self.x(value))
            side = "left" if x - self._left < 12 else "right" if self._right - x < 12 else "center"
            self._say(x, FOOT / 2 - 2, text, _QUIET, 10, side)

    def _say(self, x: float, y: float, text: str, colour: str, size: float, side: str) -> None:
        at = (x / WIDTH, y / self.height)
        self._figure.text(*at, text, color=colour, fontsize=size, ha=side, va="center", parse_math=False)

    def svg(self, key: str, label: str) -> str:
        """As an element of HTML: named, without size or namespaces, its ids not those of other drawings."""
        made = io.BytesIO()
        self._figure.savefig(made, format="svg", metadata=_NO_METADATA)
        return _as_html(ElementTree.fromstring(made.getvalue()), key, label)


def _outlines(
    edges: npt.NDArray[np.float64], heights: npt.NDArray[np.float64], line: float
) -> list[npt.NDArray[np.float64]]:
    """The outlines of runs of bars that touch; empty bins have none."""
    found = []
    filled = np.flatnonzero(heights)
    for run in np.split(filled, np.flatnonzero(np.diff(filled) > 1) + 1) if len(filled) else []:
        x = np.repeat(edges[run[0] : run[-1] + 2], 2)
        y = np.concatenate([[0.0], np.repeat(heights[run], 2), [0.0]]) + line
        found.append(np.column_stack([x, y]))
    return found


def _as_html(root: ElementTree.Element, key: str, label: str) -> str:
    """What Matplotlib wrote, without what a page has no use for."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}style", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.partition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            if name != "id" or element.tag in _REFERRED_TO:
                element.set(name.rpartition("}")[2], _attribute(name, value, key))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", label)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return text


def _attribute(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name == "d":  # tenths of a pixel are enough
        return _DECIMALS.sub(r"\1", " ".join(value.split()))
    value = value.replace("url(#", f"url(#{key}-")
    if value.startswith("#") and name.endswith("href"):
        return f"#{key}-{value[1:]}"
    for colour, variable in _COLOURS.items():
        value = value.replace(colour, variable)
    return value
