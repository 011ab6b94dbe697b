"""Answers of model servers, kept so that none is paid for twice, and the budget they are paid from.

One SQLite file in the work store for all engines and workers. An answer is found by the digest of what was
asked (model, messages, parameters; never an address or key), so a build that was killed, or made again with
other rules, asks only what was never answered. Before a request leaves, the most it can cost is reserved;
the transaction that stores its answer frees it. What was reserved for a request without an answer stays
reserved, since it may have been billed: whatever is killed when, the sum never exceeds the budget, unless a
server counts more tokens than the request allowed it (what it counts is what is booked).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mldata.errors import EngineError, InputError, SetError

FILE = "answers.sqlite"
"""Its name in the work store. The store must be on a disk of this machine: SQLite's locks need one."""
_UNIT = 1_000_000_000
"""Money is counted in whole billionths, each request's rounded up: sums of floats would drift."""
_SCHEMA = """
create table if not exists answers (
    key text primary key, engine text not null, text text not null, finish text not null,
    refused integer not null, tokens_in integer not null, tokens_out integer not null, cost integer not null
) without rowid;
create table if not exists totals (
    engine text primary key, requests integer not null, tokens_in integer not null,
    tokens_out integer not null, cost integer not null
) without rowid;
create table if not exists reserved (
    id text primary key, key text not null, engine text not null, cost integer not null,
    host text not null, process integer not null, until real not null
) without rowid;
"""


@dataclass(frozen=True)
class Reply:
    """What a server answered to one request."""

    text: str
    """As it came; reading it (`replies.py`) may change without asking again."""
    finish: str
    """Why it ended: "stop", "length", "content_filter" or what else the server calls it."""
    refused: bool = False
    """The server says itself that the model refused."""
    tokens_in: int = 0
    tokens_out: int = 0
    """As the server counted them; the most they can be where it didn't."""


