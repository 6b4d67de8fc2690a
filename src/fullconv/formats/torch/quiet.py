"""PyTorch's own voice: its errors in one paragraph, its warnings and logs kept from the user's terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no logged traces: what is wrong is told by an error."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def told(error: BaseException) -> str:
    """One paragraph of what PyTorch says."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    kept: list[str] = []
    for line in lines:
        if not line and kept:
            break
        if line:
            kept.append(line)
    return " ".join(kept)[:500] or type(error).__name__
