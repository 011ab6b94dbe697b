"""Marks what must come out of a translation exactly once, unchanged: code, URLs, maths, names of things.

One compiled pattern finds the candidates from left to right, each alternative anchored so that no input
makes it slow; a few short predicates throw out what only looks like an identifier or a formula.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a protected span is to the sentence around it."""

    WORD = "word"
    """It stands for a word: a name, a number, a piece of code."""
    MARKUP = "markup"
    """It has no meaning of its own: emphasis, tags, note marks."""
    LINK = "link"
    """The second half of a link, with the address: `](https://example.org)`."""


class Mark(NamedTuple):
    """One protected slice of a run."""

    start: int
    end: int
    kind: Kind


# Identifiers are ASCII; they may touch Chinese or Arabic letters, but not those of alphabets that
# use spaces, or `M` and `2` of "Müller2" would be one.
_ALPHABET = r"0-9A-Za-z\u00c0-\u024f\u0370-\u052f"
_URL_CHARACTER = r"[^\s\u200b-\u200f\ufeff<>\"`\[\]|\\^。，、；：！？）】》」]"

_PATTERN = re.compile(
    rf"""
    (?P<code> (?<!`)(?P<ticks>`++)(?=[^`])[^`](?:[^`]|(?!(?<!`)(?P=ticks)(?!`))`){{0,1000}}?(?P=ticks)(?!`) )
  | (?P<quote> (?:\r\n|\r|\n)[ \t]*+>[> \t]*+ )
  | (?P<template>
        <%[^%\n]{{0,100}}%>
      | <\|\w{{1,40}}\|>
      | \{{\{{[^{{}}\n]{{1,80}}\}}\}}
      | \$?\{{[^{{}}\n]{{0,40}}\}}
      | (?<![\w%])%(?:\(\w{{1,40}}\)|\d{{1,2}}\$)?[-+0\#]?\d{{0,3}}(?:\.\d{{1,3}})?
          [sdifgxXeEcru](?![A-Za-z'’])
      | (?<!\w)__(?:[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)*+
          |init|main|name|str|repr|call|len|file|doc|dict|all)__(?!\w)
      | \[/?[A-Z][A-Z0-9_]{{1,60}}\](?!\()
    )
  | (?P<tag>
        <!--(?:(?!-->)[^<]){{0,1000}}+-->
      | </?[A-Za-z][A-Za-z0-9-]{{0,30}}
          (?:\s{{1,10}}[\w:@.-]{{1,60}}\s?=\s?(?:"[^"<>]{{0,1000}}"|'[^'<>]{{0,1000}}'|[^\s<>"']{{1,500}})){{0,12}}
          \s{{0,10}}/?>
    )
  | (?P<entity> &(?:[A-Za-z]{{2,24}}\d{{0,2}}|\#\d{{1,7}}|\#[xX][0-9A-Fa-f]{{1,6}}); )
  | (?P<maths>
        \$\$[^$\n]{{1,1000}}\$\$
      | \\\((?:(?!\\[()])[^\n]){{1,500}}+\\\)
      | \\\[(?:(?!\\[\[\]])[^\n]){{1,1000}}+\\\]
    )
  | (?P<dollars> (?<![\\$\w])\$(?![\s$])(?:[^$\n\\]|\\[^\n]){{1,300}}+(?<!\s)\$(?![\d$]) )
  | (?P<url> (?<![A-Za-z0-9])(?i:
        (?:https?|ftps?|file)://{_URL_CHARACTER}++
      | www\.[A-Za-z0-9-]{{1,63}}\.{_URL_CHARACTER}++
      | mailto:{_URL_CHARACTER}++
      | (?<![@.-])(?:[a-z0-9-]{{2,63}}\.){{1,5}}[a-z]{{2,10}}/(?=[\w~%-]){_URL_CHARACTER}++
    ))
  | (?P<email> (?<![\w.+-])[\w.+-]{{1,64}}@[A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}}){{1,5}} )
  | (?P<link> \](?:
        \((?:[^()\s]|\([^()\s]*+\))*+(?:\s{{1,5}}(?:"[^"\n]{{0,300}}"|'[^'\n]{{0,300}}'))?\s{{0,5}}\)
      | \[[^\[\]\n]{{0,100}}\]
    ))
  | (?P<note> !\[(?=[^\[\]\n]{{0,500}}\][(\[])
      | \[\d{{1,4}}(?:\s?[,–-]\s?\d{{1,4}})?\](?!\()
      | \[\^[\w-]{{1,30}}\] )
  | (?P<drive> (?<!\w)[A-Za-z]:\\[\w.\\+-]*\w )
  | (?P<escape> \\[nrt](?![a-z]) )
  | (?P<command> \\[A-Za-z]{{1,30}}\*?(?:\[[^\]\n]{{0,60}}\])?
        (?:\{{(?:[^{{}}\n]|\{{[^{{}}\n]{{0,100}}\}}){{0,200}}+\}}){{0,5}}
      | \\[!-/:-@\[-`{{-~] )
  | (?P<tagged> (?<![\w@./])@\w{{1,60}} | (?<![\w&\#/])\#\w{{1,60}} )
  | (?P<moment> (?<![\w.-])\d{{4}}-\d{{2}}-\d{{2}}
          (?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?(?:Z|[+-]\d{{2}}:?\d{{2}})?)?(?![\w-])
      | (?<![\w:.])\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?![\d:]) )
  | (?P<emphasis>
        \*{{2,}}+(?=\S) | (?<=\S)\*{{2,}}+ | (?<![\w*])\*(?=[^\s*]) | (?<=[^\s*])\*(?![\w*])
      | (?<![\w])_(?=[^\s_]) | (?<=[^\s_])_(?!\w)
      | ~~ )
  | (?P<blank> _{{2,}}+ | ~ )
  | (?P<path> (?<![\w./\\<])(?:~|\.{{1,2}})?/(?:[\w.+-]++/)*+[\w.+-]*\w/? )
  | (?P<token> (?<![_{_ALPHABET}])[A-Za-z0-9]++(?:(?:[./-]|__?)[A-Za-z0-9]++)*+(?:\(\))?(?![{_ALPHABET}]) )
    """,
    re.VERBOSE,
)

