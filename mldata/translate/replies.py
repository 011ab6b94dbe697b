"""Reading a model's answer: the translation in it, or why there is none.

Only what can be told from the answer and its source is decided here, and never by how good it is: that is
evidence's part. Preference data are full of refusals, apologies and talk of translations, so whatever an
answer is suspected of is first looked for in the source: a translated refusal is a translation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from mldata.translate.answers import Reply

# The word "translat…" in the languages models chat in. Some turn, return or transfer money by the same word.
_TRANSLATES = (
    r"translat|traduc|traduç|traduz|traduir|tradui|traduit|tradott|überset|uebersetz|vertal|oversæt|overset|"
    r"översät|käännös|tłumacz|překlad|prevod|prijevod|переклад|fordítás|tradus|μετάφρα|"
    r"çeviri|ترجم|תרגום|अनुवाद|অনুবাদ|翻译|翻譯|翻訳|번역|คำแปล|terjemah|tafsiri|bản dịch|traduk|itzulpen"
)
_ANNOUNCING = re.compile(_TRANSLATES, re.IGNORECASE)
_TRANSLATING = re.compile(rf"{_TRANSLATES}|käänn|fordít|çevir|itzul|превод|перевод|перевед", re.IGNORECASE)
# "Okay" and "OK" alone are German, Dutch and others' too.
_OPENER = re.compile(
    r"(?:sure|certainly|of course|absolutely|here(?:'s|’s| is| are| you go)|below is|the translation|"
    r"translation|translated text)\b",
    re.IGNORECASE,
)
_CLOSER = re.compile(
    r"[(\[]?(?:please )?(?:note\b|translator's note|let me know|i hope|i(?: have|'ve)? (?:translated|kept)|"
    r"explanation\b|(?P<elsewhere>nota\b|remarque|hinweis|anmerkung|примечание|注))",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"\b(?:the|this|my|your) translat(?:ion|ed)|\btranslat(?:ed|ion) (?:of|from|to|into) ", re.IGNORECASE
)
_REFUSAL = re.compile(
    r"(?:(?:i'm|i’m|i am) (?:really |very |so |truly )?sorry\b|"
    r"(?:sorry|apologies|unfortunately),? (?:but )?i\b|"
    r"i (?:can't|can’t|cannot|can not|won't|won’t|will not|am unable to|am not able to)\b|"
    r"(?:i'm|i’m) (?:unable|not able|not comfortable)\b|i (?:must|have to) (?:decline|refuse)\b|"
    r"as an (?:ai|artificial)\b|my apologies\b|i apologi[sz]e\b)",
    re.IGNORECASE,
)
# The same in the languages that most sets are translated into.
_REFUSAL_ELSEWHERE = re.compile(
    r"lo siento,? (?:pero )?(?:no puedo|no puc)|no puedo (?:ayudar|cumplir|proporcionar)|"
    r"(?:desculpe|sinto muito|lamento),? (?:mas )?(?:eu )?não posso|não posso (?:ajudar|fornecer)|"
    r"(?:je suis )?désolée?,? (?:mais )?je ne peux pas|je ne peux pas (?:aider|fournir|vous)|"
    r"(?:es )?tut mir leid,? (?:aber )?(?:ich|dabei|das)|ich kann (?:dabei|ihnen|dir) (?:leider )?nicht|"
    r"mi dispiace,? (?:ma )?non posso|ho sento,? (?:però )?no puc|het spijt me,? (?:maar )?ik kan|"
    r"извините,? (?:но )?я не могу|很?抱歉，?我(?:无法|無法|不能)|"
    r"申し訳(?:ありません|ございません)が.{0,60}(?:できません|できかねます)|"
    r"죄송하지만.{0,60}수 없",
    re.IGNORECASE,
)
_SORRY = re.compile(
    r"sorry|apolog|regret|unfortunate|can't|can’t|cannot|can not|won't|won’t|unable|not able|refuse|decline|"
    r"not comfortable|as an ai|pardon|excuse|afraid|forgive|condolence|\bsad\b|\bpity\b|too bad|feel bad",
    re.IGNORECASE,
)
_NO = re.compile(r"n['’]t\b|\b(?:not?|never|nothing|none|nobody|neither|hardly|impossible)\b", re.IGNORECASE)
_NOTE = re.compile(r"\b(?:not(?:es?|ed|ice)|remarks?|n\.?b\b)", re.IGNORECASE)
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'", "‘": "’"}
_ANY_QUOTES = tuple({*_QUOTES, *_QUOTES.values(), "‚", "»", "”", "『", "』", "‹", "›"})
_FENCE = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)


def read(reply: Reply, text: str, source: str, target: str) -> tuple[str, str]:
    """The translation of `text` (marks for its spans) in `reply`, and "" or a word for the row's issues.

    Tags are those of the languages. Blanks at the edges are the source's.
    """
    if problem := _ended_badly(reply):
        return "", problem
    return cleaned(reply.text, text, source, target)


def read_record(reply: Reply, keys: Sequence[str]) -> tuple[list[str], str]:
    """The values of `keys` in an answer that must be a JSON object of strings; none, and why, if it isn't."""
    if problem := _ended_badly(reply):
        return [], problem
    body = _without_thought(reply.text)
    if found := _FENCE.search(body):
        body = found[1]
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return [], "chatter"
    if not isinstance(values, dict) or set(values) != set(keys):
        return [], "chatter"
    texts = [values[key] for key in keys]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return [], "empty"
    # Half an emoji, escaped, is JSON but no text that can be stored.
    return [text.encode("utf-8", "replace").decode() for text in texts], ""


