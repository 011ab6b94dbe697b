"""The one module that knows language codes: a canonical BCP-47 tag, and each engine's own code for it.

Everything else in mldata speaks BCP-47 ("pt", "sr-Latn"). An unknown tag or a language without a code
raises: an engine given a wrong code answers all the same, in another language, and nothing notices.
The codes themselves are in `tables.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import langcodes
from langcodes.tag_parser import LanguageTagError

from mldata.errors import InputError
from mldata.languages import tables

_T = TypeVar("_T")


@dataclass(frozen=True)
class Language:
    """One language as the identifiers see it."""

    tag: str
    """Canonical BCP-47 tag."""
    fasttext: frozenset[str]
    """Labels of lid.176 that are right for a text in it; none where lid.176 doesn't know it."""
    heliport: frozenset[str]
    """Labels of heliport that are right for a text in it; none where heliport doesn't know it."""
    iso: frozenset[str]
    """ISO 639-3 codes that labels of GlotLID and OpenLID begin with, for a text in it; one at least."""
    row: str
    """Under which tag other tables have it: its own, or that of the language it is a variety of."""

    def is_fasttext_label(self, label: str) -> bool:
        """Whether a fastText model's label, "pt" or "por_Latn", is right for a text in it.

        The script of a label doesn't count: it is evidence of its own.
        """
        code, _, script = label.partition("_")
        return code in self.iso if script else label in self.fasttext

    @property
    def name(self) -> str:
        """The English name, as "Portuguese"."""
        return langcodes.Language.get(self.tag).display_name("en")

    @property
    def script(self) -> str:
        """ISO 15924 code of the script it is written in, as "Latn"."""
        return _script(self.tag)


_WRITTEN_AS = {"no": "nb"}
"""Languages that have no row of their own -> the row they are in."""

_VARIETY_OF = {"fa-AF": "fa", "nn": "nb", "zh-Hant": "zh"}
"""Rows that other tables (such as words for numbers) have under another row's tag."""


def _script(tag: str) -> str:
    return str(langcodes.Language.get(tag).maximize().script)