_KINDS = {
    "quote": Kind.MARKUP,
    "tag": Kind.MARKUP,
    "note": Kind.MARKUP,
    "escape": Kind.MARKUP,
    "emphasis": Kind.MARKUP,
    "link": Kind.LINK,
}

_PROSE = re.compile(r"[^\W\d_]{3,} [^\W\d_]{3,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FILE = re.compile(
    r".+\.(?:py|ipynb|txt|md|json|jsonl|yaml|yml|toml|ini|cfg|csv|tsv|html?|css|jsx?|tsx?|vue|php|rb|pdf|docx?|xlsx?"
    r"|pptx?|png|jpe?g|gif|svg|webp|mp3|mp4|wav|exe|dll|zip|tar|gz|xml|sql|sh|bat|java|cpp|hpp|rs|log|env|lock"
    r"|com|org|net|edu|gov|io|dev|ai)",
    re.IGNORECASE,
)
_VERSION = re.compile(r"(?:v\d+(?:\.\d+)*|\d+(?:\.\d+){2,})(?:[-.]?[a-z]+\.?\d*)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:\.\d{3})+")
_QUANTITY = re.compile(r"\d+[A-Za-z]{1,5}")  # 3rd, 5kg, 10am, 1990s, 4K
_UPPER_PART = re.compile(r"[A-Z0-9]+[a-z]?")
_CAMEL = re.compile(r"[a-z]{2,}[0-9]*[A-Z]")
_MEMBER = re.compile(r"[a-z][A-Za-z0-9]*")


def marks(run: str) -> list[Mark]:
    """The protected slices of one run, in order and disjoint."""
    found = []
    cursor = 0
    while match := _PATTERN.search(run, cursor):
        name, start, end = match.lastgroup or "", match.start(), match.end()
        if name == "url":
            end = start + _url_length(match[0])
        elif name == "token" and not _is_identifier(match[0]):
            cursor = end
            continue
        elif (name == "dollars" and not _is_maths(match[0])) or (name == "path" and not _is_path(match[0])):
            cursor = start + 1
            continue
        found.append(Mark(start, end, _KINDS.get(name, Kind.WORD)))
        cursor = end
    return found


def _url_length(url: str) -> int:
    """Without the punctuation of the sentence and a bracket that was opened before the URL."""
    surplus = {close: url.count(close) - url.count(open_) for open_, close in ("()", "{}")}
    length = len(url)
    while length > 1:
        last = url[length - 1]
        if last in surplus:
            if surplus[last] <= 0:
                break
            surplus[last] -= 1
        elif last not in ".,;:!?'*_~»”’…":
            break
        length -= 1
    return length


def _is_maths(text: str) -> bool:
    """`$a$` but not the prices in "$5 is less than what (he paid)$"."""
    return not _PROSE.search(text) or any(sign in text for sign in "\\^_=")


def _is_path(text: str) -> bool:
    """`/etc/hosts` and `/help`, but not what is left of "and /or"."""
    return text.count("/") > 1 or (len(text) > 3 and text != "/and")


def _is_identifier(token: str) -> bool:
    """Whether a token names a thing: it mixes letters with digits, `_`, dots, slashes, or is camelCase."""
    if token.isalpha():
        return _CAMEL.match(token) is not None
    if "_" in token or token.endswith("()") or _FILE.fullmatch(token):
        return True
    if not any(map(str.isalpha, token)):
        return _VERSION.fullmatch(token) is not None and not _THOUSANDS.fullmatch(token)
    if "/" in token:
        return any(map(_is_identifier, filter(None, token.split("/"))))
    if _VERSION.fullmatch(token) or _UUID.fullmatch(token):
        return True
    if "." in token:
        parts = token.split(".")
        return all(map(_MEMBER.fullmatch, parts)) and any(map(_is_identifier, parts))
    if not any(map(str.isdigit, token)):
        return False
    if "-" in token:
        return all(map(_UPPER_PART.fullmatch, token.split("-"))) and not token[0].isdigit()
    return not _QUANTITY.fullmatch(token)
