"""What a card says of maps stays with them: a threshold wherever one counts, and background that is no finding."""

from __future__ import annotations

import csv
import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import fullconv
from fullconv.cli.main import cli
from fullconv.cli.places import peaks_of, tell_peaks
from fullconv.errors import BadInput
from fullconv.exports.export import Asked, write
from fullconv.exports.images import ImageTable
from fullconv.exports.regions import regions_of
from fullconv.geometry.grid import Grid
from fullconv.results.advice import Advice
from fullconv.study.run import run
from fullconv.viewer.exhibit import Exhibit
from tests.cards.carded import CARD


def done(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def least(folder: Path) -> float:
    """A threshold that some of the scores of the first class reach, and none of them 0.5."""
    scores = np.asarray(fullconv.map(folder / "model.toml", folder / "image.png").scores[0])
    assert scores.max() < 0.5
    found = float(np.float32(np.quantile(scores, 0.7)))
    (folder / "model.toml").write_text(
        CARD.replace("threshold = 0.4", f'threshold = {found}\nsource = "a trial"').replace(
            'name = "stroma"', 'name = "rest"'
        )
    )
    return found


@pytest.fixture
def store(folder: Path, least: float) -> Path:
    out = folder / "out.zarr"
    fullconv.map_raster(folder / "model.toml", folder / "image.png", out)
    return out


def test_a_store_says_what_its_card_said(folder: Path, store: Path, least: float) -> None:
    found = fullconv.ClassMap.load(store)
    assert found.advice.to_json() == {
        "threshold": least, "background": [1], "licence": "CC0", "source": "a trial",
    }  # fmt: skip
    assert found.findings == (0, 2)
    peaks = found.peaks("tumour")
    assert peaks == found.peaks("tumour", least) != []
    with pytest.raises(BadInput, match="no score reaches it"):
        found.peaks("tumour", 1.5)  # what is given wins
    found.save(folder / "map.npz")
    assert fullconv.ClassMap.load(folder / "map.npz").advice == found.advice
    shown = done("info", store)
    for text in (
        f"from {least:g} on",
        "licence of the network: CC0",
        "source of the network: a trial",
        "rest (background)",
    ):
        assert text in shown
    assert json.loads(done("info", store, "--json"))["advice"] == found.advice.to_json()
    some = fullconv.map_raster(folder / "model.toml", folder / "image.png", folder / "some.zarr", keep=["rest", "fat"])
    assert some.advice.background == (0,)
    assert some.findings == (1,)
    assert Exhibit(str(store)).found.advice == found.advice


def half(background: tuple[int, ...]) -> fullconv.ClassMap:
    """A map whose left half is of class 0, and whose right one is of class 1, with a peak each."""
    scores = np.zeros((2, 8, 8), np.float32)
    scores[0, :, :4] = scores[1, :, 4:] = 0.5
    scores[0, 3, 1] = scores[1, 3, 6] = 1
    eight, none = (Fraction(8), Fraction(8)), (Fraction(7, 2), Fraction(7, 2))
    grid = Grid(8, 8, eight, eight, none, eight, (64, 64))
    return fullconv.ClassMap(scores, grid, ("tissue", "glass"), advice=Advice(0.75, background))


@pytest.mark.parametrize("what", ["regions", "winners", "peaks"])
@pytest.mark.parametrize("out", ["found.geojson", "found.gpkg"])
def test_polygons_leave_background_out_unless_it_is_named(tmp_path: Path, what: str, out: str) -> None:
    pytest.importorskip("pyogrio")
    found = half((1,))
    written = write(found, tmp_path / out, Asked(what=what))
    assert written.count == 1
    assert written.notes == (
        "background is left out, as the network's card has it: 'glass'; name it to have it (--class, name=)",
    )
    for name, count in (("glass", 1), ("tissue,glass", 2), ("tissue", 1)):
        named = write(found, tmp_path / out, Asked(name, what=what))
        assert (named.count, named.notes) == (count, ())
    for background in ((), (0, 1)):  # where all is background, it is what is looked for
        assert write(half(background), tmp_path / out, Asked(what=what)).count == 2


def test_tables_leave_background_out_and_cells_do_not(tmp_path: Path) -> None:
    found = half((1,))
    for what, rows in (("areas", 1), ("peaks", 1), ("cells", 64)):
        assert write(found, tmp_path / f"{what}.csv", Asked(what=what)).count == rows
    (row,) = _rows(tmp_path / "areas.csv")
    assert (row["label"], row["cells"], row["share"]) == ("tissue", "32", "0.5")  # of all cells with an answer
    assert write([found, half(())], tmp_path / "both.csv", Asked(what="areas")).count == 4
    # The regions that the card's threshold makes are those of the same threshold given.
    assert write(found, tmp_path / "r.geojson", Asked(what="regions")).count == 1
    assert write(found, tmp_path / "r.geojson", Asked(what="regions", threshold=0.5)).count == 1
    areas = [len(next(iter(regions_of(found, (0,), least))).runs) for least in (found.least_score(), 0.5)]
    assert areas == [1, 8]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_background_is_drawn_as_the_image_is() -> None:
    grey = Image.new("RGB", (64, 64), (90, 91, 92))
    plain, clear, none = (half(which).overlay(image=grey) for which in ((), (1,), (0, 1)))
    bare = [int((np.asarray(each.convert("RGB")) == (90, 91, 92)).all(axis=2).sum()) for each in (plain, clear, none)]
    assert bare[0] == 0
    assert abs(2 * bare[1] - bare[2]) <= 0.1 * bare[2]
    assert bare[2] >= 64 * 64


def test_words_leave_background_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = half((0,))
    assert [peak.label for peak in peaks_of(found, (), None)] == ["glass"]
    assert [peak.label for peak in peaks_of(found, (0,), None)] == ["tissue"]
    tell_peaks(found, (), None, peaks_of(found, (), None), "")
    assert "tissue (background) in 50.0%, glass in 50.0%" in capsys.readouterr().out


def test_background_wins_no_image(tmp_path: Path) -> None:
    found = half((0,))
    found.scores[0, :, 4:7] = 2  # seven of eight cells
    table = ImageTable(tmp_path / "images.csv", found.labels)
    table.add("a.png", found, {})
    table.add("b.png", half((0, 1)), {})
    assert [row["winner"] for row in table.rows()] == ["glass", "tissue"]


def test_rasters_hold_every_class(folder: Path, store: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    done("export", store, "-o", folder / "winners.tif", "--what", "winners")
    with rasterio.open(folder / "winners.tif") as file:
        assert (file.read(1) == np.asarray(fullconv.ClassMap.load(store).top1)).all()
        assert file.colormap(1)[2][:3] == (1, 226, 3)


def test_a_threshold_is_of_the_scores_that_the_card_is_about(folder: Path, least: float) -> None:
    given = folder / "model.toml", folder / "image.png"
    assert fullconv.map(*given).advice.threshold == least
    assert fullconv.map(*given, activation="none").advice.threshold is None
    assert fullconv.map(*given, activation="softmax").advice.threshold == least
    assert fullconv.map(*given, labels=["a", "b", "c"]).advice.background == ()
    told = done("map", *given, "-o", folder / "one", "--class", "tumour")
    assert re.search(rf"places? of 'tumour' scores? {least:g} or more", told)
    told = done("map", *given, "-o", folder / "two", "--class", "tumour", "--activation", "none")
    assert "'tumour' scores 0.5 or more" in told or "'tumour' score 0.5 or more" in told
    (folder / "model.toml").write_text(CARD.replace("threshold = 0.4", "threshold = 2.0"))
    with pytest.raises(BadInput, match="the network's card: threshold 2: no score reaches it"):
        fullconv.map(*given).peaks("tumour")


def test_a_study_counts_by_the_card(folder: Path, least: float) -> None:
    study = run(folder / "model.toml", [folder / "image.png"], folder / "study", classes="tumour", exports="geojson")
    found = fullconv.ClassMap.load(folder / "study" / "image.zarr")
    (outcome,) = study.outcomes
    assert outcome.classes[0].peaks == len(found.peaks("tumour", least))
    (folder / "model.toml").write_text((folder / "model.toml").read_text().replace(str(least), "0.01"))
    (again,) = run(
        folder / "model.toml", [folder / "image.png"], folder / "study", classes="tumour", exports="geojson"
    ).outcomes
    assert again.classes[0].over == found.scores[0].size
    assert fullconv.ClassMap.load(folder / "study" / "image.zarr").advice.threshold == 0.01


def test_a_finished_store_says_what_its_card_says_now(folder: Path, store: Path) -> None:
    before = np.asarray(fullconv.ClassMap.load(store).scores[:, :, :])
    notes: list[str] = []
    (folder / "other.toml").write_text(CARD.replace('name = "stroma"', 'name = "rest"\n').replace("0.4", "0.25"))
    again = fullconv.map_raster(folder / "other.toml", folder / "image.png", store, notes=notes.append)
    assert any("is finished; its colours, threshold and background are now" in note for note in notes)
    assert again.advice.threshold == 0.25 == fullconv.ClassMap.load(store).advice.threshold
    assert np.array_equal(before, np.asarray(again.scores[:, :, :]))
    assert not list(store.glob("*.partial"))


@pytest.mark.parametrize(
    "advice", [{"threshold": "high"}, {"background": [7]}, {"background": "all"}, {"licence": 3}, [1]]
)
def test_a_store_of_a_stranger_says_nothing_else(store: Path, advice: object) -> None:
    path = store / "zarr.json"
    data = json.loads(path.read_text())
    data["attributes"]["fullconv"]["advice"] = advice
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput, match="its attributes are damaged"):
        fullconv.ClassMap.load(store)
