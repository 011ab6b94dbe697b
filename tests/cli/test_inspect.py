"""`mldata inspect` answers questions about a set's rows, shows how, and nothing in a text does anything."""

import csv
import io
import json
from contextlib import redirect_stdout

import polars as pl
import pytest

import mldata
from mldata.cli import cells
from tests.conftest import PAIRS

HOSTILE = [
    "[bold red]not markup[/bold red] [/]",
    "\x1b[2J\x1b]0;title\x07 cleared \x9b31m",
    '=HYPERLINK("https://example.org";"click")',
    "  +1-2",
    "@SUM(A1)",
    "user \u202egnp.exe",
    "<script>alert(1)</script> | a | `b` ![x](y)",
    "two\nlines",
]


def ask(command, path, *more):
    """The answer to a question, as JSON."""
    done = command("inspect", path, *more, "--format", "json")
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.fixture(scope="module")
def both(built):
    """Every row of the set, kept and dropped."""
    kept = (
        mldata.open_set(built.path)
        .scan()
        .collect()
        .with_columns(reasons=pl.lit([], pl.List(pl.String)), kept=True)
    )
    return pl.concat(
        [kept, pl.read_ipc(built.path / "dropped/rows-00000-of-00001.arrow").with_columns(kept=False)]
    )


@pytest.mark.parametrize("by", ["language", "translators", "topic", "rule"])
def test_groups_count_what_was_kept_and_dropped_of_every_translation(command, built, both, by):
    groups = ask(command, built.path, "--by", by, "--columns", "similarity")
    rows = both.filter(~pl.col("is_anchor")).unnest("source").with_columns(rule="reasons")
    for group in groups:
        mine = pl.col("rule").list.contains(group[by]) if by == "rule" else pl.col(by) == group[by]
        of = rows.filter(mine)
        assert group["kept"] == of["kept"].sum()
        assert group["dropped"] == (~of["kept"]).sum()
        assert group["similarity_median"] == pytest.approx(of["similarity"].median())
    if by == "rule":
        assert {group["rule"] for group in groups} == set(rows["reasons"].explode().drop_nulls())
    else:
        assert sum(group["kept"] + group["dropped"] for group in groups) == len(rows)


def test_a_condition_is_polars_sql_over_the_sets_columns_and_the_sources(command, built):
    kept = mldata.open_set(built.path).scan().collect().unnest("source")
    found = ask(
        command,
        built.path,
        "--where",
        "similarity < 0.95 AND topic = 'home'",
        "--columns",
        "concept_id,language",
    )
    wanted = kept.filter(pl.col("similarity") < 0.95, pl.col("topic") == "home")
    assert found == wanted.select("concept_id", "language").to_dicts()
    assert found == ask(
        command,
        *(built.path, "--where", "similarity < 0.95 AND source.topic = 'home'"),
        *("--columns", "concept_id,language"),
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--where", "similarity <"], "write a condition such as"),
        (["--where", "similarty < 1"], 'did you mean "similarity"?'),
        (["--where", "similarity"], "gives Float64, not true or false"),
        (["--where", "1"], "not true or false"),
        (["--where", ""], "write a condition such as"),
        (["--where", "similarity < 'high'"], "can't be worked out"),
        (["--where", "(SELECT 1) = 1"], "can't be worked out"),
        (["--where", "similarity <\n0 AND source.zebra = 'x'"], 'no field is "zebra"'),
        (["--where", "regexp_like(route, '[')"], "regex parse error"),
        (["--by", "zebra"], 'no column is "zebra"'),
        (["--by", "kept"], 'counts "kept" already'),
        (["--by", "fields"], "group by another column"),
        (["--by", "language", "--columns", "route"], "has no median"),
        (["--by", "language", "--sort", "similarity"], 'did you mean "similarity_min_median"?'),
        (["--sort", "chosen"], "sort by another column"),
        (["--columns", "language,zebra"], 'no column is "zebra"'),
        (["--concept", "zebra", "--format", "csv"], 'no concept is "zebra"'),
    ],
)
def test_what_is_not_there_is_one_sentence(command, built, more, says):
    done = command("inspect", built.path, *more)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mldata: ")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_sample_is_the_same_for_a_seed_and_another_for_another(command, built):
    drawn = [
        ask(command, built.path, "--sample", 5, "--seed", seed, "--columns", "concept_id,language")
        for seed in (1, 1, 2)
    ]
    assert len({tuple(row.values()) for row in drawn[0]}) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_rejected_rows_come_with_their_reasons(command, built, both):
    found = ask(command, built.path, "--rejected")
    wanted = both.filter(~pl.col("kept"))
    assert [row["reasons"] for row in found] == wanted["reasons"].to_list()
    assert all(row["reasons"] for row in found)


def test_sorting_puts_the_highest_first_after_a_minus_and_missing_values_last(command, built):
    scores = [row["similarity"] for row in ask(command, built.path, "--sort", "-similarity")]
    known = [score for score in scores if score is not None]
    assert None in scores
    assert known == sorted(known, reverse=True) == scores[: len(known)]


