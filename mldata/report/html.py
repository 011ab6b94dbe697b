"""report.html: what a person needs to decide whether to train on a set, in one file that needs nothing else.

All of it comes from the set's own files, but for the back-translations, which the work store has, and what
reviewers said. The page holds no script, and its policy forbids any; every text of data goes through
`visible` and is escaped. The report is derived: it isn't in the manifest, and any set can be given one anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mldata import inspection, pages
from mldata.amounts import duration, size
from mldata.calibration import Calibration, direction, interval, percent
from mldata.errors import InputError
from mldata.evidence.damage import DAMAGES
from mldata.languages import language
from mldata.recipe import Rule, parse_comparison
from mldata.report.counts import Groups, Reasons, groups, lengths, reasons
from mldata.report.examples import examples
from mldata.report.spreads import MEANINGS, Spread, Spreads, spreads
from mldata.report.suspicions import suspicious
from mldata.review.journal import VERDICTS
from mldata.review.verdicts import FLATTERED, as_text, verdicts
from mldata.shards import REPORT, EngineFacts, Manifest, read_calibration, read_manifest, read_run
from mldata.store import atomic

MANY = 30
"""Languages from which on long parts of the page are folded, and fewer examples are shown."""
MOST_PAIRED = 16
"""Languages that are shown with one another; of more, the pairs that share least."""
SHOWN_MEDIANS = ("similarity_min", "back_chrf", "contrast", "language_score")
COMBINATIONS = 12
"""Combinations of reasons that are shown."""
_OPERATOR = {">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}
_NAME = re.compile(r"[^>,\s]+")


def write(path: Path, out: Path | None = None) -> Path:
    """Write the report of the set at `path` into it, or to the file `out`; gives the file's path.

    InputError where there is no set, SetError where its files can't be read.
    """
    manifest = read_manifest(path)
    with inspection.readable(path):
        text = render(path, manifest, read_run(path))
    file = out if out is not None else path / REPORT
    if file.is_dir():
        raise InputError(f"{file} is a directory: name the file that --out writes")
    with atomic(file) as temporary:
        temporary.write_text(text, "utf-8")
    return file


def render(path: Path, manifest: Manifest, run: Mapping[str, Any], *, show_dropped: bool = True) -> str:
    """The page. `run` is what run.json says of machine and command, nothing where that isn't to be told;
    `show_dropped` gives texts of dropped rows as examples."""
    each = 3 if len(manifest.targets) <= MANY // 2 else 2 if len(manifest.targets) <= MANY else 1
    found = spreads(path, manifest, each)
    found_by = read_calibration(path, manifest)
    calibration = found_by.among(manifest.targets) if found_by else None
    why = reasons(path, manifest)
    kept = examples(path, manifest, found.worst_kept)
    dropped = examples(path, manifest, found.best_dropped) if show_dropped else {}
    people = verdicts(path)
    text: str = _template().render(
        manifest=manifest,
        anchor=manifest.languages[manifest.anchor],
        names={tag: _name(tag) for tag in manifest.languages},
        kept_tags=[tag for tag, counts in manifest.languages.items() if counts.kept],
        many=len(manifest.targets) > MANY,
        rows=sum(counts.kept for counts in manifest.languages.values()),
        translated=sum(manifest.languages[tag].kept for tag in manifest.targets),
        measured=sum(manifest.languages[tag].concepts for tag in manifest.targets),
        bytes=sum(file.bytes for file in manifest.files if file.split in ("train", "test")),
        shards=sum(file.split in ("train", "test") for file in manifest.files),
        suspicious=suspicious(manifest, calibration),
        run=run,
        seconds=_seconds(run),
        licences={tag: _licences(manifest, tag) for tag in manifest.targets},
        medians=found.medians,
        shown_medians=[name for name in SHOWN_MEDIANS if found.medians.get(name)],
        drawn=_drawn(found, manifest),
        steps=_steps(manifest),
        because=_because(manifest),
        removed={tag: why.removed(tag) for tag in (None, *manifest.targets)},
        together=_together(why, manifest),
        combinations=COMBINATIONS,
        matrix=_matrix(manifest),
        median_matrix=_median_matrix(found, manifest),
        meanings=MEANINGS,
        calibration=calibration,
        accepted=_accepted(calibration),
        damages={damage.name: damage.meaning for damage in DAMAGES},
        completeness=groups(path, manifest) if manifest.concepts_kept else None,
        paired=_paired,
        lengths=lengths(path, manifest),
        examples=[
            (tag, kept.get(tag, []), dropped.get(tag, []))
            for tag in manifest.targets
            if tag in kept or tag in dropped
        ],
        has_back=any(one.came_back for some in (*kept.values(), *dropped.values()) for one in some),
        judged={tag: of for tag, of in people.languages.items() if of.rows},
        verdict_names=VERDICTS,
        flattered=FLATTERED if people.calibrated else "",
        engines=_engines(manifest.engines),
    )
    return text


@cache
def _template() -> Any:
    """The template with what it formats numbers by."""
    environment = pages.environment().overlay()
    environment.filters |= {
        "count": lambda number: f"{number:,}".replace(",", "\u202f"),
        "share": share,
        "number": number,
        "duration": duration,
        "size": size,
        "percent": percent,
        "interval": interval,
        "brief": brief,
        "rule": said,
        "bound": bound,
        "estimate": as_text,
    }
    return environment.get_template("report.html")


def share(part: float, whole: float) -> str:
    """12 %, 0.4 %; a dash for a share of nothing. Never 100 % or 0 % of what is only nearly so."""
    if not whole:
        return "–"
    value = 100 * part / whole
    if 0 < value < 1 or 99 < value < 100:
        return f"{min(99.9, max(0.1, value)):.1f} %"
    return f"{value:.0f} %"


def number(value: float | None) -> str:
    """A value of evidence with as many digits as say something; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.4g}"


