"""Which language a text is in: decided on the whole, by an identifier that is sure; copies are told apart."""

from mldata.engine import Engine
from mldata.evidence import Pair, Unit
from mldata.evidence.language import measure
from mldata.identify import Identified
from mldata.languages import language

GALICIAN = [
    "A biblioteca está pechada os luns porque están a reformar o edificio enteiro.",
    "Pode devolver os libros na caixa que hai ao carón da porta principal.",
    "Se precisa axuda, chame por teléfono entre as nove e as dúas da tarde.",
]
ENGLISH = "You can return the books in the box that is next to the main door."


class Fixed:
    """An identifier that gives some texts labels of their own, and one label to all others."""

    def __init__(self, label, knows, **others):
        self.engine = Engine("fixed", "1", "fixed", "CC0-1.0")
        self.label, self.knows, self.others = label, knows, others

    def identify(self, texts, wanted):
        labels = [next((k for k, t in self.others.items() if t == text), self.label) for text in texts]
        return [Identified(label, label == wanted.tag, wanted.tag in self.knows) for label in labels]


def score(identifiers, segments):
    """language_score, anchor_score and label of a text of Galician that should be."""
    pairs = tuple(Pair(ENGLISH, segment, "", "", ()) for segment in segments)
    unit = Unit(0, "chosen", 0, ENGLISH, " ".join(segments), (), pairs)
    return measure([unit], identifiers, language("gl"), language("en")).row(0)


def test_a_text_counts_as_a_whole_whatever_one_short_segment_looks_like():
    one_segment_like_portuguese = Fixed("gl", {"gl", "en"}, pt=GALICIAN[1])
    assert score([one_segment_like_portuguese], GALICIAN) == (1.0, 0.0, "gl")


def test_a_segment_left_in_english_counts_against_the_whole():
    half = [GALICIAN[0], ENGLISH]
    language_score, anchor_score, label = score([Fixed("gl", {"gl", "en"}, en=ENGLISH)], half)
    assert label == "gl"
    assert anchor_score == len(ENGLISH) / sum(map(len, half))
    assert language_score == 1 - anchor_score


def test_another_language_as_a_whole_is_never_more_than_half_right():
    whole = " ".join(GALICIAN)
    assert score([Fixed("gl", {"gl", "en"}, pt=whole)], GALICIAN) == (0.5, 0.0, "pt")


def test_the_first_identifier_that_is_sure_decides():
    unsure, portuguese = Fixed("und", {"gl", "en"}), Fixed("pt", {"gl", "en"})
    ignorant, galician = Fixed("es", set()), Fixed("gl", {"gl", "en"})
    assert score([unsure, galician], GALICIAN)[2] == "gl"
    assert score([ignorant, galician], GALICIAN)[2] == "gl"
    assert score([portuguese, galician], GALICIAN)[2] == "pt"


def test_a_text_too_short_to_tell_has_no_score():
    assert score([Fixed("gl", {"gl", "en"})], ["Si, claro."]) == (None, None, None)
