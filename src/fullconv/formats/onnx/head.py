"""A head within an ONNX network: written, found in a file, and taken off again.

It is computed in float32: values of another type (float16) are cast before it, and its answer is cast back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from fullconv.errors import BadInput, BrokenPromise
from fullconv.formats.adapted import KEY, Described, Weighs, alike, believed, described, kernels_of, read_described
from fullconv.formats.head import FittedHead
from fullconv.formats.onnx.editor import Editor
from fullconv.formats.onnx.network import OnnxNet, understand
from fullconv.formats.onnx.refine import make_finer
from fullconv.formats.onnx.sampled import record, record_again
from fullconv.geometry.field import receptive_fields
from fullconv.graph.nodes import Graph, Window
from fullconv.surgery.head import STEM, Head, Part, Parts, put_behind
from fullconv.surgery.refine import finer_span

Array = npt.NDArray[Any]


def adapt(net: OnnxNet, fitted: FittedHead) -> OnnxNet:
    """A cast network with a head.

    Raises:
        BadInput: the head does not fit it.
    """
    there = read_described(net.model.metadata_props.get(KEY))
    stem = _free_stem(net)
    work = Editor(net)
    parts = _placed(net, net.graph, fitted.head, stem, fitted.mixing is not None)
    _write(work, parts, fitted)
    predicted = parts.within(net.graph)
    mine = Described.of(fitted, stem, net.graph)
    work.model.metadata_props[KEY] = described([*there, mine])
    model = work.finish(predicted)
    record(model, predicted, predicted)
    made = replace(understand(model, net.source, net.inputs), is_cast=True, notes=net.notes)
    difference = predicted.difference(made.graph)
    if difference is not None:
        raise BrokenPromise(f"the adapted network is not the planned one: {difference}")
    return made


def unadapted(net: OnnxNet) -> tuple[OnnxNet, tuple[FittedHead, ...]] | None:
    """``Format.unadapted``."""
    text = net.model.metadata_props.get(KEY)
    if text is None:
        named = any(str(node.name).startswith(STEM) for node in net.model.graph)
        return (net, ()) if named else None
    heads = read_described(text)
    found: tuple[OnnxNet, tuple[FittedHead, ...]] | None = believed(lambda: _taken_off(net, heads)) if heads else None
    return found or (net, ())


def _taken_off(net: OnnxNet, heads: tuple[Described, ...]) -> tuple[OnnxNet, tuple[FittedHead, ...]] | None:
    work = Editor(net)
    fitted = [_remove(work, each) for each in reversed(heads)][::-1]
    del work.model.metadata_props[KEY]
    bare = replace(understand(work.model, net.source, net.inputs), is_cast=net.is_cast, notes=net.notes)
    # The same heads are written again, and must be the nodes that are there.
    again, graph = Editor(bare), bare.graph
    for each, one in zip(heads, fitted, strict=True):
        finer = _is_finer(graph, each)
        parts = _placed(net, graph, one.head, each.stem, each.mixes, again=True)
        _write(again, parts, one)
        if finer:
            _make_finer(again, net, graph, parts, each)
        else:
            graph = parts.within(graph)
    if not _same_nodes(net.model, again.model, [h.stem for h in heads]):
        return None
    record_again(bare.model, bare.graph)
    return bare, tuple(fitted)


def _free_stem(net: OnnxNet) -> str:
    names = [*(str(node.name) for node in net.model.graph), *net.graph.values, *net.model.graph.initializers]
    return next(
        s for s in (f"{STEM}{i}" for i in range(len(names) + 1)) if not any(n.startswith(f"{s}_") for n in names)
    )


def _placed(net: OnnxNet, graph: Graph, head: Head, stem: str, mixes: bool, again: bool = False) -> Parts:
    """The head's parts; ``net`` tells of what type its values are."""
    kinds = {value: net.static.kind(value) for value in (head.logits, *(level.value for level in head.levels))}
    whole = next((value for value, kind in kinds.items() if kind.kind != "f" and str(kind) != "bfloat16"), None)
    if whole is not None:
        raise BadInput(
            f"{net.source}: {whole!r} holds {kinds[whole]}, whole numbers that a head does not take; quantise the adapted network instead"
        )
    narrow = frozenset(value for value, kind in kinds.items() if kind != np.float32)
    return put_behind(graph, head, stem, mixes=mixes, narrow=narrow, again=again)


def _write(work: Editor, parts: Parts, fitted: FittedHead) -> None:
    """The head's nodes behind the one that makes its logits."""
    bare = work.values[parts.logits]
    producer = bare.producer()
    assert producer is not None, "logits are made by a node"
    own = bare.dtype or ir.DataType.from_numpy(work.static.kind(parts.logits))
    kernels = kernels_of(fitted, parts.parts)
    values, made = {**work.values, parts.bare: bare}, list[ir.Node]()
    for part in parts.parts:
        inputs = [values[name] for name in part.inputs]
        if part.kind == "weigh":
            kernel, bias = kernels[part.name]
            inputs.append(work.constant(f"{part.name}_weight", kernel))
            inputs += [] if bias is None else [work.constant(f"{part.name}_bias", bias)]
        node = ir.node(
            _NAMES[part.kind],
            inputs,
            _attributes(part, own if part.kind == "narrow" else ir.DataType.FLOAT),
            name=part.name,
        )
        made.append(node)
        values[part.output] = node.outputs[0]
        node.outputs[0].name = part.output
    last = made[-1].outputs[0]
    readers = [use for use in bare.uses() if use.node not in made]
    for use in readers:
        use.node.replace_input_with(use.idx, last)
    outputs = work.graph.outputs
    for i, value in enumerate(outputs):
        if value is bare:
            outputs[i] = last
    last.type, bare.name = bare.type, parts.bare
    work.graph.insert_after(producer, made)
    work.nodes.update({str(node.name): node for node in made})
    work.values.update({**{p.output: values[p.output] for p in parts.parts}, parts.bare: bare})


