"""What a device does by itself: its matrix products, and a network compiled over what lies in its memory."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fullconv.runtimes.torch.device import computing
from fullconv.stream.device.network import Compiled, Network


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


def operations(network: Network, shape: tuple[int, int, int, int]) -> int:
    """Floating-point operations of a run on inputs of this shape."""
    counter = FlopCounterMode(display=False)
    with computing(network.precision, network.device), counter:
        network(torch.zeros(shape, device=network.device))
    return counter.get_total_flops()


def bare(network: Network, shape: tuple[int, int, int, int], least: float) -> float:
    """Seconds of the network compiled, on inputs of this shape that lie in the device's memory."""
    given = torch.rand(shape, device=network.device)
    run = Compiled(network, network.precision, network.device)
    return seconds_of(lambda: run(given), network.device, least)
