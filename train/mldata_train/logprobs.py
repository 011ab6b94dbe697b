"""Log-probabilities of a set's rows under a model, computed once and kept beside the set.

What DPO needs of its reference model and what an evaluation needs of any model is the same: the summed
log-probability of chosen and of rejected, given the prompt. Both come from here, by TRL's own code, so the
tokens are those of training. A table is named by what decides its content: the model's weights, the tokenizer
and its chat template, where texts are cut, and the digest of the set; rows that it lacks are added.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from accelerate import PartialState
from trl import DPOConfig, DPOTrainer

from mldata.errors import EngineError
from mldata.store import whole
from mldata_train.groups import Ints

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KEYS = ("concept_id", "language")
SCHEMA = {"concept_id": pl.String, "language": pl.String, "chosen": pl.Float32, "rejected": pl.Float32}


@dataclass(frozen=True)
class Cache:
    """A directory of tables, one a model and a set."""

    folder: Path
    set_digest: str

    def table(self, *parts: str) -> Path:
        """The file of the table that `parts` decide, together with the set."""
        digest = hashlib.sha256(json.dumps([self.set_digest, *parts]).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.arrow"


def beside(folder: Path, digest: str) -> Cache:
    """The tables of the set in `folder`: they lie in `folder` with ".logprobs" added."""
    return Cache(folder.with_name(f"{folder.name}.logprobs"), digest)


class KeepsLogProbabilities(DPOTrainer):  # type: ignore[misc]
    """A DPO trainer that keeps reference log-probabilities in `cache`, and computes those it lacks."""

    cache: Cache | None = None

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        return self.with_reference(dataset, name, batch_size, np.arange(len(dataset)))

    def with_reference(self, dataset: Dataset, name: str, batch_size: int, rows: Ints) -> Dataset:
        """The dataset with reference log-probabilities of some of its rows; the others have NaN."""
        keys = pl.DataFrame(
            {key: dataset[key][:] for key in KEYS}, schema_overrides=dict.fromkeys(KEYS, pl.String)
        )
        path = self.cache.table(*self._decided_by()) if self.cache else None
        known = _read(path) if path else pl.DataFrame(schema=SCHEMA)
        joined = keys.join(known, on=KEYS, how="left", maintain_order="left")
        missing = rows[joined["chosen"].is_null().to_numpy()[rows]]
        if len(missing):
            longest = np.array([len(ids) for ids in dataset.select(missing)["chosen_ids"]])
            # like lengths share a batch: less padding
            asked = dataset.select(missing[np.argsort(-longest, kind="stable")])
            scored = super()._precompute_ref_logps(asked, name, batch_size)
            found = _frame(scored)
            known = pl.concat([known, found])
            if path and PartialState().is_main_process:
                with whole(path) as temporary:
                    known.write_ipc(temporary)
            PartialState().wait_for_everyone()
            joined = keys.join(known, on=KEYS, how="left", maintain_order="left")
        columns = {"ref_chosen_logps": joined["chosen"], "ref_rejected_logps": joined["rejected"]}
        for column, values in columns.items():
            dataset = dataset.add_column(column, values.fill_null(float("nan")).to_numpy())
        return dataset

    def _decided_by(self) -> tuple[str, ...]:
        tokenizer = self.processing_class
        backend = getattr(tokenizer, "backend_tokenizer", None)
        vocabulary = (
            backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
        )
        # "2": raised when what is stored changes its meaning
        return ("2", self._precompute_model_hash, vocabulary, str(tokenizer.chat_template), *_cut(self.args))


def _cut(args: DPOConfig) -> tuple[str, str]:
    return str(args.max_length), str(args.truncation_mode)


class _Scorer(KeepsLogProbabilities):
    def __init__(self, cache: Cache | None, **options: Any) -> None:
        self.cache = cache
        super().__init__(**options)


def log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    *,
    max_length: int | None = 1024,
    batch_size: int = 8,
    cache: Cache | None = None,
) -> pl.DataFrame:
    """Log-probabilities of `rows` (columns concept_id, language, prompt, chosen, rejected) under `model`.

    Columns: concept_id, language; chosen, rejected: sums over the answer's tokens, in nats; chosen_tokens,
    rejected_tokens: how many tokens that were, after cutting at `max_length`. Rows whose prompt alone is
    longer are left out. An adapter must be merged into the model first.
    """
    model.eval()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        args = DPOConfig(
            output_dir=scratch,
            precompute_ref_log_probs=True,
            per_device_train_batch_size=batch_size,
            max_length=max_length,
            remove_unused_columns=False,
            bf16=False,
            activation_checkpointing=False,
            dataloader_pin_memory=torch.accelerator.is_available(),
            disable_tqdm=True,
            report_to="none",
        )
        with _unpatched(model):
            scorer = _Scorer(cache, model=model, args=args, train_dataset=rows, processing_class=tokenizer)
        dataset = scorer.train_dataset
        prompts = [len(ids) for ids in dataset["prompt_ids"]]
        room = [(max_length or 1 << 31) - length for length in prompts]
        return _frame(dataset).with_columns(
            pl.Series(f"{answer}_tokens", _lengths(dataset[f"{answer}_ids"], room), pl.Int32)
            for answer in ("chosen", "rejected")
        )


@contextlib.contextmanager
def _unpatched(model: PreTrainedModel) -> Iterator[None]:
    """Take back the `forward` that TRL puts on a model, by which a copy would compute with its weights."""
    before = model.__dict__.get("forward")
    try:
        yield
    finally:
        model.__dict__.pop("forward", None)
        if before is not None:
            model.__dict__["forward"] = before


def _lengths(ids: Sequence[Sequence[int]], room: Sequence[int]) -> list[int]:
    return [min(len(tokens), space) for tokens, space in zip(ids, room, strict=True)]


def _frame(scored: Dataset) -> pl.DataFrame:
    columns = {"chosen": "ref_chosen_logps", "rejected": "ref_rejected_logps"}
    found = pl.DataFrame(
        {key: scored[key][:] for key in KEYS} | {name: scored[of][:] for name, of in columns.items()},
        schema_overrides=SCHEMA,
    )
    wrong = found.filter(~pl.col("chosen").is_finite() | ~pl.col("rejected").is_finite())
    if len(wrong):
        concept, language = wrong.select(KEYS).row(0)
        raise EngineError(
            f"the model gives {len(wrong)} of {len(found)} rows no finite log-probability, the first of them "
            f"concept {concept} in {language}: its weights are damaged, or its precision is too low"
        )
    return found


def _read(path: Path) -> pl.DataFrame:
    """A table that was kept; an empty one if there is none, or if it can't be read (it is made anew)."""
    try:
        return pl.read_ipc(path).select(list(SCHEMA)).cast(SCHEMA)  # type: ignore[arg-type]
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame(schema=SCHEMA)
