"""A dataset card is what the hub reads, says what the set is, and shows texts of data, obeying none."""

import re
import shutil

import datasets
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import mldata
from mldata import given as given_translations
from mldata.report import card, front_matter
from mldata.shards import Manifest, read_calibration, read_manifest
from mldata.visible import markdown, markdown_code, visible

HOSTILE = (
    'no: [x]\n---\n# "Set" </script><img src=x onerror=alert(1)> | `a` *b* ```{{ 7*7 }}``` {% raw %}'
    "\x1b[31m\u202e"
)


@pytest.fixture(scope="module")
def manifest(built):
    return read_manifest(built.path)


@pytest.fixture(scope="module")
def calibration(built, manifest):
    return read_calibration(built.path, manifest)


def changed(manifest, **changes):
    """A manifest with other facts: dotted names, as source__name."""
    facts = manifest.model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split("__")
        inside = facts
        for part in path:
            inside = inside[part]
        inside[last] = value
    return Manifest.model_validate(facts)


def yaml_of(text):
    return DatasetCard(text).data.to_dict()


def rendered(text):
    """As GitHub and the hub show it: the HTML of the body, raw HTML passed through."""
    body = DatasetCard(text).text
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(body)


def test_the_hub_reads_what_the_set_is(built, manifest):
    said = yaml_of((built.path / "README.md").read_text("utf-8"))
    assert said == {
        "pretty_name": "prefs in 3 languages",
        "language": ["en", "es", "gl"],
        "language_creators": "machine-generated",
        "annotations_creators": "machine-generated",
        "license": "other",
        "license_name": "see-licence-below",
        "license_details": "that of the source",
        "multilinguality": "translation",
        "size_categories": "n<1K",
        "source_datasets": ["extended|other"],
        "task_categories": ["text-generation"],
        "tags": ["preference", "dpo", "orpo", "multilingual", "parallel", "mldata", "arxiv:2509.23659"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train-*.arrow"},
                    {"split": "test", "path": "data/test-*.arrow"},
                ],
            }
        ],
    }


def test_the_card_is_that_of_manifest_and_calibration_alone(built, manifest, calibration):
    assert (built.path / "README.md").read_text("utf-8") == card.render(manifest, calibration)
    assert card.render(manifest, calibration) == card.render(manifest, calibration)
    assert str(built.path) not in card.render(manifest, calibration)


def test_a_set_that_was_copied_elsewhere_still_loads(built, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    shutil.copytree(built.path, tmp_path / "a copy")
    found = datasets.load_dataset(str(tmp_path / "a copy"), cache_dir=str(tmp_path / "cache"))
    opened = mldata.open_set(built.path)
    assert {s: len(rows) for s, rows in found.items()} == {
        s: opened.scan(s).collect().height for s in ("train", "test")
    }


def test_figures_of_the_card_are_those_of_the_set(built, manifest, calibration):
    text = card.render(manifest, calibration)
    rows = mldata.open_set(built.path).scan().collect()
    anchor = manifest.languages["en"]
    assert f"checked: {len(rows)} rows; {anchor.train} pairs to train on, {anchor.test} to test." in text
    for tag, of in manifest.languages.items():
        assert re.search(
            rf"^\| {tag} \| \w+ \| [^|]+ \| {of.concepts} \| {of.passed} \| {of.kept} \|", text, re.M
        )
    for column in rows.columns:
        assert re.search(rf"^\| ([\w, ]+, )?{column}(, [\w, ]+)? \| .+ \|$", text, re.M), column


@pytest.mark.parametrize("field", ["source__name", "licence", "mldata"])
def test_a_hostile_name_breaks_neither_yaml_nor_markdown(manifest, calibration, field):
    text = card.render(changed(manifest, **{field: HOSTILE}), calibration)
    assert " 49 " not in text  # no template runs what data says
    assert yaml_of(text)["configs"] == yaml_of(card.render(manifest))["configs"]
    assert yaml_of(text)["language"] == ["en", "es", "gl"]
    html = rendered(text)
    assert not re.search(r"<(script|img)", html)
    assert html.count("<h1>") == 1
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert html.count("<h2") == rendered(card.render(manifest, calibration)).count("<h2")
    assert html.count("<td") == rendered(card.render(manifest, calibration)).count("<td")
    if field == "source__name":
        assert yaml_of(text)["pretty_name"] == f"{HOSTILE} in 3 languages"
        assert html.count("<code") == rendered(card.render(manifest, calibration)).count("<code")


def test_hostile_prompts_and_evaluations_are_shown_and_not_obeyed(manifest):
    near = {"run": "2 words", "groups": 1, "concepts": 1}
    near["largest"] = [{"first": "ab", "concepts": 2, "prompt": HOSTILE}]
    evaluation = {"given": f"/home/ana/{HOSTILE.replace('/', '')}", "digest": "x", "texts": 1, "concepts": 1}
    leaks = {"run": "8 words", "concepts": 1, "evaluations": [evaluation]}
    text = card.render(changed(manifest, near_duplicates=near, contamination=leaks))
    html = rendered(text)
    assert not re.search(r"<(script|img)", html)
    assert html.count("<h1>") == 1
    assert "/home" not in text
    assert "1 concepts repeat another" in text


def test_the_hub_gets_codes_it_knows_and_the_full_tags_beside(manifest):
    counts = manifest.languages["es"].model_dump()
    tags = ["sr-Latn", "sr-Cyrl", "pt-BR", "no", "gl"]
    more = {
        "targets": tags,
        "languages": {"en": manifest.languages["en"].model_dump(), **dict.fromkeys(tags, counts)},
        "routes": dict.fromkeys(tags, "en>es"),
    }
    text = card.render(changed(manifest, **more))
    assert "- 'no'\n" in text
    said = yaml_of(text)
    assert said["language"] == ["en", "sr", "pt", "no", "gl"]
    assert said["language_bcp47"] == ["sr-Latn", "sr-Cyrl", "pt-BR"]
    assert said["pretty_name"] == "prefs in 6 languages"


def test_a_language_without_rows_isnt_claimed(manifest):
    text = card.render(changed(manifest, languages__gl__kept=0))
    assert yaml_of(text)["language"] == ["en", "es"]
    assert "Dropped whole, as no row of theirs was kept: Galician (gl)." in text
    assert "Nothing can be learnt here of Galician" in text


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("MIT", {"license": "mit"}),
        ("ODC-By-1.0", {"license": "odc-by"}),
        (
            "that of the source; no commercial use: nllb (CC-BY-NC-4.0)",
            {
                "license": "other",
                "license_name": "see-licence-below",
                "license_details": "that of the source; no commercial use: nllb (CC-BY-NC-4.0)",
            },
        ),
    ],
)
def test_the_licence_is_the_hubs_own_word_or_other(manifest, licence, said):
    text = card.render(changed(manifest, licence=licence))
    found = yaml_of(text)
    assert {name: value for name, value in found.items() if name.startswith("license")} == said
    assert f"Licence: {licence}." in text
    assert ("forbids commercial use" in text) == ("no commercial use" in licence)


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (2_000_016, "1M<n<10M"),
        (999_999_999, "100M<n<1B"),
        (10**11, "1B<n<10B"),
    ],
)
def test_how_many_rows_there_are_in_the_hubs_words(rows, category):
    assert front_matter.size_category(rows) == category


