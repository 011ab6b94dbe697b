"""Translation by a chat model behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, a hosted API.

Whole texts are sent, marks standing for their protected spans (`prompts.py`), and answers are read with
suspicion (`replies.py`). A server isn't reproducible, at temperature 0 either: what a model answers depends,
in its last bits, on what else is in its batch. What makes a build repeatable is that every answer is kept
(`answers.py`) and none is asked for twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import Any

from mldata import licences
from mldata.engine import Engine
from mldata.errors import InputError
from mldata.interruption import Interrupted
from mldata.languages import LANGUAGES
from mldata.settings import Allowance, ChatSettings
from mldata.text import Segment
from mldata.translate import Translation, prompts, replies
from mldata.translate.answers import Answers, Reply
from mldata.translate.sentinels import mask, unmask

REVISION = 2
"""Enters digests: raise it when this module, `prompts` or `replies` make other translations of the same
answers."""


class Chat:
    """See the module. Owns the file of answers while it is open; a server is connected to at first use."""

    def __init__(self, name: str, settings: ChatSettings, allowance: Allowance) -> None:
        """Contact no server. InputError where httpx, the key or, with a budget, the prices are missing."""
        try:
            import httpx  # noqa: F401 (heavy, and optional: server.py uses it)
        except ImportError:
            raise InputError(f"{name} asks a model server: pip install 'mldata[llm]'") from None
        if allowance.max_cost is not None and not math.isfinite(allowance.max_cost):
            raise InputError(f"a budget of {allowance.max_cost} is none: give an amount of money")
        if allowance.max_cost is not None and not (settings.price_input or settings.price_output):
            raise InputError(
                f"a budget is given, and [engines.{name}] no price: add price_input and price_output, "
                "money for a million tokens"
            )
        self._name, self._settings, self._allowance = name, settings, allowance
        _key(name, settings)
        self._answers: Answers | None = None

    def pairs(self) -> frozenset[tuple[str, str]]:
        """All pairs of the recipe's languages, or of those mldata knows; a model may know fewer."""
        return frozenset(permutations(self._settings.languages or LANGUAGES, 2))

    def engine(self, source: str, target: str) -> Engine:
        """The model's name and revision, and all that is sent with a text. The same for every pair."""
        settings = self._settings
        asked = settings.model_dump(
            mode="json", exclude={"run", "licence", "languages", "price_input", "price_output"}
        )
        words = {"templates": prompts.TEMPLATES.get(settings.template or ""), "firm": prompts.FIRM}
        text = json.dumps([REVISION, asked, words, prompts.FORMS], sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        licence = settings.licence or licences.known(settings.model) or "unknown"
        version = f"{settings.model} at {settings.revision}" if settings.revision else settings.model
        return Engine(self._name, version, digest, licence)

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """Each segment for itself, in order."""
        records = self.translate_records([[segment] for segment in segments], source, target)
        return [translation for (translation,) in records]

    def translate_records(
        self, records: Sequence[Sequence[Segment]], source: str, target: str
    ) -> list[list[Translation]]:
        """One translation a text, in order. Problems: "refused", "truncated", "too_long" (for the model's
        context), "server_error" (the server breaks at this text alone), "empty", "chatter" (talk besides the
        translation that can't be cut off), "spans_lost".

        EngineError if the server can't be used or the budget is used up: what was answered is kept.
        """
        if self._answers is None:
            # The server may take `timeout` over an answer; after a minute more a request is taken for dead.
            patience = self._settings.run.timeout + 60
            allowed = self._allowance
            self._answers = Answers(allowed.work, self._name, allowed.max_cost, patience)
        return _finished(self._translated(self._answers, records, source, target))

    async def _translated(
        self, answers: Answers, records: Sequence[Sequence[Segment]], source: str, target: str
    ) -> list[list[Translation]]:
        from mldata.translate.server import Server

        settings = self._settings
        concurrency = max(1, settings.run.concurrency // max(1, self._allowance.processes))
        key = _key(self._name, settings)
        probe = _payload(settings, *prompts.of_text(settings, _PROBE, source, target), _limits([_PROBE])[0])
        async with Server(self._name, settings, answers, key, concurrency, probe) as server:
            asking = _Asking(server.ask, settings, source, target)
            made = await asyncio.gather(*map(asking.record, records), return_exceptions=True)
        translations = []
        for one in made:
            if isinstance(one, BaseException):
                raise one
            translations.append(one)
        return translations

    def close(self) -> None:
        """Close the file of answers (in memory, they are gone)."""
        if self._answers is not None:
            self._answers.close()
        self._answers = None


class _Asking:
    """One call: which requests make the translations of a record."""

    def __init__(
        self,
        ask: Callable[[Mapping[str, Any]], Awaitable[Reply]],
        settings: ChatSettings,
        source: str,
        target: str,
    ) -> None:
        self._ask, self._settings, self._source, self._target = ask, settings, source, target

    async def record(self, texts: Sequence[Segment]) -> list[Translation]:
        """The translations of texts that belong together."""
        made = [None if _has_words(text) else Translation(text) for text in texts]
        places = [place for place, known in enumerate(made) if known is None]
        if self._settings.context == "record" and len(places) > 1:
            together = await self._together([texts[place] for place in places])
            for place, translation in zip(places, together, strict=True):
                made[place] = translation
        alone = [place for place, known in enumerate(made) if known is None]
        each = await asyncio.gather(*(self._alone(texts[place]) for place in alone))
        for place, translation in zip(alone, each, strict=True):
            made[place] = translation
        return [translation for translation in made if translation is not None]

    async def _alone(self, segment: Segment) -> Translation:
        """One request, and a firmer one where marks got lost."""
        firm: list[str] = []
        for attempt in range(2):
            form = prompts.form_of([segment.text], attempt)
            if attempt:
                firm = [prompts.mark(form, number) for number in range(1, len(segment.spans) + 1)]
            masked = _masked(segment, form)
            messages, more = prompts.of_text(self._settings, masked, self._source, self._target, firm)
            reply = await self._reply(messages, more, [masked])
            made = self._read(reply, segment, masked, form)
            if made.problem != "spans_lost":
                break
        return made

    async def _together(self, segments: Sequence[Segment]) -> list[Translation | None]:
        """One request for all, and a firmer one where its answer isn't right; None where that fails too."""
        made: list[Translation | None] = [None] * len(segments)
        for attempt in range(2):
            form = prompts.form_of([segment.text for segment in segments], attempt)
            masked = [_masked(segment, form) for segment in segments]
            keys = prompts.keys_of(masked)
            messages, more = prompts.of_record(
                self._settings, masked, self._source, self._target, attempt > 0
            )
            reply = await self._reply(messages, more, masked)
            values, problem = replies.read_record(reply, keys)
            if problem in ("truncated", "refused", "too_long", "server_error"):
                break  # the same again would end the same; the texts one by one may not
            if problem:
                continue
            read = [
                self._read(Reply(value, "stop"), segment, text, form)
                for value, segment, text in zip(values, segments, masked, strict=True)
            ]
            made = [None if one.problem else one for one in read]
            if None not in made:
                break
        return made

    def _read(self, reply: Reply, segment: Segment, masked: str, form: tuple[str, str]) -> Translation:
        text, problem = replies.read(reply, masked, self._source, self._target)
        if problem:
            return Translation(Segment(""), problem=problem)
        if not segment.spans:
            return Translation(Segment(text))
        made = unmask(prompts.tidy(text, form), segment.protected, lambda n: prompts.mark(form, n))
        return Translation(Segment(""), problem="spans_lost") if made is None else Translation(made)

    async def _reply(self, messages: prompts.Messages, more: dict[str, Any], texts: Sequence[str]) -> Reply:
        """The answer, whose length is limited by that of `texts`."""
        for limit in _limits(texts):
            reply = await self._ask(_payload(self._settings, messages, more, limit))
            if reply.finish != "too_long":
                break
        return reply


_PROBE = "Good morning."
"""A text that breaks no server."""


def _limits(texts: Sequence[str]) -> tuple[int, int]:
    """Tokens that an answer may take, by the bytes of the texts in UTF-8; and fewer, where those don't fit.

    A budget then isn't reserved for nothing, and a model that loops is cut off. Four tokens a byte are more
    than any translation takes: English into a script of three bytes a letter that isn't in the model's
    vocabulary takes some three and a half. Where that doesn't fit into the model's context beside the text,
    one a byte may, and is enough for most languages.
    """
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return 256 + 4 * size, 64 + size


def _payload(
    settings: ChatSettings, messages: prompts.Messages, more: Mapping[str, Any], limit: int
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        "temperature": settings.temperature,
        settings.max_tokens_field: min(settings.max_tokens, limit) + settings.reasoning_tokens,
    }
    if settings.seed is not None:
        payload["seed"] = settings.seed
    for name, value in (*more.items(), *settings.extra.items()):
        known = payload.get(name)
        payload[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return payload


def _masked(segment: Segment, form: tuple[str, str]) -> str:
    return mask(segment, lambda number: prompts.mark(form, number))


def _has_words(segment: Segment) -> bool:
    return any(map(str.isalpha, segment.plain))


def _key(name: str, settings: ChatSettings) -> str | None:
    """The server's key; never kept, so that nothing that shows an engine shows it."""
    variable = settings.run.api_key
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        state = "isn't set" if not key else "holds what can't be a key"
        raise InputError(
            f"{name}: the environment variable {variable} {state}; put the server's key there, "
            "or drop api_key"
        )
    return key


def _finished(work: Coroutine[Any, Any, list[list[Translation]]]) -> list[list[Translation]]:
    """Run `work` in an event loop of its own, also where one runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    task: list[asyncio.Task[Any]] = []

    async def stoppable() -> list[list[Translation]]:
        task.extend(filter(None, [asyncio.current_task()]))
        return await work

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(asyncio.run, stoppable())
        try:
            return made.result()
        except (
            KeyboardInterrupt,
            Interrupted,
        ):  # it comes to this thread alone, and the pool waits for the other
            for one in task:
                one.get_loop().call_soon_threadsafe(one.cancel)
            raise
