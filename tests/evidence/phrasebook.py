"""Human sentences in English and Spanish, and engines that damage them in ways real ones do.

Each engine stands at the translator protocol and is right but for one kind of damage, so a test can say
which rule sees it.
"""

from __future__ import annotations

import re

from mldata.engine import Engine
from mldata.text import Segment
from mldata.translate import Translation

SENTENCES = {
    "Thank you for writing to us about the broken kettle.": "Gracias por escribirnos sobre el hervidor roto.",
    "We are sorry that it stopped working after only two weeks.": (
        "Lamentamos que haya dejado de funcionar después de solo dos semanas."
    ),
    "You can send it back free of charge within 30 days.": (
        "Puede devolverlo sin coste en un plazo de 30 días."
    ),
    "A new one will be posted to your address tomorrow morning.": (
        "Mañana por la mañana se enviará uno nuevo a su dirección."
    ),
    "Please keep the receipt until the parcel has arrived.": (
        "Por favor, guarde el recibo hasta que llegue el paquete."
    ),
    "Our workshop will look at the heating element.": "Nuestro taller examinará la resistencia.",
    "Nobody here can help you with that, so stop asking.": (
        "Aquí nadie puede ayudarle con eso, así que deje de preguntar."
    ),
    "Kettles break all the time, and it was probably your fault.": (
        "Los hervidores se rompen continuamente, y probablemente fue culpa suya."
    ),
    "You should have read the manual before you used it.": ("Debería haber leído el manual antes de usarlo."),
    "Buy another one in a shop near your house.": "Compre otro en una tienda cerca de su casa.",
    "The guarantee does not interest us at all.": "La garantía no nos interesa en absoluto.",
    "We close this conversation now and will not answer again.": (
        "Cerramos ahora esta conversación y no volveremos a responder."
    ),
    "My kettle broke yesterday when I wanted to make tea.": (
        "Mi hervidor se rompió ayer cuando quería preparar té."
    ),
    "What can I do to get my money back?": "¿Qué puedo hacer para recuperar mi dinero?",
    "The train to the coast leaves at seven in the evening.": (
        "El tren hacia la costa sale a las siete de la tarde."
    ),
    "The museum shows paintings from the eighteenth century.": (
        "El museo muestra cuadros del siglo dieciocho."
    ),
    "Her brother plays the violin in a small orchestra.": (
        "Su hermano toca el violín en una pequeña orquesta."
    ),
    "The farmers expect a good harvest of apples this year.": (
        "Los agricultores esperan este año una buena cosecha de manzanas."
    ),
}
ENGLISH = list(SENTENCES)
PROMPT = " ".join(ENGLISH[12:14])
CHOSEN = " ".join(ENGLISH[:6])
REJECTED = " ".join(ENGLISH[6:12])
UNRELATED = ENGLISH[14:18]


class Phrasebook:
    """Translates the sentences above as a person did, both ways."""

    damage = "none"

    def __init__(self) -> None:
        self.there = dict(SENTENCES)
        self.back = {spanish: english for english, spanish in SENTENCES.items()}

    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset({("en", "es"), ("es", "en")})

    def engine(self, source: str, target: str) -> Engine:
        return Engine("phrasebook", self.damage, f"phrasebook {self.damage} {source} {target}", "CC0-1.0")

    def translate(self, segments: list[Segment], source: str, target: str) -> list[Translation]:
        if source == "en":
            return [Translation(Segment(self.damaged(segment.text))) for segment in segments]
        return [Translation(Segment(self.back.get(segment.text, segment.text))) for segment in segments]

    def damaged(self, text: str) -> str:
        return self.there[text]

    def close(self) -> None:
        pass


class DropsLastSentence(Phrasebook):
    """The last sentence of a text comes back empty, as models do that stop early."""

    damage = "drops last sentence"

    def damaged(self, text: str) -> str:
        return "" if text == ENGLISH[5] else self.there[text]


class Replaces(Phrasebook):
    """One sentence of the answer is about something else."""

    damage = "replaces a sentence"

    def damaged(self, text: str) -> str:
        return self.there[UNRELATED[0] if text == ENGLISH[2] else text]


class Copies(Phrasebook):
    """Nothing is translated."""

    damage = "copies"

    def damaged(self, text: str) -> str:
        return text


class CopiesHalf(Phrasebook):
    """Every other sentence is not translated."""

    damage = "copies half"

    def damaged(self, text: str) -> str:
        return text if ENGLISH.index(text) % 2 else self.there[text]


class Swaps(Phrasebook):
    """Each answer is translated where the other should be."""

    damage = "swaps chosen and rejected"

    def damaged(self, text: str) -> str:
        place = ENGLISH.index(text)
        return self.there[ENGLISH[(place + 6) % 12] if place < 12 else text]


class Collapses(Phrasebook):
    """Both answers come out the same."""

    damage = "collapses the answers"

    def damaged(self, text: str) -> str:
        place = ENGLISH.index(text)
        return self.there[ENGLISH[place % 6] if place < 12 else text]


class ChangesNumbers(Phrasebook):
    """30 days become 90."""

    damage = "changes numbers"

    def damaged(self, text: str) -> str:
        return re.sub(r"\d+", "90", self.there[text])


class Loops(Phrasebook):
    """A phrase is said over and over."""

    damage = "loops"

    def damaged(self, text: str) -> str:
        words = self.there[text].split()
        return " ".join(words[:2] + words[2:6] * 8) if text == ENGLISH[1] else self.there[text]


class WrongLanguage(Phrasebook):
    """The answer is in Portuguese for a user who reads Spanish."""

    damage = "wrong language"
    portuguese = (
        "Obrigado por nos escrever sobre a chaleira avariada.",
        "Lamentamos que tenha deixado de funcionar passadas apenas duas semanas.",
        "Pode devolvê-la sem custos no prazo de 30 dias.",
        "Amanhã de manhã será enviada uma nova para a sua morada.",
        "Por favor, guarde o recibo até a encomenda chegar.",
        "A nossa oficina vai examinar a resistência.",
    )

    def damaged(self, text: str) -> str:
        place = ENGLISH.index(text)
        return self.portuguese[place] if place < 6 else self.there[text]
