"""Which format reads a model. Formats are imported when one of theirs is met."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Any

from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.format import Format, Reading
from fullconv.formats.torch.scripts import SUFFIXES as SCRIPTS
from fullconv.formats.torch.scripts import is_torchscript
from fullconv.system.guard import require_file

_TORCH, _KERAS = ("fullconv.formats.torch.format", "Torch"), ("fullconv.formats.keras.format", "Keras")
_ONNX, _CAFFE = ("fullconv.formats.onnx.format", "Onnx"), ("fullconv.formats.caffe.format", "Caffe")
_BY_SUFFIX = {
    ".prototxt": _CAFFE,
    ".pbtxt": _CAFFE,
    ".txt": _CAFFE,
    ".onnx": _ONNX,
    ".pt2": _TORCH,
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
}
_HINTS = {
    ".caffemodel": "these are Caffe weights: name the network (.prototxt) as the model and give this with --weights",
    **dict.fromkeys(
        (".pt", ".pth", ".safetensors", ".bin", ".ckpt"),
        "these are weights of PyTorch: name the network as the model (torchvision:NAME, timm:NAME or package.module:function) and give "
        "this with --weights; a TorchScript file is a model by itself; a whole module is read from Python, fullconv.load(module, input_shape=...), or from a .pt2 file",
    ),
}
_HINTS[".ptl"] = (
    "holds no code of TorchScript; save the network with torch.jit.save, or export it to ONNX (torch.onnx.export)"
)
# library:model, package.module:function, and a folder of transformers
_NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.\-]*|transformers:.+", re.DOTALL)


def format_of(source: Any) -> Format:
    """The format that reads a path, a name such as ``torchvision:resnet18``, or a module in memory."""
    torch = sys.modules.get("torch")
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(source, getattr(keras, "Model", ())):
        return _made(*_KERAS)
    if torch is not None and isinstance(source, torch.nn.Module | torch.export.ExportedProgram):
        return _made(*_TORCH)
    if type(source).__module__.startswith("onnx") and type(source).__name__ == "ModelProto":
        return _made(*_ONNX)
    if not isinstance(source, str | Path):
        raise BadInput(
            f"a {type(source).__name__} is no model: give a path, a name, an nn.Module, an ExportedProgram or a ModelProto"
        )
    if isinstance(source, str) and source.startswith("keras:") and not Path(source).exists():
        return _made(*_KERAS)
    if isinstance(source, str) and _NAMED.fullmatch(source) and not Path(source).exists():
        return _made(*_TORCH)
    return _by_suffix(Path(source))


def _by_suffix(path: Path) -> Format:
    require_file(path)
    suffix = path.suffix.lower()
    if suffix in SCRIPTS and is_torchscript(path):
        return _made(*_TORCH)
    if suffix not in _BY_SUFFIX:
        _require_no_tensorflow(path)
        what = suffix or "a file without a suffix"
        hint = _HINTS.get(
            suffix,
            f"{what} is not a format that fullconv reads; it reads Caffe (.prototxt), ONNX (.onnx), PyTorch (.pt2, TorchScript) and Keras (.keras, .h5)",
        )
        raise BadInput(f"{path}: {hint}")
    return _made(*_BY_SUFFIX[suffix])


def _require_no_tensorflow(path: Path) -> None:
    """BadInput of TensorFlow's files, with the command that makes ONNX of this one."""
    with path.open("rb") as file:
        head = file.read(8)
    convert = "make ONNX of it: python -m tf2onnx.convert"
    if head[4:8] == b"TFL3" or path.suffix.lower() in (".tflite", ".lite"):
        raise BadInput(f"{path}: is TensorFlow Lite; {convert} --tflite {quote(str(path))} --output model.onnx")
    if path.name == "saved_model.pb":
        raise BadInput(
            f"{path}: is a SavedModel of TensorFlow; {convert} --saved-model {quote(str(path.parent))} --output model.onnx"
        )
    if path.suffix.lower() == ".pb":
        raise BadInput(
            f"{path}: is a frozen graph of TensorFlow; {convert} --graphdef {quote(str(path))} --inputs NAME:0 --outputs NAME:0 --output model.onnx"
        )


def _made(module: str, name: str) -> Format:
    if (module, name) in (_TORCH, _KERAS) and find_spec("torch") is None:
        raise MissingExtra("PyTorch is not installed; install it with: pip install 'fullconv[torch]'")
    found: Format = getattr(import_module(module), name)()
    return found


def read_back(parts: Sequence[Path], input_shape: tuple[int, int, int]) -> tuple[Format, Any] | None:
    """The network that files just written hold, with its format; None where they hold tensors and the code that makes a module.

    Args:
        parts: the network's file, then what lies beside it.
        input_shape: (C, H, W) to read it at.
    """
    path, *beside = parts
    if path.suffix == ".safetensors":
        return None
    weights = next((part for part in beside if path.suffix in (".prototxt", ".pbtxt", ".txt")), None)
    kind = _by_suffix(path)
    stated = None if weights is not None or path.suffix in (".prototxt", ".pbtxt", ".txt") else input_shape
    return kind, kind.read(path, Reading(weights, stated))
