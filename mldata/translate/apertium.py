"""Apertium, the rule-based translator of Debian's `apertium-*` packages, run as its own processes (GPL).

A request opens the mode's pipeline, asks it segment by segment over a pipe with NUL flush, and ends it.
Three things were learnt the hard way. The `apertium` wrapper hangs with NUL flush, so the mode's own
pipeline is run. The tagger carries state over the flush that nothing sent in between resets (of 300
sentences, 7 differ with their order in eng-spa and 43 in gl-en), so a pipeline serves one request: the
same list gives the same answers, whatever came before. A pipeline that broke answers nothing and stays
silent, so reads have a time limit, and a segment that breaks a second pipeline too comes back empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from mldata.engine import Engine
from mldata.errors import EngineError, InputError
from mldata.languages import APERTIUM_MODES
from mldata.text import Segment
from mldata.translate import Translation
from mldata.translate.sentinels import around, guard, join, mask, unguard, unmask

MODES = Path("/usr/share/apertium/modes")
PACKAGES = (
    "apertium apertium-eng-spa apertium-en-gl apertium-eng-cat apertium-eo-en apertium-hbs-eng "
    "apertium-spa-ita apertium-fr-es apertium-oc-es apertium-spa-arg apertium-es-pt apertium-hbs-slv "
    "apertium-hbs-mkd apertium-mkd-bul"
)
"""Debian's packages for all modes in `languages.APERTIUM_MODES`."""
INSTALL = f"apt-get install {PACKAGES}"
REVISION = 1
"""Enters digests: raise it when this module makes other translations of the same answers."""
TIMEOUT = 60.0
"""Seconds without an answer after which a pipeline is taken for dead; a segment takes milliseconds."""

POISONED_AT_MOST = 3
"""Segments of one request that may break pipelines before the mode itself is taken for broken."""

