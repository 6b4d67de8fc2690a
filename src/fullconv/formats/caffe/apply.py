"""Applying a plan to a Caffe network: the message's layers edited, the arrays reshaped as views."""

from __future__ import annotations

from typing import Any

from fullconv.formats.caffe.network import CaffeNet
from fullconv.formats.caffe.placement import blob_of
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.kernel import kernel_of
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
    """A new network with every edit of the plan made; ``net`` is not changed."""
    message = pb.NetParameter()
    message.CopyFrom(net.message)
    weights = dict(net.weights) if net.weights is not None else None
    extra = dict(net.extra)
    for edit in plan.edits:
        layer = next(layer for layer in message.layer if layer.name == edit.node)
        if isinstance(edit, LinearToConv):
            transposed = layer.inner_product_param.transpose
            if edit.node in extra:
                extra[edit.becomes] = extra.pop(edit.node)
            if weights is not None:
                matrix, *bias = weights.pop(edit.node)
                weights[edit.becomes] = (kernel_of(matrix.T if transposed else matrix, edit), *bias)
        _edit(message, layer, edit)
    if weights is not None:  # in the order of the layers, which a writer keeps
        weights = {layer.name: weights[layer.name] for layer in message.layer if layer.name in weights}
    return net.with_message(message, weights, extra)


def _edit(message: Any, layer: Any, edit: Edit) -> None:
    if isinstance(edit, LinearToConv):
        _to_convolution(layer, edit)
    elif isinstance(edit, GlobalToSliding):
        param = layer.pooling_param
        sizes = ("kernel_size", "kernel_h", "kernel_w", "pad", "pad_h", "pad_w", "stride", "stride_h", "stride_w")
        for name in ("global_pooling", *sizes):
            param.ClearField(name)
        _set_kernel(param, edit.kernel)
    elif isinstance(edit, RemoveLayout):
        _remove(message, layer, blob_of(edit.value))
    elif isinstance(edit, SetAxis):
        name, older = _AXIS[layer.type]
        param = getattr(layer, name)
        if older:
            param.ClearField(older)
        param.axis = edit.axis
    elif isinstance(edit, FreeShape):
        layer.reshape_param.Clear()
        layer.reshape_param.shape.dim.extend(edit.shape)


def _to_convolution(layer: Any, edit: LinearToConv) -> None:
    inner = layer.inner_product_param
    layer.name, layer.type = edit.becomes, "Convolution"
    conv = layer.convolution_param
    conv.num_output = edit.outputs
    if not inner.bias_term:
        conv.bias_term = False
    for filler in ("weight_filler", "bias_filler"):
        if inner.HasField(filler):
            getattr(conv, filler).CopyFrom(getattr(inner, filler))
    _set_kernel(conv, edit.kernel)
    layer.ClearField("inner_product_param")


def _set_kernel(param: Any, kernel: tuple[int, int]) -> None:
    if kernel[0] != kernel[1]:
        param.kernel_h, param.kernel_w = kernel
    elif isinstance(param, pb.ConvolutionParameter):
        param.kernel_size.append(kernel[0])
    else:
        param.kernel_size = kernel[0]


def _remove(message: Any, layer: Any, top: str) -> None:
    """Take a layer out: who read its top until the next writing of it reads its bottom."""
    bottom = layer.bottom[0]
    rest = list(message.layer)
    behind = rest[rest.index(layer) + 1 :]
    for other in behind:
        writes = top in other.top
        for i, name in enumerate(other.bottom):
            if name == top:
                other.bottom[i] = bottom
        if writes:
            break
    message.layer.remove(layer)