_NAMES = {"wide": "Cast", "narrow": "Cast", "order": "Transpose", "mean": "AveragePool", "weigh": "Conv", "add": "Add"}


def _attributes(part: Part, kind: ir.DataType) -> dict[str, Any]:
    if part.kind in ("wide", "narrow"):
        return {"to": int(kind)}
    if part.kind == "order":
        return {"perm": list(part.order)}
    if not isinstance(part.touch, Window):
        return {}
    y, x = part.touch.y, part.touch.x
    return {"kernel_shape": [y.kernel, x.kernel], "strides": [int(y.stride), int(x.stride)]}


def _remove(work: Editor, each: Described) -> FittedHead:
    """Take a head out; what it was, by its weights."""
    logits, bare = work.values[each.head.logits], work.values[f"{each.stem}_bare"]
    mine = [node for node in work.graph if str(node.name).startswith(f"{each.stem}_")]
    weights: dict[Weighs, Array] = {}
    bias: Array | None = None
    weighing = each.weighing
    for node in mine:
        if str(node.name) in weighing:
            weights[weighing[str(node.name)]] = _numbers(node, 1)
            bias = _numbers(node, 2) if len(node.inputs) > 2 else bias
    if bias is None or not mine:
        raise ValueError(f"{each.stem}: a head without a bias")
    fitted = each.fitted(weights, bias)
    producer = bare.producer()
    if producer is None or producer in mine:
        raise ValueError(f"{each.stem}: its logits are made by no node of the network")
    ir.convenience.replace_all_uses_with(logits, bare, replace_graph_outputs=True)
    for node in reversed(mine):
        work.graph.remove(node, safe=True)
    bare.name, bare.type = each.head.logits, logits.type
    work.values[each.head.logits] = bare
    del work.values[f"{each.stem}_bare"]
    for name in [name for name in work.graph.initializers if name.startswith(f"{each.stem}_")]:
        del work.graph.initializers[name]
    return fitted


def _numbers(node: ir.Node, i: int) -> Array:
    value = node.inputs[i]
    if value is None or value.const_value is None:
        raise ValueError(f"{node.name}: weights that are no constant")
    return value.const_value.numpy()


def _is_finer(graph: Graph, each: Described) -> bool:
    """Whether a network's map was made finer since the head was put there."""
    fields = receptive_fields(graph)
    at = zip(each.head.levels, each.steps, strict=True)
    wide = [[s * b * n for s, b, n in zip(step, level.block, level.step, strict=True)] for level, step in at]
    return any(tuple(steps) != fields[each.head.logits].stride for steps in wide)


def _make_finer(work: Editor, net: OnnxNet, graph: Graph, parts: Parts, each: Described) -> None:
    """The head's windows as a finer form has them; how many cells it adds behind the last is the form's own."""
    want = [int(side) for side in receptive_fields(graph)[each.head.logits].stride]
    at = {level.value: step for level, step in zip(each.head.levels, each.steps, strict=True)}
    work.static = replace(work.static, shapes={**work.static.shapes, **{p.output: p.axes.shape for p in parts.parts}})
    work.axes = {**work.axes, **{p.output: p.axes for p in parts.parts}}
    there = {node.name: node.touch for node in net.graph}
    for part in parts.parts:
        old, touch = at.get(part.inputs[0]), part.touch
        if old is None:
            continue
        at[part.output] = old
        if isinstance(touch, Window):
            own = there[part.name]
            if not isinstance(own, Window):
                raise ValueError(f"{part.name}: no window")
            made = [finer_span(span, o, w, 1) for span, o, w in zip((touch.y, touch.x), old, want, strict=True)]
            at[part.output] = made[0][1], made[1][1]
            y, x = (replace(span, pad_after=has.pad_after) for (span, _), has in zip(made, (own.y, own.x), strict=True))
            if (y, x) != (touch.y, touch.x):
                make_finer(work, str(part.name), y, x)


def _same_nodes(have: ir.Model, want: ir.Model, stems: list[str]) -> bool:
    """Whether two models have the same nodes of these names, with the same weights."""

    def mine(model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if any(str(node.name).startswith(f"{stem}_") for stem in stems)]

    own, other = mine(have), mine(want)
    if [_told(node) for node in own] != [_told(node) for node in other]:
        return False
    pairs = [(a, b) for x, y in zip(own, other, strict=True) for a, b in zip(x.inputs, y.inputs, strict=True)]
    return all(
        a is not None and b is not None and (a.const_value is None) == (b.const_value is None)
        and (a.const_value is None or b.const_value is None or alike(a.const_value.numpy(), b.const_value.numpy()))
        for a, b in pairs
    )  # fmt: skip


def _told(node: ir.Node) -> tuple[object, ...]:
    names = [tuple(None if v is None else v.name for v in side) for side in (node.inputs, node.outputs)]
    values = {n: tuple(a.value) if isinstance(a.value, list | tuple) else a.value for n, a in node.attributes.items()}
    return node.op_type, node.domain, node.name, *names, values
