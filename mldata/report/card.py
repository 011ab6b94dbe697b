"""The set's README.md: the dataset card, from `templates/card.md`.

A card depends on the manifest and the calibration alone: no date, no machine. Every text that comes from data
(names, prompts, reasons) is escaped for Markdown as it enters the template, or stands in a code span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mldata import evidence, given
from mldata.calibration import JUDGED, Calibration, interval, percent
from mldata.evidence import LENGTH_DEVIATION
from mldata.evidence.damage import DAMAGES
from mldata.languages import english_name
from mldata.pages import TEMPLATES
from mldata.recipe import Rule
from mldata.report.front_matter import front_matter, hub_dataset, kept_languages
from mldata.review.verdicts import card_lines
from mldata.shards import CARD, SPLITS, Manifest, read_calibration, read_manifest
from mldata.store import atomic
from mldata.visible import markdown, markdown_code, without_places

PLACE = "path/to/this/set"
"""What a card calls the place of its set; `placed` puts in where it is published."""
UNSEEN = 0.2
"""Share of wrong items accepted in some language, from which a card says that rules don't see such damage."""
COLUMNS = (
    ("concept_id", "which example; all its rows have the same"),
    ("language", "BCP-47 tag"),
    ("is_anchor", "true in the source's own row"),
    ("prompt, chosen, rejected", "the pair: {shape}"),
    ("origin, route, translators", "source or translated; by which languages, and by which engines"),
    ("issues", "what engines had trouble with"),
    ("fields", "the evidence of each text, before it is brought together to the row's"),
    ("source", "the source's other columns, if it has any"),
)
SHAPES = {"strings": "three strings", "messages": "three lists of messages with role and content"}


def render(manifest: Manifest, calibration: Calibration | None = None, sections: Sequence[str] = ()) -> str:
    """The card of a set, with what tightened its thresholds, if anything did.

    `sections` are further lines of Markdown, as they are, before the card's limits.
    """
    if calibration is not None:
        calibration = calibration.among(manifest.targets)
    tags = kept_languages(manifest)
    title = f"{manifest.source.name} in {len(tags)} {'language' if len(tags) == 1 else 'languages'}"
    body = (
        _environment()
        .get_template("card.md")
        .render(
            m=manifest,
            title=title,
            place=Markup(PLACE),
            kept=tags,
            empty=[tag for tag in manifest.targets if tag not in tags],
            rows=sum(f.rows for f in manifest.files if f.split in SPLITS),
            anchor=manifest.languages[manifest.anchor],
            translated=[tag for tag in manifest.targets if manifest.routes[tag] != given.ROUTE],
            columns=_columns(manifest),
            engines=list(dict.fromkeys((e.name, e.version, e.licence) for e in manifest.engines)),
            made_by={
                tag: counts.kept_by for tag, counts in manifest.languages.items() if tag in manifest.retries
            },
            calibration=calibration,
            meanings={damage.name: damage.meaning for damage in DAMAGES}
            | {JUDGED: "rows that reviewers judged major or wrong"},
            kinds=list(dict.fromkeys(k for of in calibration.languages.values() for k in of.damages))
            if calibration
            else [],
            unseen=_unseen(calibration),
            sections=[Markup(line) for line in sections],
            hub_dataset=hub_dataset(manifest),
            key=re.sub(r"[^A-Za-z0-9]+", "-", manifest.source.name).strip("-") or "set",
        )
    )
    return front_matter(manifest, title) + "\n" + body


def write(path: Path) -> None:
    """Write the card of the set at `path` anew, with what reviewers have said of it by now."""
    manifest = read_manifest(path)
    text = render(manifest, read_calibration(path, manifest), card_lines(path))
    with atomic(path / CARD) as temporary:
        temporary.write_text(text, "utf-8")


def placed(card: str, repository: str) -> str:
    """A card that says how to open the set where it is published, at "org/name" of the hub."""
    return card.replace(f"--data {PLACE}", f"--data hf://{repository}").replace(PLACE, repository)


@cache
def _environment() -> jinja2.Environment:
    """Templates of Markdown: every text from data is escaped, but what is marked as ours."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # that is HTML's alone: `_escaped` does for Markdown
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "code": lambda text: Markup(markdown_code(text)),
        "bibtex": lambda text: Markup(re.sub(r"[^\w .,:/-]", "", text)),
        "placeless": without_places,
        "language": english_name,
        "percent": percent,
        "interval": interval,
        "threshold": lambda value: f"{value:g}",
        "own": _own_thresholds,
    }
    return made


def _escaped(value: object) -> object:
    return markdown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _columns(manifest: Manifest) -> list[tuple[str, str]]:
    """Name and meaning of the columns, those of evidence between the texts and what is beside them."""
    shape = SHAPES[manifest.source.shape]
    own = [(name, meaning.format(shape=shape)) for name, meaning in COLUMNS]
    measured = [(column.name, column.meaning) for column in evidence.columns()]
    at = 1 + next(i for i, (name, _) in enumerate(measured) if name == "length_ratio")
    measured.insert(at, (LENGTH_DEVIATION, "how far length_ratio is from the language's median, as |ln|"))
    return [*own[:5], *measured, *own[5:]]


def _unseen(calibration: Calibration | None) -> list[tuple[str, float, float]]:
    """Kinds of damage of which much is accepted, with the least and greatest share over the languages."""
    found: dict[str, list[float]] = {}
    for language in calibration.languages.values() if calibration else ():
        for kind, rates in language.damages.items():
            if language.enough_data and rates.verdict != "too_little_data":
                found.setdefault(kind, []).append(rates.held_out.value)
    return [(kind, min(shares), max(shares)) for kind, shares in found.items() if max(shares) >= UNSEEN]


def _own_thresholds(rule: Rule) -> Any:
    return ", ".join(f"{tag} {value:g}" for tag, value in rule.per_language.items())
