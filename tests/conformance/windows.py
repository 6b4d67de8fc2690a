"""Rows of operators that read a window, move values, or hold a weight matrix."""

from __future__ import annotations

import numpy as np

from tests.conformance.rows import END, C, H, K, Row, Step, W, chain, first, gated, ints, last, numbers, op, tokens

NONE = np.zeros(0, np.float32)


def _slice(starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None) -> Step:
    more = [] if steps is None else [ints(*steps)]
    return op("Slice", ints(*starts), ints(*ends), ints(*axes), *more)


WINDOWS: dict[str, list[Row]] = {
    "Conv": [
        Row("plain", op("Conv", numbers(3, C, 3, 3) / 6)), Row("strided", op("Conv", numbers(3, C, 2, 2) / 4, numbers(3), strides=[2, 2])), Row("1×1", op("Conv", numbers(3, C, 1, 1))),
        Row("uneven", op("Conv", numbers(3, C, 1, 3) / 4, strides=[1, 2])), Row("dilated", op("Conv", numbers(3, C, 2, 2) / 4, dilations=[2, 3])), Row("a channel", op("Conv", numbers(C, 1, 3, 3), group=C)),
        Row("padded", op("Conv", numbers(3, C, 3, 3) / 6, pads=[1, 1, 1, 1]), "inexact"), Row("padded on the left", op("Conv", numbers(3, C, 3, 3) / 6, pads=[0, 1, 0, 0]), "inexact"),
        Row("SAME_UPPER", op("Conv", numbers(3, C, 3, 3) / 6, strides=[2, 2], auto_pad="SAME_UPPER"), "inexact"), Row("SAME_LOWER", op("Conv", numbers(3, C, 2, 2) / 4, auto_pad="SAME_LOWER"), "inexact"),
        Row("VALID", op("Conv", numbers(3, C, 3, 3) / 6, auto_pad="VALID")), Row("the whole map", op("Conv", numbers(3, C, H, W) / 11)), Row("behind a pool", op("Conv", numbers(3, C, 1, 1)), on="pooled"),
        Row("over a map laid out as one cell", chain(op("Reshape", ints(0, -1, 1, 1)), op("Conv", numbers(3, C * H * W, 1, 1) / 11, numbers(3)))),
    ],
    "ConvTranspose": [
        Row("by two", op("ConvTranspose", numbers(C, 3, 2, 2), strides=[2, 2]), "inexact"), Row("by one", op("ConvTranspose", numbers(C, 3, 3, 3) / 4, pads=[2, 2, 2, 2])),
        Row("to a size", op("ConvTranspose", numbers(C, 3, 2, 2), strides=[2, 2], output_shape=[12, 10]), "refused"),
    ],
    "MaxPool": [
        Row("plain", op("MaxPool", kernel_shape=[2, 2], strides=[2, 2])), Row("overlapping", op("MaxPool", kernel_shape=[3, 3])), Row("padded", op("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), "inexact"),
        Row("ceil", op("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), "inexact"), Row("dilated", op("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])),
        Row("the whole map", op("MaxPool", kernel_shape=[H, W])), Row("the whole map, strided", op("MaxPool", kernel_shape=[H, W], strides=[2, 2])),
        Row("its places too", op("MaxPool", kernel_shape=[2, 2], outputs=2)),
    ],
    "AveragePool": [
        Row("plain", op("AveragePool", kernel_shape=[2, 2], strides=[2, 2])), Row("pads not counted", op("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), "inexact"),
        Row("pads counted", op("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), "inexact"), Row("ceil", op("AveragePool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1), "inexact"),
        Row("the whole map", op("AveragePool", kernel_shape=[H, W])), Row("a kernel below its step, ceil", op("AveragePool", kernel_shape=[1, 2], strides=[2, 2], ceil_mode=1), "inexact"),
    ],
    "LpPool": [Row("plain", op("LpPool", kernel_shape=[2, 2], strides=[2, 2])), Row("p of one", op("LpPool", kernel_shape=[3, 2], p=1))],
    "GlobalAveragePool": [Row("a head", op("GlobalAveragePool")), Row("a gate", gated(op("GlobalAveragePool")), "inexact")],
    "GlobalMaxPool": [Row("a head", op("GlobalMaxPool")), Row("a gate", gated(op("GlobalMaxPool"), "Add"), "inexact")],
    "GlobalLpPool": [Row("a head", op("GlobalLpPool"), "refused")],
    "Slice": [
        Row("channels", _slice([1], [3], [1])), Row("channels from the end", _slice([-3], [END], [-3])), Row("a vector", _slice([1], [-1], [-1]), on="vector"), Row("a vector from its start", _slice([0], [3], [1]), on="vector"),
        Row("every other cell", _slice([0, 0], [END, END], [2, 3], [2, 2])), Row("a border", _slice([1, 1], [-1, -1], [2, 3])), Row("the last rows", _slice([-3], [END], [2]), "refused"),
        Row("a fixed end", _slice([0], [4], [3]), "refused"), Row("from the end to the end", _slice([-4], [-1], [-1]), "refused"), Row("backwards", _slice([-1], [-END], [3], [-1]), "refused"),
        Row("of old", op("Slice", axes=[2], starts=[1], ends=[END]), opset=9), Row("channels backwards", _slice([-1], [-END], [1], [-1])),
    ],
    "Pad": [
        Row("channels", op("Pad", ints(0, 1, 0, 0, 0, 2, 0, 0))), Row("the map", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1)), "inexact"), Row("a side", op("Pad", ints(0, 0, 0, 1, 0, 0, 0, 0), np.float32(0.5)), "inexact"),
        Row("the edge", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), mode="edge"), "inexact"), Row("mirrored", op("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), "inexact"), Row("a vector", op("Pad", ints(0, 1, 0, 2)), on="vector"),
        Row("wrapped", op("Pad", ints(0, 0, 0, 1, 0, 0, 0, 1), mode="wrap"), "refused", opset=19), Row("cut", op("Pad", ints(0, 0, -1, -1, 0, 0, -1, 0))),
        Row("axes", op("Pad", ints(1, 0, 1, 0), "", ints(2, 3)), "inexact", opset=18), Row("of old", op("Pad", pads=[0, 0, 1, 0, 0, 0, 1, 0]), "inexact", opset=9),
    ],
    "Resize": [
        Row("nearest", op("Resize", NONE, np.array([1, 1, 2, 2], np.float32), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"), "inexact"),
        Row("linear", op("Resize", NONE, np.array([1, 1, 2, 2], np.float32), mode="linear"), "inexact"),
        Row("to a size", op("Resize", "", "", ints(1, C, 2 * H, 2 * W), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"), "inexact"),
        Row("corners aligned", op("Resize", NONE, np.array([1, 1, 2, 2], np.float32), mode="linear", coordinate_transformation_mode="align_corners"), "refused"),
        Row("no whole factor", op("Resize", NONE, np.array([1, 1, 1.5, 1.5], np.float32), mode="nearest"), "refused"), Row("cubic", op("Resize", NONE, np.array([1, 1, 2, 2], np.float32), mode="cubic"), "refused"),
    ],
    "Upsample": [Row("nearest", op("Upsample", np.array([1, 1, 2, 2], np.float32)), "inexact", opset=9)],
    "SpaceToDepth": [Row("by two", chain(op("MaxPool", kernel_shape=[1, 2]), op("SpaceToDepth", blocksize=2)))],
    "DepthToSpace": [Row("by two", op("DepthToSpace", blocksize=2), "inexact"), Row("the other order", op("DepthToSpace", blocksize=2, mode="CRD"), "inexact")],
    "Flatten": [Row("from 1", op("Flatten")), Row("from the end", op("Flatten", axis=-3)), Row("channels last", chain(last, op("Flatten"))), Row("a vector", op("Flatten"), on="vector")],
    "Reshape": [
        Row("a vector", op("Reshape", ints(0, -1))), Row("by its size", op("Reshape", ints(1, C * H * W))), Row("to tokens and back", chain(tokens, op("Relu"), op("Reshape", ints(0, C, H, W)))),
        Row("channels in groups", chain(op("Reshape", ints(0, 2, 2, H, W)), op("Transpose", perm=[0, 2, 1, 3, 4]), op("Reshape", ints(0, C, H, W)))),
        Row("zero kept", op("Reshape", ints(1, -1), allowzero=1)), Row("a pooled map", op("Reshape", ints(-1, C)), on="pooled"),
        Row("one cell, and a matrix", chain(op("Reshape", ints(0, -1, 1, 1)), op("Tanh"))), Row("one cell, pooled", chain(op("Reshape", ints(0, -1, 1, 1)), op("GlobalMaxPool")), "refused"),
        Row("the batch alone", chain(op("MatMul", numbers(K, 1)), op("Reshape", ints(-1)), op("Sigmoid")), on="vector"),
    ],
    "Squeeze": [Row("one score", chain(op("MatMul", numbers(K, 1)), op("Squeeze", ints(1))), on="vector"), Row("a pooled map", op("Squeeze", ints(2, 3)), on="pooled"), Row("from the end, of old", op("Squeeze", axes=[-1, -2]), on="pooled", opset=11)],
    "Unsqueeze": [Row("a vector and back", chain(op("Unsqueeze", ints(2, 3)), op("Conv", numbers(3, K, 1, 1))), on="vector"), Row("of old", chain(op("Unsqueeze", axes=[1]), op("Relu")), on="vector", opset=11)],
    "Transpose": [
        Row("channels last and back", chain(last, op("Relu"), first)), Row("height and width swapped", chain(op("Transpose", perm=[0, 1, 3, 2]), op("Relu"))), Row("(w, h, c)", op("Transpose", perm=[0, 3, 2, 1])),
        Row("with the batch", op("Transpose", perm=[1, 0, 2, 3]), "refused"),
    ],
    "Expand": [Row("one channel to three", chain(op("ReduceMean", axes=[1]), op("Expand", ints(1, 3, 1, 1)))), Row("to a size", chain(op("ReduceMean", axes=[1]), op("Expand", ints(1, 3, H, W))), "refused")],
    "Tile": [
        Row("one channel to three", chain(op("ReduceMean", axes=[1]), op("Tile", ints(1, 3, 1, 1)))), Row("one score to three", chain(op("MatMul", numbers(K, 1)), op("Tile", ints(1, 3))), on="vector"),
        Row("nothing", op("Tile", ints(1, 1, 1, 1))), Row("channels twice", op("Tile", ints(1, 2, 1, 1)), "refused"), Row("the map twice", op("Tile", ints(1, 1, 1, 2)), "refused"),
    ],
    "Gemm": [
        Row("turned", op("Gemm", numbers(3, K), numbers(3), transB=1), on="vector"), Row("factors", op("Gemm", numbers(K, 3), numbers(1, 3), alpha=0.5, beta=2.0), on="vector"), Row("one bias", op("Gemm", numbers(K, 3), numbers(1)), on="vector"),
        Row("over a map", chain(op("Flatten"), op("Gemm", numbers(3, C * H * W) / 9, transB=1))), Row("over (w, h, c)", chain(op("Transpose", perm=[0, 3, 2, 1]), op("Flatten"), op("Gemm", numbers(C * H * W, 3) / 9))),
    ],
    "MatMul": [
        Row("a vector", op("MatMul", numbers(K, 3)), on="vector"), Row("channels last", chain(last, op("MatMul", numbers(C, 3)), first)), Row("over a map", chain(op("Reshape", ints(0, -1)), op("MatMul", numbers(C * H * W, 3) / 9))),
        Row("over width", op("MatMul", numbers(W, 3)), "refused"), Row("tokens", chain(tokens, op("Transpose", perm=[0, 2, 1]), op("MatMul", numbers(C, C)), op("Transpose", perm=[0, 2, 1]), op("ReduceMean", axes=[2], keepdims=0))),
    ],
}  # fmt: skip
