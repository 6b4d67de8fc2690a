"""The promise that a sample makes of a map, simulated on trained padded networks all of whose crops were run: it may fail once in twenty times."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import fullconv
from fullconv.confirmation.asked import Confirm
from fullconv.confirmation.bound import most_wrong
from fullconv.confirmation.surety import Surety
from fullconv.confirmation.threshold import threshold
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.model import Model
from fullconv.stream.sample import Admitted, Draw, Spread

DATA = Path(fullconv.__file__).parent / "data"
TIMES = 200
FAILED = stats.binom.ppf(
    0.999, TIMES, 0.05
)  # as often as one simulation of a thousand has it, where one of twenty is the truth


def answers(model: Model, image: np.ndarray, preprocess: str) -> tuple[ClassMap, np.ndarray, np.ndarray]:
    mapped = fullconv.map(model, image, preprocess=preprocess)
    crops = fullconv.map(model, image, preprocess=preprocess, by="crops", batch=64)
    of = len(mapped.labels)
    return mapped, mapped.scores.reshape(of, -1), crops.scores.reshape(of, -1)


@pytest.fixture(scope="module")
def digits() -> tuple[ClassMap, np.ndarray, np.ndarray]:
    page = np.asarray(Image.open(DATA / "page.png").convert("L"))[:340, :420]
    return answers(fullconv.load(DATA / "padded.onnx"), page, "unit")


@pytest.fixture(scope="module")
def photo(shared: Path) -> tuple[ClassMap, np.ndarray, np.ndarray]:
    folder = shared / "caffe" / "cifar10_quick_caffe_v1"
    quick = fullconv.load(folder / "cifar10_quick.prototxt", folder / "cifar10_quick_iter_5000.caffemodel")
    return answers(quick, np.asarray(Image.open(shared / "images" / "caffe" / "cat.jpg"))[100:340, :300], "caffe")


def cells_of(grid: Grid, size: int, seed: int, spread: bool) -> np.ndarray:
    every = Admitted(grid, None)
    drawn = Spread(every, grid, size, seed).cells() if spread else Draw(every, size, seed).next(size)
    assert len(drawn) == size
    return np.array([row * grid.cols + col for row, col in drawn])


@pytest.mark.parametrize("spread", [True, False], ids=["equal parts", "all alike"])
@pytest.mark.parametrize(
    ("name", "confirm", "size"),
    [
        ("digits", Confirm("winners", 0.98), 300),
        ("digits", Confirm("winners", 0.97), 200),
        ("photo", Confirm("detections", 0.8, (0, 2, 6), 0.5), 150),
        ("photo", Confirm("winners", 0.85), 60),
    ],
    ids=str,
)
def test_promises_hold(name: str, confirm: Confirm, size: int, spread: bool, request: pytest.FixtureRequest) -> None:
    found, mapped, crops = request.getfixturevalue(name)
    surety = Surety(confirm, "all", "float32", "log", math.nan if confirm.threshold is None else confirm.threshold)
    sure, counts, wrong = surety.against(mapped, crops)
    if confirm.what == "winners":
        assert wrong.mean() > confirm.wrong, "which the map itself would not keep"
    failed, stand = 0, []
    for seed in range(TIMES):
        drawn = cells_of(found.grid, size, seed, spread)
        some = drawn[counts[drawn]]
        most = most_wrong(len(some), confirm.wrong, 0.95)
        assert most >= 0
        least = threshold(sure[some], wrong[some], most)
        failed += (wrong & (sure > least)).sum() > confirm.wrong * counts.sum()
        stand.append((sure > least).mean())
    assert failed <= FAILED
    assert np.mean(stand) > 0.02, "and some of the map's own answers stand"


@pytest.mark.parametrize("size", [7, 60, 299])
def test_every_cell_has_the_same_chance_in_equal_parts(size: int, digits) -> None:
    grid = digits[0].grid
    seen = np.zeros(grid.rows * grid.cols)
    for seed in range(TIMES):
        np.add.at(seen, cells_of(grid, size, seed, True), 1)
    quarters = seen.reshape(grid.rows, grid.cols)[: grid.rows // 2 * 2, : grid.cols // 2 * 2]
    quarters = quarters.reshape(2, grid.rows // 2, 2, grid.cols // 2).sum(axis=(1, 3))
    np.testing.assert_allclose(quarters, quarters.mean(), rtol=0.1)
    assert seen.sum() == size * TIMES
    expected = size * TIMES / len(seen)
    assert seen.var() == pytest.approx(expected, rel=0.2), "as chance has it"
