"""Translation models of transformers made into CTranslate2's: once, into the cache, and checked there.

A converter that is out of step with the installed transformers computes other numbers without a word, so a
converted model scores a few texts, and is kept only if the original gives them the same scores. What is in
the cache is whole and was checked; finding it there takes neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mldata.errors import EngineError, InputError, first_line
from mldata.models import WEIGHTS, Found, cache_home, cached, filled, find, on_cpu, read_json
from mldata.settings import CTranslate2Settings, Quantization

REVISION = 1
"""Enters digests: raise it when conversions come out otherwise."""
FILES = (*WEIGHTS, "model.bin")
"""What is fetched of a model: the weights of transformers, or those of CTranslate2."""
RECORD = "translator.json"
"""Beside a converted model: what it was made of."""
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "source.spm",
    "target.spm",
)
"""What turns text into tokens at run time; copied beside a converted model."""
TOLERANCE: dict[Quantization, float] = {
    "float32": 1e-3,
    "float16": 1e-2,
    "bfloat16": 3e-2,
    "int8": 0.1,
    "int8_float32": 0.1,
    "int8_float16": 0.1,
    "int8_bfloat16": 0.1,
}
"""By how much log-probabilities may differ from the original's, as a share of them and of the tokens. Small
trained models came to 1e-6 in float32, 1e-3 in 16 bits and 0.01 in int8; T5 with scaled outputs to 0.8."""
_CHECKED = (
    "The strong woman opens the door.",
    "Every house in the city has a green window, and my sister always paints a chair.",
    "2",
)
_TYPES = ("m2m_100", "marian", "mt5", "t5", "umt5")


@dataclass(frozen=True)
class Record:
    """What a converted model was made of, as its `translator.json` says."""

    model: str
    """The original, for people: "org/name at 0123abcd", or a path."""
    quantization: str
    positions: int | None
    """Tokens that source and translation may have at most; None: any number."""
    versions: tuple[str, ...]
    """Of the packages that converted it."""


def is_converted(directory: Path) -> bool:
    """Whether a directory holds a model in CTranslate2's format."""
    return (directory / "model.bin").is_file() and (directory / "config.json").is_file()


def cache_name(found: Found, quantization: Quantization) -> str:
    """The name of a converted model's directory in the cache; it changes with all that it is made of."""
    parts = (str(REVISION), found.digest, quantization, f"ctranslate2 {version('ctranslate2')}")
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=16)
    return f"translator-{digest.hexdigest()}"


def converted(found: Found, quantization: Quantization) -> Path:
    """The directory of the model in CTranslate2's format: itself, or in the cache, made at first use.

    InputError if it can't be converted here; EngineError if the converted model disagrees with the original,
    which leaves none in the cache.
    """
    check_convertible(found)
    if is_converted(found.path):
        return found.path
    name = cache_name(found, quantization)
    return cached(name, lambda directory: convert(found, quantization, directory))


def converted_into(found: Found, quantization: Quantization, out: Path) -> Path:
    """As `converted`, but into a new directory of the user's; InputError if `out` exists."""
    check_convertible(found)
    if is_converted(found.path):
        raise InputError(f"{found.name} is in CTranslate2's format already: use it as it is")
    if out.exists():
        raise InputError(f"{out} exists: give a new directory")
    out.parent.mkdir(parents=True, exist_ok=True)
    filled(out, lambda directory: convert(found, quantization, directory))
    return out


def in_cache() -> list[Path]:
    """The converted models in the cache."""
    return sorted(path for path in cache_home().glob("[!.]*") if (path / "model.bin").is_file())


def check_convertible(found: Found) -> None:
    """InputError unless the files are those of a translation model that is, or can be, converted."""
    if not found.path.is_dir():
        raise InputError(f"{found.name} is no directory of a model")
    if is_converted(found.path):
        return
    kind = config_of(found.path).get("model_type")
    if kind not in _TYPES:
        raise InputError(
            f"{found.name}: no translation model that is known here (model_type {kind} in its config.json): "
            "give a Marian (OPUS-MT), M2M100, NLLB or T5 (MADLAD) model"
        )
    if not any(found.path.glob("*.safetensors")):
        raise InputError(
            f"{found.name} has no .safetensors file, and mldata reads no pickles: give a revision that "
            'has one (many models have a converted copy at "refs/pr/N"), or, where you trust it, save it '
            "with transformers' from_pretrained and save_pretrained and give that directory"
        )


