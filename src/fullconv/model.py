"""A network read from a file: its graph, its cast, and its answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, BrokenPromise, CannotCast, CannotRun
from fullconv.formats.format import Format
from fullconv.geometry.field import Field
from fullconv.geometry.grid import Sampling, sampling
from fullconv.geometry.lengths import fitting, misfit
from fullconv.graph.axes import SPACE
from fullconv.graph.nodes import Graph
from fullconv.rasters.preprocess import Preprocess
from fullconv.runtimes.runtime import Precision, Session, compiler
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.plan import GlobalPooling, Plan, make_plan
from fullconv.surgery.refine import strides
from fullconv.system.guard import guarded

Array = npt.NDArray[Any]
_MOST_SESSIONS = 3  # compiled networks kept; each may hold its own copy of the weights


class Model:
    """A network in its own format. Casting makes another Model and never changes this one."""

    def __init__(
        self,
        native: Any,
        kind: Format,
        path: Path | None = None,
        global_pooling: GlobalPooling = "local",
        files: Sequence[Path] = (),
    ) -> None:
        self.native = native
        self.format = kind
        self.path = path
        self.files = tuple(files)  # that it was read from, which are never written over
        self.global_pooling = global_pooling
        self.origin: Mapping[str, Any] | None = None  # what it was loaded from, to load it again elsewhere
        self.refinements: Sequence[SetWindow] = ()  # what made the map finer than the network's own
        self._sessions: OrderedDict[Any, Session] = OrderedDict()
        self._samplings: dict[str, Sampling] = {}
        self._fitting: dict[tuple[tuple[int, int], str], tuple[int, int]] = {}
        self._fit: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()  # input shapes known to fit

    @cached_property
    def graph(self) -> Graph:
        """Names, touches and shapes at training size."""
        return self.format.graph(self.native)

    @cached_property
    def plan(self) -> Plan:
        """What a cast would do; pure, no weight is read."""
        return make_plan(self.graph, self.format.dialect, self.global_pooling)

    def pooling(self, mode: GlobalPooling) -> Model:
        """The same network, cast with statistics pooled over the whole map ``local`` or ``global``."""
        if mode not in ("local", "global"):
            raise BadInput(f"global_pooling {mode!r}: not local or global")
        if mode == self.global_pooling:
            return self
        other = Model(self.native, self.format, self.path, mode, self.files)
        other.origin = None if self.origin is None else {**self.origin, "global_pooling": mode}
        return other

    @property
    def notes(self) -> Sequence[str]:
        """What the reader left out or changed, in words."""
        return self.format.notes(self.native)

    @property
    def preprocess(self) -> Preprocess | None:
        """The preprocessing that the file itself states, if any."""
        return self.format.preprocess(self.native)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the image that the network states."""
        image = self.graph.image
        if image is None:
            raise BadInput("the network has no image input of (N, C, H, W)")
        axes = self.graph.values[image]
        return axes.shape[axes.channel_axis], *axes.map_size

    def cast(self) -> Model:
        """The fully convolutional network; the same weights, the same answer for one crop.

        Raises:
            CannotCast: with every refusal.
        """
        return self._full

    @cached_property
    def _full(self) -> Model:
        plan = self.plan
        if plan.refusals:
            name = self.path or "the network"
            raise CannotCast(f"{name}: cannot be cast", plan.refusals)
        if plan.is_empty:
            return self
        full = Model(self.format.apply(self.native, plan), self.format, self.path, self.global_pooling, self.files)
        assert plan.predicted is not None
        difference = plan.predicted.difference(full.graph)
        if difference is not None:
            raise BrokenPromise(f"the cast network is not the planned one: {difference}")
        return full

    @property
    def is_fully_convolutional(self) -> bool:
        return self.plan.is_empty

    @cached_property
    def module(self) -> Any:
        """An ``nn.Module`` of its own (networks of PyTorch only): it trains, compiles and exports.

        Parameters have the names that they had; those of a cast ``Linear`` are reshaped, (K, C·h·w) to (K, C, h, w).
        It is a copy: training it changes neither this Model nor the module that was loaded.

        Raises:
            BadInput: the network is no network of PyTorch.
        """
        framework = self.format.framework
        if framework is None:
            raise BadInput(f"{self.path}: a network of {self.format.name} is no nn.Module; load it from PyTorch")
        return framework.module(self.native)

    def sampling(self, output: str | None = None) -> Sampling:
        """Stride, crop and field of an output's cells; of a classifier, those of its cast."""
        graph = self.plan.predicted or self.graph
        name = self.output(output, graph)
        if name not in self._samplings:
            self._samplings[name] = sampling(graph, name)
        return self._samplings[name]

    def refined(self, stride: int) -> Model:
        """The cast network with a finer map: ``stride`` pixels from cell to cell, by dilation, over the same weights.

        Caffe's pooling has no dilation, so the result is a network of ONNX whatever this one's format.

        Args:
            stride: a divisor of the network's own stride.

        Raises:
            BadInput: the stride is no divisor; those that are, are told.
            CannotCast: a node has no dilated form, with the reason.
        """
        full = self.cast()
        name = full.output()
        sampling = self.sampling(name)
        own = [int(step) for step in sampling.stride]
        if stride < 1 or any(step % stride for step in own):
            fits = [n for n in strides(min(own)) if all(step % n == 0 for step in own)]
            raise BadInput(
                f"stride {stride}: the network steps by {own[0]}×{own[1]} px; it can step by {', '.join(map(str, fits))}"
            )
        if (stride, stride) == tuple(own):
            return full
        from fullconv.formats.onnx.format import Onnx
        from fullconv.formats.onnx.refine import of_lowered, refined

        native = full.native
        if full.format.name != "onnx":
            shapes = {value: full.graph.values[value].shape for value in full.graph.inputs}
            inputs = {value: full.graph.values[value] for value in full.graph.inputs}
            lowered = full.format.lower(full.native, shapes)
            native = of_lowered(lowered, full.graph.outputs, inputs, str(self.path or "the network"))
        network, edits = refined(native, (stride, stride))
        made = Model(network, Onnx(), self.path, self.global_pooling, self.files)
        made.refinements = edits
        step = Fraction(stride)
        for output in made.graph.outputs:
            old = self.sampling(output)
            field = Field(replace(old.field.y, stride=step), replace(old.field.x, stride=step))
            made._samplings[output] = Sampling((step, step), old.crop, field)
        return made

    def output(self, name: str | None = None, graph: Graph | None = None) -> str:
        """An output's name as the cast network has it; the last one by default."""
        outputs = (graph or self.graph).outputs
        if name is None:
            return outputs[-1]
        if name not in outputs:
            raise BadInput(f"no output is named {name!r}; the network's outputs are {', '.join(outputs)}")
        return name

    def resized(self, height: int, width: int) -> Model:
        """The same network with its input stated at another size (for files that state one)."""
        return Model(
            self.format.resize(self.native, height, width), self.format, self.path, self.global_pooling, self.files
        )

    def run(
        self,
        inputs: Array | Mapping[str, Array],
        *,
        outputs: Sequence[str] | None = None,
        runtime: str = "auto",
        precision: Precision = "fp32",
    ) -> dict[str, Array]:
        """Run the network.

        Args:
            inputs: (N, C, H, W) for its image input whatever its own layout, or arrays by input name in theirs; made float32.
            outputs: names of values wanted, the network's outputs by default.
            runtime: ``auto``, ``onnxruntime`` or ``openvino``.

        Returns:
            Output name to array, (N, K) or (N, K, rows, cols).

        Raises:
            BadInput: an input is missing or has a shape that the network cannot take.
        """
        feeds = self._feeds(inputs)
        self.format.accepts(self.native, feeds)
        names = tuple(outputs or self.graph.outputs)
        batch = self.format.batch(self.native)
        if batch is not None and any(len(value) != batch for value in feeds.values()):
            return self._run_in_batches(feeds, names, batch, runtime, precision)
        return self._run(feeds, names, runtime, precision)

    def _run_in_batches(
        self, feeds: Mapping[str, Array], names: tuple[str, ...], batch: int, runtime: str, precision: Precision
    ) -> dict[str, Array]:
        """A network of one batch size, run as often as it takes; the last batch is filled up and cut."""
        count = len(next(iter(feeds.values())))
        found: dict[str, list[Array]] = {name: [] for name in names}
        for start in range(0, count, batch):
            part = {name: value[start : start + batch] for name, value in feeds.items()}
            short = batch - len(next(iter(part.values())))
            if short:
                part = {name: np.concatenate([v, np.zeros((short, *v.shape[1:]), v.dtype)]) for name, v in part.items()}
            for name, value in self._run(part, names, runtime, precision).items():
                if value.shape[:1] != (batch,):
                    raise BadInput(
                        f"output {name!r} of {value.shape} has no axis of the batch, and the network takes batches of {batch} only; "
                        "choose another output"
                    )
                found[name].append(value[: batch - short])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _run(
        self, feeds: Mapping[str, Array], names: tuple[str, ...], runtime: str, precision: Precision
    ) -> dict[str, Array]:
        session = self._session({name: value.shape for name, value in feeds.items()}, names, runtime, precision)
        found = zip(names, session.run(dict(feeds), names), strict=True)
        return {name: self._channels_first(name, _float32(array)) for name, array in found}

    def save(self, path: str | Path, weights: str | Path | None = None, *, overwrite: bool = False) -> list[Path]:
        """Write the network in its own format, weights beside it unless named; the paths written.

        Args:
            overwrite: a file that exists and that fullconv did not write may be replaced. What the network was read from never is.
        """
        with guarded(*self.files, overwrite=overwrite):
            return self.format.write(self.native, Path(path), None if weights is None else Path(weights))

    def _feeds(self, inputs: Array | Mapping[str, Array]) -> dict[str, Array]:
        if not isinstance(inputs, Mapping):
            image = self.graph.image or self.graph.inputs[0]
            inputs = {image: self._channels_last(image, np.asarray(inputs))}
        missing = [name for name in self.graph.inputs if name not in inputs and self.graph.consumers(name)]
        unknown = [name for name in inputs if name not in self.graph.inputs]
        if missing or unknown:
            raise BadInput(f"inputs are {', '.join(self.graph.inputs)}; missing {missing}, unknown {unknown}")
        feeds = {
            name: np.ascontiguousarray(value, np.float32)
            for name, value in inputs.items()
            if self.graph.consumers(name)
        }
        for name, value in feeds.items():
            want = self.graph.values[name].shape
            axes = self.graph.values[name]
            fixed = [axes.channel_axis] if axes.is_map and axes.rank == 4 else list(range(1, axes.rank))
            if value.ndim != len(want) or any(value.shape[i] != want[i] for i in fixed) or 0 in value.shape:
                raise BadInput(f"input {name!r} has the shape {value.shape}; the network takes {want}, with any batch")
        return feeds

    def _channels_last(self, name: str, array: Array) -> Array:
        """(N, C, H, W) as the input takes it."""
        axes = self.graph.values[name]
        last = axes.rank == 4 and axes.is_map and axes.channel_axis == 3 and array.ndim == 4
        return array.transpose(0, 2, 3, 1) if last else array

    def _channels_first(self, name: str, array: Array) -> Array:
        """A map of any layout as (N, K, rows, cols)."""
        axes = self.graph.values.get(name)
        if axes is None or axes.rank != 4 or not axes.is_map or array.ndim != 4:
            return array
        order = (0, axes.channel_axis, *(axes.space_axis(root) or 0 for root in SPACE))
        return array if order == (0, 1, 2, 3) else array.transpose(order)

    def _session(
        self, shapes: Mapping[str, tuple[int, ...]], names: tuple[str, ...], runtime: str, precision: Precision
    ) -> Session:
        own = self._own_session(runtime, precision)
        if own is not None:
            self._check(shapes)
            return own
        compile_, any_size = compiler(runtime, precision)
        exact = (runtime, precision, names, tuple(shapes.items()))
        general = (runtime, precision, names, None)
        self._check(shapes)
        for key in (general, exact):
            if key in self._sessions:
                self._sessions.move_to_end(key)
                return self._sessions[key]
        try:
            lowered = self.format.lower(self.native, shapes)
        except CannotRun:
            own = self._own_session("torch", precision) if runtime == "auto" else None
            if own is None:
                raise
            return own  # what has no form for other engines, its own framework runs
        session = compile_(lowered, names, precision)
        self._sessions[general if any_size and lowered.any_size else exact] = session
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def fitting(self, size: tuple[int, int], output: str) -> tuple[int, int]:
        """The least (height, width) from an image's own on that goes through and gives every cell of the image."""
        key = (size, output)
        if key not in self._fitting:
            self._fitting[key] = fitting(self.graph, size, output, self.sampling(output).cells(size))
        return self._fitting[key]

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Whether inputs of these shapes fit, once a shape."""
        key = tuple(shapes.items())
        if key not in self._fit:
            self.format.check(self.native, shapes)
            self._check_size(shapes)
            self._fit.add(key)

    def _check_size(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        image = self.graph.image
        if image is None or image not in shapes or not self.is_fully_convolutional:
            return
        axes = self.graph.values[image]
        size = tuple(shapes[image][axes.space_axis(root) or 0] for root in SPACE)
        if len(shapes[image]) == axes.rank:
            why = misfit(self.graph, (size[0], size[1]))
            if why is not None:
                near = fitting(self.graph, (size[0], size[1]), self.graph.outputs[-1], (1, 1))
                raise BadInput(
                    f"an input of {size[0]}×{size[1]} does not go through the network: {why}; {near[0]}×{near[1]} does"
                )

    def _own_session(self, runtime: str, precision: Precision) -> Session | None:
        """The session of the network's own framework, where it is asked for or the fastest."""
        framework = self.format.framework
        if framework is None or (runtime != "torch" and not (runtime == "auto" and framework.is_faster())):
            return None
        if ("own", precision) not in self._sessions:
            self._sessions["own", precision] = framework.session(self.native, precision)
        return self._sessions["own", precision]


def _float32(array: Array) -> Array:
    """Scores of a float16 network as float32; indices stay whole numbers."""
    return array.astype(np.float32) if array.dtype == np.float16 else array
