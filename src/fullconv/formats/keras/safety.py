"""What a Keras file may hold: layers of Keras's own and numbers. Nothing that loading would execute, no other file, no flood."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from fullconv.errors import BadInput
from fullconv.formats.keras.container import is_archive
from fullconv.system.heaps import is_endless
from fullconv.system.zips import DAMAGED

_LARGEST = 64 * 2**20  # bytes of a configuration
_CODE = (
    "Lambda",
    "__lambda__",
    "function",
    "TFSMLayer",
    "TorchModuleWrapper",
    "FlaxLayer",
    "JaxLayer",
    "RandomSeedGenerator",
)


FLOOD = 64 * 2**20  # bytes of weights that a file of any size may spell out


def check(path: Path) -> Any:
    """The configuration of a file. Raise BadInput unless it is a Keras model whose parts are all Keras's own."""
    config = _of_archive(path) if is_archive(path) else _of_hdf5(path)
    for part in _parts(config):
        name = str(part.get("class_name"))
        inner = part.get("config")
        called = (inner.get("name") if isinstance(inner, Mapping) else None) or part.get("name") or "?"
        module = part.get("module")
        if name in _CODE:
            raise BadInput(
                f"{path}: layer {called!r} is a {name}, which holds code; code of a file is not executed. Replace it by layers of Keras"
            )
        if (
            module is not None
            and not str(module).startswith(("keras.", "keras_core."))
            and module not in ("keras", "builtins")
        ):
            raise BadInput(
                f"{path}: layer {called!r} is {module}.{name}, no part of Keras; code of others is not executed"
            )
        registered = part.get("registered_name")
        if registered and ">" in str(registered):
            raise BadInput(
                f"{path}: layer {called!r} is {registered}, a layer of its author's own; its code is not in the file. Load the model in Python and hand it to fullconv.load"
            )
    return config


def _of_archive(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if "model.weights.npz" in archive.namelist():
                raise BadInput(
                    f"{path}: its weights are a model.weights.npz, which may hold pickled Python and is not read; save the model anew by Keras "
                    "where h5py is installed"
                )
            info = archive.getinfo("config.json")
            if info.file_size > _LARGEST:
                raise BadInput(f"{path}: its config.json is too large to be a network's")
            return json.loads(archive.read(info))
    except DAMAGED as error:
        raise BadInput(f"{path}: truncated or damaged, not a .keras file ({error})") from None


def _of_hdf5(path: Path) -> Any:
    if is_endless(path):
        raise BadInput(f"{path}: damaged, not an HDF5 file of Keras (a text in it has no end)")
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                what = (
                    "holds weights alone, without the network"
                    if "layer_names" in file.attrs
                    else "holds no Keras model"
                )
                raise BadInput(
                    f"{path}: {what}; save the whole model (model.save), or, for Caffe weights, name the .prototxt as the model"
                )
            own_numbers(file, path)
            return json.loads(text)
    except (OSError, ValueError, KeyError, RuntimeError, RecursionError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: truncated or damaged, not an HDF5 file of Keras ({error})") from None


def own_numbers(file: h5py.File, path: Path) -> None:
    """Raise BadInput where numbers lie in another file, or are far more than the file could hold."""
    total, todo, seen = 0, [file], set()
    while todo:
        group = todo.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise BadInput(
                    f"{path}: {group.name}/{name} is a link; a model's weights lie in its own file, as numbers"
                )
            item = group[name]
            if isinstance(item, h5py.Group) and item.id not in seen:
                seen.add(item.id)
                todo.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise BadInput(f"{path}: {item.name} lies in another file; a model's weights lie in its own")
                total += item.nbytes
    if total > 16 * path.stat().st_size + FLOOD:
        raise BadInput(f"{path}: states {total / 1e9:.1f} GB of weights, which it does not hold")


def _parts(config: Any) -> Iterator[Mapping[str, Any]]:
    """Everything in a configuration that names a class."""
    todo = [config]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            if "class_name" in value:
                yield value
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)
