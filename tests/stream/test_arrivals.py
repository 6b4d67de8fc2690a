"""Images that arrive, by a clock of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fullconv.stream.arrivals import Arrivals


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def names(arrivals: Arrivals) -> list[str]:
    return [path.name for path in arrivals.look()]


def test_what_stands_still_is_given_once(tmp_path: Path, clock: Clock) -> None:
    arrivals = Arrivals(tmp_path, 2, clock)
    (tmp_path / "b.png").write_bytes(b"1")
    (tmp_path / "a.png").write_bytes(b"1")
    assert names(arrivals) == []
    assert arrivals.waits
    clock.now = 1.9
    assert names(arrivals) == []
    clock.now = 2
    assert names(arrivals) == ["a.png", "b.png"]
    assert not arrivals.waits
    clock.now = 9
    assert names(arrivals) == []


def test_a_file_that_grows_waits_and_one_that_changes_comes_again(tmp_path: Path, clock: Clock) -> None:
    arrivals = Arrivals(tmp_path, 2, clock)
    path = tmp_path / "a.png"
    for second in range(5):  # as a slow copy
        clock.now = second
        path.write_bytes(b"1" * (second + 1))
        assert names(arrivals) == []
    clock.now = 6
    assert names(arrivals) == ["a.png"]
    os.utime(path, ns=(1, 1))  # the same size, another time
    clock.now = 7
    assert names(arrivals) == []
    assert arrivals.waits
    clock.now = 9
    assert names(arrivals) == ["a.png"]
    path.unlink()
    clock.now = 10
    assert names(arrivals) == []
    assert not arrivals.waits


def test_what_is_no_image_is_passed_over(tmp_path: Path, clock: Clock) -> None:
    for name in (".a.png", "a.txt", "a.png.part", "watch.csv"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    arrivals = Arrivals(tmp_path, 0, clock)
    assert names(arrivals) == []
    assert not arrivals.waits
