"""The processor's faster engine: measured once, remembered, never at the cost of another answer; a run goes on with the engine that began it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput, FullconvError
from fullconv.maps import engines
from fullconv.maps.engines import Measured, faster_engine
from fullconv.maps.ways import Way, way_over
from fullconv.results.places import storage_of
from fullconv.results.store import Store
from fullconv.stream import engine as stream_engine
from fullconv.stream.processor import Processor
from fullconv.system.parse import limited_threads
from fullconv.system.remembered import cache_folder, remembered
from tests import helpers as h
from tests.stream import runs

openvino = pytest.importorskip("openvino", reason="OpenVINO is an extra")

from fullconv.runtimes.openvino import OpenVinoSession  # noqa: E402

SIZE = (56, 64)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLCONV_CACHE", str(tmp_path / "cache"))


def parts(size: tuple[int, int]) -> list[np.ndarray]:
    return [np.random.default_rng(i).uniform(0, 1, (1, 1, *size)).astype(np.float32) for i in range(2)]


def measured(way: Way, tile: tuple[int, int] = SIZE, total: float = 1000.0, runtime: str = "auto") -> Measured | None:
    return faster_engine(way, runtime, "fp32", tile, 0.001, total, lambda: "print", parts)


def files() -> list[Path]:
    return sorted(cache_folder().rglob("*.json"))


def test_the_faster_one_is_taken_where_it_agrees() -> None:
    assert Measured(2.0, 1.0, 1e-6, 1e-5).engine == "openvino"
    assert Measured(2.0, 1.0, 1e-4, 1e-5).engine == "onnxruntime"  # other answers
    assert Measured(1.0, 1.0, 0.0, 1e-5).engine == "onnxruntime"  # no faster
    assert Measured(2.0, 0.0, 0.0, 0.0, "no rule for Shrink").engine == "onnxruntime"
    assert "differ from its by 1.0e-04, more than rounding does (1.0e-05)" in str(Measured(2.0, 1.0, 1e-4, 1e-5))
    assert "cannot run the network (no rule" in str(Measured(2.0, 0.0, 0.0, 0.0, "no rule"))
    assert str(Measured(2, 1, 0, 1)) == "engine openvino: OpenVINO takes 1 s for a part of the image, ONNX Runtime 2 s"


def test_measured_once_and_remembered_by_all_that_it_follows_from(monkeypatch: pytest.MonkeyPatch) -> None:
    way = way_over(h.model(h.LENET))
    first = measured(way)
    assert first is not None
    assert first.usual > 0
    assert first.other > 0
    assert 0 <= first.gap <= first.rounding < 1e-4  # softmax of ten classes
    assert len(files()) == 1
    count = []
    monkeypatch.setattr(engines, "_measure", lambda *given: count.append(0) or Measured(3.0, 1.0, 0.0, 1.0))
    assert measured(way) == first
    assert not count
    measured(way, (84, 64))
    with limited_threads(7):
        measured(way)
    monkeypatch.setattr(engines, "processors", lambda: 31)
    measured(way)
    monkeypatch.undo()
    monkeypatch.setattr(engines, "_measure", lambda *given: count.append(0) or Measured(3.0, 1.0, 0.0, 1.0))
    assert len(count) == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '{"usual": NaN, "other": 1, "gap": 0, "rounding": 1, "failed": ""}', "[" * 4000]
)
def test_what_is_damaged_is_measured_anew(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way = way_over(h.model(h.LENET))
    made = Measured(3.0, 1.0, 0.0, 1.0)
    monkeypatch.setattr(engines, "_measure", lambda *given: made)
    measured(way)
    (path,) = files()
    path.write_text(text)
    assert measured(way) == made
    assert Measured.of_json(json.loads(path.read_text())) == made


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FULLCONV_CACHE", str(tmp_path / "file"))
    assert measured(way_over(h.model(h.LENET))) is not None
    assert remembered("engines", "x") is None


def test_what_there_is_nothing_to_choose_of(monkeypatch: pytest.MonkeyPatch) -> None:
    model = h.model(h.LENET)
    way = way_over(model)
    monkeypatch.setattr(engines, "_measure", lambda *given: Measured(3.0, 1.0, 0.0, 1.0))
    assert measured(way, total=19.0) is None
    assert measured(way, runtime="onnxruntime") is None
    assert measured(way_over(model, by="crops")) is None
    assert faster_engine(way, "auto", "bf16", SIZE, 1, 1000, lambda: "", parts) is None
    assert measured(way, runtime="auto:cpu") is not None
    monkeypatch.setattr(engines, "chosen", lambda asked, precision: "torch")
    assert measured(way) is None
    monkeypatch.undo()
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert measured(way) is None


def test_another_answer_is_not_taken_for_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the other engine shows on the parts, however fast it is."""
    plain = OpenVinoSession.run
    monkeypatch.setattr(
        OpenVinoSession, "run", lambda self, *given: [a + np.float32(1e-3) for a in plain(self, *given)]
    )
    found = measured(way_over(h.model(h.LENET)))
    assert found is not None
    assert found.gap == pytest.approx(1e-3, rel=0.1)
    assert found.engine == "onnxruntime"

    def broken(self: OpenVinoSession, *given: object) -> None:
        raise FullconvError("OpenVINO failed on inputs of that")

    monkeypatch.setattr(OpenVinoSession, "run", broken)
    found = measured(way_over(h.model(h.LENET)), (84, 84))
    assert found is not None
    assert found.engine == "onnxruntime"
    assert "failed on inputs" in found.failed


