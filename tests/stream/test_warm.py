"""How long a map takes is told from runs that an engine is busy with: on a GPU not from a crop alone, whose kernels take longer to start than to compute."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.stream import warm
from tests.stream.device.test_road import colours, noise
from tests.stream.device.tiles import scene

torch = pytest.importorskip("torch")
_STARTS = 0.02  # seconds of a run's kernels, whatever they compute


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What a network ran on that takes as long whatever it is."""
    found: list[tuple[int, ...]] = []
    run = Model.run

    def slow(self: Model, inputs: Any, **how: Any) -> Any:
        found.append(inputs.shape)
        time.sleep(_STARTS)
        return run(self, inputs, **how)

    monkeypatch.setattr(Model, "run", slow)
    return found


@pytest.mark.parametrize(("more", "tried"), [({}, (1, 3, 2048, 2048)), ({"by": "crops", "stride": 8}, (32, 3, 16, 16))])
def test_a_gpu_is_timed_while_it_is_busy(
    more: dict[str, Any], tried: tuple[int, ...], shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def expected() -> float:
        with scene(colours(), noise(200, 210), **more) as seen:
            return seen.plan.seconds

    of_one = expected()
    assert set(shapes) == {(1, 3, 16, 16)}
    monkeypatch.setattr(warm, "kind_of", lambda job: "cuda")
    shapes.clear()
    assert expected() < of_one / 8
    assert shapes == [(1, 3, 16, 16)] * 2 + [tried] * 2


def test_a_gpu_without_the_memory_is_timed_on_a_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Model.run

    def short(self: Model, inputs: Any, **how: Any) -> Any:
        if np.size(inputs) > 3 * 16 * 16:
            raise BadInput("cuda has not the memory")
        time.sleep(_STARTS)
        return run(self, inputs, **how)

    monkeypatch.setattr(Model, "run", short)
    monkeypatch.setattr(warm, "kind_of", lambda job: "cuda")
    with scene(colours(), noise(160, 160)) as seen:
        assert seen.plan.seconds > 100 * _STARTS / 2
