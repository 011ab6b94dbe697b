"""What a recipe says of engines that take a model: its tables [engines.NAME].

Two kinds of settings never share a table. What an engine makes (model, revision, precision, templates)
enters digests; how it runs here (device, batches, address), in the table [engines.NAME.run], does not, and
is left out where a recipe is written down: a set doesn't tell where it was made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from mldata.languages import canonical

Precision = Literal["float32", "float16", "bfloat16"]
Quantization = Literal[
    "float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
]
Device = Literal["auto", "cpu", "cuda"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def __hash__(self) -> int:
        """Of what the settings say: one of them may hold a dict, and all are keys of caches."""
        return hash(repr(self))


class ModelSettings(_Settings):
    """What all engines with a model say of it."""

    model: str = Field(min_length=1, description="hub name (org/name), or the path of a directory or file")
    revision: str | None = Field(
        default=None,
        description="commit or tag of the hub's repository; with none, the newest on this machine",
    )
    licence: str | None = Field(
        default=None,
        description="SPDX expression of the model's licence, such as CC-BY-NC-4.0; needed where mldata "
        "doesn't know the model",
    )


class Run(_Settings):
    """How a model runs here."""

    device: Device = Field(default="auto", description="auto: a GPU if there is one")
    batch_tokens: int | None = Field(
        default=None,
        ge=16,
        description="tokens in a batch, padding included; by default 4096 on a GPU and 1024 on a CPU",
    )

    def tokens_on(self, device: str) -> int:
        """Tokens in a batch on a device.

        On one core batches of 1024 are a fifth to a third faster than of 4096: what a layer works on then
        stays in the cache (tests/benchmarks/hub_overhead.py).
        """
        return self.batch_tokens or (1024 if device == "cpu" else 4096)


class TranslatorRun(Run):
    """How a CTranslate2 translator runs here."""

    device_index: tuple[int, ...] = Field(default=(0,), description="GPUs to use, each with its own copy")
    threads: int = Field(default=1, ge=1, description="CPU threads a worker gives to it")


class CTranslate2Settings(ModelSettings):
    """NLLB-200, M2M100, MADLAD-400 and OPUS-MT (Marian) models, run by CTranslate2."""

    engine: Literal["ctranslate2"]
    pairs: tuple[str, ...] | None = Field(
        default=None,
        description='directions it is used for, as "en>de"; needed for OPUS-MT models, whose name may hold '
        "{source} and {target}; with none, all that the model knows",
    )
    quantization: Quantization = Field(
        default="int8", description="of the converted model, and its arithmetic"
    )
    beam: int = Field(default=4, ge=1, le=32, description="hypotheses kept while decoding")
    max_tokens: int = Field(default=256, ge=8, description="tokens of a translation at most")
    run: TranslatorRun = Field(default=TranslatorRun(), exclude=True)

    @field_validator("pairs")
    @classmethod
    def _tags(cls, pairs: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if pairs is None:
            return None
        made = []
        for pair in pairs:
            ends = pair.split(">")
            if len(ends) != 2:
                raise ValueError(f'"{pair}" is no direction; write it as "en>de"')
            made.append(f"{canonical(ends[0])}>{canonical(ends[1])}")
        return tuple(made)


class ChatRun(_Settings):
    """Where a chat server is, and how it is asked."""

    base_url: str = Field(
        default="http://localhost:8000/v1",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        description="of the OpenAI-compatible API, with /v1; a key or password never belongs here",
    )
    api_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None, description="the environment variable that holds the key, never the key itself"
    )
    concurrency: int = Field(default=16, ge=1, description="requests in flight, over all workers")
    timeout: float = Field(
        default=120,
        gt=0,
        allow_inf_nan=False,
        description="seconds without an answer before asking again",
    )
    retries: int = Field(default=6, ge=0, description="times a failed request is repeated")
    backoff: float = Field(
        default=1,
        gt=0,
        allow_inf_nan=False,
        description="seconds before the first repeat at most; twice as long before each further one",
    )

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, base_url: str) -> str:
        if urlsplit(base_url).port == 0:  # it raises ValueError for what can't be a port, or a host
            raise ValueError("there is no port 0")
        return base_url


_OWN_FIELDS = {"model", "messages", "n", "stream", "temperature", "seed", "response_format"} | {
    "max_tokens",
    "max_completion_tokens",
}


class ChatSettings(ModelSettings):
    """A model behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, a hosted API."""

    engine: Literal["chat"]
    languages: tuple[str, ...] = Field(
        default=(),
        description="BCP-47 tags it is used for, both ways; with none, every language mldata knows",
    )
    template: Literal["instruct", "tower", "translategemma"] | None = Field(
        default="instruct", description="what is asked, in a form the model was trained on"
    )
    system: str | None = Field(
        default=None,
        description='a system message instead of the template\'s; "" sends none, as some models know none',
    )
    user: str | None = Field(
        default=None,
        description="a user message instead of the template's, with {source}, {target} (language names), "
        "{source_tag}, {target_tag} and {text}",
    )
    context: Literal["text", "record"] = Field(
        default="text", description="record: prompt, chosen and rejected in one request, so that words agree"
    )
    temperature: float = Field(default=0, ge=0, le=2, description="0: always the likeliest word")
    seed: int | None = Field(default=None, description="sent with each request, where the server heeds it")
    max_tokens: int = Field(default=4096, ge=16, description="tokens of an answer at most")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what the server calls that; some take the newer name only"
    )
    reasoning_tokens: int = Field(
        default=0, ge=0, description="tokens a reasoning model may think, on top of those of a translation"
    )
    extra: dict[str, Any] = Field(
        default={},
        description="more fields of each request, as {chat_template_kwargs = {enable_thinking = false}}",
    )
    price_input: float = Field(default=0, ge=0, le=1e7, description="money for a million tokens sent")
    price_output: float = Field(default=0, ge=0, le=1e7, description="money for a million tokens received")
    run: ChatRun = Field(default=ChatRun(), exclude=True)

    @field_validator("languages")
    @classmethod
    def _tags(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical(tag) for tag in languages)

    @model_validator(mode="after")
    def _asks_something(self) -> ChatSettings:
        if self.template is None and self.user is None:
            raise ValueError("give a template, or a user message of your own")
        if self.user is not None and "{text}" not in self.user:
            raise ValueError("the user message must hold {text}")
        if self.template == "translategemma" and self.user is None and self.system is not None:
            raise ValueError("translategemma takes no system message")
        if self.context == "record" and self.user is None and self.template != "instruct":
            raise ValueError(
                'context = "record" needs the template "instruct", or a user message of your own'
            )
        if taken := sorted(_OWN_FIELDS & set(self.extra)):
            raise ValueError(f"extra can't hold {', '.join(taken)}: mldata sets it")
        try:
            json.dumps(self.extra, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError("extra holds a date, nan or inf, which no request can: JSON has none") from None
        return self


class SentenceTransformersSettings(ModelSettings):
    """An encoder run by sentence-transformers: LaBSE, BGE-M3, multilingual-e5 and others."""

    engine: Literal["sentence-transformers"]
    prompt: str = Field(default="", description='put before each text, as "query: " for e5')
    precision: Precision = Field(default="float32", description="of weights and arithmetic")
    run: Run = Field(default=Run(), exclude=True)


class CTranslate2EncoderSettings(ModelSettings):
    """A BERT or XLM-R encoder (LaBSE, multilingual-e5, BGE-M3) run by CTranslate2."""

    engine: Literal["ctranslate2-encoder"]
    prompt: str = Field(default="", description='put before each text, as "query: " for e5')
    quantization: Quantization = Field(
        default="int8", description="of the converted model, and its arithmetic"
    )
    run: Run = Field(default=Run(), exclude=True)


class FastTextSettings(ModelSettings):
    """A fastText language identifier: lid.176, GlotLID, OpenLID."""

    engine: Literal["fasttext"]
    file: str = Field(default="model.bin", description="the file's name in the hub's repository")


class CrossEncoderSettings(ModelSettings):
    """A quality estimator: a model that reads source and translation together and gives one number."""

    engine: Literal["cross-encoder"]
    precision: Precision = Field(default="float32", description="of weights and arithmetic")
    run: Run = Field(default=Run(), exclude=True)


EngineSettings = Annotated[
    CTranslate2Settings
    | ChatSettings
    | SentenceTransformersSettings
    | CTranslate2EncoderSettings
    | FastTextSettings
    | CrossEncoderSettings,
    Field(discriminator="engine"),
]


@dataclass(frozen=True)
class Allowance:
    """What a build allows its engines: where they may keep things, and what they may use."""

    work: Path | None = None
    """The work store, in which answers that were paid for are kept; None keeps them nowhere."""
    max_cost: float | None = None
    """Money that all requests kept in this work store may have cost together; None: no limit."""
    processes: int = 1
    """Workers that share what is stated for all of them, such as requests in flight."""
