"""The untouched network over the crops of a tile, cut from it on its device: pixels go up once, however often crops overlap."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import nn

from fullconv.errors import BadInput
from fullconv.maps.ways import Way
from fullconv.runtimes.torch.device import computing
from fullconv.stream.device.cast import Answers
from fullconv.stream.device.enter import Enter
from fullconv.stream.device.leave import ASKED, OUTSIDE, Leave
from fullconv.stream.device.network import Compiled, Network, Networks, Size
from fullconv.stream.device.tensors import Array
from fullconv.stream.door import Loaded
from fullconv.stream.processor import tops
from fullconv.stream.timings import Timings
from fullconv.tiling.tiles import Tile

_log = logging.getLogger("fullconv")


def gives_rows(network: Network, channels: int, size: Size) -> bool:
    """Whether a network answers every crop of a batch with one row of classes."""
    with computing(network.precision, network.device):
        found = network(torch.zeros(size[0], channels, *size[1:], device=network.device))
    return found.ndim > 1 and len(found) == size[0] and found[0].numel() == max(found.shape[1:])


class Batch(nn.Module):
    """(1, C, H, W) values and the corners of some crops, (crops,) each, to (crops, classes)."""

    down: torch.Tensor
    along: torch.Tensor

    def __init__(self, network: Network, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        for name, length in zip(("down", "along"), size, strict=True):
            self.register_buffer(name, torch.arange(length, device=network.device), persistent=False)

    def forward(self, values: torch.Tensor, top: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        rows = (top[:, None] + self.down)[:, :, None]
        cols = (left[:, None] + self.along)[:, None, :]
        crops = values[0][:, rows, cols].transpose(0, 1)
        scores: torch.Tensor = self.network(crops)
        return scores.reshape(len(top), -1).float()


class Crops:
    """The untouched network's work for tiles."""

    def __init__(
        self, way: Way, enter: Enter, networks: Networks, leave: Leave, batch: int, timings: Timings | None
    ) -> None:
        """Args:
        batch: crops a run: all runs have as many, the last one's being filled up.
        """
        self._way, self._enter, self._leave, self._networks = way, enter, leave, networks
        self._crop = int(way.sampling.crop[0]), int(way.sampling.crop[1])
        self.batch, self._timings = batch, timings
        self._run = self._compiled()

    def _compiled(self) -> Compiled:
        network = self._networks.of((self.batch, *self._crop))
        return Compiled(Batch(network, self._crop), network.precision, network.device, self._timings)

    def size(self, tile: Tile) -> tuple[int, int]:
        (y0, y1), (x0, x1) = tile.y.read, tile.x.read
        return y1 - y0, x1 - x0

    def which(self, loaded: Loaded) -> Array:
        """(rows, cols) of the tile: crops without an answer are not run."""
        return np.where(loaded.answers, ASKED, OUTSIDE).astype(np.uint8)

    def feeds(self, loaded: Loaded) -> dict[str, Array]:
        """(3, crops): the corners of those that are asked for in the tile's pixels, y and x, and their cells."""
        rows, cols = np.nonzero(loaded.answers)
        (down, along), (top, left) = self._way.sampling.stride, tops(self._way, loaded.tile)
        y, x = rows * int(down) + top, cols * int(along) + left
        return {"corners": np.stack((y, x, rows * loaded.answers.shape[1] + cols)).astype(np.int64)}

    def compute(self, given: dict[str, torch.Tensor], tile: Tile) -> Answers:
        """(kept, rows, cols) of the tile's cells as stored, their winners, and what is to be looked at."""
        which, corners = given["which"], given["corners"]
        with torch.inference_mode():
            values = self._enter(given["pixels"], given["gone"])
            found = self._scores(values, corners)
            scores = torch.full((found.shape[1], which.numel()), torch.nan, device=found.device)
            scores[:, corners[2]] = found.T
            answers: Answers = self._leave(scores.reshape(-1, *which.shape), which)
        return answers

    def _scores(self, values: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        """(crops, classes)."""
        while True:
            try:
                return self._in_batches(values, corners)
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise BadInput(
                        f"{self._networks.device} has not the memory for one crop beside a tile's pixels; give --device-memory less, which makes "
                        "tiles smaller, or --device cpu"
                    ) from None
            self.batch = -(-self.batch // 2)
            self._run = self._compiled()
            if values.is_cuda:
                torch.cuda.empty_cache()
            _log.warning("%s is short of memory: crops are run %d at a time", self._networks.device, self.batch)

    def _in_batches(self, values: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        count = corners.shape[1]
        filled = -(-count // self.batch) * self.batch
        places = torch.cat((corners[:2], corners[:2, -1:].expand(2, filled - count)), dim=1)
        found = [
            self._run(values, places[0, i : i + self.batch], places[1, i : i + self.batch])
            for i in range(0, filled, self.batch)
        ]
        return torch.cat(found)[:count]
