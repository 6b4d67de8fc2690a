"""What is known of every value before any image comes: its shape at training size, by one run without numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

Shape = tuple[int, ...]
aten = torch.ops.aten
_NARROW = (torch.uint8, torch.int8, torch.int16, torch.uint16)
Kind = Literal["float", "int", "bool"]  # what a value is made of; the engine has one width of each


@dataclass(frozen=True)
class Known:
    """Attributes:
    shapes: of every tensor, by node; of an operator with several outputs a tuple of shapes.
    kinds: of every tensor, by node; of an operator with several outputs the first one's.
    numbers: whole numbers that the graph computes from sizes, at training size.
    flowing: nodes whose values follow from the image's pixels.
    narrow: nodes whose whole numbers have fewer bits than the engine's.
    """

    shapes: Mapping[fx.Node, Any]
    kinds: Mapping[fx.Node, Kind]
    numbers: Mapping[fx.Node, int]
    flowing: frozenset[fx.Node]
    narrow: frozenset[fx.Node] = frozenset()


def kind_of(value: Any) -> Kind:
    """What a tensor or a number is made of."""
    if isinstance(value, torch.Tensor):
        return (
            "float"
            if value.is_floating_point() or value.is_complex()
            else "bool"
            if value.dtype is torch.bool
            else "int"
        )
    return "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"


class _Recorder(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.shapes: dict[fx.Node, Any] = {}
        self.kinds: dict[fx.Node, Kind] = {}
        self.narrow: set[fx.Node] = set()
        self.numbers: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if isinstance(found, torch.Tensor):
            self.shapes[n] = tuple(int(size) for size in found.shape)
            self.kinds[n] = kind_of(found)
            if found.dtype in _NARROW:
                self.narrow.add(n)
        elif isinstance(found, tuple | list) and (not found or isinstance(found[0], torch.Tensor)):
            # Beside its answer an operator may give none, or numbers.
            self.shapes[n] = tuple(tuple(map(int, p.shape)) if isinstance(p, torch.Tensor) else () for p in found)
            if found:
                self.kinds[n] = kind_of(found[0])
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
    return Known(recorder.shapes, recorder.kinds, recorder.numbers, flow(module), frozenset(recorder.narrow))


def flow(module: fx.GraphModule) -> frozenset[fx.Node]:
    """Nodes that carry the image's data: tensors, not sizes, and not what is made of a tensor's kind alone."""
    flowing: set[fx.Node] = set()
    for node in module.graph.nodes:
        reads = any(value in flowing for value in node.all_input_nodes) and node.target not in LIKE
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


LIKE = frozenset(
    (aten.new_zeros.default, aten.new_ones.default, aten.new_full.default)
)  # of whose tensor the kind counts alone
_LAYOUTS = {
    aten.view.default, aten.reshape.default, aten._unsafe_view.default, aten.view_copy.default, aten.expand.default, aten.unflatten.int,
    aten.slice.Tensor,  # its own spelling tells which of its sizes move nothing
    aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec, aten.upsample_nearest2d.default, aten.upsample_bilinear2d.default,
}  # fmt: skip
_UNIFORM = {
    *_LAYOUTS, aten.zeros.default, aten.ones.default, aten.full.default, aten.new_zeros.default, aten.new_ones.default, aten.unsqueeze.default,
    aten.clone.default, aten.contiguous.default, aten.detach.default, aten.lift_fresh_copy.default,
}  # fmt: skip


def follows_size(node: fx.Node, known: Known) -> str | None:
    """Why an operator's numbers would change with the image's size, where they would: sizes may only lay values out."""
    for value in node.all_input_nodes:
        if is_size(value):
            if node.target not in _LAYOUTS or value is node.args[0]:
                return f"it computes with the size {value.name}, which is another one for a larger map"
        elif value not in known.flowing and not _is_uniform(value):
            return f"{value.name} is computed from the image's size, which is another one for a larger map"
    return None


def _is_uniform(node: fx.Node) -> bool:
    """Whether a value that carries no data is the same numbers whatever the size: repeated along what follows it."""
    todo, seen = [node], {node}
    while todo:
        each = todo.pop()
        sizes = [value for value in each.all_input_nodes if is_size(value)]
        fill = each.args[1] if each.target is aten.full.default else None
        if sizes and (each.target not in _UNIFORM or fill in sizes or (each.target is aten.slice.Tensor)):
            return False
        rest = [value for value in each.all_input_nodes if not is_size(value) and value not in seen]
        todo += rest
        seen.update(rest)
    return True
