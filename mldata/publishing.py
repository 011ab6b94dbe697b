"""A set on the Hugging Face hub: proved whole, then published in one commit, and readers see old or new.

What is published is a set again: `mldata verify` on a download of it says so. Dropped rows stay at home
unless asked for, and the manifest then says so; it never names a place on this machine. Nothing but data,
the card and what explains them leaves it: nothing of run.json, which tells of machine and command.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mldata import calibration, shards
from mldata.errors import InputError, in_shell
from mldata.hub import Repo, explained, repo
from mldata.report.card import placed
from mldata.shards import CARD, REPORT, SPLITS, FileFacts, Manifest
from mldata.visible import without_places

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import DatasetInfo, RepoFile

OURS = re.compile(rf"(data|dropped)/.*|manifest\.json|{re.escape(calibration.FILE)}|{re.escape(REPORT)}")
"""Files of a repository that are an earlier set's, and go where this one hasn't them."""
_SECRET = re.compile(r"(?i)api_?key|secret|password|authorization|^token$|(access|auth)_?token")
GIVEN = {".gitattributes", CARD}
"""What a repository may hold before its first set."""
BEFORE = "nothing there was changed"
AFTER = "readers have the old set or the new one, whole"


@dataclass(frozen=True)
class Publication:
    """What is to be published, proved whole."""

    path: Path
    manifest: Manifest
    """As it is on disk."""
    large: tuple[FileFacts, ...]
    """Arrow files, by their place in the set."""
    small: dict[str, bytes]
    """The other files, by name: what they will hold."""

    @property
    def files(self) -> dict[str, int]:
        """Name -> bytes, all of it."""
        return {f.path: f.bytes for f in self.large} | {name: len(held) for name, held in self.small.items()}

    @property
    def left(self) -> int:
        """Bytes of the set's files that aren't published."""
        return sum(f.bytes for f in self.manifest.files if f not in self.large)


@dataclass(frozen=True)
class Pushed:
    """What became of a push."""

    url: str
    """Of the page that people open."""
    commit: str
    """The commit that holds the set: a new one, or that which held it already."""
    sent: tuple[str, ...]
    """Files that are new or changed; none if all of it was there."""
    deleted: tuple[str, ...]
    """Files of an earlier set that this one hasn't."""


def push(
    path: str | Path,
    to: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    with_dropped: bool = False,
) -> Pushed:
    """Publish the set at `path` as the dataset "hf://org/name" of the hub, which is made if need be.

    The set is verified first. `revision` is a branch, made from the main one if need be. `with_dropped`
    publishes the dropped rows too. SetError if the set is damaged; InputError if the hub refuses or can't be
    reached, if the repository holds something else than a set, or, with `private`, if it is public.

    >>> made = mldata.push("sets/prefs", "hf://my-org/prefs", private=True)
    >>> "manifest.json" in made.sent, made.deleted
    (True, ())
    """
    target = place(to, revision)
    return upload(prepare(path, target, with_dropped=with_dropped), target, private=private, message=message)


def place(to: str, revision: str | None = None) -> Repo:
    """The repository and branch that "hf://org/name" names; InputError where it names none."""
    named = repo(to)
    if named.revision and revision and named.revision != revision:
        raise InputError(
            f"{to} names the branch {named.revision}, and --revision {revision}: give one of them"
        )
    return Repo(named.id, named.revision or revision)


