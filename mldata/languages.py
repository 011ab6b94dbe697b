"""The one module that knows language codes: a canonical BCP-47 tag, and each engine's own code for it.

Everything else in mldata speaks BCP-47 ("pt", "sr-Latn"). An unknown tag or a language without a code
raises: an engine given a wrong code answers all the same, in another language, and nothing notices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import langcodes
from langcodes.tag_parser import LanguageTagError

from mldata.errors import InputError


@dataclass(frozen=True)
class Language:
    """One language as the identifiers see it."""

    tag: str
    """Canonical BCP-47 tag."""
    fasttext: frozenset[str]
    """Labels of lid.176 that are right for a text in it."""
    heliport: frozenset[str]
    """Labels of heliport that are right for a text in it."""
    row: str
    """The table row it is in: its own tag, or that of the language it is a variety of."""

    def is_fasttext_label(self, label: str) -> bool:
        """Whether a fastText model's label, "pt" or "por_Latn", is right for a text in it.

        The script of a label doesn't count: it is evidence of its own.
        """
        code, _, script = label.partition("_")
        if not script:
            return label in self.fasttext
        return any(code in _alpha3(known) for known in self.fasttext)

    @property
    def name(self) -> str:
        """The English name, as "Portuguese"."""
        return langcodes.Language.get(self.tag).display_name("en")

    @property
    def script(self) -> str:
        """ISO 15924 code of the script it is written in, as "Latn"."""
        return str(langcodes.Language.get(self.tag).maximize().script)


_WRITTEN_AS = {"no": "nb", "nn": "nb"}
"""Languages that the identifiers don't tell from another -> that one's row."""

_INDIVIDUAL = {"ar": "arb", "ms": "zsm", "no": "nob", "sw": "swh", "zh": "cmn"}
"""Macrolanguage -> the one of its languages that GlotLID and OpenLID name in its stead."""


def _alpha3(code: str) -> set[str]:
    """The ISO 639-3 codes for what lid.176 calls `code`."""
    return {langcodes.Language.get(code).to_alpha3(), _INDIVIDUAL.get(code, "")} - {""}


def _table(rows: str) -> dict[str, Language]:
    languages = {}
    for row in rows.strip().splitlines():
        tag, fasttext, heliport = (column.split() for column in row.split("|"))
        languages[tag[0]] = Language(tag[0], frozenset(fasttext), frozenset(heliport), tag[0])
    return languages


# tag | fastText labels | heliport labels. Where identifiers can't tell close relatives apart, all of
# them are right: lid.176 calls 4 % of Bosnian sentences `bs` and the rest hr, sr or sh; it knows one
# Norwegian (`no`); no identifier here tells Aragonese from Spanish, so `an` must also differ from its
# Spanish pivot (see evidence/structure.py).
LANGUAGES = _table("""
    an      | an ast es    | spa
    ar      | ar arz       | ara
    bg      | bg           | bul
    bs      | bs hr sh sr  | hbs hbsbos hbshrv hbssrp
    ca      | ca           | cat
    cs      | cs           | ces
    da      | da           | dan
    de      | de           | deu
    el      | el           | ell
    en      | en           | eng
    eo      | eo           | epo
    es      | es           | spa
    fi      | fi           | fin
    fr      | fr           | fra
    gl      | gl           | glg
    he      | he           | heb
    hi      | hi           | hin
    hr      | bs hr sh sr  | hbs hbsbos hbshrv hbssrp
    hu      | hu           | hun
    id      | id ms        | msaind msa msamalay
    it      | it           | ita
    ja      | ja           | jpn
    ko      | ko           | kor
    mk      | mk           | mkd
    nb      | nn no        | nob
    nl      | nl           | nld
    oc      | oc           | oci
    pl      | pl           | pol
    pt      | pt           | por
    ro      | ro           | ron
    ru      | ru           | rus
    sl      | sl           | slv
    sr-Cyrl | bs hr sh sr  | hbs hbsbos hbshrv hbssrp
    sr-Latn | bs hr sh sr  | hbs hbsbos hbshrv hbssrp
    sv      | sv           | swe
    sw      | sw           | swa
    th      | th           | tha
    tr      | tr           | tur
    uk      | uk           | ukr
    vi      | vi           | vie
    zh      | wuu yue zh   | cmn
""")

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
