"""Weights in Caffe's HDF5 form: /data/<layer>/<blob index>, blobs that are shared stored once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import BadInput
from fullconv.formats.caffe.wire import SavedBlob, SavedLayer


def read_hdf5(path: Path) -> list[SavedLayer]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            data = file.get("data")
            if not isinstance(data, h5py.Group):
                raise BadInput(f"{path}: has no group 'data', so it is no Caffe weights file (Keras keeps its own layout)")
            return [SavedLayer(name, blobs) for name, blobs in _layers(path, data, "")]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise BadInput(f"{path}: truncated or damaged, not a readable HDF5 file ({error})") from None


def _layers(path: Path, group: Any, prefix: str) -> Iterator[tuple[str, tuple[SavedBlob, ...]]]:
    """Groups with numbered data sets are layers; a '/' in a layer's name makes groups within groups."""
    import h5py

    for key, child in group.items():
        if not isinstance(child, h5py.Group):
            continue
        name = prefix + key
        blobs = {int(k): v for k, v in child.items() if isinstance(v, h5py.Dataset) and k.isdigit()}
        if blobs:
            if sorted(blobs) != list(range(len(blobs))):
                raise BadInput(f"{path}: layer {name!r} has the blobs {sorted(blobs)}, not 0 to {len(blobs) - 1}; the file is incomplete")
            yield name, tuple(_blob(path, name, blobs[i]) for i in range(len(blobs)))
        yield from _layers(path, child, name + "/")


def _blob(path: Path, layer: str, dataset: Any) -> SavedBlob:
    if dataset.dtype.kind != "f":
        raise BadInput(f"{path}: layer {layer!r} holds {dataset.dtype} values, not floating point")
    values = np.asarray(dataset[()]).reshape(-1)
    if dataset.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32)
    return SavedBlob(values, tuple(dataset.shape))


def write_hdf5(path: Path, layers: Sequence[tuple[str, Sequence[np.ndarray[Any, Any]]]]) -> None:
    """Write layers by name; every layer gets a group, as Caffe expects."""
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for name, arrays in layers:
            group = data.require_group(name)
            for i, array in enumerate(arrays):
                group.create_dataset(str(i), data=array)
