"""What `map` writes follows from its output's name, and from no option."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from fullconv import ClassMap
from fullconv.cli.map import command
from fullconv.cli.outputs import target_of, targets
from fullconv.errors import BadInput
from tests.cli.conftest import Run
from tests.rasters import pictures

NAMES = {"maps": {".npz", ".png"}, "x.npz": {".npz"}, "x.png": {".png"}, "x.svg": {".svg"}, "x.zarr": {".zarr", ".png"}}


def kinds(folder: Path) -> set[str]:
    """Suffixes of what lies in a folder, stores as one file."""
    found: set[str] = set()
    for each in folder.iterdir() if folder.is_dir() else ():
        found |= kinds(each) if each.is_dir() and each.suffix != ".zarr" else {each.suffix}
    return found


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask over the left of the image."""
    path = tmp_path_factory.mktemp("where") / "mask.png"
    mask = np.zeros((44, 60), np.uint8)
    mask[:, :40] = 255
    Image.fromarray(mask).save(path)
    return path


# Every option of `map` with a value; what takes an argument of its own for the net at hand, or starts processes, is below.
VALUES: dict[str, list[str]] = {
    "--weights": [], "--input-shape": [], "--stage": ["--stage", "x"], "--ignore-unused-weights": [], "--isolate": ["--isolate"],
    "--no-check": ["--no-check"], "--global-pooling": ["--global-pooling", "global"], "--labels": [], "--head": ["--head", "prob"],
    "--activation": ["--activation", "none"], "--preprocess": ["-p", "unit"], "--bands": ["--bands", "1"], "--level": ["--level", "0"],
    "--mpp": ["--mpp", "1"], "--nodata": ["--nodata", "0"], "--missing": ["--missing", "0.2"], "--on-error": ["--on-error", "skip"],
    "--subdataset": ["--subdataset", "x"], "--allow-remote": ["--allow-remote"], "--trust": ["--trust"], "--where": [],
    "--class": ["--class", "1"], "--threshold": ["--class", "1", "--threshold", "0.2"], "--by": ["--by", "crops"],
    "--stride": ["--stride", "2"], "--finer": ["--stride", "2", "--finer", "shifts"], "--scales": ["--scales", "1,1.2"],
    "--fuse": ["--scales", "1,1.2", "--fuse", "mean"], "--output": [], "--dry-run": [], "--interpolate": ["--interpolate"],
    "--alpha": ["--alpha", "0.3"], "--cmap": ["--cmap", "magma"], "--dpi": ["--dpi", "50"], "--keep": ["--keep", "top1"],
    "--dtype": ["--dtype", "uint8"], "--restart": ["--restart"], "--overwrite": ["--overwrite"], "--json": ["--json"],
    "--memory": ["--memory", "8GB"], "--workers": [], "--dask": ["--dask", "tcp://127.0.0.1:9"], "--device": ["--device", "cpu"],
    "--threads": ["--threads", "1"], "--runtime": ["--runtime", "onnxruntime"], "--precision": [], "--batch": ["--batch", "2"],
    "--no-verify": ["--no-verify"], "--adapt": ["--adapt", "200"], "--confirm": ["--confirm", "0.5"], "--compile": ["--no-compile"],
    "--fail-if": ["--fail-if", "area(1) < 0.5 cells"], "--summary": [], "--card": [], "--weights-prefix": [], "--rename": [],
    "--mean": ["--mean", "0.5"], "--std": ["--std", "0.5"], "--colours": [], "--device-memory": [], "--view": [], "--help": ["--help"], "-h": ["-h"],
}  # fmt: skip


def test_every_option_is_looked_at() -> None:
    names = {max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)}
    assert names == set(VALUES)


