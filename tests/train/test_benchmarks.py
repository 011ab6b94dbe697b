"""Benchmarks by language: scoring is lm-eval's, gaps are the paper's, and no text or name runs code."""

import copy
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("lm_eval", reason="pip install 'mldata[train,benchmarks]'")

import datasets
import evaluate
import huggingface_hub
import numpy as np
import torch
from datasets.naming import camelcase_to_snakecase
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mldata.errors import EngineError, InputError
from mldata.languages import canonical
from mldata_train import benchmarks
from mldata_train.benchmarks import FAMILIES, TaskResults, gap, run_tasks
from mldata_train.questions import read_questions

QUESTIONS = [
    {
        "language": "en",
        "question": "Which animal gives us wool?",
        "choices": ["the sheep", "the hen that lays an egg every morning", "a fish"],
    },
    {
        "language": "es",
        "question": "¿Qué animal nos da lana?",
        "choices": ["la oveja", "la gallina que pone un huevo cada mañana", "un pez"],
    },
    {
        "language": "gl",
        "question": "Que animal nos dá la?",
        "choices": ["a ovella", "a galiña que pon un ovo cada mañá", "un peixe"],
    },
]


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level BPE tokenizer made of the questions."""
    made = ByteLevelBPETokenizer()
    texts = [text for row in QUESTIONS for text in (row["question"], *row["choices"])]
    made.train_from_iterator(texts, vocab_size=320, special_tokens=["<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module")
def model(tokenizer):
    """A tiny Llama with large random weights, so that its answers differ clearly in probability."""
    torch.set_num_threads(1)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=384,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config).train()


def log_probability(model, tokenizer, question, choice):
    """Of the choice after the question and a blank, in nats, by hand."""
    context = tokenizer(question)["input_ids"]
    whole = tokenizer(f"{question} {choice}")["input_ids"]
    assert whole[: len(context)] == context
    evaluated = copy.deepcopy(model).eval()
    with torch.no_grad():
        logits = evaluated(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return sum(logits[at - 1, whole[at]].item() for at in range(len(context), len(whole)))


def best(scores):
    return max(range(len(scores)), key=scores.__getitem__)


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return str(path)


def values(results, family, metric):
    return {tag: of.scores[metric].value for tag, of in results.families[family].languages.items()}


def test_answers_are_those_with_the_highest_log_probability(model, tokenizer, tmp_path):
    summed, by_length = [], []
    for row in QUESTIONS:
        scores = [log_probability(model, tokenizer, row["question"], choice) for choice in row["choices"]]
        summed.append(best(scores))
        by_length.append(
            best([score / len(choice) for score, choice in zip(scores, row["choices"], strict=True)])
        )
    assert summed != by_length, "these questions don't tell acc from acc_norm"
    for right, metric in ((summed, "acc"), (by_length, "acc_norm")):
        rows = [{**row, "answer": answer} for row, answer in zip(QUESTIONS, right, strict=True)]
        wrong = [{**row, "answer": (row["answer"] + 1) % 3} for row in rows]
        for name, questions, expected in (("right", rows, 1.0), ("wrong", wrong, 0.0)):
            file = write(tmp_path / f"{name}.jsonl", questions)
            results = run_tasks(model, tokenizer, [file], languages=None)
            assert values(results, file, metric) == dict.fromkeys(("en", "es", "gl"), expected)


def test_the_gap_is_the_anchors_accuracy_minus_the_mean_of_the_other_languages(model, tokenizer, tmp_path):
    def row(of, share, number):
        """A question that is answered rightly in `share` of 4."""
        scores = [log_probability(model, tokenizer, of["question"], choice) for choice in of["choices"]]
        return {**of, "answer": (best(scores) + (number >= share)) % 3, "id": number}

    shares = {"en": 4, "es": 2, "gl": 1}
    rows = [row(of, shares[of["language"]], number) for of in QUESTIONS for number in range(4)]
    rows += [row(QUESTIONS[2], 1, number) for number in range(4, 8)]  # more questions don't weigh more
    file = write(tmp_path / "animals.jsonl", rows)
    results = run_tasks(model, tokenizer, [file], languages=None)
    family = results.families[file]
    assert values(results, file, "acc") == {"en": 1.0, "es": 0.5, "gl": 0.125}
    assert {tag: of.scores["acc"].n for tag, of in family.languages.items()} == {"en": 4, "es": 4, "gl": 8}
    assert family.gaps["acc"] == pytest.approx(1.0 - (0.5 + 0.125) / 2)
    # The standard error of a mean of 0, 0, 1, 1.
    assert family.languages["es"].scores["acc"].stderr == pytest.approx(math.sqrt(1 / 3 / 4))
    assert TaskResults.model_validate_json(results.model_dump_json()) == results
    assert f"| {file} | gap to en | acc | +0.688 |  |" in results.markdown().splitlines()
    assert results.table().row_count == len(results.markdown().splitlines()) - 2

    fewer = run_tasks(model, tokenizer, [file], languages=["es-MX", "fr"], anchor="gl", limit=2)
    assert list(fewer.families[file].languages) == ["gl", "es"]
    assert fewer.families[file].lacking == ["fr"]
    assert {of.scores["acc"].n for of in fewer.families[file].languages.values()} == {2}
    assert fewer.families[file].gaps["acc"] == pytest.approx(0.5 - 1.0)


@given(st.dictionaries(st.sampled_from(["en", "de", "sw", "zh"]), st.floats(0, 1), max_size=4))
def test_there_is_a_gap_only_between_an_anchor_and_others(shares):
    found = gap(shares, "en")
    if "en" not in shares or len(shares) < 2:
        assert found is None
    else:
        mean = math.fsum(value for tag, value in shares.items() if tag != "en") / (len(shares) - 1)
        assert found == pytest.approx(shares["en"] - mean)


def test_texts_reach_the_model_as_they_are(tmp_path):
    texts = [
        "What is {{ 7*7 }} in a template?",
        "{% for x in range(3) %}again{% endfor %} How often?",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "12345",
        "question",
        "2019-05-04",
        "[1, 2]",
        "  Two blanks before, a line\nbreak — and “quotes”, 你好  ",
    ]
    pairs = [["{{ 7*7 }}", "{# nothing #}"], ["1999-12-31", "2000-01-01"], ["0", "1"], ["['a', 'b']", "c"]]
    rows = [
        {"language": "en", "question": text, "choices": choices, "answer": 1}
        for text in texts
        for choices in pairs
    ]
    questions = read_questions(Path(write(tmp_path / "texts.jsonl", rows)))
    unit = benchmarks._Unit("texts", "en", "texts_en", None, tuple(questions["en"]))
    task = benchmarks._local(unit)["tasks"]["texts_en"]
    task.set_fewshot_seed(0)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    asked = [instance.args for instance in task.instances]
    assert asked == [(row["question"], f" {choice}") for row in rows for choice in row["choices"]]


GOOD = {"language": "es", "question": "¿Qué da lana?", "choices": ["la oveja", "un pez"], "answer": 0}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not JSON", "Invalid JSON"),
        ("[1, 2]", "object"),
        ('{"language": "es", "question": "\\ud800"}', "Invalid JSON"),
        (json.dumps({**GOOD, "choices": []}), "choices"),
        (json.dumps({key: value for key, value in GOOD.items() if key != "choices"}), "choices"),
        (json.dumps({**GOOD, "choices": ["la oveja"]}), "choices"),
        (json.dumps({**GOOD, "choices": ["la oveja", ""]}), "blank"),
        (json.dumps({**GOOD, "choices": ["la oveja", "la oveja"]}), "the same"),
        (json.dumps({**GOOD, "choices": "la oveja"}), "choices"),
        (json.dumps({**GOOD, "answer": 2}), "numbered 0 to 1"),
        (json.dumps({**GOOD, "answer": -1}), "numbered 0 to 1"),
        (json.dumps({**GOOD, "answer": "0"}), "answer"),
        (json.dumps({**GOOD, "answer": True}), "answer"),
        (json.dumps({**GOOD, "question": " "}), "blank"),
        (json.dumps({**GOOD, "question": None}), "question"),
        (json.dumps({**GOOD, "language": "klingon"}), "BCP-47"),
        (json.dumps({**GOOD, "id": 1}), "already in es"),
        (b'{"language": "es", "question": "\xff"}', "Invalid JSON"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(line, reason, tmp_path):
    path = tmp_path / "questions.jsonl"
    raw = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(json.dumps({**GOOD, "id": 1}).encode() + b"\r\n\n" + raw + b"\n")
    with pytest.raises(InputError, match=reason) as error:
        run_tasks(None, None, [str(path)], languages=None)
    assert str(error.value).startswith(f"{path}, line 3: ")
    assert error.value.exit_code == 2


@pytest.mark.parametrize("content", [None, b"", b"\n \n"])
def test_a_file_without_questions_is_refused(content, tmp_path):
    path = tmp_path / "none.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"none\.jsonl: "):
        run_tasks(None, None, [str(path)], languages=None)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"tasks": []}, "no tasks"),
        ({"limit": 0}, "limit is 0"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"languages": ["klingon"]}, "BCP-47"),
        ({"anchor": "xx-xx-xx"}, "BCP-47"),
        ({"languages": ["gl", "mt"]}, "lambada has none of gl mt; it has de en es fr it nl pt"),
        ({"tasks": ["mgsn"]}, "did you mean mgsm"),
    ],
)
def test_what_cant_be_run_is_refused(arguments, reason):
    with pytest.raises(InputError, match=reason):
        run_tasks(None, None, **{"tasks": ["lambada"], "languages": None, **arguments})


def test_without_lm_eval_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(InputError, match=r"pip install 'mldata\[train,benchmarks\]'"):
        run_tasks(None, None, ["xcopa"], languages=None)


@pytest.mark.parametrize(
    ("family", "tag", "task"),
    [(name, tag, task) for name, family in FAMILIES.items() for tag, task in family.tasks.items()],
)
def test_every_task_of_a_family_is_one_of_lm_evals_and_has_its_metric(family, tag, task):
    assert canonical(tag) == tag
    entry = benchmarks._registry().task_index[task]
    wanted = FAMILIES[family].metrics
    leaves = list(benchmarks._leaves(task))
    assert leaves
    for leaf in leaves:
        filters = [of["name"] for of in leaf.get("filter_list") or [{"name": "none"}]]
        given = {f"{of['metric']},{name}" for of in leaf["metric_list"] for name in filters}
        assert {metric if "," in metric else f"{metric},none" for metric in wanted} <= given
        # A dialect of the table ("pt-BR") may be in the data's name, another language not.
        name = str(leaf.get("dataset_name") or tag).split("_")[0].lower()
        assert name in (tag.split("-")[0], "default") or leaf["dataset_path"] == "cais/mmlu"
    if "group" in entry.cfg:
        assert set(wanted) <= {of["metric"] for of in entry.cfg["aggregate_metric_list"]}


def test_a_yaml_file_of_tasks_isnt_taken_as_it_would_run_the_python_it_names(tmp_path):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(doc): return ''\n")
    path = tmp_path / "task.yaml"
    path.write_text("task: evil\noutput_type: multiple_choice\ndoc_to_text: !function evil.f\n")
    with pytest.raises(InputError, match="no task that lm-eval has"):
        run_tasks(None, None, [str(path)], languages=None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("humaneval", "code that the model writes"),  # unsafe_code in its configuration
        ("polemo2_in", "code from the hub"),  # hf_evaluate in its configuration
        ("meqsum", '"meqsum" is scored by code from the hub'),  # Python of its own, which calls evaluate.load
    ],
)
def test_code_of_models_and_of_the_hub_isnt_run(task, reason, model, monkeypatch):
    unreachable(monkeypatch)
    monkeypatch.setattr(benchmarks, "_check_data", lambda units: None)  # the refusal comes with the data too
    with pytest.raises(InputError, match=reason):
        run_tasks(model, None, [task], languages=None)


def test_a_metric_that_is_code_on_the_hub_isnt_fetched():
    before = evaluate.load
    with benchmarks._no_code_from_the_hub() as refused:
        with pytest.raises(InputError, match="rouge"):
            evaluate.load("rouge")
        assert refused == ["rouge"]
    assert evaluate.load is before


def unreachable(monkeypatch):
    """No hub: a port of this machine where nothing listens."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


