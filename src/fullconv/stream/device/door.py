"""The door of a device: pixels go up as they were read, the network and all that is computed around it run there, what is stored comes down.

Every tile under way has a slot, which is its own until its answers were read; so nothing is written over that is still to be read, whatever the
lanes do beside one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Any, Protocol

import numpy as np
import torch

from fullconv.errors import BadInput, BrokenPromise, FullconvError
from fullconv.runtimes.torch.session import first_line
from fullconv.stream.device.lanes import Lanes, Mark
from fullconv.stream.device.leave import is_sound
from fullconv.stream.device.network import is_device_error
from fullconv.stream.device.tensors import Array, Feed, Slot, write
from fullconv.stream.door import Done, Door, Loaded
from fullconv.stream.job import Job
from fullconv.stream.timings import Timings
from fullconv.tiling.tiles import Tile

_INTEGERS = (np.uint8, np.int16, np.int32)  # what goes up as it is; all else as float32


class Work(Protocol):
    """What is run for a tile: the cast network, or crops."""

    def size(self, tile: Tile) -> tuple[int, int]:
        """(height, width) of the pixels that it takes, from the tile's first on."""

    def which(self, loaded: Loaded) -> Array:
        """What each cell that it computes is to the tile, uint8 as in ``leave``."""

    def feeds(self, loaded: Loaded) -> dict[str, Array]:
        """What else goes up."""

    def compute(self, given: dict[str, torch.Tensor], tile: Tile) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What ``Leave`` makes of the tile's cells."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A tile under way."""

    loaded: Loaded
    slot: Slot
    marks: tuple[Mark, Mark, Mark]


class Device:
    """The door."""

    def __init__(
        self, job: Job, work: Work, lanes: Lanes, image: tuple[int, int], usual: Callable[[], Door], timings: Timings
    ) -> None:
        """Args:
        image: its (height, width).
        usual: makes the door by which a tile is run again whose answers something is to be said of.
        """
        self.depth = lanes.depth
        self._job, self._work, self._lanes, self._timings = job, work, lanes, timings
        self._image, self._make_usual = image, usual
        self._usual: Door | None = None
        self._free: Queue[Slot] = Queue()
        for _ in range(self.depth):
            self._free.put(Slot(lanes))

    def start(self, loaded: Loaded) -> Ticket:
        slot = self._free.get()
        with self._told(loaded.tile, slot):
            slot.fill(self._feeds(loaded))
            up = self._lanes.do("up", slot.upload)
            run = self._lanes.do("run", lambda: slot.give(self._work.compute(slot.inputs, loaded.tile)), up)
            return Ticket(loaded, slot, (up, run, self._lanes.do("down", slot.download, run)))

    def finish(self, ticket: Ticket) -> Done:
        loaded, slot = ticket.loaded, ticket.slot
        with self._told(loaded.tile, slot):
            for stage, mark in zip(("up", None, "down"), ticket.marks, strict=True):
                mark.wait()
                if stage is not None:
                    self._timings.add(stage, mark.seconds)
        scores, winners, told = slot.answers()
        self._free.put(slot)
        if not is_sound(told.tolist(), self._job.stored, self._job.precision):
            return self._again(loaded)
        top1 = winners.view(np.uint16) if self._job.keep == "top1" else None
        return Done(loaded.tile, scores, top1, loaded.mark)

    def close(self) -> None:
        self._lanes.close()
        if self._usual is not None:
            self._usual.close()

    def _require_whole(self, tile: Tile, shape: tuple[int, ...]) -> None:
        """BrokenPromise where pixels are not all of a tile's: what is past them is taken for the image's end."""
        (y0, y1), (x0, x1) = tile.y.read, tile.x.read
        whole = min(y1, self._image[0]) - y0, min(x1, self._image[1]) - x0
        if shape[:2] != whole:
            raise BrokenPromise(f"tile {tile.name}: {shape[0]}×{shape[1]} px were read of {whole[0]}×{whole[1]}")

    def _again(self, loaded: Loaded) -> Done:
        """The same tile by the usual road, which says what is wrong, or that nothing is."""
        if self._usual is None:
            self._usual = self._make_usual()
        return self._usual.finish(self._usual.start(loaded))

    def _feeds(self, loaded: Loaded) -> list[Feed]:
        pixels = loaded.pixels
        assert pixels is not None, "a tile that goes through the door was read"
        if pixels.strides[2] == 0:
            pixels = pixels[:, :, :1]  # one plane that is seen several times goes up once
        size = self._work.size(loaded.tile)
        self._require_whole(loaded.tile, pixels.shape)
        pixels = pixels[: size[0], : size[1]]
        inside = pixels.shape[:2]
        missing = None if loaded.missing is None else loaded.missing[: inside[0], : inside[1]]

        def gone(into: Array) -> None:
            into[...] = True
            into[: inside[0], : inside[1]] = False if missing is None else missing

        def into_corner(array: Array) -> Callable[[Array], None]:
            return lambda into: write(into, array)

        own = pixels.dtype.type in _INTEGERS
        return [
            Feed(
                "pixels", (*size, pixels.shape[2]), _torch(pixels.dtype) if own else torch.float32, into_corner(pixels)
            ),
            Feed("gone", size, torch.bool, gone, inside if missing is None else None),
            *(
                Feed(name, array.shape, _torch(array.dtype), into_corner(array))
                for name, array in {"which": self._work.which(loaded), **self._work.feeds(loaded)}.items()
            ),
        ]

    @contextmanager
    def _told(self, tile: Tile, slot: Slot) -> Iterator[None]:
        """What PyTorch raises for a tile, in words; its slot is free again then."""
        device, where = self._lanes.device, f"tile {tile.name} (pixels {tile.box()})"
        try:
            try:
                yield
            except BaseException:
                self._free.put(slot)
                raise
        except torch.OutOfMemoryError:
            raise BadInput(
                f"{device} has not the memory for {where}: give --device-memory less, which makes tiles smaller (with --restart), or "
                "--device cpu; what is done is kept"
            ) from None
        except RuntimeError as error:
            if is_device_error(error):
                raise FullconvError(
                    f"{device} failed at {where}: {first_line(error)}; what is done is kept, and the same command goes on once it works again"
                ) from None
            raise FullconvError(
                f"PyTorch failed at {where} ({device}): {first_line(error)}; what is done is kept"
            ) from error


def _torch(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
