"""What a build costs beyond its models: mldata against bare `translate_batch` and bare `encode`.

    python -m tests.benchmarks.hub_overhead --pairs 96 --repeats 3

Made here, so that no download is needed: an NLLB-shaped translator trained on the phrases of the tests, then
widened to the given number of layers without changing what it says (the new layers add zero), and
multilingual-e5-small's real weights as a sentence-transformers model. After everything is loaded and ran
once, stages and bare calls take turns in one process on one thread. Bare is `translate_batch` once a
direction with the same settings, on tokens that are there already, and `SentenceTransformer.encode` once a
language: on all distinct segments of the whole source, while a build goes chunk by chunk, splits, tokenises,
identifies languages, scores, and writes. Calibration is off: it costs 256 concepts' worth, of however many.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import transformers

from mldata import library, selection
from mldata.encode.sentence_transformers import SentenceTransformersEncoder
from mldata.measured import Measured
from mldata.pipeline import Plan
from mldata.recipe import resource
from mldata.tasks import FOLDERS, Worker
from mldata.translate import ctranslate2
from tests.models import phrases, translators
from tests.models.encoders import e5_as_published

RULES = (resource("pipelines") / "embedded.toml").read_text("utf-8").partition("[[anchor_rules]]")[2]
RECIPE = """
name = "benchmark"
targets = ["es", "pt"]
translators = ["nllb"]
identifiers = ["fasttext"]
encoder = "e5"
[engines.nllb]
engine = "ctranslate2"
model = "{translator}"
licence = "CC0-1.0"
[engines.e5]
engine = "sentence-transformers"
model = "{encoder}"
prompt = "query: "
licence = "MIT"
[calibration]
enabled = false
[[anchor_rules]]{rules}
"""


def widened(small: Path, big: Path, layers: int, feed: int) -> Path:
    """The same model with more layers and wider ones: what was added adds zero."""
    model = transformers.M2M100ForConditionalGeneration.from_pretrained(small)
    sizes = {
        f"{half}_{what}": size
        for half in ("encoder", "decoder")
        for what, size in (("layers", layers), ("ffn_dim", feed))
    }
    config = transformers.M2M100Config(**{**model.config.to_dict(), **sizes})
    wide = transformers.M2M100ForConditionalGeneration(config)
    state = wide.state_dict()
    for name in state:
        if any(f".{part}." in name for part in ("out_proj", "fc2")):
            state[name].zero_()
    for name, weights in model.state_dict().items():
        target = state[name]
        if ".fc1." in name:
            target.zero_()
        target[tuple(slice(0, size) for size in weights.shape)] = weights
    wide.load_state_dict(state)
    wide.save_pretrained(big)
    for file in small.glob("*token*"):
        (big / file.name).write_bytes(file.read_bytes())
    return big


@dataclass
class Recorded:
    """What the models were asked, each once."""

    translate: dict[tuple[int, str], dict[tuple[str, ...], None]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    settings: dict[str, Any] = field(default_factory=dict)
    translators: dict[tuple[int, str], Any] = field(default_factory=dict)
    encode: dict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    stage: str = ""


def record(worker: Worker, plan: Plan) -> Recorded:
    """Run every task once, noting what it asks of the models."""
    seen = Recorded()
    encode = SentenceTransformersEncoder.encode
    answers = ctranslate2._Model.answers

    def encoding(self: SentenceTransformersEncoder, texts: Sequence[str]) -> Any:
        seen.encode[seen.stage].update(dict.fromkeys(texts))
        return encode(self, texts)

    def answering(self: Any, sources: Sequence[list[str]], asked: Any) -> Any:
        key = id(self), " ".join(asked.prefix)
        seen.translate[key].update(dict.fromkeys(map(tuple, sources)))
        seen.translators[key] = self
        return answers(self, sources, asked)

    SentenceTransformersEncoder.encode, ctranslate2._Model.answers = encoding, answering
    try:
        for task in plan.missing:
            seen.stage = f"{task.stage} {task.language}"
            worker.run(task)
    finally:
        SentenceTransformersEncoder.encode, ctranslate2._Model.answers = encode, answers
    return seen


def bare_translate(seen: Recorded) -> None:
    """The same sources, all of a direction at once."""
    for (_, prefix), sources in seen.translate.items():
        model = seen.translators[_, prefix]
        settings = model._settings
        model._translator.translate_batch(
            [list(source) for source in sources],
            target_prefix=[prefix.split()] * len(sources),
            batch_type="tokens",
            max_batch_size=settings.run.tokens_on("cpu"),
            beam_size=settings.beam,
            max_input_length=0,
            max_decoding_length=model._longest + 1,
            disable_unk=True,
            return_end_token=True,
        )


def bare_encode(seen: Recorded, model: Any) -> None:
    """The same texts, all of a language at once."""
    for texts in seen.encode.values():
        model.encode([f"query: {text}" for text in texts], batch_size=32, normalize_embeddings=True)


def select(plan: Plan, out: Path) -> None:
    """What a build ends with."""
    measured, recipe = Measured.of_plan(plan), plan.recipe
    selection.select(measured, out, targets=plan.targets, rules=recipe.rules, policy=recipe.select)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Make the models, run, and print ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--feed", type=int, default=4096)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        small = translators.write("nllb", place / "small")
        translator = widened(small, place / "nllb", options.layers, options.feed)
        (place / "e5").mkdir()
        encoder = e5_as_published(place / "e5")
        recipe = place / "benchmark.toml"
        recipe.write_text(RECIPE.format(translator=translator, encoder=encoder, rules=RULES))
        source = place / "phrases.jsonl"
        rows = [{f: text["en"] for f, text in row.items()} for row in phrases.pairs(options.pairs, seed=1)]
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        plan = library.plan(str(source), out=place / "set", recipe=str(recipe))
        worker = Worker(plan.job)
        seen = record(worker, plan)
        model = worker._encoder._model
        asked = sum(map(len, seen.translate.values())), sum(map(len, seen.encode.values()))
        print(f"{options.pairs} pairs, {asked[0]} distinct sources translated, {asked[1]} texts encoded")
        ratios: dict[str, list[float]] = defaultdict(list)
        for repeat in range(options.repeats):
            took: dict[str, float] = {}
            for stage in FOLDERS:
                tasks = [task for task in plan.missing if task.stage == stage]
                took[stage] = seconds(lambda tasks=tasks: [worker.run(task) for task in tasks])  # type: ignore[misc]
                if stage == "translate":
                    took["bare translate"] = seconds(lambda: bare_translate(seen))
            took["bare encode"] = seconds(lambda: bare_encode(seen, model))
            took["select"] = seconds(lambda: select(plan, place / "set"))
            bare = took["bare translate"] + took["bare encode"]
            measuring = took["measure_source"] + took["measure"]
            ratios["translate"].append(took["translate"] / took["bare translate"])
            ratios["measure"].append(measuring / took["bare encode"])
            ratios["build"].append((took["translate"] + measuring + took["select"]) / bare)
            print(f"run {repeat + 1}: " + ", ".join(f"{what} {t:.2f} s" for what, t in took.items()))
        kept = library.verify(place / "set").languages
        print(
            "kept: " + ", ".join(f"{tag} {counts.kept} of {counts.concepts}" for tag, counts in kept.items())
        )
        for what, values in ratios.items():
            print(
                f"{what}: {statistics.median(values):.3f} times bare ({min(values):.3f} to {max(values):.3f})"
            )


if __name__ == "__main__":
    main()
