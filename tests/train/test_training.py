"""The command line trains, stops, goes on and explains itself: real processes, a real set, a tiny model."""

import itertools
import json
import shutil
import subprocess
import sys

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mldata_train.figures import read_evaluation
from mldata_train.training import language_weights
from tests.conftest import bytes_of, environment
from tests.train import by_hand
from tests.train.commands import one_sentence, run, start
from tests.train.conftest import CHAT, make_tiny_model

RATE = 0.05
DESCENT = tuple(
    part
    for setting in (
        "optim=sgd",
        f"learning_rate={RATE}",
        "lr_scheduler_type=constant",
        "max_grad_norm=0",
        "warmup_steps=0",
    )
    for part in ("--set", setting)
)
LONG = ("--set", "num_train_epochs=4", "--set", "save_steps=9", "--set", "learning_rate=1e-3")
"""Four epochs, a checkpoint in the midst of each."""


def with_(*settings):
    return tuple(part for setting in settings for part in ("--set", setting))


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_bytes(first, second):
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def record(out):
    return by_hand.read_record(out / "batches")


def steps_of(out):
    """What each step learnt from: step -> its rows, sorted."""
    found = {}
    for line in itertools.chain(*record(out)):
        found.setdefault(line["step"], []).extend(by_hand.rows_of(line))
    return {step: sorted(rows) for step, rows in sorted(found.items())}


def rows_on_disk(data, split="train"):
    return pl.read_ipc(list(data.glob(f"data/{split}-*.arrow")))


def languages_of(out):
    return {tag for rows in steps_of(out).values() for _, tag in rows}


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A directory for runs that several tests look at."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def basics(sums_set, tiny_model):
    return ("--data", sums_set, "--model", tiny_model)


@pytest.fixture(scope="session")
def trained(basics, place):
    """A run of DPO that nothing disturbed: its directory and what it printed. Read it, never write to it."""
    done = run("dpo", *basics, *LONG, "--out", place / "trained", cwd=place)
    assert done.code == 0, done.err
    return place / "trained", done


@pytest.fixture
def train(basics, tmp_path):
    """Run a command on the set and the model; gives the directory it wrote and how it ended."""
    numbers = itertools.count()

    def made(method, *options, out=None, data=None, model=None, processes=1, fails=False):
        out = out or tmp_path / f"run-{next(numbers)}"
        given = ("--data", data or basics[1], "--model", model or basics[3])
        done = run(method, *given, *options, "--out", out, cwd=tmp_path, processes=processes)
        assert fails or done.code == 0, done.err
        return out, done

    return made


def test_a_run_says_what_it_does_and_leaves_what_it_says(trained, sums_set):
    out, done = trained
    facts = json.loads((out / "run.json").read_text("utf-8"))
    plan, batches, result, following = done.out.splitlines()
    assert plan.startswith(f"{sums_set} · {facts['rows']} rows in 5 languages · DPO, full fine-tuning of")
    assert f"{facts['steps_an_epoch']} steps and {facts['rows_an_epoch']} rows an epoch" in batches
    assert f"{facts['steps']} steps" in result
    assert following == f"next: mldata-train evaluate --data {sums_set} --model {out}"
    assert all(line.startswith("step ") for line in done.err.splitlines())
    assert facts["finished"]
    assert facts["steps"] == 4 * facts["steps_an_epoch"] == facts["max_steps"]
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "batches",
        "checkpoint-100",
        "checkpoint-99",
        "model",
        "run.json",
    ]


def test_the_rows_written_down_are_those_of_the_set_each_concept_whole_and_once_an_epoch(trained, sums_set):
    (lines,) = record(trained[0])
    train = rows_on_disk(sums_set)
    whole = dict(train.group_by("concept_id").agg("language").iter_rows())
    for epoch in range(4):
        its = [line for line in lines if line["epoch"] == epoch]
        concepts = [concept for line in its for concept in line["concepts"]]
        assert sorted(concepts) == sorted(whole)
        assert all(
            line["concepts"][concept] == whole[concept] for line in its for concept in line["concepts"]
        )
    facts = json.loads((trained[0] / "run.json").read_text("utf-8"))
    assert sum(line["tokens"] for line in lines) == facts["tokens"]


