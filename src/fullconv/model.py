"""A network read from a file: its graph, its cast, and its answers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fullconv.cards.card import Card
from fullconv.cards.taken import of_cast
from fullconv.errors import BadInput, BrokenPromise, CannotCast
from fullconv.formats.adapted import NO_CLASSIFIER, OTHER_WEIGHTS, UNREAD
from fullconv.formats.format import Format
from fullconv.formats.head import FittedHead
from fullconv.geometry.grid import Sampling, sampling
from fullconv.geometry.lengths import fitting
from fullconv.graph.nodes import Graph
from fullconv.layer import layer_of, sampling_of
from fullconv.made import Adaptation, Made, adapted, refined
from fullconv.rasters.preprocess import Preprocess
from fullconv.running import Runner
from fullconv.runtimes.activation import Activation
from fullconv.runtimes.lowered import Lowered
from fullconv.runtimes.runtime import Precision
from fullconv.showing import in_html, in_short
from fullconv.surgery.edit import SetWindow
from fullconv.surgery.plan import GlobalPooling, Plan, make_plan
from fullconv.training import module_of, with_weights
from fullconv.trust.check import Checked, check
from fullconv.trust.restated import same_at
from fullconv.writing import written

Array = npt.NDArray[Any]


class Model:
    """A network in its own format. Casting makes another Model and never changes this one."""

    def __init__(
        self,
        native: Any,
        kind: Format,
        path: Path | None = None,
        global_pooling: GlobalPooling = "local",
        files: Sequence[Path] = (),
        *,
        origin: Mapping[str, Any] | None = None,
        checks: bool = True,
        made: Made | None = None,
        adaptation: Adaptation | None = None,
    ) -> None:
        """Args:
        native: the format's own network object.
        kind: its format.
        path: the file that it was read from.
        global_pooling: what a cast makes of pooled statistics that act on the map, ``local`` or ``global``.
        origin: the arguments of ``load``, by which it can be loaded again elsewhere.
        checks: whether what is made of it (its cast, finer forms, files) is run and compared at once; put off, ``checked`` does it.
        made: how it was made of another network, where it was.
        adaptation: what it was adapted from, where it was and its own nodes do not say.
        """
        self.native = native
        self.format = kind
        self.path = path
        self.files = tuple(files)  # that it was read from, which are never written over
        self.global_pooling = global_pooling
        self.origin = origin
        self.checks = checks
        self._made, self._given = made, adaptation
        self._samplings: dict[str, Sampling] = dict(made.samplings) if made is not None else {}
        self.activation: Activation | None = None
        self.card: Card | None = None  # what was written down of it, by a card or in its file
        self.remarks: tuple[str, ...] = ()  # of that
        self.is_layer = False  # a network up to one of its layers, whose scores are features
        self._activated: dict[Activation, Model] = {}
        self._layers: dict[str, Model] = {}
        self._fitting: dict[tuple[tuple[int, int], str], tuple[int, int]] = {}

    __repr__, _repr_html_ = in_short, in_html

    @cached_property
    def graph(self) -> Graph:
        """Names, touches and shapes at training size."""
        return self.format.graph(self.native)

    @cached_property
    def plan(self) -> Plan:
        """What a cast would do; pure, no weight is read."""
        plan = make_plan(self.graph, self.format.dialect, self.global_pooling)
        return plan.with_causes(self._adaptation.causes) if plan.is_empty and self._adaptation is not None else plan

    @cached_property
    def _adaptation(self) -> Adaptation | None:
        """What it was adapted from; of a network as it was read, what its heads stand behind."""
        if self._given is not None or self._named is None or not self._named[1]:
            return self._given
        return Adaptation(self._named[1], self.making(self._named[0], self.format))

    @cached_property
    def _named(self) -> tuple[Any, tuple[FittedHead, ...]] | None:
        """The network without the heads that its file names, and those."""
        return None if self._given is not None else self.format.unadapted(self.native)

    @property
    def carried(self) -> Adaptation | None:
        """What a network that is made of this one was adapted from."""
        return None if self._adaptation is None else self._adaptation.carried()

    @property
    def heads(self) -> tuple[FittedHead, ...]:
        """The heads that bring its map nearer to its crops, of an adapted network; one an output."""
        return () if self._adaptation is None else self._adaptation.heads

    def adapted(self, fitted: FittedHead) -> Model:
        """The cast network with a head behind it, which moves every cell's logits towards its crop's, in the same format or, where that cannot
        say it, in ONNX; ``classifier`` is this one.

        Raises:
            BadInput: the head does not fit the cast network.
            CannotCast: with every refusal.
        """
        return adapted(self, fitted)

    def pooling(self, mode: GlobalPooling) -> Model:
        """The same network, cast with statistics pooled over the whole map ``local`` or ``global``."""
        if mode not in ("local", "global"):
            raise BadInput(f"global_pooling {mode!r}: not local or global")
        if mode == self.global_pooling:
            return self
        origin = None if self.origin is None else {**self.origin, "global_pooling": mode}
        return self._alike(mode, self.checks, origin)

    def checking(self, on: bool) -> Model:
        """The same network, whose casts are checked at once, or only when asked (``checked``)."""
        return self if on == self.checks else self._alike(self.global_pooling, on, self.origin)

    def _alike(self, mode: GlobalPooling, checks: bool, origin: Mapping[str, Any] | None) -> Model:
        made = Model(
            self.native, self.format, self.path, mode, self.files, origin=origin, checks=checks, adaptation=self._given
        )
        made.card, made.remarks = self.card, self.remarks
        return made

    @property
    def notes(self) -> Sequence[str]:
        """What the reader left out or changed, in words."""
        unread = (UNREAD,) if self._named and not self._named[1] else ()
        return (*self.remarks, *self.format.notes(self.native), *unread)

    @property
    def recorded(self) -> Mapping[str, Sampling]:
        """How its file says that outputs sample an image (ONNX metadata ``fullconv.outputs``), by output."""
        return self.format.recorded(self.native)

    @property
    def preprocess(self) -> Preprocess | None:
        """The preprocessing that its card or the file itself states, if any."""
        own = None if self.card is None else self.card.preprocess
        return own or self.format.preprocess(self.native)

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
        return self._full.held()

    @cached_property
    def _full(self) -> Model:
        """The cast network, not checked yet."""
        plan = self.plan
        if plan.refusals:
            raise CannotCast(f"{self._name}: cannot be cast", plan.refusals)
        if plan.is_empty:
            return self
        assert plan.predicted is not None
        full = self.making(self.format.apply(self.native, plan), self.format, Made(self, plan, plan.outputs))
        difference = plan.predicted.difference(full.graph)
        if difference is not None:
            raise BrokenPromise(f"{self._name}: the cast network is not the planned one: {difference}")
        return full

    def making(
        self, native: Any, kind: Format, made: Made | None = None, adaptation: Adaptation | None = None
    ) -> Model:
        """A network made of this one."""
        path, mode, checks = self.path, self.global_pooling, self.checks
        new = Model(native, kind, path, mode, self.files, checks=checks, made=made, adaptation=adaptation)
        new.card = None if self.card is None else of_cast(self.card, {} if made is None else made.outputs)
        return new

    def held(self) -> Model:
        """Itself, checked where checks are on."""
        if self.checks:
            _ = self.checked
        return self

    @cached_property
    def checked(self) -> Checked | None:
        """What was seen when this cast (or finer form of one) was held against the network that it was made of; None for a network as
        it was loaded. Runs the check where it was put off.

        Raises:
            BrokenPromise: the cast is not what its plan says.
        """
        if self._made is None:
            return None if self._given is None else self._given.checked(self)
        made = self._made
        return check(made.of.fresh(), self.fresh(), made.plan, self._name, made.outputs)

    def fresh(self) -> Model:
        """The same network as one of its own, so that no session of a check stays."""
        return Model(self.native, self.format, self.path, self.global_pooling, made=self._made, adaptation=self._given)

    @property
    def classifier(self) -> Model:
        """The network whose answers for crops are the map's measure: itself; of an adapted network the one that it was adapted from.

        Raises:
            BadInput: its file names a head, and its nodes are others.
        """
        if self._named and not self._named[1]:
            raise BadInput(f"{self._name}: {NO_CLASSIFIER}")
        return self if self._adaptation is None else self._adaptation.classifier

    @property
    def refinements(self) -> Sequence[SetWindow]:
        """What made the map finer than the network's own."""
        return self._made.refinements if self._made is not None else ()

    @property
    def _name(self) -> str:
        return str(self.path or "the network")

    @property
    def is_fully_convolutional(self) -> bool:
        return self.plan.is_empty

    @cached_property
    def module(self) -> Any:
        """An ``nn.Module`` of its own, whatever the format: it trains, compiles and exports.

        Parameters have the names of the file's layers (docs/pytorch.md); those of a cast ``Linear`` are reshaped, (K, C·h·w) to (K, C, h, w).
        It is a copy: training it changes neither this Model nor the module that was loaded; ``with_weights`` brings it back.

        Raises:
            CannotRun: an operator has no form in PyTorch here.
        """
        return module_of(self.native, self.format, self.graph, self._name)

    def with_weights(self, state: Mapping[str, Any]) -> Model:
        """This network with the numbers of ``module.state_dict()``, in its own format; raises BadInput where they do not fit it."""
        if self.heads:
            raise BadInput(f"{self._name}: {OTHER_WEIGHTS}")
        return self.making(with_weights(self.native, self.format, state, self._name), self.format)

    def sampling(self, output: str | None = None) -> Sampling:
        """Stride, crop and field of an output's cells; of a classifier, those of its cast."""
        graph = self.plan.predicted or self.graph
        name = self.output(output, graph)
        if name not in self._samplings:
            known, own = self.recorded.get(name), (sampling_of(self, name) if self.is_layer else sampling(graph, name))
            # A finer network has cells behind its crop's last, so that the crop does not follow from the graph.
            agrees = known is not None and not self.is_layer and (known.stride, known.field) == (own.stride, own.field)
            self._samplings[name] = known if known is not None and agrees else own
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
        return refined(self, self._full, stride)

    def layer(self, name: str) -> Model:
        """The network up to a layer, cast, its value the only output: one of ONNX; BadInput where that is no map (``layer.layer_of``)."""
        if name not in self._layers:
            self._layers[name] = layer_of(self, name)
        return self._layers[name]

    def output(self, name: str | None = None, graph: Graph | None = None) -> str:
        """An output's name as the cast network has it; the last one by default."""
        outputs = (graph or self.graph).outputs
        if name is None:
            return outputs[-1]
        if name not in outputs:
            raise BadInput(f"no output is named {name!r}; the network's outputs are {', '.join(outputs)}")
        return name

    def resized(self, height: int, width: int) -> Model:
        """The same network with its input stated at another size (for files that state one).

        Raises:
            BrokenPromise: it is not the same one.
        """
        made = self.making(self.format.resize(self.native, height, width), self.format, adaptation=self.carried)
        if self.checks and made.native is not self.native:
            same_at(self.fresh(), made.fresh(), (height, width), self._name)
        return made

    @cached_property
    def _runner(self) -> Runner:
        return Runner(
            self.native, self.format, self.graph, takes_any_size=self.is_fully_convolutional, activation=self.activation
        )

    def activated(self, activation: Activation) -> Model:
        """The same network, run with a softmax or sigmoid behind an output; its graph, cast and files are the network's own."""
        if activation not in self._activated:
            found = copy.copy(self)
            found.activation, found._activated = activation, {}
            found.__dict__.pop("_runner", None)
            self._activated[activation] = found
        return self._activated[activation]

    def lowered(self, shapes: Mapping[str, Sequence[int]]) -> Lowered:
        """The ONNX graph that engines run for inputs of these shapes, with its activation."""
        return self._runner.lowered(shapes)

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
            runtime: ``auto``, ``onnxruntime``, ``openvino`` or ``torch``; with a device behind a colon where it is not the usual one: ``torch:cuda:1``, ``auto:cpu``.

        Returns:
            Output name to array, (N, K) or (N, K, rows, cols).

        Raises:
            BadInput: an input is missing or has a shape that the network cannot take.
        """
        return self._runner.run(inputs, outputs=outputs, runtime=runtime, precision=precision)

    def engine(self, shape: Sequence[int], output: str, runtime: str = "auto", precision: Precision = "fp32") -> str:
        """The engine that runs it on an image of (N, C, H, W), and on what kind of device: ``onnxruntime:cpu``, ``torch:cuda``."""
        return self._runner.engine(shape, output, runtime, precision)

    def let_go(self) -> None:
        """Give back what compiled engines hold; the next run compiles again."""
        self.__dict__.pop("_runner", None)

    def values(
        self,
        inputs: Array | Mapping[str, Array],
        names: Sequence[str] | None = None,
        *,
        rewrites: bool = False,
        double: bool = False,
    ) -> dict[str, Array]:
        """Values inside the network, for looking closely; see ``Runner.values``."""
        return self._runner.values(inputs, names, rewrites=rewrites, double=double)

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]] | None:
        """Shapes of every value for one image of (height, width), by ONNX's own inference; see ``Runner.shapes``."""
        return self._runner.shapes(size)

    def save(self, path: str | Path, weights: str | Path | None = None, *, overwrite: bool = False) -> list[Path]:
        """Write the network in its own format, weights beside it unless named; the paths written.

        Args:
            overwrite: a file that exists and that fullconv did not write may be replaced. What the network was read from never is.
        """
        return written(self, Path(path), None if weights is None else Path(weights), overwrite)

    def fitting(self, size: tuple[int, int], output: str) -> tuple[int, int]:
        """The least (height, width) from an image's own on that goes through and gives every cell of the image."""
        key = (size, output)
        if key not in self._fitting:
            self._fitting[key] = fitting(self.graph, size, output, self.sampling(output).cells(size))
        return self._fitting[key]
