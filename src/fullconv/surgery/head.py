"""A head that is added to a cast network: features of several levels, averaged around each cell, move the logits of that cell.

A padded network's crop sees zeros around itself where the map sees the surroundings. What that does to a cell's logits can be told from the
same features by their place in the crop, so a level's window is parted into regions, of which the head takes the means:

    level ──AveragePool(block)──Conv(window, step)──┐
    logits ──Conv(1×1, mixing)──────────────────────Add──Add──> logits, moved

Here is how it lies; its weights are in ``formats.head``.
"""

from __future__ import annotations

from dataclasses import dataclass

from fullconv.graph.axes import require


@dataclass(frozen=True, slots=True)
class Level:
    """A value of the cast network of which the head takes means; sides are (y, x).

    Attributes:
        value: its name, a map (n, c, h, w).
        channels: its channels.
        block: cells of the value that are averaged into one block; the blocks do not overlap.
        step: blocks from one cell of the map to the next.
        rows, cols: blocks of each region of a crop's window, from its top and from its left.
    """

    value: str
    channels: int
    block: tuple[int, int]
    step: tuple[int, int]
    rows: tuple[int, ...]
    cols: tuple[int, ...]

    def __post_init__(self) -> None:
        whole = (*self.block, *self.step, *self.rows, *self.cols, self.channels)
        require(bool(self.rows) and bool(self.cols) and min(whole) >= 1, f"{self.value}: a level of {self}")

    @property
    def window(self) -> tuple[int, int]:
        """Blocks of a crop's window, (rows, cols)."""
        return sum(self.rows), sum(self.cols)

    @property
    def regions(self) -> int:
        return len(self.rows) * len(self.cols)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a head is put.

    Attributes:
        output: the output of the cast network whose scores it moves.
        logits: the value that it adds to: the output itself, or what its softmax or sigmoid reads.
        classes: channels of ``logits``.
        levels: from the first to the last.
    """

    output: str
    logits: str
    classes: int
    levels: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        require(self.classes >= 1, f"{self.output}: a head of {self.classes} classes")
        names = [level.value for level in self.levels]
        require(len(set(names)) == len(names), f"{self.output}: a head that takes a level twice")
