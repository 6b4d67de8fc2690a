"""What is known of every value before any image comes: its shape at training size, by one run without numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """Attributes:
    shapes: of every tensor, by node; of an operator with several outputs a tuple of shapes.
    numbers: whole numbers that the graph computes from sizes, at training size.
    flowing: nodes whose values follow from the image's pixels.
    """

    shapes: Mapping[fx.Node, Any]
    numbers: Mapping[fx.Node, int]
    flowing: frozenset[fx.Node]


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.shapes: dict[fx.Node, Any] = {}
        self.numbers: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if isinstance(found, torch.Tensor):
            self.shapes[n] = tuple(int(size) for size in found.shape)
        elif isinstance(found, tuple | list) and all(isinstance(part, torch.Tensor) for part in found):
            self.shapes[n] = tuple(tuple(int(size) for size in part.shape) for part in found)
        elif isinstance(found, int) and not isinstance(found, bool):
            self.numbers[n] = found
        return found


def learn(module: fx.GraphModule, inputs: Mapping[str, Shape]) -> Known:
    """Shapes of every value for inputs of these shapes; nothing is computed."""
    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    device = torch.device("cpu") if first is None else first.device
    recorder = _Recorder(module)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        recorder.run(*(torch.zeros(shape, dtype=dtype, device=device) for shape in inputs.values()))
    return Known(recorder.shapes, recorder.numbers, flow(module))


def flow(module: fx.GraphModule) -> frozenset[fx.Node]:
    """Nodes that carry the image's data: tensors, not sizes."""
    flowing: set[fx.Node] = set()
    for node in module.graph.nodes:
        reads = any(value in flowing for value in node.all_input_nodes)
        if node.op == "placeholder" or (node.op == "call_function" and reads and not is_size(node)):
            flowing.add(node)
    return frozenset(flowing)


def is_size(node: fx.Node) -> bool:
    """Whether a node answers with a size, or with arithmetic on sizes."""
    if node.target is torch.ops.aten.sym_size.int:
        return True
    return getattr(node.target, "__module__", "") in ("_operator", "torch") and all(
        is_size(value) for value in node.all_input_nodes
    )
