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


RAW = (Path(__file__).parent / "inference.yaml").read_text()


def yaml_bundle(folder: Path, transforms: str, **names: str) -> Path:
    """The same bundle, with the configuration in YAML as the zoo's template has it, by references."""
    bundle(folder, [])
    (folder / "configs" / "inference.json").unlink()
    for name, text in (names or {"inference.yaml": RAW.replace("TRANSFORMS", transforms)}).items():
        (folder / "configs" / name).write_text(text)
    return folder


def preprocess_of(folder: Path) -> Any:
    return fullconv.load(folder).preprocess


def test_yaml_with_references(tmp_path: Path) -> None:
    """A list by a reference was taken for no list, and pixels went in as they are."""
    expected = preprocess_of(bundle(tmp_path, steps(RANGE)))
    range_of = "{_target_: ScaleIntensityRanged, keys: '@image', a_min: 0, a_max: '@most', b_min: -1, b_max: 1}"
    model = fullconv.load(yaml_bundle(tmp_path, f"[{range_of}]"))
    assert model.preprocess == expected
    assert model.card.activation == "softmax"
    assert model.card.labels == ("tumour", "stroma", "fat")
    for other, said in (
        (
            "$[t for t in @more]",
            r"its preprocessing has '\$@base \+ @more' where a step is meant, and no expression is evaluated",
        ),
        ("'@nothing'", "where a step is meant"),
        ("'@transforms'", "where a step is meant"),
        ("&a [*a]", "its aliases"),
        (
            "[&a [&b [&c [], *c, *c, *c, *c, *c, *c, *c, *c, *c, *c], *b, *b, *b, *b, *b, *b, *b, *b], *a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a]",
            "than any",
        ),
        (
            "'@m0'\n"
            + "\n".join(f"m{i}: $@m{i + 1} + @m{i + 1}" for i in range(40))
            + "\nm40: [{_target_: ToTensord}]",
            "where a step is meant",
        ),
        ("!!python/object/apply:os._exit [7]", "not valid YAML"),
        ("[", "not valid YAML"),
    ):
        with pytest.raises(BadInput, match=said) as told:
            fullconv.load(yaml_bundle(tmp_path, other))
        assert "inference.yaml" in str(told.value)
    for text, said in (("- a", "is no configuration of a bundle, but a list"), ("a: 1", "has no preprocessing")):
        with pytest.raises(BadInput, match=said):
            fullconv.load(yaml_bundle(tmp_path, "", **{"inference.yaml": text}))


def test_training_alone(tmp_path: Path) -> None:
    """Where there is no configuration of inference, what validation does is taken, and told."""
    text = RAW.replace("TRANSFORMS", "[]").replace("\npreprocessing:", "\nval_preprocessing:")
    text += "\npreprocessing: {_target_: Compose, transforms: [{_target_: RandFlipd, keys: image}]}\n"
    model = fullconv.load(yaml_bundle(tmp_path, "", **{"train.yaml": text}))
    assert any("its validation says what is done to pixels" in note for note in model.notes)
    (tmp_path / "configs" / "train.yaml").unlink()
    own = {"_target_": "Compose", "transforms": [RANGE | {"b_min": None}]}
    (tmp_path / "configs" / "train.json").write_text(json.dumps({"validate": {"preprocessing": own}}))
    assert fullconv.load(tmp_path).preprocess.scale == pytest.approx(1)
    assert fullconv.load(tmp_path).preprocess.std == pytest.approx((255,))


@pytest.mark.parametrize("uses_conv", [False, True])
def test_a_network_of_torchvisions(tmp_path: Path, uses_conv: bool) -> None:
    """As pathology_tumor_detection is: its definition beside a checkpoint, the last layer a convolution of one cell."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    own = resnet18(num_classes=3).eval()
    state = {}
    for i, (name, child) in enumerate(own.named_children()):
        prefix = "fc" if name == "fc" else f"features.{i}"
        state |= {f"{prefix}.{key}": value for key, value in child.state_dict().items()}
    if uses_conv:
        state["fc.weight"] = state["fc.weight"][:, :, None, None]
    metadata = json.loads(json.dumps(METADATA))
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = [224, 224]
    bundle(tmp_path, steps(RANGE), metadata)
    (tmp_path / "models" / "model.ts").unlink()
    torch.save(state, tmp_path / "models" / "model.pt")
    definition = {
        "_target_": "TorchVisionFCModel", "model_name": "resnet18", "num_classes": "@count", "use_conv": uses_conv, "pretrained": True,
    }  # fmt: skip
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text()) | {
        "count": 3,
        "network": "$@network_def",
    }

    def defined(**more: Any) -> Path:
        text = json.dumps(inference | {"network_def": definition | more})
        (tmp_path / "configs" / "inference.json").write_text(text)
        return tmp_path

    model = fullconv.load(defined(), check=False)
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert worst(next(iter(model.run(image.numpy()).values())), own(image).numpy()) < 1e-5
    assert model.preprocess.std == pytest.approx((127.5,))
    for more in (
        {"node_name": "layer3"}, {"bias": False}, {"model_name": "vit_b_16"}, {"pool": ["max", {"kernel_size": 7}]}, {"_target_": "SEResNet50"},
    ):  # fmt: skip
        with pytest.raises(BadInput, match="networks of MONAI are not built here"):
            fullconv.load(defined(**more))


def test_weights_that_a_definition_wants_are_named(tmp_path: Path) -> None:
    bundle(tmp_path, steps(RANGE))
    (tmp_path / "models" / "model.ts").unlink()
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    inference["network_def"] = {"_target_": "torchvision.models.resnet18", "num_classes": 3}
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(inference))
    with pytest.raises(
        BadInput, match=r"model\.pt: no such file, and .*inference\.json speaks of .*torchvision's resnet18"
    ):
        fullconv.load(tmp_path)


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
            "'normalizeintensity' goes by each image's own mean or deviation",
        ),
        (
            {"_target_": "ScaleIntensityd", "keys": "image"},
            "'scaleintensity' scales each image by its own least and highest value",
        ),
        # Without a divisor MONAI divides by each image's own deviation.
        ({"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 128}, "each image's own mean or deviation"),
        (MEANS | {"nonzero": True}, "leaves out pixels that are 0"),
        (MEANS | {"divisor": 0}, "divides by 0"),
        (MEANS | {"divisor": [1, 2]}, "has 3 numbers to subtract and 2 to divide by"),
        (RANGE | {"a_max": 200.0}, "cuts off what is not from 0 to 200, and pixels go from 0 to 255"),
        (RANGE | {"_disabled_": "$not True"}, "whether its step 'scaleintensityranged' is done is the expression"),
        ({"_target_": "OneOf", "transforms": [RANGE]}, "'oneof' is no step"),
        ({"_target_": "Flipd", "keys": "image", "spatial_axis": 1}, "'flip' is no step"),
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
    bundle(tmp_path, steps(RANGE))
    (tmp_path / "models" / "model.ts").unlink()
    with pytest.raises(BadInput, match=r"holds neither models/model\.ts nor .*python -m monai\.bundle ckpt_export"):
        fullconv.load(tmp_path)


def test_aliases_that_stand_for_more_than_memory_holds_are_refused(tmp_path: Path) -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    endless = ["a29: &a29 {more: *a29}"]
    for lines in (laughs, endless):
        text = "\n".join([*lines, "preprocessing: *a29"])
        with pytest.raises(BadInput, match=r"inference\.yaml: its aliases .* larger than any configuration"):
            fullconv.load(yaml_bundle(tmp_path, "", **{"inference.yaml": text}))
