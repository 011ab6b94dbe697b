"""The end of a build: one page of plain text that says all of it, to read, and to paste into a ticket.

What was made, by which version and command, what was kept in each language and why the rest wasn't, what
may need looking into, what it took, where things are, and what to do next. No frames, no wide lines: of the
reasons the most frequent are named and all are in manifest.json.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mldata.amounts import duration, size
from mldata.calibration import FILE, Calibration, percent
from mldata.cli import messages
from mldata.cli.screen import console
from mldata.shards import REPORT, Manifest, read_calibration, read_run
from mldata.translate.answers import spent
from mldata.visible import visible

REASONS = 4
"""Reasons named a language; all are in the manifest."""
FEW = 0.5
"""A language of which less than this share of rows is kept is named in the warnings."""
LABEL = 12
"""Columns of a name and its colon."""


def summary(manifest: Manifest, path: Path) -> None:
    """Print it, or write it as events where a program listens."""
    found_by = read_calibration(path, manifest)
    calibration = found_by.among(manifest.targets) if found_by else None
    run = read_run(path)
    found = dict(warnings(manifest, calibration))
    for kind, text in found.items():
        messages.warning(kind, text)
    messages.event("done", **_fields(manifest, path, run))
    messages.made(path)
    if not messages.for_people():
        return
    _say(f"mldata {manifest.mldata} · {_command(run)}")
    _say("")
    for line in _languages(manifest):
        _say(line)
    _say("")
    _print(_so_far(manifest))
    _print({**_contents(manifest), **({"thresholds": calibrated(calibration)} if calibration else {})})
    _print(_screening(manifest))
    if found:
        _print({"look into": [_Prose(text) for text in found.values()]})
    _say("")
    _print({**_places(manifest, path), **_took(run), **_next(manifest, path)})


class _Prose(str):
    """A line that is filled to the screen's width; others are for pasting, and stay whole."""


def verdict(calibration: Calibration) -> None:
    """Whose thresholds were calibrated, to what, and where that wasn't reached."""
    missed = _not_reached(calibration)
    _print({"thresholds": [*calibrated(calibration), *([_Prose(missed)] if missed else [])]})


def requests(work: Path) -> None:
    """What chat servers were asked for this work store in all, if any were."""
    for name, used in spent(work).engines.items():
        cost = f", {used.cost:.4g} paid" if used.cost else ""
        lost = f" ({used.unanswered:.4g} of it perhaps, without an answer)" if used.unanswered else ""
        said = (
            f"{name}: {used.requests} requests answered, {used.tokens_in} tokens in, "
            f"{used.tokens_out} out{cost}{lost}, earlier builds in this work store included"
        )
        messages.event("requests", engine=name, message=said)
        if messages.for_people():
            _say(said)


def warnings(manifest: Manifest, calibration: Calibration | None) -> Iterator[tuple[str, str]]:
    """(kind, sentence) of what may need looking into."""
    if not manifest.concepts_kept:
        yield "empty", f"The set is empty: {_blame(manifest)}"
    elif few := [tag for tag in manifest.targets if _share(manifest, tag) < FEW]:
        told = ", ".join(f"{tag} {_share(manifest, tag):.0%}" for tag in few)
        yield "few_kept", f"fewer than half of the rows were kept: {told}"
    if manifest.source.unreadable:
        yield (
            "unreadable",
            f"{manifest.source.unreadable} rows of the source couldn't be read: dropped/unreadable.arrow",
        )
    if calibration is not None and (missed := _not_reached(calibration)):
        yield "calibration", missed


def _say(text: str) -> None:
    """A line that a terminal wraps, not we: pasted, it is one again. Control characters are written out."""
    console.print(visible(text), soft_wrap=True, markup=False, highlight=False)


def _command(run: dict[str, Any]) -> str:
    """What made the set, as it can be pasted into a shell."""
    program, *arguments = run.get("command") or ["mldata"]
    ours = Path(program).name in ("mldata", "__main__.py")
    return shlex.join(["mldata" if ours else program, *arguments])


