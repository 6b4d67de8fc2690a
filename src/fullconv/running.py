"""A network run: inputs as it takes them, engines compiled when they are needed and kept for the next image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.errors import BadInput, CannotRun
from fullconv.formats.format import Format
from fullconv.geometry.lengths import fitting, misfit
from fullconv.graph.axes import SPACE, Axes
from fullconv.graph.nodes import Graph
from fullconv.runtimes.activation import ActivatedSession, Activation
from fullconv.runtimes.engine import Engine
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision, Session, chosen, compiler

Array = npt.NDArray[Any]
_MOST_SESSIONS = 3  # compiled networks kept; each may hold its own copy of the weights


class Runner:
    """The engines of one network."""

    def __init__(
        self, native: Any, kind: Format, graph: Graph, *, takes_any_size: bool, activation: Activation | None = None
    ) -> None:
        """Args:
        takes_any_size: it is fully convolutional, so that only its windows say which images go through.
        activation: what stands behind an output when the network is run; ``values`` are the network's own.
        """
        self._activation = activation
        self._native = native
        self._format = kind
        self._graph = graph
        self._takes_any_size = takes_any_size
        self._sessions: OrderedDict[Any, Session] = OrderedDict()
        self._fit: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()  # input shapes known to fit

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or what another process is sent, compiles engines of its own."""
        return self.__dict__ | {"_sessions": OrderedDict()}

    def run(
        self,
        inputs: Array | Mapping[str, Array],
        *,
        outputs: Sequence[str] | None = None,
        runtime: str = "auto",
        precision: Precision = "fp32",
    ) -> dict[str, Array]:
        """``Model.run``."""
        feeds = self._feeds(inputs)
        self._format.accepts(self._native, feeds)
        names = tuple(outputs or self._graph.outputs)
        batch = self._format.batch(self._native)
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
        return {name: self._as_map(name, _float32(array)) for name, array in found}

    def values(
        self,
        inputs: Array | Mapping[str, Array],
        names: Sequence[str] | None = None,
        *,
        rewrites: bool = False,
        double: bool = False,
    ) -> dict[str, Array]:
        """Values inside the network, for looking closely: by an engine that is made for a run or two.

        Args:
            inputs: as for ``run``.
            names: values wanted, those that are known to the graph by default; names that the engine does not keep are left out.
            rewrites: the engine may rewrite the network as it does for maps; else every operator is run as it is written.
            double: in double precision, by ONNX's own reference.

        Returns:
            Name to array, in the network's own layout.

        Raises:
            CannotRun: an operator has no such form.
        """
        feeds = self._feeds(inputs)
        count = len(next(iter(feeds.values()), ()))
        batch = self._format.batch(self._native)
        if batch is not None and count < batch:  # a network of one batch size: the same again
            feeds = {name: np.concatenate([value] * batch)[:batch] for name, value in feeds.items()}
        shapes = {name: value.shape for name, value in feeds.items()}
        self._check(shapes)
        try:
            lowered = self._format.lower(self._native, shapes)
        except CannotRun:
            own = None if double else self._own_session("fp32", None, bare=True)
            if own is None:
                raise
            wanted = list(names or self._graph.outputs)
            return _cut(dict(zip(wanted, own.run(feeds, wanted), strict=True)), count)
        known = [v for v in (names or self._graph.values) if v in lowered.outputs]
        if double:
            from fullconv.runtimes.double import DoubleSession

            return _cut(dict(zip(known, DoubleSession(lowered, known).run(feeds), strict=True)), count)
        from fullconv.runtimes.onnxruntime import OnnxRuntimeSession

        key = ("once", rewrites, *known, None if lowered.any_size else tuple(shapes.items()))
        if key not in self._sessions:
            self._keep(key, OnnxRuntimeSession(lowered, known, rewrites=rewrites, prepacks=False))
        return _cut(dict(zip(known, self._sessions[key].run(feeds, known), strict=True)), count)

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]] | None:
        """Shapes of every value for one image of (height, width), by ONNX's own inference; None where it cannot tell.

        It knows nothing of this package's geometry, which is held against it.
        """
        from fullconv.runtimes.footprint import value_shapes

        given = {v: self._graph.values[v].shape for v in self._graph.inputs if self._graph.consumers(v)}
        image = self._graph.image
        if image is not None and image in given:
            given[image] = self._graph.values[image].with_size(*size).shape
        try:
            lowered = self._format.lower(self._native, given)
        except CannotRun:
            return None
        found = value_shapes(lowered, lowered.nodes, given)
        return None if found is None else {v: found[o] for v, o in lowered.outputs.items() if o in found}

    def engine(self, shape: Sequence[int], output: str, runtime: str, precision: Precision) -> str:
        """``Model.engine``."""
        feeds = self._feeds(np.broadcast_to(np.float32(0), tuple(shape)))
        shapes = {name: value.shape for name, value in feeds.items()}
        return self._session(shapes, (output,), runtime, precision).engine

    def lowered(self, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        """The form that engines run for inputs of these shapes, with the activation."""
        lowered, activation = self._format.lower(self._native, shapes), self._activation
        return lowered if activation is None else activation.behind(lowered, self._graph.values[activation.output])

    def _feeds(self, inputs: Array | Mapping[str, Array]) -> dict[str, Array]:
        if not isinstance(inputs, Mapping):
            image = self._graph.image or self._graph.inputs[0]
            inputs = {image: self._as_input(image, np.asarray(inputs))}
        missing = [name for name in self._graph.inputs if name not in inputs and self._graph.consumers(name)]
        unknown = [name for name in inputs if name not in self._graph.inputs]
        if missing or unknown:
            raise BadInput(f"inputs are {', '.join(self._graph.inputs)}; missing {missing}, unknown {unknown}")
        feeds = {
            name: np.asarray(value, np.float32, order="C")
            for name, value in inputs.items()
            if self._graph.consumers(name)
        }
        for name, value in feeds.items():
            want = self._graph.values[name].shape
            axes = self._graph.values[name]
            fixed = [axes.channel_axis] if axes.is_map and axes.rank == 4 else list(range(1, axes.rank))
            if value.ndim != len(want) or any(value.shape[i] != want[i] for i in fixed) or 0 in value.shape:
                raise BadInput(f"input {name!r} has the shape {value.shape}; the network takes {want}, with any batch")
        return feeds

    def _as_input(self, name: str, array: Array) -> Array:
        """(N, C, H, W) as the input takes it."""
        order = channels_first(self._graph.values[name])
        there = None if order is None or array.ndim != len(order) else tuple(order.index(i) for i in range(len(order)))
        return array if there is None else array.transpose(there)

    def _as_map(self, name: str, array: Array) -> Array:
        """A map of any layout as (N, K, rows, cols)."""
        axes = self._graph.values.get(name)
        order = None if axes is None else channels_first(axes)
        return array if order is None or array.ndim != len(order) else array.transpose(order)

    def _session(
        self, shapes: Mapping[str, tuple[int, ...]], names: tuple[str, ...], runtime: str, precision: Precision
    ) -> Session:
        compile_, any_size = compiler(runtime, precision)
        exact = (runtime, precision, names, tuple(shapes.items()))
        general = (runtime, precision, names, None)
        self._check(shapes)
        for key in (general, exact):
            if key in self._sessions:
                self._sessions.move_to_end(key)
                return self._sessions[key]
        try:
            lowered = self.lowered(shapes)
            session = compile_(lowered, names, precision)
        except CannotRun:
            instead = self._instead(Engine.of(runtime), precision, names, shapes)
            if instead is None:
                raise
            return instead
        return self._keep(general if any_size and lowered.any_size else exact, session)

    def _instead(
        self, asked: Engine, precision: Precision, names: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> Session | None:
        """Another engine for what the one that was taken has no form for: the network's own framework; or, where any will do, the processor's."""
        if asked.engine in ("auto", "torch") and self._format.framework is not None:
            return self._own_session(precision, asked.device)
        elsewhere = asked.engine == "auto" and asked.device is None and precision == "fp32"
        if not elsewhere or chosen(asked, precision) != "torch":
            return None
        return self._session(shapes, names, "onnxruntime", precision)

    def _keep(self, key: Any, session: Session) -> Session:
        self._sessions[key] = session
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Whether inputs of these shapes fit, once a shape."""
        key = tuple(shapes.items())
        if key not in self._fit:
            self._format.check(self._native, shapes)
            self._check_size(shapes)
            self._fit.add(key)

    def _check_size(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        image = self._graph.image
        if image is None or image not in shapes or not self._takes_any_size:
            return
        axes = self._graph.values[image]
        size = tuple(shapes[image][axes.space_axis(root) or 0] for root in SPACE)
        if len(shapes[image]) == axes.rank:
            why = misfit(self._graph, (size[0], size[1]))
            if why is not None:
                near = fitting(self._graph, (size[0], size[1]), self._graph.outputs[-1], (1, 1))
                raise BadInput(
                    f"an input of {size[0]}×{size[1]} does not go through the network: {why}; {near[0]}×{near[1]} does"
                )

    def _own_session(self, precision: Precision, device: str | None, *, bare: bool = False) -> Session | None:
        """The session of the network's own framework, where it has one; ``bare`` of any activation."""
        framework = self._format.framework
        if framework is None:
            return None
        key = ("own", precision, device)
        if key not in self._sessions:
            self._keep(key, framework.session(self._native, precision, device))
        session, activation = self._sessions[key], self._activation
        if bare or activation is None:
            return session
        return ActivatedSession(session, activation, self._graph.values[activation.output])


def channels_first(axes: Axes) -> tuple[int, int, int, int] | None:
    """The axes of a map of four in the order n, c, h, w; None for what is no such map."""
    y, x = axes.space_axis("h"), axes.space_axis("w")
    if axes.rank != 4 or y is None or x is None:
        return None
    return 0, axes.channel_axis, y, x


def _float32(array: Array) -> Array:
    """Scores of a float16 network as float32; indices stay whole numbers."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _cut(values: dict[str, Array], count: int) -> dict[str, Array]:
    """The first of what a filled-up batch gave."""
    return {name: value[:count] if value.ndim else value for name, value in values.items()}
