"""Resize and Upsample: each axis of its own, by the places that its cells stand for. Every mode of coordinates but crops."""

from __future__ import annotations

from math import floor
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from fullconv.runtimes.torch.record import Call, Spelt, Unspelt

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


def _places(count: Any, length: Any, scale: float | None, how: str, like: Tensor) -> Tensor:
    """Where the cells of an output axis lie on the input's: in float32, step by step as ONNX Runtime, since a rounding decides ties."""
    at = torch.arange(count, device=like.device, dtype=torch.float32)
    if how == "align_corners":
        return _over(at * (length - 1), count - 1) if count > 1 else torch.zeros_like(at)
    factor = count / length if scale is None else scale
    if how == "asymmetric":
        return _over(at, factor)
    if how == "pytorch_half_pixel" and count <= 1:
        return torch.zeros_like(at)
    centred = _over(at + 0.5, factor) - 0.5
    return centred + length / 2 * (1 - count / (factor * length)) if how == "half_pixel_symmetric" else centred


def _over(at: Tensor, by: Any) -> Tensor:
    """A division, which by a number of Python CUDA makes a multiplication."""
    return at / torch.full_like(at, by)


def _nearest(at: Tensor, rounds: str) -> Tensor:
    if rounds == "floor":
        return at.floor()
    if rounds == "ceil":
        return at.ceil()
    return (at - 0.5).ceil() if rounds == "round_prefer_floor" else (at + 0.5).floor()


def _read(x: Tensor, axis: int, at: Tensor) -> Tensor:
    return x.index_select(axis, at.clamp(0, x.shape[axis] - 1).to(torch.int64))


def _lay(values: Tensor, x: Tensor, axis: int) -> Tensor:
    return values.to(x.dtype).reshape([-1 if i == axis else 1 for i in range(x.dim())])


def _linear(x: Tensor, axis: int, at: Tensor) -> Tensor:
    at = at.clamp(0, x.shape[axis] - 1)
    low = at.floor()
    share = _lay(at - low, x, axis)
    return _read(x, axis, low) * (1 - share) + _read(x, axis, low + 1) * share


def _cubic(x: Tensor, axis: int, at: Tensor, a: float) -> Tensor:
    low = at.floor()
    t = at - low
    made = torch.zeros_like(_read(x, axis, low))
    for i in range(-1, 3):
        d = (t - i).abs()
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        made = made + _read(x, axis, low + i) * _lay(near if i in (0, 1) else far, x, axis)
    return made


def resized(
    x: Tensor,
    scales: tuple[float, ...] | None,
    sizes: Any,
    axes: tuple[int, ...] | None,
    mode: str,
    how: str,
    rounds: str,
    a: float,
) -> Tensor:
    axes = tuple(range(x.dim())) if axes is None else tuple(axis % x.dim() for axis in axes)
    for i, axis in enumerate(axes):
        length = x.shape[axis]
        scale = None if scales is None else scales[i]
        count = sizes[i] if scale is None else length * int(scale) if scale == int(scale) else floor(length * scale)
        if scale == 1 or (scale is None and count == length):
            continue
        if (
            mode == "nearest"
            and scale is not None
            and scale == int(scale)
            and how == "asymmetric"
            and rounds == "floor"
        ):
            x = x.repeat_interleave(int(scale), axis)
            continue
        at = _places(count, length, scale, how, x)
        if mode == "nearest":
            x = _read(x, axis, _nearest(at, rounds))
        else:
            x = _linear(x, axis, at) if mode == "linear" else _cubic(x, axis, at, a)
    return x


def bilinear(x: Tensor, scale: tuple[float, float]) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False)


def _resize(call: Call) -> fx.Node:
    how = "asymmetric" if call.opset < 11 else call.attribute("coordinate_transformation_mode", "half_pixel")
    mode, rounds = call.attribute("mode", "nearest"), call.attribute("nearest_mode", "round_prefer_floor")
    if call.opset < 11:
        rounds = "floor"
    refused = {
        f"coordinates {how}": how not in _COORDINATES,
        f"mode {mode}": mode not in ("nearest", "linear", "cubic"),
        "the nearest of symmetric half pixels, whose ties a rounding decides": mode == "nearest"
        and how == "half_pixel_symmetric",
        "antialiasing": call.attribute("antialias", 0),
        "sizes that keep an aspect ratio": call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch",
        "no cells from outside": call.attribute("exclude_outside", 0) and mode == "cubic",
    }
    for what, is_so in refused.items():
        if is_so:
            raise Unspelt(f"it resizes with {what}")
    by = 1 if call.opset < 11 else 2
    scales = call.attribute("scales") if call.kind == "Upsample" and call.opset < 9 else call.numbers(by)
    axes = call.attribute("axes")
    sizes: Any = None
    if scales is None or len(scales) == 0:
        scales, sizes = None, call.sizes(3)
    else:
        scales = tuple(float(v) for v in scales)
    a = float(call.attribute("cubic_coeff_a", -0.75))
    axes = None if axes is None else tuple(axes)
    plain = len(scales or ()) == 4 and axes is None
    if (
        plain
        and scales is not None
        and scales[:2] == (1, 1)
        and min(scales) >= 1
        and mode == "linear"
        and how in ("half_pixel", "pytorch_half_pixel")
    ):
        return call.do(bilinear, call.tensor(0), tuple(scales)[2:])
    return call.do(resized, call.tensor(0), scales, sizes, axes, mode, how, rounds, a)


OPERATORS = (Spelt("Resize", _resize, _resize), Spelt("Upsample", _resize, _resize))
