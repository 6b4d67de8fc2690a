"""Layers of Keras 1 under the names of Keras 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]
Refuse = Callable[[str], Exception]  # the error that names the layer, from a reason
_FORMATS = {"th": "channels_first", "tf": "channels_last"}
_COMMON = {"bias": "use_bias", "border_mode": "padding", "subsample": "strides", "p": "rate"}
_DROPPED = (
    "init", "W_regularizer", "b_regularizer", "W_constraint", "b_constraint", "weights", "beta_init", "gamma_init", "alpha_regularizer",
    "gamma_regularizer", "beta_regularizer", "depthwise_regularizer", "pointwise_regularizer", "depthwise_constraint", "pointwise_constraint",
    "input_dim", "input_length", "input_dtype", "dim_ordering", "alpha_constraint",
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A layer of Keras 1.

    Attributes:
        kind: its class in Keras 3.
        names: arguments, from their old names to the new ones.
        joined: two arguments that became one of two numbers, by the new name.
        only: values that an argument may have, since Keras 3 has no other; it is left out.
    """

    kind: str
    names: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def renamed(self, config: Config, refuse: Refuse) -> Config:
        """Its arguments under their new names."""
        made: Config = {}
        for key, value in config.items():
            if key in self.only:
                if value not in self.only[key]:
                    raise refuse(f"has {key} = {value!r}, which Keras 3 has not")
            elif key not in _DROPPED and key not in {old for pair in self.joined.values() for old in pair}:
                made[self.names.get(key, _COMMON.get(key, key))] = value
        for new, (rows, cols) in self.joined.items():
            if rows in config and cols in config:
                made[new] = [config[rows], config[cols]]
        if made.get("padding") == "full":
            raise refuse("pads by 'full', which Keras 3 has not")
        ordering = config.get("dim_ordering", "default")
        if ordering in _FORMATS:
            made["data_format"] = _FORMATS[ordering]
        if isinstance(made.get("padding"), Mapping):
            sides = made["padding"]
            made["padding"] = [
                [sides.get("top_pad", 0), sides.get("bottom_pad", 0)],
                [sides.get("left_pad", 0), sides.get("right_pad", 0)],
            ]
        if self.kind == "ZeroPadding2D" and isinstance(made.get("padding"), list) and len(made["padding"]) == 4:
            top, bottom, left, right = made["padding"]
            made["padding"] = [[top, bottom], [left, right]]
        return made


_CONV = {"nb_filter": "filters"}
_KERNEL = {"kernel_size": ("nb_row", "nb_col")}
LAYERS: Mapping[str, Layer] = {
    "Convolution2D": Layer("Conv2D", _CONV, _KERNEL),
    "AtrousConvolution2D": Layer("Conv2D", {**_CONV, "atrous_rate": "dilation_rate"}, _KERNEL),
    "SeparableConvolution2D": Layer("SeparableConv2D", _CONV, _KERNEL),
    "Deconvolution2D": Layer("Conv2DTranspose", {**_CONV}, _KERNEL),
    "MaxPooling2D": Layer("MaxPooling2D"),
    "AveragePooling2D": Layer("AveragePooling2D"),
    "GlobalMaxPooling2D": Layer("GlobalMaxPooling2D"),
    "GlobalAveragePooling2D": Layer("GlobalAveragePooling2D"),
    "ZeroPadding2D": Layer("ZeroPadding2D"),
    "Cropping2D": Layer("Cropping2D"),
    "UpSampling2D": Layer("UpSampling2D"),
    "Dense": Layer("Dense", {"output_dim": "units"}),
    "Dropout": Layer("Dropout", only={"noise_shape": (None,)}),
    "SpatialDropout2D": Layer("SpatialDropout2D"),
    "GaussianDropout": Layer("GaussianDropout"),
    "GaussianNoise": Layer("GaussianNoise", {"sigma": "stddev"}),
    "BatchNormalization": Layer("BatchNormalization", only={"mode": (0,)}),
    "LeakyReLU": Layer("LeakyReLU", {"alpha": "negative_slope"}),
    "ELU": Layer("ELU"),
    "PReLU": Layer("PReLU"),
    "Activation": Layer("Activation"),
    "Flatten": Layer("Flatten"),
    "Reshape": Layer("Reshape"),
    "Permute": Layer("Permute"),
    "InputLayer": Layer("InputLayer"),
}
_MERGES = {"sum": "Add", "mul": "Multiply", "concat": "Concatenate", "ave": "Average", "max": "Maximum"}


def merged(config: Config, refuse: Refuse) -> tuple[str, Config]:
    """A Merge of a functional model as the layer of its mode."""
    mode = config.get("mode")
    if config.get("layers"):
        raise refuse("joins whole models (Merge within a Sequential)")
    if mode not in _MERGES or config.get("mode_type", "raw") != "raw" or config.get("output_shape"):
        raise refuse(f"merges by {mode!r}, which Keras 3 has not")
    made = {"name": config.get("name")}
    return _MERGES[str(mode)], made | ({"axis": config.get("concat_axis", -1)} if mode == "concat" else {})
