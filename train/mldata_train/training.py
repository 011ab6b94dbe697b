"""One training run: a set, a model and settings in, a directory out.

    OUT/model/                 the trained weights (or adapter) and tokenizer
    OUT/checkpoint-N/          whole or not there
    OUT/batches/process-*.jsonl  what every batch held, a line a batch
    OUT/run.json               what the run depends on, versions, and how it went

The same command again goes on from the last checkpoint, or says that the run is finished; another run is
never written over it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import math
import shutil
import time
import tomllib
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import numpy as np
import torch
from accelerate import PartialState
from peft import LoraConfig

from mldata.errors import EngineError, InputError, MldataError, first_line
from mldata.store import whole
from mldata_train.batches import Batching
from mldata_train.evaluate import evaluate
from mldata_train.figures import read_evaluation
from mldata_train.logprobs import beside
from mldata_train.models import load_model, load_tokenizer
from mldata_train.progress import show_progress
from mldata_train.scores import scores
from mldata_train.sets import PreferenceSet, open_preferences
from mldata_train.trainers import (
    BatchAlignedDPOTrainer,
    BatchAlignedORPOTrainer,
    DPOConfig,
    ORPOConfig,
    appear,
    kept,
    last_checkpoint,
)

if TYPE_CHECKING:
    from datasets import Dataset

Method = Literal["dpo", "orpo"]
CONFIGS: Mapping[Method, Any] = {"dpo": DPOConfig, "orpo": ORPOConfig}
TRAINERS: Mapping[Method, Any] = {"dpo": BatchAlignedDPOTrainer, "orpo": BatchAlignedORPOTrainer}

LEARNING_RATES: Mapping[tuple[Method, bool], float] = {
    ("dpo", False): 1e-6,  # TRL's default
    ("dpo", True): 1e-5,  # ten times that of full fine-tuning, as is usual for LoRA
    ("orpo", False): 5e-6,  # Hong et al. 2024, for Mistral 7B
    ("orpo", True): 5e-5,
}
LORA = {
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
    "task_type": "CAUSAL_LM",
}
GAP_CONCEPTS = 256
"""Concepts that gaps are measured on: some 5 points to either side, enough to rank languages by."""
PACKAGES = ("mldata", "torch", "transformers", "trl", "accelerate", "peft")
HOW = (
    "output_dir",
    "logging_",
    "save_",
    "report_to",
    "disable_tqdm",
    "eval_",
    "per_device_eval",
    "dataloader_",
    "run_name",
)
"""Beginnings of the names of settings that a run may change when it goes on: they decide no weight."""


@dataclass(frozen=True)
class Run:
    """All that a run depends on."""

    method: Method
    data: str
    """Path or fsspec URL of a set."""
    model: str
    """Directory, hub name, or .gguf file."""
    out: Path
    batching: Batching = field(default_factory=Batching)
    """`anchor` and `weights` are filled in from the set and from gaps."""
    anchor: str | None = None
    """The language that anchors batches; None is the set's own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TRL's DPOConfig or ORPOConfig that differ from the defaults here."""
    consistency: float = 0.0
    without: tuple[str, ...] = ()
    """Languages whose rows aren't trained on."""
    lora: Mapping[str, Any] | None = None
    """Fields of peft's LoraConfig that differ from `LORA`; None for full fine-tuning."""
    chat_template: Path | None = None
    by_gap: bool = False
    """Whether languages are drawn by their gap to the anchor where not all of a concept's fit."""
    gaps: Path | None = None
    """The evaluation to take gaps from; they are measured if None."""
    tokens: int | None = None
    """Train on at most so many tokens (prompts count twice, once with each answer), instead of epochs."""

    def decided_by(self, digest: str) -> dict[str, Any]:
        """What the trained weights depend on, as JSON has it."""
        facts = asdict(self) | {"data": digest, "processes": PartialState().num_processes}
        del facts["out"]
        facts["settings"] = {key: value for key, value in self.settings.items() if not key.startswith(HOW)}
        if self.chat_template is not None:
            facts["chat_template"] = self.chat_template.read_text("utf-8")
        if self.gaps is not None:
            facts["gaps"] = hashlib.sha256(self.gaps.read_bytes()).hexdigest()
        plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
        return plain


