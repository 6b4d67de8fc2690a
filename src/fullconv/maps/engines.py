"""Which of the processor's engines is faster for a network and a tile: measured once on two parts of an image, and remembered.

Neither OpenVINO nor ONNX Runtime is the faster one for all networks. Where a map takes long, both run a part of it, twice; OpenVINO
is taken where it is faster and its answers are ONNX Runtime's but for rounding, which is measured on ONNX Runtime itself as ``verify`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from importlib.util import find_spec
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import CannotRun, FullconvError
from fullconv.maps.ways import Way
from fullconv.model import Model
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.runtime import chosen
from fullconv.system.parse import threads
from fullconv.system.processors import processors
from fullconv.system.remembered import remember, remembered
from fullconv.trust.compare import LAST_BIT, MARGIN, gaps, nudged, scale_of

Array = npt.NDArray[Any]
Parts = Callable[[tuple[int, int]], Sequence[Array]]  # two parts of an image, (1, C, H, W) each, of this (H, W)
LEAST = 20.0  # seconds that a map must take for its engines to be measured
_SHARE = 1 / 160  # of these seconds, that one run over a part may take; there are eight, and compiling
_USUAL, _OTHER = "onnxruntime", "openvino"
_GAIN = 1.05  # by which the other one must be faster
_FOLDER = "engines"


@dataclass(frozen=True, slots=True)
class Measured:
    """What two engines made of the same parts of an image.

    Attributes:
        usual, other: seconds that ONNX Runtime and OpenVINO take for one.
        gap: how far their scores part at most.
        rounding: how far they may: as far as ONNX Runtime's own do by rounding.
        failed: why OpenVINO cannot run the network; empty where it can.
    """

    usual: float
    other: float
    gap: float
    rounding: float
    failed: str = ""

    @property
    def engine(self) -> str:
        """The engine to be taken."""
        agrees = not self.failed and self.gap <= self.rounding
        return _OTHER if agrees and self.usual > _GAIN * self.other else _USUAL

    @property
    def changes(self) -> bool:
        """Whether it is another one than the usual."""
        return self.engine != _USUAL

    @property
    def gain(self) -> float:
        """How many times as fast as the usual engine the one to be taken is."""
        return self.usual / max(self.other, 1e-9) if self.changes else 1.0

    def __str__(self) -> str:
        if self.failed:
            return f"engine onnxruntime: OpenVINO cannot run the network ({self.failed})"
        if self.gap > self.rounding:
            return (
                f"engine onnxruntime: OpenVINO's scores differ from its by {self.gap:.1e}, more than rounding does ({self.rounding:.1e}); "
                "--runtime openvino takes it all the same"
            )
        took = f"OpenVINO takes {self.other:.2g} s for a part of the image, ONNX Runtime {self.usual:.2g} s"
        return f"engine {self.engine}: {took}"

    @staticmethod
    def of_json(data: Any) -> Measured | None:
        """From what was remembered; None of anything else."""
        if not isinstance(data, dict) or data.keys() != set(Measured.__dataclass_fields__):
            return None
        numbers = [data[key] for key in ("usual", "other", "gap", "rounding")]
        sound = all(isinstance(n, int | float) and not isinstance(n, bool) and isfinite(n) and n >= 0 for n in numbers)
        return Measured(**data) if sound and isinstance(data["failed"], str) else None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def faster_engine(
    way: Way, runtime: str, precision: str, tile: tuple[int, int], seconds: float, total: float, model_print: Callable[[], str], parts: Parts
) -> Measured | None:  # fmt: skip
    """The faster engine of the processor for a map; None where there is nothing to choose, or too little to be gained.

    Args:
        tile: (height, width) that the network will run on.
        seconds: about what that takes.
        total: what the whole map takes.
        model_print: the network's fingerprint.
        parts: reads two parts of the image.
    """
    if total < LEAST or not may_choose(way, runtime, precision):
        return None
    key = _key(way, tile, model_print())
    known = Measured.of_json(remembered(_FOLDER, key))
    if known is None:
        size = _part(way, tile, seconds, total * _SHARE)
        known = _measure(_alone(way.model), way.output, parts(size))
        remember(_FOLDER, key, known.to_json())
    return known


def may_choose(way: Way, runtime: str, precision: str) -> bool:
    """Whether a map may be made by either engine: the cast network's, on the processor, in fp32, where nobody says by which."""
    asked = Engine.of(runtime)
    if way.by != "cast" or asked.engine != "auto" or precision != "fp32" or find_spec(_OTHER) is None:
        return False
    if chosen(asked, "fp32") != _USUAL:
        return False
    graph = way.model.graph
    try:
        way.model.lowered({v: graph.values[v].shape for v in graph.inputs if graph.consumers(v)})
    except CannotRun:  # its own framework runs it
        return False
    return True


def _key(way: Way, tile: tuple[int, int], model_print: str) -> str:
    """Of all that the choice follows from."""
    versions = [_version(name) for name in (_USUAL, "onnxruntime-gpu", _OTHER)]
    activation = None if way.model.activation is None else way.model.activation.function
    lies = [str(step) for step in way.sampling.stride], way.shifts, way.output, activation
    told = (model_print, lies, tile, versions, processors(), threads())
    return sha256(repr(told).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _part(way: Way, tile: tuple[int, int], seconds: float, most: float) -> tuple[int, int]:
    """The tile, or so much less of it that a run takes no longer than that; at least a crop."""
    height, width = tile
    _, least_height, least_width = way.model.image_shape
    while seconds > most and height // 2 >= least_height and width // 2 >= least_width:
        height, width, seconds = height // 2, width // 2, seconds / 4
    return way.model.fitting((height, width), way.output)


def _alone(model: Model) -> Model:
    """The same network with engines of its own, which go with it."""
    fresh = model.fresh()
    return fresh if model.activation is None else fresh.activated(model.activation)


def _measure(model: Model, output: str, parts: Sequence[Array]) -> Measured:
    def run(values: Array, runtime: str) -> tuple[Array, float]:
        start = perf_counter()
        found = model.run(values, outputs=[output], runtime=runtime)[output]
        return found, perf_counter() - start

    run(parts[0], _USUAL)
    own = [run(part, _USUAL) for part in parts]
    try:
        run(parts[0], _OTHER)
        others = [run(part, _OTHER) for part in parts]
    except FullconvError as error:
        return Measured(min(took for _, took in own), 0.0, 0.0, 0.0, str(error)[:300])
    gap = noise = 0.0
    for i, part in enumerate(parts):
        scores = own[i][0]
        gap = max(gap, _largest(gaps(others[i][0], scores)))
        noise = max(noise, LAST_BIT * scale_of(scores), _largest(gaps(run(nudged(part, i), _USUAL)[0], scores)))
    return Measured(min(took for _, took in own), min(took for _, took in others), gap, MARGIN * noise)


def _largest(values: Array) -> float:
    """A finite number, that JSON holds."""
    return min(float(values.max(initial=0.0)), float(np.finfo(np.float32).max))
