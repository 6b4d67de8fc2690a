"""Tiles on other processes, by Dask (extra ``dask``)."""

from __future__ import annotations
from typing import Any


def run_on_cluster(*args: Any, **kw: Any) -> None:
    """To come."""
