"""Which models, and random weights of sane activations for them."""

from __future__ import annotations

import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import nn

LARGEST = 120e6  # parameters


def declare_torchvision() -> None:
    """torchvision beside a PyTorch of another build imports once the operators that it misses are declared; one of the same build brings them."""
    with suppress(RuntimeError):
        import torchvision  # noqa: F401

        return
    for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name, schema in (
        ("nms", "(Tensor a, Tensor b, float c) -> Tensor"),
        ("qnms", "(Tensor a, Tensor b, float c) -> Tensor"),
    ):
        try:
            torch.library.define(f"torchvision::{name}", schema)
        except RuntimeError:
            return  # it has them


def torchvision_names() -> list[str]:
    """One of every size of every family, as torchvision lists them."""
    from torchvision import models

    skipped = ("regnet_y_128gf", "vit_h_14", "vit_l_16", "vit_l_32", "regnet_y_32gf", "regnet_x_32gf")
    return [f"torchvision:{name}" for name in models.list_models(module=models) if name not in skipped]


def timm_names() -> Iterator[str]:
    """The smallest model of every entry: of every module of timm, of every name that models begin with there."""
    import timm

    entries: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in timm.list_models():
        module = timm.models._registry._model_to_module[name]
        stem = re.match(r"[a-z]+", name)
        assert stem is not None
        entries[module, stem.group()].append(name)
    for names in entries.values():
        found = min(((_size(name), name) for name in names[:12]), default=None)
        if found is not None and found[0] <= LARGEST:
            yield f"timm:{found[1]}"


def _size(name: str) -> float:
    import timm

    try:
        with torch.device("meta"):
            return float(sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters()))
    except Exception:  # a model that does not build without its weights
        return math.inf


def pictures(count: int, channels: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Random images with detail at every scale, as photos have it: white noise would leave deep layers nothing to tell apart."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, channels, height, width)
    for cells in (2, 4, 8, 16, 32, 64):
        rough = torch.randn(count, channels, cells, cells, generator=generator)
        total += nn.functional.interpolate(rough, size=(height, width), mode="bilinear", align_corners=False)
    return total / total.std()


def sane(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Random numbers where an initialiser left constants, and batch statistics of random images.

    Layers that start as nothing (a zero last scale, a zero head) would hide what a cast does to them.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            flat = parameter.flatten()
            if flat.numel() > 1 and bool((flat == flat[0]).all()):
                like = float(flat[0])
                spread = 0.1 if like in (0.0, 1.0) else 0.3
                base = 0.3 if abs(like) < 1e-2 and parameter.ndim <= 3 and like != 0 else like
                parameter.copy_(base + spread * torch.randn_like(parameter))
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
        m.train()
    try:
        with torch.no_grad():
            module.eval()
            for m in norms:
                m.train()
            module(pictures(4, *shape))
    finally:
        for m, momentum in zip(norms, kept, strict=True):
            m.momentum = momentum
        module.eval()
    return module
