"""Colours that people with any colour vision can tell apart.

Scales are viridis and its kin (Smith & van der Walt, 2015; Nuñez, Anderton & Renslow, 2018), by anchors and interpolated. A class has one
colour everywhere, by its number: the first seven are Okabe and Ito's, the others were chosen one by one as the farthest from all before, in
CIELAB as seen with and without red or green cones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput

Colours = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]

_ANCHORS = {
    "viridis": "440154 482878 3e4a89 31688e 26828e 1f9e89 35b779 6dcd59 b4de2c fde725",
    "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
    "magma": "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
    "inferno": "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
    "plasma": "0d0887 46039f 7201a8 9c179e bd3786 d8576b ed7953 fb9f3a fdca26 f0f921",
}
SCALES = tuple(_ANCHORS)
_DIVERGING = "053061 2166ac 4393c3 92c5de f0f0f0 f4a582 d6604d b2182b 67001f"

CATEGORIES: tuple[Rgb, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0), (86, 180, 233), (240, 228, 66), (0, 0, 255),
    (90, 45, 15), (0, 45, 165), (0, 255, 150), (105, 0, 90), (60, 135, 255), (105, 240, 255), (255, 0, 90), (15, 255, 210),
    (60, 90, 255), (150, 15, 75), (210, 180, 90), (30, 0, 195), (180, 0, 150), (105, 105, 60), (150, 60, 0), (30, 210, 135),
)  # fmt: skip
_STEPS = (0, -0.35, 0.4, -0.6, 0.65)  # towards black and white, in the rounds behind the first


def class_colour(index: int) -> Rgb:
    """The colour of a class, by its number among the network's classes: the same in pictures, tables of colours and viewers.

    No two of the first 120 are the same; behind them colours come again.
    """
    base = CATEGORIES[index % len(CATEGORIES)]
    step = _STEPS[index // len(CATEGORIES) % len(_STEPS)]
    end = 255 if step > 0 else 0
    red, green, blue = (round(channel + (end - channel) * abs(step)) for channel in base)
    return red, green, blue


def spelt(colours: Mapping[int, Rgb]) -> dict[str, str]:
    """Colours of classes as files hold them: ``#rrggbb`` by number."""
    return {str(index): f"#{bytes(colour).hex()}" for index, colour in colours.items()}


def read_spelt(data: Mapping[str, str]) -> dict[int, Rgb]:
    """What ``spelt`` wrote.

    Raises:
        ValueError: it is something else.
    """
    found = {}
    for index, colour in data.items():
        red, green, blue = bytes.fromhex(colour.removeprefix("#"))
        found[int(index)] = (red, green, blue)
    return found


def scale_colours(values: npt.NDArray[np.floating], name: str = "viridis") -> Colours:
    """Values in 0..1 of any shape to RGB (..., 3) of a scale.

    Raises:
        BadInput: there is no scale of that name.
    """
    if name not in _ANCHORS:
        raise BadInput(f"cmap {name!r}: not one of {', '.join(SCALES)}")
    return _between(_ANCHORS[name], values)


def diverging_colours(values: npt.NDArray[np.floating]) -> Colours:
    """Values in 0..1 to RGB (..., 3) from blue (less) by light grey (0.5) to red (more), ends that no colour vision takes for each other."""
    return _between(_DIVERGING, values)


def _between(spelt_out: str, values: npt.NDArray[np.floating]) -> Colours:
    anchors = np.array([list(bytes.fromhex(part)) for part in spelt_out.split()], np.float64)
    at = np.clip(np.nan_to_num(values), 0, 1) * (len(anchors) - 1)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)]
    out: Colours = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return out
