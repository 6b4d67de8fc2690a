"""A network as a program of torch.export that is free in batch, height and width, as its file promises."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from math import lcm
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config

from fullconv.errors import BadInput
from fullconv.formats.adapted import KEY
from fullconv.formats.torch.network import TorchNet
from fullconv.formats.torch.quiet import quiet, told
from fullconv.geometry.field import receptive_fields
from fullconv.graph.axes import SPACE, Axes

Shapes = list[tuple[int, ...]]
_MANY = re.compile(r"L\['\w+'\]\.size\(\)\[0\] (> 1|!= 1|>= 2)")


def export_free(net: TorchNet) -> ExportedProgram:
    """The network as an ExportedProgram; a cast one with any height and width.

    Raises:
        BadInput: PyTorch cannot export it, or only for fewer sizes than it takes.
    """
    first = next((p for p in net.module.parameters() if p.is_floating_point()), torch.zeros(()))
    free = [_free(net, axes) for axes in net.inputs.values()]
    shapes = _shapes(net, free, 2, lambda size: size)
    args = tuple(torch.zeros(shape, dtype=first.dtype, device=first.device) for shape in shapes)
    step = _step(net)
    dims: Any = tuple(_dims(axes, arg.shape, step) for axes, arg in zip(free, args, strict=True))
    try:
        # Oblivious of sizes: else what is exported where the map has one cell takes images of one cell alone.
        with warnings.catch_warnings(), torch.no_grad(), _config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            warnings.simplefilter("ignore")
            program = torch.export.export(net.module, args, dynamic_shapes=(dims,) if len(dims) > 1 else dims)
    except Exception as error:
        raise BadInput(f"{net.source}: PyTorch cannot export it ({told(error)}); write it as .onnx") from None
    if 0 in free[0] and _free_of_one(program):
        _hold_one(net, program, args)
    _hold(net, program, free, args, step)
    return program


def _step(net: TorchNet) -> int:
    """Pixels that another size differs by: one, or of a network with a head, whose branches meet at others only, a common multiple of steps."""
    if KEY not in net.module.meta:
        return 1
    fields = receptive_fields(net.graph).values()
    return lcm(*(int(side) for field in fields for side in field.stride if side.denominator == 1))


def _dims(axes: Sequence[int], shape: Sequence[int], step: int) -> dict[int, Any]:
    """What an export is told of the axes that are free."""
    found: dict[int, Any] = dict.fromkeys(axes, Dim.AUTO)
    for axis in axes if step > 1 else ():
        if axis:
            times, rest = divmod(shape[axis], step)
            found[axis] = step * Dim(f"side{axis}", min=times) + rest if rest else step * Dim(f"side{axis}", min=times)
    return found


def _free_of_one(program: ExportedProgram) -> bool:
    """Drop guards that want more than one image of a batch: PyTorch asks so to tell layouts in memory apart, which change no number."""
    guards = getattr(program, "_guards_code", None)
    if not isinstance(guards, list):
        return False
    kept = [guard for guard in guards if _MANY.fullmatch(guard) is None]
    dropped = len(kept) < len(guards)
    program._guards_code = kept
    return dropped


def _hold_one(net: TorchNet, program: ExportedProgram, args: Sequence[torch.Tensor]) -> None:
    """BadInput where a program does not answer for one image as the network does."""
    seeded = torch.Generator().manual_seed(0)
    images = [torch.rand(each[:1].shape, generator=seeded).to(each) for each in args]
    with torch.no_grad(), quiet():
        given, wanted = (module(*images) for module in (program.module(), net.module))
    pairs = zip(*(each if isinstance(each, tuple | list) else (each,) for each in (given, wanted)), strict=True)
    if not all(torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6, equal_nan=True) for a, b in pairs):
        raise BadInput(
            f"{net.source}: PyTorch's export of it answers otherwise for one image than for two; write it as .onnx"
        )


def _free(net: TorchNet, axes: Axes) -> list[int]:
    """The axes of an input that any size is about."""
    sides = [axes.space_axis(root) for root in SPACE] if net.is_cast and axes.is_map else []
    return [*([0] if net.batch is None else []), *(axis for axis in sides if axis is not None)]


def _shapes(net: TorchNet, free: Sequence[Sequence[int]], batch: int, grow: Any) -> Shapes:
    """Shapes of the inputs, of another size along what is free."""
    return [
        tuple((batch if i == 0 else grow(size)) if i in axes else size for i, size in enumerate(each.shape))
        for each, axes in zip(net.inputs.values(), free, strict=True)
    ]


def _hold(
    net: TorchNet, program: ExportedProgram, free: Sequence[Sequence[int]], args: Sequence[torch.Tensor], step: int
) -> None:
    """Hold a program to sizes that the network takes, without numbers: an export may fix or bound, silently, what was to be free.

    Raises:
        BadInput: it takes fewer, or answers in other shapes.
    """
    exported = program.module()
    grown = (lambda size: size), (lambda size: size + step * -(-size // step)), (lambda size: size + step)
    for batch, grow in zip((1, 2, 3), grown, strict=True):
        images = [args[0].new_zeros(shape) for shape in _shapes(net, free, batch, grow)]
        wanted, _ = _answers(net.module, images)
        if wanted is None:
            continue  # a size that the network itself does not take
        given, reason = _answers(exported, images)
        if given != wanted:
            sizes = " and ".join("×".join(map(str, image.shape)) for image in images)
            why = (
                f"for {sizes}, which the network takes, it fails: {reason}"
                if given is None
                else f"for {sizes} it answers {given}"
            )
            raise BadInput(f"{net.source}: PyTorch's export of it holds for some sizes only ({why}); write it as .onnx")


def _answers(module: torch.nn.Module, images: Sequence[torch.Tensor]) -> tuple[Shapes | None, str]:
    """Shapes of a module's answers; None where it takes no such images, with the reason."""
    try:
        with quiet(), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake:
            found = module(*(fake.from_tensor(image) for image in images))
    except Exception as error:  # whatever operators and guards say
        return None, told(error)
    parts = found if isinstance(found, tuple | list) else (found,)
    return [tuple(int(size) for size in part.shape) for part in parts], ""
