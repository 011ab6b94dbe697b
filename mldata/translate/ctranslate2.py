"""NLLB-200, M2M100, MADLAD-400 and OPUS-MT (Marian), run by CTranslate2.

These models translate a sentence into whatever language its tokens say, and say nothing where a token is
unknown to them: each direction's tokens are looked up in the model before anything runs. Protected spans
go through as marks, are verified, and are translated around where a mark was lost. A model of transformers
is converted at first use (`mldata.conversion`); from then on torch has no part in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from typing import Literal

from mldata import languages
from mldata.conversion import (
    cache_name,
    check_convertible,
    config_of,
    converted,
    find_translator,
    is_converted,
    record,
)
from mldata.engine import Engine
from mldata.errors import EngineError, InputError, first_line
from mldata.models import Found, ctranslate2_device, licence
from mldata.settings import CTranslate2Settings
from mldata.text import Segment
from mldata.translate import Translation
from mldata.translate.sentinels import around, guard, join, mask, unguard, unmask

REVISION = 1
"""Enters digests: raise it when this module makes other translations of the same answers."""
Family = Literal["nllb", "m2m100", "madlad", "marian"]
_POSITIONS: dict[Family, int | None] = {"nllb": 1024, "m2m100": 1024, "madlad": None, "marian": 512}
"""Tokens that the published models can take at most; more than that is an error of CTranslate2's."""
_CODE: dict[Family, str] = {
    "nllb": r"[a-z]{3}_[A-Z][a-z]{3}",
    "m2m100": r"[a-z]{2,3}",
    "madlad": r"[A-Za-z_]+",
    "marian": r"[A-Za-z_]+",
}
"""How language codes look, as patterns."""
_TOKEN: dict[Family, str] = {"nllb": "{}", "m2m100": "__{}__", "madlad": "<2{}>", "marian": ">>{}<<"}
_SILENT = ("<s>", "</s>", "<pad>", "<unk>")
_LOADED = 4
"""Models of one engine kept loaded at most: there and back, with a pivot."""
_VOCABULARIES = ("shared_vocabulary", "source_vocabulary", "target_vocabulary")


def mark(number: int) -> str:
    """The sentinel of a protected span: capitals and a digit, which every vocabulary has.

    Bergamot's Marian models copied it most often (`mldata.translate.bergamot`); the larger ones of these
    families weren't tried. Brackets outside ASCII are unknown to NLLB and M2M100, and come back as nothing.
    """
    return f"XQ{number}X"


TRUNCATED = Translation(Segment(""), problem="truncated")


def _unmasked(segment: Segment, answer: str | None) -> Translation | None:
    """The translation of a segment whose spans were masked; None where spans must be translated around."""
    if answer is None:  # often a mark's doing
        return None if segment.spans else TRUNCATED
    result = unmask(answer, segment.protected, mark)
    return Translation(result) if result is not None else None


def _unguarded(made: Translation, original: Segment) -> Translation:
    """The translation of a guarded segment as that of the original, whose spans alone it has."""
    return replace(made, segment=unguard(made.segment, original))


