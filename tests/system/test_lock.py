"""A lock says who holds it, and when there is no lock to be had, why."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from fullconv.errors import BadInput
from fullconv.system.lock import locked


def test_another_process_is_named(tmp_path: Path) -> None:
    path = tmp_path / ".x.lock"
    code = f"from fullconv.system.lock import locked; from pathlib import Path\nwith locked(Path({str(path)!r}), 'x'): print('in', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(BadInput, match=rf"x: another process writes it \(process {other.pid} on "), locked(path, "x"):
        pass
    with pytest.raises(BadInput, match=str(other.pid)), locked(path, "x"):  # who was refused has changed nothing
        pass
    other.kill()
    other.communicate()
    with locked(path, "x"), pytest.raises(BadInput, match=rf"another process writes it \(process {os.getpid()} on "):  # noqa: SIM117
        with locked(path, "x"):
            pass
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOLCK, "No locks available"),
        (errno.EOPNOTSUPP, "not supported"),
        (errno.EROFS, "Read-only file system"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_a_file_system_without_locks_is_no_other_process(
    number: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: object, *args: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", failing)
    with (
        pytest.raises(BadInput, match=f"x: cannot be written there .*{told}") as caught,
        locked(tmp_path / ".x.lock", "x"),
    ):
        pass
    assert "another process" not in str(caught.value)


def test_a_file_system_without_flock_has_a_file_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def missing(*args: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    path = tmp_path / ".x.lock"
    with locked(path, "x"):
        assert path.exists()
        with (
            pytest.raises(BadInput, match=r"another process writes it.*If none does, remove .*\.x\.lock"),
            locked(path, "x"),
        ):
            pass
    assert not path.exists()


def test_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / ".x.lock"
    code = f"import os; from fullconv.system.lock import locked; from pathlib import Path\nwith locked(Path({str(path)!r}), 'x'): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert path.exists()
    with locked(path, "x"):
        pass
