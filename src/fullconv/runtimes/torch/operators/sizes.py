"""Where sizes become numbers, and tensors are made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from fullconv.runtimes.torch.record import Call, Spelt, Unspelt


def shape_of(x: Tensor, start: int, end: int | None) -> tuple[int, ...]:
    return tuple(x.shape)[start:end]


def size_of(x: Tensor) -> int:
    return math.prod(x.shape)


def filled(sizes: Any, value: float, kind: torch.dtype, like: Tensor | None) -> Tensor:
    device = None if like is None else like.device
    return torch.full(tuple(sizes), value, dtype=kind, device=device)


def _shape(call: Call) -> fx.Node:
    made = call.do(shape_of, call.tensor(0), call.attribute("start", 0), call.attribute("end"))
    return call.builder.mark_sizes(made)


def _size(call: Call) -> fx.Node:
    return call.builder.mark_sizes(call.do(size_of, call.tensor(0)))


def _filled(call: Call) -> fx.Node:
    value = call.attribute("value")
    array = np.zeros(1, np.float32) if value is None else value
    kind = torch.from_numpy(np.array(array)).dtype
    return call.do(filled, call.sizes(0), array.reshape(()).item(), kind, None)


def _never(call: Call) -> fx.Node:
    raise Unspelt("its sizes are not constant and follow from no input's sizes")


OPERATORS = (
    Spelt("Shape", _shape),
    Spelt("Size", _size),
    Spelt("ConstantOfShape", _never, _filled),
)