def test_a_part_takes_its_share_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def some(size: tuple[int, int]) -> list[np.ndarray]:
        sizes.append(size)
        return parts(size)

    way = way_over(h.model(h.LENET))
    faster_engine(way, "auto", "fp32", (448, 896), 8.0, 320.0, lambda: "", some)  # a run may take 2 s
    assert sizes == [(224, 448)]
    _, height, width = way.model.image_shape
    faster_engine(way, "auto", "fp32", (896, 896), 1e6, 320.0, lambda: "", some)
    assert height <= sizes[1][0] < 2 * height
    assert width <= sizes[1][1] < 2 * width


def test_a_map_in_memory_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "LEAST", 0.0)
    monkeypatch.setattr(engines, "_measure", lambda *given: Measured(3.0, 1.0, 0.0, 1.0))
    model, image, told = h.model(h.LENET), np.random.default_rng(0).integers(0, 256, (200, 180), np.uint8), []
    used = []
    plain = OpenVinoSession.run
    monkeypatch.setattr(OpenVinoSession, "run", lambda self, *given: used.append(0) or plain(self, *given))
    found = fullconv.map(model, image, notes=told.append)
    assert used
    assert any(note.startswith("engine openvino: ") for note in told)
    used.clear()
    wanted = fullconv.map(model, image, runtime="onnxruntime")
    assert not used
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-5)


def record(out: Path):
    return Store.record_of(storage_of(out)).request


