"""PyTorch's fused transformer layers in terms of their parts: nn.MultiheadAttention and nn.TransformerEncoderLayer as traces have them.

    one operator for all    ->   a matrix for q, k and v, attention, a matrix; and of a layer its norms and its matrices

The fused ones have no gradient, and no other engine has them.
"""

from __future__ import annotations

import operator
from math import sqrt
from typing import Any

import torch
from torch import fx

from fullconv.formats.torch.conditional import Writer
from fullconv.formats.torch.operators import Call

aten = torch.ops.aten


def attended(w: Writer, call: Call) -> fx.Node | None:
    """An attention over one sequence, with its matrices; None where it reads several, or is masked."""
    if call["mask"] is not None or len({call[name] for name in ("query", "key", "value")}) > 1:
        return None
    matrices = [call[name] for name in ("qkv_weight", "qkv_bias", "proj_weight", "proj_bias")]
    weights = [user for user in call.node.users if user.target is operator.getitem and user.args[1] == 1]
    answer, q, k = _attention(w, call["query"], int(call["num_head"]), matrices)
    if weights:
        depth = call.shape(call["query"])[-1] // int(call["num_head"])
        scaled = w(aten.mul.Tensor, q, 1 / sqrt(depth))
        read = w(aten.softmax.int, w(aten.matmul.default, scaled, w(aten.transpose.int, k, -2, -1)), -1)
        read = w(aten.mean.dim, read, [1]) if call["average_attn_weights"] else read
        for user in weights:
            user.replace_all_uses_with(read)
    for user in call.node.users:
        if user.target is operator.getitem and user.args[1] == 0:
            user.replace_all_uses_with(answer)
    return answer


def encoded(w: Writer, call: Call) -> fx.Node | None:
    """A layer of an encoder: attention and a network a position, each with a norm before or behind it; None where it is masked."""
    if call["mask"] is not None:
        return None
    x, eps = call["src"], float(call["eps"])
    matrices = [call[name] for name in ("qkv_weight", "qkv_bias", "proj_weight", "proj_bias")]

    def norm(value: fx.Node, number: int) -> fx.Node:
        weight, bias = call[f"norm_weight_{number}"], call[f"norm_bias_{number}"]
        return w(aten.layer_norm.default, value, [int(call["embed_dim"])], weight, bias, eps)

    def attention(value: fx.Node) -> fx.Node:
        return _attention(w, value, int(call["num_heads"]), matrices)[0]

    def forward(value: fx.Node) -> fx.Node:
        inner = w(aten.linear.default, value, call["ffn_weight_1"], call["ffn_bias_1"])
        inner = w(aten.gelu.default if call["use_gelu"] else aten.relu.default, inner)
        return w(aten.linear.default, inner, call["ffn_weight_2"], call["ffn_bias_2"])

    if call["norm_first"]:
        x = w(aten.add.Tensor, x, attention(norm(x, 1)))
        return w(aten.add.Tensor, x, forward(norm(x, 2)))
    x = norm(w(aten.add.Tensor, x, attention(x)), 1)
    return norm(w(aten.add.Tensor, x, forward(x)), 2)


def _attention(w: Writer, x: fx.Node, heads: int, matrices: list[Any]) -> tuple[fx.Node, fx.Node, fx.Node]:
    """The answer (n, positions, channels), with q and k of (n, heads, positions, depth)."""
    into, into_bias, back, back_bias = matrices
    made = w(aten.linear.default, x, into, into_bias)
    batch, positions = (w(aten.sym_size.int, x, axis) for axis in (0, 1))
    parts = w(aten.view.default, made, [batch, positions, 3, heads, -1])
    q, k, v = (w(aten.transpose.int, w(aten.select.int, parts, 2, i), 1, 2) for i in range(3))
    read = w(aten.transpose.int, w(aten.scaled_dot_product_attention.default, q, k, v), 1, 2)
    answer = w(aten.linear.default, w(aten.flatten.using_ints, read, 2), back, back_bias)
    return answer, q, k


RESPELT: dict[Any, Any] = {
    aten._native_multi_head_attention.default: attended,
    aten._transformer_encoder_layer_fwd.default: encoded,
}
