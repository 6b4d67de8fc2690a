"""``NetSpec``, ``layers`` (L) and ``params`` (P): prototxts written in Python."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

from fullconv.formats.caffe.proto import caffe_pb2


def _param_fields() -> dict[str, str]:
    """Layer type to the field of its own parameters: Convolution -> convolution_param."""
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields
    own = {f.message_type.name: f.name for f in fields if f.name.endswith("_param") and f.message_type is not None}
    return {name.removesuffix("Parameter"): field for name, field in own.items()}


_FIELDS = _param_fields()


class Top:
    """One output of a Function; what the next layer takes as its bottom."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """The net that leads to this top, named automatically."""
        return to_proto(self)


class Function:
    """A layer in the making: its type, its bottoms and its parameters."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for given in inputs:
            if not isinstance(given, Top):
                raise TypeError(f"{type_name} input {given!r} is not a Top")
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        if self.in_place:
            self.tops = tuple(Top(self, n) for n in range(len(inputs)))
        else:
            self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def layer(self, names: _Names) -> Any:
        """The LayerParameter."""
        message = caffe_pb2.LayerParameter(type=self.type_name)
        bottoms = [names.top(given) for given in self.inputs]
        message.bottom.extend(bottoms)
        message.top.extend(bottoms if self.in_place else [names.top(top) for top in self.tops])
        message.name = names.layer(self)
        for key, value in self.params.items():
            if key.endswith("param") or key in caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name:
                if key != "name":
                    _assign(message, key, value)
            else:
                _assign(getattr(message, _own_field(self.type_name)), key, value)
        return message


def _own_field(type_name: str) -> str:
    if type_name not in _FIELDS:
        raise AttributeError(f"layer type {type_name} has no parameters of its own; give them as xxx_param=dict(...)")
    return _FIELDS[type_name]


def _assign(message: Any, name: str, value: Any) -> None:
    """Set a field from Python values: dicts become messages, lists become repeated fields."""
    descriptor = message.DESCRIPTOR.fields_by_name.get(name)
    if descriptor is None:
        raise AttributeError(f"{message.DESCRIPTOR.name} has no field {name!r}")
    if descriptor.is_repeated:
        field = getattr(message, name)
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, dict):
                target = field.add()
                for key, inner in item.items():
                    _assign(target, key, inner)
            else:
                field.append(item)
    elif isinstance(value, dict):
        target = getattr(message, name)
        target.SetInParent()
        for key, inner in value.items():
            _assign(target, key, inner)
    elif descriptor.message_type is not None:
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


class _Names:
    """Names of tops and layers: those given, and the rest by type and number."""

    def __init__(self, given: dict[int, str]) -> None:
        self.given = given
        self.counts: Counter[str] = Counter()

    def top(self, top: Top) -> str:
        fn = top.fn
        if fn.in_place:
            return self.top(fn.inputs[top.n])
        if id(top) not in self.given:
            self.counts[fn.type_name] += 1
            self.given[id(top)] = fn.params.get("name", f"{fn.type_name}{self.counts[fn.type_name]}")
        return self.given[id(top)]

    def layer(self, fn: Function) -> str:
        if "name" in fn.params:
            return str(fn.params["name"])
        if fn.tops and id(fn.tops[0]) in self.given:
            return self.given[id(fn.tops[0])]
        if fn.in_place or not fn.tops:
            self.counts[fn.type_name] += 1
            return f"{fn.type_name}{self.counts[fn.type_name]}"
        return self.top(fn.tops[0])


def _functions(tops: list[Top]) -> Iterator[Function]:
    """Every function that leads to the tops, each after those that it reads."""
    done: set[int] = set()
    stack: list[tuple[Function, bool]] = [(top.fn, False) for top in reversed(tops)]
    while stack:
        fn, ready = stack.pop()
        if id(fn) in done:
            continue
        if ready:
            done.add(id(fn))
            yield fn
        else:
            stack.append((fn, True))
            stack += [(given.fn, False) for given in reversed(fn.inputs)]


def to_proto(*tops: Any) -> Any:
    """The NetParameter of everything that leads to these tops, layers named automatically."""
    listed = [top for given in tops for top in (given if isinstance(given, tuple) else (given,))]
    return _net(listed, {})


def _net(tops: list[Top], given: dict[int, str], extra: tuple[Function, ...] = ()) -> Any:
    names = _Names(given)
    net = caffe_pb2.NetParameter()
    net.layer.extend([fn.layer(names) for fn in [*_functions(tops), *extra]])
    return net


class NetSpec:
    """Tops under names: ``n.conv1 = L.Convolution(n.data, ...)``, then ``n.to_proto()``."""

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"no top is named {name!r}") from None

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def keys(self) -> list[str]:
        return list(self.tops)

    def vals(self) -> list[Any]:
        return list(self.tops.values())

    def update(self, other: Any) -> None:
        self.tops.update(other.tops)

    def to_proto(self) -> Any:
        """The NetParameter of all that was named, in the order of naming."""
        tops = [v for v in self.tops.values() if isinstance(v, Top)]
        silent = tuple(v for v in self.tops.values() if isinstance(v, Function))
        return _net(tops, {id(v): k for k, v in self.tops.items() if isinstance(v, Top)}, silent)


class _Layers:
    """``L.Convolution(bottom, num_output=...)``: any layer type as a function of bottoms and parameters."""

    def __getattr__(self, type_name: str) -> Any:
        if type_name.startswith("__"):
            raise AttributeError(type_name)

        def make(*args: Any, **kwargs: Any) -> Any:
            fn = Function(type_name, args, kwargs)
            if fn.ntop == 0:
                return fn
            return fn.tops[0] if len(fn.tops) == 1 else fn.tops

        return make


class _Params:
    """``P.Pooling.MAX``: enumeration values by layer type."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"Caffe has no {name} parameters")
        return message


layers = _Layers()
params = _Params()
