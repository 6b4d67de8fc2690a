"""`fullconv watch`: what arrives is mapped, once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv import ClassMap
from tests.cli.conftest import Run

QUICK = ("--once", "--still", "0.02", "--every", "0.01")


def picture(path: Path, seed: int) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (36, 40), np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    picture(folder / "a.png", 1)
    (folder / "bad.png").write_text("no image")
    picture(folder / "c.png", 3)
    return folder


@pytest.fixture
def model(net) -> list[str]:
    return [str(net[0]), "-w", str(net[1]), "-p", "unit", "--no-check"]


def rows(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(Path(row["image"]).name, row["status"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("out", ["maps", "maps/{name}.zarr"])
def test_what_is_there_is_mapped_once(run: Run, model: list[str], folder: Path, tmp_path: Path, out: str) -> None:
    command = ("watch", *model, folder, "-o", tmp_path / out, *QUICK)
    first = run(*command)
    assert first.status == 1, first.err
    assert "bad.png: not an image" in first.err
    assert "2 mapped, 1 failed" in first.err
    table = tmp_path / "maps" / "watch.csv"
    assert sorted(rows(table)) == [("a.png", "mapped"), ("bad.png", "failed"), ("c.png", "mapped")]
    kind = "zarr" if "zarr" in out else "npz"
    alone = run("map", *model, folder / "a.png", "-o", tmp_path / f"alone.{kind}")
    assert alone.status == 0
    np.testing.assert_array_equal(
        np.asarray(ClassMap.load(tmp_path / "maps" / f"a.{kind}").scores[...]),
        np.asarray(ClassMap.load(tmp_path / f"alone.{kind}").scores[...]),
    )
    (folder / "bad.png").unlink()
    again = run(*command)
    assert (again.status, "0 mapped, 2 done before, 0 failed" in again.err) == (0, True), again.err
    picture(folder / "c.png", 4)  # changed
    picture(folder / "d.png", 5)
    third = run(*command)
    assert third.status == 0, third.err
    assert "2 mapped, 1 done before, 0 failed" in third.err
    assert rows(table)[3:] == [("c.png", "mapped"), ("d.png", "mapped")]
    if kind == "zarr":
        return
    other = run(*command, "--missing", "0.25")  # another option, another map
    assert "3 mapped, 0 failed" in other.err
    for each in (tmp_path / "maps").glob(f"a.{kind}"):  # a result that is gone
        each.rename(tmp_path / "gone")
    assert "1 mapped, 2 done before" in run(*command, "--missing", "0.25").err


def test_a_rule_that_holds_is_said_and_marked(run: Run, model: list[str], folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "log" / "t.csv"
    found = run(
        "watch",
        *model,
        folder,
        "-o",
        tmp_path / "maps",
        "--summary",
        table,
        "--fail-if",
        "share(1) >= 0.1 or share(1) < 0.5",
        *QUICK,
    )
    assert found.status == 3
    assert "a.png: share(1) >= 0.1 or share(1) < 0.5 holds" in found.err
    with table.open(newline="") as file:
        marks = {Path(row["image"]).name: row["rules"] for row in csv.DictReader(file)}
    assert marks == {
        "a.png": "share(1) >= 0.1 or share(1) < 0.5",
        "c.png": "share(1) >= 0.1 or share(1) < 0.5",
        "bad.png": "",
    }


def test_two_images_of_one_name_never_share_a_map(run: Run, model: list[str], folder: Path, tmp_path: Path) -> None:
    picture(folder / "a.bmp", 9)
    for _ in range(2):
        found = run("watch", *model, folder, "-o", tmp_path / "maps", *QUICK)
        assert found.status == 1
        assert "a.png: would be written over the map of" in found.err
    assert ("a.bmp", "mapped") in rows(tmp_path / "maps" / "watch.csv")


def test_what_cannot_be_watched_is_told(run: Run, model: list[str], folder: Path, tmp_path: Path) -> None:
    for args, told in (
        ((folder / "a.png", "-o", tmp_path / "m"), "is no folder"),
        ((folder, "-o", tmp_path / "x.zarr"), "is one result, and many images may arrive"),
        ((folder, "-o", "s3://bucket/{name}.zarr"), "with --summary"),
        ((folder, "-o", folder), "would lie among the images of"),
        ((folder, "-o", tmp_path / "m", "--fail-if", "nine > 0.5"), "no class is named 'nine'"),
    ):
        found = run("watch", *model, *args, *QUICK)
        assert (found.status, told in found.err) == (2, True), found.err
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "watch.csv").write_text("a,b\n")
    mine = run("watch", *model, folder, "-o", tmp_path / "m", *QUICK)
    assert (mine.status, "did not write it" in mine.err) == (2, True)


def test_json_is_a_line_an_image(run: Run, model: list[str], folder: Path, tmp_path: Path) -> None:
    found = run("watch", *model, folder, "-o", tmp_path / "maps", "--json", *QUICK)
    events = [json.loads(line) for line in found.out.splitlines()]
    assert [event["event"] for event in events] == ["mapped", "mapped"]
    assert events[0]["grid"]["rows"] == 3


@pytest.mark.skipif(os.name == "nt", reason="signals as Unix has them")
def test_it_goes_on_until_ctrl_c(model: list[str], folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "maps" / "watch.csv"
    command = [sys.executable, "-m", "fullconv", "watch", *model, str(folder), "-o", str(tmp_path / "maps")]
    command += ["--still", "0.05", "--every", "0.05"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: table.exists() and len(rows(table)) == 3, process)
            picture(tmp_path / "new.png", 7)
            (tmp_path / "new.png").rename(folder / "new.png")  # arrives meanwhile
            until(lambda: ("new.png", "mapped") in rows(table), process)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert "3 mapped, 1 failed" in told
    assert "Traceback" not in told
    assert not Path(f"{table}.lock").exists()


def until(done, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while not done():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
