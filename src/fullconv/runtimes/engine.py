"""Which engine is asked for, and where it computes: ``auto``, ``openvino``, ``torch:cuda:1``. Loads no engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from fullconv.errors import BadInput

NAMES = ("auto", "onnxruntime", "openvino", "tensorrt", "torch")
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_WHERE = {"onnxruntime": ("cpu", "cuda"), "openvino": ("cpu",), "tensorrt": ("cuda",)}  # torch computes on all
_ONE = "(cpu|mps|(cuda|xpu)(:([0-9]{1,3}|all))?)"
_DEVICE = re.compile(f"{_ONE}(,{_ONE})*")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine and a device.

    Attributes:
        engine: of ``NAMES``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``xpu``; several of one kind (``cuda:0,cuda:1``, ``cuda:all``), which a stream
            shares its tiles out among; None where the engine chooses.
    """

    engine: str
    device: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in NAMES:
            raise BadInput(f"runtime {self.engine!r}: not one of {', '.join(NAMES)}")
        if self.device is not None and not _DEVICE.fullmatch(self.device):
            raise BadInput(
                f"device {self.device!r}: not cpu, cuda, cuda:N, cuda:all, mps, xpu or xpu:N, nor several of them (cuda:0,cuda:1)"
            )
        if len({each.partition(":")[0] for each in (self.device or "").split(",")}) > 1:
            raise BadInput(f"device {self.device}: devices of one kind compute a map, whose numbers are alike")
        kind, where = self.kind, _WHERE.get(self.engine)
        if where is not None and re.search(",|all", self.device or ""):
            raise BadInput(
                f"device {self.device}: {self.engine} computes on one device here; --runtime torch computes on several"
            )
        if where is not None and kind and kind not in where:
            raise BadInput(
                f"device {self.device}: {self.engine} computes on {' and '.join(where)} here; --runtime torch computes there"
            )

    @property
    def is_accelerated(self) -> bool:
        """Whether a device was named that is not the processor."""
        return self.kind not in (None, "cpu")

    @property
    def kind(self) -> str | None:
        """``cpu``, ``cuda``, ``mps`` or ``xpu``, whichever of them it is."""
        return None if self.device is None else self.device.split(",")[0].partition(":")[0]

    def goes_on(self, recorded: str) -> bool:
        """Whether a run that is asked for so may go on with what the recorded engine began: on a device of the same kind, whatever its number."""
        before = Engine.of(recorded)
        kinds = [kind for kind in (self.kind, before.kind) if kind is not None]
        return self.engine in ("auto", before.engine) and len({*kinds}) < 2

    def as_begun(self, recorded: str) -> str:
        """What such a run takes: the recorded engine, on the device that is asked for where one is."""
        before = Engine.of(recorded)
        return with_device(before.engine, self.device or before.device)

    @staticmethod
    def of(runtime: str) -> Engine:
        """From ``engine`` or ``engine:device``."""
        engine, _, device = runtime.partition(":")
        return Engine(engine, device or None)


def with_device(runtime: str, device: str | None) -> str:
    """An engine's name with its device behind a colon, as ``runtime=`` takes it."""
    asked = Engine(runtime, device)
    return runtime if asked.device is None else f"{runtime}:{asked.device}"
