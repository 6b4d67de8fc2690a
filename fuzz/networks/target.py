"""Random networks and random edits as targets: a case is a file that says at which size it was trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import onnx

from fuzz.networks.edits import edited as edited_model
from fuzz.networks.generate import Drawn, network
from fuzz.networks.oracle import judge
from fuzz.target import Wrong

_SIZES = 2  # seeds of sizes that a case is judged with


def packed(drawn: Drawn) -> bytes:
    """A network as a file, its training size among its metadata."""
    onnx.helper.set_model_props(drawn.model, {"shape": json.dumps(drawn.shape), "last": json.dumps(drawn.last)})
    return drawn.model.SerializeToString()


def unpacked(data: bytes) -> Drawn:
    model = onnx.load_from_string(data)
    stated = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    c, h, w = stated["shape"]
    return Drawn(model, (c, h, w), stated["last"])


def seeds(folder: Path) -> list[Path]:
    return []


def drawn(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A network of its own; the seed file is not looked at."""
    while True:
        found = network(random)
        if found is not None:
            return packed(found)


def edit_seeds(folder: Path) -> list[Path]:
    """The tests' networks, and a few drawn ones."""
    from tests.formats.onnx.nets import EXACT, write

    paths = []
    for i, (body, numbers, opset) in enumerate(EXACT.values()):
        path = write(folder / f"{i}.onnx", body, numbers, opset=opset)
        path.write_bytes(packed(Drawn(onnx.load(str(path)), (3, 16, 16), False)))
        paths.append(path)
    for i in range(60):
        found = network(Random(i))
        if found is not None:
            path = folder / f"drawn{i}.onnx"
            path.write_bytes(packed(found))
            paths.append(path)
    return paths


def edited(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    found = unpacked(data)
    return packed(Drawn(edited_model(found.model, random), found.shape, found.last))


def judged(path: Path) -> None:
    """Every promise of the cast over one network.

    Raises:
        Wrong: one is broken, with its kind, where, and by how much.
    """
    found = unpacked(path.read_bytes())
    for size in range(_SIZES):
        verdict = judge(found.model, found.shape, found.last, Random(size))
        if verdict.is_finding:
            raise Wrong(f"{verdict.kind}: {verdict.detail}")
        if verdict.kind not in ("exact", "inexact"):
            return
