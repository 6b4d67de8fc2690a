"""Random nets of Caffe's layers with odd parameters, beside what the formulas make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from fullconv.formats.caffe.proto import caffe_pb2 as pb
from tests.formats.caffe.formulas import CELLWISE, Array, Unfit, compute, learned

_PARAM = {"AbsVal": None, "BNLL": None, "Convolution": "convolution_param", "Deconvolution": "convolution_param"}
_WORDS = {"operation", "pool", "norm_region", "round_mode"}  # enums, which text writes without quotes
_MOST = 6000  # values of a blob
IN_PLACE = {*CELLWISE, "Power", "PReLU", "BatchNorm", "Scale", "Bias", "Softmax", "MVN"} - {"AbsVal"}


@dataclass(frozen=True)
class Part:
    """A layer as text needs it and as formulas do."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    fields: dict[str, Any]

    def text(self) -> str:
        sides = [f'bottom: "{b}"' for b in self.bottoms] + [f'top: "{t}"' for t in self.tops]
        fields = " ".join(_field(name, value) for name, value in self.fields.items())
        param = _PARAM.get(self.kind, f"{_snake(self.kind)}_param")
        inner = f"{param} {{ {fields} }}" if fields else ""
        return f'layer {{ name: "{self.name}" type: "{self.kind}" {" ".join(sides)} {inner} }}'


def _snake(kind: str) -> str:
    return {"ArgMax": "argmax", "TanH": "tanh", "ReLU": "relu", "PReLU": "prelu", "InnerProduct": "inner_product",
            "BatchNorm": "batch_norm", "ShuffleChannel": "shuffle_channel"}.get(kind, kind.lower())  # fmt: skip


def _field(name: str, value: Any) -> str:
    if name == "dims":
        return f"shape {{ {' '.join(f'dim: {d}' for d in value)} }}"
    if isinstance(value, list):
        return " ".join(f"{name}: {v}" for v in value)
    return f"{name}: {str(value).lower() if isinstance(value, bool) else value}"


@dataclass
class RandomNet:
    """A net that grows by one random layer after another; those that Caffe would refuse are left out."""

    seed: int
    shape: tuple[int, ...] = ()
    parts: list[Part] = field(default_factory=list)
    weights: dict[str, list[Array]] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)  # what stands in each blob at the end
    readers: dict[str, int] = field(default_factory=dict)
    shared: set[str] = field(
        default_factory=set
    )  # blobs whose memory is another's too, where nothing may be written over

    @property
    def text(self) -> str:
        dims = " ".join(f"dim: {d}" for d in self.shape)
        head = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
        return "\n".join([head, *(part.text() for part in self.parts)])

    def caffemodel(self) -> bytes:
        net = pb.NetParameter()
        for name, arrays in self.weights.items():
            layer = net.layer.add(name=name, type=next(part.kind for part in self.parts if part.name == name))
            for array in arrays:
                blob = layer.blobs.add()
                blob.shape.dim.extend(array.shape)
                blob.data.extend(array.ravel().tolist())
                if not array.shape:
                    blob.ClearField("shape")  # as Caffe writes a scalar
        return bytes(net.SerializeToString())

    def forward(self, image: Array) -> dict[str, Array]:
        """Every blob for another image of the input's channels."""
        values = {"data": image.astype(float)}
        for part in self.parts:
            tops = compute(
                part.kind, part.fields, [values[b] for b in part.bottoms], self._arrays(part), len(part.tops)
            )
            values.update(zip(part.tops, tops, strict=True))
        return values

    def _arrays(self, part: Part) -> list[Array]:
        return [array.astype(float) for array in self.weights.get(part.name, [])]

    @property
    def outputs(self) -> list[str]:
        read = {b for part in self.parts for b in part.bottoms if b not in part.tops}
        return [blob for blob in self.values if blob not in read and blob != "data"]


def random_net(seed: int, most: int = 7, kinds: list[str] | None = None) -> RandomNet:
    """The net of a seed."""
    rng, net = Random(seed), RandomNet(seed)
    net.shape = (1, rng.randint(1, 4), rng.randint(5, 11), rng.randint(5, 11))
    noise = np.random.default_rng(seed)
    net.values["data"] = noise.standard_normal(net.shape).astype(np.float32).astype(float)
    for _ in range(rng.randint(2, most)):
        for _ in range(8):
            if _grow(net, rng, noise, rng.choice(kinds or KINDS)):
                break
    if not net.parts:
        _grow(net, rng, noise, "ReLU")
    return net


