"""Two maps of one image compared: every number against a loop over cells."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import fullconv
from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps import against
from fullconv.maps.classmap import ClassMap
from fullconv.render.canvas import MARGIN, drawn_size
from tests.stream import runs


def pair(value: int | str) -> tuple[Fraction, Fraction]:
    return Fraction(value), Fraction(value)


GRID = Grid(9, 12, pair(4), pair(16), pair("15/2"), pair(16), (52, 64))
LABELS = ("cat", "dog", "bird")


def random_map(seed: int, grid: Grid = GRID, labels: tuple[str, ...] = LABELS, kind: str = "probabilities") -> ClassMap:
    rng = np.random.default_rng(seed)
    scores = rng.random((len(labels), grid.rows, grid.cols)).astype(np.float32)
    scores[:, rng.random(scores.shape[1:]) < 0.1] = np.nan
    return ClassMap(scores / np.nansum(scores, axis=0), grid, labels, score_kind=kind)


def winner(found: ClassMap, row: int, col: int) -> str | None:
    scores = found.scores[:, row, col]
    return None if np.isnan(scores).all() else found.labels[int(np.nanargmax(scores))]


@pytest.mark.parametrize("piece", [1 << 20, 200])
def test_every_number_is_that_of_a_loop(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "_PIECE", piece)
    first, second = random_map(0), random_map(1, labels=("bird", "cow", "cat"))  # other order, one class each alone
    found = fullconv.compare(first, second)
    compared, agree, alone, pairs = 0, 0, [0, 0], {}
    members = {label: [0, 0, 0] for label in (*LABELS, "cow")}
    gaps: dict[str, list[float]] = {"cat": [], "bird": []}
    for row in range(GRID.rows):
        for col in range(GRID.cols):
            a, b = winner(first, row, col), winner(second, row, col)
            alone[0] += a is not None and b is None
            alone[1] += b is not None and a is None
            if a is None or b is None:
                continue
            compared += 1
            agree += a == b
            members[a][0] += 1
            members[b][1] += 1
            members[a][2] += a == b
            if a != b:
                pairs[a, b] = pairs.get((a, b), 0) + 1
            for label in gaps:
                i, j = first.labels.index(label), second.labels.index(label)
                gaps[label].append(float(second.scores[j, row, col]) - float(first.scores[i, row, col]))
    assert (found.compared, found.agree, found.alone) == (compared, agree, tuple(alone))
    assert found.share == agree / compared
    assert {each.label: [each.first, each.second, each.both] for each in found.classes} == members
    assert {(a, b): count for a, b, count in found.pairs} == pairs
    assert [count for _, _, count in found.pairs] == sorted(pairs.values(), reverse=True)
    told = {each.label: each.gap for each in found.classes}
    assert told["dog"] is None
    assert told["cow"] is None
    for label, values in gaps.items():
        assert told[label] == pytest.approx(np.mean(values), abs=1e-12)
    every = np.abs([*gaps["cat"], *gaps["bird"]])
    assert found.mean_gap == pytest.approx(every.mean(), abs=1e-12)
    most = found.largest
    assert most is not None
    assert abs(most.second - most.first) == every.max()
    at = LABELS.index(most.label), most.row, most.col
    assert first.scores[at] == np.float32(most.first)
    assert (most.x, most.y) == first.centre(most.row, most.col)
    assert found.remarks == ("only the first map has 'dog'", "only the second map has 'cow'")
    json.dumps(found.to_json())


def test_infinite_scores_are_told_where_they_differ() -> None:
    """As logarithms of probabilities have them: the same on both sides is no difference, and any other is none that a mean could hold."""
    first = random_map(0, kind="log-probabilities")
    first.scores[0, 2, 3] = first.scores[1, 4, 4] = -np.inf
    same = replace(first, scores=first.scores.copy())
    found = fullconv.compare(first, same)
    assert (found.apart, found.mean_gap) == (0, 0)
    assert "scores are equal" in str(found)
    same.scores[0, 2, 3], same.scores[2, 5, 5], same.scores[1, 6, 6] = -80, -np.inf, np.nan
    there = sum(winner(first, *cell) is not None for cell in ((2, 3), (5, 5), (6, 6)))
    found = fullconv.compare(first, same)
    assert (found.apart, found.mean_gap) == (there, 0)
    assert "scores are equal" not in str(found)
    assert f"{there} scores" in str(found)
    assert found.to_json()["apart"] == there > 1


def test_classes_and_a_threshold() -> None:
    first, second = random_map(0), random_map(1)
    found = fullconv.compare(first, second, classes="dog", threshold=0.4)
    a, b = (np.asarray(each.scores)[1] >= 0.4 for each in (first, second))
    there = ~np.isnan(first.scores[0]) & ~np.isnan(second.scores[0])
    (dog,) = found.classes
    assert (dog.first, dog.second, dog.both) == ((a & there).sum(), (b & there).sum(), (a & b).sum())
    assert dog.overlap == (a & b).sum() / ((a | b) & there).sum()
    assert found.agree == ((a == b) & there).sum()
    assert sum(count for _, _, count in found.pairs) == found.compared - found.agree
    by_winner = fullconv.compare(first, second, classes="dog,cat")
    wins = [np.array([[winner(each, row, col) for col in range(12)] for row in range(9)]) for each in (first, second)]
    alike = (wins[0] == wins[1])[there].sum()  # of dog, cat and the one other class, agreement is that of winners
    assert by_winner.agree == alike


@pytest.mark.parametrize("swapped", [False, True])
def test_a_finer_map_is_compared_at_the_coarser_cells(swapped: bool) -> None:
    finer = Grid(17, 23, pair(2), pair(16), pair("15/2"), pair(16), (52, 64))  # every second cell is one of GRID
    fine = random_map(3, finer)
    coarse = replace(fine, scores=fine.scores[:, ::2, ::2], grid=GRID)
    maps = (fine, coarse) if swapped else (coarse, fine)
    found = fullconv.compare(*maps)
    assert found.grid == GRID
    assert found.share == 1
    assert found.compared == (~np.isnan(coarse.scores[0])).sum()
    assert found.mean_gap == 0
    assert found.off == (0, 0)
    assert "scores are equal" in str(found)
    which = "second" if swapped else "first"
    assert found.remarks == (f"cells are the {which} map's; the other's centres lie on them",)


@pytest.mark.parametrize("piece", [1 << 20, 200])  # in pieces some of which the other map does not reach
def test_cells_beyond_the_other_map_have_an_answer_in_one_only(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "_PIECE", piece)
    shifted = replace(GRID, centre0=(Fraction(15, 2) + 9, Fraction(15, 2)))  # two steps and a quarter further down
    first = random_map(0)
    second = replace(first, grid=shifted)
    found = fullconv.compare(first, second)
    assert found.off == (1.0, 0.0)
    there = ~np.isnan(first.scores[0])
    assert found.compared == (there[2:] & there[:-2]).sum()
    assert found.alone == (there[:2].sum() + (there[2:] & ~there[:-2]).sum(), (~there[2:] & there[:-2]).sum())


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    first = random_map(0)
    wrong = [
        (replace(first, grid=replace(GRID, image=(60, 64))), {}, r"of images of 64×52 and 64×60 px"),
        (replace(first, labels=("x", "y", "z")), {}, "no class in common"),
        (replace(first, scores=np.full_like(first.scores, np.nan)), {}, "no cell has an answer in both"),
        (first, {"threshold": 0.5}, "of which classes|give these too"),
        (first, {"classes": "dog", "threshold": 1.5}, "no score reaches it"),
        (first, {"classes": "fish"}, "no class is named 'fish'"),
    ]
    for other, options, words in wrong:
        with pytest.raises(BadInput, match=words):
            fullconv.compare(first, other, **options)


def test_scores_of_two_kinds_are_not_compared() -> None:
    found = fullconv.compare(random_map(0), random_map(1, kind="logits"))
    assert found.mean_gap is None
    assert found.largest is None
    assert found.remarks == (
        "scores are not compared: they are probabilities in the first map and logits in the second",
    )


def test_stores_are_read_piece_by_piece(tmp_path: Path) -> None:
    image = runs.picture(tmp_path / "x.npy", 300, 260)
    maps = []
    for name, options in (("all", {}), ("top", {"keep": "top1"}), ("fine", {"stride": 2})):
        model = runs.digits() if name != "fine" else runs.digits().refined(2)
        options.pop("stride", None)
        maps.append(fullconv.map_raster(model, image, tmp_path / f"{name}.zarr", preprocess="unit", **options))
    whole, top, fine = maps
    same = fullconv.compare(tmp_path / "all.zarr", tmp_path / "top.zarr")
    assert same.share == 1
    assert same.remarks == ("scores are not compared: a map holds those of winners alone",)
    assert sum(each.both for each in same.classes) == same.compared == whole.top1.size
    finer = fullconv.compare(fine, whole)
    assert finer.grid == whole.grid
    assert finer.share == 1
    assert finer.mean_gap is not None
    assert finer.mean_gap < 1e-6
    assert top.record is not None


def test_another_image_is_told(tmp_path: Path) -> None:
    for i in (0, 1):
        image = tmp_path / f"{i}.npy"
        np.save(image, np.random.default_rng(i).integers(0, 256, (120, 100), np.uint8))
        fullconv.map_raster(runs.digits(), image, tmp_path / f"{i}.zarr", preprocess="unit")
    found = fullconv.compare(tmp_path / "0.zarr", tmp_path / "1.zarr")
    assert found.remarks == ("the two were made of different images or versions of one (0.npy and 1.npy)",)


def test_the_picture_shows_where_they_part() -> None:
    first = random_map(0)
    scores = first.scores.copy()
    scores[:, 4, 5] = np.roll(scores[:, 4, 5], 1)
    assert winner(first, 4, 5) != winner(replace(first, scores=scores), 4, 5)
    page = fullconv.compare(first, replace(first, scores=scores)).picture(np.full((52, 64), 255, np.uint8))
    scale, (width, height) = drawn_size(GRID)
    pixels = np.asarray(page.flat().convert("RGB")).astype(int)[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    ys, xs = np.nonzero(pixels[..., 0] > pixels[..., 2] + 30)  # vermilion: blue and white are not redder than blue
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (26 * scale, 30 * scale, 22 * scale, 26 * scale)
    assert first.centre(4, 5) == (27.5, 23.5)
