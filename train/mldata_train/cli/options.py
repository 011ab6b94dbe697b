"""Options and words that several commands share."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[str, typer.Option("--data", metavar="SET", help="A set: path or fsspec URL.")]
Model = Annotated[
    str, typer.Option("--model", help="Directory, hub name, adapter, .gguf file, or a run of mldata-train.")
]
Template = Annotated[
    Path | None,
    typer.Option(
        "--chat-template", metavar="FILE", help="Jinja chat template, for a tokenizer that has none."
    ),
]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="A field of TRL's config; may be repeated."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="TOML", help="Tables \\[training] (TRL's fields) and \\[lora] (peft's)."
    ),
]


def tags(text: str) -> tuple[str, ...]:
    """Languages of a list such as "es,fr"."""
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def quiet() -> None:
    """Leave progress bars to terminals, tokenizers without their own threads, and others' warnings unsaid."""
    # TRL 1.16 asks a model by the name that transformers 5.23 gave up
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    # peft looks whether the vocabulary was enlarged, which it can't know of a .gguf file
    warnings.filterwarnings("ignore", "Could not find a config file", UserWarning)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
