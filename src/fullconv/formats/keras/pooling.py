"""Average pools that pad one side more than the other, as TensorFlow and JAX compute them.

Keras on PyTorch fills the wider side with copies of the image's border and counts them (Keras 3.15); every other backend, and Keras 1 and 2,
leave what is padded out of the mean. A file is nearly always of those, so a network of a file is read as theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch.nn import functional


def uneven(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """What SAME pads before and behind an axis."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


ELSEWHERE = (
    "average pools that pad one side more are computed as TensorFlow and JAX compute them; Keras on PyTorch counts copies of the border there: "
    "if PyTorch trained it, load it with Keras in Python and hand the model over"
)
HERE = (
    "average pools that pad one side more are computed as Keras on PyTorch does, which counts copies of the border there; TensorFlow and JAX do "
    "not: if one of those trained it, load its file by fullconv"
)


@contextmanager
def as_elsewhere(found: list[bool], *, change: bool = True) -> Iterator[None]:
    """Keras's average pools, called within, leave out what they pad.

    Args:
        found: appended to where one was called whose answer that changes.
        change: False lets them be, and only looks.
    """
    from keras.src import backend

    own = backend.nn.average_pool

    @wraps(own)
    def average_pool(
        inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
    ) -> Any:
        rank = inputs.ndim - 2
        kernel = _each(pool_size, rank)
        steps = kernel if strides is None else _each(strides, rank)
        last = (data_format or backend.config.image_data_format()) == "channels_last"
        sizes = [int(n) for n in (inputs.shape[1:-1] if last else inputs.shape[2:])]
        pads = [uneven(*axis) for axis in zip(sizes, kernel, steps, strict=True)]
        if rank != 2 or padding != "same" or all(before == behind for before, behind in pads):
            return own(inputs, pool_size, strides=strides, padding=padding, data_format=data_format)
        found.append(True)
        if not change:
            return own(inputs, pool_size, strides=strides, padding=padding, data_format=data_format)
        planes = inputs.permute(0, 3, 1, 2) if last else inputs
        pooled = _pooled(planes, kernel, steps, pads)
        return pooled.permute(0, 2, 3, 1) if last else pooled

    backend.nn.average_pool = average_pool
    try:
        yield
    finally:
        backend.nn.average_pool = own


def _pooled(
    x: torch.Tensor, kernel: Sequence[int], steps: Sequence[int], pads: Sequence[tuple[int, int]]
) -> torch.Tensor:
    """The mean of what lies in each window.

    With a stride, a last window that reaches over the end is the wider side; at stride 1 both sides are padded by the wider one's, and the first
    window, which SAME has not, is left out.
    """
    more = [step == 1 and before != behind for step, (before, behind) in zip(steps, pads, strict=True)]
    padding = [behind if first else before for first, (before, behind) in zip(more, pads, strict=True)]
    made = functional.avg_pool2d(
        x, tuple(kernel), tuple(steps), tuple(padding), ceil_mode=True, count_include_pad=False
    )
    return made[:, :, int(more[0]) :, int(more[1]) :] if any(more) else made


def _each(value: Any, rank: int) -> list[int]:
    return [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)] * rank
