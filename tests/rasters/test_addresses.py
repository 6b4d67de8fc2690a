"""Images by their address are the images of their files; what fails is told with the address."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import fullconv
from fullconv import fingerprint
from fullconv.errors import BadInput, MissingExtra
from fullconv.rasters import open as opening
from fullconv.rasters import remote
from fullconv.rasters.view import Selection, View
from tests.rasters import pictures
from tests.rasters.server import Served, serving
from tests.stream import runs

SCENE = pictures.scene(300, 400)
pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("server")
    pictures.geotiff(folder / "scene.tif", SCENE, overviews=(2,))
    pictures.geotiff(folder / "a scene.tif", SCENE)
    pictures.geotiff(folder / "small.tif", SCENE[:90, :80])
    tifffile.imwrite(folder / "grey.tif", 255 - SCENE[:, :, 0], photometric="miniswhite", tile=(64, 64))
    turned = [(274, "H", 1, 6, True)]
    tifffile.imwrite(folder / "turned.tif", SCENE, photometric="rgb", tile=(64, 64), extratags=turned)
    pictures.ome_tiff(folder / "scene.ome.tif", SCENE)
    pictures.svs(folder / "slide.tif", SCENE)
    pictures.ome_zarr(folder / "scene.zarr", SCENE)
    pictures.ome_zarr(folder / "four.zarr", SCENE, "0.4")
    zarr.create_array(folder / "array.zarr", data=SCENE, chunks=(100, 100, 3))
    (folder / "x.png").write_bytes(b"")
    (folder / "whole").mkdir()
    pictures.geotiff(folder / "whole" / "scene.tif", SCENE)
    (folder / "bucket").mkdir()
    for name in ("scene.tif", "scene.zarr"):
        (folder / "bucket" / name).symlink_to(folder / name)
    with serving(folder, folder.parent / f"{folder.name}.log") as served:
        yield served


def seen(image, select: Selection | None = None) -> tuple[np.ndarray, View]:
    with closing(View(image, select)) as view:
        return view.read((0, view.size[0]), (0, view.size[1]))[0], view


@pytest.mark.parametrize(
    ("name", "select"),
    [
        ("scene.tif", None), ("scene.tif", Selection(level=1)), ("scene.tif", Selection(mpp=17)), ("a scene.tif", None), ("grey.tif", None),
        ("turned.tif", None), ("scene.zarr", None), ("scene.zarr", Selection(level=1)), ("four.zarr", None), ("array.zarr", None),
    ],
)  # fmt: skip
def test_an_address_gives_what_its_file_gives(name: str, select: Selection | None, server: Served) -> None:
    near, of_file = seen(server.folder / name, select)
    far, of_address = seen(f"{server.url}/{name}", select)
    np.testing.assert_array_equal(far, near)
    assert of_address.about.place == of_file.about.place
    assert of_address.about.levels[0].height == of_file.about.levels[0].height
    assert not any(f".{kind}" in each for each in server.asked for kind in ("ovr", "msk", "aux", "tfw"))


def test_buckets(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of files is a bucket to whoever reads without signing."""
    host = server.url.removeprefix("http://")
    for name, value in (
        ("AWS_ENDPOINT_URL", server.url), ("AWS_S3_ENDPOINT", host), ("AWS_HTTPS", "NO"), ("AWS_VIRTUAL_HOSTING", "FALSE"),
        ("AWS_NO_SIGN_REQUEST", "YES"), ("AWS_REGION", "here"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("scene.tif", "scene.zarr"):
        np.testing.assert_array_equal(seen(f"s3://bucket/{name}")[0], SCENE)
        assert len(fingerprint.of_image(f"s3://bucket/{name}", (300, 400), 3)) == 32
        with pytest.raises(BadInput, match=r"^s3://bucket/none\S* ?.*is not there|no Zarr image is there"):
            View(f"s3://bucket/none{Path(name).suffix}")


def test_a_map_of_an_address_is_the_map_of_its_file(server: Served, tmp_path: Path) -> None:
    model, out, events = runs.digits(), tmp_path / "x.zarr", []
    near = fullconv.map(model, server.folder / "small.tif", preprocess="unit")
    np.testing.assert_array_equal(fullconv.map(model, f"{server.url}/small.tif", preprocess="unit").scores, near.scores)
    for _ in range(2):
        far = fullconv.map_raster(
            model, f"{server.url}/small.tif", out, preprocess="unit", report=lambda event, what: events.append(event)
        )
        np.testing.assert_allclose(np.asarray(far.scores[...]), near.scores, atol=1e-6)
    assert events[-2:] == ["done", "finished"]


def test_parts_are_read_and_not_the_whole(server: Served) -> None:
    before = len(server.asked)
    with closing(View(f"{server.url}/scene.zarr")) as view:
        view.read((0, 100), (0, 100))
    chunks = {each for each in server.asked[before:] if "/c/" in each}
    assert len(chunks) == 3  # of 36: one a band


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none.tif", r"is not there \(HTTP 404\)"),
        ("none.zarr", "no Zarr image is there"),
        ("secret/x.tif", r"must not be read \(HTTP 403\): no permission"),
        ("secret/x.zarr", "must not be read"),
        ("whole/scene.tif", "its server gives no parts of a file"),
        ("moved/scene.tif", "its server"),
        ("x.png", r"by address are read TIFF .*, JPEG 2000 and Zarr"),
        ("scene.ome.tif", "is an OME-TIFF, which is not read by address; download it"),
        ("slide.tif", "is a slide, which is not read by address; download it"),
    ],
)
def test_what_fails_is_told_with_the_address(path: str, told: str, server: Served) -> None:
    url = f"{server.url}/{path}"
    with pytest.raises(BadInput, match=rf"^{re.escape(url)}.*{told}"):
        View(url)


