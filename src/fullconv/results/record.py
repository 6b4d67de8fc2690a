"""What a store says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.results.advice import Advice
from fullconv.results.encoding import STORED
from fullconv.results.statement import Statement
from fullconv.tiling.tiles import Tiles

FORMAT = "fullconv map store 2"
BEFORE = "fullconv map store 1"  # without a run's id; read, and never gone on with


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
        output, by, exactness, score_kind: as for a ClassMap.
        pixel_size, unit, transform, crs: of the image, see ``rasters.source.About``.
        version: of fullconv.
        run: id of the run that writes it; empty once it is finished.
        arrays: what the names of its arrays begin with.
        failed: tiles that did not decode and were left out, with the reason.
        left_out: cells that ``where`` or missing data left without an answer.
        finished: whether every tile is done.
        statement: what is promised of a map that crops confirm.
        colours: of classes that have one of their own, ``#rrggbb`` by their place among ``labels``.
        advice: what the network's card says of the map.
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
    run: str = ""
    arrays: str = ""
    score_kind: str = ""
    statement: Statement | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    advice: Advice = field(default_factory=Advice)

    @property
    def stored_grid(self) -> Grid:
        """The cells of the arrays: those of the map, and the ones without an answer before them."""
        grid, (up, left) = self.grid, self.tiles.lead
        first = (grid.centre0[0] - up * grid.stride[0], grid.centre0[1] - left * grid.stride[1])
        return replace(grid, rows=up + grid.rows, cols=left + grid.cols, centre0=first)

    @property
    def classes(self) -> int:
        """Planes of scores."""
        return 1 if self.keep == "top1" else len(self.labels)

    def number(self, index: int) -> int:
        """The place of a class that is kept among all of the network's."""
        kept = self.request.get("keep")
        if self.keep != "some" or not isinstance(kept, list | tuple) or index >= len(kept):
            return index
        return kept[index] if isinstance(kept[index], int) else index

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        whole = {"format": FORMAT, **data, "grid": self.grid.to_json(), "tiles": self.tiles.to_json()}
        statement = None if self.statement is None else self.statement.to_json()
        return whole | {"statement": statement, "advice": self.advice.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any], name: str) -> Record:
        if data.get("format") not in (FORMAT, BEFORE):
            raise BadInput(f"{name}: is {data.get('format')!r}, not {FORMAT!r}; another version of fullconv wrote it")
        try:
            later: dict[str, Any] = {"run": "", "arrays": ""} if data["format"] == BEFORE else {}
            # Stores of earlier versions do not say.
            later |= {
                "score_kind": data.get("score_kind", ""),
                "statement": data.get("statement"),
                "colours": data.get("colours", {}),
                "advice": data.get("advice", {}),
            }
            values: dict[str, Any] = {
                key: later[key] if key in later else data[key] for key in Record.__dataclass_fields__
            }
            values["grid"], values["tiles"] = Grid.from_json(data["grid"]), Tiles.from_json(data["tiles"])
            for key in ("labels", "pixel_size", "transform"):
                values[key] = None if values[key] is None else tuple(values[key])
            if values["statement"] is not None:
                values["statement"] = Statement.from_json(values["statement"])
            values["advice"] = Advice.from_json(values["advice"], len(values["labels"]))
            values["failed"] = tuple((tile, why) for tile, why in data["failed"])
            found = Record(**values)
            found._require_sound()
            return found
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
            raise BadInput(f"{name}: its attributes are damaged ({error!r})") from None

    def _require_sound(self) -> None:
        """ValueError where a value is not what this class says: files come from anyone."""
        kinds = {
            "request": Mapping, "keep": str, "stored": str, "output": str, "by": str, "exactness": str, "version": str,
            "unit": str, "crs": str | None, "left_out": int, "finished": bool, "run": str, "arrays": str,
            "score_kind": str,
        }  # fmt: skip
        for key, kind in kinds.items():
            if not isinstance(getattr(self, key), kind):
                raise ValueError(f"{key} is {getattr(self, key)!r}")
        if not isinstance(self.colours, Mapping) or not all(
            re.fullmatch(r"[0-9]{1,6}", str(key)) and re.fullmatch(r"#[0-9a-f]{6}", str(value))
            for key, value in self.colours.items()
        ):
            raise ValueError("colours that are none")
        numbers = (*(self.pixel_size or ()), *(self.transform or ()))
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError("a place that is no numbers")
        if len(self.pixel_size or (1, 1)) != 2 or len(self.transform or range(6)) != 6:
            raise ValueError("a place of another length")
        if not self.labels or not all(isinstance(label, str) for label in self.labels):
            raise ValueError("labels that are no names")
        if self.keep not in ("all", "top1", "some") or self.stored not in STORED:
            raise ValueError(f"keep {self.keep!r}, type {self.stored!r}")
        if (self.grid.rows, self.grid.cols) != self.tiles.cells or min(self.tiles.chunk) < 1:
            raise ValueError("tiles of another map")
        if min(self.tiles.lead) < 0:
            raise ValueError(f"a lead of {self.tiles.lead} cells")
        if re.fullmatch(r"([0-9a-f]{16})?", self.run) is None or re.fullmatch(r"([0-9a-f]{16}/)?", self.arrays) is None:
            raise ValueError("a run of another kind")
