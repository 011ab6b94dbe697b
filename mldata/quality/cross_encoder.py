"""A quality estimator as a CrossEncoder of sentence-transformers: source and translation in, a number out.

COMET-Kiwi (Rei et al. 2022, arXiv 2209.06243) is such a model, but is published as a pickle that wants an
old transformers; a model of its kind, fine-tuned with sentence-transformers and saved as safetensors, is
read as data only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mldata.encode.directory import refuse_pickles, token_limit
from mldata.encode.sentence_transformers import installed, loaded, tokenised
from mldata.encode.windows import Window, by_tokens
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.models import find, licence, read_json
from mldata.quality import Estimates, SegmentPair
from mldata.settings import CrossEncoderSettings

_ACTIVATIONS = ("torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity")
"""What may follow the last layer; any other name in a configuration isn't looked up."""


class CrossEncoderEstimator:
    """See the module."""

    def __init__(self, name: str, settings: CrossEncoderSettings) -> None:
        versions = installed(name)
        found = find(settings)
        refuse_pickles(found.path)
        config = read_json(found.path / "config.json")
        if len(config.get("id2label", (0, 1))) != 1:
            raise InputError(f"the model {found.path} is no quality estimator: it gives more than one number")
        saved = found.path / "config_sentence_transformers.json"
        more = read_json(saved) if saved.is_file() else config.get("sentence_transformers", {})
        self._activation = more.get("activation_fn") or _ACTIVATIONS[0]
        if self._activation not in _ACTIVATIONS:
            raise InputError(
                f"the model {found.path} names an activation mldata doesn't run: {self._activation}"
            )
        self._path, self._settings, self._limit = found.path, settings, token_limit(found.path)
        made_of = [found.digest, *versions, settings.precision]
        digest = hashlib.blake2b("\n".join(made_of).encode(), digest_size=16).hexdigest()
        release = f"{found.name}, {versions[0]}, {settings.precision}"
        self.engine = Engine(name, release, digest, licence(settings))

    @cached_property
    def _model(self) -> Any:
        import torch
        from sentence_transformers import CrossEncoder

        activation = torch.nn.Sigmoid() if self._activation == _ACTIVATIONS[0] else torch.nn.Identity()

        def kind(path: str, **arguments: Any) -> Any:
            return CrossEncoder(path, activation_fn=activation, **arguments)

        return loaded(self._path, self._settings.run.device, self._settings.precision, kind)

    def estimate(self, pairs: Sequence[SegmentPair]) -> Estimates:
        """In batches by tokens, fixed by the list alone; NaN for pairs too long for the model."""
        estimates = np.full(len(pairs), np.nan, np.float32)
        if not pairs:
            return estimates
        model = self._model
        sources, targets = zip(*pairs, strict=True)
        tokens, _ = tokenised(model.tokenizer, sources, targets)
        order = sorted(range(len(pairs)), key=lambda i: (len(tokens[i]), pairs[i]))
        fitting = [Window(tokens[i], i) for i in order if len(tokens[i]) <= self._limit]
        for batch in by_tokens(self._settings.run.tokens_on(model.device.type))(fitting):
            places = [window.text for window in batch]
            estimates[places] = model.predict(
                [pairs[i] for i in places], batch_size=len(places), show_progress_bar=False
            )
        return estimates
