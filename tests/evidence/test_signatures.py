"""Every evidence column says what computed it, and changes its signature with that alone."""

from mldata.evidence import LENGTH_DEVIATION, columns
from mldata.evidence.signatures import signatures

DIGESTS = {"e5-small": "3f9a1c22aaaa", "fasttext": "0011223344", "heliport": "99887766"}


def test_every_column_has_a_signature():
    found = signatures("e5-small", ["heliport", "fasttext"], DIGESTS)
    assert set(found) == {column.name for column in columns()} | {LENGTH_DEVIATION}
    assert found["similarity"].startswith("encoder:e5-small.3f9a1c22|segments:")
    assert found["language_score"].startswith("identifiers:heliport.99887766+fasttext.00112233|over:min")


def test_another_revision_of_the_encoder_changes_what_the_encoder_computed_and_nothing_else():
    before = signatures("e5-small", ["fasttext"], DIGESTS)
    after = signatures("e5-small", ["fasttext"], DIGESTS | {"e5-small": "another revision"})
    changed = {name for name in before if before[name] != after[name]}
    by_encoder = {name for name in before if "encoder:" in before[name]}
    assert changed == by_encoder
    assert {"similarity", "margin_min", "alignment", "contrast", "back_similarity"} <= changed
    assert not {"language_score", "numbers", "spans_kept", LENGTH_DEVIATION} & changed
