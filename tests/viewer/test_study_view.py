"""What is shown of a folder of results: each with what the study's table says of it, and nothing that lies elsewhere."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fullconv
from fullconv.errors import BadInput
from fullconv.maps.classmap import ClassMap
from tests.viewer.conftest import Mapped, Serve, pixels


@pytest.fixture(scope="module")
def study(mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The study's folder, and that of its images."""
    folder = tmp_path_factory.mktemp("study")
    images = folder / "images"
    images.mkdir()
    for i, size in enumerate(((200, 300), (250, 200))):
        Image.fromarray(pixels(size, seed=i)).save(images / f"slide{i}.png")
    (images / "broken.png").write_bytes(b"no picture")
    model = fullconv.load(*mapped.net, check=False)
    fullconv.run(model, sorted(images.glob("*.png")), folder / "results", labels=["a", "<b>b</b>", "c"], exports="none")
    return folder / "results", images


def test_every_image_is_a_row(serve: Serve, study: tuple[Path, Path]) -> None:
    results, images = study
    client = serve(results, image=images)
    about = client.get("/api/about").json()
    assert about["study"] is True
    rows = {each["name"]: each for each in about["results"]}
    assert list(rows) == ["slide0.zarr", "slide1.zarr", "broken.png"]
    assert "<b>b</b> share" in about["columns"]
    values = dict(zip(about["columns"], rows["slide1.zarr"]["values"], strict=True))
    assert (values["width"], values["status"]) == ("200", "mapped")
    assert "not an image" in rows["broken.png"]["error"]
    for i, size in enumerate(((200, 300), (250, 200))):
        opened = client.get(f"/api/{i}/about").json()
        assert (opened["image"]["height"], opened["image"]["width"]) == size
        tile = Image.open(io.BytesIO(client.get(f"/api/image/{i}/0/0/0").content))
        np.testing.assert_array_equal(np.asarray(tile), pixels(size, seed=i))
    answer = client.get("/api/2/about")
    assert answer.status_code == 400
    assert "broken.png" in answer.json()["error"]


def test_thumbnails_show_winners_where_they_lie(serve: Serve, study: tuple[Path, Path]) -> None:
    results, images = study
    found, under = ClassMap.load(results / "slide0.zarr"), pixels((200, 300), seed=0)
    picture = np.asarray(Image.open(io.BytesIO(serve(results, image=images).get("/api/0/thumbnail").content))).astype(
        int
    )
    assert picture.shape == (107, 160, 3)
    scale = 300 / 160
    rng, seen = np.random.default_rng(0), 0
    for top, left in zip(rng.integers(12, 95, 90), rng.integers(12, 148, 90), strict=True):
        x, y = (left + 0.5) * scale - 0.5, (top + 0.5) * scale - 0.5
        around = {tuple(found.grid.nearest(x + dx, y + dy)) for dx in (-1, 1) for dy in (-1, 1)}
        if len(around) > 1:
            continue
        seen += 1
        colour = np.array(found.colour(int(found.at(x, y).argmax())))
        grey = under[int(y) - 2 : int(y) + 4, int(x) - 2 : int(x) + 4].astype(int)
        low, high = 0.4 * grey.min() + 0.6 * colour, 0.4 * grey.max() + 0.6 * colour
        assert (picture[top, left] >= low - 3).all()
        assert (picture[top, left] <= high + 3).all()
    assert seen > 20


def test_a_table_leads_nowhere_else(serve: Serve, study: tuple[Path, Path], mapped: Mapped, tmp_path: Path) -> None:
    """Of its paths only the names count, and only in its own folder."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    shutil.copytree(study[0] / "slide0.zarr", folder / "own.zarr")
    lines = ["image,status,error,result", f"/etc/passwd,mapped,,{mapped.result}", f"x,mapped,,../{mapped.result.name}", "y,mapped,,own.zarr", "z,failed,<b>,/etc"]  # fmt: skip
    (folder / "summary.csv").write_text("\n".join(lines), encoding="utf-8")
    client = serve(folder, image=study[1])
    entries = client.get("/api/about").json()["results"]
    assert [bool(each["error"]) for each in entries] == [True, True, False, True]
    assert client.get("/api/2/about").json()["image"]["name"] == "slide0.png"  # by the store's own word
    assert client.get("/api/0/about").status_code == 400
    for name, text in (("of another", "a,b\n1,2"), ("binary", b"\xff\xfe\x00"), ("quoted", 'image,status\n"')):
        (folder / "summary.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(BadInput, match=r"summary\.csv"):
            serve(folder)
        assert name


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "..", ".", "", "a\\..\\secret.png"])
def test_an_image_is_looked_for_by_its_name_alone(
    serve: Serve, study: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    results, images = tmp_path / "results", tmp_path / "images"
    images.mkdir()
    shutil.copytree(study[0] / "slide0.zarr", results / "x.zarr")
    Image.fromarray(pixels((200, 300), seed=0)).save(tmp_path / "secret.png")
    about = results / "x.zarr" / "zarr.json"
    text = about.read_text(encoding="utf-8")
    assert '"slide0.png"' in text
    about.write_text(text.replace('"slide0.png"', f'"{name}"'.replace("\\", "\\\\")), encoding="utf-8")
    answer = serve(results, image=images).get("/api/0/about")
    assert answer.status_code == 200
    assert answer.json()["image"] is None


def test_a_folder_without_a_result_is_refused(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no result"):
        serve(tmp_path)


def test_results_of_other_images_are_a_study(serve: Serve, study: tuple[Path, Path]) -> None:
    client = serve(study[0] / "slide0.zarr", study[0] / "slide1.zarr", image=study[1])
    assert client.get("/api/about").json()["study"] is True
    assert client.get("/api/1/about").json()["image"]["name"] == "slide1.png"
