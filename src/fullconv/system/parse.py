"""Numbers that people type, on a command line or in the environment."""

from __future__ import annotations

import os
import re

from fullconv.errors import BadInput

_MOST_THREADS = 1024


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
    if count is None or not 1 <= count <= _MOST_THREADS:
        raise BadInput(
            f"FULLCONV_THREADS={text!r}: a number of threads, 1 to {_MOST_THREADS}; unset it to take all processors"
        )
    return count
