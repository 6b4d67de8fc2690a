"""Caffe behind the Format protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fullconv.errors import BadInput
from fullconv.formats.caffe import apply as surgery
from fullconv.formats.caffe.lower import fitted, lower
from fullconv.formats.caffe.network import CaffeNet, read_network
from fullconv.formats.caffe.placement import blob_of
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.write import write_network
from fullconv.formats.format import Reading, Session
from fullconv.graph.nodes import Graph
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.plan import Plan


class Caffe:
    """The Caffe format."""

    name = "caffe"
    dialect = Dialect(rename=surgery.rename)

    def read(self, path: Path, reading: Reading) -> CaffeNet:
        return read_network(path, reading)

    def graph(self, native: CaffeNet) -> Graph:
        return native.placement.graph()

    def batch(self, native: CaffeNet) -> int | None:
        return None

    def apply(self, native: CaffeNet, plan: Plan) -> CaffeNet:
        return surgery.apply(native, plan)

    def lower(self, native: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        return lower(native, shapes)

    def module(self, native: Any) -> Any:
        return None

    def own_session(self, native: Any, precision: str) -> Session | None:
        return None

    def prefers_itself(self) -> bool:
        return False

    def check(self, native: CaffeNet, shapes: Mapping[str, Sequence[int]]) -> None:
        fitted(native, shapes)

    def resize(self, native: CaffeNet, height: int, width: int) -> CaffeNet:
        image = self.graph(native).image
        message = pb.NetParameter()
        message.CopyFrom(native.message)
        for layer in message.layer:
            for i, top in enumerate(layer.top if layer.type == "Input" else ()):
                if image is not None and top == blob_of(image):
                    shapes = layer.input_param.shape
                    shapes[min(i, len(shapes) - 1)].dim[2:] = [height, width]
        return native.with_message(message, native.weights)

    def write(self, native: CaffeNet, path: Path, weights: Path | None) -> list[Path]:
        if path.suffix not in (".prototxt", ".pbtxt", ".txt"):
            raise BadInput(f"{path}: a Caffe network is written as .prototxt (weights beside it as .caffemodel or .h5)")
        beside: Path | None = weights or path.with_suffix(".caffemodel")
        if beside is not None and beside.suffix not in (".caffemodel", ".h5", ".hdf5"):
            raise BadInput(f"{beside}: Caffe weights are written as .caffemodel or .h5")
        if native.weights is None:
            beside = None
        write_network(native, path, beside)
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
