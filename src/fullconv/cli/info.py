"""``fullconv info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fullconv.cli.help import argument, as_command
from fullconv.cli.options import Input, json_option
from fullconv.cli.terminal import print_json, print_table, say, tell

if TYPE_CHECKING:
    from fullconv.maps.summary import Summary

_SHOWN = 20


@as_command()
@argument("result", type=Input(), metavar="RESULT", about="A map: x.zarr or x.npz.")
@json_option
def command(result: str, as_json: bool) -> None:
    """Tell what a map (x.zarr or x.npz) holds, and whether it is finished.

    \b
    Examples:
      fullconv info slide.zarr
      fullconv info maps/photo.npz --json
    """
    from fullconv.maps.summary import summary_of

    found = summary_of(result)
    if as_json:
        print_json({"result": result, **found.to_json()})
        return
    tell(f"{result}: {_state(found)}")
    (height, width), cells = found.size, found.rows * found.cols
    of = f" of {found.image}" if found.image else ""
    by = f", by {found.model}" if found.model else ""
    say(f"  a map{of}, {width}×{height} px{by}; output {found.output!r}, by {found.by}")
    y, x = found.stride
    say(
        f"  {found.rows} × {found.cols} cells, one every {x:g} × {y:g} px, each for a crop of {found.crop[1]:g} × {found.crop[0]:g} px"
    )
    if found.exactness:
        say(f"  {found.exactness}")
    if found.engine:
        say(f"  computed by {found.engine}, {found.precision}")
    if found.statement is not None:
        say(f"  {found.statement}")
    if found.advice.threshold is not None:
        say(f"  a score counts from {found.advice.threshold:g} on, as the network's card says")
    for what, text in (("licence", found.advice.licence), ("source", found.advice.source)):
        if text:
            say(f"  {what} of the network: {text}")
    for line in _place(found):
        say(f"  {line}")
    if found.left_out:
        say(f"  {found.left_out:,} cells ({found.left_out / cells:.1%}) have no answer")
    if found.area_note:
        say(f"  {found.area_note}")
    for tile, why in found.failed:
        say(f"  tile {tile} was left out: {why}")
    if found.channels:
        say(
            f"  features of {found.channels:,} channels; fullconv export {result} -o pca.png shows their principal components"
        )
    else:
        _print_classes(found)


def _state(found: Summary) -> str:
    from fullconv.system.notebook import counted

    if found.tiles is None:
        return "whole"
    done, of = found.tiles
    return (
        f"finished, {counted(of, 'tile')}"
        if found.finished
        else f"not finished, {done} of {of} tiles; the command that made it goes on"
    )


def _place(found: Summary) -> list[str]:
    place, lines = found.place, []
    unit = {"micrometer": "µm", "meter": "m"}.get(place.unit, place.unit)
    if place.pixel_size is not None:
        lines.append(f"a pixel is {place.pixel_size[1]:g} × {place.pixel_size[0]:g} {unit}")
    if place.transform is not None:
        lines.append(f"it has a place on the earth, in {(place.crs or 'no CRS that is stated').split(',')[0]}")
    return lines


def _print_classes(found: Summary) -> None:
    from fullconv.maps.areas import readable

    answered = max(1, found.rows * found.cols - found.left_out)
    covered = answered * (found.cell_area or 0)
    unit, per = readable(found.place.unit, covered)
    if len(found.classes) == 1 and found.classes[0].highest is not None and found.side is None:  # which wins everywhere
        (one,) = found.classes
        print_table(
            ["class", "cells", "highest"], [[one.label, f"{one.cells:,}", f"{one.highest:.4g}"]], ["cells", "highest"]
        )
        return
    titles = [
        "class",
        "cells" if found.side is None else f"cells ≥ {found.side:g}",
        "share",
        *([f"area ({unit})"] if found.cell_area is not None else []),
        "highest",
    ]
    rows = [
        [
            share.label + (" (background)" if share.background else ""), f"{share.cells:,}", f"{share.cells / answered:.1%}",
            *([f"{share.cells * found.cell_area / per:,.{0 if per == 1 else 3}f}"] if found.cell_area is not None else []),
            "" if share.highest is None else f"{share.highest:.4g}",
        ]
        for share in found.classes[:_SHOWN]
    ]  # fmt: skip
    print_table(titles, rows, titles[1:])
    if len(found.classes) > _SHOWN:
        tell(f"and {len(found.classes) - _SHOWN} classes that win fewer cells; --json lists all")
