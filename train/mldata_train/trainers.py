"""DPO and ORPO in batches of whole concepts: TRL's trainers and losses, one mixin for both.

The mixin decides which rows share a batch (`mldata_train.batches`), weighs micro-batches of unequal size by
their rows, so that a step's gradient is the mean over its rows however they were dealt, writes down what was
in every batch, stops at a loss that isn't finite, and makes checkpoints appear whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.experimental.orpo.orpo_trainer import log1mexp
from trl.trainer.utils import hash_module

from mldata.errors import EngineError, InputError
from mldata.store import sync
from mldata_train.batches import Batching, BatchPlan, BatchSampler
from mldata_train.groups import Ints, index
from mldata_train.logprobs import Cache, KeepsLogProbabilities

__all__ = ["BatchAlignedDPOTrainer", "BatchAlignedORPOTrainer", "DPOConfig", "ORPOConfig", "preference_kl"]

LABELS = ("concept_id", "language")


def preference_kl(
    margins: torch.Tensor, concepts: Sequence[str], languages: Sequence[str], anchor: str
) -> torch.Tensor:
    """How far a batch's preferences in other languages are from the anchor's; 0 where they agree.

    With m the margin between chosen and rejected as the loss has it inside its sigmoid (DPO: beta times the
    difference of log-ratios; ORPO: the log odds ratio), sigma(m) is the probability that chosen is preferred
    (Bradley-Terry), and the term is the mean over rows l in other languages than their anchor's row a of

        KL(sigma(stopgrad(m_a)) || sigma(m_l))

    so the anchor teaches and isn't pulled. After Direct Consistency Optimization (Liu et al. 2026,
    arXiv 2603.04678), which rewards agreement between languages with the model's own likelihood of the answer
    in another language; this is the same idea on the pair's preference, with one teacher.
    `margins` has shape (rows,); the result is a scalar.
    """
    teacher = {
        concept: row
        for row, (concept, tag) in enumerate(zip(concepts, languages, strict=True))
        if tag == anchor
    }
    pairs = [
        (row, teacher[concept])
        for row, (concept, tag) in enumerate(zip(concepts, languages, strict=True))
        if tag != anchor and concept in teacher
    ]
    if not pairs:
        return margins.sum() * 0
    student, teaching = torch.tensor(pairs, device=margins.device).unbind(1)
    wanted = torch.sigmoid(margins[teaching].detach().float())
    cross = F.binary_cross_entropy_with_logits(margins[student].float(), wanted)
    return cross - F.binary_cross_entropy(wanted, wanted)


class _Labelled:
    """A collator that keeps each row's concept and language, and counts padding."""

    def __init__(self, inner: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> None:
        self.inner = inner

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.inner([{key: row[key] for key in row if key not in LABELS} for row in rows])
        masks = [
            value for key, value in batch.items() if key.endswith("attention_mask") and "prompt" not in key
        ]
        width = max(mask.shape[1] for mask in masks)
        used = sum(int(mask.sum()) for mask in masks)
        batch["tokens"] = used
        batch["padding"] = 1 - used / (width * sum(len(mask) for mask in masks))
        return batch | {key: [row[key] for row in rows] for key in LABELS}


class _Follows(TrainerCallback):
    """Tells the sampler which epoch begins, the record which step a run goes on from, the log to be whole.

    accelerate's shard of a batch sampler hides `set_epoch`, and a resume on several processes would silently
    repeat epoch 0: transformers' `Trainer._run_epoch` reaches through one wrapper only.
    """

    def __init__(self, trainer: _BatchAligned) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        self.trainer.open_record(state.global_step)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        self.trainer.sampler.set_epoch(int((state.epoch or 0) + 1e-6))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        # a mean over steps before a checkpoint would be lost with a resume, one over the last steps always
        control.should_log |= control.should_save or state.global_step >= state.max_steps


class _BatchAligned:
    """What DPO and ORPO in aligned batches share; stands before a trainer of TRL's."""

    args: Any
    state: Any
    model: Any
    accelerator: Any
    train_dataset: Any
    data_collator: Any
    _columns: tuple[str, ...]
    """Columns of a prepared row that the collator needs."""

    def __init__(
        self,
        *,
        args: Any,
        train_dataset: Any,
        batching: Batching | None = None,
        consistency: float = 0.0,
        record: Path | None = None,
        **options: Any,
    ) -> None:
        """`options` are those of TRL's trainer; `args.per_device_train_batch_size` counts preference rows.

        `train_dataset` has the columns concept_id and language besides TRL's, a concept's rows together.
        `consistency` weighs `preference_kl`. `record` is a directory, where every process writes which rows
        each of its batches held, a JSON line a batch.
        """
        self.batching = batching or Batching()
        self.consistency = consistency
        self.record = record
        self._record_file: Any = None
        self._saving = False
        if missing := [name for name in LABELS if name not in train_dataset.column_names]:
            raise InputError(
                f"the training rows have no column {' or '.join(missing)}: "
                "train on a set made by `mldata build`"
            )
        if consistency and (self.batching.align == "step" or self.batching.kind != "aligned"):
            raise InputError(
                "the consistency term compares a concept's languages within one device's batch: it needs "
                "aligned batches with --align device"
            )
        if consistency and not self.batching.with_anchor:
            raise InputError("the consistency term learns from the anchor, and --no-anchor leaves it out")
        args.remove_unused_columns = False  # TRL's collators would lose concept and language
        args.dataloader_pin_memory &= torch.accelerator.is_available()  # else torch warns with each loader
        super().__init__(args=args, train_dataset=train_dataset, **options)  # type: ignore[call-arg]
        sharing = self.args.accelerator_config
        if sharing.split_batches or sharing.dispatch_batches:
            raise InputError(
                "accelerator_config: split_batches and dispatch_batches tear concepts apart; leave them off"
            )
        self.train_dataset = self.train_dataset.select_columns([*LABELS, *self._columns])
        trainable = self._trainable()
        if not trainable.any():
            raise InputError(
                f"no prompt is shorter than max_length ({self.args.max_length} tokens): raise it"
            )
        groups = index(self._index_parts(), anchor=self.batching.anchor, where="the training data")
        self.untrainable = int((~trainable).sum())
        """Rows that have no answer's token left after cutting."""
        self.plan = BatchPlan(
            groups.select(trainable[groups.rows]) if self.untrainable else groups,
            self.batching,
            rows=self.args.per_device_train_batch_size,
            processes=self.args.world_size,
            accumulation=self.args.gradient_accumulation_steps,
            seed=self.args.seed,
        )
        self.sampler = BatchSampler(self.plan)
        self.add_callback(_Follows(self))  # type: ignore[attr-defined]

    def _index_parts(self) -> Iterator[tuple[pl.Series, pl.Series, Ints, Ints]]:
        for table in self.train_dataset.with_format("arrow").iter(batch_size=10_000):
            first, second = self._sequence_lengths(table)
            concepts, languages = (pl.Series(table[name].combine_chunks()) for name in LABELS)
            yield concepts, languages, np.maximum(first, second), first + second

    def _sequence_lengths(self, table: pa.Table) -> tuple[Ints, Ints]:
        """Tokens of prompt and chosen, and of prompt and rejected, for each row."""
        raise NotImplementedError

    def _trainable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows of the dataset have tokens to learn from in both answers."""
        raise NotImplementedError

    def _log_metric(self, name: str, value: float) -> None:
        raise NotImplementedError

    def train(self, *args: Any, **options: Any) -> Any:
        """TRL's training; the record is closed however it ends."""
        try:
            return super().train(*args, **options)  # type: ignore[misc]
        finally:
            self.close_record()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of the plan; accelerate deals them to the processes one by one."""
        loading: dict[str, Any] = {}
        if self.args.dataloader_num_workers:
            loading["prefetch_factor"] = self.args.dataloader_prefetch_factor
            loading["persistent_workers"] = self.args.dataloader_persistent_workers
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self.sampler,
            collate_fn=_Labelled(self.data_collator),
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            **loading,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The micro-batches of a step, each with its weight: its rows over the mean of the step's."""
        samples, items = super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]
        rows = [len(batch["concept_id"]) for batch in samples]
        for batch, number in zip(samples, rows, strict=True):
            batch["weight"] = number * len(rows) / sum(rows)
        return samples, items

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """TRL's step; EngineError if the loss isn't finite, before any weight is changed by it."""
        self._check_whole(inputs)
        self._write_record(inputs)
        self._log_metric("padding", inputs["padding"])
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        if not torch.isfinite(loss):
            raise EngineError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1} "
                f"(concepts {' '.join(dict.fromkeys(inputs['concept_id']))}): lower the learning rate, or "
                f"train in bfloat16 or float32; {kept(self.args.output_dir)}"
            )
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss, and the consistency term if it is asked for."""
        inputs = dict(inputs)
        concepts, languages = (inputs.pop(label, []) for label in LABELS)
        weight = inputs.pop("weight", 1.0)
        for name in ("tokens", "padding"):
            inputs.pop(name, None)
        if not (self.consistency and self.model.training):
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[misc]
            return loss if weight == 1 else loss * weight
        loss, margins = self._loss_and_margins(model, inputs)
        term = preference_kl(margins, concepts, languages, self.batching.anchor)
        self._log_metric("preference_kl", term.item())
        return (loss + self.consistency * term) * weight

    def _loss_and_margins(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """TRL's loss, and the margins (rows,) it was made of, with their gradients."""
        raise NotImplementedError

    def _check_whole(self, inputs: dict[str, Any]) -> None:
        """Whether the batch is one that was planned: every concept with its anchor."""
        if self.batching.kind != "aligned" or self.plan.by_step or not self.batching.with_anchor:
            return
        anchored = {
            concept
            for concept, tag in zip(inputs["concept_id"], inputs["language"], strict=True)
            if tag == self.batching.anchor
        }
        if torn := set(inputs["concept_id"]) - anchored:
            raise EngineError(
                f"concept {min(torn)} came without its anchor at step {self.state.global_step + 1}: "
                "something between the sampler and the model deals rows anew"
            )

    def open_record(self, step: int) -> None:
        """Begin to write, after the lines up to `step`: later ones are of steps that are done again."""
        if self.record is None:
            return
        path = self.record / f"process-{self.args.process_index:05}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = []
        if step and path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError):
                    break  # the last line of a killed run
        making = path.with_suffix(".part")
        making.write_text("".join(kept), "utf-8")
        making.rename(path)
        self._record_file = path.open("a", encoding="utf-8", buffering=1)

    def close_record(self) -> None:
        """Finish the record."""
        if self._record_file is not None:
            self._record_file.close()
            self._record_file = None

    def _write_record(self, inputs: dict[str, Any]) -> None:
        if self._record_file is None:
            return
        concepts: dict[str, list[str]] = {}
        for concept, tag in zip(inputs["concept_id"], inputs["language"], strict=True):
            concepts.setdefault(concept, []).append(tag)
        line = {
            "step": self.state.global_step + 1,
            "epoch": self.sampler.number,
            "tokens": inputs["tokens"],
            "padding": round(inputs["padding"], 4),
            "concepts": concepts,
        }
        self._record_file.write(json.dumps(line) + "\n")

    def _get_output_dir(self, trial: Any) -> str:
        found: str = super()._get_output_dir(trial)  # type: ignore[misc]
        return str(Path(found) / ".saving") if self._saving else found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """A checkpoint under its name only when all of it is on the disk; the one before is kept until then.

        EngineError if it can't be written, or if a weight isn't finite.
        """
        for name, weight in self.model.named_parameters():
            if weight.requires_grad and not torch.isfinite(weight).all():
                raise EngineError(
                    f"{name} isn't finite after step {self.state.global_step}: lower the learning rate; "
                    f"{kept(self.args.output_dir)}"
                )
        place = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        if self.state.best_global_step:
            self.state.best_model_checkpoint = str(place / f"checkpoint-{self.state.best_global_step}")
        making = place / ".saving"
        self._saving = True
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                appear(making / name, place / name)
        except (OSError, RuntimeError) as error:  # safetensors and torch report a full disk as they like
            if self.args.should_save:
                shutil.rmtree(making, ignore_errors=True)
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise EngineError(
                f"{place / name} couldn't be written ({reason}): free some space and run the same command "
                f"again; {kept(self.args.output_dir)}"
            ) from error
        finally:
            self._saving = False
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            making.rmdir()
            rotate_checkpoints(
                output_dir=str(place),
                save_total_limit=self.args.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=False,
            )