@pytest.mark.long
def test_a_stored_run_goes_on_with_the_engine_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = runs.picture(tmp_path / "x.npy", 1300, 1100)
    asked = {"preprocess": "unit", "memory": 262 << 20}
    whole, out = tmp_path / "whole.zarr", tmp_path / "x.zarr"
    model = runs.digits()
    monkeypatch.setattr("fullconv.stream.plan._planned_base", lambda *_: 180 << 20)
    monkeypatch.setattr("fullconv.stream.plan.StreamPlan.measuring_bytes", -(1 << 40))  # the tests hold much
    monkeypatch.setattr(engines, "LEAST", 0.0)
    monkeypatch.setattr(engines, "_measure", lambda *given: Measured(3.0, 1.0, 0.0, 1.0))
    original, seen = Processor.finish, []

    def failing(self: Processor, ticket):
        if seen:
            raise FullconvError("the power went")
        seen.append(ticket.tile.name)
        return original(self, ticket)

    told: list[str] = []
    fullconv.map_raster(model, image, whole, notes=told.append, **asked)
    assert record(whole)["runtime"] == "openvino:cpu"
    assert any(note.startswith("engine openvino: ") for note in told)
    monkeypatch.setattr(Processor, "finish", failing)
    with pytest.raises(FullconvError, match="the power went"):
        fullconv.map_raster(model, image, out, **asked)
    monkeypatch.setattr(Processor, "finish", original)
    monkeypatch.setattr(stream_engine, "with_engine", None)  # nothing is measured
    with pytest.raises(BadInput, match="runtime: openvino:cpu, now onnxruntime"):
        fullconv.map_raster(model, image, out, runtime="onnxruntime", **asked)
    monkeypatch.setattr("fullconv.runtimes.runtime.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"was begun by openvino:cpu \(openvino is not installed.*--restart starts anew"):
        fullconv.map_raster(model, image, out, **asked)
    monkeypatch.undo()
    monkeypatch.setattr("fullconv.stream.plan._planned_base", lambda *_: 180 << 20)
    fullconv.map_raster(model, image, out, **asked)
    for part in ("0", "marks"):
        assert {k: v for k, v in runs.digest(out).items() if k.startswith(part)} == {
            k: v for k, v in runs.digest(whole).items() if k.startswith(part)
        }
    shutil.rmtree(out)
    fullconv.map_raster(model, image, out, runtime="openvino", **asked)
    assert np.array_equal(fullconv.ClassMap.load(out).scores[:, :, :], fullconv.ClassMap.load(whole).scores[:, :, :])
    assert record(out)["runtime"] == "openvino:cpu"


@pytest.mark.parametrize(
    ("more", "other", "taken", "tiles"),
    [(70, 1.0, "openvino", 1), (70, 2.84, "onnxruntime", 0), (2000, 1.0, "onnxruntime", 0)],
)
def test_an_engine_that_takes_more_memory_has_smaller_tiles_where_it_gains_all_the_same(
    more: int, other: float, taken: str, tiles: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = runs.picture(tmp_path / "x.npy", 1300, 1100)
    monkeypatch.setattr("fullconv.stream.plan._planned_base", lambda *_: 180 << 20)
    monkeypatch.setattr("fullconv.stream.plan.StreamPlan.measuring_bytes", -(1 << 40))
    monkeypatch.setattr("fullconv.maps.cost._COMPILED", more << 20)
    monkeypatch.setattr(engines, "LEAST", 0.0)
    monkeypatch.setattr(engines, "_measure", lambda *given: Measured(3.0, other, 0.0, 1.0))
    told: list[str] = []
    seen: dict[str, dict] = {}
    asked = {"preprocess": "unit", "memory": 300 << 20}
    usual = fullconv.plan_raster(runs.digits(), image, **asked)
    out = tmp_path / "x.zarr"
    fullconv.map_raster(
        runs.digits(), image, out, notes=told.append, report=lambda event, what: seen.update({event: what}), **asked
    )
    assert record(out)["runtime"] == f"{taken}:cpu"
    assert (seen["plan"]["tiles"] > len(usual.tiles)) == bool(tiles)
    assert any("all the same: within the memory that may be taken" in note for note in told) != bool(tiles)


def test_a_short_map_is_onnx_runtimes(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 200, 200)
    fullconv.map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit")
    assert record(tmp_path / "x.zarr")["runtime"] == "onnxruntime:cpu"
    fullconv.map_raster(runs.digits(), image, tmp_path / "y.zarr", preprocess="unit", runtime="torch:cpu")
    assert record(tmp_path / "y.zarr")["runtime"] == "torch:cpu"
    assert not cache_folder().exists()
