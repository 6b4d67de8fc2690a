"""A finer map as an ONNX network: windows with other strides, dilations and pads, over the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir

from fullconv.errors import BrokenPromise, CannotCast, Refusal
from fullconv.formats.onnx.editor import Editor, attribute
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.formats.onnx.sampled import record
from fullconv.geometry.field import receptive_fields
from fullconv.graph.axes import CHANNEL, Axes, size_of, whole
from fullconv.graph.nodes import Graph, Span, Window
from fullconv.operators import OPERATORS
from fullconv.runtimes.lowered import Lowered
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.refine import counted, counts_inside, is_sum, refine

_FINER = 11  # the operator set from which on MaxPool has dilations, and Slice and Pad take their numbers as inputs
_LARGEST = 2**31 - 1  # bytes of one message, which is how an operator set is raised


def of_lowered(lowered: Lowered, outputs: Sequence[str], inputs: dict[str, Axes], source: str) -> OnnxNet:
    """A lowered network of any format as one of ONNX, over the same arrays."""
    model = ir.serde.deserialize_model(lowered.message(names=outputs))
    for name, array in lowered.weights.items():
        if name in model.graph.initializers:
            model.graph.initializers[name].const_value = ir.tensor(np.require(array, requirements="C"), name=name)
    for name, value in zip(outputs, model.graph.outputs, strict=True):
        value.name = name
    for i, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_{i}"
    net = replace(understand(model, source, inputs), is_cast=True)
    record(model, net.graph, net.graph)
    return net


def refined(net: OnnxNet, stride: tuple[int, int]) -> tuple[OnnxNet, tuple[SetWindow, ...]]:
    """The network with a finer map, and what was done.

    Raises:
        CannotCast: a node has no finer form; the same map comes from shifted images.
    """
    net = _raised(net)
    work = Editor(net)
    means = {name: _inside(node) for name, node in work.nodes.items() if node.op_type == "AveragePool"}
    maxima = frozenset(name for name, node in work.nodes.items() if node.op_type == "MaxPool")
    sums = frozenset(name for name, node in work.nodes.items() if node.op_type == "Conv")
    plan = refine(net.graph, stride, means, maxima, sums)
    known = {refusal.node for refusal in plan.refusals}
    kinds = {edit.node: work.nodes[edit.node].op_type for edit in plan.edits if edit.node not in known}
    refusals = [
        *plan.refusals,
        *(Refusal(node, f"{kind} has no dilated form") for node, kind in kinds.items() if not _dilates(work, node)),
    ]
    if plan.predicted is not None:
        refusals += [Refusal(node, _OTHER_EDGES) for node in _other_edges(work, net.graph, plan.predicted)]
    refusals += [Refusal(node, _TWO_ENDS) for node in _two_ends(net.graph, means) if node in kinds]
    if not refusals and work.opset < _FINER:
        refusals = [Refusal(node, _too_old(kind, work.opset)) for node, kind in kinds.items() if kind in _NEWER]
    if refusals:
        raise CannotCast(f"{net.source}: its map cannot be made finer by dilation (shifted images give it)", refusals)
    for edit in plan.edits:
        make_finer(work, edit.node, edit.y, edit.x)
    assert plan.predicted is not None, "a refinement with refusals is not applied"
    model = work.finish(plan.predicted)
    record(model, plan.predicted, net.graph)
    made = replace(understand(model, net.source, net.inputs), is_cast=True)
    difference = plan.predicted.difference(made.graph)
    if difference is not None:
        raise BrokenPromise(f"the finer network is not the planned one: {difference}")
    return made, plan.edits


def make_finer(work: Editor, name: str, y: Span, x: Span) -> None:
    """A node with another window, and what it becomes by that."""
    node = work.nodes[name]
    _HOW[node.op_type](work, node, y, x)


def _raised(net: OnnxNet) -> OnnxNet:
    """The network in an operator set that has finer windows, where it can be written in one."""
    opset = net.model.opset_imports.get("", net.model.opset_imports.get("ai.onnx", _FINER))
    bytes_ = sum(v.const_value.nbytes for v in net.model.graph.initializers.values() if v.const_value is not None)
    if opset >= _FINER or bytes_ >= _LARGEST:
        return net
    try:
        message = onnx.version_converter.convert_version(ir.to_proto(net.model), _FINER)
        model = ir.from_proto(message)
    except Exception:  # the converter's own; what it cannot convert keeps its set, and is refused where it matters
        return net
    for i, node in enumerate(model.graph):
        node.name = node.name or f"{node.op_type}_raised_{i}"
    model.metadata_props.update(net.model.metadata_props)
    return replace(understand(model, net.source, net.inputs), is_cast=net.is_cast)


def _too_old(kind: str, opset: int) -> str:
    return (
        f"a finer {kind} needs operator set {_FINER}; the file has {opset}, which onnx.version_converter does not raise"
    )


def _dilates(work: Editor, name: str) -> bool:
    """Whether an operator has a dilated form; a mean becomes a convolution, whose channels are an axis of their own."""
    node = work.nodes[name]
    channels = work.axes[str(node.inputs[0].name)].axes[1]  # type: ignore[union-attr]
    plain = channels == (whole(CHANNEL, size_of(channels)),)
    return OPERATORS[node.op_type].dilates and (plain or node.op_type != "AveragePool")


_OTHER_EDGES = "its edges repeat cells, and a finer map has some behind the crop's last that are not the crop's"


def _other_edges(work: Editor, own: Graph, finer: Graph) -> Iterator[str]:
    """Pads that repeat or mirror a map which, finer, ends on other cells than its own last ones."""
    before, after = receptive_fields(own), receptive_fields(finer)
    for name, node in work.nodes.items():
        value = str(node.inputs[0].name) if node.op_type == "Pad" and node.inputs[0] is not None else ""
        if (
            value not in before
            or value not in after
            or attribute(node, "mode", "constant") in ("constant", b"constant")
        ):
            continue
        steps = zip(before[value].stride, after[value].stride, strict=True)
        wide = [have / now for have, now in steps]
        sizes = zip(own.values[value].map_size, finer.values[value].map_size, wide, strict=True)
        if any(now != (have - 1) * factor + 1 for have, now, factor in sizes):
            yield name


_TWO_ENDS = "its last means count padding, and not what lies behind that; a window with gaps has one end"


def _two_ends(graph: Graph, means: Mapping[str, bool]) -> Iterator[str]:
    """Averages over padding whose last windows may reach farther than it."""
    for node in graph:
        counts = node.name in means and not means[node.name]
        if counts and isinstance(node.touch, Window) and (node.touch.y.overhang or node.touch.x.overhang):
            yield node.name


def _inside(node: ir.Node) -> bool:
    """Whether it is an average pool that counts no padding, be it that it has none."""
    padded = any(attribute(node, "pads", [])) or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", b"NOTSET")
    return not (attribute(node, "count_include_pad", 0) and padded)


def _plain(work: Editor, node: ir.Node, y: Span, x: Span) -> None:
    for name, values in _window(y, x).items():
        if name != "dilations" or max(values) > 1 or node.op_type != "AveragePool":
            node.attributes[name] = ir.AttrInt64s(name, values)
    for name in ("auto_pad", "ceil_mode"):
        node.attributes.pop(name, None)


def _max(work: Editor, node: ir.Node, y: Span, x: Span) -> None:
    """Its own padding is narrower than its kernel; what is wider lies in front of it."""
    if all(max(s.pad_before, s.pad_after) < s.kernel for s in (y, x)):
        _plain(work, node, y, x)
        return
    source = node.inputs[0]
    assert source is not None
    amounts = np.array([0, 0, y.pad_before, x.pad_before, 0, 0, y.pad_after, x.pad_after], np.int64)
    kind = work.static.kind(str(source.name))
    lowest = np.array((np.finfo if kind.kind == "f" else np.iinfo)(kind).min, kind)
    parts = [source, work.constant(f"{node.name}/pads", amounts), work.constant(f"{node.name}/lowest", lowest)]
    pad = work.insert(node, "Pad", parts, {}, f"{source.name}/padded/{node.name}")
    made = pad.producer()
    assert made is not None
    made.name = f"{node.name}/pad"
    node.replace_input_with(0, pad)
    _plain(work, node, replace(y, pad_before=0, pad_after=0), replace(x, pad_before=0, pad_after=0))


def _mean(work: Editor, node: ir.Node, y: Span, x: Span) -> None:
    """A dilated mean: every channel convolved with equal weights, over their count; over the cells inside, where padding is not counted.

    The weights are a power of two and the count is divided by it, so that the sum stays small and no number is rounded.
    """
    touch = Window(y, x)
    if not is_sum(touch):
        _plain(work, node, y, x)
        return
    source, out, name = node.inputs[0], str(node.outputs[0].name), str(node.name)
    assert source is not None
    kind, channels = work.static.kind(str(source.name)), work.static.shapes[str(source.name)][1]
    cells = y.kernel * x.kernel
    share = 2.0 ** -int(np.log2(cells))
    kernel = work.constant(f"{name}/kernel", np.full((channels, 1, y.kernel, x.kernel), share, kind))
    window = {"kernel_shape": [y.kernel, x.kernel], **_window(y, x)}
    ones, count, total = counted(out)
    inside = counts_inside(touch, _inside(node))
    made = work.replace(node, "Conv", [source, kernel], {**window, "group": channels}, name)
    if not inside:
        over = work.constant(f"{name}/cells", np.array(cells * share, kind))
        work.behind(made, [ir.node("Div", [made.outputs[0], over], name=f"{name}/mean")], total)
        return
    # The cells inside are counted on ones made of the values (x to the power of 0), so that they are as many at any size.
    first = [work.constant(f"{name}/first{i}", np.array([n], np.int64)) for i, n in enumerate((0, 1, 1))]
    channel = work.insert(made, "Slice", [source, *first], {}, f"{ones}/channel")
    zero, one = work.constant(f"{name}/zero", np.zeros((), kind)), np.full((1, 1, y.kernel, x.kernel), share, kind)
    filled = work.insert(made, "Pow", [channel, zero], {}, ones)
    counts = work.insert(made, "Conv", [filled, work.constant(f"{name}/one", one)], window, count)
    work.behind(made, [ir.node("Div", [made.outputs[0], counts], name=f"{name}/mean")], total)


def _pad(work: Editor, node: ir.Node, y: Span, x: Span) -> None:
    amounts = work.ints(node, "pads", 1)
    assert amounts is not None
    named = work.ints(node, "axes", 3)
    before, sides = _sides(work, node, y, x)
    axes = [i % before.rank for i in named] if named is not None else list(range(before.rank))
    for i, axis in enumerate(axes):
        span = sides.get(axis)
        if span is not None:
            amounts[i], amounts[i + len(axes)] = span.pad_before, span.pad_after
    work.set_ints(node, "pads", 1, amounts, by_input="pads" not in node.attributes)


def _slice(work: Editor, node: ir.Node, y: Span, x: Span) -> None:
    starts, ends = work.ints(node, "starts", 1), work.ints(node, "ends", 2)
    axes, steps = work.ints(node, "axes", 3), work.ints(node, "steps", 4)
    assert starts is not None
    assert ends is not None
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    before, sides = _sides(work, node, y, x)
    for i, axis in enumerate(axes):
        span = sides.get(axis % before.rank)
        if span is not None:
            starts[i], steps[i] = -span.pad_before, int(span.stride)
            ends[i] = span.pad_after if span.pad_after < 0 else ends[i]
    cut = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    for i, (name, values) in enumerate(cut.items(), 1):
        work.set_ints(node, name, i, values, by_input=True)


def _sides(work: Editor, node: ir.Node, y: Span, x: Span) -> tuple[Axes, Mapping[int | None, Span]]:
    """The axes of a node's input, and the windows of those that are height and width."""
    axes = work.axes[str(node.inputs[0].name)]  # type: ignore[union-attr]
    return axes, {axes.space_axis("h"): y, axes.space_axis("w"): x}


def _window(y: Span, x: Span) -> dict[str, list[int]]:
    return {
        "strides": [int(y.stride), int(x.stride)],
        "dilations": [y.dilation, x.dilation],
        "pads": [y.pad_before, x.pad_before, y.pad_after, x.pad_after],
    }


_HOW: Mapping[str, Callable[[Editor, ir.Node, Span, Span], None]] = {
    "AveragePool": _mean,
    "Conv": _plain,
    "MaxPool": _max,
    "Pad": _pad,
    "Slice": _slice,
}
_NEWER = frozenset(
    {"MaxPool", "AveragePool", "Slice"}
)  # operators whose finer form an older operator set does not have
