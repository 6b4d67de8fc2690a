"""Files of TensorFlow are refused with the very command that makes ONNX of them, which a shell takes as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from fullconv.cli.main import cli
from fullconv.errors import BadInput


@pytest.mark.parametrize(
    ("name", "content", "given", "options"),
    [
        ("my model/saved_model.pb", b"\x08\x01", "my model", ["--saved-model", "my model"]),
        ("my model/saved_model.pb", b"\x08\x01", "my model/saved_model.pb", ["--saved-model", "my model"]),
        ("net.tflite", b"\x1c\x00\x00\x00TFL3", "net.tflite", ["--tflite", "net.tflite"]),
        ("the net", b"\x1c\x00\x00\x00TFL3", "the net", ["--tflite", "the net"]),
        ("net.bin2", b"\x1c\x00\x00\x00TFL3", "net.bin2", ["--tflite", "net.bin2"]),
        (
            "frozen.pb",
            b"\x0a\x00",
            "frozen.pb",
            ["--graphdef", "frozen.pb", "--inputs", "NAME:0", "--outputs", "NAME:0"],
        ),
    ],
)
def test_the_command_is_told(tmp_path: Path, name: str, content: bytes, given: str, options: list[str]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path / given)])
    told = str(done.exception)
    assert isinstance(done.exception, BadInput)
    assert "\n" not in told
    command = told[told.index("python -m tf2onnx") :]
    paths = [str(tmp_path / each) if each == options[1] else each for each in options]
    assert shlex.split(command) == ["python", "-m", "tf2onnx.convert", *paths, "--output", "model.onnx"]
