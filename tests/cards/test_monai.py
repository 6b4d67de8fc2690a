"""Bundles of MONAI: their TorchScript file with what their configurations say, equal to the scripted module on crops; no expression is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fullconv
from fullconv.errors import BadInput
from tests.cards.carded import SIDE, net
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
# After the bundles of MONAI's model zoo: endoscopic_inbody_classification, pathology_tumor_detection.
METADATA: dict[str, Any] = {
    "version": "0.4.0", "name": "Tissue classification", "task": "classification", "monai_version": "1.4.0",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image", "format": "RGB", "num_channels": 3, "spatial_shape": [SIDE, SIDE], "dtype": "float32", "value_range": [0, 255],
                "is_patch_data": True, "channel_def": {"0": "R", "1": "G", "2": "B"},
            }
        },
        "outputs": {
            "pred": {
                "type": "probabilities", "format": "classes", "num_channels": 3, "spatial_shape": [1, 3], "dtype": "float32", "value_range": [0, 1],
                "channel_def": {"0": "tumour", "1": "stroma", "2": "fat"},
            }
        },
    },
}  # fmt: skip
RANGE = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": 0.0,
    "a_max": 255.0,
    "b_min": -1.0,
    "b_max": 1.0,
    "clip": True,
}


def steps(*middle: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"_target_": "LoadImaged", "keys": "image", "reader": "$@reader"},
        {"_target_": "EnsureChannelFirstd", "keys": ["image"]},
        {"_target_": "CastToTyped", "dtype": "$torch.float32", "keys": "image"},
        *middle,
        {"_target_": "EnsureTyped", "keys": "image"},
    ]


def bundle(
    folder: Path,
    preprocessing: list[dict[str, Any]],
    metadata: dict[str, Any] = METADATA,
    post: tuple[dict[str, Any], ...] = (),
) -> Path:
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    inference = {
        "imports": ["$import os"], "network_def": {"_target_": "SEResNet50", "spatial_dims": 2}, "network": "$os._exit(7)",
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing}, "postprocessing": {"_target_": "Compose", "transforms": list(post)},
    }  # fmt: skip
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    torch.jit.save(torch.jit.trace(net(), torch.rand(1, 3, SIDE, SIDE)), folder / "models" / "model.ts")
    return folder


MEANS = {"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": [0.1, 0.2, 0.3], "divisor": [0.5, 0.25, 2.0]}


@pytest.mark.parametrize(
    ("middle", "put"),
    [
        ([RANGE], lambda x: x / 127.5 - 1),
        (
            [RANGE | {"b_min": 0.0}, MEANS],
            lambda x: (x / 255 - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 0.25, 2.0]),
        ),
        ([], lambda x: x),
        (
            [{"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 128, "divisor": 64}],
            lambda x: (x - 128) / 64,
        ),
    ],
)
def test_a_bundle_is_a_model(tmp_path: Path, middle: list[dict[str, Any]], put: Any) -> None:
    post = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
    model = fullconv.load(bundle(tmp_path, steps(*middle), post=(post,)))
    assert model.image_shape == (3, SIDE, SIDE)
    assert model.card.labels == ("tumour", "stroma", "fat")
    assert model.card.source == "Tissue classification, version 0.4.0"
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    with torch.no_grad():
        scripted = torch.jit.load(tmp_path / "models" / "model.ts")(
            put(torch.from_numpy(pixels).float()).permute(2, 0, 1)[None].contiguous()
        )
    found = fullconv.map(model, pixels)
    assert worst(found.scores[:, 0, 0], torch.softmax(scripted, 1)[0].numpy()) < 1e-5
    assert found.score_kind == "probabilities"


def test_sizes_are_told(tmp_path: Path) -> None:
    resized = {"_target_": "Resized", "keys": "image", "spatial_size": [SIDE, SIDE], "mode": "bilinear"}
    model = fullconv.load(bundle(tmp_path, steps(resized, RANGE)))
    assert any("brings images to [16, 16] by resize, which a map does not" in note for note in model.notes)
    assert model.card.activation is None  # nothing says that one is behind it


@pytest.mark.parametrize(
    ("middle", "said"),
    [
        (
            {"_target_": "NormalizeIntensityd", "nonzero": True, "channel_wise": True, "keys": "image"},
            "'normalizeintensity' is no step that is the same",
        ),
        (
            {"_target_": "ScaleIntensityd", "keys": "image"},
            "'scaleintensity' is no step that is the same for every pixel",
        ),
        (
            {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: __import__('os')._exit(7)"},
            "'lambda' is no step",
        ),
        (RANGE | {"a_max": "$@most"}, "has a_max '\\$@most', which is no number"),
        (RANGE | {"a_max": 0.0}, "has a range of nothing"),
        (RANGE | {"b_max": -1.0}, "makes every pixel the same"),
    ],
)
def test_what_is_not_the_same_for_every_pixel_is_refused(tmp_path: Path, middle: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as told:
        fullconv.load(bundle(tmp_path, steps(middle)))
    assert "inference.json" in str(told.value)


def test_bundles_that_are_none_of_a_classification(tmp_path: Path) -> None:
    format_of = METADATA["network_data_format"]
    segments = {**format_of, "outputs": {"pred": {"type": "image", "format": "segmentation", "num_channels": 2}}}
    with pytest.raises(BadInput, match="gives 'image' of the format 'segmentation', and no classes"):
        fullconv.load(bundle(tmp_path, steps(RANGE), {**METADATA, "network_data_format": segments}))
    few = {**format_of, "outputs": {"pred": {**format_of["outputs"]["pred"], "channel_def": {"0": "a", "2": "b"}}}}
    with pytest.raises(BadInput, match="does not name every one of 3 outputs"):
        fullconv.load(bundle(tmp_path, steps(RANGE), {**METADATA, "network_data_format": few}))
    with pytest.raises(BadInput, match="not of one image in and one answer out"):
        fullconv.load(bundle(tmp_path, steps(RANGE), {**METADATA, "network_data_format": []}))
    bundle(tmp_path, steps(RANGE))
    (tmp_path / "configs" / "inference.json").unlink()
    with pytest.raises(BadInput, match="nothing says what is done to pixels"):
        fullconv.load(tmp_path)
    (tmp_path / "models" / "model.ts").unlink()
    with pytest.raises(BadInput, match=r"holds neither models/model\.ts nor .*python -m monai\.bundle ckpt_export"):
        fullconv.load(tmp_path)
