"""Who is let in: whoever has the token, of this address, from a page of this address. Every answer says what a page of it may do.

Other pages of the same browser can send requests here, by name (DNS rebinding) or by number: ``Host`` must be this server's own, ``Origin``
and ``Sec-Fetch-Site`` its own where a browser says them, and the token is in no such page's hands.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
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
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _RULES,
    "cache-control": "no-store",  # another server may listen here next, and a browser would show this one's tiles as its own
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Gate:
    """An application behind it.

    Attributes:
        hosts: what ``Host`` may be, port included.
        token: what a request must have, in its cookie or its query.
    """

    def __init__(self, app: App, hosts: frozenset[str], token: str) -> None:
        self._app, self.hosts, self._token = app, hosts, token
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
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            await refused(scope, receive, answer)
            return
        await self._app(scope, _bounded(receive), answer)

    def _refused(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        host = headers.get("host", "")
        if host not in self.hosts or sum(name == b"host" for name, _ in scope["headers"]) != 1:
            return PlainTextResponse("another host", 421)
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("another origin", 403)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=32)
        came = query.get("token", [""])[0]
        # The link that was printed may be opened from anywhere; everything else comes from the page.
        opens = scope["method"] == "GET" and scope["path"] == "/"
        if not opens and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("another site", 403)
        if self._is_token(came):
            if not opens:
                return None
            response = RedirectResponse("/", 303)
            response.set_cookie(self._cookie, came, httponly=True, samesite="strict", path="/")
            return response
        if not self._is_token(self._from_cookie(headers.get("cookie", ""))):
            return PlainTextResponse("open the address that fullconv view printed, with its token", 403)
        if _length(headers) > MOST_BODY:
            return PlainTextResponse("too long", 413)
        return None

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
