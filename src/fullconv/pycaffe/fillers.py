"""What learned blobs start from where a net has no weights: Caffe's fillers."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb

_generator = np.random.default_rng()


def set_random_seed(seed: int) -> None:
    """Seed of the random fillers. The numbers are not those that Caffe's own generator draws."""
    global _generator
    _generator = np.random.default_rng(seed)


def filled(shape: tuple[int, ...], filler: Any) -> npt.NDArray[np.float32]:
    """An array of this shape: zeros for None, a constant for a number, else a FillerParameter's values."""
    if filler is None:
        return np.zeros(shape, np.float32)
    if isinstance(filler, int | float):
        return np.full(shape, filler, np.float32)
    kind = filler.type
    if kind == "constant":
        return np.full(shape, filler.value, np.float32)
    if kind == "uniform":
        return _uniform(shape, filler.min, filler.max)
    if kind == "gaussian":
        values: Any = _generator.normal(filler.mean, filler.std, shape)
        if filler.sparse >= 0:
            values *= _generator.random(shape) < filler.sparse / max(1, shape[0])
        return np.asarray(values, np.float32)
    if kind == "positive_unitball":
        rows: Any = _generator.random((shape[0], prod(shape[1:])))
        return np.asarray((rows / rows.sum(axis=1, keepdims=True)).reshape(shape), np.float32)
    if kind == "xavier":
        bound = sqrt(3 / _fan(shape, filler))
        return _uniform(shape, -bound, bound)
    if kind == "msra":
        return _generator.normal(0, sqrt(2 / _fan(shape, filler)), shape).astype(np.float32)
    if kind == "bilinear":
        return _bilinear(shape)
    raise BadInput(f"unknown filler type {kind!r}")


def _uniform(shape: tuple[int, ...], low: float, high: float) -> npt.NDArray[np.float32]:
    return _generator.uniform(low, high, shape).astype(np.float32)


def _fan(shape: tuple[int, ...], filler: Any) -> float:
    fan_in, fan_out = prod(shape[1:]), prod(shape) // shape[1] if len(shape) > 1 else shape[0]
    if filler.variance_norm == pb.FillerParameter.FAN_OUT:
        return fan_out
    return (fan_in + fan_out) / 2 if filler.variance_norm == pb.FillerParameter.AVERAGE else fan_in


def _bilinear(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """The kernel of bilinear upsampling, on every pair of channels."""
    if len(shape) != 4 or shape[2] != shape[3]:
        raise BadInput(f"a bilinear filler needs square kernels, found {shape}")
    factor = -(-shape[3] // 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    line = 1 - np.abs(np.arange(shape[3]) / factor - centre)
    return np.broadcast_to(np.outer(line, line), shape).astype(np.float32)