def brief(value: float | None) -> str:
    """As `number`, for tables: three digits."""
    if value is None:
        return "–"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def bound(rule: Rule, tag: str) -> str:
    """≥ 0.81: what a rule asks for in a language."""
    return said(rule, tag).removeprefix(rule.column).strip()


def said(rule: Rule, tag: str | None = None) -> str:
    """similarity ≥ 0.8: a rule as people write it, with the language's value if one is named."""
    column, comparison, value = parse_comparison(rule.when)
    threshold = rule.threshold(tag) if tag is not None else None
    if threshold is not None and not isinstance(threshold, bool):
        value = f"{threshold:g}"
    return f"{column} {_OPERATOR.get(comparison, comparison)} {value}"


def _name(tag: str) -> str:
    return language(tag).name


def _seconds(run: Mapping[str, Any]) -> Mapping[str, float]:
    found = run.get("seconds_by_language")
    return found if isinstance(found, dict) else {}


def _licences(manifest: Manifest, tag: str) -> list[str]:
    """Of the engines that translate into a language, in the first attempt and further ones."""
    by = [manifest.translators.get(tag, ""), *(retry.translators for retry in manifest.retries.get(tag, ()))]
    names = {name for said in by for name in _NAME.findall(said)}
    return sorted({engine.licence for engine in manifest.engines if engine.name in names})


@dataclass(frozen=True)
class Drawing:
    """The plot of an evidence column."""

    spread: Spread
    svg: Markup
    thresholds: list[tuple[str, list[tuple[str, str]]]]
    """A rule, and the languages that have a value of their own."""


@dataclass(frozen=True)
class Drawn:
    """All plots of evidence."""

    ruled: list[Drawing]
    others: list[Drawing]
    same: list[tuple[str, float]]
    """Columns that have one value in all rows, which is no plot."""


def _drawn(found: Spreads, manifest: Manifest) -> Drawn:
    from mldata.report import plots  # matplotlib

    made = Drawn([], [], [])
    for place, spread in enumerate(found.columns):
        total = np.sum([*spread.kept.values(), *spread.dropped.values()], axis=0)
        values = set(found.medians[spread.name].values())
        if np.count_nonzero(total) == 1 and len(values) == 1:
            made.same.append((spread.name, values.pop()))
            continue
        own = [(said(rule), _own(rule, manifest.targets)) for rule in spread.rules]
        svg = plots.distribution(spread, manifest.targets, f"evidence-{place}")
        (made.ruled if spread.rules else made.others).append(Drawing(spread, Markup(svg), own))
    return made


def _own(rule: Rule, targets: Sequence[str]) -> list[tuple[str, str]]:
    """Languages in which a rule has another threshold, and that."""
    everywhere = rule.threshold("")
    return [(tag, f"{value:g}") for tag in targets if (value := rule.threshold(tag)) != everywhere]


def _accepted(calibration: Calibration | None) -> list[tuple[str, Markup]]:
    """A plot for each kind of wrong item."""
    if calibration is None or not any(of.enough_data for of in calibration.languages.values()):
        return []
    from mldata.report import plots

    kinds = {kind: None for of in calibration.languages.values() for kind in of.damages}
    told = {tag: of for tag, of in calibration.languages.items() if of.enough_data}
    return [
        (kind, Markup(plots.false_accepts(kind, told, calibration.false_accept, f"wrong-{place}")))
        for place, kind in enumerate(kinds)
        if any(of.damages[kind].held_out.of for of in told.values() if kind in of.damages)
    ]


