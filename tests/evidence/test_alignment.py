"""Segments of two texts find each other; what has no counterpart stays alone and is told."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import phrasebook
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mldata.encode import open_encoder
from mldata.evidence import Pair, Unit
from mldata.evidence.alignment import Pool, align, align_units, measure, texts

ENGLISH = phrasebook.ENGLISH
SPANISH = list(phrasebook.SENTENCES.values())


@pytest.fixture(scope="module")
def embed():
    encoder = open_encoder("e5-small")
    return lambda texts: dict(zip(sorted(texts), encoder.encode(sorted(texts)), strict=True)) if texts else {}


@pytest.fixture(scope="module")
def pool(embed):
    vectors = embed({*ENGLISH, *SPANISH})
    return Pool.of([([e], [s]) for e, s in zip(ENGLISH, SPANISH, strict=True)], vectors)


def aligned(embed, pool, english, spanish):
    """(source, target) of each pair that the aligner finds, and the text's `alignment`."""
    unit = Unit(0, "prompt", 0, " ".join(english), " ".join(spanish), (), ())
    (made,) = align_units([unit], "en", "es", embed, pool)
    return [(p.source, p.target) for p in made.pairs], measure([made], {}, pool, "es")["alignment"][0]


def test_sentences_that_mean_the_same_find_each_other(embed, pool):
    pairs, fit = aligned(embed, pool, ENGLISH[:8], SPANISH[:8])
    assert pairs == list(zip(ENGLISH[:8], SPANISH[:8], strict=True))
    assert fit > 0.05


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_dropped_sentence_stands_alone(embed, pool, place):
    pairs, fit = aligned(embed, pool, ENGLISH[:8], SPANISH[:place] + SPANISH[place + 1 : 8])
    assert (ENGLISH[place], "") in pairs
    assert len(pairs) == 8
    assert fit < 0


@pytest.mark.parametrize("place", [0, 3, 7])
def test_an_added_sentence_stands_alone(embed, pool, place):
    extra = SPANISH[16]
    pairs, fit = aligned(embed, pool, ENGLISH[:8], [*SPANISH[:place], extra, *SPANISH[place:8]])
    assert ("", extra) in pairs
    assert fit < 0


def test_two_sentences_told_in_one_are_no_damage(embed, pool):
    merged = [*SPANISH[:2], f"{SPANISH[2][:-1]}, y {SPANISH[3][0].lower()}{SPANISH[3][1:]}", *SPANISH[4:8]]
    pairs, fit = aligned(embed, pool, ENGLISH[:8], merged)
    assert (" ".join(ENGLISH[2:4]), merged[2]) in pairs
    assert fit > 0


def test_a_text_without_a_translation_has_nothing_that_fits(embed, pool):
    pairs, fit = aligned(embed, pool, ENGLISH[:2], [])
    assert pairs == [(ENGLISH[0], ""), (ENGLISH[1], "")]
    assert fit == -1


def test_a_sentence_that_an_engine_added_to_a_segment_is_seen(embed, pool):
    said = {"as it was": SPANISH[2], "with more": f"{SPANISH[2]} {SPANISH[16]}"}
    units = [
        Unit(0, "chosen", 0, ENGLISH[2], text, (), (Pair(ENGLISH[2], text, "", "", ()),))
        for text in said.values()
    ]
    vectors = embed({ENGLISH[2], *said.values(), *texts(units, "es")})
    as_it_was, with_more = measure(units, vectors, pool, "es")["alignment"]
    assert with_more < 0 < as_it_was


VECTORS = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(4)), elements=st.floats(-1, 1, width=32)
)


@settings(deadline=None)
@given(source=VECTORS, target=VECTORS, lengths=st.lists(st.integers(1, 400), min_size=24, max_size=24))
def test_every_segment_is_in_one_step_and_in_order(source, target, lengths):
    source, target = source + np.float32(0.01), target + np.float32(0.01)
    pool = Pool(np.zeros(4, np.float32), np.zeros(4, np.float32), 1.0, source, target)
    steps = align(source, target, lengths[: len(source)], lengths[12 : 12 + len(target)], pool=pool)
    assert [i for s in steps for i in range(s.source_start, s.source_end)] == list(range(len(source)))
    assert [j for s in steps for j in range(s.target_start, s.target_end)] == list(range(len(target)))


def test_one_dropped_segment_among_thousands_is_found():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pool = Pool(np.zeros(16, np.float32), np.zeros(16, np.float32), 1.0, vectors[:100], vectors[:100])
    steps = align(vectors, np.delete(vectors, 1500, axis=0), [50] * 3000, [50] * 2999, pool=pool)
    assert [s.source_start for s in steps if s.target_start == s.target_end] == [1500]
