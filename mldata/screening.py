"""What `select` makes of near-duplicates and leaks: which concepts are set aside whole, and the records.

Both are questions about the source alone, answered before any evidence is looked at. The records tell, for
every concept concerned, what it repeats or which evaluation text it leaks, whether it was dropped or not:

    SET/dropped/near_duplicates.arrow  concept_id, repeats (the first of its group), similarity
    SET/dropped/contaminated.arrow     concept_id, evaluation (as given), file, unit, row, column, overlap
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mldata import contamination, duplicates, shards
from mldata.chunks import SourceIndex
from mldata.contamination import EvaluationTexts
from mldata.duplicates import NearDuplicates
from mldata.ngrams import said, unit_of
from mldata.recipe import Policy
from mldata.shards import (
    ContaminationFacts,
    EvaluationFacts,
    FileFacts,
    NearDuplicateFacts,
    NearDuplicateGroup,
)
from mldata.splits import is_test, split_number
from mldata.store import Store, write_table

SET_ASIDE = {
    "near_duplicate": "says the same as an earlier concept but for a word here and there "
    "(dropped/near_duplicates.arrow)",
    "contaminated": "shares its wording with an evaluation text (dropped/contaminated.arrow)",
}
"""Reasons of whole concepts that the source alone gives."""
SHOWN = 5
"""Groups of near-duplicates that the manifest names."""
_EXCERPT = 80

_REPEATS = pa.schema([("concept_id", pa.string()), ("repeats", pa.string()), ("similarity", pa.float64())])
_LEAKS = pa.schema(
    [
        *((name, pa.string()) for name in ("concept_id", "evaluation", "file", "unit")),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("overlap", pa.float64()),
    ]
)


def when(policy: Policy) -> dict[str, str]:
    """Reason -> what must be asked for that it drops a concept, as a table of rules says it."""
    return {
        "near_duplicate": f"near_duplicates = {policy.near_duplicates}"
        + ("" if policy.near_duplicates == "drop" else " (drop would)"),
        "contaminated": "--decontaminate",
    }


def read_evaluations(policy: Policy, anchor: str) -> EvaluationTexts | None:
    """The evaluation texts to keep out, if any were given; InputError for a file that can't be used."""
    if not policy.decontaminate:
        return None
    return contamination.read_evaluations(
        policy.decontaminate,
        unit_of(anchor),
        policy.contamination_words,
        policy.contamination_overlap,
    )


@dataclass
class Screening:
    """One reading of the source, chunk after chunk in order."""

    policy: Policy
    anchor: str
    near: NearDuplicates | None
    evaluations: EvaluationTexts | None
    _start: int = 0
    _firsts: dict[int, str] = field(default_factory=dict)
    """Position of a group's first -> its concept_id, from when it was met."""
    _prompts: dict[int, str] = field(default_factory=dict)
    """The same -> its prompt's beginning, for the groups shown."""
    _repeats: list[tuple[str, str, float]] = field(default_factory=list)
    _leaks: list[tuple[str, str, str, str, int, str, float]] = field(default_factory=list)
    _leaking: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, store: Store, index: SourceIndex, anchor: str, policy: Policy) -> Screening:
        """Find the near-duplicates (signatures that the store lacks are made) and read evaluation texts."""
        evaluations = read_evaluations(policy, anchor)
        near = None
        if policy.near_duplicates != "off":
            near = duplicates.find(store, index, anchor, policy.near_duplicate_threshold)
        return cls(policy, anchor, near, evaluations)

    @property
    def looks(self) -> bool:
        """Whether anything is looked for: then every chunk has to be read, whether it is selected or not."""
        return self.near is not None or self.evaluations is not None

    def chunk(self, source: pa.Table) -> tuple[list[list[str]], npt.NDArray[np.bool_]]:
        """The next chunk's concepts: reasons to set each aside, [] for most, and which are test rows."""
        ids, prompts = source["concept_id"].to_pylist(), source["prompt"].to_pylist()
        reasons: list[list[str]] = [[] for _ in ids]
        rows = slice(self._start, self._start + len(source))
        if self.near is not None:
            self._note_repeats(ids, prompts, reasons)
            numbers = self.near.split[rows]
        else:
            numbers = np.array([split_number(prompt) for prompt in prompts], np.uint64)
        if self.evaluations is not None:
            answers = source["chosen"].to_pylist(), source["rejected"].to_pylist()
            self._note_leaks(ids, list(zip(prompts, *answers, strict=True)), reasons)
        self._start = rows.stop
        return reasons, is_test(numbers, self.policy.test_share)

    def _note_repeats(self, ids: list[str], prompts: list[Any], reasons: list[list[str]]) -> None:
        # Who is first is the source's matter, not the evidence's: a first that fails takes its group along.
        near = self.near
        assert near is not None
        shown = {first for first, _ in near.sizes[:SHOWN]}
        for place, first in enumerate(near.first[self._start : self._start + len(ids)].tolist()):
            position = self._start + place
            if first != position:
                self._repeats.append((ids[place], self._firsts[first], near.similarity[position]))
                if self.policy.near_duplicates == "drop":
                    reasons[place].append("near_duplicate")
            elif position in near.firsts:
                self._firsts[position] = ids[place]
                if position in shown:
                    self._prompts[position] = " ".join(said(prompts[place]).split())[:_EXCERPT]

    def _note_leaks(
        self, ids: list[str], texts: list[tuple[Any, Any, Any]], reasons: list[list[str]]
    ) -> None:
        assert self.evaluations is not None
        for place, leak in enumerate(self.evaluations.leaks(texts)):
            if leak is None:
                continue
            where = leak.place
            given = self.evaluations.evaluations[where.evaluation].given
            self._leaks.append(
                (ids[place], given, where.file, where.unit, where.row, where.column, leak.overlap)
            )
            self._leaking[where.evaluation] += 1
            reasons[place].append("contaminated")

    def write(self, folder: Path) -> list[FileFacts]:
        """Write the records of what was looked for."""
        facts = []
        if self.near is not None:
            facts.append(_record(folder, "near_duplicates", self._repeats, _REPEATS))
        if self.evaluations is not None:
            facts.append(_record(folder, "contaminated", self._leaks, _LEAKS))
        return facts

    def near_duplicate_facts(self) -> NearDuplicateFacts | None:
        """The manifest's part on near-duplicates, None if they weren't looked for."""
        if self.near is None:
            return None
        unit = unit_of(self.anchor)
        return NearDuplicateFacts(
            run=f"{duplicates.RUN[unit]} {unit}",
            groups=len(self.near.sizes),
            concepts=len(self._repeats),
            largest=[
                NearDuplicateGroup(first=self._firsts[first], concepts=size, prompt=self._prompts[first])
                for first, size in self.near.sizes[:SHOWN]
            ],
        )

    def contamination_facts(self) -> ContaminationFacts | None:
        """The manifest's part on leaks, None if no evaluation text was given."""
        texts = self.evaluations
        if texts is None:
            return None
        return ContaminationFacts(
            run=f"{texts.run} {texts.unit}",
            concepts=len(self._leaks),
            evaluations=[
                EvaluationFacts(**vars(of), concepts=self._leaking[which])
                for which, of in enumerate(texts.evaluations)
            ],
        )


def _record(folder: Path, name: str, rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> FileFacts:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, of.type) for column, of in zip(columns, schema, strict=True)]
    path = folder / "dropped" / f"{name}.arrow"
    write_table(pa.table(arrays, schema=schema), path)
    return shards.file_facts(folder, path, name, len(rows))
