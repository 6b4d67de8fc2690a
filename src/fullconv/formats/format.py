"""What a format does: everything that a Model needs and that differs between Caffe, ONNX, PyTorch and Keras.

What only some have, a framework of their own that runs them, is a second protocol, which a format may offer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.head import FittedHead
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision, Session
from fullconv.runtimes.trainable import Trainable
from fullconv.surgery.dialect import Dialect
from fullconv.surgery.plan import Plan
from fullconv.system.files import Approve, unseen

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader is told beside the file.

    Attributes:
        weights: the weights file, where weights lie apart.
        input_shape: (C, H, W) that the network was trained on, where the file does not say.
        stages: stages whose layers take part (Caffe).
        ignore_unused_weights: go on where the weights file has layers that the network does not.
        weights_prefix: under which the weights file has the network's (PyTorch).
        rename: ``OLD=NEW`` each, parts of names in the weights file (PyTorch).
        isolate: load, cast and run it in a process of its own first (ONNX).
    """

    weights: Path | None = None
    input_shape: tuple[int, int, int] | None = None
    stages: tuple[str, ...] = ()
    ignore_unused_weights: bool = False
    isolate: bool = False
    weights_prefix: str | None = None
    rename: tuple[str, ...] = ()


class Framework(Protocol):
    """What only a format has whose own framework is at hand, and can run its networks."""

    def module(self, native: Any) -> Any:
        """The network as an nn.Module of PyTorch."""

    def with_weights(self, native: Any, state: Mapping[str, Array]) -> Any:
        """The same network with the numbers of its module's state_dict."""

    def session(self, native: Any, precision: Precision, device: str | None = None) -> Session:
        """The framework's own engine, on a device by its name; BadInput where that is not there."""


class Format(Protocol):
    """A format's functions over its own network object (``native``)."""

    name: str
    suffixes: tuple[str, ...]  # of the files that it writes
    dialect: Dialect
    framework: Framework | None

    def read(self, source: Any, reading: Reading) -> Any:
        """Read a network from a path, a name or an object of its own; BadInput or CannotRun where it cannot be."""

    def graph(self, native: Any) -> Graph:
        """Its graph at training size."""

    def batch(self, native: Any) -> int | None:
        """The only batch size that the network takes, None where any will do."""

    def apply(self, native: Any, plan: Plan) -> Any:
        """A new network with the plan's edits made."""

    def adapt(self, native: Any, fitted: FittedHead) -> Any | None:
        """A cast network with a head, in its names; None where the format has no such form, and ONNX has. BadInput where it does not fit."""

    def unadapted(self, native: Any) -> tuple[Any, tuple[FittedHead, ...]] | None:
        """Of a network whose file names heads, the one without them, and those; itself and none where its nodes are others. None without."""

    def lower(self, native: Any, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        """The ONNX graph that runs it for inputs of these shapes."""

    def trainable(self, native: Any) -> Trainable:
        """The form of it that trains; asked for where there is no framework."""

    def with_weights(self, native: Any, arrays: Mapping[str, Array]) -> Any:
        """The same network with other numbers, by their names in ``trainable``'s lowered form."""

    def check(self, native: Any, shapes: Mapping[str, Sequence[int]]) -> None:
        """Raise BadInput where inputs of these shapes do not fit; quick, for every new shape."""

    def accepts(self, native: Any, feeds: Mapping[str, Array]) -> None:
        """Raise BadInput where an input cannot hold the numbers that it is fed."""

    def resize(self, native: Any, height: int, width: int) -> Any:
        """The same network with its image input stated at another size."""

    def write(self, native: Any, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
        """Write it in its own format, once ``approve`` has seen the files; the paths written."""

    def preprocess(self, native: Any) -> Preprocess | None:
        """The preprocessing that the file itself states, if any."""

    def notes(self, native: Any) -> Sequence[str]:
        """What a user should know of the reading."""

    def recorded(self, native: Any) -> Mapping[str, Sampling]:
        """How its file says that outputs sample an image, by output: what fullconv wrote there, for who runs it elsewhere."""

    def metadata(self, native: Any) -> Mapping[str, str]:
        """Texts that its file has beside the network, by their keys."""


def require_suffix(kind: Format, path: Path) -> None:
    """BadInput where no file of such a name is written of a network of this format: before the work that would be lost."""
    if path.suffix not in kind.suffixes:
        raise BadInput(f"{path}: a network of {kind.name} is written as {', '.join(kind.suffixes)}")
