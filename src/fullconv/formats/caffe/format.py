"""Caffe behind the Format protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.caffe import apply as surgery
from fullconv.formats.caffe import head
from fullconv.formats.caffe.lower import fitted, lower, trainable, with_weights
from fullconv.formats.caffe.network import CaffeNet, read_network
from fullconv.formats.caffe.placement import place
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.write import write_network
from fullconv.formats.finer import as_onnx
from fullconv.formats.format import Framework, Reading
from fullconv.formats.head import FittedHead
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.trainable import Trainable
from fullconv.surgery.plan import Plan, make_plan
from fullconv.system.files import Approve, unseen


class Caffe:
    """The Caffe format."""

    name = "caffe"
    suffixes: tuple[str, ...] = (".prototxt", ".pbtxt", ".txt", ".onnx")
    dialect = surgery.DIALECT
    framework: Framework | None = None

    def read(self, path: Path, reading: Reading) -> CaffeNet:
        return read_network(path, reading)

    def graph(self, native: CaffeNet) -> Graph:
        return native.placement.graph()

    def batch(self, native: CaffeNet) -> int | None:
        """The stated one where layers take no other: a Reshape that states it, constants that are as many."""
        sizes = {value: native.placement.axes[value].shape for value in native.placement.inputs}
        stated = {shape[0] for shape in sizes.values() if shape}
        if len(stated) != 1:
            return None
        (count,) = stated
        more = {value: (count + 1, *shape[1:]) for value, shape in sizes.items() if shape}
        try:
            other = place(native.message, native.source, {native.placement.blobs[v]: s for v, s in more.items()})
        except FullconvError:
            return count
        learns = [placed.learned for placed in native.placement.layers]
        same = all(a == b.learned for a, b in zip(learns, other.layers, strict=True))
        follows = all(other.axes[v].shape[:1] == (count + 1,) for v in native.placement.outputs)
        return None if same and follows else count

    def apply(self, native: CaffeNet, plan: Plan) -> CaffeNet:
        return surgery.apply(native, plan)

    def adapt(self, native: CaffeNet, fitted: FittedHead) -> CaffeNet | None:
        return head.adapt(native, fitted)

    def unadapted(self, native: CaffeNet) -> tuple[CaffeNet, tuple[FittedHead, ...]] | None:
        return head.unadapted(native)

    def lower(self, native: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        return lower(native, shapes)

    def trainable(self, native: CaffeNet) -> Trainable:
        return trainable(native)

    def with_weights(self, native: CaffeNet, arrays: Mapping[str, Any]) -> CaffeNet:
        return with_weights(native, arrays)

    def check(self, native: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> None:
        fitted(native, shapes)

    def accepts(self, native: CaffeNet, feeds: Mapping[str, Any]) -> None:
        return  # floating-point numbers, whatever they are

    def resize(self, native: CaffeNet, height: int, width: int) -> CaffeNet:
        image = self.graph(native).image
        message = pb.NetParameter()
        message.CopyFrom(native.message)
        for layer in message.layer:
            for i, top in enumerate(layer.top if layer.type == "Input" else ()):
                if image is not None and top == native.placement.blobs[image]:
                    shapes = layer.input_param.shape
                    shapes[min(i, len(shapes) - 1)].dim[2:] = [height, width]
        return native.with_message(message, native.weights, adapted=native.adapted)

    def write(self, native: CaffeNet, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
        if path.suffix == ".onnx":
            return _write_onnx(native, path, weights, approve)
        if path.suffix not in self.suffixes:
            raise BadInput(
                f"{path}: a Caffe network is written as .prototxt (weights beside it as .caffemodel or .h5), or as .onnx"
            )
        beside: Path | None = weights or path.with_suffix(".caffemodel")
        if beside is not None and beside.suffix not in (".caffemodel", ".h5", ".hdf5"):
            raise BadInput(f"{beside}: Caffe weights are written as .caffemodel or .h5")
        if native.weights is None:
            beside = None
        write_network(native, path, beside, approve)
        return [path] if beside is None else [path, beside]

    def preprocess(self, native: CaffeNet) -> Preprocess | None:
        """From a data layer's transform_param: Caffe's (pixel - mean) · scale."""
        t = native.transform
        if t is None or t.mean_file or not (t.mean_value or t.HasField("scale")):
            return None
        mean = tuple(value * t.scale for value in t.mean_value)
        return Preprocess(channels="BGR", scale=t.scale, mean=mean or (0.0,), std=(1.0,))

    def notes(self, native: CaffeNet) -> Sequence[str]:
        notes = list(native.notes)
        if native.transform is not None and native.transform.mean_file:
            notes.append(
                f"its mean file {native.transform.mean_file} is not read; give the preprocessing with --preprocess"
            )
        return notes

    def recorded(self, native: CaffeNet) -> Mapping[str, Sampling]:
        return {}  # its files have no such metadata

    def metadata(self, native: CaffeNet) -> Mapping[str, str]:
        return {}


def _write_onnx(net: CaffeNet, path: Path, weights: Path | None, approve: Approve) -> list[Path]:
    """The network as it is lowered for engines, its weights within; height and width are free where it is fully convolutional."""
    import onnx_ir as ir

    from fullconv.formats.onnx.format import Onnx
    from fullconv.formats.onnx.refine import of_lowered

    graph = net.placement.graph()
    if (head.unadapted(net) or (net, ()))[1]:
        return Onnx().write(as_onnx(Caffe(), net, graph, net.source)[0], path, weights, approve)
    inputs = {value: graph.values[value] for value in graph.inputs}
    lowered = lower(net, {value: axes.shape for value, axes in inputs.items()})
    any_size = lowered.any_size and make_plan(graph, surgery.DIALECT).is_empty
    if not any_size:
        lowered = replace(lowered, free=(0,))
    made = of_lowered(lowered, graph.outputs, inputs, net.source)
    for value in made.model.graph.outputs:
        axes = graph.values[str(value.name)]
        free = {0, axes.space_axis("h"), axes.space_axis("w")} if any_size else {0}
        value.shape = ir.Shape([f"{value.name}_{i}" if i in free else size for i, size in enumerate(axes.shape)])
    return Onnx().write(made, path, weights, approve)
