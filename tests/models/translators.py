"""Small real translation models that tests train: Marian, M2M100, NLLB and MADLAD in Hugging Face's format.

They learn the sentences of `phrases`, and to copy marks (XQ1X) and numbers, until they translate sentences
that they never saw exactly. What they are made of is what the published ones are made of: OPUS-MT's two
SentencePiece models, M2M100's vocabulary beside its language codes, NLLB's tokenizer.json, MADLAD's target
token in the source and output layer of its own.
"""

from __future__ import annotations

import io
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.models import phrases

NUMBERS = tuple(map(str, range(2, 14)))
MARKS = tuple(f"XQ{number}X" for number in range(1, 4))
"""What the models learn to copy, beside words: numbers, and the sentinels of protected spans."""
DIRECTIONS = (("en", "es"), ("es", "en"), ("en", "pt"), ("pt", "en"))
"""What the multilingual models learn."""
NLLB = {"en": "eng_Latn", "es": "spa_Latn", "pt": "por_Latn"}
FAMILIES = ("marian-en-es", "marian-es-en", "m2m100", "nllb", "madlad")
Example = tuple[list[int], list[int]]
"""Token ids of a source and of its labels."""


def sentence(draw: random.Random) -> dict[str, str]:
    """A sentence of `phrases`; every third one holds numbers or up to two marks."""
    said = phrases.sentence(draw)
    if draw.random() > 0.35:
        return said
    things = draw.sample(MARKS, 3) if draw.random() < 0.7 else draw.sample(NUMBERS, 3)
    things = things[: draw.randint(1, 2)]
    for place, thing in zip(draw.sample(range(3), len(things)), things, strict=True):
        said = {language: _put(text, language, thing, place) for language, text in said.items()}
    return said


def _put(text: str, language: str, thing: str, place: int) -> str:
    """`text` with a thing at its start or behind its verb ("X and ..."), or at its end ("with X")."""
    joint, also = phrases.LEXICON["and"][language], phrases.LEXICON["with"][language]
    if place == 0:
        return f"{thing} {joint} {text[0].lower()}{text[1:]}"
    if place == 1:
        return re.sub(rf"\b({_verbs(language)})\b", rf"\1 {thing} {joint}", text, count=1)
    return f"{text[:-1]} {also} {thing}."


def _verbs(language: str) -> str:
    """A pattern of all verbs."""
    return "|".join(phrases.LEXICON[verb][language] for verb in phrases.VERBS)


def corpus(count: int, seed: int) -> list[dict[str, str]]:
    """`count` sentences in all languages."""
    draw = random.Random(seed)
    return [sentence(draw) for _ in range(count)]


def write(family: str, directory: Path, steps: int | None = None) -> Path:
    """Train a model of FAMILIES and save it into `directory`, given back; with few `steps`, a bad one."""
    torch.manual_seed(0)
    kind, _, pair = family.partition("-")
    directory.mkdir(parents=True)
    if kind == "marian":
        _marian(directory, *pair.split("-"), steps=steps or 600)
    else:
        {"m2m100": _m2m100, "nllb": _nllb, "madlad": _madlad}[kind](
            directory, steps or (1200 if kind == "madlad" else 1000)
        )
    return directory


@cache
def _pieces() -> bytes:
    """A SentencePiece model in which every word is a piece, trained once."""
    texts = [text for said in corpus(4000, seed=1) for text in said.values()]
    texts += [" ".join([*MARKS, *NUMBERS])] * 100
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=600,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
        num_threads=1,
    )
    return model.getvalue()


def _vocabulary() -> list[str]:
    """The pieces, best first, without <unk>, <s> and </s>."""
    model = sentencepiece.SentencePieceProcessor(model_proto=_pieces())
    return [model.id_to_piece(number) for number in range(3, model.get_piece_size())]


