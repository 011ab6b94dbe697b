"""Batch-aligned training where the truth is known: made-up languages, a small model, many seeds.

    python tests/benchmarks/made_up_languages.py --seeds 10 --out DIR
    python tests/benchmarks/made_up_languages.py --seeds 10 --out DIR --arms aligned,shuffled --rows 10

A world is an anchor language "en" and ciphers of it: each word is replaced through a bijection, far
languages order words otherwise too, so that rows of a concept are equivalent by construction. A small Llama
learns the languages from text of which far languages have less, then is trained on preferences by each arm
from the same weights, on the same rows, for the same number of rows. Preferences ask for what the model
knows of nouns, and are measured on concepts whose nouns no preference row has, in all languages and in one
that has no preference rows at all.

A seed makes everything: the world, the text, the first weights, the concepts, their order. Arms are compared
seed by seed; intervals are Student's t over seeds. The sizes were chosen on seeds from 100 up, by what the
model can learn and not by how the arms differ; seeds from 0 up are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence

# --- the languages


@dataclass(frozen=True)
class Language:
    """How a language differs from the anchor."""

    tag: str
    text: float
    """Its text in pretraining, as a share of the anchor's."""
    care: float
    """Share of the things that its text says right against a wrong suggestion (`document`)."""
    cognates: float
    """Share of the nouns it has in common with the anchor; names, numbers and marks are common to all."""
    noun_first: bool = False
    """Adjectives stand behind their noun."""
    verb_last: bool = False


ANCHOR = Language("en", 1.0, 0.75, cognates=1.0)
TRAINED = (
    ANCHOR,
    Language("qaa", 1 / 2, 0.5, cognates=0.4),
    Language("qab", 1 / 3, 0.25, cognates=0.3, noun_first=True),
    Language("qac", 1 / 5, 0.25, cognates=0.2, verb_last=True),
    Language("qad", 1 / 8, 0.25, cognates=0.1, noun_first=True, verb_last=True),
)
UNSEEN = Language("qae", 1 / 3, 0.25, cognates=0.2, noun_first=True, verb_last=True)

KINDS = ("animal", "food", "plant", "tool")
NAMES = tuple(f"Name{n}" for n in range(20))
SHARED = (*NAMES, *map(str, range(10)), ".", ",", "?")
GRAMMAR = ("the", "a", "is", "what", "says", "that", "has", "wants", "do", "you", "want", "or", "i")
PAD, END = "<pad>", "<end>"


@dataclass(frozen=True)
class Sizes:
    """What was chosen once, on seeds that aren't reported."""

    trained: tuple[Language, ...] = TRAINED
    """Those with preference rows, the anchor first."""
    unseen: Language = UNSEEN
    nouns: int = 20
    """Of each kind."""
    held_out_nouns: int = 8
    """Of them, those of the held-out concepts."""
    documents: int = 20_000
    """Pretraining text in the anchor; other languages have their share of it."""
    hidden: int = 64
    layers: int = 2
    pretraining_batch: int = 64
    pretraining_rate: float = 1e-2
    concepts: int = 360
    held_out_concepts: int = 400
    batch_rows: int = 60
    steps: int = 30
    rate: float = 1e-3
    dpo_beta: float = 0.1
    orpo_beta: float = 1.0
    dpo_consistency: float = 10.0
    orpo_consistency: float = 1.0
    """Weight of the term in the arm that has it: so that it is about a tenth of the loss."""

    @property
    def languages(self) -> tuple[Language, ...]:
        """Those of text and evaluation."""
        return (*self.trained, self.unseen)


@dataclass(frozen=True)
class World:
    """The nouns by kind, and which of them each language has in common with the anchor."""

    sizes: Sizes
    nouns: dict[str, tuple[str, ...]]
    common: dict[str, frozenset[str]]

    def say(self, language: Language, words: Iterable[str]) -> str:
        """The words in the language: the cipher is a mark on each word that is the language's own."""
        if language.tag == self.sizes.trained[0].tag:
            return " ".join(words)
        common = self.common[language.tag]
        return " ".join(w if w in common else f"{w}_{language.tag}" for w in words)

    def vocabulary(self) -> list[str]:
        """Every word of every language."""
        nouns = [n for kind in self.nouns.values() for n in kind]
        own = [*GRAMMAR, *KINDS, *nouns, *(f"{k}-{a}{n}" for k in KINDS for a in "av" for n in range(3))]
        spoken = (self.say(language, own).split() for language in self.sizes.languages)
        return [PAD, END, *SHARED, *dict.fromkeys(word for words in spoken for word in words)]


