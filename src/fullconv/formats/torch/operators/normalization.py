"""Normalisations, softmax, and choices among channels."""

from __future__ import annotations

import numpy as np

from fullconv.formats.torch.module import batch_norm as with_modes
from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, Unspelt, own, spells, unwritten


@spells(
    "batch_norm", reads="input weight bias running_mean running_var training eps", harmless="momentum cudnn_enabled"
)
def batch_norm(call: Call) -> Spelling:
    """(x - mean) / √(var + eps) · weight + bias, a channel at a time, with the statistics of training."""
    if call["training"] is True or call.get("running_mean", ...) is None:
        raise Unspelt("it normalises by its own batch (track_running_stats=False, or in training)")
    x = call.first
    names = (
        ("weight", "bias", "running_mean", "running_var")
        if "running_mean" in call
        else ("weight", "bias", "mean", "var")
    )
    weight, bias, mean, var = (call[name] for name in names)
    count = call.shape(x)[1]

    def emit(b: Emitter, x: str, mean: str, var: str, weight: str, bias: str) -> str:
        ones = weight or b.floats([1.0] * count)
        zeros = bias or b.floats([0.0] * count)
        return b.op("BatchNormalization", x, ones, zeros, mean, var, epsilon=float(call["eps"]))

    return Spelling("BatchNormalization", (x, mean, var, weight, bias), emit=emit)


own(with_modes, batch_norm)


@spells("layer_norm", reads="input normalized_shape weight bias eps", harmless="cudnn_enable")
def layer_norm(call: Call) -> Spelling:
    """(x - mean) / √(var + eps) over the last axes."""
    x, weight, bias = call["input"], call["weight"], call["bias"]
    shape = [call.fixed(v, "shape") for v in call["normalized_shape"]]
    axis = call.rank(x) - len(shape)

    def emit(b: Emitter, x: str, weight: str, bias: str) -> str:
        scale = weight or b.floats(np.ones(shape))
        return b.op("LayerNormalization", x, scale, *([bias] if bias else []), axis=axis, epsilon=float(call["eps"]))

    return Spelling("LayerNormalization", (x, weight, bias), {"axis": axis}, emit)


@spells("group_norm", reads="input num_groups weight bias eps", harmless="cudnn_enabled")
def group_norm(call: Call) -> Spelling:
    """Moments over groups of channels and the whole map."""
    x, groups, count = call["input"], int(call["num_groups"]), call.shape(call["input"])[1]
    rank = call.rank(x)

    def emit(b: Emitter, x: str, weight: str, bias: str) -> str:
        parts = b.reshape(x, 0, groups, -1)
        made = b.op(
            "InstanceNormalization",
            parts,
            b.floats([1.0] * groups),
            b.floats([0.0] * groups),
            epsilon=float(call["eps"]),
        )
        y = b.op("Reshape", made, b.op("Shape", x))
        for name, op in ((weight, "Mul"), (bias, "Add")):
            y = b.op(op, y, b.reshape(name, count, *[1] * (rank - 2))) if name else y
        return y

    return Spelling("GroupNormalization", (x, call["weight"], call["bias"]), emit=emit)


@spells(
    "instance_norm",
    reads="input weight bias running_mean running_var use_input_stats eps",
    harmless="momentum cudnn_enabled",
)
def instance_norm(call: Call) -> Spelling:
    """Moments over the whole map, a channel at a time."""
    x, weight, bias, count = call["input"], call["weight"], call["bias"], call.shape(call["input"])[1]

    def emit(b: Emitter, x: str, weight: str, bias: str) -> str:
        scale, shift = weight or b.floats([1.0] * count), bias or b.floats([0.0] * count)
        return b.op("InstanceNormalization", x, scale, shift, epsilon=float(call["eps"]))

    if not call["use_input_stats"]:
        given = (x, weight, bias, call["running_mean"], call["running_var"])
        return Spelling("BatchNormalization", given, emit=unwritten)
    return Spelling("InstanceNormalization", (x, weight, bias), emit=emit)


@spells(
    "softmax.int", "log_softmax.int", "_softmax", "_log_softmax", reads="self dim", harmless="dtype half_to_float"
)  # their input is made what they answer with
def softmax(call: Call) -> Spelling:
    """Exponentials that add up to one along an axis."""
    name = "LogSoftmax" if "log" in str(call.node.target) else "Softmax"
    return Spelling(name, (call["self"],), {"axis": int(call["dim"])})


@spells("argmax", "argmin", reads="self dim keepdim", kinds="int", casts=False)
def choose(call: Call) -> Spelling:
    """The place of the largest or the smallest along an axis."""
    x, axis, keep = call["self"], call["dim"], int(bool(call["keepdim"]))
    name = "ArgMax" if "max" in str(call.node.target) else "ArgMin"
    if axis is None:
        return Spelling("ReduceAll", (x,), emit=unwritten)
    plain = call.kind(x) == "float"
    return Spelling(name, (x,), {"axis": int(axis), "keepdims": keep}, None if plain else unwritten)


@spells("topk", reads="self k dim largest sorted")
def topk(call: Call) -> Spelling:
    """The largest few along an axis, and their places."""
    x, axis, count = call["self"], int(call["dim"]), call.fixed(call["k"], "number")

    def emit(b: Emitter, x: str) -> list[str]:
        return b.ops(
            "TopK", x, b.ints(count), count=2, axis=axis, largest=int(call["largest"]), sorted=int(call["sorted"])
        )

    return Spelling("TopK", (x,), {"axis": axis}, emit)
