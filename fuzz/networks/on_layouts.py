"""Steps that go through another layout, that branch, or that ask for a size, and come back to a map (n, c, h, w)."""

from __future__ import annotations

import numpy as np

from fuzz.networks import on_maps
from fuzz.networks.draft import Draft

MOST_CELLS = 64  # of a map whose positions are multiplied out


def last(d: Draft, x: str) -> str | None:
    """An operator over (n, h, w, c), between transposes."""
    c = d.shape(x)[1]
    moved = d.add("Transpose", [x], perm=[0, 2, 3, 1])
    if moved is None:
        return None
    roll = d.random.randrange(9)
    made: str | None
    if roll == 0:
        made = d.add(
            "LayerNormalization", [moved, d.constant(d.positive(c)), d.constant(d.weights(c))], axis=d.pick([-1, 3, 1])
        )
    elif roll in (1, 2):
        outputs = d.pick([c, 3])
        made = d.add("MatMul", [moved, on_maps.weight(d, d.weights(c, outputs))])
        made = made and d.add("Add", [made, d.constant(d.weights(outputs))])
    elif roll == 3:
        made = d.add(d.pick(["Softmax", "LogSoftmax", "LpNormalization"]), [moved], axis=d.pick([-1, 3, 1, 2]))
    elif roll == 4:
        made = d.axes(d.pick(["ReduceMean", "ReduceMax"]), moved, [-1], 18, keepdims=1)
    elif roll == 5:
        made = d.add(d.pick(["Mul", "Add", "PRelu"]), [moved, d.constant(d.weights(*d.pick([(c,), (1, 1, c), (1,)])))])
    elif roll == 6:
        made = on_maps.slice_of(d, moved, [d.pick([-1, 3])], [d.pick([(0, c - 1), (1, 2**31 - 1), (-2, 2**31 - 1)])])
    elif roll == 7:
        made = on_maps.pad(d, moved, [0, d.pick([0, 1]), d.pick([0, 1]), d.pick([0, 0, 1]), 0, d.pick([0, 1]), 0, 0])
    else:
        made = d.add("Concat", [moved, moved], axis=d.pick([3, -1]))
    return made and d.add("Transpose", [made], perm=[0, 3, 1, 2])


def tokens(d: Draft, x: str) -> str | None:
    """Positions as a sequence (n, hw, c) or (n, c, hw), and back."""
    n, c, h, w = d.shape(x)
    flat = d.add("Reshape", [x, d.ints(d.pick([[n, c, h * w], [0, c, -1], [-1, c, h * w], [0, 0, -1]]))])
    if flat is None:
        return None
    roll = d.random.randrange(8)
    if roll < 4:
        moved = d.add("Transpose", [flat], perm=[0, 2, 1])
        if moved is None:
            return None
        made: str | None = moved
        if roll in (0, 1):
            made = d.add("LayerNormalization", [moved, d.constant(d.positive(c)), d.constant(d.weights(c))], axis=-1)
        elif roll == 2:
            made = d.add("MatMul", [moved, d.constant(d.weights(c, c))])
        else:
            made = d.add("Softmax", [moved], axis=d.pick([-1, 1, 2]))
        flat = made and d.add("Transpose", [made], perm=[0, 2, 1])
    elif roll == 4:
        flat = d.add("Softmax", [flat], axis=d.pick([1, -1, 2]))
    elif roll == 5:
        flat = d.chain(flat, "Relu", ("Mul", [d.constant(d.weights(*d.pick([(c, 1), (1,), (1, c, 1), (h * w,)])))]))
    elif roll == 6 and c * h * w <= MOST_CELLS * 8:
        flat = d.add("MatMul", [flat, d.constant(d.weights(h * w, h * w))])
    else:
        made = d.axes("ReduceMean", flat, [d.pick([2, -1])], 18, keepdims=1)
        flat = made and d.add("Sub", [flat, made])
    return flat and d.add("Reshape", [flat, d.ints(d.pick([[n, c, h, w], [0, c, h, w], [-1, c, h, w]]))])


