"""Architectures of Keras 1 and 2 as Keras 3 takes them: data made from data, before Keras sees it.

What only training needs (initialisers, regularisers, constraints) is left out; what Keras 3 has under another name is renamed; what it
computes otherwise, or does not have, is refused by the layer's name, with the way by tf2onnx.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from fullconv.errors import BadInput
from fullconv.formats.keras.keras1 import LAYERS as KERAS_1
from fullconv.formats.keras.keras1 import merged
from fullconv.formats.keras.operations import FLIP, as_layer
from fullconv.formats.keras.operations import KINDS as OPERATIONS

Config = dict[str, Any]
WAY = "convert it where it runs (python -m tf2onnx.convert --keras NAME.h5 --output NAME.onnx) and read the .onnx file"
_TRAINING = ("_initializer", "_regularizer", "_constraint")
_HARMLESS: Mapping[
    str, tuple[Any, ...]
] = {  # arguments that Keras 3 has no longer, with the values that change nothing
    "groups": (1, None),
    "ragged": (False, None),
    "sparse": (False, None),
    "renorm": (False,),
    "fused": (None, True, False),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "trainable": (None, True, False),
    "input_dtype": (None, "float32"),
    "implementation": (0, 1, 2),
    "filters": (None,),
    "kernel_initializer": (),
    "experimental_run_tf_function": (True, False),
}
_MODELS = {"Model": "Functional", "Functional": "Functional", "Sequential": "Sequential"}
_LATER = {  # layers of Keras 2 and their equals; what only augments does nothing to an image that is looked at
    "SyncBatchNormalization": "BatchNormalization",
    "RandomHeight": "Identity",
    "RandomWidth": "Identity",
}
_ARGUMENTS = {"LeakyReLU": {"alpha": "negative_slope"}}  # under their later names
_OWN = (
    "module",
    "registered_name",
    "build_config",
    "shared_object_id",
)  # what Keras 2.13 and later say of where a class is from
_OTHER = ("hard_sigmoid", "HardSigmoid")  # Keras 3 computes x / 6 + 0.5 where Keras 1 and 2 had 0.2 · x + 0.5


def repaired(
    config: Mapping[str, Any], version: str, takes: Callable[[str], frozenset[str] | None], path: object
) -> Config:
    """A model's configuration as Keras 3 takes it.

    Args:
        version: of the Keras that wrote it, ``2.4.0``; ``1`` where the file does not say.
        takes: the arguments of a layer class of Keras 3; None where it has none of the name.

    Raises:
        BadInput: a layer has no equal in Keras 3.
    """
    return _Repair(version, takes, path).model(deepcopy(dict(config)), "model")


def halved(config: Mapping[str, Any]) -> str | None:
    """What a user should know of a network that computed in half precision; None of others."""
    policies = {name for policy in _policies(config) if (name := str(policy.get("name", ""))).startswith("mixed_")}
    return f"computed in {', '.join(sorted(policies))} by Keras, and here in float32" if policies else None


def _policies(config: Any) -> Iterator[Mapping[str, Any]]:
    todo = [config]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            policy = value.get("dtype")
            if isinstance(policy, Mapping) and isinstance(policy.get("config"), Mapping):
                yield policy["config"]
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


class _Repair:
    def __init__(self, version: str, takes: Callable[[str], frozenset[str] | None], path: object) -> None:
        self.version, self.takes, self.path = version, takes, path
        self.first = version.startswith(("0", "1"))
        self.release = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())

    def model(self, config: Mapping[str, Any], name: str) -> Config:
        kind = _MODELS.get(str(config.get("class_name")))
        inner = config.get("config")
        if kind is None or inner is None:
            raise self._refused(name, f"is a {config.get('class_name')}, no Sequential and no functional model")
        if isinstance(inner, list):  # Sequential, before Keras 2.2
            inner = {"name": name, "layers": inner}
        if not isinstance(inner, Mapping) or not isinstance(inner.get("layers"), list):
            raise self._refused(name, "has no list of layers")
        made = {key: value for key, value in inner.items() if key not in ("layers", "build_input_shape")}
        layers = [self.layer(layer, i) for i, layer in enumerate(inner["layers"])]
        _from_the_first(layers, made)
        if kind == "Sequential":
            layers = [*self._input(layers), *layers]
        for layer in layers:
            if layer["class_name"] != "InputLayer":
                layer["config"].pop("batch_shape", None)  # what the layers before it give
        for key in ("input_layers", "output_layers"):  # one of each is called and answers as itself, not as a list
            ends = made.get(key)
            if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
                made[key] = ends[0]
        made["layers"] = layers
        made["name"] = plain(str(made.get("name", name)))
        return {"class_name": kind, "config": made}

    def _input(self, layers: list[Config]) -> list[Config]:
        """The input that a Sequential's first layer states itself."""
        first: Config = layers[0] if layers else {}
        if not first or first["class_name"] in ("InputLayer", *_MODELS.values()):
            return []
        shape = first["config"].pop("batch_shape", None)
        if shape is None:
            return []
        dtype = first["config"].get("dtype", "float32")
        name = f"{first['config'].get('name', 'layer')}_input"
        return [{"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": dtype, "name": name}}]

    def layer(self, layer: Any, i: int) -> Config:
        if not isinstance(layer, Mapping) or "class_name" not in layer:
            raise self._refused(f"layer {i}", "is no description of a layer")
        kind, config = str(layer["class_name"]), layer.get("config")
        name = str(layer.get("name") or (config.get("name") if isinstance(config, Mapping) else None) or f"layer_{i}")
        outer = {k: v for k, v in layer.items() if k not in ("class_name", "config", "inbound_nodes", *_OWN)}
        if "name" in outer:
            outer["name"] = plain(str(outer["name"]))
        nodes = layer.get("inbound_nodes")
        if kind in OPERATIONS and isinstance(config, Mapping) and isinstance(nodes, list):
            kind, config, nodes = as_layer(
                kind, name, str(config.get("function")), nodes, lambda why: self._refused(name, why)
            )
        if nodes is not None:
            outer["inbound_nodes"] = [_calls(node) for node in nodes]
        if kind == FLIP and layer["class_name"] != FLIP:
            of = {"module": "keras.src.ops.numpy", "class_name": FLIP, "registered_name": FLIP}
            return {**outer, **of, "config": {**(config or {}), "name": plain(name)}}
        if kind in _MODELS:
            return {**self.model(layer, name), **outer}
        if not isinstance(config, Mapping):
            raise self._refused(name, "has no configuration")
        kind, made = self._renamed(kind, dict(config), name)
        return {**outer, "class_name": kind, "config": self._settled(kind, made, name)}

    def _renamed(self, kind: str, config: Config, name: str) -> tuple[str, Config]:
        """A layer of Keras 1 or 2 under its later names."""
        if kind == "Merge":
            return merged(config, lambda why: self._refused(name, why))
        old = KERAS_1.get(kind)
        if old is None or not (self.first or kind != old.kind):
            if kind in _LATER:
                config = {
                    k: v for k, v in config.items() if _LATER[kind] != "Identity" or k in ("name", "batch_input_shape")
                }
            later = _ARGUMENTS.get(kind, {})
            return _LATER.get(kind, kind), {later.get(key, key): value for key, value in config.items()}
        return old.kind, old.renamed(config, lambda why: self._refused(name, why))

    def _settled(self, kind: str, config: Config, name: str) -> Config:
        takes = self.takes(kind)
        if takes is None:
            raise self._refused(name, f"is a {kind}, which Keras 3 has not")
        shape = config.pop("batch_input_shape", None)
        if shape is not None:
            config["batch_shape"] = shape
        config = {k: v for k, v in config.items() if not k.endswith(_TRAINING)}
        if "name" in config:
            config["name"] = plain(str(config["name"]))
        if isinstance(config.get("dtype"), Mapping):  # a policy: what runs here computes in float32
            config["dtype"] = "float32"
        if kind == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            (config["axis"],) = config["axis"]
        if kind == "RandomCrop":
            raise self._refused(
                name, "is a RandomCrop, which cuts and resizes whole images in Keras 2 and not in Keras 3"
            )
        if kind == "InputLayer":
            config.pop("input_tensor", None)
        for key in ("activation", "recurrent_activation"):
            config[key] = self._activation(config[key], name) if key in config else None
            if config[key] is None:
                del config[key]
        how = config.get("interpolation", "nearest")
        if kind in ("UpSampling2D", "Resizing") and how not in ("nearest", "bilinear"):
            raise self._refused(name, f"resamples by {how}, which is another one in Keras 3 on PyTorch")
        if kind == "UpSampling2D" and how != "nearest" and self.release < (2, 3):
            raise self._refused(
                name, f"resamples by {config['interpolation']}, whose grid was another one in Keras {self.version}"
            )
        made: Config = {}
        for key, value in config.items():
            value = _number(value)
            if key in takes or key == "batch_shape":
                made[key] = value
            elif value not in _HARMLESS.get(key, (None,)):
                raise self._refused(name, f"has {key} = {value!r}, which a {kind} of Keras 3 has not")
        return made

    def _activation(self, value: Any, name: str) -> Any:
        """An activation by its name."""
        if isinstance(value, Mapping):
            value = value.get("config") if value.get("class_name") == "function" else value.get("class_name")
            value = value.get("name") if isinstance(value, Mapping) else value
        if value in _OTHER:
            raise self._refused(
                name,
                "has the activation hard_sigmoid, which Keras 3 computes otherwise (x / 6 + 0.5 for 0.2 · x + 0.5)",
            )
        if value is not None and not isinstance(value, str):
            raise self._refused(name, f"has the activation {value!r}, which is no name")
        return value

    def _refused(self, name: str, why: str) -> BadInput:
        return BadInput(f"{self.path}: layer {name!r} {why}; {WAY}")


