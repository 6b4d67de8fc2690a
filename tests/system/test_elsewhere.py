"""fullconv where a system lacks what Linux has: no fcntl, no resource, no /proc, no C library by name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import fullconv
from fullconv.demonstration import demo_files
from fullconv.system import fallback, memory, processors

_BARE = """
import ctypes, os, pathlib, sys
import psutil  # which knows every system, this one by what is taken away now
for name in ("fcntl", "resource", "grp", "pwd", "termios", "tty", "readline"):
    sys.modules[name] = None
for name in ("umask", "sched_getaffinity", "fchmod", "geteuid"):
    if hasattr(os, name):
        delattr(os, name)
ctypes.CDLL = lambda *args, **more: (_ for _ in ()).throw(OSError("no such library"))
read = pathlib.Path.read_text
def read_text(self, *args, **more):
    if str(self).startswith(("/proc", "/sys")):
        raise FileNotFoundError(2, "no such file", str(self))
    return read(self, *args, **more)
pathlib.Path.read_text = read_text
from fullconv.__main__ import main
from fullconv.system.memory import available_bytes, peak_bytes, resident_bytes, total_bytes
assert 0 < available_bytes() <= total_bytes() and 0 < resident_bytes() <= peak_bytes()
sys.argv = ["fullconv", *sys.argv[1:]]
main()
"""


def test_the_command_line_without_what_linux_alone_has(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (200, 180), np.uint8))
    with demo_files() as data:
        net = [str(data / "digits.prototxt"), "--weights", str(data / "digits.caffemodel")]
    for out in ("x.zarr", "x.csv"):
        given = (
            ["map", *net, str(tmp_path / "x.npy"), "-o", str(tmp_path / "x.zarr"), "-p", "unit"]
            if out == "x.zarr"
            else ["export", str(tmp_path / "x.zarr"), "-o", str(tmp_path / out)]
        )
        done = subprocess.run([sys.executable, "-c", _BARE, *given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    assert fullconv.ClassMap.load(tmp_path / "x.zarr").record.finished
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "x.csv",
        "x.npy",
        "x.png",
        "x.zarr",
    ]


def test_one_module_alone_knows_of_one_system() -> None:
    alone = re.compile(r"import fcntl|import resource|libc\.so|umask|/proc/(self|meminfo)|malloc_trim|os\.cpu_count")
    source = Path(fullconv.__file__).parent
    found = {
        str(path.relative_to(source)) for path in source.rglob("*.py") if alone.search(path.read_text(encoding="utf-8"))
    }
    assert found <= {"system/fallback.py", "system/processors.py", "trust/bench.py"}


def test_what_the_system_tells() -> None:
    held = np.ones(50 << 20, np.uint8)
    now = memory.resident_bytes()
    assert memory.peak_bytes() >= now > held.nbytes
    assert memory.available_bytes() <= memory.total_bytes()


def test_a_container_is_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert (memory.total_bytes(), memory.available_bytes()) == (1000000, 600000)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.total_bytes() > 1 << 30


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="a system that binds no process to processors")
def test_processors_are_those_that_the_process_may_use() -> None:
    code = "import psutil; psutil.Process().cpu_affinity([0]); from fullconv.system.processors import processors; print(processors())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert processors.processors() >= 1


def test_a_peak_that_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "peak_bytes", lambda: None)
    assert memory.peak_bytes() == pytest.approx(memory.resident_bytes(), rel=0.2)
