"""Loading what Keras 1 and 2 wrote: repaired as data, which Keras 3 then reads: HDF5 as a file of its own, an archive's weights by layer."""

from __future__ import annotations

import inspect
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from fullconv.formats.keras.archive import filled, unpacked
from fullconv.formats.keras.container import is_archive
from fullconv.formats.keras.repair import halved, repaired
from fullconv.formats.keras.weights import check_order, rewritten, text, untold
from fullconv.system.zips import DAMAGED

_LARGEST = 2**16  # bytes of what an archive says of itself


def version_of(path: Path) -> str:
    """The version of Keras that wrote a file; ``1`` of HDF5 that does not say, as Keras 1 did not; ``3`` of an archive that does not."""
    if is_archive(path):
        with zipfile.ZipFile(path) as archive:
            try:
                told = json.loads(archive.read("metadata.json")[:_LARGEST])
            except DAMAGED:
                return "3"
        return str(told.get("keras_version", "3")) if isinstance(told, dict) else "3"
    with h5py.File(path, "r") as file:
        weights = file.get("model_weights", file)
        return text(file.attrs.get("keras_version", weights.attrs.get("keras_version", "1")))


def trained_by_torch(source: Path) -> bool:
    """Whether a file says that Keras ran on PyTorch where it was written; an archive does not tell."""
    if is_archive(source):
        return False
    with h5py.File(source, "r") as file:
        return text(file.attrs.get("backend", "")) == "torch"


def load_old(keras: Any, path: Path, config: Any, version: str) -> tuple[Any, str | None]:
    """The model of a file of Keras 1 or 2, and what a user should know of it."""
    made = repaired(config, version, _arguments(keras), path)
    with tempfile.TemporaryDirectory(prefix="fullconv-") as folder:
        if is_archive(path):
            kind = keras.Sequential if made["class_name"] == "Sequential" else keras.Model
            model = kind.from_config(made["config"])
            filled(model, config, unpacked(path, Path(folder)), path)
            return model, halved(config)
        target = Path(folder) / "model.h5"
        rewritten(path, target, made, version)
        model = keras.saving.load_model(target, compile=False, safe_mode=True)
    check_order(model, path)
    notes = (untold(made, version, path), halved(config))
    return model, "; ".join(note for note in notes if note) or None


def _arguments(keras: Any) -> Callable[[str], frozenset[str] | None]:
    """The arguments of a layer class of Keras's by its name."""

    def takes(kind: str) -> frozenset[str] | None:
        found = getattr(keras.layers, kind, None)
        if not (isinstance(found, type) and issubclass(found, keras.layers.Layer)):
            return None
        own: set[str] = set()
        for each in found.__mro__:
            if "__init__" in vars(each) and each is not object:
                taken = inspect.signature(vars(each)["__init__"]).parameters
                own |= set(taken)
                if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in taken.values()):
                    break  # it hands no other arguments on
        return frozenset(own - {"self", "args", "kwargs", "input_shape", "input_dim"})

    return takes
