"""Which layers make a map differ from its crops, measured: one layer at a time sees the crop's edge.

For a cell, the cast network runs over the crop and all that its field reaches around it. The cell's answer is then

    map    every layer reads the real surroundings
    crop   every layer reads its crop's own window and nothing outside: the untouched network's answer
    alone  one layer is cut to the crop's window, all others read the real surroundings
    kept   one layer reads the real surroundings, all others are cut

How far ``alone`` is from ``map`` is what the layer does on its own, how far ``kept`` is from ``crop`` what is left of it where it is the
only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput
from fullconv.formats.finer import as_onnx
from fullconv.formats.onnx.lower import lower_model
from fullconv.formats.onnx.network import OnnxNet
from fullconv.geometry.exactness import Cause
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.lengths import map_sizes
from fullconv.graph.axes import Axes
from fullconv.graph.nodes import Whole
from fullconv.loading import load
from fullconv.maps.features import require_classes
from fullconv.maps.probabilities import with_probabilities
from fullconv.model import Model
from fullconv.rasters.view import View
from fullconv.runtimes.activation import Activation
from fullconv.runtimes.onnxruntime import OnnxRuntimeSession
from fullconv.stream.job import Job
from fullconv.stream.options import MapOptions, takes
from fullconv.stream.run import job_of
from fullconv.stream.sample import Admitted, Cell, Draw
from fullconv.stream.sides import ByTiles, Crops, sides_of
from fullconv.stream.where import where_of
from fullconv.system.guard import guarded
from fullconv.trust.switches import Switch, windows_behind, with_switches

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Share:
    """One layer's part in the difference between map and crops; means over the cells of the largest difference of a class.

    Attributes:
        node, kind: the layer, and how it lets them part.
        alone: from the map, where it alone is cut to the crop.
        kept: from the crop, where all others are.
    """

    node: str
    kind: str
    alone: float
    kept: float


@dataclass(frozen=True)
class Blame:
    """Shares, the largest first.

    Attributes:
        cells: how many were asked.
        total: mean difference between map and crop, of the class that differs most.
        left: the same with every layer cut: noise, unless there are causes that could not be cut.
        left_out: causes that could not be cut.
    """

    cells: int
    total: float
    left: float
    shares: tuple[Share, ...]
    left_out: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """What a user can do, in one sentence."""
        if not self.shares or self.total <= 10 * self.left:
            what = (
                "by what could not be cut: use --by crops where it matters"
                if self.left_out
                else "by noise: take the map for the crops"
            )
            return f"map and crops differ {what}"
        first = self.shares[0]
        half = next(
            (
                i + 1
                for i, total in enumerate(np.cumsum([s.alone for s in self.shares]))
                if total >= 0.5 * sum(s.alone for s in self.shares)
            ),
            1,
        )
        where = f"{first.node} alone makes" if half == 1 else f"{half} of {len(self.shares)} layers make"
        if first.kind in ("local pooling", "global pooling", "statistics"):
            return f"{where} half of it, through pooled statistics: larger crops in training, or --by crops where it matters"
        if first.kind == "ceil overhang":
            return f"{where} half of it, through pooling that reaches past the crop: a crop size that the pools divide ends it"
        return f"{where} half of it, through padding: retrain without padding there, or use --by crops where it matters"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "advice": self.advice}

    def __str__(self) -> str:
        lines = [
            f"{self.cells} cells: map and crop differ by {self.total:.2e} on average; with every layer cut by {self.left:.0e}"
        ]
        lines += [f"  {s.node:40} {s.kind:14} alone {s.alone:.2e}   kept {s.kept:.2e}" for s in self.shares[:12]]
        if len(self.shares) > 12:
            lines.append(f"  and {len(self.shares) - 12} more, each less")
        lines += [f"  not cut: {node}" for node in self.left_out]
        return "\n".join([*lines, f"  {self.advice}"])


@takes(job_of)
def blame(
    model: Model | str | Path,
    image: Any,
    *,
    cells: int = 8,
    at: Sequence[Cell] | None = None,
    seed: int = 0,
    memory: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Unpack[MapOptions],
) -> Blame:
    """Measure each layer's share in the difference between a map and its crops; of an adapted network, what the layers take without its head.

    Args:
        image: as for ``fullconv.verify``; what the cells see is read of it.
        cells: how many, chosen at random among those that have an answer.
        at: which, as (row, col) of the map, instead of random ones.
        seed: of that choice.
        memory: bytes that the process may take while cells are chosen; half of what is free by default.
        progress: told runs done, of how many.
        options: preprocess, output, activation, level, mpp, bands, nodata, missing, where, trust, allow_remote and subdataset as for
            ``fullconv.map_raster``.
    """
    opened = load(model)
    model = opened.classifier
    if options.get("stride") is not None:
        raise BadInput("stride: the layers' shares are measured at the network's own")
    full = model.cast()
    require_classes(model, options.get("output"), "blame")
    job = job_of(model, image, "the comparison", **options)
    with guarded(image), closing(View(image, job.select)) as view:
        tiles, crops = sides_of(model, view, job, cells if at is None else len(at), memory, lambda note: None)
        if tiles.plan.way.score_kind == "winner":
            raise BadInput(
                "blame: shares of a difference of scores are measured, and the network gives the winner's number alone; choose an output of scores "
                "with --head (output=)"
            )
        name = tiles.plan.way.output
        chosen = _chosen(tiles, view, job, cells, seed) if at is None else _answered(tiles, at)
        activated, _ = with_probabilities(full, name, job.activation)
        net, causes, left_out = _switched(model, full, name, activated.activation)
        left_out += tuple(
            f"{cause}: told of the network without it" for cause in opened.plan.inexact if cause.kind == "fitted head"
        )
        runs = 2 + 2 * len(causes)
        found = np.zeros((len(chosen), runs), np.float64)
        left = np.zeros(len(chosen))
        done = 0
        for part, window in crops.windows(chosen):
            for cell, crop in zip(part, crops.answers(window, part), strict=True):
                i, done = done, done + 1
                answers = net.answers(crops, view.size, cell, lambda n, i=i: progress(i * runs + n, len(chosen) * runs))  # type: ignore[misc]
                found[i] = [np.abs(answer - answers[0 if k % 2 == 0 else 1]).max() for k, answer in enumerate(answers)]
                found[i, 0] = np.abs(answers[0] - crop).max()
                left[i] = np.abs(answers[1] - crop).max()
    means = found.mean(axis=0)
    shares = [Share(c.node, c.kind, float(means[2 + 2 * k]), float(means[3 + 2 * k])) for k, c in enumerate(causes)]
    return Blame(
        len(chosen), float(means[0]), float(left.mean()), tuple(sorted(shares, key=lambda s: -s.alone)), left_out
    )


def _chosen(tiles: ByTiles, view: View, job: Job, cells: int, seed: int) -> list[Cell]:
    """Cells at random, of those that have an answer."""
    draw = Draw(Admitted(tiles.plan.grid, where_of(job.where, view)), cells, seed)
    found: list[Cell] = []
    while len(found) < cells and (more := draw.next(cells - len(found))):
        for group in tiles.together(more):
            found += tiles.answered(group)
    if not found:
        raise BadInput(f"none of the {draw.looked_at:,} cells of the map that were looked at has an answer")
    return found


def _answered(tiles: ByTiles, cells: Sequence[Cell]) -> list[Cell]:
    """The cells, which lie in the map and have an answer."""
    grid = tiles.plan.grid
    if not cells or not all(0 <= row < grid.rows and 0 <= col < grid.cols for row, col in cells):
        raise BadInput(f"at {list(cells)}: cells of a map of {grid.rows} × {grid.cols}")
    found = [cell for group in tiles.together(cells) for cell in tiles.answered(group)]
    if len(found) < len(set(cells)):
        raise BadInput(f"at {sorted(set(cells) - set(found))}: has no answer, so that there is nothing to explain")
    return found


class _Switched:
    """The cast network with switches, run around one cell."""

    def __init__(
        self,
        model: Model,
        net: OnnxNet,
        name: str,
        switches: Sequence[Switch],
        graph: Any,
        activation: Activation | None,
    ) -> None:
        self.model, self.name, self.switches = model, name, switches
        self.graph, self.image = net.graph, str(net.graph.image)
        self.fields = receptive_fields(net.graph)
        inputs = {key: axes.shape for key, axes in net.inputs.items()} | {s.mask: (1, 1, 1, 1) for s in switches}
        lowered = lower_model(graph, inputs, (0, 1, 2, 3))
        if activation is not None:
            lowered = activation.behind(lowered, net.graph.values[name])
        self.session = OnnxRuntimeSession(lowered, [name])

    def answers(
        self, image: Crops, size: tuple[int, int], cell: tuple[int, int], told: Callable[[int], None]
    ) -> list[Array]:
        """The cell's answer: map, crop, then each layer alone and kept.

        Args:
            image: what reads it.
            size: its (height, width).
        """
        patch, at, start = self._patch(image, size, cell)
        ones, cut = self._masks(patch.shape[2:], start)
        order = _first(self.graph.values[self.image])
        fed = np.ascontiguousarray(patch.transpose([order.index(i) for i in range(len(order))]))
        plans: list[Mapping[str, Array]] = [ones, cut]
        for switch in self.switches:
            plans += [{**ones, switch.mask: cut[switch.mask]}, {**cut, switch.mask: ones[switch.mask]}]
        found = []
        for i, masks in enumerate(plans):
            (scores,) = self.session.run({self.image: fed, **masks}, [self.name])
            cells = scores.transpose(_first(self.graph.values[self.name])) if scores.ndim == 4 else scores
            found.append(cells[0, :, at[0], at[1]].astype(np.float64))
            told(i + 1)
        return found

    def _patch(
        self, image: Crops, size: tuple[int, int], cell: tuple[int, int]
    ) -> tuple[Array, tuple[int, int], tuple[int, int]]:
        """The image around a cell as far as its field reaches, the cell's place there, and its crop's first pixel there."""
        sampling = self.model.sampling(self.name)
        cuts, at, first = [], [], []
        for place, step, crop, extent, length in zip(
            cell, sampling.stride, sampling.crop, (sampling.field.y, sampling.field.x), size, strict=True
        ):
            start = place * int(step)
            steps = -(-max(0, int(-extent.start)) // int(step)) + 1
            low = max(0, start - steps * int(step))
            high = min(length, start + max(int(crop), int(extent.start + extent.size)) + int(step))
            cuts.append((low, high))
            at.append((start - low) // int(step))
            first.append(start - low)
        return np.ascontiguousarray(image.values(*cuts)), (at[0], at[1]), (first[0], first[1])

    def _masks(self, size: tuple[int, int], start: tuple[int, int]) -> tuple[dict[str, Array], dict[str, Array]]:
        sizes = map_sizes(self.graph, size)
        trained = map_sizes(self.graph, self.graph.values[self.image].map_size)
        ones, cut = {}, {}
        for switch in self.switches:
            ones[switch.mask] = np.ones((1, 1, *sizes[switch.value]), np.float32)
            mask = np.zeros_like(ones[switch.mask])
            steps = self.fields[switch.value].stride
            top, left = (int(first / step) for first, step in zip(start, steps, strict=True))
            height, width = trained[switch.value]
            mask[:, :, top : top + height, left : left + width] = 1
            cut[switch.mask] = mask
        return ones, cut


def _first(axes: Axes) -> list[int]:
    """The order in which a map's axes are (n, c, h, w)."""
    return [0, axes.channel_axis, axes.space_axis("h") or 0, axes.space_axis("w") or 0]


