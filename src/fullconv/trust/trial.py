"""The two networks of a check, and what they are shown: pieces of one scene, so that a crop's answer is known for every larger image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fullconv.errors import Refused
from fullconv.geometry.grid import Sampling
from fullconv.graph.nodes import Graph, Layout, Pointwise
from fullconv.trust.compare import gaps, nudged, scale_of
from fullconv.trust.parting import Network
from fullconv.trust.scene import BRIGHTNESSES, Scene

Array = npt.NDArray[Any]
Size = tuple[int, int]  # height, width
_FOLLOWS = 1e-3  # of the largest answer: how far answers must move from crop to crop to show anything
_NUDGES = 2
_OF_ONE = ("sigmoid", "softmax", "tanh", "hardsigmoid")


class Checkable(Network, Protocol):
    """What the check asks of a network."""

    def shapes(self, size: Size) -> Mapping[str, tuple[int, ...]] | None:
        """Shapes of every value for an image of (height, width), by what knows no geometry of ours; None where it cannot tell."""

    def sampling(self, output: str | None = None) -> Sampling:
        """Stride, crop and field of an output's cells."""

    def fitting(self, size: Size, output: str) -> Size:
        """The least size from this one on that goes through."""


@dataclass
class Trial:
    """One check's networks, images and answers.

    Attributes:
        before, after: the untouched network and what was made of it.
        outputs: values of ``before`` to be compared, and their names in ``after``; the last is the answer that users see.
        grids: each value of ``after`` that is compared, and the output whose cells it has.
    """

    before: Checkable
    after: Checkable
    outputs: dict[str, str]
    grids: dict[str, str] = field(init=False)
    _answers: dict[tuple[int, int, int, int], dict[str, Array]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.grids = {new: new for new in self.outputs.values()}
        for old, new in list(self.outputs.items()):
            # A softmax that says 1 hides what it is of.
            scores = scores_behind(self.before.graph, old)
            if scores not in self.outputs and scores in self.after.graph.values:
                self.outputs = {scores: scores, **self.outputs}
                self.grids[scores] = new

    @cached_property
    def graph(self) -> Graph:
        return self.before.graph

    @cached_property
    def image_name(self) -> str:
        assert self.graph.image is not None, "a plan that was applied has an image"
        return self.graph.image

    @cached_property
    def trained(self) -> Size:
        return self.graph.values[self.image_name].map_size

    @cached_property
    def is_alone(self) -> bool:
        """Whether the image is all that the network reads, so that crops of it are whole inputs."""
        return [name for name in self.graph.inputs if self.graph.consumers(name)] == [self.image_name]

    @cached_property
    def sampling(self) -> Sampling | None:
        """Of the last output; None where its cells have no step of whole pixels."""
        try:
            found = self.after.sampling(list(self.outputs.values())[-1])
        except (Refused, KeyError):
            return None
        whole = all(v.denominator == 1 and v >= 1 for v in (*found.stride, *found.crop))
        return found if whole else None

    @cached_property
    def step(self) -> tuple[int, int]:
        if self.sampling is None:
            return 1, 1
        y, x = (int(s) for s in self.sampling.stride)
        return y, x

    def image(self, size: Size, start: Size = (0, 0)) -> npt.NDArray[np.float32]:
        """A piece of the scene, (1, C, H, W), as bright as the network needs it to answer differently for different crops."""
        return self._lit(size, start, self._brightness)

    def fitted(self, size: Size, fits: Size) -> npt.NDArray[np.float32]:
        """The image of one size as a network takes it: filled up with zeros at the bottom and on the right, or cut there."""
        image = self.image(size)[:, :, : fits[0], : fits[1]]
        more = (max(0, want - have) for want, have in zip(fits, size, strict=True))
        return np.ascontiguousarray(np.pad(image, ((0, 0), (0, 0), *((0, m) for m in more))))

    def _lit(self, size: Size, start: Size, brightness: float) -> npt.NDArray[np.float32]:
        piece = self._scene.piece(size, start) * np.float32(brightness)
        return np.asarray(
            piece if brightness == BRIGHTNESSES[0] else np.rint(piece), np.float32
        )  # pixels are whole numbers

    @cached_property
    def _scene(self) -> Scene:
        axes = self.graph.values[self.image_name]
        height, width = (3 * side + 3 * step + 64 for side, step in zip(self.trained, self.step, strict=True))
        return Scene(axes.shape[axes.channel_axis], height, width)

    @cached_property
    def _brightness(self) -> float:
        """The first of two at which answers follow the image."""
        moved = {}
        for bright in BRIGHTNESSES:
            pieces = (self._lit(self.trained, start, bright) for start in ((0, 0), (17, 29)))
            a, b = (self.run(self.before, piece, self.names) for piece in pieces)
            apart = (float(gaps(a[v], b[v]).max(initial=0.0)) / scale_of(a[v]) for v in self.names)
            moved[bright] = max((x for x in apart if np.isfinite(x)), default=0.0)
            if moved[bright] > _FOLLOWS:
                break
        return max(moved, key=lambda bright: moved[bright])

    def given(self, network: Checkable, image: Array) -> Any:
        """The image, and numbers for what else the network reads."""
        if self.is_alone:
            return image
        rng = np.random.default_rng(5)
        others = [n for n in self.graph.inputs if n != self.image_name and self.graph.consumers(n)]
        axes = self.graph.values[self.image_name]
        native = image.transpose(0, 2, 3, 1) if axes.rank == 4 and axes.channel_axis == 3 else image
        return {self.image_name: native} | {
            n: rng.random(self.graph.values[n].shape).astype(np.float32) for n in others
        }

    @cached_property
    def names(self) -> list[str]:
        """Of the answers of the untouched network that are compared."""
        return list(self.outputs)

    def run(self, network: Checkable, image: Array, outputs: Sequence[str]) -> dict[str, Array]:
        return network.values(self.given(network, image), outputs, rewrites=True)

    def crop(self, start: Size, size: Size | None = None) -> dict[str, Array]:
        """The untouched network's answers for the crop that starts at this pixel."""
        key = (*start, *(size or self.trained))
        if key not in self._answers:
            image = self.image(size or self.trained, start)
            self._answers[key] = self.run(self.before, image, self.names)
        return self._answers[key]

    @cached_property
    def rounding(self) -> dict[str, float]:
        """How far each answer of the untouched network moves by rounding alone."""
        found = dict.fromkeys(self.outputs, 0.0)
        key = next(iter(self._answers))
        image = self.image(key[2:], key[:2])
        for seed in range(_NUDGES):
            for name, value in self.run(self.before, nudged(image, seed), self.names).items():
                moved = gaps(value, self._answers[key][name])
                found[name] = max(found[name], float(moved[np.isfinite(moved)].max(initial=0.0)))
        return found


def scores_behind(graph: Graph, output: str) -> str:
    """The value that an output's activations are of: what its last window, matrix or join made."""
    value = output
    while (node := graph.producer(value)) is not None:
        plain = len(node.inputs) == 1 and node.linear is None
        if not plain or not isinstance(node.touch, Pointwise | Layout):
            return value
        value = node.inputs[0]
    return output  # it is the image all along


def least_scale(graph: Graph, value: str) -> float:
    """What an answer's rounding is at least a share of: 1 of what a sigmoid, softmax or tanh makes, whose kernels round near 0 as they do near 1."""
    node = graph.producer(value)
    while node is not None and isinstance(node.touch, Layout) and node.inputs:
        node = graph.producer(node.inputs[0])
    return 1.0 if node is not None and node.op.lower().startswith(_OF_ONE) else 0.0
