"""ONNX files from anyone: damaged, hostile, or not what they claim to be."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy as np
import onnx
import pytest

from fullconv.errors import BadInput, FullconvError
from fullconv.loading import load
from tests.formats.onnx.nets import EXACT, write


def test_bad_files_are_told(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(tmp_path / "net.onnx", body, numbers)
    raw = path.read_bytes()

    def told(change, *args, **kwargs) -> str:
        model = onnx.load_from_string(raw)
        change(model)
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(BadInput) as error:
            load(tmp_path / "bad.onnx", *args, **kwargs)
        return str(error.value)

    for cut in (1, 20, len(raw) // 2, len(raw) - 1):
        (tmp_path / "cut.onnx").write_bytes(raw[:cut])
        with pytest.raises(BadInput, match=r"cut\.onnx"):
            load(tmp_path / "cut.onnx")
    assert "operator set 99" in told(lambda m: setattr(m.opset_import[0], "version", 99))
    assert "operator set 3" in told(lambda m: setattr(m.opset_import[0], "version", 3))
    assert "'Conv' of domain 'com.example' is not one" in told(
        lambda m: (
            setattr(m.graph.node[0], "domain", "com.example"),
            m.opset_import.add(domain="com.example", version=1),
        )
    )
    assert "--input-shape" in told(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_param", "h"))
    assert "holds STRING" in told(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8))
    assert "does not run" in told(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 20))
    assert "leave out --weights" in told(lambda m: None, path)


@pytest.mark.long
def test_a_flipped_bit_never_ends_in_a_foreign_error(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["matmul and add"]
    raw = bytearray(write(tmp_path / "net.onnx", body, numbers).read_bytes())
    structure = raw.index(b"w1") if b"w1" in raw else len(raw)
    rng = random.Random(0)
    for _ in range(150):
        at, bit = rng.randrange(structure + 800), 1 << rng.randrange(8)
        raw[at] ^= bit
        (tmp_path / "bad.onnx").write_bytes(raw)
        with contextlib.suppress(FullconvError):
            model = load(tmp_path / "bad.onnx")
            if not model.plan.refusals:
                model.cast()
        raw[at] ^= bit


def external(path: Path, folder: Path, location: str) -> Path:
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            onnx.external_data_helper.set_external_data(tensor, location)
            (folder / "inside.bin").write_bytes(tensor.raw_data)
            tensor.ClearField("raw_data")
    out = folder / "external.onnx"
    out.write_bytes(model.SerializeToString())
    return out


def test_external_data_is_read_from_the_models_folder_only(tmp_path: Path) -> None:
    body, numbers, _ = EXACT["gemm of a flatten"]
    path = write(tmp_path / "net.onnx", body, numbers)
    image = np.random.default_rng(5).standard_normal((1, 3, 20, 20)).astype(np.float32)
    expected = load(path).cast().run(image)["y"]
    inside = external(path, tmp_path, "inside.bin")
    np.testing.assert_array_equal(load(inside).cast().run(image)["y"], expected)
    with pytest.raises(BadInput, match="outside the model's folder"):
        load(external(path, tmp_path, "../inside.bin"))
    with pytest.raises(BadInput, match="missing"):
        load(external(path, tmp_path, "gone.bin"))
