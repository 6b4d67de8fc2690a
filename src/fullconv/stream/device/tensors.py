"""A slot: what one tile has on a device and beside it. Buffers are made once and grow; a slot is one tile's until its answers were read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fullconv.stream.device.lanes import Lanes

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """An array that goes up.

    Attributes:
        fill: writes it.
        key: two feeds of one name and key are alike, so that what is there already stays; None where that is not known.
    """

    name: str
    shape: Shape
    dtype: torch.dtype
    fill: Callable[[Array], None]
    key: Hashable | None = None


class Slot:
    """The buffers of one tile under way."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._queues = lanes.device.type == "cuda"  # copies wait for nobody, and lanes for them
        self._raw: dict[tuple[str, str], torch.Tensor] = {}
        self._lies: dict[str, Hashable] = {}  # what lies on the device by name
        self._fed: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._given: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.inputs: dict[str, torch.Tensor] = {}

    # Up ------------------------------------------------------------------------------------------

    def fill(self, feeds: Sequence[Feed]) -> None:
        """Write what goes up into memory that the device reads by itself."""
        self._fed.clear()
        for feed in feeds:
            there = self._of("device", feed.name, feed.shape, feed.dtype)
            self.inputs[feed.name] = there
            lies = (feed.shape, feed.dtype, feed.key)
            if feed.key is not None and self._lies.get(feed.name) == lies:
                continue
            self._lies[feed.name] = lies
            here = there if self._lanes.shares else self._of("up", feed.name, feed.shape, feed.dtype)
            feed.fill(here.numpy())
            self._fed.append((there, here))

    def upload(self) -> None:
        for there, here in self._fed:
            if there is not here:
                there.copy_(here, non_blocking=self._queues)

    # Down ----------------------------------------------------------------------------------------

    def give(self, answers: Sequence[torch.Tensor]) -> None:
        """Keep answers, each in one piece, until they were downloaded."""
        self._given.clear()
        for i, answer in enumerate(answers):
            shape = tuple(answer.shape)
            there = self._of("device", f"answer {i}", shape, answer.dtype)
            there.copy_(answer)
            here = there if self._lanes.shares else self._of("down", f"answer {i}", shape, answer.dtype)
            self._given.append((there, here))

    def download(self) -> None:
        for there, here in self._given:
            if here is not there:
                here.copy_(there, non_blocking=self._queues)

    def answers(self) -> list[Array]:
        """What was downloaded, as arrays of their own."""
        return [here.numpy().copy() for _, here in self._given]

    # ---------------------------------------------------------------------------------------------

    def _of(self, where: str, name: str, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
        """A buffer's beginning as an array of this shape."""
        count = prod(shape) * dtype.itemsize
        raw = self._raw.get((where, name))
        if raw is None or len(raw) < count:
            if where == "device":
                raw = torch.empty(count, dtype=torch.uint8, device=self._lanes.device)
                if self._queues:  # what had this memory before may still be read by another stream
                    torch.cuda.synchronize(self._lanes.device)
                self._lies.pop(name, None)
            else:
                raw = self._lanes.host(count)
            self._raw[where, name] = raw
        return raw[:count].view(dtype).reshape(shape)


def write(into: Array, array: Array) -> None:
    """Copy an array into the corner of one that is at least as large, by all processors where that is quicker."""
    corner = into[tuple(slice(0, length) for length in array.shape)]
    if array.flags.writeable and all(step > 0 for step in array.strides):
        torch.from_numpy(corner).copy_(torch.from_numpy(array))
    else:  # what tiles share is not to be written to, which PyTorch knows no word for
        np.copyto(corner, array)