def shuffle(d: Draft, x: str) -> str | None:
    """Channels, or blocks of positions, reordered by two reshapes and a transpose."""
    n, c, h, w = d.shape(x)
    groups = [g for g in range(2, c + 1) if c % g == 0]
    if groups and d.chance(0.7):
        g = d.pick(groups)
        first = d.pick([[n, g, c // g, h, w], [0, g, -1, h, w], [-1, g, c // g, h, w]])
        back = d.pick([[n, c, h, w], [-1, c, h, w], [0, -1, h, w]])
        return d.chain(
            x, ("Reshape", [d.ints(first)]), ("Transpose", [], {"perm": [0, 2, 1, 3, 4]}), ("Reshape", [d.ints(back)])
        )
    if h % 2 or w % 2:
        return None
    order = d.pick([[0, 1, 3, 5, 2, 4], [0, 3, 5, 1, 2, 4], [0, 5, 3, 1, 2, 4]])
    back = [n, 4 * c, h // 2, w // 2]
    return d.chain(
        x,
        ("Reshape", [d.ints([n, c, h // 2, 2, w // 2, 2])]),
        ("Transpose", [], {"perm": order}),
        ("Reshape", [d.ints(back)]),
    )


def turned(d: Draft, x: str) -> str | None:
    """Height and width swapped, for a while or for good."""
    made = d.add("Transpose", [x], perm=[0, 1, 3, 2])
    if made is None or d.chance(0.5):
        return made
    return d.chain(on_maps.pool(d, made), ("Transpose", [], {"perm": [0, 1, 3, 2]}))


def gate(d: Draft, x: str) -> str | None:
    """A statistic of the whole map that acts on the map."""
    c = d.shape(x)[1]
    flat = False
    if d.chance(0.5):
        pooled = d.add(d.pick(["GlobalAveragePool"] * 6 + ["GlobalMaxPool"] * 3 + ["GlobalLpPool"]), [x])
    else:
        flat = d.chance(0.4)
        kind = d.pick(["ReduceMean"] * 6 + ["ReduceMax"] * 3 + ["ReduceSum", "ReduceL2"])
        axes = d.pick([[2, 3]] * 4 + [[-2, -1], [3, 2], [2], [3], [1, 2, 3]])
        pooled = d.axes(kind, x, axes, 13 if kind == "ReduceSum" else 18, keepdims=0 if flat else 1)
    if pooled is None:
        return None
    if flat:
        if len(d.shape(pooled)) != 2:
            return None
        if d.chance(0.7):
            pooled = d.add("Gemm", [pooled, d.constant(d.weights(c, c)), d.constant(d.weights(c))])
        squeezed = pooled and d.chain(pooled, d.pick(["Sigmoid", "HardSigmoid", "Relu"]))
        if squeezed is None:
            return None
        pooled = (
            d.axes("Unsqueeze", squeezed, [2, 3], 13)
            if d.chance(0.6)
            else d.add("Reshape", [squeezed, d.ints([-1, c, 1, 1])])
        )
    else:
        if d.chance(0.6) and d.shape(pooled)[1] == c:
            pooled = d.add("Conv", [pooled, d.constant(d.weights(c, c, 1, 1)), d.constant(d.weights(c))])
        pooled = pooled and d.add(d.pick(["Sigmoid", "HardSigmoid", "Relu", "Identity", "Softmax", "Tanh"]), [pooled])
    return pooled and d.add(d.pick(["Mul", "Mul", "Add", "Sub"]), [x, pooled] if d.chance(0.8) else [pooled, x])


def statistic(d: Draft, x: str) -> str | None:
    """A normalisation written out: mean, variance, division."""
    axes = d.pick([[2, 3], [2, 3], [1], [1, 2, 3]])
    mean = d.axes("ReduceMean", x, axes, 18, keepdims=1)
    centred = mean and d.add("Sub", [x, mean])
    if centred is None or d.chance(0.3):
        return centred
    square = d.add("Mul", [centred, centred]) if d.chance(0.5) else d.add("Pow", [centred, d.constant(2.0, np.float32)])
    variance = square and d.axes("ReduceMean", square, axes, 18, keepdims=1)
    root = d.chain(variance, ("Add", [d.constant(0.1, np.float32)]), "Sqrt")
    return root and d.add("Div", [centred, root])


def branch(d: Draft, x: str) -> str | None:
    """Two ways from one map that meet: by a sum, a product or side by side."""
    first, second = x if d.chance(0.5) else _way(d, x), _way(d, x)
    if first is None or second is None:
        return None
    return meet(d, first, second)


def _way(d: Draft, x: str) -> str | None:
    value: str | None = x
    for _ in range(d.pick([1, 1, 2])):
        step = d.pick(
            [on_maps.conv, on_maps.conv, on_maps.pool, on_maps.unary, on_maps.normalise, on_maps.with_constant]
        )
        value = value and step(d, value)
    return value


def meet(d: Draft, a: str, b: str) -> str | None:
    """Two maps joined; the larger cut or the smaller brought up where their sizes differ."""
    size_a, size_b = list(d.shape(a)[2:]), list(d.shape(b)[2:])
    if size_a != size_b and 1 not in (*size_a, *size_b):
        (a, b) = (a, b) if min(np.subtract(size_a, size_b)) >= 0 else (b, a)
        size_a, size_b = list(d.shape(a)[2:]), list(d.shape(b)[2:])
        more = [int(v) for v in np.subtract(size_a, size_b)]
        if min(more) < 0:
            return None
        before = [v // 2 for v in more]
        if d.chance(0.6):
            ends = [-(m - s) if m - s else 2**31 - 1 for m, s in zip(more, before, strict=True)]
            cut = on_maps.slice_of(d, a, [2, 3], list(zip(before, ends, strict=True)))
        else:
            cut, b = (
                on_maps.pad(d, b, [0, 0, *before, 0, 0, *(m - s for m, s in zip(more, before, strict=True))]) or "",
                a,
            )
        if not cut:
            return None
        a = cut
    if d.shape(a) == d.shape(b) or (1 in (d.shape(a)[1], d.shape(b)[1]) and d.chance(0.6)):
        return d.add(d.pick(["Add", "Add", "Mul", "Sub", "Max", "Sum", "Mean"]), [a, b])
    return d.add("Concat", [a, b, a][: d.pick([2, 2, 3])], axis=d.pick([1, 1, 1, -3]))


def cross(d: Draft, x: str) -> str | None:
    """The map with any earlier map of its size."""
    size = d.shape(x)[2:]
    others = [
        name
        for name, v in d.values.items()
        if v.ndim == 4 and v.shape[2:] == size and v.dtype == np.float32 and name not in d.constants
    ]
    return meet(d, x, d.pick(others)) if others else None


def sized(d: Draft, x: str) -> str | None:
    """Numbers computed from Shape: as layout, and as data."""
    _, c, h, w = d.shape(x)
    shape = d.add("Shape", [x])
    if shape is None:
        return None

    def side(i: int) -> str | None:
        return d.add("Gather", [shape, d.constant(i, np.int64)], axis=0)

    roll = d.random.randrange(12)
    if roll == 0:  # x / H
        number = d.chain(side(d.pick([2, 3, 1])), ("Cast", [], {"to": 1}))
        return number and d.add(d.pick(["Div", "Mul", "Add"]), [x, number])
    if roll == 1:  # back and forth by a computed shape
        parts = [d.axes("Unsqueeze", side(i) or "", [0], 13) for i in (0, 1)]
        if None in parts:
            return None
        there = d.add("Concat", [parts[0] or "", parts[1] or "", d.ints([-1])], axis=0)
        flat = there and d.add("Reshape", [x, there])
        made = flat and d.add(d.pick(["Relu", "Softmax"]), [flat], **({"axis": 1} if d.nodes and d.chance(0.3) else {}))
        return made and d.add("Reshape", [made, shape])
    if roll == 2:
        return d.add("Reshape", [d.chain(x, "Relu") or x, shape])
    if roll == 3:  # zeros or ones of its shape
        made = d.add("ConstantOfShape", [shape], value=_tensor(d.pick([0.0, 1.0])))
        return made and d.add(
            d.pick(["Add", "Mul", "Concat"]), [x, made], **({"axis": 1} if d.nodes[-1].op_type == "Concat" else {})
        )
    if roll == 4:  # a cut to half its height
        half = d.chain(side(2), ("Div", [d.constant(2, np.int64)]))
        ends = half and d.axes("Unsqueeze", half, [0], 13)
        return ends and d.add("Slice", [x, d.ints([0]), ends, d.ints([2])]) if d.opset >= 10 else None
    if roll == 5 and d.opset >= 11:  # up to twice its size
        sizes = on_maps.slice_of(d, shape, [0], [(2, 4)])
        twice = sizes and d.add("Mul", [sizes, d.ints([2, 2])])
        head = on_maps.slice_of(d, shape, [0], [(0, 2)])
        full = twice and head and d.add("Concat", [head, twice], axis=0)
        none = "" if d.opset >= 13 else d.constant([], np.float32)
        return full and d.add(
            "Resize",
            [x, none, none, full],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    if roll == 6 and d.opset >= 11:  # coordinates
        steps = d.add("Range", [d.constant(0, np.int64), side(3) or "", d.constant(1, np.int64)])
        made = d.chain(steps, ("Cast", [], {"to": 1}), ("Mul", [d.constant(0.1, np.float32)]))
        return made and d.add("Add", [x, made])
    if roll == 7 and d.opset >= 11:
        return d.add("CumSum", [x, d.constant(d.pick([1, 2, 3]), np.int64)])
    if roll == 8:
        made = d.add("Expand", [d.constant(d.weights(*d.pick([(c, 1, 1), (1,), (1, c, 1, 1)]))), shape])
        return made and d.add(d.pick(["Add", "Mul"]), [x, made])
    if roll == 9 and d.opset >= 11:  # padded to an even height
        odd = d.chain(side(2), ("Mod", [d.constant(2, np.int64)]))
        odd = odd and d.axes("Unsqueeze", odd, [0], 13)
        amounts = odd and d.add("Concat", [d.ints([0] * 6), odd, d.ints([0])], axis=0)
        return amounts and d.add("Pad", [x, amounts])
    if roll == 10:  # channels in two by a computed shape that keeps height and width as numbers
        parts = [d.axes("Unsqueeze", side(0) or "", [0], 13)]
        there = parts[0] and d.add("Concat", [parts[0], d.ints([c, h, w])], axis=0)
        return there and d.add("Reshape", [x, there])
    number = d.chain(d.add("Size", [x]), ("Cast", [], {"to": 1}))
    return number and d.add("Div", [x, number])


def _tensor(value: float) -> object:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array([value], np.float32))


def einsum(d: Draft, x: str) -> str | None:
    c = d.shape(x)[1]
    words, shape = d.pick(
        [("nchw,kc->nkhw", (3, c)), ("nchw,ck->nkhw", (c, 3)), ("nchw,c->nchw", (c,)), ("nchw,c->nhw", (c,))]
    )
    made = d.add("Einsum", [x, d.constant(d.weights(*shape))], equation=words)
    return made if made is None or len(d.shape(made)) == 4 else d.axes("Unsqueeze", made, [1], 13)


def spread(d: Draft, x: str) -> str | None:
    n, c, h, w = d.shape(x)
    if c == 1 or h == 1 or w == 1:
        return d.add("Expand", [x, d.ints([n, max(c, 2), max(h, 2) if d.chance(0.3) else h, w])])
    return d.add("Tile", [x, d.ints(d.pick([[1, 2, 1, 1], [1, 1, 2, 1]]))])


def written_out(d: Draft, x: str) -> str | None:
    """Activations as old exporters write them, of several nodes."""
    roll = d.random.randrange(4)
    if roll == 0:
        inner = d.chain(x, ("Add", [d.constant(3.0, np.float32)]))
        inner = inner and d.add("Relu", [inner])
        return inner and d.add("Mul", [x, inner])
    if roll == 1:
        inner = d.add("Sigmoid", [x])
        return inner and d.add("Mul", [inner, x])
    if roll == 2:
        inner = d.chain(x, ("Div", [d.constant(1.41421, np.float32)]), "Erf", ("Add", [d.constant(1.0, np.float32)]))
        return inner and d.chain(inner, ("Mul", [x]), ("Mul", [d.constant(0.5, np.float32)]))
    return d.chain(x, "Softplus", "Tanh", ("Mul", [x]))
