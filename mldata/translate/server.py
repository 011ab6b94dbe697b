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
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from mldata.errors import EngineError, InputError, first_line
from mldata.settings import ChatSettings
from mldata.translate.answers import Answers, Reply

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers of servers that are busy, starting or broken for a while."""
_LONGEST = 60.0
"""Seconds of back-off at most, unless the server asks for more in Retry-After."""
_LONGEST_ASKED = 900.0
_POLL = 0.05
"""Seconds after which to look again whether another request has ended."""
_CHECKS = 3
"""Times that a text on which the server failed throughout is tried beside a probe."""
_SET_ASIDE = 3
"""Texts of one call that the server may fail on; more are no accident of a text."""
_TOO_LONG = (
    *("context length", "context_length", "context size", "context window", "maximum model length"),
    *("prompt is too long", "input token count", "`max_new_tokens` must be <="),
)
_CUT = frozenset({"max_tokens", "model_length"})
"""What some servers call "length"."""
_BROKEN_OFF = frozenset({"abort", "cancelled", "error"})
"""Why an answer ended that is part of one: vLLM and SGLang say so when they are stopped."""
_FILTERED = ("content_filter", "content management policy", "content_policy", "invalid_prompt")

Payload = Mapping[str, Any]


class _Failed(Exception):
    """A request without an answer that may have one next time."""

    def __init__(self, what: str, billed: bool, wait: float = 0.0, status: int = 200) -> None:
        super().__init__(what)
        self.status = status
        self.billed = billed
        """It may have been worked on."""
        self.wait = wait
        """Seconds the server asks for."""


class Server:
    """A server as one call of the engine sees it, within one event loop (an async context manager).

    Payloads given twice are asked once. After a failure for good no request is started; those under way end
    and are kept, since they are paid. `probe` is a payload that any server of this kind answers.
    """

    def __init__(
        self,
        name: str,
        settings: ChatSettings,
        answers: Answers,
        key: str | None,
        concurrency: int,
        probe: Payload,
    ) -> None:
        """InputError where the environment's proxy or certificates can't be used."""
        self._name, self._settings, self._run, self._answers = name, settings, settings.run, answers
        self._key, self._probe = key, probe
        self._turn = asyncio.Semaphore(concurrency)
        self._asked: dict[str, asyncio.Task[Reply]] = {}
        self._passing = False
        """A request that got a 500 was answered later: this server's are no matter of the text."""
        self._set_aside = 0
        self._failure: Exception | None = None
        self._failed = asyncio.Event()
        try:
            self._client = httpx.AsyncClient(
                headers={"Content-Type": "application/json"}
                | ({"Authorization": f"Bearer {key}"} if key else {}),
                timeout=httpx.Timeout(None, connect=min(30.0, self._run.timeout)),
                limits=httpx.Limits(max_connections=concurrency),
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            raise InputError(
                f"{name}: a proxy or certificates that the environment names (ALL_PROXY, HTTPS_PROXY, "
                f"SSL_CERT_FILE …) can't be used: {self._words(first_line(error))}"
            ) from None
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

        For a text too long for the model, one that its filter refuses, or one that the server breaks at,
        `finish` is "too_long", "content_filter" or "server_error".
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
        except Exception as error:  # a full disk too: what can't be kept must not be asked for
            self._failure = self._failure or error
            self._failed.set()
            raise

    async def _repeated(self, key: str, payload: Payload) -> Reply:
        failures: list[_Failed] = []
        for repeat in range(self._run.retries + 1):
            if failures:
                await self._pause(failures[-1].wait, repeat - 1)
            made = await self._tried(key, payload)
            if isinstance(made, Reply):
                self._passing |= any(failure.status == 500 for failure in failures)
                return made
            failures.append(made)
        if all(failure.status == 500 for failure in failures):
            reply = await self._beside_probes(key, payload)
            if reply is not None:
                return reply
        raise EngineError(
            f"{self._name}: the server at {self._run.base_url} failed {len(failures)} times: {failures[-1]}. "
            "Nothing is lost: see that it runs, then run the same command again"
        )

    async def _beside_probes(self, key: str, payload: Payload) -> Reply | None:
        """Tell a text at which the server breaks ("server_error") from a broken server (None).

        A probe is sent before and after each of some more tries: the server must answer all of those, and
        fail each time at this request. Where 500s of others passed, or several texts seem to be at fault,
        the server is: a row is never set aside for what a better day mends.
        """
        for check in range(_CHECKS):
            if isinstance(await self._tried(f"probe {secrets.token_hex(8)}", self._probe), _Failed):
                return None
            made = await self._tried(key, payload)
            if isinstance(made, Reply):
                self._passing = True
                return made
            if made.status != 500:
                return None
            await self._pause(made.wait, check)
        if isinstance(await self._tried(f"probe {secrets.token_hex(8)}", self._probe), _Failed):
            return None
        if self._passing or self._set_aside == _SET_ASIDE:
            return None
        self._set_aside += 1
        return Reply("", "server_error")

    async def _pause(self, wait: float, repeat: int) -> None:
        """As long as the server asks, and full jitter: those that failed together come back apart."""
        jitter = random.uniform(0, min(_LONGEST, self._run.backoff * 2 ** min(repeat, 30)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._failed.wait(), wait + jitter)

    async def _tried(self, key: str, payload: Payload) -> Reply | _Failed:
        """One request, paid and kept."""
        bound = _bound(payload)
        reservation = await self._reserved(key, self._cost(bound.tokens_in, bound.tokens_out))
        if isinstance(reservation, Reply):
            return reservation
        try:
            reply, refused = await self._once(payload, bound)
        except _Failed as failure:
            (self._answers.lose if failure.billed else self._answers.free)(reservation)
            return failure
        except EngineError:
            self._answers.free(reservation)
            raise
        except BaseException:  # stopped while it was under way
            self._answers.lose(reservation)
            raise
        if refused:  # by the server, before the model saw it: not billed, and not kept
            self._answers.free(reservation)
            return reply
        return self._answers.record(key, reservation, reply, self._cost(reply.tokens_in, reply.tokens_out))

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
            wait = _retry_after(response.headers.get("Retry-After", ""))
            raise _Failed(status, billed=False, wait=wait, status=response.status_code)
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
            text, finish = _text(message.get("content")), _text(choice.get("finish_reason") or "stop")
            refused = bool(message.get("refusal"))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Failed("its answer is no chat completion", billed=True) from None
        if finish in _BROKEN_OFF:
            raise _Failed(f'it broke its answer off ("{finish}")', billed=True)
        finish = "length" if finish in _CUT else finish
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
    except (ValueError, RecursionError):
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
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), _LONGEST_ASKED) if math.isfinite(seconds) else 0.0
