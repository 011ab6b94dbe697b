"""A LaBSE-shaped sentence encoder and a quality estimator, trained in seconds on `phrases`.

Both are saved as their libraries save the real ones: safetensors, a tokenizer, modules.json.
"""

import random

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

from tests.models import phrases

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WIDTH = 64


def vocabulary():
    """The words of all languages, and letters, so that any other word is read by its letters."""
    words = {word for said in phrases.LEXICON.values() for word in said.values()}
    letters = sorted(set("".join(words)) | set("abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()-"))
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *sorted(words - set(letters))]
    return {piece: number for number, piece in enumerate(pieces)}


def tokenizer(limit):
    """Lower-case WordPiece."""
    return BertTokenizer(
        vocab=vocabulary(), do_lower_case=True, strip_accents=False, model_max_length=limit
    )


def configuration(**more):
    return BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=64,
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        **more,
    )


def train_encoder(folder, steps=300, batch=64, seed=1):
    """A model like LaBSE: BERT, the first token's vector, a dense layer with tanh, unit length."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    raw = folder.with_name(f"{folder.name}-bert")
    BertModel(configuration()).save_pretrained(raw)
    tokenizer(64).save_pretrained(raw)
    model = SentenceTransformer(
        modules=[Transformer(str(raw)), Pooling(WIDTH, "cls"), Dense(WIDTH, WIDTH), Normalize()], device="cpu"
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        said = [phrases.sentence(draw) for _ in range(batch)]
        sides = [[one["en"] for one in said], [one[draw.choice(("es", "pt"))] for one in said]]
        vectors = [
            model(dict(model.tokenizer(side, padding=True, return_tensors="pt")))["sentence_embedding"]
            for side in sides
        ]
        scores = 20 * vectors[0] @ vectors[1].T
        right = torch.arange(batch)
        loss = cross_entropy(scores, right) + cross_entropy(scores.T, right)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
