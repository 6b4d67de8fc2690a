"""Folders as WSInfer and timm publish models: what their configuration says is what a map does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fullconv
from fullconv.cards.resnet import as_torchvision
from fullconv.errors import BadInput
from tests.cards.carded import MEAN, STD, net
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
WSINFER = {
    "spec_version": "1.0",
    "architecture": "resnet34",
    "num_classes": 3,
    "class_names": ["notumor", "tumor", "other"],
    "name": "breast-tumor-small.tcga-brca",
    "patch_size_pixels": 24,
    "spacing_um_px": 0.25,
    "transform": [
        {"name": "Resize", "arguments": {"size": 16}},
        {"name": "ToTensor"},
        {"name": "Normalize", "arguments": {"mean": list(MEAN), "std": list(STD)}},
    ],
}
TIMM = {
    "architecture": "test_resnet",
    "num_classes": 5,
    "global_pool": "avg",
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "input_size": [3, 64, 64],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "mean": list(MEAN),
        "std": list(STD),
        "num_classes": 5,
        "label_names": ["a", "b", "c", "d", "e"],
        "license": "apache-2.0",
        "first_conv": "conv1.0",
        "classifier": "fc",
    },
}


def config(folder: Path, content: object) -> None:
    (folder / "config.json").write_text(json.dumps(content))


def wsinfer(folder: Path, **other: object) -> Path:
    torch.jit.save(torch.jit.trace(net(), torch.rand(1, 3, 16, 16)), folder / "torchscript_model.pt")
    config(folder, {**WSINFER, **other})
    return folder


def test_wsinfers_folder_is_a_model(tmp_path: Path) -> None:
    model = fullconv.load(wsinfer(tmp_path))
    assert model.image_shape == (3, 16, 16)
    assert "patches of 24 px at 0.25 um are resized to 16 px: the image is read at 0.375 um a pixel" in model.notes[0]
    assert model.card is not None
    assert model.card.pixel_size == pytest.approx(0.375)
    assert model.card.activation == "softmax"
    pixels = np.random.default_rng(0).integers(0, 256, (28, 30, 3), np.uint8)
    result = fullconv.map(model, pixels, level=0)
    assert result.labels == ("notumor", "tumor", "other")
    # The patch as WSInfer computes it: to 0..1, normalised, softmax behind the logits.
    values = torch.from_numpy(pixels[:16, :16].copy()).permute(2, 0, 1)[None].float() / 255
    values = (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        own = torch.softmax(net()(values), 1)[0].numpy()
    assert worst(np.asarray(result.scores[:, 0, 0]), own) < 1e-4
    assert fullconv.load(tmp_path / "config.json").card.labels == result.labels


def test_keys_that_wsinfers_specification_has_not_are_told(tmp_path: Path) -> None:
    model = fullconv.load(wsinfer(tmp_path, stain="H&E", magnification=20))
    assert any(
        "is no part of WSInfer's specification, and not read: magnification, stain" in note for note in model.notes
    )
    assert not any("specification" in note for note in fullconv.load(wsinfer(tmp_path)).notes)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"spec_version": "2.0"}, r"specification '2\.0'; 1\.0 is read"),
        ({"num_classes": 2}, "num_classes is 2, and it names 3 classes"),
        ({"class_names": "tumor"}, "not a list of names"),
        ({"spacing_um_px": "0.25"}, "spacing_um_px is '0.25', not a number"),
        ({"transform": [{"name": "RandomCrop"}]}, "RandomCrop"),
        ({"transform": {}}, "no list of steps"),
        ({"patch_size_pixels": 24.5}, r"patch_size_pixels is 24\.5, not a whole number"),
        (
            {"transform": [{"name": "Resize", "arguments": {"size": 8.5}}]},
            r"size of Resize is 8\.5, not a whole number",
        ),
    ],
)
def test_what_is_not_read_of_wsinfers_is_told(tmp_path: Path, other: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        fullconv.load(wsinfer(tmp_path, **other))
    assert "config.json" in str(refused.value)


def timm_net(tmp_path: Path) -> nn.Module:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    made = timm.create_model("test_resnet", num_classes=5).eval()
    save_file(made.state_dict(), tmp_path / "model.safetensors")
    return made


def test_timms_folder_is_a_model(tmp_path: Path) -> None:
    made = timm_net(tmp_path)
    config(tmp_path, TIMM)
    model = fullconv.load(tmp_path)
    assert model.image_shape == (3, 64, 64)
    told, classes = model.notes
    assert "config.json: the transform resizes images to 67 px, their shorter side, which a map does not" in told
    assert classes == "the weights are for 5 classes"
    assert model.card is not None
    assert model.card.licence == "apache-2.0"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    result = fullconv.map(model, pixels, by="crops")
    assert result.labels == ("a", "b", "c", "d", "e")
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    values = (values - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        assert worst(np.asarray(result.scores[:, 0, 0]), made(values)[0].numpy()) < 1e-4


def test_what_would_be_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for other, said in (
        ({"model_args": {"in_chans": 1}}, r"made with \{'in_chans': 1\}, which is not read"),
        ({"global_pool": "catavgmax"}, "pools by 'catavgmax'"),
        ({"num_classes": 0}, "has no classes \\(num_classes 0\\), but features"),
        ({"num_classes": 4}, "num_classes is 4, and its label_names are 5"),
    ):
        config(tmp_path, {**TIMM, **other})
        with pytest.raises(BadInput, match=said):
            fullconv.load(tmp_path)


def test_folders_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"without a model\.toml or config\.json"):
        fullconv.load(tmp_path)
    config(tmp_path, TIMM)
    with pytest.raises(BadInput, match=r"holds no weights beside config\.json"):
        fullconv.load(tmp_path)


def transformers_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of torchvision's ResNet-18 under transformers' names."""
    made = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if first in ("conv1", "bn1"):
            made[f"resnet.embedder.embedder.{'convolution' if first == 'conv1' else 'normalization'}.{rest}"] = value
        elif first == "fc":
            made[f"classifier.1.{rest}"] = value
        else:
            block, part, *role = rest.split(".")
            if part == "downsample":
                place = f"shortcut.{('convolution', 'normalization')[int(role.pop(0))]}"
            else:
                place = f"layer.{int(part[-1]) - 1}.{'convolution' if part.startswith('conv') else 'normalization'}"
            made[f"resnet.encoder.stages.{int(first[-1]) - 1}.layers.{block}.{place}.{'.'.join(role)}"] = value
    return made