class CTranslate2:
    """See the module. Owns the loaded models: a name with {source} and {target} has one a direction."""

    def __init__(self, name: str, settings: CTranslate2Settings) -> None:
        try:
            import ctranslate2  # noqa: F401 (whether it is there)
            import sentencepiece  # noqa: F401
            import tokenizers  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"the engine {name} needs the package {error.name}: pip install 'mldata[hub]'"
            ) from None
        self._name, self._settings = name, settings
        self._by_pair = "{source}" in settings.model or "{target}" in settings.model
        if self._by_pair and settings.pairs is None:
            raise InputError(f"[engines.{name}] its model holds {{source}} or {{target}}: say its pairs too")
        self._loaded: dict[Path, _Model] = {}

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Those of the recipe, or all among the languages that the model has tokens for."""
        if self._settings.pairs is not None:
            return frozenset(_ends(pair) for pair in self._settings.pairs)
        tags = _tags(self._found("", ""))
        if not tags:
            raise InputError(
                f"[engines.{self._name}] the model doesn't say which languages it knows: say its pairs, as "
                'pairs = ["en>de"]'
            )
        return frozenset(permutations(tags, 2))

    def engine(self, source: str, target: str) -> Engine:
        """What this pair's output depends on. InputError where the model has no token for a language."""
        found = self._found(source, target)
        said = self._settings
        family = _family(found)
        known = _codes(found, family)
        asked = _direction(family, source, target, known, self._where(found))
        versions = [
            f"{package} {version(package)}" for package in ("ctranslate2", "tokenizers", "sentencepiece")
        ]
        model = found.digest if is_converted(found.path) else cache_name(found, said.quantization)
        ctranslate2_device(self._name, said.run.device, said.quantization)  # known before anything runs
        made_of = [REVISION, model, said.quantization, said.beam, said.max_tokens, *versions, asked]
        digest = hashlib.blake2b("\n".join(map(str, made_of)).encode(), digest_size=16).hexdigest()
        release = f"{found.name}, CTranslate2 {version('ctranslate2')}, {said.quantization}"
        return Engine(self._name, release, digest, licence(said))

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """In batches of like length; a text too long for the model is translated in pieces."""
        found = self._found(source, target)
        model = self._open(found)
        asked = _direction(model.family, source, target, model.codes, self._where(found))
        originals, segments = segments, [guard(segment, model.commands) for segment in segments]
        masked = [" ".join(mask(segment, mark).split()) for segment in segments]
        answers = self._answers(model, masked, asked)
        made = [_unmasked(segment, answer) for segment, answer in zip(segments, answers, strict=True)]
        lost = [number for number, one in enumerate(made) if one is None]
        pieces = [around(segments[number]) for number in lost]
        texts = [" ".join(piece.text.split()) for some in pieces for piece in some]
        again = iter(self._answers(model, texts, asked))
        for number, some in zip(lost, pieces, strict=True):
            parts = [_unmasked(piece, next(again)) or TRUNCATED for piece in some]
            whole = TRUNCATED not in parts
            made[number] = join(segments[number], parts) if whole else TRUNCATED
        return [_unguarded(one or TRUNCATED, of) for one, of in zip(made, originals, strict=True)]

    def convert(self) -> list[Path]:
        """Convert every model that isn't converted yet; the directories of all, in the pairs' order."""
        pairs = sorted(self.pairs()) if self._by_pair else [("", "")]
        found = dict.fromkeys(self._found(source, target) for source, target in pairs)
        return [converted(one, self._settings.quantization) for one in found]

    def close(self) -> None:
        """Drop the models."""
        self._loaded.clear()

    def _model(self, source: str, target: str) -> str:
        if not self._by_pair:
            return self._settings.model
        source, target = languages.opus_code(source), languages.opus_code(target)
        return self._settings.model.replace("{source}", source).replace("{target}", target)

    def _found(self, source: str, target: str) -> Found:
        return _find(self._settings, self._model(source, target))

    def _where(self, found: Found) -> str:
        return f"[engines.{self._name}] {found.name}"

    def _open(self, found: Found) -> _Model:
        """The loaded model, converted first where it must be."""
        directory = converted(found, self._settings.quantization)
        model = self._loaded.pop(directory, None)
        if model is None:
            while len(self._loaded) >= _LOADED:
                del self._loaded[next(iter(self._loaded))]
            model = _Model(self._name, directory, self._settings)
        self._loaded[directory] = model  # last: the first is the one that wasn't asked for longest
        return model

    def _answers(self, model: _Model, texts: Sequence[str], asked: _Direction) -> list[str | None]:
        """A translation of each text: None where the model didn't come to an end, none where it left out a
        piece of it."""
        cuts = [model.pieces(text, asked) if text else [] for text in texts]
        flat = iter(model.answers([piece for some in cuts for piece in some], asked))
        answers: list[str | None] = []
        for some in cuts:
            results = [next(flat) for _ in some]
            whole = None not in results and all(results)
            answers.append(" ".join(map(str, results)) if whole else None if None in results else "")
        return answers


@dataclass(frozen=True)
class _Direction:
    """How a family's models are told what to translate into what."""

    first: tuple[str, ...] = ()
    """Tokens before the source's."""
    said: str = ""
    """Text before the source's."""
    prefix: tuple[str, ...] = ()
    """Tokens that the translation begins with."""


