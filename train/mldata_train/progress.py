"""What a terminal or a log shows while a run trains: one line every `logging_steps` steps."""

from __future__ import annotations

import sys
import time
from typing import Any

from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

SHOWN = {
    "loss": "loss {:.4f}",
    "rewards/accuracies": "right {:.0%}",
    "rewards/margins": "margin {:.4f}",
    "preference_kl": "KL {:.2e}",
    "padding": "padding {:.0%}",
}
"""Metrics of TRL's and ours that a line shows; all of them are in run.json and in trackers (`report_to`)."""


class _Lines(TrainerCallback):
    """Prints `step 20 of 210 · loss 0.6927 · …` on stderr, on the first process."""

    def __init__(self) -> None:
        self.began, self.first = time.monotonic(), 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        self.began, self.first = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **more: Any,
    ) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        done = state.global_step - self.first
        left = (time.monotonic() - self.began) / max(1, done) * (state.max_steps - state.global_step)
        said = [text.format(logs[name]) for name, text in SHOWN.items() if name in logs]
        line = f"step {state.global_step} of {state.max_steps} · {' · '.join(said)}"
        print(f"{line} · about {_duration(left)} left" if left else line, file=sys.stderr, flush=True)


def show_progress(trainer: Any) -> None:
    """Replace what transformers prints: a dictionary a line, or a bar."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_Lines())


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
