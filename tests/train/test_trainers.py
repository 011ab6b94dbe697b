"""What a step learns from: the rows of the plan, all with one weight, by TRL's loss and nothing else."""

import math

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOTrainer
from trl.experimental.orpo import ORPOTrainer

from mldata.errors import EngineError, InputError
from mldata_train.batches import Batching
from mldata_train.trainers import (
    BatchAlignedDPOTrainer,
    BatchAlignedORPOTrainer,
    DPOConfig,
    ORPOConfig,
    last_checkpoint,
    preference_kl,
)
from tests.train import by_hand
from tests.train.conftest import lacks_some, sums

TRAINERS = {"dpo": (BatchAlignedDPOTrainer, DPOConfig), "orpo": (BatchAlignedORPOTrainer, ORPOConfig)}
PLAIN = {"dpo": DPOTrainer, "orpo": ORPOTrainer}
TEXTS = ("prompt", "chosen", "rejected")
RATE = 0.1
DESCENT = {"optim": "sgd", "learning_rate": RATE, "lr_scheduler_type": "constant", "max_grad_norm": 0.0}


def config(kind, folder, **settings):
    """TRL's configuration, for a CPU and short runs."""
    chosen = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 5,
        "num_train_epochs": 1,
        "max_length": 64,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "seed": 3,
        **DESCENT,
    }
    return kind(**chosen | settings)


