"""Rows of operators that act on each cell, or along channels."""

from __future__ import annotations

import numpy as np

from tests.conformance.rows import (
    C,
    H,
    K,
    Row,
    W,
    both,
    chain,
    first,
    gated,
    ints,
    last,
    numbers,
    op,
    positive,
    same,
    small,
    to_float,
    tokens,
    untokens,
)  # fmt: skip

UNARY = [
    "Abs", "Atan", "Celu", "Cos", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Neg", "Relu", "Selu",
    "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh",
]  # fmt: skip
DOMAIN = ["Acos", "Asin", "Cosh", "Sinh", "Tan"]  # over small numbers
STEPS = [
    "Ceil",
    "Floor",
    "Round",
    "Sign",
]  # rounding apart, a jump moves an answer: over numbers that lie in the middle
COMPARED = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
LOGIC = ["And", "Or", "Xor"]
BROADCAST = {"a channel": (C, 1, 1), "all": (), "one": (1,), "with the batch": (1, C, 1, 1)}
POSITION = {"a row": (H, 1), "a column": (W,), "a cell": (1, H, W)}


def _binary(kind: str) -> list[Row]:
    make = positive if kind in ("Div", "Pow") else numbers
    before = chain(op("Abs"), op("Add", np.float32(0.1))) if kind == "Pow" else same
    rows = [Row(f"a constant for {what}", chain(before, op(kind, make(*shape)))) for what, shape in BROADCAST.items()]
    rows += [
        Row(f"a constant for {what}", chain(before, op(kind, make(*shape))), "refused")
        for what, shape in list(POSITION.items())[:1]
    ]
    rows += [Row("a constant for the channels of tokens", chain(before, tokens, op(kind, make(C, 1)), untokens))]
    rows += [Row("a constant of a vector", chain(before, op(kind, make(K))), on="vector")]
    if kind not in ("Div", "Pow", "PRelu"):
        rows += [
            Row("the constant first", op(kind, make(C, 1, 1), first=True)),
            Row("a constant (1, k)", op(kind, make(1, K), first=True), on="vector"),
        ]
        rows += [Row("two maps", both(kind, op("Relu"), op("Sigmoid")))]
    return rows


def _reduction(kind: str) -> list[Row]:
    old, new = (11, 13) if kind == "ReduceSum" else (13, 18)
    how: str = {"ReduceMean": "exact", "ReduceMax": "exact"}.get(kind, "")
    rows = [
        Row("channels", chain(op(kind, axes=[1]), op("Tanh")), opset=old),
        Row("channels from the end", chain(op(kind, ints(-3), keepdims=1), op("Tanh")), opset=new),
        Row("a vector", gated(op(kind, axes=[-1], keepdims=1), "Add"), on="vector", opset=old),
        Row("channels without the axis", chain(op(kind, axes=[1], keepdims=0), op("Flatten")), opset=old),
        Row(
            "a pooled map's channels, without the axis",
            chain(op(kind, axes=[1], keepdims=0), op("Flatten")),
            on="pooled",
            opset=old,
        ),
        Row("a row alone", op(kind, axes=[3], keepdims=1), "exact" if how else "refused", opset=old) if how else None,
        Row("channels and map", op(kind, ints(1, 2, 3), keepdims=1), "refused", opset=new)
        if kind != "ReduceProd"
        else None,
        Row("the batch", op(kind, ints(0), keepdims=1), "refused", opset=new),
    ]
    if how:
        rows += [
            Row("the map", op(kind, axes=[2, 3], keepdims=0), opset=old),
            Row("the map from the end", op(kind, ints(-1, -2), keepdims=1), opset=new),
            Row("a gate", gated(op(kind, axes=[2, 3]), "Mul"), "inexact", opset=old),
        ]
    if kind in ("ReduceSum", "ReduceL1", "ReduceL2", "ReduceMin", "ReduceSumSquare"):  # respelt as means or maxima
        rows += [Row("the map", op(kind, axes=[2, 3], keepdims=0), opset=old)]
    return [row for row in rows if row is not None]


def _softmax(kind: str) -> list[Row]:
    return [
        Row("channels", op(kind, axis=1)), Row("channels from the end", op(kind, axis=-3)), Row("a vector", op(kind), on="vector"),
        Row("a vector, axis 1", op(kind, axis=1), on="vector"), Row("width", op(kind, axis=-1), "refused"), Row("height", op(kind, axis=2), "refused"),
        Row("an old vector", op(kind), on="vector", opset=11), Row("old, from axis 1 of a map", op(kind), "refused", opset=11),
        Row("channels last", chain(last, op(kind, axis=-1), first)), Row("a pooled map's channels", op(kind, axis=1), on="pooled"),
    ]  # fmt: skip


