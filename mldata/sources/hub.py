"""Rows of a dataset on the Hugging Face Hub, streamed through `datasets`.

`datasets` is imported here and only when a `hf://` source is opened (it costs 0.55 s). Code of a dataset is
never run: scripts are refused by `datasets` itself, and nothing here asks for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from mldata.errors import InputError
from mldata.sources.containers import Row, first_line


@dataclass(frozen=True)
class Hub:
    """One split of one configuration, at the revision found when it was opened."""

    uri: str
    builder: Any
    split: str
    rows_of_split: Any

    def urls(self) -> tuple[str, ...]:
        """The one name by which it was asked for."""
        return (self.uri,)

    def update(self, digest: hashlib.blake2b) -> None:
        """Feed what `datasets` knows the content by: the commit, or sizes and dates of files."""
        files = self.builder.config.data_files or {}
        origin = [str(entry) for entry in getattr(files.get(self.split), "origin_metadata", ())]
        if self.builder.hash is None and not origin:
            raise InputError(f"{self.uri}: `datasets` gives no revision, so its content can't be identified.")
        known = [self.builder.hash, self.builder.config.name, self.split, origin]
        digest.update(json.dumps(known).encode("utf-8"))

    def rows(self) -> Generator[Row]:
        """All rows of the split."""
        number = 0
        try:
            for number, value in enumerate(self.rows_of_split, 1):
                yield Row(self.uri, "row", number, value)
        # Broad: network, Parquet and JSON errors of many libraries come out of `datasets` here.
        except Exception as error:
            raise InputError(f"{self.uri} can't be read after row {number}: {first_line(error)}") from error


def open_hub(uri: str) -> tuple[Hub, str]:
    """`hf://org/name[/config][:split]` and its short name. As in `datasets`, a local folder org/name wins."""
    place, _, split = uri.removeprefix("hf://").partition(":")
    parts = place.strip("/").split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InputError(
            f"{uri}: a dataset is given as hf://org/name, hf://org/name/config or hf://org/name:split."
        )
    split = split or "train"
    from datasets import load_dataset_builder

    try:
        builder = load_dataset_builder("/".join(parts[:2]), *parts[2:])
        # No decoding: an image column beside the texts would need Pillow.
        rows = builder.as_streaming_dataset(split=split).decode(False)
    # Broad: not found, gated, offline, script, unknown config or split, each with a type of its own.
    except Exception as error:
        raise InputError(f"{uri} can't be loaded: {first_line(error)}") from error
    return Hub(uri, builder, split, rows), parts[1] if len(parts) > 1 else parts[0]
