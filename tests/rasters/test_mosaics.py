"""A mosaic, and what lies beside an image, reads images that it may read: no other file, and nothing from another machine."""

from __future__ import annotations

import html
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.shutil import copy

from fullconv import fingerprint
from fullconv.errors import BadInput
from fullconv.rasters.access import Access
from fullconv.rasters.view import Selection, View
from tests.rasters import pictures
from tests.rasters.server import Served, serving

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of the judge
SCENE = pictures.scene(96, 128)
CANARY = 77
TRUST, REMOTE = Access(trust=True), Access(remote=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("server")
    pictures.geotiff(folder / "far.tif", SCENE)
    (folder / "far.vrt").write_text(mosaic("far.tif"))
    with serving(folder, folder.parent / f"{folder.name}.log") as served:
        yield served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in a folder, and beside it what must not be read."""
    inside = tmp_path / "inside"
    inside.mkdir()
    pictures.geotiff(inside / "s.tif", SCENE)
    pictures.png(inside / "s.png", SCENE)
    (tmp_path / "canary.bin").write_bytes(bytes([CANARY]) * (96 * 128 * 4))
    pictures.geotiff(tmp_path / "outside.tif", np.full_like(SCENE, CANARY))
    return inside


def source(name: str, more: str = "", relative: int = 1, band: int = 1, kind: str = "SimpleSource") -> str:
    return (
        f'<{kind}><SourceFilename relativeToVRT="{relative}">{html.escape(name)}</SourceFilename><SourceBand>{band}</SourceBand>'
        f"{more}</{kind}>"
    )


def mosaic(name: str, *, relative: int = 1, bands: int = 3, more: str = "", above: str = "", dataset: str = "") -> str:
    parts = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}">{source(name, more, relative, i)}</VRTRasterBand>'
        for i in range(1, bands + 1)
    )
    return f'<VRTDataset rasterXSize="128" rasterYSize="96"{dataset}>{above}{parts}</VRTDataset>'


def raw(path: Path) -> str:
    return (
        '<VRTDataset rasterXSize="128" rasterYSize="96"><VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="0">{path}</SourceFilename></VRTRasterBand></VRTDataset>'
    )


def computed(function: str, more: str = "") -> str:
    return (
        '<VRTDataset rasterXSize="128" rasterYSize="96"><VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand">'
        f"<PixelFunctionType>{function}</PixelFunctionType>{more}{source('s.tif')}</VRTRasterBand></VRTDataset>"
    )


def seen(path: Path, access: Access | None = None) -> np.ndarray:
    with closing(View(path, None if access is None else Selection(access=access))) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))[0]


def vrt(folder: Path, text: str, name: str = "x.vrt") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["s.tif", "s.png"])
def test_plain_mosaics_are_read(name: str, folder: Path) -> None:
    np.testing.assert_array_equal(seen(vrt(folder, mosaic(name))), SCENE)
    np.testing.assert_array_equal(seen(vrt(folder, mosaic(str(folder / name), relative=0))), SCENE)


def test_what_mosaics_state_is_kept(folder: Path) -> None:
    """GDAL's own reading of the same file is the judge."""
    copy(folder / "s.tif", folder / "own.vrt", driver="VRT")
    parts = (
        '<SRS dataAxisToSRSAxisMapping="1,2">EPSG:32631</SRS><GeoTransform>500000, 10, 0, 4600000, 0, -10</GeoTransform>'
        '<Metadata><MDI key="AREA_OR_POINT">Area</MDI></Metadata><OverviewList resampling="average">2 4</OverviewList>'
        '<MaskBand><VRTRasterBand dataType="Byte">' + source("mask.tif") + "</VRTRasterBand></MaskBand>"
    )
    tifffile.imwrite(folder / "mask.tif", np.where(SCENE[:, :, 0] > 90, 255, 0).astype(np.uint8))
    scaled = "<SrcRect xOff='3' yOff='5' xSize='60' ySize='50'/><DstRect xOff='0' yOff='0' xSize='120' ySize='90'/>"
    complex_ = source(
        "s.tif", scaled + "<ScaleOffset>7</ScaleOffset><ScaleRatio>0.5</ScaleRatio>", kind="ComplexSource"
    )
    kernel = '<Kernel normalized="1"><Size>3</Size><Coefs>1 1 1 1 2 1 1 1 1</Coefs></Kernel>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{i}"><NoDataValue>0</NoDataValue><ColorInterp>{name}</ColorInterp>{part}</VRTRasterBand>'
        for i, (name, part) in enumerate(
            [
                ("Red", complex_),
                ("Green", source("s.tif", kernel, kind="KernelFilteredSource")),
                ("Blue", source("s.tif")),
            ],
            1,
        )
    )
    text = f'<VRTDataset rasterXSize="128" rasterYSize="96">{parts}{bands}</VRTDataset>'
    for path in (folder / "own.vrt", vrt(folder, text)):
        with rasterio.open(path) as judge, closing(View(path)) as view:
            pixels, missing = view.read((0, 96), (0, 128))
            there = np.ones((96, 128), bool) if missing is None else ~missing
            np.testing.assert_array_equal(pixels[there], judge.read().transpose(1, 2, 0)[there])
            assert len(view.about.levels) == 1 + len(judge.overviews(1))
            assert view.about.transform == tuple(judge.transform)[:6]
            assert rasterio.crs.CRS.from_wkt(view.about.crs) == judge.crs
            if path.name == "x.vrt":
                np.testing.assert_array_equal(missing, judge.dataset_mask() == 0)