def cleaned(answer: str, text: str, source: str, target: str) -> tuple[str, str]:
    """As `read`, of an answer's text that ended well."""
    if "think>" not in text:
        answer = _without_thought(answer)
    answer = _unwrapped(answer.strip(), text)
    if not answer:
        return "", "empty"
    if _refuses(answer, text.strip(), source, target):
        return "", "refused"
    answer, problem = _without_chatter(answer, text.strip(), target)
    if problem:
        return "", problem
    answer = _unwrapped(answer, text)
    if not answer:
        return "", "empty"
    head, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return head + answer + tail, ""


def _ended_badly(reply: Reply) -> str:
    if reply.refused or reply.finish == "content_filter":
        return "refused"
    if reply.finish in ("too_long", "server_error"):
        return reply.finish
    return "truncated" if reply.finish == "length" else ""


def _without_thought(answer: str) -> str:
    """Without what a reasoning model thought aloud; some templates open <think> before the answer begins."""
    before, end, after = answer.partition("</think>")
    if end:
        return after
    return "" if before.lstrip().startswith("<think>") else answer


def _unwrapped(answer: str, text: str) -> str:
    """Without tags, a code fence or quotation marks around all of it that the source doesn't have."""
    source = text.strip()
    found = re.fullmatch(r"<(text-*)>\s*(.*?)\s*</\1>", answer, re.DOTALL)
    if found and not source.startswith("<text"):
        answer = found[2]
    if not source.startswith("```") and (found := _FENCE.fullmatch(answer)) and "```" not in found[1]:
        answer = found[1].strip()
    closing = _QUOTES.get(answer[:1])
    inside = answer[1:-1]
    if closing and inside and answer.endswith(closing) and not _quoted(source):
        alone = answer[0] not in inside and closing not in inside
        answer = inside.strip() if alone else answer
    return answer


def _quoted(source: str) -> bool:
    return source.startswith(_ANY_QUOTES) or source.endswith(_ANY_QUOTES)


def _refuses(answer: str, text: str, source: str, target: str) -> bool:
    start = answer[:200].lstrip("\"'“¡ *")
    if _REFUSAL.match(start):
        if _base(target) != "en":  # English where another language was asked for
            return not _REFUSAL.match(text[:200].lstrip("\"'“ *"))
        # A refusal in good English may be the translation of one: not of a text much longer, or when it
        # speaks of translating and the text doesn't.
        speaks = _TRANSLATING.search(answer) is not None and not _TRANSLATING.search(text)
        return speaks or len(answer) < 0.3 * len(text)
    if _base(source) == "en" and _REFUSAL_ELSEWHERE.match(start):
        return not _SORRY.search(text) and not _NO.search(text[:150])
    return False


def _without_chatter(answer: str, text: str, target: str) -> tuple[str, str]:
    """Without a first line that announces the translation and last lines that comment on it.

    Nothing is cut that leaves fewer lines than the source has: it may be part of the translation.
    """
    silent, foreign = not _TRANSLATING.search(text), _base(target) != "en"
    needed = len(_lines(text))
    first, rest = _announcement(answer)
    alone = "\n" in answer[: len(answer) - len(rest)]
    if first:
        opens = _OPENER.match(first.lstrip("*# ")) and not _OPENER.match(text.lstrip("*# "))
        # "Rewrite this: …" is the text's.
        has_own = _announcement(text)[0] and (not _announcement(rest)[0] or _colons(answer) <= _colons(text))
        word = _TRANSLATING if alone else _ANNOUNCING  # a line more than the text has is no part of it
        if (foreign and opens) or (silent and word.search(first) and not has_own):
            if len(_lines(rest)) < needed:
                return "", "chatter"
            answer = rest
    lines = answer.split("\n")
    own = _NOTE.search(text) or any(_closes(line) for line in _lines(text)[-1:])
    for number, line in enumerate(lines):
        found = _closes(line)
        if not found or own or len(_lines("\n".join(lines[:number]))) < needed:
            continue
        comments = silent and _TRANSLATING.search("\n".join(lines[number:]))
        if comments or (foreign and not found["elsewhere"]):
            answer = "\n".join(lines[:number]).rstrip()
            break
    if silent and foreign and _TALK.search(answer):
        return "", "chatter"
    return answer, ""


def _closes(line: str) -> re.Match[str] | None:
    return _CLOSER.match(line.lstrip("*_-— "))


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _announcement(answer: str) -> tuple[str, str]:
    """What stands before a colon that ends the first line or comes early in it, and all that follows."""
    line = answer.partition("\n")[0]
    for pattern in (r"(.{1,160}?)[*_]*[:：][*_]*\s*$", r"(.{1,100}?)[:：][*_]*(?=\s)"):
        if found := re.match(pattern, line):
            return found[1], answer[found.end() :].strip()
    return "", answer


def _colons(text: str) -> int:
    return sum(map(text.count, ":："))


def _base(tag: str) -> str:
    return tag.partition("-")[0].lower()