def _compared(kind: str) -> list[Row]:
    """Over whole numbers, where rounding moves no answer."""
    whole = chain(op("Mul", np.float32(2)), op("Cast", to=7), to_float)
    return [
        Row("a constant", chain(whole, op(kind, np.float32(0 if kind == "Equal" else 0.5)), to_float)),
        Row(
            "a vector",
            chain(whole, op(kind, (np.arange(K, dtype=np.float32) % 2 - (0 if kind == "Equal" else 0.5))), to_float),
            on="vector",
        ),
    ]


def _logic(kind: str) -> list[Row]:
    return [
        Row("two masks", chain(both(kind, op("Greater", np.float32(0.013)), op("Less", np.float32(0.51))), to_float))
    ]


CELLS: dict[str, list[Row]] = {
    **{kind: [Row("a map", op(kind)), Row("a vector", op(kind), on="vector")] for kind in UNARY},
    **{kind: [Row("a map", chain(small, op(kind)))] for kind in DOMAIN},
    **{kind: [Row("a map", chain(op(kind), op("Add", np.float32(0.1))))] for kind in STEPS},
    **{kind: _binary(kind) for kind in ("Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Max", "Min", "Sum", "Mean")},
    **{kind: _reduction(kind) for kind in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare")},
    **{kind: _softmax(kind) for kind in ("Softmax", "LogSoftmax", "Hardmax")},
    **{kind: _compared(kind) for kind in COMPARED},
    **{kind: _logic(kind) for kind in LOGIC},
    "Mish": [Row("a map", op("Mish"), opset=18)],
    "ThresholdedRelu": [Row("a map", op("ThresholdedRelu")), Row("a vector", op("ThresholdedRelu", alpha=0.01), on="vector")],
    "Gelu": [Row("a map", op("Gelu"), opset=20), Row("by tanh", op("Gelu", approximate="tanh"), opset=20)],
    "Log": [Row("a map", chain(op("Exp"), op("Log")))],
    "Sqrt": [Row("a map", chain(op("Abs"), op("Add", np.float32(0.1)), op("Sqrt")))],
    "Reciprocal": [Row("a map", chain(op("Exp"), op("Reciprocal")))],
    "Not": [Row("a mask", chain(op("Greater", np.float32(0.013)), op("Not"), to_float))],
    "Mod": [Row("a constant", op("Mod", positive(C, 1, 1), fmod=1))],
    "Cast": [Row("to double and back", chain(op("Cast", to=11), to_float)), Row("to whole numbers", chain(op("Mul", np.float32(2)), op("Cast", to=6), to_float))],
    "CastLike": [Row("as a constant", chain(op("CastLike", np.float64(1)), to_float))],
    "Swish": [Row("a map", op("Swish", alpha=0.7), opset=24)],
    "Clip": [
        Row("bounds as inputs", op("Clip", np.float32(-0.3), np.float32(0.4))), Row("as attributes", op("Clip", min=-0.3, max=0.4), opset=9),
        Row("one bound", op("Clip", "", np.float32(0.4))), Row("a vector", op("Clip", np.float32(-0.3)), on="vector"),
    ],
    "Where": [Row("a mask", lambda d, x: d.add("Where", [d.add("Greater", [x, d.constant(np.float32(0.013))]) or "", x, d.constant(numbers(C, 1, 1))]))],
    "Dropout": [Row("plain", op("Dropout")), Row("of old", op("Dropout", ratio=0.4), opset=9), Row("its mask too", op("Dropout", np.float32(0.4), outputs=2))],
    "QuantizeLinear": [Row("and back", chain(op("QuantizeLinear", np.float32(0.05), np.uint8(128)), op("DequantizeLinear", np.float32(0.05), np.uint8(128))))],
    "DequantizeLinear": [
        Row("a channel", chain(op("QuantizeLinear", positive(C) / 9, np.zeros(C, np.int8), axis=1), op("DequantizeLinear", positive(C) / 9, np.zeros(C, np.int8), axis=1))),
        Row("a vector", chain(op("QuantizeLinear", positive(K) / 9, np.zeros(K, np.int8), axis=-1), op("DequantizeLinear", positive(K) / 9, np.zeros(K, np.int8), axis=-1)), on="vector"),
    ],
    "LpNormalization": [
        Row("channels", op("LpNormalization", axis=1)), Row("channels, 1", op("LpNormalization", axis=-3, p=1)), Row("a vector", op("LpNormalization"), on="vector"),
        Row("width", op("LpNormalization"), "refused"),
    ],
    "ArgMax": [
        Row("channels", chain(op("ArgMax", axis=1), to_float)), Row("a vector", op("ArgMax", axis=-1), on="vector"), Row("a row", chain(op("ArgMax", axis=3), to_float), "refused"),
        Row("the last of equals", chain(op("ArgMax", axis=1, select_last_index=1), to_float)),
    ],
    "ArgMin": [Row("channels", chain(op("ArgMin", axis=-3), to_float))],
    "TopK": [
        Row("a vector", op("TopK", ints(2), outputs=2), on="vector"), Row("channels", op("TopK", ints(2), outputs=2, axis=1)), Row("the least", op("TopK", ints(3), outputs=2, axis=1, largest=0)),
        Row("of old", op("TopK", outputs=2, k=2, axis=1), opset=9), Row("width", op("TopK", ints(2), outputs=2), "refused"),
    ],
    "Concat": [
        Row("channels", both("Concat", op("Relu"), op("Neg"), axis=1)), Row("from the end", both("Concat", op("Relu"), op("Neg"), axis=-3)),
        Row("a vector", both("Concat", op("Relu"), op("Neg"), axis=-1), on="vector"), Row("width", both("Concat", op("Relu"), op("Neg"), axis=3), "refused"),
        Row("a pooled map's channels", both("Concat", op("Relu"), op("Neg"), axis=1), on="pooled"),
        Row("a pooled map's rows", both("Concat", op("Relu"), op("Neg"), axis=2), "refused", on="pooled"),
    ],
    "Gather": [
        Row("channels", op("Gather", ints(2, 0, 2), axis=1)), Row("from the end", op("Gather", ints(-1, 1), axis=-3)), Row("a vector", op("Gather", ints(3, -1), axis=-1), on="vector"),
        Row("rows", op("Gather", ints(0, 1), axis=2), "refused"), Row("one channel", chain(op("Gather", np.array(-1), axis=-3), op("Unsqueeze", ints(1)))),
        Row("one, without the axis", op("Gather", np.array(2), axis=1)),
        Row("one of a vector, without the axis", gated(chain(op("Gather", np.array(-2), axis=-1), op("Unsqueeze", ints(1)))), on="vector"),
        Row("one of a pooled map, without the axis", chain(op("Gather", np.array(1), axis=-3), op("Flatten")), on="pooled"),
        Row("one number", chain(op("Gather", np.array(2), axis=-1), op("Unsqueeze", ints(1))), on="vector"),
        Row("one row, without the axis", op("Gather", np.array(2), axis=2), "refused"),
    ],
    "Split": [
        Row("channels", op("Split", ints(3, 1), axis=1, outputs=2)),
        Row("from the end, of old", op("Split", axis=-3, split=[1, 3], outputs=2), opset=11), Row("a vector", op("Split", ints(2, 4), axis=-1, outputs=2), on="vector"),
        Row("equal", op("Split", axis=1, outputs=2, num_outputs=2), opset=18), Row("rows", op("Split", ints(2, 4), axis=2, outputs=2), "refused"),
    ],
    "BatchNormalization": [
        Row("a map", op("BatchNormalization", positive(C), numbers(C), numbers(C), positive(C))), Row("a vector", op("BatchNormalization", positive(K), numbers(K), numbers(K), positive(K)), on="vector"),
        Row("in training", op("BatchNormalization", positive(C), numbers(C), numbers(C), positive(C), outputs=3, training_mode=1), "refused"),
    ],
    "LRN": [Row("a map", op("LRN", size=3, alpha=0.3)), Row("even", op("LRN", size=5, beta=0.5, bias=2.0))],
    "LayerNormalization": [
        Row("channels last", chain(last, op("LayerNormalization", positive(C), numbers(C)), first)), Row("a vector", op("LayerNormalization", positive(K), numbers(K)), on="vector"),
        Row("tokens", chain(tokens, op("Transpose", perm=[0, 2, 1]), op("LayerNormalization", positive(C), numbers(C)), op("Transpose", perm=[0, 2, 1]), untokens)),
        Row("parameters of a position", op("LayerNormalization", positive(C, H, W), numbers(C, H, W), axis=1), "refused"),
        Row("a row", op("LayerNormalization", positive(W), numbers(W)), "refused"),
    ],
    "InstanceNormalization": [Row("a map", op("InstanceNormalization", positive(C), numbers(C)), "inexact")],
    "GroupNormalization": [Row("two groups", op("GroupNormalization", positive(C), numbers(C), num_groups=2), "inexact", opset=21)],
    "MeanVarianceNormalization": [Row("the map and the batch", op("MeanVarianceNormalization"), "inexact")],
}  # fmt: skip