class _Model:
    """A converted model, loaded, with what turns text into its tokens and back."""

    def __init__(self, name: str, directory: Path, settings: CTranslate2Settings) -> None:
        import ctranslate2

        run = settings.run
        self._device = device = ctranslate2_device(name, run.device, settings.quantization)
        found = Found(directory, str(directory), "")
        self.family = _family(found)
        self.codes = _codes(found, self.family)
        said = record(directory)
        positions = said.positions if said else _POSITIONS[self.family]
        # The end's token, and the language's, have positions too; translations may be half as long again.
        self._longest = min(settings.max_tokens, (positions or settings.max_tokens + 3) - 3)
        self._longest_source = self._longest * 2 // 3
        self._silent = {*_SILENT, *(_TOKEN[self.family].format(code) for code in self.codes)}
        self.commands = re.compile(f"{_TOKEN[self.family].format(_CODE[self.family])}|</?s>|<(pad|unk|mask)>")
        """What a source text must not say to the model: "<2fr>" in it would ask MADLAD for French."""
        self._settings = settings
        try:
            self._translator = ctranslate2.Translator(
                str(directory),
                device=device,
                device_index=list(run.device_index) if device == "cuda" else 0,
                compute_type=settings.quantization,
                inter_threads=1,
                intra_threads=run.threads,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"[engines.{name}] {directory} can't be loaded: {first_line(error)}") from None
        self._tokens = _tokenizer(directory, self.family)

    def pieces(self, text: str, asked: _Direction) -> list[list[str]]:
        """The tokens of `text`, which is cut at blanks where it has too many for the model."""
        tokens = self._tokens(asked.said + text)
        if len(tokens) <= self._longest_source or len(text) < 2:
            return [[*asked.first, *tokens, "</s>"]]
        cut = _middle(text)
        return [piece for half in (text[:cut], text[cut:]) for piece in self.pieces(half.strip(), asked)]

    def answers(self, sources: Sequence[list[str]], asked: _Direction) -> list[str | None]:
        """A translation of each source (tokens), None where the model didn't come to an end."""
        if not sources:
            return []
        try:
            results = self._translator.translate_batch(
                sources,
                target_prefix=[list(asked.prefix)] * len(sources) if asked.prefix else None,
                batch_type="tokens",
                max_batch_size=self._settings.run.tokens_on(self._device),  # which sorts them by length
                beam_size=self._settings.beam,
                max_input_length=0,
                max_decoding_length=self._longest + len(asked.prefix),
                disable_unk=True,
                return_end_token=True,
            )
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"CTranslate2 failed: {first_line(error)}") from error
        return [self._said(result.hypotheses[0]) for result in results]

    def _said(self, tokens: Sequence[str]) -> str | None:
        """The text that tokens say; None where they don't come to an end."""
        if not tokens or tokens[-1] != "</s>":
            return None
        return _text([token for token in tokens if token not in self._silent])