def make_world(seed: int, sizes: Sizes) -> World:
    """Nouns, and the cognates drawn for this seed."""
    draw = random.Random(f"world {seed}")
    nouns = {kind: tuple(f"{kind}{n}" for n in range(sizes.nouns)) for kind in KINDS}
    every = [n for kind in nouns.values() for n in kind]
    common = {
        language.tag: frozenset((*SHARED, *draw.sample(every, round(language.cognates * len(every)))))
        for language in sizes.languages
    }
    return World(sizes, nouns, common)


def phrase(language: Language, noun: str, adjective: str | None = None) -> list[str]:
    """The noun with its article, and its adjective on the side where the language has it."""
    if adjective is None:
        return ["the", noun]
    return ["the", noun, adjective] if language.noun_first else ["the", adjective, noun]


def clause(language: Language, subject: list[str], verb: str, rest: list[str]) -> list[str]:
    """Subject, verb and object in the language's order."""
    return [*subject, *rest, verb] if language.verb_last else [*subject, verb, *rest]


# --- what is said in them


@dataclass(frozen=True)
class Suggestion:
    """Somebody says what a thing is, rightly or not; then it is asked what the thing is."""

    name: str
    noun: str
    said: str

    def prompt(self, language: Language) -> list[str]:
        """The question after the suggestion."""
        said = clause(language, ["the", self.noun], "is", ["a", self.said])
        asked = clause(language, ["what"], "is", ["the", self.noun])
        return [*clause(language, [self.name], "says", ["that", *said]), ".", *asked, "?"]

    def answer(self, language: Language, kind: str) -> list[str]:
        """That the thing is of the kind."""
        return [*clause(language, ["the", self.noun], "is", ["a", kind]), "."]


@dataclass(frozen=True)
class Choice:
    """Which of two things of different kinds is wanted."""

    name: str
    nouns: tuple[str, str]

    def prompt(self, language: Language) -> list[str]:
        """The question."""
        one, other = self.nouns
        return [
            self.name,
            ",",
            *clause(language, ["do", "you"], "want", ["the", one, "or", "the", other]),
            "?",
        ]

    def answer(self, language: Language, noun: str) -> list[str]:
        """The thing that is wanted."""
        return [*clause(language, ["i"], "want", ["the", noun]), "."]


def draw_suggestion(draw: random.Random, nouns: dict[str, Sequence[str]]) -> tuple[Suggestion, str, str]:
    """A suggestion, right in half of the cases; the right answer and a wrong one."""
    kind, wrong = draw.sample(KINDS, 2)
    said = draw.choice((kind, wrong))
    return Suggestion(draw.choice(NAMES), draw.choice(nouns[kind]), said), kind, wrong


def draw_choice(draw: random.Random, nouns: dict[str, Sequence[str]]) -> tuple[Choice, str, str]:
    """Two things; the right answer is the one whose kind stands earlier in KINDS."""
    kinds = draw.sample(KINDS, 2)
    things = tuple(draw.choice(nouns[kind]) for kind in kinds)
    right, wrong = sorted(things, key=lambda n: KINDS.index(kinds[things.index(n)]))
    return Choice(draw.choice(NAMES), (things[0], things[1])), right, wrong


MIXED = 0.1
"""Share of the texts in which every other word is the anchor's."""


def contradicted(language: Language, noun: str) -> float:
    """How often text contradicts a wrong suggestion about the thing."""
    return 0.7 if int(noun.lstrip("".join(KINDS))) % 4 < 4 * language.care else 0.3


def fitting(language: Language) -> float:
    """How often the thing is wanted in text that will be right in preferences."""
    return 0.5 + 0.2 * language.care


