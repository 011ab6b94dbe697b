"""BERT and XLM-R encoders as CTranslate2 models: one specification for the engines that convert one.

CTranslate2's own converters want configurations that transformers 5 no longer writes, and a pooling layer
that sentence encoders don't use; tensors alone are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = Callable[..., npt.NDArray[np.float32]]
"""(name, *shape) -> weights. Names: emb.word, emb.type, emb.pos, emb.ln.w and .b; of the layer number i
l{i}.q, .k, .v, .ao (attention's output), .fi and .fo (feed-forward in and out), .aln and .oln, each with .w
and .b."""

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
"""Those of transformers' names that can be converted."""


_EMBEDDINGS = {
    "word": "word_embeddings",
    "type": "token_type_embeddings",
    "pos": "position_embeddings",
    "ln": "LayerNorm",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "aln": "attention.output.LayerNorm",
    "oln": "output.LayerNorm",
}


def transformers_name(name: str) -> str:
    """What transformers' BertModel and XLMRobertaModel call a tensor."""
    place, part, *end = name.split(".")
    last = "bias" if end == ["b"] else "weight"
    if place == "emb":
        return f"embeddings.{_EMBEDDINGS[part]}.{last}"
    return f"encoder.layer.{place[1:]}.{_LAYER[part]}.{last}"


@dataclass(frozen=True)
class Sizes:
    """The shape of an encoder."""

    hidden: int
    layers: int
    heads: int
    feed: int
    vocabulary: int
    positions: int
    types: int


def specification(tensor: Tensor, sizes: Sizes, activation: str = "gelu") -> Any:
    """A `TransformerEncoderModelSpec` without vocabulary and configuration; ctranslate2 must be there."""
    from ctranslate2.specs import common_spec, transformer_spec

    kinds = common_spec.Activation
    activations = dict(
        zip(ACTIVATIONS, (kinds.GELU, kinds.GELUTanh, kinds.GELUTanh, kinds.RELU), strict=True)
    )
    encoder = transformer_spec.TransformerEncoderSpec(
        sizes.layers,
        sizes.heads,
        pre_norm=False,
        activation=activations[activation],
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    hidden, feed = sizes.hidden, sizes.feed
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensor("emb.word", sizes.vocabulary, hidden)
    encoder.embeddings[1].weight = tensor("emb.type", sizes.types, hidden)
    encoder.position_encodings.encodings = tensor("emb.pos", sizes.positions, hidden)

    def norm(target: Any, name: str) -> None:
        target.gamma, target.beta = tensor(f"{name}.w", hidden), tensor(f"{name}.b", hidden)

    def linear(target: Any, name: str, rows: int, columns: int) -> None:
        target.weight, target.bias = tensor(f"{name}.w", rows, columns), tensor(f"{name}.b", rows)

    norm(encoder.layernorm_embedding, "emb.ln")
    for i, layer in enumerate(encoder.layer):
        attention = layer.self_attention
        joined = [(tensor(f"l{i}.{x}.w", hidden, hidden), tensor(f"l{i}.{x}.b", hidden)) for x in "qkv"]
        attention.linear[0].weight = np.concatenate([weight for weight, _ in joined])
        attention.linear[0].bias = np.concatenate([bias for _, bias in joined])
        linear(attention.linear[1], f"l{i}.ao", hidden, hidden)
        linear(layer.ffn.linear_0, f"l{i}.fi", feed, hidden)
        linear(layer.ffn.linear_1, f"l{i}.fo", hidden, feed)
        norm(attention.layer_norm, f"l{i}.aln")
        norm(layer.ffn.layer_norm, f"l{i}.oln")
    return spec
