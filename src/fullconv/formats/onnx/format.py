"""ONNX behind the Format protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from fullconv.errors import BadInput, BrokenPromise
from fullconv.formats.format import Framework, Reading
from fullconv.formats.head import FittedHead
from fullconv.formats.onnx import head
from fullconv.formats.onnx.apply import ALIGNED, EDITS, apply
from fullconv.formats.onnx.axis import SETS_AXIS
from fullconv.formats.onnx.editor import set_free
from fullconv.formats.onnx.fit import fitted
from fullconv.formats.onnx.lower import limits, lower_model
from fullconv.formats.onnx.mark import marked
from fullconv.formats.onnx.network import OnnxNet, of_another_size, read_network, states_another_size
from fullconv.formats.onnx.sampled import recorded
from fullconv.formats.onnx.trained import trainable, with_weights
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph, Whole
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.trainable import Trainable
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.plan import Plan, make_plan
from fullconv.system.files import Approve, unseen, written_whole
from fullconv.system.guard import MARK

Array = npt.NDArray[Any]
_ROUNDING = 1e-3  # by which a pixel may miss its whole number
_LARGEST = 2**31 - 1  # bytes of one protobuf message; what is larger keeps its weights beside it


class Onnx:
    """The ONNX format."""

    name = "onnx"
    suffixes: tuple[str, ...] = (".onnx",)
    dialect = Dialect(pools_locally=True, keeps_outputs=True, edits=EDITS, sets_axis=SETS_AXIS, aligns=ALIGNED)
    framework: Framework | None = None

    def read(self, source: Path | onnx.ModelProto, reading: Reading) -> OnnxNet:
        net = read_network(source, reading)
        if not make_plan(net.graph, self.dialect).is_empty:
            stated = states_another_size(net.model, net.inputs)
            if stated is not None:
                raise BadInput(of_another_size(net.source, stated))
            return net
        return _freed(net)

    def graph(self, native: OnnxNet) -> Graph:
        return native.graph

    def batch(self, native: OnnxNet) -> int | None:
        first = native.model.graph.inputs[0].shape
        return first[0] if first is not None and len(first) and isinstance(first[0], int) else None

    def apply(self, native: OnnxNet, plan: Plan) -> OnnxNet:
        return apply(native, plan)

    def adapt(self, native: OnnxNet, fitted: FittedHead) -> OnnxNet:
        return head.adapt(native, fitted)

    def unadapted(self, native: OnnxNet) -> tuple[OnnxNet, tuple[FittedHead, ...]] | None:
        return head.unadapted(native)

    def check(self, native: OnnxNet, shapes: Mapping[str, Sequence[int]]) -> None:
        whole = not native.is_cast and any(
            isinstance(n.touch, Whole) and n.touch.how not in ("statistics", "shift") for n in native.graph
        )
        for name, shape in shapes.items():
            axes = native.inputs[name]
            if whole and axes.is_map and tuple(shape[1:]) != axes.shape[1:]:
                raise BadInput(
                    f"{native.source}: input {name!r} of {tuple(shape)} is not its training size {axes.shape}; cast the network for others"
                )
            stated = next(value.shape for value in native.model.graph.inputs if value.name == name)
            for want, have in zip(stated or (), shape, strict=False):
                if isinstance(want, int) and want != have and want > 0:
                    raise BadInput(
                        f"{native.source}: input {name!r} of {tuple(shape)} does not fit {list(stated or ())}; cast the network for other sizes"
                    )

    def accepts(self, native: OnnxNet, feeds: Mapping[str, Array]) -> None:
        for value in native.model.graph.inputs:
            given = feeds.get(str(value.name))
            if given is None or value.dtype is None or not value.dtype.is_integer():
                continue
            least, largest = limits(value.dtype)
            low, high = float(given.min()), float(given.max())
            near = float(np.abs(given - np.rint(given)).max()) <= _ROUNDING  # not so for NaN either
            if not (near and least - _ROUNDING <= low and high <= largest + _ROUNDING):
                raise BadInput(
                    f"input {value.name!r} takes whole numbers from {least} to {largest}; it was given others, from {low:g} to {high:g}: "
                    "feed pixels as they are (--preprocess raw)"
                )

    def lower(self, native: OnnxNet, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        inputs = {name: tuple(shapes.get(name, axes.shape)) for name, axes in native.inputs.items()}
        image = native.graph.image
        axes = native.inputs[image] if image else None
        free = tuple(i for i in range(4) if axes is not None and i != axes.channel_axis)
        return lower_model(native.model, inputs, free)

    def trainable(self, native: OnnxNet) -> Trainable:
        return trainable(native)

    def with_weights(self, native: OnnxNet, arrays: Mapping[str, Array]) -> OnnxNet:
        return with_weights(native, arrays)

    def resize(self, native: OnnxNet, height: int, width: int) -> OnnxNet:
        return native  # height and width are free

    def write(self, native: OnnxNet, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
        if path.suffix not in self.suffixes:
            raise BadInput(f"{path}: an ONNX network is written as .onnx")
        size = sum(v.const_value.nbytes for v in native.model.graph.initializers.values() if v.const_value is not None)
        model = fitted(native.model, native.graph)
        if weights is None and size < _LARGEST:
            message = ir.to_proto(model)
            try:
                onnx.checker.check_model(message, full_check=True)
            except Exception as error:  # the checker's own types
                raise BrokenPromise(f"{path}: the network would not pass ONNX's checker: {error}") from error
            with written_whole(path, approve=approve) as (part,):
                part.write_bytes(marked(message).SerializeToString())
            return [path]
        beside = weights or path.with_suffix(".onnx.data")
        if beside.parent.resolve() != path.parent.resolve():
            raise BadInput(f"{beside}: external data must lie beside the network, in {path.parent}")
        with written_whole(path, beside, approve=approve) as (part, data):
            ir.save(model, part, external_data=data.name)
            with data.open("ab") as file:
                file.write(MARK.encode())  # behind the last tensor: readers go by offset and length
            text = onnx.load(str(part), load_external_data=False)
            part.write_bytes(marked(text).SerializeToString())
        return [path, beside]

    def preprocess(self, native: OnnxNet) -> Preprocess | None:
        return None

    def notes(self, native: OnnxNet) -> Sequence[str]:
        return native.notes

    def recorded(self, native: OnnxNet) -> Mapping[str, Sampling]:
        return recorded(native.model)

    def metadata(self, native: OnnxNet) -> Mapping[str, str]:
        return native.model.metadata_props


def _freed(net: OnnxNet) -> OnnxNet:
    """A fully convolutional network takes any size, whatever its file states."""
    set_free(net.model, net.graph, net.static)
    return net
