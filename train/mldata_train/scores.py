"""Scores of a model on a set's rows: log-probabilities of its own and, where there is one, of its reference.

A model may be named by the run that trained it: then its reference is the model that the run began with.
"""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mldata.errors import InputError
from mldata_train.evaluate import KEYS
from mldata_train.logprobs import beside, log_probabilities
from mldata_train.models import load_model, load_tokenizer
from mldata_train.sets import PreferenceSet, Split

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Scored:
    """A model to score, and what is known of its training."""

    model: str
    reference: str | None = None
    """The model it was trained from, for DPO's implicit reward."""
    without: tuple[str, ...] = ()
    """Languages that its training didn't see."""


def resolve(model: str) -> Scored:
    """The model behind a name, which may be a run's; InputError if the run isn't finished."""
    file = Path(model) / "run.json"
    if not file.is_file():
        return Scored(model)
    try:
        run = json.loads(file.read_bytes())
        trained = Scored(str(Path(model) / "model"), run["base_model"], tuple(run["decided_by"]["without"]))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file} is damaged: train again with --overwrite") from None
    if not run.get("finished"):
        raise InputError(
            f"the run {model} isn't finished: run its command again, or name one of its checkpoints"
        )
    return trained


def scores(
    opened: PreferenceSet,
    model: str,
    *,
    split: Split,
    reference: str | None = None,
    concepts: int | None = None,
    chat_template: Path | None = None,
    max_length: int = 1024,
    batch_size: int = 16,
) -> pl.DataFrame:
    """What `evaluate` takes: scores of `model` on the rows of a split, of all their languages.

    With a reference its scores are the columns ref_chosen and ref_rejected. `concepts` takes so many, spread
    evenly over the split. Rows whose prompt alone is longer than `max_length` tokens are left out.
    """
    rows = opened.rows(split)
    if concepts is not None:
        rows = _spread(rows, concepts)
    cache = beside(opened.folder, opened.digest)

    def scored(name: str) -> pl.DataFrame:
        tokenizer = load_tokenizer(name, chat_template=chat_template, chat=opened.conversational)
        found = log_probabilities(
            load_model(name), tokenizer, rows, max_length=max_length, batch_size=batch_size, cache=cache
        )
        gc.collect()  # a model's cycles would keep it in memory beside the next one
        return found

    found = scored(model)
    if reference is None:
        return found
    renamed = scored(reference).select(*KEYS, ref_chosen="chosen", ref_rejected="rejected")
    return found.join(renamed, on=KEYS, how="left", maintain_order="left")


def _spread(rows: Dataset, concepts: int) -> Dataset:
    """Rows of so many concepts, spread evenly over all."""
    number = pl.Series(rows["concept_id"][:]).rle_id().to_numpy()
    last = int(number[-1])
    wanted = np.unique(np.linspace(0, last, min(concepts, last + 1)).round().astype(np.int64))
    return rows.select(np.flatnonzero(np.isin(number, wanted)))