def net_of(shape: tuple[int, ...], *parts: tuple[str, dict[str, Any]], seed: int = 0) -> RandomNet:
    """A net of these layers (kind, fields), each reading the one before it, with random weights."""
    noise = np.random.default_rng(seed)
    net = RandomNet(seed, shape, values={"data": noise.standard_normal(shape)})
    last = "data"
    for i, (kind, fields) in enumerate(parts):
        part = Part(f"{kind.lower()}{i}", kind, (last,), (f"y{i}",), fields)
        ins = [net.values[last]]
        net.weights[part.name] = [_array(noise, kind, j, s) for j, s in enumerate(learned(kind, fields, ins))]
        net.parts.append(part)
        last = f"y{i}"
        net.values[last] = compute(kind, fields, ins, net._arrays(part))[0]
    net.weights = {name: arrays for name, arrays in net.weights.items() if arrays}
    return net


def _grow(net: RandomNet, rng: Random, noise: np.random.Generator, kind: str) -> bool:
    name = f"{kind.lower()}{len(net.parts)}"
    blobs = list(net.values)
    last = blobs[-1] if rng.random() < 0.75 else rng.choice(blobs)
    x = net.values[last]
    more = _more(net, rng, kind, last)
    fields = _fields(rng, kind, x, len(more))
    tops = tuple(f"{name}.{i}" for i in range(rng.randint(1, 3) if kind == "Slice" else 1))
    free = last != "data" and not net.readers.get(last) and last not in net.shared
    if free and rng.random() < 0.3 and (kind in IN_PLACE or (kind == "Eltwise" and fields.get("operation") == "PROD")):
        if last in more:
            return False
        tops = (last,)
    if kind == "Slice" and "slice_point" in fields:
        fields["slice_point"] = sorted(rng.sample(range(1, 12), len(tops) - 1))
        if not fields["slice_point"]:
            del fields["slice_point"]
    part = Part(name, kind, (last, *more), tops, fields)
    ins = [net.values[b] for b in part.bottoms]
    try:
        shapes = learned(kind, fields, ins)
        if any(np.prod(shape) > _MOST for shape in shapes):
            return False
        arrays = [_array(noise, kind, i, shape) for i, shape in enumerate(shapes)]
        with np.errstate(all="ignore"):
            outs = compute(kind, fields, ins, [a.astype(float) for a in arrays], len(tops))
    except Unfit:
        return False
    if any(not out.size or out.size > _MOST or out.ndim > 6 or not _tame(out) for out in outs):
        return False
    if tops == (last,) and outs[0].shape != x.shape:
        return False
    if kind == "MVN" and float(x.std(axis=tuple(range(2, x.ndim))).min()) < 0.01 * float(np.abs(x).max()):
        return False  # less their mean, such numbers are little but rounding
    net.parts.append(part)
    if arrays:
        net.weights[name] = arrays
    if kind in ("Flatten", "Reshape", "Concat", "Slice"):
        net.shared.update(part.bottoms, tops)
    for bottom in part.bottoms:
        net.readers[bottom] = net.readers.get(bottom, 0) + 1
    for top, out in zip(tops, outs, strict=True):
        net.values.pop(top, None)
        net.values[top] = out
        net.readers[top] = 0
    return True


def _tame(out: Array) -> bool:
    """Values that rounding cannot blow up."""
    return bool(np.isfinite(out).all()) and float(np.abs(out).max()) < 1e3 and float(np.abs(out).max()) > 1e-6


def _array(noise: np.random.Generator, kind: str, i: int, shape: tuple[int, ...]) -> Array:
    values = noise.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))
    if kind == "BatchNorm" and i:
        values = np.abs(values) + 0.5
    return np.asarray(values, np.float32)