def config_of(directory: Path) -> dict[str, Any]:
    """What a model's config.json says; {} where there is none, InputError if it is no JSON object."""
    file = directory / "config.json"
    return read_json(file) if file.is_file() else {}


def record(directory: Path) -> Record | None:
    """What a directory of the cache was made of; None where it doesn't say."""
    if not (directory / RECORD).is_file():
        return None
    said = read_json(directory / RECORD)
    try:
        return Record(said["model"], said["quantization"], said["positions"], tuple(said["versions"]))
    except (KeyError, TypeError):
        raise InputError(f"{directory / RECORD} isn't what mldata writes there: delete it") from None


def convert(found: Found, quantization: Quantization, directory: Path) -> None:
    """Convert a model of transformers into an empty directory, and check it there; errors as `converted`."""
    try:
        import torch
        import transformers
        from ctranslate2.converters import TransformersConverter
        from ctranslate2.specs.model_spec import OPTIONAL
    except ImportError as error:
        raise InputError(
            f"{found.name} is to be converted, which needs {error.name}: pip install 'mldata[hub]'"
        ) from None

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Upstream's, but for what is wrong with it; keeps the original's scores before it is changed."""

        def load_model(self, model_class: Any, path: str, **more: Any) -> Any:
            more |= {"use_safetensors": True, "output_loading_info": True}
            model, said = model_class.from_pretrained(path, **more)
            if lacking := sorted(said["missing_keys"]):  # which transformers fills with random numbers
                raise InputError(f"{path} lacks weights of its own model: {', '.join(lacking[:3])} …")
            self.model = model.eval()
            return self.model

        def load_tokenizer(self, tokenizer_class: Any, path: str, **more: Any) -> Any:
            self.tokenizer = tokenizer_class.from_pretrained(path, **more)
            _add_languages(self.tokenizer)
            return self.tokenizer

        def _load(self) -> Any:
            spec = super()._load()
            config = self.model.config
            scales = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
            if "t5" in config.model_type and not scales:
                # https://github.com/OpenNMT/CTranslate2: the loader scales all outputs of T5 whose config
                # says that embeddings are tied, as transformers 5 does of every T5.
                spec.decoder.scale_outputs = OPTIONAL
            # Now, as quantising changes the weights that spec and model share.
            with torch.no_grad():
                self.scored = list(_scored(self.model, self.tokenizer))
            return spec

    converter = Converter(str(found.path))
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on packages and settings that nobody here can follow
            converter.convert(str(directory), quantization=quantization, force=True)
    except (InputError, EngineError):
        raise
    except Exception as error:  # converters raise whatever their checks find
        raise EngineError(f"{found.name} can't be converted by CTranslate2: {first_line(error)}") from error
    for name in TOKENIZERS:
        if (found.path / name).is_file():
            shutil.copy(found.path / name, directory / name)
    if not _has_tokenizer(directory):
        backend = getattr(converter.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InputError(f"{found.name} has no tokenizer's files: one of {', '.join(TOKENIZERS)}")
        backend.save(str(directory / "tokenizer.json"))
    said = {
        "model": found.name,
        "quantization": quantization,
        "positions": getattr(converter.model.config, "max_position_embeddings", None),
        "versions": [f"{name} {version(name)}" for name in ("ctranslate2", "transformers")],
    }
    (directory / RECORD).write_text(json.dumps(said), "utf-8")
    _compare(found, directory, quantization, converter.scored)


def _has_tokenizer(directory: Path) -> bool:
    """Whether there is what text is turned into tokens with."""
    return any((directory / name).is_file() for name in TOKENIZERS if name != "tokenizer_config.json")


def _add_languages(tokenizer: Any) -> None:
    """M2M100's tokenizer of transformers 5 keeps language tokens out of its vocabulary, from which the
    converter makes the model's: put them there."""
    languages = getattr(tokenizer, "lang_code_to_token", None)
    if not isinstance(languages, dict) or set(languages.values()) <= set(tokenizer.get_vocab()):
        return
    known = tokenizer.get_vocab()
    known.update((token, tokenizer.get_lang_id(code)) for code, token in languages.items())
    tokenizer.get_vocab = lambda: known


