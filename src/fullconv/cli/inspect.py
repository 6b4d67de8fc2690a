"""``fullconv inspect``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fullconv.cli.cards import card_lines
from fullconv.cli.heads import head_json, head_lines
from fullconv.cli.help import IMAGE, OUTPUT, as_command, option
from fullconv.cli.idle import require_of
from fullconv.cli.options import Input, head_option, json_option, model_options, overwrite_option
from fullconv.cli.outputs import PICTURES
from fullconv.cli.terminal import print_json, print_table, say, tell

if TYPE_CHECKING:
    from fullconv.formats.head import FittedHead
    from fullconv.geometry.field import Field
    from fullconv.geometry.grid import Sampling
    from fullconv.graph.nodes import Graph, Node
    from fullconv.model import Model


def _old_head(args: Sequence[str], value: str | None) -> str | None:
    """``--output NAME`` named the network's output while ``--picture`` named the file."""
    return None if value is None or value.endswith(PICTURES) else "--head"


@as_command(old={"--picture": "--output", "--output": _old_head})
@model_options
@option(
    "--output", "-o", "picture", group=OUTPUT, type=click.Path(), metavar="FILE", brief="Draw a cell and what it sees (.png).",
    help="Draw a cell's crop and field and the grid of cells (.png, .svg or .pdf).",
)  # fmt: skip
@option("--over", group=IMAGE, type=Input(), metavar="IMAGE", help="The image that -o draws on; paper by default.")
@head_option
@overwrite_option
@json_option
def command(
    model: Callable[[], Model], picture: str | None, over: str | None, output: str | None, as_json: bool
) -> None:
    """Show every node of a network, whether it can be cast, and how exact its map will be.

    No weights are needed. Field, stride and offset are in pixels of the image (one number where height and
    width agree, else height × width); the offset is where cell (0, 0)'s field starts. Of an ONNX file that fullconv
    wrote, also what its metadata says of its cells.

    \b
    Examples:
      fullconv inspect deploy.prototxt
      fullconv inspect deploy.prototxt -o cell.png --over photo.png
    """
    from fullconv.maps.features import at_layer, told_of_layer

    require_of("--over", "over", used=picture is not None, of="a picture (-o)")
    if picture is not None:
        _require_png(picture)
    found = model()
    layer = at_layer(found, output)
    rows, problem = _rows(found.graph)
    if as_json:
        print_json(_report(found, rows, problem) | ({} if layer is found else {"layer": _layer(layer)}))
    else:
        _print_table(rows)
        say(_verdict(found, problem))
        if layer is not found:
            say(f"layer {output}: {_output_line(layer.output(), layer.sampling())}\n{told_of_layer(layer.plan)}")
        if found.card is not None:
            say("\n".join(card_lines(found.card)))
    if picture is not None:
        _draw(layer, picture, over, output if layer is found else None)
        if not as_json:
            tell(f"wrote {picture}")
    if found.plan.refusals:
        raise SystemExit(1)


def _require_png(path: str) -> None:
    from pathlib import Path

    from fullconv.errors import BadInput
    from fullconv.system.guard import require_writable

    if not path.endswith(PICTURES):
        raise BadInput(f"{path}: the picture is written as .png, .svg or .pdf; name it so")
    require_writable(Path(path))


def _draw(model: Model, path: str, over: str | None, output: str | None) -> None:
    from pathlib import Path

    from fullconv.errors import BadInput
    from fullconv.rasters.pictures import to_picture
    from fullconv.rasters.view import read_image
    from fullconv.render.field import field_picture

    if model.graph.image is None:
        raise BadInput(f"{model.path}: has no image input, so there is no cell to draw")
    sampling = model.sampling(output)
    image = None if over is None else to_picture(read_image(over))
    crop, field = sampling.crop, sampling.field.size
    paper = tuple(int(max(2 * c, f + c)) for c, f in zip(crop, field, strict=True))
    size = (paper[0], paper[1]) if image is None else image.size[::-1]
    grid = sampling.over(size)
    if grid.rows < 1 or grid.cols < 1:
        raise BadInput(f"{over}: the image is {size[1]}×{size[0]}, smaller than one crop of {crop[1]}×{crop[0]}")
    offset = float(sampling.field.offset[0]), float(sampling.field.offset[1])
    drawn = field_picture(grid, offset, image, model.output(output, model.plan.predicted))
    drawn.save(Path(path))


def _rows(graph: Graph) -> tuple[list[dict[str, Any]], str | None]:
    from fullconv.errors import Refused
    from fullconv.geometry.field import receptive_fields

    problem = None
    fields: Any = {}
    try:
        fields = receptive_fields(graph)
    except Refused as error:
        problem = str(error)
    rows = []
    for name in graph.inputs:
        rows.append(_row(name, "input", "", graph.values[name].shape, fields.get(name)))
    for node in graph.nodes:
        rows.append(
            _row(node.name, node.op, _touch(node), graph.values[node.outputs[0]].shape, fields.get(node.outputs[0]))
        )
    return rows, problem