def plain(name: str) -> str:
    """A layer's name without the slashes that Keras 3 takes none of (``conv1/bn``)."""
    return name.replace("/", "_")


def _number(value: Any) -> Any:
    """Arrays as Keras 2 wrote them into configurations."""
    if isinstance(value, Mapping) and value.get("type") == "ndarray":
        return value.get("value")
    return value


def _calls(node: Any) -> Any:
    """Where a layer is called, with the keyword arguments that Keras 1 left out."""
    if not isinstance(node, list):
        return node
    whole = [[*call, {}] if isinstance(call, list) and len(call) == 3 else call for call in node]
    return [[plain(str(call[0])), *call[1:]] if isinstance(call, list) and call else call for call in whole]


def _from_the_first(layers: list[Config], model: Config) -> None:
    """Count the calls of a model within a model from the first that is read: Keras 2 counted its own making as one."""
    inner = {layer["config"]["name"] for layer in layers if layer["class_name"] in _MODELS.values()}
    ends = [end for key in ("input_layers", "output_layers") for end in _listed(model.get(key))]
    for end in ends:
        end[0] = plain(str(end[0]))
    nodes = [node for layer in layers for node in layer.get("inbound_nodes", ()) if isinstance(node, list)]
    calls = [call for node in nodes for call in node if isinstance(call, list) and len(call) > 2] + ends
    for name in inner:
        numbers = [call[1] for call in calls if call[0] == name and isinstance(call[1], int)]
        least = min(numbers, default=0)
        for call in calls:
            if call[0] == name and isinstance(call[1], int):
                call[1] -= least


def _listed(ends: Any) -> list[list[Any]]:
    """The ends of a model, whether one is written as itself or as a list of one."""
    if not isinstance(ends, list) or not ends:
        return []
    found = ends if isinstance(ends[0], list) else [ends]
    return [end for end in found if isinstance(end, list) and len(end) >= 3]
