"""Programs of torch.export and TorchScript carry a card, or say themselves what their network is of, as text: nothing of it is unpickled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fullconv
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from tests.cards.carded import CARD, SIDE, net, scores
from tests.cards.test_metadata import ULTRALYTICS
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
NAME = "tests.cards.carded:net"


def program(folder: Path) -> Path:
    """The network cast, as a program with its card."""
    (folder / "mine.toml").write_text(CARD.replace('network = "net.onnx"', ""))
    done = CliRunner().invoke(
        cli, ["cast", NAME, "--card", str(folder / "mine.toml"), "-o", str(folder / "cast.pt2"), "--json"]
    )
    assert done.exit_code == 0, done.output
    return folder / "cast.pt2"


def with_card(path: Path, text: bytes) -> Path:
    """A program whose card is another."""
    made = path.with_name("other.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for each in old.infolist():
            if not each.filename.endswith("/extra/fullconv.card"):
                new.writestr(each.filename, old.read(each))
        new.writestr(f"{old.namelist()[0].partition('/')[0]}/extra/fullconv.card", text)
    return made


def test_a_cast_program_travels_alone(folder: Path) -> None:
    path = program(folder)
    for name in ("mine.toml", "net.onnx", "model.toml"):
        (folder / name).unlink()
    extra = {"fullconv.card": ""}
    torch.export.load(path, extra_files=extra)  # PyTorch's own reader has it too
    assert "network" not in extra["fullconv.card"]
    model = fullconv.load(path)  # and its training size, which the program leaves open
    assert model.image_shape == (3, SIDE, SIDE)
    assert model.card.threshold == 0.4
    pixels = np.asarray(Image.open(folder / "image.png"))
    found = fullconv.map(model, folder / "image.png")
    assert found.labels == ("tumour", "stroma", "fat")
    step = int(found.grid.stride[0])
    for row, col in ((0, 0), (found.scores.shape[1] - 1, found.scores.shape[2] - 1)):
        crop = pixels[row * step : row * step + SIDE, col * step : col * step + SIDE]
        assert worst(found.scores[:, row, col], scores(crop)) < 1e-5
    # What is written of it again has the card once, and an ONNX file of it has it too.
    fullconv.cast(model).save(folder / "again.pt2")
    with zipfile.ZipFile(folder / "again.pt2") as archive:
        assert sum(name.endswith("/extra/fullconv.card") for name in archive.namelist()) == 1
    model.save(folder / "again.onnx")
    assert fullconv.load(folder / "again.pt2").card.labels == fullconv.load(folder / "again.onnx").card.labels


def test_a_programs_card_may_come_from_anyone(folder: Path) -> None:
    path = program(folder)
    for text, said in (
        (b"network = 'os:getcwd'", "says nothing of network"),
        (b"\x80\x04cos\nsystem\n.", "holds more than tensors"),
        (b"#" * ((4 << 20) + 1), "larger than any"),
        (b"preprocess = '/etc/hostname'", r"preprocess '/etc/hostname': not one of raw"),
        (b"labels = '/etc/hostname'", "not a list of names"),
    ):
        with pytest.raises(BadInput, match=said) as told:
            fullconv.load(with_card(path, text), input_shape=(3, SIDE, SIDE))
        assert "other.pt2" in str(told.value)


def test_torchscript_of_ultralytics(folder: Path) -> None:
    """As its exporter writes it: one extra file, config.txt, JSON of all that it says."""
    said = {**ULTRALYTICS, "imgsz": [SIDE, SIDE], "names": {"0": "cat", "1": "dog", "2": "fox"}}
    script = torch.jit.trace(net(), torch.rand(1, 3, SIDE, SIDE))
    torch.jit.save(script, folder / "best.torchscript", _extra_files={"config.txt": json.dumps(said)})
    model = fullconv.load(folder / "best.torchscript")
    assert model.image_shape == (3, SIDE, SIDE)
    found = fullconv.map(model, folder / "image.png")
    assert found.labels == ("cat", "dog", "fox")
    crop = torch.from_numpy(np.asarray(Image.open(folder / "image.png"))[:SIDE, :SIDE].copy())
    with torch.no_grad():
        own = net()(crop.permute(2, 0, 1)[None].float() / 255)[0].numpy()
    assert worst(found.scores[:, 0, 0], own) < 1e-5
    for text in ("[1]", "{", "null"):
        torch.jit.save(script, folder / "odd.torchscript", _extra_files={"config.txt": text})
        with pytest.raises(BadInput, match="does not say its training size"):
            fullconv.load(folder / "odd.torchscript")
