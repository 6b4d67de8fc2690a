"""What is written of a cast PyTorch network, run by PyTorch and ONNX Runtime alone: every size, every kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

import fullconv
from fullconv.formats.torch import program
from tests.conftest import worst
from tests.formats.torch.nets import EXACT, INEXACT, SHAPE, Of, trunk

SIZES = [(1, 16, 16), (2, 30, 17), (1, 56, 64)]  # batch, height, width: one cell, some, many
ANSWERS: dict[str, Callable[[torch.Tensor], object]] = {
    "whole numbers": lambda y: y.argmax(1),
    "masks": lambda y: y > 0.1,
    "scores and their places": lambda y: tuple(y.topk(2, 1)),
    "no numbers": lambda y: (y - y) / (y - y),
}


def made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


@pytest.mark.parametrize("name", ["dense layers with dropout", "generalised mean", "several heads", "coordinate attention", "upsampling"])  # fmt: skip
@pytest.mark.long
def test_pytorch_alone_runs_a_program_at_every_size(name: str, tmp_path: Path) -> None:
    """Exported where the map has one cell, it must not be held to images of one cell."""
    full = fullconv.load(made(EXACT.get(name) or INEXACT[name][0]), input_shape=SHAPE).cast()
    (path, *_) = full.save(tmp_path / "net.pt2")
    written = torch.export.load(path).module()
    for batch, height, width in SIZES:
        image = torch.randn(batch, 3, height, width)
        with torch.inference_mode():
            found = written(image)
        parts = found if isinstance(found, tuple | list) else (found,)
        for part, mine in zip(parts, full.run(image.numpy(), runtime="torch").values(), strict=True):
            assert worst(part.numpy(), mine) < 1e-6


def test_an_export_that_fixes_sizes_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = fullconv.load(made(EXACT["flatten"]), input_shape=SHAPE).cast()
    monkeypatch.setattr(program, "_config", SimpleNamespace(patch=lambda **_: nullcontext()))
    with pytest.raises(
        fullconv.BadInput, match=r"holds for some sizes only \(for 2×3×32×32, .*Guard failed.*write it as .onnx"
    ):
        full.save(tmp_path / "net.pt2")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("finer", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
def test_onnx_states_what_each_answer_is_made_of(name: str, finer: bool, tmp_path: Path) -> None:
    module = made(lambda: Of(lambda m, x: ANSWERS[name](m.fc(m.t(x).flatten(1))), t=trunk(), fc=nn.Linear(196, 5)))
    net = fullconv.load(module, input_shape=SHAPE)
    full = net.refined(1) if finer else net.cast()
    (path, *_) = full.save(tmp_path / "net.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((1, 3, 20, 21)).astype(np.float32)
    found = session.run(None, {session.get_inputs()[0].name: image})
    step = 1 if finer else 2
    for row, col in ((0, 0), (1, 2)):
        y, x = row * step, col * step
        with torch.inference_mode():
            answer = module(torch.from_numpy(image[:, :, y : y + 16, x : x + 16]))
        for part, one in zip(found, answer if isinstance(answer, tuple) else (answer,), strict=True):
            assert part.dtype == one.numpy().dtype
            cell = part[..., row, col].reshape(one.shape)
            assert np.allclose(cell, one.numpy(), rtol=1e-4, atol=1e-5, equal_nan=True)
