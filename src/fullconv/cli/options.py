"""Options and outputs that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fullconv.cli.terminal import note
from fullconv.system.guard import allow_overwrite, reads
from fullconv.system.parse import whole_number

if TYPE_CHECKING:
    from fullconv.model import Model

F = TypeVar("F", bound=Callable[..., Any])


class Dimensions(click.ParamType[tuple[int, ...]]):
    """Numbers with a separator: ``3,227,227`` or ``451x451``."""

    def __init__(self, separator: str, count: int, names: str) -> None:
        self.name = names
        self.separator = separator
        self.count = count

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers = [whole_number(part.strip()) for part in re.split(f"[{self.separator}]", str(value))]
        found = tuple(number for number in numbers if number)
        if not len(found) == len(numbers) == self.count:
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return found


class Real(click.ParamType[float]):
    """A number that is one: neither NaN nor infinite."""

    name = "number"

    def __init__(self, least: float = -math.inf) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        if number <= self.least:
            self.fail(f"{value!r} is not above {self.least:g}", param, ctx)
        return number


SIZE = Dimensions("xX×", 2, "HxW")


class Input(click.Path):
    """A path that a command reads, and never writes over or into."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        reads(value)
        return super().convert(value, param, ctx)


def _allow(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        allow_overwrite()


overwrite_option = click.option(
    "--overwrite",
    is_flag=True,
    expose_value=False,
    callback=_allow,
    help="Replace what exists and fullconv did not write; what is read is never written over.",
)


def model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """MODEL and how to read it; the command gets ``model``, a function that opens it."""

    @wraps(command)
    def with_model(
        model: str,
        weights: str | None,
        input_shape: tuple[int, ...] | None,
        stages: tuple[str, ...],
        ignore_unused_weights: bool,
        global_pooling: str,
        check: bool,
        isolate: bool,
        **rest: Any,
    ) -> Any:
        how = {
            "weights": weights, "input_shape": input_shape, "stages": stages, "ignore_unused_weights": ignore_unused_weights,
            "global_pooling": global_pooling, "check": check, "isolate": isolate,
        }  # fmt: skip
        return command(model=lambda: _open(model, how), **rest)

    found: Callable[..., Any] = with_model
    for option in (
        click.option(
            "--global-pooling",
            type=click.Choice(["local", "global"]),
            default="local",
            show_default=True,
            help="Statistics of the whole map that act on the map (squeeze and excite): over the training-size window around each cell, or "
            "over the whole input.",
        ),
        click.option(
            "--isolate",
            is_flag=True,
            help="First load, cast and run an ONNX file in a process of its own, of bounded memory and time: for files of strangers, which "
            "may end the process that runs them. About a second more.",
        ),
        click.option(
            "--no-check",
            "check",
            is_flag=True,
            flag_value=False,
            default=True,
            help="Do not run what was cast at several sizes and compare it with MODEL before it is used.",
        ),
        click.option(
            "--ignore-unused-weights", is_flag=True, help="Go on where the weights have layers that MODEL has not."
        ),
        click.option("--stage", "stages", multiple=True, help="Stage whose layers take part (Caffe); may be repeated."),
        click.option(
            "--input-shape", type=Dimensions(",", 3, "C,H,W"), help="Training size, where the file does not say it."
        ),
        click.option(
            "--weights",
            "-w",
            type=Input(),
            help="Weights that lie apart: .caffemodel, .caffemodel.h5, .safetensors, .pth.",
        ),
        click.argument("model", type=Input()),
    ):
        found = option(found)
    return found


def engine_options(command: F) -> F:
    """--runtime and --precision."""
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["fp32", "bf16"]),
            default="fp32",
            show_default=True,
            help="bf16 needs OpenVINO and a processor that has it.",
        ),
        click.option(
            "--runtime",
            type=click.Choice(["auto", "onnxruntime", "openvino", "torch"]),
            default="auto",
            show_default=True,
            help="Engine that computes.",
        ),
    ):
        command = option(command)
    return command


PICTURED = ("interpolate", "alpha", "cmap", "dpi")


def picture_options(command: F) -> F:
    """How pictures look; by the names of ``PICTURED``."""
    for option in (
        click.option(
            "--dpi",
            type=click.FloatRange(1, 10_000),
            default=100.0,
            show_default=True,
            help="Pixels of a picture that are printed an inch.",
        ),
        click.option(
            "--cmap",
            type=click.Choice(["viridis", "cividis", "magma", "inferno", "plasma"]),
            default="viridis",
            show_default=True,
            help="Colours of the heat.",
        ),
        click.option(
            "--alpha",
            type=click.FloatRange(0, 1, min_open=True),
            help="Opacity of the highest score (0.8) or of a class (0.6) in a picture.",
        ),
        click.option("--interpolate", is_flag=True, help="Smooth the heat between cells in the picture."),
    ):
        command = option(command)
    return command


activation_option = click.option(
    "--activation",
    type=click.Choice(["auto", "softmax", "sigmoid", "none"]),
    default="auto",
    show_default=True,
    help="Behind the output: softmax makes probabilities of logits where a crop is of one class, sigmoid where several may be there; auto "
    "and none add nothing, auto says what scores are.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def _open(source: str, how: Mapping[str, Any]) -> Model:
    """Load a model and tell what its reader left out or changed."""
    from fullconv.loading import load

    opened = load(source, **how)
    if how["isolate"] and opened.format.name != "onnx":
        note("--isolate is for ONNX files; this network was read in this process alone")
    for text in opened.notes:
        note(text)
    return opened
