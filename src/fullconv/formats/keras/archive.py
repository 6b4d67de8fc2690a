"""The weights of a ``.keras`` archive of Keras 2 (2.13 to 2.15), put into a model by its layers' names.

They lie by their layers' classes, counted: ``layers/conv2d_1/vars/0``, ``_layer_checkpoint_dependencies/conv2d_2/vars/0`` (2.13, which counted
every layer twice), ``layers\\conv2d_1/vars/0`` (made on Windows).
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.keras.repair import plain
from fullconv.formats.keras.safety import FLOOD, own_numbers
from fullconv.system.zips import DAMAGED

Array = npt.NDArray[Any]
Tree = dict[str, Any]  # groups by their names, arrays at the end
WEIGHTS = "model.weights.h5"
_LAYERS = ("layers", "_layer_checkpoint_dependencies")
_MODELS = ("Sequential", "Functional", "Model")


def unpacked(path: Path, folder: Path) -> Path:
    """The archive's weights as a file of their own, in a folder."""
    with zipfile.ZipFile(path) as archive:
        try:
            info = archive.getinfo(WEIGHTS)
        except KeyError:
            raise BadInput(f"{path}: holds no {WEIGHTS}; save the model anew with Keras") from None
        if info.file_size > 16 * path.stat().st_size + FLOOD:
            raise BadInput(f"{path}: states {info.file_size / 1e9:.1f} GB of weights, which it does not hold")
        target = folder / "weights.h5"
        try:
            with archive.open(info) as given, target.open("wb") as file:
                shutil.copyfileobj(given, file)
        except DAMAGED as error:
            raise BadInput(f"{path}: truncated or damaged, its weights do not unpack ({error})") from None
    return target


def filled(model: Any, config: Mapping[str, Any], weights: Path, path: Path) -> None:
    """Put the weights of a file into a model.

    Args:
        model: as Keras 3 made it of the repaired configuration.
        config: the model's as the archive has it.
        weights: as ``unpacked`` left them.
        path: of the archive, for messages.

    Raises:
        BadInput: a layer's weights are not there, or not of its shapes.
    """
    with h5py.File(weights, "r") as file:
        own_numbers(file, path)
        _fill(model, config, _tree(file), path)


def _tree(file: h5py.File) -> Tree:
    """What a file holds, whichever slash its names were joined by."""
    found: Tree = {}

    def see(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            *groups, leaf = re.split(r"[\\/]", name)
            at = found
            for group in groups:
                at = at.setdefault(group, {})
            at[leaf] = item

    file.visititems(see)
    return found


def _fill(model: Any, config: Mapping[str, Any], tree: Tree, path: Path) -> None:
    groups: Tree = next((tree[name] for name in _LAYERS if name in tree), {})
    described = config["config"]["layers"] if isinstance(config.get("config"), Mapping) else []
    by_kind: dict[str, list[tuple[Any, Mapping[str, Any]]]] = {}
    for each in described:
        name = plain(str(each.get("name") or each["config"].get("name")))
        layer = _named(model, name)
        if layer is not None and layer.weights:
            kind = "Functional" if each["class_name"] == "Model" else str(each["class_name"])
            by_kind.setdefault(_snake(kind), []).append((layer, each))
    told = {layer.name for layers in by_kind.values() for layer, _ in layers}
    left = next((layer.name for layer in model.layers if layer.weights and layer.name not in told), None)
    if left is not None:  # its weights would be random ones
        raise BadInput(
            f"{path}: layer {left!r} has weights, and its configuration names no such layer; save the model as .h5"
        )
    for kind, layers in by_kind.items():
        stored = sorted((_number(name, kind), name) for name in groups if _number(name, kind) >= 0 and groups[name])
        if len(stored) != len(layers):
            names = ", ".join(repr(layer.name) for layer, _ in layers)
            raise BadInput(f"{path}: holds the weights of {len(stored)} of {len(layers)} layers {kind} ({names})")
        for (_, group), (layer, each) in zip(stored, layers, strict=True):
            if each["class_name"] in _MODELS:
                _fill(layer, each, groups[group], path)
            else:
                _put(layer, groups[group], path)


def _put(layer: Any, group: Tree, path: Path) -> None:
    values = group.get("vars", {})
    if set(group) - {"vars"}:
        raise BadInput(
            f"{path}: layer {layer.name!r} holds layers of its own, whose weights are not read; save the model as .h5"
        )
    store = {str(i): np.asarray(values[str(i)]) for i in range(len(values)) if str(i) in values}
    try:
        layer.load_own_variables(store)
    except (ValueError, KeyError) as error:
        raise BadInput(
            f"{path}: the weights of layer {layer.name!r} are not its own ({str(error).splitlines()[0]})"
        ) from None


def _named(model: Any, name: str) -> Any:
    return next((layer for layer in model.layers if layer.name == name), None)


def _number(name: str, kind: str) -> int:
    """The number of a group among those of its kind: 0 of ``conv2d``, 2 of ``conv2d_2``; -1 of other kinds."""
    if name == kind:
        return 0
    stem, _, number = name.rpartition("_")
    return int(number) if stem == kind and number.isdigit() else -1


def _snake(kind: str) -> str:
    """A class's name as Keras writes it in files."""
    first = re.sub(r"\W+", "", kind)
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", first)).lower()
