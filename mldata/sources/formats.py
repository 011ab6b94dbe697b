"""The four formats of preference data, each made into prompt, chosen and rejected.

A row either becomes an `Example` or raises `SetAside` with one sentence that names the field; nothing is
repaired or guessed on the way, so the texts of an example are the bytes of the source. Rows come from `files`
and `hub`; what is made of them goes into concepts in this package's `__init__`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mldata.concepts import FIELDS, Message, Shape, Text

Format = Literal["standard", "conversational", "implicit", "hh"]
FORMATS: tuple[Format, ...] = ("standard", "conversational", "implicit", "hh")

Conversation = tuple[Message, ...]
Triple = tuple[Text, Text, Text]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

_HH_START = re.compile(r"\s*Human:")
_HH_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_HH_ROLES = {"Human": "user", "Assistant": "assistant"}

# Where a shared start may end: after a line or a sentence, else after any white space. A prompt that ends
# inside a sentence would give translators half sentences on both sides of the cut.
_SENTENCE_END = re.compile(r"\n+|(?:[.!?…][\"'”’»)\]]*\s+)|(?:[。！？][」』”’]*)")
_SPACE = re.compile(r"\s+")


class SetAside(Exception):
    """Why one row can't become a concept: the field (or "") and one sentence."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Example:
    """One row's texts and its other columns."""

    prompt: Text
    chosen: Text
    rejected: Text
    extra: dict[str, Any]


def recognise(record: Mapping[str, Any]) -> tuple[Format, Shape] | None:
    """The format of one row by the types of its fields, or None. HH goes first: it is made of strings too."""
    for format in ("hh", "conversational", "standard", "implicit"):
        shape = fits(record, format)
        if shape is not None:
            return format, shape
    return None


def fits(record: Mapping[str, Any], format: Format) -> Shape | None:
    """The shape in which a row fits a format by its types alone, or None. Contents are judged by `read`."""
    prompt, chosen, rejected = (record.get(name) for name in FIELDS)
    lists = isinstance(chosen, list) and isinstance(rejected, list)
    strings = isinstance(chosen, str) and isinstance(rejected, str)
    if format == "hh":
        return "messages" if strings and all(_HH_START.match(str(t)) for t in (chosen, rejected)) else None
    if format == "conversational":
        return "messages" if lists and isinstance(prompt, str | list) else None
    if format == "standard":
        return "strings" if strings and isinstance(prompt, str) else None
    if prompt is not None:
        return None
    return "strings" if strings else "messages" if lists else None


def read(record: object, format: Format, shape: Shape, max_chars: int, *, alike: bool = False) -> Example:
    """One row as an example, or `SetAside`. Answers may be `alike` in a translation: damage to measure."""
    if not isinstance(record, Mapping):
        raise SetAside("", f"the row is {_kind(record)}, not an object with named fields")
    triple = _READERS[format, shape](record)
    used = set(FIELDS) if format in ("standard", "conversational") else {"chosen", "rejected"}
    if record.get("prompt") is None:
        used.add("prompt")
    if shape == "messages":
        triple, system_used = _with_system(record.get("system"), triple)
        used |= {"system"} if system_used else set()
    for name, text in zip(FIELDS, triple, strict=True):
        _check(name, text, max_chars)
    if triple[1] == triple[2] and not alike:
        raise SetAside("rejected", '"rejected" is the same as "chosen"')
    extra = {name: value for name, value in record.items() if name not in used}
    for name, value in extra.items():
        if not _encodable(name) or not _encodable(value):
            raise SetAside(name, f"{_quoted(name)} holds a lone surrogate, which is not valid text")
    return Example(*triple, extra)


def _standard(record: Mapping[str, Any]) -> Triple:
    return _text(record, "prompt"), _text(record, "chosen"), _text(record, "rejected")


def _conversational(record: Mapping[str, Any]) -> Triple:
    """Conversations whose chosen and rejected may begin with the prompt, as in UltraFeedback-binarized."""
    given = _value(record, "prompt")
    chosen, rejected = _messages(record, "chosen"), _messages(record, "rejected")
    if isinstance(given, str):
        return _under_question(_text(record, "prompt"), chosen, rejected)
    prompt = _messages(record, "prompt")
    n = len(prompt)
    # "while": what was read once and written again must read the same.
    while chosen[:n] == rejected[:n] == prompt and min(len(chosen), len(rejected)) > n:
        chosen, rejected = chosen[n:], rejected[n:]
    return prompt, chosen, rejected


