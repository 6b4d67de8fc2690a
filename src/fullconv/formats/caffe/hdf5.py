"""Weights in Caffe's HDF5 form: /data/<layer>/<blob index>, blobs that are shared stored once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer
from fullconv.system.guard import MARK

_DEEPEST = 8  # groups within groups
_MOST_PACKED, _SLACK = 1000, 64 << 20  # values a byte of file, and bytes, above which a size is a trap


def read_hdf5(path: Path) -> list[SavedLayer]:
    """Layers of an HDF5 weights file."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group):
                raise BadInput(
                    f"{path}: has no group 'data', so it is no Caffe weights file (Keras keeps its own layout)"
                )
            return [SavedLayer(name, blobs) for name, blobs in _layers(path, data, "", _DEEPEST)]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise BadInput(f"{path}: truncated or damaged, not a readable HDF5 file ({error})") from None


def _layers(path: Path, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, tuple[SavedBlob, ...]]]:
    """Groups with numbered data sets are layers; a '/' in a layer's name makes groups within groups.

    Links to other files, and groups that hold themselves, are not followed.
    """
    import h5py

    for key in group:
        child = group.get(key) if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
        if not isinstance(child, h5py.Group) or not depth:
            continue
        name = prefix + key
        blobs = {int(k): v for k, v in child.items() if isinstance(v, h5py.Dataset) and k.isdigit()}
        if blobs:
            if sorted(blobs) != list(range(len(blobs))):
                raise BadInput(
                    f"{path}: layer {name!r} has the blobs {sorted(blobs)}, not 0 to {len(blobs) - 1}; the file is incomplete"
                )
            yield name, tuple(_blob(path, name, blobs[i]) for i in range(len(blobs)))
        yield from _layers(path, child, name + "/", depth - 1)


def _blob(path: Path, layer: str, dataset: Any) -> SavedBlob:
    if dataset.dtype.kind != "f":
        raise BadInput(f"{path}: layer {layer!r} holds {dataset.dtype} values, not floating point")
    if dataset.external or dataset.nbytes > _SLACK + _MOST_PACKED * path.stat().st_size:
        raise BadInput(f"{path}: layer {layer!r} declares {dataset.nbytes} bytes of values, which are not in this file")
    values = np.asarray(dataset[()]).reshape(-1)
    if dataset.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32)
    return SavedBlob(values, tuple(dataset.shape))


def write_hdf5(path: Path, layers: Sequence[tuple[str, Sequence[np.ndarray[Any, Any]]]]) -> None:
    """Write layers by name; every layer gets a group, as Caffe expects."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["software"] = MARK
        data = file.create_group("data")
        for name, arrays in layers:
            group = data.require_group(name)
            for i, array in enumerate(arrays):
                group.create_dataset(str(i), data=array)
