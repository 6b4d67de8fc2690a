"""An ONNX network as fullconv holds it: the model, the input sizes that it is read at, and its graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnx_ir as ir

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.format import Reading
from fullconv.formats.onnx.branches import MOST_DEEP, take_branches
from fullconv.formats.onnx.compose import composed
from fullconv.formats.onnx.fit import unfitted
from fullconv.formats.onnx.grey import NOTE, with_channel
from fullconv.formats.onnx.hazards import is_hazardous
from fullconv.formats.onnx.load import IN_MEMORY, first_line, open_model
from fullconv.formats.onnx.probe import prove
from fullconv.formats.onnx.quantised import respelt
from fullconv.formats.onnx.same import padded_by_word
from fullconv.formats.onnx.sampled import recorded_crop
from fullconv.formats.onnx.sized import sized_effect
from fullconv.formats.onnx.squeeze import keep_batch
from fullconv.formats.onnx.static import Static, learn, names_read
from fullconv.formats.stated import stated_size
from fullconv.graph import spec
from fullconv.graph.axes import SPACE, Axes
from fullconv.graph.nodes import Graph, Node, Whole
from fullconv.operators.operation import Effect, Operation
from fullconv.runtimes.lowered import SHIFT
from fullconv.system import apart

_COLOURS = (1, 3, 4)  # channels by which an image of (n, h, w, c) is told from one of (n, c, h, w)


@dataclass(frozen=True)
class OnnxNet:
    """One network.

    Attributes:
        model: never changed; a cast works on a copy.
        source: the file it was read from, for messages.
        inputs: axes of each input at training size.
        static: shapes and constants at that size.
        graph: nodes that carry the image's data.
        is_cast: made by a cast: it takes any size.
        notes: what the reader left out, in words.
    """

    model: ir.Model
    source: str
    inputs: Mapping[str, Axes]
    static: Static
    graph: Graph
    is_cast: bool = False
    notes: tuple[str, ...] = ()


def read_network(source: Path | onnx.ModelProto, reading: Reading) -> OnnxNet:
    """Read an ONNX file, or a model in memory."""
    path = source if isinstance(source, Path) else IN_MEMORY
    if reading.weights is not None:
        raise BadInput(f"{path}: an ONNX file holds its weights; leave out --weights")
    model, notes = open_model(source)
    if (reading.isolate or apart.is_asked() or is_hazardous(model)) and not apart.is_within():
        _try_apart(source, reading)
    try:
        if with_channel(model):
            notes = (*notes, NOTE)
        inputs = _input_axes(model, str(path), reading.input_shape)
        unfitted(model, inputs)
        padded_by_word(model)
        stated = states_another_size(model, inputs)
        try:
            net = understand(model, str(path), inputs)
        except BadInput:
            if stated is not None:
                raise BadInput(of_another_size(str(path), stated)) from None
            raise
        for _ in range(MOST_DEEP):
            if not take_branches(model, net.static):
                break
            net = understand(model, str(path), inputs)
        if keep_batch(model, net.static):
            _free_outputs(model)
            net = understand(model, str(path), inputs)
        spelt = composed(model, net.graph, net.static, inputs)
        net = net if spelt is None else understand(spelt, str(path), inputs)
        _require_answers(net, path)
        return replace(net, notes=(*notes, *_several(net)))
    except FullconvError:
        raise
    except Exception as error:  # a damaged file can break any library at any place
        raise BadInput(f"{path}: not a valid ONNX model ({first_line(error)})") from error


def _free_outputs(model: ir.Model) -> None:
    """Stated shapes of outputs that have got an axis more are no longer theirs."""
    for value in model.graph.outputs:
        value.shape = None


def _try_apart(source: Path | onnx.ModelProto, reading: Reading) -> None:
    """Load it in a process of its own first, since it may end the process that runs it."""
    if isinstance(source, Path):
        apart.try_to_load(source, reading.input_shape)
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(source.SerializeToString())
        apart.try_to_load(path, reading.input_shape)


def _require_answers(net: OnnxNet, path: Path) -> None:
    for name in net.graph.outputs:
        shape = net.graph.values[name].shape
        if 0 in shape:
            raise BadInput(
                f"{path}: its output {name!r} is {shape}, no number at all, at this size; is it the training size?"
            )


def _several(net: OnnxNet) -> tuple[str, ...]:
    """What a map needs to know of a network of several inputs."""
    read = [name for name in net.graph.inputs if net.graph.consumers(name)]
    if len(read) < 2:
        return ()
    return (
        f"it has {len(read)} inputs ({', '.join(read)}): it can be cast and run by name, and gives no map, which is of one image",
    )


def understand(model: ir.Model, source: str, inputs: Mapping[str, Axes]) -> OnnxNet:
    """Place every operator of a model for inputs of these axes."""
    static = prove(model, inputs, learn(model, {name: axes.shape for name, axes in inputs.items()}, source))
    opset = model.opset_imports.get("", 0)
    axes: dict[str, Axes] = dict(inputs)
    nodes = []
    for node in model.graph:
        names = [None if value is None else str(value.name) for value in node.inputs]
        hidden = [name for name in names_read(node) if name in axes and name not in names]
        names += hidden  # what a subgraph takes from outside
        if not any(name in axes for name in names) or node.op_type in ("Shape", "Size"):
            continue  # constants, and arithmetic on sizes
        effect = _shifts(node, sized_effect(node, _operation(node, names, axes, static, opset), static))
        # Outputs that nothing reads (a dropout's mask) are no part of the graph: writing drops them.
        made = [
            (value, out)
            for value, out in zip(node.outputs, effect.outputs, strict=False)
            if value.uses() or value.is_graph_output()
        ]
        if not made:
            continue
        outputs = tuple(str(value.name) for value, _ in made)
        axes.update(zip(outputs, (out for _, out in made), strict=True))
        data = tuple(name for name in names if name in axes and name is not None)
        nodes.append(Node(str(node.name), node.op_type, data, outputs, effect.touch, effect.linear, effect.aligned))
    # An input that is handed back is no answer.
    outputs = tuple(str(v.name) for v in model.graph.outputs if v.name in axes and v.name not in inputs)
    if not outputs:
        raise BadInput(f"{source}: no output depends on the input")
    graph = Graph(tuple(inputs), outputs, tuple(nodes), axes)
    return OnnxNet(model, source, dict(inputs), static, spec.check(graph))


def _shifts(node: ir.Node, effect: Effect) -> Effect:
    """A maximum over the map that is only taken off the scores that it is of, for their exponentials; or a mean that says so itself."""
    if not (isinstance(effect.touch, Whole) and effect.touch.how in ("mean", "max")):
        return effect
    takers = [use.node for use in node.outputs[0].uses()]
    only = len(takers) == 1 and takers[0].op_type == "Sub" and takers[0].inputs[0] is node.inputs[0]
    moves_nothing = (
        SHIFT in node.metadata_props
        if effect.touch.how == "mean"
        else only and all(use.node.op_type == "Exp" for use in takers[0].outputs[0].uses())
    )
    if only and moves_nothing:
        return replace(effect, touch=Whole("shift"))
    return effect


def _operation(
    node: ir.Node, names: list[str | None], axes: Mapping[str, Axes], static: Static, opset: int
) -> Operation:
    known = tuple(axes.get(name) if name else None for name in names)
    read = [i for i, value in enumerate(node.outputs) if value.uses() or value.is_graph_output()]
    made = node.outputs[: max(read, default=0) + 1]  # what nothing reads is no part of the graph
    shapes = tuple(static.shapes[str(value.name)] for value in made if str(value.name) in static.shapes)
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return respelt(Operation(kind, tuple(names), known, shapes, attributes, static.constants, static.sized, opset))


def _input_axes(model: ir.Model, source: str, given: tuple[int, int, int] | None) -> dict[str, Axes]:
    read = {}
    for value in model.graph.inputs:
        name = str(value.name)
        if value.shape is None and given is None:
            raise BadInput(
                f"{source}: input {name!r} states no shape; give it with --input-shape C,H,W (input_shape=(C, H, W))"
            )
        dims: list[int | None] = [None] * 4
        if value.shape is not None:
            dims = [dim if isinstance(dim, int) and dim >= 0 else None for dim in value.shape]
        if 0 in dims:
            raise BadInput(
                f"{source}: input {name!r} states the shape {dims}, which holds no number; export it with another"
            )
        plain = value.dtype in (None, ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
        whole = value.dtype is not None and value.dtype.is_integer() and value.dtype.bitwidth >= 8
        if not (plain or (whole and len(dims) == 4)):
            raise BadInput(
                f"{source}: input {name!r} holds {value.dtype}, not numbers of an image: no image classifier's input (a text model, "
                "or one to be exported with float32 inputs)"
            )
        crop = recorded_crop(model) or stated_size(model.metadata_props)
        read[name] = _image_axes(dims, name, source, given, crop) if len(dims) == 4 else _plain_axes(dims, name, source)
    return read


def _plain_axes(dims: list[int | None], name: str, source: str) -> Axes:
    if any(dim is None for dim in dims[1:]):
        raise BadInput(f"{source}: input {name!r} of {dims} is no image and leaves its size open")
    return Axes.image([dim or 1 for dim in dims])


def _image_axes(
    dims: list[int | None],
    name: str,
    source: str,
    given: tuple[int, int, int] | None,
    crop: tuple[int, int] | None,
) -> Axes:
    """(n, c, h, w), or (n, h, w, c) where only that puts a plausible number of channels in its place."""
    last = dims[3] in _COLOURS and dims[1] not in _COLOURS
    order = "n h w c" if last else "n c h w"
    channels, height, width = (dims[3], dims[1], dims[2]) if last else (dims[1], dims[2], dims[3])
    if given is not None:
        if channels is not None and channels != given[0]:
            raise BadInput(f"{source}: input {name!r} takes {channels} channels, --input-shape says {given[0]}")
        channels, height, width = given
    elif height is None and width is None and crop is not None:
        height, width = crop  # as its metadata says
    if channels is None or height is None or width is None:
        shown = "×".join("?" if dim is None else str(dim) for dim in dims)
        raise BadInput(
            f"{source}: input {name!r} of {shown} leaves its training size open; give it with --input-shape C,H,W (input_shape=(C, H, W))"
        )
    return Axes.parse(order, {"n": dims[0] or 1, "c": channels, "h": height, "w": width})


def states_another_size(model: ir.Model, inputs: Mapping[str, Axes]) -> str | None:
    """The height and width that a model states, in words, where it is read at others."""
    for value in model.graph.inputs:
        axes = inputs[str(value.name)]
        if not axes.is_map or value.shape is None:
            continue
        sides = [value.shape[axes.space_axis(root) or 0] for root in SPACE]
        if any(isinstance(side, int) and 0 < side != have for side, have in zip(sides, axes.map_size, strict=True)):
            return f"{sides[0]}×{sides[1]}"
    return None


def of_another_size(source: str, stated: str) -> str:
    """What is said of an input shape that a file contradicts."""
    return (
        f"{source}: states an input of {stated}, and is not fully convolutional, so that --input-shape cannot make it another: "
        "leave it out"
    )
