"""What files say of themselves in metadata is what a map does, or is told: of Ultralytics, of Windows ML, of safetensors; a card beside it wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import fullconv
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from tests.cards.carded import CARD, SIDE, net, scores
from tests.conftest import worst

# As ultralytics 8.3 writes it (engine/exporter.py).
ULTRALYTICS = {
    "description": "Ultralytics YOLOv8n-cls model trained on mine", "author": "Ultralytics", "date": "2025-01-01T00:00:00", "version": "8.3.0",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)", "docs": "https://docs.ultralytics.com", "stride": "1", "task": "classify",
    "batch": "1", "imgsz": f"[{SIDE}, {SIDE}]", "names": "{0: 'cat', 1: 'dog', 2: 'fox'}",
}  # fmt: skip
# As Custom Vision writes it for Windows ML.
CUSTOM_VISION = {
    "Image.BitmapPixelFormat": "Bgr8", "Image.ColorSpaceGamma": "SRGB", "Image.NominalPixelRange": "NominalRange_0_255",
}  # fmt: skip


def with_metadata(folder: Path, name: str, metadata: dict[str, str], *, free: bool = False) -> Path:
    """The network with its size stated, or left open, and metadata."""
    message = onnx.load(folder / "net.onnx")
    del message.metadata_props[:]
    for i, root in ((2, "h"), (3, "w")):
        dim = message.graph.input[0].type.tensor_type.shape.dim[i]
        dim.ClearField("dim_value")
        if free:
            dim.dim_param = root
        else:
            dim.dim_value = SIDE
    for key, value in metadata.items():
        message.metadata_props.add(key=key, value=value)
    onnx.save(message, folder / name)
    return folder / name


def crop_of(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / "image.png"))[:SIDE, :SIDE]


def answer(values: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return net()(values)[0].numpy()


def as_input(crop: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float()


def test_ultralytics(folder: Path) -> None:
    path = with_metadata(folder, "yolo.onnx", ULTRALYTICS, free=True)
    model = fullconv.load(path)
    assert model.image_shape == (3, SIDE, SIDE)  # which the file leaves open, and imgsz says
    assert model.card.licence.startswith("AGPL-3.0")
    assert any("pixels go in as RGB on 0..1" in note for note in model.notes)
    found = fullconv.map(model, folder / "image.png", activation="none")
    assert found.labels == ("cat", "dog", "fox")
    assert worst(found.scores[:, 0, 0], answer(as_input(crop_of(folder)) / 255)) < 1e-5
    with_metadata(folder, "detect.onnx", ULTRALYTICS | {"task": "detect"})
    assert any("for the task 'detect', not to classify" in note for note in fullconv.load(folder / "detect.onnx").notes)


@pytest.mark.parametrize(
    ("metadata", "put"),
    [
        (CUSTOM_VISION, lambda crop: as_input(crop).flip(1)),
        (CUSTOM_VISION | {"Image.NominalPixelRange": "Normalized_0_1"}, lambda crop: as_input(crop).flip(1) / 255),
        ({"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_1_1"}, lambda crop: as_input(crop) / 127.5 - 1),
        ({"Image.NominalPixelRange": "NominalRange_16_235"}, lambda crop: as_input(crop) * (219 / 255) + 16),
    ],
)  # fmt: skip
def test_windows_images(folder: Path, metadata: dict[str, str], put: object) -> None:
    model = fullconv.load(with_metadata(folder, "win.onnx", metadata))
    assert any("as its metadata has it: pixels go in as" in note for note in model.notes)
    found = fullconv.map(model, folder / "image.png")
    expected = answer(put(crop_of(folder)))
    assert worst(found.scores[:, 0, 0], expected) < 1e-5 * max(1, float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            CUSTOM_VISION | {"Image.ColorSpaceGamma": "Linear"},
            "it is not done: colours of gamma 'Linear'; give --preprocess",
        ),
        ({"Image.BitmapPixelFormat": "Nv12"}, "pixels of the format 'Nv12'"),
        ({"Image.NominalPixelRange": "Half"}, "pixels on the range 'Half'"),
        ({"labels": "cat, dog and fox"}, "has 'labels', which is no list of names that can be read"),
        ({"names": "{0: 'cat', 2: 'dog'}"}, "has 'names', which is no list of names"),
    ],
)
def test_what_is_not_read_is_told(folder: Path, metadata: dict[str, str], said: str) -> None:
    model = fullconv.load(with_metadata(folder, "odd.onnx", metadata))
    assert any(said in note for note in model.notes), model.notes
    assert model.preprocess is None


def test_a_card_beside_a_file_that_has_one(folder: Path) -> None:
    """What the card leaves out, the file still says: labels were lost behind a card of a threshold alone."""
    with_metadata(folder, "yolo.onnx", ULTRALYTICS)
    (folder / "small.toml").write_text('network = "yolo.onnx"\nthreshold = 0.25\nlicence = "mine"')
    for model in (
        fullconv.load(folder / "small.toml"),
        fullconv.load(folder / "yolo.onnx", card=folder / "small.toml"),
    ):
        assert model.card.labels == ("cat", "dog", "fox")
        assert model.card.threshold == 0.25
        assert model.card.licence == "mine"
        assert model.preprocess.scale == 1 / 255
    (folder / "other.toml").write_text('network = "yolo.onnx"\nlabels = ["a", "b", "c"]\npreprocess = "raw"')
    model = fullconv.load(folder / "other.toml")
    assert model.card.labels == ("a", "b", "c")
    assert model.preprocess.scale == 1


@pytest.mark.parametrize("metadata", [ULTRALYTICS, CUSTOM_VISION])
def test_card_writes_it_down(folder: Path, metadata: dict[str, str]) -> None:
    path = with_metadata(folder, "theirs.onnx", metadata)
    one = CliRunner().invoke(cli, ["card", str(path), "-o", str(folder / "theirs.toml")])
    assert one.exit_code == 0, one.output
    two = CliRunner().invoke(
        cli, ["map", str(folder / "theirs.toml"), str(folder / "image.png"), "-o", str(folder / "out")]
    )
    assert two.exit_code == 0, two.output
    with np.load(folder / "out" / "image.npz") as saved:
        own = fullconv.map(path, folder / "image.png")
        assert np.array_equal(saved["scores"], own.scores)
        assert tuple(saved["labels"]) == own.labels


def test_safetensors_carry_a_card(folder: Path) -> None:
    name = "tests.cards.carded:net"
    save_file(
        net().state_dict(),
        folder / "w.safetensors",
        metadata={"format": "pt", "id2label": '{"0": "a", "1": "b", "2": "c"}'},
    )
    model = fullconv.load(name, folder / "w.safetensors", input_shape=(3, SIDE, SIDE))
    assert model.card.labels == ("a", "b", "c")
    # What is written has the card, beside tensors that are what they were.
    (folder / "extra.toml").write_text(CARD.replace('network = "net.onnx"', 'weights = "w.safetensors"'))
    whole = fullconv.load(name, card=folder / "extra.toml")
    whole.save(folder / "mine.safetensors")
    with safe_open(folder / "mine.safetensors", "np") as file:
        assert "fullconv" in file.metadata()["software"]
        assert worst(file.get_tensor(file.keys()[0]), net().state_dict()[file.keys()[0]].numpy()) == 0
    again = fullconv.load(name, folder / "mine.safetensors", input_shape=(3, SIDE, SIDE))
    assert again.card.labels == ("tumour", "stroma", "fat")
    assert again.card.activation == "softmax"
    found = fullconv.map(again, folder / "image.png")
    assert worst(found.scores[:, 0, 0], scores(crop_of(folder))) < 1e-5
    assert found.advice.threshold == 0.4
    save_file(net().state_dict(), folder / "bad.safetensors", metadata={"fullconv.card": "network = 'os:getcwd'"})
    with pytest.raises(BadInput, match=r"bad\.safetensors.*says nothing of network"):
        fullconv.load(name, folder / "bad.safetensors", input_shape=(3, SIDE, SIDE))


def test_an_open_size_is_the_cards(folder: Path) -> None:
    path = with_metadata(folder, "open.onnx", {"fullconv.card": f"input_shape = [3, {SIDE}, {SIDE}]"}, free=True)
    assert fullconv.load(path).image_shape == (3, SIDE, SIDE)
    for text in ("input_shape = [3]", "input_shape = 3", "input_shape = [3, -1, 0]", "no toml"):
        path = with_metadata(folder, "open.onnx", {"fullconv.card": text}, free=True)
        with pytest.raises(BadInput, match="leaves its training size open"):
            fullconv.load(path)
