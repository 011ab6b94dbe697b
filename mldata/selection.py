"""Select: evidence and rules in, a set out. No engine, no model, no chance: seconds, and repeatable.

Every row gets the names of the rules it breaks. A row that breaks none has *passed*; it is *kept* when its
concept satisfies the group policy. Rows that are not kept go to dropped/, each with all its reasons.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

from mldata import attempts, given, shards
from mldata.calibration import FILE, Calibration
from mldata.chunks import SourceIndex, chunk_table, source_folder
from mldata.concepts import FIELDS
from mldata.errors import InputError
from mldata.languages import canonical
from mldata.measured import Measured, is_lacking, median_length_ratio
from mldata.pipeline import sampled_chunks
from mldata.recipe import Policy, Rule, parse_comparison
from mldata.report import card
from mldata.screening import SET_ASIDE, Screening
from mldata.shards import EngineFacts, LanguageCounts, Manifest, ShardWriter, SoFar
from mldata.store import read_table

NOT_KEPT = {
    "no_target": "no translation of the concept passed",
    "incomplete": "too few translations of the concept passed for the group policy",
    **SET_ASIDE,
    given.LACKING: "the source has no translation of the concept into the language",
}
"""Reasons that no rule of a recipe gives. A broken anchor rule is a reason on every row of its concept, the
first two only on those that break no rule themselves: so it can be counted what a rule drops alone."""


def change_rules(rules: Sequence[Rule], changes: Sequence[str]) -> list[Rule]:
    """Rules with those of the command line: "similarity>=0.85" takes the place of what a recipe says
    with the same column and comparison, in all languages; another column or comparison adds a rule."""
    changed = list(rules)
    for text in changes:
        try:
            column, comparison, value = parse_comparison(text)
        except ValueError as error:
            raise InputError(f"--rule: {error}") from None
        same = [r for r in changed if parse_comparison(r.when)[:2] == (column, comparison)]
        taken = {rule.name for rule in changed}
        bound = f"{column}_{'max' if '<' in comparison else 'min'}" if column in taken else column
        new = Rule(
            name=same[0].name if same else bound,
            when=f"{column}{comparison}{value}",
            because=same[0].because if same else "",
        )
        place = changed.index(same[0]) if same else len(changed)
        changed = [rule for rule in changed if rule not in same]
        changed.insert(place, new)
    check_rules(changed)
    return changed


def check_rules(
    rules: Sequence[Rule], anchor_rules: Sequence[Rule] = (), rank_by: str = "similarity"
) -> None:
    """InputError for a rule or a ranking by a column that isn't measured, for a ranking by one that a rule
    wants low, or two rules of one name."""
    known = dict(shards.evidence_fields())
    if rank_by not in known:
        raise InputError(f'`rank_by` names no evidence column: "{rank_by}"; there are: {" ".join(known)}')
    if low := next((rule for rule in rules if rule.column == rank_by and "<" in rule.when), None):
        raise InputError(
            f'`rank_by` takes the attempt with the highest {rank_by}, and the rule "{low.when}" wants it low'
        )
    of_anchor = {"language_score": known["language_score"]}  # all that is measured of a source row
    for rule, there in [*((r, known) for r in rules), *((r, of_anchor) for r in anchor_rules)]:
        if rule.column not in there:
            what = "source" if there is of_anchor else "evidence"
            raise InputError(
                f'the rule "{rule.when}" looks at no {what} column; there are: {" ".join(there)}'
            )
        if isinstance(rule.threshold(""), bool) != (there[rule.column] == pa.bool_()):
            wanted = "true or false" if there[rule.column] == pa.bool_() else "a number"
            raise InputError(f'the rule "{rule.when}" must compare with {wanted}')
    names = [rule.name for rule in [*rules, *anchor_rules]]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f'two rules are called "{twice}": give one another name in the recipe')


def check_policy(policy: Policy, targets: Sequence[str]) -> None:
    """InputError for a quorum that can't be met."""
    if policy.groups == "quorum" and policy.quorum > len(targets):
        raise InputError(f"a quorum of {policy.quorum} can't be met by {len(targets)} targets")


