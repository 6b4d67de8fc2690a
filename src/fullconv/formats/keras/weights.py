"""The weights of an HDF5 file of Keras 1 or 2 as Keras 3 has them: laid out anew where an old Keras laid them out otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.keras.repair import WAY, plain

Array = npt.NDArray[Any]
Config = Mapping[str, Any]
_CONVOLUTIONS = ("Conv2D", "Conv2DTranspose")
_SAME = {  # the parts that a weight's name may end in, by what they are in Keras 3
    "kernel": ("kernel", "W", "depthwise_kernel"),
    "depthwise_kernel": ("depthwise_kernel",),
    "pointwise_kernel": ("pointwise_kernel",),
    "bias": ("bias", "b"),
    "gamma": ("gamma",),
    "beta": ("beta",),
    "moving_mean": ("moving_mean", "running_mean"),
    "moving_variance": ("moving_variance", "running_std", "running_var"),
    "alpha": ("alpha", "alphas"),
}


def rewritten(source: Path, target: Path, config: Config, version: str) -> None:
    """Write a file that Keras 3 reads: a repaired configuration, and the source's weights in Keras 3's layout.

    Args:
        config: as ``repair.repaired`` makes it.
        version: of the Keras that wrote the source.
    """
    with h5py.File(source, "r") as old, h5py.File(target, "w") as new:
        group = old["model_weights"]
        backend = text(old.attrs.get("backend", group.attrs.get("backend", "")))
        new.attrs.update({"keras_version": "2.15.0", "backend": "tensorflow", "model_config": json.dumps(config)})
        old.copy(group, new, "model_weights")
        first = version.startswith(("0", "1"))
        if not first and backend != "theano":
            return
        kinds = {str(layer["config"].get("name")): layer for layer in layers_of(config)}
        for name in _names(group, "layer_names"):
            for weight in _names(group[name], "weight_names"):
                data = new["model_weights"][name][weight]
                layer = kinds.get(_holder(name, weight, kinds))
                if layer is None or data.ndim != 4:
                    continue
                array = np.asarray(data)
                made = _laid_out(array, layer, first, backend, f"{source}: layer {name!r}")
                if made is not array:
                    parent = data.parent
                    leaf = data.name.rsplit("/", 1)[-1]
                    del parent[leaf]
                    parent.create_dataset(leaf, data=made)


def _laid_out(kernel: Array, layer: Config, first: bool, backend: str, what: str) -> Array:
    """A kernel as (rows, columns, inputs, outputs) of a correlation."""
    kind = layer["class_name"]
    planes_first = layer["config"].get("data_format") == "channels_first"
    if kind not in _CONVOLUTIONS:
        if backend == "theano" or (first and planes_first):
            raise BadInput(
                f"{what}: a {kind} of Theano, or of Keras 1 with channels first, whose kernels' order is not known"
            )
        return kernel
    if first and kind == "Conv2D" and planes_first:
        kernel = kernel.transpose(2, 3, 1, 0)
    if first and kind == "Conv2DTranspose":
        kernel = kernel.transpose(2, 3, 0, 1) if planes_first else kernel.transpose(0, 1, 3, 2)
    if backend == "theano":  # it turns kernels round before it slides them
        kernel = kernel[::-1, ::-1]
    return np.ascontiguousarray(kernel)


def layers_of(config: Config) -> Iterator[Config]:
    """Every layer of a model's configuration, those of nested models included."""
    todo = list(config["config"]["layers"])
    while todo:
        layer = todo.pop(0)
        if isinstance(layer["config"].get("layers"), list):
            todo = [*layer["config"]["layers"], *todo]
        else:
            yield layer


def untold(config: Config, version: str, source: Path) -> str | None:
    """What a user should know of a file that does not say who trained it, where that would turn its kernels round."""
    with h5py.File(source, "r") as file:
        backend = file.attrs.get("backend", file["model_weights"].attrs.get("backend"))
    planes = any(layer["config"].get("data_format") == "channels_first" for layer in layers_of(config))
    if backend is not None or not version.startswith(("0", "1")):
        return None
    why = ", as its channels-first layers may mean" if planes else ""
    return (
        f"the file (Keras {version}) does not say which backend trained it; it is read as Keras 2 reads it, as TensorFlow's: had it been "
        f"Theano{why}, every kernel would have to be turned round"
    )


def check_order(model: Any, path: Path) -> None:
    """Raise BadInput unless every weight of the file went to the variable of its name, as far as names say."""
    with h5py.File(path, "r") as file:
        group = file["model_weights"]
        stored = [(name, _names(group[name], "weight_names")) for name in _names(group, "layer_names")]
        stored = [(name, weights) for name, weights in stored if weights]
        layers = [layer for layer in model.layers if layer.weights]
        for (name, weights), layer in zip(stored, layers, strict=True):
            if plain(name) != layer.name:
                raise BadInput(
                    f"{path}: the weights of layer {name!r} would go to {layer.name!r}: Keras 3 has its layers in another order; {WAY}"
                )
            variables = [*layer.trainable_weights, *layer.non_trainable_weights]
            for weight, variable in zip(weights, variables, strict=True):
                ends = _SAME.get(str(variable.name), ())
                if ends and not weight.split("/")[-1].split(":")[0].endswith(ends):
                    raise BadInput(
                        f"{path}: layer {name!r} stores {weight!r} where Keras 3 expects its {variable.name}: the order of its weights is not known"
                    )


def _holder(layer: str, weight: str, kinds: Mapping[str, Any]) -> str:
    """The layer that a weight belongs to: the group's, or the one within a nested model that its name tells."""
    if layer in kinds:
        return layer
    return next((part for part in weight.split("/")[::-1] if part in kinds), layer)


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which long ones are stored in parts."""
    if attribute in group.attrs:
        return [text(name) for name in group.attrs[attribute]]
    parts = takewhile(lambda key: key in group.attrs, (f"{attribute}{i}" for i in count()))
    return [text(name) for key in parts for name in group.attrs[key]]


def text(value: Any) -> str:
    """An attribute of HDF5 as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
