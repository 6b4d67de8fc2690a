"""What others named cannot steer a terminal, and every encoding gets an answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fullconv.cli import terminal
from fullconv.errors import BadInput
from fullconv.maps.classmap import class_index
from fullconv.system.parse import threads, whole_number
from tests import helpers as h
from tests.cli.conftest import Run

EVIL = "\x1b[31mred\x1b]0;title\x07\u202e\x9b1m"
MARKUP = "[bold]b[/nothing]"


@pytest.fixture
def net(tmp_path: Path) -> list[str]:
    """A net whose first layer's name is an attack."""
    name = "".join(f"\\{byte:03o}" for byte in f"{EVIL}{MARKUP}".encode())
    paths = h.model(h.LENET.replace('"conv1"', f'"{name}"')).save(tmp_path / "net.prototxt")
    return [str(paths[0]), "-w", str(paths[1])]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / f"a{EVIL}[bold].png"
    Image.fromarray(np.zeros((40, 44), np.uint8)).save(path)
    return path


def assert_tame(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), text


def test_names_of_layers_labels_and_files_are_shown_and_not_sent(run: Run, net, image: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"{i}{EVIL}{MARKUP}" for i in range(3)), encoding="utf-8")
    page = ("--labels", labels, "-p", "unit")
    for command in (
        ("inspect", net[0]),
        ("inspect", net[0], "--json"),
        ("cast", net[0], "--dry-run"),
        ("map", *net, image, "-o", tmp_path / "maps", *page),
        ("map", *net, image, "-o", tmp_path / "maps", *page, "--class", "2", "--threshold", 0),
        ("map", *net, image, "-o", tmp_path / "maps", *page, "--class", f"x{EVIL}"),
        ("map", *net, image, "-o", tmp_path / "maps", *page, "--json"),
        ("map", *net, image, "-o", tmp_path / f"{EVIL}.zarr", *page),
        ("map", *net, image, "-o", tmp_path / f"{EVIL}.zarr", *page, "--json"),
        ("verify", *net, image, "--cells", 2, *page),
        ("inspect", f"missing{EVIL}"),
        ("inspect", net[0], "--input-shape", EVIL),
        ("bench", net[0], f"--{EVIL}"),
        (f"no command{EVIL}",),
    ):
        found = run(*command)
        assert_tame(found.out)
        assert_tame(found.err)
        assert found.status in (0, 1, 2)
    shown = run("inspect", net[0]).out
    assert r"\x1b[31mred" in shown
    assert MARKUP in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_outputs_of_every_encoding(net, image: Path, tmp_path: Path, encoding: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "LANG": "C", "LC_ALL": "C"}
    command = [sys.executable, "-m", "fullconv", "map", *net, str(image), "-o", str(tmp_path / "maps"), "-p", "unit"]
    done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert "4 x 5 cells" in text if encoding == "ascii" else "4 × 5 cells" in text
    table = subprocess.run(
        [sys.executable, "-m", "fullconv", "inspect", net[0]], env=env, capture_output=True, check=False
    )
    assert table.returncode == 0, table.stderr
    assert ("window 5x5" if encoding == "ascii" else "window 5×5") in table.stdout.decode(encoding)


def test_characters_that_an_encoding_lacks() -> None:
    class Ascii:
        encoding = "ascii"

    assert terminal.fitted("5 × 3 – ü", Ascii()) == "5 x 3 - \\xfc"
    assert terminal.escaped("a\x1bb\nc\td\udcff\u2028é🙂") == "a\\x1bb\nc\td\\udcff\\u2028é🙂"


def test_only_one_module_prints() -> None:
    folder = Path(terminal.__file__).parent
    others = [path for path in folder.glob("*.py") if path.name != "terminal.py"]
    assert len(others) > 8
    for path in others:
        assert not re.search(r"click\.echo|[^_.]print\(|rich\.table|sys\.std(out|err)\.write", path.read_text()), path


@pytest.mark.parametrize("text", ["²", "٣", "-1", "+1", "1_0", " 1", "1.0", "", "9" * 5000])
def test_what_is_no_number_of_a_class(text: str) -> None:
    assert whole_number(text) is None
    with pytest.raises(BadInput):
        class_index([f"label {i}" for i in range(20)], text or "x")


@pytest.mark.parametrize("text", ["99999999999", "0", "-1", "two", "²", "1.5"])
def test_threads_that_are_none_are_told_before_the_work(
    run: Run, net, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("FULLCONV_THREADS", text)
    found = run("inspect", net[0])
    assert (found.status, found.out, found.err.count("\n")) == (2, "", 1)
    assert "a number of threads, 1 to 1024" in found.err


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, count in (("3", 3), (" 3 ", 3), ("", None)):
        monkeypatch.setenv("FULLCONV_THREADS", text)
        assert threads() == count


@pytest.mark.parametrize("delay", [0.1, 0.2, 0.35, 0.5, 0.8])
def test_an_interrupt_is_one_message_also_while_libraries_load(net, image: Path, tmp_path: Path, delay: float) -> None:
    command = [
        sys.executable,
        "-m",
        "fullconv",
        "map",
        *net,
        str(image),
        "-o",
        str(tmp_path / "maps"),
        "--by",
        "crops",
        "--stride",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    if b"site" in told or b"import runpy" in told or process.returncode == -signal.SIGINT:
        return  # before Python itself has started
    assert b"Traceback" not in told
    assert process.returncode in (0, 130)


def test_a_name_that_no_file_can_have(run: Run, net, image: Path, tmp_path: Path) -> None:
    long = tmp_path / ("n" * 256 + ".prototxt")
    for command in (
        ("inspect", long),
        ("cast", net[0], "-o", long),
        ("cast", *net, "-o", tmp_path / "a.prototxt", "--out-weights", f"{long}.h5"),
        ("map", *net, f"{long}.png", "-o", tmp_path),
        ("map", *net, image, "-o", long),
        ("map", *net, image, "-o", f"{long}.zarr"),
        ("map", *net, image, "-o", tmp_path / "maps", "--labels", long),
        ("map", *net, image, "-o", tmp_path / "maps", "-p", f"{long}.json"),
        ("map", *net, image, "-o", tmp_path / "x.zarr", "--where", long),
        ("export", long, "-o", tmp_path / "a.csv"),
        ("verify", *net, image, "-o", long),
    ):
        found = run(*command)
        assert found.status == 2, command
        assert "too long" in found.err, command
