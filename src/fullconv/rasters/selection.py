"""How an image is read: at which resolution, in which bands, and what stands for no data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.rasters.access import NONE, Access


@dataclass(frozen=True, slots=True)
class Trained:
    """The pixel size that a network was trained at, in micrometres of a slide or metres of a scene.

    Attributes:
        size: of a pixel.
        tolerance: share by which an image's may differ.
        origin: who says so, for messages.
    """

    size: float
    tolerance: float
    origin: str


@dataclass(frozen=True, slots=True)
class Selection:
    """How an image is read.

    Attributes:
        level: of its pyramid, 0 the finest.
        mpp: pixel size at which the network reads: micrometres a pixel of a slide, metres a pixel of a georeferenced scene.
        bands: which, in the network's order: by number, from 1 on, or by name.
        nodata: the value that stands for no data; the image's own where it states one.
        access: what the image may lead to beside itself, and which one of a file is meant.
        bands_by: who says which bands, where it is not who asks, for messages.
        trained: the pixel size to read at where neither level nor mpp is given.
    """

    level: int | None = None
    mpp: float | None = None
    bands: tuple[int | str, ...] | None = None
    nodata: float | None = None
    access: Access = NONE
    trained: Trained | None = None
    bands_by: str | None = None

    def __post_init__(self) -> None:
        if self.level is not None and self.mpp is not None:
            raise BadInput("level and mpp: give one of them, either says at which resolution the network reads")
        if self.mpp is not None and not (np.isfinite(self.mpp) and self.mpp > 0):
            raise BadInput(f"mpp {self.mpp}: must be a number above 0")

    def to_json(self) -> dict[str, Any]:
        bands = None if self.bands is None else list(self.bands)
        own: dict[str, Any] = {} if self.access.subdataset is None else {"subdataset": self.access.subdataset}
        asked = self.level is not None or self.mpp is not None
        if self.trained is not None and not asked:
            own = {**own, "trained": [self.trained.size, self.trained.tolerance]}
        return {"level": self.level, "mpp": self.mpp, "bands": bands, "nodata": self.nodata, **own}


def parse_bands(given: str | Sequence[int | str] | None) -> tuple[int | str, ...] | None:
    """Bands from ``4,3,2`` or ``red,green,nir``."""
    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)
    bands = tuple(int(part) if isinstance(part, str) and re.fullmatch(r"[+-]?[0-9]+", part) else part for part in parts)
    if not bands or not all(isinstance(band, int) or (isinstance(band, str) and band) for band in bands):
        raise BadInput(
            f"bands {given!r}: numbers from 1 on with commas between, 4,3,2 say, or names that the image gives them: red,green,nir"
        )
    return bands
