"""What a file is by its first bytes: Keras 2 wrote HDF5 under ``.keras`` too, and people rename files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ZIP = b"PK"


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, as ``.keras`` files are from Keras 2.13 on; else it is HDF5, if anything."""
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP)) == _ZIP
    except OSError:
        return False


@contextmanager
def by_its_suffix(path: Path) -> Iterator[Path]:
    """The file under a name by which Keras reads it as what it is."""
    suffix = ".keras" if is_archive(path) else ".h5"
    if path.suffix.lower() == suffix or (suffix == ".h5" and path.suffix.lower() == ".hdf5"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="fullconv-") as folder:
        yield Path(shutil.copyfile(path, Path(folder) / f"model{suffix}"))
