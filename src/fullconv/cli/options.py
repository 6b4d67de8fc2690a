"""Options and outputs that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.help import IMAGE, MODEL, OUTPUT, SPEED, argument, option
from fullconv.cli.terminal import note
from fullconv.runtimes.engine import NAMES, PRECISIONS, with_device
from fullconv.system.guard import allow_overwrite, is_folder, reads
from fullconv.system.parse import MOST_THREADS, compiling, limited_threads, whole_number

if TYPE_CHECKING:
    from fullconv.model import Model


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


class Network(Input):
    """A network's file; or a folder of such, of which the files that are read are known once they were, so that a card may be put beside them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return (
            click.Path.convert(self, value, param, ctx)
            if is_folder(Path(value))
            else super().convert(value, param, ctx)
        )


def _allow(context: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        allow_overwrite()


def _compile(context: click.Context, parameter: click.Parameter, given: bool | None) -> None:
    if given is not None:
        context.with_resource(compiling(given))


def _limit(context: click.Context, parameter: click.Parameter, given: int | None) -> None:
    if given is not None:
        context.with_resource(limited_threads(given))


overwrite_option = option(
    "--overwrite",
    group=OUTPUT,
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
        weights_prefix: str | None,
        rename: tuple[str, ...],
        card: str | None,
        **rest: Any,
    ) -> Any:
        how = {
            "weights": weights, "input_shape": input_shape, "stages": stages, "ignore_unused_weights": ignore_unused_weights,
            "global_pooling": global_pooling, "check": check, "isolate": isolate, "weights_prefix": weights_prefix, "rename": rename, "card": card,
        }  # fmt: skip
        opened = partial(_open, model, how)
        opened.asked = {"source": model, **how}  # type: ignore[attr-defined]
        return command(model=opened, **rest)

    wrapped: Callable[..., Any] = with_model
    for each in (
        option(
            "--isolate", group=MODEL, is_flag=True,
            help="First load, cast and run an ONNX or TorchScript file in a process of its own, of bounded memory and time: for files of strangers, which "
            "may end the process that runs them. About a second more.",
        ),
        option(
            "--no-check", "check", group=MODEL, is_flag=True, flag_value=False, default=True,
            help="Do not run what was cast at several sizes and compare it with MODEL before it is used.",
        ),
        option(
            "--ignore-unused-weights", group=MODEL, is_flag=True, help="Go on where the weights have layers that MODEL has not.",
        ),
        option(
            "--rename", group=MODEL, multiple=True, metavar="OLD=NEW",
            help="Part of the weights' names that is NEW in MODEL, where names differ (PyTorch): classifier=fc. May be repeated.",
        ),
        option(
            "--weights-prefix", group=MODEL, metavar="NAME",
            help="Which of the weights in the file, where it holds them more than once (PyTorch): model_ema, student.",
        ),
        option(
            "--card", group=MODEL, type=Input(), metavar="FILE",
            help="A model card (.toml) of MODEL: preprocessing, labels, pixel size and more; options given here win. A card can be MODEL itself.",
        ),
        option("--stage", "stages", group=MODEL, multiple=True, metavar="NAME", help="Stage whose layers take part (Caffe); may be repeated."),
        option(
            "--global-pooling", group=MODEL, type=click.Choice(["local", "global"]), default="local", show_default=True,
            help="Statistics of the whole map that act on the map (squeeze and excite): over the training-size window around each cell, or "
            "over the whole input.",
        ),
        option(
            "--input-shape", group=MODEL, type=Dimensions(",", 3, "C,H,W"), help="Training size, where the file does not say it.",
        ),
        option(
            "--weights", "-w", group=MODEL, type=Input(), metavar="FILE", brief="Weights that lie apart from MODEL.",
            help="Weights that lie apart: .caffemodel, .caffemodel.h5, .safetensors, .pth, .pt, .ckpt, .bin.",
        ),
        argument(
            "model", type=Network(), metavar="MODEL",
            about="The classifier: a model card (.toml), .prototxt, .onnx, .pt2, TorchScript (.pt, .pth), .keras, .h5, a folder with config.json, module:function, or "
            "timm:NAME and torchvision:NAME, or a zoo's name (docs/cards.md).",
        ),
    ):  # fmt: skip
        wrapped = each(wrapped)
    return wrapped


head_option = option(
    "--head",
    "output",
    group=MODEL,
    metavar="NAME",
    help="Which of the network's outputs, where it has several; the last by default. Or a layer as fullconv inspect lists them (pool5, layer4, features.7): its "
    "features are mapped, at its own stride.",
)
labels_option = option(
    "--labels", group=MODEL, type=Input(), metavar="FILE", brief="Names of the classes, one a line.",
    help="Names of the classes: text of one a line in the network's order, JSON or a table (.csv, .tsv) of numbers and names either way round, or imagenet1k, "
    "imagenet12k, imagenet21k, imagenet22k (timm's lists).",
)  # fmt: skip
colours_option = option(
    "--colours", "--colors", "colours", group=OUTPUT, type=Input(), metavar="FILE",
    help="Colours of classes in pictures, exports and viewers: JSON of names to #rrggbb, QuPath's classes.json, a table (.csv) of names and colours, QGIS's .qml "
    "or .clr. Classes that it does not name keep their own.",
)  # fmt: skip
activation_option = option(
    "--activation", group=MODEL, type=click.Choice(["auto", "softmax", "sigmoid", "none"]), default="auto", show_default=True,
    metavar="NAME", brief="softmax or sigmoid, for a network that ends in logits.",
    help="Behind the output: softmax makes probabilities of logits where a crop is of one class, sigmoid where several may be there; auto "
    "and none add nothing, auto says what scores are.",
)  # fmt: skip


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--runtime, --precision, --device and --threads; the command gets ``runtime`` (with its device) and ``precision``."""

    @wraps(command)
    def with_engine(runtime: str, device: str | None, **rest: Any) -> Any:
        return command(runtime=with_device(runtime, device), **rest)

    wrapped: Callable[..., Any] = with_engine
    for each in (
        option(
            "--precision", group=SPEED, type=click.Choice(list(PRECISIONS)), default="fp32", show_default=True,
            help="tf32 is of NVIDIA's GPUs; fp16 needs PyTorch or TensorRT, bf16 one of these or OpenVINO; how far each moves scores is said.",
        ),
        option(
            "--runtime", group=SPEED, type=click.Choice(list(NAMES)), default="auto", show_default=True, metavar="ENGINE",
            help="Engine that computes: onnxruntime, openvino, tensorrt or torch; auto takes torch on a GPU, where there is one, else onnxruntime or, for a map that "
            "takes long, the faster of it and openvino.",
        ),
        option(
            "--threads", group=SPEED, type=click.IntRange(1, MOST_THREADS), metavar="N", expose_value=False, callback=_limit,
            help="Threads that the engine takes, in each process; FULLCONV_THREADS or all processors by default.",
        ),
        option(
            "--compile/--no-compile", group=SPEED, default=None, expose_value=False, callback=_compile,
            help="Whether a network that PyTorch runs is compiled for the tiles' one size: some tens of seconds before the first; by default on CUDA for maps of a minute or more.",
        ),
        option(
            "--device", group=SPEED, metavar="NAME",
            help="Where the engine computes: cpu, cuda, cuda:1, mps or xpu, by torch several for a store (cuda:0,cuda:1, cuda:all); onnxruntime on cpu and cuda; by default CUDA where PyTorch sees one.",
        ),
    ):  # fmt: skip
        wrapped = each(wrapped)
    return wrapped


PICTURED = ("interpolate", "alpha", "cmap", "dpi")


def picture_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How pictures look; by the names of ``PICTURED``."""
    for each in (
        option(
            "--dpi", group=OUTPUT, type=click.FloatRange(1, 10_000), default=100.0, show_default=True, metavar="N",
            help="Pixels of a picture that are printed an inch.",
        ),
        option(
            "--cmap", group=OUTPUT, type=click.Choice(["viridis", "cividis", "magma", "inferno", "plasma"]), default="viridis",
            show_default=True, metavar="NAME", help="Colours of the heat: viridis, cividis, magma, inferno or plasma.",
        ),
        option(
            "--alpha", group=OUTPUT, type=click.FloatRange(0, 1, min_open=True), metavar="A",
            help="Opacity of the highest score (0.8) or of a class (0.6) in a picture.",
        ),
        option("--interpolate", group=OUTPUT, is_flag=True, help="Smooth the heat between cells in the picture."),
    ):  # fmt: skip
        command = each(command)
    return command


json_option = option("--json", "as_json", group=OUTPUT, is_flag=True, help="Print JSON instead of text.")


def _open(source: str, how: Mapping[str, Any]) -> Model:
    """Load a model and tell what its reader left out or changed."""
    from fullconv.formats.torch.scripts import SUFFIXES as SCRIPTS
    from fullconv.loading import load

    opened = load(source, **how)
    if how["isolate"] and opened.format.name != "onnx" and not str(opened.path).lower().endswith(SCRIPTS):
        note("--isolate is for ONNX and TorchScript files; this network was read in this process alone")
    for text in opened.notes:
        note(text)
    return opened


def maker_options(asked: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The network that made a map, and what the map's image may lead to.

    Args:
        asked: what the network is for.
    """
    options = (
        option("--trust", group=IMAGE, is_flag=True, help="Let a mosaic (VRT) name files outside its folder."),
        option("--allow-remote", group=IMAGE, is_flag=True, help="Let a mosaic (VRT) name files on other machines."),
        option(
            "--model", group=MODEL, type=Input(), metavar="MODEL", brief="The network that made the map, to be asked.",
            help=f"The network that made the map: {asked}",
        ),
        option("--weights", "-w", group=MODEL, type=Input(), metavar="FILE", help="Weights that lie apart from MODEL."),
        option("--input-shape", group=MODEL, metavar="C,H,W", help="Training size, where the file does not say it."),
    )  # fmt: skip

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(options):
            command = each(command)
        return command

    return with_options


def opened_model(model: str, weights: str | None, input_shape: str | None) -> Model:
    """The network of a command that asks one, where it is not the command's first argument."""
    from fullconv.loading import load

    shape = None if input_shape is None else Dimensions(",", 3, "C,H,W").convert(input_shape, None, None)
    return load(model, weights, input_shape=shape)
