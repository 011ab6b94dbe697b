"""A stand-in for the Hugging Face hub: an HTTP server with the routes that huggingface_hub and datasets use.

Repositories of datasets are kept in memory, with their commits; large files go the way of Git LFS (no xet).
It refuses, fails, waits and breaks off when told to. It imitates https://huggingface.co/docs/hub/api.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_writesEverything0123456789"
READER = "hf_onlyReads0123456789"
LARGE = ".arrow"


def oid(kind: str, held: bytes) -> str:
    """Git's name of a blob, or the SHA-256 by which LFS calls a file."""
    if kind == "lfs":
        return hashlib.sha256(held).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()


@dataclass
class Repository:
    """A dataset: its branches, and what each commit holds."""

    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        """Add a commit to a branch; gives its name."""
        name = hashlib.sha1(f"{len(self.messages)} {branch} {message}".encode()).hexdigest()
        self.commits[name] = files
        self.branches[branch] = name
        self.messages.append(message)
        return name

    def find(self, revision: str) -> str | None:
        """The commit that a branch or commit's name means."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Hub:
    """The server, what it holds, and how it misbehaves."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """Content of LFS by its SHA-256, committed or not."""
    seen: list[str] = field(default_factory=list)
    """Requests, as "PUT /lfs/…"."""
    failing: list[tuple[str, int, int]] = field(default_factory=list)
    """(pattern of a request, status, how often): what to answer instead."""
    slow: dict[str, float] = field(default_factory=dict)
    """Pattern of a request -> seconds before it is answered."""
    breaking: str = ""
    """Pattern of requests at which the line goes dead."""

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """What readers of a branch see."""
        found = self.repositories[name]
        return found.commits[found.branches[branch]]

    def create(self, name: str, *, private: bool = False, **files: bytes) -> Repository:
        """A repository as the hub makes it."""
        made = self.repositories[name] = Repository(private)
        made.commit("main", {".gitattributes": b"*.arrow filter=lfs\n", **files}, "initial commit")
        return made

    def misbehaves(self, request: str) -> int | None:
        """The status to refuse a request with, if it is to be refused."""
        for number, (pattern, status, times) in enumerate(self.failing):
            if times and re.search(pattern, request):
                self.failing[number] = (pattern, status, times - 1)
                return status
        return None


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_HEAD = do_GET

    def _answer(self) -> None:
        request = f"{self.command} {unquote(self.path)}"
        self.hub.seen.append(request)
        for pattern, seconds in list(self.hub.slow.items()):
            if re.search(pattern, request):
                time.sleep(seconds)
        if self.hub.breaking and re.search(self.hub.breaking, request):
            self.close_connection = True
            self.connection.close()
            return
        body = self._body()
        status = self.hub.misbehaves(request)
        try:
            if status:
                raise _Refused(status, message="as the test wants")
            self._route(body)
        except _Refused as refused:
            self._send(
                {"error": refused.message},
                refused.status,
                {"X-Error-Code": refused.code, "X-Error-Message": refused.message},
            )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        held = b""
        while size := int(self.rfile.readline(), 16):
            held += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return held

    def _route(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = parse_qs(parts.query)
        for pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                answer(self, *found.groups(), body=body, query=query)
                return
        raise _Refused(404, "RouteNotFound", "no such route")

    # --- who asks

    def _who(self) -> str:
        said = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if said and said not in (TOKEN, READER):
            raise _Refused(401, message="Invalid credentials in Authorization header")
        return said

    def _may_write(self) -> None:
        if not self._who():
            raise _Refused(401, message="Invalid username or password.")
        if self._who() == READER:
            raise _Refused(403, message="You don't have the rights to write to this repository")

    def _repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._who()):
            # As the hub does: who isn't logged in isn't told what there is.
            raise _Refused(404 if self._who() else 401, "RepoNotFound", "Repository not found")
        return found

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        found = self._repository(name)
        commit = found.find(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, found.commits[commit]

    # --- routes

    def create(self, *, body: bytes, query: dict) -> None:
        asked = json.loads(body)
        self._may_write()
        assert asked["type"] == "dataset"
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            raise _Refused(409, message="You already created this dataset repo")
        self.hub.create(name, private=asked.get("visibility") == "private")
        self._send({"url": f"{self.hub.url}/datasets/{name}", "name": name})

    def validate(self, *, body: bytes, query: dict) -> None:
        from huggingface_hub import DatasetCard

        DatasetCard(json.loads(body)["content"])
        self._send({"warnings": [], "errors": []})

    def whoami(self, *, body: bytes, query: dict) -> None:
        self._send({"name": "ana", "type": "user", "orgs": []})

    def info(self, name: str, revision: str | None = None, *, body: bytes, query: dict) -> None:
        commit, files = self._commit(name, revision or "main")
        self._send(
            {
                "id": name,
                "sha": commit,
                "private": self.hub.repositories[name].private,
                "tags": [],
                "siblings": [{"rfilename": file} for file in sorted(files)],
            }
        )

    def branch(self, name: str, branch: str, *, body: bytes, query: dict) -> None:
        self._may_write()
        found = self._repository(name)
        if branch in found.branches:
            raise _Refused(409, message=f"Reference already exists: {branch}")
        found.branches[branch] = found.branches["main"]
        self._send({})

    def _entry(self, path: str, held: bytes) -> dict:
        if not path.endswith(LARGE):
            return {"type": "file", "path": path, "size": len(held), "oid": oid("git", held)}
        lfs = {"oid": oid("lfs", held), "size": len(held), "pointerSize": 134}
        return {"type": "file", "path": path, "size": len(held), "oid": oid("git", held[:100]), "lfs": lfs}

    def tree(self, name: str, revision: str, below: str | None = None, *, body: bytes, query: dict) -> None:
        _, files = self._commit(name, revision)
        start = f"{below}/" if below else ""
        inside = {path: held for path, held in sorted(files.items()) if path.startswith(start)}
        folders = {
            str(folder)
            for path in inside
            for folder in [path[: at.start()] for at in re.finditer("/", path) if at.start() > len(start)]
        }
        entries = [
            {"type": "directory", "path": f, "size": 0, "oid": oid("git", f.encode())}
            for f in sorted(folders)
        ]
        entries += [self._entry(path, held) for path, held in inside.items()]
        if query.get("recursive", ["false"])[0].lower() != "true":
            entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(start)]
        if below and not entries:
            raise _Refused(404, "EntryNotFound", f"{below} does not exist")
        self._send(entries)

    def paths(self, name: str, revision: str, *, body: bytes, query: dict) -> None:
        _, files = self._commit(name, revision)
        if self.headers.get("Content-Type", "").startswith("application/json"):
            asked = json.loads(body)["paths"]
        else:
            asked = parse_qs(body.decode())["paths"]
        found = [self._entry(path, files[path]) for path in asked if path in files]
        found += [
            {"type": "directory", "path": path, "size": 0, "oid": oid("git", path.encode())}
            for path in asked
            if any(file.startswith(f"{path}/") for file in files)
        ]
        self._send(found)

    def preupload(self, name: str, revision: str, *, body: bytes, query: dict) -> None:
        self._may_write()
        _, files = self._commit(name, revision)
        answers = []
        for file in json.loads(body)["files"]:
            kind = "lfs" if file["path"].endswith(LARGE) else "regular"
            held = files.get(file["path"])
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": kind,
                    "shouldIgnore": False,
                    "oid": None if held is None else oid("lfs" if kind == "lfs" else "git", held),
                }
            )
        self._send({"files": answers})

    def batch(self, name: str, *, body: bytes, query: dict) -> None:
        self._may_write()
        self._repository(name)
        objects = []
        for wanted in json.loads(body)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}
            objects.append(answer)
        self._send({"transfer": "basic", "objects": objects})

    def store(self, name: str, *, body: bytes, query: dict) -> None:
        if oid("lfs", body) != name:
            raise _Refused(400, message="another content than announced")
        self.hub.large[name] = body
        self._send({})

    def commit(self, name: str, branch: str, *, body: bytes, query: dict) -> None:
        self._may_write()
        found = self._repository(name)
        _, files = self._commit(name, branch)
        files = dict(files)
        header, *lines = [json.loads(line) for line in body.splitlines()]
        if header["value"].get("parentCommit") not in (None, found.branches[branch]):
            raise _Refused(412, message="A commit has happened since. Please refresh and try again.")
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise _Refused(400, message=f"unknown operation {line['key']}")
        made = found.commit(branch, files, header["value"]["summary"])
        self._send(
            {"success": True, "commitOid": made, "commitUrl": f"{self.hub.url}/datasets/{name}/commit/{made}"}
        )

    def resolve(self, name: str, revision: str, path: str, *, body: bytes, query: dict) -> None:
        commit, files = self._commit(name, revision)
        if path not in files:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        held = files[path]
        kind = "lfs" if path.endswith(LARGE) else "git"
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": f'"{oid(kind, held)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if wanted:
            start, end = int(wanted[1]), min(int(wanted[2] or len(held) - 1), len(held) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(held)}"
            self._send(held[start : end + 1], 206, headers)
            return
        self._send(held, 200, headers)

    def _send(self, what: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        held = what if isinstance(what, bytes) else json.dumps(what).encode()
        kind = "application/octet-stream" if isinstance(what, bytes) else "application/json"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(held)))
            for name, value in (headers or {}).items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(held)


_NAME = "([^/]+/[^/]+)"
_ROUTES = [
    ("/api/repos/create", _Handler.create),
    ("/api/validate-yaml", _Handler.validate),
    ("/api/whoami-v2", _Handler.whoami),
    (f"/api/datasets/{_NAME}/preupload/(.+)", _Handler.preupload),
    (f"/api/datasets/{_NAME}/commit/(.+)", _Handler.commit),
    (f"/api/datasets/{_NAME}/branch/(.+)", _Handler.branch),
    (f"/api/datasets/{_NAME}/revision/(.+)", _Handler.info),
    (f"/api/datasets/{_NAME}/tree/([^/]+)(?:/(.+))?", _Handler.tree),
    (f"/api/datasets/{_NAME}/paths-info/(.+)", _Handler.paths),
    (f"/api/datasets/{_NAME}", _Handler.info),
    (f"/datasets/{_NAME}.git/info/lfs/objects/batch", _Handler.batch),
    ("/lfs/(.+)", _Handler.store),
    (f"/datasets/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]


@contextlib.contextmanager
def running():
    """A hub that answers until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(hub, monkeypatch, folder):
    """Make huggingface_hub in this process ask this hub, with a cache of its own, as one who may write."""
    from huggingface_hub import constants

    url = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
