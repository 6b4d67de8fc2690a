"""What PyTorch takes on the processor, and by whose rules that is told."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import replace

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

pytest.importorskip("torch")

# In a process of its own, whose peak is of this alone: one shape, then others of nearly the same size in turn.
_SHAPES = """
import numpy as np, torch
from torch import nn
from fullconv.loading import load
from fullconv.system.memory import peak_bytes, resident_bytes

layers, c = [nn.Conv2d(3, 16, 3, 2), nn.ReLU6()], 16
for i in range(4):
    layers += [nn.Conv2d(c, 6 * c, 1), nn.ReLU6(), nn.Conv2d(6 * c, 6 * c, 3, 1 + i % 2, 1, groups=6 * c), nn.ReLU6(), nn.Conv2d(6 * c, c + 8, 1)]
    c += 8
module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 5)).eval()
model = load(module, input_shape=(3, 64, 64), check=False).cast()

def run(height, width):
    model.run(np.ones((1, 3, height, width), np.float32), runtime="torch:cpu")

run(64, 64)
before = resident_bytes()
run(500, 500)
one = peak_bytes() - before
for shape in [(484, 500), (500, 484), (484, 484), (500, 500), (468, 490), (490, 468)]:
    run(*shape)
print(one, peak_bytes() - before)
"""


def test_memory_follows_the_largest_shape_however_many_there_are() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _SHAPES], capture_output=True, text=True, check=True)
    one, every = map(int, done.stdout.split())
    assert every < 1.25 * one


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