def _under_question(question: str, chosen: Conversation, rejected: Conversation) -> Triple:
    """A prompt of one string over two conversations that either repeat it as a user's turn or answer it."""
    shared = _shared_turns(chosen, rejected)
    if any(m.role == "user" and m.content.strip() == question.strip() for m in chosen[:shared]):
        return chosen[:shared], chosen[shared:], rejected[shared:]
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[0].role != "assistant":
            raise SetAside(name, f'"{name}" starts with a {turns[0].role} turn that is not "prompt"')
    return (Message("user", question),), chosen, rejected


def _implicit_messages(record: Mapping[str, Any]) -> Triple:
    _refuse_prompt(record)
    return _divide(_messages(record, "chosen"), _messages(record, "rejected"))


def _hh(record: Mapping[str, Any]) -> Triple:
    return _divide(_turns(record, "chosen"), _turns(record, "rejected"))


def _divide(chosen: Conversation, rejected: Conversation) -> Triple:
    if chosen == rejected:
        raise SetAside("rejected", '"rejected" is the same as "chosen"')
    shared = _shared_turns(chosen, rejected)
    if shared == 0:
        raise SetAside("chosen", '"chosen" and "rejected" share no first messages that could be the prompt')
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _shared_turns(chosen: Conversation, rejected: Conversation) -> int:
    """How many leading messages are alike, with one left on either side."""
    most = min(len(chosen), len(rejected)) - 1
    return next((i for i in range(most) if chosen[i] != rejected[i]), most)


def _implicit_strings(record: Mapping[str, Any]) -> Triple:
    _refuse_prompt(record)
    chosen, rejected = _text(record, "chosen"), _text(record, "rejected")
    if chosen == rejected:
        raise SetAside("rejected", '"rejected" is the same as "chosen"')
    length = _shared_start(chosen, rejected)
    for boundary in (_SENTENCE_END, _SPACE):
        for end in reversed([found.end() for found in boundary.finditer(chosen, 0, length)]):
            parts = chosen[:end], chosen[end:], rejected[end:]
            if all(part.strip() for part in parts):
                return parts
    raise SetAside("chosen", '"chosen" and "rejected" share no first words that could be the prompt')


def _shared_start(a: str, b: str) -> int:
    """Length of the common prefix, by bisection: comparing slices is some hundred times a loop's speed."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _refuse_prompt(record: Mapping[str, Any]) -> None:
    if record.get("prompt") is not None:
        raise SetAside("prompt", '"prompt" is given where this source has it inside "chosen" and "rejected"')


def _value(record: Mapping[str, Any], name: str) -> Any:
    if name not in record:
        raise SetAside(name, f'"{name}" is missing')
    if record[name] is None:
        raise SetAside(name, f'"{name}" is null')
    return record[name]


def _text(record: Mapping[str, Any], name: str) -> str:
    value = _value(record, name)
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        raise SetAside(name, f'"{name}" is a list of messages where this source has text')
    if not isinstance(value, str):
        raise SetAside(name, f'"{name}" is {_kind(value)}, not text')
    return value


def _turns(record: Mapping[str, Any], name: str) -> Conversation:
    text = _text(record, name)
    if not text.strip():
        raise SetAside(name, f'"{name}" is empty')
    # split keeps what the group caught: "", "Human", " the question", "Assistant", " the answer", …
    before, *pieces = _HH_TURN.split(text)
    if before.strip() or not pieces or pieces[0] != "Human":
        raise SetAside(name, f'"{name}" does not start with "Human:" as this source\'s texts do')
    roles, contents = pieces[::2], pieces[1::2]
    return tuple(Message(_HH_ROLES[r], c.strip()) for r, c in zip(roles, contents, strict=True))


def _messages(record: Mapping[str, Any], name: str) -> Conversation:
    value = _value(record, name)
    if isinstance(value, str):
        raise SetAside(name, f'"{name}" is text where this source has lists of messages')
    if not isinstance(value, list):
        raise SetAside(name, f'"{name}" is {_kind(value)}, not a list of messages')
    if not value:
        raise SetAside(name, f'"{name}" is an empty list')
    return tuple(_message(given, name, f'"{name}", message {i},') for i, given in enumerate(value, 1))


def _message(given: object, name: str, where: str) -> Message:
    if not isinstance(given, Mapping):
        raise SetAside(name, f"{where} is {_kind(given)}, not an object with role and content")
    role = given.get("role")
    if role is None:
        raise SetAside(name, f"{where} has no role")
    if role not in ROLES:
        raise SetAside(name, f"{where} has the unknown role {_quoted(role)}; known are {', '.join(ROLES)}")
    calls = _calls(given.get("tool_calls"), name, where)
    content = given.get("content")
    if content is None and calls is not None:
        content = ""  # what chat APIs write beside a tool call
    for key in ("name", "tool_call_id"):
        if not isinstance(given.get(key), str | None):
            raise SetAside(name, f'{where} has {_kind(given[key])} as "{key}", not text')
    return Message(role, _content(content, name, where), given.get("name"), calls, given.get("tool_call_id"))


def _content(content: object, name: str, where: str) -> str:
    """A message's text: a string, or the parts [{"type": "text", "text": …}] of multimodal chats, joined."""
    if isinstance(content, str):
        return content
    if content is None:
        raise SetAside(name, f"{where} has no content")
    if not isinstance(content, list):
        raise SetAside(name, f"{where} has {_kind(content)} as content, not text")
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or part.get("type") != "text":
            raise SetAside(name, f"{where} has a content part that is not text")
        texts.append(text)
    return "".join(texts)


