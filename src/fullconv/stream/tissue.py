"""Tissue by its colour: cells whose centre lies where the image is more saturated than Otsu's threshold says.

The threshold is one for the whole image. A small picture of it is made (at most 2,048 pixels a side, from the coarsest level that has them);
saturation is what the largest channel has more than the smallest, as a share of the largest; Otsu's threshold divides its histogram where the
two sides vary least. A pixel above it is tissue, and so are the eight around it. What holds no data is none.
"""

from __future__ import annotations

import hashlib
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.rasters.source import Array
from fullconv.rasters.view import View
from fullconv.stream.mask import Laid, Mask

_LONGEST = 2048  # pixels a side of the picture
_ROWS = 128  # of it that are looked at at once
_made: WeakKeyDictionary[View, Tissue] = WeakKeyDictionary()


class Tissue:
    """The rule over one image.

    Attributes:
        threshold: of saturation on 0..255.
    """

    def __init__(self, view: View) -> None:
        if view.channels < 3:
            raise BadInput(
                f"{view.about.name}: has {view.channels} bands, and --where tissue goes by colour; use --where auto or a mask"
            )
        picture = view.overview(_LONGEST, np.inf)
        assert picture is not None, "no image is too large to look at once"
        strips = (saturation(picture[top : top + _ROWS]) for top in range(0, len(picture), _ROWS))
        seen = np.concatenate(list(strips))
        self.threshold = otsu(seen)
        mask = _grown(seen > self.threshold)
        self._laid = Laid(mask, view.about.size)
        print_ = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]
        self.fingerprint = f"tissue, saturation above {self.threshold} of 255 ({print_})"

    @staticmethod
    def of(view: View) -> Tissue:
        """The rule of an open image, made once."""
        if view not in _made:
            _made[view] = Tissue(view)
        return _made[view]

    def cells(self, grid: Grid, rows: tuple[int, int], cols: tuple[int, int]) -> Mask:
        return self._laid.cells(grid, rows, cols)


def saturation(pixels: Array) -> npt.NDArray[np.uint8]:
    """(H, W) of 255, of the first three channels of (H, W, C) on 0..255."""
    planes = [pixels[:, :, i].astype(np.float32) for i in range(3)]
    high, low = np.maximum.reduce(planes), np.minimum.reduce(planes)
    share = np.divide(high - low, high, out=np.zeros_like(high), where=high > 0)
    found: npt.NDArray[np.uint8] = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
    return found


def otsu(values: npt.NDArray[np.uint8]) -> int:
    """The threshold, of 255, between whose sides the variance is largest: the lower side has values up to it."""
    count = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = count.cumsum()
    total, summed = below[-1], (count * np.arange(256)).cumsum()
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = summed / below - (summed[-1] - summed) / above
    between = np.where((below > 0) & (above > 0), below * above * apart**2, 0.0)
    return int(between.argmax()) if between.any() else 255


def _grown(mask: Mask) -> Mask:
    """With the eight pixels around each."""
    padded = np.pad(mask, 1)
    across = padded[:, :-2] | padded[:, 1:-1] | padded[:, 2:]
    return np.asarray(across[:-2] | across[1:-1] | across[2:])
