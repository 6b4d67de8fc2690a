"""Every kind of image gives the pixels that were written, window by window, and says what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from PIL import Image

from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters import open as opening
from fullconv.rasters.source import Source, Unreadable
from fullconv.rasters.view import Selection, View, parse_bands, read_image
from tests.rasters import pictures

SCENE = pictures.scene()
_opened: list = []


@pytest.fixture(autouse=True)
def _closed():
    yield
    while _opened:
        _opened.pop().close()


def open_source(image) -> Source:
    _opened.append(opening.open_source(image))
    return _opened[-1]


def view_of(image, select: Selection | None = None) -> View:
    _opened.append(View(image, select))
    return _opened[-1]


def pixels_of(source: Source, rows, cols, level: int = 0) -> np.ndarray:
    return source.read(level, rows, cols, range(source.about.bands)).pixels


WINDOWS = [
    ((0, 700), (0, 900)),
    ((0, 10), (0, 10)),
    ((255, 513), (250, 770)),
    ((690, 700), (0, 900)),
    ((100, 101), (899, 900)),
]


def written(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind.startswith("geo"):
        return pictures.geotiff(path.with_suffix(".tif"), SCENE)
    if kind == "strips.tif":
        return pictures.geotiff(path, SCENE, tiled=False, blockysize=1)
    if kind == "planar.tif":
        return pictures.geotiff(path, SCENE, interleave="band")
    if kind == "scene.vrt":
        pictures.geotiff(folder / "under.tif", SCENE)
        from rasterio.shutil import copy

        copy(folder / "under.tif", path, driver="VRT")
        return path
    if kind == "scene.jp2":
        plain = pictures.geotiff(folder / "plain.tif", SCENE)
        from rasterio.shutil import copy

        copy(plain, path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")
        return path
    if kind == "plain.tif":
        tifffile.imwrite(path, SCENE, tile=(128, 128), photometric="rgb", compression="deflate")
        return path
    if kind == "rows.tif":
        tifffile.imwrite(path, SCENE, photometric="rgb", compression="deflate", rowsperstrip=16)
        return path
    if kind == "scene.ome.tif":
        return pictures.ome_tiff(path, SCENE)
    if kind in ("four.zarr", "five.zarr"):
        return pictures.ome_zarr(path, SCENE, {"four.zarr": "0.4", "five.zarr": "0.5"}[kind])
    if kind == "array.zarr":
        zarr.create_array(path, data=SCENE, chunks=(100, 100, 3))
        return path
    if kind == "scene.npy":
        np.save(path, SCENE)
        return path
    return pictures.png(path, SCENE)


KINDS = [
    "geo.tif", "strips.tif", "planar.tif", "scene.vrt", "scene.jp2", "plain.tif", "rows.tif", "scene.ome.tif", "four.zarr", "five.zarr",
    "array.zarr", "scene.npy", "scene.png", "scene.bmp",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_windows(kind: str, tmp_path: Path) -> None:
    source = open_source(written(kind, tmp_path))
    assert source.about.size == (700, 900)
    assert source.about.bands == 3
    for rows, cols in WINDOWS:
        np.testing.assert_array_equal(pixels_of(source, rows, cols), SCENE[slice(*rows), slice(*cols)])
        some = source.read(0, rows, cols, (2, 0)).pixels
        np.testing.assert_array_equal(some, SCENE[slice(*rows), slice(*cols)][:, :, [2, 0]])


@pytest.mark.parametrize("kind", ["strips.tif", "scene.png", "rows.tif"])
def test_what_is_stored_in_rows_is_decoded_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_HELD", 1000)  # as a picture too large to hold
    source = open_source(written(kind, tmp_path))
    assert source.about.in_rows
    inner, read = source._source._source, []  # the rows' own, behind the boundary
    original = inner.read

    def counting(level, rows, cols, bands):
        read.append(rows)
        return original(level, rows, cols, bands)

    inner.read = counting
    for top in range(0, 700, 90):  # tiles overlap by 20 rows, as halos do
        rows = top, min(700, top + 110)
        for left in range(0, 900, 300):
            found = pixels_of(source, rows, (left, left + 300))
            np.testing.assert_array_equal(found, SCENE[slice(*rows), left : left + 300])
    assert sum(stop - start for start, stop in read) == 700
    np.testing.assert_array_equal(pixels_of(source, (5, 9), (0, 4)), SCENE[5:9, :4])


def test_a_slide(tmp_path: Path) -> None:
    path = pictures.svs(tmp_path / "slide.svs", SCENE)
    view = view_of(path)
    about = view.about
    assert about.pixel_size == (0.5, 0.5)
    assert about.unit == "micrometer"
    assert [(level.height, level.width) for level in about.levels] == [(700, 900), (175, 225), (43, 56)]
    found, missing = view.read((100, 400), (200, 500))
    assert missing is None
    decoded = tifffile.imread(path, key=0).astype(int)
    assert np.abs(found - decoded[100:400, 200:500]).max() <= 2  # two builds of one decoder
    assert np.abs(decoded - SCENE).mean() < 8
    coarse = view_of(path, Selection(level=1))
    assert coarse.size == (175, 225)
    pixels, _ = coarse.read((0, 175), (0, 225))
    assert np.abs(pixels - tifffile.imread(path, key=1).astype(int)).max() <= 2


@pytest.mark.parametrize(("mpp", "size"), [(0.25, (700, 900)), (0.5, (350, 450)), (1.0, (175, 225)), (0.4, (438, 562))])
def test_mpp_takes_the_level_that_has_it_or_resamples_a_finer_one(
    mpp: float, size: tuple[int, int], tmp_path: Path
) -> None:
    view = view_of(pictures.ome_zarr(tmp_path / "x.zarr", SCENE), Selection(mpp=mpp))
    assert view.size == size
    whole, _ = view.read((0, size[0]), (0, size[1]))
    assert whole.shape == (*size, 3)
    for rows, cols in (((0, 50), (0, 60)), ((33, 120), (41, 170)), ((size[0] - 40, size[0]), (size[1] - 50, size[1]))):
        part, _ = view.read(rows, cols)
        np.testing.assert_array_equal(part, whole[slice(*rows), slice(*cols)])  # not a rounding apart from the whole
    if mpp == 1.0:
        blocks = SCENE[::2, ::2].reshape(175, 2, 225, 2, 3).mean(axis=(1, 3))
        assert np.abs(whole - blocks).mean() < 12


def test_a_scene_has_its_place_on_the_earth(tmp_path: Path) -> None:
    about = open_source(pictures.geotiff(tmp_path / "x.tif", SCENE, overviews=(2, 4))).about
    assert about.transform == (10, 0, 500_000, 0, -10, 4_600_000)
    assert rasterio.crs.CRS.from_wkt(about.crs).to_epsg() == 32631
    assert about.pixel_size == (10, 10)
    assert about.unit == "meter"
    assert [level.width for level in about.levels] == [900, 450, 225]
    view = view_of(tmp_path / "x.tif", Selection(mpp=20))
    assert view.size == (350, 450)
    assert view._level == 1


def test_bands_and_no_data(tmp_path: Path) -> None:
    pixels = pictures.scene(bands=5).astype(np.uint16) * 200
    pixels[10:20, 30:50] = 7
    path = pictures.geotiff(tmp_path / "x.tif", pixels, nodata=7)
    view = view_of(path, Selection(bands=(4, 1, 2)))
    found, missing = view.read((0, 100), (0, 100))
    expected = pixels[:100, :100, [3, 0, 1]].astype(np.float32) / 257
    expected[10:20, 30:50] = 0
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert missing[10:20, 30:50].all()
    assert missing.sum() == 200
    assert view_of(path, Selection(nodata=9999)).read((0, 100), (0, 100))[1] is None
    for band in (6, 0, -1):  # numbers begin with 1, and none counts from the end
        with pytest.raises(BadInput, match=rf"has bands 1 to 5, not {band}$"):
            view_of(path, Selection(bands=(1, band)))
    with pytest.raises(BadInput, match="4,3,2 say"):
        parse_bands("red,")  # names are read since images have some (test_bandnames.py)


def test_masks_palettes_and_numbers_that_are_none(tmp_path: Path) -> None:
    alpha = np.full((700, 900, 1), 255, np.uint8)
    alpha[:5] = 0
    four = pictures.geotiff(tmp_path / "rgba.tif", np.concatenate([SCENE, alpha], axis=2), alpha=True)
    view = view_of(four)
    assert view.channels == 3
    assert view.read((0, 10), (0, 10))[1][:5].all()
    assert not view.read((0, 10), (0, 10))[1][5:].any()

    index = Image.fromarray(SCENE).quantize(32)
    with rasterio.open(
        tmp_path / "p.tif",
        "w",
        driver="GTiff",
        height=700,
        width=900,
        count=1,
        dtype="uint8",
        photometric="palette",
        transform=pictures.PLACE,
    ) as file:
        file.write(np.asarray(index)[None])
        colours = np.array(index.getpalette()).reshape(-1, 3)
        file.write_colormap(1, {i: (*map(int, c), 255) for i, c in enumerate(colours)})
    np.testing.assert_array_equal(
        view_of(tmp_path / "p.tif").read((0, 50), (0, 60))[0], np.asarray(index.convert("RGB"))[:50, :60]
    )

    floats = SCENE.astype(np.float32)
    floats[3, 4] = np.nan
    np.save(tmp_path / "f.npy", floats)
    found, missing = view_of(tmp_path / "f.npy").read((0, 10), (0, 10))
    assert missing.sum() == 1
    assert found[3, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_pictures_are_read_as_pictures_are_elsewhere(bits: int, tmp_path: Path) -> None:
    grey = SCENE[:, :, 0] if bits == 8 else SCENE[:, :, 0].astype(np.uint16) * 250
    tifffile.imwrite(tmp_path / "g.tif", grey, tile=(128, 128))
    found, _ = view_of(tmp_path / "g.tif").read((0, 700), (0, 900))
    np.testing.assert_allclose(found, read_image(grey), rtol=1e-6)


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    for reader, path in (("tifffile", written("plain.tif", tmp_path)), ("gdal", written("geo.tif", tmp_path))):
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            offset, count = page.dataoffsets[5], page.databytecounts[5]
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"\x00" * count)
        source = open_source(path)
        height, width = source.about.levels[0].tile
        across = -(-900 // width)
        row, col = 5 // across * height, 5 % across * width
        with pytest.raises(Unreadable, match=rf"the pixels {col} to {col + 10} × {row} to {row + 10} do not decode"):
            pixels_of(source, (row, row + 10), (col, col + 10))
        assert pixels_of(source, (0, 10), (0, 10)).shape == (10, 10, 3), reader


def _write_interlaced(path: Path, pixels: np.ndarray) -> None:
    """A PNG in Adam7's seven passes, which Pillow reads and does not write."""
    import struct
    import zlib

    rows = b""
    for y0, x0, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[y0::dy, x0::dx])
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def test_pictures_that_decode_whole_are_counted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG in several scans has no first row before its last byte: the planner must know what the library holds."""
    monkeypatch.setattr(opening, "_HELD", 1000)
    monkeypatch.setattr("fullconv.rasters.gdal._CACHE", 1000)
    samples = SCENE.size
    for name, options, held in (
        ("a.jpg", {}, 1000), ("b.jpg", {"progressive": True}, 1000 + 2 * samples), ("a.png", {}, 1000), ("i.png", None, 1000 + samples)
    ):  # fmt: skip
        path = tmp_path / name
        if options is None:
            _write_interlaced(path, SCENE)
            assert open_source(path).about.held == held
            np.testing.assert_array_equal(pixels_of(open_source(path), (90, 200), (5, 50)), SCENE[90:200, 5:50])
            continue
        Image.fromarray(SCENE).save(path, **options)
        assert open_source(path).about.held == held, name


def test_a_place_on_the_earth_is_never_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library that reads it, the other readers would give a map without coordinates, or indices for colours."""
    path = pictures.geotiff(tmp_path / "x.tif", SCENE)
    found = opening.find_spec
    for missing in (("rasterio",), ("rasterio", "tifffile", "openslide")):
        monkeypatch.setattr(
            opening, "find_spec", lambda name, missing=missing: None if name in missing else found(name)
        )
        with pytest.raises(MissingExtra, match=r"holds a place on the earth.*fullconv\[geo\]"):
            open_source(path)


