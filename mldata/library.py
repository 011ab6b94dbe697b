"""The library's face: what the command line does, as functions. Errors are `mldata.errors.MldataError`."""

from __future__ import annotations

import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from mldata import attempts, hub, pipeline, screening, seconds, selection, shards, tightening
from mldata.aligned_set import AlignedSet, open_set
from mldata.calibration import Calibration, tightened
from mldata.differences import Difference, compare
from mldata.errors import InputError, ReportWarning, first_line, in_shell
from mldata.executors.local import Done
from mldata.exports import export
from mldata.languages import language
from mldata.measured import Measured
from mldata.memory import Peak
from mldata.models import uses_gpu
from mldata.pipeline import Plan
from mldata.publishing import push
from mldata.recipe import CalibrationPolicy, Licence, Policy, Recipe, load_recipe
from mldata.report import card
from mldata.review.verdicts import not_right
from mldata.shards import Manifest
from mldata.so_far import begin, measured_so_far
from mldata.sources import Format, Source, open_source
from mldata.sources.aligned import Aligned, open_aligned
from mldata.tasks import Task

__all__ = [
    "AlignedSet",
    "build",
    "calibrate",
    "diff",
    "export",
    "finish",
    "open_set",
    "plan",
    "push",
    "select",
    "verify",
    "write_report",
]

Groups = Literal["partial", "quorum", "complete"]
Repeats = Literal["report", "drop", "off"]


def plan(
    source: str | None = None,
    *,
    aligned: Sequence[str] = (),
    targets: str = "all",
    out: str | Path | None = None,
    recipe: str = "embedded",
    work: str | Path | None = None,
    anchor: str | None = None,
    format: Format | None = None,
    id_column: str | None = None,
    language_column: str | None = None,
    limit: int | None = None,
    back_translation: bool = True,
    licence: Licence | None = None,
    max_cost: float | None = None,
    overwrite: bool = False,
) -> Plan:
    """Read `source`, choose `targets` ("12", "all", "es,fr") and list what is missing in the store.

    Instead of a source to translate, `aligned` names rows whose translations exist: one place that holds all
    languages, or one a language as "es=FILE" (see `open_aligned`). Translates nothing. `out` is sets/<name
    of the source> and the store `out` with ".work" added, unless they are given. `licence` "commercial"
    refuses engines whose licence forbids that or isn't known. `max_cost` is what all paid requests kept in
    the store may have cost together, in the currency of the recipe's prices.

    >>> made = mldata.plan("prefs.jsonl", targets="es,gl", out="sets/prefs")
    >>> made.targets, made.index.concepts
    (('es', 'gl'), 8)
    >>> len(made.missing)  # tasks: none, as sets/prefs.work has all of it
    0
    """
    loaded = load_recipe(recipe)
    selection.check_rules(loaded.rules, loaded.anchor_rules, loaded.rank_by)
    found = open_input(
        source,
        aligned,
        anchor=anchor or loaded.anchor,
        format=format,
        id_column=id_column,
        language_column=language_column,
        limit=limit,
    )
    out = place_of(out, found.name).resolve()
    store = Path(work).resolve() if work else out.with_name(f"{out.name}.work")
    inputs = [store, *map(Path, found.files)]
    shards.check_place(out, found.uri, found.name, inputs, overwrite=overwrite)
    if store.exists() and not store.is_dir():
        raise InputError(f"{store} is a file, and can't be the work store: choose another place with --work")
    return pipeline.plan(
        found,
        loaded,
        targets=targets,
        work=store,
        anchor=anchor,
        back_translation=back_translation,
        licence=licence,
        max_cost=max_cost,
    )


def place_of(out: str | Path | None, name: str) -> Path:
    """Where a set goes: to `out`, or below sets/ by the name of its source."""
    return Path("sets") / name if out is None else Path(out)