def test_missing_data_are_named_at_once_with_the_way_to_get_them(model, monkeypatch, tmp_path):
    unreachable(monkeypatch)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    benchmarks._registry()
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        run_tasks(model, None, ["xcopa", "mgsm"], languages=["et", "sw"])
    assert time.monotonic() - started < 5
    assert error.value.exit_code == 2
    said = str(error.value)
    assert "\n" not in said
    assert "the data of xcopa (et sw), mgsm (en sw) aren't on this machine" in said
    assert "load_dataset('cambridgeltl/xcopa', 'et')" in said
    assert "load_dataset('juletxara/mgsm', 'en')\"` (and 1 more)" in said
    assert (huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE) == (False, False)


XCOPA = [
    ("The man broke his toe.", "cause", "He got a hole in his sock.", "He dropped a hammer on it.", 1),
    ("I poured water on my sleeping friend.", "effect", "My friend woke up.", "My friend snored.", 0),
]


def prepared(cache, path, config, rows, splits):
    """Data as `datasets` leaves them in its cache after the hub was read: the same rows in each split."""
    namespace, _, short = path.partition("/")
    short = camelcase_to_snakecase(short)
    at = cache / f"{namespace}___{short}" / config / "0.0.0" / "0123456789abcdef"
    at.mkdir(parents=True)
    made = datasets.Dataset.from_list(rows)
    for split in splits:
        with datasets.arrow_writer.ArrowWriter(
            features=made.features, path=str(at / f"{short}-{split}.arrow")
        ) as writer:
            writer.write_table(made.data.table)
            writer.finalize()
    datasets.DatasetInfo(
        features=made.features,
        dataset_name=short,
        config_name=config,
        version="0.0.0",
        splits={split: {"name": split, "num_bytes": 1, "num_examples": len(rows)} for split in splits},
    ).write_to_directory(str(at))


