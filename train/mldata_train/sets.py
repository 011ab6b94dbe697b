"""Opens a set for training: proves it whole, and gives the rows of a split as a `datasets.Dataset`.

A set lies in a local directory, on the Hugging Face hub ("hf://org/name") or at an fsspec URL; one at a URL
is copied once to the cache, under the digest of its manifest. The dataset is memory-mapped, so memory doesn't
grow with the set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

import mldata
from mldata import hub
from mldata.errors import InputError
from mldata.models import cache_home

if TYPE_CHECKING:
    from datasets import Dataset

Split = Literal["train", "test"]
COLUMNS = ("concept_id", "language", "prompt", "chosen", "rejected")


@dataclass(frozen=True)
class PreferenceSet:
    """A set on disk, and what training needs to know of it."""

    name: str
    """What the user called it."""
    folder: Path
    anchor: str
    targets: tuple[str, ...]
    conversational: bool
    """Whether texts are lists of messages, for a chat template."""
    digest: str
    """Of the bytes of all rows, train and test."""
    files: dict[str, tuple[Path, ...]]
    """Shards by split; without those that have no row."""

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages, the anchor first, in the set's order."""
        return (self.anchor, *self.targets)

    def rows(self, split: Split, *, without: Sequence[str] = ()) -> Dataset:
        """The rows of a split but for those in some languages; InputError if there are none.

        Columns are `COLUMNS`; rows of a concept stand together, the anchor's first.
        """
        from datasets import load_dataset

        self.check_languages(without)
        if not self.files.get(split):
            raise InputError(
                f"{self.name} has no {split} split: no concept was kept for it; build the set of more pairs"
            )
        files = [str(path) for path in self.files[split]]
        found = load_dataset("arrow", data_files={split: files}, split=split).select_columns(list(COLUMNS))
        if without:
            gone = set(without)
            found = found.filter(
                lambda tags: [tag not in gone for tag in tags], input_columns="language", batched=True
            )
        if not len(found):
            raise InputError(f"{self.name} has no {split} row but in {' '.join(without)}")
        return found

    def largest(self, split: Split, *, without: Sequence[str] = ()) -> int:
        """Rows of the concept that has most, in other languages than some."""
        rows = pl.scan_ipc(list(self.files[split])).filter(~pl.col("language").is_in(list(without)))
        return int(rows.group_by("concept_id").len().select(pl.col("len").max()).collect().item())

    def check_languages(self, tags: Sequence[str]) -> None:
        """InputError for the first tag that isn't a language of the set."""
        for tag in tags:
            if tag not in self.languages:
                raise InputError(f"{self.name} has no language {tag}; it has {' '.join(self.languages)}")


def open_preferences(data: str) -> PreferenceSet:
    """Open the set at a path or fsspec URL.

    InputError if there is none, SetError if it isn't what was written.
    """
    folder = _local(data)
    if _first_process():
        mldata.verify(folder)
    _wait()
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    rows = [file for file in manifest["files"] if file["split"] in ("train", "test")]
    files: dict[str, tuple[Path, ...]] = {}
    for file in rows:
        if file["rows"]:
            files[file["split"]] = (*files.get(file["split"], ()), folder / file["path"])
    return PreferenceSet(
        name=data,
        folder=folder,
        anchor=manifest["anchor"],
        targets=tuple(manifest["targets"]),
        conversational=manifest["source"]["shape"] == "messages",
        digest=hashlib.sha256("".join(file["sha256"] for file in rows).encode()).hexdigest(),
        files=files,
    )


def _local(data: str) -> Path:
    """Where the set is on this machine, copied there if `data` is a URL."""
    if "://" not in data:
        return Path(data).resolve()
    if data.startswith(hub.SCHEME):
        if _first_process():
            hub.local(data)
        _wait()
        return hub.local(data, fetched=True)
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(data)
        manifest = system.cat_file(f"{path.rstrip('/')}/manifest.json")
    except (ImportError, ValueError) as error:
        raise InputError(f"{data} can't be opened: {error}") from None
    except OSError as error:
        raise InputError(f"{data} is no set, or can't be reached: {error or type(error).__name__}") from None
    home = cache_home() / "sets"
    folder = home / hashlib.sha256(manifest).hexdigest()[:32]
    if not folder.exists() and _first_process():
        making = home / f".{folder.name}.{os.getpid()}"
        try:
            for name in ("manifest.json", *_listed(manifest, data)):
                (making / name).parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{path.rstrip('/')}/{name}", str(making / name))
            making.rename(folder)
        except OSError as error:
            raise InputError(
                f"{data} couldn't be copied to {home}: {error or type(error).__name__}"
            ) from None
        finally:
            shutil.rmtree(making, ignore_errors=True)
    _wait()
    return folder


def _listed(manifest: bytes, data: str) -> list[str]:
    """Files that a manifest names, none of them outside the set."""
    try:
        facts = json.loads(manifest)
        names = [str(file["path"]) for file in facts["files"]]
        names += ["calibration.json"] if facts.get("calibration") else []
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{data}/manifest.json isn't the manifest of a set") from None
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{data}/manifest.json names a file outside the set: {name}")
    return names


def _first_process() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_local_main_process)


def _wait() -> None:
    from accelerate import PartialState

    PartialState().wait_for_everyone()
