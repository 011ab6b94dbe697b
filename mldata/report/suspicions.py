"""What a person should know before he trusts a set: what is unusual in its manifest and calibration, as
sentences, the gravest first."""

from __future__ import annotations

from mldata.calibration import Calibration, percent
from mldata.shards import LanguageCounts, Manifest

FEW = 0.5
"""Share of a language's measured rows below which that few are kept is worth a word."""
FLIPPED = 0.01
"""Share of rows whose pair differs the other way round that is worth a word."""


def suspicious(manifest: Manifest, calibration: Calibration | None) -> list[str]:
    """Sentences; none where nothing is."""
    return [
        *_partial(manifest),
        *_kept(manifest),
        *_published(manifest),
        *_source(manifest),
        *_flipped(manifest),
        *_calibration(manifest, calibration),
        *_screening(manifest),
        *_unmeasured(manifest),
    ]


def _kept(manifest: Manifest) -> list[str]:
    if not manifest.concepts_kept:
        return ["The set is empty: no concept was kept."]
    said = []
    targets = {tag: manifest.languages[tag] for tag in manifest.targets}
    none = [tag for tag, counts in targets.items() if counts.concepts and not counts.kept]
    few = {tag: counts for tag, counts in targets.items() if 0 < counts.kept < FEW * counts.concepts}
    if none:
        said.append(f"No row was kept in {_each(none, targets)}.")
    if few:
        kept = [f"{tag} {of.kept / of.concepts:.0%}" for tag, of in few.items()]
        said.append(f"Less than half of the rows were kept in {', '.join(kept)}.")
    if not manifest.languages[manifest.anchor].test:
        said.append("The test split is empty.")
    return said


def _each(tags: list[str], targets: dict[str, LanguageCounts]) -> str:
    most = [next(iter(targets[tag].dropped), "") for tag in tags]
    named = [f"{tag} ({reason})" if reason else tag for tag, reason in zip(tags, most, strict=True)]
    return ", ".join(named)


def _partial(manifest: Manifest) -> list[str]:
    part = manifest.so_far
    if part is None:
        return []
    return [
        f"The set is partial: its build had done {part.chunks} of {part.of} chunks, {part.concepts} of "
        f"{manifest.source.concepts} concepts. The finished set differs."
    ]


def _published(manifest: Manifest) -> list[str]:
    if not manifest.unpublished:
        return []
    return ["The dropped rows weren't published: medians and plots are of the kept rows alone."]


def _source(manifest: Manifest) -> list[str]:
    source = manifest.source
    said = []
    if source.unreadable:
        said.append(
            f"{source.unreadable} of {source.rows} rows of the source couldn't be read; they are in "
            "dropped/unreadable.arrow with the reasons."
        )
    return said


def _flipped(manifest: Manifest) -> list[str]:
    found = {
        tag: counts.flipped / counts.concepts
        for tag in manifest.targets
        if (counts := manifest.languages[tag]).concepts and counts.flipped >= FLIPPED * counts.concepts
    }
    if not found or not any(found.values()):
        return []
    each = ", ".join(f"{tag} {share:.1%}" for tag, share in found.items() if share)
    guarded = any(rule.column == "contrast" for rule in manifest.rules)
    end = "the rule on contrast drops them." if guarded else "no rule looks at contrast: some may be kept."
    return [f"Chosen and rejected differ the other way round than in the source in {each} of the rows; {end}"]


def _calibration(manifest: Manifest, calibration: Calibration | None) -> list[str]:
    if calibration is None:
        return ["No threshold was calibrated on this data: the false-accept rate isn't known."]
    said = []
    few = [tag for tag in manifest.targets if tag in calibration.languages]
    few = [tag for tag in few if not calibration.languages[tag].enough_data]
    missed = {
        kind: [tag for tag in tags if tag in manifest.targets]
        for kind, tags in calibration.of_verdict("not_reached").items()
    }
    missed = {kind: tags for kind, tags in missed.items() if tags}
    if missed:
        kinds = [
            f"{kind} ({len(tags)} languages)" if len(tags) > 3 else f"{kind} ({' '.join(tags)})"
            for kind, tags in missed.items()
        ]
        said.append(
            f"More than {percent(calibration.false_accept)} of wrong items are accepted for some kinds of "
            f"damage: {', '.join(kinds)}."
        )
    if few:
        said.append(
            f"Too little data to calibrate {' '.join(few)}: fewer than {calibration.min_rows} rows pass, and "
            "the recipe's thresholds hold."
        )
    return said


def _screening(manifest: Manifest) -> list[str]:
    near, leaks = manifest.near_duplicates, manifest.contamination
    said = []
    if near is None:
        said.append("Near-duplicates weren't looked for.")
    elif near.concepts and manifest.select.near_duplicates != "drop":
        said.append(f"{near.concepts} concepts nearly repeat another, and are kept in one split with it.")
    if leaks is None:
        said.append("The set wasn't compared with any evaluation texts: leaks aren't ruled out.")
    return said


def _unmeasured(manifest: Manifest) -> list[str]:
    """Rules that said nothing of most rows of a language, unless that is so by nature (a direct route)."""
    said = []
    for rule in manifest.rules:
        if rule.column == "pivot_words":
            continue
        blind = [
            tag
            for tag in manifest.targets
            if (counts := manifest.languages[tag]).concepts
            and counts.unmeasured.get(rule.name, 0) > FEW * counts.concepts
        ]
        if blind:
            where = "all languages" if len(blind) == len(manifest.targets) else " ".join(blind)
            said.append(f"The rule {rule.name} had nothing to measure in most rows of {where}.")
    return said
