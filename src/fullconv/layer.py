"""A network up to one of its layers: its value there is a map of features, as the scores of a network are a map.

It is a network like any other, of ONNX whatever the format, so that tiles, predicted memory, finer maps and written files are as they are for any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from fullconv.errors import BadInput, Refused
from fullconv.formats.upto import up_to
from fullconv.geometry.exactness import Cause
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.grid import Sampling, sampling
from fullconv.graph.nodes import Graph, Node
from fullconv.surgery.edit import RemoveLayout
from fullconv.surgery.plan import Plan
from fullconv.surgery.pooled import edges_of

if TYPE_CHECKING:
    from fullconv.model import Model

_NAMED = 4  # values that a message names


def layer_of(model: Model, name: str) -> Model:
    """``Model.layer``.

    Args:
        name: a layer, a value or a module (``layer4``), as ``fullconv inspect`` lists them.

    Raises:
        BadInput: there is none of this name, or its value is no map; the nearest that is one is told.
    """
    base = model.classifier if model.heads else model
    graph, source = base.graph, str(model.path or "the network")
    value = value_named(graph, name, source)
    # Behind a node that has no cast form there is no map; before it the network may be one as it is.
    whole = base if base.plan.refusals else base.cast()
    now = value if whole is base else _as_cast(base.plan, value)
    why = _no_map(graph, value) if now is None else _no_map(whole.graph, now)
    if now is None or why is not None:
        near = _nearest(base, whole, value)
        raise BadInput(
            f"{source}: layer {name!r} gives no map of features: {why}" + ("" if near is None else f"; take {near!r}")
        )
    kind, native = up_to(whole.format, whole.native, whole.graph, now, source)
    made = whole.making(native, kind)
    made.card, made.is_layer = None, True
    if not made.plan.is_empty:
        near = _nearest(base, whole, value)
        told = (
            made.plan.refusals[0]
            if made.plan.refusals
            else f"{made.plan.edits[0]}, which a layer's own value does not allow"
        )
        raise BadInput(
            f"{source}: layer {name!r} gives no map of features: {told}" + ("" if near is None else f"; take {near!r}")
        )
    known = tuple(_causes(base.plan, _leading_to(whole.graph, now)))
    if bool(known) == bool(made.plan.inexact):  # else what was read of the part itself counts
        made.plan = replace(made.plan, inexact=known)
    return made


def value_named(graph: Graph, name: str, source: str) -> str:
    """The value that a name means: a value's own, a layer's, or that of a module (``layer4``), whose value is what others read of it.

    Raises:
        BadInput: none is called so, or several are; near names are told.
    """
    if name in graph.values and name not in graph.inputs:
        return name
    exact = [node for node in graph if node.name == name]
    inside = exact or [node for node in graph if _is_within(node.name, name)]
    made = [value for node in inside for value in node.outputs]
    own = {node.name for node in inside}
    found = [
        value for value in made if value in graph.outputs or any(n.name not in own for n in graph.consumers(value))
    ]
    found = found or made[-1:]
    if len(found) == 1:
        return found[0]
    if found:
        more = ", ..." if len(found) > _NAMED else ""
        raise BadInput(
            f"{source}: {name!r} gives {len(found)} values: {', '.join(map(repr, found[:_NAMED]))}{more}; name one"
        )
    raise BadInput(_unknown(graph, name, source))


def _unknown(graph: Graph, name: str, source: str) -> str:
    known = dict.fromkeys([*graph.values, *(part for node in graph for part in _paths(node.name))])
    near = get_close_matches(name, list(known), 3, 0.6)
    meant = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    return (
        f"{source}: no output is named {name!r}, and no layer{meant or '.'} The network's outputs are {', '.join(graph.outputs)}; fullconv inspect lists "
        "its layers"
    )


def _is_within(node: str, path: str) -> bool:
    """Whether a node lies in a module, by names such as ``layer1.0/relu`` or ``/layer1/layer1.0/relu/Relu``."""
    inner = f"/{node.lstrip('/')}/"
    return f"/{path.strip('/')}." in inner or f"/{path.strip('/')}/" in inner


def _paths(node: str) -> Iterator[str]:
    """A node's name, and those of the modules around it."""
    yield node
    parts = node.strip("/").split("/")
    for part in parts:
        steps = part.split(".")
        yield from (".".join(steps[:i]) for i in range(1, len(steps) + 1))


def _as_cast(plan: Plan, value: str) -> str | None:
    """The cast network's value for one of the untouched network; None where it is not one of its cells' any more."""
    becomes = {edit.value: edit.becomes for edit in plan.edits if isinstance(edit, RemoveLayout)}
    assert plan.predicted is not None, "a network that was cast has a plan"
    now, values = value, plan.predicted.values
    while now in becomes and now not in values:
        now = becomes[now]
    if now not in values or (now != value and values[now].is_map and values[now].map_size != (1, 1)):
        return None
    return now


def _no_map(graph: Graph, value: str) -> str | None:
    """Why a value is no map of the image, None where it is one."""
    axes = graph.values[value]
    if value in graph.inputs:
        return "it is an input"
    if not axes.is_map or axes.rank != 4:
        return f"its value {value!r} of {'×'.join(map(str, axes.shape))} is no map of channels, height and width (its axes are {axes})"
    try:
        fields = receptive_fields(_cut(graph, value))
    except Refused as error:
        return str(error.refusals[0])
    return None if value in fields else "it does not depend on the image"


def _nearest(base: Model, whole: Model, value: str) -> str | None:
    """The nearest value before one that is a map."""
    todo = [value]
    for each in todo:
        now = each if whole is base else _as_cast(base.plan, each)
        if each != value and now is not None and _no_map(whole.graph, now) is None:
            return each
        made = base.graph.producer(each)
        todo += [v for v in (() if made is None else made.inputs) if v not in todo]
    return None


def _leading_to(graph: Graph, value: str) -> list[Node]:
    need, found = {value}, []
    for node in reversed(graph.nodes):
        if need.intersection(node.outputs):
            need.update(node.inputs)
            found.append(node)
    return found[::-1]


def _cut(graph: Graph, value: str) -> Graph:
    return Graph(graph.inputs, (value,), tuple(_leading_to(graph, value)), graph.values)


def _causes(plan: Plan, nodes: list[Node]) -> Iterator[Cause]:
    """Those of a plan's causes that lie among some nodes of the cast network."""
    names = {node.name for node in nodes}
    for cause in plan.inexact:
        if cause.node in names or edges_of(cause.node) in names:
            yield cause


def sampling_of(layer: Model, value: str) -> Sampling:
    """A layer's cells: where it is exact each stands for all that it sees, and for no pixel more."""
    own = sampling(layer.graph, value)
    exact = not layer.plan.inexact and layer.graph.values[value].map_size != (1, 1)
    return Sampling(own.stride, own.field.size, own.field) if exact else own
