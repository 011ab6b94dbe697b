"""What the evidence sees: right translations kept, wrong ones let through, by language and kind of damage.

    python tests/benchmarks/evidence.py measure --data ../shared/data --out /tmp/evidence
    python tests/benchmarks/evidence.py report /tmp/evidence --languages --rules
    python tests/benchmarks/evidence.py measure --parallel en.txt:es.txt:es --out /tmp/mine

`measure` takes line-aligned parallel text (NTREX-128 and FLORES-200 as folders `ntrex` and `flores`, or any
files with --parallel), makes sentences, eight-sentence texts and preference pairs of it, spoils each with
every damage of `mldata.evidence.damage`, and writes the evidence of all of them, a Parquet file a language.
Segments are never told to it: texts are split and aligned as those from outside are. `report` judges the
evidence by the rules of a recipe, and by the thresholds that others have published.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from mldata.encode import open_encoder
from mldata.evidence import Unit, rows, structure, wrong_items
from mldata.evidence.alignment import Pool, align_units
from mldata.evidence.damage import DAMAGES
from mldata.evidence.rows import Context
from mldata.evidence.similarity import Neighbours
from mldata.executors.local import _ONE_THREAD
from mldata.identify import open_identifier
from mldata.languages import canonical, language
from mldata.recipe import Recipe, load_recipe
from mldata.text import split

NTREX_TAGS = {
    "arb": "ar", "bos": "bs", "bul": "bg", "cat": "ca", "dan": "da", "deu": "de", "fra": "fr", "glg": "gl",
    "hin": "hi", "hrv": "hr", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "mkd": "mk", "nld": "nl",
    "nob": "nb", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slv": "sl", "spa": "es",
    "srp-Cyrl": "sr", "swa": "sw", "swe": "sv", "tha": "th", "tur": "tr", "ukr": "uk", "vie": "vi",
    "zho-CN": "zh",
}  # fmt: skip
CLOSE = {
    "pt": "gl", "gl": "pt", "es": "ca", "ca": "es", "sl": "hr", "hr": "sl", "bs": "sl", "nb": "da",
    "da": "nb", "sv": "nb", "uk": "ru", "ru": "uk", "bg": "mk", "mk": "bg", "cs": "pl", "pl": "cs",
    "nl": "de", "de": "nl", "it": "es", "fr": "ca", "sr": "mk", "id": "vi", "ro": "it",
}  # fmt: skip
"""Language -> a close one whose text must not pass for it (of those in the data)."""
UNSPACED = {"ja", "zh"}
ENDS = (".", "!", "?", "。", "！", "？")


@dataclass(frozen=True)
class Corpus:
    """Line-aligned text in the anchor and one language, and the same lines in a close one."""

    name: str
    system: str
    language: str
    source: list[str]
    target: list[str]
    close: list[str] | None = None


def corpora(data: Path, tag: str) -> Iterator[Corpus]:
    """NTREX (human) and FLORES (human, Google's, Firefox's models) in one language."""
    near = CLOSE.get(tag)
    names = {canonical(t): name for name, t in NTREX_TAGS.items()}
    ntrex = data / "ntrex"
    if tag in names and (ntrex / f"{names[tag]}.txt").exists():
        close = _lines(ntrex / f"{names[near]}.txt") if near in names else None
        yield Corpus(
            "ntrex", "human", tag, _lines(ntrex / "eng.txt"), _lines(ntrex / f"{names[tag]}.txt"), close
        )
    for system in ("human", "google", "bergamot"):
        path = data / "flores" / f"{tag}.{system}.txt"
        if path.exists():
            other = data / "flores" / f"{near}.human.txt"
            close = _lines(other) if system == "human" and other.exists() else None
            yield Corpus("flores", system, tag, _lines(data / "flores" / "en.human.txt"), _lines(path), close)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def sentences(corpus: Corpus, count: int) -> list[tuple[Unit, ...]]:
    """Single lines as concepts of one field."""
    places = list(range(len(corpus.source)))
    random.Random(f"sentences {corpus.name}").shuffle(places)
    lines = [(corpus.source[i], corpus.target[i]) for i in sorted(places[:count])]
    return [
        (Unit(n, "prompt", 0, s, t, _protected(s), ()),)
        for n, (s, t) in enumerate(lines)
        if s.strip() and t.strip()
    ]


def texts(corpus: Corpus, count: int) -> list[tuple[Unit, ...]]:
    """Eight lines that end as sentences do, run together: where one ends is for the splitter to find."""
    usable = [i for i, line in enumerate(corpus.source) if line.rstrip("\"”’')").endswith(ENDS)]
    starts = list(range(0, len(usable) - 7, max(1, (len(usable) - 7) // count)))[:count]
    made = []
    for number, start in enumerate(starts):
        lines = usable[start : start + 8]
        target = ("" if corpus.language in UNSPACED else " ").join(corpus.target[i].strip() for i in lines)
        source = " ".join(corpus.source[i] for i in lines)
        made.append((Unit(number, "prompt", 0, source, target, _protected(source), ()),))
    return made


def pairs(corpus: Corpus, count: int) -> list[tuple[Unit, ...]]:
    """A question and two answers with paragraphs, a list, a URL, code and a placeholder."""
    starts = list(range(0, len(corpus.source) - 9, max(1, (len(corpus.source) - 9) // count)))[:count]
    made = []
    for number, start in enumerate(starts):
        both = [corpus.source[start : start + 9], corpus.target[start : start + 9]]
        prompt, chosen, rejected = (
            [
                shape.format(*(line.strip().replace("{", "").replace("}", "") for line in lines))
                for lines in both
            ]
            for shape in (
                "{0} {1}\n\n<https://example.org/" + str(number) + ">",
                "{2}\n\n- {3} `make item" + str(number) + "`\n- {4}\n\n{5}",
                "{6}\n\n{7} %(name)s {8}",
            )
        )
        made.append(
            tuple(
                Unit(number, name, 0, source, target, _protected(source), ())
                for name, (source, target) in (("prompt", prompt), ("chosen", chosen), ("rejected", rejected))
            )
        )
    return made


def _protected(text: str) -> tuple[str, ...]:
    return tuple(span for segment in split(text, "en").segments for span in segment.protected)


@dataclass
class Vectors:
    """The encoder, with what it has encoded before on disk."""

    path: Path
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def load(self) -> None:
        """Read what an earlier run encoded."""
        if self.path.exists():
            table = pl.read_ipc(self.path)
            self.known = {t: np.frombuffer(v, np.float16) for t, v in table.iter_rows()}

    def save(self) -> None:
        """Whole or not at all."""
        made = self.path.with_suffix(f".{os.getpid()}")
        vectors = [vector.tobytes() for vector in self.known.values()]
        pl.DataFrame({"text": list(self.known), "vector": vectors}).write_ipc(made)
        made.replace(self.path)

    def __call__(self, texts: set[str]) -> dict[str, np.ndarray]:
        """Vectors of `texts`, rounded to half precision as the store rounds the anchor's."""
        missing = sorted(texts - self.known.keys())
        if missing:
            made = open_encoder("e5-small").encode(missing).astype(np.float16)
            self.known.update(zip(missing, made, strict=True))
        return {text: self.known[text].astype(np.float32) for text in texts}


