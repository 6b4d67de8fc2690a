"""The viewer's server in a thread of this process, for notebooks and scripts: until it is closed, or the process ends."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn

from fullconv.errors import BadInput
from fullconv.viewer.gate import Framing
from fullconv.viewer.serve import listened, require_page
from fullconv.viewer.server import application
from fullconv.viewer.shown import Shown

_HOST = "127.0.0.1"
_PATIENCE = 1  # seconds for answers that are being sent when it is closed
# Notebooks of this machine, at any port, and VS Code's, whose pages have schemes that no page of the web can have.
_ANCESTORS = (
    "http://127.0.0.1:*", "http://localhost:*", "https://127.0.0.1:*", "https://localhost:*", "vscode-webview:", "vscode-file:",
)  # fmt: skip


_PROXY = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%@+/-]*)?")


class Served:
    """A server of this machine alone.

    Attributes:
        address: what opens the page, with the token as its path: a browser keeps no cookie of a frame within another site's page.
    """

    def __init__(
        self, shown: Shown, port: int = 0, through: Callable[[int], str | None] = lambda _: None, ancestors: tuple[str, ...] = ()
    ) -> None:  # fmt: skip
        """Serve from now on.

        Args:
            shown: is closed with the server.
            port: 0: a free one.
            through: the address of a proxy that leads to a port, which ``{port}`` in it stands for; None: there is none.
            ancestors: whose frames the page may be shown in, besides notebooks of this machine and of the proxy.

        Raises:
            BadInput: the page is not built, the port cannot be listened at, or the proxy's address is none.
        """
        require_page()
        self._shown = shown
        listening = listened(_HOST, port)
        number = listening.getsockname()[1]
        token = secrets.token_urlsafe(32)
        base, hosts = f"http://{_HOST}:{number}", {f"{_HOST}:{number}", f"localhost:{number}"}
        framing = Framing((*_ANCESTORS, *ancestors))
        try:
            proxy = through(number)
            if proxy is not None:
                base, host, origin = _proxied(proxy, number)
                hosts.add(host)
                framing = Framing(("'self'", *framing.ancestors), frozenset([origin]))
        except BaseException:
            listening.close()
            raise
        self.address = f"{base}/{token}/"
        app = application(shown, frozenset(hosts), token, framing=framing)
        self._server = _Server(
            uvicorn.Config(
                app, log_config=None, log_level="error", access_log=False, lifespan="off", server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
            )
        )  # fmt: skip
        self._listening = listening
        self._thread = threading.Thread(target=self._serve, name="fullconv viewer")
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive() and not self._server.should_exit

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self._server.should_exit = True
        self._thread.join()

    def wait(self) -> None:
        """Until it is closed."""
        self._thread.join()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._listening])
        finally:
            self._server.should_exit = True
            self._listening.close()
            self._shown.close()


def _proxied(address: str, port: int) -> tuple[str, str, str]:
    """The address of a port behind a proxy, what ``Host`` is there, and what ``Origin``.

    Raises:
        BadInput: it is none.
    """
    base = address.replace("{port}", str(port)).rstrip("/")
    if _PROXY.fullmatch(base) is None:
        raise BadInput(
            f"through {address!r}: is no address of a proxy, such as https://hub.example.org/user/me/proxy/{{port}}/"
        )
    parts = urlsplit(base)
    return base, parts.netloc, f"{parts.scheme}://{parts.netloc}"


class _Server(uvicorn.Server):  # type: ignore[misc]
    """Ends with the main thread: an interpreter that ends waits for the threads of answers, which wait for their server."""

    async def on_tick(self, counter: int) -> bool:
        return bool(await super().on_tick(counter)) or not threading.main_thread().is_alive()
