"""What every way to map takes: in signatures, in types, and on the command line under the same names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import click
import numpy as np
import pytest

import fullconv
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from fullconv.stream.options import MapOptions, WholeOptions
from fullconv.stream.run import job_of
from tests.stream import runs

WAYS = (
    fullconv.map,
    fullconv.map_raster,
    fullconv.plan_raster,
    fullconv.verify,
    fullconv.agreement,
    fullconv.blame,
    fullconv.adapt,
    fullconv.run,
)
OTHERWISE = {"output": "--head", "stored": "--dtype", "confirm_class": "--class", "confirm_threshold": "--threshold"}


def keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {
        name: each
        for name, each in inspect.signature(function).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }


@pytest.mark.parametrize("function", WAYS, ids=lambda each: each.__name__)
def test_every_option_stands_in_the_signature_with_its_default(function: Callable[..., Any]) -> None:
    spelt = keywords(function)
    for name, option in keywords(job_of).items():
        assert spelt[name].default == option.default, name
    assert not any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in inspect.signature(function).parameters.values()
    )


def test_types_know_the_same_options() -> None:
    hints = get_type_hints(job_of)
    expected = {name: hints[name] for name in keywords(job_of)}
    assert get_type_hints(MapOptions) == expected
    assert set(get_type_hints(WholeOptions)) - set(expected) == {"fuse"}


def test_the_command_line_has_them_under_the_same_names() -> None:
    command = cli.get_command(click.Context(cli), "map")
    assert command is not None
    named = {option for each in command.params for option in each.opts}
    for name in keywords(job_of):
        assert OTHERWISE.get(name, f"--{name.replace('_', '-')}") in named, name


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="strid"):
        fullconv.map_raster(runs.digits(), "x.png", "x.zarr", strid=4)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"stride": 2.0}, "stride 2.0: must be a whole number, at least 1"),
        ({"stride": True}, "stride True: must be a whole number"),
        ({"by": "crops", "batch": 0}, "batch 0: must be a whole number, at least 1"),
        ({"level": -1}, "level -1: must be a whole number, at least 0"),
        ({"missing": "a"}, "missing 'a': must be a number"),
        ({"nodata": "x"}, "nodata 'x': must be a number"),
        ({"runtime": None}, "runtime None: must be a name"),
        ({"output": 0}, "output 0: must be a name"),
        ({"bands": 5}, "bands 5: must be a list"),
        ({"scales": 1}, "scales 1: must be a list of numbers"),
        ({"scales": [1, "a"]}, "scales .* must be a list of numbers"),
    ],
)
def test_values_of_another_kind_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        fullconv.map(runs.digits(), np.zeros((64, 60), np.uint8), **given)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 60), np.uint8)
    given = {"stride": np.int64(2), "missing": np.float32(0.5), "scales": np.array([1.0, 0.5])}
    found = fullconv.map(runs.digits(), image, preprocess="unit", **given)
    wanted = fullconv.map(runs.digits(), image, preprocess="unit", stride=2, missing=0.5, scales=[1, 0.5])
    assert np.array_equal(found.scores, wanted.scores)
    stored = fullconv.map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit", stride=np.int16(2))
    assert stored.scores.shape[1:] == found.scores.shape[1:]
