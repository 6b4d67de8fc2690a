"""A folder as a Zarr store, in which every key is written in a folder of the run's own and takes its place by one rename."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore


class Staged(LocalStore):
    """A folder.

    Attributes:
        written: bytes of each key that was written through it; 0 of one that was removed.
    """

    def __init__(
        self, root: Path | str, parts: Path, gone: Callable[[], Exception], *, read_only: bool = False
    ) -> None:
        """``parts`` is the run's folder; ``gone`` says what became of the store where it is not there."""
        super().__init__(root, read_only=read_only)
        self.written: dict[str, int] = {}
        self._parts, self._gone = parts, gone

    def with_read_only(self, read_only: bool = False) -> Self:
        made = type(self)(self.root, self._parts, self._gone, read_only=read_only)
        made.written = self.written
        return made

    async def _open(self, *, mode: Any = None) -> None:
        self._ensure_open_sync()

    def _ensure_open_sync(self) -> None:
        """Without making the folder: one that was removed stays so."""
        if not self.root.exists():
            raise self._gone()
        self._is_open = True

    def set_sync(self, key: str, value: Buffer) -> None:
        self._check_writable()
        target, part = self.root / key, self._parts / token_hex(8)
        view = value.as_buffer_like()
        try:
            with part.open("xb") as file:
                file.write(view)
            if not target.parent.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        except FileNotFoundError:
            raise self._gone() from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self.written[key] = memoryview(view).nbytes

    async def set(self, key: str, value: Buffer) -> None:
        await asyncio.to_thread(self.set_sync, key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        if not (self.root / key).exists():
            await self.set(key, value)

    def delete_sync(self, key: str) -> None:
        self._check_writable()
        part = self._parts / token_hex(8)
        if not self._parts.exists():
            raise self._gone()
        with suppress(FileNotFoundError, NotADirectoryError):
            (self.root / key).rename(part)
        part.unlink(missing_ok=True)
        self.written[key] = 0

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self.delete_sync, key)
