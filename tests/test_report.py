"""The report: its figures are the set's, nothing in data can act in it, and people can read it anywhere."""

import html
import itertools
import json
import os
import re
import shutil

import polars as pl
import pytest

import mldata
from mldata import inspection
from mldata.errors import InputError, SetError
from mldata.evidence import LENGTH_DEVIATION
from mldata.languages import language
from mldata.report import counts, examples, marks, spreads
from mldata.report import html as page_of
from mldata.shards import read_manifest
from mldata.store import read_table
from tests.conftest import run_mldata

HOSTILE = [
    "<script>document.title = 'ran'</script>",
    "</style></script></title><img src=x onerror=alert(1)>",
    "<a href='javascript:alert(2)' onclick='alert(3)'>click</a>",
    "<svg onload=alert(4)><style>@import 'https://example.org/x.css'</style></svg>",
    "{{ 7 * 7 }} {% for x in y %} {# gone #} ${alert(5)}",
    "user \u202egnp.exe\u2066 and \x00 NUL, \x1b[31m red, \x85 next",
    "&lt;b&gt; &amp; \"quoted\" 'so'",
]
RECIPE = """
name = "plumbing"
targets = ["es", "de"]
translators = ["identity"]
identifiers = ["fasttext"]
encoder = "e5-small"
[[rules]]
name = "language"
when = "language_score >= 0.5"
because = "<script>alert(6)</script> isn't the language"
per_language = { es = 0 }
[[rules]]
name = "similarity"
when = "similarity >= 0.5"
"""


def literal(text):
    """As a page shows it: controls written out."""
    from mldata.visible import visible

    return visible(text)


def build_identity(folder, rows, recipe=RECIPE, name="source.jsonl", **options):
    """A set made by the engine that gives back what it gets."""
    (folder / "plumbing.toml").write_text(recipe, "utf-8")
    source = folder / name
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    out = folder / "set"
    options = {"recipe": str(folder / "plumbing.toml"), "workers": 1, "out": out, **options}
    mldata.build(str(source), **options)
    return out


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A set in which every text that anybody may choose is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    evil = " ".join(HOSTILE)
    rows = [
        {
            "id": f"{number} {evil}",
            "prompt": f"What is this, number {number}? {evil}",
            "chosen": f"Nothing but a text. {evil}",
            "rejected": f"It is a game that nobody wins. {evil}",
        }
        for number in range(3)
    ]
    name = "<img src=y onerror=alert(7)> {{ 1 + 1 }}.jsonl"
    path = build_identity(folder, rows, name=name, id_column="id")
    run = json.loads((path / "run.json").read_text("utf-8"))
    run |= {"command": ["mldata", "build", evil], "machine": evil}
    (path / "run.json").write_text(json.dumps(run), "utf-8")
    mldata.write_report(path)
    return path


