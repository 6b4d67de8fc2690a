"""Caffe's layers as formulas in NumPy, in double precision: an oracle that shares nothing with fullconv.

Each is written from the equations of BVLC Caffe 1.0's CPU code, loops and all, for nets of a few hundred values. Parameters are the
fields of the layer's own parameter message, those that are not given have Caffe's defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from math import ceil, floor
from typing import Any

import numpy as np

Array = np.ndarray
Values = Sequence[Array]
Fields = dict[str, Any]


class Unfit(ValueError):
    """Parameters that Caffe's own checks refuse for these bottoms."""


def require(holds: bool, what: str = "") -> None:
    if not holds:
        raise Unfit(what)


def canonical(axis: int, rank: int) -> int:
    require(-rank <= axis < rank, "axis")
    return axis % rank


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


# One value for one value -------------------------------------------------------------------------------------------

CELLWISE: dict[str, Callable[[Array, Fields], Array]] = {
    "AbsVal": lambda x, p: np.abs(x),
    "BNLL": lambda x, p: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "Clip": lambda x, p: np.clip(x, p["min"], p["max"]),
    "Dropout": lambda x, p: x,
    "ELU": lambda x, p: np.where(x > 0, x, p.get("alpha", 1.0) * np.expm1(np.minimum(x, 0))),
    "Exp": lambda x, p: np.exp((p.get("shift", 0.0) + p.get("scale", 1.0) * x) * rate(p)),
    "Log": lambda x, p: np.log(p.get("shift", 0.0) + p.get("scale", 1.0) * x) / rate(p),
    "ReLU": lambda x, p: np.maximum(x, 0) + p.get("negative_slope", 0.0) * np.minimum(x, 0),
    "Sigmoid": lambda x, p: 0.5 * np.tanh(0.5 * x) + 0.5,
    "Swish": lambda x, p: x * (0.5 * np.tanh(0.5 * p.get("beta", 1.0) * x) + 0.5),
    "TanH": lambda x, p: np.tanh(x),
    "Threshold": lambda x, p: (x > p.get("threshold", 0.0)).astype(float),
}


def rate(p: Fields) -> float:
    base = p.get("base", -1.0)
    return 1.0 if base == -1 else float(np.log(base))


def power(x: Array, p: Fields) -> Array:
    scale, shift, exponent = p.get("scale", 1.0), p.get("shift", 0.0), p.get("power", 1.0)
    if exponent * scale == 0:
        return np.full_like(x, 1.0 if exponent == 0 else shift**exponent)
    return (shift + scale * x) ** exponent


# Windows -----------------------------------------------------------------------------------------------------------


def spread(p: Fields, name: str, stem: str, default: int | None, count: int) -> list[int]:
    if f"{stem}_h" in p or f"{stem}_w" in p:
        require(count == 2 and name not in p, name)
        return [p.get(f"{stem}_h", 0), p.get(f"{stem}_w", 0)]
    values = as_list(p[name]) if name in p else [] if default is None else [default]
    require(len(values) in (1, count), name)
    return values * count if len(values) == 1 else values


def window_fields(x: Array, p: Fields) -> tuple[int, list[list[int]]]:
    axis = canonical(p.get("axis", 1), x.ndim)
    count = x.ndim - axis - 1
    found = [spread(p, "kernel_size", "kernel", None, count), spread(p, "stride", "stride", 1, count)]
    found += [spread(p, "pad", "pad", 0, count), spread(p, "dilation", "", 1, count)]
    for values in (found[0], found[1], found[3]):
        require(min(values, default=1) > 0)
    return axis, found


def convolution(x: Array, p: Fields, weights: Values) -> Array:
    axis, (kernel, stride, pad, dilation) = window_fields(x, p)
    group, before, space = p.get("group", 1), x.shape[:axis], x.shape[axis + 1 :]
    flat = x.reshape(-1, *x.shape[axis:])
    size = [
        (s + 2 * q - (d * (k - 1) + 1)) // t + 1
        for s, q, d, k, t in zip(space, pad, dilation, kernel, stride, strict=True)
    ]
    require(min(size, default=1) > 0, "size")
    flat = np.pad(flat, [(0, 0), (0, 0), *((q, q) for q in pad)])
    outputs, mine = weights[0].shape[0], x.shape[axis] // group
    out = np.zeros((len(flat), outputs, *size))
    for cell in product(*map(range, size)):
        window = tuple(
            slice(i * t, i * t + d * (k - 1) + 1, d) for i, t, d, k in zip(cell, stride, dilation, kernel, strict=True)
        )
        for o in range(outputs):
            g = o // (outputs // group)
            part = flat[(slice(None), slice(g * mine, (g + 1) * mine), *window)]
            out[(slice(None), o, *cell)] = (part * weights[0][o]).reshape(len(flat), -1).sum(1)
    if len(weights) > 1:
        out += weights[1].reshape(-1, *[1] * len(size))
    return out.reshape(*before, *out.shape[1:])