def test_the_mean_loss_and_padding_are_those_of_all_steps(train):
    out, _ = train("orpo", *with_("max_steps=13", "logging_steps=1"))
    again, _ = train("orpo", *with_("max_steps=13", "logging_steps=5"))
    found = [json.loads((one / "run.json").read_text("utf-8")) for one in (out, again)]
    for name in ("loss", "padding"):
        assert found[1][name] == pytest.approx(found[0][name], rel=1e-4)
    (lines,) = record(out)
    assert found[0]["padding"] == pytest.approx(sum(line["padding"] for line in lines) / 13, abs=1e-4)


def test_a_finished_run_is_not_trained_again_and_another_is_never_written_over_it(train, trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    before = bytes_of(out)
    _, again = train("dpo", *LONG, out=out)
    assert "next: mldata-train evaluate" in again.out
    train("dpo", *LONG, "--set", "logging_steps=3", out=out)  # decides no weight
    _, refused = train("dpo", *LONG, "--set", "beta=0.2", out=out, fails=True)
    one_sentence(refused, 2, r"holds another run \(different: settings\)", "--overwrite to replace it")
    _, refused = train("orpo", *LONG, "--without", "fr", out=out, fails=True)
    one_sentence(refused, 2, r"different: method, without")
    assert bytes_of(out) == before
    train("dpo", "--tokens", "400", "--overwrite", out=out)
    assert not (out / "checkpoint-99").exists()


def test_what_is_no_run_is_never_written_over(train, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("Once upon a time", "utf-8")
    for more in ((), ("--overwrite",)):
        _, refused = train("dpo", *more, out=tmp_path / "thesis", fails=True)
        one_sentence(refused, 2, "thesis exists and is no training run: choose another --out")
    _, refused = train("dpo", out=tmp_path / "thesis" / "chapter.txt", fails=True)
    one_sentence(refused, 2, "chapter.txt")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{", "utf-8")
    _, refused = train("dpo", out=tmp_path / "broken", fails=True)
    one_sentence(refused, 2, "run.json is damaged: --overwrite begins anew")


def lines_of(out, process=0):
    path = out / "batches" / f"process-{process:05}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_that_is_killed_goes_on_to_the_weights_and_batches_of_one_that_was_not(
    basics, trained, tmp_path
):
    out, command = tmp_path / "killed", ("dpo", *basics, *LONG, "--out", tmp_path / "killed")
    whole = trained[0]
    # in the midst of the second epoch, of 25 steps; in that of the third, while a checkpoint is written
    start(*command, cwd=tmp_path).kill_when(lambda: lines_of(out) >= 33)
    start(*command, cwd=tmp_path).kill_when(
        lambda: (out / "checkpoint-54").exists() and (out / ".saving").exists()
    )
    done = run(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"goes on from {out}/checkpoint-" in done.out
    same_bytes(out / "model", whole / "model")
    assert record(out) == record(whole)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
    facts = [json.loads((one / "run.json").read_text("utf-8")) for one in (out, whole)]
    assert facts[0]["loss"] == facts[1]["loss"]
    assert facts[0]["tokens"] == facts[1]["tokens"]


def test_half_a_checkpoint_is_not_gone_on_from(basics, trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained[0], out)
    before, last = out / "checkpoint-99", out / "checkpoint-100"
    (last / "trainer_state.json").unlink()
    shutil.copytree(last, out / ".saving" / "checkpoint-200")
    facts = json.loads((out / "run.json").read_text("utf-8"))
    (out / "run.json").write_text(json.dumps({"decided_by": facts["decided_by"]}), "utf-8")
    done = run("dpo", *basics, *LONG, "--out", out, cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"goes on from {before}\n" in done.out
    same_bytes(out / "model", trained[0] / "model")
    assert not (out / ".saving").exists()
    assert (last / "trainer_state.json").exists()


EVEN = ("--without", "fr,pt,it")
"""Leaves 32 concepts, each in English and Spanish."""


def test_two_processes_train_the_weights_of_one_that_sees_the_same_rows_in_each_step(train, sums_set):
    two, _ = train("dpo", *EVEN, *DESCENT, *with_("per_device_train_batch_size=2"), processes=2)
    one, _ = train("dpo", *EVEN, *DESCENT, *with_("per_device_train_batch_size=4"))
    assert len(record(two)) == 2
    assert all(len(line["concepts"]) == 1 for lines in record(two) for line in lines)
    assert steps_of(two) == steps_of(one)
    close(two / "model", one / "model")


def test_a_concept_spread_over_processes_and_accumulation_trains_as_in_one_batch(train):
    spread = with_("per_device_train_batch_size=1", "gradient_accumulation_steps=2")
    two, _ = train("dpo", *EVEN, *DESCENT, *spread, "--align", "step", processes=2)
    one, _ = train("dpo", *EVEN, *DESCENT, *with_("per_device_train_batch_size=4"))
    assert all(len(by_hand.rows_of(line)) == 1 for lines in record(two) for line in lines)
    assert steps_of(two) == steps_of(one)
    close(two / "model", one / "model")


def close(first, second, share=1e-5):
    """The weights are equal, but for a share of the largest."""
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], atol=share, rtol=share, msg=name)


def test_orpo_on_two_processes_is_the_mean_of_their_losses(train, tiny_model, sums_set):
    """Its likelihood term is a mean over a batch's tokens: not that over both processes' tokens."""
    from transformers import AutoTokenizer

    from mldata_train.models import load_model
    from mldata_train.sets import open_preferences
    from mldata_train.trainers import BatchAlignedORPOTrainer, ORPOConfig

    out, _ = train("orpo", *DESCENT, *with_("per_device_train_batch_size=5", "max_steps=6"), processes=2)
    quiet = {
        "use_cpu": True,
        "activation_checkpointing": False,
        "bf16": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    rows = BatchAlignedORPOTrainer(
        model=load_model(str(tiny_model)),
        args=ORPOConfig(output_dir=str(out), per_device_train_batch_size=5, **quiet),
        train_dataset=open_preferences(str(sums_set)).rows("train"),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    ).train_dataset
    again = by_hand.descend(load_model(str(tiny_model)), rows, record(out), by_hand.orpo, RATE)
    theirs = again.state_dict()
    for name, weight in weights(out / "model").items():
        torch.testing.assert_close(weight, theirs[name], atol=1e-5, rtol=1e-5, msg=name)


def test_two_processes_that_are_killed_go_on_to_the_weights_and_batches_of_two_that_were_not(
    basics, tmp_path
):
    command = ("dpo", *basics, *LONG, *with_("num_train_epochs=3", "save_steps=7"))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    done = run(*command, "--out", whole, cwd=tmp_path, processes=2)
    assert done.code == 0, done.err
    a_epoch = json.loads((whole / "run.json").read_text("utf-8"))["steps_an_epoch"]
    start(*command, "--out", out, cwd=tmp_path, processes=2).kill_when(
        lambda: min(lines_of(out), lines_of(out, 1)) >= 2 * a_epoch - 1
    )
    done = run(*command, "--out", out, cwd=tmp_path, processes=2)
    assert done.code == 0, done.err
    went_on = int(done.out.split("checkpoint-")[1].split()[0])
    assert went_on > a_epoch
    assert went_on % a_epoch  # in the midst of an epoch after the first
    same_bytes(out / "model", whole / "model")
    assert record(out) == record(whole)
    epochs = [[line["step"] for line in lines] for lines in record(out)]
    assert epochs == [list(range(1, 3 * a_epoch + 1))] * 2


def table(data):
    """The files of reference log-probabilities beside a set: name -> (when written, rows)."""
    folder = data.with_name(f"{data.name}.logprobs")
    return {path.name: (path.stat().st_mtime_ns, len(pl.read_ipc(path))) for path in folder.glob("*.arrow")}


@pytest.fixture
def own_set(sums_set, tmp_path):
    """A copy of the set, without what lies beside it."""
    shutil.copytree(sums_set, tmp_path / "own" / "sums")
    return tmp_path / "own" / "sums"


def test_reference_log_probabilities_are_computed_once_for_runs_and_evaluations(
    train, own_set, tiny_model, tmp_path
):
    few = with_("max_steps=2")
    train("dpo", *few, "--without", "fr", data=own_set)
    (first,) = table(own_set).items()
    train("dpo", *few, "--without", "fr", "--set", "learning_rate=1e-3", data=own_set)
    assert dict([first]) == table(own_set)
    train("dpo", data=own_set)  # a language more, and all of an epoch
    (second,) = table(own_set).items()
    assert second[0] == first[0]
    assert second[1][1] == 103 > first[1][1]
    train("dpo", "--lora", "--set", "seed=1", "--without", "fr,pt", data=own_set)
    evaluate = ("evaluate", "--data", own_set, "--model", tiny_model, "--split", "train", "--out", tmp_path)
    assert run(*evaluate, cwd=tmp_path).code == 0
    assert dict([second]) == table(own_set)
    train("dpo", *few, *with_("max_length=64"), data=own_set)
    train("dpo", *few, data=own_set, model=make_tiny_model(tmp_path / "other", seed=1))
    assert len(table(own_set)) == 3
    assert table(own_set)[second[0]] == second[1]
    (own_set.with_name("sums.logprobs") / second[0]).write_bytes(b"ARROW1 and then nothing")
    out, _ = train("dpo", data=own_set)
    assert table(own_set)[second[0]][1] == 103
    same_bytes(out / "model", train("dpo")[0] / "model")


def test_another_chat_template_makes_another_table(train, talks_set, tmp_path):
    shutil.copytree(talks_set, tmp_path / "own" / "sums")
    own = tmp_path / "own" / "sums"
    bare = make_tiny_model(tmp_path / "bare", chat=False)
    _, refused = train("dpo", data=own, model=bare, fails=True)
    one_sentence(refused, 2, "has no chat template: give one with --chat-template FILE")
    for number, text in enumerate((CHAT, CHAT.replace("<eos> ", ""))):
        (tmp_path / "chat.jinja").write_text(text, "utf-8")
        train("dpo", *with_("max_steps=2"), "--chat-template", tmp_path / "chat.jinja", data=own, model=bare)
        assert len(table(own)) == number + 1


def test_another_anchor_leaves_out_the_concepts_that_lack_it_and_counts_them(train, sums_set):
    rows = rows_on_disk(sums_set)
    french = set(rows.filter(language="fr")["concept_id"])
    out, done = train("dpo", "--anchor", "fr")
    lacking = rows["concept_id"].n_unique() - len(french)
    assert f"left out: {lacking} concepts whose anchor isn't there" in done.out
    (lines,) = record(out)
    assert {concept for line in lines for concept in line["concepts"]} == french
    assert all(tags[0] == "fr" for line in lines for tags in line["concepts"].values())
    assert "en" in languages_of(out)


def test_languages_are_left_out_as_asked(train):
    out, _ = train("dpo", "--no-anchor")
    assert languages_of(out) == {"es", "fr", "pt", "it"}
    out, _ = train("orpo", "--without", "es,fr")
    assert languages_of(out) == {"en", "pt", "it"}
    out, _ = train("dpo", "--batching", "anchor-only")
    assert languages_of(out) == {"en"}


def test_a_group_size_and_a_budget_of_tokens_hold(train):
    out, done = train("dpo", "--group-size", "3", "--tokens", "1500")
    assert "rows wait for their turn in another epoch" in done.out
    (lines,) = record(out)
    assert max(len(tags) for line in lines for tags in line["concepts"].values()) == 3
    spent = sum(line["tokens"] for line in lines)
    assert 1500 - max(line["tokens"] for line in lines) < spent <= 1500


def test_languages_are_drawn_by_the_gaps_of_an_evaluation(train, basics, tmp_path):
    command = ("evaluate", *basics, "--split", "train", "--out", tmp_path)
    assert run(*command, cwd=tmp_path).code == 0
    file = tmp_path / "evaluation.json"
    found = read_evaluation(file)
    measured = {one.language: one.paired_gap.value / 100 for one in found.languages if one.paired_gap}
    group = ("--group-size", "2", "--sample-by", "gap")
    out, _ = train("dpo", *group, *with_("max_steps=2"), "--gaps", file)
    assert json.loads((out / "run.json").read_text("utf-8"))["weights"] == language_weights(measured)
    out, _ = train("dpo", *group, *with_("max_steps=2"))  # measured on the same concepts
    assert json.loads((out / "run.json").read_text("utf-8"))["weights"] == language_weights(measured)
    text = json.loads(file.read_text("utf-8"))
    for one in text["languages"]:
        if one["paired_gap"]:
            one["paired_gap"]["value"] = 60.0 if one["language"] == "it" else 0.0
    file.write_text(json.dumps(text), "utf-8")
    out, _ = train("dpo", *group, *with_("num_train_epochs=6"), "--gaps", file)
    (lines,) = record(out)
    italian = [tags for line in lines for tags in line["concepts"].values()]
    assert all(len(tags) == 2 and tags[0] == "en" for tags in italian)
    possible = set(rows_on_disk(basics[1]).filter(language="it")["concept_id"])
    drawn = [tags[1] for line in lines for concept, tags in line["concepts"].items() if concept in possible]
    assert drawn.count("it") > 0.85 * len(drawn)
    _, refused = train("dpo", "--sample-by", "gap", fails=True)
    one_sentence(refused, 2, "nothing to choose: set --group-size")
    _, refused = train("dpo", "--group-size", "2", "--gaps", file, fails=True)
    one_sentence(refused, 2, "--gaps says how --sample-by gap draws languages: give both")


def test_an_adapter_is_trained_evaluated_and_merged_to_the_same_scores(
    train, basics, sums_set, tiny_model, tmp_path
):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from mldata_train.models import load_model

    config = tmp_path / "adapter.toml"
    config.write_text("[training]\nlearning_rate = 0.01\n[lora]\nr = 4\n", "utf-8")
    out, done = train("dpo", "--config", config)
    assert "DPO, LoRA of" in done.out
    assert (out / "model" / "adapter_model.safetensors").exists()
    assert not (out / "model" / "model.safetensors").exists()
    assert json.loads((out / "model" / "adapter_config.json").read_text("utf-8"))["r"] == 4
    evaluated = run("evaluate", "--data", sums_set, "--model", out, cwd=tmp_path)
    assert evaluated.code == 0, evaluated.err
    after, before = (read_evaluation(out / f"evaluation{name}.json") for name in ("", "-before"))
    assert after.languages != before.languages
    merged = load_model(str(out / "model"))
    apart = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), out / "model").eval()
    ids = torch.arange(6, 30)[None]
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, apart(ids).logits, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(merged(ids).logits, load_model(str(tiny_model))(ids).logits, atol=1e-3)


def test_an_evaluation_of_a_run_shows_before_and_after_and_learns(trained, sums_set, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    done = run("evaluate", "--data", sums_set, "--model", tmp_path / "run", cwd=tmp_path)
    assert done.code == 0, done.err
    assert not done.err
    assert done.out.splitlines()[-1] == f"{tmp_path}/run/evaluation.json  {tmp_path}/run/evaluation.svg"
    after, before, reward = (
        read_evaluation(tmp_path / "run" / f"evaluation{name}.json") for name in ("", "-before", "-reward")
    )
    assert after.concepts == 11
    assert [one.language for one in after.languages] == ["en", "es", "fr", "pt", "it"]
    assert reward.anchor_accuracy.value == 100
    assert after.others.accuracy.value > before.others.accuracy.value


def test_a_run_that_is_not_finished_is_not_evaluated(trained, sums_set, tmp_path):
    (tmp_path / "run").mkdir()
    facts = json.loads((trained[0] / "run.json").read_text("utf-8"))
    del facts["finished"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts), "utf-8")
    refused = run("evaluate", "--data", sums_set, "--model", tmp_path / "run", cwd=tmp_path)
    one_sentence(refused, 2, "isn't finished: run its command again")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--data", "nowhere"), "nowhere is no set"),
        (("--model", "./nowhere"), r"the model \./nowhere can't be loaded: no file or directory is there"),
        (("--model", "nobody/nothing"), "nobody/nothing can't be loaded"),
        (("--set", "learning_rat=1"), r"learning_rat is no field of DPOConfig; did you mean learning_rate\?"),
        (("--set", "learning_rate=fast"), "learning_rate can't be 'fast': its type is float"),
        (("--set", "num_train_epochs=true"), "num_train_epochs can't be True"),
        (("--set", "gradient_accumulation_steps=0"), "gradient_accumulation_steps can't be 0"),
        (("--set", "trust_remote_code=true"), "never run here"),
        (("--set", "beta"), "it must be key=value"),
        (("--set", "max_length=2"), r"no prompt is shorter than max_length \(2 tokens\)"),
        (("--set", "per_device_train_batch_size=1"), "a batch of 1 row can't hold the anchor and another"),
        (("--set", "gradient_accumulation_steps=900", "--align", "step"), "can't be dealt evenly to"),
        (("--set", "report_to=wandb"), "pip install wandb"),
        (("--anchor", "de"), "has no language de; it has en es fr pt it"),
        (("--without", "es,de"), "has no language de"),
        (("--without", "en"), "no row is in the anchor language en"),
        (("--consistency", "1", "--no-anchor"), "--no-anchor leaves it out"),
        (("--config", "nowhere.toml"), "nowhere.toml can't be read"),
        (("--chat-template", "nowhere.jinja"), "nowhere.jinja"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_used_is_one_sentence(basics, tmp_path, options, says):
    out = ("--out", tmp_path / "run")
    one_sentence(run("dpo", *basics, *options, *out, cwd=tmp_path, NO_WANDB="1"), 2, says)


def test_a_damaged_set_is_refused_as_damaged(train, own_set):
    shard = next(own_set.glob("data/train-*.arrow"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    _, refused = train("dpo", data=own_set, fails=True)
    one_sentence(refused, 1, "is damaged: .*isn't what was written")


def test_a_model_with_pickled_weights_is_refused(train, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "pickled")
    torch.save(weights(tiny_model), tmp_path / "pickled" / "pytorch_model.bin")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    _, refused = train("dpo", model=tmp_path / "pickled", fails=True)
    one_sentence(refused, 2, "pickled can't be loaded: .*safetensors")


def test_weights_that_run_away_stop_the_run_and_leave_the_last_good_checkpoint(
    train, tiny_model, sums_set, tmp_path
):
    out, stopped = train("orpo", *with_("learning_rate=1e45", "save_steps=1"), fails=True)  # warms up from 0
    line = stopped.err.splitlines()[-1]
    assert stopped.code == 3
    assert (
        f"isn't finite after step 2: lower the learning rate; the last good checkpoint is {out}/checkpoint-1"
        in line
    )
    assert not (out / ".saving").exists()
    close(out / "checkpoint-1", tiny_model)
    done = run("evaluate", "--data", sums_set, "--model", out / "checkpoint-1", cwd=tmp_path)
    assert done.code == 0, done.err
    _, stopped = train("dpo", *with_("learning_rate=1e20"), fails=True)
    assert stopped.code == 3
    assert "the loss is nan at step 3" in stopped.err
    assert stopped.err.endswith("there was no checkpoint yet\n")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on_when_there_is_room(
    basics, trained, small_disk, tmp_path
):
    out, command = small_disk / "run", ("dpo", *basics, *LONG, "--out", small_disk / "run")
    (small_disk / "film").write_bytes(bytes(1_200_000))
    stopped = run(*command, cwd=tmp_path)
    assert stopped.code == 3
    line = stopped.err.splitlines()[-1]
    assert "couldn't be written" in line
    assert "free some space and run the same command again" in line
    assert "Traceback" not in stopped.err
    kept = max(int(path.name.split("-")[1]) for path in out.glob("checkpoint-*"))
    assert f"the last good checkpoint is {out}/checkpoint-{kept}" in line
    assert not (out / ".saving").exists()
    (small_disk / "film").unlink()
    done = run(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"goes on from {out}/checkpoint-{kept}\n" in done.out
    same_bytes(out / "model", trained[0] / "model")
    assert record(out) == record(trained[0])


@pytest.fixture(scope="session")
def compared(basics, place):
    """A comparison that nothing disturbed."""
    command = ("compare", *basics, *COMPARED, "--out", place / "compared")
    done = run(*command, cwd=place)
    assert done.code == 0, done.err
    return place / "compared", done


COMPARED = (
    *("--arms", "aligned,anchor-only", "--seeds", "2", "--unseen", "it", "--tokens", "900"),
    *with_("learning_rate=1e-3", "logging_steps=100"),
)


def comparison(out):
    return json.loads((out / "comparison.json").read_text("utf-8"))


def test_a_comparison_has_a_table_figures_and_a_plot_on_one_budget(compared):
    out, done = compared
    found = comparison(out)
    assert list(found["arms"]) == ["aligned", "anchor-only"]
    assert list(found["against"]) == ["anchor-only"]
    assert [
        line.split(":")[0] for line in done.err.splitlines() if line.startswith(("aligned", "anchor-only"))
    ] == [
        "aligned, seed 0",
        "anchor-only, seed 0",
        "aligned, seed 1",
        "anchor-only, seed 1",
    ]
    text = (out / "comparison.md").read_text("utf-8")
    for name in ("before", "aligned", "anchor-only", "aligned − anchor-only"):
        assert f"| {name} |" in text
    assert (out / "comparison.svg").read_text("utf-8").count("<svg") == 1
    assert "aligned − anchor-only" in done.out
    for arm, seed in itertools.product(("aligned", "anchor-only"), (0, 1)):
        place = out / arm / f"seed-{seed}"
        assert not (place / "model").exists()
        (lines,) = record(place)
        spent = sum(line["tokens"] for line in lines)
        assert 900 - 2 * max(line["tokens"] for line in lines) < spent <= 900
        assert languages_of(place) == ({"en", "es", "fr", "pt"} if arm == "aligned" else {"en"})
    assert record(out / "aligned" / "seed-0") != record(out / "aligned" / "seed-1")
    assert [one["language"] for one in found["base"]["languages"] if one["unseen"]] == ["it"]


def test_a_comparison_that_is_killed_goes_on_to_the_same_figures(basics, compared, tmp_path):
    out, command = tmp_path / "killed", ("compare", *basics, *COMPARED, "--out", tmp_path / "killed")
    start(*command, cwd=tmp_path).kill_when(lambda: lines_of(out / "anchor-only" / "seed-0") >= 2)
    first = out / "aligned" / "seed-0" / "run.json"
    before = first.stat().st_mtime_ns
    done = run(*command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert first.stat().st_mtime_ns == before
    assert comparison(out) == comparison(compared[0])
    assert (
        bytes_of(out, "run.json", "comparison.svg").keys()
        == bytes_of(compared[0], "run.json", "comparison.svg").keys()
    )


def test_a_comparison_is_not_mixed_with_another_or_with_other_files(basics, compared, tmp_path):
    out = ("--out", compared[0])
    before = bytes_of(compared[0])
    refused = run("compare", *basics, *COMPARED, "--concepts", "3", *out, cwd=tmp_path)
    one_sentence(refused, 2, r"holds another comparison \(different: concepts\)")
    refused = run("compare", *basics, *COMPARED, "--tokens", "1000", *out, cwd=tmp_path)
    one_sentence(refused, 2, r"different: tokens")
    assert bytes_of(compared[0]) == before
    (tmp_path / "letter.txt").write_text("Dear Sir or Madam", "utf-8")
    refused = run("compare", *basics, *COMPARED, "--out", tmp_path, cwd=tmp_path)
    one_sentence(refused, 2, "exists and is no comparison")
    refused = run("compare", *basics, "--arms", "aligned,random", "--out", tmp_path / "new", cwd=tmp_path)
    one_sentence(refused, 2, "--arms random: choose among aligned shuffled")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_torchrun_starts_the_command_on_two_processes(basics, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "mldata_train"),
            *("dpo", *map(str, basics), "--out", "run", "--set", "use_cpu=true", "--set", "max_steps=3"),
        ],
        cwd=tmp_path,
        env=environment(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert [len(lines) for lines in record(tmp_path / "run")] == [3, 3]
    warned = [line for line in done.stderr.splitlines() if "Warning" in line]
    assert all("find_unused_parameters" in line for line in warned)  # slower, and safe for any model