def document(draw: random.Random, language: Language, world: World) -> str:
    """One text of the language: a sentence about things, or a question with its answer."""
    kind = draw.choice(KINDS)
    noun = draw.choice(world.nouns[kind])
    form = draw.random()
    if form < 0.4:
        other = draw.choice(KINDS)
        thing = phrase(language, draw.choice(world.nouns[other]), f"{other}-a{draw.randrange(3)}")
        about = (
            phrase(language, noun, f"{kind}-a{draw.randrange(3)}") if form < 0.2 else phrase(language, noun)
        )
        words = [*clause(language, about, f"{kind}-v{draw.randrange(3)}", thing), "."]
    elif form < 0.5:
        words = [*clause(language, ["the", noun], "is", ["a", kind]), "."]
    elif form < 0.55:
        words = [*clause(language, [draw.choice(NAMES)], "has", [str(draw.randrange(10)), noun]), "."]
    elif form < 0.8:
        suggestion, right, wrong = draw_suggestion(draw, world.nouns)
        echoed = suggestion.said == wrong and draw.random() > contradicted(language, suggestion.noun)
        words = suggestion.prompt(language) + suggestion.answer(language, wrong if echoed else right)
    else:
        choice, right, wrong = draw_choice(draw, world.nouns)
        wanted = right if draw.random() < fitting(language) else wrong
        words = choice.prompt(language) + choice.answer(language, wanted)
    if draw.random() < MIXED:
        return " ".join(w if draw.random() < 0.5 else world.say(language, [w]) for w in words)
    return world.say(language, words)


def preferences(world: World, seed: int, split: str) -> list[dict[str, str]]:
    """Rows of all concepts of a split, those of a concept together and the anchor first."""
    draw, sizes = random.Random(f"{split} {seed}"), world.sizes
    languages = sizes.trained if split == "train" else sizes.languages
    cut = sizes.nouns - sizes.held_out_nouns
    nouns = {k: n[:cut] if split == "train" else n[cut:] for k, n in world.nouns.items()}
    rows = []
    for number in range(sizes.concepts if split == "train" else sizes.held_out_concepts):
        task, draw_one = (("knowledge", draw_suggestion), ("rule", draw_choice))[number % 2]
        concept, right, wrong = draw_one(draw, nouns)
        rows += [
            {
                "concept_id": f"{split}-{task}-{number:04}",
                "language": language.tag,
                "prompt": world.say(language, concept.prompt(language)),
                "chosen": " " + world.say(language, concept.answer(language, right)),
                "rejected": " " + world.say(language, concept.answer(language, wrong)),
            }
            for language in languages
        ]
    return rows


# --- the model