_END = ".[][\n]"  # what apertium-destxt appends: without a full stop the last word is held back
_RESERVED = re.compile(r"[\[\]{}^$/\\@<>]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Before a word: not in a dictionary (*), not generated (#), not translated (@, by some modes escaped).
_UNKNOWN = re.compile(r"(?:\\?@|[*#])(\w[\w'’·-]*)")
_LEFT_OVER = re.compile(r"\\?@|[*#]")  # "number#." and the like
_OWN_MARKS = re.compile(r"[*#@~]")  # literal ones would be taken for marks, or be dropped (`~`)

# The dictionaries take "No." for "number" ("Núm."), which turns an answer's sense: ask "No!" instead.
_NO = re.compile(r"\b([Nn]o)\.$")


def _mark(number: int) -> str:
    return f"⟦{number}⟧"


class Apertium:
    """See the module. Owns nothing between requests."""

    def __init__(self) -> None:
        if shutil.which("apertium-wblank-mode") is None:
            raise InputError(f"Apertium isn't installed; on Debian and Ubuntu: {INSTALL}")

    def pairs(self) -> frozenset[tuple[str, str]]:
        """The pairs whose mode is installed."""
        return frozenset(pair for pair, mode in APERTIUM_MODES.items() if (MODES / f"{mode}.mode").exists())

    def engine(self, source: str, target: str) -> Engine:
        """The mode's pipeline, its data files and the tools' version."""
        return _engine(APERTIUM_MODES[source, target])

    def translate(self, segments: Sequence[Segment], source: str, target: str) -> list[Translation]:
        """Translate in one pipeline; what came back with broken spans is done again around them."""
        if not segments:
            return []
        mode = APERTIUM_MODES[source, target]
        guarded = [guard(segment, _OWN_MARKS) for segment in segments]
        results = [_read(*pair) for pair in zip(_ask(mode, guarded), guarded, strict=True)]
        pieces = {i: around(guarded[i]) for i, result in enumerate(results) if result is None}
        answers = iter(self.translate([p for some in pieces.values() for p in some], source, target))
        for i, some in pieces.items():
            results[i] = join(guarded[i], [next(answers) for _ in some])
        return [
            Translation(unguard(result.segment, segment), result.unknown)
            for result, segment in zip(results, segments, strict=True)
            if result is not None
        ]

    def close(self) -> None:
        """Nothing to give back."""


def _ask(mode: str, segments: Sequence[Segment]) -> list[str]:
    """Answers of a fresh pipeline, in order; "" for a segment that breaks two.

    After a break everything is asked again, so that what an accident killed gives the same answers.
    """
    lines = [_NO.sub(r"\1!", mask(segment, _mark)) for segment in segments]
    poisoned: set[int] = set()
    suspect = -1
    while len(poisoned) < POISONED_AT_MOST:
        asked = [i for i in range(len(lines)) if i not in poisoned]
        answers = [""] * len(lines)
        done = 0
        pipeline = _Pipeline(mode)
        try:
            for answer in pipeline.ask([lines[i] for i in asked]):
                answers[asked[done]] = answer
                done += 1
        except _Broken:
            if suspect == asked[done]:
                poisoned.add(suspect)
            suspect = asked[done]
        else:
            return answers
        finally:
            pipeline.kill()
    raise EngineError(f"Apertium's mode {mode} does not answer: `mldata doctor` shows what works")


def _read(answer: str, segment: Segment) -> Translation | None:
    """The translation an answer holds; None if a span was lost, doubled or changed."""
    text, unknown = _read_marks(answer)
    tidy = _tidy(text, segment.text)
    if _NO.search(segment.text):
        tidy = re.sub(r"!$", ".", tidy)
    result = unmask(tidy, segment.protected, _mark)
    return None if result is None else Translation(result, unknown)


class _Broken(Exception):
    """A pipeline ended, or said nothing for `TIMEOUT` seconds."""


class _Pipeline:
    """The processes of one mode, in a process group of their own."""

    def __init__(self, mode: str) -> None:
        # $1 and $2 of a mode: how lt-proc and the tagger print unknown words (-g: marked).
        self._process = subprocess.Popen(
            ["bash", "-c", _command(mode), "apertium", "-g", ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)

    def ask(self, lines: Sequence[str]) -> Iterator[str]:
        """Answers as they come. Writes while it reads: the pipe holds less than a batch."""
        waiting = b"".join(_request(line) for line in lines)
        answered, got, sent = 0, b"", 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            selector.register(self._out, selectors.EVENT_READ)
            while answered < len(lines):
                ready = selector.select(TIMEOUT)
                if not ready:
                    raise _Broken
                for key, _ in ready:
                    if key.fd == self._in:
                        sent += self._write(waiting[sent : sent + 65536])
                        if sent == len(waiting):
                            selector.unregister(self._in)
                        continue
                    read = os.read(self._out, 65536)
                    if not read:
                        raise _Broken
                    *complete, got = (got + read).split(b"\0")
                    for answer in complete:
                        yield _response(answer)
                        answered += 1

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._in, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            raise _Broken from error

    def kill(self) -> None:
        """End the whole group and reap its shell."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _request(line: str) -> bytes:
    return (_RESERVED.sub(r"\\\g<0>", line.replace("\0", " ")) + _END).encode() + b"\0"


def _response(answer: bytes) -> str:
    """Take off the sentinel. Some modes change it (eng-hbs adds blanks), so each part on its own."""
    text = answer.decode(errors="replace")
    text = text.removesuffix("[][\n]").rstrip(" ")
    return text.removesuffix(".")


def _read_marks(answer: str) -> tuple[str, tuple[str, ...]]:
    """Take the engine's marks out of an answer and the escapes off it: (text, marked words)."""
    unknown = tuple(_UNKNOWN.findall(answer))
    return _ESCAPED.sub(r"\1", _LEFT_OVER.sub("", answer)), unknown


def _tidy(answer: str, source: str) -> str:
    """Take out blanks the rules left behind (dropped pronouns), where the source has none."""
    if "  " not in source:
        answer = re.sub(r" {2,}", " ", answer)
    return answer.strip()


def _command(mode: str) -> str:
    """The shell pipeline of a mode, with NUL flush."""
    file = MODES / f"{mode}.mode"
    if not file.exists():  # the tool below says nothing of it
        raise EngineError(f"Apertium's mode {file} is gone: install its package again ({INSTALL})")
    tool = ["apertium-wblank-mode", "-z", str(file)]
    try:
        made = subprocess.run(tool, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EngineError(f"Apertium's mode {mode} can't be run: {error}") from error
    if mode == "hbs-mkd":
        # Debian's mode hangs: cg-proc 1.3.9 prints dependency tags that lt-proc -b can't read.
        return re.sub(r"(cg-proc[^|]*)", r"\1| sed -u -z 's/<#[0-9]*→[0-9]*>//g' ", made.stdout, count=1)
    return made.stdout


@cache
def _engine(mode: str) -> Engine:
    command = _command(mode)
    release = subprocess.run(["lt-proc", "--version"], capture_output=True, text=True, check=False)
    tool = release.stdout.split()[-1] if release.stdout else "unknown"
    digest = hashlib.blake2b(f"{REVISION}\n{tool}\n{command}".encode(), digest_size=16)
    for name in sorted({part.split()[0] for part in command.split("|") if part.strip()}):
        binary = shutil.which(name)
        digest.update(Path(binary).read_bytes() if binary else b"")
    for file in re.findall(r"'(/[^']+)'", command):
        if Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return Engine("apertium", f"{mode}, lttoolbox {tool}", digest.hexdigest(), "GPL-3.0-or-later")
