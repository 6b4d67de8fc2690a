"""What holds no data and what is transparent, by each of the ways in which an image may say so, against what was written."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile

from fullconv.rasters.view import Selection, View
from tests.rasters import pictures


def seen(path: Path, select: Selection | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    with closing(View(path, select)) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))


@pytest.mark.parametrize("big", ["NO", "YES"])
@pytest.mark.parametrize("written", ["by GDAL", "by tifffile"])
@pytest.mark.parametrize("kind", ["straight", "premultiplied"])
def test_colours_are_laid_over_white_once(kind: str, written: str, big: str, tmp_path: Path) -> None:
    """A pixel of which half is there: half its colour and half white, whether the file's colours are multiplied by that already or not."""
    colour, share = np.array([100, 50, 20]), 128 / 255
    pixels = np.zeros((96, 96, 4), np.uint8)
    pixels[...] = (*colour, 128)
    path = tmp_path / "x.tif"
    if written == "by GDAL":
        height, width, bands = pixels.shape
        how = {"straight": "YES", "premultiplied": "PREMULTIPLIED"}[kind]
        profile = {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": bands,
            "dtype": "uint8",
            "crs": "EPSG:32631",
        }
        with rasterio.open(
            path, "w", **profile, transform=pictures.PLACE, photometric="rgb", ALPHA=how, BIGTIFF=big
        ) as file:
            file.write(pixels.transpose(2, 0, 1))
    else:
        extra = {"straight": "unassalpha", "premultiplied": "assocalpha"}[kind]
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=[extra], tile=(32, 32), bigtiff=big == "YES")
    found, missing = seen(path)
    own = colour * share if kind == "straight" else colour
    np.testing.assert_array_equal(found, np.broadcast_to(np.rint(own + 255 * (1 - share)), (96, 96, 3)))
    assert missing is None


def test_a_value_and_numbers_that_are_none_are_missing_both(tmp_path: Path) -> None:
    values = np.full((32, 32, 3), 80, np.float32)
    values[2:5, 3:9] = -9999
    values[10, 11] = np.nan
    values[12, 13, 1] = np.inf  # in one band: what is made of the others would be no number either
    values[14, 15, 0] = -9999  # in one band: the others hold something
    found, missing = seen(pictures.geotiff(tmp_path / "x.tif", values, nodata=-9999))
    expected = np.zeros((32, 32), bool)
    expected[2:5, 3:9] = expected[10, 11] = expected[12, 13] = True
    np.testing.assert_array_equal(missing, expected)
    np.testing.assert_array_equal(found, np.where(expected[:, :, None], 0, values))


def test_a_value_and_transparency_are_missing_both(tmp_path: Path) -> None:
    values = np.full((32, 32, 4), (100, 60, 20, 255), np.uint8)
    values[2:5, 3:9, :3] = 7
    values[20:22, :, 3] = 0
    found, missing = seen(pictures.geotiff(tmp_path / "x.tif", values, alpha=True, nodata=7))
    expected = np.zeros((32, 32), bool)
    expected[2:5, 3:9] = expected[20:22] = True
    np.testing.assert_array_equal(missing, expected)
    assert (found[~expected] == (100, 60, 20)).all()


def test_pixels_behind_a_mask_are_missing_and_stay_as_they_are_stored(tmp_path: Path) -> None:
    pixels = pictures.scene()[:64, :64]
    held = np.ones((64, 64), bool)
    held[10:20, 30:50] = False
    path = pictures.geotiff(tmp_path / "x.tif", pixels)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(held)
    found, missing = seen(path)
    np.testing.assert_array_equal(missing, ~held)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("nodata", [7.5, np.nan, np.inf, -1, 256, 1e20])
def test_a_value_that_no_pixel_can_have_marks_none(nodata: float, tmp_path: Path) -> None:
    pixels = np.full((32, 32, 3), 7, np.uint8)
    pixels[5] = 255
    found, missing = seen(pictures.geotiff(tmp_path / "x.tif", pixels), Selection(nodata=nodata))
    assert missing is None
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("size", [(96, 300), (300, 96), (1, 300), (300, 1), (40, 30)])
def test_a_small_picture_is_no_larger_than_asked_for(size: tuple[int, int], tmp_path: Path) -> None:
    """Its longer side has so many pixels, or those of the image where that has fewer; the shorter one its share."""
    pixels = pictures.scene(*size)
    with closing(View(pictures.geotiff(tmp_path / "x.tif", pixels))) as view:
        found = view.overview(64)
    assert found is not None
    factor = max(1, max(size) / 64)
    assert found.shape == (*(max(1, round(side / factor)) for side in size), 3)
    assert abs(found.mean() - pixels.mean()) < 2