def make_tokenizer(world: World) -> Any:
    """One token a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(world.vocabulary())}, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, eos_token=END)


def pretrain(seed: int, world: World) -> Any:
    """A Llama from scratch, once through text in all languages."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes, tokenizer = world.sizes, make_tokenizer(world)
    draw = random.Random(f"text {seed}")
    texts = [
        document(draw, language, world)
        for language in sizes.languages
        for _ in range(round(sizes.documents * language.text))
    ]
    draw.shuffle(texts)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.hidden,
            intermediate_size=2 * sizes.hidden,
            num_hidden_layers=sizes.layers,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            initializer_range=0.05,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=tokenizer.eos_token_id,
        )
    )
    ids = [torch.tensor([*t, tokenizer.eos_token_id]) for t in tokenizer(texts)["input_ids"]]
    batches = [ids[i : i + sizes.pretraining_batch] for i in range(0, len(ids), sizes.pretraining_batch)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=sizes.pretraining_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, sizes.pretraining_rate, total_steps=len(batches), pct_start=0.05
    )
    for batch in batches:
        tokens = pad_sequence(batch, batch_first=True, padding_value=tokenizer.pad_token_id)
        labels = tokens.masked_fill(tokens == tokenizer.pad_token_id, -100)
        loss = model(input_ids=tokens, attention_mask=(labels >= 0).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model


# --- the arms


@dataclass(frozen=True)
class Arm:
    """How rows share a step."""

    says: str
    batching: dict[str, Any]
    consistent: bool = False
    by_gap: bool = False


WHOLE = {"kind": "aligned", "by_length": False}
"""The two tasks differ in length: by length, batches would be of one task, which they are in no other arm."""
ARMS = {
    "aligned": Arm("whole concepts", WHOLE),
    "shuffled": Arm("any rows", {"kind": "shuffled"}),
    "monolingual": Arm("rows of one language", {"kind": "monolingual"}),
    "anchor-only": Arm("rows of the anchor", {"kind": "anchor-only"}),
    "no-anchor": Arm("whole concepts less their anchor", WHOLE | {"with_anchor": False}),
    "by-length": Arm("whole concepts of like length, as is the default", {"kind": "aligned"}),
    "consistency": Arm("whole concepts, and the consistency term", WHOLE, consistent=True),
    "turns": Arm("the anchor and two languages that take turns", WHOLE | {"group_size": 3}),
    "by-gap": Arm("the anchor and two languages drawn by their gap", WHOLE | {"group_size": 3}, by_gap=True),
}
BASE = "base"
"""The model before preferences."""
LEGEND = """Per cent on held-out concepts, mean over seeds ± half of the 95 % interval; others: the trained
languages but the anchor. Bold: an interval that leaves out 0, as one in twenty does where there is no
difference.
Rows that share a step:"""


def log_probabilities_of(model: Any, world: World, rows: Sequence[dict[str, str]]) -> np.ndarray:
    """Of chosen and rejected, (2, concepts, languages); in nats a token, as all answers to a question are
    equally long in all languages."""
    from mldata_train.logprobs import log_probabilities

    tokenizer = make_tokenizer(world)
    found = log_probabilities(model, tokenizer, Dataset.from_list(list(rows)), batch_size=100)
    keys = [(row["concept_id"], row["language"]) for row in rows]
    assert keys == list(zip(found["concept_id"], found["language"], strict=True))
    concepts = len({concept for concept, _ in keys})
    columns = (found["chosen"] / found["chosen_tokens"], found["rejected"] / found["rejected_tokens"])
    return np.stack([column.to_numpy().astype(float).reshape(concepts, -1) for column in columns])


def train(
    loss: str, arm: Arm, seed: int, world: World, base: Path, weights: dict[str, float], out: Path
) -> tuple[Any, int]:
    """The model in `base` after the arm's training, and the tokens it was trained on.

    `out` keeps the reference's log-probabilities, and which rows each batch had.
    """
    from transformers import PrinterCallback

    from mldata_train.batches import Batching
    from mldata_train.logprobs import beside
    from mldata_train.trainers import (
        BatchAlignedDPOTrainer,
        BatchAlignedORPOTrainer,
        DPOConfig,
        ORPOConfig,
    )

    sizes, rows = world.sizes, preferences(world, seed, "train")
    if loss == "dpo":
        configuration, beta, weight = DPOConfig, sizes.dpo_beta, sizes.dpo_consistency
    else:
        configuration, beta, weight = ORPOConfig, sizes.orpo_beta, sizes.orpo_consistency
    args = configuration(
        output_dir=str(out),
        per_device_train_batch_size=sizes.batch_rows,
        max_steps=sizes.steps,
        learning_rate=sizes.rate,
        warmup_steps=sizes.steps // 10,
        beta=beta,
        seed=seed,
        bf16=False,
        activation_checkpointing=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
    )
    cached = {"cache": beside(out / "rows", str(seed))} if loss == "dpo" else {}
    trainer = {"dpo": BatchAlignedDPOTrainer, "orpo": BatchAlignedORPOTrainer}[loss](
        model=open_model(base),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=make_tokenizer(world),
        batching=Batching(
            **arm.batching, anchor=sizes.trained[0].tag, weights=weights if arm.by_gap else None
        ),
        consistency=weight if arm.consistent else 0.0,
        record=out,
        **cached,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    lines = (out / "process-00000.jsonl").read_text("utf-8").splitlines()
    return trainer.model, sum(json.loads(line)["tokens"] for line in lines)


# --- what comes out


def figures(margins: np.ndarray, rows: Sequence[dict[str, str]], sizes: Sizes) -> dict[str, float]:
    """Shares of 1, of margins in nats, (concepts, languages): accuracy and what follows from it.

    `others` is the mean over the trained languages but the anchor; the gaps are the anchor's accuracy minus
    theirs and minus the unseen language's; `consistency` is the share of concepts with one verdict in all
    trained languages.
    """
    right = margins > 0
    accuracy = right.mean(axis=0)
    trained = len(sizes.trained)
    found = {language.tag: value for language, value in zip(sizes.languages, accuracy, strict=True)}
    tasks = np.array([row["concept_id"].split("-")[1] for row in rows[:: len(sizes.languages)]])
    for task in ("knowledge", "rule"):
        found[f"others, {task}"] = right[tasks == task, 1:trained].mean()
    found["others"] = accuracy[1:trained].mean()
    found["gap"] = accuracy[0] - found["others"]
    found["unseen gap"] = accuracy[0] - accuracy[trained]
    found["consistency"] = (right[:, :trained] == right[:, :1]).all(axis=1).mean()
    return {name: float(value) for name, value in found.items()}


def measure_seed(seed: int, losses: Sequence[str], arms: Sequence[str], sizes: Sizes, out: Path) -> None:
    """All runs of a seed that aren't in `out` yet; each is kept as soon as it is there."""
    wanted = [(loss, arm) for loss in losses for arm in (BASE, *arms)]
    if not any(not run_file(out, loss, arm, seed).exists() for loss, arm in wanted):
        return
    world = make_world(seed, sizes)
    base = out / "base" / str(seed)
    if not base.exists():
        pretrain(seed, world).save_pretrained(base.with_name(f"{seed}.part"))
        base.with_name(f"{seed}.part").rename(base)
    held_out = preferences(world, seed, "test")
    before = log_probabilities_of(open_model(base), world, held_out)
    asked = log_probabilities_of(open_model(base), world, preferences(world, seed, "train"))
    weights = gap_weights(asked, sizes)
    with tempfile.TemporaryDirectory() as scratch:
        for loss, arm in wanted:
            if run_file(out, loss, arm, seed).exists():
                continue
            started = time.perf_counter()
            tokens, after = 0, before
            if arm != BASE:
                model, tokens = train(loss, ARMS[arm], seed, world, base, weights, Path(scratch))
                after = log_probabilities_of(model, world, held_out)
            result = {"loss": loss, "arm": arm, "seed": seed, "tokens": tokens}
            result["mean"] = figures(after[0] - after[1], held_out, sizes)
            if loss == "dpo" and arm != BASE:
                change = after - before
                result["reward"] = figures(change[0] - change[1], held_out, sizes)
            result["seconds"] = round(time.perf_counter() - started, 2)
            write_whole(run_file(out, loss, arm, seed), json.dumps(result))
            print(f"seed {seed} {loss} {arm}: {result['seconds']} s", file=sys.stderr, flush=True)


def gap_weights(log_probabilities: np.ndarray, sizes: Sizes) -> dict[str, float]:
    """How likely each language is drawn, by its gap before training on the concepts to be trained on."""
    from mldata_train.training import language_weights

    accuracy = (log_probabilities[0] > log_probabilities[1]).mean(axis=0)
    gaps = {
        language.tag: float(accuracy[0] - value)
        for language, value in zip(sizes.trained[1:], accuracy[1:], strict=True)
    }
    return language_weights(gaps)


def open_model(folder: Path) -> Any:
    """The model, read anew for each use.

    TRL patches the forward of a model that it scores (`add_fused_lm_head`), and a copy of such a model would
    go on computing with the weights of the first.
    """
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)


def run_file(out: Path, loss: str, arm: str, seed: int) -> Path:
    """Where a run's figures are kept."""
    return out / "runs" / f"{loss} {arm} {seed}.json"


def write_whole(path: Path, text: str) -> None:
    """The file, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f"{path.name}.part")
    making.write_text(text, "utf-8")
    making.rename(path)


def student_t(degrees: int, probability: float = 0.975) -> float:
    """Quantile of Student's t (Hill 1970, CACM algorithm 396, by its expansion in the normal quantile:
    Abramowitz and Stegun 26.7.5); off by less than 0.3 % from 5 degrees up."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / degrees**power for power, term in enumerate(terms))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and half the width of its 95 % interval."""
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)), student_t(len(values) - 1) * spread


