"""A difference of two maps is what ``fullconv compare`` says of them, cell by cell, at every level."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap
from fullconv.maps.comparison import compare
from tests.viewer.conftest import Mapped, Serve

IMAGE = (700, 1500)
FINE = Grid(160, 360, (Fraction(4), Fraction(4)), (Fraction(28), Fraction(28)), (Fraction(27, 2), Fraction(27, 2)), (Fraction(28), Fraction(28)), IMAGE)  # fmt: skip
COARSE = replace(FINE, rows=110, cols=240, stride=(Fraction(6), Fraction(6)), centre0=(Fraction(21), Fraction(14)))


def made(path: Path, grid: Grid, labels: tuple[str, ...], seed: int, kind: str = "probabilities") -> ClassMap:
    rng = np.random.default_rng(seed)
    scores = rng.random((len(labels), grid.rows, grid.cols)).astype(np.float32)
    scores[:, rng.random((grid.rows, grid.cols)) < 0.2] = np.nan
    found = ClassMap(scores, grid, labels, score_kind=kind)
    found.save(path)
    return found


def whole(client: object, about: dict[str, object], what: str, level: int, plane: int | None = None) -> np.ndarray:
    """A level, of all its tiles."""
    rows, cols = about["levels"][level]  # type: ignore[index]
    out = np.zeros((rows, cols), np.float32 if what == "scores" else np.uint16)
    for row in range(-(-rows // 256)):
        for col in range(-(-cols // 256)):
            end = "" if plane is None else f"/{plane}"
            data = client.get(f"/api/1-0/{what}/{level}/{row}/{col}{end}")  # type: ignore[attr-defined]
            assert data.status_code == 200, data.text
            into = out[row * 256 : row * 256 + 256, col * 256 : col * 256 + 256]
            into[:] = np.frombuffer(data.content[-into.nbytes :], out.dtype).reshape(into.shape)
    return out


@pytest.mark.parametrize("other", [FINE, COARSE])
def test_it_counts_what_compare_counts(serve: Serve, tmp_path: Path, other: Grid) -> None:
    first = made(tmp_path / "a.npz", FINE, ("x", "y", "only in the first"), 1)
    second = made(tmp_path / "b.npz", other, ("y", "z", "x"), 2)
    client, said = serve(tmp_path / "a.npz", tmp_path / "b.npz"), compare(first, second)
    about = client.get("/api/1-0/about").json()["result"]
    assert about["labels"] == ["x", "y"]
    assert about["range"] == [-1, 1]
    assert any("'z'" in remark for remark in about["remarks"])
    kinds = whole(client, about, "winners", 0)
    assert ((kinds == 1).sum(), (kinds == 2).sum()) == (said.agree, said.compared - said.agree)
    assert (kinds == 0).sum() == sum(said.alone)
    for plane, label in enumerate(("x", "y")):
        gap = whole(client, about, "scores", 0, plane)
        mean = next(each.gap for each in said.classes if each.label == label)
        assert np.nanmean(gap.astype(np.float64)) == pytest.approx(mean, abs=1e-6)
    rng = np.random.default_rng(3)
    grid = said.grid
    for _ in range(20):  # a cell, by the other's whose centre is nearest
        row, col = int(rng.integers(10, grid.rows - 10)), int(rng.integers(10, grid.cols - 10))
        x, y = grid.centre(row, col)
        one, two = first.at(x, y), second.at(x, y)
        assert gap[row, col] == pytest.approx(two[0] - one[1], abs=1e-6, nan_ok=True)
        cell = client.get(f"/api/1-0/cell/{row}/{col}").json()
        for numbers, own in ((cell["other"], one[[0, 1]]), (cell["scores"], two[[2, 0]])):
            assert [np.nan if n is None else n for n in numbers] == pytest.approx(own.tolist(), abs=1e-6, nan_ok=True)


def test_coarser_squares_are_means_and_part_where_a_cell_does(serve: Serve, tmp_path: Path) -> None:
    made(tmp_path / "a.npz", FINE, ("x", "y"), 1)
    made(tmp_path / "b.npz", FINE, ("x", "y"), 2)
    client = serve(tmp_path / "a.npz", tmp_path / "b.npz")
    about = client.get("/api/1-0/about").json()["result"]
    fine, gap = whole(client, about, "winners", 0).astype(int), whole(client, about, "scores", 0, 1)
    assert len(about["levels"]) == 2
    blocks = [part.reshape(80, 2, 180, 2).swapaxes(1, 2).reshape(80, 180, 4) for part in (fine, gap)]
    rank = np.select([(blocks[0] == kind).any(-1) for kind in (2, 0, 1)], [2, 0, 1], 65535)
    np.testing.assert_array_equal(whole(client, about, "winners", 1), rank)
    known = ~np.isnan(blocks[1]).all(-1)
    np.testing.assert_allclose(whole(client, about, "scores", 1, 1)[known], np.nanmean(blocks[1][known], -1), atol=1e-6)


def test_what_cannot_be_compared_is_said(mapped: Mapped, serve: Serve, tmp_path: Path) -> None:
    made(tmp_path / "a.npz", FINE, ("x", "y"), 1)
    made(tmp_path / "b.npz", FINE, ("x", "y"), 2, "logits")
    made(tmp_path / "c.npz", FINE, ("p", "q"), 2)
    client = serve(*(tmp_path / name for name in ("a.npz", "b.npz", "c.npz")))
    about = client.get("/api/1-0/about").json()["result"]
    assert about["winnersOnly"] is True
    assert client.get("/api/1-0/winners/0/0/0").status_code == 200
    assert "are not compared" in client.get("/api/1-0/scores/0/0/0/0").json()["error"]
    answer = client.get("/api/2-0/about")
    assert answer.status_code == 400
    assert "no class in common" in answer.json()["error"]
    for wrong in ("7-0", "0-7", "0-", "-0", "1-0-0", "a-b", "1.5"):
        assert client.get(f"/api/{wrong}/about").status_code == 404, wrong
    for path in ("verdicts", "peaks/0", "areas", "state", "crop/1/1", "thumbnail"):  # these are of one map
        assert client.get(f"/api/1-0/{path}").status_code == 404, path