def test_servers_that_are_not_there_and_names_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_BETWEEN", 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(BadInput, match=r"x\.tif: its server does not answer \(.*refused"):
        View(f"http://127.0.0.1:{port}/x.tif")
    with pytest.raises(BadInput, match=r"zarr\.json: cannot be reached"):
        View(f"http://127.0.0.1:{port}/x.zarr")
    for url in (
        "ftp://host/x.tif",
        "file:///etc/passwd",
        "vrt:///x.tif",
        "https:///x.tif",
        "s3://bucket",
        "http://host/x y.tif\n",
    ):
        with pytest.raises(BadInput, match=r"are read by https://|is no address of an image"):
            View(url)


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CONNECT", 0.2)
    monkeypatch.setattr(remote, "_BETWEEN", 0.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(BadInput, match="its server does not answer"):
            View(f"http://127.0.0.1:{silent.getsockname()[1]}/x.tif")
        assert time.monotonic() - start < 5


def test_another_image_at_the_address_is_another_image(server: Served, tmp_path: Path) -> None:
    path = pictures.geotiff(server.folder / "changing.tif", SCENE)
    url = f"{server.url}/changing.tif"
    before = fingerprint.of_image(url, (300, 400), 3)
    assert fingerprint.of_image(url, (300, 400), 3) == before
    with closing(View(url)) as view:
        view.read((0, 10), (0, 10))
        pictures.geotiff(path, 255 - SCENE)
        with pytest.raises(BadInput, match=r"changing\.tif: has changed while it was read"):
            view.read((100, 110), (0, 10))
    assert fingerprint.of_image(url, (300, 400), 3) != before
    np.testing.assert_array_equal(seen(url)[0], 255 - SCENE)
    stored = f"{server.url}/array.zarr"
    before = fingerprint.of_image(stored, (300, 400), 3)
    assert fingerprint.of_image(stored, (300, 400), 3) == before
    zarr.open_array(server.folder / "array.zarr", mode="r+")[:100, :100] = 0
    assert fingerprint.of_image(stored, (300, 400), 3) != before


def test_one_array_of_several_and_every_chunk_of_a_bucket(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    group = zarr.open_group(server.folder / "several.zarr", mode="w")
    for name in "ab":
        group.create_array(name, data=SCENE, chunks=(20, 20, 3))
    url = f"{server.url}/several.zarr"
    before = fingerprint.of_image(url, (300, 400), 3, "a")
    group["a"][:] = 0
    assert fingerprint.of_image(url, (300, 400), 3, "a") != before
    # One chunk of three hundred: a bucket lists them all.
    from obstore.store import LocalStore

    from fullconv.rasters import remote

    local = LocalStore(str(server.folder / "several.zarr"))
    monkeypatch.setattr(remote, "store_of", lambda url: local)
    prints = [fingerprint.of_image("s3://bucket/several.zarr", (300, 400), 3, "b")]
    assert fingerprint.of_image("s3://bucket/several.zarr", (300, 400), 3, "b") == prints[0]
    group["b"][145, 205] = 7
    prints.append(fingerprint.of_image("s3://bucket/several.zarr", (300, 400), 3, "b"))
    assert len(set(prints)) == 2


def test_what_reads_addresses_is_named_with_its_command(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    for name in ("scene.tif", "scene.zarr"):
        with pytest.raises(MissingExtra, match=r"fullconv\[remote\]"):
            View(f"{server.url}/{name}")
