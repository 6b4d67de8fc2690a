"""A network on parts whose rows end where its windows do: in place of padding above and below, each value has the rows that what follows reads.

With rows [lo, hi) of a value that are read for the output's rows [0, 1), behind a window of field f, stride s and p rows of padding above

    lo = s · lo' - p        hi = s · (hi' - 1) - p + f

and of all that read a value the least and the most; both grow by the value's own step with every row more. So the deeper layers of a part run on no
row that is not wanted, where padding runs all of them on the rows that the first one reads. A value that has more rows than one of its readers wants (the
way around a residual block) is cut for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper

from fullconv.operators import OPERATORS
from fullconv.operators.elementwise import elementwise
from fullconv.runtimes.footprint import value_shapes
from fullconv.runtimes.lowered import Array, Lowered

_POOLS = ("MaxPool", "AveragePool")
_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Exact:
    """A network without padding along one side or both.

    Attributes:
        lowered: the network.
        reads: along rows and along columns, the cells [first, last) of its input that cell 0 of its output reads, padding counted as cells; and the cells of its
            input from one of its output to the next.
        around: the values that were cut.
    """

    lowered: Lowered
    reads: tuple[tuple[int, int, int], tuple[int, int, int]]
    around: tuple[str, ...] = ()

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(N, C, H, W) no larger than a shape that the network takes whole."""
        sides = (
            ((size - (last - first)) // step * step + last - first)
            for size, (first, last, step) in zip(shape[2:], self.reads, strict=True)
        )
        return *shape[:2], *sides


def exact(lowered: Lowered, sides: Sequence[bool] = (True, False)) -> Exact | None:
    """The network of one input and one output, (N, C, H, W) each, on parts without padding; None where an operator is in it that cannot be told so.

    Args:
        sides: whether it is without above and below, and without left and right.
    """
    (source,), (target,) = lowered.inputs, lowered.outputs.values()
    shapes = value_shapes(lowered, lowered.nodes, lowered.inputs)
    if shapes is None or len(shapes.get(target, ())) != 4:
        return None
    windows = [_window(node, lowered) for node in lowered.nodes]
    found = []
    for side in (0, 1):
        wanted = _wanted(lowered, [None if window is None else window[side] for window in windows], shapes, target)
        if wanted is None:
            return None
        found.append(wanted)
    cut = _Cutting(shapes)
    nodes: list[onnx.NodeProto] = []
    for i, node in enumerate(lowered.nodes):
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        for side in (0, 1):
            if not sides[side]:
                continue
            cells, reads, _ = found[side]
            for j, value in enumerate(node.input):
                if value in reads[i]:
                    (a, b), (lo, hi) = cells[value], reads[i][value]
                    moved.input[j] = cut.of(moved.input[j], value, side, lo - a, b - hi, nodes)
        _unpad(moved, sides)
        nodes.append(moved)
    weights = {**lowered.weights, **cut.weights}
    (down, _, step), (along, _, across) = found
    told = (*down[source], step[source]), (*along[source], across[source])
    return Exact(replace(lowered, nodes=nodes, weights=weights), told, tuple(cut.made))


def _wanted(
    lowered: Lowered, windows: Sequence[tuple[int, int, int] | None], shapes: Mapping[str, tuple[int, ...]], target: str
) -> tuple[dict[str, _Range], list[dict[str, _Range]], dict[str, int]] | None:
    """Along one side, the cells of every value for cell 0 of the output, those that each node reads of its inputs, and the cells of every value from one of the output to the next."""
    cells: dict[str, _Range] = {target: (0, 1)}
    steps: dict[str, int] = {target: 1}
    reads: list[dict[str, _Range]] = []
    for node, window in zip(reversed(lowered.nodes), reversed(windows), strict=True):
        if window is None or len(node.output) != 1 or node.output[0] not in cells:
            return None
        field, stride, pad = window
        (lo, hi), step = cells[node.output[0]], steps[node.output[0]] * stride
        wanted = (stride * lo - pad, stride * (hi - 1) - pad + field)
        read = {value: wanted for value in node.input if value in shapes}
        for value in read:
            if steps.setdefault(value, step) != step:
                return None
            before = cells.get(value, wanted)
            cells[value] = min(wanted[0], before[0]), max(wanted[1], before[1])
        reads.append(read)
    return cells, reads[::-1], steps


class _Cutting:
    """Values without some of their first and last rows, each cut once.

    By a convolution of each channel alone whose kernel is one where the row is and zero elsewhere: engines run it in the layout of the convolutions around it,
    where a slice would be copied out of it and back.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.weights: dict[str, Array] = {}
        self.made: list[str] = []
        self._shapes = shapes

    def of(self, held: str, value: str, side: int, before: int, behind: int, nodes: list[onnx.NodeProto]) -> str:
        """A value under the name by which it is held, without some cells along one side."""
        if not before and not behind:
            return held
        name, channels = f"{held}:{'rows' if side == 0 else 'cols'}:{before}:{behind}", self._shapes[value][1]
        if name not in self.made:
            self.made.append(name)
            kernel = f"{side}:{channels}:{before}:{behind}"
            taps = np.zeros((channels, 1, before + behind + 1), np.float32)
            taps[:, :, before] = 1
            self.weights[kernel] = np.expand_dims(taps, 3 - side)
            nodes.append(helper.make_node("Conv", [held, kernel], [name], name=name, group=channels))
        return name


def _window(node: onnx.NodeProto, lowered: Lowered) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
    """(field, stride, padding before) along rows and along columns; None where that is not known of an operator."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ("Conv", *_POOLS):
        kernel = attributes.get("kernel_shape") or _kernel(node, lowered)
        if kernel is None or len(kernel) != 2 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
            return None
        down, along = (
            (
                (kernel[i] - 1) * attributes.get("dilations", (1, 1))[i] + 1,
                attributes.get("strides", (1, 1))[i],
                attributes.get("pads", (0, 0))[i],
            )
            for i in (0, 1)
        )
        return down, along
    known = OPERATORS.get(node.op_type)
    by_cell = node.op_type == "BatchNormalization" or (known is not None and known.rule is elementwise)
    across = node.op_type in ("Concat", "Softmax", "LRN") and attributes.get("axis", 1) == 1
    return ((1, 1, 0), (1, 1, 0)) if by_cell or across else None


def _kernel(node: onnx.NodeProto, lowered: Lowered) -> Sequence[int] | None:
    weight = lowered.weights.get(node.input[1])
    return None if weight is None else weight.shape[2:]


def _unpad(node: onnx.NodeProto, sides: Sequence[bool]) -> None:
    for attribute in node.attribute:
        if attribute.name == "pads":
            attribute.ints[:] = [0 if sides[i % 2] else pad for i, pad in enumerate(attribute.ints)]