def test_a_resnet_of_transformers_is_torchvisions(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    made = resnet18(num_classes=3).eval()
    state = transformers_names(made.state_dict())
    assert "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight" in state
    save_file(state, tmp_path / "model.safetensors")
    stated = {
        "architectures": ["ResNetForImageClassification"], "layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512],
        "embedding_size": 64, "hidden_act": "relu", "id2label": {"2": "c", "0": "a", "1": "b"}, "num_channels": 3,
    }  # fmt: skip
    config(tmp_path, stated)
    pixels = {
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "size": {"shortest_edge": 64},
        "crop_pct": 0.875,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))
    model = fullconv.load(tmp_path, check=False)
    assert model.image_shape == (3, 64, 64)
    assert model.card is not None
    assert model.card.labels == ("a", "b", "c")
    assert model.preprocess is not None
    assert model.preprocess.mean == MEAN
    crop = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    with torch.no_grad():
        assert worst(next(iter(model.run(crop).values())), made(torch.from_numpy(crop)).numpy()) < 1e-4
    # Another ResNet than torchvision's is transformers' own to make.
    assert as_torchvision(stated) is not None
    for other in (
        {"downsample_in_bottleneck": True},
        {"embedding_size": 32},
        {"depths": [1, 1, 1, 1]},
        {"hidden_sizes": [8, 8, 8, 8]},
    ):
        assert as_torchvision({**stated, **other}) is None