def open_input(
    source: str | None,
    aligned: Sequence[str],
    *,
    anchor: str,
    format: Format | None = None,
    id_column: str | None = None,
    language_column: str | None = None,
    limit: int | None = None,
) -> Source | Aligned:
    """A source to translate, or rows that are translated; InputError unless it is one of the two."""
    if aligned and source is None:
        return open_aligned(
            aligned,
            anchor=language(anchor).tag,
            format=format,
            id_column=id_column,
            language_column=language_column,
            limit=limit,
        )
    if source is None:
        raise InputError(
            "nothing to build: give pairs to translate (--source) or translated ones (--aligned)"
        )
    if aligned:
        raise InputError("--source is translated and --aligned is translated already: give one of them")
    if language_column is not None:
        raise InputError("--language-column says which language a row of --aligned is in; --source has one")
    return open_source(source, format=format, id_column=id_column, limit=limit)


def build(
    source: str | None = None,
    *,
    targets: str = "all",
    out: str | Path,
    workers: int | None = None,
    rules: Sequence[str] = (),
    policy: Groups | None = None,
    quorum: int | None = None,
    near_duplicates: Repeats | None = None,
    decontaminate: Sequence[str] | None = None,
    calibration: bool = True,
    done: Done = lambda task, seconds: None,
    **options: Any,
) -> Manifest:
    """Make the set `out`: plan, run what is missing, calibrate, select. `options` are those of `plan`.

    `decontaminate` names evaluation texts, "FILE" or "FILE:column", and replaces the recipe's. `done` is told
    of each task that was done and of the seconds its worker took.

    A script that builds must do so below `if __name__ == "__main__":`, as workers import it too.

    >>> manifest = mldata.build("prefs.jsonl", targets="es,gl", out="sets/prefs")
    >>> manifest.languages["es"].route, manifest.languages["es"].concepts
    ('en>es', 8)
    """
    made = plan(source, targets=targets, out=out, **options)
    return finish(
        made,
        out,
        workers=workers,
        rules=rules,
        policy=policy,
        quorum=quorum,
        near_duplicates=near_duplicates,
        decontaminate=decontaminate,
        calibration=calibration,
        done=done,
    )


def finish(
    made: Plan,
    out: str | Path,
    *,
    workers: int | None = None,
    rules: Sequence[str] = (),
    policy: Groups | None = None,
    quorum: int | None = None,
    near_duplicates: Repeats | None = None,
    decontaminate: Sequence[str] | None = None,
    calibration: bool = True,
    done: Done = lambda task, seconds: None,
    more: Callable[[Sequence[Task]], None] = lambda tasks: None,
) -> Manifest:
    """Run what a plan misses, calibrate unless the recipe or `calibration` says not to, then select.

    Rows that break a rule are tried again where the recipe says so; `more` is told of the tasks this adds.
    """
    started = time.monotonic()
    recipe = made.recipe
    selection.change_rules(recipe.rules, rules)  # hours of work should not end with a rule misspelt
    policy_made = _policy(
        recipe.select, policy, quorum, near_duplicates=near_duplicates, decontaminate=decontaminate
    )
    selection.check_policy(policy_made, made.targets)
    # A file that can't be used is told before hours of work.
    screening.read_evaluations(policy_made, made.anchor)
    with Peak() as peak:
        count = workers or default_workers(recipe)
        measured = Measured.of_plan(made)
        begin(measured, Path(out))
        pipeline.run(made.job, made.missing, workers=count, done=done)
        facts: dict[str, Any] = {
            "command": sys.argv,
            "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
            "workers": count,
            "tasks_run": len(made.missing),
        }
        wanted = calibration and recipe.calibration.enabled
        found = tightening.calibrate(measured, made.targets, recipe.calibration) if wanted else None
        applied = selection.change_rules(tightened(found, recipe.rules, made.targets), rules)
        measured = replace(measured, retry_rules=tuple(applied))
        for number in range(1, max(map(len, made.job.retries.values()), default=0) + 1):
            tasks = pipeline.undone(made.job, attempts.tasks(measured, made.targets, number))
            more(tasks)
            begin(measured, Path(out), number)
            pipeline.run(made.job, tasks, workers=count, done=done)
            facts["tasks_run"] += len(tasks)
        facts["seconds_by_language"] = seconds.by_language(measured)
        manifest = selection.select(
            measured,
            Path(out),
            targets=made.targets,
            rules=applied,
            policy=policy_made,
            calibration=found,
            run=facts,
        )
    facts |= {"seconds": round(time.monotonic() - started, 1), "peak_memory_bytes": peak.bytes}
    shards.write_json(Path(out) / shards.RUN, facts)
    _report(Path(out))
    return manifest


