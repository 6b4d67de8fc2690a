"""What every way to map takes: in signatures, in types, and on the command line under the same names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import click
import pytest

import fullconv
from fullconv.cli.main import cli
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