TILES = (
    "--memory", "--level", "--where", "--missing", "--bands", "--nodata", "--on-error", "--keep", "--dtype", "--restart", "--class", "--scales",
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("out", "names"), [("maps", tuple(VALUES)), ("x.zarr", TILES)])
def test_no_option_changes_what_is_written(
    run: Run,
    net,
    image: Path,
    where: Path,
    tmp_path: Path,
    out: str,
    names: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is taken, and the same kinds of files are written, or it is refused, and nothing is."""
    monkeypatch.setattr("fullconv.stream.cluster._ANSWERS", 1.0)
    taken = set()
    for name, given in {**VALUES, "--where": ["--where", str(where)]}.items():
        if not given or name not in names:
            continue
        folder = tmp_path / name.strip("-")
        done = run("map", net[0], "-w", net[1], image, "-o", folder / out, "--no-check", *given)
        if done.status == 0 and name not in ("--help", "-h"):
            assert kinds(folder) == NAMES[out], (name, done.err)
            taken.add(name)
        else:
            assert kinds(folder) == set(), (name, done.err)
    assert {"--memory", "--where", "--level", "--missing", "--bands", "--on-error", "--restart"} <= taken
    assert taken.isdisjoint({"--keep", "--dtype"}) is (out != "x.zarr")


def test_workers_change_nothing_either(run: Run, net, image: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    found = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "a" / "maps", "--workers", 1, "-p", "unit")
    assert found.status == 0, found.err
    assert kinds(tmp_path / "a") == {".npz", ".png"}
    alone = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "b" / "maps", "-p", "unit")
    assert alone.status == 0
    many, one = (ClassMap.load(tmp_path / name / "maps" / "scene.npz").scores for name in "ab")
    np.testing.assert_allclose(many, one, atol=1e-6)


@pytest.mark.parametrize("out", sorted(NAMES))
def test_a_name_says_what_is_written_and_where_is_said(run: Run, net, image: Path, tmp_path: Path, out: str) -> None:
    plan = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "a" / out, "--dry-run")
    assert plan.status == 0, plan.err
    assert kinds(tmp_path / "a") == set()
    found = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "a" / out)
    assert found.status == 0
    assert kinds(tmp_path / "a") == NAMES[out]
    for file in target_of(str(tmp_path / "a" / out), str(image)).files:
        assert file in found.out
        assert file in plan.out
    again = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "a" / out)
    assert again.status == 0
    if out == "x.zarr":  # what is finished is told to be, and where
        assert str(tmp_path / "a" / out) in again.out


def test_what_is_no_picture_goes_into_a_folder_too(run: Run, net, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 60), np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    assert run("map", net[0], "-w", net[1], tmp_path / "x.npy", "-o", tmp_path / "maps", "-p", "unit").status == 0
    assert kinds(tmp_path / "maps") == {".npz", ".png"}


def test_where_and_bands_mean_the_same_in_memory_and_in_a_store(
    run: Run, net, image: Path, where: Path, tmp_path: Path
) -> None:
    for out in ("x.npz", "x.zarr"):
        found = run(
            "map", net[0], "-w", net[1], image, "-o", tmp_path / out, "--where", where, "--bands", "1", "-p", "unit"
        )
        assert found.status == 0, found.err
    one, other = (np.asarray(ClassMap.load(tmp_path / out).scores[...]) for out in ("x.npz", "x.zarr"))
    np.testing.assert_array_equal(one, other)
    assert np.isnan(one).any()
    assert np.isfinite(one).any()


def test_a_picture_of_chosen_bands_shows_these_whichever_way_it_was_mapped(
    run: Run, net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By tiles, a map in memory showed the image's first bands."""
    scene = np.zeros((64, 64, 3), np.uint8)
    scene[:, :, 2] = 200
    pictures.png(tmp_path / "s.png", scene)
    shown = {}
    for name, more in (("whole", []), ("tiled", ["--level", "0"])):
        out = tmp_path / f"{name}.png"
        found = run(
            "map", net[0], "-w", net[1], tmp_path / "s.png", "-o", out, "--bands", "3", "--alpha", "0.01", *more
        )
        assert found.status == 0, found.err
        with Image.open(out) as picture:
            shown[name] = np.asarray(picture.convert("RGB"))[10:40, 10:40].mean(axis=(0, 1))
    np.testing.assert_allclose(shown["tiled"], shown["whole"], atol=8)
    assert shown["tiled"].min() > 150


def test_names_that_say_another_kind_or_not_enough(tmp_path: Path) -> None:
    for out in ("x.tif", "x.geojson", "x.csv", "x.jpg"):
        with pytest.raises(BadInput, match="by fullconv export"):
            target_of(out, "a.png")
    with pytest.raises(BadInput, match=r"at an address maps are stores; name it so: s3://b/maps/\{name\}\.zarr"):
        target_of("s3://b/maps", "a.png")
    assert target_of("s3://b/a.zarr", "a.png").picture is None
    for out in ("x.zarr", "x.npz", "x.png"):
        with pytest.raises(
            BadInput, match=r"is one result, and there are 2 images; name a folder, or each by its image: .*\{name\}"
        ):
            targets(str(tmp_path / out), ["a.png", "b.png"])
    both = targets(str(tmp_path / "{name}.zarr"), ["a.png", "b.png"])
    assert [each.store for each in both.values()] == [str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")]
    for out in ("maps", "{name}.npz"):
        with pytest.raises(BadInput, match="map them into two folders"):
            targets(str(tmp_path / out), ["1/a.png", "2/a.png"])


def test_scores_that_memory_does_not_hold_are_told_before_the_work(
    run: Run, net, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fullconv.stream import whole

    monkeypatch.setattr(whole, "resident_bytes", lambda: 8 * 10**9)
    found = run("map", net[0], "-w", net[1], image, "-o", tmp_path / "maps", "--level", "0", "--memory", "8GB")
    assert found.status == 2
    assert "map it into a store, which holds any size: -o x.zarr" in found.err


def test_old_names_are_taken_for_one_version(run: Run, net, image: Path, tmp_path: Path) -> None:
    model = (net[0], "-w", net[1])
    old = run("map", *model, image, "--output-dir", tmp_path / "maps", "--output", "prob", "-p", "unit")
    assert old.status == 0, old.err
    assert "--output-dir is called --output now" in old.err
    assert "--output is called --head now" in old.err
    assert ClassMap.load(tmp_path / "maps" / "scene.npz").output == "prob"
    store = run("map", *model, image, "-o", tmp_path / "x.zarr", "--type=uint8", "-p", "unit")
    assert "--type is called --dtype now" in store.err
    assert ClassMap.load(tmp_path / "x.zarr").record.stored == "uint8"
    assert run("inspect", net[0], "--picture", tmp_path / "c.png", "--output", "prob").status == 0
    assert run("verify", *model, image, "--cells", 2, "-p", "unit", "--output", "prob").status == 0
    assert run("verify", *model, image, "--cells", 2, "-p", "unit", "--report", tmp_path / "r.html").status == 0
    for listed in ("--output-dir", "--type", "--picture", "--report"):
        assert all(listed not in run(name, "--help").out for name in ("map", "inspect", "verify", "demo"))
