"""Names of zoos: the real loading code over small repositories, laid as the zoos' own caches lay them. Nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fullconv
from fullconv.cards.card import Card
from fullconv.cards.made import Read, card_of
from fullconv.cards.taken import card_at, fingerprint_of
from fullconv.cards.zoo import card_of_name
from fullconv.errors import BadInput
from fullconv.formats.torch.checkpoint import read_tensors
from fullconv.formats.torch.readings import Weights
from fullconv.formats.torch.source import build
from tests.cards.carded import net
from tests.cards.test_folders import TIMM, WSINFER, timm_net
from tests.cards.test_shards import sharded
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with empty caches, offline."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


def repository(home: Path, name: str) -> Path:
    """The folder of a repository's files, as the hub's cache has it."""
    base = home / "hub" / f"models--{name.replace('/', '--')}"
    commit = "0" * 40
    (base / "refs").mkdir(parents=True)
    (base / "refs" / "main").write_text(commit)
    (base / "snapshots" / commit).mkdir(parents=True)
    return base / "snapshots" / commit


def answers(module: nn.Module, side: int) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return module.eval()(torch.rand(1, 3, side, side))


def holds(name: str, made: nn.Module, side: int) -> Card:
    """A name's network, with its weights, answers as the module that they were saved of."""
    found = card_of_name(name, None)
    assert found is not None
    card, _ = found
    assert card.network is not None
    assert card.weights is not None
    built = build(card.network, Weights(Path(card.weights), read_tensors(Path(card.weights))))
    assert worst(answers(built.module, side).numpy(), answers(made, side).numpy()) == 0
    return card


