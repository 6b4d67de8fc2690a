"""What a head reads, as one more output of a network that runs: a cell's logits, and behind them the means of every level's regions.

It stands behind the lowered network as a softmax does (``runtimes.activation``) and in its graph as windows, so that tiles, memory and what is
known of missing data hold for it as for any output; and what is read at a cell is what the head will read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Graph, Node, Pointwise, Span, Window
from fullconv.model import Model
from fullconv.runtimes.activation import Activation
from fullconv.runtimes.lowered import Lowered
from fullconv.surgery.head import Level

NAME = "fullconv:features"
_NARROW = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})


@dataclass(frozen=True, slots=True)
class Features(Activation):
    """Logits and means behind a lowered network; ``output`` is the name that they get.

    Attributes:
        logits: value of the cast network.
        levels: whose means follow.
    """

    logits: str = ""
    levels: tuple[Level, ...] = ()

    def behind(self, lowered: Lowered, axes: Axes) -> Lowered:
        nodes, weights, parts = [], dict(lowered.weights), list[str]()

        def wide(value: str, name: str) -> str:
            """In float32, in which a head computes."""
            if not _is_narrow(lowered):
                return value
            nodes.append(helper.make_node("Cast", [value], [name], name=name, to=TensorProto.FLOAT))
            return name

        parts.append(wide(lowered.outputs[self.logits], f"{NAME}:logits"))
        for i, level in enumerate(self.levels):
            blocks, means, kernel = (f"{NAME}:{i}:{what}" for what in ("blocks", "means", "kernel"))
            source = wide(lowered.outputs[level.value], f"{NAME}:{i}:wide")
            if level.block != (1, 1):
                pool: dict[str, Any] = {"kernel_shape": list(level.block), "strides": list(level.block)}
                nodes.append(helper.make_node("AveragePool", [source], [blocks], name=blocks, **pool))
                source = blocks
            weights[kernel] = _averages(level)
            each: dict[str, Any] = {
                "kernel_shape": list(level.window),
                "strides": list(level.step),
                "group": level.channels,
            }
            nodes.append(helper.make_node("Conv", [source, kernel], [means], name=means, **each))
            parts.append(means)
        nodes.append(helper.make_node("Concat", parts, [NAME], name=NAME, axis=1))
        outputs = {**lowered.outputs, self.output: NAME}
        return replace(lowered, nodes=[*lowered.nodes, *nodes], weights=weights, outputs=outputs)


def _is_narrow(lowered: Lowered) -> bool:
    """Whether a network computes in less than float32 somewhere."""
    made = (
        value.i for node in lowered.nodes if node.op_type == "Cast" for value in node.attribute if value.name == "to"
    )
    return not _NARROW.isdisjoint((*made, *(tensor.data_type for tensor in lowered.constants)))


def _averages(level: Level) -> npt.NDArray[np.float32]:
    """(C·regions, 1, rows, cols): for each channel, each region's mean."""
    rows, cols = (
        np.repeat(np.eye(len(side)), side, axis=1) / np.array(side)[:, None] for side in (level.rows, level.cols)
    )
    kernel = np.einsum("ry,sx->rsyx", rows, cols).reshape(level.regions, 1, *level.window)
    return np.ascontiguousarray(np.tile(kernel, (level.channels, 1, 1, 1)), np.float32)


class Featured(Model):
    """A cast network that answers with its features."""

    def __init__(self, full: Model, output: str, logits: str, levels: Sequence[Level]) -> None:
        """Args:
        full: the cast network.
        output: whose cells they are.
        logits, levels: values of it.
        """
        super().__init__(full.native, full.format, full.path, full.global_pooling, full.files, checks=False)
        self._full_graph = full.graph
        self.logits, self.levels = logits, tuple(levels)
        self.activation = Features(NAME, "softmax", logits, self.levels)
        self._samplings[NAME] = full.sampling(output)

    @cached_property
    def graph(self) -> Graph:
        """With the windows that features are."""
        return with_windows(self._full_graph, self.logits, self.levels)

    @property
    def features(self) -> int:
        """Numbers a cell."""
        return self.graph.values[NAME].shape[1]

    def parted(self, rows: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
        """Features of cells (cells, features) as logits (cells, K) and, for each level, means (cells, C, rows, cols)."""
        sizes = [self.graph.values[self.logits].shape[1], *(each.channels * each.regions for each in self.levels)]
        logits, *means = np.split(rows, np.cumsum(sizes)[:-1], axis=1)
        shaped = zip(self.levels, means, strict=True)
        return logits, [part.reshape(-1, each.channels, len(each.rows), len(each.cols)) for each, part in shaped]


def with_windows(graph: Graph, logits: str, levels: Sequence[Level]) -> Graph:
    """A graph with features as its last output."""
    values, nodes, parts = dict(graph.values), [], [logits]
    size = values[logits].map_size

    def add(
        name: str, source: str, channels: int, size: tuple[int, int], kernel: tuple[int, int], step: tuple[int, int]
    ) -> None:
        y, x = (Span(k, Fraction(s)) for k, s in zip(kernel, step, strict=True))
        nodes.append(Node(name, "Means", (source,), (name,), Window(y, x)))
        values[name] = _map(channels, size)

    for i, level in enumerate(levels):
        source = level.value
        if level.block != (1, 1):
            blocks = f"{NAME}:{i}:blocks"
            height, width = (n // b for n, b in zip(values[source].map_size, level.block, strict=True))
            add(blocks, source, level.channels, (height, width), level.block, level.block)
            source = blocks
        means = f"{NAME}:{i}:means"
        add(means, source, level.channels * level.regions, size, level.window, level.step)
        parts.append(means)
    nodes.append(Node(NAME, "Concat", tuple(parts), (NAME,), Pointwise()))
    values[NAME] = _map(sum(values[part].shape[1] for part in parts), size)
    return replace(graph, outputs=(*graph.outputs, NAME), nodes=(*graph.nodes, *nodes), values=values)


def _map(channels: int, size: tuple[int, int]) -> Axes:
    return Axes.image((1, channels, *size))
