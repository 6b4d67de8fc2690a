"""Random PyTorch networks: every operator that has a spelling, with odd arguments, axes, constants and branches.

A network is text, so that one that fails is its own reproducer: parts by their constructors, and statements over ``x``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from types import CodeType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Shape = tuple[int, ...]
_LARGEST = 4000  # numbers of a value, for one image
_MOST = 1e4  # the largest of them


@dataclass(frozen=True)
class Recipe:
    """A network as text: ``image`` is (C, H, W), ``parts`` are constructors by name, ``lines`` are statements over ``x``."""

    image: tuple[int, int, int]
    parts: dict[str, str]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        parts = "".join(f"    {name} = {text}\n" for name, text in self.parts.items())
        return f"image {self.image}\n{parts}" + "".join(f"    {line}\n" for line in self.lines)

    def module(self, seed: int = 0) -> RecipeNet:
        return RecipeNet(self, seed)


class RecipeNet(nn.Module):
    """The module of a recipe, with weights of its own."""

    def __init__(self, recipe: Recipe, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        for name, text in recipe.parts.items():
            part = eval(text, _NAMES)
            if isinstance(part, nn.Module):
                self.add_module(name, _lively(part))
            else:
                self.register_parameter(name, nn.Parameter(part)) if part.is_floating_point() else self.register_buffer(
                    name, part
                )
        self.code: CodeType = compile("\n".join(recipe.lines), "recipe", "exec")
        self.eval()

    def forward(self, x: torch.Tensor) -> Any:
        values = {**_NAMES, "m": self, "x": x}
        exec(self.code, values)
        return values["x"]


_NAMES = {"torch": torch, "nn": nn, "F": F}


def _lively(part: nn.Module) -> nn.Module:
    """Statistics and scales that are not those of a fresh module."""
    for name, value in [*part.named_buffers(), *part.named_parameters()]:
        if value.is_floating_point() and ("running" in name or value.ndim == 1):
            value.data = torch.rand_like(value) + 0.5
    return part


class Writer:
    """Writes a recipe statement by statement; what does not run, or grows too large, is not taken."""

    def __init__(self, random: Random, image: tuple[int, int, int]) -> None:
        self.random, self.image = random, image
        self.parts: dict[str, str] = {}
        self.lines: list[str] = []
        torch.manual_seed(0)
        self.module = nn.Module()
        self.values: dict[str, Any] = {**_NAMES, "m": self.module, "x": torch.randn(2, *image)}

    @property
    def x(self) -> torch.Tensor:
        found: torch.Tensor = self.values["x"]
        return found

    @property
    def shape(self) -> Shape:
        return tuple(self.x.shape)

    def one(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def part(self, text: str) -> str:
        name = f"p{len(self.parts)}"
        self.parts[name] = text
        return f"m.{name}"

    def write(self, *lines: str) -> bool:
        """Take the statements if they run on two images, answer with a tensor of these images, and stay small."""
        values, before = dict(self.values), dict(self.parts)
        try:
            for name, text in self.parts.items():
                if not hasattr(self.module, name):
                    setattr(self.module, name, eval(text, _NAMES))
            self.module.eval()
            with torch.no_grad():
                exec("\n".join(lines), values)
        except (RuntimeError, IndexError, ValueError, TypeError, AttributeError):
            self.parts = before
            return False
        x = values["x"]
        fine = isinstance(x, torch.Tensor) and x.ndim >= 1 and len(x) == 2 and 0 < x.numel() <= 2 * _LARGEST
        if not fine or (x.is_floating_point() and not bool((x.abs() < _MOST).all())):
            return False
        self.values = values
        self.lines.extend(lines)
        return True

    def recipe(self) -> Recipe:
        read = set(re.findall(r"m\.(p\d+)", "\n".join(self.lines)))
        used = {name: part for name, part in self.parts.items() if name in read}
        return Recipe(self.image, used, tuple(self.lines))


Statement = Callable[[Writer], "str | list[str]"]
ANYWHERE: list[Statement] = []
ON_MAPS: list[Statement] = []
ON_VECTORS: list[Statement] = []


def _axis(w: Writer) -> int:
    rank = len(w.shape)
    return int(w.one(1, -1, 1, -1, rank - 1, *range(-rank + 1, rank)))


_UNARY = [
    "torch.abs(x)", "torch.ceil(x)", "torch.cos(x)", "torch.erf(x)", "torch.exp(-x.abs())", "torch.floor(x)", "torch.log(x.abs() + 1)",
    "torch.neg(x)", "torch.reciprocal(x.abs() + 1)", "torch.relu(x)", "x.relu_()", "torch.round(x)", "F.selu(x)", "torch.sigmoid(x)", "torch.sign(x)",
    "torch.sin(x)", "torch.sqrt(x.abs())", "torch.tan(x.clamp(-1, 1))", "torch.tanh(x)", "F.hardswish(x)", "torch.square(x)", "torch.rsqrt(x.abs() + 1)",
    "F.silu(x)", "F.mish(x)", "F.relu6(x)", "F.logsigmoid(x)", "F.hardsigmoid(x)", "torch.expm1(x.clamp(max=2))", "torch.log1p(x.abs())",
    "F.dropout(x, 0.5, False)", "F.dropout2d(x, 0.5, False)", "F.alpha_dropout(x, 0.5, False)", "x.contiguous()", "x.clone()", "x.detach()",
    "x.double().float()", "x.to(torch.int32).to(torch.float32)", "x.to(torch.int64).float()", "x.bool().float()", "(x > 0) * x", "x * (x > 0.1).float()",
    "(x > 0).to(x.dtype)", "x.to(torch.uint8).float() / 3", "x.type_as(x)", "F.gelu(x)", "F.gelu(x, approximate='tanh')", "F.leaky_relu(x, 0.3)", "F.leaky_relu(x)",
    "F.elu(x, 0.7)", "torch.celu(x, 1.7)", "F.softplus(x)", "F.softplus(x, 2.5, 3.0)", "F.softplus(x, 0.5)", "F.softplus(x, 1, 0.1)", "F.hardtanh(x, -0.5, 2)",
    "x.clamp(-1, 1)", "x.clamp(min=0.2)", "x.clamp(max=0.2)", "x.clamp_min(0.1)", "x.clamp_max(0.1)", "x.clamp(1, -1)", "torch.clip(x, -1, 0)",
    "F.threshold(x, 0.1, -3)", "F.threshold(x, 0.0, 0.0)", "torch.add(x, 2, alpha=0)", "torch.add(x, x, alpha=0)", "torch.add(x, x.abs(), alpha=-2.5)",
    "torch.sub(x, 1, alpha=3)", "torch.sub(x, x.relu(), alpha=0.5)", "torch.rsub(x, 1)", "torch.rsub(x, 2, alpha=3)", "1 - x", "2 / (x.abs() + 1)", "x - 0.5", "x * 0",
    "x / 3", "torch.div(x, 0.7, rounding_mode='floor')", "torch.div(x, 0.7, rounding_mode='trunc')", "x // 0.5", "x % 0.7", "torch.remainder(x, 2)",
    "torch.fmod(x, 0.5)", "torch.maximum(x, x * 0.5)", "torch.minimum(x, -x)", "x ** 2", "x ** 3", "x.abs() ** 0.5", "x.abs() ** x.sigmoid()", "2.0 ** x.clamp(-3, 3)",
    "torch.addcmul(x, x, x, value=0)", "torch.addcmul(x, x, x.sigmoid(), value=-0.5)", "torch.addcdiv(x, x, x.abs() + 1, value=2)", "torch.where(x > 0, x, -0.5 * x)",
    "torch.where(x > 0, x, 0.25)", "torch.where(x < 0.1, 1.0, x)", "(x >= 0).float()", "(x <= 0.3).float() - x", "(x < x.abs()).float()", "(x == 0).float() + x", "(x != 0).float() * x",
    "torch.lerp(x, -x, 0.3)", "torch.nan_to_num(x)", "x.masked_fill(x > 0, 0.5)", "torch.logical_not(x > 0).float()", "((x > 0) & (x < 1)).float()", "((x > 0) | (x < -1)).float()",
    "(x > 0).int() * 2.5", "torch.trunc(x)", "torch.frac(x)", "F.softsign(x)", "F.tanhshrink(x)", "F.hardshrink(x)", "F.softshrink(x, 0.2)", "torch.log2(x.abs() + 1)", "torch.exp2(x.clamp(-3, 3))",
    "x + x.shape[1]", "x * x.shape[-1]", "x / x.shape[2]", "x - x.size(0)", "x / x.numel()",
    "x.add_(1)", "x.mul_(0.5)", "x.clamp_(-1, 1)", "torch.atan(x)", "torch.asinh(x)", "torch.sinh(x.clamp(-2, 2))", "torch.pow(x, 1)", "torch.pow(x, 0)", "x.square().mean() * 0 + x",
]  # fmt: skip
for _text in _UNARY:
    ANYWHERE.append(lambda w, text=_text: f"x = {text}")  # type: ignore[misc]


def anywhere(statement: Statement) -> Statement:
    ANYWHERE.extend([statement] * 4)
    return statement


def on_maps(statement: Statement) -> Statement:
    ON_MAPS.extend([statement] * 3)
    return statement


def on_vectors(statement: Statement) -> Statement:
    ON_VECTORS.append(statement)
    return statement


@anywhere
def reduced(w: Writer) -> str:
    axis, keep = _axis(w), w.one(True, True, False)
    axis = w.one(axis, axis, [axis], [-1, -2], [1, 2], [2, 3], [-1])
    return w.one(
        f"x = x.mean({axis}, keepdim={keep})", f"x = x.amax({axis}, keepdim={keep})", f"x = x.amin({axis}, keepdim={keep})",
        f"x = x.sum({axis}, keepdim={keep})", f"x = x.prod({_axis(w)}, keepdim={keep})", f"x = x.var({axis}, keepdim={keep})",
        f"x = x.std({axis}, unbiased=False, keepdim={keep})", f"x = x.var({axis}, correction={w.one(0, 1, 2)}, keepdim={keep})", f"x = x.max({_axis(w)}, keepdim={keep})[0]",
        f"x = x.max({_axis(w)}, keepdim={keep}).values", f"x = x.norm(p={w.one(1, 2, 3)}, dim={axis}, keepdim={keep})", f"x = x.logsumexp({axis}, keepdim={keep})",
        f"x = torch.linalg.vector_norm(x, ord={w.one(1, 2, 'torch.inf')}, dim={axis}, keepdim={keep})", f"x = torch.var_mean(x, {axis}, keepdim={keep})[0]",
        f"x = x.mean({axis}, keepdim={keep}, dtype=torch.float64).float()", f"x = x.sum({axis}, keepdim={keep}, dtype=torch.float32)", f"x = x.median({_axis(w)}, keepdim={keep})[0]",
    )  # fmt: skip


@anywhere
def normalised(w: Writer) -> str:
    axis = _axis(w)
    return w.one(
        f"x = F.normalize(x, dim={axis})", f"x = F.normalize(x, p=1, dim={axis}, eps={w.one(1e-12, 0.5)})", f"x = F.softmax(x, {axis})", f"x = F.log_softmax(x, {axis})",
        f"x = F.softmin(x, {axis})", f"x = F.softmax(x, {axis}, dtype=torch.float64).float()", f"x = F.glu(x, {axis})", f"x = x / (x.mean({axis}, keepdim=True).abs() + 1)",
        f"x = x - x.amax({axis}, keepdim=True)", f"x = x.cumsum({axis})", f"x = x / x.norm(dim={axis}, keepdim=True).clamp(min=0.1)",
    )  # fmt: skip


@anywhere
def layer_norm(w: Writer) -> str:
    count = w.one(1, 1, 2, 3)
    last = w.shape[-count:]
    return f"x = {w.part(f'nn.LayerNorm({list(last)}, eps={w.one(1e-5, 0.1)}, elementwise_affine={w.one(True, False)})')}(x)"


@anywhere
def picked(w: Writer) -> str:
    axis = _axis(w)
    length = w.shape[axis]
    k = w.random.randint(1, max(1, length - 1))
    index = sorted(w.random.randrange(length) for _ in range(w.one(1, 2, length)))
    if w.one(True, False):
        w.random.shuffle(index)
    name = "m.p"
    if w.one(True, False, False):
        name = w.part(f"torch.tensor({index})")
    return w.one(
        f"x = x.narrow({axis}, {w.one(0, 1)}, {k})", f"x = x.select({axis}, {w.one(0, -1, k - 1)})", f"x = x.index_select({axis}, torch.tensor({index}))",
        f"x = x.index_select({axis}, {name})", f"x = x[:, {-k}:]", f"x = x[:, :{k}]", f"x = x[..., {-k}:]", f"x = x[..., :{-k}]", f"x = x[..., {k}:]", "x = x[:, ::2]", "x = x[..., ::2]",
        "x = x[:, :, ::2]", f"x = x[:, {k - 1}]", f"x = x[:, {k - 1}:{k}]", "x = x[..., 1:-1]", "x = x[:, :, 1:-1, 1:-1]", "x = x[..., -1]", f"x = x[:, {index}]", f"x = x.flip({axis})", f"x = x.roll(1, {axis})",
        f"x = x.topk({k}, {axis})[0]", f"x = x.argmax({axis}, keepdim={w.one(True, False)}).float()", f"x = x.topk({k}, dim={axis}, largest=False)[0]", f"x = x.sort({axis})[0]",
        "x = x[:, 1:-1]", f"x = x[:, {-k}:{-k + 1 if k > 1 else None}]", f"x = x[:, :, :{k}]", f"x = x[:, {k}:{length + 5}]", f"x = x.argmin({axis}, keepdim=True) * 0.1",
    )  # fmt: skip


@anywhere
def parted(w: Writer) -> str:
    axis = _axis(w)
    length = w.shape[axis]
    k = w.random.randint(1, max(1, length - 1))
    rejoin = w.one(f"torch.cat([b, a], {axis})", "a", "b", "a * b", f"torch.cat([a, b, a], dim={_axis(w)})", "a - b")
    return w.one(
        f"a, b = x.chunk(2, {axis}); x = {rejoin}", f"a, b = x.split([{k}, {length - k}], {axis}); x = {rejoin}", f"a, b, *_ = x.split({max(1, length // 2)}, {axis}); x = {rejoin}",
        f"a, b, *_ = x.unbind({axis}); x = a * 0.5 + b", f"x = torch.stack([x, -x], {axis}).sum({axis})", f"x = torch.stack(x.unbind({axis})[::-1], {axis})",
        f"x = torch.stack([x, x * 2], {axis}).amax({axis})", f"x = torch.cat([x, -x], {axis})", f"x = torch.cat([x, x.sigmoid(), x], {axis})", f"x = torch.cat([x, torch.zeros_like(x)], {axis})",
        f"x = torch.cat([x, torch.ones(x.shape[0], *x.shape[1:])], {axis})", f"x = x.repeat_interleave(2, {axis})", f"x = x.unflatten(1, (2, -1)).sum({w.one(1, 2)})", f"x = x.unflatten({axis}, (-1, 2)).flatten({w.one(1, -2)})",
    )  # fmt: skip


@anywhere
def constants(w: Writer) -> str:
    shape = w.shape
    rank = len(shape)
    i = w.random.randrange(1, rank) if rank > 1 else 0
    size = [1] * rank
    size[i] = shape[i]
    laid = w.one(
        size, size[1:], size[i:], [shape[-1]], [1], [shape[1] if rank > 1 else 1, *[1] * (rank - 2)], list(shape[1:])
    )
    p = w.part(w.one(f"torch.randn({laid})", f"torch.rand({laid})", "torch.randn(())"))
    return w.one(
        f"x = x + {p}", f"x = x * {p}", f"x = {p} - x", f"x = torch.where(x > {p}, x, {p})", f"x = torch.maximum(x, {p})", f"x = torch.addcmul(x, x, {p})", f"x = F.prelu(x, {p}.flatten())",
        f"x = torch.clamp(x, max={p})", f"x = x * {p}.sigmoid() + {p}", f"x = x.abs() ** {p}.sigmoid()", f"x = x / ({p}.abs() + 1)", f"x = x + {p}.expand_as(x)", f"x = torch.add(x, {p}, alpha=0.5)", f"x = torch.cat([x, {p}.expand_as(x)], {_axis(w)})",
    )  # fmt: skip


@anywhere
def branches(w: Writer) -> list[str]:
    again = w.one(
        "x.sigmoid()",
        "x.mean(1, keepdim=True)",
        "x.relu()",
        "x.tanh() * 0.5",
        "x.amax((2, 3), keepdim=True)",
        "x.mean((2, 3), keepdim=True).sigmoid()",
        "x.mean(-1, keepdim=True)",
        "x.flip(1)",
        "x",
    )
    join = w.one(
        "x + y",
        "x * y",
        "torch.cat([x, y], 1)",
        "y - x",
        "torch.maximum(x, y)",
        "torch.where(y > 0, x, y)",
        "torch.cat([y, x], -1)",
        "x * y + y",
    )
    if "y" in w.values and w.one(True, False):
        return [f"x = {join}"]
    return [f"y = {again}"] if w.one(True, False) else [f"y = {again}", f"x = {join}"]


@anywhere
def laid_out(w: Writer) -> str:
    shape, rank = w.shape, len(w.shape)
    order = [0, *w.random.sample(range(1, rank), rank - 1)] if rank > 1 else [0]
    a, b = _axis(w), _axis(w)
    rest = 1
    for size in shape[1:]:
        rest *= size
    return w.one(
        f"x = x.permute({order})", f"x = x.transpose({a}, {b})", f"x = x.movedim({a}, {b})", f"x = x.flatten({w.one(1, 1, 2)})", f"x = x.unsqueeze({w.one(1, -1, 2)})", f"x = x.squeeze({w.one('', 1, -1, a)})",
        "x = x.reshape(x.shape[0], -1)", f"x = x.view(x.size(0), {w.one(2, 3, 1)}, -1)", f"x = x.reshape(-1, {rest})", f"x = x.reshape(2 * x.shape[0] // 2, {shape[1] if rank > 1 else 1}, -1)", "x = x[:, :, None]", "x = x[:, None]",
        "x = x[..., None]", "x = x[:, :, None, None]", f"x = x.swapaxes({a}, {b})", "x = x.permute(0, 2, 3, 1)", "x = x.permute(0, 3, 1, 2)", f"x = x.reshape(x.shape[0], {rest // 2 or 1}, 2)", f"x = x.expand(-1, {w.one(2, 3)}, *x.shape[2:])",
        f"x = x.expand(x.shape[0], *x.shape[1:-1], {w.one(2, 4)})", f"x = x.repeat(1, {w.one(1, 2)}, *[1] * {max(0, rank - 2)})", "x = x.squeeze(-1).squeeze(-1)", f"x = x.reshape({w.one('x.shape[0], -1, 1, 1', 'x.shape[0], 1, -1', '-1, 1, 1, x.shape[-1]')})",
    )  # fmt: skip


@anywhere
def dense(w: Writer) -> str:
    last = w.shape[-1]
    outs = w.one(2, 3, 5, 8)
    matrix = f"torch.randn({last}, {outs})"
    return w.one(
        f"x = {w.part(f'nn.Linear({last}, {outs}, bias={w.one(True, False)})')}(x)", f"x = {w.part(f'nn.Linear({last}, {outs})')}(x)", f"x = x @ {w.part(matrix)} * 0.3", f"x = torch.matmul(x, {w.part(matrix)}) * 0.3",
        f"x = torch.addmm({w.part(f'torch.randn({outs})')}, x, {w.part(matrix)}, beta={w.one(1, 0, 0.5)}, alpha={w.one(1, 0.25, 0)})", f"x = torch.einsum('...c,ck->...k', x, {w.part(matrix)})",
        f"x = torch.einsum('nchw,kc->nkhw', x, {w.part(f'torch.randn({outs}, {w.shape[1] if len(w.shape) > 1 else 1})')})", "x = torch.bmm(x, x.transpose(1, 2))", f"x = F.bilinear(x, x, {w.part(f'torch.randn({outs}, {last}, {last})')})",
    )  # fmt: skip


@anywhere
def padded(w: Writer) -> str:
    a, b = w.one(0, 1, 2, -1), w.one(0, 1, 2, -1)
    return w.one(
        f"x = F.pad(x, ({a}, {b}))", f"x = F.pad(x, ({a}, {b}), value={w.one(0.5, -1)})", f"x = F.pad(x, ({a}, {b}, {b}, {a}))", f"x = F.pad(x, ({a}, {b}, {b}, {a}), value=0.3)", f"x = F.pad(x, (0, 0, 0, 0, {a}, {b}))",
        f"x = F.pad(x, ({a}, {b}, {b}, {a}), mode='reflect')", f"x = F.pad(x, ({a}, {b}, {b}, {a}), mode='replicate')", f"x = F.pad(x, ({a}, {b}, {b}, {a}), mode='circular')", f"x = F.pad(x, ({b}, {b}), value=float('-inf')).amax(-1, keepdim=True)",
    )  # fmt: skip


@on_maps
def convolved(w: Writer) -> str:
    c, kernel = w.shape[1], w.one(1, 1, 2, 3, 3, (1, 3), (3, 2), 4, 5)
    groups = w.one(1, 1, 1, c, *(g for g in (2, 3) if c % g == 0))
    out = groups * w.one(1, 2, 3) if groups > 1 else w.one(2, 3, 4, 6)
    more = w.one(
        "",
        "",
        ", stride=2",
        ", stride=(2, 1)",
        ", padding=1",
        ", padding=(0, 1)",
        ", dilation=2",
        ", stride=2, padding=1",
        ", padding='same'",
        ", padding='valid'",
        ", bias=False",
        ", padding=1, padding_mode='reflect'",
        ", padding=1, padding_mode='circular'",
        ", stride=3",
    )
    return f"x = {w.part(f'nn.Conv2d({c}, {out}, {kernel}, groups={groups}{more})')}(x)"


@on_maps
def convolved_back(w: Writer) -> str:
    c, kernel = w.shape[1], w.one(1, 2, 3, 4)
    more = w.one(
        "",
        ", stride=2",
        ", stride=2, output_padding=1",
        ", padding=1",
        ", stride=2, padding=1, output_padding=1",
        ", dilation=2",
    )
    return f"x = {w.part(f'nn.ConvTranspose2d({c}, {w.one(2, 3)}, {kernel}{more})')}(x)"


@on_maps
def pooled(w: Writer) -> str:
    kernel, stride = w.one(2, 2, 3, (2, 3), (3, 1)), w.one("None", "None", 1, 2, (1, 2), 3)
    padding, ceil = w.one(0, 0, 1, (0, 1)), w.one(False, False, True)
    return w.one(
        f"x = F.max_pool2d(x, {kernel}, {stride}, {padding}, ceil_mode={ceil})", f"x = F.max_pool2d(x, {kernel}, {stride}, {padding}, dilation=2, ceil_mode={ceil})",
        f"x = F.avg_pool2d(x, {kernel}, {stride}, {padding}, ceil_mode={ceil}, count_include_pad={w.one(True, False)})", f"x = F.avg_pool2d(x, {kernel}, {stride}, {padding}, ceil_mode={ceil}, divisor_override={w.one(1, 3, 4)})",
        f"x = F.lp_pool2d(x.abs(), {w.one(1, 2, 3)}, {kernel}, ceil_mode={ceil})", f"x = F.adaptive_avg_pool2d(x, {w.one(1, 1, 2, 3, (2, 3), (None, 1), (1, None), (4, 4))})", f"x = F.adaptive_max_pool2d(x, {w.one(1, 1, 2, (None, 1), (3, 3))})",
        f"x = F.max_pool2d(x, {kernel}, return_indices=True)[0]", f"x = F.avg_pool2d(x, {w.shape[-2:] if len(w.shape) == 4 else 2})", f"x = F.max_pool2d(x, {w.shape[-2:] if len(w.shape) == 4 else 2})",
    )  # fmt: skip


@on_maps
def normalised_maps(w: Writer) -> str:
    c = w.shape[1]
    return w.one(
        f"x = {w.part(f'nn.BatchNorm2d({c}, eps={w.one(1e-5, 0.1)}, affine={w.one(True, False)})')}(x)", f"x = {w.part(f'nn.BatchNorm2d({c}, track_running_stats=False)')}(x)", f"x = {w.part(f'nn.GroupNorm({w.one(1, 2, c)}, {c})')}(x)",
        f"x = {w.part(f'nn.InstanceNorm2d({c}, affine={w.one(True, False)}, track_running_stats={w.one(False, False, True)})')}(x)", f"x = {w.part(f'nn.LocalResponseNorm({w.one(2, 3, 5)}, alpha={w.one(1e-4, 0.5)}, beta=0.6, k=1.5)')}(x)", f"x = {w.part(f'nn.PReLU({w.one(1, c)})')}(x)",
        "x = F.layer_norm(x, x.shape[1:])", f"x = F.batch_norm(x, {w.part(f'torch.zeros({c})')}.detach(), {w.part(f'torch.ones({c})')}.detach(), training={w.one(True, False)})", "x = x - x.mean((2, 3), keepdim=True)", "x = F.rms_norm(x, x.shape[1:])",
    )  # fmt: skip


@on_maps
def resampled(w: Writer) -> str:
    c = w.shape[1]
    factor, mode = w.one(2, 2, 3, 1.5, (2, 1), 0.5), w.one("nearest", "bilinear", "bicubic", "area", "nearest-exact")
    corners = w.one("", ", align_corners=True", ", align_corners=False") if mode in ("bilinear", "bicubic") else ""
    return w.one(
        f"x = F.interpolate(x, scale_factor={factor}, mode='{mode}'{corners})", f"x = F.interpolate(x, size={w.one(8, 10, (6, 9))}, mode='{mode}'{corners})", f"x = F.interpolate(x, size=(x.shape[2] * 2, x.shape[3] * 2), mode='{mode}'{corners})", f"x = F.pixel_unshuffle(x, {w.one(2, 3)})",
        "x = F.pixel_shuffle(x, 2)", f"x = F.channel_shuffle(x, {w.one(2, 3)})", f"x = x.view(x.shape[0], {w.one(2, 3)}, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape[0], {c}, *x.shape[2:])", f"x = x * F.interpolate(x, scale_factor=1.0, recompute_scale_factor={w.one(True, False)})",
        "x = F.unfold(x, 2).unflatten(2, (x.shape[2] - 1, -1))", "x = x + torch.arange(x.shape[3])", "x = x * torch.arange(x.shape[1]).view(-1, 1, 1)", "x = x + torch.linspace(0, 1, x.shape[2])[:, None]", "x = torch.cat([x, torch.arange(float(x.shape[3])).expand(x.shape[0], 1, *x.shape[2:])], 1)",
    )  # fmt: skip


@on_maps
def gates(w: Writer) -> str:
    c = w.shape[1]
    fc = w.part(f"nn.Linear({c}, {c})")
    return w.one(
        f"x = x * {fc}(x.mean((2, 3))).sigmoid()[:, :, None, None]", f"x = x * {w.part(f'nn.Conv2d({c}, {c}, 1)')}(F.adaptive_avg_pool2d(x, 1)).sigmoid()", "x = x * x.amax((2, 3), keepdim=True).sigmoid()", f"x = x + x.var((2, 3), keepdim={True})",
        f"x = x * {w.part('nn.Conv1d(1, 1, 3, padding=1)')}(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1).sigmoid()", "x = x * x.mean(3, keepdim=True).sigmoid() * x.mean(2, keepdim=True).tanh()", "x = x / (x.sum((2, 3), keepdim=True).abs() + 1)", f"x = x * F.normalize({fc}(x.mean((-2, -1))), dim=-1)[..., None, None]",
    )  # fmt: skip


def random_recipe(seed: int, most: int = 8) -> Recipe:
    """A recipe of a body, most often a head, and what comes behind it."""
    random = Random(seed)
    image = (random.choice([1, 2, 3, 4]), random.randint(9, 16), random.randint(9, 16))
    w = Writer(random, image)
    if random.random() < 0.7:
        w.write(convolved(w))
    for _ in range(random.randint(0, most)):
        w.write(*_lines((random.choice(ANYWHERE + ON_MAPS * 2))(w)))
    if random.random() < 0.85:
        head(w)
        for _ in range(random.randint(0, 4)):
            w.write(*_lines(random.choice(ANYWHERE)(w)))
    if not w.lines:
        w.write(convolved(w))
    return w.recipe()


def head(w: Writer) -> None:
    rank = len(w.shape)
    if rank == 4:
        size = list(w.shape[2:])
        w.write(w.one(
            "x = x.flatten(1)", "x = x.mean((2, 3))", "x = F.adaptive_avg_pool2d(x, 1).flatten(1)", "x = x.amax((-1, -2))", "x = F.adaptive_max_pool2d(x, 1).squeeze(-1).squeeze(-1)", f"x = F.avg_pool2d(x, {size}).view(x.shape[0], -1)",
            "x = x.permute(0, 2, 3, 1).flatten(1)", "x = x.mean(3).mean(2)", "x = x.flatten(2).mean(-1)", "x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)", "x = x.mean((2, 3), keepdim=True)", "x = x.flatten(2).transpose(1, 2).mean(1)",
            "x = x.mean((1, 2))", "x = x.flatten(2).permute(0, 2, 1)", "x = F.max_pool2d(x, x.shape[2:])[:, :, 0, 0]", "x = x.sum((2, 3))", "x = x.flatten(2).logsumexp(-1)",
        ))  # fmt: skip
    w.write(dense(w))


def _lines(made: str | list[str]) -> list[str]:
    return [made] if isinstance(made, str) else made
