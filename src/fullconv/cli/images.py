"""Images by name: a folder, a list (``.txt``) or a table (``.csv``) stands for those that it holds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from fullconv.system.guard import is_folder, reads, reads_images_of

_COLUMNS = ("image", "path", "file", "filename", "slide")


def images_of(given: Sequence[str]) -> list[str]:
    """Images by name: folders, lists (``.txt``) and tables (``.csv``) stand for those that they hold."""
    found: list[str] = []
    for name in given:
        path = Path(name)
        if is_folder(path) and not name.rstrip("/").endswith(".zarr"):
            reads_images_of(path)
            found += _of_folder(path)
        elif path.suffix.lower() in (".txt", ".csv") and not _is_missing(path):
            reads(path)
            found += _of_list(path)
        else:
            found.append(name)
    reads(*found)
    return list(dict.fromkeys(found))


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError:  # a name that no file can have
        return True


def _of_folder(path: Path) -> list[str]:
    from fullconv.errors import BadInput
    from fullconv.rasters.open import SUFFIXES

    found = sorted(
        str(each) for each in path.iterdir() if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
    )
    if not found:
        raise BadInput(f"{path}: holds no image (of {', '.join(SUFFIXES)})")
    return found


def _of_list(path: Path) -> list[str]:
    from fullconv.errors import BadInput

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: not a readable list of images ({error})") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not text in UTF-8 ({error}); save it as UTF-8") from None
    if path.suffix.lower() == ".csv":
        rows = [row for row in csv.reader(lines) if row]
        titles = [title.strip().lower() for title in rows[0]] if rows else []
        column = next((titles.index(name) for name in _COLUMNS if name in titles), None)
        names = [row[column or 0].strip() for row in (rows if column is None else rows[1:]) if len(row) > (column or 0)]
    else:
        names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise BadInput(f"{path}: names no image")
    return [name if "://" in name or not _is_missing(Path(name)) else str(path.parent / name) for name in names]
