"""A module, or a file of torch.export, as an ExportedProgram."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from fullconv.errors import BadInput

_LARGEST_JSON = 256 * 2**20


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
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
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


def told(error: BaseException) -> str:
    """One paragraph of what PyTorch says."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    kept: list[str] = []
    for line in lines:
        if not line and kept:
            break
        if line:
            kept.append(line)
    return " ".join(kept)[:500] or type(error).__name__


def open_program(path: Path) -> ExportedProgram:
    """Read a .pt2 file without unpickling anything that could run code.

    Raises:
        BadInput: damaged, or it holds pickled objects other than tensors.
    """
    _refuse_code(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:  # torch's own types, as the file makes them
        raise BadInput(f"{path}: not a readable .pt2 file of torch.export ({told(error)})") from None


def _refuse_code(path: Path) -> None:
    """torch.export.load falls back to unpickling whatever a file holds: let only tensors come so far."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            raw = _raw_members(archive, path)
            for name in names:
                if name.rsplit("/", 1)[-1].startswith("custom_obj"):
                    raise BadInput(f"{path}: holds a custom object ({name}), whose loading could run code; refused")
                if name in raw:
                    continue
                with archive.open(name) as member:
                    head = member.read(2)
                if head == b"PK" or head[:1] == b"\x80":
                    _only_tensors(archive.read(name), name, path)
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError) as error:
        raise BadInput(f"{path}: truncated or damaged, not a .pt2 file of torch.export ({error})") from None


def _raw_members(archive: zipfile.ZipFile, path: Path) -> set[str]:
    """Members that are bytes of tensors and are never unpickled, by the archive's own lists."""
    raw = set()
    for info in archive.infolist():
        if not info.filename.endswith("_config.json"):
            continue
        if info.file_size > _LARGEST_JSON:
            raise BadInput(f"{path}: {info.filename} is too large to be a list of weights")
        try:
            config = json.loads(archive.read(info))["config"]
            for entry in config.values():
                if not entry["use_pickle"]:
                    folder = info.filename.rsplit("/", 1)[0]
                    raw.add(f"{folder}/{entry['path_name']}")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # of another kind; what it would have listed is checked as a pickle
    return raw


def _only_tensors(content: bytes, name: str, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # of the unpickler, or of what it met in a damaged file
        raise BadInput(
            f"{path}: {name} holds more than tensors, and loading it could run code; refused ({told(error)[:160]}). Export the module "
            "anew with torch.export.save"
        ) from None


def inputs_of(program: ExportedProgram) -> dict[str, Any]:
    """The tensors that a caller gives, by name, as the program was exported."""
    signature = program.graph_signature
    wanted = set(signature.user_inputs)
    return {str(n.target): n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder" and n.name in wanted}
