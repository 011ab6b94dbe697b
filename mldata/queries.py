"""Questions about a set's rows: the Polars query that answers one, and the same query as code to type.

Both are made line by line in one place, so that what `mldata inspect` shows and what `--show-code` prints are
the same. Everything is lazy: only the columns that a question names are read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mldata import inspection
from mldata.errors import InputError, first_line
from mldata.shards import read_manifest

SCORES = ("similarity_min", "back_chrf", "contrast", "language_score")
"""What rows and groups show of the evidence unless columns are named."""
RULE = "rule"
"""Groups by this are groups by each of the reasons why rows were dropped."""
COUNTS = ("kept", "dropped")
WORDY = 200
"""Characters of another library's message that are passed on."""


@dataclass(frozen=True)
class Question:
    """What is asked of a set; the steps are taken in this order."""

    concept: str | None = None
    """The start of one concept's id; its rows are looked up among kept and dropped ones."""
    rejected: bool = False
    """The rows that were dropped instead of those that were kept."""
    where: str | None = None
    """A condition in Polars SQL."""
    sample: int | None = None
    """Rows drawn at random."""
    seed: int = 0
    by: str | None = None
    """Groups instead of rows, by "rule" or a column; a list counts once for each of its entries."""
    sort: tuple[str, ...] = ()
    """Columns, each with "-" before it for the highest first; missing values come last."""
    columns: tuple[str, ...] = ()
    """What is shown of rows; of groups, whose medians."""
    limit: int | None = None


@dataclass
class Answer:
    """A lazy frame, and the code whose variable `result` is the same frame, collected."""

    rows: pl.LazyFrame
    lines: list[str]
    limit: int | None

    @property
    def code(self) -> str:
        """Python that runs as it stands."""
        head = f"    .head({self.limit})\n" if self.limit is not None else ""
        return "\n".join(self.lines) + f"\n{head}    .collect()\n)\nprint(result)\n"

    @property
    def shown(self) -> pl.LazyFrame:
        """The rows up to the limit."""
        return self.rows if self.limit is None else self.rows.head(self.limit)

    def step(self, rows: pl.LazyFrame, line: str) -> None:
        """Go on with `rows`, which `line` makes of those before."""
        self.rows = rows
        self.lines.append(f"    {line}")


def ask(path: Path, question: Question) -> Answer:
    """The answer to a question about the set at `path`; InputError where it names what isn't there."""
    answer = _scan(path, question)
    if question.concept is not None:
        whole = inspection.whole_id(path, question.concept)
        answer.step(
            answer.rows.filter(pl.col("concept_id") == whole),
            f'.filter(pl.col("concept_id") == {_literal(whole)})',
        )
    named = _where(answer, question.where) if question.where is not None else []
    if question.by is not None:
        answer.step(answer.rows.filter(~pl.col("is_anchor")), '.filter(~pl.col("is_anchor"))')
    if question.sample is not None:
        _sample(answer, question.sample, question.seed)
    if question.by is not None:
        _group(answer, question.by, question.columns)
        _sort(answer, question.sort or ("-dropped", question.by))
        return answer
    by = [name.removeprefix("-") for name in question.sort]
    columns = question.columns or _usual(answer, question, [*named, *by])
    _have(answer, [*by, *columns])
    _sort(answer, question.sort)
    wanted = list(dict.fromkeys(columns))
    answer.step(answer.rows.select(wanted), f".select({_literal(wanted)})")
    return answer


def collect(answer: Answer, question: Question) -> tuple[pl.DataFrame, int]:
    """The rows up to the limit, and how many there are without it; InputError for what only rows show."""
    try:
        found = answer.shown.collect()
        if answer.limit is None or len(found) < answer.limit:
            return found, len(found)
        # apart from the rows: together, Polars would read all their texts to count them
        counted = answer.rows.select(pl.len()).collect()
    except pl.exceptions.PolarsError as error:
        if question.where is None:
            raise
        raise InputError(f"{_said(question.where)} can't be worked out: {_short(error)}") from None
    return found, counted.item()


def _scan(path: Path, question: Question) -> Answer:
    """Kept rows, dropped ones, or both, with `reasons` (none for kept ones) and `kept`."""
    manifest = read_manifest(path)
    none = pl.lit([], pl.List(pl.String))
    kept = inspection.kept_rows(path, manifest).with_columns(reasons=none, kept=True)
    dropped = inspection.dropped_rows(path, manifest).with_columns(kept=False)
    lines = [
        "import json",
        "from pathlib import Path",
        "",
        "import polars as pl",
        "",
        f"folder = Path({_literal(str(path))})",
        'files = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]',
    ]
    if question.rejected and manifest.unpublished:
        raise InputError(f"the dropped rows of {path} weren't published with it: ask where it was built")
    both = (question.by is not None or question.concept is not None) and not manifest.unpublished
    if not question.rejected:
        lines += [
            'paths = [folder / f["path"] for f in files if f["split"] in ("train", "test")]',
            "kept = pl.scan_ipc(paths, glob=False)",
            "kept = kept.with_columns(reasons=pl.lit([], pl.List(pl.String)), kept=True)",
        ]
    if question.rejected or both:
        lines += [
            'paths = [folder / f["path"] for f in files if f["split"] == "dropped"]',
            "dropped = pl.scan_ipc(paths, glob=False)",
            "dropped = dropped.with_columns(kept=False)",
        ]
    if question.rejected:
        return Answer(dropped, [*lines, "result = (", "    dropped"], question.limit)
    if both:
        return Answer(
            pl.concat([kept, dropped]),
            [*lines, "result = (", "    pl.concat([kept, dropped])"],
            question.limit,
        )
    return Answer(kept, [*lines, "result = (", "    kept"], question.limit)


