"""What reviewers said, line by line as they said it: SET.review/<reviewer>.jsonl, beside the set.

A set's directory is replaced whenever it is built or selected again, so nothing that people wrote lies in it.
A line is appended in one write and synced under a lock, whoever else writes; one that a power cut tore is
skipped. Nothing is ever changed: a reviewer's last line on a row counts, and undoing is a line, too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mldata import __version__
from mldata.errors import InputError
from mldata.review.sampling import Draw, Item
from mldata.store import sync

Verdict = Literal["adequate", "minor", "major", "wrong"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Best first; the keys 1 to 4."""
MEANINGS: dict[Verdict, str] = {
    "adequate": "says the same, as a native speaker could put it",
    "minor": "slips that leave the meaning whole",
    "major": "part of the meaning is lost, added or changed",
    "wrong": "another meaning, none, or another language",
}
COMMENT = 5000
"""Characters of a comment."""

_NAME = re.compile(r"\w[\w .@'’-]*")
_MARKS = ("Mn", "Mc")
"""Unicode categories of vowel signs and accents, of which names such as रवि or Adébáyọ̀ are made, too."""


class Line(BaseModel):
    """One thing that a reviewer said."""

    model_config = ConfigDict(frozen=True)

    concept_id: str
    language: str
    digest: str = Field(description="of the texts that were judged")
    verdict: Verdict | None = Field(description="null: there is none any more")
    comment: str = ""
    reviewer: str
    time: str = Field(description="UTC, ISO 8601")
    undo: bool = Field(default=False, description="puts back what was there before the line it undoes")
    draw: Draw
    mldata: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Concept, language and texts: what it is on."""
        return self.concept_id, self.language, self.digest


@dataclass(frozen=True)
class Journals:
    """All that reviewers of a set said."""

    lines: list[Line]
    """Each reviewer's in their order."""
    unreadable: dict[Path, int]
    """File -> lines in it that can't be read; files without any aren't named."""


def folder(path: Path) -> Path:
    """Where verdicts on the set at `path` lie."""
    path = path.resolve()
    return path.with_name(f"{path.name}.review")


def check_reviewer(name: str) -> str:
    """The name as files and pages have it; InputError where it can't be one."""
    name = unicodedata.normalize("NFC", name).strip()
    letters = "".join(letter for letter in name if unicodedata.category(letter) not in _MARKS)
    begins_so = name[:1] == letters[:1]
    if not (begins_so and _NAME.fullmatch(letters)) or len(name) > 60 or len(name.encode()) > 200:
        raise InputError(
            f"{name!r} can't be a reviewer's name: take letters, digits, blanks and any of . - @ ', "
            "60 characters at most"
        )
    return name


def said(
    item: Item, reviewer: str, verdict: Verdict | None, comment: str = "", *, undo: bool = False
) -> Line:
    """A line on an item, said now."""
    return Line(
        concept_id=item.beside.concept_id,
        language=item.beside.language,
        digest=item.digest,
        verdict=verdict,
        comment=comment.replace("\r\n", "\n").strip()[:COMMENT],
        reviewer=reviewer,
        time=now(),
        undo=undo,
        draw=item.draw,
        mldata=__version__,
    )


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(path: Path) -> Journals:
    """All verdicts on the set at `path`, torn lines left out and counted."""
    lines: list[Line] = []
    unreadable: dict[Path, int] = {}
    for file in sorted(folder(path).glob("*.jsonl")):
        mine, torn = parse(file.read_bytes())
        lines += mine
        if torn:
            unreadable[file] = torn
    return Journals(lines, unreadable)


def read_one(path: Path, reviewer: str) -> list[Line]:
    """What one reviewer said, in order."""
    file = folder(path) / f"{reviewer}.jsonl"
    return parse(file.read_bytes())[0] if file.exists() else []


def parse(content: bytes) -> tuple[list[Line], int]:
    """The lines that can be read, and how many can't."""
    found, torn = [], 0
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        try:
            found.append(Line.model_validate_json(line))
        except ValidationError:
            torn += 1
    return found, torn


def latest(lines: Iterable[Line]) -> dict[tuple[str, tuple[str, str, str]], Line]:
    """Reviewer and what it is on -> his last word, where it is a verdict."""
    last = {(line.reviewer, line.key): line for line in lines}
    return {who: line for who, line in last.items() if line.verdict is not None}


def append(path: Path, reviewer: str, lines: Sequence[Line]) -> int:
    """Write what a reviewer said, but where he said just that before; gives the number of lines written."""

    if not lines:
        return 0

    def news(before: Sequence[Line]) -> Iterator[Line]:
        last = {line.key: (line.verdict, line.comment) for line in before}
        for line in lines:
            if last.get(line.key, (None, "")) != (line.verdict, line.comment):
                last[line.key] = (line.verdict, line.comment)
                yield line

    return len(_write(path, reviewer, lambda before: list(news(before))))


def undo(path: Path, reviewer: str, language: str) -> Line | None:
    """Take back the last thing that a reviewer said in a language, and say what holds now; None if there is
    nothing to take back. Again and again, it goes back to the beginning."""

    def last(before: Sequence[Line]) -> list[Line]:
        standing: list[Line] = []
        for line in before:
            if line.language == language and line.undo:
                standing = standing[:-1]
            elif line.language == language:
                standing.append(line)
        if not standing:
            return []
        gone = standing.pop()
        earlier = next((line for line in reversed(standing) if line.key == gone.key), None)
        put_back = {
            "verdict": earlier.verdict if earlier else None,
            "comment": earlier.comment if earlier else "",
        }
        return [gone.model_copy(update={**put_back, "undo": True, "time": now(), "mldata": __version__})]

    if not (folder(path) / f"{reviewer}.jsonl").exists():
        return None
    return next(iter(_write(path, reviewer, last)), None)


def _write(path: Path, reviewer: str, what: Callable[[Sequence[Line]], list[Line]]) -> list[Line]:
    """Append `what` makes of a reviewer's lines so far: in one write, synced, with nobody in between."""
    file = folder(path) / f"{reviewer}.jsonl"
    file.parent.mkdir(exist_ok=True)
    is_new = not file.exists()
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        before = os.pread(handle, size, 0)
        lines = what(parse(before)[0])
        if not lines:
            return []
        # What a cut left of a line must not spoil the next.
        text = "\n" if before and not before.endswith(b"\n") else ""
        text += "".join(line.model_dump_json() + "\n" for line in lines)
        _append_whole(handle, text.encode(), size)
        os.fsync(handle)
        if is_new:
            sync(file.parent)
            sync(file.parent.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(
                f"no space left for {file}: free some and say it again; what was said before is safe"
            ) from None
        raise
    finally:
        os.close(handle)
    return lines


def _append_whole(handle: int, data: bytes, size: int) -> None:
    """One write; what a full disk took of it only in part is cut off again."""
    try:
        written = os.write(handle, data)
    except OSError:
        os.ftruncate(handle, size)
        raise
    if written < len(data):
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