@dataclass(frozen=True)
class Step:
    """What was there or taken away on the way from the source's rows to the set's."""

    what: str
    rows: int
    taken: bool = False


def _steps(manifest: Manifest) -> list[Step]:
    """From rows read to concepts kept. A concept may be taken for several reasons."""
    source = manifest.source
    why = _because(manifest)
    steps = [Step("rows read", source.rows)]
    steps += [Step("could not be read, or hold no usable pair", source.unreadable, True)]
    steps += [Step("repeat an earlier row exactly", source.duplicates, True)]
    steps += [Step("concepts", source.concepts)]
    dropped = manifest.languages[manifest.anchor].dropped
    steps += [Step(f"{name}: {why.get(name, '')}", rows, True) for name, rows in dropped.items()]
    return [*steps, Step("concepts kept", manifest.concepts_kept)]


def _because(manifest: Manifest) -> dict[str, str]:
    """Reason -> what it means."""
    from mldata.selection import NOT_KEPT

    rules = [*manifest.recipe.anchor_rules, *manifest.rules]
    return {rule.name: rule.because or said(rule) for rule in rules} | NOT_KEPT


def _together(why: Reasons, manifest: Manifest) -> dict[str | None, list[tuple[tuple[str, ...], int]]]:
    """The most frequent combinations of several reasons, of all languages (None) and of each."""
    asked: list[str | None] = [None, *manifest.targets]
    return {
        tag: [(names, rows) for names, rows in why.together(tag).items() if len(names) > 1][:COMBINATIONS]
        for tag in asked
    }


def _matrix(manifest: Manifest) -> list[tuple[str, list[tuple[float | None, int]]]]:
    """Rule -> per target the share of measured rows that break it, and how strongly to tint it (0 to 5)."""
    made = []
    for rule in manifest.rules:
        cells: list[tuple[float | None, int]] = []
        for tag in manifest.targets:
            counts = manifest.languages[tag]
            broken = counts.dropped.get(rule.name, 0) / counts.concepts if counts.concepts else None
            cells.append((broken, _tint(broken)))
        made.append((rule.name, cells))
    return [row for row in made if any(value for value, _ in row[1])]


def _tint(broken: float | None) -> int:
    return 0 if not broken else int(np.searchsorted([0.02, 0.05, 0.15, 0.4], broken, "right")) + 1


def _median_matrix(found: Spreads, manifest: Manifest) -> list[tuple[str, list[tuple[float | None, int]]]]:
    """Evidence -> per target its median, tinted (0 to 5) by how much of the way from the best language's
    median to its own threshold it has gone; of what is true or false, by the share that is false."""
    rules = {rule.column: rule for rule in manifest.rules}
    made = []
    for name, medians in found.medians.items():
        there = [medians[tag] for tag in manifest.targets if tag in medians]
        cells: list[tuple[float | None, int]] = []
        for tag in manifest.targets:
            value, rule = medians.get(tag), rules.get(name)
            tint = 0
            if value is not None and rule is not None and rule.threshold(tag) is True:
                tint = _tint(1 - value)
            elif value is not None and rule is not None and (better := direction(rule)):
                best = max(there) if better > 0 else min(there)
                gone, whole = (best - value) * better, (best - float(rule.threshold(tag))) * better
                tint = int(np.ceil(5 * min(1.0, gone / whole) - 0.5)) if whole > 0 else 5 * (gone > 0)
            cells.append((value, tint))
        made.append((name, cells))
    return made


def _paired(manifest: Manifest, of: Groups) -> tuple[bool, list[tuple[str, str, int]]]:
    """Whether all pairs of languages are few enough to be shown, and those that share least."""
    tags = [tag for tag in manifest.targets if manifest.languages[tag].kept]
    place = {tag: number for number, tag in enumerate(manifest.targets)}
    pairs = [
        (one, other, int(of.pairs[place[one], place[other]]))
        for number, one in enumerate(tags)
        for other in tags[number + 1 :]
    ]
    return len(tags) <= MOST_PAIRED, sorted(pairs, key=lambda pair: pair[2])[:10]


def _engines(engines: Sequence[EngineFacts]) -> dict[tuple[str, str, bool | None], list[EngineFacts]]:
    """By name, licence and whether it may be used commercially, in order."""
    made: dict[tuple[str, str, bool | None], list[EngineFacts]] = {}
    for engine in engines:
        made.setdefault((engine.name, engine.licence, engine.commercial), []).append(engine)
    return made