def prepare(path: str | Path, target: Repo, *, with_dropped: bool = False) -> Publication:
    """What would be published of the set at `path`; SetError if it is damaged. Asks no network."""
    path = Path(path)
    manifest = shards.verify(path)
    large = [f for f in manifest.files if with_dropped or f.split in SPLITS]
    left = [f for f in manifest.files if f not in large]
    published = manifest.model_copy(update={"files": large, "unpublished": [*manifest.unpublished, *left]})
    said = _published(published.model_dump(mode="json"))
    small = {"manifest.json": (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode()}
    small |= {
        name: (path / name).read_bytes() for name in (CARD, calibration.FILE) if (path / name).is_file()
    }
    if (path / REPORT).is_file():
        small[REPORT] = _report(path, manifest, show_dropped=with_dropped)
    if CARD not in small:
        raise InputError(
            f"{path} has no README.md, the dataset card: `mldata select {in_shell(path)}` writes it anew"
        )
    small[CARD] = placed(small[CARD].decode("utf-8", "replace"), target.id).encode()
    return Publication(path, manifest, tuple(large), small)


def _report(path: Path, manifest: Manifest, *, show_dropped: bool) -> bytes:
    """The report anew: that on disk tells of the machine and the command, and shows dropped rows."""
    from mldata.report import html  # what draws and fills pages, only where one is made

    told = Manifest.model_validate(_published(manifest.model_dump(mode="json")))
    told = told.model_copy(update={"store": manifest.store})  # which has the back-translations
    return html.render(path, told, {}, show_dropped=show_dropped).encode()


def upload(what: Publication, target: Repo, *, private: bool = False, message: str | None = None) -> Pushed:
    """Send what isn't there yet and commit all of it at once; InputError where that can't be done."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi(library_name="mldata")
    with explained(target, doing=BEFORE):
        info = _opened(api, target, private=private)
        there = _listed(api, target, info)
        stale = tuple(name for name in there if OURS.fullmatch(name) and name not in what.files)
        changed = tuple(name for name in what.files if not _same(what, name, there.get(name)))
        url = f"{api.endpoint}/datasets/{target.id}"
        url += f"/tree/{target.revision}" if target.revision else ""
        if not changed and not stale:
            return Pushed(url, str(info.sha), (), ())
        adding = [CommitOperationAdd(name, what.small.get(name, what.path / name)) for name in changed]
        try:
            api.preupload_lfs_files(
                target.id, adding, repo_type="dataset", revision=target.revision, free_memory=False
            )
        finally:  # hours may have gone by: what was sent must still be what was proved
            if shards.read_manifest(what.path) != what.manifest:
                raise InputError(
                    f"{what.path} was built anew while it was sent; {BEFORE}: run the same command again"
                )
    deleting = [CommitOperationDelete(name, is_folder=False) for name in stale]
    with explained(target, doing=AFTER):
        made = api.create_commit(
            target.id,
            [*adding, *deleting],
            commit_message=message or f"{what.manifest.source.name}, made with mldata {what.manifest.mldata}",
            repo_type="dataset",
            revision=target.revision,
            parent_commit=info.sha,  # another's push in the meantime is refused
        )
    return Pushed(url, made.oid, changed, stale)


def _opened(api: HfApi, target: Repo, *, private: bool) -> DatasetInfo:
    """What the hub says of the repository's branch, both made if need be."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.dataset_info(target.id)
    except RepositoryNotFoundError:
        api.create_repo(target.id, repo_type="dataset", private=private or None)
        info = api.dataset_info(target.id)
    if private and not info.private:
        raise InputError(
            f"hf://{target.id} is public, and --private doesn't change that; {BEFORE}: make it private in "
            "its settings, or choose another name"
        )
    if target.revision is None:
        return info
    api.create_branch(target.id, branch=target.revision, repo_type="dataset", exist_ok=True)
    return api.dataset_info(target.id, revision=target.revision)


def _listed(api: HfApi, target: Repo, info: DatasetInfo) -> dict[str, RepoFile]:
    """The files of the branch by name; InputError where it holds something else than a set."""
    from huggingface_hub.hf_api import RepoFile

    tree = api.list_repo_tree(target.id, recursive=True, repo_type="dataset", revision=info.sha)
    there = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    others = sorted(there.keys() - GIVEN)
    if others and "manifest.json" not in there:
        raise InputError(
            f"{target} holds something else than a set ({others[0]}); {BEFORE}: choose another name or branch"
        )
    return there


def _same(what: Publication, name: str, there: RepoFile | None) -> bool:
    """Whether the hub has these bytes under this name."""
    from huggingface_hub.utils.sha import git_hash

    if there is None or there.size != what.files[name]:
        return False
    if name in what.small:
        held = what.small[name]
        return bool(
            hashlib.sha256(held).hexdigest() == there.lfs.sha256
            if there.lfs
            else git_hash(held) == there.blob_id
        )
    facts = next(f for f in what.large if f.path == name)
    return bool(
        facts.sha256 == there.lfs.sha256
        if there.lfs
        else git_hash((what.path / name).read_bytes()) == there.blob_id
    )


def _published(value: Any, key: str = "") -> Any:
    """The manifest without places on this machine, nor keys that `extra` fields of requests hold; prompts,
    which aren't its own words, as they are."""
    if isinstance(value, dict):
        kept = {n: held for n, held in value.items() if key != "extra" or not _SECRET.search(n)}
        return {name: _published(held, name) for name, held in kept.items()}
    if isinstance(value, list):
        return [_published(held, key) for held in value]
    return without_places(value) if isinstance(value, str) and key != "prompt" else value
