"""What licences allow, and those of models that mldata knows."""

import pytest

from mldata.licences import allows_commercial, known


@pytest.mark.parametrize(
    ("model", "licence"),
    [
        ("facebook/nllb-200-3.3B", "CC-BY-NC-4.0"),
        ("facebook/m2m100_418M", "MIT"),
        ("google/madlad400-3b-mt", "Apache-2.0"),
        ("Helsinki-NLP/opus-mt-en-de", "CC-BY-4.0"),
        ("sentence-transformers/LaBSE", "Apache-2.0"),
        ("Unbabel/TowerInstruct-7B-v0.2", "CC-BY-NC-4.0"),
        ("google/translategemma-4b-it", "LicenseRef-Gemma"),
        ("somebody/something", None),
        ("models/nllb-200-3.3B", None),
    ],
)
def test_a_model_of_the_hub_is_known_by_its_name(model, licence):
    assert known(model) == licence


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("apache-2.0", True),
        ("GPL-3.0-only", True),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", True),
        ("MIT AND CC-BY-SA-3.0", True),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-NC-SA-4.0", False),
        ("PolyForm-Noncommercial-1.0.0", False),
        ("MIT AND CC-BY-NC-4.0", False),
        ("LicenseRef-Gemma AND CC-BY-NC-4.0", False),
        ("MIT OR CC-BY-NC-4.0", True),
        ("(MIT OR CC-BY-NC-4.0) AND Apache-2.0", True),
        ("MIT OR CC-BY-4.0 AND CC-BY-NC-4.0", True),
        ("(MIT OR CC-BY-4.0) AND CC-BY-NC-4.0", False),
        ("LicenseRef-Gemma", None),
        ("LicenseRef-Gemma OR MIT", True),
        ("LicenseRef-Gemma AND MIT", None),
        ("LicenseRef-Gemma OR CC-BY-NC-4.0", None),
        ("BUSL-1.1", None),
        ("unknown", None),
        ("that of the model", None),
        ("MIT, mostly", None),
        ("(MIT", None),
        ("MIT AND", None),
        ("OR", None),
        ("", None),
    ],
)
def test_an_expression_allows_commercial_use_forbids_it_or_leaves_it_open(licence, allowed):
    assert allows_commercial(licence) is allowed


def test_every_known_model_says_something_that_is_an_identifier():
    for model in ("BAAI/bge-m3", "cis-lmu/glotlid", "laurievb/OpenLID-v2", "intfloat/multilingual-e5-large"):
        assert allows_commercial(known(model) or "")
