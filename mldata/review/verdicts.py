"""What reviewers' verdicts say of a set: how many of its rows are right, what its rules cost, who agrees.

Only verdicts on texts that the set still has count: a row that was translated again needs a new one. Whether
a row is kept or dropped is looked up in the set as it is now.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from mldata import inspection
from mldata.calibration import wilson
from mldata.concepts import FIELDS
from mldata.errors import InputError, in_shell
from mldata.recipe import Rule
from mldata.review.journal import VERDICTS, Line, Verdict, latest, read
from mldata.review.sampling import STRATA, digest
from mldata.shards import Manifest, read_calibration, read_manifest

RIGHT: frozenset[Verdict] = frozenset(("adequate", "minor"))
"""Verdicts under which a row is right: the meaning is whole."""


FLATTERED = (
    "Thresholds were tightened on these verdicts, too, which flatters the set: by rows that had no part in "
    "it, fewer would be right."
)


@dataclass(frozen=True)
class Precision:
    """The share of rows that are right, of *all* a language's rows of one kind; see `estimate`."""

    value: float
    low: float
    high: float
    """The 95 % interval."""
    judged: int
    """Rows judged, each once, however many reviewers judged it."""


@dataclass(frozen=True)
class Judged:
    """One row and all that was said of it."""

    lines: tuple[Line, ...]
    """The last line of each reviewer; one at least."""
    kept: bool
    broken: tuple[str, ...]
    """Rules that the row breaks. One that is dropped and breaks none went with its concept, as by the group
    policy: it is neither among the kept rows nor among those that rules cost."""

    @property
    def right(self) -> float:
        """Share of its reviewers who find it right."""
        return sum(line.verdict in RIGHT for line in self.lines) / len(self.lines)


@dataclass(frozen=True)
class Agreement:
    """Two reviewers on the rows that both judged."""

    reviewers: tuple[str, str]
    rows: int
    same: float
    """Share of rows with the same verdict of the four."""
    both: float
    """Share of rows that both find right, or both not."""
    kappa: float | None
    """Cohen's kappa of the four verdicts; None where chance alone would let them agree on all."""


@dataclass(frozen=True)
class LanguageVerdicts:
    """What is known of one language."""

    language: str
    kept: Precision | None
    """Of the kept rows; None where none is judged."""
    dropped: Precision | None
    """Of the rows that rules dropped: the share of them that was right is what the rules cost."""
    counts: Mapping[Verdict, int]
    """Verdicts, of all reviewers."""
    reviewers: tuple[str, ...]
    rows: int
    """Rows judged, kept or dropped."""
    outdated: int
    """Verdicts on texts that the set no longer has."""
    agreements: tuple[Agreement, ...]
    rules: Mapping[str, tuple[int, int]]
    """Rule -> of the judged rows it dropped, alone or with others: how many, and how many were right."""
    misses: Mapping[str, int]
    """Rule -> kept rows judged not right to whose threshold no other was nearer; "" where none has any."""


@dataclass(frozen=True)
class Verdicts:
    """All that is known of a set."""

    languages: Mapping[str, LanguageVerdicts]
    """Those with verdicts, in the set's order."""
    unreadable: Mapping[Path, int]
    """File -> lines that can't be read and don't count."""
    calibrated: bool
    """Verdicts had a part in the set's thresholds (`mldata calibrate --verdicts`): its precision by the same
    verdicts is better than it would be by others."""


def precision(path: Path) -> dict[str, Precision]:
    """Language -> share of right rows among its kept ones, by reviewers; {} where there are no verdicts."""
    return {tag: found.kept for tag, found in verdicts(path).languages.items() if found.kept is not None}


def verdicts(path: Path) -> Verdicts:
    """All that reviewers of the set at `path` said, as far as it holds for the set as it is."""
    journals = read(path)
    manifest = read_manifest(path)
    by_language: dict[str, list[Line]] = defaultdict(list)
    for line in latest(journals.lines).values():
        by_language[line.language].append(line)
    calibration = read_calibration(path, manifest)
    calibrated = calibration is not None and calibration.min_judged is not None
    if not by_language:
        return Verdicts({}, journals.unreadable, calibrated)
    current = _current(path, manifest, {line.concept_id for lines in by_language.values() for line in lines})
    languages = {
        tag: _language(tag, by_language[tag], current, manifest.rules)
        for tag in manifest.targets
        if tag in by_language
    }
    return Verdicts(languages, journals.unreadable, calibrated)


