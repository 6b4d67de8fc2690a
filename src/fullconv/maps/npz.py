"""A map as one file, ``.npz``: scores, grid and labels, readable without fullconv and without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.geometry.place import Place
from fullconv.maps.classmap import ClassMap
from fullconv.render.palette import read_spelt, spelt
from fullconv.results.advice import Advice
from fullconv.results.statement import Statement
from fullconv.system.files import written_whole
from fullconv.system.guard import MARK, reads, require_file, require_start

_FORMAT = "fullconv class map 1"


def write_npz(found: ClassMap, target: Path) -> None:
    """Write a map, whole or not at all."""
    about = {
        "format": _FORMAT,
        "grid": found.grid.to_json(),
        "output": found.output,
        "by": found.by,
        "exactness": found.exactness,
        "scales": list(found.scales),
        "place": found.place.to_json(),
        "score_kind": found.score_kind,
        "grids": [part.grid.to_json() for part in found.parts],
        "statement": None if found.statement is None else found.statement.to_json(),
        "colours": spelt(found.colours),
        "advice": found.advice.to_json(),
    }
    with written_whole(target) as (part,), part.open("w+b") as file:
        labels = np.array(found.labels, dtype=np.str_)
        np.savez_compressed(file, labels=labels, about=np.array(json.dumps(about)), **_arrays(found))  # type: ignore[arg-type]
        with zipfile.ZipFile(file, "a") as archive:
            archive.comment = MARK.encode()


def _arrays(found: ClassMap, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
    held: dict[str, npt.NDArray[Any]] = {f"{prefix}scores": found.scores}
    if found.won is not None:
        held["won"] = found.won
    if found.confirmed is not None:
        held["confirmed"] = np.asarray(found.confirmed)
    for i, part in enumerate(found.parts):
        held |= _arrays(part, f"{i}:")
    return held


def read_npz(source: Path) -> ClassMap:
    """Read what ``write_npz`` wrote.

    Raises:
        BadInput: it is something else, or damaged.
    """
    require_file(source)
    reads(source)
    require_start(source, b"PK", "a class map that fullconv wrote (.npz)")
    try:
        with source.open("rb") as file, np.load(file, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            if about.get("format") != _FORMAT:
                raise BadInput(f"{source}: is {about.get('format')!r}, not {_FORMAT!r}")
            labels = tuple(str(label) for label in data["labels"])
            scores = data["scores"].astype(np.float32, copy=False)
            told = (labels, about["output"], about["by"], about["exactness"])
            parts = tuple(
                ClassMap(data[f"{i}:scores"], Grid.from_json(grid), *told)
                for i, grid in enumerate(about.get("grids", ()))
            )
            statement = None if about.get("statement") is None else Statement.from_json(about["statement"])
            return ClassMap(
                scores,
                Grid.from_json(about["grid"]),
                *told,
                scales=tuple(float(scale) for scale in about.get("scales", ())),
                parts=parts,
                won=data["won"] if parts else None,
                place=Place.from_json(about.get("place", {})),
                score_kind=str(about.get("score_kind", "")),
                confirmed=None if statement is None else data["confirmed"].astype(np.bool_).reshape(scores.shape[1:]),
                statement=statement,
                colours=read_spelt(about.get("colours", {})),
                advice=Advice.from_json(about.get("advice", {}), len(labels)),
            )
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # zip, zlib, numpy and its tokenizer, each with errors of its own
        raise BadInput(f"{source}: not a class map that fullconv wrote, or damaged ({error})") from None