def _marian(directory: Path, source: str, target: str, steps: int) -> None:
    vocabulary = {piece: number for number, piece in enumerate(["</s>", "<unk>", *_vocabulary(), "<pad>"])}
    pad = vocabulary["<pad>"]
    for name in ("source.spm", "target.spm"):
        (directory / name).write_bytes(_pieces())
    (directory / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        tokenizer = transformers.MarianTokenizer(
            source_spm=str(directory / "source.spm"),
            target_spm=str(directory / "target.spm"),
            vocab=str(directory / "vocab.json"),
            source_lang=source,
            target_lang=target,
        )
    model = transformers.MarianMTModel(
        transformers.MarianConfig(
            **_shape(len(vocabulary), pad=pad, eos=0, start=pad), activation_function="swish"
        )
    )

    def tidy() -> None:
        # CTranslate2 starts the decoder from a zero vector, as OPUS-MT's <pad> is; tied, it would learn.
        model.model.shared.weight.data[pad].zero_()

    examples = [
        (tokenizer(said[source]).input_ids, tokenizer(text_target=said[target]).input_ids)
        for said in corpus(6000, seed=2)
    ]
    _train(model, examples, pad, steps, tidy, rate=5e-3, guided=False)
    _save(directory, model, tokenizer)


def _m2m100(directory: Path, steps: int) -> None:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *_vocabulary()]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (directory / "sentencepiece.bpe.model").write_bytes(_pieces())
    tokenizer = transformers.M2M100Tokenizer(
        vocab_file=str(directory / "vocab.json"), spm_file=str(directory / "sentencepiece.bpe.model")
    )
    # The published models have rows for 8 words that were made up to fill a multiple of eight.
    size = len(vocabulary) + len(tokenizer.lang_code_to_id) + 8
    codes = [tokenizer.get_lang_id(language) for language in phrases.LANGUAGES]
    _save(directory, _with_rows(_multilingual(steps), codes, size), tokenizer)


def _nllb(directory: Path, steps: int) -> None:
    pieces = _vocabulary()
    vocabulary = {piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])}
    tokenizer = transformers.NllbTokenizer(vocab=vocabulary, merges=_merges(pieces))
    codes = [tokenizer.convert_tokens_to_ids(code) for code in NLLB.values()]
    _save(directory, _with_rows(_multilingual(steps), codes, len(tokenizer)), tokenizer)


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """What BPE joins to make each piece, in the order in which the pieces were learned."""
    known = set(pieces)
    return [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]


@cache
def _multilingual(steps: int) -> Any:
    """A model of M2M100's architecture, with a language's code in front of source and target.

    M2M100 and NLLB differ in tokens only, so they share one; the codes' rows are its last three.
    """
    size = 4 + len(_vocabulary()) + len(phrases.LANGUAGES)
    model = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(**_shape(size, pad=1, eos=2, start=2), activation_function="relu")
    )
    _train(model, _examples(), 1, steps)
    return model


def _examples() -> list[Example]:
    """Sentences for it in all DIRECTIONS."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *_vocabulary()]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    codes = dict(zip(phrases.LANGUAGES, range(len(pieces), len(pieces) + 3), strict=True))
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=_pieces())

    def ids(text: str) -> list[int]:
        return [numbers[piece] for piece in tokenizer.encode(text, out_type=str)]

    examples = []
    for said in corpus(4000, seed=2):
        for source, target in DIRECTIONS:
            examples.append(([codes[source], *ids(said[source]), 2], [codes[target], *ids(said[target]), 2]))
    return examples


def _with_rows(model: Any, codes: list[int], size: int) -> Any:
    """The model with `size` rows of embeddings, those of its codes where a tokenizer has them."""
    shared = model.model.shared.weight.detach()
    rows = torch.zeros(size, shared.shape[1])
    rows[: len(shared) - 3] = shared[:-3]
    rows[codes] = shared[-3:]
    config = transformers.M2M100Config(**{**model.config.to_dict(), "vocab_size": size})
    made = transformers.M2M100ForConditionalGeneration(config)
    weights = {name: value for name, value in model.state_dict().items() if value.shape != shared.shape}
    made.load_state_dict(weights, strict=False)
    made.model.shared.weight.data.copy_(rows)
    return made


def _madlad(directory: Path, steps: int) -> None:
    codes = [f"<2{language}>" for language in phrases.LANGUAGES]
    texts = [text for said in corpus(4000, seed=1) for text in said.values()]
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    pieces = [f"▁{word}" for word in sorted(words)] + sorted({letter for text in texts for letter in text})
    scored = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scored += [(piece, -10.0) for piece in ["▁", *pieces]]
    tokenizer = transformers.T5Tokenizer(vocab=scored, extra_ids=0, additional_special_tokens=codes)
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=len(tokenizer),
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_decoder_layers=1,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    model.lm_head.weight = torch.nn.Parameter(model.shared.weight.detach().clone() * 64**-0.5)
    _look_beside(model)
    examples = []
    for said in corpus(4000, seed=2):
        ids = {language: tokenizer(text).input_ids for language, text in said.items()}
        for source, target in DIRECTIONS:
            examples.append((tokenizer(f"<2{target}> {said[source]}").input_ids, ids[target]))
    _train(model, examples, 0, steps, rate=6e-3)
    _save(directory, model, tokenizer)
    # Transformers writes a T5 of today's kind; MADLAD's checkpoint says that its output layer is its own.
    weights = load_file(directory / "model.safetensors")
    weights["lm_head.weight"] = model.lm_head.weight.detach().clone()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((directory / "config.json").read_text("utf-8"))
    config.pop("scale_decoder_outputs", None)
    (directory / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}), "utf-8")


def _look_beside(model: Any) -> None:
    """Start T5's heads looking at a word and its neighbours: it has no other positions."""
    for half, buckets in ((model.encoder, (0, 1, 17, 2)), (model.decoder, (0, 1, 2, 3))):
        bias = half.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        for head, bucket in enumerate(buckets):
            bias.data[bucket, head] = 5.0


