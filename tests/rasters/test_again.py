"""Windows in memory that was used before: never what somebody still holds."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from fullconv.rasters.again import KEPT, Again, Reused, is_own
from fullconv.stream.device.memory import _DEPTH
from fullconv.stream.pipeline import PIXELS

BIG = (700, 600, 3)


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    again = Again()
    first = again.empty(BIG, np.uint8)
    at = first.ctypes.data
    first[:] = 1
    held = first[10:20, :5]  # a part is enough to hold it
    seen = np.broadcast_to(first[:, :, :1], BIG)
    del first
    second = again.empty(BIG, np.uint8)
    assert second.ctypes.data != at
    second[:] = 2
    assert (held == 1).all()
    del held
    third = again.empty(BIG, np.uint8)
    third[:] = 3
    assert (seen == 1).all()
    del seen
    gc.collect()
    assert again.empty((600, 700, 3), np.uint8).ctypes.data == at


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_axes_lie_as_they_are_asked_for(order: tuple[int, ...], kind: str) -> None:
    made = Again().empty(BIG, kind, order)
    assert (made.shape, made.dtype, type(made)) == (BIG, np.dtype(kind), np.ndarray)
    assert sorted(range(3), key=lambda axis: -made.strides[axis]) == list(order)
    assert is_own(made)
    assert not is_own(made[5:])
    made.flags.writeable = False
    assert not is_own(made)


def test_what_is_held_beyond_is_plain() -> None:
    again = Again()
    held = [again.empty(BIG, np.uint8) for _ in range(KEPT + 3)]
    assert len({each.ctypes.data for each in held}) == KEPT + 3
    assert sum(isinstance(each.base, Reused) for each in held) == KEPT
    assert again.empty((3, 3, 3), np.uint8).base is None or not isinstance(
        again.empty((3, 3, 3), np.uint8).base, Reused
    )


def test_as_many_are_kept_as_a_stream_has_at_once() -> None:
    under_way = max(_DEPTH.values())  # their pixels are held until it is known that they need not be run again
    assert PIXELS + under_way <= KEPT