@dataclass(frozen=True)
class _Scored:
    """A pair of texts and what the original says of it."""

    source: list[str]
    """Tokens."""
    target: list[str]
    """Tokens, with the language's, without the end's."""
    log_probability: float
    """Of the target and its end, summed."""


def _scored(model: Any, tokenizer: Any) -> Iterator[_Scored]:
    """Each text with the model's own translation of it, and with itself, which the model finds unlikely."""
    import torch

    device = model.device
    language, prefix = _languages(tokenizer)
    start, end = model.config.decoder_start_token_id, tokenizer.eos_token_id
    for text in _CHECKED:
        source = tokenizer(f"{language}{text}").input_ids
        ids = torch.tensor([source], device=device)
        encoded = model.get_encoder()(input_ids=ids)
        made = _greedy(model, encoded, [start, *prefix], end)
        copy = [token for token in source if token not in tokenizer.all_special_ids][:12]
        for target in ([*prefix, *made], [*prefix, *copy]):
            given = torch.tensor([[start, *target]], device=device)
            logits = model(encoder_outputs=encoded, decoder_input_ids=given).logits[0].float()
            wanted = torch.tensor([*target, end], device=device)
            total = logits.log_softmax(-1).gather(1, wanted[:, None]).sum().item()
            tokens = tokenizer.convert_ids_to_tokens
            yield _Scored(tokens(source), tokens(target), total)


def _languages(tokenizer: Any) -> tuple[str, list[int]]:
    """What stands before the source's text, and the ids before the target's, for a language there is."""
    known = tokenizer.get_vocab()
    wanted = next((token for token in ("<2es>", ">>spa<<") if token in known), "")
    if "eng_Latn" in known:
        tokenizer.src_lang = "eng_Latn"
        return "", [tokenizer.convert_tokens_to_ids("spa_Latn")]
    if "__en__" in known:
        tokenizer.src_lang = "en"
        return "", [tokenizer.get_lang_id("es")]
    return f"{wanted} " if wanted else "", []


def _greedy(model: Any, encoded: Any, given: Sequence[int], end: int) -> list[int]:
    """The likeliest tokens after `given`, 12 at most. (`generate` heeds settings that forbid tokens.)"""
    import torch

    tokens = list(given)
    while len(tokens) < len(given) + 12:
        ids = torch.tensor([tokens], device=model.device)
        logits = model(encoder_outputs=encoded, decoder_input_ids=ids).logits
        likeliest = int(logits[0, -1].argmax())
        if likeliest == end:
            break
        tokens.append(likeliest)
    return tokens[len(given) :]


def _compare(found: Found, directory: Path, quantization: Quantization, scored: list[_Scored]) -> None:
    """EngineError where the converted model doesn't give the original's log-probabilities."""
    import ctranslate2

    translator = ctranslate2.Translator(str(directory), device="cpu", compute_type=on_cpu(quantization))
    answers = translator.score_batch([one.source for one in scored], [one.target for one in scored])
    made = [sum(answer.log_probs) for answer in answers]
    astray = sum(abs(now - one.log_probability) for now, one in zip(made, scored, strict=True))
    scale = sum(abs(one.log_probability) + len(one.target) + 1 for one in scored)
    if not astray <= TOLERANCE[quantization] * scale:
        raise EngineError(
            f"{found.name} converted to {quantization} isn't the same model: log-probabilities of "
            f"{len(scored)} texts are {', '.join(f'{now:.2f}' for now in made)}, the original's are "
            f"{', '.join(f'{one.log_probability:.2f}' for one in scored)}. Nothing was kept; another "
            "release of ctranslate2 or transformers, or another quantization, may convert it right"
        )


def find_translator(settings: CTranslate2Settings, model: str | None = None) -> Found:
    """The files of a CTranslate2 translator's model: `model`, where the settings' name is a pattern."""
    return find(settings.model_copy(update={"model": model}) if model else settings, FILES)