def deconvolution(x: Array, p: Fields, weights: Values) -> Array:
    axis, (kernel, stride, pad, dilation) = window_fields(x, p)
    group, before, space = p.get("group", 1), x.shape[:axis], x.shape[axis + 1 :]
    flat = x.reshape(-1, *x.shape[axis:])
    full = [t * (s - 1) + d * (k - 1) + 1 for s, t, d, k in zip(space, stride, dilation, kernel, strict=True)]
    require(min((f - 2 * q for f, q in zip(full, pad, strict=True)), default=1) > 0, "size")
    outputs = weights[0].shape[1] * group
    out = np.zeros((len(flat), outputs, *full))
    per, mine = weights[0].shape[1], x.shape[axis] // group
    for cell in product(*map(range, space)):
        window = tuple(
            slice(i * t, i * t + d * (k - 1) + 1, d) for i, t, d, k in zip(cell, stride, dilation, kernel, strict=True)
        )
        for c in range(x.shape[axis]):
            g = c // mine
            value = flat[(slice(None), c, *cell)].reshape(-1, *[1] * (1 + len(space)))
            out[(slice(None), slice(g * per, (g + 1) * per), *window)] += value * weights[0][c]
    out = out[(slice(None), slice(None), *(slice(q, f - q) for q, f in zip(pad, full, strict=True)))]
    if len(weights) > 1:
        out = out + weights[1].reshape(-1, *[1] * len(space))
    return out.reshape(*before, *out.shape[1:])


def pool_pair(p: Fields, name: str, default: int) -> list[int]:
    if f"{name}_h" in p or f"{name}_w" in p:
        require(f"{name}_h" in p and f"{name}_w" in p and name not in p, name)
        return [p[f"{name}_h"], p[f"{name}_w"]]
    return [p.get(name, default)] * 2


def pooling(x: Array, p: Fields) -> Array:
    require(x.ndim == 4, "rank")
    stride, pad = pool_pair(p, "stride", 1), pool_pair(p, "pad", 0)
    both = "kernel_h" in p and "kernel_w" in p
    if p.get("global_pooling"):
        require(not {"kernel_size", "kernel_h", "kernel_w"} & set(p) and stride == [1, 1] and pad == [0, 0], "global")
        kernel = list(x.shape[2:])
    else:
        require(("kernel_size" in p) != both, "kernel")
        kernel = [p["kernel_h"], p["kernel_w"]] if both else [p["kernel_size"]] * 2
    require(min(kernel) > 0 and all(q < k for q, k in zip(pad, kernel, strict=True)), "pad")
    rounded = floor if p.get("round_mode") == "FLOOR" else ceil
    size = [rounded((s + 2 * q - k) / t) + 1 for s, q, k, t in zip(x.shape[2:], pad, kernel, stride, strict=True)]
    if any(pad):
        size = [n - ((n - 1) * t >= s + q) for n, s, q, t in zip(size, x.shape[2:], pad, stride, strict=True)]
    require(min(size) > 0, "size")
    return pool_cells(x, p.get("pool", "MAX"), kernel, stride, pad, size)


def pool_cells(x: Array, kind: str, kernel: list[int], stride: list[int], pad: list[int], size: list[int]) -> Array:
    out = np.zeros((*x.shape[:2], *size))
    for cell in product(*map(range, size)):
        start = [i * t - q for i, t, q in zip(cell, stride, pad, strict=True)]
        ends = [min(a + k, s + q) for a, k, s, q in zip(start, kernel, x.shape[2:], pad, strict=True)]
        count = (ends[0] - start[0]) * (ends[1] - start[1])
        part = x[:, :, max(start[0], 0) : min(ends[0], x.shape[2]), max(start[1], 0) : min(ends[1], x.shape[3])]
        if part.size == 0:
            require(kind == "MAX" or count != 0, "an empty mean")
            out[:, :, cell[0], cell[1]] = -np.finfo(np.float32).max if kind == "MAX" else 0
        else:
            out[:, :, cell[0], cell[1]] = part.max((2, 3)) if kind == "MAX" else part.sum((2, 3)) / count
    return out


