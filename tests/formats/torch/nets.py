"""Small PyTorch networks, one a structure of a classifier's head or body."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SHAPE = (3, 16, 16)


def trunk(channels: int = 4) -> nn.Sequential:
    """16 -> 14 -> 7 cells, no padding."""
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2))


class Of(nn.Module):
    """A module of parts and a function over them."""

    def __init__(self, run, **parts: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor):
        return self.run(self, x)


class GeM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x.clamp(min=1e-6).pow(self.p), 1).pow(1 / self.p).flatten(1)


class WS(nn.Conv2d):
    """A convolution of standardised weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.weight
        mean, var = w.mean(dim=(1, 2, 3), keepdim=True), w.var(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, (w - mean) / torch.sqrt(var + 1e-5), self.bias, self.stride, self.padding)


class Tied(nn.Module):
    """One matrix for two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.fc = trunk(), nn.Linear(196, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        f = self.trunk(x).flatten(1)
        return F.linear(f, self.fc.weight, self.fc.bias) + F.linear(f * 0.5, self.fc.weight)


def shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def _linear(inputs: int, outputs: int = 5) -> nn.Linear:
    return nn.Linear(inputs, outputs)


EXACT = {
    "flatten": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196)),
    "dense layers with dropout": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196, 9), nn.ReLU(), nn.Dropout(), _linear(9)),
    "view by the batch": lambda: Of(lambda m, x: m.fc(m.t(x).view(x.size(0), -1)), t=trunk(), fc=_linear(196)),
    "permuted before the flatten (w h c)": lambda: Of(lambda m, x: m.fc(m.t(x).permute(0, 3, 2, 1).flatten(1)), t=trunk(), fc=_linear(196)),
    "channels last before the flatten": lambda: Of(lambda m, x: m.fc(m.t(x).permute(0, 2, 3, 1).reshape(x.shape[0], 196)), t=trunk(), fc=_linear(196)),
    "some channels only": lambda: Of(lambda m, x: m.fc(m.t(x)[:, 1:3].flatten(1)), t=trunk(), fc=_linear(98)),
    "global average": lambda: nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), _linear(4)),
    "mean over the map": lambda: Of(lambda m, x: m.fc(m.t(x).mean((2, 3))), t=trunk(), fc=_linear(4)),
    "two means": lambda: Of(lambda m, x: m.fc(m.t(x).mean(3).mean(2)), t=trunk(), fc=_linear(4)),
    "global max": lambda: nn.Sequential(trunk(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), _linear(4)),
    "average and maximum together": lambda: Of(
        lambda m, x: m.fc(torch.cat([F.adaptive_avg_pool2d(m.t(x), 1), F.adaptive_max_pool2d(m.t(x), 1)], 1).flatten(1)), t=trunk(), fc=_linear(8)
    ),
    "mean of average and maximum": lambda: Of(
        lambda m, x: m.fc(0.5 * (m.t(x).mean((2, 3)) + m.t(x).amax((2, 3)))), t=trunk(), fc=_linear(4)
    ),
    "generalised mean": lambda: nn.Sequential(trunk(), GeM(), _linear(4)),
    "an adaptive pool that is the identity": lambda: nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), _linear(196)),
    "an adaptive pool to a part": lambda: nn.Sequential(nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(4), nn.Flatten(), _linear(64)),
    "batch norm between dense layers": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196, 6), nn.BatchNorm1d(6), nn.ReLU(), _linear(6)),
    "layer norm between dense layers": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196, 6), nn.LayerNorm(6), nn.GELU(), _linear(6)),
    "log softmax": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196), nn.LogSoftmax(-1)),
    "sigmoids": lambda: nn.Sequential(trunk(), nn.Flatten(), _linear(196), nn.Sigmoid()),
    "a temperature": lambda: Of(lambda m, x: torch.softmax(m.fc(m.t(x).flatten(1)) / 2.5, dim=1), t=trunk(), fc=_linear(196)),
    "prelu, groups and a depthwise last step": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.PReLU(6), nn.Conv2d(6, 6, 7, groups=6), nn.Flatten(), _linear(6)
    ),
    "several heads": lambda: Of(lambda m, x: (m.a(m.t(x).flatten(1)), m.b(m.t(x).flatten(1)).tanh()), t=trunk(), a=_linear(196, 2), b=_linear(196)),
    "one matrix for two heads": Tied,
    "channel shuffle": lambda: Of(lambda m, x: m.fc(shuffle(m.t(x), 2).flatten(1)), t=trunk(), fc=_linear(196)),
    "standardised weights": lambda: nn.Sequential(WS(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), _linear(196)),
    "channels last body (a block of ConvNeXt)": lambda: Of(
        lambda m, x: m.fc((m.t(x) + m.b(m.n(m.d(m.t(x)).permute(0, 2, 3, 1))).permute(0, 3, 1, 2) * 0.3).mean((-2, -1))),
        t=trunk(), d=nn.Conv2d(4, 4, 1, groups=4), n=nn.LayerNorm(4), b=nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)), fc=_linear(4),
    ),
    "pixel unshuffle": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 4, 3), nn.Flatten(), _linear(144)),
    "space to depth by hand": lambda: Of(
        lambda m, x: m.fc(m.c(x.view(x.size(0), 3, 8, 2, 8, 2).permute(0, 3, 5, 1, 2, 4).reshape(x.size(0), 12, 8, 8)).flatten(1)),
        c=nn.Conv2d(12, 4, 3), fc=_linear(144),
    ),
    "a strided slice as a shortcut": lambda: Of(
        lambda m, x: m.fc((m.c(x) + F.pad(x[:, :, 1:-1:2, 1:-1:2], (0, 0, 0, 0, 1, 1))).flatten(1)), c=nn.Conv2d(3, 5, 3, stride=2), fc=_linear(245)
    ),
    "weights computed for a dense layer": lambda: nn.Sequential(trunk(), nn.Flatten(), nn.utils.parametrizations.weight_norm(_linear(196))),
    "addmm": lambda: Of(lambda m, x: torch.addmm(m.fc.bias, m.t(x).flatten(1), m.fc.weight.t()), t=trunk(), fc=_linear(196)),
    "matmul with a matrix of the other order": lambda: Of(lambda m, x: m.t(x).flatten(1) @ m.fc.weight.t(), t=trunk(), fc=_linear(196)),
    "activations": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.LeakyReLU(0.1), nn.Mish(), nn.Softplus(), nn.Hardtanh(), nn.Hardsigmoid(),
        nn.CELU(), nn.SELU(), nn.GELU(approximate="tanh"), nn.ReLU6(), nn.LogSigmoid(), nn.Flatten(), _linear(196),
    ),
    "local response normalisation": lambda: nn.Sequential(trunk(6), nn.LocalResponseNorm(3), nn.Flatten(), _linear(294)),
    "average pool without padding counted": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2, divisor_override=3), nn.Flatten(), _linear(196)),
    "radix attention over a vector": lambda: Of(
        lambda m, x: m.fc(torch.softmax(m.h(m.t(x).flatten(1)).view(-1, 2, 3), dim=1).reshape(-1, 6)), t=trunk(), h=_linear(196, 6), fc=_linear(6)
    ),
}  # fmt: skip


class SE(nn.Module):
    def __init__(self, c: int = 4, dense: bool = False) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(c, 2), nn.Linear(2, c)) if dense else (nn.Conv2d(c, 2, 1), nn.Conv2d(2, c, 1))
        self.dense = dense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        g = x.mean((2, 3)) if self.dense else x.mean((2, 3), keepdim=True)
        g = torch.sigmoid(self.b(torch.relu(self.a(g))))
        return x * (g[:, :, None, None] if self.dense else g)


class ECA(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x.mean((2, 3)).view(x.shape[0], 1, -1))
        return x * y.view(x.shape[0], -1, 1, 1).sigmoid().expand_as(x)


class CBAM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.conv = nn.Conv2d(4, 4, 1), nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)) + self.fc(x.amax((2, 3), keepdim=True)))
        both = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(both))


class SplitAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        x = self.conv(x)
        x = x.reshape(n, 2, 4, x.shape[2], x.shape[3])
        g = self.b(torch.relu(self.a(x.sum(dim=1).mean((2, 3), keepdim=True))))
        g = torch.softmax(g.view(n, 1, 2, -1).transpose(1, 2), dim=1).reshape(n, -1).view(n, -1, 1, 1)
        return (x * g.reshape(n, 2, 4, 1, 1)).sum(dim=1)


class GRN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        g = x.norm(p=2, dim=(1, 2), keepdim=True)
        return (x + self.w * x * g / (g.mean(dim=-1, keepdim=True) + 1e-6)).permute(0, 3, 1, 2)


class GlobalContext(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.fc = nn.Conv2d(4, 1, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        attn = torch.softmax(self.attn(x).reshape(n, 1, h * w), dim=-1).unsqueeze(3)
        return x + self.fc((x.reshape(n, c, h * w).unsqueeze(1) @ attn).view(n, c, 1, 1))


class CoordinateAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.h, self.w = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.h(torch.relu(self.a(x.mean(3, keepdim=True)))).sigmoid()
        cols = self.w(torch.relu(self.a(x.mean(2, keepdim=True)))).sigmoid()
        return x * rows * cols


class VariancePool(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.fc(x.var(dim=(2, 3), keepdim=True)).sigmoid()


class Conditional(nn.Module):
    """A convolution whose kernel is mixed for each image, the batch laid among the channels, as timm's CondConv2d does it."""

    def __init__(self, experts: int = 3, stride: int = 1, groups: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.route, self.stride, self.groups = nn.Linear(4, experts), stride, groups
        self.weight = nn.Parameter(torch.randn(experts, 4 * (4 // groups) * 9) / 6)
        self.bias = nn.Parameter(torch.randn(experts, 4)) if bias else None

    def forward(self, x: torch.Tensor, routed: torch.Tensor | None = None) -> torch.Tensor:
        batch, channels, height, width = x.shape
        shares = self.route((x if routed is None else routed).mean((2, 3))).sigmoid()
        weight = torch.matmul(shares, self.weight).view(batch * 4, 4 // self.groups, 3, 3)
        bias = None if self.bias is None else torch.matmul(shares, self.bias).view(batch * 4)
        laid = x.reshape(1, batch * channels, height, width)
        out = F.conv2d(laid, weight, bias, self.stride, 1, groups=self.groups * batch)
        return out.permute([1, 0, 2, 3]).view(batch, 4, out.shape[-2], out.shape[-1])


class ConditionalBlock(nn.Module):
    """What comes in mixes the kernels of all convolutions, as in EfficientNet-CC; the last of them lie behind the stride."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.deep, self.narrow = Conditional(), Conditional(stride=2, groups=4), Conditional(bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(torch.relu(self.deep(torch.relu(self.wide(x)), x)), x)


def gated(gate: nn.Module) -> nn.Module:
    return nn.Sequential(trunk(), gate, nn.Flatten(), _linear(196))


INEXACT = {
    "squeeze and excite": (lambda: gated(SE()), "local pooling"),
    "squeeze and excite by dense layers": (lambda: gated(SE(dense=True)), "local pooling"),
    "efficient channel attention": (lambda: gated(ECA()), "local pooling"),
    "convolutional block attention": (lambda: gated(CBAM()), "local pooling"),
    "a conditional convolution": (lambda: gated(Conditional(bias=True)), "local pooling"),
    "a conditional convolution by channels": (lambda: gated(Conditional(groups=4)), "local pooling"),
    "a conditional convolution that steps": (
        lambda: nn.Sequential(trunk(), Conditional(stride=2), nn.Flatten(), _linear(64)), "local pooling"
    ),
    "conditional convolutions behind a stride": (
        lambda: nn.Sequential(trunk(), ConditionalBlock(), nn.Flatten(), _linear(64)), "local pooling"
    ),
    "split attention": (lambda: gated(SplitAttention()), "local pooling"),
    "global response normalisation": (lambda: gated(GRN()), "local pooling"),
    "global context": (lambda: gated(GlobalContext()), "local pooling"),
    "coordinate attention": (lambda: gated(CoordinateAttention()), "local pooling"),
    "variance pooling": (lambda: gated(VariancePool()), "local pooling"),
    "gather and excite": (lambda: gated(Of(lambda m, x: x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1)))), "local pooling"),
    "group norm": (lambda: gated(nn.GroupNorm(2, 4)), "local pooling"),
    "instance norm of large numbers": (
        lambda: gated(Of(lambda m, x: m.n(x + 8), n=nn.InstanceNorm2d(4, affine=True))), "local pooling"
    ),
    "variance of large numbers": (lambda: gated(Of(lambda m, x: x * (x + 8).std((2, 3), keepdim=True))), "local pooling"),
    "layer norm over the map": (lambda: gated(nn.LayerNorm((4, 7, 7), elementwise_affine=False)), "local pooling"),
    "padding": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), _linear(256)), "padding"),
    "same padding": (lambda: nn.Sequential(nn.Conv2d(3, 4, 4, padding="same"), nn.MaxPool2d(2), nn.Flatten(), _linear(256)), "padding"),
    "reflected blur pool": (
        lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3, stride=2, groups=3), nn.Flatten(), _linear(192)), "padding"
    ),
    "ceil pools": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten(), _linear(196)), "ceil overhang"),
    "average pools with padding": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AvgPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
            nn.AvgPool2d(2, 2, ceil_mode=True), nn.Flatten(), _linear(16),
        ),
        "padding",
    ),
    "upsampling": (lambda: nn.Sequential(trunk(), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3), nn.Flatten(), _linear(576)), "resampling"),
    "upsampling to a size": (
        lambda: nn.Sequential(trunk(), nn.Upsample(size=(14, 14), mode="bilinear"), nn.Conv2d(4, 4, 3), nn.Flatten(), _linear(576)), "resampling"
    ),
    "a transposed convolution": (lambda: nn.Sequential(trunk(), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.Flatten(), _linear(588)), "resampling"),
}  # fmt: skip


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.fc = nn.Linear(4, 12), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.fc(F.scaled_dot_product_attention(q, k, v).mean(1))


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Parameter(torch.randn(1, 4, 7, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.where


REFUSED = {
    "attention": (lambda: nn.Sequential(trunk(), Attention()), "attention"),
    "position embeddings": (lambda: nn.Sequential(trunk(), Positions(), nn.Flatten(), _linear(196)), "a number for each position"),
    "layer norm over rows": (lambda: gated(nn.LayerNorm(7, elementwise_affine=False)), "holds at one size only"),
    "layer norm with a number for each position": (lambda: gated(nn.LayerNorm((4, 7, 7))), "holds at one size only"),
    "rolled windows": (
        lambda: nn.Sequential(trunk(), Of(lambda m, x: torch.roll(x, 1, 2)), nn.Flatten(), _linear(196)), "roll"
    ),
    "an uneven adaptive pool": (lambda: nn.Sequential(trunk(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), _linear(36)), "uneven"),
    "a fixed place of the map": (lambda: Of(lambda m, x: m.fc(m.t(x)[:, :, 3, 3]), t=trunk(), fc=_linear(4)), "picks single positions"),
}  # fmt: skip
