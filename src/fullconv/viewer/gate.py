"""Who is let in: whoever has the token, of this address, from a page of this address. Every answer says what a page of it may do.

Other pages of the same browser can send requests here, by name (DNS rebinding) or by number: ``Host`` must be this server's own, ``Origin``
and ``Sec-Fetch-Site`` its own where a browser says them, and the token is in no such page's hands.

In the frame of a notebook, whose page is another site, a browser keeps no cookie: there the token is the first part of every path.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY = 64 << 10
_RULES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors "
)
_HEADERS = {
    "cache-control": "no-store",  # another server may listen here next, and a browser would show this one's tiles as its own
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Framing:
    """In whose frames the page may be shown.

    Attributes:
        ancestors: sources as a content security policy has them.
        origins: what ``Origin`` may be besides the server's own: of a proxy in front of it.
    """

    ancestors: tuple[str, ...]
    origins: frozenset[str] = frozenset()


class Gate:
    """An application behind it.

    Attributes:
        hosts: what ``Host`` may be, port included.
        token: what a request must have, in its cookie or its query; of a page in a frame in its path.
    """

    def __init__(self, app: App, hosts: frozenset[str], token: str, framing: Framing | None = None) -> None:
        self._app, self.hosts, self._token, self._framing = app, hosts, token, framing
        ancestors = ("'none'",) if framing is None else framing.ancestors
        rules = {"content-security-policy": _RULES + " ".join(ancestors)}
        denied = {"x-frame-options": "DENY"} if framing is None else {}  # it knows no list of origins
        self._headers = [(name.encode(), value.encode()) for name, value in {**_HEADERS, **rules, **denied}.items()]
        self._cookie = f"fullconv_{min(hosts).rpartition(':')[2]}"  # a cookie is of every port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        named = False
        if self._framing is not None:
            first, slash, rest = scope["path"].removeprefix("/").partition("/")
            named = bool(slash) and self._is_token(first)
            scope = {**scope, "path": f"/{rest}"} if named else scope
        refused = self._refused(scope, headers, named)
        if refused is not None:
            await refused(scope, receive, answer)
            return
        await self._app(scope, _bounded(receive), answer)

    def _refused(self, scope: Scope, headers: dict[str, str], named: bool) -> Response | None:
        """Why a request is not answered by the application, None where it is.

        Args:
            named: whether its path began with the token.
        """
        host = headers.get("host", "")
        if host not in self.hosts or sum(name == b"host" for name, _ in scope["headers"]) != 1:
            return PlainTextResponse("another host", 421)
        origin = headers.get("origin")
        proxies = frozenset[str]() if self._framing is None else self._framing.origins
        if origin is not None and origin != f"http://{host}" and origin not in proxies:
            return PlainTextResponse("another origin", 403)
        # The link that was printed may be opened from anywhere; everything else comes from the page.
        opens = scope["method"] == "GET" and scope["path"] == "/"
        if not opens and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("another site", 403)
        if self._framing is not None:
            if not named:
                return PlainTextResponse("open the address that view() gave, with its token", 403)
        else:
            try:
                query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=32)
            except ValueError:
                return PlainTextResponse("too many fields", 400)
            came = query.get("token", [""])[0]
            if self._is_token(came):
                return self._redirected(came) if opens else None
            if not self._is_token(self._from_cookie(headers.get("cookie", ""))):
                return PlainTextResponse("open the address that fullconv view printed, with its token", 403)
        return PlainTextResponse("too long", 413) if _length(headers) > MOST_BODY else None

    def _redirected(self, token: str) -> Response:
        """To the page without the token, which stays in no history."""
        response = RedirectResponse("/", 303)
        response.set_cookie(self._cookie, token, httponly=True, samesite="strict", path="/")
        return response

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _from_cookie(self, text: str) -> str:
        try:
            found = SimpleCookie(text).get(self._cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value


def _length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else MOST_BODY + 1


def _bounded(receive: Receive) -> Receive:
    """A body that ends where it is longer than bodies are, whatever its head said."""
    left = MOST_BODY

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if left < 0 else message

    return bounded
