"""One image is one image, whatever file it lies in: the same pixels, the same mask, the same place."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from PIL import Image
from rasterio.enums import ColorInterp

from fullconv.errors import BadInput
from fullconv.rasters import open as opening
from fullconv.rasters.view import Selection, View, read_image
from tests.rasters import pictures

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of what the tests write
SCENE = pictures.scene(200, 300)
GREY = SCENE[:, :, 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (200, 300, 3), np.uint16)


def seen(image, select: Selection | None = None) -> tuple[np.ndarray, np.ndarray, View]:
    """All pixels, all of the mask, and the view."""
    with closing(View(image, select)) as view:
        pixels, missing = view.read((0, view.size[0]), (0, view.size[1]))
        return pixels, np.zeros(view.size, bool) if missing is None else missing, view


@pytest.mark.parametrize("reader", ["tifffile", "rasterio", "pillow"])
def test_white_is_zero_is_read_so_by_every_reader(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tif"
    extra = [(42113, "s", 0, "-1", True)] if reader == "rasterio" else []  # a value for no data: rasterio's
    tifffile.imwrite(path, 255 - GREY, photometric="miniswhite", extratags=extra)
    if reader == "pillow":
        monkeypatch.setattr(opening, "find_spec", lambda name: None)
    pixels, _, view = seen(path)
    np.testing.assert_array_equal(pixels[:, :, 0], GREY)
    if reader != "pillow":  # which inverts by itself, and does not say so
        assert any("0 is white" in remark for remark in view.remarks)
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, 65535 - DEEP[:, :, 0], photometric="miniswhite", extratags=extra)
    np.testing.assert_allclose(seen(deep)[0][:, :, 0], DEEP[:, :, 0] / 257, rtol=1e-6, atol=1e-4)


def _deep_file(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "x.tif":
        tifffile.imwrite(path, DEEP, photometric="rgb", tile=(64, 64))
    elif kind == "geo.tif":
        pictures.geotiff(path, DEEP)
    elif kind == "x.npy":
        np.save(path, DEEP)
    elif kind == "big-endian.npy":
        np.save(path, DEEP.astype(">u2"))
    elif kind == "x.zarr":
        zarr.create_array(path, data=DEEP, chunks=(50, 50, 3))
    elif kind == "x.png":
        with rasterio.open(path, "w", driver="PNG", height=200, width=300, count=3, dtype="uint16") as file:
            file.write(DEEP.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize("kind", ["x.tif", "geo.tif", "x.npy", "big-endian.npy", "x.zarr", "x.png", "array"])
def test_sixteen_bits_of_colour_are_the_same_in_every_file(kind: str, tmp_path: Path) -> None:
    pixels, _, view = seen(DEEP if kind == "array" else _deep_file(kind, tmp_path))
    np.testing.assert_array_equal(pixels, DEEP.astype(np.float32) / np.float32(257))
    assert any("0 to 65,535, scaled to 0..255" in remark for remark in view.remarks)


def test_sixteen_bit_colours_without_their_reader_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _deep_file("x.png", tmp_path)
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    pixels, _, view = seen(path)
    assert np.abs(pixels - DEEP / 257).max() <= 1
    assert any("16 bits, of which 8 are read" in remark for remark in view.remarks)


@pytest.mark.parametrize("kind", ["packed", "ome", "sample value", "nbits", "omero"])
def test_twelve_bits_reach_white(kind: str, tmp_path: Path) -> None:
    twelve = (DEEP >> 4).astype(np.uint16)
    path = tmp_path / "x.tif"
    if kind == "ome":
        tifffile.imwrite(
            tmp_path / "x.ome.tif", twelve, photometric="rgb", metadata={"axes": "YXS", "SignificantBits": 12}
        )
        path = tmp_path / "x.ome.tif"
    elif kind == "sample value":
        tifffile.imwrite(path, twelve, photometric="rgb", extratags=[(281, "H", 3, (4095, 4095, 4095), True)])
    elif kind == "omero":
        path = pictures.ome_zarr(tmp_path / "x.zarr", twelve)
        group = zarr.open_group(path)
        about = dict(group.attrs)
        about.get("ome", about)["omero"] = {
            "channels": [{"window": {"min": 0, "max": 4095, "start": 0, "end": 900}}] * 3
        }
        group.attrs.put(about)
    else:
        extra = {"packed": {"nbits": 12}, "nbits": {"nbits": 12, "compress": "deflate"}}[kind]
        path = pictures.geotiff(path, twelve, **extra)
    np.testing.assert_allclose(seen(path)[0], twelve / (4095 / 255), rtol=1e-6)


def test_other_whole_numbers_are_taken_as_they_stand(tmp_path: Path) -> None:
    """Reflectances and heights are no shares of white; one reader divided them by 257, another did not."""
    heights = (DEEP[:, :, :1].astype(np.int32) - 30_000) * 3
    for dtype in (np.int16, np.int32, np.uint32):
        values = np.clip(heights, 0 if dtype == np.uint32 else -30_000, 30_000).astype(dtype)
        tifffile.imwrite(tmp_path / "x.tif", values[:, :, 0])
        pictures.geotiff(tmp_path / "geo.tif", values)
        for image in (tmp_path / "x.tif", tmp_path / "geo.tif", values):
            pixels, _, view = seen(image)
            np.testing.assert_array_equal(pixels, values.astype(np.float32))
            assert any("as they stand" in remark for remark in view.remarks)


ALPHA = np.full((200, 300), 255, np.uint8)
ALPHA[:50, :70] = 0
ALPHA[60:80] = 128


@pytest.mark.parametrize("kind", ["x.png", "x.webp", "x.tif", "geo.tif", "palette.png", "pil"])
def test_transparency_masks_in_every_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    four = np.dstack([SCENE, ALPHA])
    image = Image.fromarray(four)
    expected = np.where(ALPHA[:, :, None] == 128, np.rint(SCENE * (128 / 255) + 255 * (127 / 255)), SCENE)
    alpha = ALPHA
    if kind == "x.tif":
        tifffile.imwrite(path, four, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    elif kind == "geo.tif":
        pictures.geotiff(path, four, alpha=True)
    elif kind == "palette.png":
        few = Image.fromarray(SCENE).quantize(8)
        few.save(path, transparency=3)
        gone = np.asarray(few) == 3
        expected, alpha = np.asarray(few.convert("RGB")), np.where(gone, 0, 255)
    elif kind != "pil":
        image.save(path, **({"lossless": True, "exact": True} if kind == "x.webp" else {}))
    pixels, missing, view = seen(image if kind == "pil" else path)
    assert view.channels == 3
    np.testing.assert_array_equal(missing, alpha == 0)
    np.testing.assert_allclose(pixels[~missing].astype(int), expected[~missing], atol=1)
    assert (pixels[missing] == 255).all()


@pytest.mark.parametrize("place", [{"crs": "EPSG:32631", "transform": pictures.PLACE}, {}], ids=["placed", "nowhere"])
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_masks_of_a_scene(where: str, place: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=where == "inside"),
        rasterio.open(
            path, "w", driver="GTiff", height=200, width=300, count=3, dtype="uint8", **place
        ) as file,
    ):  # fmt: skip
        file.write(SCENE.transpose(2, 0, 1))
        file.write_mask(ALPHA != 0)
    assert (tmp_path / "x.tif.msk").exists() == (where == "beside")
    pixels, missing, _ = seen(path)
    np.testing.assert_array_equal(missing, ALPHA == 0)
    np.testing.assert_array_equal(pixels[~missing], SCENE[~missing])


@pytest.mark.parametrize("why", ["nothing", "mask", "nodata"])
def test_a_microscopes_pixels_are_as_large_whoever_reads_the_file(why: str, tmp_path: Path) -> None:
    """A mask or a value for no data is rasterio's to read, and resolution tags are nothing to GDAL."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(
        path, SCENE, tile=(64, 64), photometric="rgb", resolution=(20000, 40000), resolutionunit="CENTIMETER", metadata=None,
        extratags=[(274, "H", 1, 6, True)],
    )  # fmt: skip
    if why != "nothing":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
            if why == "nodata":
                file.nodata = 0
            else:
                file.write_mask(ALPHA != 0)
    pixels, missing, view = seen(path)
    assert (view.about.pixel_size, view.about.unit) == ((0.5, 0.25), "micrometer")
    assert view.size == (300, 200)
    expected = {"nothing": np.zeros_like(ALPHA, bool), "mask": ALPHA == 0, "nodata": (SCENE == 0).all(axis=2)}[why]
    np.testing.assert_array_equal(missing, np.rot90(expected, -1))
    np.testing.assert_array_equal(pixels[~missing], np.rot90(SCENE, -1)[~missing])