def spp(x: Array, p: Fields) -> Array:
    require(x.ndim == 4, "rank")
    parts = []
    for level in range(p["pyramid_height"]):
        bins = 2**level
        kernel = [ceil(s / bins) for s in x.shape[2:]]
        pad = [(k * bins - s + 1) // 2 for k, s in zip(kernel, x.shape[2:], strict=True)]
        fields = {"pool": p.get("pool", "MAX"), "kernel_h": kernel[0], "kernel_w": kernel[1]}
        fields |= {"pad_h": pad[0], "pad_w": pad[1], "stride_h": kernel[0], "stride_w": kernel[1]}
        parts.append(pooling(x, fields))
    return parts[0] if len(parts) == 1 else np.concatenate([part.reshape(len(x), -1) for part in parts], 1)


def crop(x: Array, like: Array, p: Fields) -> Array:
    start = canonical(p.get("axis", 2), x.ndim)
    offsets = as_list(p.get("offset", 0))
    require(len(offsets) in (1, x.ndim - start) and like.ndim == x.ndim, "offset")
    offsets = offsets * (x.ndim - start) if len(offsets) == 1 else offsets
    cut = [slice(None)] * x.ndim
    for axis, offset in zip(range(start, x.ndim), offsets, strict=True):
        require(x.shape[axis] - offset >= like.shape[axis], "bounds")
        cut[axis] = slice(offset, offset + like.shape[axis])
    return x[tuple(cut)]


# Along axes --------------------------------------------------------------------------------------------------------


def softmax(x: Array, p: Fields) -> Array:
    axis = canonical(p.get("axis", 1), x.ndim)
    grown = np.exp(x - x.max(axis, keepdims=True))
    return grown / grown.sum(axis, keepdims=True)


def argmax(x: Array, p: Fields) -> Array:
    require(x.ndim >= 1, "rank")
    count, both = p.get("top_k", 1), bool(p.get("out_max_val"))
    if "axis" in p:
        axis = canonical(p["axis"], x.ndim)
        require(count <= x.shape[axis], "top_k")
        rows = np.moveaxis(x, axis, -1)
    else:
        rows = x.reshape(len(x), -1)
        require(count <= rows.shape[1], "top_k")
    order = np.flip(np.argsort(rows, -1, kind="stable"), -1)[..., :count]  # of equal values the later comes first
    values = np.take_along_axis(rows, order, -1)
    if "axis" in p:
        return np.moveaxis(values if both else order.astype(float), -1, axis)
    shape = (len(x), 2 if both else 1, count, *[1] * (max(x.ndim, 3) - 3))
    return np.stack([order.astype(float), values] if both else [order.astype(float)], 1).reshape(shape)


def lrn(x: Array, p: Fields) -> Array:
    require(x.ndim == 4, "rank")
    size, alpha, beta = p.get("local_size", 5), p.get("alpha", 1.0), p.get("beta", 0.75)
    require(size % 2 == 1, "size")
    half = size // 2
    if p.get("norm_region") == "WITHIN_CHANNEL":
        mean = pooling(x**2, {"pool": "AVE", "kernel_size": size, "pad": half})
        return x * (1 + alpha * mean) ** -beta
    near = np.pad(x**2, [(0, 0), (half, half), (0, 0), (0, 0)])
    total = sum(near[:, i : i + x.shape[1]] for i in range(size))
    return x * (p.get("k", 1.0) + alpha / size * total) ** -beta


def mvn(x: Array, p: Fields) -> Array:
    require(x.ndim <= 4, "rank")
    x = x.reshape(*x.shape, *[1] * (4 - x.ndim))
    axes = (1, 2, 3) if p.get("across_channels") else (2, 3)
    centred = x - x.mean(axes, keepdims=True)
    if not p.get("normalize_variance", True):
        return centred
    return centred / (np.sqrt((centred**2).mean(axes, keepdims=True)) + p.get("eps", 1e-9))


def batch_norm(x: Array, p: Fields, weights: Values) -> Array:
    require(x.ndim >= 2, "rank")
    shape = (1, -1, *[1] * (x.ndim - 2))
    if p.get("use_global_stats", True):
        scale = 0.0 if weights[2][0] == 0 else 1 / weights[2][0]
        mean, variance = (weights[i].reshape(shape) * scale for i in (0, 1))
    else:
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + p.get("eps", 1e-5))


