"""What a run of a lowered network takes: its steps and the bytes of its values, for the tiles' planner.

ONNX Runtime fuses what is cell by cell into the operator before it or writes it in its place, lays the channels of convolutions in
blocks (filled up to whole ones), and copies values where blocks begin and end. OpenVINO does much the same; PyTorch runs
every operator by itself. All free a value after its last reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, helper, shape_inference

from fullconv.operators import OPERATORS
from fullconv.runtimes.lowered import Lowered, by_sides
from fullconv.tiling.memory import Run, Step, in_turn_bytes

Shape = tuple[int, ...]
_WINDOWS = ("Conv", "MaxPool", "AveragePool", "LpPool")
_WHOLE_BLOCKS = 4  # channels of which a value must have a multiple to be laid in blocks


def footprint(
    lowered: Lowered, names: Sequence[str], shapes: Mapping[str, Shape], runtime: str = "onnxruntime"
) -> int | None:
    """Predicted bytes that an engine takes for a run on inputs of these shapes; None where some value's size cannot be told.

    Args:
        lowered: the network.
        names: outputs wanted.
        shapes: of the inputs, (N, C, H, W).
        runtime: whose rules.
    """
    run = run_of(lowered, names, shapes, runtime)
    return None if run is None else in_turn_bytes([run])


def run_of(
    lowered: Lowered, names: Sequence[str], shapes: Mapping[str, Shape], runtime: str = "onnxruntime"
) -> Run | None:
    """The same as steps and sizes, for networks that share an arena."""
    nodes = [part for node in lowered.nodes for part in by_sides(node)]
    kept = [lowered.outputs[name] for name in names]
    known = value_shapes(lowered, nodes, shapes)
    if known is None:
        return None
    return _Layout(known, runtime).run(_leading_to(nodes, kept), kept, list(shapes))


class _Layout:
    """Steps of a run, with the copies between values in blocks and plain ones."""

    def __init__(self, shapes: Mapping[str, Shape], runtime: str) -> None:
        self.shapes = shapes
        self.block = 1 if runtime == "torch" else _block()
        self.fuses = runtime != "torch"
        self.sizes: dict[str, int] = {}
        self.blocked: set[str] = set()
        self.convolved: set[str] = set()  # what a normalisation is folded into
        self.alias: dict[str, str] = {}
        self.steps: list[Step] = []

    def run(self, nodes: Sequence[onnx.NodeProto], kept: Sequence[str], given: Sequence[str]) -> Run:
        for node in nodes:
            self._visit(node)
        out = [self._plainly(self.alias.get(name, name)) for name in kept]
        return Run(self.steps, self.sizes, frozenset(given), frozenset(out))

    def _visit(self, node: onnx.NodeProto) -> None:
        reads = [self.alias.get(value, value) for value in node.input if value]
        maps = [value for value in reads if value in self.shapes]
        out = node.output[0]
        if not maps or out not in self.shapes:
            return
        memory = OPERATORS[node.op_type].memory if node.op_type in OPERATORS else "own"
        if memory == "moved":
            self.alias[out] = self._plainly(maps[0])
        elif not self.fuses and node.op_type in _WINDOWS:
            # PyTorch lays a window's input out anew, or edges around it, for as long as the window runs.
            laid = f"{out}:laid"
            self._size(laid, maps[0], False)
            self.steps.append(Step((maps[0],), (laid,)))
            self._emit([maps[0], laid], [out])
        elif node.op_type == "Conv" and self._fits_blocks(maps[0]):
            self._emit([self._in_blocks(maps[0])], [out], blocked=True)
            self.convolved.add(out)
        elif memory == "blocks" and node.op_type != "Conv" and all(self._whole(value) for value in maps):
            self._emit(maps, [out], blocked=True)
        elif memory == "cellwise":
            same = [value for value in maps if self.shapes[value] == self.shapes[out]]
            blocked = bool(same) and all(value in self.blocked for value in same)
            used = maps if blocked else [self._plainly(value) for value in maps]
            over = next((value for value in used if self.shapes.get(value) == self.shapes[out]), None)
            own = not self.fuses or (node.op_type == "BatchNormalization" and maps[0] not in self.convolved)
            self._emit(used, [out], blocked=blocked, over=None if own else over)
        else:
            self._emit([self._plainly(value) for value in maps], [name for name in node.output if name])

    def _emit(self, reads: list[str], writes: list[str], *, blocked: bool = False, over: str | None = None) -> None:
        for value in writes:
            self._size(value, value, blocked)
        self.steps.append(Step(tuple(reads), tuple(writes), over))

    def _size(self, name: str, like: str, blocked: bool) -> None:
        shape = list(self.shapes.get(like, ()))
        if blocked:
            shape[1] = -(-shape[1] // self.block) * self.block
            self.blocked.add(name)
        self.sizes[name] = 4 * prod(shape) if shape else 0

    def _fits_blocks(self, value: str) -> bool:
        shape = self.shapes[value]
        if self.block == 1 or len(shape) != 4:
            return False
        return value in self.blocked or shape[1] < self.block or shape[1] % _WHOLE_BLOCKS == 0

    def _whole(self, value: str) -> bool:
        """In blocks without filling."""
        return value in self.blocked and self.shapes[value][1] % self.block == 0

    def _in_blocks(self, value: str) -> str:
        fits = value in self.blocked or self.shapes[value][1] < self.block
        return value if fits else self._copy(value, blocked=True)

    def _plainly(self, value: str) -> str:
        return self._copy(value, blocked=False) if value in self.blocked else value

    def _copy(self, value: str, *, blocked: bool) -> str:
        """The value in its other form, copied once."""
        name = f"{value}:{'blocks' if blocked else 'plain'}"
        if name not in self.sizes:
            self._size(name, value, blocked)
            self.steps.append(Step((value,), (name,)))
        return name


def _leading_to(nodes: Sequence[onnx.NodeProto], kept: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that some values need."""
    need, found = set(kept), []
    for node in reversed(nodes):
        if need & set(node.output):
            need |= set(node.input)
            found.append(node)
    return found[::-1]


def value_shapes(
    lowered: Lowered, nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, Shape]
) -> dict[str, Shape] | None:
    """Shapes of every value that follows from the inputs, by ONNX's own inference; None where it cannot tell one."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in lowered.weights.items()]
    graph = helper.make_graph(list(nodes), "footprint", inputs, [], list(lowered.constants))
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*o) for o in lowered.opsets.items()], ir_version=8
    )
    try:
        values = shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    except Exception:  # the library has no error of its own for a graph that it cannot follow
        return None
    told = dict(_told(values))
    known = {name: tuple(shape) for name, shape in shapes.items()}
    for node in nodes:
        if known.keys().isdisjoint(node.input):
            continue  # weights computed from weights: folded before the first run
        for value in node.output:
            if value and value not in told:
                return None
            if value:
                known[value] = told[value]
    return known


def _told(values: Sequence[onnx.ValueInfoProto]) -> Iterator[tuple[str, Shape]]:
    for value in values:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            yield value.name, tuple(d.dim_value for d in kind.shape.dim)


def _block() -> int:
    """Channels that this processor's convolutions lay together."""
    try:
        return 16 if " avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8") else 8
    except OSError:
        return 8
