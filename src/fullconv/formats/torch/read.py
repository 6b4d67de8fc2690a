"""Reading a PyTorch network: an nn.Module, a .pt2 or TorchScript file, or a name of torchvision's, timm's or a user's own function."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.adapted import KEY, LONGEST
from fullconv.formats.format import Reading
from fullconv.formats.stated import stated_channels, stated_size
from fullconv.formats.torch.checkpoint import read_tensors
from fullconv.formats.torch.compose import compose
from fullconv.formats.torch.export import export_module, inputs_of, made_floats, open_program
from fullconv.formats.torch.extras import extras_of
from fullconv.formats.torch.head import recognised
from fullconv.formats.torch.module import module_of
from fullconv.formats.torch.network import TorchNet, known_at, name_nodes, understand
from fullconv.formats.torch.quiet import told
from fullconv.formats.torch.readings import Weights
from fullconv.formats.torch.script import open_script
from fullconv.formats.torch.scripts import SUFFIXES, is_torchscript
from fullconv.formats.torch.source import Source, build
from fullconv.graph.axes import Axes

COLOURS = (1, 3, 4)


def read_network(source: Any, reading: Reading) -> TorchNet:
    """Read a network from a module, an ExportedProgram, a path of a .pt2 file, or a name."""
    if isinstance(source, nn.Module):
        return _of_module(_of_memory(source, reading), reading)
    if isinstance(source, ExportedProgram):
        if reading.weights is not None:
            raise BadInput("the program holds its weights; leave out weights=")
        return _of_program(source, "the program", reading)
    if Path(str(source)).suffix == ".pt2":
        if reading.weights is not None:
            raise BadInput(f"{source}: a .pt2 file holds its weights; leave out --weights")
        program, extras = open_program(Path(source)), extras_of(Path(source))
        net = replace(_of_program(program, str(source), reading, extras), metadata=extras)
        heads = extras.get(KEY, "")
        return recognised(net, heads if 0 < len(heads) <= LONGEST else None)
    if Path(str(source)).suffix.lower() in SUFFIXES and is_torchscript(Path(str(source))):
        return _of_script(Path(str(source)), reading)
    return _of_module(build(str(source), _weights(reading)), reading)


def _of_script(path: Path, reading: Reading) -> TorchNet:
    if reading.weights is not None:
        raise BadInput(f"{path}: a TorchScript file holds its weights; leave out --weights")
    extras = extras_of(path)
    if reading.input_shape is None:
        reading = replace(reading, input_shape=_stated(extras))
    program, any_batch = open_script(path, reading)
    assert reading.input_shape is not None, "a script is opened at a size"
    axes = Axes.image((1, *reading.input_shape))
    net = read_program(program, str(path), {_only_input(program, str(path)): axes}, None if any_batch else 1)
    return replace(net, metadata=extras)


def _stated(extras: Mapping[str, str], channels: int | None = None) -> tuple[int, int, int] | None:
    """The training size that a file states beside its network."""
    size, channels = stated_size(extras), channels or stated_channels(extras)
    return None if size is None or channels is None else (channels, *size)


def _weights(reading: Reading) -> Weights | None:
    """The tensors of the weights file, with what is said of their names."""
    if reading.weights is None:
        if reading.weights_prefix is not None or reading.rename:
            raise BadInput("--weights-prefix and --rename are for names of a weights file; give it with --weights")
        return None
    tensors = read_tensors(reading.weights)
    return Weights(reading.weights, tensors, reading.weights_prefix, reading.rename, reading.ignore_unused_weights)


def _of_memory(module: nn.Module, reading: Reading) -> Source:
    """A module in memory; with a weights file a copy of it that has those."""
    name = type(module).__name__
    weights = _weights(reading)
    if weights is None:
        return Source(module, name)
    made = copy.deepcopy(module)
    return Source(made, name, notes=weights.load(made))


def _of_module(source: Source, reading: Reading) -> TorchNet:
    shape = reading.input_shape or source.input_shape
    if shape is None:
        raise BadInput(
            f"{source.name}: give the size that it was trained on with --input-shape C,H,W (input_shape=(C, H, W))"
        )
    program, any_batch = export_module(source.module, shape, source.name)
    net = read_program(
        program, source.name, {_only_input(program, source.name): Axes.image((1, *shape))}, None if any_batch else 1
    )
    left_out = _left_out(source.module, net.module)
    notes = (*source.notes, *([left_out] if left_out else []))
    net = replace(net, preprocess=source.preprocess, notes=notes)
    return recognised(net, getattr(source.module, "meta", {}).get(KEY))


def _of_program(
    program: ExportedProgram, source: str, reading: Reading, extras: Mapping[str, str] = MappingProxyType({})
) -> TorchNet:
    inputs: dict[str, Axes] = {}
    batches: set[int | None] = set()
    notes: list[str] = []
    for name, value in inputs_of(program).items():
        if isinstance(value, torch.Tensor) and value.dtype is torch.uint8 and made_floats(program, name):
            notes.append(f"input {name!r} was of bytes; it takes the same numbers, 0 to 255, as floats")
        elif not isinstance(value, torch.Tensor) or not value.is_floating_point():
            bytes_first = isinstance(value, torch.Tensor) and value.dtype is torch.uint8
            what = "computes with bytes before it makes floats of them" if bytes_first else "is no tensor of numbers"
            raise BadInput(f"{source}: input {name!r} {what}, so this is no image classifier that fullconv reads")
        dims: list[int | None] = [size if isinstance(size, int) else None for size in value.shape]
        batches.add(dims[0] if dims else None)
        is_open = len(dims) == 4 and None in dims[1:]
        given = reading.input_shape or (_stated(extras, dims[1]) if is_open else None)
        inputs[name] = input_axes(dims, name, source, given)
    net = read_program(program, source, inputs, None if None in batches else next(iter(batches), None))
    return replace(net, notes=(*net.notes, *notes))


def input_axes(
    dims: list[int | None], name: str, source: str, given: tuple[int, int, int] | None, last: bool | None = None
) -> Axes:
    """Axes of an input of these sizes.

    Args:
        last: channels come last, (n, h, w, c), or first; by default last where only that puts a plausible number of channels in place.
    """
    if len(dims) != 4:
        if None in dims[1:]:
            raise BadInput(f"{source}: input {name!r} of {dims} is no image and leaves its size open")
        return Axes.image([dim or 1 for dim in dims])
    if last is None:
        last = dims[3] in COLOURS and dims[1] not in COLOURS
    channels, height, width = (dims[3], dims[1], dims[2]) if last else (dims[1], dims[2], dims[3])
    if given is not None:
        if channels is not None and channels != given[0]:
            raise BadInput(f"{source}: input {name!r} takes {channels} channels, --input-shape says {given[0]}")
        for stated, want in zip((height, width), given[1:], strict=True):
            if stated is not None and stated != want:
                raise BadInput(
                    f"{source}: was exported for {height}×{width} pixels, --input-shape says {given[1]}×{given[2]}"
                )
        channels, height, width = given
    if channels is None or height is None or width is None:
        raise BadInput(f"{source}: input {name!r} leaves its training size open; give it with --input-shape C,H,W")
    order = "n h w c" if last else "n c h w"
    return Axes.parse(order, {"n": 1, "c": channels, "h": height, "w": width})


def read_program(
    program: ExportedProgram,
    source: str,
    inputs: dict[str, Axes],
    batch: int | None,
    named: Mapping[int, tuple[str, bool]] | None = None,
) -> TorchNet:
    """A network from an ExportedProgram.

    Args:
        named: names of tensors that the export took for constants, and whether they train, by where they lie in memory.
    """
    try:
        module = module_of(program, named or {})
        while compose(module, known_at(module, inputs, batch)):
            pass  # what was respelt may be read by what is respelt next
        name_nodes(module)
        return understand(module, source, inputs, batch)
    except FullconvError:
        raise
    except Exception as error:  # an exported graph can hold anything
        raise BadInput(f"{source}: PyTorch's graph of it cannot be read ({told(error)})") from error


def _only_input(program: ExportedProgram, source: str) -> str:
    names = list(inputs_of(program))
    if len(names) != 1:
        raise BadInput(
            f"{source}: takes {len(names)} inputs ({', '.join(names)}), not one image; export it to .pt2 with all of them"
        )
    return names[0]


def _left_out(old: nn.Module, new: nn.Module) -> str:
    """Parameters that inference does not read: an auxiliary head's, say."""
    have = set(new.state_dict())
    gone = dict.fromkeys(name.split(".")[0] for name, _ in old.named_parameters() if name not in have)
    return f"left out: {', '.join(gone)} (no part of what the network answers with in eval mode)" if gone else ""
