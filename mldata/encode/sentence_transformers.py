"""LaBSE (Feng et al. 2022, arXiv 2007.01852), BGE-M3, multilingual-e5 and others, by sentence-transformers.

Runs on torch, on a GPU if there is one. Reading its directory is enough to plan with it: torch is imported
and weights are loaded when there is something to encode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mldata.encode import Vectors
from mldata.encode.directory import read_directory
from mldata.encode.windows import by_tokens, embed
from mldata.engine import Engine
from mldata.errors import InputError, first_line
from mldata.models import find, licence
from mldata.settings import Device, Precision, SentenceTransformersSettings

PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch")
"""Their versions can change a vector."""


class SentenceTransformersEncoder:
    """See the module."""

    def __init__(self, name: str, settings: SentenceTransformersSettings) -> None:
        self._versions = installed(name)
        found = find(settings)
        directory = read_directory(found.path)
        self._path, self._settings, self._limit = found.path, settings, directory.limit
        self.dimension = directory.dimension
        made_of = [found.digest, *self._versions, settings.prompt, settings.precision]
        digest = hashlib.blake2b("\n".join(made_of).encode(), digest_size=16).hexdigest()
        release = f"{found.name}, {self._versions[0]}, {settings.precision}"
        self.engine = Engine(name, release, digest, licence(settings))

    @cached_property
    def _model(self) -> Any:
        return load(self._path, self._settings.run.device, self._settings.precision)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, in batches by tokens; see `mldata.encode.windows` for texts that are too long."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        return encoded(
            self._model,
            [self._settings.prompt + text for text in texts],
            limit=self._limit,
            dimension=self.dimension,
            batch_tokens=self._settings.run.tokens_on(self._model.device.type),
        )


def encoded(model: Any, texts: Sequence[str], *, limit: int, dimension: int, batch_tokens: int) -> Vectors:
    """float32[len(texts), dimension], unit norm, by a SentenceTransformer that reads `limit` tokens."""
    import torch

    padding = model.tokenizer.pad_token_id or 0

    def forward(batch: list[list[int]]) -> Vectors:
        longest = max(map(len, batch))
        ids = torch.tensor([window + [padding] * (longest - len(window)) for window in batch])
        mask = torch.tensor([[1] * len(window) + [0] * (longest - len(window)) for window in batch])
        features = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}
        with torch.inference_mode():
            return np.asarray(model(features)["sentence_embedding"].float().cpu().numpy())

    tokens, marks = tokenised(model.tokenizer, texts)
    return embed(
        tokens,
        limit=limit,
        marks=marks,
        batches=by_tokens(batch_tokens),
        forward=forward,
        dimension=dimension,
    )


def installed(name: str) -> list[str]:
    """What runs the model, as "package version"; InputError without the package. Imports nothing."""
    if find_spec("sentence_transformers") is None:
        raise InputError(f"the engine {name} needs sentence-transformers: pip install 'mldata[hub]'")
    try:
        return [f"{package} {version(package)}" for package in PACKAGES]
    except PackageNotFoundError as error:
        raise InputError(f"the engine {name} needs {error.name}: pip install 'mldata[hub]'") from None


def load(path: Path, device: Device = "cpu", precision: Precision = "float32") -> Any:
    """The SentenceTransformer at `path`; InputError where it can't be loaded."""
    import sentence_transformers

    return loaded(path, device, precision, sentence_transformers.SentenceTransformer)


def loaded(path: Path, device: Device, precision: Precision, kind: Any) -> Any:
    """The model at `path`, of one of the library's kinds: from its files alone, no code, no pickles."""
    import torch
    from safetensors import SafetensorError
    from transformers.utils import logging

    bars: Any = logging  # which has no types
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        return kind(
            str(path),
            device="cuda"
            if device == "auto" and torch.cuda.is_available()
            else device.replace("auto", "cpu"),
            backend="torch",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": getattr(torch, precision)},
        ).eval()
    except (OSError, ValueError, RuntimeError, LookupError, ImportError, SafetensorError) as error:
        raise InputError(f"the model {path} can't be loaded: {first_line(error)}") from None
    finally:
        if shown:
            bars.enable_progress_bar()


def tokenised(
    tokenizer: Any, texts: Sequence[str], beside: Sequence[str] | None = None
) -> tuple[list[list[int]], tuple[int, int]]:
    """Tokens of texts (or of pairs of texts) at full length, and how many marks stand at begin and end."""
    pairs = None if beside is None else list(beside)
    tokens = tokenizer(list(texts), pairs, truncation=False, padding=False, verbose=False)["input_ids"]
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    begin = next((i for i, special in enumerate(mask) if not special), len(mask))
    end = next((i for i, special in enumerate(reversed(mask)) if not special), 0)
    return [list(ids) for ids in tokens], (begin, end)
