"""A network on parts whose rows end where its windows do: in place of padding above and below, each value has the rows that what follows reads.

With rows [lo, hi) of a value that are read for the output's rows [0, 1), behind a window of field f, stride s and p rows of padding above

    lo = s · lo' - p        hi = s · (hi' - 1) - p + f

and of all that read a value the least and the most; both grow by the value's own step with every row more. So the deeper layers of a part run on no
row that is not wanted, where padding runs all of them on the rows that the first one reads. A value that has more rows than one of its readers wants (the
way around a residual block) is cut for it. Columns keep their padding.
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
    """A network without padding above and below.

    Attributes:
        lowered: the network.
        first, last: the rows [first, last) of its input that row 0 of its output reads, padding counted as rows.
        step: rows of its input from one of its output to the next.
        around: the values that were cut.
    """

    lowered: Lowered
    first: int
    last: int
    step: int
    around: tuple[str, ...]


def exact(lowered: Lowered) -> Exact | None:
    """The network of one input and one output, (N, C, H, W) each, without padding; None where an operator is in it that cannot be told so."""
    (source,), (target,) = lowered.inputs, lowered.outputs.values()
    shapes = value_shapes(lowered, lowered.nodes, lowered.inputs)
    if shapes is None or len(shapes.get(target, ())) != 4:
        return None
    wanted = _wanted(lowered, shapes, target)
    if wanted is None or source not in wanted[0]:
        return None
    rows, reads, steps = wanted
    cut = _Cutting(shapes)
    nodes: list[onnx.NodeProto] = []
    for node, read in zip(lowered.nodes, reads, strict=True):
        moved = onnx.NodeProto()
        moved.CopyFrom(node)
        for j, value in enumerate(node.input):
            if value in read:
                moved.input[j] = cut.of(value, read[value][0] - rows[value][0], rows[value][1] - read[value][1], nodes)
        for attribute in moved.attribute:
            if attribute.name == "pads":
                attribute.ints[:] = [pad if i % 2 else 0 for i, pad in enumerate(attribute.ints)]
        nodes.append(moved)
    found = replace(lowered, nodes=nodes, weights={**lowered.weights, **cut.weights})
    return Exact(found, *rows[source], steps[source], tuple(cut.made))


def _wanted(
    lowered: Lowered, shapes: Mapping[str, tuple[int, ...]], target: str
) -> tuple[dict[str, _Range], list[dict[str, _Range]], dict[str, int]] | None:
    """The rows of every value for row 0 of the output, those that each node reads of its inputs, and the rows of every value from one of the output to the next."""
    rows: dict[str, _Range] = {target: (0, 1)}
    steps: dict[str, int] = {target: 1}
    reads: list[dict[str, _Range]] = []
    for node in reversed(lowered.nodes):
        window = _window(node, lowered)
        if window is None or len(node.output) != 1 or node.output[0] not in rows:
            return None
        field, stride, pad = window
        (lo, hi), step = rows[node.output[0]], steps[node.output[0]] * stride
        wanted = (stride * lo - pad, stride * (hi - 1) - pad + field)
        read = {value: wanted for value in node.input if value in shapes}
        for value in read:
            if steps.setdefault(value, step) != step:
                return None
            before = rows.get(value, wanted)
            rows[value] = min(wanted[0], before[0]), max(wanted[1], before[1])
        reads.append(read)
    return rows, reads[::-1], steps


class _Cutting:
    """Values without some of their first and last rows, each cut once.

    By a convolution of each channel alone whose kernel is one where the row is and zero elsewhere: engines run it in the layout of the convolutions around it,
    where a slice would be copied out of it and back.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.weights: dict[str, Array] = {}
        self.made: list[str] = []
        self._shapes = shapes

    def of(self, value: str, above: int, below: int, nodes: list[onnx.NodeProto]) -> str:
        """A value without some rows; the node that makes it is put behind the others."""
        if not above and not below:
            return value
        name, channels = f"{value}:rows:{above}:{below}", self._shapes[value][1]
        if name not in self.made:
            self.made.append(name)
            kernel = f"{channels}:{above}:{below}"
            taps = np.zeros((channels, 1, above + below + 1, 1), np.float32)
            taps[:, :, above] = 1
            self.weights[kernel] = taps
            nodes.append(helper.make_node("Conv", [value, kernel], [name], name=name, group=channels))
        return name


def _window(node: onnx.NodeProto, lowered: Lowered) -> tuple[int, int, int] | None:
    """(field, stride, padding above) along rows; None where that is not known of an operator."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ("Conv", *_POOLS):
        kernel = attributes.get("kernel_shape") or _kernel(node, lowered)
        if kernel is None or len(kernel) != 2 or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
            return None
        field = (kernel[0] - 1) * attributes.get("dilations", (1,))[0] + 1
        return field, attributes.get("strides", (1,))[0], attributes.get("pads", (0,))[0]
    known = OPERATORS.get(node.op_type)
    by_cell = node.op_type == "BatchNormalization" or (known is not None and known.rule is elementwise)
    across = node.op_type in ("Concat", "Softmax", "LRN") and attributes.get("axis", 1) == 1
    return (1, 1, 0) if by_cell or across else None


def _kernel(node: onnx.NodeProto, lowered: Lowered) -> Sequence[int] | None:
    weight = lowered.weights.get(node.input[1])
    return None if weight is None else weight.shape[2:]
