"""verify reads an image as map does, at any resolution and in any part, and never whole: held against runs by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from benchmarks.scene import sparse_npy
from PIL import Image
from torch import nn

import fullconv
from fullconv.errors import BadInput
from fullconv.model import Model
from fullconv.rasters.view import Selection, View, read_image
from fullconv.reports.verification import html_report
from fullconv.stream import plan as plans
from fullconv.system.memory import resident_bytes
from fullconv.trust.blame import blame
from fullconv.trust.pictures import difference_picture, winners_picture
from fullconv.trust.verified import Report
from fullconv.trust.verify import verify
from tests.rasters.pictures import geotiff, ome_zarr, scene, svs

CROP, STEP, MPP = 24, 4, 0.5


@pytest.fixture(autouse=True)
def _small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_planned_base", lambda *_: 180 << 20)


def module(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 36, 5),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def padded() -> Model:
    """No cell of its map equals its crop but by chance."""
    return fullconv.load(module(), input_shape=(3, CROP, CROP))


def by_hand(pixels: np.ndarray, net: nn.Sequential | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Map and crops of (H, W, C) pixels on 0..255, by PyTorch alone: (rows, cols, classes) each."""
    net = net or module(pixels.shape[2])
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        maps = net[:6](x)
        weights = net[7].weight.reshape(5, 8, 6, 6)
        mapped = torch.nn.functional.conv2d(maps, weights, net[7].bias)[0].permute(1, 2, 0)
        every = x[0].unfold(1, CROP, STEP).unfold(2, CROP, STEP).permute(1, 2, 0, 3, 4)
        rows, cols = every.shape[:2]
        crops = torch.cat([net(part) for part in every.reshape(-1, *every.shape[2:]).split(256)])
    return mapped[:rows, :cols].numpy(), crops.reshape(rows, cols, 5).numpy()


def require_as_by_hand(report: Report, pixels: np.ndarray) -> None:
    mapped, crops = by_hand(pixels)
    assert mapped.shape[:2] == (report.grid.rows, report.grid.cols)
    rows, cols = report.at.T
    gaps = np.abs(mapped - crops)
    np.testing.assert_allclose(report.gaps, gaps.max(axis=2)[rows, cols], atol=2e-6)
    assert report.gaps.max() > 1e-3
    alike = mapped.argmax(2) == crops.argmax(2)
    assert report.agree == int(alike[rows, cols].sum())
    assert report.mean == pytest.approx(gaps[rows, cols].mean(), abs=1e-6)
    np.testing.assert_array_equal(report.winners, mapped.argmax(2)[rows, cols])
    for i, label in enumerate(report.labels):
        assert report.by_class[label] == pytest.approx(gaps[rows, cols, i].max(), abs=2e-6)


def test_a_level_of_a_slide(padded: Model, tmp_path: Path) -> None:
    slide = svs(tmp_path / "x.svs", scene(400, 600), MPP)
    report = verify(padded, slide, preprocess="unit", level=1, cells=60)
    require_as_by_hand(report, tifffile.imread(slide, key=1))
    assert report.compared == 60
    assert report.grid.image == (400, 600)  # boxes are in pixels of the finest level
    assert float(report.grid.stride[0]) == 4 * STEP
    finest = verify(padded, slide, preprocess="unit", cells=60)
    assert finest.cells > report.cells


def test_between_levels(padded: Model, tmp_path: Path) -> None:
    store = ome_zarr(tmp_path / "x.zarr", scene(160, 200), mpp=0.25)
    report = verify(padded, store, preprocess="unit", mpp=0.35)
    require_as_by_hand(report, read_image(store, Selection(mpp=0.35)))
    assert report.compared == report.cells