def _calls(calls: object, name: str, where: str) -> str | None:
    if calls is None or calls == []:
        return None
    if isinstance(calls, str):
        return calls
    try:
        return json.dumps(calls, ensure_ascii=False)
    except (TypeError, ValueError):
        raise SetAside(name, f"{where} has tool calls that can't be written as JSON") from None


def _with_system(system: object, triple: Triple) -> tuple[Triple, bool]:
    """A `system` column leads the prompt, unless it already has such a message; says if it was used up."""
    prompt, chosen, rejected = triple
    if system is None or (isinstance(system, str) and not system.strip()):
        return triple, True
    if not isinstance(system, str) or isinstance(prompt, str) or prompt[0].role in ("system", "developer"):
        return triple, False
    return ((Message("system", system), *prompt), chosen, rejected), True


def _check(name: str, text: Text, max_chars: int) -> None:
    """Every field has something to say, is valid Unicode and is not over the limit."""
    if isinstance(text, str):
        parts = [text]
        if not text.strip():
            raise SetAside(name, f'"{name}" is {"only white space" if text else "empty"}')
    else:
        for number, m in enumerate(text, 1):
            if not m.content.strip() and m.tool_calls is None:
                what = "only white space" if m.content else "empty"
                raise SetAside(name, f'"{name}", message {number}, is {what}')
        parts = [s for m in text for s in (m.content, m.name, m.tool_calls, m.tool_call_id) if s]
    if not all(map(_encodable, parts)):
        raise SetAside(name, f'"{name}" holds a lone surrogate, which is not valid text')
    if (length := sum(map(len, parts))) > max_chars:
        raise SetAside(name, f'"{name}" has {length} characters; the limit is {max_chars}')


def _encodable(value: object) -> bool:
    """No lone surrogate anywhere: Arrow could not store it."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return False
    elif isinstance(value, Mapping):
        return all(_encodable(k) and _encodable(v) for k, v in value.items())
    elif isinstance(value, list | tuple):
        return all(map(_encodable, value))
    return True


def _quoted(value: object) -> str:
    """Any value for a message: short and printable, with lone surrogates escaped."""
    text = str(value)
    return (
        '"'
        + (text if len(text) <= 60 else text[:59] + "…").encode("utf-8", "backslashreplace").decode()
        + '"'
    )


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (bytes, "binary data"),
    (list, "a list"),
    (Mapping, "an object"),
)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return next((word for type_, word in _KINDS if isinstance(value, type_)), f"a {type(value).__name__}")


def describe(record: Mapping[str, Any]) -> str:
    """The columns of a row with the kind of each, for the message that no format fits."""
    return ", ".join(f"{name} ({_kind(value)})" for name, value in record.items()) or "none"


_READERS: dict[tuple[Format, Shape], Callable[[Mapping[str, Any]], Triple]] = {
    ("standard", "strings"): _standard,
    ("conversational", "messages"): _conversational,
    ("implicit", "strings"): _implicit_strings,
    ("implicit", "messages"): _implicit_messages,
    ("hh", "messages"): _hh,
}
