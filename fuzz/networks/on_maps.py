"""Steps that make a map of a map (n, c, h, w): windows, activations, normalisations, cuts, branches."""

from __future__ import annotations

import numpy as np

from fuzz.networks.draft import Draft

UNARY = [
    "Abs", "Atan", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu",
    "Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "Swish",
]  # fmt: skip
BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow", "PRelu", "Mod"]
LOGIC = ["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"]


def conv(d: Draft, x: str) -> str | None:
    c = d.shape(x)[1]
    odd = d.chance(0.3)
    kernel = [d.pick([1, 2, 3, 3, 5]), d.pick([1, 2, 3, 3, 5])] if odd else [d.pick([1, 2, 3, 3])] * 2
    group = d.pick([g for g in range(1, c + 1) if c % g == 0]) if d.chance(0.25) else 1
    outputs = group * d.pick([1, 2, 3]) if group > 1 else d.pick([2, 3, 4, 6])
    weights = d.weights(outputs, c // group, *kernel)
    inputs = [x, weight(d, weights)]
    if d.chance(0.6):
        inputs.append(d.constant(d.weights(outputs)))
    attributes = {"kernel_shape": kernel if d.chance(0.8) else None, "group": group if group > 1 else None}
    return d.add("Conv", inputs, **attributes, **_windows(d, kernel))


def weight(d: Draft, numbers: np.ndarray) -> str:
    """A weight, at times computed of constants."""
    if d.chance(0.9):
        return d.constant(numbers)
    if d.chance(0.5):
        scale = d.positive(*(numbers.shape[0], *(1,) * (numbers.ndim - 1)))
        return d.add("Mul", [d.constant(numbers), d.constant(scale)]) or d.constant(numbers)
    order = list(range(numbers.ndim))[::-1]
    return d.add("Transpose", [d.constant(numbers.transpose(order))], perm=order) or d.constant(numbers)


def _windows(d: Draft, kernel: list[int], pool: bool = False) -> dict[str, object]:
    """Strides, dilations and pads, as files have them: mostly plain, some odd."""
    found: dict[str, object] = {}
    roll = d.random.random()
    if roll < 0.3:
        found["strides"] = [2, 2]
    elif roll < 0.4:
        found["strides"] = [d.pick([1, 2, 3]), d.pick([1, 2, 3])]
    if not pool and d.chance(0.15):
        found["dilations"] = [d.pick([1, 2, 3]), d.pick([1, 2])]
    roll = d.random.random()
    if roll < 0.2:
        found["pads"] = [kernel[0] // 2, kernel[1] // 2] * 2
    elif roll < 0.3:
        found["pads"] = [d.pick([0, 1, 2]) for _ in range(4)]
    elif roll < 0.38:
        found["auto_pad"] = d.pick(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    return found


def transposed(d: Draft, x: str) -> str | None:
    c = d.shape(x)[1]
    kernel = [d.pick([1, 2, 3, 4])] * 2 if d.chance(0.7) else [d.pick([1, 2, 3]), d.pick([2, 3])]
    stride = d.pick([1, 2, 2])
    group = c if d.chance(0.15) else 1
    attributes: dict[str, object] = {"strides": [stride, d.pick([stride, 1])], "group": group}
    if d.chance(0.3):
        attributes["pads"] = [d.pick([0, 1]) for _ in range(4)]
    if d.chance(0.2):
        attributes["output_padding"] = [d.pick([0, 1]), d.pick([0, 1])]
    if d.chance(0.1):
        attributes["auto_pad"] = d.pick(["SAME_UPPER", "SAME_LOWER", "VALID"])
    if d.chance(0.05):
        attributes["output_shape"] = [d.shape(x)[2] * stride, d.shape(x)[3] * stride]
    if d.chance(0.1):
        attributes["dilations"] = [2, d.pick([1, 2])]
    bias = [d.constant(d.weights(3 * group))] if d.chance(0.4) else []
    return d.add("ConvTranspose", [x, d.constant(d.weights(c, 3, *kernel)), *bias], **attributes)


def pool(d: Draft, x: str) -> str | None:
    kind = d.pick(["MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool"])
    kernel = [d.pick([2, 2, 3])] * 2 if d.chance(0.8) else [d.pick([1, 2, 3]), d.pick([1, 2, 4])]
    attributes: dict[str, object] = {"kernel_shape": kernel, **_windows(d, kernel, pool=True)}
    if d.chance(0.5):
        attributes["strides"] = [2, 2]
    if kind == "MaxPool" and d.opset >= 8 and d.chance(0.1):
        attributes["storage_order"] = d.pick([0, 1])
    if (kind != "LpPool" or d.opset >= 18) and d.opset >= 10 and d.chance(0.2):
        attributes["ceil_mode"] = 1
    if kind == "AveragePool" and d.chance(0.3):
        attributes["count_include_pad"] = d.pick([0, 1])
    if d.opset >= {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[kind] and d.chance(0.1):
        attributes["dilations"] = [2, d.pick([1, 2])]
    if kind == "LpPool" and d.chance(0.5):
        attributes["p"] = d.pick([1, 2, 3])
    return d.add(kind, [x], 2 if kind == "MaxPool" and d.opset >= 8 and d.chance(0.05) else 1, **attributes)


def unary(d: Draft, x: str) -> str | None:
    kind = d.pick(UNARY)
    attributes = {}
    if kind in ("LeakyRelu", "Elu", "ThresholdedRelu", "Celu", "HardSigmoid", "Swish") and d.chance(0.5):
        attributes["alpha"] = d.pick([0.1, 0.3, 1.5])
    if kind == "Gelu" and d.chance(0.3):
        attributes["approximate"] = "tanh"
    return d.add(kind, [x], **attributes)


def clip(d: Draft, x: str) -> str | None:
    low, high = d.pick([None, 0.0, -0.5]), d.pick([None, 6.0, 0.7])
    if d.opset < 11:
        return d.add("Clip", [x], min=low, max=high)
    inputs = [x, *("" if each is None else d.constant(each, np.float32) for each in (low, high))]
    return d.add("Clip", inputs)


def quiet(d: Draft, x: str) -> str | None:
    """What changes little or nothing: dropout, casts, quantisation."""
    roll = d.random.randrange(5)
    if roll == 0 and d.opset >= 12:
        more = d.pick([[], [d.constant(0.3, np.float32)], [d.constant(0.3, np.float32), d.constant(False)]])
        return d.add("Dropout", [x, *more], d.pick([1, 1, 2]))
    if roll == 0:
        return d.add("Dropout", [x], ratio=d.pick([None, 0.3]))
    if roll == 1:
        there = d.pick([10, 11, 11, 6, 7])  # float16, double, int32, int64
        return d.chain(x, ("Cast", [], {"to": there}), ("Cast", [], {"to": 1}))
    if roll == 2 and d.opset >= 10:
        scale, zero = d.constant(0.05, np.float32), d.constant(d.pick([0, 128]), np.uint8)
        return d.chain(x, ("QuantizeLinear", [scale, zero]), ("DequantizeLinear", [scale, zero]))
    if roll == 3 and d.opset >= 13:
        c = d.shape(x)[1]
        scale, zero = d.constant(d.positive(c) / 10), d.constant(np.zeros(c), np.int8)
        axis = {"axis": d.pick([1, -3])}
        return d.chain(x, ("QuantizeLinear", [scale, zero], axis), ("DequantizeLinear", [scale, zero], axis))
    return d.add("Identity", [x])


def with_constant(d: Draft, x: str) -> str | None:
    _, c, h, w = d.shape(x)
    plain = [(), (1,), (c, 1, 1), (1, c, 1, 1), (1, 1, 1, 1)]
    odd = [(w,), (1, w), (h, 1), (c, h, w), (1, 1, h, w), (c, 1, w), (1, 1, 1, w), (1, c, h, 1)]
    shape = d.pick(plain) if d.chance(0.94) else d.pick(odd)
    kind = d.pick(BINARY)
    if kind == "Pow":
        return d.chain(x, "Abs", ("Pow", [d.constant(d.pick([1.5, 2.0, 0.5]) * np.ones(shape), np.float32)]))
    if kind == "Mod":
        return d.add("Mod", [x, d.constant(d.positive(*shape))], fmod=1)
    other = d.constant(d.positive(*shape) if kind == "Div" else d.weights(*shape))
    return d.add(kind, [x, other] if kind in ("PRelu", "Div") or d.chance(0.7) else [other, x])


def choose(d: Draft, x: str) -> str | None:
    """Where, by a comparison with a constant or another map."""
    _, c, *_ = d.shape(x)
    other = d.constant(d.weights(*d.pick([(), (c, 1, 1)]))) if d.chance(0.6) else same_shape(d, x)
    asked = d.add(d.pick(LOGIC[:2] if d.opset < 11 else LOGIC), [x, other])
    if asked is None:
        return None
    if d.chance(0.3):
        asked = d.add("Not", [asked])
    if d.chance(0.2) and asked:
        mask = d.add("Cast", [asked], to=1)
        return mask and d.add("Mul", [x, mask])
    return asked and d.add("Where", [asked, x, d.constant(d.weights(*d.pick([(), (c, 1, 1), (1,)])))])


def same_shape(d: Draft, x: str) -> str:
    """Another value of this shape where there is one."""
    return d.pick([name for name, array in d.values.items() if array.shape == d.shape(x) and array.dtype == np.float32])


def normalise(d: Draft, x: str) -> str | None:
    c = d.shape(x)[1]
    kind = d.pick(
        ["BatchNormalization"] * 4 + ["InstanceNormalization", "LRN", "LRN", "LpNormalization", "GroupNormalization",
        "MeanVarianceNormalization", "LayerNormalization", "Softmax", "Softmax", "LogSoftmax", "Hardmax"],
    )  # fmt: skip
    scale, shift = d.constant(d.positive(c)), d.constant(d.weights(c))
    if kind == "BatchNormalization":
        extra: dict[str, object] = {"epsilon": d.pick([None, 1e-3])}
        if d.opset >= 14 and d.chance(0.05):
            extra["training_mode"] = 1
        moments = [d.constant(d.weights(c)), d.constant(d.positive(c))]
        return d.add(kind, [x, scale, shift, *moments], 3 if extra.get("training_mode") else 1, **extra)
    if kind == "InstanceNormalization":
        return d.add(kind, [x, scale, shift])
    if kind == "GroupNormalization":
        groups = d.pick([g for g in range(1, c + 1) if c % g == 0])
        size = c if d.opset >= 21 else groups
        return d.add(kind, [x, d.constant(d.positive(size)), d.constant(d.weights(size))], num_groups=groups)
    if kind == "LRN":
        return d.add(kind, [x], size=d.pick([1, 3, 5]), alpha=d.pick([None, 0.3]), beta=d.pick([None, 0.5]))
    if kind == "LayerNormalization":
        axis = d.pick([1, 2, 3, -1, -3])
        shape = d.shape(x)[axis:]
        return d.add(kind, [x, d.constant(d.positive(*shape)), d.constant(d.weights(*shape))], axis=axis)
    if kind == "MeanVarianceNormalization":
        return d.add(kind, [x], axes=d.pick([None, [1], [-3], [0, 2, 3], [2, 3], [1, 2, 3]]))
    return d.add(kind, [x], axis=d.pick([1] * 6 + [-3] * 4 + [None, 2, 3, -1]))


def reduce_channels(d: Draft, x: str) -> str | None:
    """A reduction that keeps one channel, mostly to weigh the map by it."""
    kind = d.pick(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"])
    since = 13 if kind == "ReduceSum" else 18
    made = d.axes(kind, x, d.pick([[1], [1], [-3], [2], [3], [2, 3], [1, 2]]), since, keepdims=d.pick([1, 1, 1, None]))
    if made is None or d.chance(0.3):
        return made
    return d.chain(made, d.pick(["Sigmoid", "Tanh"]), ("Mul", [x]))


def pick_channels(d: Draft, x: str) -> str | None:
    c = d.shape(x)[1]
    kind = d.pick(["Gather", "Slice", "Slice", "Split", "TopK", "ArgMax", "Pad", "GatherElements"])
    if kind == "Gather":
        index = [d.random.randrange(-c, c) for _ in range(d.pick([1, 2, c]))]
        return d.add("Gather", [x, d.ints(index)], axis=d.pick([1, 1, -3]))
    if kind == "Slice":
        cuts = [(0, c - 1), (1, c), (-2, 2**31 - 1), (1, -1), (0, 100), (-c, -1), (0, 2**63 - 1)]
        return slice_of(d, x, [d.pick([1, -3])], [d.pick(cuts)], [d.pick([1, 1, 2, -1])] if d.chance(0.3) else None)
    if kind == "Split":
        if c < 2:
            return None
        parts = [1, c - 1] if d.chance(0.5) or c % 2 else [c // 2, c // 2]
        axis = {"axis": d.pick([1, -3])}
        if d.opset < 13:
            made = d.add("Split", [x], 2, split=parts, **axis)
        else:
            equal = {"num_outputs": 2} if d.opset >= 18 and parts[0] == parts[1] and d.chance(0.5) else {}
            made = d.add("Split", [x] if equal else [x, d.ints(parts)], 2, **axis, **equal)
        if made is None or d.chance(0.3):
            return made
        other = d.nodes[-1].output[1]
        if d.shape(made) == d.shape(other) and d.chance(0.6):
            return d.chain(other, "Sigmoid", ("Mul", [made]))
        return d.add("Concat", [other, made], **axis)
    if kind == "TopK":
        if d.opset < 10:
            return d.add("TopK", [x], 2, k=min(2, c), axis=d.pick([1, -3]))
        return d.add("TopK", [x, d.ints([min(2, c)])], 2, axis=d.pick([1, -3, None]))
    if kind == "ArgMax":
        made = d.add("ArgMax", [x], axis=d.pick([1, -3]), keepdims=d.pick([1, None, 1, 0]))
        return made and d.add("Cast", [made], to=1)
    if kind == "Pad":
        return pad(d, x, [0, d.pick([0, 1]), 0, 0, 0, d.pick([1, 2, -1]), 0, 0])
    index = d.numbers.integers(0, c, d.shape(x))
    return d.add("GatherElements", [x, d.constant(index)], axis=1)


def slice_of(
    d: Draft, x: str, axes: list[int] | None, cuts: list[tuple[int, int]], steps: list[int] | None = None
) -> str | None:
    starts, ends = [cut[0] for cut in cuts], [cut[1] for cut in cuts]
    if d.opset < 10:
        return d.add("Slice", [x], starts=starts, ends=ends, axes=axes)
    inputs = [x, d.ints(starts), d.ints(ends)]
    if axes is not None or steps is not None:
        inputs.append(d.ints(axes if axes is not None else list(range(len(starts)))))
    return d.add("Slice", [*inputs, d.ints(steps)] if steps is not None else inputs)


def cut_space(d: Draft, x: str) -> str | None:
    """A cut of height or width, from either end, with or without a step."""
    end = 2**31 - 1
    cuts = [
        (1, end),
        (0, -1),
        (1, -1),
        (0, 2**63 - 1),
        (2, end),
        (-3, end),
        (0, d.shape(x)[2]),
        (0, 100),
        (1, 4),
        (-4, -1),
    ]
    axes = d.pick([[2], [3], [2, 3], [-1], [-2, -1], [3, 2]])
    steps = [d.pick([1, 2, 2, 3, -1]) for _ in axes] if d.chance(0.4) else None
    return slice_of(d, x, axes, [d.pick(cuts) for _ in axes], steps)


def pad(d: Draft, x: str, amounts: list[int], mode: str | None = None) -> str | None:
    if d.opset < 11:
        return d.add("Pad", [x], pads=amounts, mode=mode)
    inputs = [x, d.ints(amounts)]
    if d.chance(0.3) and mode in (None, "constant"):
        inputs.append(d.constant(d.pick([0.0, 0.5]), np.float32))
    return d.add("Pad", inputs, mode=mode)


def pad_space(d: Draft, x: str) -> str | None:
    mode = d.pick([None, None, "constant", "reflect", "edge", *(["wrap"] if d.opset >= 19 else [])])
    spread = [0, 1, 1, 2, -1] if d.chance(0.2) else [0, 1, 1, 2]
    sides = [d.pick(spread) for _ in range(4)]
    if d.opset >= 18 and d.chance(0.3):
        axes = d.pick([[2, 3], [-2, -1], [3, 2], [3], [-1]])
        amounts = d.ints(sides[: len(axes)] + sides[2 : 2 + len(axes)])
        return d.add("Pad", [x, amounts, "", d.ints(axes)], mode=mode)
    return pad(d, x, [0, 0, *sides[:2], 0, 0, *sides[2:]], mode)


def resize(d: Draft, x: str) -> str | None:
    _, _, h, w = d.shape(x)
    factor = d.pick([2, 2, 2, 3, 1, 1.5, 0.5])
    mode = d.pick(["nearest", "nearest", "linear", "cubic"])
    scales = [1.0, 1.0, factor, d.pick([factor, 1])]
    if d.opset < 9:
        return d.add("Upsample", [x], scales=scales, mode=d.pick(["nearest", "linear"]))
    if d.opset == 9:
        return d.add("Upsample", [x, d.constant(scales, np.float32)], mode=d.pick(["nearest", "linear"]))
    if d.opset == 10:
        return d.add("Resize", [x, d.constant(scales, np.float32)], mode=d.pick(["nearest", "linear"]))
    where = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric", None]
    attributes: dict[str, object] = {
        "mode": mode,
        "coordinate_transformation_mode": d.pick(where[: 6 if d.opset >= 19 else 4]),
    }
    if mode == "nearest":
        attributes["nearest_mode"] = d.pick([None, "floor", "ceil", "round_prefer_ceil", "round_prefer_floor"])
    if mode == "cubic" and d.chance(0.5):
        attributes["exclude_outside"] = 1
    if d.opset >= 18 and d.chance(0.1):
        attributes["antialias"] = 1
    none = "" if d.opset >= 13 else d.constant([], np.float32)
    if d.chance(0.3):
        sizes = d.ints([*d.shape(x)[:2], int(h * factor), int(w * factor)])
        return d.add("Resize", [x, none, "" if d.opset >= 13 else d.constant([], np.float32), sizes], **attributes)
    if d.opset >= 18 and d.chance(0.2):
        return d.add("Resize", [x, "", d.constant(scales[2:], np.float32)], axes=[2, 3], **attributes)
    return d.add("Resize", [x, none, d.constant(scales, np.float32)], **attributes)


def blocks(d: Draft, x: str) -> str | None:
    kind = d.pick(["SpaceToDepth", "DepthToSpace"])
    mode = d.pick([None, "DCR", "CRD"]) if kind == "DepthToSpace" and d.opset >= 11 else None
    return d.add(kind, [x], blocksize=d.pick([2, 2, 3, 1]), mode=mode)
