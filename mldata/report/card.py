"""The set's README.md: a dataset card whose YAML lets `datasets.load_dataset(SET)` find the splits."""

from __future__ import annotations

from mldata.calibration import Calibration, interval, percent
from mldata.evidence.damage import DAMAGES
from mldata.recipe import Rule
from mldata.shards import Manifest

_NOTE = (
    "A row may be dropped for several reasons. Flipped: chosen and rejected differ the other way round than "
    "in the source (contrast below zero)."
)


def render(manifest: Manifest, calibration: Calibration | None = None) -> str:
    """The card of a set, with what tightened its thresholds, if anything did."""
    calibrated = _calibration(calibration) if calibration else []
    return "\n".join([*_front_matter(manifest), "", *_body(manifest), *calibrated, *_origin(manifest), ""])


def _front_matter(manifest: Manifest) -> list[str]:
    tags = [manifest.anchor, *manifest.targets]
    lines = ["---", "language:", *(f"- {tag}" for tag in tags)]
    lines += [f"license: {'cc0-1.0' if manifest.licence == 'CC0-1.0' else 'other'}"]
    lines += ["task_categories:", "- text-generation", "tags:", "- preference", "- dpo", "- multilingual"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in sorted({file.split for file in manifest.files if file.rows}, reverse=True):
        if split not in ("train", "test"):
            continue
        lines += [f"  - split: {split}", f"    path: data/{split}-*.arrow"]
    return [*lines, "---"]


def _body(manifest: Manifest) -> list[str]:
    anchor = manifest.languages[manifest.anchor]
    lines = [
        f"# {manifest.source.name} in {len(manifest.targets) + 1} languages",
        "",
        f"{manifest.concepts_kept} of {manifest.source.concepts} preference pairs "
        f"({anchor.train} train, {anchor.test} test), translated from `{manifest.anchor}` and verified. "
        "All rows of a concept stand together in one shard, the anchor first.",
        *_so_far(manifest),
        "",
        "| language | route | measured | flipped | passed | kept | dropped because |",
        "|---|---|---|---|---|---|---|",
    ]
    for tag, counts in manifest.languages.items():
        reasons = ", ".join(f"{name} {number}" for name, number in counts.dropped.items())
        lines.append(
            f"| {tag} | {counts.route} | {counts.concepts} | {counts.flipped} | {counts.passed} | "
            f"{counts.kept} | {reasons} |"
        )
    lines += ["", _NOTE, *_screening(manifest), "", "## Rules", ""]
    lines += [f"- source: {_rule(rule)}" for rule in manifest.recipe.anchor_rules]
    lines += [f"- {_rule(rule)}" for rule in manifest.rules]
    return lines


def _so_far(manifest: Manifest) -> list[str]:
    """What a reader must know of a set whose build wasn't finished."""
    part = manifest.so_far
    if part is None:
        return []
    thresholds = "are the recipe's" if manifest.calibration is None else "were calibrated on what was done"
    return [
        "",
        f"**Partial**: the build wasn't finished. This is {part.chunks} of {part.of} chunks, "
        f"{part.concepts} of {manifest.source.concepts} source concepts; thresholds {thresholds} "
        f"({part.sampled} of {part.of_sampled} sampled chunks). The finished set differs.",
    ]


def _calibration(calibration: Calibration) -> list[str]:
    """False accepts per language and kind of damage, and the rows that they cost."""
    languages = calibration.languages
    meanings = {damage.name: damage.meaning for damage in DAMAGES}
    damages = {kind: None for language in languages.values() for kind in language.damages}
    lines = [
        "",
        "## Calibration",
        "",
        "Thresholds were tightened so that, as far as rules can, of the wrong items of each kind made of "
        f"{calibration.concepts} of this set's own concepts, at most {percent(calibration.false_accept)} "
        f"are accepted, at a cost of at most {percent(calibration.max_loss)} of a language's passing rows. "
        "Shares are of concepts that had no part in finding the thresholds, with 95 % Wilson intervals. "
        f"Kinds with fewer than {calibration.min_items} items (too few) had no say, and languages with fewer "
        f"than {calibration.min_rows} passing rows keep the recipe's thresholds.",
        "",
        f"| damage | {' | '.join(languages)} |",
        f"|---|{'---|' * len(languages)}",
        f"| rows kept | {' | '.join(interval(language.held_out_kept) for language in languages.values())} |",
    ]
    for kind in damages:
        cells = []
        for language in languages.values():
            rates = language.damages[kind]
            few = " (too few)" if rates.verdict == "too_little_data" else ""
            cells.append(f"{interval(rates.held_out)}{few}")
        lines.append(f"| {kind}: {meanings.get(kind, '')} | {' | '.join(cells)} |")
    return lines


def _origin(manifest: Manifest) -> list[str]:
    lines = ["", "## Engines", "", "| engine | version | licence |", "|---|---|---|"]
    lines += [f"| {engine.name} | {engine.version} | {engine.licence} |" for engine in manifest.engines]
    made_by = {tag: counts.kept_by for tag, counts in manifest.languages.items() if tag in manifest.retries}
    if made_by:
        lines += ["", "Other engines tried rows again. Kept rows, by who made them:", ""]
    for tag, by in made_by.items():
        lines.append(f"- {tag}: {', '.join(f'{names} {number}' for names, number in by.items()) or 'none'}")
    lines += [
        "",
        f"Licence: {manifest.licence}.",
        f"Made with mldata {manifest.mldata}, recipe `{manifest.recipe.name}`.",
    ]
    return lines


def _screening(manifest: Manifest) -> list[str]:
    """Near-duplicates and leaks, as far as they were looked for."""
    near, leaks, policy = manifest.near_duplicates, manifest.contamination, manifest.select
    lines = ["", "## Near-duplicates and leaks", ""]
    if near is None:
        lines += ["Near-duplicates weren't looked for."]
    else:
        fate = "dropped" if policy.near_duplicates == "drop" else "kept, all of a group in one split"
        lines += [
            f"{near.concepts} concepts repeat another but for a word here and there (Jaccard similarity of "
            f"runs of {near.run} from {policy.near_duplicate_threshold:g}), in {near.groups} groups: {fate}.",
            *([""] if near.largest else []),
            *(f"- {of.concepts} concepts as `{of.first}`: `{of.prompt}`" for of in near.largest),
        ]
    if leaks is None:
        return [*lines, "", "Not compared with any evaluation texts."]
    return [
        *lines,
        "",
        f"{leaks.concepts} concepts were dropped because they hold {policy.contamination_overlap:.0%} of an "
        f"evaluation text or more, in shared runs of {leaks.run}:",
        "",
        *(f"- {of.given}: {of.texts} texts, {of.concepts} concepts" for of in leaks.evaluations),
    ]


def _rule(rule: Rule) -> str:
    own = ", ".join(f"{tag} {value:g}" for tag, value in rule.per_language.items())
    reason = f": {rule.because}" if rule.because else ""
    return f"`{rule.when}`{f' ({own})' if own else ''} ({rule.name}){reason}"
