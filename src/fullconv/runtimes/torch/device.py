"""Devices by name, and what they can: told before a network is moved to one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any

import torch

from fullconv.errors import BadInput
from fullconv.runtimes.runtime import Precision

_LEAVE = "leave --device (runtime='torch:...') out, or take cpu"
_TENSOR_CORES = (8, 0)  # from which on NVIDIA's have tf32


def device_of(name: str | None) -> torch.device:
    """The device of this name, or CUDA where there is one; of several the first.

    Raises:
        BadInput: it is not there.
    """
    name = None if name is None else name.split(",")[0].removesuffix(":all")
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count, why = _cuda_devices()
        if (device.index or 0) >= count:
            have = (
                f"there are {count}, cuda:0 to cuda:{count - 1}" if count else f"PyTorch sees no CUDA device here{why}"
            )
            raise BadInput(f"device {name}: {have}; {_LEAVE}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput(f"device {name}: PyTorch sees no Metal device here; {_LEAVE}")
    if device.type == "xpu" and (device.index or 0) >= (torch.xpu.device_count() if torch.xpu.is_available() else 0):
        raise BadInput(f"device {name}: PyTorch sees no such Intel device here; {_LEAVE}")
    return device


def devices_of(name: str | None) -> list[torch.device]:
    """All devices of a name: ``cuda:0,cuda:1`` are two, ``cuda:all`` those that there are, each once but for the processor.

    Raises:
        BadInput: one is not there.
    """
    found = []
    for each in (name or str(device_of(None))).split(","):
        kind, _, number = each.partition(":")
        many: Any = {"cuda": torch.cuda, "xpu": torch.xpu}.get(kind)
        device = device_of(each)
        if many is None:
            found.append(device)
        elif number == "all":
            found += [torch.device(kind, i) for i in range(many.device_count())]
        else:
            found.append(torch.device(kind, device.index if number else many.current_device()))
    return [device for i, device in enumerate(found) if device.type == "cpu" or device not in found[:i]]


def free_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that nobody takes, what PyTorch keeps for later included."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def identity_of(device: torch.device) -> str:
    """What tells a device from all others of this machine, whichever of them this process sees."""
    if device.type == "cuda":
        return f"cuda-{getattr(torch.cuda.get_device_properties(device), 'uuid', device.index)}"
    return f"{device.type}-{device.index or 0}"


def _cuda_devices() -> tuple[int, str]:
    """How many there are, and what PyTorch says where there are none: of a driver that is too old, say."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    why = f" ({str(said[0].message).strip().splitlines()[0][:200]})" if said and not count else ""
    return count, why


def require(precision: Precision, device: torch.device) -> None:
    """BadInput where a device does not compute so."""
    if precision == "tf32":
        if device.type != "cuda":
            raise BadInput(f"precision tf32: NVIDIA's tensor cores have it, {device} does not; use fp32")
        if torch.cuda.get_device_capability(device) < _TENSOR_CORES:
            raise BadInput(f"precision tf32: {torch.cuda.get_device_name(device)} is older than it; use fp32")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise BadInput(f"precision bf16: {torch.cuda.get_device_name(device)} does not compute in it; use fp32 or fp16")


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """While it lasts, PyTorch computes so. By default it rounds what convolutions multiply on CUDA to tf32, and calls that float32."""
    if precision in ("bf16", "fp16"):
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16),
        ):
            yield
        return
    with torch.inference_mode(), _products("tf32" if precision == "tf32" else "ieee", device):
        yield


@contextmanager
def _products(kind: str, device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    with _PRODUCTS.of(kind):
        yield


class _Products:
    """How CUDA rounds what it multiplies, which PyTorch keeps once for all threads: while one computes in a way, the others do so too, or wait."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._users, self._kind = 0, ""
        self._before: list[str] = []

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._kind == kind)
            if not self._users:
                self._kind, self._before = kind, [holder.fp32_precision for holder in _holders()]
                for holder in _holders():
                    holder.fp32_precision = kind
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if not self._users:
                    for holder, was in zip(_holders(), self._before, strict=True):
                        holder.fp32_precision = was
                    self._changed.notify_all()


_PRODUCTS = _Products()


def _holders() -> tuple[Any, ...]:
    return torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
