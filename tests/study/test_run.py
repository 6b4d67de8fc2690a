"""A study: a map of each image, what is written of it, one table; gone on with, side by side, and with images that fail."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import fullconv
from fullconv.demonstration import demo_files
from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from fullconv.study import one
from tests.stream import runs

HOW = {"preprocess": "unit"}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts of the packaged page as slides with a pixel size, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    with demo_files() as data:
        page = np.asarray(fullconv.map(runs.digits(), data / "page.png", **HOW).pixels)[:, :, 0].astype(np.uint8)
    for name, (height, width) in {"a": (200, 300), "b": (300, 260), "c": (150, 180)}.items():
        tifffile.imwrite(folder / f"{name}.tif", page[:height, :width], resolution=(20_000, 20_000), resolutionunit=3)
    (folder / "bad.tif").write_bytes(b"II*\0garbage")
    return folder


def table(study: fullconv.Study) -> list[dict[str, str]]:
    with study.summary.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def paths(slides: Path, *names: str) -> list[Path]:
    return [slides / f"{name}.tif" for name in names]


def test_every_number_of_the_table_is_the_maps(slides: Path, tmp_path: Path) -> None:
    study = fullconv.run(
        runs.digits(),
        paths(slides, "bad", "a", "b"),
        tmp_path,
        classes="7,3",
        threshold=0.9,
        exports="geojson,csv",
        **HOW,
    )
    rows = table(study)
    assert [row["status"] for row in rows] == ["mapped", "mapped", "failed"]  # those that failed come last
    assert "cannot be opened as a TIFF" in rows[2]["error"]
    assert [Path(each.image).name for each in study.failed] == ["bad.tif"]
    for row, name in zip(rows[:2], "ab", strict=True):
        alone = fullconv.map(runs.digits(), slides / f"{name}.tif", **HOW)
        assert (int(row["rows"]), int(row["cols"])) == alone.scores.shape[1:]
        for label in ("7", "3"):
            i = alone.class_index(label)
            cells, over = int((alone.top1 == i).sum()), int((alone.scores[i] >= 0.9).sum())
            assert int(row[f"{label} cells"]) == cells
            assert float(row[f"{label} share"]) == pytest.approx(cells / alone.top1.size, rel=1e-8)
            assert float(row[f"{label} area_mm2"]) == pytest.approx(
                cells * 16 * 0.25 / 1e6, rel=1e-8
            )  # stride 4, half a micrometre a pixel
            assert int(row[f"{label} cells_over"]) == over
            assert float(row[f"{label} area_over_mm2"]) == pytest.approx(over * 16 * 0.25 / 1e6, rel=1e-8)
            assert int(row[f"{label} peaks"]) == len(alone.peaks(label, 0.9))
            highest = alone.highest(label)
            assert highest is not None
            assert float(row[f"{label} best"]) == pytest.approx(highest.score, abs=1e-6)
        assert "4 cells" not in row
        regions = json.loads((tmp_path / f"{name}.geojson").read_text())["features"]
        assert {each["properties"]["classification"]["name"] for each in regions} <= {"7", "3"}
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == int(row["7 peaks"]) + int(row["3 peaks"])
        assert (tmp_path / f"{name}.png").exists()
        stored = ClassMap.load(tmp_path / f"{name}.zarr")
        np.testing.assert_allclose(np.asarray(stored.scores), alone.scores, atol=1e-6)


def test_what_is_done_is_left_and_the_rest_is_made(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[str] = []
    real = one.map_raster

    def counted(model: Any, image: str, *args: Any, **options: Any) -> Any:
        mapped.append(Path(image).name)
        if image.endswith("b.tif") and len(mapped) == 2:
            raise KeyboardInterrupt
        return real(model, image, *args, **options)

    monkeypatch.setattr(one, "map_raster", counted)
    images = paths(slides, "a", "b", "c")
    with pytest.raises(KeyboardInterrupt):
        fullconv.run(runs.digits(), images, tmp_path, exports="none", **HOW)
    study = fullconv.run(runs.digits(), images, tmp_path, exports="none", **HOW)
    assert mapped == ["a.tif", "b.tif", "b.tif", "c.tif"]
    assert study.before == 1
    assert [row["image"] for row in table(study)] == list(map(str, images))
    first = study.summary.read_bytes()
    again = fullconv.run(runs.digits(), images, tmp_path, exports="none", **HOW)
    assert (again.before, len(mapped)) == (3, 4)
    assert again.summary.read_bytes() == first
    (tmp_path / "a.png").unlink()  # something of it is gone
    third = fullconv.run(runs.digits(), images, tmp_path, exports="csv", **HOW)  # and another export is asked for
    assert third.before == 0
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "c.csv").exists()


def test_another_request_is_told_and_restart_makes_it_anew(slides: Path, tmp_path: Path) -> None:
    fullconv.run(runs.digits(), paths(slides, "c"), tmp_path, exports="none", **HOW)
    study = fullconv.run(runs.digits(), paths(slides, "c"), tmp_path, exports="none", preprocess="raw")
    assert "holds another result" in study.failed[0].error
    study = fullconv.run(runs.digits(), paths(slides, "c"), tmp_path, exports="none", preprocess="raw", restart=True)
    assert not study.failed


@pytest.mark.long
def test_side_by_side_is_the_same(slides: Path, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    images = paths(slides, "a", "bad", "c")
    alone = fullconv.run(runs.digits(), images, tmp_path / "1", exports="csv", **HOW)
    study = fullconv.run(
        runs.digits(),
        images,
        tmp_path / "2",
        exports="csv",
        jobs=2,
        memory=3 << 30,
        report=lambda image, event, what: told.append((image, event)),
        **HOW,
    )
    drop = ("seconds", "result", "files", "request")
    for one_by_one, together in zip(alone.to_json()["images"], study.to_json()["images"], strict=True):
        assert {k: v for k, v in one_by_one.items() if k not in drop} == {
            k: v for k, v in together.items() if k not in drop
        }
    assert (tmp_path / "1" / "a.csv").read_bytes() == (tmp_path / "2" / "a.csv").read_bytes()
    assert {event for image, event in told if image.endswith("a.tif")} >= {"plan", "tile", "done", "image"}


def test_padded_networks_say_how_well_they_agree(slides: Path, tmp_path: Path) -> None:
    with demo_files() as data:
        study = fullconv.run(data / "padded.onnx", paths(slides, "a"), tmp_path, exports="none", **HOW)
    share = study.outcomes[0].agreement
    assert share is not None
    assert share[1] <= share[0] <= share[2]
    assert float(table(study)[0]["agreement"]) == share[0]


def test_bad_input_comes_before_the_work(slides: Path, tmp_path: Path) -> None:
    a = paths(slides, "a")
    wrong: list[tuple[list[Path], dict[str, Any], str]] = [
        ([], {}, "no image was given"),
        ([*a, tmp_path / "a.svs"], {}, "would both be written as"),
        (a, {"exports": "geojson,docx"}, "are written ome.tif, tif"),
        (a, {"by_class": True}, "of which"),
        (a, {"classes": "fish"}, "no class is named 'fish'"),
        (a, {"threshold": 2.0}, "no score reaches it"),
        (a, {"jobs": 0}, "from 1 on"),
        (a, {"fail_if": ["7 >> 1"]}, "7 >> 1"),
    ]
    for images, options, words in wrong:
        with pytest.raises(BadInput, match=words):
            fullconv.run(runs.digits(), images, tmp_path / "out", **options, **HOW)
    assert not list(tmp_path.glob("out/*.zarr"))


def test_classes_named_by_numbers_are_exported_as_these(slides: Path, tmp_path: Path) -> None:
    """Labels that are other classes' numbers: what is exported is what was asked for, not the class of that number."""
    labels = [str((i + 3) % 11) for i in range(11)]
    how = {**HOW, "labels": labels, "classes": "7,3", "threshold": 0.5}
    fullconv.run(runs.digits(), paths(slides, "b"), tmp_path, exports="geojson", **how)
    regions = json.loads((tmp_path / "b.geojson").read_text())["features"]
    assert {each["properties"]["classification"]["name"] for each in regions} == {"7", "3"}
