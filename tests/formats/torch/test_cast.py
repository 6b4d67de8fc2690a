"""PyTorch networks, cast natively: every structure against the untouched module on crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import CannotCast
from fullconv.maps.mapping import map_image, run_cast
from tests.conftest import worst
from tests.formats.torch.nets import EXACT, GRN, INEXACT, REFUSED, SE, SHAPE, Of, trunk


def made(make) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def answers(module: nn.Module, image: torch.Tensor) -> list[np.ndarray]:
    with torch.inference_mode():
        found = module(image)
    return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize("name", EXACT)
def test_every_cell_equals_the_original_on_its_crop(name: str, runtime: str) -> None:
    module = made(EXACT[name])
    model = fullconv.load(module, input_shape=SHAPE)
    assert model.plan.exactness.startswith("exact"), model.plan
    image = torch.randn(1, 3, 28, 22)
    full = model.cast()
    found = full.run(image.numpy(), runtime=runtime)
    for i, output in enumerate(full.graph.outputs):
        grid = full.sampling(output).over((28, 22))
        assert min(grid.rows, grid.cols) >= 2
        for row in range(grid.rows):
            for col in range(grid.cols):
                x0, y0, x1, y1 = (int(v) for v in grid.box(row, col))
                crop = answers(module, image[:, :, y0:y1, x0:x1])[i]
                assert worst(found[output][0, :, row, col], crop[0]) < 1e-5


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize("name", INEXACT)
def test_the_map_of_one_crop_is_the_originals_answer(name: str, runtime: str) -> None:
    make, cause = INEXACT[name]
    module = made(make)
    model = fullconv.load(module, input_shape=SHAPE)
    assert cause in model.plan.exactness
    full = model.cast()
    crop = torch.randn(1, *SHAPE)
    (found,) = full.run(crop.numpy(), runtime=runtime).values()
    (expected,) = answers(module, crop)
    assert worst(found.reshape(expected.shape), expected) < 3e-6
    larger = np.random.default_rng(0).standard_normal((1, 3, 40, 29)).astype(np.float32)
    rows, cols = full.sampling().cells((40, 29))
    mapped = run_cast(full, larger, full.graph.outputs[0], runtime)
    assert mapped.shape[1] >= rows
    assert mapped.shape[2] >= cols


@pytest.mark.parametrize("name", INEXACT)
def test_all_engines_draw_the_same_map(name: str) -> None:
    model = fullconv.load(made(INEXACT[name][0]), input_shape=SHAPE).cast()
    image = np.random.default_rng(0).standard_normal((1, 3, 36, 28)).astype(np.float32)
    (one,) = model.run(image, runtime="onnxruntime").values()
    for runtime in ("torch", "openvino"):
        (other,) = model.run(image, runtime=runtime).values()
        assert worst(one, other) < 1e-5, runtime


@pytest.mark.parametrize("name", EXACT)
def test_openvino_draws_the_same_map(name: str) -> None:
    model = fullconv.load(made(EXACT[name]), input_shape=SHAPE).cast()
    image = np.random.default_rng(0).standard_normal((2, 3, 28, 22)).astype(np.float32)
    for one, other in zip(model.run(image).values(), model.run(image, runtime="openvino").values(), strict=True):
        assert worst(one, other) < 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_window_is_refused_and_mapped_by_crops(name: str) -> None:
    make, reason = REFUSED[name]
    module = made(make)
    model = fullconv.load(module, input_shape=SHAPE)
    with pytest.raises(CannotCast, match=reason):
        model.cast()
    image = np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)
    found = map_image(model, image, preprocess="unit", by="crops", stride=4)
    assert found.scores.shape == (5, 2, 3)
    values = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    assert worst(found.scores[:, 1, 2], answers(module, values[:, :, 4:, 8:])[0][0]) < 1e-5


@pytest.mark.parametrize(
    "run", [lambda x: F.pad(x, (1, 1)), lambda x: x.mean(1, keepdim=True).expand(-1, 5)], ids=["pad", "expand"]
)
def test_an_axis_that_cannot_be_moved_is_refused(run) -> None:
    module = Of(lambda m, x: run(m.t(x).mean((2, 3))), t=trunk()).eval()
    with pytest.raises(CannotCast):
        fullconv.load(module, input_shape=SHAPE).cast()


@pytest.mark.parametrize(
    "last",
    [lambda y: y.squeeze(1), lambda y: y.view(-1).sigmoid(), lambda y: y[:, 0], lambda y: y.flatten(0)],
    ids=["squeeze", "view", "select", "flatten"],
)
def test_one_score_beside_the_batch(last) -> None:
    """As binary classifiers end: an axis of one class moves no batch."""
    module = made(lambda: Of(lambda m, x: last(m.fc(m.t(x).flatten(1))), t=trunk(), fc=nn.Linear(196, 1)))
    model = fullconv.load(module, input_shape=SHAPE)
    image = torch.randn(1, 3, 20, 22)
    (found,) = model.cast().run(image.numpy()).values()
    assert found.shape == (1, 1, 3, 4)
    crops = torch.cat([image[:, :, y : y + 16, x : x + 16] for y in (0, 2, 4) for x in (0, 2, 4, 6)])
    assert worst(found.reshape(-1), answers(module, crops)[0]) < 1e-5
    two = made(lambda: Of(lambda m, x: m.fc(m.t(x).flatten(1)).flatten(), t=trunk(), fc=nn.Linear(196, 2)))
    with pytest.raises(CannotCast, match="moves the batch"):
        fullconv.load(two, input_shape=SHAPE).cast()


@pytest.mark.parametrize(
    "read",
    [
        lambda y, p: torch.addcmul(y, p, p), lambda y, p: torch.where(p > 0, y, p), lambda y, p: torch.lerp(y, p, 0.3),
        lambda y, p: torch.maximum(p[None], y), lambda y, p: torch.add(y, other=p, alpha=2), lambda y, p: y[:, None] * p.reshape(1, 1, 5),
    ],
    ids=["addcmul", "where", "lerp", "maximum", "by keyword", "another axis"],
)  # fmt: skip
def test_constants_of_a_vector_are_laid_along_channels_whoever_reads_them(read) -> None:
    module = made(lambda: Of(lambda m, x: read(m.fc(m.t(x).flatten(1)), m.p), t=trunk(), fc=nn.Linear(196, 5)))
    module.p = nn.Parameter(torch.randn(5))
    image = torch.randn(1, 3, 20, 22)
    (found,) = fullconv.load(module, input_shape=SHAPE).cast().run(image.numpy()).values()
    (crop,) = answers(module, image[:, :, 4:20, 6:22])
    assert worst(found[..., 2, 3].reshape(crop.shape), crop) < 1e-5


def test_an_uncast_network_takes_any_batch() -> None:
    module = made(EXACT["dense layers with dropout"])
    model = fullconv.load(module, input_shape=SHAPE)
    batch = torch.randn(5, *SHAPE)
    assert worst(next(iter(model.run(batch.numpy()).values())), answers(module, batch)[0]) < 1e-5
    with pytest.raises(fullconv.BadInput, match="is not its training size"):
        model.run(np.zeros((1, 3, 20, 16), np.float32))


class TestGates:
    """Statistics pooled over the whole map that act on it: around each cell, or over the whole input."""

    @staticmethod
    def net() -> tuple[nn.Module, SE, nn.Linear]:
        torch.manual_seed(0)
        gate, fc = SE(), nn.Linear(4, 5)
        return nn.Sequential(trunk(), gate, nn.AdaptiveAvgPool2d(1), nn.Flatten(), fc).eval(), gate, fc

    def test_local_pools_the_crop_around_each_cell(self) -> None:
        module, gate, fc = self.net()
        full = fullconv.load(module, input_shape=SHAPE).cast()
        image = torch.randn(1, 3, 30, 24)
        with torch.inference_mode():
            x = module[0](image)
            pooled = F.pad(F.avg_pool2d(x, 7, 1), (3, 3, 3, 3), mode="replicate")
            x = x * torch.sigmoid(gate.b(torch.relu(gate.a(pooled))))
            expected = fc(F.avg_pool2d(x, 7, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).numpy()
        assert worst(next(iter(full.run(image.numpy()).values())), expected) < 1e-5

    @pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
    def test_global_pools_the_whole_input(self, runtime: str) -> None:
        module, _, fc = self.net()
        model = fullconv.load(module, input_shape=SHAPE, global_pooling="global")
        assert "global pooling in 1/mean" in model.plan.exactness
        image = torch.randn(1, 3, 30, 24)
        with torch.inference_mode():
            x = module[1](module[0](image))
            expected = fc(F.avg_pool2d(x, 7, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).numpy()
        full = model.cast()
        assert full.is_fully_convolutional
        assert worst(next(iter(full.run(image.numpy(), runtime=runtime).values())), expected) < 1e-5

    @pytest.mark.parametrize("name", [n for n, (_, cause) in INEXACT.items() if cause == "local pooling"])
    def test_every_gate_can_be_kept(self, name: str) -> None:
        module = made(INEXACT[name][0])
        full = fullconv.cast(fullconv.load(module, input_shape=SHAPE), global_pooling="global")
        crop = torch.randn(1, *SHAPE)
        (found,) = full.run(crop.numpy()).values()
        assert worst(found.reshape(1, 5), answers(module, crop)[0]) < 3e-6
        image = np.random.default_rng(0).standard_normal((1, 3, 36, 28)).astype(np.float32)
        (one,) = full.run(image, runtime="onnxruntime").values()
        (other,) = full.run(image, runtime="torch").values()
        assert worst(one, other) < 1e-5

    def test_channels_last_gates_stay_channels_last(self) -> None:
        torch.manual_seed(0)
        module = Of(lambda m, x: m.fc(m.g(m.t(x)).mean((2, 3))), t=trunk(), g=GRN(), fc=nn.Linear(4, 5)).eval()
        full = fullconv.load(module, input_shape=SHAPE).cast()
        image = torch.randn(1, 3, 30, 24)
        with torch.inference_mode():
            x = module.t(image)
            length = torch.sqrt(49 * F.pad(F.avg_pool2d(x * x, 7, 1), (3, 3, 3, 3), mode="replicate"))
            x = x + module.g.w[:, None, None] * x * length / (length.mean(1, keepdim=True) + 1e-6)
            expected = module.fc(F.avg_pool2d(x, 7, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).numpy()
        assert worst(next(iter(full.run(image.numpy()).values())), expected) < 1e-5

    def test_another_mode_is_refused(self) -> None:
        with pytest.raises(fullconv.BadInput, match="not local or global"):
            fullconv.load(self.net()[0], input_shape=SHAPE, global_pooling="both")


class TestSizes:
    """Networks that take some sizes only: the image is filled up, and no cell is lost."""

    @pytest.mark.parametrize("name", ["pixel unshuffle", "space to depth by hand"])
    def test_blocks(self, name: str) -> None:
        module = made(EXACT[name])
        model = fullconv.load(module, input_shape=SHAPE)
        image = np.random.default_rng(0).integers(0, 255, (29, 23, 3)).astype(np.uint8)
        found, crops = (map_image(model, image, preprocess="unit", by=by) for by in ("cast", "crops"))
        assert found.scores.shape == crops.scores.shape == (5, 7, 4)
        assert worst(found.scores, crops.scores) < 1e-5
        with pytest.raises(fullconv.BadInput, match="takes blocks of 2×2 cells, and its input has 29×23"):
            model.cast().run(np.zeros((1, 3, 29, 23), np.float32))

    def test_branches_of_different_strides(self) -> None:
        module = made(
            lambda: Of(
                lambda m, x: m.fc((m.a(x) + F.interpolate(m.b(x), scale_factor=2)).mean((2, 3))),
                a=nn.Conv2d(3, 4, 3, stride=2, padding=1),
                b=nn.Conv2d(3, 4, 3, stride=4, padding=1),
                fc=nn.Linear(4, 5),
            )
        )
        model = fullconv.load(module, input_shape=SHAPE)
        with pytest.raises(fullconv.BadInput, match="meet at"):
            model.cast().run(np.zeros((1, 3, 22, 18), np.float32))
        found = map_image(model, np.zeros((22, 18, 3), np.uint8))
        assert found.scores.shape == (5, 4, 2)
