"""Stores of maps, damaged: what they say of themselves, their arrays, chunks and marks. A store is a folder; a case is one in a zip file."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import fullconv
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.stream.work import totals
from fuzz.target import Wrong

_MOST = 8 << 20  # bytes of a member
_TRUE: dict[str, tuple[object, np.ndarray]] = {}  # of every seed: what it says of itself, and its scores


def seeds(folder: Path) -> list[Path]:
    """Finished ones of several types, and one half done."""
    from tests import helpers

    model = helpers.model(helpers.LENET)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 52), np.uint8)
    paths = []
    for name, how in (("all", {}), ("top1", {"keep": "top1"}), ("bytes", {"stored": "uint8"}), ("half", {})):
        where = folder / f"{name}.zarr"
        found = fullconv.map_raster(model, pixels, where, preprocess="unit", **how)
        _TRUE[repr(found.record)] = found.record, np.asarray(found.scores)
        if name == "half":
            store = Store.create(storage_of(where), replace(found.record, finished=False))
            for tile in list(store.record.tiles):
                rows, cols = slice(*tile.y.cells), slice(*tile.x.cells)
                store.write(tile, _TRUE[repr(found.record)][1][:, rows, cols], mark={"left_out": 0})
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for each in sorted(where.rglob("*")):
                archive.write(each, each.relative_to(where))
        paths.append(path)
    return paths


def read(path: Path) -> None:
    """Load it, read all of it, and go on with one that is not finished."""
    folder = Path(tempfile.mkdtemp())
    try:
        _unpack(path, folder / "x.zarr")
        found = fullconv.ClassMap.load(folder / "x.zarr")
        if found.grid.rows * found.grid.cols > 1 << 16:
            return  # what it says is larger than any seed, and takes as long as it says
        scores = np.asarray(found.scores)
        for record, true in _TRUE.values():
            if found.record == record and not ((scores == true) | np.isnan(scores)).all():
                raise Wrong("scores of a damaged chunk are others")
        str(found.best)
        found.peaks(0)
        found.at(10, 10)
        found._repr_html_()
        fullconv.export(found, folder / "x.csv", partial=True)
        storage = storage_of(folder / "x.zarr")
        if not found.record.finished and found.record.run:
            with storage.lock():
                store = Store.resume(storage, Store.record_of(storage))
                totals(store.done())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    folder.mkdir()
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                target = folder / info.filename.replace("\0", "")
                if ".." in target.parts or folder not in target.parents or info.file_size > _MOST:
                    continue
                if info.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(info))
    except Exception:  # a damaged zip file is no damaged store: what was unpacked stands
        return