def test_npy_files_leave_no_page_behind(tmp_path: Path) -> None:
    """Memory stays flat however much of the file was read."""
    np.save(tmp_path / "x.npy", np.zeros((8000, 8000), np.uint8))
    code = f"""
from fullconv.rasters.open import open_source
from fullconv.system.memory import resident_bytes
source = open_source({str(tmp_path / "x.npy")!r})
source.read(0, (0, 400), (0, 8000), [0])
before = resident_bytes()
for row in range(0, 8000, 400):
    source.read(0, (row, row + 400), (0, 8000), [0])
print(resident_bytes() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 8 << 20


@pytest.mark.parametrize("system", ["its own", "little at once", "without preadv"])
def test_rows_of_a_file_by_any_system(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of rows and whole ones, where a system reads less at once than it is asked for, or moves first and then reads; and a file that ends too early."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    calls = []
    if system == "without preadv":
        monkeypatch.delattr(os, "preadv", raising=False)
    elif system == "little at once":
        if not hasattr(os, "preadv"):
            pytest.skip("this system has no preadv")
        own = os.preadv
        monkeypatch.setattr(
            os, "preadv", lambda file, parts, at: calls.append(own(file, [parts[0][:100]], at)) or calls[-1]
        )
    source = open_source(tmp_path / "x.npy")
    for rows, cols in (((0, 50), (0, 40)), ((3, 41), (0, 40)), ((7, 50), (5, 39)), ((49, 50), (39, 40))):
        np.testing.assert_array_equal(source.read(0, rows, cols, [0, 1, 2]).pixels, pixels[slice(*rows), slice(*cols)])
    assert all(count <= 100 for count in calls)
    assert (len(calls) > 60) == (system == "little at once")
    os.truncate(tmp_path / "x.npy", (tmp_path / "x.npy").stat().st_size - 10)
    for cols in ((0, 40), (1, 40)):
        with pytest.raises(Unreadable, match="the file ends before the array does"):
            source.read(0, (0, 50), cols, [0, 1, 2])