def test_bands_in_the_networks_order_and_pixels_without_data(padded: Model, tmp_path: Path) -> None:
    pixels = scene(150, 170, 5)
    pixels[:, 80:] = 0
    image = geotiff(tmp_path / "x.tif", pixels, nodata=0)
    report = verify(padded, image, preprocess="unit", bands="5,1,3", cells=50)
    shown = pixels[:, :, [4, 0, 2]]
    require_as_by_hand(report, shown)
    left, right = report.at[:, 1] * STEP, report.at[:, 1] * STEP + CROP
    assert ((np.clip(right - 80, 0, None)) / (right - left) <= 0.5).all()
    assert report.drawn > report.compared == 50
    assert "looked at" in str(report)
    sure = verify(padded, image, preprocess="unit", bands="5,1,3", cells=50, missing=0)
    assert (sure.at[:, 1] * STEP + CROP <= 80).all()


@pytest.mark.parametrize("kind", ["picture", "polygon", "auto"])
def test_only_what_where_admits(padded: Model, tmp_path: Path, kind: str) -> None:
    pixels = scene(160, 200)
    if kind == "auto":
        pixels[:, 100:] = 240
    image = tmp_path / "x.tif"
    tifffile.imwrite(image, pixels, photometric="rgb")
    where = {"picture": tmp_path / "mask.png", "polygon": tmp_path / "area.geojson", "auto": "auto"}[kind]
    if kind == "picture":
        mask = np.zeros((160, 200), np.uint8)
        mask[:, :100] = 255
        Image.fromarray(mask).save(where)
    elif kind == "polygon":
        ring = [[0, 0], [100, 0], [100, 160], [0, 160], [0, 0]]
        Path(where).write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    report = verify(padded, image, preprocess="unit", where=where, cells=200)
    require_as_by_hand(report, pixels)
    mapped = fullconv.map_raster(padded, image, tmp_path / "x.zarr", preprocess="unit", where=where)
    rows, cols = report.at.T
    np.testing.assert_array_equal(mapped.top1[rows, cols], report.winners)  # so that none of them is left out there
    assert len({tuple(cell) for cell in report.at.tolist()}) == 200
    every = verify(padded, image, preprocess="unit", where=where)
    assert every.compared == int((mapped.top1 >= 0).sum())


def test_an_area_without_a_cell_is_told(padded: Model, tmp_path: Path) -> None:
    image = tmp_path / "x.png"
    Image.fromarray(np.full((120, 120, 3), 250, np.uint8)).save(image)
    with pytest.raises(BadInput, match=r"none of the .* cells .* has an answer"):
        verify(padded, image, preprocess="unit", where="auto", cells=5)
    with pytest.raises(BadInput, match="none of the"):
        blame(padded, image, preprocess="unit", where="auto", cells=5)


def test_what_an_image_leads_to_is_asked_for(padded: Model, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    pixels = scene(80, 90)
    geotiff(tmp_path / "other" / "x.tif", pixels)
    source = tmp_path / "other" / "x.tif"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>{i}</SourceBand>'
        '<SrcRect xOff="0" yOff="0" xSize="90" ySize="80"/><DstRect xOff="0" yOff="0" xSize="90" ySize="80"/></SimpleSource></VRTRasterBand>'
        for i in (1, 2, 3)
    )
    (tmp_path / "own").mkdir()
    mosaic = tmp_path / "own" / "x.vrt"
    mosaic.write_text(f'<VRTDataset rasterXSize="90" rasterYSize="80">{bands}</VRTDataset>')
    with pytest.raises(BadInput, match="trust"):
        verify(padded, mosaic, preprocess="unit", cells=5)
    require_as_by_hand(verify(padded, mosaic, preprocess="unit", cells=5, trust=True), pixels)
    assert blame(padded, mosaic, preprocess="unit", cells=2, trust=True).left < 1e-6


