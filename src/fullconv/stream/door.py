"""The engine's door: pixels go in as they were read, answers come out as they are stored. Behind it stands a processor, or a device.

What is before the door knows no engine, and what is behind it no image: a tile goes through as ``Loaded``, and comes out as ``Done``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.tiling.tiles import Tile

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a tile on which the network is run where few of its cells are asked for.

    Attributes:
        tile: its cells and pixels.
        rows, cols: where these lie in what was read of the tile.
    """

    tile: Tile
    rows: slice
    cols: slice


@dataclass
class Loaded:
    """A tile's pixels as they were read.

    Attributes:
        pixels: (H, W, C) on 0..255, uint8 where the image is, else float32; those inside the image alone. C is what the network takes, unless
            colour is to become luminance; grey for a network of colours is one plane seen three times (no stride over channels). None
            where no cell is mapped.
        missing: (H, W), pixels without data, which the network sees as 0 behind its preprocessing; None where there are none.
        answers: (rows, cols), which cells are mapped.
        failed: why some of its pixels do not decode.
        sections: what the network is run on; none where that is the whole tile. With some, the pixels are those that they need.
    """

    tile: Tile
    pixels: Array | None
    missing: Mask | None
    answers: Mask
    failed: str = ""
    sections: tuple[Section, ...] = ()

    @property
    def mark(self) -> dict[str, Any]:
        """What is to be remembered of it."""
        left_out = int(self.answers.size - self.answers.sum())
        mark: dict[str, Any] = {"failed": self.failed} if self.failed else {}
        return mark | ({"left_out": left_out} if left_out else {})

    @property
    def nothing(self) -> Done:
        """What becomes of a tile without pixels."""
        return Done(self.tile, None, None, self.mark)


@dataclass
class Done:
    """A tile's answers.

    Attributes:
        scores: (classes, rows, cols) of what is kept, NaN where a cell has no answer: float32; or in the store's own type, encoded as
            ``results.encoding`` does. None where no cell has one.
        top1: (rows, cols), the winning class, where only that is kept.
        mark: what is to be remembered.
        confirmed: (rows, cols), which cells are their crops' own, where some are.
    """

    tile: Tile
    scores: Array | None
    top1: Array | None
    mark: Mapping[str, Any]
    confirmed: Mask | None = None


class Door(Protocol):
    """An engine as the stream sees it. ``start`` is called by one thread and ``finish`` by another, each for one tile at a time.

    Attributes:
        depth: tiles that may be started and not yet finished.
    """

    depth: int

    def start(self, loaded: Loaded) -> Any:
        """Take a tile's pixels in (there are some), and give a ticket for its answers; waits for no engine where it need not."""

    def finish(self, ticket: Any) -> Done:
        """The answers of a ticket; tickets come in the order in which they were given."""

    def close(self) -> None:
        """Let go of what it holds; no ticket is finished any more."""
