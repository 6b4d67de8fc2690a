"""Options and outputs that several commands share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fullconv.system.guard import allow_overwrite, reads

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
        parts = re.split(f"[{self.separator}]", str(value))
        if len(parts) != self.count or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is not {self.name}", param, ctx)
        return tuple(int(part) for part in parts)


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
        **rest: Any,
    ) -> Any:
        how = (model, weights, input_shape, stages, ignore_unused_weights, global_pooling)
        return command(model=lambda: _open(*how), **rest)

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


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def _open(*how: Any) -> Model:
    """Load a model and tell what its reader left out or changed."""
    from fullconv.loading import load

    opened = load(*how)
    for text in opened.notes:
        note(text)
    return opened


def note(text: str) -> None:
    """A message for people: to stderr, so that results on stdout stay clean."""
    click.echo(f"note: {text}", err=True)


def say(text: str) -> None:
    """A result on stdout; on a terminal, lines are wrapped between words."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    if console.is_terminal:
        console.print(text, markup=False, highlight=False)
    else:
        click.echo(text)


def print_json(data: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(data, indent=2, allow_nan=False))


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr with rate and time left; shown on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr for work that cannot tell how far it is."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