def evidence_of(corpus: Corpus, shape: str, items: list[tuple[Unit, ...]], embed: Vectors) -> pl.DataFrame:
    """One row an item, right and wrong: corpus, system, shape, kind, field, and all evidence."""
    flat = [unit for item in items for unit in item]
    aligned = align_units(flat, "en", corpus.language, embed)
    vectors = embed({text for unit in aligned for p in unit.pairs for text in (p.source, p.target, "")})
    identifiers = [open_identifier(name) for name in load_recipe("embedded").identifiers]
    neighbours = Neighbours.of(aligned, vectors)
    context = Context(
        identifiers,
        language(corpus.language),
        language("en"),
        vectors,
        neighbours,
        Pool.of_units(aligned, vectors),
        structure.ratio_of(aligned),
    )
    measured = rows.of_units(aligned, context)
    right = rows.of_concepts(measured, aligned, vectors).with_columns(kind=pl.lit("right"), field=pl.lit(""))
    wrong = wrong_items.make(aligned, [f"{corpus.name} {shape} {i}" for i in range(len(items))], "en")
    if corpus.close:
        wrong += _in_close_language(corpus, shape, aligned)
    found = [right, wrong_items.measure(wrong, measured, context, embed, realign=True).select(right.columns)]
    labels = [
        pl.lit(value).alias(name)
        for name, value in (("corpus", corpus.name), ("system", corpus.system), ("shape", shape))
    ]
    return pl.concat(found).with_columns(*labels)


