"""From a map to an answer: the flatten or pool of a head, and steps on vectors behind it."""

from __future__ import annotations

import numpy as np

from fuzz.networks import on_maps
from fuzz.networks.draft import Draft

ORDERS = [[0, 2, 3, 1], [0, 3, 2, 1], [0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 1, 2]]


def to_vector(d: Draft, x: str) -> str | None:
    """One answer of a map (n, c, h, w)."""
    n, c, h, w = d.shape(x)
    roll = d.random.random()
    if roll < 0.4:
        if d.chance(0.25):
            x = d.add("Transpose", [x], perm=d.pick(ORDERS)) or x
        return flatten(d, x)
    if roll < 0.6:
        pooled = d.add(d.pick(["GlobalAveragePool"] * 6 + ["GlobalMaxPool"] * 3 + ["GlobalLpPool"]), [x])
        if pooled is None:
            return None
        for _ in range(d.pick([0, 0, 0, 1, 2])):  # steps on a 1×1 map
            step = d.pick(
                [
                    on_maps.unary,
                    on_maps.with_constant,
                    on_maps.normalise,
                    on_maps.pick_channels,
                    on_maps.conv,
                    on_maps.clip,
                ]
            )
            made = step(d, pooled)
            pooled = made if made is not None and len(d.shape(made)) == 4 else pooled
        return pooled if d.chance(0.1) else squeeze(d, pooled)
    if roll < 0.8:
        kind = d.pick(
            ["ReduceMean"] * 9 + ["ReduceMax"] * 3 + ["ReduceSum", "ReduceMin", "ReduceL2", "ReduceLogSumExp"]
        )
        axes = d.pick([[2, 3], [2, 3], [2, 3], [2, 3], [-1, -2], [3, 2], [2], [3], None])
        keep = d.pick([0, 0, 1, None])
        pooled = d.axes(kind, x, axes, 13 if kind == "ReduceSum" else 18, keepdims=keep)
        if pooled is None:
            return None
        return pooled if len(d.shape(pooled)) in (0, 2) else flatten(d, pooled)
    if roll < 0.88:
        kind = d.pick(["AveragePool", "MaxPool"])
        strides = d.pick([None, [h, w], [1, 1], [2, 2]])
        pooled = d.add(kind, [x], kernel_shape=[h, w], strides=strides)
        return pooled and squeeze(d, pooled)
    if roll < 0.94:  # a convolution over all of it
        full = d.add("Conv", [x, d.constant(d.weights(d.pick([3, 5]), c, h, w))]) if c * h * w < 4000 else None
        return full and squeeze(d, full)
    if roll < 0.97:
        flat = d.add("Reshape", [x, d.ints([n, c, -1])])
        return flat and d.axes(d.pick(["ReduceMean", "ReduceMax"]), flat, [d.pick([2, -1])], 18, keepdims=0)
    pieces = [d.add(kind, [x]) for kind in ("GlobalAveragePool", "GlobalMaxPool")]
    joined = None if None in pieces else d.add("Concat", [p or "" for p in pieces], axis=d.pick([1, 1, 2, -1]))
    return joined and flatten(d, joined)


def flatten(d: Draft, x: str) -> str | None:
    shape = d.shape(x)
    size = int(np.prod(shape[1:]))
    if d.chance(0.5):
        return d.add("Flatten", [x], axis=d.pick([None, 1, 1, 1 - len(shape)]) if d.opset >= 11 else None)
    return d.add("Reshape", [x, d.ints(d.pick([[0, -1], [-1, size], [shape[0], -1], [shape[0], size], [0, size]]))])


def squeeze(d: Draft, x: str) -> str | None:
    """(n, c, 1, 1) as (n, c)."""
    if d.shape(x)[2:] != (1, 1):
        return flatten(d, x)
    roll = d.random.random()
    if roll < 0.5:
        return flatten(d, x)
    if roll < 0.85:
        return d.axes("Squeeze", x, d.pick([[2, 3], [-1, -2], [3, 2]]), 13)
    first = d.axes("Squeeze", x, [d.pick([3, -1])], 13)
    return first and d.axes("Squeeze", first, [2], 13)


def dense(d: Draft, x: str) -> str | None:
    if len(d.shape(x)) != 2:
        return None
    size, outputs = d.shape(x)[1], d.pick([2, 3, 4, 5, 8])
    if d.chance(0.5):
        turned = d.chance(0.6)
        matrix = d.constant(d.weights(*(outputs, size) if turned else (size, outputs)) / (1 if turned else size**0.5))
        bias = (
            [d.constant(d.weights(*d.pick([(outputs,), (outputs,), (1, outputs), (), (1,), (1, 1)])))]
            if d.chance(0.75)
            else []
        )
        factors = {"alpha": d.pick([None, 0.5]), "beta": d.pick([None, 2.0])} if d.chance(0.3) else {}
        return d.add("Gemm", [x, matrix, *bias], transB=1 if turned else d.pick([None, 0]), **factors)
    made = d.add("MatMul", [x, on_maps.weight(d, d.weights(size, outputs) / np.float32(size**0.5))])
    if made is None or d.chance(0.3):
        return made
    bias = d.constant(d.weights(*d.pick([(outputs,), (outputs,), (1, outputs), (), (1,)])))
    return d.add("Add", [made, bias] if d.chance(0.7) else [bias, made])


