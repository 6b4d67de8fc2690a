"""What a device does, in three lanes: uploads, work, downloads. A lane does one thing after the other, beside the other lanes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Literal, Protocol

import torch

Lane = Literal["up", "run", "down"]
LANES: tuple[Lane, ...] = ("up", "run", "down")


class Mark(Protocol):
    """The end of something that a lane was given to do."""

    @property
    def seconds(self) -> float:
        """How long it took, once it was waited for."""

    def wait(self) -> None:
        """Until it is done; raises what it failed with."""


class Lanes(Protocol):
    """A device's lanes.

    Attributes:
        device: where tensors lie.
        depth: tiles that may be under way.
        shares: what the process writes lies on the device.
    """

    device: torch.device
    depth: int
    shares: bool

    def do(self, lane: Lane, what: Callable[[], None], *after: Any) -> Mark:
        """Have a lane do this once these marks are reached."""

    def host(self, count: int) -> torch.Tensor:
        """So many bytes that the device copies from and to by itself."""

    def close(self) -> None:
        """Until nothing is under way; what failed is told elsewhere."""


def lanes_of(device: torch.device) -> Lanes:
    """A device's own: streams on CUDA, none elsewhere."""
    return Streams(device) if device.type == "cuda" else Here(device, shares=device.type == "cpu")


class Here:
    """A device without lanes: everything is done when somebody waits for it."""

    depth = 2

    def __init__(self, device: torch.device, shares: bool) -> None:
        self.device, self.shares = device, shares

    def do(self, lane: Lane, what: Callable[[], None], *after: Any) -> Mark:
        return _Deferred(what, after)

    def host(self, count: int) -> torch.Tensor:
        return torch.empty(count, dtype=torch.uint8)

    def close(self) -> None:
        """Nothing is."""


class _Deferred:
    def __init__(self, what: Callable[[], None], after: tuple[Mark, ...]) -> None:
        self._what: Callable[[], None] | None = what
        self._after = after
        self.seconds = 0.0

    def wait(self) -> None:
        if self._what is None:
            return
        for mark in self._after:
            mark.wait()
        start, what = perf_counter(), self._what
        self._what = None
        what()
        self.seconds = perf_counter() - start


class Streams:
    """CUDA: a stream a lane, with events between them. What is given is queued at once, in the thread that gives it."""

    depth = 3
    shares = False

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._streams = {lane: torch.cuda.Stream(device) for lane in LANES}  # type: ignore[no-untyped-call]

    def do(self, lane: Lane, what: Callable[[], None], *after: Any) -> Mark:
        stream = self._streams[lane]
        # It sleeps while it waits: the processors are the readers'.
        begun, ended = (torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(self.device), torch.cuda.stream(stream):
            for mark in after:
                stream.wait_event(mark.ended)
            begun.record(stream)
            what()
            ended.record(stream)
        return _Queued(begun, ended)

    def host(self, count: int) -> torch.Tensor:
        return torch.empty(count, dtype=torch.uint8, pin_memory=True)

    def close(self) -> None:
        with suppress(RuntimeError):
            torch.cuda.synchronize(self.device)


class _Queued:
    def __init__(self, begun: torch.cuda.Event, ended: torch.cuda.Event) -> None:
        self._begun, self.ended = begun, ended
        self.seconds = 0.0

    def wait(self) -> None:
        self.ended.synchronize()
        self.seconds = self._begun.elapsed_time(self.ended) / 1000
