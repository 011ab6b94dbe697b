"""An evaluation, or two side by side, as a table of the terminal, as Markdown, and as a plot.

All three say the same: the anchor first, then the languages in the set's order, totals below, figures in
percent with their 95 % intervals.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from mldata.errors import InputError
from mldata_train.figures import (
    Difference,
    Estimate,
    Evaluation,
    Figures,
    GroupFigures,
    LanguageFigures,
    write_whole,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEFORE, AFTER = "#7d838c", "#0b5cad"
NOTHING = "–"
WIDEST = 80
"""Characters of a model's name in a plot."""


def table(before: Evaluation | None, after: Evaluation, change: Difference | None = None) -> Table:
    """A table for the terminal of `after`, beside `before` if it is given; InputError if rows differ."""
    head, languages, totals = _grid(before, after, change)
    shown = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption="\n".join(map(escape, _lines(before, after, change))),
        caption_justify="left",
        caption_style="",
    )
    for number, name in enumerate(head):
        shown.add_column(name, justify="right" if number else "left", no_wrap=number < 2)
    for number, cells in enumerate([*languages, *totals]):
        shown.add_row(*map(escape, cells), end_section=number == len(languages) - 1)
    return shown


def markdown(before: Evaluation | None, after: Evaluation, change: Difference | None = None) -> str:
    """The same as a Markdown table, and lines below for the figures that belong to no language."""
    head, languages, totals = _grid(before, after, change)
    rules = [":--", *["--:"] * (len(head) - 1)]
    rows = [head, rules, *languages, *([f"**{cells[0]}**", *cells[1:]] for cells in totals)]
    lines = [*(f"| {' | '.join(cells)} |" for cells in rows), ""]
    lines += [f"- {line}" for line in _lines(before, after, change)]
    return "\n".join(lines) + "\n"


def _grid(
    before: Evaluation | None, after: Evaluation, change: Difference | None
) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Heads, a row a language, and a row a group of languages."""
    _check_same_rows(before, after, change)
    if before is None:
        heads = ["accuracy", "gap", "paired gap", f"agrees with {after.anchor}", "margin"]
    else:
        heads = ["before", "after", "change", "gap before", "gap after"]
    was_of, moved_of = (
        {found.language: found for found in figures.languages} if figures else {}
        for figures in (before, change)
    )
    languages = [
        [
            heading(found),
            str(found.rows),
            *_cells(was_of.get(found.language), found, moved_of.get(found.language)),
        ]
        for found in after.languages
    ]
    totals = []
    for name in ("others", "seen", "unseen"):
        was, found, moved = (getattr(figures, name, None) for figures in (before, after, change))
        if found:
            totals.append([f"mean of {name} ({found.languages})", "", *_cells(was, found, moved)])
    return ["language", "rows", *heads], languages, totals


def _cells(
    was: LanguageFigures | GroupFigures | None,
    found: LanguageFigures | GroupFigures,
    moved: LanguageFigures | GroupFigures | None,
) -> list[str]:
    if was:
        change = text(moved.accuracy if moved else None, "+")
        return [text(was.accuracy), text(found.accuracy), change, text(was.gap), text(found.gap)]
    cells = [text(found.accuracy), text(found.gap), text(found.paired_gap)]
    if isinstance(found, GroupFigures):
        return [*cells, "", ""]
    return [*cells, text(found.agreement), f"{found.margin.value:.3f}"]


def _check_same_rows(before: Evaluation | None, after: Evaluation, change: Difference | None = None) -> None:
    """InputError if figures that stand side by side are of other rows, or were judged another way."""
    for other in filter(None, (before, change)):
        told = ("anchor", "score", "concepts", *(("digest", "split") if other is before else ()))
        for name in told:
            if (one := getattr(other, name)) != (two := getattr(after, name)):
                raise InputError(
                    f"the evaluations can't be compared, {name} is {one} in one and {two} in the other: "
                    "evaluate both models on the same rows"
                )
        one, two = ({(f.language, f.rows, f.unseen) for f in e.languages} for e in (other, after))
        if one != two:
            tag = min(one ^ two)[0]
            raise InputError(
                f"the evaluations can't be compared, {tag} has other rows or is unseen in one only: "
                "evaluate both models on the same rows"
            )


def _lines(before: Evaluation | None, after: Evaluation, change: Difference | None) -> list[str]:
    """What belongs to no language, and what the figures are."""

    def both(of: str) -> str:
        figures: list[Figures] = [after] if before is None else [before, after]
        said = " → ".join(text(getattr(found, of)) for found in figures)
        return f"{said} ({text(getattr(change, of), '+')})" if change and before else said

    lines = [f"consistency {both('consistency')}: concepts with the same verdict in all their languages"]
    lines += [f"agreement {both('agreement')}: pairs of languages within a concept with the same verdict"]
    if change and before and change.others:
        lines += [
            f"change of the gap {text(change.others.gap, '+')}, paired {text(change.others.paired_gap, '+')}"
        ]
    if after.worst:
        lowest = next(found for found in after.languages if found.language == after.worst)
        lines += [f"lowest accuracy {after.worst} {text(lowest.accuracy)}"]
    return [
        *lines,
        f"percent, gaps in points below {after.anchor}; {after.concepts} concepts, {after.rows} rows, "
        f"score {after.score}; in brackets 95 % intervals over concepts",
    ]


def text(estimate: Estimate | None, sign: str = "") -> str:
    """71.2 [65.0, 77.1], or a dash for what is not defined; `sign` "+" marks a change."""
    if estimate is None:
        return NOTHING
    value, low, high = (round(number, 1) + 0.0 for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:{sign}.1f} [{low:.1f}, {high:.1f}]"


def plot(before: Evaluation | None, after: Evaluation, path: Path) -> None:
    """Draw accuracy per language into `path`, SVG or PNG by its suffix, whole or not at all.

    A dot a language with its interval, hollow before and filled after; the anchor's accuracy is a vertical
    line, dashed before.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise InputError(f"a plot is an SVG or PNG file: {path} must end in .svg or .png")
    _check_same_rows(before, after)
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError('plots need matplotlib: pip install "mldata[train]"') from None
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # a user's dark style would hide what is drawn here
        mpl.rcParams["svg.fonttype"] = "none"  # text stays text: it can be searched, and read aloud
        mpl.rcParams["svg.hashsalt"] = "mldata"
        mpl.rcParams["text.parse_math"] = False
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a model's name may be in any script
        figure = Figure(figsize=(8, 1.9 + 0.34 * len(after.languages)), layout="constrained")
        _draw(figure, before, after)
        metadata = {"Date": None} if kind == "svg" else {}
        write_whole(path, lambda file: figure.savefig(file, format=kind, dpi=160, metadata=metadata))