def default_workers(recipe: Recipe) -> int:
    """One a core; one where an engine runs on a GPU, as each worker would load its models onto it again."""
    return 1 if uses_gpu(recipe.engines.values()) else os.cpu_count() or 1


def select(
    path: str | Path,
    *,
    out: str | Path | None = None,
    targets: str | None = None,
    rules: Sequence[str] = (),
    policy: Groups | None = None,
    quorum: int | None = None,
    test_share: float | None = None,
    near_duplicates: Repeats | None = None,
    decontaminate: Sequence[str] | None = None,
    calibration: bool = True,
    work: str | Path | None = None,
    so_far: bool = False,
) -> Manifest:
    """Choose again from the store of the set `path`, and write it (or `out`). No engine is opened.

    `rules` change those of the recipe, as the set's calibration.json tightened them unless `calibration` is
    false; what an earlier `select` changed doesn't carry over.

    With `so_far` a build of `path` may be at work or interrupted: the set is made of the chunks that are done
    in all its languages, and says so (`Manifest.so_far`). Thresholds are calibrated on those of the sampled
    chunks that are done, and are the recipe's while none is. The finished build replaces the set; InputError
    where a finished set would be replaced.

    >>> strict = mldata.select("sets/prefs", rules=["similarity>=0.9"], out="sets/strict")
    >>> strict.concepts_kept <= mldata.open_set("sets/prefs").manifest.concepts_kept
    True
    """
    path = Path(path)
    measured, found = _to_select_from(path, Path(work) if work else None, calibration, so_far)
    policy_made = _policy(
        measured.recipe.select,
        policy,
        quorum,
        test_share=test_share,
        near_duplicates=near_duplicates,
        decontaminate=decontaminate,
    )
    if so_far or (out is not None and Path(out).resolve() != path.resolve()):
        place, index = Path(out or path).resolve(), measured.index
        shards.check_place(place, index.uri, index.name, [measured.store.root], overwrite=None)
    manifest = selection.select(
        measured,
        Path(out) if out else path,
        targets=selection.select_targets(targets, measured),
        rules=selection.change_rules(tightened(found, measured.recipe.rules, measured.translate), rules),
        policy=policy_made,
        calibration=found,
        run=_facts(measured),
    )
    _report(Path(out) if out else path)
    return manifest


def _to_select_from(
    path: Path, work: Path | None, calibration: bool, unfinished: bool
) -> tuple[Measured, Calibration | None]:
    """What a set was selected from, or its build has done so far, and what tightens the thresholds."""
    if not unfinished:
        manifest = _finished(path)
        found = shards.read_calibration(path, manifest) if calibration else None
        return Measured.of_set(path, work), found
    measured = measured_so_far(path, work)
    policy = measured.recipe.calibration
    sampled = set(pipeline.sampled_chunks(measured.store, measured.index))
    if not (calibration and policy.enabled and sampled & set(measured.chunks)):
        return measured, None
    return measured, tightening.calibrate(measured, tuple(measured.translate), policy)


def _finished(path: Path) -> Manifest:
    """The manifest of a set whose build was finished; InputError for another."""
    manifest = shards.read_manifest(path)
    if manifest.so_far is not None:
        raise InputError(
            f"{path} holds what its build had done so far: finish the build, or choose again from what is "
            f"done by now with `mldata select {in_shell(path)} --so-far`"
        )
    return manifest