@pytest.mark.parametrize("stated", [False, True], ids=["plain", "nodata"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_many_bands_are_turned_whoever_reads_them(kind: type, stated: bool, tmp_path: Path) -> None:
    """Pillow, which reads EXIF's tags, opens no TIFF of so many bands."""
    path, bands = tmp_path / "x.tif", np.tile(np.maximum(SCENE, 1), (1, 1, 3))
    tags: list[Any] = [(274, "H", 1, 6, True), *([(42113, "s", 2, "0", True)] if stated else [])]
    stored = bands.astype(kind) * kind(257 if kind is np.uint16 else 1)  # 16 bits are read as value / 257
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig="contig", metadata=None, extratags=tags)
    pixels, missing, _ = seen(path)
    assert not missing.any()
    np.testing.assert_allclose(pixels, np.rot90(bands, -1), rtol=1e-6)


@pytest.mark.parametrize("reader", ["rasterio", "tifffile"])
def test_an_alpha_band_is_not_always_the_last(reader: str, tmp_path: Path) -> None:
    """Near infrared behind alpha: bands keep their order without it."""
    five = np.concatenate([SCENE, ALPHA[:, :, None], GREY[:, :, None] // 2], axis=2)
    path = tmp_path / "x.tif"
    if reader == "tifffile":
        tifffile.imwrite(path, five, photometric="rgb", extrasamples=["unassalpha", "unspecified"], tile=(64, 64))
    else:
        pictures.geotiff(path, five)
        with rasterio.open(path, "r+") as file:
            kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha, ColorInterp.undefined]
            file.colorinterp = kinds
    pixels, missing, view = seen(path, Selection(bands=(4, 1)))
    assert view.about.bands == 4
    np.testing.assert_array_equal(missing, ALPHA == 0)
    whole = ALPHA == 255
    np.testing.assert_array_equal(pixels[whole], five[whole][:, [4, 0]])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["x.jpg", "x.png", "x.tif", "x-strips.tif"])
def test_an_image_that_is_to_be_turned_is_the_same_whole_and_in_windows(
    kind: str, orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's reading of the whole is the judge; windows come from GDAL and tifffile."""
    path = tmp_path / kind
    if kind.endswith("tif"):
        how = {"tile": (64, 64)} if kind == "x.tif" else {"rowsperstrip": 16, "compression": "deflate"}
        tifffile.imwrite(path, SCENE, photometric="rgb", extratags=[(274, "H", 1, orientation, True)], **how)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(SCENE).save(path, exif=exif, **({"subsampling": 0} if kind == "x.jpg" else {}))
    with Image.open(path) as image:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(image))
    monkeypatch.setattr(opening, "_HELD", 1000)  # as if it were too large to hold
    with closing(View(path)) as view:
        assert view.size == upright.shape[:2]
        for rows, cols in (((0, 30), (0, 41)), ((13, 150), (60, 133)), ((150, 200), (100, 200))):
            pixels, _ = view.read(rows, cols)
            expected = upright[slice(*rows), slice(*cols)].astype(int)
            assert np.abs(pixels - expected).max() <= (2 if kind == "x.jpg" else 0)  # two builds of one JPEG decoder


def test_overviews_beside_a_scene_are_its_levels(tmp_path: Path) -> None:
    path = pictures.geotiff(tmp_path / "x.tif", SCENE)
    half = SCENE.reshape(100, 2, 150, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "x.tif.ovr", half, photometric="rgb", tile=(64, 64), subfiletype=1)
    with closing(View(path, Selection(level=1))) as view:
        assert view.size == (100, 150)
        np.testing.assert_array_equal(view.read((0, 100), (0, 150))[0], half)
    (tmp_path / "x.tif.ovr").write_text('<VRTDataset rasterXSize="5" rasterYSize="5"></VRTDataset>')
    with pytest.raises(BadInput, match=r"x\.tif\.ovr: lies beside x\.tif and is no TIFF"):
        View(path)


@pytest.mark.parametrize("name", ["x.tfw", "x.tifw", "x.wld", "x.TFW"])
def test_a_world_file_places_a_picture(name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", SCENE, photometric="rgb")
    (tmp_path / name).write_text("10\n0\n0\n-10\n500005\n4599995\n")
    (tmp_path / "x.prj").write_text(rasterio.crs.CRS.from_epsg(32631).to_wkt())
    _, _, view = seen(tmp_path / "x.tif")
    assert view.about.transform == (10, 0, 500_000, 0, -10, 4_600_000)
    assert rasterio.crs.CRS.from_wkt(view.about.crs).to_epsg() == 32631
    assert any("from a file beside it" in remark for remark in view.remarks)
    (tmp_path / name).write_text("10\nzero\n")
    with pytest.raises(BadInput, match="a world file holds six numbers"):
        View(tmp_path / "x.tif")


def test_a_description_beside_a_picture_places_it(tmp_path: Path) -> None:
    """What GDAL writes beside a PNG."""
    with rasterio.open(
        tmp_path / "x.png", "w", driver="PNG", height=200, width=300, count=3, dtype="uint8", crs="EPSG:32631", transform=pictures.PLACE
    ) as file:  # fmt: skip
        file.write(SCENE.transpose(2, 0, 1))
    assert (tmp_path / "x.png.aux.xml").exists()
    pixels, _, view = seen(tmp_path / "x.png")
    np.testing.assert_array_equal(pixels, SCENE)
    assert view.about.transform == (10, 0, 500_000, 0, -10, 4_600_000)
    assert rasterio.crs.CRS.from_wkt(view.about.crs).to_epsg() == 32631


def test_ground_control_points_are_told(tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    points = [
        GroundControlPoint(row, col, 5e5 + col, 4e6 - row) for row, col in ((0, 0), (0, 299), (199, 0), (199, 299))
    ]
    with rasterio.open(
        tmp_path / "x.tif",
        "w",
        driver="GTiff",
        height=200,
        width=300,
        count=3,
        dtype="uint8",
        crs="EPSG:32631",
        gcps=points,
    ) as file:
        file.write(SCENE.transpose(2, 0, 1))
    _, _, view = seen(tmp_path / "x.tif")
    assert view.about.transform is None
    assert any("4 ground control points, which are not applied" in remark for remark in view.remarks)


def test_other_colours_are_converted_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cmyk = Image.fromarray(SCENE).convert("CMYK")
    cmyk.save(tmp_path / "x.tif")
    pixels, _, view = seen(tmp_path / "x.tif")
    np.testing.assert_array_equal(pixels, np.asarray(cmyk.convert("RGB")))
    assert any("colours as CMYK, which are converted to RGB" in remark for remark in view.remarks)
    monkeypatch.setattr(opening, "_HELD", 1000)
    with pytest.raises(BadInput, match="holds colours as SEPARATED; convert it to RGB"):
        View(tmp_path / "x.tif")


@pytest.mark.parametrize("reader", ["tifffile", "rasterio"])
def test_palettes_are_resolved(reader: str, tmp_path: Path) -> None:
    few = Image.fromarray(SCENE).quantize(32)
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(few.getpalette()) // 3] = np.array(few.getpalette(), np.uint16).reshape(-1, 3).T * 257
    extra = [(42113, "s", 0, "999", True)] if reader == "rasterio" else []
    tifffile.imwrite(tmp_path / "x.tif", np.asarray(few), photometric="palette", colormap=table, extratags=extra)
    np.testing.assert_array_equal(seen(tmp_path / "x.tif")[0], np.asarray(few.convert("RGB")))


def test_pictures_of_several_say_so(tmp_path: Path) -> None:
    frames = [Image.fromarray(SCENE), Image.fromarray(255 - SCENE)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert any("holds 2 pictures, the first is read" in remark for remark in seen(tmp_path / "x.gif")[2].remarks)


def test_a_postscript_file_by_another_name_runs_nothing(tmp_path: Path) -> None:
    """Pillow would run Ghostscript on it."""
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(BadInput, match="not an image that can be read"):
        read_image(tmp_path / "x.png")
