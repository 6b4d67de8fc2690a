"""Folders of transformers: made by its own loader, by an ONNX file beside, or told; equal to the library's own model."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file

import fullconv
from fullconv.cards import transformers as cards
from fullconv.cli.main import cli
from fullconv.errors import BadInput
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.transforms import transform_of
from tests.cards.carded import MEAN, SIDE, STD, net
from tests.cards.test_folders import transformers_names
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
# As save_pretrained of an image processor writes it.
PIXELS: dict[str, Any] = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": list(MEAN), "image_processor_type": "ViTImageProcessor",
    "image_std": list(STD), "resample": 2, "rescale_factor": 1 / 255, "size": {"height": 32, "width": 32},
}  # fmt: skip
VIT: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"], "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "image_size": 32, "patch_size": 8, "num_channels": 3, "id2label": {"0": "a", "1": "b", "2": "c"},
    "label2id": {"a": 0, "b": 1, "c": 2}, "problem_type": "single_label_classification",
}  # fmt: skip
CONVNEXT: dict[str, Any] = {
    "architectures": ["ConvNextForImageClassification"], "model_type": "convnext", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1],
    "image_size": 64, "num_channels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2},
}  # fmt: skip
HAS = importlib.util.find_spec("transformers") is not None


def laid(folder: Path, config: dict[str, Any], pixels: dict[str, Any] = PIXELS) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def made(folder: Path, config: dict[str, Any]) -> torch.nn.Module:
    """The library's own model with random weights, saved as it saves them."""
    import transformers

    torch.manual_seed(0)
    own = transformers.AutoModelForImageClassification.from_config(
        transformers.AutoConfig.for_model(**{key: value for key, value in config.items() if key != "architectures"})
    ).eval()
    own.save_pretrained(folder)
    laid(folder, config)
    return own


@pytest.mark.skipif(not HAS, reason="transformers (extra) is not installed")
@pytest.mark.parametrize("config", [VIT, CONVNEXT])
def test_the_librarys_own_answers(tmp_path: Path, config: dict[str, Any]) -> None:
    own = made(tmp_path, config)
    model = fullconv.load(tmp_path)
    assert model.card.labels == ("a", "b", "c")
    assert model.image_shape == (3, 32, 32)
    assert any("preprocessor_config.json: the transform resizes images to 32×32 px" in note for note in model.notes)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    found = fullconv.map(model, pixels, by="crops", activation="none")
    from transformers import ViTImageProcessor

    processed = ViTImageProcessor(**PIXELS)(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = own(processed).logits[0].numpy()
    assert worst(found.scores[:, 0, 0], expected) < 1e-5
    assert model.card.activation == ("softmax" if config is VIT else None)
    if config is CONVNEXT:
        return
    # A card of it, in its own folder, needs nothing else.
    done = CliRunner().invoke(cli, ["card", str(tmp_path), "-o", str(tmp_path / "mine.toml")])
    assert done.exit_code == 0, done.output
    assert 'network = "config.json"' in (tmp_path / "mine.toml").read_text()
    again = fullconv.map(tmp_path / "mine.toml", pixels, by="crops", activation="none")
    assert np.array_equal(again.scores, found.scores)


@pytest.mark.skipif(not HAS, reason="transformers (extra) is not installed")
def test_what_would_be_another_network_is_refused(tmp_path: Path) -> None:
    made(tmp_path, VIT)
    state = load_file(tmp_path / "model.safetensors")
    whole = {**state}
    name = next(name for name in state if name.startswith("classifier"))
    del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=rf"its weights do not fill the network: '{name}' is missing"):
        fullconv.load(tmp_path)
    save_file(whole, tmp_path / "model.safetensors", metadata={"format": "pt"})
    for other, said in (
        ({"num_hidden_layers": 10**9}, "more than any network has"),
        (
            {"hidden_size": 4096, "num_attention_heads": 1, "intermediate_size": 65536},
            r"of a network of [0-9,]+ numbers, and its weights have",
        ),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "is quantised"),
        ({"auto_map": {"AutoConfig": "mine.Config"}, "model_type": "mine"}, "cannot load it"),
        ({"intermediate_size": 32}, r"is of another shape \(\(16,\) for \(32,\)\)"),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {}}, r"\(\(3,\) for \(2,\)\).* of 2 classes \(id2label\)"),
    ):
        laid(tmp_path, {**VIT, **other})
        (tmp_path / "mine.py").write_text("raise SystemExit('code of the folder was run')")
        with pytest.raises(BadInput, match=said):
            fullconv.load(tmp_path)


