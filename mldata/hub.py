"""Sets on the Hugging Face hub: their names, fetching them, and what the hub's refusals mean.

Everything goes through huggingface_hub, which finds the token, retries, and keeps what it fetched; a token is
never read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mldata.errors import InputError, first_line

SCHEME = "hf://"


@dataclass(frozen=True)
class Repo:
    """A dataset repository."""

    id: str
    """As "org/name"."""
    revision: str | None = None
    """A branch, tag or commit; None: the main branch."""

    def __str__(self) -> str:
        return f"{SCHEME}{self.id}" + (f"@{self.revision}" if self.revision else "")


def repo(uri: str) -> Repo:
    """What "hf://org/name" or "hf://org/name@revision" names; InputError where that is none."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    found = re.fullmatch(r"hf://(?:datasets/)?([^/@]+/[^/@]+)(?:@(\S+))?", uri)
    try:
        if found is None:
            raise HFValidationError
        validate_repo_id(found[1])
    except HFValidationError:
        raise InputError(
            f'"{uri}" names no set of the hub: write hf://org/name, with letters, digits, "-", "_" and "."'
        ) from None
    return Repo(found[1], found[2])


def local(path: str | Path, *, fetched: bool = False) -> Path:
    """The folder of a set at a path, or of one of the hub in the hub's cache, brought there first.

    `fetched` says that it was: the hub isn't asked again, which may have another commit by now.
    """
    if not str(path).startswith(SCHEME):
        return Path(path)
    from huggingface_hub import snapshot_download

    wanted = repo(str(path))
    with explained(wanted):
        return Path(
            snapshot_download(
                wanted.id, repo_type="dataset", revision=wanted.revision, local_files_only=fetched
            )
        )


@contextmanager
def explained(wanted: Repo, *, doing: str = "") -> Iterator[None]:
    """InputError that says what to do where the hub refuses or can't be reached.

    `doing` is what holds true after a failure, as "nothing was changed there".
    """
    # HTTPError is httpx's or httpx2's, by huggingface_hub's version.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HfHubHTTPError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError:
        raise InputError(f"hf://{wanted.id} has no branch, tag or commit {wanted.revision}") from None
    except OfflineModeIsEnabled:
        raise InputError(f"{wanted} can't be reached, as HF_HUB_OFFLINE is set: unset it") from None
    except HfHubHTTPError as error:
        raise InputError(_refusal(wanted, error.response.status_code, _said(error), doing)) from None
    except LocalEntryNotFoundError as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            raise InputError(_refusal(wanted, status, _said(cause), doing)) from None
        raise InputError(_unreachable(wanted, cause or error, doing)) from None
    except (HTTPError, ConnectionError) as error:
        raise InputError(_unreachable(wanted, error, doing)) from None
    # Uploads wrap what went wrong: in RuntimeError (LFS), or errors of the compiled hf_xet.
    except (RuntimeError, ValueError) as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            status = cause.response.status_code
            raise InputError(_refusal(wanted, status, _said(cause), doing)) from None
        raise InputError(_unreachable(wanted, cause or error, doing)) from None


def _refusal(wanted: Repo, status: int, said: str, doing: str) -> str:
    then = f"; {doing}" if doing else ""
    if status == 401:
        return (
            f"the hub doesn't know who asks for {wanted}{then}: `hf auth login`, or set HF_TOKEN to a token "
            "of https://huggingface.co/settings/tokens"
        )
    if status == 403:
        return (
            f"your token doesn't allow this at {wanted} ({said}){then}: use one that does, of "
            "https://huggingface.co/settings/tokens, or another name"
        )
    if status == 404:
        return (
            f"the hub has no {wanted}, or your token may not see it{then}: check the name, or `hf auth login`"
        )
    if status in (409, 412):
        return f"{wanted} was changed by another meanwhile ({said}){then}: run the same command again"
    return f"the hub answered {status} for {wanted} ({said}){then}: run the same command again later"


def _unreachable(wanted: Repo, error: BaseException, doing: str) -> str:
    from huggingface_hub import constants

    then = f"; {doing}" if doing else ""
    return (
        f"{wanted}: {constants.ENDPOINT} can't be reached, or broke off ({first_line(error)}){then}: "
        "run the same command again when it can"
    )


def _said(error: Exception) -> str:
    """What the hub itself said, without the URL and the advice for programmers."""
    message = getattr(error, "server_message", None)
    return first_line(ValueError(message)) if message else first_line(error)
