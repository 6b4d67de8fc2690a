"""Numbers that people type, on a command line or in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from fullconv.errors import BadInput

MOST_THREADS = 1024


def whole_number(text: str) -> int | None:
    """A number of one to nine ASCII digits, None for any other text (``²`` counts as a digit elsewhere, and has no value)."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def threads() -> int | None:
    """Threads that an engine may take by ``FULLCONV_THREADS``, where several processes share a machine; None where it is not set.

    Raises:
        BadInput: it is no number from 1 on, or a senseless one.
    """
    text = os.environ.get("FULLCONV_THREADS", "").strip()
    if not text:
        return None
    count = whole_number(text)
    if count is None or not 1 <= count <= MOST_THREADS:
        raise BadInput(
            f"FULLCONV_THREADS={text!r}: a number of threads, 1 to {MOST_THREADS}; unset it to take all processors"
        )
    return count


def compiles() -> bool | None:
    """Whether PyTorch compiles the networks that it runs, by ``FULLCONV_COMPILE``, 0 or 1; None where it is not set.

    Raises:
        BadInput: it is neither.
    """
    text = os.environ.get("FULLCONV_COMPILE", "").strip()
    if text not in ("", "0", "1"):
        raise BadInput(
            f"FULLCONV_COMPILE={text!r}: 1 compiles networks that PyTorch runs, 0 does not; unset it to compile for long maps on GPUs"
        )
    return text == "1" if text else None


def limited_threads(count: int) -> AbstractContextManager[None]:
    """While it lasts, engines are made for so many threads, in processes that are started meanwhile too."""
    return _said("FULLCONV_THREADS", str(count))


def compiling(on: bool) -> AbstractContextManager[None]:
    """While it lasts, networks that PyTorch runs are compiled, or none is."""
    return _said("FULLCONV_COMPILE", "1" if on else "0")


@contextmanager
def _said(name: str, text: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = text
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