def _share(manifest: Manifest, tag: str) -> float:
    counts = manifest.languages[tag]
    return counts.kept / counts.concepts if counts.concepts else 0.0


def _fields(manifest: Manifest, path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """What a program wants of a set that was made."""
    return {
        "set": path,
        "work": (path / manifest.store).resolve(),
        "concepts": manifest.source.concepts,
        "concepts_kept": manifest.concepts_kept,
        "languages": {
            tag: {"read": c.concepts, "passed": c.passed, "kept": c.kept, "dropped": c.dropped}
            for tag, c in manifest.languages.items()
        },
        "licence": manifest.licence,
        **({"so_far": manifest.so_far.model_dump()} if manifest.so_far else {}),
        **{
            name: run[name] for name in ("seconds", "seconds_by_language", "peak_memory_bytes") if name in run
        },
    }


def _languages(manifest: Manifest) -> Iterator[str]:
    """A line a language, as wide as the screen; reasons that have no room left become "…"."""
    head = ("language", "route", "read", "passed", "kept")
    rows = [_counts(manifest, tag) for tag in manifest.languages]
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    room = console.width - sum(widths) - 2 * len(head)
    because = "dropped because (most frequent first)"
    yield _aligned(head, widths) + (because if room >= len(because) else "dropped because")
    for cells, counts in zip(rows, manifest.languages.values(), strict=True):
        yield (_aligned(cells, widths) + _reasons(counts.dropped, room)).rstrip()


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    words, numbers = zip(cells[:2], widths, strict=False), zip(cells[2:], widths[2:], strict=True)
    parts = [*(cell.ljust(width) for cell, width in words), *(cell.rjust(width) for cell, width in numbers)]
    return "".join(f"{part}  " for part in parts)


def _counts(manifest: Manifest, tag: str) -> tuple[str, str, str, str, str]:
    counts = manifest.languages[tag]
    share = f"{counts.passed / counts.concepts:4.0%}" if counts.concepts else "  - "
    kept = str(counts.kept)
    if tag in manifest.retries:
        kept += "".join(f" · {by} {number}" for by, number in counts.kept_by.items())
    return tag, counts.route, str(counts.concepts), f"{counts.passed} {share}", kept


def _reasons(dropped: dict[str, int], room: int) -> str:
    """The most frequent reasons, as many as fit into `room` columns, but one."""
    named = [f"{name} {number}" for name, number in dropped.items()]
    for most in range(min(len(named), REASONS), 0, -1):
        said = " · ".join(named[:most]) + (" · …" if most < len(named) else "")
        if len(said) <= room or most == 1:
            return said
    return ""


def _print(facts: Mapping[str, Sequence[str]]) -> None:
    """Names and what there is to say of each, below one another."""
    for name, said in facts.items():
        lines = [line for text in said for line in (_filled(text) if isinstance(text, _Prose) else [text])]
        for number, line in enumerate(lines):
            _say(("" if number else f"{name}:").ljust(LABEL) + line)


def _filled(text: str) -> list[str]:
    """Lines of prose beside their name."""
    width = max(20, console.width - LABEL)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [lines[0], *(f"  {line}" for line in lines[1:])] if lines else []


def _contents(manifest: Manifest) -> dict[str, list[str]]:
    """What the set holds."""
    data = [file for file in manifest.files if file.split in ("train", "test")]
    test = manifest.languages[manifest.anchor].test
    return {
        "concepts": [
            f"{manifest.concepts_kept} of {manifest.source.concepts} kept, {test} of them in the test split"
        ],
        "rows": [f"{sum(f.rows for f in data)} in {len(data)} shards, {size(sum(f.bytes for f in data))}"],
        "licence": [_Prose(manifest.licence)],
    }


def _places(manifest: Manifest, path: Path) -> dict[str, list[str]]:
    """Where things are."""
    store = Path(manifest.store)
    near = path.parent / store.name if store.parent == Path("..") else path / store
    report = path / REPORT
    return {"set": [str(path)], **({"report": [str(report)]} if report.exists() else {}), "work": [str(near)]}


def _took(run: dict[str, Any]) -> dict[str, list[str]]:
    """Time and memory of this build, and what workers spent on the slowest languages in all builds; of what
    run.json says, which older versions wrote too."""
    took = [duration(run["seconds"])] if "seconds" in run else []
    took += [f"peak memory {size(run['peak_memory_bytes'])}"] if "peak_memory_bytes" in run else []
    took += [f"{run['workers']} worker{'s' * (run['workers'] > 1)}"] if "workers" in run else []
    spent_on = sorted(run.get("seconds_by_language", {}).items(), key=lambda item: -item[1])
    slowest = " · ".join(f"{tag} {duration(seconds)}" for tag, seconds in spent_on[:REASONS])
    more = " · …" if len(spent_on) > REASONS else ""
    lines = [", ".join(took)] if took else []
    return {"took": [*lines, f"workers, in all builds: {slowest}{more}"] if slowest else lines}


def _next(manifest: Manifest, path: Path) -> dict[str, list[str]]:
    """Commands to go on with."""
    where = shlex.quote(str(path))
    train = [f"mldata-train dpo --data {where} --model MODEL"] if manifest.concepts_kept else []
    return {"next": [f"mldata inspect {where}", f"mldata review {where}", *train]}


def _so_far(manifest: Manifest) -> dict[str, list[str]]:
    """Of a set whose build wasn't finished: how much of the source it is of."""
    part = manifest.so_far
    if part is None:
        return {}
    thresholds = "the recipe's" if manifest.calibration is None else "calibrated on what was done"
    return {
        "partial": [
            f"{part.chunks} of {part.of} chunks were done in all languages ({part.concepts} of "
            f"{manifest.source.concepts} concepts)",
            f"thresholds are {thresholds} ({part.sampled} of {part.of_sampled} sampled chunks done)",
            "`mldata build` goes on and makes the whole set",
        ]
    }


def _screening(manifest: Manifest) -> dict[str, list[str]]:
    """Near-duplicates, if there are any, and leaks, if they were looked for."""
    near, leaks = manifest.near_duplicates, manifest.contamination
    said: dict[str, list[str]] = {}
    if near is not None and near.concepts:
        dropped = manifest.select.near_duplicates == "drop"
        fate = "dropped" if dropped else "kept, each group in one split; `--near-duplicates drop` drops them"
        said["duplicates"] = [
            _Prose(
                f"{near.concepts} of {manifest.source.concepts} concepts nearly repeat another "
                f"(groups: {near.groups}, largest: {near.largest[0].concepts}) · {fate}"
            )
        ]
    if leaks is not None:
        found = " · ".join(f"{of.given} {of.concepts}" for of in leaks.evaluations)
        said["leaks"] = [_Prose(f"{leaks.concepts} concepts dropped ({found})")]
    return said


def calibrated(calibration: Calibration) -> list[str]:
    """Whose thresholds were calibrated, to what."""
    told = [tag for tag, language in calibration.languages.items() if language.enough_data]
    few = [tag for tag in calibration.languages if tag not in told]
    said = [
        _Prose(
            f"calibrated to {percent(calibration.false_accept)} false accepts ({FILE}): "
            f"{' '.join(told) or 'no language'}"
        )
    ]
    if few:
        said.append(
            _Prose(f"the recipe's, for fewer than {calibration.min_rows} passing rows: {' '.join(few)}")
        )
    return list(said)


def _not_reached(calibration: Calibration) -> str:
    """Where the rate that was asked for isn't reached, or ""."""
    missed = calibration.of_verdict("not_reached")
    where = " · ".join(f"{kind} {' '.join(tags)}" for kind, tags in missed.items())
    return f"more than that is accepted, held out: {where}" if where else ""


def _blame(manifest: Manifest) -> str:
    if not manifest.source.concepts:
        return "no row of the source could be read; see dropped/unreadable.arrow"
    worst = []
    for tag, counts in manifest.languages.items():
        rules = [f"{name} {number}" for name, number in counts.dropped.items() if name != "no_target"]
        if rules:
            worst.append(f"{tag}: {', '.join(rules[:3])}")
    return "; ".join(worst)
