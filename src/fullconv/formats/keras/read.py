"""Reading Keras: the model by Keras itself, its graph by torch.export, its variables under their own names."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.format import Reading
from fullconv.formats.keras.applications import SCHEME, application
from fullconv.formats.keras.backwards import turned_round
from fullconv.formats.keras.container import by_its_suffix
from fullconv.formats.keras.old import load_old, trained_by_torch, version_of
from fullconv.formats.keras.pooling import ELSEWHERE, HERE, as_elsewhere
from fullconv.formats.keras.safety import check
from fullconv.formats.torch.export import export_module
from fullconv.formats.torch.network import TorchNet
from fullconv.formats.torch.quiet import told
from fullconv.formats.torch.read import COLOURS, input_axes, read_program
from fullconv.graph.axes import Axes
from fullconv.rasters.preprocess import NAMED


def read_keras(source: Any, reading: Reading) -> TorchNet:
    """Read a ``.keras`` or HDF5 file, or a Keras model in memory."""
    if reading.weights is not None:
        raise BadInput(f"{source}: a Keras file holds its weights; leave out --weights")
    keras = keras_by_torch()
    note, by_torch = None, False
    if isinstance(source, str | Path) and str(source).startswith(SCHEME):
        name, model = str(source), application(keras, str(source))
    elif isinstance(source, Path):
        name, (model, note), by_torch = str(source), load_file(keras, source), trained_by_torch(source)
    else:
        name, model, by_torch = source.name, source, True
    grey = [len(shape) for shape in _shapes(model)] == [3]  # rows and columns, and no axis of channels
    axes = _axes(model, name, reading)
    _, *size = axes.shape
    pools: list[bool] = []
    with as_elsewhere(pools, change=not by_torch), turned_round():
        program, any_batch = export_module(_Called(model, grey), (size[0], size[1], size[2]), name)
    named = {
        v.value.data_ptr(): (v.path.replace("/", "."), bool(v.trainable)) for v in model.variables if v.value.numel()
    }
    (given,) = (
        str(n.target)
        for n in program.graph.nodes
        if n.op == "placeholder" and n.name in program.graph_signature.user_inputs
    )
    net = read_program(program, name, {given: axes}, None if any_batch else 1, named)
    scales = _scales_within(model)
    raw = NAMED["raw"] if scales and "Rescaling" in scales else None  # made for pixels as they are
    pooled = (HERE if by_torch else ELSEWHERE) if pools else ""
    flat = "its input has rows and columns and no channels: images go in as grey" if grey else ""
    notes = [each for each in (note, scales, pooled, flat) if each]
    return replace(net, preprocess=raw, notes=(*net.notes, *notes))


def _scales_within(model: Any) -> str:
    """What the network does to pixels itself, before anything else, in words; empty where it does nothing."""
    for layer in model._flatten_layers(include_self=False):
        kind = type(layer).__name__
        if kind in ("Rescaling", "Normalization"):
            how = f" (scale {layer.scale}, offset {layer.offset})" if kind == "Rescaling" else ""
            return f"the network scales pixels itself, by its layer {layer.name!r}, {kind}{how}: a --preprocess that does so too would do it twice"
        if layer.weights:
            return ""
    return ""


class _Called(nn.Module):
    """A Keras model behind an nn.Module's way of being called."""

    def __init__(self, model: Any, grey: bool) -> None:
        super().__init__()
        self.model, self.grey = model, grey

    def forward(self, x: torch.Tensor) -> Any:
        return self.model(x.squeeze(-1) if self.grey else x, training=False)


def keras_by_torch() -> Any:
    """Keras, on PyTorch."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ImportError:
        raise MissingExtra("Keras is not installed; install it with: pip install 'fullconv[keras]'") from None
    if keras.backend.backend() != "torch":
        raise BadInput(f"Keras runs on {keras.backend.backend()} here; set KERAS_BACKEND=torch before it is imported")
    return keras


def load_file(keras: Any, path: Path) -> tuple[Any, str | None]:
    """The model of a file, and what a user should know of it."""
    config = check(path)
    try:
        version = version_of(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if version.startswith(("0", "1", "2")):
                return load_old(keras, path, config, version)
            with by_its_suffix(path) as named:
                return keras.saving.load_model(named, compile=False, safe_mode=True), None
    except BadInput:
        raise
    except Exception as error:  # Keras's own and Python's, as the file makes them
        raise BadInput(f"{path}: Keras {keras.__version__} cannot load it ({told(error)})") from None


def _shapes(model: Any) -> list[tuple[int | None, ...]]:
    """Of a model's inputs; none of one that is not built, as a Sequential that states no input is not."""
    return [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]


def _of_a_row(shapes: list[tuple[int | None, ...]]) -> str:
    """How a network of pixels in a row becomes one of images; nothing of other networks."""
    if len(shapes) != 1 or len(shapes[0]) != 2:
        return ""
    return (
        "; if they are an image's pixels in a row, save it anew with the image before them: "
        "keras.Sequential([keras.Input((H, W, C)), keras.layers.Flatten(), model]).save(...)"
    )


def _axes(model: Any, name: str, reading: Reading) -> Axes:
    shapes = _shapes(model)
    if len(shapes) != 1 or len(shapes[0]) not in (3, 4):
        raise BadInput(f"{name}: its inputs are {shapes or 'not built yet'}, not one image{_of_a_row(shapes)}")
    if len(shapes[0]) == 3:  # (rows, columns) of a grey image
        return input_axes([*shapes[0], 1], "input", name, reading.input_shape, True)
    return input_axes(list(shapes[0]), "input", name, reading.input_shape, _last(model, shapes[0]))


def _last(model: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether channels come last in the image, as the layer has it that reads it first."""
    flat: str | None = None
    for layer in model._flatten_layers():
        kind, order = type(layer).__name__, getattr(layer, "data_format", None)
        if kind == "Permute":  # what is behind it sees axes in another order
            break
        if "Flatten" in kind:  # of a network whose other layers have channels first it is left as it is by default
            flat = flat or order
        elif order is not None:
            return bool(order == "channels_last")
    # Keras's own default, but of images that have a plausible number of channels in front alone.
    return flat != "channels_first" and not (shape[1] in COLOURS and shape[3] not in COLOURS)
