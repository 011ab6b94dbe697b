"""A small language of true sentences in English, Spanish and Portuguese, which models learn in seconds.

All its nouns are feminine and its adjectives have one form, so a sentence is translated word for word but
for its order: English puts the adjective before the noun, the others behind it. The words are real, so that
language identifiers know them, and so is what the sentences say.
"""

from __future__ import annotations

import random

WORDS = """
the la a | a una uma | my mi minha | every cada cada
house casa casa | school escuela escola | door puerta porta | city ciudad cidade | letter carta carta
window ventana janela | street calle rua | woman mujer mulher | girl niña menina | mountain montaña montanha
chair silla cadeira | table mesa mesa | sister hermana irmã | song canción canção | kitchen cocina cozinha
green verde verde | big grande grande | sad triste triste | important importante importante
strong fuerte forte | interesting interesante interessante | poor pobre pobre | easy fácil fácil
sees ve vê | wants quiere quer | needs necesita precisa | buys compra compra | opens abre abre
finds encuentra encontra | knows conoce conhece | paints pinta pinta | sells vende vende | loves ama ama
today hoy hoje | tomorrow mañana amanhã | always siempre sempre | and y e | with con com
"""


def _rows(text: str) -> list[tuple[str, str, str]]:
    rows = [cell.split() for line in text.strip().splitlines() for cell in line.split("|")]
    return [(en, es, pt) for en, es, pt in rows]


LEXICON = {en: {"en": en, "es": es, "pt": pt} for en, es, pt in _rows(WORDS)}
_ALL = list(LEXICON)
DETERMINERS, NOUNS, ADJECTIVES, VERBS = _ALL[:4], _ALL[4:19], _ALL[19:27], _ALL[27:37]
ADVERBS, JOINTS = _ALL[37:40], _ALL[40:]
LANGUAGES = ("en", "es", "pt")


def sentence(draw: random.Random) -> dict[str, str]:
    """One sentence in all three languages, as "the strong woman opens a green door today." """
    parts = [_noun(draw), [(draw.choice(VERBS),) * 2], _noun(draw)]
    if draw.random() < 0.4:
        parts += [[(draw.choice(JOINTS),) * 2], _noun(draw)]
    if draw.random() < 0.4:
        parts.append([(draw.choice(ADVERBS),) * 2])
    return _said([words for part in parts for words in part])


def _noun(draw: random.Random) -> list[tuple[str, str]]:
    """A noun phrase as pairs: the word in English order, the word in the others' order."""
    english = [draw.choice(DETERMINERS), draw.choice(NOUNS)]
    others = list(english)
    if draw.random() < 0.5:
        adjective = draw.choice(ADJECTIVES)
        english.insert(1, adjective)
        others.append(adjective)
    return list(zip(english, others, strict=True))


def _said(pairs: list[tuple[str, str]]) -> dict[str, str]:
    texts = {}
    for language in LANGUAGES:
        words = [LEXICON[pair[language != "en"]][language] for pair in pairs]
        texts[language] = f"{' '.join(words).capitalize()}."
    return texts


def pairs(count: int, seed: int = 0) -> list[dict[str, dict[str, str]]]:
    """Preference pairs: prompt, chosen and rejected of one to three sentences, each in all languages."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        row = {}
        for field in ("prompt", "chosen", "rejected"):
            said = [sentence(draw) for _ in range(draw.randint(1, 3))]
            row[field] = {language: " ".join(one[language] for one in said) for language in LANGUAGES}
        made.append(row)
    return made
