"""A map by tiles is the map of the whole image, whatever is kept of it and however it is cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from PIL import Image, ImageDraw

import fullconv
from fullconv import map_raster, plan_raster
from fullconv.errors import BadInput, Refused
from fullconv.formats.caffe.format import Caffe
from fullconv.loading import load
from fullconv.maps.classmap import ClassMap
from fullconv.maps.mapping import map_image
from fullconv.model import Model
from tests import helpers as h
from tests.formats.torch import nets
from tests.rasters import pictures
from tests.stream import runs

NOISE = 2e-6  # between shapes of the engine's input, of scores up to 1


def same(found: ClassMap, expected: ClassMap, tolerance: float = NOISE) -> None:
    assert found.grid == expected.grid
    assert found.labels == expected.labels
    assert found.exactness == expected.exactness
    np.testing.assert_allclose(np.asarray(found.scores), expected.scores, atol=tolerance)


@pytest.mark.parametrize("megabytes", [230, 300, 4000])
@pytest.mark.parametrize(
    "how", [{}, {"stride": 1, "by": "cast"}, {"stride": 2, "finer": "shifts"}, {"by": "crops", "stride": 8}]
)
def test_the_trained_lenet(lenet: Model, how: dict, megabytes: int, tmp_path: Path) -> None:
    image = pictures.scene(241, 300, 1)
    found = map_raster(lenet, image, tmp_path / "x.zarr", preprocess="unit", memory=megabytes << 20, **how)
    same(found, map_image(lenet, image, preprocess="unit", **how))


@pytest.mark.parametrize("how", [{}, {"stride": 2}, {"stride": 4, "finer": "shifts"}, {"by": "crops"}])
def test_a_padded_net_with_ceil_pools(quick: Model, cat: Path, how: dict, tmp_path: Path) -> None:
    plan = plan_raster(quick, cat, preprocess="caffe", memory=210 << 20, **how)
    assert len(plan.tiles) > 1 or how.get("by") == "crops"
    found = map_raster(quick, cat, tmp_path / "x.zarr", preprocess="caffe", memory=210 << 20, **how)
    same(found, map_image(quick, cat, preprocess="caffe", **how), 5e-6)


@pytest.mark.parametrize(
    "name", ["squeeze and excite", "upsampling", "pixel unshuffle", "channels last before the flatten"]
)
def test_structures(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make = nets.EXACT.get(name) or nets.INEXACT[name][0]
    model = load(make().eval(), input_shape=nets.SHAPE)
    image = pictures.scene(231, 191)  # odd: networks of even sizes get it filled up
    found = map_raster(model, image, tmp_path / "x.zarr", memory=_least(model, image), preprocess="unit")
    expected = map_image(model, image, preprocess="unit")
    assert len(found.record.tiles) > 4
    same(found, expected, 1e-6 * float(np.abs(expected.scores).max()))


def _least(model: Model, image, **options) -> int:
    """The smallest budget that works, as the error says it."""
    with pytest.raises(BadInput, match="too small") as caught:
        plan_raster(model, image, memory=1 << 20, **options)
    return int(str(caught.value).split("--memory ")[1].split("MB")[0]) * 10**6


def test_the_least_budget_works(lenet: Model, tmp_path: Path) -> None:
    image = pictures.scene(200, 180, 1)
    found = map_raster(lenet, image, tmp_path / "x.zarr", memory=_least(lenet, image), preprocess="unit")
    same(found, map_image(lenet, image, preprocess="unit"))


def test_global_pooling_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load(nets.gated(nets.SE()).eval(), input_shape=nets.SHAPE, global_pooling="global")
    with pytest.raises(Refused, match="cannot be mapped in tiles"):
        map_raster(model, pictures.scene(100, 100), tmp_path / "x.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("stored", "tolerance"), [("float16", 5e-4), ("uint8", 1 / 508 + 1e-6)])
def test_types(lenet: Model, stored: str, tolerance: float, tmp_path: Path) -> None:
    image = pictures.scene(200, 180, 1)
    found = map_raster(lenet, image, tmp_path / "x.zarr", preprocess="unit", stored=stored)
    same(found, map_image(lenet, image, preprocess="unit"), tolerance)
    assert zarr.open(tmp_path / "x.zarr" / "0").dtype == stored


def test_scores_that_a_type_cannot_hold_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load(nets.EXACT["flatten"]().eval(), input_shape=nets.SHAPE)
    with pytest.raises(BadInput, match=r"are not within 0\.\.1, which is what uint8 stores; use float16 or float32"):
        map_raster(model, pictures.scene(100, 100), tmp_path / "x.zarr", stored="uint8")


def test_what_is_kept(lenet: Model, tmp_path: Path) -> None:
    image = pictures.scene(200, 180, 1)
    whole = map_image(lenet, image, preprocess="unit")
    some = map_raster(lenet, image, tmp_path / "some.zarr", preprocess="unit", keep="7,3")
    assert some.labels == ("7", "3")
    np.testing.assert_allclose(np.asarray(some.scores), whole.scores[[7, 3]], atol=NOISE)
    top = map_raster(lenet, image, tmp_path / "top.zarr", preprocess="unit", keep="top1")
    assert top.labels == whole.labels
    np.testing.assert_array_equal(top.top1, whole.top1)
    row, col = 5, 7
    winner = whole.top1[row, col]
    np.testing.assert_allclose(top.scores[winner, row, col], whole.scores[winner, row, col], atol=NOISE)
    assert np.isnan(top.scores[(winner + 1) % 10, row, col])
    assert top.best.label == whole.best.label
    with pytest.raises(BadInput, match="no class is named 'horse'"):
        map_raster(lenet, image, tmp_path / "x.zarr", keep="horse")


def test_missing_pixels(lenet: Model, tmp_path: Path) -> None:
    """A cell has an answer while no more than the share of its crop is missing; what is missing is 0 to the network, as padding is."""
    pixels = pictures.scene(200, 180, 1)
    pixels[pixels == 7] = 8
    pixels[60:110, 50:120] = 7
    path = pictures.geotiff(tmp_path / "x.tif", pixels, nodata=7)
    found = map_raster(lenet, path, tmp_path / "x.zarr", preprocess="signed", missing=0.25, memory=240 << 20)
    gone = pixels[:, :, 0] == 7
    values = (pixels.astype(np.float32) * np.float32(2 / 255) - 1).transpose(2, 0, 1)[None]
    values[:, :, gone] = 0
    expected = lenet.cast().run(values)["prob"][0]
    scores = np.asarray(found.scores)
    for row in range(found.grid.rows):
        for col in range(found.grid.cols):
            share = gone[4 * row : 4 * row + 28, 4 * col : 4 * col + 28].mean()
            answer = scores[:, row, col]
            if share > 0.25:
                assert np.isnan(answer).all()
            else:
                np.testing.assert_allclose(answer, expected[:, row, col], atol=NOISE)
    assert found.record.left_out == np.isnan(np.asarray(found.scores)[0]).sum()


def test_where_a_mask_says(lenet: Model, tmp_path: Path) -> None:
    image = pictures.scene(400, 360, 1)
    mask = Image.new("L", (90, 100))
    ImageDraw.Draw(mask).ellipse((20, 30, 70, 80), fill=255)
    mask.save(tmp_path / "mask.png")
    found = map_raster(
        lenet, image, tmp_path / "x.zarr", preprocess="unit", where=tmp_path / "mask.png", memory=230 << 20
    )
    whole = map_image(lenet, image, preprocess="unit")
    inside = np.asarray(mask) > 0
    scores = np.asarray(found.scores)
    for row in range(found.grid.rows):
        for col in range(found.grid.cols):
            x, y = found.centre(row, col)
            answer = scores[:, row, col]
            if inside[int((y + 0.5) / 4), int((x + 0.5) / 4)]:
                np.testing.assert_allclose(answer, whole.scores[:, row, col], atol=NOISE)
            else:
                assert np.isnan(answer).all()
    assert 0 < found.record.left_out < found.grid.rows * found.grid.cols


@pytest.mark.parametrize("placed", [False, True])
def test_where_polygons_say(lenet: Model, placed: bool, tmp_path: Path) -> None:
    pixels = pictures.scene(300, 360, 1)
    corners = np.array([(50, 40), (250, 60), (200, 220), (90, 200), (50, 40)], float)
    hole = np.array([(120, 100), (160, 100), (160, 150), (120, 150), (120, 100)], float)
    image = pictures.geotiff(tmp_path / "x.tif", pixels) if placed else pixels
    rings = [corners, hole]
    if placed:
        rings = [np.stack([500_000 + 10 * r[:, 0], 4_600_000 - 10 * r[:, 1]], 1) for r in rings]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [r.tolist() for r in rings]},
    }
    (tmp_path / "w.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    found = map_raster(
        lenet, image, tmp_path / "x.zarr", preprocess="unit", where=tmp_path / "w.geojson", memory=230 << 20
    )
    drawn = Image.new("L", (3600, 3000))
    ImageDraw.Draw(drawn).polygon([tuple(p) for p in corners * 10], fill=1)
    ImageDraw.Draw(drawn).polygon([tuple(p) for p in hole * 10], fill=0)
    expected = np.asarray(drawn)[135 + 5 :: 40, 135 + 5 :: 40][: found.grid.rows, : found.grid.cols] > 0
    answered = ~np.isnan(np.asarray(found.scores)[0])
    assert (answered != expected).mean() < 0.01  # pixels of the drawing at the polygon's edge
    far = tmp_path / "far.geojson"
    far.write_text(json.dumps({"type": "Polygon", "coordinates": [(rings[0] + 1e7).tolist()]}))
    with pytest.raises(BadInput, match="no polygon lies on the image"):
        map_raster(lenet, image, tmp_path / "y.zarr", where=far)


def test_where_the_image_is_not_blank(quick: Model, tmp_path: Path) -> None:
    """Glass, paper and what no scanner saw are left out by the rule that is documented."""
    pixels = np.full((400, 360, 3), 238, np.uint8)
    pixels[:, 300:] = 0
    pixels[100:250, 80:200] = pictures.scene(150, 120)
    found = map_raster(quick, pixels, tmp_path / "x.zarr", preprocess="caffe", where="auto", memory=240 << 20)
    whole = map_image(quick, pixels, preprocess="caffe")
    low, high = pixels.min(axis=2), pixels.max(axis=2)
    empty = ((low >= 220) & (high - low <= 16)) | (high <= 8)
    scores = np.asarray(found.scores)
    for row in range(found.grid.rows):
        for col in range(found.grid.cols):
            x, y = (
                round(place - 7.5) for place in found.grid.centre(row, col)
            )  # its own square: 16 px around its centre
            share = 1 - empty[y : y + 16, x : x + 16].mean()
            answer = scores[:, row, col]
            if share < 0.1:
                assert np.isnan(answer).all()
            else:
                np.testing.assert_allclose(answer, whole.scores[:, row, col], atol=5e-6)
    assert found.record.left_out > found.grid.rows * found.grid.cols / 2
    half = map_raster(quick, pixels, tmp_path / "half.zarr", preprocess="caffe", where="auto:0.5")
    assert found.record.left_out < half.record.left_out
    with pytest.raises(BadInput, match=r"a share of a cell's own square above 0 and up to 1"):
        map_raster(quick, pixels, tmp_path / "no.zarr", preprocess="caffe", where="auto:0")


def test_a_level_of_a_slide(quick: Model, tmp_path: Path) -> None:
    """Cells are told in pixels of the finest level, whichever the network reads."""
    path = pictures.svs(tmp_path / "slide.svs", pictures.scene(1200, 1000))
    found = map_raster(quick, path, tmp_path / "x.zarr", preprocess="caffe", level=1)
    import openslide

    with openslide.OpenSlide(str(path)) as slide:
        pixels = np.asarray(slide.read_region((0, 0), 1, (250, 300)))[:, :, :3]
    np.testing.assert_allclose(np.asarray(found.scores), map_image(quick, pixels, preprocess="caffe").scores, atol=5e-6)
    assert found.grid.image == (1200, 1000)
    assert found.box(1, 2) == (64, 32, 192, 160)
    assert found.record.pixel_size == (0.5, 0.5)


def test_bands_that_do_not_fit(quick: Model, tmp_path: Path) -> None:
    path = pictures.geotiff(tmp_path / "x.tif", pictures.scene(100, 100, 5))
    with pytest.raises(
        BadInput, match=r"has 5 bands and the network takes 3; choose with --bands \(bands=\), 1,2,3 say"
    ):
        map_raster(quick, path, tmp_path / "x.zarr")
    found = map_raster(quick, path, tmp_path / "x.zarr", bands="3,2,1", preprocess="unit")
    same(found, map_image(quick, pictures.scene(100, 100, 5)[:, :, [2, 1, 0]], preprocess="unit"), 5e-6)


def test_answers_that_are_no_numbers_name_their_layer(lenet: Model, tmp_path: Path) -> None:
    network = h.network(h.LENET)
    network.weights["conv2"][0][0, 0, 0, 0] = np.nan
    model = Model(network, Caffe())
    with pytest.raises(BadInput, match="from layer conv2 on"):
        map_raster(model, pictures.scene(100, 100, 1), tmp_path / "x.zarr")


def test_crops_of_a_network_that_cannot_be_cast(tmp_path: Path) -> None:
    """What attends to the whole of its crop still gets a map of any size, crop by crop."""
    torch.manual_seed(0)
    model = load(nets.REFUSED["attention"][0]().eval(), input_shape=nets.SHAPE)
    image = pictures.scene(300, 260)  # so large that a megabyte, which budgets are told in, does not hold it
    how = {"by": "crops", "stride": 8, "preprocess": "unit"}
    found = map_raster(model, image, tmp_path / "x.zarr", memory=_least(model, image, **how), **how)
    assert len(found.record.tiles) > 1
    same(found, map_image(model, image, **how), 1e-5)


def test_an_image_below_one_crop(lenet: Model, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="smaller than one crop"):
        map_raster(lenet, pictures.scene(20, 100, 1), tmp_path / "x.zarr")


def test_events(lenet: Model, tmp_path: Path) -> None:
    seen = []
    map_raster(
        lenet,
        pictures.scene(300, 300, 1),
        tmp_path / "x.zarr",
        memory=220 << 20,
        report=lambda event, what: seen.append((event, dict(what))),
    )
    kinds = [event for event, _ in seen]
    assert kinds[0] == "plan"
    assert kinds[-2:] == ["levels", "done"]
    tiles = [what for event, what in seen if event == "tile"]
    assert len(tiles) == seen[0][1]["tiles"]
    assert [t["done"] for t in tiles] == list(range(1, len(tiles) + 1))
    assert tiles[-1]["seconds_left"] == 0
    assert all(t["megapixels_per_second"] > 0 and t["peak_bytes"] > 0 for t in tiles)
    json.dumps(seen)


def test_a_plan_reads_no_pixel(tmp_path: Path) -> None:
    """Ten gigapixels that are not even on the disk are planned in the time of a header."""
    path = tmp_path / "x.npy"
    header = np.lib.format.header_data_from_array_1_0(np.zeros((0, 100_000), np.uint8))
    header["shape"] = (100_000, 100_000)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 10**10)  # a hole
    plan = plan_raster(runs.digits(), path, preprocess="unit", memory=1 << 30)
    assert plan.tiles.peak_bytes <= 1 << 30
    assert plan.tiles.waste < 0.1
    assert plan.grid.rows == (100_000 - 32) // 4 + 1
    assert "predicted peak memory" in str(plan)
    assert fullconv.plan_raster is plan_raster