@pytest.fixture
def opened(browser):
    """Open a report of a set, all its parts unfolded; what it asked for or said is in `page.noise`."""
    pages = []

    def open_page(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        pages.append(context)
        page.noise = []
        page.on("request", lambda request: page.noise.append(request.url))
        page.on("dialog", lambda dialog: (page.noise.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: page.noise.append(message.text))
        page.on("pageerror", lambda error: page.noise.append(str(error)))
        address = (path / "report.html").resolve().as_uri()
        page.goto(address)
        page.noise.remove(address)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return page

    yield open_page
    for context in pages:
        context.close()


def cells(page, section):
    """The first table of a section: row's name -> its cells' texts."""
    rows = page.locator(f"#{section} table").first.locator("tbody tr").all()
    texts = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]
    return {row[0].split()[0]: row[1:] for row in texts}


def test_the_reports_figures_are_the_manifests(built, opened):
    manifest = read_manifest(built.path)
    page = opened(built.path)
    assert page.locator("h1").inner_text() == "prefs in 3 languages"
    figures = page.locator(".figures div").all_inner_texts()
    rows = sum(counts.kept for counts in manifest.languages.values())
    assert figures[0].split("\n")[1] == str(manifest.concepts_kept)
    assert figures[1].split("\n")[1] == str(rows - manifest.languages["en"].kept)
    assert figures[2].split("\n")[1] == str(rows)
    table = cells(page, "languages")
    assert list(table) == manifest.targets
    for tag, row in table.items():
        of = manifest.languages[tag]
        assert row[0].split("\n")[0] == of.route
        assert [cell.split()[0] for cell in row[1:4]] == list(map(str, (of.concepts, of.passed, of.kept)))
        said = dict(re.findall(r"(\w+) (\d+)(?= ·|\n|$)", row[-1].replace("more reasons", "")))
        for reason, number in of.dropped.items():
            assert said[reason] == str(number)
    run = json.loads((built.path / "run.json").read_text("utf-8"))
    assert f"{run['tasks_run']} tasks run" in page.locator("#made").inner_text()


def test_nothing_in_a_hostile_set_acts_and_all_of_it_can_be_read(hostile, opened):
    page = opened(hostile)
    assert page.noise == []
    assert page.title() == "<img src=y onerror=alert(7)> {{ 1 + 1 }}: report"
    assert page.locator("script, img, iframe, object, link, base, form, style ~ style").count() == 0
    names = page.evaluate(
        "[...new Set([...document.querySelectorAll('body *')].flatMap(x => x.getAttributeNames()))]"
    )
    assert not [name for name in names if name.startswith("on") or name in ("src", "srcset", "action")]
    links = page.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    shown = page.locator("#examples article").first.evaluate(
        "one => { const copy = one.cloneNode(true);"
        " copy.querySelectorAll('.sr').forEach(x => x.remove()); return copy.textContent }"
    )
    for text in HOSTILE:
        assert shown.count(literal(text)) >= 8  # source and back-translation of three fields, the id
    assert "<script>alert(6)</script> isn't the language" in page.locator("#made").inner_text()
    for text in HOSTILE:
        assert literal(text) in page.locator("#made dl").inner_text()
    assert page.locator("h1").inner_text() == "<img src=y onerror=alert(7)> {{ 1 + 1 }} in 3 languages"


def test_the_page_forbids_scripts_and_holds_none(built, hostile):
    for path in (built.path, hostile):
        text = (path / "report.html").read_text("utf-8")
        assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html.unescape(text)
        assert "<script" not in text.lower()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_fits_a_phone_and_a_desk_in_light_and_dark(built, hostile, opened, width, scheme):
    for path in (built.path, hostile):
        page = opened(path, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        drawn = page.locator("#evidence figure svg").first.bounding_box()
        assert drawn is not None
        assert 0.75 < drawn["width"] / 320 < 1.4  # its letters are about as large as the page's
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


CONTRASTS = """() => {
  const parse = said => {
    const n = said.match(/[-\\d.e]+/g).map(Number), whole = said.startsWith('rgb');
    return [...n.slice(0, 3).map(x => whole ? x / 255 : x), n[3] === undefined ? 1 : n[3]];
  };
  const light = c => c.slice(0, 3).map(x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const behind = el => {
    for (; el; el = el.parentElement) {
      const c = parse(getComputedStyle(el).backgroundColor);
      if (c[3] > 0) return c;
    }
    return [1, 1, 1, 1];
  };
  const row = document.querySelector('.matrix tbody tr') || document.querySelector('tbody tr');
  for (const n of [1, 2, 3, 4, 5]) {
    const cell = document.createElement('td');
    cell.className = 'tint' + n; cell.textContent = '12 %'; row.append(cell);
  }
  const found = [];
  for (const el of document.querySelectorAll('body *')) {
    const own = [...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !el.getClientRects().length || el.closest('.sr, .skip')) continue;
    const style = getComputedStyle(el);
    const a = light(parse(el.namespaceURI.endsWith('svg') ? style.fill : style.color));
    const b = light(behind(el));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push([el.tagName, el.className, el.textContent.slice(0, 40), ratio]);
  }
  return [found, document.querySelectorAll('body *').length];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(built, hostile, opened, scheme):
    for path in (built.path, hostile):
        faint, looked_at = opened(path, scheme=scheme).evaluate(CONTRASTS)
        assert looked_at > 300
        assert faint == []


def test_a_reader_without_eyes_or_mouse_finds_his_way(built, opened):
    page = opened(built.path)
    levels = [int(one.evaluate("h => h.tagName[1]")) for one in page.locator("h1, h2, h3, h4, h5, h6").all()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for drawing in page.locator("svg").all():
        assert drawing.get_attribute("role") == "img"
        assert drawing.get_attribute("aria-label")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    for link in page.locator("nav a, a.skip").all():
        assert link.get_attribute("href").removeprefix("#") in ids
    for cell in page.locator("th").all():
        assert cell.get_attribute("scope") in ("row", "col")
    wide = page.locator(".scroll").evaluate_all("all => all.map(one => one.tabIndex + one.ariaLabel)")
    assert all(one.startswith("0") and len(one) > 1 for one in wide)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator("a.skip").bounding_box()["x"] >= 0
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("#examples .text[lang=es][dir=auto]").count() > 0


# What the page says of rows, against the rows themselves


@pytest.fixture(scope="module")
def everything(built):
    """All rows of translations, kept ones first, with their places."""
    manifest = read_manifest(built.path)
    none = pl.lit([], pl.List(pl.String))
    kept = inspection.kept_rows(built.path, manifest).with_columns(reasons=none, kept=True)
    dropped = inspection.dropped_rows(built.path, manifest).with_columns(kept=False)
    rows = pl.concat([kept, dropped]).with_row_index("place").collect()
    return rows.filter(~pl.col("is_anchor"))


def test_every_measured_value_is_in_one_bin_on_its_side(built, everything):
    manifest = read_manifest(built.path)
    found = spreads.spreads(built.path, manifest, 3)
    assert {"similarity", "back_chrf", "contrast"} <= {spread.name for spread in found.columns}
    quantiles = inspection.quantiles(built.path).rows_by_key("language", named=True, unique=True)
    for spread in found.columns:
        for tag in manifest.targets:
            for side, kept in ((spread.kept, True), (spread.dropped, False)):
                values = everything.filter(language=tag, kept=kept)[spread.name].drop_nulls()
                assert side[tag].sum() == len(values)
                for value in values.unique():
                    place = int(
                        (value - spread.edges[0]) / (spread.edges[-1] - spread.edges[0]) * spreads.BINS
                    )
                    assert side[tag][min(max(place, 0), spreads.BINS - 1)] > 0
            if spread.name != LENGTH_DEVIATION:  # which inspect has no line for
                assert found.medians[spread.name][tag] == quantiles[tag][f"{spread.name}_50"]


def test_rows_to_look_at_are_those_nearest_to_a_threshold(built, everything):
    manifest = read_manifest(built.path)
    found = spreads.spreads(built.path, manifest, 3)
    rules = {rule.name: rule for rule in manifest.rules}
    assert {one.language for one in found.worst_kept} == set(manifest.targets)
    for near, kept in ((found.worst_kept, True), (found.best_dropped, False)):
        for one in near:
            rule = rules[one.rule]
            mine = everything.filter(language=one.language, kept=kept)
            if not kept:
                mine = mine.filter(pl.col("reasons") == pl.lit([one.rule], pl.List(pl.String)))
            away = (mine[rule.column].cast(pl.Float64) - float(rule.threshold(one.language))).abs()
            row = mine.row(by_predicate=pl.col("place") == one.place, named=True)
            assert row[rule.column] == one.value
            nearer = (away < abs(one.value - one.threshold)).sum()
            assert nearer < 3
    shown = examples.examples(built.path, manifest, found.worst_kept)
    for tag, some in shown.items():
        for one in some:
            row = everything.row(by_predicate=pl.col("place") == one.near.place, named=True)
            assert (row["concept_id"], row["language"], row["kept"]) == (one.concept_id, tag, True)
            texts = {field.name: field.texts for field in one.fields}
            for name, said in inspection.texts(row).items():
                assert "".join(piece.text for piece in texts[name][1].pieces) == said[: examples.SHOWN]
            assert [text.of for text in texts["chosen"]] == ["source", "translation", "back-translation"]


def test_reasons_alone_and_together_add_up_to_the_manifests(built):
    manifest = read_manifest(built.path)
    why = counts.reasons(built.path, manifest)
    for tag in manifest.targets:
        assert {one.reason: one.rows for one in why.removed(tag)} == manifest.languages[tag].dropped
        gone = sum(why.together(tag).values())
        assert gone == manifest.source.concepts - manifest.languages[tag].kept
        alone = {names[0]: rows for names, rows in why.together(tag).items() if len(names) == 1}
        assert {one.reason: one.alone for one in why.removed(tag) if one.alone} == alone


def test_groups_and_lengths_are_those_of_the_rows(built, everything):
    manifest = read_manifest(built.path)
    kept = mldata.open_set(built.path).scan().collect()
    of = counts.groups(built.path, manifest)
    sizes = kept.group_by("concept_id").len()["len"] - 1
    assert {k: n for k, n in of.sizes.items() if n} == dict(sizes.value_counts().iter_rows())
    both = kept.filter(language="es").join(kept.filter(language="gl"), on="concept_id")
    assert of.pairs.tolist() == [
        [manifest.languages["es"].kept, len(both)],
        [len(both), manifest.languages["gl"].kept],
    ]
    for tag, lengths in counts.lengths(built.path, manifest).items():
        rows = kept.filter(language=tag).to_dicts()
        assert lengths.rows == len(rows)
        said = [
            [sum(len(m["content"]) for m in row[f]) for f in ("prompt", "chosen", "rejected")] for row in rows
        ]
        assert lengths.characters == sum(map(sum, said))
        assert lengths.medians["chosen"] == pl.Series([one[1] for one in said]).median()


def test_marks_tell_numbers_and_verbatim_spans_that_differ_and_lose_no_character():
    english, spanish = language("en"), language("es")
    source = "Pay 1,200 euros by 14:30 at https://example.org/pay with `code --fast` and 15 coins."
    target = (
        "Pague 1.200 euros antes de las 14:30 en https://example.org/pago con `code --fast` y 16 monedas."
    )
    pieces = marks.beside_source(target, source, spanish, english)
    assert "".join(piece.text for piece in pieces) == target
    marked = {piece.text: piece.kind for piece in pieces if piece.kind}
    assert marked == {"https://example.org/pago": "lost", "`code --fast`": "span", "16": "number"}
    back = marks.came_back("Pay 1,200 euros before 14:30, please", "pay 1,200 euros by 14:30")
    assert [piece.text for piece in back if piece.kind == "word"] == ["before", "please"]


# Sets of every kind


def section(path, name):
    """The text of a section of a set's report, tags and blanks aside."""
    text = (path / "report.html").read_text("utf-8")
    part = text[text.index(f'<section id="{name}"') :].partition("</section>")[0]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", part)).split())


def test_a_set_without_its_work_store_says_that_it_has_no_back_translations(built, tmp_path):
    ours = built.copy_to(tmp_path)
    shutil.rmtree(tmp_path / built.work.name)
    assert "Without back-translations" in section(mldata.write_report(ours).parent, "examples")
    assert "Without back-translations" not in section(built.path, "examples")


@pytest.mark.parametrize("rejected", ["", "You are the one whom nobody knows."])
def test_an_empty_set_has_a_report_that_says_so(tmp_path, rejected):
    """No row can be read, or none passes."""
    pair = {"prompt": "Who is number one?", "chosen": "Nobody that you know is.", "rejected": rejected}
    path = build_identity(tmp_path, [pair], RECIPE.replace("similarity >= 0.5", "contrast <= -0.5"))
    assert read_manifest(path).concepts_kept == 0
    assert "The set is empty" in section(path, "figures")
    assert "No concept was kept" in section(path, "complete")


def test_a_set_of_an_earlier_version_has_a_report_of_the_evidence_it_has(built, tmp_path):
    ours = built.copy_to(tmp_path)
    gone = ["alignment", "quality", "quality_min", "copied_words"]
    for file in ours.glob("*/*.arrow"):
        rows = pl.DataFrame(read_table(file))
        if gone[0] in rows.columns:
            rows.drop(gone).write_ipc(file, compat_level=pl.CompatLevel.oldest())
    mldata.write_report(ours)
    assert "alignment" not in section(ours, "evidence")
    assert "back_chrf" in section(ours, "evidence")


def test_a_set_of_given_translations_that_nobody_translated_back_has_a_report(tmp_path):
    rows = [
        {"concept_id": str(n), "language": tag, "prompt": f"{n} {ask}", "chosen": yes, "rejected": no}
        for n in range(3)
        for tag, ask, yes, no in (
            ("en", "Where is the station?", "It is behind the old church.", "I have never been there."),
            ("es", "¿Dónde está la estación?", "Está detrás de la iglesia vieja.", "Nunca he estado allí."),
            ("de", "Wo ist der Bahnhof?", "Er ist hinter der alten Kirche.", "Ich war noch nie dort."),
        )
        if (n, tag) != (1, "de")
    ]
    (tmp_path / "plumbing.toml").write_text(RECIPE.replace("es = 0", "es = 0.1"), "utf-8")
    source = tmp_path / "given.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    options = {"recipe": str(tmp_path / "plumbing.toml"), "workers": 1, "back_translation": False}
    mldata.build(aligned=[str(source)], out=tmp_path / "set", **options)
    assert "Without back-translations" in section(tmp_path / "set", "examples")
    assert "detrás de la iglesia" in section(tmp_path / "set", "examples")
    assert "not_given 1" in section(tmp_path / "set", "languages")


def test_select_and_its_policy_are_in_the_report(built, tmp_path):
    ours = built.copy_to(tmp_path)
    done = run_mldata("select", ours, "--policy", "complete", "--rule", "similarity>=0.93", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f" {ours / 'report.html'}\n" in done.out
    assert "incomplete" in section(ours, "flow")
    assert "complete;" in section(ours, "made")
    assert "similarity ≥ 0.93" in section(ours, "evidence")


@pytest.mark.parametrize("policy", ["partial", "complete"])
def test_what_a_rule_dropped_alone_is_counted_where_no_other_language_kept_the_concept(
    built, tmp_path, policy
):
    mldata.select(built.path, targets="es", policy=policy, rules=["similarity>=0.99"], out=tmp_path / "one")
    manifest = mldata.open_set(tmp_path / "one").manifest
    spanish = manifest.languages["es"]
    assert "no_target" not in spanish.dropped
    removed = {one.reason: one for one in counts.reasons(tmp_path / "one", manifest).removed("es")}
    assert 0 < removed["similarity"].alone <= spanish.dropped["similarity"]
    assert manifest.languages["en"].dropped == {"no_target": spanish.concepts - spanish.kept}


def test_two_reports_of_one_set_are_the_same_bytes_and_go_where_they_are_told(built, tmp_path):
    done = run_mldata("report", built.path, "--out", tmp_path / "new" / "page.html", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'new' / 'page.html'}\n"
    written = (tmp_path / "new" / "page.html").read_bytes()
    assert written == (built.path / "report.html").read_bytes()


def test_a_directory_is_no_place_for_a_report(built, tmp_path):
    with pytest.raises(InputError, match="is a directory: name the file"):
        mldata.write_report(built.path, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_set_published_without_its_dropped_rows_doesnt_say_that_none_was_dropped(built, tmp_path):
    path = unpublished(built.copy_to(tmp_path))
    mldata.write_report(path)
    assert "The dropped rows weren't published" in section(path, "figures")
    flow = section(path, "flow")
    assert "Dropped rows weren’t published" in flow
    assert "No translated row was dropped" not in flow
    assert "None lost a row" not in flow


def unpublished(path):
    """The set as a download of it is: without what it dropped."""
    manifest = read_manifest(path)
    gone = [file for file in manifest.files if file.path.startswith("dropped/")]
    left = [file for file in manifest.files if file not in gone]
    shutil.rmtree(path / "dropped")
    changed = manifest.model_copy(update={"files": left, "unpublished": gone})
    (path / "manifest.json").write_text(changed.model_dump_json(), "utf-8")
    return path


def test_the_report_of_a_partial_set_says_so_first(built, tmp_path):
    path = built.copy_to(tmp_path)
    file = path / "manifest.json"
    part = {"chunks": 1, "of": 3, "concepts": 7, "sampled": 1, "of_sampled": 2}
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "so_far": part}), "utf-8")
    mldata.write_report(path)
    said = section(path, "figures")
    assert "The set is partial: its build had done 1 of 3 chunks, 7 of " in said
    assert "The set is partial" not in section(built.path, "figures")


def test_what_is_no_set_gets_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"is no set: it has no manifest.json; `mldata build --out"):
        mldata.write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_set_gets_one_sentence(built, tmp_path):
    ours = built.copy_to(tmp_path)
    file = ours / "dropped/rows-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(SetError, match=r"can't be read .*; see `mldata verify"):
        mldata.write_report(ours)


