"""The files of models that engines load: where they are, and what identifies them.

A model is a directory or file of the user's, or a name of the Hugging Face hub, fetched through the hub's own
cache. Only data are fetched and read (safetensors, tokenizers, JSON, fastText): no pickle, no code.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mldata import licences
from mldata.errors import InputError, first_line
from mldata.settings import Device, EngineSettings, ModelSettings, Quantization, Run
from mldata.store import sync

WEIGHTS = ("*.json", "*.safetensors", "*.model", "*.spm", "*.txt", "*/config.json", "*/*.safetensors")
"""What is fetched of a transformers or sentence-transformers model; pickles (*.bin, *.pt) are not."""


@dataclass(frozen=True)
class Found:
    """A model's files on this machine."""

    path: Path
    """Its directory, or its one file."""
    name: str
    """For people: "org/name at 0123abcd", or the path."""
    digest: str
    """Of the hub's name and commit, or of all bytes of a directory or file."""


def cache_home() -> Path:
    """Where mldata keeps what it can make again: $XDG_CACHE_HOME/mldata, or ~/.cache/mldata."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mldata"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The directory `name` of the cache, filled by `make` at its first use; whole or absent.

    One process at a time makes something, as that may take most of the memory; the others wait for it.
    """
    home = cache_home()
    directory = home / name
    if directory.exists():
        return directory
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():
            return directory
        for left in home.glob(f".{name[:24]}-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        filled(directory, make)
    return directory


def filled(directory: Path, make: Callable[[Path], None]) -> None:
    """Fill the new `directory` by `make`, which gets an empty one beside it: it is whole or absent."""
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name[:24]}-", dir=directory.parent))
    try:
        made.chmod(0o755)  # mkdtemp's are for one user's eyes
        make(made)
        for file in made.rglob("*"):
            sync(file)
        made.rename(directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def read_json(path: Path, kind: type = dict) -> Any:
    """What the JSON file of a model says; InputError where it can't be read or isn't of `kind`."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}") from None
    if not isinstance(read, kind):
        raise InputError(f"{path} isn't what a model's file of that name is")
    return read


def ctranslate2_device(name: str, wanted: Device, quantization: Quantization) -> str:
    """What CTranslate2 runs the engine `name` on, "cuda" or "cpu"; InputError where it can't."""
    import ctranslate2

    device = ("cuda" if _has_gpu() else "cpu") if wanted == "auto" else wanted
    if device == "cuda" and not _has_gpu():
        raise InputError(f'[engines.{name}] no GPU is here that CTranslate2 can use: device = "cpu"')
    there = ctranslate2.get_supported_compute_types(device)
    if quantization not in there:
        raise InputError(
            f"[engines.{name}] quantization {quantization} isn't possible on this {device}; possible are: "
            f"{' '.join(sorted(there))}"
        )
    return device


def on_cpu(quantization: Quantization) -> str:
    """The arithmetic by which a CPU runs a model of that quantisation: 32-bit floats for a GPU's 16. The
    weights are the same, so that a conversion can be checked where there is no GPU."""
    return re.sub("b?float16", "float32", quantization)


def uses_gpu(engines: Iterable[EngineSettings]) -> bool:
    """Whether one of these engines runs on a GPU here."""
    runs = [getattr(engine, "run", None) for engine in engines]
    devices = {run.device for run in runs if isinstance(run, Run)}
    return "cuda" in devices or ("auto" in devices and _has_gpu())


@cache
def _has_gpu() -> bool:
    try:
        import ctranslate2
    except ImportError:
        return False
    return bool(ctranslate2.get_cuda_device_count())


def licence(settings: ModelSettings) -> str:
    """SPDX expression of a model's licence, as the recipe states it or mldata knows it; or "unknown"."""
    return settings.licence or licences.known(settings.model) or "unknown"


_unreachable: list[str] = []
"""Models for which the hub gave no answer: it tries for half a minute, and isn't asked for others then."""


def find(settings: ModelSettings, patterns: Sequence[str] = WEIGHTS) -> Found:
    """The files of `settings.model`; a hub name's that match `patterns` are fetched unless they are here.

    InputError where there is no such path, or the hub has or gives none (HF_HUB_OFFLINE is heeded).
    """
    path = Path(settings.model).expanduser()
    if path.exists():
        if settings.revision is not None:
            raise InputError(f"{settings.model} is a path, and has no revision {settings.revision}: drop one")
        return Found(path, str(path), _digest(path.resolve()))
    if settings.model.count("/") != 1 or settings.model.startswith((".", "~", "/")):
        raise InputError(f"no model at {settings.model}: give a directory, or a hub name such as org/name")
    folder = _fetched(settings.model, settings.revision, tuple(patterns))
    commit = folder.name
    digest = hashlib.blake2b(f"{settings.model}\n{commit}".encode(), digest_size=16).hexdigest()
    return Found(folder, f"{settings.model} at {commit[:12]}", digest)


def _fetched(name: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    """The snapshot's folder, which the hub's cache names by the commit."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError:
        raise InputError(f"{name} is a hub's name: pip install 'mldata[hub]', or give a directory") from None
    wanted = f"{name} at {revision}" if revision else name
    try:
        found = snapshot_download(
            name, revision=revision, allow_patterns=list(patterns), local_files_only=bool(_unreachable)
        )
        return Path(found)
    except RepositoryNotFoundError:
        raise InputError(
            f"the hub has no model {wanted}, or it is private or gated: `hf auth login`"
        ) from None
    except LocalEntryNotFoundError:
        _unreachable.append(name)
        command = f"hf download {name}" + (f" --revision {revision}" if revision else "")
        raise InputError(
            f"the model {wanted} isn't on this machine and the hub can't be reached: run "
            f"`{command}` where there is a network, or give a directory as model"
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"the model {wanted} can't be fetched: {error}") from None


@cache
def _digest(path: Path) -> str:
    """Of names and bytes of all files, hidden ones left out."""
    digest = hashlib.blake2b(digest_size=16)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