def test_overviews_beside_a_mosaic_are_its_levels(folder: Path) -> None:
    half = np.ascontiguousarray(SCENE[::2, ::2])
    tifffile.imwrite(folder / "x.vrt.ovr", half, photometric="rgb", subfiletype=1, metadata=None)
    path = vrt(folder, mosaic("s.tif"))
    with closing(View(path, Selection(level=1))) as view:
        np.testing.assert_array_equal(view.read((0, 48), (0, 64))[0], half)
    (folder / "x.vrt.ovr").write_text(raw(folder.parent / "canary.bin"))
    with pytest.raises(BadInput, match=r"x\.vrt\.ovr: lies beside x\.vrt and is no TIFF"):
        View(path)
    (folder / "x.vrt.ovr").unlink()
    tifffile.imwrite(folder / "x.vrt.msk", half)
    with pytest.raises(BadInput, match="a mask beside a mosaic is not read"):
        View(path)


OUT = str(Path("..") / "outside.tif")
REFUSED = {
    "raw band": (lambda f, u: raw(f.parent / "canary.bin"), "<VRTRasterBand> of the kind VRTRawRasterBand, which reads any file as numbers"),
    "warped": (lambda f, u: mosaic("s.tif", dataset=' subClass="VRTWarpedDataset"'), "of the kind VRTWarpedDataset, which computes"),
    "pansharpened": (lambda f, u: mosaic("s.tif", dataset=' subClass="VRTPansharpenedDataset"'), "which computes"),
    "computed": (lambda f, u: computed("sum"), "of the kind VRTDerivedRasterBand, which computes; allow it with --trust"),
    "outside": (lambda f, u: mosaic(OUT), r"'../outside.tif', which lies outside the folder of the mosaic; allow it with --trust"),
    "outside, absolute": (lambda f, u: mosaic(str(f.parent / "outside.tif"), relative=0), "lies outside the folder"),
    "link": (lambda f, u: mosaic("link.tif"), "lies outside the folder"),
    "nested": (lambda f, u: mosaic("other.vrt"), "is no TIFF, PNG, JPEG or JPEG 2000"),
    "nested under a name": (lambda f, u: mosaic("disguised.tif"), "is no TIFF, PNG, JPEG or JPEG 2000"),
    "nested in a JPEG": (lambda f, u: mosaic("polyglot.jpg"), "is no TIFF, PNG, JPEG or JPEG 2000"),
    "text for a name": (lambda f, u: mosaic(raw(f.parent / "canary.bin"), relative=0), "which is no name of a file"),
    "vsicurl": (lambda f, u: mosaic(f"/vsicurl/{u}/far.tif"), "lies on another machine; allow it with --allow-remote"),
    "https": (lambda f, u: mosaic(f"{u}/far.tif"), "lies on another machine; allow it with --allow-remote"),
    "s3": (lambda f, u: mosaic("/vsis3/bucket/far.tif"), "lies on another machine; allow it with --allow-remote"),
    "other file systems": (lambda f, u: mosaic("/vsizip/s.zip/s.tif"), "is no file here, nor one of https://"),
    "vrt://": (lambda f, u: mosaic(f"vrt://{f.parent / 'outside.tif'}"), "is no file here, nor one of https://"),
    "driver": (lambda f, u: mosaic("GTIFF_DIR:1:s.tif"), "is no file here"),
    "service": (lambda f, u: mosaic(f"<GDAL_WMS><Service name='TMS'><ServerUrl>{u}/x</ServerUrl></Service></GDAL_WMS>"), "no name of a file"),
    "options": (lambda f, u: mosaic("s.tif", more="<OpenOptions><OOI key='X'>Y</OOI></OpenOptions>"), "<OpenOptions> which no source"),
    "group": (lambda f, u: mosaic("s.tif", above="<Group name='/'/>"), "<Group> which no mosaic of images needs"),
    "reference by address": (lambda f, u: mosaic("s.tif", above=f"<SRS>{u}/srs</SRS>"), "which is no reference system"),
    "reference by file": (lambda f, u: mosaic("s.tif", above=f"<SRS>{f.parent / 'canary.bin'}</SRS>"), "which is no reference system"),
    "document type": (lambda f, u: "<!DOCTYPE a [<!ENTITY b 'c'>]>" + mosaic("s.tif"), "holds a document type"),
    "size": (lambda f, u: mosaic("s.tif").replace('"128"', '"99999999999"'), "with rasterXSize '99999999999'"),
    "complex": (lambda f, u: mosaic("s.tif").replace("Byte", "CFloat32"), "of CFloat32; an image is real numbers"),
    "no file": (lambda f, u: mosaic("none.tif"), "'none.tif', which is no file here"),
    "no xml": (lambda f, u: "II*\0", "not XML that can be read"),
}  # fmt: skip


