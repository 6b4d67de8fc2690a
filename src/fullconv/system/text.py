"""Text files of strangers: read whole, of bounded length."""

from __future__ import annotations

from pathlib import Path

from fullconv.errors import BadInput
from fullconv.system.guard import reads, require_file


def read_text(path: Path, what: str, longest: int = 1 << 24) -> str:
    """A text file in UTF-8, with or without a byte order mark; ends of lines stay as they are.

    Args:
        what: what the file is, for messages.
        longest: characters that it may have.

    Raises:
        BadInput: it is missing, not readable, no text, or longer.
    """
    require_file(path, what)
    reads(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(longest + 1)
    except OSError as error:
        raise BadInput(f"{path}: not a readable text file ({error})") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not text in UTF-8 ({error}); save it as UTF-8") from None
    if len(text) > longest:
        raise BadInput(f"{path}: is longer than any {what} ({longest:,} characters)")
    return text