def _more(net: RandomNet, rng: Random, kind: str, last: str) -> tuple[str, ...]:
    """Further bottoms."""
    shape = net.values[last].shape
    same = [b for b, v in net.values.items() if v.shape == shape]
    near = [b for b, v in net.values.items() if v.ndim == len(shape)]
    if kind == "Eltwise":
        return tuple(rng.choice(same) for _ in range(rng.randint(1, 2)))
    if kind == "Concat":
        return tuple(rng.choice(same if rng.random() < 0.7 else near) for _ in range(rng.randint(0, 2)))
    if kind == "Crop":
        return (rng.choice(near),)
    if kind in ("Scale", "Bias") and rng.random() < 0.3:
        return (rng.choice(list(net.values)),)
    return ()


def _axis(rng: Random, rank: int, usual: int = 1) -> int:
    return usual if rng.random() < 0.6 else rng.randint(-rank, rank - 1) if rank else 0


def _fields(rng: Random, kind: str, x: Array, more: int) -> dict[str, Any]:
    made = _MAKE.get(kind, lambda rng, x, more: {})(rng, x, more)
    return {name: value for name, value in made.items() if value is not None}


def _maybe(rng: Random, value: Any, chance: float = 0.5) -> Any:
    return value if rng.random() < chance else None


def _conv(rng: Random, x: Array, more: int) -> dict[str, Any]:
    rank = x.ndim
    axis = _maybe(rng, _axis(rng, rank), 0.3)
    if rank and rank - 1 - (1 if axis is None else axis % rank) > 3:
        axis = rank - 4  # convolutions run over three axes at most
    group = rng.choice([1, 1, 1, x.shape[1] if rank > 1 else 1, 2])
    made = {
        "num_output": group * rng.randint(1, 3), "group": _maybe(rng, group) if group == 1 else group, "axis": axis,
        "bias_term": _maybe(rng, rng.random() < 0.5), "dilation": _maybe(rng, rng.randint(1, 2), 0.3),
    }  # fmt: skip
    if rng.random() < 0.5:
        made |= {"kernel_size": rng.randint(1, 4), "stride": rng.randint(1, 3), "pad": _maybe(rng, rng.randint(0, 3))}
    else:
        made |= {"kernel_h": rng.randint(1, 4), "kernel_w": rng.randint(1, 4), "pad_h": _maybe(rng, rng.randint(0, 2)),
                 "pad_w": _maybe(rng, 1), "stride_h": rng.randint(1, 2), "stride_w": rng.randint(1, 3)}  # fmt: skip
    return made


def _pool(rng: Random, x: Array, more: int) -> dict[str, Any]:
    if rng.random() < 0.3:
        return {"global_pooling": True, "pool": _maybe(rng, "AVE")}
    made: dict[str, Any] = {"pool": _maybe(rng, "AVE"), "round_mode": _maybe(rng, "FLOOR", 0.2)}
    if rng.random() < 0.2 and x.ndim == 4:
        made |= {"kernel_h": x.shape[2], "kernel_w": x.shape[3], "stride": _maybe(rng, rng.randint(1, 4))}
    elif rng.random() < 0.7:
        made |= {
            "kernel_size": rng.randint(1, 4),
            "stride": _maybe(rng, rng.randint(1, 4)),
            "pad": _maybe(rng, rng.randint(0, 2)),
        }
    else:
        made |= {"kernel_h": rng.randint(1, 4), "kernel_w": rng.randint(1, 4), "stride_h": rng.randint(1, 3),
                 "stride_w": rng.randint(1, 3), "pad_h": rng.randint(0, 1), "pad_w": rng.randint(0, 1)}  # fmt: skip
    return made


def _dense(rng: Random, x: Array, more: int) -> dict[str, Any]:
    return {"num_output": rng.randint(2, 6), "bias_term": _maybe(rng, rng.random() < 0.5), "transpose": _maybe(rng, True, 0.3),
            "axis": _maybe(rng, _axis(rng, x.ndim), 0.3)}  # fmt: skip


def _operand(rng: Random, x: Array, more: int) -> dict[str, Any]:
    return {"axis": _maybe(rng, _axis(rng, x.ndim, 0 if more else 1)), "num_axes": _maybe(rng, rng.randint(-1, 2), 0.4)}


def _reshape(rng: Random, x: Array, more: int) -> dict[str, Any]:
    start = rng.choice([0, 0, 1, _axis(rng, x.ndim)])
    choices = [0, 0, -1, 1, *x.shape, 2, 3]
    dims = [rng.choice(choices) for _ in range(rng.randint(1, 4))]
    usual = rng.random()
    if usual < 0.3:
        start, dims = 0, [0, -1]
    elif usual < 0.5:
        start, dims = 0, [0, -1, 1, 1]
    return {"axis": start or None, "dims": dims, "num_axes": _maybe(rng, rng.randint(0, 3), 0.3)}