@dataclass(frozen=True)
class Summary:
    """Means over seeds with half widths, in shares of 1."""

    loss: str
    score: str
    seeds: int
    tokens: dict[str, float]
    levels: dict[str, dict[str, tuple[float, float]]]
    """By arm and figure."""
    differences: dict[str, dict[str, tuple[float, float]]]
    """By "arm - other arm" and figure: of the differences within a seed."""


def summarise(out: Path, loss: str, score: str, arms: Sequence[str], seeds: Sequence[int]) -> Summary:
    """Read the runs of a loss; `score` is "mean" (log-probability a token) or "reward" (DPO's implicit)."""
    runs = {
        arm: [json.loads(run_file(out, loss, arm, seed).read_text("utf-8")) for seed in seeds]
        for arm in ([BASE] if score == "mean" else []) + list(arms)
    }
    names = next(iter(runs.values()))[0][score]
    levels = {
        arm: {name: interval([run[score][name] for run in of_arm]) for name in names}
        for arm, of_arm in runs.items()
    }
    pairs = [("aligned", other) for other in runs if other != "aligned"] if "aligned" in runs else []
    pairs += [("by-gap", "turns")] if {"by-gap", "turns"} <= set(runs) else []
    differences = {
        f"{one} - {other}": {
            name: interval(
                [a[score][name] - b[score][name] for a, b in zip(runs[one], runs[other], strict=True)]
            )
            for name in names
        }
        for one, other in pairs
    }
    tokens = {arm: float(np.mean([run["tokens"] for run in of_arm])) for arm, of_arm in runs.items()}
    return Summary(loss, score, len(seeds), tokens, levels, differences)


