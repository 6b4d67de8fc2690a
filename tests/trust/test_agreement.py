"""What is said of a map that is not exact: some of its cells held against their crops, by hand too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import fullconv
from fullconv.errors import BadInput
from fullconv.model import Model
from tests.cli.conftest import run  # noqa: F401
from tests.rasters.pictures import ome_tiff, scene
from tests.trust.test_verify_anywhere import by_hand, padded  # noqa: F401

PIXELS = scene(120, 140)


@pytest.mark.parametrize("how", [{}, {"stored": "float16"}, {"keep": "top1"}, {"keep": (3, 1)}])
def test_of_a_store(padded: Model, how: dict, tmp_path: Path) -> None:  # noqa: F811
    image = ome_tiff(tmp_path / "x.tif", np.repeat(np.repeat(PIXELS, 2, 0), 2, 1))
    made = fullconv.map_raster(padded, image, tmp_path / "x.zarr", preprocess="unit", level=1, **how)
    before = {path: path.read_bytes() for path in (tmp_path / "x.zarr").rglob("*") if path.is_file()}
    found = fullconv.agreement(padded, image, made, cells=10_000, preprocess="unit", level=1)
    mapped, crops = by_hand(PIXELS)
    assert found.compared == mapped[:, :, 0].size
    kept = list(how["keep"]) if isinstance(how.get("keep"), tuple) else list(range(5))
    own, theirs = mapped[:, :, kept], crops[:, :, kept]
    assert found.agree == int((own.argmax(2) == theirs.argmax(2)).sum())
    low, high = binomtest(found.agree, found.compared).proportion_ci(method="wilson")
    assert found.to_json()["interval"] == pytest.approx([low, high], abs=1e-12)
    assert f"({100 * low:.0f}–{100 * high:.0f} %" in str(found)
    gaps = np.abs(own - theirs)
    if how.get("keep") == "top1":
        gaps = np.take_along_axis(gaps, own.argmax(2)[:, :, None], 2)
    assert found.largest == pytest.approx(gaps.max(), abs=2e-3 if how.get("stored") else 2e-6)
    if not how:
        assert gaps.max(axis=2)[found.worst] == pytest.approx(gaps.max(), abs=2e-6)
        few = fullconv.agreement(padded, image, made, preprocess="unit", level=1)
        assert few.compared == 50
        assert few.largest < found.largest
        with pytest.raises(BadInput, match="other cells"):
            fullconv.agreement(padded, image, made, preprocess="unit")
    assert before == {path: path.read_bytes() for path in (tmp_path / "x.zarr").rglob("*") if path.is_file()}


def test_maps_that_cannot_be_compared(padded: Model) -> None:  # noqa: F811
    for how in ({"by": "crops"}, {"scales": (1, 0.7)}):
        made = fullconv.map(padded, PIXELS, preprocess="unit", **how)
        with pytest.raises(BadInput, match="only a map by the cast network"):
            fullconv.agreement(padded, PIXELS, made, preprocess="unit")
    gone = fullconv.map(padded, np.zeros((40, 40, 3), np.uint8), preprocess="unit", nodata=0)
    with pytest.raises(BadInput, match="has an answer"):
        fullconv.agreement(padded, np.zeros((40, 40, 3), np.uint8), gone, preprocess="unit", nodata=0)


@pytest.mark.parametrize("kept", [(2,), (0,)])
def test_one_class_that_is_kept_wins_over_none(padded: Model, kept: tuple, tmp_path: Path) -> None:  # noqa: F811
    """Of one score a cell no winner is told: by its probability whether the class is there, of a logit nothing."""
    image = ome_tiff(tmp_path / "x.tif", PIXELS)
    for how in ({}, {"activation": "sigmoid"}):
        made = fullconv.map_raster(padded, image, tmp_path / f"{len(how)}.zarr", preprocess="unit", keep=kept, **how)
        found = fullconv.agreement(padded, image, made, cells=10_000, preprocess="unit", **how)
        if not how:
            assert found.agree is None
            assert found.to_json()["interval"] is None
            assert "class" not in str(found)
            continue
        mapped, crops = (each[:, :, kept[0]] >= 0 for each in by_hand(PIXELS))
        assert found.agree == int((mapped == crops).sum())


def test_said_after_a_map_that_is_not_exact(run, tmp_path: Path) -> None:  # noqa: F811
    from tests.cli.conftest import h  # the nets of other tests

    text = h.data(1, 1, 12, 12) + h.conv("a", "data", 3, 3, "pad: 1") + h.fc("ip", "a", 3)
    exact = h.data(1, 1, 12, 12) + h.conv("a", "data", 3, 3) + h.fc("ip", "a", 3)
    image = tmp_path / "x.npy"
    np.save(image, PIXELS[:40, :50, 0])
    nets = [h.model(each).save(tmp_path / f"{name}.prototxt") for name, each in (("padded", text), ("exact", exact))]
    for out in ("a.npz", "a.zarr"):
        how = ("-p", "unit", "-o", tmp_path / out)
        said = run("map", nets[0][0], "-w", nets[0][1], image, *how)
        assert said.status == 0, said.err
        assert "of 50 random cells" in said.out + said.err
        again = ("-p", "unit", "-o", tmp_path / f"b{out}")
        said = run("map", nets[0][0], "-w", nets[0][1], image, *again, "--no-verify")
        assert "random cells" not in said.out + said.err
        assert "random cells" not in "".join(
            vars(run("map", nets[1][0], "-w", nets[1][1], image, "-p", "unit", "-o", tmp_path / f"c{out}"))[each]
            for each in ("out", "err")
        )
    (tmp_path / "d").mkdir()
    told = json.loads(run("map", nets[0][0], "-w", nets[0][1], image, "-p", "unit", "-o", tmp_path / "d", "--json").out)
    assert told["maps"][0]["agreement"]["compared"] == 50
    np.testing.assert_array_equal(
        np.load(tmp_path / "a.npz")["scores"], np.load(tmp_path / "ba.npz")["scores"]
    )  # what is written is the same