def not_right(path: Path, rules: Sequence[Rule]) -> dict[str, pl.DataFrame]:
    """Language -> its rows, kept or dropped, that most of their reviewers judged major or wrong, with
    concept_id and what the rules look at; InputError where nothing is judged."""
    manifest = read_manifest(path)
    lines = list(latest(read(path).lines).values())
    if not lines:
        raise InputError(f"nothing in {path} is judged yet: begin with `mldata review {in_shell(path)}`")
    current = _current(path, manifest, {line.concept_id for line in lines})
    judged = _rows(lines, current, manifest.rules)
    mine = {(concept, tag) for (concept, tag, _), row in judged.items() if row.right < 0.5}
    concepts = {concept for concept, _ in mine}
    columns = list(dict.fromkeys(["concept_id", *(rule.column for rule in rules)]))
    of_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in inspection.rows_of(path, manifest, concepts, columns):
        if (row["concept_id"], row["language"]) in mine:
            of_language[row["language"]].append(row)
    kinds = inspection.kept_rows(path, manifest).collect_schema()
    schema = {name: kinds[name] for name in columns}
    return {tag: pl.DataFrame(rows, schema) for tag, rows in of_language.items()}


def _rows(
    lines: Iterable[Line], current: Mapping[tuple[str, str, str], tuple[str, ...]], rules: Sequence[Rule]
) -> dict[tuple[str, str, str], Judged]:
    """What is judged, as far as the set still has it."""
    names = {rule.name for rule in rules}
    by_row: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.key in current:
            by_row[line.key].append(line)
    return {
        key: Judged(
            tuple(said),
            kept=not current[key],
            broken=tuple(reason for reason in current[key] if reason in names),
        )
        for key, said in by_row.items()
    }


def _current(
    path: Path, manifest: Manifest, concepts: Iterable[str]
) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """Concept, language and digest of the concepts' rows, kept and dropped -> reasons."""
    with inspection.readable(path):
        rows = list(inspection.rows_of(path, manifest, concepts, FIELDS))
    sources = {row["concept_id"]: inspection.texts(row) for row in rows if row["language"] == manifest.anchor}
    return {
        (concept, row["language"], digest(sources[concept], inspection.texts(row))): tuple(row["reasons"])
        for row in rows
        for concept in [row["concept_id"]]
        if concept in sources
    }


def _language(
    tag: str,
    lines: Sequence[Line],
    current: Mapping[tuple[str, str, str], tuple[str, ...]],
    rules: Sequence[Rule],
) -> LanguageVerdicts:
    rows = list(_rows(lines, current, rules).values())
    counts = Counter(line.verdict for row in rows for line in row.lines)
    return LanguageVerdicts(
        language=tag,
        kept=estimate(rows, kept=True),
        dropped=estimate(rows, kept=False),
        counts={verdict: counts[verdict] for verdict in VERDICTS},
        reviewers=tuple(sorted({line.reviewer for row in rows for line in row.lines})),
        rows=len(rows),
        outdated=sum(line.key not in current for line in lines),
        agreements=tuple(_agreements(rows)),
        rules=_rules(rows),
        misses=dict(Counter(_near(row) for row in rows if row.kept and row.right <= 0.5).most_common()),
    )


def estimate(rows: Sequence[Judged], *, kept: bool) -> Precision | None:
    """The share of right rows among all rows of a language that are kept, or that rules dropped; None where
    none is judged.

    A row stands for as many as its stratum has a judged row: w = (rows of the stratum) / (judged in it), and
    the share is the weighted mean of what its reviewers find, sum(w right) / sum(w) over the rows that are
    kept (J. Hájek, Comment on "An essay on the logical foundations of survey sampling", in V. Godambe and
    D. Sprott: Foundations of Statistical Inference, 1971). The interval is Wilson's for the effective number
    of rows (sum w)² / sum(w²) (L. Kish: Survey Sampling, 1965, section 11.7), as is usual for shares in
    complex samples (N. Dean and M. Pagano, Journal of Survey Statistics and Methodology 3 (2015), 484-503).
    Over two strata of 20 rows it holds the true share in 92 to 99 % of samples, 96 % on average (computed
    for shares from 30 to 100 %). As long as no row of a stratum is judged, the interval is widened by all
    that it may hold.
    """
    newest: dict[str, Line] = {}
    judged: Counter[str] = Counter()
    for row in rows:
        line = max(row.lines, key=lambda line: line.time)
        judged[line.draw.stratum] += 1
        if line.draw.stratum not in newest or line.time > newest[line.draw.stratum].time:
            newest[line.draw.stratum] = line
    sizes = {stratum: line.draw.rows for stratum, line in newest.items()}
    mine = [row for row in rows if (row.kept if kept else row.broken)]
    if not mine:
        return None
    strata = [max(row.lines, key=lambda line: line.time).draw.stratum for row in mine]
    weights = [sizes[stratum] / judged[stratum] for stratum in strata]
    total = sum(weights)
    value = sum(weight * row.right for weight, row in zip(weights, mine, strict=True)) / total
    low, high = wilson(value, total**2 / sum(weight**2 for weight in weights))
    covered = _covered("kept" if kept else "dropped", newest)
    low, high = covered * low, covered * high + 1 - covered
    return Precision(round(value, 6), round(low, 6), round(high, 6), len(mine))