def _switched(
    model: Model, full: Model, name: str, activation: Activation | None
) -> tuple[_Switched, list[Cause], tuple[str, ...]]:
    """The network with switches, the causes that have one, and those that have none."""
    native, names = as_onnx(full.format, full.native, full.graph, str(model.path or "the network"))
    named = {} if native is full.native else names
    causes = {cause.node: cause for cause in model.plan.inexact}  # one switch a node
    places: dict[str, Cause] = {}
    left_out = []
    for cause in causes.values():
        place = cause.node
        if named:
            node = next(n for n in full.graph if n.name == cause.node)
            value = named.get(node.outputs[0])
            place = (windows_behind(native, value) if value else None) or ""
        if not place or place in places:
            left_out.append(str(cause))
            continue
        places[place] = cause
    pooled = {node.name: node.touch.over for node in model.graph if isinstance(node.touch, Whole)}
    sides = {place: [2 if side == "h" else 3 for side in pooled.get(c.node, ("h", "w"))] for place, c in places.items()}
    graph, switches = with_switches(native, {place: (cause.kind, sides[place]) for place, cause in places.items()})
    have = {switch.node for switch in switches}
    left_out += [str(cause) for place, cause in places.items() if place not in have]
    return (
        _Switched(model, native, name, switches, graph, activation),
        [places[s.node] for s in switches],
        tuple(left_out),
    )
