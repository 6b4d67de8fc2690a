"""Attention of ONNX's operator set 23 on: every position reads every other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_FLOAT = 1  # ONNX's number of float32
_OUTPUTS = "it gives more than its answers: keys, values or products"


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, heads: tuple[int, int], scale: float | None, causal: bool
) -> Tensor:
    """Softmax of q·k over v, (batch, heads, positions, depth), or (batch, positions, heads · depth) with so many heads of q and of k and v."""
    flat = q.dim() == 3
    if flat:
        q, k, v = _apart(q, heads[0]), _apart(k, heads[1]), _apart(v, heads[1])
    if k.shape[1] != q.shape[1]:  # several heads of q read one of k and v
        each = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(each, 1), v.repeat_interleave(each, 1)
    if causal:
        past = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        if mask is None:
            mask = past
        elif mask.dtype == torch.bool:
            mask = mask & past
        else:
            mask = mask.masked_fill(~past, float("-inf"))
    made = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return made.transpose(1, 2).flatten(2) if flat else made


def _apart(x: Tensor, heads: int) -> Tensor:
    """(batch, heads, positions, depth) of (batch, positions, heads · depth)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _attention(call: Call) -> fx.Node:
    if call.outputs > 1:
        raise Unspelt(_OUTPUTS)
    if any(call.has(i) for i in range(4, len(call.inputs))):
        raise Unspelt("it goes on from keys and values of before")
    if call.attribute("softcap", 0.0):
        raise Unspelt("its products are capped (softcap)")
    if call.attribute("softmax_precision", _FLOAT) not in (0, _FLOAT):
        raise Unspelt("its softmax is of another precision than float32")
    heads = call.attribute("q_num_heads", 0), call.attribute("kv_num_heads", 0)
    scale = call.attribute("scale")
    causal = bool(call.attribute("is_causal", 0))
    return call.do(attention, call.tensor(0), call.tensor(1), call.tensor(2), call.maybe(3), heads, scale, causal)


OPERATORS = (Spelt("Attention", _attention),)
