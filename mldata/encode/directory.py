"""The directory of a sentence-transformers model, as far as its files say what it is without being loaded.

modules.json names the steps (Transformer, Pooling, Dense, Normalize) and a folder for each. Weights are
safetensors; pickles are refused, as are steps that are code of the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mldata.errors import InputError
from mldata.models import read_json

_LIBRARY = "sentence_transformers."
_ROBERTA = ("xlm-roberta", "roberta", "camembert", "xlm-roberta-xl", "mpnet")
"""Models that count positions from behind the padding token's."""
_POOLING = (
    "cls_token",
    "max_tokens",
    "mean_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
)


@dataclass(frozen=True)
class Step:
    """One module of the model."""

    kind: str
    """Its class, as "Pooling"."""
    folder: Path
    config: dict[str, Any]


@dataclass(frozen=True)
class Directory:
    """See the module."""

    path: Path
    steps: tuple[Step, ...]
    limit: int
    """Tokens that the model reads at once, marks of begin and end included."""
    dimension: int

    def step(self, kind: str) -> Step | None:
        """The first step of a kind."""
        return next((step for step in self.steps if step.kind == kind), None)

    def pooling(self) -> tuple[str, ...]:
        """How vectors of tokens become one: "cls", "mean", or others; several are laid side by side."""
        return _pooling(self.step("Pooling"))


def read_directory(path: Path) -> Directory:
    """What is in `path`. InputError where it is no sentence-transformers model, or not only data."""
    if not (path / "modules.json").is_file():
        raise InputError(
            f"{path} is no sentence-transformers model: it has no modules.json. A bare transformers model "
            "doesn't say how its tokens become a vector; save it with SentenceTransformer.save_pretrained"
        )
    steps = tuple(_step(path, entry) for entry in read_json(path / "modules.json", list))
    if not steps or steps[0].kind != "Transformer":
        raise InputError(f"{path}: the model must begin with a Transformer; modules.json says otherwise")
    for step in steps:
        if step.kind in ("Transformer", "Dense") or any(step.folder.glob("*.bin")):
            refuse_pickles(step.folder)
    config = read_json(steps[0].folder / "config.json")
    dense = [step for step in steps if step.kind == "Dense"]
    pooling = next((step for step in steps if step.kind == "Pooling"), None)
    size = dense[-1].config.get("out_features") if dense else config.get("hidden_size", config.get("d_model"))
    if not isinstance(size, int):
        raise InputError(f"{path}: its files don't say how long its vectors are")
    dimension = size if dense else size * len(_pooling(pooling))
    return Directory(path, steps, token_limit(steps[0].folder, steps[0].config), dimension)


def token_limit(folder: Path, config: dict[str, Any] | None = None) -> int:
    """The tokens a transformer reads at once: the least of what its own files say."""
    model = read_json(folder / "config.json")
    tokenizer = folder / "tokenizer_config.json"
    positions = model.get("max_position_embeddings", 512)
    if model.get("model_type") in _ROBERTA:
        positions -= model.get("pad_token_id", 1) + 1
    said = [
        (config or {}).get("max_seq_length"),
        read_json(tokenizer).get("model_max_length") if tokenizer.is_file() else None,
        positions,
    ]
    return int(min(limit for limit in said if limit and limit > 0))


def refuse_pickles(folder: Path) -> None:
    """InputError where a folder's weights aren't safetensors."""
    if not any(folder.glob("*.safetensors")):
        pickled = next((file.name for kind in ("*.bin", "*.pt") for file in folder.glob(kind)), None)
        has = f"only {pickled}, which is a pickle and could run code" if pickled else "none"
        raise InputError(
            f"{folder}: weights must be safetensors, and there are {has}. Give a revision that has "
            "model.safetensors, or load the model where you trust it and save it with save_pretrained"
        )


def _step(path: Path, entry: Any) -> Step:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise InputError(f"{path / 'modules.json'} isn't what a model's file of that name is")
    kind = str(entry.get("type", ""))
    if not kind.startswith(_LIBRARY):
        raise InputError(f"{path}: its step {kind} is code of the model's own, which mldata doesn't run")
    folder = path / entry["path"]
    if not folder.resolve().is_relative_to(path.resolve()):
        raise InputError(f"{path}: its step {kind} lies outside the model's directory")
    name = kind.rpartition(".")[2]
    file = folder / ("sentence_bert_config.json" if name == "Transformer" else "config.json")
    return Step(name, folder, read_json(file) if file.is_file() else {})


def _pooling(step: Step | None) -> tuple[str, ...]:
    config = step.config if step else {}
    mode = config.get("pooling_mode")
    if mode is None:
        named = [word for word in _POOLING if config.get(f"pooling_mode_{word}")] or ["mean_tokens"]
        return tuple(word.removesuffix("_token").removesuffix("_tokens") for word in named)
    return (mode,) if isinstance(mode, str) else tuple(mode)