def select_targets(wanted: str | None, measured: Measured) -> tuple[str, ...]:
    """The languages "es,fr", "3" or "all" mean, of those measured, in the order of the set."""
    there = list(measured.translate)
    if wanted is None or wanted == "all":
        return tuple(there)
    if wanted.isdecimal():
        if not 0 < int(wanted) <= len(there):
            raise InputError(f"--targets {wanted}: {len(there)} languages were measured: {' '.join(there)}")
        return tuple(there[: int(wanted)])
    asked = {canonical(tag) for tag in wanted.split(",") if tag.strip()}
    if unknown := sorted(asked - set(there)):
        raise InputError(
            f"{' '.join(unknown)}: not measured here; {' '.join(there)} are. `mldata build` adds languages"
        )
    return tuple(target for target in there if target in asked)


def select(
    measured: Measured,
    out: Path,
    *,
    targets: Sequence[str],
    rules: Sequence[Rule],
    policy: Policy,
    calibration: Calibration | None = None,
    run: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write the set `out`. `calibration` is what tightened `rules`, if anything; `run` goes into run.json."""
    check_rules(rules, measured.recipe.anchor_rules)
    check_policy(policy, targets)
    out = out.resolve()
    try:
        with shards.replacing(out) as folder:
            if measured.unfinished:
                _keep_finished(out)
            manifest = _Selection(measured, folder, targets, rules, policy).run(out)
            if calibration is not None:
                shards.write_json(folder / FILE, calibration)
                manifest = manifest.model_copy(update={"calibration": shards.sha256(folder / FILE)})
            (folder / shards.CARD).write_text(card.render(manifest, calibration), "utf-8")
            shards.write_json(folder / shards.RUN, run or {})
            shards.write_json(folder / "manifest.json", manifest)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(f"no space left for {out}: free some and run the same command again") from None
        raise
    return manifest


def _keep_finished(out: Path) -> None:
    """InputError where a finished set would make room for an unfinished one. Asked while `out` is locked:
    its build may just have come to an end."""
    if (out / "manifest.json").is_file() and shards.read_manifest(out).so_far is None:
        raise InputError(
            f"{out} is a finished set, and would be replaced by what a build has done so far: choose another "
            "place with --out"
        )


@dataclass
class _Tally:
    """Counts of one language."""

    concepts: int = 0
    passed: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    unmeasured: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    flipped: int = 0
    kept_by: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Translation:
    """A chunk in one language, one row a concept."""

    judged: pl.DataFrame
    """Evidence and `reasons`."""
    texts: pa.Table
    """concept, field, message, text."""
    routes: list[str]
    translators: list[str | None]


class _Selection:
    """One run over all chunks."""

    def __init__(
        self,
        measured: Measured,
        folder: Path,
        targets: Sequence[str],
        rules: Sequence[Rule],
        policy: Policy,
    ) -> None:
        self.measured, self.folder, self.policy = measured, folder, policy
        self.targets, self.rules = tuple(targets), list(rules)
        self.tallies = {tag: _Tally() for tag in (measured.anchor, *targets)}
        self.medians = {target: median_length_ratio(measured, target) for target in targets}
        self.screening = Screening.of(measured.store, measured.index, measured.anchor, policy)
        self.concepts_kept = 0
        extra = None
        if measured.index.chunks:
            first = chunk_table(measured.store, measured.index.digest, measured.index.chunks[0]).schema
            extra = first.field("source").type if "source" in first.names else None
        self.schema = shards.schema(measured.index.shape, measured.index.message_columns, extra)
        self.writers = {
            "train": ShardWriter(folder / "data", "train", self.schema),
            "test": ShardWriter(folder / "data", "test", self.schema),
            "dropped": ShardWriter(folder / "dropped", "rows", shards.dropped_schema(self.schema)),
        }

    def run(self, out: Path) -> Manifest:
        done = set(self.measured.chunks)
        for chunk in self.measured.index.chunks:
            if chunk in done:
                self._chunk(chunk)
            elif self.screening.looks:  # near-duplicates and leaks are questions about the whole source
                self.screening.chunk(chunk_table(self.measured.store, self.measured.index.digest, chunk))
        files = [
            shards.file_facts(self.folder, path, split, rows)
            for split, writer in self.writers.items()
            for path, rows in writer.finish()
        ]
        files += self.screening.write(self.folder)
        unreadable = source_folder(self.measured.store, self.measured.index.digest) / "unreadable.arrow"
        copied = self.folder / "dropped" / "unreadable.arrow"
        copied.write_bytes(unreadable.read_bytes())
        files.append(shards.file_facts(self.folder, copied, "unreadable", self.measured.index.unreadable))
        return self._manifest(out, files)

    def _judge(self, frame: pl.DataFrame, tag: str, rules: Sequence[Rule]) -> pl.DataFrame:
        """Add `reasons`: the names of the rules that each row breaks."""
        broken = [pl.when(rule.broken(tag)).then(pl.lit(rule.name)) for rule in rules]
        reasons = pl.concat_list(broken).list.drop_nulls() if broken else pl.lit([], pl.List(pl.String))
        lacking = pl.lit([given.LACKING], pl.List(pl.String))
        return frame.with_columns(
            pl.when(is_lacking(frame)).then(lacking).otherwise(reasons).alias("reasons")
        )

    def _count(self, judged: pl.DataFrame, tag: str, rules: Sequence[Rule]) -> pl.DataFrame:
        """Tally what was measured of a language, and give it back."""
        tally = self.tallies[tag]
        measured = judged.filter(~is_lacking(judged))
        tally.concepts += len(measured)
        if "contrast" in measured.columns:
            tally.flipped += int((measured["contrast"] < 0).sum())
        for rule in rules:
            tally.unmeasured[rule.name] += measured[rule.column].null_count()
        return judged

    def _chunk(self, chunk: str) -> None:
        measured = self.measured
        source = chunk_table(measured.store, measured.index.digest, chunk)
        of_anchor = measured.recipe.anchor_rules
        anchor = self._judge(measured.evidence(measured.anchor, chunk), measured.anchor, of_anchor)
        self._count(anchor, measured.anchor, of_anchor)
        readable = anchor["reasons"].list.len() == 0
        translations = {target: self._translation(chunk, target, readable) for target in self.targets}
        rows = {target: self._count(one.judged, target, self.rules) for target, one in translations.items()}
        set_aside, is_test = self.screening.chunk(source)
        reasons = self._apply_policy(anchor, rows, set_aside)
        tables = [self._anchor_table(source, anchor)]
        tables += [self._target_table(source, target, one) for target, one in translations.items()]
        whole = pa.concat_tables(tables).combine_chunks()
        # Tables stand one after the other; a concept's rows are one from each.
        order = np.arange(len(whole)).reshape(len(tables), len(source)).T.ravel()
        kept = np.array([not reason for by_tag in zip(*reasons, strict=True) for reason in by_tag], bool)
        test = np.repeat(is_test, len(tables))
        self.writers["train"].write(whole.take(pa.array(order[kept & ~test])))
        self.writers["test"].write(whole.take(pa.array(order[kept & test])))
        gone = whole.take(pa.array(order[~kept]))
        why = [reason for by_tag in zip(*reasons, strict=True) for reason in by_tag if reason]
        self.writers["dropped"].write(gone.append_column("reasons", pa.array(why, pa.list_(pa.string()))))
        for target, column in zip(self.targets, reasons[1:], strict=True):
            by = translations[target].translators
            kept_by = self.tallies[target].kept_by
            kept_by.update(names for names, reason in zip(by, column, strict=True) if names and not reason)
        for tally, column in zip(self.tallies.values(), reasons, strict=True):
            tally.dropped.update(name for reason in column for name in reason)
            tally.splits.update(
                "test" if test else "train"
                for reason, test in zip(column, is_test, strict=True)
                if not reason
            )
        self.concepts_kept += sum(not reason for reason in reasons[0])

    def _apply_policy(
        self, anchor: pl.DataFrame, rows: Mapping[str, pl.DataFrame], set_aside: Sequence[list[str]]
    ) -> list[list[list[str]]]:
        """Reasons of every row, anchor first, [] where it is kept. `set_aside`: reasons of whole concepts."""
        broken = [frame["reasons"].to_list() for frame in rows.values()]
        for target, reasons in zip(rows, broken, strict=True):
            self.tallies[target].passed += sum(not reason for reason in reasons)
        of_anchor: list[list[str]] = anchor["reasons"].to_list()
        self.tallies[self.measured.anchor].passed += sum(not reason for reason in of_anchor)
        needed = {"partial": 1, "quorum": self.policy.quorum, "complete": len(self.targets)}[
            self.policy.groups
        ]
        for number, (broken_rules, whole) in enumerate(zip(of_anchor, set_aside, strict=True)):
            source_reasons = [*broken_rules, *whole]
            passed = sum(not reasons[number] for reasons in broken)
            if source_reasons or passed >= needed:
                of_anchor[number] = source_reasons
                for reasons in broken:
                    reasons[number] = [*reasons[number], *source_reasons]
            else:
                of_anchor[number] = ["incomplete" if passed else "no_target"]
                for reasons in broken:
                    reasons[number] = reasons[number] or of_anchor[number]
        return [of_anchor, *broken]

    def _anchor_table(self, source: pa.Table, judged: pl.DataFrame) -> pa.Table:
        tag = self.measured.anchor
        texts = {name: source[name].cast(self.schema.field(name).type) for name in FIELDS}
        size = len(source)
        return self._table(source, tag, texts, judged, "source", [tag] * size, [None] * size)

    def _translation(self, chunk: str, tag: str, readable: pl.Series) -> _Translation:
        """The chunk in one language: of each row the attempt that is taken."""
        measured = self.measured
        tries = attempts.of_chunk(measured, tag, chunk, self.medians[tag], readable)
        judged = [self._judge(attempt.evidence, tag, self.rules) for attempt in tries]
        taken = attempts.best(measured, tries, [frame["reasons"].list.len() == 0 for frame in judged])
        frames, texts = [], []
        for place, (attempt, frame) in enumerate(zip(tries, judged, strict=True)):
            rows = [row for row, at in enumerate(taken) if at == place]
            places = {row: n for n, row in enumerate(attempt.rows)}
            frames.append(frame[[places[row] for row in rows]].with_columns(pl.Series("row", rows, pl.Int64)))
            path = measured.translated_path(tag, chunk, attempt.number, attempt.tried)
            table = read_table(path).select(["concept", "field", "message", "text"])
            texts.append(table.filter(pa.compute.is_in(table["concept"], pa.array(rows, pa.int32()))))
        ways = [(measured.routes[tag], measured.translators.get(tag))]
        ways += [(retry.route, retry.translators) for retry in measured.retries.get(tag, ())]
        return _Translation(
            judged=pl.concat(frames).sort("row").drop("row"),
            texts=pa.concat_tables(texts),
            routes=[ways[tries[place].number][0] for place in taken],
            translators=[ways[tries[place].number][1] for place in taken],
        )

    def _target_table(self, source: pa.Table, tag: str, one: _Translation) -> pa.Table:
        lacking = one.judged.select(is_lacking(one.judged)).to_series().to_list()
        texts = (
            _string_fields(one.texts, len(source))
            if self.measured.index.shape == "strings"
            else _message_fields(source, one.texts, self.schema, lacking)
        )
        origin = "given" if self.measured.routes[tag] == given.ROUTE else "translated"
        return self._table(source, tag, texts, one.judged, origin, one.routes, one.translators)

    def _table(
        self,
        source: pa.Table,
        tag: str,
        texts: Mapping[str, Any],
        judged: pl.DataFrame,
        origin: str,
        routes: Sequence[str],
        translators: Sequence[str | None],
    ) -> pa.Table:
        size = len(source)
        given: dict[str, Any] = {
            "concept_id": source["concept_id"],
            "language": pa.array([tag] * size, pa.string()),
            "is_anchor": pa.array([tag == self.measured.anchor] * size),
            **texts,
            "origin": pa.array([origin] * size, pa.string()),
            "route": pa.array(routes, pa.string()),
            "translators": pa.array(translators, pa.string()),
        }
        if "source" in source.column_names:
            given["source"] = source["source"]
        evidence = judged.to_arrow(compat_level=pl.CompatLevel.oldest())
        arrays = []
        for column in self.schema:
            if column.name in given:
                arrays.append(given[column.name])
            elif column.name in evidence.column_names:
                arrays.append(evidence[column.name].cast(column.type))
            else:
                arrays.append(pa.nulls(size, column.type))
        return pa.table(arrays, schema=self.schema)

    def _manifest(self, out: Path, files: list[shards.FileFacts]) -> Manifest:
        measured = self.measured
        routes = {measured.anchor: measured.anchor, **measured.routes}
        languages = {
            tag: LanguageCounts(
                route=routes[tag],
                concepts=tally.concepts,
                passed=tally.passed,
                kept=tally.splits.total(),
                train=tally.splits["train"],
                test=tally.splits["test"],
                unmeasured=dict(sorted((+tally.unmeasured).items())),
                dropped=dict(sorted(tally.dropped.items(), key=lambda item: (-item[1], item[0]))),
                median_length_ratio=self.medians.get(tag),
                flipped=tally.flipped,
                kept_by=dict(sorted(tally.kept_by.items(), key=lambda item: (-item[1], item[0]))),
            )
            for tag, tally in self.tallies.items()
        }
        return Manifest(
            **dict(measured.made()),
            targets=list(self.targets),
            so_far=self._so_far() if measured.unfinished else None,
            rules=self.rules,
            select=self.policy,
            near_duplicates=self.screening.near_duplicate_facts(),
            contamination=self.screening.contamination_facts(),
            languages=languages,
            concepts_kept=self.concepts_kept,
            licence=licence(measured.index, measured.engines),
            store=os.path.relpath(measured.store.root.resolve(), out.resolve()),
            files=files,
        )

    def _so_far(self) -> SoFar:
        measured = self.measured
        sampled = set(sampled_chunks(measured.store, measured.index))
        return SoFar(
            chunks=len(measured.chunks),
            of=len(measured.index.chunks),
            concepts=self.tallies[measured.anchor].concepts,
            sampled=len(sampled & set(measured.chunks)),
            of_sampled=len(sampled),
        )


def licence(index: SourceIndex, engines: Sequence[EngineFacts]) -> str:
    """What may be done with the set: the source's licence, narrowed by engines that forbid commercial use."""
    said = ["CC0-1.0" if index.uri == "en_prefs" else "that of the source"]
    for verdict, words in ((False, "no commercial use"), (None, "commercial use to be checked")):
        named = sorted({f"{e.name} ({e.licence})" for e in engines if e.commercial is verdict})
        said += [f"{words}: {', '.join(named)}"] if named else []
    return "; ".join(said)


def _string_fields(translated: pa.Table, concepts: int) -> dict[str, pa.Array]:
    """Columns of a source of strings: each concept has one text a field, or null where it has none."""
    made = {}
    for name in FIELDS:
        rows = translated.filter(pa.compute.equal(translated["field"], name))
        places = pa.compute.index_in(pa.array(range(concepts), pa.int32()), rows["concept"])
        made[name] = rows["text"].take(places)
    return made


def _message_fields(
    source: pa.Table, translated: pa.Table, schema: pa.Schema, lacking: Sequence[bool]
) -> dict[str, pa.Array]:
    """The source's conversations with the content of translated messages in its place; null if `lacking`."""
    keys = zip(*(translated[name].to_pylist() for name in ("concept", "field", "message")), strict=True)
    said = dict(zip(keys, translated["text"].to_pylist(), strict=True))
    made = {}
    for name in FIELDS:
        kind = schema.field(name).type
        rows = source[name].cast(kind).to_pylist()
        for concept, messages in enumerate(rows):
            for number, message in enumerate(messages):
                message["content"] = said.get((concept, name, number), message["content"])
        there = [None if gone else row for row, gone in zip(rows, lacking, strict=True)]
        made[name] = pa.array(there, kind)
    return made
