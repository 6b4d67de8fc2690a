"""Probabilities of networks that end in logits: a softmax or sigmoid behind the output, held against torch's on the crops' logits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import nn

import fullconv
from fullconv.errors import BadInput
from fullconv.maps.mapping import map_image
from fullconv.rasters.preprocess import Preprocess
from tests.helpers import conv, data, fc, model, pool

PIXELS = np.random.default_rng(4).integers(0, 256, (21, 26, 3), np.uint8)
Array = npt.NDArray[Any]


def net(*head: nn.Module, classes: int = 5) -> nn.Sequential:
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, classes), *head)
    with torch.no_grad():
        body[0].weight /= 64  # logits of a size at which a softmax is no winner alone
    return body.eval()


def logits_of(module: nn.Module, stride: int = 2) -> torch.Tensor:
    """(rows, cols, classes), by the module itself on every crop."""
    values = torch.from_numpy(PIXELS.transpose(2, 0, 1).astype(np.float32))
    rows, cols = ((side - 8) // stride + 1 for side in PIXELS.shape[:2])
    with torch.inference_mode():
        crops = [
            values[:, y * stride : y * stride + 8, x * stride : x * stride + 8]
            for y in range(rows)
            for x in range(cols)
        ]
        return module(torch.stack(crops)).reshape(rows, cols, -1)


def written(module: nn.Module, path: Path, opset: int) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is old, and so are many files
        torch.onnx.export(module, (torch.zeros(1, 3, 8, 8),), str(path), dynamo=False, opset_version=opset)
    return path


@pytest.mark.parametrize("by", ["cast", "crops"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
def test_every_engine_gives_torch_s_probabilities_of_the_crops(function: str, runtime: str, by: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    module = net()
    want = logits_of(module)
    want = want.softmax(-1) if function == "softmax" else want.sigmoid()
    loaded = fullconv.load(module, input_shape=(3, 8, 8))
    found = map_image(loaded, PIXELS, activation=function, runtime=runtime, by=by)
    np.testing.assert_allclose(found.scores, want.permute(2, 0, 1).numpy(), atol=2e-6)
    assert found.score_kind == "probabilities"
    plain = map_image(loaded, PIXELS, runtime=runtime)  # the network itself is as it was
    np.testing.assert_allclose(plain.scores, logits_of(module).permute(2, 0, 1).numpy(), atol=2e-5)
    assert plain.score_kind == "logits"


@pytest.mark.parametrize("opset", [11, 17])
def test_onnx_of_operator_sets_old_and_new(tmp_path: Path, opset: int) -> None:
    module = net()
    found = map_image(written(module, tmp_path / "net.onnx", opset), PIXELS, activation="softmax")
    np.testing.assert_allclose(found.scores, logits_of(module).softmax(-1).permute(2, 0, 1).numpy(), atol=2e-6)


def test_caffe_and_a_finer_map() -> None:
    text = data(1, 3, 8, 8) + conv("c", "data", 4, 3) + pool("p", "c", 2, 2) + fc("y", "p", 4)
    small = {"preprocess": Preprocess(scale=1 / 64), "stride": 1}
    plain = map_image(model(text), PIXELS, by="crops", **small)
    want = torch.from_numpy(plain.scores).softmax(0).numpy()
    for how in ({"finer": "dilation"}, {"finer": "shifts"}, {"by": "crops"}):
        found = map_image(model(text), PIXELS, activation="softmax", **small, **how)
        np.testing.assert_allclose(found.scores, want, atol=5e-6)


def test_stores_and_tiles_see_the_same(tmp_path: Path) -> None:
    module = net()
    path = written(module, tmp_path / "net.onnx", 17)
    Image.fromarray(PIXELS).save(tmp_path / "i.png")
    stored = fullconv.map_raster(path, tmp_path / "i.png", tmp_path / "x.zarr", activation="softmax")
    want = logits_of(module).softmax(-1).permute(2, 0, 1).numpy()
    np.testing.assert_allclose(np.asarray(stored.scores[:, :, :]), want, atol=2e-6)
    again = fullconv.ClassMap.load(tmp_path / "x.zarr")
    assert again.score_kind == "probabilities"
    assert again.record.request["activation"] == "softmax"
    with pytest.raises(BadInput, match="activation: softmax, now none"):
        fullconv.map_raster(path, tmp_path / "i.png", tmp_path / "x.zarr")


class Mean(nn.Module):
    """Written out, as exporters do: nothing in it is called a softmax."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        powers = (x - x.amax(1, keepdim=True)).exp()
        return powers / powers.sum(1, keepdim=True)


class Best(nn.Module):
    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.topk(x, 2, 1)[self.which].float()


class Logarithm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x)


