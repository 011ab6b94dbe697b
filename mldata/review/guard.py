"""Who may talk to the review page: this machine's browser, with the token, from the page itself.

What a browser may be lured into is refused: each request needs the token (in the address at first, then in a
cookie that no other site's page sends), a Host that is this machine's (so that no name of another's can point
here) and, to change anything, an Origin that is this page's own. The page's policy lets no script run but the
one that is served with it.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

HOST = "127.0.0.1"
BODY = 1 << 16
"""Bytes of a form, more than a comment of the longest kind takes."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # "no-referrer" would take the Origin from forms, too
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Lets requests through that come from the page itself."""

    def __init__(self, token: str, port: int) -> None:
        self._token, self._cookie = token, f"mldata_review_{port}"  # cookies don't tell ports apart
        self._hosts = {f"{host}:{port}" for host in (HOST, "localhost")}
        if port == 80:
            self._hosts |= {HOST, "localhost"}

    async def __call__(self, request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse the request, or let it through; either way with HEADERS."""
        refused = self._refusal(request)
        answer = PlainTextResponse(f"mldata: {refused}\n", 403) if refused else await go_on(request)
        if not refused and "token" in request.query_params:
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        answer.headers.update(HEADERS)
        return answer

    def _refusal(self, request: Request) -> str | None:
        if request.headers.get("host") not in self._hosts:
            return "this page is for this machine alone; open the address that `mldata review` printed"
        given = request.query_params.get("token") or request.cookies.get(self._cookie) or ""
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return "the address lacks the token of this review; open the one that `mldata review` printed"
        if request.method in ("GET", "HEAD"):
            return None
        if request.headers.get("origin") not in {f"http://{host}" for host in self._hosts}:
            return "what another page sends isn't taken"
        if not request.headers.get("content-length", "").isdecimal():
            return "a form says how long it is"
        if int(request.headers["content-length"]) > BODY:
            return f"a form has {BODY} bytes at most"
        return None