def test_an_onnx_file_beside_is_the_network(tmp_path: Path, exported: Path) -> None:
    """As optimum-cli leaves a folder: the way out that was named led to a folder that was refused again."""
    laid(
        tmp_path,
        {**VIT, "problem_type": "multi_label_classification"},
        {**PIXELS, "size": {"height": SIDE, "width": SIDE}},
    )
    for place in ("model.onnx", "onnx/model.onnx"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(exported, tmp_path / place)
        model = fullconv.load(tmp_path)
        assert model.card.labels == ("a", "b", "c")
        pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        values = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        with torch.no_grad():
            expected = torch.sigmoid(net()(values.permute(2, 0, 1)[None]))[0].numpy()
        found = fullconv.map(model, pixels)
        assert worst(found.scores[:, 0, 0], expected) < 1e-5
        assert found.score_kind == "probabilities"
        (tmp_path / place).unlink()


def test_without_a_processor_what_is_taken_is_told(tmp_path: Path, exported: Path) -> None:
    laid(tmp_path, {**VIT, "image_size": SIDE})
    (tmp_path / "preprocessor_config.json").unlink()
    shutil.copy(exported, tmp_path / "model.onnx")
    said = "no preprocessor_config.json lies beside it, so that nothing says how pixels go in: give --preprocess"
    model = fullconv.load(tmp_path)
    assert model.preprocess is None
    assert any(said in note and "as they are, on 0..255" in note for note in model.notes)
    # One of several processors holds it too.
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": PIXELS, "processor_class": "X"}))
    model = fullconv.load(tmp_path)
    assert model.preprocess.mean == MEAN
    assert not any(said in note for note in model.notes)
    # A ResNet is torchvision's, whose own weights' numbers were taken in silence.
    from torchvision.models import resnet18

    torch.manual_seed(0)
    (tmp_path / "model.onnx").unlink()
    (tmp_path / "processor_config.json").unlink()
    save_file(transformers_names(resnet18(num_classes=3).state_dict()), tmp_path / "model.safetensors")
    resnet = {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "image_size": 32}
    laid(tmp_path, {**resnet, "architectures": ["ResNetForImageClassification"], "id2label": VIT["id2label"]})
    (tmp_path / "preprocessor_config.json").unlink()
    model = fullconv.load(tmp_path, check=False)
    assert model.preprocess.mean == (0.485, 0.456, 0.406)
    assert any(said in note for note in model.notes)
    assert any("as with the library's own weights: RGB times 0.003922, less 0.485, 0.456" in n for n in model.notes)


def test_without_the_library_the_ways_out_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laid(tmp_path, VIT)
    monkeypatch.setattr(cards, "find_spec", lambda name: None)
    with pytest.raises(
        BadInput, match=r"pip install 'fullconv\[transformers\]', or make ONNX of it: optimum-cli export onnx --model"
    ):
        fullconv.load(tmp_path)
    monkeypatch.setattr(cards, "find_spec", lambda name: object())
    with pytest.raises(BadInput, match="holds no weights beside"):
        fullconv.load(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"are weights as a pickle.*save_pretrained\("):
        fullconv.load(tmp_path)
    laid(tmp_path, {**VIT, "architectures": ["ViTForMaskedImageModeling"]})
    with pytest.raises(BadInput, match="and no image classifier"):
        fullconv.load(tmp_path)
    laid(tmp_path, {"architectures": []})
    with pytest.raises(BadInput, match="and no image classifier"):
        fullconv.load(tmp_path)


def test_steps_of_processors() -> None:
    """Held to what image processors of transformers do, step by step."""
    pixel = np.array([[[10, 100, 200]]], np.uint8)
    mean, std = np.array(MEAN), np.array(STD)

    def got(**more: Any) -> np.ndarray:
        return transform_of({**PIXELS, **more}, "x").preprocess.apply(pixel)[0, :, 0, 0]

    one = (pixel[0, 0] / 255 - mean) / std
    assert worst(got(), one) < 1e-5
    # EfficientNet's: image · scale - 1, normalized, and divided once more.
    assert worst(got(rescale_factor=1 / 127.5, rescale_offset=True), (pixel[0, 0] / 127.5 - 1 - mean) / std) < 1e-5
    assert worst(got(include_top=True), one / std) < 1e-5
    # MobileViT's: channels are turned about last, after a mean that is RGB's.
    assert worst(got(do_flip_channel_order=True), one[::-1]) < 1e-5
    flipped = {
        "do_flip_channel_order": True,
        "image_processor_type": "MobileViTImageProcessor",
        "do_rescale": True,
        "rescale_factor": 1 / 255,
    }
    assert transform_of(flipped, "x").preprocess == Preprocess("BGR", 1 / 255)
    for odd, said in (
        (
            {key: value for key, value in PIXELS.items() if not key.startswith("image_m")},
            "does not say by which mean and std",
        ),
        ({"do_rescale": True, "image_processor_type": "ViTImageProcessor"}, "does not say whether it normalizes"),
    ):
        with pytest.raises(BadInput, match=said):
            transform_of(odd, "x")