def test_data_on_the_machine_are_enough(model, tokenizer, monkeypatch, tmp_path):
    unreachable(monkeypatch)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    names = ("premise", "question", "choice1", "choice2", "label")
    rows = [dict(zip(names, values, strict=True)) for values in XCOPA]
    mgsm = [{"question": "How many are 2 and 3?", "answer": None, "answer_number": 5}]
    for tag in ("et", "it"):
        prepared(tmp_path, "cambridgeltl/xcopa", tag, rows, ["validation", "test"])
    for tag in ("en", "es"):
        prepared(tmp_path, "juletxara/mgsm", tag, mgsm, ["train", "test"])
    before = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    results = run_tasks(model, tokenizer, ["xcopa", "mgsm", "xcopa_it"], languages=["et", "it", "es"])
    xcopa, mgsm, own = (results.families[name] for name in ("xcopa", "mgsm", "xcopa_it"))
    assert list(xcopa.languages) == ["et", "it"]
    assert (xcopa.anchor, xcopa.gaps, xcopa.lacking) == (None, {}, ["es"])
    assert list(mgsm.languages) == ["en", "es"]
    assert mgsm.gaps == {"exact_match,flexible-extract": 0.0}
    assert mgsm.languages["en"].scores["exact_match,flexible-extract"].n == 1
    assert list(own.languages) == ["und"]
    assert own.languages["und"].scores == xcopa.languages["it"].scores
    # Nothing of the caller's has changed.
    assert model.training
    assert tokenizer.pad_token is None
    after = random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    assert before == after

    short = copy.deepcopy(model)
    short.config.max_position_embeddings = 256  # MGSM's answers alone may be as long
    with pytest.raises(EngineError, match='lm-eval failed on "mgsm_direct_en"') as error:
        run_tasks(short, tokenizer, ["mgsm"], languages=["es"])
    assert "\n" not in str(error.value)
    assert short.training


