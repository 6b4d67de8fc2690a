"""Which format reads a file. Formats are imported when one of their files is met."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from fullconv.errors import BadInput
from fullconv.formats.format import Format

_BY_SUFFIX = {
    ".prototxt": ("fullconv.formats.caffe.format", "Caffe"),
    ".pbtxt": ("fullconv.formats.caffe.format", "Caffe"),
    ".txt": ("fullconv.formats.caffe.format", "Caffe"),
    ".onnx": ("fullconv.formats.onnx.format", "Onnx"),
}
_HINTS = {
    ".caffemodel": "these are Caffe weights: name the network (.prototxt) as the model and give this with --weights",
    ".h5": "these are weights: name the network (.prototxt) as the model and give this with --weights",
}


def format_of(path: Path) -> Format:
    """The format that reads this file."""
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; name a network's .prototxt")
    suffix = path.suffix.lower()
    if suffix not in _BY_SUFFIX:
        hint = _HINTS.get(
            suffix,
            f"{suffix or 'a file without a suffix'} is not a format that fullconv reads; it reads Caffe networks (.prototxt) and ONNX (.onnx)",
        )
        raise BadInput(f"{path}: {hint}")
    module, name = _BY_SUFFIX[suffix]
    found: Format = getattr(import_module(module), name)()
    return found