@dataclass(frozen=True)
class Spent:
    """What the requests of a work store used."""

    requests: int = 0
    """Answered ones, each once."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    """Money for all, `unanswered` included."""
    unanswered: float = 0.0
    """The most that requests without an answer, under way or lost, can have cost."""
    engines: Mapping[str, Spent] = field(default_factory=dict)
    """The same for each engine, by its name in the recipe."""


def spent(work: Path) -> Spent:
    """What all requests kept in the work store `work` used; it may be written to at the same time.

    SetError if the file is damaged.
    """
    path = work / FILE
    if not path.exists():
        return Spent()
    with _errors(path), contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        database.executescript(_SCHEMA)
        done = {row[0]: row[1:] for row in database.execute("select * from totals order by engine")}
        open_ = dict(database.execute("select engine, sum(cost) from reserved group by engine").fetchall())
    engines = {}
    for name in sorted({*done, *open_}):
        requests, tokens_in, tokens_out, cost = done.get(name, (0, 0, 0, 0))
        lost = open_.get(name, 0)
        engines[name] = Spent(requests, tokens_in, tokens_out, (cost + lost) / _UNIT, lost / _UNIT)
    return Spent(
        sum(one.requests for one in engines.values()),
        sum(one.tokens_in for one in engines.values()),
        sum(one.tokens_out for one in engines.values()),
        (sum(row[3] for row in done.values()) + sum(open_.values())) / _UNIT,
        sum(open_.values()) / _UNIT,
        engines,
    )


class Answers:
    """The file, opened for one engine. Safe in several processes; within one, for one thread at a time."""

    def __init__(self, work: Path | None, engine: str, max_cost: float | None, patience: float) -> None:
        """In `work`, or in memory without one. `patience`: seconds that a request may take.

        InputError if the file can't be written, SetError if it is damaged.
        """
        self._engine, self._patience = engine, patience
        self._limit = None if max_cost is None else round(max_cost * _UNIT)
        self._path = Path(":memory:") if work is None else work / FILE
        self._host = socket.gethostname()
        with _errors(self._path):
            if work is not None:
                work.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                self._path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._in_wal_mode()
            # Money spent must be known after a power cut too: each commit waits for the disk.
            self._database.execute("pragma synchronous = full")
            self._database.executescript(_SCHEMA)

    def _in_wal_mode(self) -> None:
        """SQLite doesn't wait here for one that is writing, as workers that start together are."""
        end = time.monotonic() + 60
        while True:
            try:
                self._database.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def find(self, key: str) -> Reply | None:
        """The answer to what was asked under `key`."""
        with _errors(self._path):
            row = self._database.execute(
                "select text, finish, refused, tokens_in, tokens_out from answers where key = ?", (key,)
            ).fetchone()
        return None if row is None else Reply(row[0], row[1], bool(row[2]), row[3], row[4])

    def reserve(self, key: str, bound: int) -> Reply | str | None:
        """Reserve `bound` billionths for asking `key`: the reservation's name, or the answer if there is one.

        None: another request under way must end first, because it asks the same or because the budget may
        have room then: try again soon. EngineError if the budget has no room.
        """
        if bound == 0:
            return self.find(key) or ""
        with self._transaction():
            if (known := self.find(key)) is not None:
                return known
            under_way = self._under_way()
            if key in under_way:
                return None
            total = self._sum("totals") + self._sum("reserved")
            if self._limit is not None and total + bound > self._limit:
                if under_way:
                    return None
                raise EngineError(self._used_up(total, bound))
            name = secrets.token_hex(8)
            self._database.execute(
                "insert into reserved values (?, ?, ?, ?, ?, ?, ?)",
                (name, key, self._engine, bound, self._host, os.getpid(), time.time() + self._patience),
            )
        return name

    def record(self, key: str, reservation: str, reply: Reply, cost: int) -> Reply:
        """Store the answer to `key` and its cost, and free its reservation.

        Gives the answer that counts from now on: an earlier one, if another process was quicker.
        """
        with self._transaction():
            self._database.execute("delete from reserved where id = ?", (reservation,))
            self._database.execute(
                "insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    self._engine,
                    reply.text,
                    reply.finish,
                    reply.refused,
                    reply.tokens_in,
                    reply.tokens_out,
                    cost,
                ),
            )
            self._database.execute(
                "insert into totals values (?, 1, ?, ?, ?) on conflict (engine) do update set "
                "requests = requests + 1, tokens_in = tokens_in + excluded.tokens_in, "
                "tokens_out = tokens_out + excluded.tokens_out, cost = cost + excluded.cost",
                (self._engine, reply.tokens_in, reply.tokens_out, cost),
            )
            stored = self.find(key)
        return stored or reply

    def free(self, reservation: str) -> None:
        """The request was never worked on: it costs nothing."""
        with self._transaction():
            self._database.execute("delete from reserved where id = ?", (reservation,))

    def lose(self, reservation: str) -> None:
        """The request has no answer and may have been billed: what it can cost stays reserved."""
        with self._transaction():
            self._database.execute("update reserved set until = 0 where id = ?", (reservation,))

    def close(self) -> None:
        """Close the file; an answer in memory is gone."""
        self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors(self._path):
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it already
                    self._database.execute("rollback")
                raise

    def _under_way(self) -> list[str]:
        """The keys of requests that may still be answered; of another machine's, only time tells."""
        rows = self._database.execute(
            "select key, host, process from reserved where until > ?", (time.time(),)
        ).fetchall()
        return [key for key, host, process in rows if host != self._host or _is_alive(process)]

    def _sum(self, table: str) -> int:
        return int(self._database.execute(f"select coalesce(sum(cost), 0) from {table}").fetchone()[0])

    def _used_up(self, total: int, bound: int) -> str:
        requests = self._database.execute("select coalesce(sum(requests), 0) from totals").fetchone()[0]
        lost = self._sum("reserved")
        unanswered = f", {lost / _UNIT:.6g} of it perhaps, on requests without an answer" if lost else ""
        return (
            f"{self._engine}: the budget of {(self._limit or 0) / _UNIT:.6g} is used up: "
            f"{total / _UNIT:.6g} went on {requests} answers{unanswered}, and the next request may cost "
            f"{bound / _UNIT:.6g}. Nothing is lost: run the same command with a higher --max-cost"
        )


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextlib.contextmanager
def _errors(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:  # full, locked, read-only, not a file
        raise InputError(f"{path}, where paid answers are kept, can't be used: {error}") from None
    except sqlite3.DatabaseError as error:
        raise SetError(
            f"{path}, where paid answers are kept, is damaged ({error}): put a copy back, or delete it and "
            "pay for what the store still misses"
        ) from None
    except OSError as error:
        raise InputError(f"{path}, where paid answers are kept, can't be made: {error}") from None