def train(
    run: Run,
    *,
    overwrite: bool = False,
    begins: Callable[[Run, Mapping[str, Any]], None] = lambda run, facts: None,
) -> dict[str, Any]:
    """Train, or go on with, `run`; gives what run.json says. `begins` is told what will be trained.

    InputError for what can't be used, EngineError when training fails; the last good checkpoint is kept.
    """
    check_settings(run)
    opened = open_preferences(run.data)
    opened.check_languages([*([run.anchor] if run.anchor else []), *run.without])
    decided = run.decided_by(opened.digest)
    before = _claimed(run.out, decided, overwrite=overwrite)
    if before.get("finished"):
        return before
    rows = opened.rows("train", without=run.without)
    if run.by_gap:
        run = replace(run, batching=replace(run.batching, weights=_weights(run, opened)))
    trainer = make_trainer(run, opened, rows)
    if run.by_gap and not trainer.plan.chooses:
        raise InputError(
            "every concept fits whole into a batch, so --sample-by gap has nothing to choose: "
            "set --group-size"
        )
    checkpoint = last_checkpoint(run.out)
    plan = trainer.plan
    facts: dict[str, Any] = {
        "decided_by": decided,
        "set": run.data,
        "base_model": run.model,
        "method": run.method,
        "languages": list(plan.groups.names),
        "weights": plan.batching.weights,
        "processes": trainer.args.world_size,
        "rows": len(rows),
        "rows_too_long": len(rows) - len(trainer.train_dataset) + trainer.untrainable,
        "concepts": plan.concepts,
        "concepts_without_anchor": plan.without_anchor,
        "batch_rows": trainer.args.per_device_train_batch_size,
        "rows_an_epoch": plan.taken,
        "rows_waiting": len(plan.groups.rows) - plan.taken,
        "steps_an_epoch": plan.steps,
        "max_steps": trainer.args.max_steps,
        "goes_on_from": str(checkpoint) if checkpoint else None,
        "versions": {name: version(name) for name in PACKAGES},
    }
    _write_json(run.out / "run.json", facts)
    if PartialState().is_main_process:
        begins(run, facts)
    started = time.time()
    _run(trainer, run.out, checkpoint)
    _save_model(trainer, run.out)
    facts |= {
        "steps": trainer.state.global_step,
        "tokens": plan.tokens_within(trainer.state.global_step),
        "epochs": trainer.state.epoch,
        "seconds": round(time.time() - started, 1),
        **_means(trainer.state.log_history, ("loss", "padding")),
        "log": trainer.state.log_history,
        "finished": True,
    }
    _write_json(run.out / "run.json", facts)
    return facts