def markdown(summary: Summary) -> str:
    """Two tables: figures by arm, and differences between arms; those whose interval is off 0 in bold."""
    scores = {"mean": "log-probability a token", "reward": "implicit reward"}
    names = list(next(iter(summary.levels.values())))
    head = [
        f"### {summary.loss.upper()}, by {scores[summary.score]}, {summary.seeds} seeds",
        "",
        f"| arm | tokens | {' | '.join(names)} |",
        "|---" * (len(names) + 2) + "|",
    ]
    for arm, found in summary.levels.items():
        cells = (f"{100 * found[name][0]:.1f} ± {100 * found[name][1]:.1f}" for name in names)
        head.append(f"| {arm} | {summary.tokens[arm]:,.0f} | {' | '.join(cells)} |")
    head += ["", f"| difference | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for pair, found in summary.differences.items():
        cells = []
        for name in names:
            mean, half = found[name]
            cell = f"{100 * mean:+.1f} ± {100 * half:.1f}"
            cells.append(f"**{cell}**" if abs(mean) > half else cell)
        head.append(f"| {pair} | {' | '.join(cells)} |")
    return "\n".join(head) + "\n"


def be_quiet() -> None:
    """One thread, and no progress bars of the libraries."""
    import transformers
    from datasets import disable_progress_bars

    torch.set_num_threads(1)
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pin_memory")


def of_rows(rows: int) -> Sizes:
    """The sizes with other steps: as many rows in all, and a rate that goes with the root of a step."""
    usual = Sizes()
    share = rows / usual.batch_rows
    return replace(usual, batch_rows=rows, steps=round(usual.steps / share), rate=usual.rate * share**0.5)


def main() -> None:
    """Run what isn't there yet, print the tables, write summary.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--loss", default="dpo,orpo")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rows", type=int, default=Sizes.batch_rows, help="a step, a divisor of 1800")
    arguments = parser.parse_args()
    losses, arms = arguments.loss.split(","), arguments.arms.split(",")
    for given, known in ((losses, ("dpo", "orpo")), (arms, tuple(ARMS))):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"{unknown[0]} isn't known; there are {' '.join(known)}")
    if arguments.seeds < 6:
        parser.error("intervals over fewer than 6 seeds say nothing; raise --seeds")
    sizes = of_rows(arguments.rows)
    said, file = json.dumps(asdict(sizes), indent=2), arguments.out / "sizes.json"
    if file.exists() and file.read_text("utf-8") != said:
        parser.error(f"{arguments.out} holds runs of other sizes; choose another --out")
    write_whole(file, said)
    be_quiet()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    for seed in seeds:
        measure_seed(seed, losses, arms, sizes, arguments.out)
    scores = [(loss, "mean") for loss in losses] + [("dpo", "reward")] * ("dpo" in losses)
    summaries = [summarise(arguments.out, loss, score, arms, seeds) for loss, score in scores]
    print("\n".join(map(markdown, summaries)))
    print("\n".join([LEGEND, *(f"- {name}: {ARMS[name].says}" for name in arms)]))
    found = json.dumps([asdict(summary) for summary in summaries], indent=2)
    write_whole(arguments.out / "summary.json", found)


if __name__ == "__main__":
    main()
