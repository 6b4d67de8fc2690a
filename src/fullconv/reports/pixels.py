"""Parts of an image as pictures: read by windows, at the level that is as fine as the picture, so that a crop of a slide costs a crop."""

from __future__ import annotations

import io
from contextlib import suppress
from math import ceil, floor
from typing import Any

from PIL import Image

from fullconv.errors import BadInput, FullconvError
from fullconv.maps.classmap import ClassMap
from fullconv.rasters.access import Access
from fullconv.rasters.bandnames import places_of
from fullconv.rasters.source import About
from fullconv.render.pictured import as_mapped
from fullconv.reports.pictures import flat
from fullconv.viewer.picture import SIDE, Look, Picture

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the finest level
_MOST = 16_000_000  # pixels that a picture is made of


class Pixels:
    """The image of a map."""

    def __init__(self, found: ClassMap, image: Any, access: Access) -> None:
        """Open it.

        Raises:
            BadInput: it cannot be opened, or is of another size than the map's.
        """
        self._picture = Picture(image, access)
        try:
            self._look = self._as_mapped(found)
        except BadInput:
            self.close()
            raise

    def _as_mapped(self, found: ClassMap) -> Look:
        """The bands that a map was made of, where they can be seen, else the first ones."""
        about, own, plain = self._picture.about, found.grid.image, self._picture.plain
        if about.size != own:
            raise BadInput(
                f"{about.name}: has {about.size[1]}×{about.size[0]} px, and the map is of an image of {own[1]}×{own[0]} px"
            )
        select, bands = as_mapped(found.record), plain.bands
        if select is not None and select.bands is not None:
            bands = places_of(select.bands, about.names, about.name)
        fits = len(bands) in (1, 3) and min(bands) >= 1 and max(bands) <= about.bands
        return Look(bands, plain.cut) if fits else plain

    @property
    def about(self) -> About:
        return self._picture.about

    def whole(self, longest: int) -> Image.Image | None:
        """All of it, about so many pixels a side; None where that is too much to read, or does not decode."""
        height, width = self._picture.about.size
        found = self.part((0, 0, width, height), longest)
        return None if found is None else flat(found)

    def part(self, box: Box, longest: int) -> Image.Image | None:
        """What lies in a box, at most so many pixels a side; transparent outside the image. None where it does not decode, or is too much to read."""
        x0, y0, x1, y1 = floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3])
        z = 0
        while max(x1 - x0, y1 - y0) / 2**z > longest and z < self._picture.levels - 1:
            z += 1
        if (x1 - x0) * (y1 - y0) / 4**z > _MOST:
            return None
        with suppress(FullconvError, IndexError):
            if z == 0 and max(x1 - x0, y1 - y0) <= longest:
                return _opened(self._picture.crop((x0, y0, x1, y1), self._look))
            made = self._joined(z, (x0 >> z, y0 >> z, -(-x1 >> z), -(-y1 >> z)))
            made.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return made
        return None

    def _joined(self, z: int, box: tuple[int, int, int, int]) -> Image.Image:
        """A box of a level, of its tiles."""
        x0, y0, x1, y1 = box
        height, width = self._picture.size(z)
        made = Image.new("RGBA", (x1 - x0, y1 - y0), (0, 0, 0, 0))
        for row in range(max(0, y0) // SIDE, -(-min(y1, height) // SIDE)):
            for col in range(max(0, x0) // SIDE, -(-min(x1, width) // SIDE)):
                tile = _opened(self._picture.tile(z, row, col, self._look)[0])
                made.paste(tile, (col * SIDE - x0, row * SIDE - y0))
        return made if made.getchannel("A").histogram()[255] < made.width * made.height else made.convert("RGB")

    def close(self) -> None:
        self._picture.close()


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGBA" if picture.mode in ("RGBA", "LA") else "RGB")
