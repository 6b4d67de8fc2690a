"""PyTorch compiles where that pays or is asked for, and keeps what it compiled."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from fullconv.errors import BadInput
from fullconv.stream.engine import compiling_where_it_pays
from fullconv.system.parse import compiles, compiling

torch = pytest.importorskip("torch")

from fullconv.runtimes.torch import compiling as compiler  # noqa: E402


def test_a_long_map_on_cuda_is_compiled_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FULLCONV_COMPILE", raising=False)
    for engine, seconds, found, told in (
        ("torch:cuda", 300, True, "is compiled: the map takes about 300 s as it is, .*; --no-compile leaves"),
        ("torch:cuda", 20, False, "is not compiled: the map takes about 20 s as it is, .*; --compile does"),
        ("torch:cpu", 300, None, ""), ("onnxruntime:cuda", 300, None, ""),
    ):  # fmt: skip
        notes: list[str] = []
        with compiling_where_it_pays(SimpleNamespace(seconds=seconds), engine, notes.append):
            assert compiles() is found
        assert compiles() is None
        assert len(notes) == bool(told)
        if told:
            assert re.search(told, notes[0])
    for said in (True, False):
        with compiling(said), compiling_where_it_pays(SimpleNamespace(seconds=300), "torch:cuda", lambda note: None):
            assert compiles() is said
    monkeypatch.setenv("FULLCONV_COMPILE", "yes")
    with pytest.raises(BadInput, match="FULLCONV_COMPILE='yes': 1 compiles"):
        compiles()


def test_what_is_compiled_is_kept_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULLCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is undone
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    module = compiler.compiled(torch.nn.ReLU(), backend="eager")
    assert float(module(torch.tensor(-1.0))) == 0
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert folder == tmp_path / "cache" / "torch"
    assert folder.stat().st_mode & 0o077 == 0, "what lies there is run: nobody else writes to it"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compiler.compiled(torch.nn.ReLU(), backend="eager")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
