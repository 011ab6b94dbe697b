"""A tiny Llama, sentences in five languages and sets of them: real trainers in seconds."""

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

import mldata

LANGUAGES = ("en", "es", "fr", "pt", "it")
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }} <eos> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

ASKED = {
    "en": "How much is {} plus {} ?",
    "es": "¿ Cuánto es {} más {} ?",
    "fr": "Combien font {} plus {} ?",
    "pt": "Quanto é {} mais {} ?",
    "it": "Quanto fa {} più {} ?",
}
RIGHT = {"en": "It is {} .", "es": "Es {} .", "fr": "Cela fait {} .", "pt": "É {} .", "it": "Fa {} ."}
WRONG = {
    "en": "Nobody knows {} .",
    "es": "Nadie sabe {} .",
    "fr": "Personne ne sait {} .",
    "pt": "Ninguém sabe {} .",
    "it": "Nessuno sa {} .",
}


def sums(concepts, languages=LANGUAGES, kept=lambda concept, tag: True):
    """Rows of preference pairs about sums: a list of dicts, a concept's together, English first."""
    rows = []
    for number in range(concepts):
        a, b = number % 9 + 1, number // 9 % 9 + 1
        for tag in languages:
            if tag == languages[0] or kept(number, tag):
                rows.append(
                    {
                        "concept_id": f"{number:032x}",
                        "language": tag,
                        "prompt": ASKED[tag].format(a, b),
                        "chosen": " " + RIGHT[tag].format(a + b) + " ." * (number % 4),
                        "rejected": " " + WRONG[tag].format(a),
                    }
                )
    return rows


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A directory with a Llama of two layers and a tokenizer of whole words."""
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def make_tiny_model(folder, chat=True, seed=0):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [row[field] for row in sums(81) for field in ("prompt", "chosen", "rejected")]
    special = ["<pad>", "<eos>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>"]
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=special[3:],
    )
    if chat:
        tokenizer.chat_template = CHAT
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


RECIPE = """
name = "sums"
targets = ["es", "fr", "pt", "it"]
translators = ["bergamot"]
identifiers = ["fasttext"]
encoder = "e5-small"
rules = []
[select]
test_share = 0.25
near_duplicates = "off"
"""


def lacks_some(concept, tag):
    """Whether a concept is there in a language: in Spanish always, in each of the others half of them are."""
    return tag == "es" or bool(concept >> LANGUAGES.index(tag) & 1)


def talks(rows):
    """The same pairs as conversations."""
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    return [
        row | {field: [{"role": role, "content": row[field].strip()}] for field, role in roles.items()}
        for row in rows
    ]


def build_set(folder, rows):
    """A set as `mldata build --aligned` makes it, without back-translation and rules."""
    source, recipe = folder / "rows.jsonl", folder / "recipe.toml"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    recipe.write_text(RECIPE, "utf-8")
    mldata.build(
        aligned=[str(source)],
        out=folder / "sums",
        recipe=str(recipe),
        workers=1,
        back_translation=False,
        calibration=False,
    )
    return folder / "sums"


@pytest.fixture(scope="session")
def sums_set(tmp_path_factory):
    """A set of strings: 43 concepts, 32 of them to train on, each in English, Spanish and some others."""
    return build_set(tmp_path_factory.mktemp("strings"), sums(43, kept=lacks_some))


@pytest.fixture(scope="session")
def talks_set(tmp_path_factory):
    """The same as conversations, and fewer of them."""
    return build_set(tmp_path_factory.mktemp("talks"), talks(sums(16, kept=lacks_some)))