def _covered(fate: str, newest: Mapping[str, Line]) -> float:
    """The share of the rows of a kind whose strata have judged rows."""
    mine = [line.draw for stratum, line in newest.items() if stratum.startswith(fate)]
    if not mine or len(mine) == sum(stratum.startswith(fate) for stratum in STRATA):
        return 1.0
    return min(1.0, sum(draw.rows for draw in mine) / max(draw.fate for draw in mine))


def _agreements(rows: Sequence[Judged]) -> Iterator[Agreement]:
    """Each two reviewers with rows in common.

    J. Cohen: A coefficient of agreement for nominal scales. Educational and Psychological Measurement 20
    (1960), 37-46.
    """
    pairs: dict[tuple[str, str], list[tuple[Verdict | None, Verdict | None]]] = defaultdict(list)
    for row in rows:
        for one, other in combinations(sorted(row.lines, key=lambda line: line.reviewer), 2):
            pairs[one.reviewer, other.reviewer].append((one.verdict, other.verdict))
    for reviewers, said in sorted(pairs.items()):
        size = len(said)
        same = sum(one == other for one, other in said) / size
        both = sum((one in RIGHT) == (other in RIGHT) for one, other in said) / size
        of_one, of_other = Counter(one for one, _ in said), Counter(other for _, other in said)
        chance = sum(of_one[verdict] * of_other[verdict] for verdict in VERDICTS) / size**2
        kappa = round((same - chance) / (1 - chance), 4) if chance < 1 else None
        yield Agreement(reviewers, size, round(same, 4), round(both, 4), kappa)


def _rules(rows: Sequence[Judged]) -> dict[str, tuple[int, int]]:
    """Most right rows first. A row on which reviewers are divided isn't right."""
    dropped = Counter(rule for row in rows for rule in row.broken)
    right = Counter(rule for row in rows for rule in row.broken if row.right > 0.5)
    ordered = sorted(dropped, key=lambda rule: (-right[rule], -dropped[rule], rule))
    return {rule: (dropped[rule], right[rule]) for rule in ordered}


def _near(row: Judged) -> str:
    return max(row.lines, key=lambda line: line.time).draw.nearest


def card_lines(path: Path) -> list[str]:
    """A section of the dataset card in Markdown; [] where nothing is judged."""
    found = verdicts(path)
    if not any(language.rows for language in found.languages.values()):
        return []
    lines = [
        "## Judged by native speakers",
        "",
        "Share of right rows (adequate, or with minor slips that leave the meaning whole) among all kept "
        "rows, and among the rows that rules dropped, with 95 % intervals: estimated from rows drawn at "
        "random from those near a threshold and those far from it, which reviewers judged without knowing "
        "whether they were kept." + (" " + FLATTERED if found.calibrated else ""),
        "",
        "| language | kept rows right | judged | dropped rows right | judged | reviewers | kappa |",
        "|---|---|---|---|---|---|---|",
    ]
    for tag, language in found.languages.items():
        if not language.rows:
            continue
        cells = [tag]
        for share in (language.kept, language.dropped):
            cells += [as_text(share), str(share.judged if share else 0)]
        kappas = ", ".join("–" if a.kappa is None else f"{a.kappa:.2f}" for a in language.agreements)
        cells += [str(len(language.reviewers)), kappas or "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def as_text(share: Precision | None) -> str:
    """91.2 % (83.4–95.6): a share with its interval; a dash for none."""
    if share is None:
        return "–"
    return f"{100 * share.value:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f})"