def _means(log: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Means over all steps; an entry of the log is a mean over those since the one before."""
    entries = [entry for entry in log if "loss" in entry]
    steps = np.diff([0, *(entry["step"] for entry in entries)])
    return {name: float(np.average([entry[name] for entry in entries], weights=steps)) for name in names}


def _run(trainer: Any, out: Path, checkpoint: Path | None) -> None:
    """Train; whatever stops it becomes one sentence that says what is kept."""
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except MldataError:
        raise
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"out of GPU memory at step {trainer.state.global_step + 1}: lower per_device_train_batch_size "
            "(a concept's languages then take turns), spread concepts with --align step, or use --lora; "
            f"{kept(out)}"
        ) from error
    except Exception as error:  # torch, TRL and the file system fail in ways that can't be listed
        details = out / f"error-{trainer.args.process_index}.txt"
        with contextlib.suppress(OSError):
            details.write_text(traceback.format_exc(), "utf-8")
        raise EngineError(
            f"training stopped at step {trainer.state.global_step + 1}: {first_line(error)} "
            f"(more in {details}); {kept(out)}"
        ) from error


def _weights(run: Run, opened: PreferenceSet) -> dict[str, float]:
    """How likely each language is drawn: by the gaps that an evaluation found, or that are measured now.

    They are measured on `GAP_CONCEPTS` concepts of the train split, with the model as it is: those of the
    test split would no longer be held out.
    """
    anchor = run.anchor or opened.anchor
    if run.gaps is not None:
        found = read_evaluation(run.gaps)
        if found.anchor != anchor:
            raise InputError(f"{run.gaps} has the gaps to {found.anchor}, and {anchor} is the anchor here")
    else:
        frame = scores(
            opened, run.model, split="train", concepts=GAP_CONCEPTS, chat_template=run.chat_template
        )
        found = evaluate(frame, model=run.model, data=run.data, split="train", anchor=anchor, score="mean")
    return language_weights(
        {one.language: one.paired_gap.value / 100 for one in found.languages if one.paired_gap}
    )


def language_weights(gaps: Mapping[str, float]) -> dict[str, float]:
    """How likely each language is drawn, from its gap to the anchor as a share of 1: in proportion to it.

    A hundredth is added, so that a language without a gap is still seen, and kept from opening one.
    """
    return {tag: max(gap, 0.0) + 0.01 for tag, gap in gaps.items()}


def make_trainer(run: Run, opened: PreferenceSet, rows: Dataset) -> Any:
    """A trainer for `run` on `rows`, ready to train."""
    tokenizer = load_tokenizer(run.model, chat_template=run.chat_template, chat=opened.conversational)
    batching = replace(run.batching, anchor=run.anchor or opened.anchor)
    args = _config(run, largest=opened.largest("train", without=run.without))
    options: dict[str, Any] = {}
    if run.method == "dpo":
        options["cache"] = beside(opened.folder, opened.digest)
    if run.lora is not None:
        options["peft_config"] = _adapter(run.lora)
    if args.eval_strategy != "no":
        options["eval_dataset"] = opened.rows("test", without=run.without)
    model = load_model(run.model, **(run.settings.get("model_init_kwargs") or {}))
    try:
        trainer = TRAINERS[run.method](
            model=model,
            args=args,
            train_dataset=rows,
            processing_class=tokenizer,
            batching=batching,
            consistency=run.consistency,
            record=run.out / "batches",
            **options,
        )
    except torch.OutOfMemoryError as error:
        raise EngineError(f"the model {run.model} doesn't fit into GPU memory: take a smaller one") from error
    except (ValueError, TypeError, RuntimeError, ImportError) as error:  # settings that don't agree
        raise InputError(f"[training] {first_line(error)}") from error
    show_progress(trainer)
    if run.tokens is not None:
        trainer.args.max_steps = trainer.plan.steps_within(run.tokens)
    elif trainer.args.max_steps <= 0:
        trainer.args.max_steps = math.ceil(trainer.args.num_train_epochs * trainer.plan.steps)
    return trainer


def _config(run: Run, *, largest: int) -> Any:
    """TRL's configuration: our defaults, and over them what the user set."""
    on_gpu = torch.cuda.is_available()
    defaults = {
        "output_dir": str(run.out),
        "per_device_train_batch_size": largest,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATES[run.method, run.lora is not None],
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,  # a share of all steps
        "max_length": 1024,
        "bf16": on_gpu and torch.cuda.is_bf16_supported(),
        "activation_checkpointing": on_gpu and run.lora is None,
        "logging_steps": 10,
        "save_steps": 500,
        "save_total_limit": 2,
        "report_to": "none",
        "use_cpu": not torch.accelerator.is_available(),  # else several processes would each train alone
        "dataloader_pin_memory": on_gpu,
        "seed": 0,
    }
    # the model is loaded here: TRL would warn that it is given one, and ORPO refuse it
    chosen = {key: value for key, value in run.settings.items() if key != "model_init_kwargs"}
    if chosen.get("trust_remote_code"):
        raise InputError("trust_remote_code: code that comes with a model is never run here")
    args = _made(CONFIGS[run.method], {**defaults, **chosen}, "training")
    for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):
        if getattr(args, name) < 1:
            raise InputError(f"[training] {name} can't be {getattr(args, name)}: it must be 1 or more")
    return args


