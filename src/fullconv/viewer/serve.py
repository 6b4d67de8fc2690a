"""A server on a free port of this machine, until it is stopped, and the address that lets one in."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable
from contextlib import closing, suppress

import uvicorn

from fullconv.errors import BadInput
from fullconv.viewer.server import FILES, PAGE, application
from fullconv.viewer.shown import Shown

_BUILD = "the viewer's page is not built: it comes with fullconv's wheel; in a source checkout build it with `make web`, which needs Node.js 20"


def require_page() -> None:
    """BadInput where the page was not built."""
    if not all((PAGE / name).is_file() for name in FILES.values()):
        raise BadInput(_BUILD)


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone; a name that is no address is ``localhost`` or none."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listened(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        BadInput: it cannot.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise BadInput(
            f"{host}, port {port}: cannot be listened at: {getattr(error, 'strerror', None) or error}"
        ) from None
    listening.listen(128)
    return listening


def serve(shown: Shown, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        host: the address to listen at.
        port: 0: a free one.
        ready: told the address to open, token included, once it is listened at.

    Raises:
        BadInput: it cannot be listened at.
    """
    require_page()
    with closing(listened(host, port)) as listening:
        port = listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        token = secrets.token_urlsafe(32)
        names = {name, "127.0.0.1", "localhost"} if is_loopback(host) else {name}
        app = application(shown, frozenset(f"{each}:{port}" for each in names), token)
        ready(f"http://{name}:{port}/?token={token}")
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
        )
        with suppress(KeyboardInterrupt):  # the way to end it
            server.run(sockets=[listening])