def _rows(table: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Each row's tag and the codes of its other columns."""
    for row in table.strip().splitlines():
        tag, *columns = row.split("|")
        yield tag.strip(), [column.split() for column in columns]


LANGUAGES = {
    tag: Language(tag, frozenset(fasttext), frozenset(heliport), frozenset(iso), _VARIETY_OF.get(tag, tag))
    for tag, (fasttext, heliport, iso) in _rows(tables.IDENTIFIERS)
}
"""Every language that texts can be measured in."""

_CODES = dict(_rows(tables.TRANSLATORS))
NLLB = {tag: codes[0][0] for tag, codes in _CODES.items() if codes[0]}
"""Tag -> language token of NLLB-200 ("spa_Latn"), for all that it knows."""
M2M100 = {tag: codes[1][0] for tag, codes in _CODES.items() if codes[1]}
"""Tag -> language code of M2M100 ("es", whose token is "__es__"), for all that it knows."""
MADLAD = {tag: codes[2][0] for tag, codes in _CODES.items() if codes[2]}
"""Tag -> language code of MADLAD-400 ("es", whose token is "<2es>")."""
OPUS = {tag: codes[3][0] for tag, codes in _CODES.items() if codes[3]}
"""Tag -> language code in the names of OPUS-MT models ("es", as in opus-mt-en-es)."""
OPUS_LABELS = {tag: tuple(codes[4]) for tag, codes in _CODES.items() if codes[4]}
"""Tag -> codes that OPUS-MT models of several targets have for it ("spa" in ">>spa<<"), the usual first."""

_FAMILIES = {
    "NLLB-200": set(NLLB),
    "M2M100": set(M2M100),
    "MADLAD-400": set(MADLAD),
    "OPUS-MT": {*OPUS, *OPUS_LABELS},
}

# (source, target) -> mode in /usr/share/apertium/modes. One mode serves several tags where the
# language is one to Apertium (`hbs`, its orthography chosen by the mode's suffix).
APERTIUM_MODES = {
    ("en", "es"): "eng-spa",
    ("es", "en"): "spa-eng",
    ("en", "gl"): "en-gl",
    ("gl", "en"): "gl-en",
    ("en", "ca"): "eng-cat",
    ("ca", "en"): "cat-eng",
    ("en", "eo"): "en-eo",
    ("eo", "en"): "eo-en",
    ("en", "hr"): "eng-hbs_HR",
    ("en", "sr-Latn"): "eng-hbs_SR",
    ("en", "bs"): "eng-hbs_BS",
    ("hr", "en"): "hbs-eng",
    ("sr-Latn", "en"): "hbs-eng",
    ("bs", "en"): "hbs-eng",
    ("es", "it"): "spa-ita",
    ("it", "es"): "ita-spa",
    ("es", "fr"): "es-fr",
    ("fr", "es"): "fr-es",
    ("es", "oc"): "es-oc",
    ("oc", "es"): "oc-es",
    ("es", "an"): "spa-arg",
    ("an", "es"): "arg-spa",
    ("es", "pt"): "es-pt_BR",
    ("pt", "es"): "pt-es",
    ("hr", "sl"): "hbs-slv",
    ("sl", "hr"): "slv-hbs_HR",
    ("hr", "mk"): "hbs-mkd",
    ("mk", "hr"): "mkd-hbs_HR",
    ("mk", "bg"): "mkd-bul",
    ("bg", "mk"): "bul-mkd",
}


def canonical(tag: str) -> str:
    """Canonical BCP-47 form of `tag` ("PT_br" gives "pt-BR"); InputError if it is no language tag."""
    try:
        standard = langcodes.standardize_tag(tag.strip())
    except (LanguageTagError, ValueError):
        standard = ""
    if not standard or not langcodes.Language.get(standard).is_valid():
        raise InputError(f'"{tag}" is no BCP-47 language tag; write it as "pt", "sr-Latn" or "pt-BR"')
    return standard


def language(tag: str) -> Language:
    """What the identifiers call the language `tag`; InputError where no table row covers it.

    A variety ("pt-BR", "zh-Hant") has the labels of its language, and keeps its own tag and script.
    """
    wanted = canonical(tag)
    row = covering(wanted)
    if row is None:
        known = " ".join(sorted(LANGUAGES))
        raise InputError(f'no identifier labels are known for "{tag}"; languages with labels: {known}')
    return replace(LANGUAGES[row], tag=wanted)


def covering(tag: str) -> str | None:
    """The table row that covers a canonical tag: its own, or that of its language in its script, or of its
    language ("sr-RS": "sr-Cyrl", "pt-BR": "pt", "arb": "ar"); None if there is none."""
    full = langcodes.Language.get(tag).maximize()
    wide = langcodes.standardize_tag(tag, macro=True).split("-")[0]
    rows = (tag, f"{full.language}-{full.script}", full.language, wide, _WRITTEN_AS.get(wide))
    return next((row for row in rows if row in LANGUAGES), None)


def written_as(tag: str) -> str:
    """The table row of a canonical tag's language in its script ("zh-TW": "zh-Hant", "pt-BR": "pt"), by which
    translators know it; the tag itself where there is none ("uz-Cyrl" isn't "uz")."""
    row = covering(tag)
    return row if row is not None and _script(row) == _script(tag) else tag


def primary(tag: str) -> str:
    """The language of a tag without script and region, by its ISO 639 code: "sr-Latn" gives "sr"."""
    return str(langcodes.Language.get(tag).language)


def english_name(tag: str) -> str:
    """What English calls a language, known here or not: "Portuguese", "Serbian (Latin)"."""
    return langcodes.Language.get(tag).display_name("en")


def nllb_code(tag: str) -> str:
    """NLLB-200's code of a language, "spa_Latn"; InputError where it knows none."""
    return _code("NLLB-200", NLLB, tag)


def m2m100_code(tag: str) -> str:
    """M2M100's code of a language, "es"; its token is "__es__". InputError where it knows none."""
    return _code("M2M100", M2M100, tag)


def madlad_code(tag: str) -> str:
    """MADLAD-400's code of a language, "es"; its token is "<2es>". InputError where it knows none."""
    return _code("MADLAD-400", MADLAD, tag)


def opus_code(tag: str) -> str:
    """The code of a language in OPUS-MT models' names, "es" in opus-mt-en-es; InputError if none is known."""
    return _code("OPUS-MT", OPUS, tag)


def opus_labels(tag: str) -> tuple[str, ...]:
    """The codes an OPUS-MT model of several targets may have for a language, "spa" in ">>spa<<", the usual
    one first; its vocabulary tells which. InputError if none is known."""
    return _code("OPUS-MT", OPUS_LABELS, tag)


def _code(family: str, codes: Mapping[str, _T], tag: str) -> _T:
    row = written_as(canonical(tag))
    if row in codes:
        return codes[row]
    others = ", ".join(name for name, known in _FAMILIES.items() if row in known and name != family)
    name = langcodes.Language.get(canonical(tag)).display_name("en")
    raise InputError(f'{family} has no code for {name} ("{tag}"); with a code for it: {others or "none"}')