@pytest.fixture
def make(tiny_model, tmp_path):
    """A trainer on a fresh copy of the tiny model; its record goes to tmp_path / "batches"."""

    def made(method, rows, *, batching=None, consistency=0.0, plain=False, peft_config=None, **settings):
        kind, configured = TRAINERS[method]
        options = {}
        if not plain:
            options = {"batching": batching, "consistency": consistency, "record": tmp_path / "batches"}
        return (PLAIN[method] if plain else kind)(
            model=loaded(tiny_model),
            args=config(configured, tmp_path / "out", **settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(tiny_model),
            peft_config=peft_config,
            **options,
        )

    return made


def loaded(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def same_weights(first, second, before, share=1e-5):
    """Two models are the same, but for a share of the way that they have come from `before`."""
    way = (weights(first) - weights(before)).abs().max().item()
    assert way > 1e-3
    torch.testing.assert_close(weights(first), weights(second), atol=share * way, rtol=0)


@pytest.mark.parametrize("method", ["dpo", "orpo"])
@pytest.mark.parametrize(
    ("rows", "accumulation"), [(5, 1), (10, 1), (5, 4)], ids=["one concept", "two concepts", "accumulated"]
)
def test_a_step_is_one_down_the_mean_over_the_rows_that_are_written_down(
    make, tiny_model, tmp_path, method, rows, accumulation
):
    trainer = make(
        method,
        sums(10, kept=lacks_some),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=accumulation,
    )
    trainer.train()
    (lines,) = by_hand.read_record(tmp_path / "batches")
    if accumulation > 1:
        assert len({len(by_hand.rows_of(line)) for line in lines}) > 1  # micro-batches of unequal rows
        assert len(lines) % accumulation  # and a last step with fewer of them
    again = by_hand.descend(
        loaded(tiny_model), trainer.train_dataset, [lines], getattr(by_hand, method), RATE
    )
    same_weights(trainer.model, again, loaded(tiny_model))


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_with_one_concept_a_batch_losses_and_weights_are_those_of_trl(make, tmp_path, method):
    data = sums(6)
    ours = make(method, data)
    ours.train()
    (lines,) = by_hand.read_record(tmp_path / "batches")
    found = {(row["concept_id"], row["language"]): row for row in data}
    order = [{name: found[key][name] for name in TEXTS} for line in lines for key in by_hand.rows_of(line)]
    theirs = make(method, order, plain=True, train_sampling_strategy="sequential")
    theirs.train()
    losses = [[entry["loss"] for entry in one.state.log_history if "loss" in entry] for one in (ours, theirs)]
    assert losses[0] == losses[1]
    assert torch.equal(weights(ours.model), weights(theirs.model))


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_every_concept_comes_whole_and_once_an_epoch_as_planned(make, tmp_path, method):
    data = sums(20, kept=lacks_some)
    trainer = make(method, data, per_device_train_batch_size=7, num_train_epochs=3)
    trainer.train()
    (lines,) = by_hand.read_record(tmp_path / "batches")
    whole = {}
    for row in data:
        whole.setdefault(row["concept_id"], []).append(row["language"])
    orders = []
    for epoch in range(3):
        its = [line for line in lines if line["epoch"] == epoch]
        assert [line["concepts"] for line in its] == [
            {concept: whole[concept] for concept in dict.fromkeys(data[row]["concept_id"] for row in batch)}
            for batch in trainer.plan.epoch(epoch)
        ]
        seen = [concept for line in its for concept in line["concepts"]]
        assert len(set(seen)) == len(seen)
        assert len(seen) >= 19  # the tail of an epoch may not fill a batch
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    lengths = {
        (row["concept_id"], row["language"]): sum(
            len(row[f"{answer}_input_ids"])
            if method == "orpo"
            else len(row["prompt_ids"] + row[f"{answer}_ids"])
            for answer in ("chosen", "rejected")
        )
        for row in trainer.train_dataset
    }
    assert all(line["tokens"] == sum(map(lengths.get, by_hand.rows_of(line))) for line in lines)


def test_rows_that_do_not_fit_into_a_batch_take_turns_and_the_anchor_is_always_there(make, tmp_path):
    make("dpo", sums(6), per_device_train_batch_size=3, num_train_epochs=2).train()
    (lines,) = by_hand.read_record(tmp_path / "batches")
    assert {len(by_hand.rows_of(line)) for line in lines} == {3}
    turns = {}
    for line in lines:
        for concept, tags in line["concepts"].items():
            assert tags[0] == "en"
            turns.setdefault(concept, []).extend(tags[1:])
    assert all(sorted(tags) == ["es", "fr", "it", "pt"] for tags in turns.values())


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_workers_that_load_batches_change_nothing(make, tmp_path, method):
    records = []
    for workers in (0, 2):
        trainer = make(method, sums(6, kept=lacks_some), num_train_epochs=2, dataloader_num_workers=workers)
        trainer.train()
        records.append((by_hand.read_record(tmp_path / "batches"), weights(trainer.model)))
    assert records[0][0] == records[1][0]
    assert torch.equal(records[0][1], records[1][1])


def test_a_long_prompt_is_left_out_and_its_concept_goes_on_without_it(make, tmp_path):
    data = sums(4)
    data[2]["prompt"] = "How much is 1 plus 2 ? " * 20
    long = (data[2]["concept_id"], data[2]["language"])
    for method in ("dpo", "orpo"):
        trainer = make(method, data)
        trainer.train()
        (lines,) = by_hand.read_record(tmp_path / "batches")
        rows = [key for line in lines for key in by_hand.rows_of(line)]
        assert long not in rows
        assert len(rows) == 19
        assert all(entry["loss"] > 0 for entry in trainer.state.log_history if "loss" in entry)


def kl(p, q):
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_the_consistency_term_is_the_divergence_from_the_anchors_preference():
    margins = torch.tensor([1.0, -0.5, 2.0, 0.3, 4.0, 0.1])
    concepts, languages = ["a", "a", "a", "b", "c", "c"], ["en", "es", "fr", "es", "es", "en"]
    p = {margin: 1 / (1 + math.exp(-margin)) for margin in margins.tolist()}
    en, es, fr, _, es_c, en_c = p.values()
    wanted = (kl(en, es) + kl(en, fr) + kl(en_c, es_c)) / 3  # "b" has no anchor
    assert preference_kl(margins, concepts, languages, "en").item() == pytest.approx(wanted, rel=1e-5)


def test_the_consistency_term_pulls_the_others_and_leaves_the_anchor_alone():
    margins = torch.tensor([1.0, -0.5, 2.0, 0.3], requires_grad=True)
    preference_kl(margins, ["a", "a", "a", "b"], ["en", "es", "fr", "es"], "en").backward()
    english, spanish, french, alone = margins.grad.tolist()
    assert english == alone == 0
    assert spanish < 0 < french  # down the slope: Spanish up to the anchor's margin, French down to it


def test_the_consistency_term_is_nothing_where_all_agree_or_no_anchor_is_there():
    margins = torch.tensor([0.7, 0.7, -2.0, -2.0], requires_grad=True)
    agreeing = preference_kl(margins, ["a", "a", "b", "b"], ["en", "es", "en", "fr"], "en")
    assert agreeing.item() == pytest.approx(0, abs=1e-6)
    (slope,) = torch.autograd.grad(agreeing, margins)
    assert slope.abs().max() < 1e-6
    lonely = preference_kl(margins, ["a", "a", "b", "b"], ["es", "fr", "es", "fr"], "en")
    assert lonely.item() == 0
    lonely.backward()
    assert margins.grad.tolist() == [0, 0, 0, 0]


@given(st.lists(st.tuples(st.floats(-60, 60), st.floats(-60, 60)), min_size=1, max_size=6))
def test_the_consistency_term_is_finite_and_never_negative(pairs):
    margins = torch.tensor([margin for pair in pairs for margin in pair])
    concepts = [str(number) for number in range(len(pairs)) for _ in range(2)]
    term = preference_kl(margins, concepts, ["en", "es"] * len(pairs), "en").item()
    assert math.isfinite(term)
    assert term >= -1e-5


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_training_with_the_consistency_term_lowers_it(make, method):
    last = []
    for weight in (1e-9, 20.0):
        trainer = make(method, sums(8), consistency=weight, num_train_epochs=4)
        trainer.train()
        terms = [entry["preference_kl"] for entry in trainer.state.log_history if "preference_kl" in entry]
        last.append(sum(terms[-8:]) / 8)
    assert last[1] < 0.7 * last[0]


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_the_consistency_term_adds_its_weighted_slope_and_nothing_else(make, tiny_model, tmp_path, method):
    data = sums(3, kept=lacks_some)
    trainer = make(method, data, consistency=2.0, per_device_train_batch_size=16)
    trainer.train()
    (lines,) = by_hand.read_record(tmp_path / "batches")
    assert len(lines) == 1

    def margins(model, batch):
        found = []
        for row in batch:
            if method == "dpo":
                chosen, rejected = by_hand.answers(model, row)
                found.append(0.1 * (chosen - row["ref_chosen_logps"] - rejected + row["ref_rejected_logps"]))
            else:
                found.append(by_hand.log_odds(model, row))
        return torch.stack(found)

    def loss(model, batch):
        labels = ([row[label] for row in batch] for label in ("concept_id", "language"))
        return getattr(by_hand, method)(model, batch) + 2 * preference_kl(
            margins(model, batch), *labels, "en"
        )

    again = by_hand.descend(loaded(tiny_model), trainer.train_dataset, [lines], loss, RATE)
    same_weights(trainer.model, again, loaded(tiny_model))


@pytest.mark.parametrize(
    ("batching", "settings", "says"),
    [
        (Batching(align="step"), {}, "--align device"),
        (Batching(kind="shuffled"), {}, "aligned batches"),
        (Batching(with_anchor=False), {}, "--no-anchor leaves it out"),
        (Batching(), {"sync_ref_model": True}, "leave sync_ref_model off"),
        (Batching(), {"ld_alpha": 0.5}, "leave ld_alpha unset"),
    ],
)
def test_a_consistency_term_that_has_no_meaning_is_refused(make, batching, settings, says):
    with pytest.raises(InputError, match=says):
        make("dpo", sums(4), batching=batching, consistency=1.0, **settings)


@pytest.mark.parametrize("sharing", [{"split_batches": True}, {"dispatch_batches": True}])
def test_settings_that_tear_concepts_apart_are_refused(make, sharing):
    with pytest.raises(InputError, match="tear concepts apart"):
        make("dpo", sums(4), accelerator_config=sharing)


def test_rows_without_concepts_are_refused(make):
    rows = [{name: row[name] for name in TEXTS} for row in sums(4)]
    with pytest.raises(InputError, match="no column concept_id or language: train on a set made by"):
        make("dpo", rows)


def test_rows_of_a_concept_that_lie_apart_are_refused_with_the_cure(make):
    rows = sums(4)
    with pytest.raises(InputError, match=r"don't stand together.*sort it by concept_id"):
        make("orpo", rows[1:] + rows[:1])


def test_a_loss_that_is_not_finite_stops_before_any_weight_is_changed(make):
    trainer = make("orpo", sums(4))
    with torch.no_grad():
        trainer.model.lm_head.weight[7, 0] = float("inf")
    before = weights(trainer.model).clone()
    with pytest.raises(EngineError, match=r"the loss is nan at step 1 .*lower the learning rate"):
        trainer.train()
    assert torch.equal(before, weights(trainer.model))


def test_weights_that_are_not_finite_are_seen_before_training(make):
    trainer = make("dpo", sums(4))
    with torch.no_grad():
        trainer.model.lm_head.weight[7, 0] = float("inf")
    with pytest.raises(EngineError, match=r"20 of 20 rows no finite log-probability.*weights are damaged"):
        trainer.train()


def test_a_batch_that_lost_its_anchor_on_the_way_stops_the_run(make):
    trainer = make("orpo", sums(4))
    trainer.train()
    (batch, *_) = trainer.get_train_dataloader()
    trainer.training_step(trainer.model, dict(batch))
    with pytest.raises(EngineError, match="came without its anchor at step 5"):
        trainer.training_step(trainer.model, batch | {"language": ["ca", *batch["language"][1:]]})


def test_the_record_goes_on_after_the_step_of_the_checkpoint_and_forgets_a_torn_line(make, tmp_path):
    trainer = make("dpo", sums(6), save_strategy="steps", save_steps=2)
    trainer.train()
    path = tmp_path / "batches" / "process-00000.jsonl"
    whole = path.read_text("utf-8")
    path.write_text(whole + '{"step": 7, "conc', "utf-8")
    make("dpo", sums(6)).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    assert path.read_text("utf-8") == whole


def test_a_checkpoint_that_is_written_halfway_is_no_checkpoint(make, tmp_path):
    make("dpo", sums(6), save_strategy="steps", save_steps=2, save_total_limit=2).train()
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "checkpoint-4", "checkpoint-6"]
    assert last_checkpoint(out) == out / "checkpoint-6"
    (out / "checkpoint-6" / "trainer_state.json").unlink()
    (out / ".saving" / "checkpoint-8").mkdir(parents=True)
    (out / "checkpoint-best").mkdir()
    assert last_checkpoint(out) == out / "checkpoint-4"
    assert last_checkpoint(tmp_path / "nowhere") is None
