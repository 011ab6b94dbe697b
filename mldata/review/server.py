"""The review page: a server on this machine alone, for whoever has the address with its token.

Texts of data are escaped by the templates, and `guard` lets no request in that isn't the page's own. What a
reviewer says is in his journal before he sees the next row; nothing else is kept here, so that a page that
was killed goes on where it was.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mldata import shards
from mldata.concepts import FIELDS
from mldata.errors import InputError, MldataError, in_shell
from mldata.evidence import LENGTH_DEVIATION, columns
from mldata.languages import language as language_of
from mldata.pages import TEMPLATES, environment
from mldata.review import journal
from mldata.review.journal import MEANINGS, VERDICTS, Line
from mldata.review.sampling import Item, check_language, items
from mldata.review.verdicts import FLATTERED, as_text, verdicts

try:
    import python_multipart  # noqa: F401 (Starlette reads forms with it, and says so only then)
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise InputError(f'the review page needs {error.name}: pip install "mldata[review]"') from None

from mldata.review.guard import HOST, Guard

STATIC = {
    "style.css": ("text/css", ("style.css", "review.css")),
    "review.js": ("text/javascript", ("review.js",)),
}


@dataclass
class Desk:
    """A set on the table: what is judged of it."""

    path: Path
    sample: int
    seed: int
    _items: dict[str, list[Item]] = field(default_factory=dict)
    _seen: tuple[int, int] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def items(self, language: str) -> list[Item]:
        """The rows of a language to judge; drawn again when the set was replaced."""
        with self._lock:
            found = (self.path / "manifest.json").stat()
            if (found.st_ino, found.st_mtime_ns) != self._seen:
                self._items, self._seen = {}, (found.st_ino, found.st_mtime_ns)
            if language not in self._items:
                self._items[language] = items(self.path, language, sample=self.sample, seed=self.seed)
            return self._items[language]

    def said(self, language: str, reviewer: str) -> dict[tuple[str, str, str], Line]:
        """What a reviewer's verdicts on the rows of a language are."""
        lines = [line for line in journal.read_one(self.path, reviewer) if line.language == language]
        return {key: line for (_, key), line in journal.latest(lines).items()}