def on_vector(d: Draft, x: str) -> str | None:
    """A step on a vector (n, k)."""
    if len(d.shape(x)) != 2:
        return None
    k = d.shape(x)[1]
    roll = d.random.random()
    if roll < 0.15:
        return on_maps.unary(d, x)
    if roll < 0.27:
        shape = d.pick([(), (k,), (k,), (1, k), (1,), (1, 1)])
        kind = d.pick(["Add", "Mul", "Sub", "Div", "PRelu", "Max", "Sum"])
        other = d.constant(d.positive(*shape) if kind == "Div" else d.weights(*shape))
        return d.add(kind, [x, other] if kind in ("PRelu", "Div") or d.chance(0.7) else [other, x])
    if roll < 0.37:
        kind = d.pick(["Softmax", "Softmax", "LogSoftmax", "Hardmax", "LpNormalization"])
        return d.add(
            kind, [x], axis=d.pick([None, 1, -1]), **({"p": d.pick([1, 2])} if kind == "LpNormalization" else {})
        )
    if roll < 0.43:
        parts = [d.constant(v) for v in (d.positive(k), d.weights(k), d.weights(k), d.positive(k))]
        return d.add("BatchNormalization", [x, *parts])
    if roll < 0.49:
        return d.add(
            "LayerNormalization", [x, d.constant(d.positive(k)), d.constant(d.weights(k))], axis=d.pick([-1, 1])
        )
    if roll < 0.56:
        cuts = [(0, k - 1), (1, k), (-2, 2**31 - 1), (1, -1), (0, 100), (-k, -1), (0, 2)]
        return on_maps.slice_of(d, x, [d.pick([1, -1])], [d.pick(cuts)], [d.pick([1, 2])] if d.chance(0.2) else None)
    if roll < 0.62:
        kind = d.pick(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceMin"])
        made = d.axes(kind, x, [d.pick([1, -1])], 13 if kind == "ReduceSum" else 18, keepdims=1)
        if made is None or d.chance(0.3):
            return made
        return d.add(d.pick(["Sub", "Mul", "Add"]), [x, made])
    if roll < 0.67:
        return d.add("Concat", [x, d.chain(x, d.pick(["Neg", "Relu", "Sigmoid"])) or x], axis=d.pick([1, -1]))
    if roll < 0.71:
        index = [d.random.randrange(-k, k) for _ in range(d.pick([1, 2, k]))]
        return d.add("Gather", [x, d.ints(index)], axis=d.pick([1, -1]))
    if roll < 0.75:
        return on_maps.pad(d, x, [0, d.pick([0, 1]), 0, d.pick([1, 2, -1])])
    if roll < 0.8:
        if d.opset < 10:
            return d.add("TopK", [x], 2, k=min(2, k))
        return d.add("TopK", [x, d.ints([min(2, k)])], 2, axis=d.pick([None, 1, -1]))
    if roll < 0.84:
        made = d.add(d.pick(["ArgMax", "ArgMin"]), [x], axis=d.pick([1, -1]), keepdims=d.pick([1, 1, 0]))
        return made and d.add("Cast", [made], to=1)
    if roll < 0.9:  # out to another shape and back
        return reshaped(d, x)
    if roll < 0.93 and k % 2 == 0:
        axis = {"axis": d.pick([1, -1])}
        made = (
            d.add("Split", [x], 2, split=[k // 2] * 2, **axis)
            if d.opset < 13
            else d.add("Split", [x, d.ints([k // 2] * 2)], 2, **axis)
        )
        other = made and d.nodes[-1].output[1]
        return made and other and d.chain(other, "Sigmoid", ("Mul", [made]))
    if roll < 0.96:
        return on_maps.clip(d, x)
    return d.add("Dropout", [x]) if d.chance(0.5) else d.add("Identity", [x])


def reshaped(d: Draft, x: str) -> str | None:
    n, k = d.shape(x)
    roll = d.random.randrange(6)
    if roll == 0:
        wide = d.axes("Unsqueeze", x, d.pick([[2, 3], [2], [1], [-1]]), 13)
        made = wide and d.add(d.pick(["Relu", "Tanh", "Neg"]), [wide])
        return made and flatten(d, made)
    if roll == 1:
        wide = d.axes("Unsqueeze", x, [2, 3], 13)
        made = wide and on_maps.conv(d, wide)
        return made and flatten(d, made)
    parts = [p for p in range(2, k) if k % p == 0]
    if not parts:
        return None
    a = d.pick(parts)
    wide = d.add("Reshape", [x, d.ints([n if d.chance(0.5) else -1, a, k // a])])
    if wide is None:
        return None
    if roll == 2:
        made = d.add("Softmax", [wide], axis=d.pick([1, 2, -1, -2]))
    elif roll == 3:
        kind = d.pick(["ReduceMax", "ReduceMean", "ReduceSum"])
        return d.axes(kind, wide, [d.pick([1, 2, -1])], 13 if kind == "ReduceSum" else 18, keepdims=0)
    elif roll == 4:
        made = d.add("Transpose", [wide], perm=[0, 2, 1])
    else:
        made = d.add("MatMul", [wide, d.constant(d.weights(k // a, 3))])
    return made and flatten(d, made)
