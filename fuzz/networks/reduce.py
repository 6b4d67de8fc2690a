"""The smallest network that still fails in the same way: cut from the front and the back, then node by node."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from fuzz.networks.draft import names_read, plain_options
from fuzz.networks.generate import Drawn
from fuzz.networks.oracle import judge
from fuzz.networks.promises import Verdict

TRIES = 3  # seeds of sizes that a network is judged with


def signature(verdict: Verdict) -> str:
    """What a finding is, without its numbers and names: two of the same root mostly share it."""
    if verdict.kind in ("cells", "finer cells", "training size", "told size", "fitting", "saved"):
        return verdict.kind
    plain = re.sub(r"/\S+|Node\(name='\w+'", "", verdict.detail)
    return f"{verdict.kind}: {re.sub(r'[0-9]+', '#', plain)[:70]}"


def reduced(drawn: Drawn, verdict: Verdict, judged: Callable[[Drawn], Verdict] | None = None) -> Drawn:
    """A network as small as it gets that fails with the same signature."""
    want = signature(verdict)

    def fails(candidate: Drawn) -> bool:
        if judged is not None:
            return signature(judged(candidate)) == want
        return any(
            signature(judge(candidate.model, candidate.shape, candidate.last, Random(i))) == want for i in range(TRIES)
        )

    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(drawn):
            if fails(candidate):
                drawn, smaller = candidate, True
                break
    return drawn


def _candidates(drawn: Drawn) -> Iterator[Drawn]:
    graph = drawn.model.graph
    if len(graph.output) > 1:
        for i in range(len(graph.output)):
            yield _with(drawn, outputs=[graph.output[i].name])
    shapes = _values(drawn)
    middle = [o for node in graph.node for o in node.output if o in shapes]
    for name in middle[:-1]:
        yield _with(drawn, outputs=[name])
    for name in reversed(middle):
        if len(shapes[name]) == 4 and name not in {o.name for o in graph.output}:
            yield _from(drawn, name, shapes[name])
    for i, node in enumerate(graph.node):
        for source in dict.fromkeys(name for name in node.input if name in shapes or name == graph.input[0].name):
            yield _without(drawn, i, source)
    for i, node in enumerate(graph.node):
        for attribute in node.attribute:
            model = _copy(drawn.model)
            kept = [a for a in node.attribute if a.name != attribute.name]
            del model.graph.node[i].attribute[:]
            model.graph.node[i].attribute.extend(kept)
            yield replace(drawn, model=model)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def _values(drawn: Drawn) -> dict[str, tuple[int, ...]]:
    """Shapes of what follows from the input, at training size."""
    model = _copy(drawn.model)
    flowing = {model.graph.input[0].name}
    for node in model.graph.node:
        if flowing & names_read(node):
            flowing.update(o for o in node.output if o)
    del model.graph.output[:]
    names = [o for node in model.graph.node for o in node.output if o in flowing]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        session = ort.InferenceSession(model.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"])
        c, h, w = drawn.shape
        image = np.random.default_rng(0).standard_normal((1, h, w, c) if drawn.last else (1, c, h, w))
        found = session.run(names, {model.graph.input[0].name: image.astype(np.float32)})
    except Exception:  # the network is judged by others
        return {}
    return {n: tuple(np.shape(v)) for n, v in zip(names, found, strict=True) if np.asarray(v).dtype == np.float32}


def _with(drawn: Drawn, outputs: list[str]) -> Drawn:
    """The network with other outputs, and only what they need."""
    model = _copy(drawn.model)
    del model.graph.output[:]
    shapes = _values(drawn)
    first = model.graph.input[0].type.tensor_type.shape.dim
    batch = first[0].dim_param or first[0].dim_value
    free = any(dim.dim_param for dim in first[1:])
    for name in outputs:
        shape = shapes.get(name)
        dims = None if shape is None else [batch, *(None if free and i > 1 else s for i, s in enumerate(shape) if i)]
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims))
    return replace(drawn, model=_pruned(model))


def _pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    needed, nodes = {o.name for o in model.graph.output}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed |= names_read(node)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes[::-1])
    model.graph.initializer.extend(kept)
    return model


def _from(drawn: Drawn, name: str, shape: tuple[int, ...]) -> Drawn:
    """The network with a map within as its input."""
    model = _copy(drawn.model)
    old = model.graph.input[0]
    for node in model.graph.node:
        for i, output in enumerate(node.output):
            if output == name:
                node.output[i] = f"{name}/old"
    dims = [old.type.tensor_type.shape.dim[0].dim_param or 1, *shape[1:]]
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims))
    return Drawn(_pruned(model), (shape[1], shape[2], shape[3]), False)


def _without(drawn: Drawn, i: int, source: str) -> Drawn:
    """The network with a node's input in the place of its output."""
    model = _copy(drawn.model)
    gone = model.graph.node[i].output[0]
    del model.graph.node[i]
    for node in model.graph.node:
        for j, name in enumerate(node.input):
            if name == gone:
                node.input[j] = source
    for output in model.graph.output:
        if output.name == gone:
            output.name = source
            shape = _values(drawn).get(source)
            if shape is not None:
                dims = [output.type.tensor_type.shape.dim[0].dim_param or 1, *shape[1:]]
                output.CopyFrom(helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, dims))
    return replace(drawn, model=_pruned(model))