def _adapter(settings: Mapping[str, Any]) -> LoraConfig:
    return _made(LoraConfig, {**LORA, **settings}, "lora")


def check_settings(run: Run) -> None:
    """InputError for settings that TRL or peft would refuse, before anything is loaded."""
    _config(run, largest=1)
    if run.lora is not None:
        _adapter(run.lora)


def _made(kind: Any, settings: Mapping[str, Any], table: str) -> Any:
    """An instance of a configuration class; InputError with the closest name for an unknown field."""
    types = get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(kind)]
    for name, value in settings.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"[{table}] {name} is no field of {kind.__name__}{hint}")
        if not _fits(value, types[name]):
            raise InputError(f"[{table}] {name} can't be {value!r}: its type is {_said(types[name])}")
    try:
        return kind(**settings)
    except (TypeError, ValueError, ImportError) as error:
        raise InputError(f"[{table}] {first_line(error)}") from error


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a setting has the type of its field, where that is a number or a truth value.

    The classes themselves don't look: "fast" as a learning rate fails in the midst of training.
    """
    allowed = set(get_args(wanted) or (wanted,))
    if not allowed <= {int, float, bool, type(None)}:
        return True
    return type(value) in allowed or (type(value) is int and float in allowed)


def _said(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else str(wanted)


def read_settings(path: Path | None, pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Settings of a TOML file with the tables training and lora, and over them "key=value" pairs of training.

    A value is read as TOML has it, or as a string.
    """
    tables: dict[str, dict[str, Any]] = {"training": {}, "lora": {}}
    if path is not None:
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path} can't be read: {error}") from None
        for name, values in found.items():
            if name not in tables or not isinstance(values, dict):
                raise InputError(f"{path}: [{name}] isn't known; the tables are [training] and [lora]")
            tables[name].update(values)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair}: it must be key=value, such as --set learning_rate=1e-6")
        try:
            tables["training"][key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            tables["training"][key.strip()] = value
    return tables


def _claimed(out: Path, decided: Mapping[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """What an earlier start of the same run wrote, or {}; InputError if `out` holds something else."""
    file = out / "run.json"
    main = PartialState().is_main_process
    if main and overwrite and file.exists():
        shutil.rmtree(out)
    PartialState().wait_for_everyone()
    before: dict[str, Any] = {}
    if file.exists():
        try:
            before = json.loads(file.read_bytes())
        except ValueError:
            raise InputError(f"{file} is damaged: --overwrite begins anew, or choose another --out") from None
        if changed := changes(before.get("decided_by") or {}, decided):
            raise InputError(
                f"{out} holds another run (different: {changed}): choose another --out, or --overwrite to "
                "replace it"
            )
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out} exists and is no training run: choose another --out")
    PartialState().wait_for_everyone()
    if main:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / ".saving", ignore_errors=True)
    PartialState().wait_for_everyone()
    return before


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Names of what differs between what two runs depend on."""
    return ", ".join(key for key in after if before.get(key) != after[key])


def _save_model(trainer: Any, out: Path) -> None:
    """The final model under its name when all of it is there."""
    making, final = out / ".saving", out / "model"
    try:
        trainer.save_model(str(making))
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            appear(making, final)
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"the trained model couldn't be written to {final} ({first_line(error)}): free some space and "
            f"run the same command again; {kept(out)}"
        ) from error
    trainer.accelerator.wait_for_everyone()


def _write_json(path: Path, value: Any) -> None:
    if PartialState().is_main_process:
        with whole(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
