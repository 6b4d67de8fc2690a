"""Maps and models as Python values: compared, hashed, copied, sent to other processes, asked by NumPy's numbers."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput
from tests.stream import colours

PIXELS = colours.patches(60, 70)
NAMES = ["red", "green", "blue"]


@pytest.fixture
def model(tmp_path: Path) -> fullconv.Model:
    return fullconv.load(colours.network(tmp_path / "net.onnx"))


@pytest.fixture
def found(model: fullconv.Model) -> fullconv.ClassMap:
    return fullconv.map(model, PIXELS, preprocess="unit", labels=NAMES)


def test_a_model_that_has_run_is_copied_and_sent(model: fullconv.Model, found: fullconv.ClassMap) -> None:
    """Its engines cannot be, and are compiled anew."""
    for way in (lambda each: pickle.loads(pickle.dumps(each)), copy.deepcopy, copy.copy):
        again = fullconv.map(way(model), PIXELS, preprocess="unit", labels=NAMES)
        np.testing.assert_array_equal(again.scores, found.scores)


def test_maps_are_equal_by_what_they_hold(model: fullconv.Model, found: fullconv.ClassMap, tmp_path: Path) -> None:
    stored = fullconv.map_raster(model, PIXELS, tmp_path / "x.zarr", preprocess="unit", labels=NAMES)
    other = fullconv.map(model, PIXELS[::-1], preprocess="unit", labels=NAMES)
    named = fullconv.map(model, PIXELS, preprocess="unit")
    assert found == copy.deepcopy(found)
    assert found == stored
    assert stored == found
    assert found not in (other, named, None, 3)
    assert len({found, stored, other}) == 2


def test_a_class_is_named_by_numpys_numbers(found: fullconv.ClassMap) -> None:
    for number in (np.int64(1), np.uint8(1), np.array(1)):
        assert found.peaks(number) == found.peaks("green")  # type: ignore[arg-type]
    for name in (1.0, None, object()):
        with pytest.raises(BadInput, match="a label or a number is meant"):
            found.peaks(name)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="threshold nan: is no number"):
        found.peaks(1, float("nan"))


def test_labels_by_their_numbers(model: fullconv.Model) -> None:
    """A dict's keys were taken for the names."""
    for labels in (
        {2: "blue", 0: "red", 1: "green"},
        {"0": "red", "2": "blue", "1": "green"},
        {"green": 1, "red": 0, "blue": 2},
    ):
        assert fullconv.map(model, PIXELS, labels=labels).labels == tuple(NAMES)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="class 1 is not there"):
        fullconv.map(model, PIXELS, labels={0: "red", 2: "blue", 3: "green"})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="names in the network's order"):
        fullconv.map(model, PIXELS, labels=5)  # type: ignore[arg-type]


def test_an_option_that_there_is_not_names_the_function_and_the_nearest(model: fullconv.Model, tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match=r"map_raster\(\) got an unexpected keyword argument 'label'; did you mean 'labels'"
    ):
        fullconv.map_raster(model, PIXELS, tmp_path / "x.zarr", label=NAMES)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^map\(\) got an unexpected keyword argument 'processor'"):
        fullconv.map(model, PIXELS, processor=3)  # type: ignore[call-arg]