def test_a_concepts_rows_are_there_kept_or_not(command, built, both):
    concept = both["concept_id"][0]
    found = ask(command, built.path, "--concept", concept[:8])
    assert {row["language"] for row in found} == {"en", "es", "gl"}
    assert {row["concept_id"] for row in found} == {concept}


QUESTIONS = [
    [],
    ["--by", "language"],
    ["--by", "rule", "--columns", "similarity,contrast", "--sort", "rule"],
    ["--by", "topic", "--where", "similarity < 0.95", "--rejected"],
    ["--where", "topic = 'it''s' OR similarity < 0.95", "--sort", "-similarity,language", "--limit", "4"],
    ["--rejected", "--columns", "concept_id,language,reasons,source.topic"],
    ["--sample", "5", "--seed", "3"],
    ["--concept", PAIRS[0]["topic"]],
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_the_code_shown_runs_as_it_stands_and_gives_the_same(command, built, both, question):
    if question[:1] == ["--concept"]:
        question = ["--concept", both["concept_id"][0][:8]]
    limit = [] if "--limit" in question else ["--limit", "0"]
    done = command("inspect", built.path, *question, *limit, "--show-code")
    assert (done.code, done.err) == (0, "")
    space = {}
    with redirect_stdout(io.StringIO()):
        exec(compile(done.out, "shown", "exec"), space)
    columns = ["--columns", ",".join(space["result"].columns)] if not question else []
    assert json.loads(space["result"].write_json()) == ask(command, built.path, *question, *columns, *limit)


def test_people_see_the_first_rows_and_how_many_there_are(command, built):
    many = len(mldata.open_set(built.path).scan().collect())
    done = command("inspect", built.path, "--columns", "language", "--limit", 3, "--format", "markdown")
    assert done.out.count("\n") == 2 + 3
    assert done.err == f"3 of {many} rows; --limit 0 shows all\n"
    assert len(ask(command, built.path)) == many


def test_a_set_without_a_row_has_no_rows_and_no_kept_ones(command, built, tmp_path):
    path = built.copy_to(tmp_path)
    assert command("select", path, "--rule", "similarity>=2").code == 0
    assert ask(command, path) == []
    groups = ask(command, path, "--by", "language")
    assert {group["kept"] for group in groups} == {0}
    assert {group["language"] for group in groups} == {"es", "gl"}
    assert command("inspect", path, "--limit", 3).code == 0


@pytest.fixture
def hostile(built, tmp_path):
    """A set whose texts want to do something to whoever looks at them."""
    path = built.copy_to(tmp_path)
    for file in (path / "data").glob("*.arrow"):
        rows = pl.read_ipc(file)
        texts = [[{"role": "user", "content": HOSTILE[row % len(HOSTILE)]}] for row in range(len(rows))]
        route = [HOSTILE[row % len(HOSTILE)] for row in range(len(rows))]
        like = rows.schema["chosen"]
        rows.with_columns(pl.Series("chosen", texts, dtype=like), route=pl.Series(route)).write_ipc(file)
    return path


@pytest.mark.parametrize("format", ["table", "markdown", "csv", "json"])
def test_no_text_does_anything_to_the_terminal(command, hostile, format):
    done = command("inspect", hostile, "--columns", "route,chosen", "--format", format, "--limit", 0)
    assert done.code == 0
    assert not set(done.out) & set("\x1b\x07\x9b\u202e")
    assert "not markup" in done.out
    if format == "table":
        assert "[bold red]not markup[/bold red] [/]" in done.out
    if format == "markdown":
        assert "<script>" not in done.out
        assert all(line.replace("\\|", "").count("|") == 3 for line in done.out.splitlines())
    if format == "json":
        assert {row["route"] for row in json.loads(done.out)} == set(HOSTILE)
    if format == "csv":
        rows = list(csv.reader(io.StringIO(done.out)))
        assert not [cell for row in rows for cell in row if cell.lstrip()[:1] in tuple("=+-@")]
        assert "'=HYPERLINK" in done.out


def test_a_hostile_concept_is_shown_as_it_is_written(command, hostile):
    concept = mldata.open_set(hostile).scan().collect()["concept_id"][0]
    done = command("inspect", hostile, "--concept", concept)
    assert done.code == 0
    assert not set(done.out) & set("\x1b\x07\x9b\u202e")
    assert "[bold red]not markup[/bold red] [/]" in done.out


def test_columns_of_every_type_have_a_cell():
    frame = pl.DataFrame(
        {
            "=name\x1b": pl.Series(["\x1b", None], dtype=pl.Categorical),
            "binary": [b"\x1b[", None],
            "nested": [{"a": [1, 2], "b": "\x1b"}, None],
            "numbers": [[-1, 2], None],
            "float": [-0.5, float("nan")],
            "day": pl.Series([0, None]).cast(pl.Date),
        }
    )
    for write in (cells.as_markdown, cells.as_csv, cells.as_json):
        assert "\x1b" not in write(frame)
    assert cells.as_csv(frame).startswith("'=name\\x1b,binary,")
    assert "-0.5,1970-01-01" in cells.as_csv(frame)
    assert cells.as_table(frame).row_count == 2