def _touch(node: Node) -> str:
    from fullconv.graph.nodes import Whole, Window

    touch = node.touch
    if isinstance(touch, Window) and touch.like is None:
        y, x = touch.y, touch.x
        text = f"window {y.kernel}×{x.kernel}"
        if (y.dilation, x.dilation) != (1, 1):
            text += f" dilated {y.dilation}" if y.dilation == x.dilation else f" dilated {y.dilation}×{x.dilation}"
        return text
    if isinstance(touch, Whole):
        return f"whole, {touch.how}"
    return type(touch).__name__.lower()


def _row(name: str, op: str, touch: str, shape: tuple[int, ...], field: Field | None) -> dict[str, Any]:
    pairs = (None, None, None) if field is None else (field.size, field.stride, field.offset)
    size, stride, offset = (None if pair is None else [str(pair[0]), str(pair[1])] for pair in pairs)
    return {
        "name": name,
        "operator": op,
        "touch": touch,
        "shape": list(shape),
        "field": size,
        "stride": stride,
        "offset": offset,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    def pair(values: list[str] | None) -> str:
        return "" if values is None else values[0] if values[0] == values[1] else "×".join(values)

    numbers = ("field", "stride", "offset")
    print_table(
        ("name", "operator", "touch", "output", *numbers),
        [
            (
                row["name"],
                row["operator"],
                row["touch"],
                "×".join(map(str, row["shape"])),
                *(pair(row[k]) for k in numbers),
            )
            for row in rows
        ],
        numbers,
    )


def _verdict(model: Model, problem: str | None) -> str:
    from fullconv.maps.crops import no_crops
    from fullconv.maps.ways import crops_instead

    plan = model.plan
    lines = [""]
    if plan.refusals:
        lines.append(f"cannot be cast ({len(plan.refusals)} refused):")
        lines += [f"  {refusal}" for refusal in plan.refusals]
        lines.append(crops_instead(model))
    elif plan.is_empty:
        lines.append("fully convolutional already" + ("" if no_crops(model.graph) else ": map it as it is"))
    else:
        lines.append("can be cast:")
        lines += [f"  {edit}" for edit in plan.edits]
    if not plan.refusals and (why := no_crops(model.graph)) is not None:
        lines.append(f"fullconv map cannot run it: {why}")
    if problem is None and plan.predicted is not None:
        for output in plan.predicted.outputs:
            lines.append(_output_line(output, model.sampling(output)))
        lines.append(plan.exactness)
        lines += [f"branches out of step at {node}: {told}" for node, told in _steps(plan.predicted, model.heads)]
    elif problem is not None:
        lines.append(problem)
    lines += [line for each in model.heads for line in head_lines(each)]
    lines += [f"its metadata (fullconv.outputs): {_output_line(*each)}" for each in model.recorded.items()]
    return "\n".join(lines)


def _steps(graph: Graph, heads: Sequence[FittedHead]) -> list[tuple[str, str]]:
    """Where branches meet whose cells look at different places, in words; a head reads the crop's window from whatever place."""
    from fullconv.geometry.field import out_of_step
    from fullconv.surgery.head import STEM

    return [
        (node.name, " and ".join(f"{value} centred at ({float(x):g}, {float(y):g})" for value, (y, x) in centres))
        for node, centres in out_of_step(graph)
        if not (heads and node.name.startswith(STEM))
    ]


def _output_line(output: str, sampling: Sampling) -> str:
    (height, width), (down, right), field = sampling.crop, sampling.stride, sampling.field
    return (
        f"{output}: one cell every {right} × {down} px, for a crop of {width} × {height} px; it sees {field.size[1]} × "
        f"{field.size[0]} px centred at ({float(field.centre[1]):g}, {float(field.centre[0]):g}) (x × y)"
    )


def _report(model: Model, rows: list[dict[str, Any]], problem: str | None) -> dict[str, Any]:
    plan, card = model.plan, model.card
    outputs = {}
    if plan.predicted is not None and problem is None:
        for output in plan.predicted.outputs:
            outputs[output] = _numbers(model.sampling(output))
    return {
        "model": str(model.path),
        "inputs": {name: list(model.graph.values[name].shape) for name in model.graph.inputs},
        "nodes": rows,
        "castable": not plan.refusals,
        "fully_convolutional": plan.is_empty,
        "outputs": outputs,
        "recorded": {output: _numbers(sampling) for output, sampling in model.recorded.items()},
        "card": None if card is None else card.to_json(),
        "heads": [head_json(each) for each in model.heads],
        "out_of_step": dict(_steps(plan.predicted, model.heads))
        if plan.predicted is not None and problem is None
        else {},
        **plan.to_json(),
    }


def _layer(layer: Model) -> dict[str, Any]:
    """A layer: its value, and how that samples an image."""
    name = layer.output()
    shape = layer.graph.values[name].shape
    return {"value": name, "shape": list(shape), "exact": not layer.plan.inexact, **_numbers(layer.sampling())}


def _numbers(sampling: Sampling) -> dict[str, list[str]]:
    field = sampling.field
    pairs = {
        "stride": sampling.stride, "crop": sampling.crop, "field": field.size, "offset": field.offset, "centre": field.centre,
    }  # fmt: skip
    return {name: [str(side) for side in pair] for name, pair in pairs.items()}
