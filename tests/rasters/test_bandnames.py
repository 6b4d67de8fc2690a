"""Bands by name: what a band is called finds it, wherever it lies, and nothing is taken by its place where names say another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

import fullconv
from fullconv.errors import BadInput
from fullconv.rasters.bandnames import contradiction, places_of
from fullconv.rasters.view import Selection, View, parse_bands
from tests.cards.carded import SIDE, net
from tests.conftest import worst

SENTINEL = ("B02", "B03", "B04", "B08", "B8A", "B11")
GDALS = (
    "B4, central wavelength 665 nm",
    "B3, central wavelength 560 nm",
    "B2, central wavelength 490 nm",
    "B8, central wavelength 842 nm",
)


@pytest.mark.parametrize(
    ("wanted", "names", "places"),
    [
        (("B04", "B03", "B02"), SENTINEL, (3, 2, 1)),
        (("red", "green", "blue", "nir"), SENTINEL, (3, 2, 1, 4)),
        (("b4", "Band 8A", "swir1"), SENTINEL, (3, 5, 6)),
        (("RED", "B8"), GDALS, (1, 4)),
        (("red", "nir"), ("Blue", "Green", "Red", "Near-Infrared"), (3, 4)),
        (("B04",), ("blue", "green", "red"), (3,)),  # two digits: Sentinel-2's, which is red
        (("DAPI", "CD3"), ("CD3", "dapi"), (2, 1)),
        (("B4",), ("SR_B2", "SR_B3", "SR_B4", "SR_B5"), (3,)),
        (("red",), ("B02 (blue)", "B04 (red)"), (2,)),
        ((2, "red"), ("red", "green"), (2, 1)),
        (("Red", "red"), ("Red", "red"), None),
        (("red",), ("B2", "B3", "B4"), None),  # Landsat's 5 has red at 3, Landsat's 8 at 4
        (("nir",), ("B02", "B03", "B05"), None),
        (("red",), ("", "", ""), None),
        (("red",), (), None),
        (("swir2",), SENTINEL, None),
    ],
)
def test_places(wanted: tuple[int | str, ...], names: tuple[str, ...], places: tuple[int, ...] | None) -> None:
    if places is not None:
        assert places_of(wanted, names, "x") == places
        return
    with pytest.raises(BadInput, match=r"has no band that is|has several bands that are|does not name its bands"):
        places_of(wanted, names, "x")


def test_what_is_missing_is_told_with_what_there_is() -> None:
    with pytest.raises(
        BadInput, match=r"scene\.tif: has no band that is 'swir2'; its bands are 1 'B02', 2 'B03', 3 'B04'"
    ):
        places_of(("swir2",), SENTINEL, "scene.tif")
    assert "blue, green, red" in contradiction(("blue", "green", "red"))
    assert "B02, B03, B04" in contradiction(("B02", "B03", "B04"))
    for fine in (
        ("red", "green", "blue"),
        ("B04", "B03", "B02"),
        ("a", "b", "c"),
        ("blue", "green", "red", "nir"),
        ("B2", "B3", "B4"),
        (),
    ):
        assert contradiction(fine) == ""


@pytest.mark.parametrize("given", ["", "red,,blue", (), ("",)])
def test_bands_that_are_none(given: object) -> None:
    with pytest.raises(BadInput, match="bands"):
        parse_bands(given)
    assert parse_bands("3, red ,B8A") == (3, "red", "B8A")
    assert parse_bands(None) is None


def geotiff(path: Path, planes: np.ndarray, names: tuple[str | None, ...], **more: object) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=planes.shape[2],
        height=planes.shape[1],
        count=len(planes),
        dtype=planes.dtype,
        **more,
    ) as file:
        file.write(planes)
        for i, name in enumerate(names, 1):
            if name:
                file.set_band_description(i, name)


@pytest.fixture
def planes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 24, 32), np.uint8)


def seen(path: Path, bands: tuple[int | str, ...] | None) -> np.ndarray:
    with closing(View(path, Selection(bands=bands))) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))[0]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_each_kind_of_file(tmp_path: Path, planes: np.ndarray) -> None:
    swapped = np.stack([planes[2], planes[1], planes[0]], axis=2)
    rasterio = pytest.importorskip("rasterio")
    placed = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5000000)}
    for more in ({}, placed):  # read by tifffile, and by GDAL
        geotiff(tmp_path / "scene.tif", planes, ("B02", "B03", "B04", "B08"), **more)
        assert np.array_equal(seen(tmp_path / "scene.tif", ("red", "green", "blue")), swapped)
        assert np.array_equal(seen(tmp_path / "scene.tif", ("B04", "B03", "B02")), swapped)
        assert np.array_equal(
            seen(tmp_path / "scene.tif", ("nir",))[:, :, 0], planes[3]
        )  # which GDAL writes as transparency
        geotiff(tmp_path / "plain.tif", planes, (), **more)
        assert seen(tmp_path / "plain.tif", None).shape[2] == 3  # as nobody says what it is, it still is that
        assert seen(tmp_path / "plain.tif", ("blue",)).shape[2] == 1
        geotiff(tmp_path / "masked.tif", planes, ("red", "green", "blue", "alpha"), **more)
        assert np.array_equal(seen(tmp_path / "masked.tif", None), seen(tmp_path / "plain.tif", None))
    tifffile = pytest.importorskip("tifffile")
    channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD3", "CD8", "PanCK"]}}
    tifffile.imwrite(tmp_path / "cells.ome.tif", planes, photometric="minisblack", metadata=channels)
    assert np.array_equal(seen(tmp_path / "cells.ome.tif", ("PanCK", "DAPI"))[:, :, 0], planes[3])
    assert np.array_equal(seen(tmp_path / "cells.ome.tif", ("pan-ck", "dapi"))[:, :, 1], planes[0])
    group = zarr.create_group(tmp_path / "cells.zarr", zarr_format=3)
    group.create_array("0", data=planes, chunks=(1, 16, 16))
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["ome"] = {
        "version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]}],
        "omero": {"channels": [{"label": name} for name in ("DAPI", "CD3", "CD8", "PanCK")]},
    }  # fmt: skip
    assert np.array_equal(seen(tmp_path / "cells.zarr", ("CD8",))[:, :, 0], planes[2])
    Image.fromarray(planes[:3].transpose(1, 2, 0).copy()).save(tmp_path / "photo.png")
    assert np.array_equal(seen(tmp_path / "photo.png", ("blue",))[:, :, 0], planes[2])
    for name in ("scene.tif", "cells.ome.tif", "cells.zarr", "photo.png"):
        with pytest.raises(BadInput, match=r"has no band that is 'thermal'; its bands are 1 '"):
            seen(tmp_path / name, ("thermal",))
    np.save(tmp_path / "bare.npy", planes.transpose(1, 2, 0))
    with pytest.raises(BadInput, match="does not name its bands, so that 'red' is not found; give their numbers"):
        seen(tmp_path / "bare.npy", ("red",))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_card_finds_its_bands(tmp_path: Path, planes: np.ndarray) -> None:
    """The map of a scene in another order of bands is the map of the scene in the network's."""
    fullconv.load(net(), input_shape=(3, SIDE, SIDE)).save(tmp_path / "net.onnx")
    (tmp_path / "card.toml").write_text(
        f'network = "net.onnx"\ninput_shape = [3, {SIDE}, {SIDE}]\npreprocess = "unit"\nbands = ["red", "green", "blue"]'
    )
    geotiff(tmp_path / "scene.tif", planes, ("B02", "B03", "B04", "B08"))
    model = fullconv.load(tmp_path / "net.onnx", input_shape=(3, SIDE, SIDE))
    expected = fullconv.map(model, planes[[2, 1, 0]].transpose(1, 2, 0).copy(), preprocess="unit")
    notes: list[str] = []
    for found in (
        fullconv.map(tmp_path / "card.toml", tmp_path / "scene.tif", notes=notes.append),
        fullconv.map_raster(tmp_path / "card.toml", tmp_path / "scene.tif", tmp_path / "out.zarr"),
        fullconv.map(model, tmp_path / "scene.tif", preprocess="unit", bands="red,green,blue"),
    ):
        assert worst(np.asarray(found.scores[:, :, :]), expected.scores) < 1e-6
    assert not any("bands" in note for note in notes)
    geotiff(tmp_path / "three.tif", planes[:3], ("B02", "B03", "B04"))
    fullconv.map(model, tmp_path / "three.tif", preprocess="unit", notes=notes.append)
    assert any("names its bands B02, B03, B04, and they go in in this order" in note for note in notes)
    geotiff(tmp_path / "odd.tif", planes, ("B1", "B2", "B3", "B4"))
    with pytest.raises(BadInput, match="has no band that is 'red'"):
        fullconv.map(tmp_path / "card.toml", tmp_path / "odd.tif")
    (tmp_path / "bad.toml").write_text('network = "net.onnx"\nbands = [1, true]')
    with pytest.raises(BadInput, match="not a list of whole numbers or names"):
        fullconv.load(tmp_path / "bad.toml")