def laid(x: Array, operand: Array, axis: int) -> Array:
    require(operand.shape == x.shape[axis : axis + operand.ndim], "shape")
    return operand.reshape(*operand.shape, *[1] * (x.ndim - axis - operand.ndim))


def operand_axis(x: Array, ins: Values, p: Fields) -> int:
    return 0 if len(ins) > 1 and ins[1].ndim == 0 else canonical(p.get("axis", 1), x.ndim)


def scale(ins: Values, p: Fields, weights: Values) -> Array:
    axis = operand_axis(ins[0], ins, p)
    operands = [*ins[1:], *weights]
    out = ins[0] * laid(ins[0], operands[0], axis)
    return out + laid(ins[0], operands[1], axis) if len(operands) > 1 else out


def bias(ins: Values, p: Fields, weights: Values) -> Array:
    return ins[0] + laid(ins[0], [*ins[1:], *weights][0], operand_axis(ins[0], ins, p))


def prelu(x: Array, p: Fields, weights: Values) -> Array:
    slope = weights[0].reshape(()) if p.get("channel_shared") else weights[0].reshape(-1, *[1] * (x.ndim - 2))
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


# Together and apart ------------------------------------------------------------------------------------------------


def eltwise(ins: Values, p: Fields) -> Array:
    kind, factors = p.get("operation", "SUM"), p.get("coeff", [])
    require(len({x.shape for x in ins}) == 1 and len(factors) in (0, len(ins)), "shapes")
    if kind == "PROD":
        require(not factors, "coeff")
        return np.prod(ins, 0)
    return (
        np.max(ins, 0) if kind == "MAX" else sum(f * x for f, x in zip(factors or [1.0] * len(ins), ins, strict=True))
    )


def concat(ins: Values, p: Fields) -> Array:
    axis = p.get("concat_dim", canonical(p.get("axis", 1), ins[0].ndim))
    require(not ("axis" in p and "concat_dim" in p) and axis < ins[0].ndim, "axis")
    require(all(x.ndim == ins[0].ndim for x in ins), "rank")
    require(all(np.delete(x.shape, axis).tolist() == np.delete(ins[0].shape, axis).tolist() for x in ins), "shapes")
    return np.concatenate(ins, axis)


def cut(x: Array, p: Fields, count: int) -> list[Array]:
    axis = p.get("slice_dim", canonical(p.get("axis", 1), x.ndim))
    require(not ("axis" in p and "slice_dim" in p) and axis < x.ndim, "axis")
    points = as_list(p["slice_point"]) if "slice_point" in p else []
    if not points:
        require(x.shape[axis] % count == 0, "divides")
        return np.split(x, count, axis)
    bounds = [0, *points, x.shape[axis]]
    require(len(points) == count - 1 and all(b > a for a, b in pairwise(bounds)), "points")
    return np.split(x, points, axis)


def reshape(x: Array, p: Fields) -> Array:
    dims = as_list(p["dims"])
    start = p.get("axis", 0) if p.get("axis", 0) >= 0 else x.ndim + p["axis"] + 1
    require(0 <= start <= x.ndim, "axis")
    end = x.ndim if p.get("num_axes", -1) == -1 else start + p["num_axes"]
    require(start <= end <= x.ndim, "num_axes")
    require(all(start + i < x.ndim for i, d in enumerate(dims) if d == 0), "copies")
    part = [x.shape[start + i] if d == 0 else d for i, d in enumerate(dims)]
    known = int(np.prod([d for d in part if d != -1])) * int(np.prod(x.shape[:start])) * int(np.prod(x.shape[end:]))
    require(part.count(-1) <= 1 and known > 0 and (x.size % known == 0 if -1 in part else x.size == known), "size")
    return x.reshape(*x.shape[:start], *part, *x.shape[end:])


def flatten(x: Array, p: Fields) -> Array:
    start, end = canonical(p.get("axis", 1), x.ndim), canonical(p.get("end_axis", -1), x.ndim)
    require(start <= end, "order")
    return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])


