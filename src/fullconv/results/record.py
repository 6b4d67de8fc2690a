"""What a store says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.tiling.tiles import Tiles

FORMAT = "fullconv map store 1"


@dataclass(frozen=True)
class Record:
    """What a store says of itself.

    Attributes:
        request: what was asked for: model, image and options by name; a run goes on only with the same.
        labels: of the classes kept.
        keep: ``all``, ``top1`` or ``some`` of the network's classes.
        stored: type of the scores.
        grid: the cells, in pixels of the image's finest level.
        tiles: how the map is cut.
        output, by, exactness: as for a ClassMap.
        pixel_size, unit, transform, crs: of the image, see ``rasters.source.About``.
        version: of fullconv.
        failed: tiles that did not decode and were left out, with the reason.
        left_out: cells that ``where`` or missing data left without an answer.
        finished: whether every tile is done.
    """

    request: Mapping[str, Any]
    labels: tuple[str, ...]
    keep: str
    stored: str
    grid: Grid
    tiles: Tiles
    output: str
    by: str
    exactness: str
    version: str
    pixel_size: tuple[float, float] | None = None
    unit: str = ""
    transform: tuple[float, ...] | None = None
    crs: str | None = None
    failed: tuple[tuple[str, str], ...] = ()
    left_out: int = 0
    finished: bool = False

    @property
    def classes(self) -> int:
        """Planes of scores."""
        return 1 if self.keep == "top1" else len(self.labels)

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"format": FORMAT, **data, "grid": self.grid.to_json(), "tiles": self.tiles.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any], name: str) -> Record:
        if data.get("format") != FORMAT:
            raise BadInput(f"{name}: is {data.get('format')!r}, not {FORMAT!r}; another version of fullconv wrote it")
        try:
            values = {key: data[key] for key in Record.__dataclass_fields__}
            values["grid"], values["tiles"] = Grid.from_json(data["grid"]), Tiles.from_json(data["tiles"])
            for key in ("labels", "pixel_size", "transform"):
                values[key] = None if values[key] is None else tuple(values[key])
            values["failed"] = tuple((tile, why) for tile, why in data["failed"])
            return Record(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{name}: its attributes are damaged ({error!r})") from None