_MAKE: dict[str, Any] = {
    "ArgMax": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim)), "top_k": _maybe(r, r.randint(1, 3)), "out_max_val": _maybe(r, True, 0.3)},
    "BatchNorm": lambda r, x, m: {"use_global_stats": _maybe(r, r.random() < 0.7), "eps": _maybe(r, 0.01)},
    "Bias": _operand,
    "Clip": lambda r, x, m: {"min": -1.0, "max": 0.5},
    "Concat": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim))} if r.random() < 0.8 else {"concat_dim": r.randint(0, 3)},
    "Convolution": _conv,
    "Crop": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim, 2)), "offset": _maybe(r, [r.randint(0, 2) for _ in range(r.randint(1, 2))])},
    "Deconvolution": _conv,
    "ELU": lambda r, x, m: {"alpha": _maybe(r, 0.3)},
    "Eltwise": lambda r, x, m: (lambda op: {"operation": op, "coeff": _maybe(r, [0.5, -2.0, 0.25][: m + 1]) if op != "PROD" else None})(r.choice(["SUM", "PROD", "MAX"])),
    "Exp": lambda r, x, m: {"base": _maybe(r, 2.0), "scale": _maybe(r, 0.5), "shift": _maybe(r, 0.25)},
    "Flatten": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim)), "end_axis": _maybe(r, _axis(r, x.ndim, -1), 0.3)},
    "InnerProduct": _dense,
    "LRN": lambda r, x, m: {"local_size": _maybe(r, r.choice([1, 3, 5, 7])), "alpha": _maybe(r, r.choice([0.5, 0.0, -0.01, 2.0])), "beta": _maybe(r, r.choice([0.75, 0.5, 1.0])), "k": _maybe(r, 2.0), "norm_region": _maybe(r, "WITHIN_CHANNEL", 0.4)},
    "Log": lambda r, x, m: {"base": _maybe(r, 10.0), "scale": 0.125, "shift": 20.0},
    "MVN": lambda r, x, m: {"across_channels": _maybe(r, True, 0.3), "normalize_variance": _maybe(r, r.random() < 0.5), "eps": 0.1},
    "PReLU": lambda r, x, m: {"channel_shared": _maybe(r, True)},
    "Pooling": _pool,
    "Power": lambda r, x, m: {"power": _maybe(r, r.choice([2.0, 0.0, 3.0])), "scale": _maybe(r, r.choice([0.5, 0.0])), "shift": _maybe(r, r.choice([1.0, 2.0]))},
    "ReLU": lambda r, x, m: {"negative_slope": _maybe(r, 0.1)},
    "Reduction": lambda r, x, m: {"operation": r.choice(["SUM", "MEAN", "ASUM", "SUMSQ"]), "axis": _maybe(r, _axis(r, x.ndim)), "coeff": _maybe(r, 0.5)},
    "Reshape": _reshape,
    "SPP": lambda r, x, m: {"pyramid_height": r.randint(1, 3), "pool": _maybe(r, "AVE")},
    "Scale": lambda r, x, m: {**_operand(r, x, m), "bias_term": _maybe(r, True)},
    "ShuffleChannel": lambda r, x, m: {"group": _maybe(r, r.randint(1, 3))},
    "Slice": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim)), "slice_point": _maybe(r, [1])},
    "Softmax": lambda r, x, m: {"axis": _maybe(r, _axis(r, x.ndim), 0.4)},
    "Swish": lambda r, x, m: {"beta": _maybe(r, 0.5)},
    "Threshold": lambda r, x, m: {"threshold": _maybe(r, 0.125)},
    "Tile": lambda r, x, m: {"tiles": r.randint(1, 3), "axis": _maybe(r, _axis(r, x.ndim))},
}  # fmt: skip

_USUAL = ["Convolution", "Pooling", "InnerProduct", "ReLU", "Flatten", "Softmax", "Reshape"]
KINDS = [*CELLWISE, "Power", *(kind for kind in _MAKE if kind not in CELLWISE and kind != "Power"), *_USUAL * 4]
