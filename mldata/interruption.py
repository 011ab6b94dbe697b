"""Ctrl-C and SIGTERM: the command ends soon, cleanly, and says what is kept; 130 and 143 are its exit codes.

The first signal raises `Interrupted` where the main thread is at work; any more do nothing. Where that takes
longer than `GRACE` (a library that computes for long, or swallows what is raised in its callbacks), a thread
says the same and ends the process at once: nothing is lost by that, as every file appears whole or not at
all, and processes that were started end with their parent. Imports nothing heavy: it is armed before
everything else is imported.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

GRACE = 3.0
"""Seconds in which the main thread may come to an end by itself; it takes a tenth of one, as a rule."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The command was told to stop. No Exception, so that nobody takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


_ended = threading.Event()
_got: int | None = None


def armed() -> None:
    """From now on signals raise `Interrupted`. One that the shell has this process ignore stays ignored."""
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    if not numbers or threading.current_thread() is not threading.main_thread():
        return
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
    # The thread holds both ends: closed, they could not be written to.
    threading.Thread(target=_watch, args=(ours, pythons), daemon=True).start()
    for number in numbers:
        signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    global _got
    if _got is None:
        _got = number
        raise Interrupted(number)


def _watch(ours: socket.socket, pythons: socket.socket) -> None:
    """Wait for a signal, which the interpreter writes down at once, whatever the main thread does."""
    del pythons
    number = 0
    while number not in SIGNALS:
        number = ours.recv(1)[0]
    if _ended.wait(GRACE):
        return
    show_cursor = "\x1b[?25h\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{show_cursor}{wording(number)}\n")
    sys.stderr.flush()
    os._exit(128 + number)


def command() -> str:
    """The command line as it can be pasted into a shell."""
    return shlex.join(["mldata", *sys.argv[1:]])


def text(number: int) -> str:
    """What is said of an interruption by signal `number`."""
    del number
    what = kept()
    return f"mldata: interrupted{what and '; '}{what}. To go on:\n{command()}"


kept: Callable[[], str] = str
"""What is kept of the work done so far, as a clause, or ""; commands set it."""
wording: Callable[[int], str] = text
"""What is said of an interruption; set where all that is said is JSON."""


def leave(stop: Interrupted) -> NoReturn:
    """Say what is kept, and end with the signal's exit code."""
    _ended.set()
    for number in SIGNALS:  # else the interpreter, as it ends, gives them back their power to kill
        signal.signal(number, signal.SIG_IGN)
    print(wording(stop.exit_code - 128), file=sys.stderr)
    sys.exit(stop.exit_code)
