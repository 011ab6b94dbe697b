"""LaBSE, multilingual-e5, BGE-M3 and other BERT and XLM-R encoders, run by CTranslate2.

The directory of a sentence-transformers model is converted once into the cache (that takes the extra
`hub`), and the conversion checked against the original; after that torch has no part in it. The transformer
is CTranslate2's; what follows it (pooling, a dense layer) is a line of numpy each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mldata.encode import Vectors
from mldata.encode.bert import ACTIVATIONS, Sizes, Tensor, specification, transformers_name
from mldata.encode.directory import Directory, read_directory
from mldata.encode.windows import embed, of_one_length, unit
from mldata.engine import Engine
from mldata.errors import EngineError, InputError
from mldata.models import Found, cached, ctranslate2_device, find, licence, on_cpu, read_json
from mldata.settings import CTranslate2EncoderSettings, Quantization

VERSION = 1
"""Raise it when conversions change."""
AGREEMENT: dict[Quantization, float] = {
    "float32": 0.9999,
    "float16": 0.999,
    "bfloat16": 0.99,
    "int8": 0.99,
    "int8_float32": 0.99,
    "int8_float16": 0.99,
    "int8_bfloat16": 0.98,
}
"""Cosine of a converted model's vectors with the original's, at least."""
_CHECKED = (
    "The library is closed on Mondays because of the renovation.",
    "Mi tía cultiva tomates y judías detrás de su casa.",
    "Die Sitzung beginnt um halb neun; bringen Sie bitte den Vertrag mit!",
    "図書館は改装のため月曜日は休館です。",
    "Библиотека закрыта по понедельникам.",
    "Yes.",
)
_STEPS = ("Transformer", "Pooling", "Dense", "Normalize")
_DENSE = {"torch.nn.modules.activation.Tanh": "tanh", "torch.nn.modules.linear.Identity": "identity"}


class CTranslate2Encoder:
    """See the module."""

    def __init__(self, name: str, settings: CTranslate2EncoderSettings) -> None:
        try:
            import ctranslate2
            import tokenizers  # noqa: F401 (whether it is there)
        except ImportError as error:
            raise InputError(
                f"the engine {name} needs the package {error.name}: pip install 'mldata[hub]'"
            ) from error
        self._device = ctranslate2_device(name, settings.run.device, settings.quantization)
        found, self._directory = _found(settings)
        self._settings, self.dimension = settings, self._directory.dimension
        release = f"{found.name}, CTranslate2 {ctranslate2.__version__}, {settings.quantization}"
        digest = _digest([*_made_of(found, settings), settings.prompt])
        self.engine = Engine(name, release, digest, licence(settings))

    @cached_property
    def _converted(self) -> Converted:
        return open_converted(convert(self._settings), self._device, self._settings.quantization)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, the same bits for any `batch_tokens`; see `mldata.encode.windows` for long texts."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        texts = [self._settings.prompt + text for text in texts]
        return self._converted.encode(texts, self._settings.run.tokens_on(self._device))


def convert(settings: CTranslate2EncoderSettings) -> Path:
    """The converted model's directory in the cache, made and checked at first use, on a CPU."""
    found, source = _found(settings)
    name = f"encoder-{_digest(_made_of(found, settings))}"
    return cached(name, lambda directory: _convert(found.name, source, directory, settings.quantization))


def _found(settings: CTranslate2EncoderSettings) -> tuple[Found, Directory]:
    """The model's files, and what they say; InputError where it can't be converted."""
    found = find(settings)
    directory = read_directory(found.path)
    _convertible(directory)
    return found, directory


def _made_of(found: Found, settings: CTranslate2EncoderSettings) -> list[str]:
    """What decides a converted model."""
    versions = [f"{package} {version(package)}" for package in ("ctranslate2", "tokenizers")]
    return [str(VERSION), found.digest, settings.quantization, *versions]


@dataclass(frozen=True)
class Converted:
    """A converted model, loaded."""

    encoder: Any
    tokenizer: Any
    limit: int
    marks: tuple[int, int]
    """Special tokens at the begin and end of a text."""
    pooling: str
    dense: tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], str], ...]
    """Weights, biases and activation of the layers after the pooling."""
    dimension: int

    def encode(self, texts: Sequence[str], batch_tokens: int) -> Vectors:
        """float32[len(texts), dimension], unit norm."""
        return embed(
            [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))],
            limit=self.limit,
            marks=self.marks,
            batches=of_one_length(batch_tokens),
            forward=self._forward,
            finish=self._finish,
            dimension=self.dimension,
        )

    def _forward(self, batch: list[list[int]]) -> Vectors:
        """Each window's pooled vector; all are of one length, so there is no padding to leave out."""
        import ctranslate2

        hidden = self.encoder.forward_batch(batch).last_hidden_state
        on_cpu = hidden.to_device(ctranslate2.Device.cpu).to(ctranslate2.DataType.float32)
        tokens = np.asarray(on_cpu)
        return np.array(tokens[:, 0] if self.pooling == "cls" else tokens.mean(1))

    def _finish(self, vectors: Vectors) -> Vectors:
        """What follows the pooling, for all windows at once: a product's bits depend on its shape."""
        for weight, bias, activation in self.dense:
            vectors = vectors @ weight.T + bias
            vectors = np.tanh(vectors) if activation == "tanh" else vectors
        return unit(vectors)