def serve(
    path: Path,
    token: str,
    listening: socket.socket,
    *,
    sample: int,
    seed: int,
    language: str | None = None,
    reviewer: str | None = None,
) -> None:
    """Serve the page at a socket of `listen` until interrupted."""
    app = application(
        Desk(path, sample, seed), token, listening.getsockname()[1], language=language, reviewer=reviewer
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


def listen(port: int) -> socket.socket:
    """A socket on this machine alone; port 0 takes a free one. InputError where it is taken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()  # a browser that comes before the server waits
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(
            f"port {port} can't be used ({error}): choose another --port, or leave it out"
        ) from None
    return listening


def application(
    desk: Desk, token: str, port: int, *, language: str | None = None, reviewer: str | None = None
) -> Starlette:
    """The page as an ASGI application, at the port it is served at."""
    pages = _Pages(desk, language, reviewer)
    routes = [
        Route("/", pages.overview),
        Route("/start", pages.start, methods=["POST"]),
        Route("/static/{name}", _static),
        Route("/rows/{language}/{reviewer}", pages.first),
        Route("/rows/{language}/{reviewer}/undo", pages.undo, methods=["POST"]),
        Route("/rows/{language}/{reviewer}/{number:int}", pages.row),
        Route("/rows/{language}/{reviewer}/{number:int}", pages.judge, methods=["POST"]),
    ]
    guard = Middleware(BaseHTTPMiddleware, dispatch=Guard(token, port))
    return Starlette(
        routes=routes, middleware=[guard], exception_handlers={MldataError: _told, OSError: _told}
    )


class _Pages:
    """The handlers: each reads its part of the address, and answers with a page or sends on to one."""

    def __init__(self, desk: Desk, language: str | None, reviewer: str | None) -> None:
        self.desk, self.language, self.reviewer = desk, language, reviewer

    async def overview(self, request: Request) -> Response:
        """All languages with what is known of each, and where to begin."""
        return await run_in_threadpool(self._overview)

    def _overview(self) -> Response:
        manifest = shards.read_manifest(self.desk.path)
        found = verdicts(self.desk.path)
        return _page(
            "review_overview.html",
            set=_name(self.desk.path),
            languages={tag: _named(tag) for tag in manifest.targets},
            found=found.languages,
            flattered=FLATTERED if found.calibrated else "",
            unreadable=sum(found.unreadable.values()),
            sample=self.desk.sample,
            meanings=MEANINGS,
            language=self.language,
            reviewer=self.reviewer,
            as_text=as_text,
            report=f"mldata report {in_shell(self.desk.path)}",
        )

    async def start(self, request: Request) -> Response:
        """A language and a reviewer's name: off to the first row."""
        form = await request.form()
        reviewer = journal.check_reviewer(str(form.get("reviewer", "")))
        return _to(str(form.get("language", "")), reviewer)

    async def first(self, request: Request) -> Response:
        """The first row that the reviewer has not judged, or the end."""
        return await run_in_threadpool(self._row, *_place(request), None)

    async def row(self, request: Request) -> Response:
        """A row, with what the reviewer said of it."""
        return await run_in_threadpool(self._row, *_place(request), request.path_params["number"])

    def _row(self, language: str, reviewer: str, number: int | None) -> Response:
        manifest = shards.read_manifest(self.desk.path)
        check_language(manifest, language)
        rows, said = self.desk.items(language), self.desk.said(language, reviewer)
        shared: dict[str, Any] = {
            "set": _name(self.desk.path),
            "language": language,
            "language_name": _named(language),
            "reviewer": reviewer,
            "here": _path(language, reviewer),
            "done": sum(item.key in said for item in rows),
            "total": len(rows),
        }
        if number is None:
            number = next((n for n, item in enumerate(rows, 1) if item.key not in said), None)
        if number is None:
            found = verdicts(self.desk.path).languages.get(language)
            return _page(
                "review_end.html",
                **shared,
                found=found,
                as_text=as_text,
                report=f"mldata report {in_shell(self.desk.path)}",
            )
        if not 1 <= number <= len(rows):
            raise InputError(f"there are {len(rows)} rows of {language} to judge, and no number {number}")
        item = rows[number - 1]
        return _page(
            "review_row.html",
            **shared,
            number=number,
            item=item,
            now=said.get(item.key),
            fields=_fields(item),
            translated_back=item.beside.back is not None,
            anchor=manifest.anchor,
            anchor_name=_named(manifest.anchor),
            evidence=_evidence(item),
            verdicts=[(key, verdict, MEANINGS[verdict]) for key, verdict in enumerate(VERDICTS, 1)],
            longest=journal.COMMENT,
        )

    async def judge(self, request: Request) -> Response:
        """Keep a verdict, or a comment on one, and go on."""
        form = await request.form()
        return await run_in_threadpool(
            self._judge, *_place(request), request.path_params["number"], {k: str(v) for k, v in form.items()}
        )

    def _judge(self, language: str, reviewer: str, number: int, form: Mapping[str, str]) -> Response:
        rows = self.desk.items(language)
        if not 1 <= number <= len(rows) or rows[number - 1].digest != form.get("digest"):
            raise InputError(
                "the set was made anew since this page was opened: start from the first page again"
            )
        item = rows[number - 1]
        before = self.desk.said(language, reviewer).get(item.key)
        verdict = form.get("verdict") or (before.verdict if before else None)
        if verdict is None:
            raise InputError("a comment goes with a verdict: go back and give one")
        if verdict not in VERDICTS:
            raise InputError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
        line = journal.said(item, reviewer, verdict, form.get("comment", ""))
        journal.append(self.desk.path, reviewer, [line])
        said = self.desk.said(language, reviewer)
        after = [*range(number, len(rows)), *range(number - 1)]
        return _to(language, reviewer, next((n + 1 for n in after if rows[n].key not in said), None))

    async def undo(self, request: Request) -> Response:
        """Take back the last thing said, and show the row it was said of."""
        return await run_in_threadpool(self._undo, *_place(request))

    def _undo(self, language: str, reviewer: str) -> Response:
        line = journal.undo(self.desk.path, reviewer, language)
        rows = self.desk.items(language)
        at = [n for n, item in enumerate(rows, 1) if line is not None and item.key == line.key]
        return _to(language, reviewer, at[0] if at else None)


def _place(request: Request) -> tuple[str, str]:
    """Language and reviewer of an address."""
    return request.path_params["language"], journal.check_reviewer(request.path_params["reviewer"])


def _path(language: str, reviewer: str) -> str:
    return f"/rows/{quote(language, safe='')}/{quote(reviewer, safe='')}"


def _to(language: str, reviewer: str, number: int | None = None) -> Response:
    return RedirectResponse(_path(language, reviewer) + (f"/{number}" if number else ""), 303)


def _name(path: Path) -> str:
    return path.resolve().name


def _named(tag: str) -> str:
    return language_of(tag).name


def _page(template: str, status: int = 200, **values: Any) -> Response:
    text = environment().get_template(template).render(**values)
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html")


async def _static(request: Request) -> Response:
    if request.path_params["name"] not in STATIC:
        return PlainTextResponse("mldata: nothing is here\n", 404)
    kind, files = STATIC[request.path_params["name"]]
    return Response("\n".join((TEMPLATES / file).read_text("utf-8") for file in files), media_type=kind)


async def _told(request: Request, error: Exception) -> Response:
    """An error that a user can do something about, as a page."""
    return _page("review_refused.html", 400, message=str(error))


@dataclass(frozen=True)
class Text:
    """One text of a row, or one message of a conversation."""

    role: str
    source: str
    translation: str
    back: str
    """Empty where nothing was translated back."""


def _fields(item: Item) -> list[tuple[str, list[Text]]]:
    """Each field's name and texts; a conversation message by message."""
    made = []
    for name in FIELDS:
        value = item.beside.row[name]
        roles = [message["role"] for message in value] if isinstance(value, list) else []
        source = messages(item.beside.source[name], roles)
        translation = messages(item.beside.translation[name], roles)
        back = messages(item.beside.back[name], roles) if item.beside.back else [""] * len(source)
        if not len(source) == len(translation) == len(back):
            roles, source, translation = [], [item.beside.source[name]], [item.beside.translation[name]]
            back = [item.beside.back[name] if item.beside.back else ""]
        texts = zip(roles or [""], source, translation, back, strict=True)
        made.append((name, [Text(*text) for text in texts]))
    return made


def messages(text: str, roles: list[str]) -> list[str]:
    """The contents of a conversation as `inspection.said` wrote it: without the roles, a text that begins in
    another direction than they do is shown in its own. The text itself where it is no such conversation."""
    found, rest = [], text
    for number, role in enumerate(roles):
        if not rest.startswith(f"{role}: "):
            return [text]
        rest = rest[len(role) + 2 :]
        ends = rest.find(f"\n\n{roles[number + 1]}: ") if number + 1 < len(roles) else len(rest)
        if ends < 0:
            return [text]
        found.append(rest[:ends])
        rest = rest[ends + 2 :]
    return found or [text]


def _evidence(item: Item) -> list[tuple[str, str, str]]:
    """Column, value and meaning of what was measured of the row; no threshold, and nothing that rules say."""
    meanings = {column.name: column.meaning for column in columns()}
    meanings[LENGTH_DEVIATION] = "how far length_ratio is from the language's median"
    shown = []
    for name, meaning in meanings.items():
        value = item.beside.row.get(name)
        if value is not None:
            shown.append((name, f"{value:.4g}" if isinstance(value, float) else str(value).lower(), meaning))
    return [*shown, *((issue, "", "issue found in the text") for issue in item.beside.row["issues"] or [])]
