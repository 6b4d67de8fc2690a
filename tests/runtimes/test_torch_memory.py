"""What PyTorch takes on the processor, and by whose rules that is told."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.maps.cost import engine_bytes
from fullconv.maps.ways import way_over
from fullconv.rasters.view import View
from fullconv.stream.plan import beside_bytes
from fullconv.stream.run import job_of
from fullconv.stream.sides import Crops
from tests import helpers as h
from tests.rasters.pictures import scene

sessions = pytest.importorskip("fullconv.runtimes.torch.session")


def test_memory_of_one_shape_is_given_back_before_another_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is free lies in pieces of the last shape's sizes, which do not hold the next one's: MobileNetV2 by shifts took a third more."""
    model = h.model(h.LENET).cast()
    given: list[int] = []
    ran: list[int] = []
    monkeypatch.setattr(sessions, "fallback", SimpleNamespace(trim=lambda: given.append(ran[-1])))
    for side in (60, 60, 44, 44, 60):
        ran.append(side)
        model.run(np.zeros((1, 1, side, side), np.float32), runtime="torch:cpu")
    assert given == [44, 60]


def test_what_auto_takes_is_what_is_planned() -> None:
    way = way_over(h.model(h.LENET))
    shape = (1, 1, 200, 180)
    assert engine_bytes(way, "auto", "fp16")(shape) == engine_bytes(way, "torch", "fp16")(shape)
    assert engine_bytes(way, "auto")(shape) == engine_bytes(way, "onnxruntime")(shape)
    assert engine_bytes(way, "auto", "fp16")(shape) > engine_bytes(way, "torch:cuda", "fp16")(
        shape
    )  # whose own memory it is


def test_crops_are_asked_of_an_engine_that_has_weights_of_its_own() -> None:
    model, image = h.model(h.LENET), scene(80, 80, 1)
    job = job_of(model, image, "x", preprocess="unit")
    way = job.way(model)
    with closing(View(image)) as view:
        crops = Crops.of(model, way, view, job, way.sampling.over(view.size))
        run = engine_bytes(replace(way, model=crops.model, output=crops.output, by="crops"), "auto")
        least = run((1, *crops.model.image_shape)) + beside_bytes(crops.model)
        assert crops.within(least, way).batch == 1
        with pytest.raises(BadInput, match="too small by"):
            crops.within(least - 1, way)
