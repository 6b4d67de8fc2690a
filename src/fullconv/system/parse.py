"""Numbers that people type, on a command line or in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """While it lasts, engines are made for so many threads, in processes that are started meanwhile too."""
    before = os.environ.get("FULLCONV_THREADS")
    os.environ["FULLCONV_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FULLCONV_THREADS"]
        else:
            os.environ["FULLCONV_THREADS"] = before
