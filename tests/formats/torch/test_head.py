"""Heads within PyTorch networks: modules that train, files that are read as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import fullconv  # noqa: E402
from fullconv.model import Model  # noqa: E402
from fullconv.surgery.head import Head  # noqa: E402
from tests.heads import expected, fitted, level  # noqa: E402


class Net(nn.Module):
    """Padded convolutions over 16, 8 and 4 cells."""

    def __init__(self, ends: str = "softmax") -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 5, 3, 2, 1), nn.Conv2d(5, 6, 3, 2, 1)
        self.fc = nn.Linear(6, 5)
        self.ends = ends

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.c1, self.c2, self.c3):
            x = layer(x).relu()
        x = self.fc(x.mean((2, 3)))
        return x.softmax(1) if self.ends == "softmax" else x


def load(ends: str = "softmax", dtype: torch.dtype = torch.float32) -> Model:
    torch.manual_seed(0)
    return fullconv.load(Net(ends).to(dtype).eval(), input_shape=(3, 16, 16))


def head_of(full: Model, mixes: bool = True, rank: int | None = None):
    relu = [node.outputs[0] for node in full.graph if node.op == "relu"]
    logits = next(node.outputs[0] for node in full.graph if node.name == "fc")
    found = tuple(
        level(full, value, rows, cols)
        for value, rows, cols in zip(relu, ((1, 2, 1),) * 3, ((1, 2, 1), (1, 3), (2, 2)), strict=True)
    )
    return fitted(Head(full.graph.outputs[-1], logits, 5, found, rank), mixes=mixes)


def rows_of(answers: np.ndarray, cells: list[tuple[int, int]]) -> np.ndarray:
    return np.array([answers[0, :, row, col] for row, col in cells])


@pytest.mark.parametrize(("ends", "mixes"), [("softmax", True), ("logits", False)])
def test_a_module_with_a_head(tmp_path: Path, ends: str, mixes: bool) -> None:
    model = load(ends)
    full = model.cast()
    head = head_of(full, mixes)
    made = model.adapted(head)
    assert made.format.name == "torch"
    output = head.head.output
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 36)).astype(np.float32)
    cells = [(row, col) for row in range(3) for col in range(6)]
    want = expected(full, head, image, cells)
    if ends == "softmax":
        want = np.exp(want - want.max(axis=1, keepdims=True))
        want /= want.sum(axis=1, keepdims=True)
    for runtime in ("onnxruntime", "torch"):
        assert rows_of(made.run(image, runtime=runtime)[output], cells) == pytest.approx(want, abs=2e-6)
    with torch.no_grad():
        assert rows_of(made.module(torch.from_numpy(image)).numpy(), cells) == pytest.approx(want, abs=2e-6)


@pytest.mark.parametrize(("mixes", "rank"), [(False, None), (False, 2), (True, 3)])
def test_a_file_is_read_as_it_was(tmp_path: Path, mixes: bool, rank: int | None) -> None:
    model = load("logits")
    full = model.cast()
    head = head_of(full, mixes, rank)
    made = model.adapted(head)
    image = np.random.default_rng(1).standard_normal((1, 3, 24, 36)).astype(np.float32)
    cells = [(row, col) for row in range(3) for col in range(6)]
    want = expected(full, head, image, cells)
    (path,) = made.save(tmp_path / "adapted.pt2")
    again = fullconv.load(path, input_shape=(3, 16, 16))
    (read,) = again.heads
    assert read.about == head.about
    assert [(each.block, each.rows, each.cols) for each in read.head.levels] == [
        (e.block, e.rows, e.cols) for e in head.head.levels
    ]
    assert rows_of(next(iter(again.run(image).values())), cells) == pytest.approx(want, abs=2e-6)
    crop = np.random.default_rng(2).standard_normal((2, 3, 16, 16)).astype(np.float32)
    mine, theirs = (next(iter(each.classifier.run(crop).values())).reshape(2, 5) for each in (made, again))
    assert mine == pytest.approx(theirs, abs=1e-6)
    (written,) = again.save(tmp_path / "adapted.onnx")
    as_onnx = fullconv.load(written)
    assert as_onnx.heads
    assert rows_of(next(iter(as_onnx.run(image).values())), cells) == pytest.approx(want, abs=2e-6)
    finer = again.refined(2)
    assert finer.classifier is again.classifier
    assert next(iter(finer.run(image).values()))[:, :, ::2, ::2][:, :, :3, :6] == pytest.approx(
        made.run(image)["fc"][:, :, :3, :6], abs=2e-6
    )


def test_a_head_trains_and_is_another_network_then() -> None:
    model = load()
    made = model.adapted(head_of(model.cast()))
    module = made.module
    names = {name for name, _ in module.named_parameters() if "fullconv_head0" in name}
    assert {"fullconv_head0.mixing.weight", "fullconv_head0.mixing.bias", "fullconv_head0.level2.weight"} <= names
    same = fullconv.load(module, input_shape=(3, 16, 16))
    assert len(same.heads) == 1
    module.train()
    loss = module(torch.rand(2, 3, 16, 16)).square().sum()
    loss.backward()
    weight = module.get_parameter("fullconv_head0.level0.weight")
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) > 0
    with torch.no_grad():
        weight -= weight.grad
    trained = fullconv.load(module, input_shape=(3, 16, 16))
    assert not trained.heads
    assert any("names a head" in note for note in trained.notes)
    assert made.heads[0].kernels[0] == pytest.approx(head_of(model.cast()).kernels[0])  # the Model's own is what it was


def test_numbers_of_half_precision() -> None:
    model = load(dtype=torch.float16)
    full = model.cast()
    head = head_of(full)
    made = model.adapted(head)
    image = np.random.default_rng(1).standard_normal((1, 3, 20, 24)).astype(np.float32)
    want = expected(full, head, image, [(1, 2)])
    want = np.exp(want) / np.exp(want).sum()
    seen = made.run(image, runtime="torch")[head.head.output]
    assert seen[0, :, 1, 2] == pytest.approx(want[0], abs=4e-3)
