"""Values that move and do not change: shapes, orders, parts put together."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from fullconv.runtimes.torch.record import Call, Known, Spelt, Unspelt


def reshaped(x: Tensor, sizes: Any, zeros: bool) -> Tensor:
    """A 0 takes the size of its own place, unless zeros are meant."""
    sizes = tuple(sizes)
    return x.reshape([x.shape[i] if size == 0 and not zeros else size for i, size in enumerate(sizes)])


def flattened(x: Tensor, axis: int) -> Tensor:
    """Two axes: all in front of one, and all from it on."""
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(prod(x.shape[:axis]), -1) if axis != 1 else x.flatten(1) if x.dim() > 1 else x.reshape(-1, 1)


def squeezed(x: Tensor, axes: tuple[int, ...] | None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(axes)


def unsqueezed(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def reversed_axes(x: Tensor) -> Tensor:
    return x.permute(*reversed(range(x.dim())))


def expanded(x: Tensor, sizes: Any) -> Tensor:
    """Both ways: where it states 1, the tensor's own size stays."""
    sizes = tuple(sizes)
    rank = max(x.dim(), len(sizes))
    own = (1,) * (rank - x.dim()) + tuple(x.shape)
    wanted = (1,) * (rank - len(sizes)) + sizes
    return x.expand([a if b == 1 else b for a, b in zip(own, wanted, strict=True)])


def split_evenly(x: Tensor, parts: int, axis: int) -> tuple[Tensor, ...]:
    """The last part is smaller where sizes do not divide."""
    length = x.shape[axis]
    return torch.split(x, (length + parts - 1) // parts, axis)


def split_sizes(x: Tensor, sizes: tuple[int, ...], axis: int) -> tuple[Tensor, ...]:
    return torch.split(x, list(sizes), axis)


def part(parts: tuple[Any, ...], i: int) -> Any:
    return parts[i]


def blocks_to_cells(x: Tensor, size: int, rows_first: bool) -> Tensor:
    """DepthToSpace: channels as (block row, block column, channel), or as (channel, block row, block column)."""
    n, c, h, w = x.shape
    few = c // (size * size)
    if rows_first:
        return x.reshape(n, size, size, few, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, few, h * size, w * size)
    return x.reshape(n, few, size, size, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, few, h * size, w * size)


def cells_to_blocks(x: Tensor, size: int) -> Tensor:
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // size, size, w // size, size)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, c * size * size, h // size, w // size)


def joined(*parts: Any) -> tuple[Any, ...]:
    """Sizes, one behind the other."""
    return tuple(size for each in parts for size in (each if isinstance(each, tuple | list) else (each,)))


def listed(sizes: Any) -> tuple[Any, ...]:
    return tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)


def single(sizes: Any) -> Any:
    """One number, out of a tuple of one."""
    if not isinstance(sizes, tuple | list):
        return sizes
    (number,) = sizes
    return number


def _reshape(call: Call) -> fx.Node:
    sizes = call.attribute("shape") if call.opset < 5 else call.sizes(1)
    zeros = bool(call.attribute("allowzero", 0))
    if not isinstance(sizes, fx.Node) and (zeros or 0 not in sizes):
        return call.do(torch.reshape, call.tensor(0), tuple(sizes))
    if not isinstance(sizes, fx.Node) and tuple(sizes) == (0, -1):
        return call.do(torch.flatten, call.tensor(0), 1)
    return call.do(reshaped, call.tensor(0), sizes, zeros)


def _flatten(call: Call) -> fx.Node:
    return call.do(flattened, call.tensor(0), call.attribute("axis", 1))


def _squeeze(call: Call) -> fx.Node:
    return call.do(squeezed, call.tensor(0), call.ints("axes", 1, 13))


def _unsqueeze(call: Call) -> fx.Node:
    axes = call.ints("axes", 1, 13)
    if axes is None:
        raise Unspelt("it states no axes")
    return call.do(unsqueezed, call.tensor(0), axes)


def _transpose(call: Call) -> fx.Node:
    order = call.attribute("perm")
    return (
        call.do(reversed_axes, call.tensor(0))
        if order is None
        else call.do(torch.permute, call.tensor(0), tuple(order))
    )


def _concat(call: Call) -> fx.Node:
    parts = [call.tensor(i) for i in range(len(call.inputs))]
    return call.do(torch.cat, parts, call.attribute("axis"))


def _split(call: Call) -> list[fx.Node]:
    sizes, axis, x = call.ints("split", 1, 13), call.attribute("axis", 0), call.tensor(0)
    if sizes is None:
        parts = call.do(split_evenly, x, call.attribute("num_outputs", call.outputs), axis)
    else:
        parts = call.do(split_sizes, x, sizes, axis)
    return [call.do(part, parts, i) for i in range(call.outputs)]


def _identity(call: Call) -> fx.Node:
    return call.tensor(0)


def _depth(call: Call) -> fx.Node:
    mode = call.attribute("mode", "DCR")
    return call.do(blocks_to_cells, call.tensor(0), call.attribute("blocksize"), mode == "DCR")


def _tile(call: Call) -> fx.Node:
    return call.do(torch.tile, call.tensor(0), call.sizes(1))


def _of_sizes(function: Any) -> Any:
    return lambda call: call.builder.mark_sizes(call.do(function, call.sizes(0)))


def _joined(call: Call) -> fx.Node:
    parts = [v if isinstance(v, fx.Node) else tuple(call.sizes(i)) for i, v in enumerate(call.inputs)]
    if any(isinstance(v, fx.Node) and not call.builder.is_sizes(v) for v in call.inputs):
        raise Unspelt("it puts sizes and values of the image together")
    return call.builder.mark_sizes(call.do(joined, *parts))


def _same_sizes(call: Call) -> fx.Node:
    made = call.inputs[0]
    assert isinstance(made, fx.Node)
    return made


def _reshape_with_sizes(call: Call) -> fx.Node:
    """Its shape follows from sizes; or sizes are reshaped, to a list or to one number."""
    first = call.inputs[0]
    if not (isinstance(first, fx.Node) and call.builder.is_sizes(first)):
        return _reshape(call)
    wanted = call.sizes(1)
    if isinstance(wanted, fx.Node) or len(wanted) > 1:
        raise Unspelt("it lays sizes out in several axes")
    return call.builder.mark_sizes(call.do(listed if wanted else single, first))


def _expand(call: Call) -> fx.Node:
    first = call.inputs[0]
    if isinstance(first, Known) and first.frozen and not isinstance(call.sizes(1), fx.Node):
        return call.do(expanded, call.builder.tensor(first), call.sizes(1))
    return call.do(expanded, call.tensor(0), call.sizes(1))


OPERATORS = (
    Spelt("Reshape", _reshape, _reshape_with_sizes),
    Spelt("Flatten", _flatten),
    Spelt("Squeeze", _squeeze, _of_sizes(single)),
    Spelt("Unsqueeze", _unsqueeze, _of_sizes(listed)),
    Spelt("Transpose", _transpose),
    Spelt("Expand", _expand, _expand),
    Spelt("Concat", _concat, _joined),
    Spelt("Split", _split),
    Spelt("Identity", _identity, _same_sizes),
    Spelt("DepthToSpace", _depth),
    Spelt("SpaceToDepth", lambda call: call.do(cells_to_blocks, call.tensor(0), call.attribute("blocksize"))),
    Spelt("Tile", _tile, _tile),
)
