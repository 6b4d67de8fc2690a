"""Operators with a weight matrix, and products of two activations."""

from __future__ import annotations

from fullconv.formats.torch.module import channel_conv1d
from fullconv.formats.torch.operators.call import Call, Emitter, Spelling, Unspelt, own, spells, unwritten


@spells("linear", reads="input weight bias")
def linear(call: Call) -> Spelling:
    """x · Wᵀ + b over the last axis."""
    x, weight, bias = call["input"], call["weight"], call["bias"]
    if weight in call.known.flowing or bias in call.known.flowing:
        return Spelling("MatMul", (x, weight, bias), emit=unwritten)
    flat = call.rank(x) == 2

    def emit(b: Emitter, x: str, w: str, bias: str) -> str:
        if flat:
            return b.op("Gemm", x, w, *([bias] if bias else []), transB=1)
        product = b.op("MatMul", x, b.op("Transpose", w, perm=[1, 0]))
        return b.op("Add", product, bias) if bias else product

    # PyTorch's matrix is (outputs, inputs), Gemm's the same with transB; over more axes MatMul's rule is the same.
    return Spelling("Gemm", (x, weight, bias), {"transB": 1}, emit)


@spells("addmm", reads="self mat1 mat2 beta alpha")
def addmm(call: Call) -> Spelling:
    """A bias and a product with a matrix of (inputs, outputs)."""
    bias, x, weight = call["self"], call["mat1"], call["mat2"]
    beta, alpha = float(call["beta"]), float(call["alpha"])
    if (beta, alpha) != (1, 1):  # a cast keeps a matrix and a bias, and no more
        raise Unspelt(f"it scales its product by {alpha:g} and its bias by {beta:g}")
    return Spelling("Gemm", (x, weight, bias))


@spells("matmul", "mm", "bmm", reads="self other mat2")
def matmul(call: Call) -> Spelling:
    """A product; with a constant matrix on the right a linear layer."""
    left, right = (call[name] for name in ("self", "mat2" if "mat2" in call else "other"))
    return Spelling("MatMul", (left, right))


@spells("einsum", reads="equation tensors", harmless="path")
def einsum(call: Call) -> Spelling:
    """A sum of products by Einstein's notation."""
    equation = str(call["equation"])
    return Spelling(
        "Einsum",
        tuple(call["tensors"]),
        {"equation": equation},
        lambda b, *parts: b.op("Einsum", *parts, equation=equation),
    )


@spells("conv1d", reads="input weight bias stride padding dilation groups")
def conv1d(call: Call) -> Spelling:
    """A convolution along the last axis; of a vector laid out as (n, 1, c) over its channels, as efficient channel attention has it."""
    x, weight, bias = call["input"], call["weight"], call["bias"]
    strides, dilations = [int(v) for v in call["stride"]], [int(v) for v in call["dilation"]]
    named = {
        "strides": strides,
        "dilations": dilations,
        "pads": [int(v) for v in call["padding"]] * 2,
        "group": int(call["groups"]),
    }

    def emit(b: Emitter, x: str, w: str, c: str) -> str:
        return b.op("Conv", x, w, *([c] if c else []), **named)

    over_channels = call.shape(weight)[:2] == (1, 1) and strides == [1] and dilations == [1]
    return (
        Spelling("ReduceOver", (x, weight, bias), {"axis": -1}, emit)
        if over_channels
        else Spelling("Conv", (x, weight, bias), named, emit)
    )


@spells("conv3d", reads="input weight bias stride padding dilation groups")
def conv3d(call: Call) -> Spelling:
    """A convolution along three axes."""
    window = {name: [call.fixed(v, name) for v in call[name]] for name in ("stride", "padding", "dilation")}
    named = {
        "strides": window["stride"],
        "pads": window["padding"] * 2,
        "dilations": window["dilation"],
        "group": int(call["groups"]),
    }
    return Spelling("Conv", (call["input"], call["weight"], call["bias"]), named)


def along_channels(call: Call) -> Spelling:
    """The same along the channels of a map."""

    def emit(b: Emitter, x: str, weight: str, bias: str) -> str:
        kernel = b.op("Unsqueeze", weight, b.ints(3, 4))
        pad = int(call["padding"])
        made = b.op("Conv", b.op("Unsqueeze", x, b.ints(1)), kernel, *([bias] if bias else []), pads=[pad, 0, 0] * 2)
        return b.op("Squeeze", made, b.ints(1))

    return Spelling("ReduceOver", (call["x"], call["weight"], call["bias"]), {"axis": 1}, emit)


own(channel_conv1d, along_channels)
