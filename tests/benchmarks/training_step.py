"""Step time of batch-aligned training against plain TRL on the same rows in the same batches.

    OMP_NUM_THREADS=1 python tests/benchmarks/training_step.py [--steps 40] [--repeats 7]

A Llama of four layers with random weights, DPO with reference log-probabilities and ORPO. Both trainers get
the very same batches: plain TRL reads the rows in the order of our plan. They take turns in one process, so
that what else the machine does hits both; the ratio is that of the medians over all steps.
"""

import argparse
import contextlib
import io
import random
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOTrainer
from trl.experimental.orpo import ORPOTrainer

from mldata_train.batches import Batching
from mldata_train.trainers import BatchAlignedDPOTrainer, BatchAlignedORPOTrainer, DPOConfig, ORPOConfig

WORDS = [f"w{number}" for number in range(2000)]
LANGUAGES = ("en", "es", "fr", "pt", "it")
ROWS = 10


class Clock(TrainerCallback):
    """Seconds from the beginning of a step to the beginning of the next: loading a batch is part of it."""

    def __init__(self):
        self.steps, self.last = [], None

    def on_step_begin(self, args, state, control, **more):
        """Note the time since the step before."""
        now = time.perf_counter()
        if self.last is not None:
            self.steps.append(now - self.last)
        self.last = now


def concepts(number):
    """Rows of so many concepts in five languages, 40 to 120 words a row."""
    draw = random.Random(0)

    def text(words):
        return " ".join(draw.choices(WORDS, k=words))

    rows = []
    for concept in range(number):
        prompt, answer = draw.randint(10, 40), draw.randint(15, 40)
        for tag in LANGUAGES:
            fields = {"prompt": text(prompt), "chosen": " " + text(answer), "rejected": " " + text(answer)}
            rows.append({"concept_id": f"{concept:08}", "language": tag, **fields})
    return rows


def tokenizer():
    """Whole words."""
    special = ["<pad>", "<eos>", "<unk>"]
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def model(words):
    """A Llama with random weights, the same each time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def timed(kind, config, rows, place, steps, **options):
    """Seconds of each step of one run."""
    clock, words = Clock(), tokenizer()
    more = {"precompute_ref_log_probs": True} if config is DPOConfig else {}
    args = config(
        output_dir=str(place),
        per_device_train_batch_size=ROWS,
        max_steps=steps + 1,
        max_length=512,
        bf16=False,
        activation_checkpointing=False,
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=10,
        dataloader_pin_memory=False,
        seed=0,
        use_cpu=True,
        **more,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = kind(
            model=model(len(words)),
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=words,
            callbacks=[clock],
            **options,
        )
        trainer.train()
    return clock.steps


def main():
    """Print the ratio for both losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)  # transformers' own, of its own calls
    disable_progress_bars()
    rows = concepts(2 * (asked.steps + 2))
    for name, config, plain, aligned in (
        ("dpo", DPOConfig, DPOTrainer, BatchAlignedDPOTrainer),
        ("orpo", ORPOConfig, ORPOTrainer, BatchAlignedORPOTrainer),
    ):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            ours = aligned(
                model=model(2003),
                args=config(
                    output_dir=folder,
                    per_device_train_batch_size=ROWS,
                    max_length=512,
                    bf16=False,
                    activation_checkpointing=False,
                    report_to="none",
                    seed=0,
                    use_cpu=True,
                ),
                train_dataset=Dataset.from_list(rows),
                processing_class=tokenizer(),
            )
            order = [row for batch in ours.plan.epoch(0) for row in batch]
            seconds = {"plain": [], "aligned": []}
            for _ in range(asked.repeats):
                seconds["plain"] += timed(plain, config, [rows[i] for i in order], place, asked.steps)
                seconds["aligned"] += timed(
                    aligned, config, rows, place, asked.steps, batching=Batching(), record=place / "batches"
                )
            medians = {arm: statistics.median(times) for arm, times in seconds.items()}
            print(
                f"{name}: {len(seconds['plain'])} steps of {ROWS} rows each · "
                f"plain TRL {medians['plain']:.3f} s · aligned {medians['aligned']:.3f} s · "
                f"ratio {medians['aligned'] / medians['plain']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
