"""The converted encoder: unit vectors, the same for the same list, close for the same meaning."""

import numpy as np
import pytest

from mldata.encode import open_encoder
from mldata.errors import InputError

SAME = {
    "en": "The library is closed on Mondays because of the renovation.",
    "de": "Die Bibliothek ist wegen der Renovierung montags geschlossen.",
    "es": "La biblioteca está cerrada los lunes debido a la renovación.",
    "ja": "図書館は改装のため月曜日は休館です。",
    "ru": "Библиотека закрыта по понедельникам из-за ремонта.",
    "hi": "नवीनीकरण के कारण पुस्तकालय सोमवार को बंद रहता है।",
}
OTHER = {
    "en": "My aunt grows tomatoes and beans behind her house.",
    "de": "Meine Tante zieht hinter ihrem Haus Tomaten und Bohnen.",
    "es": "Mi tía cultiva tomates y judías detrás de su casa.",
    "ja": "叔母は家の裏でトマトと豆を育てています。",
    "ru": "Моя тётя выращивает за домом помидоры и фасоль.",
    "hi": "मेरी चाची अपने घर के पीछे टमाटर और सेम उगाती हैं।",
}


@pytest.fixture(scope="module")
def encoder():
    return open_encoder("e5-small")


def test_vectors_are_float32_of_unit_norm_in_the_order_given(encoder):
    texts = [*SAME.values(), "", "x", "word " * 3000]
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert (vectors * alone).sum(1).min() > 0.999
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_the_same_list_gives_the_same_bits_in_any_order(encoder):
    texts = list(SAME.values()) + list(OTHER.values())
    vectors = encoder.encode(texts)
    assert (encoder.encode(texts) == vectors).all()
    assert (encoder.encode(texts[::-1])[::-1] == vectors).all()


def test_the_same_meaning_is_nearer_than_another_in_every_language(encoder):
    same, other = encoder.encode(list(SAME.values())), encoder.encode(list(OTHER.values()))
    right, wrong = same @ same.T, same @ other.T
    assert right.min() > wrong.max()


def test_a_second_process_finds_the_converted_model(encoder, tmp_path, monkeypatch):
    from mldata.encode import e5

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = e5._weights_path()
    first = e5._converted(weights, encoder.engine.digest)
    made = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    assert e5._converted(weights, encoder.engine.digest) == first
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == made
    assert [path.name for path in (tmp_path / "mldata").glob("[!.]*")] == [first.name]


def test_an_unknown_encoder_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="e5-small"):
        open_encoder("labse-on-the-moon")
