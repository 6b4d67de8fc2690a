"""Preprocessing as other libraries write it, against these libraries themselves where they are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms as classic
import torchvision.transforms.v2 as newer
from PIL import Image
from torchvision.transforms._presets import ImageClassification

import fullconv
from fullconv.errors import BadInput
from fullconv.rasters.preprocess import Preprocess
from fullconv.rasters.transforms import Transform, printed, transform_of
from tests.stream import runs

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
MEAN, STD = [0.7, 0.6, 0.65], [0.2, 0.25, 0.3]
TRANSFORMS: list[Any] = [
    classic.Compose([classic.Resize(32), classic.CenterCrop(32), classic.ToTensor(), classic.Normalize(MEAN, STD)]),
    classic.Compose([classic.ToTensor()]),
    classic.Compose([classic.ToTensor(), classic.Normalize(torch.tensor(MEAN), torch.tensor(STD))]),
    newer.Compose(
        [
            newer.ToImage(),
            newer.CenterCrop((32, 32)),
            newer.ToDtype(torch.float32, scale=True),
            newer.Normalize(MEAN, STD),
        ]
    ),
    classic.Compose([classic.PILToTensor(), classic.ConvertImageDtype(torch.float32), classic.Normalize(MEAN, STD)]),
    ImageClassification(crop_size=32, resize_size=32, mean=MEAN, std=STD),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: str(each).replace("\n", " ")[:60])
def test_what_torchvision_prints_does_what_it_does(transform: Any, tmp_path: Path) -> None:
    expected = np.asarray(transform(Image.fromarray(PIXELS)), np.float32)
    (tmp_path / "transform.txt").write_text(str(transform))
    for given in (transform, tmp_path / "transform.txt", str(tmp_path / "transform.txt")):
        np.testing.assert_allclose(Preprocess.of(given).apply(PIXELS)[0], expected, atol=1e-6)


def albumentations(*steps: dict[str, Any], p: float = 1.0) -> dict[str, Any]:
    return {
        "__version__": "1.4.0",
        "transform": {"__class_fullname__": "Compose", "p": p, "transforms": list(steps), "bbox_params": None},
    }


NORMALIZE = {
    "__class_fullname__": "albumentations.augmentations.transforms.Normalize", "always_apply": True, "p": 1.0, "mean": MEAN, "std": STD,
    "max_pixel_value": 255.0, "normalization": "standard",
}  # fmt: skip
TENSOR = {"__class_fullname__": "ToTensorV2", "p": 1.0, "transpose_mask": False}
RESIZE = {"__class_fullname__": "Resize", "p": 1, "height": 224, "width": 200, "interpolation": 1}
UNIT = Preprocess(scale=1 / 255, mean=tuple(MEAN), std=tuple(STD))


def test_json_of_others() -> None:
    assert transform_of(albumentations(RESIZE, NORMALIZE, TENSOR), "x").preprocess == UNIT
    wsinfer = [
        {"name": "Resize", "arguments": {"size": 224}}, {"name": "ToTensor"}, {"name": "Normalize", "arguments": {"mean": MEAN, "std": STD}},
    ]  # fmt: skip
    assert transform_of({"transform": wsinfer}, "x") == Transform(UNIT, (224, 224), "224×224 px")
    face = {
        "do_resize": True, "size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": MEAN, "image_std": STD, "resample": 2,
    }  # fmt: skip
    assert transform_of(face, "x") == Transform(UNIT, (224, 224), "256×256 px")
    flipped = transform_of(
        {"do_rescale": True, "do_normalize": False, "do_flip_channel_order": True, "size": {"shortest_edge": 288}}, "x"
    )
    assert flipped.preprocess == Preprocess(channels="BGR", scale=1 / 255)
    timm = {
        "architecture": "resnet18",
        "pretrained_cfg": {"mean": MEAN, "std": STD, "input_size": [3, 96, 96], "crop_pct": 0.9},
    }
    assert transform_of(timm, "x") == Transform(UNIT, (96, 96), "106 px, their shorter side")
    scaled = transform_of(albumentations({"__class_fullname__": "ToFloat", "max_value": 255.0}), "x").preprocess
    assert scaled == Preprocess(scale=1 / 255)
    both = albumentations({"__class_fullname__": "ToFloat", "max_value": 255.0}, {**NORMALIZE, "max_pixel_value": 1.0})
    assert transform_of(both, "x").preprocess == UNIT  # what is on 0..1 already is scaled by nothing


def test_what_a_map_does_not_do_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(albumentations(RESIZE, NORMALIZE)))
    notes: list[str] = []
    image = runs.picture(tmp_path / "x.npy", 100, 100)
    grey = {**NORMALIZE, "mean": [0.5], "std": [0.5]}
    (tmp_path / "t.json").write_text(json.dumps(albumentations(RESIZE, grey)))
    found = fullconv.map_raster(
        runs.digits(), image, tmp_path / "x.zarr", preprocess=tmp_path / "t.json", notes=notes.append
    )
    assert [note for note in notes if "transform" in note] == [
        "the transform resizes images to 200×224 px, which a map does not: give the resolution that crops had then with --mpp or --level",
        "the transform ends in crops of 200×224 px, and the network takes 32×32",
    ]
    same = fullconv.map_raster(
        runs.digits(), image, tmp_path / "y.zarr", preprocess=Preprocess(scale=1 / 255, mean=(0.5,), std=(0.5,))
    )
    np.testing.assert_array_equal(np.asarray(found.scores), np.asarray(same.scores))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (albumentations({"__class_fullname__": "HorizontalFlip", "p": 0.5}), "'HorizontalFlip' is drawn at random"),
        (
            albumentations({"__class_fullname__": "CLAHE", "p": 1.0}),
            "'CLAHE' is no step that is the same for every pixel",
        ),
        (albumentations({**NORMALIZE, "normalization": "image"}), r"by each image \(image\)"),
        (albumentations(NORMALIZE, NORMALIZE), "normalizes twice"),
        ([{"name": "ToTensor"}, {"name": "ToTensor"}], "scales pixels twice"),
        (albumentations({**NORMALIZE, "p": 0.5}), "drawn at random"),
        (albumentations(NORMALIZE, p=0.5), "'Compose' is drawn at random"),
        ({"transform": {"__class_fullname__": "OneOf", "p": 1.0, "transforms": [NORMALIZE]}}, "'OneOf' is no step"),
        (albumentations({**NORMALIZE, "mean": "imagenet"}), "has mean 'imagenet': numbers are meant"),
        (albumentations({**NORMALIZE, "max_pixel_value": 0}), "has max_pixel_value 0"),
        (
            [{"name": "Normalize", "arguments": {"mean": MEAN, "std": STD}}],
            "are of pixels on 0..1, and no step brings them there",
        ),
        ({"do_rescale": True, "rescale_factor": "x"}, "rescale_factor 'x' is no number"),
        ({"hello": 1}, "is no preprocessing that is known"),
        ("text", "is no preprocessing that is known"),
    ],
)
def test_what_is_not_the_same_for_every_pixel_is_refused(data: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        transform_of(data, "t.json")


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (
            classic.Compose([classic.RandomHorizontalFlip(), classic.ToTensor()]),
            "'RandomHorizontalFlip' is drawn at random",
        ),
        (classic.Compose([classic.Lambda(lambda x: x)]), "'Lambda' is no step"),
        (
            newer.Compose([newer.ToImage(), newer.ToDtype(torch.float32, scale=False), newer.Normalize(MEAN, STD)]),
            "no step brings them there",
        ),
        (classic.Compose([classic.ColorJitter(0.1)]), "'ColorJitter' is no step"),
    ],
)
def test_printed_steps_too(transform: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        printed(str(transform), "t.txt")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Compose(",
        "Compose(\n  import os\n)",
        "Compose(\n  Resize(256)\n)",
        "x" * 100,
        "ImageClassification(\n mean\n)",
    ],
)
def test_other_text_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(BadInput, match="torchvision print"):
        Preprocess.of(tmp_path / "t.txt")


def test_other_objects_are_told() -> None:
    with pytest.raises(BadInput, match="no transform of torchvision or albumentations"):
        Preprocess.of(object())
