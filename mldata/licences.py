"""Licences of models, and what they allow.

The licence of a model is what its authors state on its card. A card that links terms of its own has a
`LicenseRef-`: whether those allow a use is for the user to read.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

# What the models' cards say. Those of OPUS-MT say Apache-2.0 or CC-BY-4.0, model by model: here the stricter.
# Families whose models differ (Qwen, Mistral) aren't here: the recipe states their licence.
_MODELS = """
    baai/bge-m3                              | MIT
    cis-lmu/glotlid                          | Apache-2.0
    facebook/fasttext-language-identification | CC-BY-NC-4.0
    facebook/m2m100_*                        | MIT
    facebook/nllb-200-*                      | CC-BY-NC-4.0
    google/gemma-*                           | LicenseRef-Gemma
    google/madlad400-*                       | Apache-2.0
    google/translategemma-*                  | LicenseRef-Gemma
    helsinki-nlp/opus-mt-*                   | CC-BY-4.0
    hplt/openlid-v3                          | GPL-3.0-only
    intfloat/multilingual-e5-*               | MIT
    laurievb/openlid-v2                      | GPL-3.0-only
    meta-llama/llama-*                       | LicenseRef-Llama
    opennmt/nllb-200-*                       | CC-BY-NC-4.0
    sentence-transformers/labse              | Apache-2.0
    unbabel/tower*                           | CC-BY-NC-4.0
"""
_KNOWN = [tuple(column.strip() for column in row.split("|")) for row in _MODELS.strip().splitlines()]

_ALLOW = re.compile(
    r"(0BSD|AFL-3\.0|AGPL-3\.0.*|Apache-2\.0|Artistic-2\.0|BSD-[23]-Clause|BSL-1\.0|CC0-1\.0|CC-BY-(SA-|ND-)?\d.*"
    r"|CDLA-Permissive-[12]\.0|EPL-2\.0|EUPL-1\.2|GPL-[23]\.0.*|ISC|LGPL-[23]\.[01].*|MIT|MIT-0|MPL-2\.0|MS-PL"
    r"|ODbL-1\.0|ODC-By-1\.0|PDDL-1\.0|Unlicense|Zlib)",
    re.IGNORECASE,
)
_FORBID = re.compile(r".*-(NC|Noncommercial)(-.*)?", re.IGNORECASE)
_TOKEN = re.compile(r"\s*([()]|[A-Za-z0-9.+:-]+)")


def known(model: str) -> str | None:
    """The SPDX expression of a hub model's licence ("org/name"), or None where mldata doesn't know it."""
    name = model.lower()
    return next((licence for pattern, licence in _KNOWN if fnmatchcase(name, pattern)), None)


def allows_commercial(licence: str) -> bool | None:
    """Whether an SPDX expression allows commercial use; None where that can't be told: terms of their own
    (`LicenseRef-…`), identifiers that aren't known here, and what is no expression ("unknown")."""
    tokens = _TOKEN.findall(licence)
    if not tokens or "".join(tokens) != "".join(licence.split()):
        return None
    answer, rest = _either(tokens)
    return answer if not rest else None


def _either(tokens: list[str]) -> tuple[bool | None, list[str]]:
    """`A OR B`: one that allows it is enough. The answer, and the tokens after it."""
    answer, rest = _both(tokens)
    while rest and rest[0].upper() == "OR":
        other, rest = _both(rest[1:])
        answer = True if answer or other else None if None in (answer, other) else False
    return answer, rest


def _both(tokens: list[str]) -> tuple[bool | None, list[str]]:
    """`A AND B`: one that forbids it is enough."""
    answer, rest = _one(tokens)
    while rest and rest[0].upper() == "AND":
        other, rest = _one(rest[1:])
        answer = False if answer is False or other is False else None if None in (answer, other) else True
    return answer, rest


def _one(tokens: list[str]) -> tuple[bool | None, list[str]]:
    """One licence, with its exception if it has one, or an expression in parentheses."""
    if not tokens:
        return None, []
    if tokens[0] == "(":
        answer, rest = _either(tokens[1:])
        return (answer, rest[1:]) if rest and rest[0] == ")" else (None, ["("])
    first, rest = tokens[0], tokens[1:]
    if rest and rest[0].upper() == "WITH":
        rest = rest[2:]
    if _FORBID.fullmatch(first):
        return False, rest
    return (True if _ALLOW.fullmatch(first) else None), rest
