"""Batch-aligned training where the truth is known: made-up languages, a small model, many seeds.

    python tests/benchmarks/made_up_languages.py --seeds 10 --out DIR
    python tests/benchmarks/made_up_languages.py --seeds 10 --out DIR --loss dpo --arms aligned,shuffled

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
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
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
    consistency: float = 0.1
    """Weight of the term in the arm that has it."""
    group_size: int = 3
    """Languages of a concept in a step, the anchor among them, in the arms where they take turns."""

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
        if language == ANCHOR:
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
        return [self.name, ",", *clause(language, ["do", "you"], "want", ["the", one, "or", "the", other]), "?"]

    def answer(self, language: Language, noun: str) -> list[str]:
        """The thing that is wanted."""
        return [*clause(language, ["i"], "want", ["the", noun]), "."]


def draw_suggestion(draw: random.Random, nouns: dict[str, Sequence[str]]) -> tuple[Suggestion, str, str]:
    """A suggestion, right in half of the cases; the right answer and a wrong one (the suggestion if wrong)."""
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
        about = phrase(language, noun, f"{kind}-a{draw.randrange(3)}") if form < 0.2 else phrase(language, noun)
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


def pretrain(seed: int, sizes: Sizes) -> Any:
    """A Llama from scratch, once through text in all languages."""
    from transformers import LlamaConfig, LlamaForCausalLM

    world = make_world(seed, sizes)
    tokenizer = make_tokenizer(world)
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
    """How rows share a step. Batches are filled with no eye to length unless that is what is tried."""

    says: str
    batching: dict[str, Any]
    consistent: bool = False
    by_gap: bool = False


ARMS = {
    "aligned": Arm("whole concepts", {"kind": "aligned", "by_length": False}),
    "shuffled": Arm("any rows", {"kind": "shuffled"}),
    "monolingual": Arm("rows of one language", {"kind": "monolingual"}),
    "anchor-only": Arm("rows of the anchor", {"kind": "anchor-only"}),
    "no-anchor": Arm(
        "whole concepts less the anchor", {"kind": "aligned", "by_length": False, "with_anchor": False}
    ),
    "by-length": Arm("whole concepts of like length (the default)", {"kind": "aligned"}),
    "consistency": Arm(
        "whole concepts, with the consistency term", {"kind": "aligned", "by_length": False}, consistent=True
    ),
    "turns": Arm("the anchor and languages that take turns", {"kind": "aligned", "by_length": False}),
    "by-gap": Arm(
        "the anchor and languages drawn by their gap before training",
        {"kind": "aligned", "by_length": False},
        by_gap=True,
    ),
}
GROUPED = ("turns", "by-gap")
