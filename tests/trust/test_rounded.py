"""What a precision costs, and whether an exact map in it is its crops' in it: held against runs by hand, and against a fault made on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.errors import FullconvError
from fullconv.loading import load
from fullconv.model import Model
from fullconv.reports.verification import html_report
from fullconv.stream.device import leave
from fullconv.trust.decisions import Decisions
from fullconv.trust.rounded import Rounded, Rounding, last_bits
from fullconv.trust.verify import verify
from tests.cli.conftest import Run
from tests.cli.conftest import run as run  # a fixture
from tests.formats.onnx.nets import weights, write
from tests.runtimes.test_torch_session import LARGE
from tests.stream import runs

torch = pytest.importorskip("torch")

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 64), np.uint8)
HOW = {"preprocess": "unit", "runtime": "torch:cpu"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_a_precision_costs_is_what_crops_by_hand_say(precision: str) -> None:
    model = runs.digits()
    report = verify(model, IMAGE, precision=precision, **HOW)
    rough, exact = (fullconv.map(model, IMAGE, by="crops", precision=p, **HOW).scores for p in (precision, "fp32"))
    mapped = fullconv.map(model, IMAGE, precision=precision, **HOW).scores
    found = report.rounded
    assert found is not None
    assert found.cells == report.compared == report.cells
    assert found.largest == pytest.approx(np.abs(rough - exact).max(), rel=0.05)
    assert found.mean == pytest.approx(np.abs(rough - exact).mean(), rel=0.05)
    assert found.agree == int((rough.argmax(0) == exact.argmax(0)).sum())
    assert found.parted == pytest.approx(np.abs(mapped - rough).max(), abs=found.largest / 4)
    assert 0 < found.noise < 0.1
    assert not report.failed
    assert f"{precision} alone, on {found.cells} crops of the untouched network" in str(report)
    assert f"map and crops, both in {precision}, differ by" in str(report)
    assert f"as {precision} computes them; where that costs too much, use --precision fp32" in str(report)
    assert f"{precision} alone" in html_report([report], "net")
    assert verify(model, IMAGE, **HOW).rounded is None


def test_a_map_that_parts_from_its_crops_in_that_precision_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    plain = leave.Leave.forward
    monkeypatch.setattr(leave.Leave, "forward", lambda self, scores, which: plain(self, scores.roll(1, -1), which))
    model = runs.digits()
    report = verify(model, IMAGE, precision="bf16", **HOW)
    assert report.rounded is not None
    assert report.rounded.failed
    assert report.failed
    assert "this is a bug: map and crops part in bf16" in report.advice
    net = model.save(tmp_path / "net.prototxt")
    np.save(tmp_path / "x.npy", IMAGE)
    done = run(
        "verify", net[0], "-w", net[1], tmp_path / "x.npy", "-p", "unit", "--runtime", "torch", "--device", "cpu",
        "--precision", "bf16", "--json",
    )  # fmt: skip
    assert done.status == 1
    assert json.loads(done.out)["reports"][0]["rounded"]["failed"]


def test_a_map_that_is_no_number_where_its_crops_are_fails_and_is_told_in_numbers() -> None:
    rough = np.random.default_rng(0).random((6, 3), np.float32)
    mapped = rough.copy()
    mapped[2, 1], mapped[4] = np.nan, np.inf
    seen = Rounding("bf16", exact=True)
    seen.add(Decisions.of(rough, "logits"), mapped, rough, rough, lambda: rough)
    found = seen.found()
    assert found is not None
    assert found.failed
    assert (found.apart, found.parted) == (2, 0.0)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["apart"] == 2
    assert found.lines[-1].endswith("in 2 cells one of them is NaN or infinite, and the other is not")


def test_a_padded_map_has_no_crops_to_be_equal_to(quick: Model, cat: Path) -> None:
    report = verify(quick, cat, preprocess="caffe", precision="bf16", runtime="torch:cpu", cells=20, moved=0)
    assert report.rounded is not None
    assert report.rounded.cells == 20
    assert report.rounded.parted is None
    assert not report.failed


def test_the_last_bit_is_the_precisions() -> None:
    values = np.linspace(0.1, 200, 500, dtype=np.float32)
    for precision, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        plain = torch.from_numpy(values).to(kind)
        moved = torch.from_numpy(last_bits(plain.float().numpy(), precision, 0)).to(kind)
        assert 0.5 < float((moved != plain).float().mean()) <= 1


@pytest.fixture
def large(tmp_path: Path) -> Model:
    """Within, numbers beyond 65504."""
    numbers = weights(w=(4, 3, 3, 3), up=(4, 4, 1, 1), down=(5, 4, 1, 1))
    numbers["up"] *= np.float32(1e4)
    numbers["down"] *= np.float32(1e-4)
    return load(write(tmp_path / "n.onnx", LARGE, numbers, outputs="float[1,5] y"))


def test_numbers_beyond_fp16_are_told_with_the_layer_on_every_road(large: Model, tmp_path: Path) -> None:
    _, height, width = large.image_shape
    image = np.random.default_rng(0).integers(0, 256, (height + 4, width + 4, 3), np.uint8)
    how = {"runtime": "torch:cpu", "precision": "fp16"}
    for road in (
        lambda: fullconv.map(large, image, **how),
        lambda: fullconv.map(large, image, by="crops", **how),
        lambda: fullconv.map_raster(large, image, tmp_path / "x.zarr", **how),
        lambda: fullconv.map_raster(large, image, tmp_path / "y.zarr", by="crops", **how),
        lambda: verify(large, image, **how),
    ):
        with pytest.raises(FullconvError, match=r"precision fp16: .*65504\) at 'big'; use --precision bf16"):
            road()


def test_a_network_that_its_own_framework_runs_says_it_too() -> None:
    class Beyond(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = torch.nn.Conv2d(1, 2, 3), torch.nn.Conv2d(2, 3, 1)
            torch.nn.init.constant_(self.up.weight, 1e4)
            torch.nn.init.constant_(self.down.weight, 1e-4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0(self.down(self.up(x)).mean((2, 3)) * 0)  # spelt in ONNX by nothing

    model = load(Beyond().eval(), input_shape=(1, 8, 8))
    image = np.full((1, 1, 8, 8), 10, np.float32)
    assert model.engine(image.shape, model.output(), "torch:cpu") == "torch:cpu"
    with pytest.raises(FullconvError, match=r"precision fp16: .*65504\) at 'up'"):
        model.run(image, runtime="torch:cpu", precision="fp16")


def test_an_engine_that_names_no_layer_says_the_precision(large: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TensorRT: its answers are seen alone."""
    plain = Model.run
    image = np.random.default_rng(0).integers(0, 256, (*large.image_shape[1:], 3), np.uint8)

    def overflowing(self: Model, *given, precision: str = "fp32", **more):
        return {name: a * (np.nan if precision == "fp16" else 1) for name, a in plain(self, *given, **more).items()}

    monkeypatch.setattr(Model, "run", overflowing)
    with pytest.raises(
        FullconvError, match=r"are NaN .* in fp16, whose numbers end at 65504, and none in fp32; use --precision bf16"
    ):
        fullconv.map(large, image, precision="fp16", runtime="torch:cpu")


@pytest.mark.parametrize(("largest", "noise"), [(1e-3, 4e-3), (4e-3, 1e-3)])
def test_what_is_rounding_goes_by_the_larger_of_both(largest: float, noise: float) -> None:
    """Of how far crops move by the precision, and how far by its last bits."""
    found = Rounded("fp16", 10, 10, largest, largest / 2, noise, 0.03)
    assert found.threshold == 8 * 4e-3
    assert not found.failed
    assert Rounded("fp16", 10, 10, largest, largest / 2, noise, 0.033).failed