def reduction(x: Array, p: Fields) -> Array:
    axis = canonical(p.get("axis", 0), x.ndim)
    rows, kind = x.reshape(*x.shape[:axis], -1), p.get("operation", "SUM")
    found = {"SUM": rows.sum, "MEAN": rows.mean, "ASUM": np.abs(rows).sum, "SUMSQ": (rows**2).sum}[kind](-1)
    return np.asarray(found * p.get("coeff", 1.0))


def inner_product(x: Array, p: Fields, weights: Values) -> Array:
    axis = canonical(p.get("axis", 1), x.ndim)
    matrix = weights[0] if p.get("transpose") else weights[0].T
    out = x.reshape(*x.shape[:axis], -1) @ matrix
    return out + weights[1] if len(weights) > 1 else out


def shuffled(x: Array, p: Fields) -> Array:
    group = p.get("group", 1)
    require(x.ndim > 1 and x.shape[1] % group == 0)
    return x.reshape(len(x), group, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def tile(x: Array, p: Fields) -> Array:
    return np.concatenate([x] * p["tiles"], canonical(p.get("axis", 1), x.ndim))


# All of them -------------------------------------------------------------------------------------------------------


def learned(kind: str, p: Fields, ins: Values) -> list[tuple[int, ...]]:
    """Shapes of a layer's learned blobs."""
    x = ins[0]
    if kind in ("Convolution", "Deconvolution"):
        axis, (kernel, *_) = window_fields(x, p)
        group, channels, outputs = p.get("group", 1), x.shape[axis], p["num_output"]
        require(channels % group == 0 and outputs % group == 0, "group")
        first, second = (outputs, channels) if kind == "Convolution" else (channels, outputs)
        return [(first, second // group, *kernel), *([(outputs,)] if p.get("bias_term", True) else [])]
    if kind == "InnerProduct":
        size = int(np.prod(x.shape[canonical(p.get("axis", 1), x.ndim) :]))
        outputs = p["num_output"]
        matrix = (size, outputs) if p.get("transpose") else (outputs, size)
        return [matrix, *([(outputs,)] if p.get("bias_term", True) else [])]
    if kind == "BatchNorm":
        require(x.ndim >= 2, "rank")
        return [(x.shape[1],), (x.shape[1],), (1,)]
    if kind == "PReLU":
        require(2 <= x.ndim <= 4, "rank")
        return [() if p.get("channel_shared") else (x.shape[1],)]
    if kind in ("Scale", "Bias"):
        axis, count = operand_axis(x, ins, p), p.get("num_axes", 1)
        require(count >= -1 and axis + max(count, 0) <= x.ndim, "num_axes")
        shape = ins[1].shape if len(ins) > 1 else x.shape[axis:] if count == -1 else x.shape[axis : axis + count]
        own = [] if len(ins) > 1 else [shape]
        return [*own, *([shape] if p.get("bias_term") and kind == "Scale" else [])]
    return []


def compute(kind: str, p: Fields, ins: Values, weights: Values, tops: int = 1) -> list[Array]:
    """A layer's tops. Raises Unfit where Caffe would refuse the layer."""
    one: dict[str, Callable[[Array, Fields], Array]] = {
        **CELLWISE, "ArgMax": argmax, "Flatten": flatten, "LRN": lrn, "MVN": mvn, "Pooling": pooling, "Power": power,
        "Reduction": reduction, "Reshape": reshape, "SPP": spp, "ShuffleChannel": shuffled, "Softmax": softmax, "Tile": tile,
    }  # fmt: skip
    with_weights = {
        "BatchNorm": batch_norm, "Convolution": convolution, "Deconvolution": deconvolution,
        "InnerProduct": inner_product, "PReLU": prelu,
    }  # fmt: skip
    if kind in one:
        return [one[kind](ins[0], p)]
    if kind in with_weights:
        return [with_weights[kind](ins[0], p, weights)]
    if kind == "Slice":
        return cut(ins[0], p, tops)
    if kind == "Crop":
        return [crop(ins[0], ins[1], p)]
    if kind in ("Scale", "Bias"):
        return [(scale if kind == "Scale" else bias)(ins, p, weights)]
    return [{"Eltwise": eltwise, "Concat": concat}[kind](ins, p)]