def test_torchvision_with_weights(home: Path) -> None:
    from torchvision.models import squeezenet1_1

    with pytest.raises(BadInput, match=r"weights IMAGENET1K_V1, DEFAULT, not 'V3'"):
        fullconv.load("torchvision:squeezenet1_1@V3")
    made = squeezenet1_1()
    (home / "torch" / "checkpoints").mkdir(parents=True)
    torch.save(made.state_dict(), home / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    card = holds("torchvision:squeezenet1_1@DEFAULT", made, 64)
    assert card.labels is not None
    assert card.labels[281] == "tabby"
    assert card.input_shape == (3, 224, 224)
    with pytest.raises(BadInput, match="has weights of its own; leave out --weights"):
        fullconv.load(
            "torchvision:squeezenet1_1@DEFAULT", home / "torch" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
        )


def test_timm_with_a_tag(home: Path) -> None:
    import timm

    name = "timm:test_resnet.r160_in1k"
    with pytest.raises(
        BadInput,
        match=r"model\.safetensors is neither in the hub's cache .* nor to be had.*hf download timm/test_resnet",
    ):
        fullconv.load(name)
    torch.manual_seed(0)
    made = timm.create_model("test_resnet")
    save_file(made.state_dict(), repository(home, "timm/test_resnet.r160_in1k") / "model.safetensors")
    card = holds(name, made, 64)
    assert card.labels is not None
    assert len(card.labels) == 1000
    assert card.preprocess is not None
    assert card.preprocess.mean == timm.get_pretrained_cfg("test_resnet.r160_in1k").mean
    assert card_of_name("timm:test_resnet", None) is None
    with pytest.raises(BadInput, match="no weights of this tag; did you mean"):
        fullconv.load("timm:test_resnet.r160_in2k")
    (home / "mine.toml").write_text(f'network = "{name}"\nthreshold = 0.7\n')
    about, _ = card_at(home / "mine.toml") or (None, ())
    assert about is not None
    model = fullconv.load(home / "mine.toml", check=False)
    assert model.card is not None
    assert (model.card.threshold, model.card.labels) == (0.7, card.labels)
    made_card = card_of(Read(model.card, (3, 64, 64), None, ["a"]), name, {}, home / "made.toml")
    assert (made_card.network, made_card.weights) == (name, None)
    assert made_card.fingerprint == fingerprint_of(Path(str(card.weights)))


def test_repositories_of_the_hub(home: Path) -> None:
    for name in ("hf-hub:me/tumour", "wsinfer:tumour"):
        with pytest.raises(BadInput, match="hf-hub"):
            fullconv.load(name)
    folder = repository(home, "me/tumour")
    torch.jit.save(torch.jit.trace(net(), torch.rand(1, 3, 16, 16)), folder / "torchscript_model.pt")
    (folder / "config.json").write_text(json.dumps(WSINFER))
    model = fullconv.load("hf-hub:me/tumour")
    assert model.image_shape == (3, 16, 16)
    assert model.card is not None
    assert model.card.labels == ("notumor", "tumor", "other")
    (home / ".wsinfer-zoo").mkdir()
    registry = {"models": {"tumour": {"description": "", "hf_repo_id": "me/tumour", "hf_revision": "main"}}}
    (home / ".wsinfer-zoo" / "wsinfer-zoo-registry.json").write_text(json.dumps(registry))
    found = card_of_name("wsinfer:tumour", None)
    assert found is not None
    assert found[0].network == str(folder / "torchscript_model.pt")
    with pytest.raises(BadInput, match=r"no such model; did you mean tumour\?"):
        fullconv.load("wsinfer:tumor")
    with pytest.raises(BadInput, match="write hf-hub:OWNER/NAME"):
        fullconv.load("hf-hub:me")


def test_names_of_the_hub_as_others_write_them(home: Path) -> None:
    for name in ("hf_hub:me/tumour", "timm:hf-hub:me/tumour", "hf:me/tumour", "huggingface:me/tumour"):
        with pytest.raises(BadInput, match="named so: hf-hub:me/tumour"):
            fullconv.load(name)
    for name in ("timm:", "hf-hub:", "wsinfer:"):
        with pytest.raises(BadInput, match="names nothing; write"):
            fullconv.load(name)


def test_a_repository_of_no_kind_that_is_known(home: Path) -> None:
    """Weights were asked for that it need not have."""
    config = repository(home, "me/other") / "config.json"
    for text, said in (
        ('{"model": "x"}', "is of no kind that is known"),
        ("[1]", "but a list"),
        ('{"a"', "not valid JSON"),
    ):
        config.write_text(text)
        with pytest.raises(BadInput, match=said):
            fullconv.load("hf-hub:me/other")


def test_a_repository_of_shards(home: Path) -> None:
    folder = repository(home, "me/large")
    (folder / "config.json").write_text(json.dumps(TIMM))
    own = timm_net(folder)
    (folder / "model.safetensors").unlink()
    sharded(folder, own.state_dict())
    model = fullconv.load("hf-hub:me/large", check=False)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert worst(next(iter(model.run(image.numpy()).values())), own(image).numpy()) < 1e-5
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadInput, match=r"model-00002-of-00002\.safetensors is neither in the hub's cache"):
        fullconv.load("hf-hub:me/large")


class Classifier(nn.Module):
    """A patch classifier as TIAToolbox makes it, from a description of its structure."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.feat_extract = nn.Sequential(*list(body.children())[:-2])
        self.pool, self.classifier = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(512, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.pool(self.feat_extract(x)), 1))


def test_tiatoolboxes_patch_classifiers(home: Path) -> None:
    from torchvision.models import resnet18

    with pytest.raises(BadInput, match=r"put resnet18-kather100k\.pth of TIAToolbox .* at .*\.tiatoolbox"):
        fullconv.load("tiatoolbox:resnet18-kather100k")
    with pytest.raises(BadInput, match="data sets are kather100k, pcam"):
        fullconv.load("tiatoolbox:resnet18")
    torch.manual_seed(0)
    made = Classifier(resnet18())
    (home / ".tiatoolbox" / "models").mkdir(parents=True)
    torch.save(made.state_dict(), home / ".tiatoolbox" / "models" / "resnet18-kather100k.pth")
    card = holds("tiatoolbox:resnet18-kather100k", made, 64)
    assert (card.activation, card.pixel_size, card.input_shape) == ("softmax", 0.5, (3, 224, 224))
