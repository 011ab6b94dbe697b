"""A chat server on this machine that translates the sentences of `phrases`, and fails in any way asked for.

It understands the templates of `mldata.translate.prompts` as a model would: it finds the text in the
messages, and the languages by their names.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.models.phrases import ADJECTIVES, LEXICON, NOUNS

NAMES = {"English": "en", "Spanish": "es", "Portuguese": "pt", "Arabic": "ar"}
FAULTS = ["429", "500", "503", "slow", "cut", "dropped", "no_json", "no_choices"]
"""What a server may do instead of answering, for a while."""
_WORD = re.compile(r"[^\W\d_]+")
_WORDS: dict[tuple[str, str], str] = {
    (language, row[language]): english for english, row in LEXICON.items() for language in row
}


def translated(text: str, source: str, target: str) -> str:
    """`text`, word for word but for the place of adjectives; words it doesn't know stay."""
    return re.sub(r"[^\W\d_]+(?: [^\W\d_]+)*", lambda run: _run(run[0], source, target), text)


def _run(run: str, source: str, target: str) -> str:
    words = run.split()
    if source == "ar":
        return run
    english = [_WORDS.get((source, word.lower()), word) for word in words]
    for n in range(len(english) - 1):
        before, after = english[n : n + 2]
        if (source == "en" and before in ADJECTIVES and after in NOUNS) or (
            source != "en" and before in NOUNS and after in ADJECTIVES and target == "en"
        ):
            english[n : n + 2] = [after, before]
    made = [LEXICON[word].get(target, word) if word in LEXICON else word for word in english]
    text = " ".join(made)
    return text[0].upper() + text[1:] if words[0][0].isupper() else text


@dataclass
class ChatServer:
    """What the server was asked, and what it does about it."""

    fault: Callable[[int, str], str | None] = lambda number, text: None
    """The fault of the n-th request (from 0), which asks for a text; None answers it."""
    words: str | None = None
    """What an error says, or a "said" answer is; {key} is the key that came with the request."""
    usage: tuple[int, int] | None = (300, 100)
    """Tokens in and out that each answer reports, or no usage at all."""
    delay: float = 0.0
    """Seconds each answer takes."""
    slow: float = 0.6
    """Seconds that the fault "slow" takes before it hangs up."""
    requests: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    url: str = ""
    most_at_once: int = 0
    at_once: int = 0
    lock: Any = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serving(server: ChatServer) -> Iterator[ChatServer]:
    """Serve until the block ends."""

    class Handler(_Handler):
        state = server

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:  # clients that went away
            pass

    with Quiet(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: ChatServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        state = self.state
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        with state.lock:
            number = state.requests
            state.requests += 1
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
            state.times.append(time.monotonic())
            state.keys.add(self.headers.get("Authorization", ""))
        try:
            body = json.loads(raw)
            state.bodies.append(body)
            time.sleep(state.delay)
            if self.path != "/v1/chat/completions":
                self.send(404, {"error": {"message": f"no such path: {self.path}"}})
                return
            source, target, texts, is_record = understood(body)
            fault = state.fault(number, "\n".join(texts.values()))
            if fault in (*FAULTS, "400", "401", "too_long"):
                self.fail(fault)
                return
            made = {key: translated(text, source, target) for key, text in texts.items()}
            self.answer(spoiled(fault, made, is_record, state.words), fault)
            state.answered[raw.decode()] += 1
        finally:
            with state.lock:
                state.at_once -= 1

    def fail(self, fault: str) -> None:
        if fault == "slow":
            time.sleep(self.state.slow)
        elif fault in ("dropped", "cut"):
            if fault == "cut":
                self.send_response(200)
                self.send_header("Content-Length", "5000")
                self.end_headers()
                self.wfile.write(b'{"choices": [{"message": {"content": "La c')
            self.close_connection = True
        elif fault == "no_json":
            self.send_bytes(200, b"<html>Bad gateway</html>")
        elif fault == "no_choices":
            self.send(200, {"id": "1", "choices": []})
        elif fault == "too_long":
            self.send(400, {"error": {"message": "This model's maximum context length is 64 tokens."}})
        else:
            words = (self.state.words or "not now").replace("{key}", self.headers.get("Authorization", ""))
            headers = {"Retry-After": "0.3"} if fault == "429" else {}
            self.send(int(fault), {"error": {"message": words}}, headers)

    def answer(self, content: str, fault: str | None) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": content}
        finish = "stop"
        if fault == "length":
            message["content"], finish = content[: len(content) // 2], "length"
        elif fault == "abort":
            message["content"], finish = content[: len(content) // 2], "abort"
        elif fault == "filtered":
            message["content"], finish = "", "content_filter"
        elif fault == "refusal_field":
            message = {"role": "assistant", "content": None, "refusal": "I can't help with that."}
        elif fault == "thinking":
            message["reasoning_content"] = "The user wants a translation of this."
        answer: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
        if self.state.usage is not None:
            tokens_in, tokens_out = self.state.usage
            answer["usage"] = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        self.send(200, answer)

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.send_bytes(status, json.dumps(body).encode(), headers)

    def send_bytes(self, status: int, raw: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def understood(body: dict[str, Any]) -> tuple[str, str, dict[str, str], bool]:
    """Source, target, texts, and whether they are a record's, of a request."""
    content = body["messages"][-1]["content"]
    if isinstance(content, list):
        (part,) = content
        assert body["chat_template_kwargs"]["target_lang_code"] == part["target_lang_code"]
        return part["source_lang_code"], part["target_lang_code"], {"": part["text"]}, False
    if tower := re.search(
        r"^Translate the following text from (\w+) into (\w+)\.\n\1: (.*)\n\2:$",
        content,
        re.DOTALL | re.MULTILINE,
    ):
        return NAMES[tower[1]], NAMES[tower[2]], {"": tower[3]}, False
    system = body["messages"][0]["content"]
    found = re.search(r"from (\w+) \(\S+\) into (\w+) \(", system)
    assert found, system
    source, target = NAMES[found[1]], NAMES[found[2]]
    if "response_format" in body:
        texts = json.loads(content[content.index("{") :])
        schema = body["response_format"]["json_schema"]["schema"]
        assert list(schema["properties"]) == schema["required"] == list(texts)
        return source, target, texts, True
    text = re.search(r"<(text-*)>\n(.*)\n</\1>$", content, re.DOTALL)
    assert text, content
    return source, target, {"": text[2]}, False


def spoiled(fault: str | None, made: dict[str, str], is_record: bool, words: str | None) -> str:
    """What the model says, with what is wrong about it."""
    if fault == "lost_marks":
        made = {key: re.sub(r"\W\d+\W", "", text) for key, text in made.items()}
    if fault == "wrong_number":
        made = dict(list(made.items())[:-1])
    if fault == "empty":
        made = dict.fromkeys(made, "")
    text = json.dumps(made, ensure_ascii=False) if is_record else next(iter(made.values()), "")
    if fault == "broken_record":
        text = text[:-1]
    if fault == "fenced":
        return f"```json\n{text}\n```"
    return words.replace("{made}", text) if fault == "said" and words else text