def last_checkpoint(place: Path) -> Path | None:
    """The checkpoint of the latest step below `place`; every one that is there is whole."""
    found = {
        int(path.name.removeprefix("checkpoint-")): path
        for path in place.glob("checkpoint-*")
        if path.name.removeprefix("checkpoint-").isdigit() and (path / "trainer_state.json").is_file()
    }
    return found[max(found)] if found else None


def kept(place: str | Path) -> str:
    """What an error says of the work that isn't lost."""
    last = last_checkpoint(Path(place))
    return f"the last good checkpoint is {last}" if last else "there was no checkpoint yet"


def appear(making: Path, final: Path) -> None:
    """Give a finished directory its name, after everything in it has reached the disk."""
    for path in (*making.rglob("*"), making):
        sync(path)
    if final.exists():
        shutil.rmtree(final)
    making.rename(final)


class BatchAlignedDPOTrainer(_BatchAligned, KeepsLogProbabilities):
    """TRL's DPOTrainer on whole concepts; reference log-probabilities are computed once, kept in `cache`."""

    _columns = ("prompt_ids", "chosen_ids", "rejected_ids")

    def __init__(self, *, args: DPOConfig, cache: Cache | None = None, **options: Any) -> None:
        """As `_BatchAligned`; `args.precompute_ref_log_probs` is turned on, unless `sync_ref_model` is.

        With a reference model that changes there is nothing to keep, and no consistency term.
        """
        self.cache = cache
        args.precompute_ref_log_probs = not args.sync_ref_model
        if args.sync_ref_model and options.get("consistency"):
            raise InputError("the consistency term needs a fixed reference model: leave sync_ref_model off")
        if args.ld_alpha is not None and options.get("consistency"):
            raise InputError(
                "the consistency term isn't defined for length-desensitised DPO: leave ld_alpha unset"
            )
        super().__init__(args=args, **options)
        if options.get("peft_config") is not None and args.precompute_ref_log_probs:
            self._precompute_model_hash = _hash_below_adapter(self.model)

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        if name == "train":
            return dataset  # in `train`, which knows which rows it will see
        return super()._precompute_ref_logps(dataset, name, batch_size)

    def train(self, *args: Any, **options: Any) -> Any:
        """TRL's; before it, and before a checkpoint is loaded, the reference log-probabilities."""
        if self.precompute_ref_logps:
            steps = math.ceil(self.args.num_train_epochs * self.plan.steps)
            self.train_dataset = self.with_reference(
                self.train_dataset.select_columns([*LABELS, *self._columns]),
                "train",
                self.args.precompute_ref_batch_size or self.args.per_device_train_batch_size,
                self.plan.rows_within(self.args.max_steps if self.args.max_steps > 0 else steps),
            )
        return super().train(*args, **options)

    def _sequence_lengths(self, table: pa.Table) -> tuple[Ints, Ints]:
        prompt, chosen, rejected = (
            pc.list_value_length(table[name]).to_numpy()
            for name in ("prompt_ids", "chosen_ids", "rejected_ids")
        )
        limit = self.args.max_length or np.iinfo(np.int32).max
        return np.minimum(prompt + chosen, limit), np.minimum(prompt + rejected, limit)

    def _trainable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.ones(len(self.train_dataset), np.bool_)  # TRL has dropped the others

    def _log_metric(self, name: str, value: float) -> None:
        self._metrics["train"][name].append(value)

    def _loss_and_margins(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        seen: list[torch.Tensor] = []

        def listened(*args: Any, **kwargs: Any) -> Any:
            outputs = model(*args, **kwargs)
            seen.append(outputs.log_probs)
            return outputs

        loss = DPOTrainer.compute_loss(self, listened, inputs)
        width = inputs["completion_mask"].shape[1] - 1
        chosen, rejected = seen[0][:, -width:].sum(1).chunk(2)
        ratios = (chosen - inputs["ref_chosen_logps"]) - (rejected - inputs["ref_rejected_logps"])
        return loss, self.beta * ratios


def _hash_below_adapter(model: Any) -> str:
    """TRL's hash of the model that a new adapter was put on: it is the reference, whatever the seed."""
    below = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): tensor
        for name, tensor in model.state_dict().items()
        if model.base_model.prefix not in name
    }
    return str(hash_module(SimpleNamespace(state_dict=lambda: below)))


