"""Writing a PyTorch network: .pt2, .onnx, or .safetensors with the recipe that makes a module of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import onnx
import torch

from fullconv.errors import BadInput, BrokenPromise
from fullconv.formats.adapted import KEY as HEADS
from fullconv.formats.onnx.mark import marked
from fullconv.formats.onnx.sampled import KEY, described
from fullconv.formats.torch.lower import lower, output_names
from fullconv.formats.torch.network import TorchNet
from fullconv.formats.torch.program import export_free
from fullconv.formats.torch.recipe import recipe_of
from fullconv.system.files import Approve, unseen, written_whole
from fullconv.system.guard import MARK

SUFFIXES: tuple[str, ...] = (".pt2", ".onnx", ".safetensors")
_LARGEST = 2**31 - 1  # bytes of one protobuf message


def write(net: TorchNet, path: Path, weights: Path | None, approve: Approve = unseen) -> list[Path]:
    """Write a network as its file's suffix says; the paths written."""
    if path.suffix not in SUFFIXES:
        raise BadInput(f"{path}: a PyTorch network is written as {', '.join(SUFFIXES)}")
    if weights is not None and path.suffix != ".safetensors":
        raise BadInput(f"{weights}: weights lie within a {path.suffix} file; leave out --out-weights")
    if path.suffix == ".onnx":
        return [_write_onnx(net, path, approve)]
    if path.suffix == ".safetensors":
        return _write_recipe(net, path, weights, approve)
    program = export_free(net)
    with written_whole(path, approve=approve) as (part,):
        _save(program, part, net.module.meta.get(HEADS))
    return [path]


def _save(program: torch.export.ExportedProgram, path: Path, heads: str | None) -> None:
    extra = {MARK: ""} if heads is None else {MARK: "", HEADS: heads}
    with warnings.catch_warnings(), path.open("wb") as file:
        warnings.simplefilter("ignore")
        torch.export.save(program, file, extra_files=extra)


def _write_onnx(net: TorchNet, path: Path, approve: Approve) -> Path:
    lowered = lower(net, {})
    if net.is_cast and not lowered.any_size:
        raise BadInput(f"{path}: as ONNX the network holds for one size only; write .pt2")
    if not lowered.any_size and net.batch is None:  # of one size, and of any batch
        lowered = replace(lowered, any_size=True, free=(0,))
    size = sum(array.nbytes for array in lowered.weights.values())
    if size >= _LARGEST:
        raise BadInput(f"{path}: its weights are {size / 1e9:.1f} GB, more than one ONNX file holds; write .pt2")
    message = lowered.message(weights="inline", names=output_names(net))
    message = onnx.shape_inference.infer_shapes(message)
    if net.is_cast and (text := described(net.graph, net.graph)) is not None:
        message.metadata_props.add(key=KEY, value=text)
    try:
        onnx.checker.check_model(message, full_check=True)
    except Exception as error:  # the checker's own types
        raise BrokenPromise(f"{path}: the network would not pass ONNX's checker: {error}") from error
    with written_whole(path, approve=approve) as (part,):
        part.write_bytes(marked(message).SerializeToString())
    return path


def _write_recipe(net: TorchNet, path: Path, weights: Path | None, approve: Approve) -> list[Path]:
    """Tensors as .safetensors, and beside them a Python file of plain PyTorch that makes the module and loads them."""
    from safetensors.torch import save_file

    recipe = path.with_suffix(".py")
    if weights is not None:
        raise BadInput(
            f"{weights}: the weights are {path} itself, and {recipe.name} beside it makes the module; leave out --out-weights"
        )
    tensors = {name: value.detach().contiguous() for name, value in net.module.state_dict().items()}
    with written_whole(path, recipe, approve=approve) as (part, code):
        save_file(tensors, str(part), metadata={"software": MARK})
        code.write_text(recipe_of(net, path.name), encoding="utf-8")
    return [path, recipe]
