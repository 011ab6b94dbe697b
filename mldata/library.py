"""The library's face: what the command line does, as functions. Errors are `mldata.errors.MldataError`."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import ValidationError

from mldata import attempts, pipeline, screening, seconds, selection, shards, tightening
from mldata.calibration import Calibration, tightened
from mldata.errors import InputError
from mldata.executors.local import Done
from mldata.exports import export
from mldata.languages import language
from mldata.measured import Measured
from mldata.memory import Peak
from mldata.models import uses_gpu
from mldata.pipeline import Plan
from mldata.recipe import CalibrationPolicy, Licence, Policy, Recipe, load_recipe
from mldata.shards import Manifest
from mldata.sources import Format, Source, open_source
from mldata.sources.aligned import Aligned, open_aligned
from mldata.tasks import Task

__all__ = ["build", "calibrate", "export", "finish", "open_set", "plan", "select", "verify"]

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
        pipeline.run(made.job, made.missing, workers=count, done=done)
        facts: dict[str, Any] = {
            "command": sys.argv,
            "machine": f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
            "workers": count,
            "tasks_run": len(made.missing),
        }
        measured = Measured.of_plan(made)
        wanted = calibration and recipe.calibration.enabled
        found = tightening.calibrate(measured, made.targets, recipe.calibration) if wanted else None
        applied = selection.change_rules(tightened(found, recipe.rules, made.targets), rules)
        measured = replace(measured, retry_rules=tuple(applied))
        for number in range(1, max(map(len, made.job.retries.values()), default=0) + 1):
            tasks = pipeline.undone(made.job, attempts.tasks(measured, made.targets, number))
            more(tasks)
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
    shards.write_json(Path(out) / "run.json", facts)
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
) -> Manifest:
    """Choose again from the store of the set `path`, and write it (or `out`). No engine is opened.

    `rules` change those of the recipe, as the set's calibration.json tightened them unless `calibration` is
    false; what an earlier `select` changed doesn't carry over.
    """
    path = Path(path)
    measured = Measured.of_set(path, Path(work) if work else None)
    found = shards.read_calibration(path, shards.read_manifest(path)) if calibration else None
    policy_made = _policy(
        measured.recipe.select,
        policy,
        quorum,
        test_share=test_share,
        near_duplicates=near_duplicates,
        decontaminate=decontaminate,
    )
    if out is not None and Path(out).resolve() != path.resolve():
        place, index = Path(out).resolve(), measured.index
        shards.check_place(place, index.uri, index.name, [measured.store.root], overwrite=False)
    return selection.select(
        measured,
        Path(out) if out else path,
        targets=selection.select_targets(targets, measured),
        rules=selection.change_rules(tightened(found, measured.recipe.rules, measured.translate), rules),
        policy=policy_made,
        calibration=found,
        run=_facts(measured),
    )


def calibrate(
    path: str | Path,
    *,
    false_accept: float | None = None,
    max_loss: float | None = None,
    targets: str | None = None,
    work: str | Path | None = None,
    dry_run: bool = False,
) -> Calibration:
    """Find the thresholds of the set `path` anew from the wrong items in its store, and rewrite its shards.

    `false_accept` and `max_loss` are the recipe's unless given; languages not in `targets` get the recipe's
    thresholds. The set keeps its languages and group policy. `dry_run` writes nothing.
    """
    path = Path(path)
    manifest = shards.read_manifest(path)
    measured = Measured.of_set(path, Path(work) if work else None)
    policy = _calibration_policy(measured.recipe, false_accept, max_loss)
    chosen = selection.select_targets(targets, measured) if targets else manifest.targets
    found = tightening.calibrate(measured, chosen, policy)
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


def verify(path: str | Path) -> Manifest:
    """Prove the set at `path` whole; SetError names all that is broken."""
    return shards.verify(Path(path))


def open_set(path: str | Path, split: Literal["train", "test", "all"] = "all") -> pl.LazyFrame:
    """The rows of a set, lazily: one row a concept and language, a concept's rows together."""
    manifest = shards.read_manifest(Path(path))
    wanted = ("train", "test") if split == "all" else (split,)
    return pl.scan_ipc([Path(path) / f.path for f in manifest.files if f.split in wanted], glob=False)
