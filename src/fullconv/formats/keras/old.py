"""Loading what Keras 1 and 2 wrote: repaired as data into a file of its own, which Keras 3 then reads."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from fullconv.formats.keras.repair import repaired
from fullconv.formats.keras.weights import check_order, rewritten, text, untold

_FOR_ALL = frozenset(("name", "trainable", "dtype", "activity_regularizer"))


def version_of(path: Path) -> str:
    """The version of Keras that wrote a file; ``1`` of HDF5 that does not say, as Keras 1 did not; ``3`` of what is no HDF5."""
    if path.suffix.lower() == ".keras":
        return "3"
    with h5py.File(path, "r") as file:
        weights = file.get("model_weights", file)
        return text(file.attrs.get("keras_version", weights.attrs.get("keras_version", "1")))


def load_old(keras: Any, path: Path, config: Any, version: str) -> tuple[Any, str | None]:
    """The model of an HDF5 file of Keras 1 or 2, and what a user should know of it."""
    made = repaired(config, version, _arguments(keras), path)
    with tempfile.TemporaryDirectory(prefix="fullconv-") as folder:
        target = Path(folder) / "model.h5"
        rewritten(path, target, made, version)
        model = keras.saving.load_model(target, compile=False, safe_mode=True)
    check_order(model, path)
    return model, untold(made, version, path)


def _arguments(keras: Any) -> Callable[[str], frozenset[str] | None]:
    """The arguments of a layer class of Keras's by its name."""

    def takes(kind: str) -> frozenset[str] | None:
        found = getattr(keras.layers, kind, None)
        if not (isinstance(found, type) and issubclass(found, keras.layers.Layer)):
            return None
        inits: list[Any] = [
            vars(each)["__init__"] for each in found.__mro__ if "__init__" in vars(each) and each is not object
        ]
        own = {name for init in inits for name in inspect.signature(init).parameters}
        return _FOR_ALL | (own - {"self", "args", "kwargs", "input_shape", "input_dim"})

    return takes