def _in_close_language(corpus: Corpus, shape: str, units: Sequence[Unit]) -> list[wrong_items.Item]:
    """The same items, in the close language."""
    assert corpus.close is not None
    other = Corpus(corpus.name, corpus.system, corpus.language, corpus.source, corpus.close)
    count = len({unit.concept for unit in units})
    made = SHAPES[shape](other, count)
    items = []
    for item in made:
        if len(item) == 1 or shape == "pairs":
            items.append(wrong_items.Item(item[0].concept, "close_language", item, tuple(range(len(item)))))
    return items[:count]


SHAPES = {"sentences": sentences, "texts": texts, "pairs": pairs}


def measure_language(tag: str, found: list[Corpus], out: Path, counts: dict[str, int]) -> str:
    """Write the evidence of one language; what was encoded is kept beside it for the next run."""
    started = time.perf_counter()
    embed = Vectors(out / f"{tag}.vectors")
    embed.load()
    frames = [
        evidence_of(corpus, shape, SHAPES[shape](corpus, count), embed)
        for corpus in found
        for shape, count in counts.items()
    ]
    embed.save()
    made = pl.concat(frames).with_columns(language=pl.lit(tag))
    made.write_parquet(out / f"{tag}.parquet")
    return f"{tag}: {len(made)} items, {time.perf_counter() - started:.0f} s"


