"""What may be written: never what is read, and over what exists only what fullconv wrote itself.

Commands and functions open a scope (``guarded``) and say in it what they read (``reads``); every write asks ``require_writable`` first.
A file that fullconv wrote says so itself, by a mark in its first or last bytes, so that it is known wherever it is moved to.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput

MARK = "written by fullconv"
_LFS, _POINTER = b"version https://git-lfs.github.com/spec/", 1024  # how a pointer begins, and bytes that none has
_LOOKED = 64 << 10  # bytes at either end of a file where the mark may stand
_TABLE = (
    b"image,row,col,x,y,x0,y0,x1,y1",
    b"image,class,label,cells,share",
    b"image,status,error,rules",
    b"row,col,x,y,x0,y0,x1,y1",
    b"label,cells,share",
)  # what tables begin with, which hold no mark; the last two are of earlier versions

Identity = tuple[int, int]  # device and number of a file: the same by whatever name, link or case


@dataclass
class _Scope:
    """What is read while it lasts."""

    overwrite: bool
    files: list[Path] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)  # folders that stand for the images in them


_scopes: ContextVar[tuple[_Scope, ...]] = ContextVar("_scopes", default=())


@contextmanager
def guarded(*read: Any, overwrite: bool = False) -> Iterator[list[Path]]:
    """While it lasts, nothing is written over or into what was read within; the files that were.

    Args:
        read: files and stores; what is no path of this machine is left out.
        overwrite: what exists and is not fullconv's own may be replaced.
    """
    scope = _Scope(overwrite)
    token = _scopes.set((*_scopes.get(), scope))
    try:
        reads(*read)
        yield scope.files
    finally:
        _scopes.reset(token)


def reads(*paths: Any) -> None:
    """Say what is read: a file, or a store with all that lies in it."""
    scopes = _scopes.get()
    if scopes:
        scopes[-1].files += _paths(paths)


def reads_images_of(folder: Path) -> None:
    """Say that a folder stands for the images that lie in it (not for those in folders of its own)."""
    scopes = _scopes.get()
    if scopes:
        scopes[-1].lists.append(folder)


def allow_overwrite() -> None:
    """In this scope, what exists and is not fullconv's own may be replaced."""
    scopes = _scopes.get()
    if scopes:
        scopes[-1].overwrite = True


def _paths(given: Iterable[Any]) -> list[Path]:
    texts = (str(each) for each in given if isinstance(each, str | Path))
    return [Path(text) for text in texts if text and not is_url(text) and "\0" not in text]


def is_url(text: str) -> bool:
    """Whether a name is a URL; one letter and a colon are a drive of Windows."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def require_writable(target: Path) -> None:
    """BadInput where a file must not be written."""
    require_apart(target)
    try:
        if not target.exists():
            return
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}; choose another name") from None
    if target.is_dir():
        raise BadInput(f"{target}: is a folder; name a file")
    if not target.is_file():
        raise BadInput(f"{target}: is a device or a pipe, which is not written to; name a file")
    if not any(scope.overwrite for scope in _scopes.get()) and not is_own(target):
        raise BadInput(
            f"{target}: exists, and fullconv did not write it, so it is kept; choose another output, or replace it with --overwrite "
            "(overwrite=True)"
        )


def require_folder(target: Path) -> None:
    """BadInput where a folder must not be made or replaced as a whole: it is read, lies in what is read, or holds what is read."""
    require_apart(target)
    own = _identity(target)
    for scope in _scopes.get():
        for path in (*scope.files, *scope.lists):
            if own is not None and own in {_identity(parent) for parent in resolved(path).parents}:
                raise BadInput(f"{target}: holds {path}, which is read; choose another output")


def require_apart(target: Path) -> None:
    """BadInput where a path is read, or lies in what is read."""
    here = resolved(target)
    above = [_identity(parent) for parent in here.parents]
    own = _identity(target)
    for scope in _scopes.get():
        for path in scope.files:
            read = _identity(path)
            if read is None:
                continue
            if read == own:
                name = f", by the name {path}" if path != target else ""
                raise BadInput(
                    f"{target}: is read{name}, and what is read is never written over; choose another output"
                )
            if read in above:
                raise BadInput(f"{target}: lies in {path}, which is read and never written into; choose another output")
        for folder in scope.lists:
            if above and _identity(folder) in (above[0], own):
                raise BadInput(
                    f"{target}: would lie among the images of {folder}, and be taken for one of them the next time; choose another folder"
                )


def resolved(path: Path) -> Path:
    """The path without links; one that leads round in a circle as it is."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return path


def same_name(path: Path) -> str:
    """What two paths share that name one file, whether it is there or not: in letters of one case where its folder ignores case."""
    whole = resolved(path)
    return str(whole).casefold() if _ignores_case(whole.parent) else os.path.normcase(whole)


def _ignores_case(folder: Path) -> bool:
    """Whether a file system takes names in letters of another case for the same, as Windows' and macOS' do."""
    for each in (folder, *folder.parents):
        other = each.with_name(each.name.swapcase()) if each.name else each
        try:
            if other != each and each.exists():
                return other.samefile(each)
        except OSError:  # of a name that no file can have, too
            return False
    return False


def _identity(path: Path) -> Identity | None:
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return about.st_dev, about.st_ino


def is_own(path: Path, suffix: str | None = None) -> bool:
    """Whether fullconv wrote a file.

    Args:
        suffix: what it is to be called, where that is not its name yet.
    """
    with path.open("rb") as file:
        first = file.read(_LOOKED)
        file.seek(-min(_LOOKED, os.fstat(file.fileno()).st_size), os.SEEK_END)
        last = file.read(_LOOKED)
    if (suffix or path.suffix).lower() == ".csv":
        return first.startswith(_TABLE)
    return MARK.encode() in first or MARK.encode() in last


def sign(path: Path) -> None:
    """Put the mark behind a file whose readers leave alone what no part of it points to, and in which a large head may come before its own mark."""
    with path.open("ab") as file:
        file.write(MARK.encode())


def require_start(path: Path, start: bytes, what: str) -> None:
    """BadInput where a file does not begin as one of its kind: a library would take it for another kind, and say so."""
    with path.open("rb") as file:
        if file.read(len(start)) != start:
            raise BadInput(f"{path}: not {what}: its first bytes are of another kind of file")


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a name that no file can have is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def require_file(path: Path, what: str = "") -> None:
    """BadInput where a path is no file that can be read: missing, a folder, a pipe, a device, without permission, a name that no system has."""
    named = f" ({what})" if what else ""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path}: no such file{named}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}{named}") from None
    except ValueError:
        raise BadInput(f"{str(path)!r}: is no name of a file{named}") from None
    if stat.S_ISDIR(mode):
        raise BadInput(f"{path}: is a folder; name a file{named}")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path}: is a pipe or a device; fullconv reads files{named}")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path}: cannot be read: Permission denied{named}")
    if is_pointer(path):
        raise BadInput(
            f"{path}: is a pointer of Git LFS and not the file itself; fetch that with git lfs pull, or download it from the repository's page{named}"
        )


def is_pointer(path: Path) -> bool:
    """Whether Git LFS left a pointer where the file is to come: a repository that was cloned without it holds those."""
    try:
        if path.stat().st_size > _POINTER:
            return False
        with path.open("rb") as file:
            return file.read(len(_LFS)) == _LFS
    except OSError:
        return False
