"""Operations of TensorFlow that Keras 2 kept as layers of a functional model (``x / 127.5 - 1``), as the layers of Keras 3 that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Config = dict[str, Any]
Call = list[Any]  # a layer's name, which of its calls, which output, keyword arguments
Refuse = Callable[[str], Exception]
KINDS = ("TFOpLambda", "SlicingOpLambda")
FLIP = "Flip"  # an operation of Keras 3, which is no layer
_CONSTANT = "_CONSTANT_VALUE"
_ELLIPSIS = {"class_name": "__ellipsis__"}
_AXES = 4  # of a map
_SUMS, _PRODUCTS = ("math.add", "__operators__.add", "nn.bias_add"), ("math.multiply", "__operators__.multiply")
_DIFFERENCES, _QUOTIENTS = ("math.subtract",), ("math.truediv", "math.divide")
_PLAIN: Mapping[str, tuple[str, Config]] = {
    "nn.relu": ("ReLU", {}),
    "nn.relu6": ("ReLU", {"max_value": 6.0}),
    "nn.elu": ("Activation", {"activation": "elu"}),
    "nn.selu": ("Activation", {"activation": "selu"}),
    "nn.silu": ("Activation", {"activation": "silu"}),
    "nn.softplus": ("Activation", {"activation": "softplus"}),
    "math.sigmoid": ("Activation", {"activation": "sigmoid"}),
    "math.tanh": ("Activation", {"activation": "tanh"}),
    "nn.softmax": ("Activation", {"activation": "softmax"}),
    "cast": ("Identity", {}),
    "identity": ("Identity", {}),
}
_MEANS = {"math.reduce_mean": "GlobalAveragePooling2D", "math.reduce_max": "GlobalMaxPooling2D"}
_CHANGES_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "name": (None,),
    "data_format": (None, "NHWC"),
    "axis": (None, -1),
    "dtype": ("float32",),
}


def as_layer(kind: str, name: str, function: str, nodes: list[Any], refuse: Refuse) -> tuple[str, Config, list[Any]]:
    """The layer's class, its configuration and where it is called.

    Args:
        kind: ``TFOpLambda`` or ``SlicingOpLambda``.
        function: as the file has it, ``math.truediv``.
        nodes: where the operation is called, as Keras 2 wrote it.
        refuse: the error that names the layer, from a reason.
    """
    calls = _calls_of(nodes)
    if kind == "SlicingOpLambda" and len(calls) == 1 and _turns_channels(calls[0][3]):
        return FLIP, {"name": name, "axis": -1}, [[[*calls[0][:3], {}]]]
    if kind == "SlicingOpLambda" or not calls:
        raise refuse(f"is {function} of TensorFlow, which no layer of Keras computes")
    (first, *_) = calls
    given = {
        key: value
        for key, value in first[3].items()
        if not _is_plain(value) or value not in _CHANGES_NOTHING.get(key, ())
    }
    if function == "concat":
        axis = first[3].get("axis", -1)
        return "Concatenate", {"name": name, "axis": axis}, [[[*call[:3], {}] for call in calls]]
    if len(calls) != 1:
        raise refuse(f"is {function} of {len(calls)} values, which is not read")
    if function in _PLAIN and not given:
        made, config = _PLAIN[function]
        return made, {"name": name, **config}, [[[*first[:3], {}]]]
    if function in _MEANS and given.pop("axis", None) in ([1, 2], [-3, -2]):
        keepdims = bool(given.pop("keepdims", False))
        if not given:
            return _MEANS[function], {"name": name, "keepdims": keepdims}, [[[*first[:3], {}]]]
    other = given.pop("y", given.pop("bias", None))
    if given or other is None:
        raise refuse(f"is {function} of TensorFlow with {', '.join(given) or 'nothing'}, which is not read")
    if first[0] == _CONSTANT:
        return _of_constant(name, function, first[2], other, refuse)
    if _is_call(other):
        kinds = {
            **dict.fromkeys(_SUMS, "Add"),
            **dict.fromkeys(_PRODUCTS, "Multiply"),
            **dict.fromkeys(_DIFFERENCES, "Subtract"),
        }
        if function not in kinds:
            raise refuse(f"is {function} of two values, which no layer of Keras computes")
        return kinds[function], {"name": name}, [[[*first[:3], {}], [*other[:3], {}]]]
    numbers = _numbers(other)
    if numbers is None:
        raise refuse(f"is {function} with {other!r}, which is no number")
    if function in _SUMS:
        return _scaled(name, first, 1.0, numbers)
    if function in _DIFFERENCES:
        return _scaled(name, first, 1.0, _each(lambda v: -v, numbers))
    if function in _PRODUCTS:
        return _scaled(name, first, numbers, 0.0)
    if function in _QUOTIENTS and 0 not in (numbers if isinstance(numbers, list) else [numbers]):
        return _scaled(name, first, _each(lambda v: 1 / v, numbers), 0.0)
    raise refuse(f"is {function} of TensorFlow, which is not read")


def _turns_channels(arguments: Mapping[str, Any]) -> bool:
    """Whether an index is ``[..., ::-1]``, or the same with every axis of a map."""
    given, more = arguments.get("slice_spec"), {k for k, v in arguments.items() if v is not None} - {"slice_spec"}
    if more or not isinstance(given, list) or not given or not all(isinstance(each, Mapping) for each in given):
        return False
    *before, last = given
    whole = [_slice_of(each) == (None, None, None) for each in before]
    return _slice_of(last) == (None, None, -1) and (before == [_ELLIPSIS] or (len(whole) == _AXES - 1 and all(whole)))


def _slice_of(given: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """(start, stop, step); a step of one is none."""
    if set(given) != {"start", "stop", "step"}:
        return None
    return given["start"], given["stop"], None if given["step"] == 1 else given["step"]


def _of_constant(name: str, function: str, constant: Any, other: Any, refuse: Refuse) -> tuple[str, Config, list[Any]]:
    """A number and a value: ``1 - x``."""
    numbers = _numbers(constant)
    if numbers is None or not _is_call(other) or function not in (*_SUMS, *_PRODUCTS, *_DIFFERENCES):
        raise refuse(f"is {function} of a number and a value, which is not read")
    if function in _PRODUCTS:
        return _scaled(name, other, numbers, 0.0)
    return _scaled(name, other, 1.0 if function in _SUMS else -1.0, numbers)


def _scaled(name: str, call: Call, scale: Any, offset: Any) -> tuple[str, Config, list[Any]]:
    return "Rescaling", {"name": name, "scale": scale, "offset": offset}, [[[*call[:3], {}]]]


def _calls_of(nodes: list[Any]) -> list[Call]:
    """The values of the one call: Keras 2 wrote a single one without the list around it."""
    node = nodes[0] if len(nodes) == 1 else []
    calls = [node] if _is_call(node) else node
    return [[*call, {}][:4] for call in calls] if isinstance(calls, list) and all(_is_call(c) for c in calls) else []


def _is_call(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _numbers(value: Any) -> Any:
    """A number, or one for each channel; None for anything else."""
    if isinstance(value, Mapping):
        value = value.get("value")
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, list):
        return value if value and all(isinstance(v, int | float) for v in value) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _each(change: Callable[[float], float], numbers: Any) -> Any:
    return [change(v) for v in numbers] if isinstance(numbers, list) else change(numbers)
