"""Whether the viewer can be had: its libraries are an extra."""

from __future__ import annotations

from importlib.util import find_spec

from fullconv.errors import MissingExtra


def require_extra() -> None:
    """MissingExtra where the server's libraries are not installed."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise MissingExtra("the viewer needs starlette and uvicorn: pip install 'fullconv[view]'")