class Shifted(nn.Module):
    """Probabilities with something taken off, which are none."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((5,), -0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ([nn.Softmax(1)], "probabilities"), ([nn.Sigmoid()], "probabilities"), ([Mean()], "probabilities"), ([nn.LogSoftmax(1)], "log-probabilities"),
        ([nn.Softmax(1), nn.Dropout(), nn.Flatten()], "probabilities"), ([], "logits"), ([nn.LeakyReLU()], "logits"), ([nn.Tanh()], "logits"),
        ([nn.Hardtanh(0.25, 0.75)], ""), ([nn.Softmax(1), Shifted()], "logits"),
        ([nn.Softmax(1), Logarithm()], "log-probabilities"),
    ],
)  # fmt: skip
def test_what_a_head_says_already(head: list[nn.Module], kind: str) -> None:
    loaded = fullconv.load(net(*head), input_shape=(3, 8, 8))
    notes: list[str] = []
    assert map_image(loaded, PIXELS, notes=notes.append).score_kind == kind
    assert any("not probabilities" in note or "logarithms" in note for note in notes) == kind.endswith(
        ("logits", "log-probabilities")
    )
    notes.clear()
    assert map_image(loaded, PIXELS, activation="none", notes=notes.append).score_kind == (
        "probabilities" if kind == "probabilities" else ""
    )
    assert not any("probabilities" in note for note in notes)
    if kind == "probabilities":
        for function in ("softmax", "sigmoid"):
            with pytest.raises(BadInput, match="are probabilities already"):
                map_image(loaded, PIXELS, activation=function)
    else:
        found = map_image(loaded, PIXELS, activation="softmax")
        np.testing.assert_allclose(found.scores, logits_of(net(*head)).softmax(-1).permute(2, 0, 1).numpy(), atol=2e-6)


def test_refusals_that_say_the_way_out() -> None:
    one = fullconv.load(net(classes=1), input_shape=(3, 8, 8))
    with pytest.raises(BadInput, match=r"one class.*take sigmoid"):
        map_image(one, PIXELS, activation="softmax")
    assert map_image(one, PIXELS, activation="sigmoid").score_kind == "probabilities"
    logs = fullconv.load(net(nn.LogSoftmax(1)), input_shape=(3, 8, 8))
    with pytest.raises(BadInput, match="take softmax"):
        map_image(logs, PIXELS, activation="sigmoid")
    with pytest.raises(BadInput, match="not one of auto"):
        map_image(one, PIXELS, activation="Softmax")


def test_a_threshold_is_held_against_what_scores_are(tmp_path: Path) -> None:
    loaded = fullconv.load(net(), input_shape=(3, 8, 8))
    logits, soft = (map_image(loaded, PIXELS, activation=how) for how in ("auto", "softmax"))
    for bad in (None, 0.5, 1.0):
        with pytest.raises(BadInput, match="--activation softmax"):
            logits.peaks(0, bad)
        with pytest.raises(BadInput, match="--activation softmax"):
            fullconv.export(logits, tmp_path / "x.geojson", threshold=bad)
    assert logits.peaks(0, -100.0)
    assert logits.peaks(0, 0) is not None
    with pytest.raises(BadInput, match="no score reaches it"):
        soft.peaks(0, 1.5)
    for found, beyond in ((soft, -1e300), (logits, 4e38), (logits, -4e38)):
        with pytest.raises(BadInput, match=r"threshold .*: no score is so large"):
            fullconv.export(found, tmp_path / "x.geojson", threshold=beyond)
    assert len(logits.peaks(0, float("-inf"))) == len(logits.peaks(0, -100.0))
    assert {p.score >= 0.5 for p in soft.peaks(0)} <= {True}
    soft.save(tmp_path / "x.npz")
    assert fullconv.ClassMap.load(tmp_path / "x.npz").score_kind == "probabilities"
    assert map_image(loaded, PIXELS, activation="none").peaks(0, 0.5) is not None
    fused = map_image(loaded, PIXELS, activation="softmax", scales=[1, 1.5])
    assert fused.score_kind == "probabilities"
    assert fused.scores.max() <= 1
    np.testing.assert_allclose(fused.parts[0].scores.sum(axis=0), 1, atol=1e-5)


@pytest.mark.long
def test_verify_and_blame_see_probabilities() -> None:
    padded = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5)
    ).eval()
    for module in (net(), padded):
        loaded = fullconv.load(module, input_shape=(3, 8, 8))
        report = fullconv.verify(loaded, PIXELS, activation="softmax", cells=20)
        assert not report.failed
        assert report.largest <= 1
        assert report.score_kind == "probabilities"
    plain = fullconv.blame(loaded, PIXELS, cells=4)
    shares = fullconv.blame(loaded, PIXELS, cells=4, activation="softmax")
    assert shares.total <= 1 < plain.total
    assert shares.left < 1e-5


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("by", ["cast", "crops"])
def test_a_list_of_the_best_classes_is_no_map_of_classes(which: int, by: Any) -> None:
    """The second place of such a list is no second class, and 9 is no score."""
    loaded = fullconv.load(net(Best(which)), input_shape=(3, 8, 8))
    with pytest.raises(BadInput, match="lists the best classes of each crop"):
        map_image(loaded, PIXELS, by=by)
