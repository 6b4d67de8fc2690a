"""``fullconv cast``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fullconv.cli.help import MAP, OUTPUT, as_command, option
from fullconv.cli.options import SIZE, json_option, model_options, overwrite_option
from fullconv.cli.terminal import complain, note, print_json, say, tell

if TYPE_CHECKING:
    from fullconv.model import Model


@as_command()
@model_options
@option(
    "--output", "-o", "out", group=OUTPUT, type=click.Path(), metavar="FILE", brief="The network to write: .prototxt, .onnx, .pt2, ...",
    help="The network to write; its suffix is the format: .prototxt for Caffe, .onnx for any, .pt2 or .safetensors (with a .py that makes "
    "the module) for PyTorch and Keras.",
)  # fmt: skip
@option(
    "--out-weights", group=OUTPUT, type=click.Path(), metavar="FILE",
    help="Weights of a .prototxt (.caffemodel or .h5), beside it by default; of an .onnx, a file for its tensors, within it by default.",
)  # fmt: skip
@option(
    "--input-size", group=MAP, type=SIZE, help="Input size that a written .prototxt states, HxW; MODEL's own by default. Other formats leave it free.",
)  # fmt: skip
@option(
    "--stride", group=MAP, type=click.IntRange(1), metavar="N", brief="Pixels between cells, for a finer map (.onnx).",
    help="Pixels between cells of the written network, by dilation: a divisor of its own. Written as ONNX (.onnx).",
)  # fmt: skip
@overwrite_option
@option(
    "--dry-run",
    group=OUTPUT,
    is_flag=True,
    brief="Print the plan and write nothing.",
    help="Print the plan and write nothing.",
)
@json_option
def command(
    model: Callable[[], Model],
    out: str | None,
    out_weights: str | None,
    input_size: tuple[int, int] | None,
    stride: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the fully convolutional network: same weights, any image size.

    Layers whose weights change shape get the suffix -conv, so that Caffe does not copy old shapes into them.

    \b
    Example:
      fullconv cast deploy.prototxt --weights net.caffemodel \\
        -o net-conv.prototxt --input-size 451x451
    """
    from fullconv.errors import BadInput
    from fullconv.maps.crops import no_crops
    from fullconv.system.guard import require_writable

    if out is None and not dry_run:
        raise BadInput("name the network to write with -o, or use --dry-run")
    for path in (out, out_weights):
        if path is not None and not dry_run:
            require_writable(Path(path))  # before the work
    found = model()
    written: list[Path] = []
    if found.plan.refusals:
        _print(found, None, written, as_json)
        raise SystemExit(1)
    full = made = found.cast() if stride is None else _finer(found, stride, out, input_size)
    if input_size is not None:
        full = _resized(found, full, input_size, out)
    if out is not None and not dry_run:
        written = full.save(out, out_weights)
        if [path.suffix for path in written] in ([".prototxt"], [".pbtxt"], [".txt"]):
            note("no --weights given: only the network is written")
    why = no_crops(found.graph)
    if why is not None and not any("gives no map" in told for told in found.notes):  # as a reader may have said
        note(f"fullconv map cannot run it: {why}")
    _print(found, made, written, as_json)


def _finer(model: Model, stride: int, out: str | None, size: tuple[int, int] | None) -> Model:
    from fullconv.errors import BadInput

    if out is not None and not out.endswith(".onnx"):
        raise BadInput(f"{out}: a finer network is written as .onnx (Caffe's pooling has no dilation); name it so")
    if size is not None:
        raise BadInput("--input-size states the size of a Caffe network; an ONNX file of --stride takes any")
    return model.refined(stride)


def _resized(model: Model, full: Model, size: tuple[int, int], out: str | None) -> Model:
    """The cast network with its input stated at a size, where what is written states one."""
    made = full.resized(*size)
    if made.native is full.native or (out is not None and out.endswith(".onnx")):
        note("--input-size changes nothing: the written network takes any height and width")
        return full
    _note_steps(model, size)
    return made


def _note_steps(model: Model, size: tuple[int, int]) -> None:
    """Tell of a size from which the crop cannot be read back: it is input - (cells - 1) · stride in the written file."""
    sampling = model.sampling()
    fits = [
        int(crop + (length - crop) // step * step)
        for length, crop, step in zip(size, sampling.crop, sampling.stride, strict=True)
    ]
    if list(size) != fits and min(fits) > 0:
        crop = f"{sampling.crop[0]}×{sampling.crop[1]}"
        note(
            f"{size[0]}×{size[1]} is not a crop of {crop} plus whole steps; read again, the network would be taken for "
            f"one of larger crops. {fits[0]}×{fits[1]} has as many cells and keeps the crop"
        )


def _print(model: Model, made: Model | None, written: list[Path], as_json: bool) -> None:
    from fullconv.maps.ways import crops_instead

    plan = model.plan
    finer = made.refinements if made is not None else ()
    seen = made.checked if made is not None and made.checks else None
    if as_json:
        print_json(
            {
                **plan.to_json(),
                "refinements": [str(edit) for edit in finer],
                "checked": None if seen is None else seen.to_json(),
                "written": [str(path) for path in written],
            }
        )
        return
    for edit in (*plan.edits, *finer):
        tell(str(edit))
    for refusal in plan.refusals:
        complain(f"refused: {refusal}")
    if plan.refusals:
        complain(f"not cast, nothing written; {crops_instead(model)}")
        return
    if plan.is_empty:
        tell("nothing to change: the network is fully convolutional already")
    say(plan.exactness)
    if seen is not None:
        say(str(seen))
    elif made is not None and not made.checks and not plan.is_empty:
        say("not checked: put off by --no-check")
    for path in written:
        tell(f"wrote {path}")