def _where(answer: Answer, where: str) -> list[str]:
    """Filter by a condition; gives the columns that it names."""
    said = _said(where)
    try:
        condition = pl.sql_expr(where)
        named = list(dict.fromkeys(condition.meta.root_names()))
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f'{said} is no Polars SQL ({first_line(error)}): write a condition such as "similarity < 0.8"'
        ) from None
    _have(answer, named, said)
    try:
        kind = answer.rows.select(condition.alias("where")).collect_schema()["where"]
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{said} can't be worked out: {_short(error)}") from None
    if kind != pl.Boolean:
        raise InputError(
            f'{said} gives {kind}, not true or false: write a condition such as "similarity < 0.8"'
        )
    answer.step(answer.rows.filter(condition), f".filter(pl.sql_expr({_literal(where)}))")
    return named


def _sample(answer: Answer, count: int, seed: int) -> None:
    """The rows with the lowest hashes: the same for a seed, whatever else is asked of them."""
    drawn = pl.struct("concept_id", "language").hash(seed)
    answer.step(
        answer.rows.sort(drawn).head(count),
        f'.sort(pl.struct("concept_id", "language").hash({seed})).head({count})',
    )


def _group(answer: Answer, by: str, columns: Sequence[str]) -> None:
    """Rows kept and dropped, and medians, of each group."""
    if by in COUNTS:
        raise InputError(f'every group counts "{by}" already: group --by language, rule or another column')
    if by == RULE:
        answer.step(answer.rows.with_columns(rule="reasons"), '.with_columns(rule="reasons")')
    _have(answer, [by, *columns])
    schema = answer.rows.collect_schema()
    if not columns:
        columns = [name for name in SCORES if name in schema and name != by]
    for name in columns:
        if not schema[name].is_numeric():
            raise InputError(
                f"{name} is no number ({schema[name]}) and has no median: name others in --columns"
            )
    if schema[by] == pl.List(pl.String):
        answer.step(
            answer.rows.explode(by).drop_nulls(by),
            f".explode({_literal(by)})\n    .drop_nulls({_literal(by)})",
        )
    elif schema[by].is_nested():
        raise InputError(f"{by} holds several values a row ({schema[by]}): group by another column")
    columns = list(dict.fromkeys(columns))
    answer.step(
        answer.rows.group_by(by).agg(
            pl.col("kept").sum(),
            (~pl.col("kept")).sum().alias("dropped"),
            pl.col(columns).median().name.suffix("_median"),
        ),
        f".group_by({_literal(by)})\n    .agg(\n"
        '        pl.col("kept").sum(),\n        (~pl.col("kept")).sum().alias("dropped"),\n'
        f'        pl.col({_literal(columns)}).median().name.suffix("_median"),\n    )',
    )


def _sort(answer: Answer, names: Sequence[str]) -> None:
    if not names:
        return
    columns = [name.removeprefix("-") for name in names]
    schema = answer.rows.collect_schema()
    for name in columns:
        _known(name, schema, "--sort")
        if schema[name].is_nested():
            raise InputError(f"{name} holds several values a row ({schema[name]}): sort by another column")
    down = [name.startswith("-") for name in names]
    answer.step(
        answer.rows.sort(columns, descending=down, nulls_last=True, maintain_order=True),
        f".sort({_literal(columns)}, descending={_literal(down)}, nulls_last=True, maintain_order=True)",
    )


def _usual(answer: Answer, question: Question, named: Iterable[str]) -> list[str]:
    """What is shown of a row unless columns are named: its id, what was asked about, scores, its answer."""
    schema = answer.rows.collect_schema()
    names = ["concept_id", "language", *named, *(name for name in SCORES if name in schema)]
    if question.rejected or question.concept is not None:
        names.append("reasons")
    return [*names, "chosen"]


def _literal(value: str | list[str] | list[bool]) -> str:
    """As Python writes it, in double quotes where that takes no escapes."""
    text = repr(value)
    return text if '"' in text or "\\" in text else text.replace("'", '"')


def _said(where: str) -> str:
    return f'--where "{" ".join(where.split())}"'


def _short(error: pl.exceptions.PolarsError) -> str:
    """What Polars says, without the types of whole structs that it may spell out."""
    if isinstance(error, pl.exceptions.StructFieldNotFoundError):
        return f'no field is "{first_line(error)}"'
    line = first_line(error).rstrip(":")
    return line if len(line) <= WORDY else f"{line[:WORDY]}…"


def _have(answer: Answer, names: Iterable[str], where: str | None = None) -> None:
    """Take columns that lie in the source's struct out of it; InputError for what is nowhere."""
    schema = answer.rows.collect_schema()
    source = schema.get("source")
    inside = [field.name for field in source.fields] if isinstance(source, pl.Struct) else []
    for name in dict.fromkeys(names):
        if name in schema:
            continue
        field = name.removeprefix("source.")
        if field not in inside:
            _known(name, [*schema, *inside], where)
        renamed = "" if field == name else f".alias({_literal(name)})"
        answer.step(
            answer.rows.with_columns(pl.col("source").struct.field(field).alias(name)),
            f'.with_columns(pl.col("source").struct.field({_literal(field)}){renamed})',
        )


def _known(name: str, columns: Iterable[str], where: str | None) -> None:
    """InputError unless there is such a column."""
    there = list(columns)
    if name in there:
        return
    shown = [name if name.isprintable() else repr(name) for name in there]
    near = difflib.get_close_matches(name, shown, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {' '.join(shown)}"
    raise InputError(f'{where + ": " if where else ""}no column is "{name}"; {hint}')