def _shape(vocabulary: int, pad: int, eos: int, start: int) -> dict[str, Any]:
    """Settings that Marian and M2M100 share."""
    return {
        "vocab_size": vocabulary,
        "d_model": 64,
        **{f"{half}_layers": 1 for half in ("encoder", "decoder")},
        **{f"{half}_attention_heads": 4 for half in ("encoder", "decoder")},
        **{f"{half}_ffn_dim": 128 for half in ("encoder", "decoder")},
        **{f"{half}_layerdrop": 0.0 for half in ("encoder", "decoder")},
        "max_position_embeddings": 128,
        "pad_token_id": pad,
        "eos_token_id": eos,
        "bos_token_id": None,
        "decoder_start_token_id": start,
        "forced_eos_token_id": None,
        "scale_embedding": True,
        **dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0),
    }


def _train(
    model: Any,
    examples: list[Example],
    pad: int,
    steps: int,
    tidy: Callable[[], None] = lambda: None,
    rate: float = 8e-3,
    guided: bool = True,
) -> None:
    """Teacher forcing over batches of 64 sentences; `tidy` runs after each step.

    A sentence and its translation have as many words, in nearly the same order. Where `guided`, attention is
    taught so at first, on short sentences: models of several languages find it out late. Marian is quicker
    without.
    """
    model.set_attn_implementation("eager")  # which can show its weights
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    model.train()
    for step, (sources, targets) in enumerate(_batches(examples, steps, 0.15 if guided else 1.0)):
        ids, labels = _padded(sources, pad), _padded(targets, -100)
        taught = guided and step < steps * 0.3
        out = model(
            input_ids=ids,
            attention_mask=(ids != pad).long(),
            labels=labels,
            output_attentions=taught,
            use_cache=False,
        )
        loss = out.loss
        if taught:
            loss = loss + _astray(out.cross_attentions[-1], ids != pad, labels != -100)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tidy()
    model.eval()


def _astray(attention: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How much of [batch, heads, target, source] is elsewhere than at a word's own place or next to it."""
    words = attention.mean(1)
    ahead = source.sum(1) - target.sum(1)
    places = torch.arange(words.shape[2]) - torch.arange(words.shape[1])[:, None] - ahead[:, None, None]
    near = torch.exp(-(places.float() ** 2))
    return -torch.log((words * near).sum(-1) + 1e-6)[target].mean()


def _batches(
    examples: list[Example], steps: int, first: float
) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
    """Sentences of like length together; at first, of the shortest ones the share that `first` says."""
    draw = random.Random(3)
    examples = sorted(draw.sample(examples, len(examples)), key=lambda example: [*map(len, example)])
    for step in range(steps):
        longest = min(1.0, first + 1.5 * step / steps)
        start = draw.randrange(int(longest * len(examples)) - 64)
        yield tuple(zip(*examples[start : start + 64], strict=True))  # type: ignore[misc]


def _padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])


def _save(directory: Path, model: Any, tokenizer: Any) -> None:
    model.generation_config.max_length = 64
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