def _beside(folder: Path) -> None:
    vrt(folder, raw(folder.parent / "canary.bin"), "other.vrt")
    vrt(folder, raw(folder.parent / "canary.bin"), "disguised.tif")
    (folder / "link.tif").symlink_to(folder.parent / "outside.tif")
    (folder / "polyglot.jpg").write_bytes(b"\xff\xd8\xff\xfe  " + raw(folder.parent / "canary.bin").encode())


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mosaic_leads_nowhere_else(kind: str, folder: Path, server: Served) -> None:
    make, told = REFUSED[kind]
    _beside(folder)
    path = vrt(folder, make(folder, server.url))
    before = server.asked
    with pytest.raises(BadInput, match=told) as caught:
        View(path)
    assert str(caught.value).startswith(str(path))
    assert server.asked == before


def test_trust_allows_other_folders_and_known_functions_and_no_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _beside(folder)
    np.testing.assert_array_equal(seen(vrt(folder, mosaic(OUT)), TRUST), np.full_like(SCENE, CANARY))
    inverse = "<PixelFunctionArguments k='100'/><SourceTransferType>Float32</SourceTransferType>"
    with rasterio.open(vrt(folder, computed("sum", inverse))) as judge:
        np.testing.assert_array_equal(seen(folder / "x.vrt", TRUST)[:, :, 0], judge.read(1))
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    code = f"import pathlib\npathlib.Path({str(folder / 'trace')!r}).touch()"
    for text in (
        computed(
            "own", f"<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>{code}</PixelFunctionCode>"
        ),
        computed(
            "sum", f"<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>{code}</PixelFunctionCode>"
        ),
        computed("pathlib.Path"),
        raw(folder.parent / "canary.bin"),
        mosaic("other.vrt"),
        mosaic("disguised.tif"),
    ):
        with pytest.raises(BadInput):
            View(vrt(folder, text), Selection(access=TRUST))
    assert not (folder / "trace").exists()


def test_other_machines_are_asked_where_that_is_allowed(folder: Path, server: Served) -> None:
    for name in (f"/vsicurl/{server.url}/far.tif", f"{server.url}/far.tif"):
        np.testing.assert_array_equal(seen(vrt(folder, mosaic(name)), REMOTE), SCENE)
    with pytest.raises(BadInput, match="cannot be opened as a TIFF"):
        View(vrt(folder, mosaic(f"{server.url}/far.vrt")), Selection(access=REMOTE))
    with pytest.raises(BadInput, match="outside the folder"):
        View(vrt(folder, mosaic(OUT)), Selection(access=REMOTE))


