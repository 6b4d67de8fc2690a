"""Axes that run backwards (``x[..., ::-1]``, as Keras's own ``preprocess_input`` turns colours round): PyTorch's indexing has no steps below 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

_WHOLE, _BACKWARDS = slice(None), slice(None, None, -1)


@contextmanager
def turned_round() -> Iterator[None]:
    """Operations of Keras that index, called within, give axes that run backwards as wholes; all else as PyTorch does."""
    from keras.src.ops.numpy import GetItem

    own = GetItem.call

    @wraps(own)
    def call(self: Any, x: Any, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple | list) else [key]
        axes = [axis for axis, each in _by_axis(keys, x.ndim) if isinstance(each, slice) and each == _BACKWARDS]
        if axes:
            x = x.flip(axes)
            key = tuple(_WHOLE if isinstance(each, slice) and each == _BACKWARDS else each for each in keys)
        return own(self, x, key)

    GetItem.call = call
    try:
        yield
    finally:
        GetItem.call = own


def _by_axis(keys: list[Any], rank: int) -> Iterator[tuple[int, Any]]:
    """Each key with the axis that it is of; keys that are of none add one, or stand for several."""
    wide = rank - sum(key is not None and key is not Ellipsis for key in keys)
    axis = 0
    for key in keys:
        if key is Ellipsis:
            axis += wide
        elif key is not None:
            yield axis, key
            axis += 1
