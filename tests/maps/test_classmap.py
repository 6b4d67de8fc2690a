from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fullconv.errors import BadInput
from fullconv.geometry.grid import Grid
from fullconv.maps.classmap import ClassMap, class_index, read_labels
from fullconv.maps.labels import classes_named


def grid(rows: int = 4, cols: int = 5) -> Grid:
    step, crop, centre = (Fraction(4), Fraction(8)), (Fraction(10), Fraction(20)), (Fraction(9, 2), Fraction(19, 2))
    return Grid(rows, cols, step, crop, centre, crop, (22, 52))


def example() -> ClassMap:
    scores = np.zeros((3, 4, 5), np.float32)
    scores[1, 2, 3], scores[1, 0, 0], scores[1, 2, 2], scores[2, 3, 4] = 0.9, 0.8, 0.85, 0.7
    return ClassMap(scores, grid(), ("n01 tabby, tabby cat", "tiger cat", "dog"), "prob")


def test_cells_are_pixels() -> None:
    found = example()
    assert found.box(2, 3) == (24, 8, 44, 18)
    assert found.centre(2, 3) == (33.5, 12.5)
    assert found.at(34, 12).tolist() == found.scores[:, 2, 3].tolist()


def test_peaks_are_apart_and_best_first() -> None:
    peaks = example().peaks("tiger cat", 0.5)
    assert [(p.row, p.col, round(p.score, 2)) for p in peaks] == [(2, 3, 0.9), (0, 0, 0.8)]
    assert peaks[0].box == (24, 8, 44, 18)
    assert len(example().peaks("tiger cat", 0.5, distance=1)) == 2, "a neighbour of a higher cell is no peak"
    assert example().peaks("dog", 0.75) == []


@pytest.mark.parametrize(("name", "index"), [("dog", 2), ("tabby", 0), ("TIGER", 1), ("1", 1), (2, 2)])
def test_classes_answer_to_label_words_and_number(name, index: int) -> None:
    assert example().class_index(name) == index


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cat", "could be 2 classes"),
        ("dgo", "did you mean 'dog'"),
        ("zebra", "the 3 classes are"),
        (7, "0 to 2"),
        ("", "could be 3"),
    ],
)
def test_unknown_and_ambiguous_classes_are_told(name, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        example().class_index(name)


def test_save_and_load(tmp_path: Path) -> None:
    found = example()
    found.save(tmp_path / "deep" / "map.npz")
    again = ClassMap.load(tmp_path / "deep" / "map.npz")
    np.testing.assert_array_equal(again.scores, found.scores)
    assert (again.grid, again.labels, again.output, again.by) == (found.grid, found.labels, "prob", "cast")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["map.npz"]


def test_what_is_no_class_map_is_told(tmp_path: Path) -> None:
    for name, write in (
        ("text.npz", lambda p: p.write_text("hello")),
        ("other.npz", lambda p: np.savez(p, a=np.zeros(3))),
        ("cut.npz", lambda p: (example().save(p), p.write_bytes(p.read_bytes()[:200]))),
        ("pickle.npz", lambda p: np.savez(p, about=np.array([{}], object), allow_pickle=True)),
    ):
        write(tmp_path / name)
        with pytest.raises(BadInput, match=name):
            ClassMap.load(tmp_path / name)
    with pytest.raises(BadInput, match="no such file"):
        ClassMap.load(tmp_path / "none.npz")


def test_scores_must_fit_labels_and_grid() -> None:
    with pytest.raises(BadInput, match="do not fit 2 labels"):
        ClassMap(np.zeros((3, 4, 5), np.float32), grid(), ("a", "b"))


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffeins\nzwei\n drei \n\n\n", encoding="utf-8")
    assert read_labels(path, 3) == ("eins", "zwei", "drei")
    assert read_labels(None, 2) == ("0", "1")
    assert read_labels(["a"], 1) == ("a",)
    with pytest.raises(BadInput, match=r"labels\.txt: holds 3 labels, the network has 4"):
        read_labels(path, 4)
    with pytest.raises(BadInput, match=r"no such file \(list of labels\)"):
        read_labels(tmp_path / "none.txt", 4)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"is not text in UTF-8 .*; save it as UTF-8"):
        read_labels(tmp_path / "binary.txt", 4)


def test_the_shared_labels_are_caffes(shared: Path) -> None:
    labels = read_labels(shared / "labels_imagenet" / "synset_words.txt", 1000)
    assert labels[281] == "n02123045 tabby, tabby cat"