def judged(folder: Path, recipe: Recipe) -> pl.DataFrame:
    """All items with `accepted`, and the names of the rules that each breaks in `reasons`."""
    frames = [pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    usual = pl.col("length_ratio").filter(pl.col("kind") == "right").median().over("language")
    items = pl.concat(frames).with_columns(length_deviation=(pl.col("length_ratio") / usual).log().abs())
    found = []
    for (tag,), rows_of in items.group_by("language", maintain_order=True):
        broken = [pl.when(rule.broken(str(tag))).then(pl.lit(rule.name)) for rule in recipe.rules]
        found.append(rows_of.with_columns(reasons=pl.concat_list(broken).list.drop_nulls()))
    return pl.concat(found).with_columns(accepted=pl.col("reasons").list.len() == 0)


def by_kind(items: pl.DataFrame) -> pl.DataFrame:
    """Kind and shape -> items, share accepted over all languages, and the worst language with its share."""
    accepted = pl.col("accepted").mean()
    of_language = items.group_by("kind", "shape", "language").agg(share=accepted, items=pl.len())
    worst = pl.col("share").sort_by("share", descending=True).first()
    where = pl.col("language").sort_by("share", descending=True).first()
    extremes = of_language.group_by("kind", "shape").agg(worst=worst, where=where)
    pooled = items.group_by("kind", "shape").agg(items=pl.len(), share=accepted)
    return pooled.join(extremes, on=["kind", "shape"]).sort("kind", "shape")


def run_report(arguments: argparse.Namespace) -> None:
    """Print Markdown tables."""
    recipe = load_recipe(arguments.recipe)
    items = judged(arguments.measured, recipe)
    if arguments.half:
        items = items.filter(pl.col("concept") % 2 == (arguments.half == "odd"))
    right, wrong = items.filter(kind="right"), items.filter(pl.col("kind") != "right")
    print(_table_of_right(right))
    print(_table_of_wrong(wrong))
    if arguments.rules:
        print(_table_of_rules(items, recipe))
    if arguments.languages:
        print(_table_of_languages(right, wrong))
    if arguments.floors:
        print(_floors(right, recipe))
    if arguments.plot:
        _plot(items, arguments.plot)


def _table_of_right(right: pl.DataFrame) -> str:
    """Kept, by who translated: over all languages, and in the worst; by all rules, and all but `numbers`."""
    lines = ["| right items kept | by | sentences | texts | pairs |", "|---|---|---|---|---|"]
    but_numbers = pl.col("reasons").list.set_difference(["numbers"]).list.len() == 0
    for system in ("human", "google", "bergamot", "given"):
        for name, kept in (("all rules", pl.col("accepted")), ("all but `numbers`", but_numbers)):
            cells = []
            for shape in SHAPES:
                of_shape = right.filter(system=system, shape=shape)
                by_language = of_shape.group_by("language").agg(kept=kept.mean()).sort("kept", "language")
                if len(by_language):
                    worst = f"{by_language['language'][0]} {by_language['kept'][0]:.0%}"
                    cells.append(f"{of_shape.select(kept.mean()).item():.1%} ({worst})")
            if cells:
                lines.append(f"| {system} | {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _table_of_wrong(wrong: pl.DataFrame) -> str:
    """Accepted, by kind of damage: over all languages, and in the worst."""
    meanings = {damage.name: damage.meaning for damage in DAMAGES} | {
        "close_language": "a close language instead"
    }
    found = {(row["kind"], row["shape"]): row for row in by_kind(wrong).to_dicts()}
    lines = ["| wrong items accepted | | sentences | texts | pairs |", "|---|---|---|---|---|"]
    for kind, meaning in meanings.items():
        cells = []
        for shape in SHAPES:
            row = found.get((kind, shape))
            cells.append(f"{row['share']:.1%} ({row['where']} {row['worst']:.0%})" if row else "")
        lines.append(f"| {kind} | {meaning} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _table_of_rules(items: pl.DataFrame, recipe: Recipe) -> str:
    """A line a kind: the share, in percent, that each rule would accept if it stood alone."""
    names = [rule.name for rule in recipe.rules if items[rule.column].null_count() < len(items)]
    alone = [(1 - pl.col("reasons").list.contains(name).mean()).alias(name) for name in names]
    found = items.group_by("kind").agg(*alone, together=pl.col("accepted").mean())
    order = ["right", *(damage.name for damage in DAMAGES), "close_language"]
    lines = ["| accepted by | " + " | ".join([*names, "all together"]) + " |"]
    lines.append("|" + "---|" * (len(names) + 2))
    for kind in order:
        for row in found.filter(kind=kind).to_dicts():
            cells = [f"{100 * row[name]:.1f}" for name in [*names, "together"]]
            lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _table_of_languages(right: pl.DataFrame, wrong: pl.DataFrame) -> str:
    """A line a language: kept by system, accepted by kind, of all shapes together."""
    kinds = wrong["kind"].unique().sort().to_list()
    systems = [system for system in ("human", "google", "bergamot") if len(right.filter(system=system))]
    lines = ["| language | " + " | ".join([*(f"kept {s}" for s in systems), *kinds]) + " |"]
    lines.append("|" + "---|" * (1 + len(systems) + len(kinds)))
    for (tag,), of_language in right.group_by("language", maintain_order=True):
        bad = wrong.filter(language=tag)
        shares = [of_language.filter(system=system)["accepted"].mean() for system in systems]
        shares += [bad.filter(kind=kind)["accepted"].mean() for kind in kinds]
        cells = ["" if share is None else f"{100 * share:.1f}" for share in shares]
        lines.append(f"| {tag} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _floors(right: pl.DataFrame, recipe: Recipe) -> str:
    """For each numeric rule, what keeps 99.5 % of a language's right items (human, Google's)."""
    trusted = right.filter(pl.col("system") != "bergamot")
    lines = []
    for rule in recipe.rules:
        if isinstance(rule.threshold(""), bool) or trusted[rule.column].null_count() == len(trusted):
            continue
        upper = "<" in rule.when
        found = {
            str(tag): of_language[rule.column].quantile(0.995 if upper else 0.005, "nearest")
            for (tag,), of_language in trusted.group_by("language", maintain_order=True)
        }
        values = ", ".join(f"{tag} = {value:.3f}" for tag, value in found.items() if value is not None)
        lines.append(f"# {rule.name} ({rule.when})\nper_language = {{ {values} }}")
    return "\n".join(lines)


def _plot(items: pl.DataFrame, path: Path) -> None:
    """A dot a language: share accepted, by kind; right items on top."""
    import matplotlib as mpl

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    mpl.rcParams["svg.hashsalt"] = "mldata"
    from matplotlib import pyplot

    of_language = items.group_by("kind", "language").agg(pl.col("accepted").mean() * 100)
    order = ["right", "close_language", *(damage.name for damage in DAMAGES)]
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for place, kind in enumerate(reversed(order)):
        shares = of_language.filter(kind=kind)["accepted"].sort().to_list()
        colour = "#1b7837" if kind == "right" else "#762a83"
        heights = [place + 0.25 * ((i % 5) - 2) / 2 for i in range(len(shares))]
        axes.scatter(shares, heights, s=14, alpha=0.6, color=colour, linewidths=0)
    axes.set_yticks(range(len(order)), list(reversed(order)))
    axes.set_xlabel("accepted by all rules together, % (a dot a language)")
    axes.set_xlim(-1, 101)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure")
    measure.add_argument("--data", type=Path, default=Path("../shared/data"))
    measure.add_argument("--parallel", action="append", default=[], metavar="SOURCE:TARGET:LANGUAGE")
    measure.add_argument("--languages", default="")
    measure.add_argument("--out", type=Path, required=True)
    measure.add_argument("--sentences", type=int, default=100)
    measure.add_argument("--texts", type=int, default=40)
    measure.add_argument("--pairs", type=int, default=40)
    measure.add_argument("--workers", type=int, default=os.cpu_count())
    report = commands.add_parser("report")
    report.add_argument("measured", type=Path, help="what `measure --out` wrote")
    report.add_argument("--recipe", default="embedded")
    report.add_argument("--half", choices=("even", "odd"), help="items of even or odd number alone")
    report.add_argument("--languages", action="store_true", help="the table by language too")
    report.add_argument("--rules", action="store_true", help="what each rule would accept alone")
    report.add_argument("--floors", action="store_true", help="thresholds that keep right items, as TOML")
    report.add_argument("--plot", type=Path, help="draw it into this SVG file (needs matplotlib)")
    arguments = parser.parse_args()
    os.environ.update(_ONE_THREAD)
    if arguments.command == "measure":
        run_measure(arguments)
    else:
        run_report(arguments)


def run_measure(arguments: argparse.Namespace) -> None:
    """All languages, a process each core."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    counts = {shape: getattr(arguments, shape) for shape in SHAPES}
    found: dict[str, list[Corpus]] = {}
    for given in arguments.parallel:
        source, target, tag = given.rsplit(":", 2)
        corpus = Corpus(
            Path(target).stem, "given", canonical(tag), _lines(Path(source)), _lines(Path(target))
        )
        found.setdefault(corpus.language, []).append(corpus)
    if not found:
        tags = {path.name.split(".")[0] for path in (arguments.data / "flores").glob("*.txt")} - {"en"}
        tags |= {canonical(tag) for tag in NTREX_TAGS.values()}
        found = {tag: list(corpora(arguments.data, tag)) for tag in sorted(tags)}
    wanted = arguments.languages.split(",") if arguments.languages else list(found)
    if not any(found.get(tag) for tag in wanted):
        sys.exit(
            f"no parallel text in {arguments.data}: give a folder with ntrex/ and flores/, or --parallel"
        )
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        futures = [pool.submit(measure_language, t, found[t], arguments.out, counts) for t in wanted]
        for future in futures:
            print(future.result(), flush=True)


if __name__ == "__main__":
    main()
