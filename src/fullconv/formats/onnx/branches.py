"""An If whose condition is a constant is the branch that it takes: exporters leave such, of a shape that was asked for."""

from __future__ import annotations

import onnx_ir as ir

from fullconv.formats.onnx.static import Static, input_name

MOST_DEEP = 8  # branches within branches that are looked into


def take_branches(model: ir.Model, static: Static) -> bool:
    """Put the branch in the place of each If whose condition no image changes; whether there was any."""
    made = False
    for node in list(model.graph):
        if node.op_type != "If" or node.domain:
            continue
        name = input_name(node, 0) or ""
        condition = static.constants.get(name)
        if condition is None or condition.size != 1 or name in static.sized:
            continue
        taken = node.attributes.get("then_branch" if condition.item() else "else_branch")
        if taken is not None and len(taken.as_graph().outputs) == len(node.outputs):
            _inline(model.graph, node, taken.as_graph())
            made = True
    return made


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    known = {str(value.name) for each in graph for value in (*each.inputs, *each.outputs) if value is not None}
    known |= {*graph.initializers, *(str(value.name) for value in graph.inputs), *(str(each.name) for each in graph)}

    def fresh(name: str | None) -> str:
        made = f"{node.name}/{name}"
        while made in known:
            made += "'"
        known.add(made)
        return made

    outputs, nodes = list(branch.outputs), list(branch)
    branch.outputs.clear()
    branch.remove(nodes)
    for name in list(branch.initializers):
        value = branch.initializers.pop(name)
        value.name = fresh(name)
        graph.register_initializer(value)
    for each in nodes:
        each.name = fresh(each.name)
        for value in each.outputs:
            value.name = fresh(value.name)
    graph.insert_before(node, nodes)
    for old, value in zip(node.outputs, outputs, strict=True):
        same = ir.node("Identity", [value], name=fresh("output"))
        made, own = same.outputs[0], str(old.name)
        made.type, made.shape = old.type, old.shape
        graph.insert_before(node, same)
        ir.convenience.replace_all_uses_with(old, made, replace_graph_outputs=True)
        old.name, made.name = fresh(own), own
    graph.remove(node, safe=True)