def test_a_report_that_cant_be_written_costs_no_set_and_is_told(built, tmp_path):
    ours = built.copy_to(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "matplotlib.py").write_text("raise ImportError('no room on the wall')", "utf-8")
    places = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    done = run_mldata("select", ours, "--targets", "es", cwd=tmp_path, PYTHONPATH=places)
    assert done.code == 0
    assert done.err == (
        f"mldata: {ours} is whole, but its report couldn't be written (ImportError: no room on the wall); "
        f"`mldata report {ours}` tries again\n"
    )
    assert mldata.verify(ours).targets == ["es"]
    assert not (ours / "report.html").exists()


def test_seconds_a_language_are_shown_where_the_run_says_them(built, tmp_path):
    ours = built.copy_to(tmp_path)
    run = json.loads((ours / "run.json").read_text("utf-8"))
    (ours / "run.json").write_text(json.dumps({**run, "seconds_by_language": {"es": 125.0}}), "utf-8")
    mldata.write_report(ours)
    assert "2 min 5 s" in section(ours, "languages")
    (ours / "run.json").write_text("{", "utf-8")  # nobody's fault but the disk's: the rest is told
    mldata.write_report(ours)
    assert "2 min 5 s" not in section(ours, "languages")
    assert "Peak memory" not in section(ours, "made")


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 9, "0 %"), (1, 900, "0.1 %"), (899, 900, "99.9 %"), (9, 9, "100 %"), (1, 0, "–")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part, whole, said):
    assert page_of.share(part, whole) == said