@pytest.mark.parametrize("what", ["raw", "address", "path"])
@pytest.mark.parametrize("where", ["image", "source", "overviews", "overviews of overviews", "mask"])
def test_an_image_names_no_file_of_overviews(where: str, what: str, folder: Path, server: Served) -> None:
    """GDAL follows OVERVIEW_FILE in a TIFF's own metadata to anything that it can open."""
    named = {
        "raw": raw(folder.parent / "canary.bin"),
        "address": f"/vsicurl/{server.url}/far.tif",
        "path": str(folder.parent / "outside.tif"),
    }
    about = (
        f'<GDALMetadata><Item name="OVERVIEW_FILE" domain="OVERVIEWS">{html.escape(named[what])}</Item></GDALMetadata>'
    )
    name = {"overviews": "s.tif.ovr", "overviews of overviews": "s.tif.ovr.OVR", "mask": "s.tif.msk"}.get(
        where, "bad.tif"
    )
    if where == "overviews of overviews":
        tifffile.imwrite(folder / "s.tif.ovr", SCENE[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
    extra = [(42112, "s", 0, about, True), (42113, "s", 0, "-1", True)]
    tifffile.imwrite(folder / name, SCENE, photometric="rgb", extratags=extra, metadata=None)
    path = {"image": folder / name, "source": vrt(folder, mosaic(name))}.get(where, folder / "s.tif")
    before = server.asked
    with pytest.raises(BadInput, match=rf"{name}: its metadata names another file for its overviews"):
        View(path)
    assert server.asked == before


def test_names_of_drivers_are_no_images(folder: Path, server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = server.asked
    for name in (
        f"vrt://{folder.parent / 'outside.tif'}", f"/vsicurl/{server.url}/far.tif", "GTIFF_DIR:1:s.tif", raw(folder.parent / "canary.bin")
    ):  # fmt: skip
        with pytest.raises(BadInput):
            View(name)
    vrt(folder, raw(folder.parent / "canary.bin"), "x.tif")
    (folder / "y.jp2").write_text(
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{server.url}/x</ServerUrl></Service></GDAL_WMS>"
    )
    for name in ("x.tif", "y.jp2"):
        with pytest.raises(BadInput):
            View(name)
    assert server.asked == before
    (folder / "a?b#c!d.tif").write_bytes((folder / "s.tif").read_bytes())
    np.testing.assert_array_equal(seen(Path("a?b#c!d.tif")), SCENE)


def test_a_mosaic_by_a_link_lies_where_the_file_lies(folder: Path) -> None:
    vrt(folder, mosaic("s.tif"))
    (folder.parent / "link.vrt").symlink_to(folder / "x.vrt")
    np.testing.assert_array_equal(seen(folder.parent / "link.vrt"), SCENE)
    assert os.path.realpath(folder.parent / "link.vrt") == str(folder / "x.vrt")


def test_another_source_or_mask_is_another_image(folder: Path) -> None:
    """A stopped map does not go on over other pixels."""
    path = vrt(folder, mosaic("s.tif"))
    prints = [fingerprint.of_image(path, (96, 128), 3)]
    assert fingerprint.of_image(path, (96, 128), 3) == prints[0]
    pictures.geotiff(folder / "s.tif", 255 - SCENE)
    prints.append(fingerprint.of_image(path, (96, 128), 3))
    image = folder / "s.tif"
    for name, data in (("s.tif.msk", b"a"), ("s.tif.msk", b"b"), ("s.tif.aux.xml", b"a"), ("s.tfw", b"a")):
        prints.append(fingerprint.of_image(image, (96, 128), 3))
        (folder / name).write_bytes(data)
    prints.append(fingerprint.of_image(image, (96, 128), 3))
    assert len(set(prints)) == len(prints)


def test_overviews_of_sources_and_sources_far_away_are_of_the_image(folder: Path) -> None:
    path = vrt(folder, mosaic("s.tif"))
    before = fingerprint.of_image(path, (96, 128), 3)
    state = fingerprint.State(path)
    (folder / "s.tif.ovr").write_bytes(b"a")
    assert fingerprint.of_image(path, (96, 128), 3) != before
    assert state.is_same  # it was not there to be looked at
    os.utime(folder / "s.tif", (1, 1))
    assert not state.is_same
    with serving(folder, folder.parent / "far.log") as server:
        far = vrt(folder, mosaic(f"{server.url}/s.tif", relative=0), "far.vrt")
        before = fingerprint.of_image(far, (96, 128), 3)
        assert fingerprint.of_image(far, (96, 128), 3) == before
        pictures.geotiff(folder / "s.tif", 255 - SCENE)
        assert fingerprint.of_image(far, (96, 128), 3) != before


def test_files_that_an_image_consists_of(folder: Path) -> None:
    slide = folder / "a.dcm"
    for name in ("a.dcm", "b.dcm", "c.txt"):
        (folder / name).write_bytes(bytes(128) + b"DICM" + name.encode())
    (folder / "m").mkdir()
    (folder / "m" / "Data0001.dat").write_bytes(b"1")
    (folder / "m.mrxs").write_bytes(b"")
    (folder / "v.vms").write_text("[Virtual Microscope Specimen]\nImageFile=v.jpg\n")
    (folder / "v.jpg").write_bytes(b"1")
    (folder / "i.img").write_bytes(b"1")
    (folder / "i.ige").write_bytes(b"1")
    parts = {slide: "b.dcm", folder / "m.mrxs": "m/Data0001.dat", folder / "v.vms": "v.jpg", folder / "i.img": "i.ige"}
    for image, part in parts.items():
        before = fingerprint.of_image(image, (1, 1), 1)
        assert fingerprint.of_image(image, (1, 1), 1) == before
        (folder / part).write_bytes((folder / part).read_bytes() + b"2")
        assert fingerprint.of_image(image, (1, 1), 1) != before, image
