"""The picture of a map, whichever: in memory or in a store, over the image that it brings or is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fullconv.errors import BadInput
from fullconv.rasters.access import Access
from fullconv.rasters.pictures import to_picture
from fullconv.rasters.view import Selection, read_image
from fullconv.render.canvas import Canvas
from fullconv.render.components import FEATURES, components_picture
from fullconv.render.overlay import Look, heat_picture, top1_picture
from fullconv.render.reduced import reduced_picture
from fullconv.render.subject import Subject


class Pictured(Subject, Protocol):
    """A map with its image, as far as that is at hand."""

    @property
    def pixels(self) -> Any: ...

    @property
    def image(self) -> Any: ...

    @property
    def record(self) -> Any: ...


def as_mapped(record: Any) -> Selection | None:
    """The bands that a stored map was made of, and the image of several in its file, so that its picture shows these."""
    asked = None if record is None else record.request.get("select")
    if not isinstance(asked, Mapping):
        return None
    bands, subdataset = asked.get("bands"), asked.get("subdataset")
    whole = isinstance(bands, list | tuple) and all(isinstance(band, int | str) for band in bands)
    access = Access(subdataset=subdataset if isinstance(subdataset, str) else None)
    return Selection(bands=tuple(bands) if whole and bands else None, access=access)


def page_of(result: Pictured, name: str | int | None, image: Any, look: Look, *, components: bool = False) -> Canvas:
    """One class as heat, or without a name the winning class of every cell, of features their principal components. Of one class, its heat in any case.

    Args:
        components: these in any case.
        image: what it is laid over, instead of the map's own.
    """
    components = components or (name is None and result.score_kind == FEATURES)
    if name is None and len(result.labels) == 1 and not components:
        name = 0  # of one value a cell there is no winning class
    if result.record is not None or (result.pixels is None and result.image is not None):
        return reduced_picture(
            result, name, result.image if image is None else image, look, as_mapped(result.record), components
        )  # too much cell by cell
    pixels = result.pixels if image is None else read_image(image)
    picture = None if pixels is None else to_picture(pixels)
    if picture is not None and picture.size != result.grid.image[::-1]:
        height, width = result.grid.image
        raise BadInput(f"the image is {picture.size[0]}×{picture.size[1]}, the map is of {width}×{height}")
    if components:
        return components_picture(result, picture, look)
    if name is None:
        return top1_picture(result, picture, look)
    return heat_picture(result, result.class_index(name), picture, look)
