"""One OpenAI-compatible server: requests that are repeated until answered, paid once, and kept.

Nothing here knows what is asked. A request fails for good (EngineError) where repeating it can't help: a
wrong key, model or field. Busy and broken servers, time-outs and connections that drop are waited out. The
key goes into the header of a request, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from mldata.errors import EngineError
from mldata.settings import ChatSettings
from mldata.translate.answers import Answers, Reply

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers of servers that are busy, starting or broken for a while."""
_LONGEST = 60.0
"""Seconds of back-off at most, unless the server asks for more in Retry-After."""
_LONGEST_ASKED = 900.0
_POLL = 0.05
"""Seconds after which to look again whether another request has ended."""
_TOO_LONG = ("context length", "context_length", "context size", "context window", "maximum model length")
_FILTERED = ("content_filter", "content management policy", "content_policy", "invalid_prompt")

Payload = Mapping[str, Any]


class _Failed(Exception):
    """A request without an answer that may have one next time."""

    def __init__(self, what: str, billed: bool, wait: float = 0.0) -> None:
        super().__init__(what)
        self.billed = billed
        """It may have been worked on."""
        self.wait = wait
        """Seconds the server asks for."""


class Server:
    """A server as one call of the engine sees it, within one event loop (an async context manager).

    Payloads given twice are asked once. After a failure for good no request is started; those under way end
    and are kept, since they are paid.
    """

    def __init__(
        self, name: str, settings: ChatSettings, answers: Answers, key: str | None, concurrency: int
    ) -> None:
        self._name, self._settings, self._run, self._answers = name, settings, settings.run, answers
        self._key = key
        self._turn = asyncio.Semaphore(concurrency)
        self._asked: dict[str, asyncio.Task[Reply]] = {}
        self._failure: EngineError | None = None
        self._failed = asyncio.Event()
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx.Timeout(None, connect=min(30.0, self._run.timeout)),
            limits=httpx.Limits(max_connections=concurrency),
        )
        self._url = f"{self._run.base_url.rstrip('/')}/chat/completions"

    async def __aenter__(self) -> Server:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:  # interrupted: don't wait for what is under way
            for task in self._asked.values():
                task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        await self._client.aclose()

    async def ask(self, payload: Payload) -> Reply:
        """The answer to `payload`, from the store if there; EngineError if there is none to be had.

        For a text too long for the model, or one that its filter refuses, `finish` is "too_long" or
        "content_filter".
        """
        key = digest(payload, self._settings.revision)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._answered(key, payload))
        return await asyncio.shield(self._asked[key])

    async def _answered(self, key: str, payload: Payload) -> Reply:
        if known := self._answers.find(key):
            return known
        try:
            async with self._turn:
                return await self._repeated(key, payload)
        except EngineError as error:
            self._failure = self._failure or error
            self._failed.set()
            raise

    async def _repeated(self, key: str, payload: Payload) -> Reply:
        run, bound = self._run, _bound(payload)
        for repeat in range(run.retries + 1):
            reservation = await self._reserved(key, self._cost(bound.tokens_in, bound.tokens_out))
            if isinstance(reservation, Reply):
                return reservation
            try:
                reply, refused = await self._once(payload, bound)
            except _Failed as failure:
                (self._answers.lose if failure.billed else self._answers.free)(reservation)
                if repeat == run.retries:
                    raise EngineError(
                        f"{self._name}: the server at {run.base_url} failed {repeat + 1} times: {failure}. "
                        "Nothing is lost: see that it runs, then run the same command again"
                    ) from None
                # Full jitter: those that failed together don't come back together.
                pause = random.uniform(0, min(_LONGEST, run.backoff * 2**repeat))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._failed.wait(), failure.wait + pause)
            except EngineError:
                self._answers.free(reservation)
                raise
            except BaseException:  # stopped while it was under way
                self._answers.lose(reservation)
                raise
            else:
                if refused:  # by the server, before the model saw it: not billed, and not kept
                    self._answers.free(reservation)
                    return reply
                cost = self._cost(reply.tokens_in, reply.tokens_out)
                return self._answers.record(key, reservation, reply, cost)
        raise AssertionError("the last repeat returns or raises")

    async def _reserved(self, key: str, cost: int) -> Reply | str:
        while True:
            if self._failure is not None:
                raise self._failure
            reservation = self._answers.reserve(key, cost)
            if reservation is not None:
                return reservation
            await asyncio.sleep(_POLL * random.uniform(1, 2))

    async def _once(self, payload: Payload, bound: _Bound) -> tuple[Reply, bool]:
        """One request: its answer, and whether the server itself refused it; or _Failed, or EngineError."""
        try:
            async with asyncio.timeout(self._run.timeout):
                response = await self._client.post(self._url, content=json.dumps(payload).encode())
        except TimeoutError:
            raise _Failed(f"no answer within {self._run.timeout:g} s", billed=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _Failed(self._words(str(error) or "it can't be reached"), billed=False) from None
        except httpx.HTTPError as error:
            said = self._words(str(error) or type(error).__name__)
            raise _Failed(f"the connection broke ({said})", billed=True) from None
        if response.status_code == 200:
            return self._read(response, bound), False
        said = self._words(_message(response))
        status = f"it answered {response.status_code}" + (f" ({said})" if said else "")
        if response.status_code in _AGAIN:
            raise _Failed(status, billed=False, wait=_retry_after(response.headers.get("Retry-After", "")))
        if response.status_code in (400, 413, 422):
            lowered = response.text.lower()
            if response.status_code == 413 or any(words in lowered for words in _TOO_LONG):
                return Reply("", "too_long"), True
            if any(words in lowered for words in _FILTERED):
                return Reply("", "content_filter"), True
        raise EngineError(
            f"{self._name}: the server at {self._run.base_url} refuses to work: {status}; "
            f"{_ADVICE.get(response.status_code, _ADVICE[400])}"
        )

    def _read(self, response: httpx.Response, bound: _Bound) -> Reply:
        try:
            body = response.json()
            if body.get("error"):  # some gateways answer 200 all the same
                raise _Failed(f"it answered an error ({self._words(_message(response))})", billed=True)
            choice = body["choices"][0]
            message = choice["message"]
            text, finish = _text(message.get("content")), str(choice.get("finish_reason") or "stop")
            refused = bool(message.get("refusal"))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _Failed("its answer is no chat completion", billed=True) from None
        usage = body.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        counts = [
            count if isinstance(count := usage.get(name), int) and 0 <= count < 2**31 else most
            for name, most in (("prompt_tokens", bound.tokens_in), ("completion_tokens", bound.tokens_out))
        ]
        return Reply(text, finish, refused, counts[0], counts[1])

    def _cost(self, tokens_in: int, tokens_out: int) -> int:
        """In billionths; prices are for a million tokens."""
        settings = self._settings
        return math.ceil((tokens_in * settings.price_input + tokens_out * settings.price_output) * 1000)

    def _words(self, text: str) -> str:
        """What a server or library says, short, on one line, and without the key."""
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join(text.split())
        return text if len(text) <= 300 else f"{text[:300]}…"


@dataclass(frozen=True)
class _Bound:
    """The most tokens a request can take."""

    tokens_in: int
    tokens_out: int


def _bound(payload: Payload) -> _Bound:
    """A token is never less than a byte of UTF-8.

    All of the payload counts, since servers put a schema or fields of a template into the prompt, and what a
    chat template adds by itself: TranslateGemma's hundred tokens are the most we know of.
    """
    size = len(json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace"))
    most = payload.get("max_tokens", payload.get("max_completion_tokens", 0))
    return _Bound(size + 256 + 16 * len(payload["messages"]), int(most))


_ADVICE = {
    400: "see the engine's table in the recipe",
    401: "see that api_key names the environment variable with your key",
    402: "see your account there",
    403: "see that your key may use this model",
    404: "see base_url (it ends with /v1 mostly) and model",
}


def digest(payload: Payload, revision: str | None) -> str:
    """What an answer is kept under: the whole request, and the model's revision."""
    text = json.dumps([payload, revision], sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _text(content: Any) -> str:
    """The text of a message's content: a string, or parts of which some hold text."""
    if isinstance(content, list):
        content = "".join(
            str(part.get("text") or "")
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    # A lone surrogate, half of an emoji that a server cut, can't be stored.
    return ("" if content is None else str(content)).encode("utf-8", "replace").decode()


def _message(response: httpx.Response) -> str:
    """What an error says: OpenAI's form, others' forms, or the body."""
    try:
        body = response.json()
    except ValueError:
        return response.text
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)


def _retry_after(value: str) -> float:
    """Seconds in a Retry-After header, which holds seconds or a date; 0 where it makes no sense."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_ASKED) if math.isfinite(seconds) else 0.0
