"""Maps as layers of napari: what its reader of ours gives (``napari.yaml``), and what the script of ``fullconv export --to napari`` adds to a viewer.

Layers are plain values, tuples of (data, what is said of it, kind), so that nothing of napari is imported. Data are levels, the finest first, which read what they are
indexed by. Pixel i of a layer lies at translate + i * scale: in micrometres or metres where the image says how large a pixel is, else in its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
import numpy.typing as npt

from fullconv.errors import FullconvError
from fullconv.maps.classmap import ClassMap
from fullconv.maps.labels import Named, classes_named
from fullconv.maps.summary import image_name
from fullconv.rasters.access import Access
from fullconv.rasters.view import Selection, View
from fullconv.results.encoding import decoded
from fullconv.results.lazy import Sized
from fullconv.system.guard import is_folder
from fullconv.system.libraries import library
from fullconv.viewer.catalogue import last_part
from fullconv.viewer.exhibit import Exhibit

Array = npt.NDArray[Any]
Span = tuple[int, int]
Layer = tuple[list["Lazy"], dict[str, Any], str]
_NAMED = 64  # classes that are layers of their own where none is named
_OPACITY = 0.6


class Lazy(Sized):
    """An array whose first two axes are read when it is indexed."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, read: Callable[[Span, Span], Array]) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)
        self._read = read

    def __getitem__(self, key: Any) -> Array:
        """What NumPy gives for this key; of slices and numbers the block around them is read, for all others everything."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in [each for each in parts if each is Ellipsis]:
            at = next(i for i, each in enumerate(parts) if each is Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        if len(parts) > self.ndim or not all(isinstance(each, slice | int | np.integer) for each in parts):
            return np.asarray(np.asarray(self)[key])
        spans, within = zip(*(_block(each, end) for each, end in zip(parts[:2], self.shape, strict=False)), strict=True)
        if any(first >= last for first, last in spans):
            shape = *(max(0, last - first) for first, last in spans), *self.shape[2:]
            return np.asarray(np.empty(shape, self.dtype)[(*within, *parts[2:])])
        return np.asarray(self._read(*spans)[(*within, *parts[2:])])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("what is read is always a copy")
        whole = self._read((0, self.shape[0]), (0, self.shape[1]))
        return whole if dtype is None else whole.astype(dtype, copy=False)


def _block(part: Any, length: int) -> tuple[Span, Any]:
    """From where to where an axis is read, and what of that is meant."""
    if isinstance(part, slice):
        chosen = range(*part.indices(length))
        if not len(chosen):
            return (0, 0), slice(0, 0)
        first, last = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return (first, last + 1), slice(None, None, part.step)
    at = int(part)
    if not -length <= at < length:
        raise IndexError(f"index {at} of an axis of {length}")
    return (at % length, at % length + 1), 0


def layers(
    result: ClassMap | str | Path,
    image: str | Path | None = None,
    classes: Named | None = None,
    access: Access | None = None,
) -> list[Layer]:
    """The layers of a map, the lowest first.

    Args:
        image: the image that was mapped, which is then the lowest layer, in its own levels.
        classes: that are layers of their own, one or several with commas between; by default all, of more than 64 none.
        access: what the image may lead to.

    Raises:
        BadInput: the result or the image is none, or it has no such class.
    """
    exhibit = Exhibit(str(result)) if not isinstance(result, ClassMap) else Exhibit("map in memory", result)
    found = exhibit.found
    made = [] if image is None else [_image(str(image), found, access or Access())]
    every = range(len(found.labels)) if classes is None else classes_named(found.labels, classes)
    if exhibit.winners_only or (classes is None and len(found.labels) > _NAMED):
        every = ()
    has_winners = found.has_winners or exhibit.winners_only
    made += [_scores(exhibit, index, not has_winners and index == every[0]) for index in every]
    return [*made, _winners(exhibit)] if has_winners else made


def _place(exhibit: Exhibit) -> dict[str, Any]:
    """Where the first cell's centre lies, and how far cells are apart; the arrays' first, which may lie before the map's."""
    found = exhibit.found
    grid = found.grid if found.record is None else found.record.stored_grid
    pixel, unit = _pixel(found)
    return {
        "scale": [float(step) * size for step, size in zip(grid.stride, pixel, strict=True)],
        "translate": [float(centre) * size for centre, size in zip(grid.centre0, pixel, strict=True)],
        "units": [unit, unit],
    }


