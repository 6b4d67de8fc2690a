"""HDF5 files as Keras 1 and 2 wrote them, made from the weights of models of Keras 3."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Weights = Mapping[
    str, Sequence[tuple[str, np.ndarray]]
]  # of each layer, in order, under the names that the old Keras gave


def written(path: Path, config: Mapping[str, Any], weights: Weights, **attributes: str) -> Path:
    """Write a file; ``attributes`` are keras_version and backend, where the old Keras stated them."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for holder in (file, group):
            holder.attrs.update({name: value.encode() for name, value in attributes.items()})
        for layer, values in weights.items():
            inside = group.create_group(layer)
            inside.attrs["weight_names"] = [name.encode() for name, _ in values]
            for name, value in values:
                inside.create_dataset(name, data=value)
    return path


def named(layer: Any, *names: str, stem: str = "{layer}/{part}:0") -> list[tuple[str, np.ndarray]]:
    """A layer's weights as they are, under old names."""
    return [
        (stem.format(layer=layer.name, part=name), value)
        for name, value in zip(names, layer.get_weights(), strict=True)
    ]


def keras1(kind: str, name: str, **config: Any) -> dict[str, Any]:
    """A layer as Keras 1 described it, with all that it says beside what matters."""
    more: dict[str, Any] = {"trainable": True, "name": name}
    if kind in ("Convolution2D", "Dense"):
        more |= {
            "W_regularizer": None, "b_regularizer": None, "W_constraint": None, "b_constraint": None, "activity_regularizer": None,
            "init": "glorot_uniform", "bias": True, "activation": "linear",
        }  # fmt: skip
    return {"class_name": kind, "config": more | config}


def keras2(kind: str, name: str, inbound: Sequence[str] | None = None, **config: Any) -> dict[str, Any]:
    """A layer as Keras 2 described it; of a functional model with what it reads."""
    more: dict[str, Any] = {"name": name, "trainable": True, "dtype": "float32"}
    if "Conv" in kind or kind == "Dense":
        more |= {
            "use_bias": True, "activation": "linear", "bias_initializer": {"class_name": "Zeros", "config": {}}, "bias_regularizer": None,
            "activity_regularizer": None, "bias_constraint": None,
        }  # fmt: skip
    if "Conv" in kind:
        more |= {
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "groups": 1,
            "strides": [1, 1],
            "padding": "valid",
        }
    made = {"class_name": kind, "config": more | config}
    return (
        made
        if inbound is None
        else made | {"name": name, "inbound_nodes": [[[each, 0, 0, {}] for each in inbound]] if inbound else []}
    )


def archived(path: Path, config: Mapping[str, Any], groups: Mapping[str, Sequence[np.ndarray]], version: str) -> Path:
    """An archive as Keras 2.13 to 2.15 wrote it; ``groups`` are each layer's weights by where they lie, as ``layers/conv2d``."""
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for group, values in groups.items():
            for i, value in enumerate(values):
                file.create_dataset(f"{group}/vars/{i}", data=value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path