def open_converted(directory: Path, device: str, arithmetic: str) -> Converted:
    """Load what `_convert` wrote."""
    import ctranslate2
    from tokenizers import Tokenizer

    said = json.loads((directory / "encoder.json").read_text("utf-8"))
    encoder = ctranslate2.Encoder(
        str(directory), device=device, compute_type=arithmetic, inter_threads=1, intra_threads=1
    )
    with np.load(directory / "dense.npz") as arrays:
        dense = tuple(
            (arrays[f"weight{i}"], arrays[f"bias{i}"], activation)
            for i, activation in enumerate(said["dense"])
        )
    return Converted(
        encoder,
        Tokenizer.from_file(str(directory / "tokenizer.json")),
        said["limit"],
        tuple(said["marks"]),
        said["pooling"],
        dense,
        said["dimension"],
    )


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _convertible(directory: Directory) -> None:
    """InputError where the model has steps that this engine doesn't know."""
    path = directory.path
    instead = 'use it with engine = "sentence-transformers"'
    config = read_json(directory.steps[0].folder / "config.json")
    if config.get("model_type") not in _NAMES:
        raise InputError(f"{path}: a model of type {config.get('model_type')} isn't known here; {instead}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(f"{path}: its positions are relative, which isn't known here; {instead}")
    if config.get("hidden_act", "gelu") not in ACTIVATIONS:
        raise InputError(f"{path}: its activation {config['hidden_act']} isn't known here; {instead}")
    if unknown := [step.kind for step in directory.steps if step.kind not in _STEPS]:
        raise InputError(f"{path}: its step {unknown[0]} isn't known here; {instead}")
    if directory.pooling() not in (("cls",), ("mean",)):
        raise InputError(f"{path}: its pooling {'+'.join(directory.pooling())} isn't known here; {instead}")
    for step in directory.steps:
        said = step.config
        if step.kind == "Dense" and (
            said.get("activation_function") not in _DENSE
            or said.get("use_residual")
            or said.get("module_input_name", "sentence_embedding") != "sentence_embedding"
        ):
            raise InputError(f"{path}: its dense layer isn't known here; {instead}")


_NAMES = {"bert": False, "xlm-roberta": True, "roberta": True, "camembert": True}
"""Types of models that are the same but for this: positions counted from behind the padding token's."""


def _convert(name: str, source: Directory, directory: Path, quantization: Quantization) -> None:
    """Write the converted model of `source`, for people `name`, into `directory`, and compare the two."""
    from mldata.encode.sentence_transformers import encoded, installed, load, tokenised

    installed(f"{source.path} is to be converted, which")
    original = load(source.path)
    # Encode first: the conversion quantises the original's own memory.
    size = {"limit": source.limit, "dimension": source.dimension}
    right = encoded(original, _CHECKED, batch_tokens=4096, **size)
    transformer = original[0].auto_model
    config = transformer.config
    first = config.pad_token_id + 1 if _NAMES[config.model_type] else 0
    sizes = Sizes(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        config.intermediate_size,
        config.vocab_size,
        config.max_position_embeddings - first,
        config.type_vocab_size,
    )
    spec = specification(_reader(transformer, first), sizes, config.hidden_act)
    spec.register_vocabulary([f"<{number}>" for number in range(sizes.vocabulary)])  # only ids are asked for
    spec.config.unk_token = f"<{original.tokenizer.unk_token_id or 0}>"
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))
    tokenizer = original.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(directory / "tokenizer.json"))
    dense = [module for module in original if type(module).__name__ == "Dense"]
    arrays = {}
    for i, layer in enumerate(dense):
        weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias
        arrays[f"weight{i}"] = weight
        arrays[f"bias{i}"] = np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()
    np.savez(directory / "dense.npz", **arrays)
    said = {
        "model": name,
        "quantization": quantization,
        **size,
        "marks": tokenised(original.tokenizer, ["a"])[1],
        "pooling": source.pooling()[0],
        "dense": [
            _DENSE[step.config["activation_function"]] for step in source.steps if step.kind == "Dense"
        ],
    }
    (directory / "encoder.json").write_text(json.dumps(said), "utf-8")
    made = open_converted(directory, "cpu", on_cpu(quantization)).encode(_CHECKED, 4096)
    cosine = float((made * right).sum(1).min())
    if not cosine >= AGREEMENT[quantization]:
        raise EngineError(
            f"the model {source.path} converted to {quantization} disagrees with the original (cosine "
            f'{cosine:.4f}, wanted {AGREEMENT[quantization]}): use it with engine = "sentence-transformers", '
            "or another quantization"
        )


def _reader(transformer: Any, first: int) -> Tensor:
    """The transformer's tensors by the names of `mldata.encode.bert`; positions from `first` on."""
    state = {name: value.detach().float().numpy() for name, value in transformer.state_dict().items()}

    def tensor(name: str, *shape: int) -> npt.NDArray[np.float32]:
        found = state[transformers_name(name)]
        found = found[first:] if name == "emb.pos" else found
        if found.shape != shape:
            raise EngineError(f"the tensor {name} has shape {found.shape}, not {shape}")
        return np.ascontiguousarray(found, np.float32)

    return tensor
