"""Images of any size at the command line: ``map ... -o x.zarr`` and ``export``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import fullconv
from fullconv import ClassMap
from fullconv.cli.images import images_of
from fullconv.cli.reading import bytes_of
from fullconv.demonstration import demo_files
from fullconv.errors import BadInput
from fullconv.stream import plan
from tests.cli.conftest import Run
from tests.rasters import pictures
from tests.stream import runs


@pytest.fixture(autouse=True)
def _small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_planned_base", lambda *_: 180 << 20)


@pytest.fixture
def net() -> list[str]:
    with demo_files() as data:
        labels = ["--labels", str(data / "labels.txt"), "-p", "unit"]
        return [str(data / "digits.prototxt"), "-w", str(data / "digits.caffemodel"), *labels]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return runs.picture(tmp_path / "x.npy", 700, 600)


def test_a_map_and_its_exports(run: Run, net: list[str], image: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    found = run("map", *net, image, "-o", out, "--memory", "205MiB", "--class", "7")
    assert found.status == 0
    assert "168 × 143 cells of 11 classes, one every 4 px, each for a crop of 32 × 32 px" in found.out
    assert "places of '7' score 0.5 or more, with the crop (x0, y0, x1, y1):" in found.out
    assert "exact: every cell equals its crop's answer" in found.out
    assert f"wrote {out}: " in found.out
    assert "(predicted " in found.out
    assert "of the work lost to halos" not in found.out, "progress goes to stderr"
    again = run("map", *net, image, "-o", out)
    assert "was finished before; --restart makes it anew" in again.out
    for name in ("x.tif", "x.geojson", "x.csv", "x.parquet", "x.png"):
        done = run("export", out, "-o", tmp_path / name, "--class", "7")
        assert (done.status, done.out.split(": ")[0].strip()) == (0, f"wrote {tmp_path / name}")
    with (tmp_path / "x.csv").open() as file:
        assert len(list(csv.DictReader(file))) == (ClassMap.load(out).scores[7] >= 0.5).sum()
    assert json.loads(run("export", out, "-o", tmp_path / "y.npz", "--json").out) == {
        "written": str(tmp_path / "y.npz"), "what": "map", "count": None,
    }  # fmt: skip


def test_a_dry_run_writes_nothing(run: Run, net: list[str], image: Path, tmp_path: Path) -> None:
    found = run("map", *net, image, "-o", tmp_path / "x.zarr", "--memory", "210MB", "--dry-run")
    assert found.status == 0
    assert "600×700 px (0 megapixels), 168 × 143 cells" in found.out
    assert "predicted peak memory" in found.out
    assert "budget 210 MB" in found.out
    assert not (tmp_path / "x.zarr").exists()
    told = json.loads(
        run("map", *net, image, "-o", tmp_path / "x.zarr", "--memory", "210MB", "--dry-run", "--json").out
    )
    assert told["tiles"] > 1
    assert set(told["predicted_bytes"]) == {"base", "engine", "stages", "peak"}


def test_json_is_a_line_an_event(run: Run, net: list[str], image: Path, tmp_path: Path) -> None:
    lines = run("map", *net, image, "-o", tmp_path / "x.zarr", "--memory", "210MB", "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["event"] for e in events[:2]] == ["plan", "tile"]
    assert events[-1]["event"] == "done"
    assert events[-1]["failed"] == []
    assert not (tmp_path / "x.png").exists()  # a picture would take more than that memory leaves
    more = run("map", *net, image, "-o", tmp_path / "y.zarr", "--memory", "8GB", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in more[-2:]] == ["done", "picture"]
    assert json.loads(more[-1])["picture"] == str(tmp_path / "y.png")
    assert all(e["image"] == str(image) for e in events)


def test_many_images(run: Run, net: list[str], tmp_path: Path) -> None:
    """A bad one is reported at the end and stops no other; what is finished is not done again."""
    folder = tmp_path / "slides"
    folder.mkdir()
    pictures.svs(folder / "a.svs", pictures.scene(300, 300))
    (folder / "b.svs").write_bytes(b"no slide")
    runs.picture(folder / "c.npy", 200, 200)
    (folder / "notes.md").write_text("no image")
    out = tmp_path / "maps"
    found = run("map", *net, folder, "-o", out / "{name}.zarr", "--memory", "8GB")
    assert found.status == 1
    assert found.err.rstrip().splitlines()[-2].startswith("fullconv: 1 of 3 images failed, for the reasons above:")
    assert found.err.count("b.svs: cannot be opened as a slide, or is truncated") == 1
    assert "b.svs" in found.err.splitlines()[-1]
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "a.zarr", "c.png", "c.zarr"]
    again = run("map", *net, folder, "-o", out / "{name}.zarr", "--memory", "8GB")
    assert again.out.count("was finished before") == 2
    assert again.status == 1


def _bad_images(folder: Path) -> list[str]:
    """Images of every kind that no reader takes, each for a reason of its own."""
    scene = pictures.scene(60, 70)
    pictures.geotiff(folder / "truncated.tif", scene)
    (folder / "truncated.tif").write_bytes((folder / "truncated.tif").read_bytes()[:-4000])
    pictures.geotiff(folder / "damaged.tif", scene)
    with tifffile.TiffFile(folder / "damaged.tif") as file:
        start, count = file.pages.first.dataoffsets[0], file.pages.first.databytecounts[0]
    data = (folder / "damaged.tif").read_bytes()
    (folder / "damaged.tif").write_bytes(data[:start] + bytes(count) + data[start + count :])
    (folder / "elsewhere.vrt").write_text(
        '<VRTDataset rasterXSize="60" rasterYSize="60"><VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>/etc/passwd'
        "</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (folder / "huge.npy").write_bytes(
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 99999999), }".ljust(117)
        + b"\n"
    )
    for suffix in ("tif", "npy", "jp2", "svs", "png"):
        (folder / f"empty-{suffix}.{suffix}").write_bytes(b"")
    (folder / "nothing.zarr").mkdir()
    (folder / "nothing.zarr" / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {"ome": "x"}}'
    )
    pictures.png(folder / "small.png", scene[:5, :5])
    return sorted(each.stem for each in folder.iterdir())


@pytest.mark.parametrize("way", ["store", "memory"])
def test_a_bad_image_never_ends_a_batch(way: str, run: Run, net: list[str], tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "maps"
    folder.mkdir()
    bad = _bad_images(folder)
    for name in ("aaa.png", "zzz.png"):
        pictures.png(folder / name, pictures.scene(60, 70))
    images = sorted(folder.iterdir())
    found = run("map", *net, *images, "-o", out / "{name}.zarr" if way == "store" else out)
    assert found.status == 1
    assert f"{len(bad)} of {len(images)} images failed" in found.err
    for image in images:
        if image.stem in bad:
            assert str(image) in found.err.split("images failed", 1)[1]
    kind = "zarr" if way == "store" else "npz"
    for name in ("aaa", "zzz"):
        assert ClassMap.load(out / f"{name}.{kind}").grid.rows == 8


def test_access_is_asked_for(run: Run, net: list[str], tmp_path: Path) -> None:
    pictures.geotiff(tmp_path / "s.tif", pictures.scene(60, 70))
    (tmp_path / "inside").mkdir()
    mosaic = tmp_path / "inside" / "x.vrt"
    mosaic.write_text(
        '<VRTDataset rasterXSize="70" rasterYSize="60"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">../s.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    out = tmp_path / "x.zarr"
    refused = run("map", *net, mosaic, "-o", out)
    assert refused.status == 2
    assert "lies outside the folder of the mosaic; allow it with --trust (trust=True)" in refused.err
    assert run("map", *net, mosaic, "-o", out, "--trust", "--allow-remote").status == 0
    found = fullconv.map(runs.digits(), mosaic, trust=True, preprocess="unit")
    np.testing.assert_allclose(found.scores, np.asarray(ClassMap.load(out).scores[...]), atol=1e-6)


def test_lists_and_tables_of_images(image: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# slides\n{image}\n\nx.npy\n")
    (tmp_path / "table.csv").write_text(f"id,Slide,grade\n1,{image},3\n2,x.npy,1\n")
    (tmp_path / "plain.csv").write_text(f"{image},3\n")
    for name in ("list.txt", "table.csv", "plain.csv"):
        assert images_of([str(tmp_path / name)]) == [str(image)]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(BadInput, match="names no image"):
        images_of([str(tmp_path / "empty.txt")])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match="holds no image"):
        images_of([str(tmp_path / "nothing")])


@pytest.mark.parametrize(
    ("text", "count"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 << 29), ("800M", 8 * 10**8), ("12345", 12345), (None, None)]
)
def test_amounts_of_memory(text: str | None, count: int | None) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["much", "0", "-2GB", "2XB"])
def test_amounts_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="an amount of memory, 2GB or 800MB say"):
        bytes_of(text)


WRONG = [
    (["--memory", "1MB"], "a memory budget of 1 MB is too small: the least tile"),
    (["--level", "4"], "has no level 4"),
    (["--mpp", "0.5"], "does not say how large a pixel is"),
    (["--bands", "2"], "has bands 1 to 1, not 2"),
    (["--where", "nowhere.geojson"], "no such file (--where takes auto"),
    (["--keep", "horse"], "no class is named 'horse'"),
    (["--scales", "0.5,1"], "--scales maps images that fit in memory"),
    (["--dask", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
    (["--level", "0", "--mpp", "1"], "give one of them"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_wrong_options(
    run: Run, net: list[str], image: Path, tmp_path: Path, options: list[str], told: str, monkeypatch
) -> None:
    monkeypatch.setattr("fullconv.stream.cluster._ANSWERS", 1.0)
    found = run("map", *net, image, "-o", tmp_path / "x.zarr", *options)
    assert found.status == 2
    assert told in found.err
    assert found.err.count("fullconv: ") == 1


def test_a_place_that_cannot_be_written(run: Run, net: list[str], image: Path) -> None:
    found = run("map", *net, image, "-o", "/proc/x.zarr")
    assert found.status == 2
    assert "/proc/x.zarr: cannot be written there" in found.err


def test_an_unfinished_result_is_told(run: Run, net: list[str], image: Path, tmp_path: Path, monkeypatch) -> None:
    from fullconv.results.store import Store

    def ended(*args) -> None:
        raise MemoryError

    monkeypatch.setattr(Store, "finish", ended)
    with pytest.raises(MemoryError):
        fullconv.map_raster(runs.digits(), image, tmp_path / "x.zarr", preprocess="unit")
    refused = run("export", tmp_path / "x.zarr", "-o", tmp_path / "x.csv")
    assert refused.status == 2
    assert "--partial" in refused.err
    assert not (tmp_path / "x.csv").exists()
    found = run("export", tmp_path / "x.zarr", "-o", tmp_path / "x.csv", "--partial")
    assert found.status == 0
    assert "is not finished: cells of tiles that are not done have no answer" in found.err


def test_wrong_results(run: Run, net: list[str], image: Path, tmp_path: Path) -> None:
    for args, told in (
        (("export", tmp_path / "none.zarr", "-o", tmp_path / "x.tif"), "no such file"),
        (("export", image, "-o", tmp_path / "x.tif"), "not a class map that fullconv wrote"),
        (
            ("map", *net, image, image.with_name("y.npy"), "-o", tmp_path / "x.zarr"),
            "is one result, and there are 2 images; name a folder",
        ),
    ):
        found = run(*args)
        assert found.status == 2
        assert told in found.err


def test_a_picture_of_a_stored_map_over_its_image(run: Run, net: list[str], tmp_path: Path) -> None:
    path = pictures.svs(tmp_path / "a.svs", pictures.scene(1200, 900))
    assert run("map", *net, path, "-o", tmp_path / "a.zarr").status == 0
    assert run("export", tmp_path / "a.zarr", "-o", tmp_path / "a.png", "--class", "3", "--image", path).status == 0
    from PIL import Image

    with Image.open(tmp_path / "a.png") as picture:
        assert np.asarray(picture).std() > 20