def calibrate(
    path: str | Path,
    *,
    false_accept: float | None = None,
    max_loss: float | None = None,
    targets: str | None = None,
    work: str | Path | None = None,
    verdicts: bool = False,
    dry_run: bool = False,
) -> Calibration:
    """Find the thresholds of the set `path` anew from the wrong items in its store, and rewrite its shards.

    `false_accept` and `max_loss` are the recipe's unless given; languages not in `targets` get the recipe's
    thresholds. The set keeps its languages and group policy. With `verdicts`, rows that reviewers judged
    major or wrong count as wrong items. `dry_run` writes nothing.

    >>> found = mldata.calibrate("sets/prefs", false_accept=0.005, dry_run=True)
    >>> found.languages["es"].enough_data  # 8 pairs aren't
    False
    """
    path = Path(path)
    manifest = _finished(path)
    measured = Measured.of_set(path, Path(work) if work else None)
    policy = _calibration_policy(measured.recipe, false_accept, max_loss)
    chosen = selection.select_targets(targets, measured) if targets else manifest.targets
    judged = not_right(path, measured.recipe.rules) if verdicts else None
    found = tightening.calibrate(measured, chosen, policy, judged)
    if not dry_run:
        selection.select(
            measured,
            path,
            targets=manifest.targets,
            rules=tightened(found, measured.recipe.rules, measured.translate),
            policy=manifest.select,
            calibration=found,
            run=_facts(measured),
        )
        _report(path)
    return found


def _facts(measured: Measured) -> dict[str, Any]:
    """What run.json says of a choice from what was measured earlier."""
    return {"command": sys.argv, "seconds_by_language": seconds.by_language(measured)}


def _calibration_policy(
    recipe: Recipe, false_accept: float | None, max_loss: float | None
) -> CalibrationPolicy:
    """The recipe's with what was asked for."""
    asked = {"false_accept": false_accept, "max_loss": max_loss}
    changes = {name: value for name, value in asked.items() if value is not None}
    try:
        return CalibrationPolicy.model_validate(recipe.calibration.model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]} {first['input']:g}: {first['msg']}") from None


def _policy(recipe: Policy, groups: Groups | None, quorum: int | None, **more: Any) -> Policy:
    """The recipe's policy with what was asked for; `quorum` alone means the policy of that name."""
    changes = {"groups": groups or ("quorum" if quorum else None), "quorum": quorum, **more}
    changed = recipe.model_dump() | {name: value for name, value in changes.items() if value is not None}
    try:
        return Policy.model_validate(changed)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}") from None


def diff(a: str | Path, b: str | Path, *, languages: str | None = None, rows: int = 0) -> Difference:
    """What changed between the sets `a` and `b`, in all languages or in those named ("es,fr").

    `rows` is how many changed rows of each kind and language are given with their texts.

    >>> mldata.diff("sets/prefs", "sets/prefs").same
    True
    """
    return compare(Path(a), Path(b), languages=languages, rows=rows)


def write_report(path: str | Path, *, out: str | Path | None = None) -> Path:
    """Write the report of the set at `path` anew, and its dataset card; gives the report's path.

    Both say what reviewers have said by now. With `out` the report goes to that file, and the set stays as it
    is.

    >>> mldata.write_report("sets/prefs", out="prefs.html").name
    'prefs.html'
    """
    from mldata.report import html  # what draws and fills pages, only where one is made

    if out is None:
        card.write(Path(path))
    elif Path(out).resolve() != Path(path).resolve() / shards.REPORT:
        shards.check_outside(Path(out))
    return html.write(Path(path), Path(out) if out else None)


def _report(path: Path) -> None:
    """Write the report of a set that has just been put in its place; the set stands whatever comes of it."""
    try:
        write_report(path)
    except Exception as error:  # broad: hours of work must not end as failed for a page about it
        said = f"{type(error).__name__}: {first_line(error)}"
        warnings.warn(
            f"{path} is whole, but its report couldn't be written ({said}); "
            f"`mldata report {in_shell(path)}` tries again",
            ReportWarning,
            stacklevel=3,
        )


def verify(path: str | Path) -> Manifest:
    """Prove the set at `path`, or one of the hub ("hf://org/name"), whole; SetError names all that is broken.

    >>> mldata.verify("sets/prefs").licence
    'that of the source'
    """
    return shards.verify(hub.local(path))
