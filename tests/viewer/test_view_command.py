"""``fullconv view``: what it says before it serves, and the address that it gives."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fullconv.cli import viewing
from tests.cli.conftest import Run, run  # noqa: F401
from tests.viewer.conftest import Mapped

module = pytest.importorskip(
    "fullconv.viewer.serve", reason="the viewer's server is of the extra view", exc_type=ImportError
)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in module.FILES.values():
        (tmp_path / name).write_text("x", encoding="utf-8")
    monkeypatch.setattr(module, "PAGE", tmp_path)
    return tmp_path


def test_a_checkout_without_its_page_says_how_to_build_it(
    run: Run, mapped: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "PAGE", tmp_path)
    found = run("view", mapped.result, "--no-open")
    assert found.status == 2
    assert "make web" in found.err
    assert found.out == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "example.org", "::"])
def test_other_machines_need_a_word(run: Run, mapped: Mapped, page: Path, host: str) -> None:  # noqa: F811
    found = run("view", mapped.result, "--no-open", "--host", host)
    assert found.status == 2
    assert "--expose" in found.err


def test_this_machine_is_known() -> None:
    assert all(map(module.is_loopback, ("127.0.0.1", "127.3.4.5", "::1", "localhost")))
    assert not any(map(module.is_loopback, ("0.0.0.0", "::", "localhost.evil.example", "")))


def test_the_address_lets_in_and_ctrl_c_ends_it(mapped: Mapped) -> None:
    start = "import sys, pathlib; from fullconv.viewer import serve; serve.require_page = lambda: None; from fullconv.cli.main import main; main()"
    command = [sys.executable, "-c", start, "view", str(mapped.result), "--image", str(mapped.image), "--no-open"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/\?token=([\w-]{43})", address)
            assert found, address
            with urllib.request.urlopen(f"{found[1]}/api/about?token={found[2]}", timeout=20) as answer:
                assert answer.status == 200
                assert "server" not in answer.headers
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{found[1]}/api/about", timeout=20)
        finally:
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=20)
    assert "Traceback" not in err
    assert server.returncode in (0, 130)


def test_a_run_is_looked_at_where_it_fills_a_store(run: Run, mapped: Mapped, page: Path, tmp_path: Path) -> None:  # noqa: F811
    command = ["map", mapped.net[0], "-w", mapped.net[1], mapped.image, "-p", "raw", "--view"]
    found = run(*command, "-o", tmp_path / "x.npz")
    assert found.status == 2
    assert "-o x.zarr" in found.err
    assert not (tmp_path / "x.npz").exists()


def test_the_viewer_of_a_run_starts_with_its_store_and_ends_with_it(
    mapped: Mapped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    monkeypatch.setattr(viewing, "_VIEW", [sys.executable, "-c", "import sys, pathlib, time; pathlib.Path(sys.argv[1]).write_text(' '.join(sys.argv[2:])); time.sleep(60)", str(said)])  # fmt: skip
    store = tmp_path / "later.zarr"

    def fail() -> None:
        with viewing.viewing("image.png", str(store)):
            assert not said.exists()
            shutil.copytree(mapped.result, store)
            for _ in range(400):
                if said.exists() and said.read_text():
                    break
                time.sleep(0.05)
            raise RuntimeError("the run failed")

    with pytest.raises(RuntimeError, match="failed"):
        fail()
    assert said.read_text() == f"{store} --image image.png"