def test_a_source_of_the_hub_is_named_and_linked(manifest):
    text = card.render(changed(manifest, source__uri="hf://allenai/reward-bench/default:train"))
    assert yaml_of(text)["source_datasets"] == ["allenai/reward-bench"]
    assert "(https://huggingface.co/datasets/allenai/reward-bench)" in text


def test_given_translations_arent_called_a_machines(manifest):
    text = card.render(changed(manifest, routes=dict.fromkeys(manifest.targets, given_translations.ROUTE)))
    assert yaml_of(text)["language_creators"] == "found"
    assert "by machine" not in text


def test_limits_are_those_that_calibration_measured(manifest, calibration):
    assert calibration.languages["es"].damages["negation_changed"]
    facts = calibration.model_dump(mode="json")
    for language in facts["languages"].values():
        language["enough_data"] = True
        for kind, rates in language["damages"].items():
            rates["verdict"] = "not_reached"
            rates["held_out"]["count"] = rates["held_out"]["of"] if kind == "negation_changed" else 0
            rates["held_out"]["of"] = max(1, rates["held_out"]["of"])
            rates["held_out"]["count"] = rates["held_out"]["of"] if kind == "negation_changed" else 0
    text = card.render(manifest, type(calibration).model_validate(facts))
    assert "that the rules accept: negation_changed (a sentence says the contrary) 100 % to 100 %." in text
    assert "not calibrated on this set" in card.render(manifest)


def test_more_sections_stand_before_the_limits(manifest):
    text = card.render(manifest, sections=["## Reviewers", "", "*Two* of them said so."])
    assert "\n## Reviewers\n\n*Two* of them said so.\n" in text
    assert text.index("## Reviewers") < text.index("## Limits")


def test_a_published_card_says_where_it_is(manifest):
    text = card.placed(card.render(manifest), "org/prefs")
    assert 'load_dataset("org/prefs")' in text
    assert "mldata-train dpo --data hf://org/prefs --model MODEL" in text
    assert card.PLACE not in text


def test_the_citation_is_bibtex_whatever_the_name(manifest):
    text = card.render(changed(manifest, source__name='a}, title={"b"},\n```\n@evil{é'))
    entry = text[text.index("@misc{mldata-") : text.index("@misc{agarwal")]
    assert entry.startswith("@misc{mldata-a-title-b-evil,\n")
    assert entry.count("{") == entry.count("}") == 3
    assert "`" not in entry


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_shown_as_it_is_in_a_list_a_heading_and_a_table(text):
    words = " ".join(visible(text).split())
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    line = markdown(text)
    assert "\n" not in line
    inline = [token for token in shown.parse(f"- x\n- {line}\n") if token.type == "inline"]
    assert len(inline) == (2 if line.strip() else 1)
    assert all(t.type in ("text", "text_special") for t in inline[-1].children)
    assert [token.tag for token in shown.parse(f"# {line}\n") if token.type == "heading_open"] == ["h1"]
    table = shown.render(f"| a | b |\n|---|---|\n| {line} | c |\n")
    assert table.count("<td>") == 2
    assert "<td>c</td>" in table
    code = shown.parseInline(f"{markdown_code(text)} x")[0].children
    assert [t.type for t in code] == ["code_inline", "text"]
    if words and words.isprintable():
        assert code[0].content.strip() == words
