"""What tells one network, or one image, from another: short, and the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fullconv.errors import CannotRun
from fullconv.model import Model

_PIECES, _PIECE = 32, 64 << 10


def of_model(model: Model) -> str:
    """Of a network: every operator with its attributes as an engine gets them, and every weight.

    Two networks that can answer differently have different ones.
    """
    graph = model.graph
    made = hashlib.sha256()
    for node in graph:
        made.update(repr((node.name, node.op, node.inputs, node.outputs, node.touch)).encode())
    made.update(repr((graph.inputs, graph.outputs, [graph.values[name].shape for name in graph.inputs])).encode())
    try:
        shapes = {v: graph.values[v].shape for v in graph.inputs if graph.consumers(v) or v == graph.image}
        lowered = model.format.lower(model.native, shapes)
    except CannotRun:  # its own framework runs it, and holds its operators and weights
        framework = model.format.framework
        module = framework.module(model.native) if framework is not None else None
        made.update(str(getattr(module, "graph", "")).encode())
        for name, value in sorted(module.state_dict().items()) if module is not None else ():
            made.update(name.encode())
            made.update(value.detach().cpu().numpy().tobytes())
        return made.hexdigest()[:32]
    made.update(repr(sorted(lowered.opsets.items())).encode())
    for part in (*lowered.nodes, *lowered.constants):
        made.update(part.SerializeToString(deterministic=True))
    for name in sorted(lowered.weights):
        array = lowered.weights[name]
        made.update(repr((name, array.shape, str(array.dtype))).encode())
        made.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return made.hexdigest()[:32]


def of_image(image: Any, size: tuple[int, int], bands: int) -> str:
    """Of an image's size and of pieces spread over its file: a slide of many gigabytes takes milliseconds."""
    found = hashlib.sha256(repr((size, bands)).encode())
    if not isinstance(image, str | Path):
        array = np.asarray(image)
        found.update(repr((array.shape, str(array.dtype))).encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
        return found.hexdigest()[:32]
    path = Path(image)
    if path.is_dir():
        for part in sorted(path.rglob("*")):
            if part.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup"):
                found.update(part.read_bytes())
        return found.hexdigest()[:32]
    length = path.stat().st_size
    found.update(str(length).encode())
    with path.open("rb") as file:
        for i in range(_PIECES):
            file.seek(max(0, (length - _PIECE) * i // (_PIECES - 1)))
            found.update(file.read(_PIECE))
    return found.hexdigest()[:32]


def state_of(image: Any) -> tuple[int, ...]:
    """What changes when a file is written to: size, time and place on the disk."""
    if not isinstance(image, str | Path):
        return ()
    try:
        found = Path(image).stat()
    except OSError:
        return (-1,)
    return found.st_size, found.st_mtime_ns, found.st_ino
