"""What a device does by itself: its matrix products, and a network compiled over what lies in its memory."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fullconv.maps.ways import Way
from fullconv.runtimes.torch.device import computing
from fullconv.stream.device.network import Compiled, Network

_COUNTED = 1024  # pixels a side on which operations are counted; of more there are as many more


def settle(device: torch.device) -> None:
    """Until it has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(what: Callable[[], Any], device: torch.device, least: float) -> float:
    """Of one time, after two to warm up, over ``least`` seconds."""
    for _ in range(2):
        what()
    settle(device)
    start, count = perf_counter(), 0
    while perf_counter() - start < least:
        for _ in range(3):
            what()
        count += 3
        settle(device)
    return (perf_counter() - start) / count


def products(device: torch.device, precision: str, side: int, least: float) -> float:
    """Floating-point operations a second of a matrix product, (side, side) by (side, side)."""
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    a, b = (torch.randn(side, side, device=device).to(kinds.get(precision, torch.float32)) for _ in range(2))
    with computing("tf32" if precision == "tf32" else "fp32", device):
        return 2 * side**3 / seconds_of(lambda: a @ b, device, least)


def operations(way: Way, shape: tuple[int, int, int, int]) -> float:
    """Floating-point operations of a run on inputs of this shape: those of the network as it is written, not of what a GPU makes of it."""
    counter = FlopCounterMode(display=False)
    size = tuple(min(side, _COUNTED) for side in shape[2:])
    plain = Network(way, "fp32", "cpu", (1, size[0], size[1]))
    with torch.inference_mode(), counter:
        plain(torch.zeros(1, shape[1], *size))
    return counter.get_total_flops() * prod(shape) / (shape[1] * prod(size))


def bare(network: Network, shape: tuple[int, int, int, int], least: float) -> float:
    """Seconds of the network compiled, on inputs of this shape that lie in the device's memory."""
    given = torch.rand(shape, device=network.device)
    run = Compiled(network, network.precision, network.device)
    return seconds_of(lambda: run(given), network.device, least)
