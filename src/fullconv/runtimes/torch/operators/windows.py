"""What windows share: strides, dilations, and edges that are stated, or follow from the size (``auto_pad``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fullconv.runtimes.torch.record import Call, Unspelt

larger: Callable[[Any, Any], Any] = torch.sym_max
smaller: Callable[[Any, Any], Any] = torch.sym_min
Pads = list[tuple[int, int]]  # before and behind, an axis of space each


def window(call: Call, axes: int) -> tuple[list[int], Pads | str, list[int]]:
    """(strides, pads or the word that they go by, dilations) of an operator."""
    stride = list(call.attribute("strides", [1] * axes))
    dilation = list(call.attribute("dilations", [1] * axes))
    word = call.attribute("auto_pad", "NOTSET") or "NOTSET"
    if word in ("SAME_UPPER", "SAME_LOWER"):
        return stride, word, dilation
    if word not in ("NOTSET", "VALID"):
        raise Unspelt(f"auto_pad {word}")
    edges = list(call.attribute("pads", [0] * (2 * axes))) if word == "NOTSET" else [0] * (2 * axes)
    return stride, [(edges[i], edges[axes + i]) for i in range(axes)], dilation


def fixed_pads(pads: Pads | str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Pads | None:
    """Edges that are the same for every size; None where they are not."""
    if not isinstance(pads, str):
        return pads
    if any(s != 1 and k != 1 for k, s in zip(kernel, stride, strict=True)):
        return None
    return [_shared((k - 1) * d, pads) for k, d in zip(kernel, dilation, strict=True)]


def pads_of(x: Tensor, pads: Any, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Pads:
    """Edges for an input of this size."""
    if not isinstance(pads, str):
        return list(pads)
    made = []
    for i, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        length = x.shape[2 + i]
        wanted = (length + s - 1) // s
        made.append(_shared(larger((wanted - 1) * s + (k - 1) * d + 1 - length, 0), pads))
    return made


def _shared(total: Any, word: str) -> tuple[Any, Any]:
    small, large = total // 2, total - total // 2
    return (small, large) if word == "SAME_UPPER" else (large, small)


def filled_up(x: Tensor, pads: Sequence[tuple[int, int]], value: float) -> Tensor:
    """With edges of one number around space; negative ones cut."""
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return x
    flat = [n for pair in reversed(list(pads)) for n in pair]
    return F.pad(x, flat, value=value)