def _middle(text: str) -> int:
    """Where to cut a long text: near its middle, behind a mark that ends a clause, or at a blank."""
    half = len(text) // 2
    for pattern in (r"(?<=[.!?;:,])\s|(?<=[。！？；：，、])", r"\s"):
        cuts = [found.start() for found in re.finditer(pattern, text) if len(text) // 8 < found.start()]
        cuts = [cut for cut in cuts if cut < len(text) * 7 // 8]
        if cuts:
            return min(cuts, key=lambda cut: abs(cut - half))
    return half


_BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")


def _text(tokens: Sequence[str]) -> str:
    """What SentencePiece's pieces say."""
    joined = _BYTES.sub(_bytes, "".join(tokens))
    return " ".join(joined.replace("▁", " ").split())


def _bytes(found: re.Match[str]) -> str:
    digits = found.group().replace("<0x", "").replace(">", "")
    return bytes.fromhex(digits).decode("utf-8", "replace")


def _tokenizer(directory: Path, family: Family) -> Callable[[str], list[str]]:
    """From a text to its tokens, by the files that the family's models have."""
    if (directory / "tokenizer.json").is_file() and family != "marian":
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda text: list(tokenizer.encode(text, add_special_tokens=False).tokens)
    for name in ("source.spm", "sentencepiece.bpe.model", "spiece.model"):
        if (directory / name).is_file():
            from sentencepiece import SentencePieceProcessor

            pieces = SentencePieceProcessor(model_file=str(directory / name))
            return lambda text: list(pieces.encode(text, out_type=str))
    raise InputError(
        f"{directory} has no tokenizer beside the model: copy tokenizer.json, source.spm, "
        "sentencepiece.bpe.model or spiece.model of the original into it"
    )


def _ends(pair: str) -> tuple[str, str]:
    source, _, target = pair.partition(">")
    return source, target


@cache
def _find(settings: CTranslate2Settings, model: str) -> Found:
    found = find_translator(settings, model)
    check_convertible(found)
    return found


@cache
def _family(found: Found) -> Family:
    """Which family's tokens a model takes; InputError where its files don't tell."""
    kind = config_of(found.path).get("model_type")
    if kind == "marian" or (kind is None and (found.path / "source.spm").is_file()):
        return "marian"
    if kind in ("t5", "mt5", "umt5"):
        return "madlad"
    for family in ("nllb", "madlad"):
        if _said_codes(found, family):
            return family
    if kind == "m2m_100" or _said_codes(found, "m2m100"):
        return "m2m100"
    raise InputError(
        f"{found.name} doesn't say of which family it is: its vocabulary has the language tokens of none "
        "(NLLB's eng_Latn, M2M100's __en__, MADLAD's <2en>), and there is no source.spm as OPUS-MT has it"
    )


@cache
def _said_codes(found: Found, family: Family) -> frozenset[str]:
    """The language codes that stand as a family's tokens in a model's files."""
    names = [f"{name}.{end}" for name in _VOCABULARIES for end in ("json", "txt")]
    if not is_converted(found.path):
        names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json"]
    token = re.compile(f'"{_TOKEN[family].format(f"({_CODE[family]})")}"')
    codes: set[str] = set()
    for name in names:
        if (found.path / name).is_file():
            text = (found.path / name).read_text("utf-8")
            if name.endswith(".txt"):
                text = "".join(f'"{line}"\n' for line in text.splitlines())
            codes.update(token.findall(text))
    return frozenset(codes)


@cache
def _codes(found: Found, family: Family) -> frozenset[str]:
    """The language codes that a model knows. M2M100's tokenizer adds its tokens to the files' by itself."""
    if family == "m2m100" and not is_converted(found.path):
        return frozenset(languages.M2M100.values())
    return _said_codes(found, family)


def _tags(found: Found) -> list[str]:
    """The languages that a model knows, sorted; none where its tokens don't say."""
    family = _family(found)
    table = {"nllb": languages.NLLB, "m2m100": languages.M2M100, "madlad": languages.MADLAD, "marian": {}}
    codes = _codes(found, family)
    return sorted(tag for tag, code in table[family].items() if code in codes)


def _direction(family: Family, source: str, target: str, codes: frozenset[str], where: str) -> _Direction:
    """How to ask for a direction; InputError where the model lacks a token for it."""
    if family == "marian":
        if not codes:  # of one direction
            return _Direction()
        labels = [label for label in languages.opus_labels(target) if label in codes]
        if not labels:
            raise InputError(f"{where} has no token >>{languages.opus_labels(target)[0]}<< for {target}")
        return _Direction(first=(f">>{labels[0]}<<",))
    if family == "madlad":
        code = _present(languages.madlad_code(target), family, codes, where)
        return _Direction(said=f"{code} ")
    code_of = languages.nllb_code if family == "nllb" else languages.m2m100_code
    first, prefix = (_present(code_of(tag), family, codes, where) for tag in (source, target))
    return _Direction(first=(first,), prefix=(prefix,))


def _present(code: str, family: Family, codes: frozenset[str], where: str) -> str:
    """The token of a language; InputError where the model hasn't got it."""
    token = _TOKEN[family].format(code)
    if code not in codes:
        raise InputError(f"{where} has no token {token}: it doesn't know that language")
    return token