class BatchAlignedORPOTrainer(_BatchAligned, ORPOTrainer):  # type: ignore[misc]
    """TRL's ORPOTrainer on whole concepts."""

    _columns = (
        *(
            f"{answer}_{part}"
            for answer in ("chosen", "rejected")
            for part in ("input_ids", "attention_mask", "labels")
        ),
        "prompt_input_ids",
        "prompt_attention_mask",
    )
    _margins: torch.Tensor

    def _sequence_lengths(self, table: pa.Table) -> tuple[Ints, Ints]:
        chosen, rejected = (
            pc.list_value_length(table[name]).to_numpy()
            for name in ("chosen_input_ids", "rejected_input_ids")
        )
        return chosen, rejected

    def _trainable(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        # an answer that was cut away whole has the mean log-probability 0/0
        found = []
        labels = self.train_dataset.select_columns(["chosen_labels", "rejected_labels"])
        for table in labels.with_format("arrow").iter(batch_size=10_000):
            found.append(np.logical_and(*(_has_labels(column.combine_chunks()) for column in table.columns)))
        return np.concatenate([np.empty(0, np.bool_), *found])

    def _log_metric(self, name: str, value: float) -> None:
        self.store_metrics({name: value}, train_eval="train")

    def odds_ratio_loss(self, policy_chosen_logps: torch.Tensor, policy_rejected_logps: torch.Tensor) -> Any:
        """TRL's, which returns the mean of the log odds ratios: here the rows' own are kept."""
        chosen, rejected = policy_chosen_logps.float(), policy_rejected_logps.float()
        if self.consistency:
            self._margins = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
        return super().odds_ratio_loss(policy_chosen_logps, policy_rejected_logps)

    def _loss_and_margins(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return ORPOTrainer.compute_loss(self, model, inputs), self._margins


def _has_labels(column: pa.ListArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each row's labels hold a token; -100 marks what isn't learnt."""
    real = np.concatenate([[0], np.cumsum(column.flatten().to_numpy() != -100)])
    ends = np.concatenate([[0], np.cumsum(pc.list_value_length(column).to_numpy())])
    return np.asarray(real[ends[1:]] > real[ends[:-1]])
