"""Attention: softmax of q·kᵀ over v, in plain words of ONNX, which every engine has."""

from __future__ import annotations

import operator
from math import sqrt
from typing import Any

import numpy as np
from onnx import TensorProto

from fullconv.formats.torch.operators.call import Call, Emitter, NotLowered, Spelling, Unspelt, spells

_COMPOSITE = ("scaled_dot_product_attention", "_scaled_dot_product_attention_math")
_FUSED = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_attention_math_for_mps",
)


@spells(
    *_COMPOSITE,
    *_FUSED,
    reads="query key value attn_mask attn_bias dropout_p is_causal scale enable_gqa",
    refuses="dropout_mask",
    harmless="compute_log_sumexp return_debug_mask",  # of outputs that nothing at inference reads
    casts=False,
)
def attention(call: Call) -> Spelling:
    """Attention, which reads every position at every other."""
    if call["dropout_p"] != 0:
        raise Unspelt("it drops values at inference too")
    mask = call.get("attn_mask", call.get("attn_bias"))
    given = [call["query"], call["key"], call["value"], *([] if mask is None else [mask])]
    heads = _repeats(call) if call.get("enable_gqa", False) else 1

    def emit(b: Emitter, q: str, k: str, v: str, mask_value: str = "") -> str:
        if any(call.kind(each) != "float" for each in given[:3]):
            raise NotLowered("attention over whole numbers has no form for ONNX here")
        if any(user.target is operator.getitem and user.args[1] != 0 for user in call.node.users):
            raise NotLowered("what attention gives beside its answer has no form for ONNX here")
        k, v = (_repeated(b, each, call.rank(given[1]), call.shape(given[1])[-3:], heads) for each in (k, v))
        rank = call.rank(given[1])
        turned = b.op("Transpose", k, perm=[*range(rank - 2), rank - 1, rank - 2])
        products = b.op("MatMul", b.scaled(q, _scale(call)), turned)
        bias = _bias(b, call, mask, mask_value)
        weights = b.op("Softmax", b.op("Add", products, bias) if bias else products, axis=-1)
        if mask_value:  # a position that may read none answers 0
            none = b.op("Cast", b.op("Equal", bias, b.floats("-inf")), to=TensorProto.FLOAT)
            all_none = b.op("Cast", b.op("ReduceMin", none, axes=[-1], keepdims=1), to=TensorProto.BOOL)
            weights = b.op("Where", all_none, b.floats(0), weights)
        return b.op("MatMul", weights, v)

    return Spelling("Attention", tuple(given), emit=emit)


def _bias(b: Emitter, call: Call, mask: Any, value: str) -> str:
    """What is added to products: -inf where a position is not read; "" where all are."""
    if value and call.kind(mask) == "bool":
        value = b.op("Where", value, b.floats(0), b.floats("-inf"))
    if not call["is_causal"]:
        return value
    seen = np.tri(call.shape(call["query"])[-2], call.shape(call["key"])[-2], dtype=np.bool_)
    past = b.floats(np.where(seen, np.float32(0), np.float32("-inf")))
    return b.op("Add", value, past) if value else past


def _scale(call: Call) -> float:
    """What products are taken times: by default one over the root of their depth."""
    stated: Any = call["scale"]
    if stated is None:
        return 1 / sqrt(call.shape(call["query"])[-1])
    if not isinstance(stated, int | float):
        raise NotLowered("attention whose scale follows from a size has no form for ONNX here")
    return float(stated)


def _repeats(call: Call) -> int:
    """Heads of q that read one of k and v."""
    return call.shape(call["query"])[-3] // call.shape(call["key"])[-3]


def _repeated(b: Emitter, x: str, rank: int, shape: tuple[int, ...], count: int) -> str:
    """Each head so many times, one behind the other."""
    return x if count == 1 else b.op("Gather", x, b.ints(*np.repeat(np.arange(shape[0]), count)), axis=rank - 3)