@pytest.mark.parametrize("damage", ["no npy member", "encrypted", "bits", "header"])
def test_a_damaged_archive_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    example().save(path)
    data = bytearray(path.read_bytes())
    if damage == "no npy member":
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("scores", "labels", "about"):
                archive.writestr(name, "text")
    elif damage == "encrypted":
        for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = -1
            while (at := data.find(sign, at + 1)) >= 0:
                data[at + place] |= 1
        path.write_bytes(data)
    elif damage == "bits":
        data[60:200] = bytes(140)
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("about.npy", b"\x93NUMPY\x01\x00\x06\x00{'''(\n")
    with pytest.raises(BadInput, match="not a class map that fullconv wrote, or damaged"):
        ClassMap.load(path)


def test_labelled_axes(tmp_path: Path) -> None:
    """An xarray of a map, in memory or in a store: the same values at the same places, and a store is read as it is asked."""
    xarray = pytest.importorskip("xarray")
    found = example()
    view = found.to_xarray()
    assert view.dims == ("class", "y", "x")
    assert float(view.sel({"class": "dog"}).sel(y=12.5 + 4, x=33.5 + 8)) == pytest.approx(0.7)
    assert view.sel(x=34, y=12, method="nearest").values.tolist() == found.at(34, 12).tolist()
    assert view.attrs["crop"] == [10, 20]
    from fullconv.results.lazy import StoredScores
    from fullconv.results.places import storage_of
    from fullconv.results.store import Store
    from tests.results.test_mixing import record

    store = Store.create(storage_of(tmp_path / "x.zarr"), record())
    rng = np.random.default_rng(0)
    for tile in store.record.tiles:
        store.write(tile, rng.random((2, 20, 20), np.float32))
    store.finish([], 0)
    stored = ClassMap.load(tmp_path / "x.zarr")
    read = []
    original = StoredScores.__getitem__
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            StoredScores, "__getitem__", lambda self, key: (part := original(self, key), read.append(part.size))[0]
        )
        lazy = stored.to_xarray()
        part = lazy[1, 3:7, [5, 2]]
        assert isinstance(lazy, xarray.DataArray)
        assert not read
        np.testing.assert_array_equal(part.values, np.asarray(stored.scores)[1, 3:7][:, [5, 2]])
        assert read[0] <= 2 * 8, "what is asked for, and no more"
    np.testing.assert_array_equal(lazy.values, np.asarray(stored.scores))


def test_without_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from fullconv.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtra, match=r"fullconv\[xarray\]"):
        example().to_xarray()


def test_shown_in_a_notebook() -> None:
    """A table and a picture; a label from a stranger's file is no markup."""
    from dataclasses import replace

    found = replace(example(), labels=("<script>alert(1)</script>", "b", "c"), output="a&b")
    text = found._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a&amp;b" in text
    assert "4 × 5, one every 8 × 4 px" in text
    assert "data:image/png;base64,iVBOR" in text
    huge = np.broadcast_to(np.float32(0), (3, 4000, 5000))
    assert "image/png" not in replace(found, scores=huge, grid=grid(4000, 5000))._repr_html_()


def test_classes_are_named_by_short_forms_and_several_at_once() -> None:
    labels = ("TUM", "STR", "NORM", "tabby, tabby cat", "pit")
    for asked, meant in (
        ("tumour", "TUM"),
        ("stroma", "STR"),
        ("normal mucosa", "NORM"),
        ("tabi cat", "tabby, tabby cat"),
    ):
        with pytest.raises(BadInput, match=f"did you mean '{meant}'"):
            class_index(labels, asked)
    with pytest.raises(BadInput, match="the 5 classes are"):
        class_index(labels, "zebra")
    assert classes_named(labels, "pit,TUM, 0") == (4, 0)
    assert classes_named(labels, "tabby, tabby cat") == (3,)
    assert classes_named(labels, 2) == (2,)
    with pytest.raises(BadInput, match="'zebra'"):
        classes_named(labels, "pit,zebra")


def test_the_extent_is_where_the_cells_lie() -> None:
    grid = Grid(
        3,
        5,
        (Fraction(4), Fraction(8)),
        (Fraction(16), Fraction(16)),
        (Fraction(15, 2), Fraction(17, 2)),
        (Fraction(16), Fraction(16)),
        (40, 60),
    )
    found = ClassMap(np.zeros((1, 3, 5), np.float32), grid, ("a",))
    left, right, bottom, top = found.extent
    assert (left, right, bottom, top) == (4.5, 44.5, 17.5, 5.5)
    for row, col in ((0, 0), (2, 4)):  # as imshow divides it: equal squares, the first at the upper left
        x, y = left + (col + 0.5) * (right - left) / 5, top + (row + 0.5) * (bottom - top) / 3
        assert (x, y) == found.centre(row, col)
