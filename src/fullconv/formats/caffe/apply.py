"""Applying a plan to a Caffe network: the message's layers edited, the arrays reshaped as views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fullconv.errors import BrokenPromise
from fullconv.formats.caffe.network import CaffeNet
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.kernel import kernel_of
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.edit import Edit, FreeShape, GlobalToSliding, LinearToConv, RemoveLayout, SetAxis
from fullconv.surgery.plan import Plan

# Where a layer type keeps its axis, and an older field that says the same.
_AXIS = {
    "ArgMax": ("argmax_param", None), "Bias": ("bias_param", None), "Concat": ("concat_param", "concat_dim"),
    "Scale": ("scale_param", None), "Slice": ("slice_param", "slice_dim"), "Softmax": ("softmax_param", None),
    "Tile": ("tile_param", None),
}  # fmt: skip


def rename(layer: str) -> str:
    """Caffe copies weights by layer name; a cast layer's new name keeps the old shapes away from it."""
    return f"{layer}-conv"


def apply(net: CaffeNet, plan: Plan) -> CaffeNet:
    """A new network with every edit of the plan made; ``net`` is not changed.

    Raises:
        BrokenPromise: an edit that Caffe's layers cannot express, which the plan should have refused.
    """
    work = _Work(net)
    for edit in plan.edits:
        make = _EDITS.get(type(edit))
        if make is None:
            raise BrokenPromise(f"{net.source}: no layer of Caffe does what the plan asks for: {edit}")
        make(work, edit)
    return work.finish()


class _Work:
    """A network being edited: its message and its arrays by layer."""

    def __init__(self, net: CaffeNet) -> None:
        self.net = net
        self.message = pb.NetParameter()
        self.message.CopyFrom(net.message)
        self.weights = dict(net.weights) if net.weights is not None else None
        self.extra = dict(net.extra)

    def layer(self, name: str) -> Any:
        return next(layer for layer in self.message.layer if layer.name == name)

    def finish(self) -> CaffeNet:
        weights = self.weights
        if weights is not None:  # in the order of the layers, which a writer keeps
            weights = {layer.name: weights[layer.name] for layer in self.message.layer if layer.name in weights}
        return self.net.with_message(self.message, weights, self.extra)

    def to_convolution(self, edit: LinearToConv) -> None:
        layer = self.layer(edit.node)
        inner = layer.inner_product_param
        if edit.node in self.extra:
            self.extra[edit.becomes] = self.extra.pop(edit.node)
        if self.weights is not None:
            matrix, *bias = self.weights.pop(edit.node)
            self.weights[edit.becomes] = (kernel_of(matrix.T if inner.transpose else matrix, edit), *bias)
        layer.name, layer.type = edit.becomes, "Convolution"
        conv = layer.convolution_param
        conv.num_output = edit.outputs
        if not inner.bias_term:
            conv.bias_term = False
        for filler in ("weight_filler", "bias_filler"):
            if inner.HasField(filler):
                getattr(conv, filler).CopyFrom(getattr(inner, filler))
        set_kernel(conv, edit.kernel)
        layer.ClearField("inner_product_param")

    def to_sliding(self, edit: GlobalToSliding) -> None:
        param = self.layer(edit.node).pooling_param
        sizes = ("kernel_size", "kernel_h", "kernel_w", "pad", "pad_h", "pad_w", "stride", "stride_h", "stride_w")
        for name in ("global_pooling", *sizes):
            param.ClearField(name)
        set_kernel(param, edit.kernel)

    def remove(self, edit: RemoveLayout) -> None:
        """Take a layer out: who read its top until the next writing of it reads its bottom."""
        layer, top = self.layer(edit.node), self.net.placement.blobs[edit.value]
        bottom = layer.bottom[0]
        rest = list(self.message.layer)
        for other in rest[rest.index(layer) + 1 :]:
            writes = top in other.top
            for i, name in enumerate(other.bottom):
                if name == top:
                    other.bottom[i] = bottom
            if writes:
                break
        self.message.layer.remove(layer)

    def set_axis(self, edit: SetAxis) -> None:
        layer = self.layer(edit.node)
        name, older = _AXIS[layer.type]
        param = getattr(layer, name)
        if older:
            param.ClearField(older)
        param.axis = edit.axis
        if (
            layer.type in ("Scale", "Bias") and param.num_axes == -1
        ):  # all behind the axis, counted before there was a map
            learned = next(placed.learned for placed in self.net.placement.layers if placed.name == edit.node)
            param.num_axes = len(learned[0].shape) if learned else -1

    def free_shape(self, edit: FreeShape) -> None:
        """A Reshape of the part that changes; what lies before and behind keeps the sizes that it has."""
        layer = self.layer(edit.node)
        part = _changed(edit)
        assert part is not None, "a plan whose edits cannot be written is not applied"
        layer.type = "Reshape"
        layer.ClearField("flatten_param")
        layer.reshape_param.Clear()
        layer.reshape_param.axis, layer.reshape_param.num_axes, sizes = part
        layer.reshape_param.shape.dim.extend(sizes)


def _changed(edit: FreeShape) -> tuple[int, int, tuple[int, ...]] | None:
    """(first axis, axes, their new sizes) of the part that a reshape changes; None where kept axes do not keep their order."""
    if all(source in (-1, i) for i, source in enumerate(edit.sources)):
        return 0, -1, edit.shape  # a 0 copies the axis of its own place
    start = 0
    while start < len(edit.sources) and edit.sources[start] == start:
        start += 1
    behind = [source for source in edit.sources[start:] if source >= 0]
    sizes = edit.shape[start : len(edit.shape) - len(behind)]
    end = behind[0] if behind else -1
    if tuple(edit.sources[len(edit.sources) - len(behind) :]) != tuple(range(end, end + len(behind))):
        return None
    return start, end - start if behind else -1, sizes


def _cannot(edit: Edit) -> str | None:
    if isinstance(edit, FreeShape) and _changed(edit) is None:
        return f"no layer of Caffe reshapes a map of any size so: {edit}"
    return None


_EDITS: Mapping[type, Callable[[_Work, Any], None]] = {
    FreeShape: _Work.free_shape,
    GlobalToSliding: _Work.to_sliding,
    LinearToConv: _Work.to_convolution,
    RemoveLayout: _Work.remove,
    SetAxis: _Work.set_axis,
}

DIALECT = Dialect(rename=rename, ends_unread=True, edits=frozenset(_EDITS), cannot=_cannot, sets_axis=frozenset(_AXIS))


def set_kernel(param: Any, kernel: tuple[int, int]) -> None:
    """A kernel's size, (height, width), of a convolution or a pool."""
    if kernel[0] != kernel[1]:
        param.kernel_h, param.kernel_w = kernel
    elif isinstance(param, pb.ConvolutionParameter):
        param.kernel_size.append(kernel[0])
    else:
        param.kernel_size = kernel[0]