def _pixel(found: ClassMap) -> tuple[tuple[float, float], str]:
    size, unit = found.place.pixel_size, found.place.unit
    return (size, unit) if size is not None and unit else ((1.0, 1.0), "pixel")


def _scores(exhibit: Exhibit, index: int, visible: bool) -> Layer:
    found = exhibit.found
    red, green, blue = (value / 255 for value in found.colour(index))
    low, high = exhibit.range()

    def reader(level: int) -> Callable[[Span, Span], Array]:
        return lambda rows, cols: np.asarray(
            decoded(exhibit.part(level, rows, cols, (index, index + 1)))[0], np.float32
        )

    about = {
        "name": found.labels[index], **_place(exhibit), "visible": visible, "opacity": 1.0, "blending": "translucent", "interpolation2d": "nearest",
        "contrast_limits": [low, high] if low < high else [low, low + 1],
        "colormap": {"name": f"fullconv {index}", "colors": [[red, green, blue, 0.0], [red, green, blue, 1.0]]},
        "metadata": _about(found), "multiscale": True,
    }  # fmt: skip
    return [Lazy(size, np.float32, reader(level)) for level, size in enumerate(exhibit.levels)], about, "image"


def _winners(exhibit: Exhibit) -> Layer:
    """Class i as label i + 1, since 0 is what napari shows nothing of: cells without an answer."""
    found = exhibit.found

    def reader(level: int) -> Callable[[Span, Span], Array]:
        return lambda rows, cols: np.asarray(exhibit.won(level, rows, cols)[0] + 1, np.int32)

    colours: dict[int | None, list[float]] = {None: [0.0, 0.0, 0.0, 0.0], 0: [0.0, 0.0, 0.0, 0.0]}
    for index in range(len(found.labels)):
        shown = index not in found.advice.background
        colours[index + 1] = [*(value / 255 for value in found.colour(index)), 1.0 if shown else 0.0]
    about = {
        "name": "winning class", **_place(exhibit), "opacity": _OPACITY, "colormap": colours,
        "features": {"index": list(range(len(found.labels) + 1)), "class": ["no answer", *found.labels]},
        "metadata": _about(found), "multiscale": True,
    }  # fmt: skip
    return [Lazy(size, np.int32, reader(level)) for level, size in enumerate(exhibit.levels)], about, "labels"


def _about(found: ClassMap) -> dict[str, Any]:
    return {
        "image": image_name(found), "output": found.output, "scores": found.score_kind, "exactness": found.exactness,
        "finished": found.record is None or found.record.finished,
    }  # fmt: skip


def _image(path: str, found: ClassMap, access: Access) -> Layer:
    with closing(View(path, Selection(access=access))) as view:
        about = view.about
    bands = (1, 2, 3) if about.bands >= 3 else (1,)
    views = [View(path, Selection(level=level, bands=bands, access=access)) for level in range(len(about.levels))]
    pixel, unit = _pixel(found)
    rgb = len(bands) == 3 and about.dtype == "uint8"

    def reader(view: View) -> Callable[[Span, Span], Array]:
        return lambda rows, cols: view.read(rows, cols)[0][:, :, slice(None) if rgb else 0].astype(about.dtype)

    shape = (3,) if rgb else ()
    levels = [
        Lazy((level.height, level.width, *shape), about.dtype, reader(view))
        for level, view in zip(about.levels, views, strict=True)
    ]
    for level, view in zip(levels, views, strict=True):
        finalize(level, view.close)  # a layer says to nobody that it is removed
    return levels, {"name": last_part(path), "scale": list(pixel), "units": [unit, unit], "rgb": rgb, "multiscale": True}, "image"  # fmt: skip


def show(result: ClassMap | str | Path, image: str | Path | None = None, classes: Named | None = None) -> None:
    """Open napari with the layers of a map, and go on when it is closed.

    Raises:
        MissingExtra: napari is not installed.
        BadInput: as for ``layers``.
    """
    napari: Any = library("napari", "napari", "'napari[all]'")
    made = layers(result, image, classes)
    viewer = napari.Viewer()
    for data, about, kind in made:
        viewer.add_layer(napari.layers.Layer.create(data, about, kind))
    napari.run()


def reader(path: str | Sequence[str]) -> Callable[[Any], list[Layer]] | None:
    """What napari asks: who reads a path; None where it is no result of fullconv's."""
    if not isinstance(path, str):
        return None
    with suppress(FullconvError, OSError):
        if path.endswith(".npz") or is_folder(Path(path)):
            ClassMap.load(path)
            return lambda given: layers(given)
    return None