def test_a_groups_score_is_that_of_all_its_subjects(model, tokenizer, monkeypatch, tmp_path):
    unreachable(monkeypatch)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    options = {f"option_{letter}": f"It is {letter}." for letter in "abcd"}
    subjects = [
        leaf["task"].removeprefix("global_mmlu_full_es_")
        for leaf in benchmarks._leaves("global_mmlu_full_es")
    ]
    assert len(subjects) == 57
    rows = [
        {"subject": subject, "question": f"What is {subject}?", **options, "answer": letter}
        for subject in subjects
        for letter in "ABCD"
    ]
    for tag in ("en", "es"):
        prepared(tmp_path, "CohereForAI/Global-MMLU", tag, rows, ["dev", "test"])
    family = run_tasks(model, tokenizer, ["global_mmlu"], languages=["es"]).families["global_mmlu"]
    # One of the four rows of each subject is right, whatever the model says.
    for language in family.languages.values():
        assert language.scores["acc"].value == pytest.approx(0.25)
        assert language.scores["acc"].n == 4 * 57
    assert family.gaps == {"acc": pytest.approx(0.0)}


def test_hf_hub_offline_is_heeded_and_ends_in_one_sentence(tmp_path):
    program = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
from mldata.errors import MldataError
from mldata_train.benchmarks import run_tasks

sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=1))
try:
    run_tasks(model, None, ["xcopa_et"], languages=None)
except MldataError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith("the data of xcopa_et aren't on this machine")
    assert done.stdout.count("\n") == 1