def test_one_image_of_several(padded: Model, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    pixels = scene(80, 90)
    for name, part in (("a", pixels), ("b", pixels[::-1])):
        group.create_array(name, data=np.ascontiguousarray(part))
    report = verify(padded, tmp_path / "x.zarr", preprocess="unit", subdataset="b", cells=20)
    require_as_by_hand(report, pixels[::-1])
    assert "largest" in html_report([report], "net")


def seen_pixels(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """How many pixels are read while a test runs, all in all and at once."""
    areas: list[int] = []
    read = View.read

    def counted(view: View, rows: tuple[int, int], cols: tuple[int, int]):
        areas.append((rows[1] - rows[0]) * (cols[1] - cols[0]))
        return read(view, rows, cols)

    monkeypatch.setattr(View, "read", counted)
    return lambda: (sum(areas), max(areas))


def test_of_a_big_image_what_is_compared_is_read_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = fullconv.load(module(1), input_shape=(1, CROP, CROP))
    image = sparse_npy(tmp_path / "x.npy", 16_000, 16_000)
    rng = np.random.default_rng(0)
    file = np.lib.format.open_memmap(image, mode="r+")
    file[-160:, -180:] = rng.integers(0, 256, (160, 180), np.uint8)
    file.flush()
    read = seen_pixels(monkeypatch)
    memory = resident_bytes() + (450 << 20)  # beside what other tests hold in this process
    report = verify(grey, image, preprocess="unit", cells=8, memory=memory)
    assert (report.cells, report.compared) == (3995**2, 8)
    total, largest = read()
    assert total < 20e6
    assert largest < 2e6
    ring = [[15_880, 15_880], [16_000, 15_880], [16_000, 16_000], [15_880, 16_000], [15_880, 15_880]]
    (tmp_path / "area.json").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    report = verify(grey, image, preprocess="unit", cells=12, memory=memory, where=tmp_path / "area.json")
    top, left = 16_000 - 160, 16_000 - 180
    mapped, crops = by_hand(np.asarray(file[top:, left:])[:, :, None])
    rows, cols = report.at[:, 0] - top // STEP, report.at[:, 1] - left // STEP
    assert rows.min() > 3
    np.testing.assert_allclose(report.gaps, np.abs(mapped - crops).max(axis=2)[rows, cols], atol=2e-6)
    assert winners_picture(report).size[1] < 3000
    assert difference_picture(report).size[1] < 3000


def test_a_memory_that_holds_no_crop_is_told(padded: Model, tmp_path: Path) -> None:
    image = sparse_npy(tmp_path / "x.npy", 3000, 3000)
    with pytest.raises(BadInput, match="memory"):
        verify(padded, image, preprocess="unit", cells=5, memory=10 << 20)


def test_a_network_that_pools_the_whole_image_is_run_on_all_of_it(tmp_path: Path) -> None:
    torch.manual_seed(1)

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return self.head((y * torch.sigmoid(y.mean((2, 3), keepdim=True))).flatten(1))

    model = fullconv.load(Gated().eval(), input_shape=(3, 8, 8), global_pooling="global")
    image = scene(30, 33)
    report = verify(model, image, preprocess="unit")
    by_map = fullconv.map(model, image, preprocess="unit").scores
    by_crops = fullconv.map(model, image, preprocess="unit", by="crops").scores
    np.testing.assert_allclose(report.differences, np.abs(by_map - by_crops).max(axis=0), atol=1e-6)
    assert report.largest > 1e-3
    with pytest.raises(BadInput, match="pools the whole image"):
        verify(model, sparse_npy(tmp_path / "x.npy", 9000, 9000), preprocess="unit", cells=3, memory=400 << 20)


def test_a_stride_of_its_own(padded: Model) -> None:
    image = scene(60, 64)
    for finer in ("dilation", "shifts"):
        report = verify(padded, image, preprocess="unit", stride=2, finer=finer)
        by_map = fullconv.map(padded, image, preprocess="unit", stride=2, finer=finer).scores
        by_crops = fullconv.map(padded, image, preprocess="unit", stride=2, by="crops").scores
        np.testing.assert_allclose(report.differences, np.abs(by_map - by_crops).max(axis=0), atol=2e-6)
