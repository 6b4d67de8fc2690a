"""A module, or a file of torch.export, as an ExportedProgram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from fullconv.errors import BadInput
from fullconv.formats.torch.archive import check
from fullconv.formats.torch.quiet import quiet, told


def export_module(module: nn.Module, shape: tuple[int, int, int], source: str) -> tuple[ExportedProgram, bool]:
    """Export a module in eval mode for images of (C, H, W), with any batch where it can; whether it could.

    Raises:
        BadInput: with PyTorch's reason.
    """
    was_training = [m for m in module.modules() if m.training]
    module.eval()
    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    like = torch.zeros(()) if first is None else first
    image = torch.zeros((2, *shape), dtype=like.dtype, device=like.device)
    try:
        with quiet(), torch.no_grad():
            try:
                return torch.export.export(module, (image,), dynamic_shapes=({0: Dim("batch", min=1)},)), True
            except Exception as error:
                reason = error
            try:
                return torch.export.export(module, (image[:1],)), False
            except Exception as error:
                raise BadInput(
                    f"{source}: torch.export cannot read it for images of {shape}: {told(error) or told(reason)}\nTry another "
                    "--input-shape (input_shape=); else make forward free of Python branches on tensor values and of lists of images, or save "
                    "an ExportedProgram (.pt2) or an ONNX file of it yourself"
                ) from None
    finally:
        for part in was_training:
            part.training = True


def open_program(path: Path) -> ExportedProgram:
    """Read a .pt2 file without unpickling anything that could run code.

    Raises:
        BadInput: damaged, or it holds pickled objects other than tensors.
    """
    check(path)
    try:
        with quiet():
            return torch.export.load(path)
    except Exception as error:  # torch's own types, as the file makes them
        raise BadInput(f"{path}: not a readable .pt2 file of torch.export ({told(error)})") from None


def inputs_of(program: ExportedProgram) -> dict[str, Any]:
    """The tensors that a caller gives, by name, as the program was exported."""
    signature = program.graph_signature
    wanted = set(signature.user_inputs)
    return {str(n.target): n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in wanted}


aten = torch.ops.aten
_LAYS_OUT = {aten.permute.default, aten.transpose.int, aten.contiguous.default, aten.clone.default}
_PROMOTES = {
    aten.to.dtype, aten.to.device, aten.to.dtype_layout, aten._to_copy.default, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.add.Tensor,
}  # fmt: skip


def made_floats(program: ExportedProgram, name: str) -> bool:
    """Whether whole numbers of an input are made floats before anything is computed with them, so that it may take floats."""
    todo = [node for node in program.graph.nodes if node.op == "placeholder" and str(node.target) == name]
    while todo:
        for user in todo.pop().users:
            made = user.meta.get("val")
            if user.target is aten._assert_tensor_metadata.default:
                continue  # left out when the program is read
            if user.target in _LAYS_OUT:
                todo.append(user)
            elif not (user.target in _PROMOTES and isinstance(made, torch.Tensor) and made.is_floating_point()):
                return False
    return True