def _draw(figure: Figure, before: Evaluation | None, after: Evaluation) -> None:
    axes = figure.add_subplot()
    places = {found.language: number for number, found in enumerate(after.languages)}
    runs = [(after, AFTER, "accuracy", 0.0)]
    if before is not None:
        runs = [(before, BEFORE, "before", 0.14), (after, AFTER, "after", -0.14)]
    for evaluation, colour, label, height in runs:
        first = label == "before"
        accuracy = [found.accuracy for found in evaluation.languages]
        heights = [height - places[found.language] for found in evaluation.languages]
        low, value, high = ([getattr(found, end) for found in accuracy] for end in ("low", "value", "high"))
        axes.axvline(
            value[0], color=colour, linewidth=1, linestyle="--" if first else "-", alpha=0.7, zorder=1
        )
        axes.hlines(heights, low, high, color=colour, linewidth=1.4, zorder=2)
        dots = axes.scatter(value, heights, s=30, color=colour, linewidth=1.4, zorder=3)
        dots.set(label=f"{label}: {_shortened(evaluation.model)}", facecolor="white" if first else colour)
    axes.set_yticks([-number for number in places.values()], [heading(found) for found in after.languages])
    axes.set_ylim(0.6 - len(places), 0.6)
    axes.set_xlabel(
        f"preference accuracy, % (50 is chance) · bars: 95 % intervals · vertical: {after.anchor}"
    )
    axes.xaxis.grid(True, color="#e3e5e8")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper left", frameon=False)


def heading(found: LanguageFigures) -> str:
    """A language's tag, and whether training left it out."""
    return f"{found.language} (unseen)" if found.unseen else found.language


def _shortened(name: str) -> str:
    """A model's name or path as it fits a plot: the end says more than the start."""
    return name if len(name) <= WIDEST else f"…{name[-WIDEST:]}"
