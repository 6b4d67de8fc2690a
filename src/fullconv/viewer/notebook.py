"""Where Python runs, as far as the viewer has to know it: in a notebook, whose cells show HTML, and how a browser gets at a port there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from html import escape

_COLAB = (
    "https://colab.research.google.com",
    "https://*.googleusercontent.com",
)  # a cell of it is a frame of the latter


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook.

    Attributes:
        hub: where its server lies on a JupyterHub, empty elsewhere.
        colab: whether it is Google's.
    """

    hub: str = ""
    colab: bool = False

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Whose frames its cells are in, where that is no page of this machine."""
        return _COLAB if self.colab else ()

    def through(self, port: int) -> str | None:
        """The address by which a browser gets at a port, where that is not this machine's own."""
        if not self.colab:
            return None
        from importlib import import_module

        output = import_module("google.colab.output")
        return str(output.eval_js(f"google.colab.kernel.proxyPort({port})"))


def notebook() -> Notebook | None:
    """The notebook in whose cell this runs, None elsewhere."""
    if "google.colab" in sys.modules:
        return Notebook(colab=True)
    ipython, marimo = sys.modules.get("IPython"), sys.modules.get("marimo")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None and not (marimo is not None and marimo.running_in_notebook()):
        return None
    return Notebook(os.environ.get("JUPYTERHUB_SERVICE_PREFIX", ""))


def framed(address: str, name: str, height: int, hint: str = "") -> str:
    """HTML of a frame, and below it what leads to the same page in a tab of its own."""
    to, what = escape(address), escape(name)
    more = f" {escape(hint)}" if hint else ""
    return (
        f'<div><iframe src="{to}" title="map viewer: {what}" width="100%" height="{height}" style="border:1px solid #8888" allow="fullscreen" loading="lazy"></iframe>'
        f'<p><a href="{to}" target="_blank" rel="noopener noreferrer">Open in a tab</a>: {what}, as long as this session of Python lasts.{more}</p></div>'
    )
