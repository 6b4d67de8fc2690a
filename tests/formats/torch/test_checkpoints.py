"""Checkpoints as people save them: whatever they wrap weights in, one reading fills the network, and what is a choice is left to the user."""

from __future__ import annotations

import argparse
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fullconv
from fullconv.errors import BadInput
from fullconv.formats.torch.checkpoint import read_tensors
from fullconv.formats.torch.readings import Weights
from fullconv.formats.torch.source import build
from tests.conftest import worst

SHAPE = (3, 20, 20)
NAME = "tests.formats.torch.test_checkpoints:Net"


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))


class Net(nn.Module):
    """Children and a head, as torchvision's ResNets have them."""

    def __init__(self, num_classes: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6)
        self.layer = nn.Sequential(*(Block(6) for _ in range(blocks)))
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(self.layer(torch.relu(self.norm(self.stem(x))))).flatten(1))


def trained(classes: int = 4, seed: int = 0, blocks: int = 2) -> Net:
    """Random weights, with statistics as training leaves them."""
    torch.manual_seed(seed)
    net = Net(classes, blocks)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return net.eval()


CROP = np.random.default_rng(0).standard_normal((1, *SHAPE)).astype(np.float32)


def answers(net: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(CROP)).numpy()


def holds(model: fullconv.Model, net: nn.Module) -> None:
    """The model answers as the module does, and so does its cast."""
    (own,) = model.run(CROP).values()
    (cast,) = model.cast().run(CROP).values()
    assert worst(own, answers(net)) < 1e-5
    assert worst(cast[:, :, 0, 0], answers(net)) < 1e-5


def under(prefix: str, net: nn.Module) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in net.state_dict().items()}


def other(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value + 1 for name, value in net.state_dict().items()}


def sequential(net: Net, prefix: str = "feat_extract.") -> dict[str, torch.Tensor]:
    """A body made of the network's children, with a classifier behind it."""
    body = under(prefix, nn.Sequential(*list(net.children())[:-2]))
    return body | {f"classifier.{name}": value for name, value in net.fc.state_dict().items()}


def test_wrappers_in_mappings_and_names(tmp_path: Path) -> None:
    net = trained()
    adam = {"state": {0: {"exp_avg": torch.zeros(3)}}}
    files = {
        "lightning": {"state_dict": under("model.", net) | {"criterion.weight": torch.ones(4)}, "optimizer_states": [adam]},
        "lightning net": {"state_dict": under("net.", net)},
        "data parallel": under("module.", net),
        "compiled within": {"model_state_dict": under("model._orig_mod.", net), "optimizer": adam},
        "averaged alone": {"model_ema": under("module.", net) | {"n_averaged": torch.tensor(3)}},
        "distilled": {"teacher": under("backbone.", trained(blocks=1)), "student": under("module.backbone.", net)},
        "numbered children": under("feat_extract.", nn.Sequential(*net.children())),
        "children and classifier": sequential(net),
        "body and head": under("backbone.", nn.ModuleDict(dict(list(net.named_children())[:-1]))) | under("head.fc.", net.fc),
        "dense within": {"state_dict": {n.replace("layer.", "layer.module."): v for n, v in under("", net).items()}},
        "no counters": {n: v for n, v in net.state_dict().items() if not n.endswith("num_batches_tracked")},
        "counted": net.state_dict() | {"total_ops": torch.zeros(1), "layer.total_params": torch.zeros(1)},
        "half": {n: v.half() if v.is_floating_point() else v for n, v in net.state_dict().items()},
    }  # fmt: skip
    notes = {}
    for kind, content in files.items():
        torch.save(content, tmp_path / "w.ckpt")
        made = build(NAME, Weights(tmp_path / "w.ckpt", read_tensors(tmp_path / "w.ckpt")))
        assert worst(answers(made.module.eval()), answers(net)) < (1e-2 if kind == "half" else 1e-6), kind
        notes[kind] = made.notes
    assert notes["lightning"] == (
        "the weights are those under 'state_dict.model' of the file",
        "of the file, no part of the network and left out: state_dict.criterion",
    )
    assert "the file's 'head.fc' is taken for the network's last layer, 'fc'" in notes["body and head"]
    torch.save(files["lightning"], tmp_path / "w.ckpt")
    model = fullconv.load(NAME, tmp_path / "w.ckpt", SHAPE)
    assert model.notes == notes["lightning"]
    holds(model, net)


def test_several_times_the_same_network_is_a_choice(tmp_path: Path) -> None:
    net = trained()
    content = {"state_dict": other(net), "state_dict_ema": under("module.", net), "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(
        BadInput, match=r"holds the network's weights 2 times.*under state_dict, state_dict_ema.*--weights-prefix"
    ):
        fullconv.load(NAME, tmp_path / "w.pth", SHAPE)
    model = fullconv.load(NAME, tmp_path / "w.pth", SHAPE, weights_prefix="state_dict_ema.module")
    holds(fullconv.load(NAME, tmp_path / "w.pth", SHAPE, weights_prefix="state_dict_ema."), net)
    assert model.notes[1] == "of the file, no part of the network and left out: state_dict (20 tensors)"
    with pytest.raises(BadInput, match=r"--weights-prefix 'ema': no weights.*under state_dict, state_dict_ema"):
        fullconv.load(NAME, tmp_path / "w.pth", SHAPE, weights_prefix="ema")
    # A copy beside the network's own names is one too, and no surplus.
    torch.save(net.state_dict() | {f"ema.{name}": value for name, value in other(net).items()}, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"2 times.*under \(no prefix\), ema"):
        fullconv.load(NAME, tmp_path / "w.pth", SHAPE)
    # The same numbers twice are no choice.
    counted = {name: value + 1 if name.endswith("tracked") else value for name, value in net.state_dict().items()}
    torch.save({"state_dict": net.state_dict(), "model": counted}, tmp_path / "w.pth")
    holds(fullconv.load(NAME, tmp_path / "w.pth", SHAPE), net)


def test_layers_under_other_names_are_renamed(tmp_path: Path) -> None:
    net = trained()
    state = {name.replace("stem", "conv1").replace("layer.", "blocks."): v for name, v in net.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    path = tmp_path / "w.safetensors"
    with pytest.raises(BadInput, match=r"missing stem\.weight.*unknown blocks\.0\.conv\.bias.*--rename OLD=NEW"):
        fullconv.load(NAME, path, SHAPE)
    holds(fullconv.load(NAME, path, SHAPE, rename=["conv1=stem", "blocks=layer"]), net)
    with pytest.raises(BadInput, match=r"no name has 'conv2' in it; it has .*conv1"):
        fullconv.load(NAME, path, SHAPE, rename=["conv2=stem"])
    with pytest.raises(BadInput, match="write OLD=NEW"):
        fullconv.load(NAME, path, SHAPE, rename=["conv1"])
    with pytest.raises(BadInput, match=r"makes one name, '.*', of two"):
        fullconv.load(NAME, path, SHAPE, rename=["blocks.0=blocks.1"])
    with pytest.raises(BadInput, match="give it with --weights"):
        fullconv.load(NAME, input_shape=SHAPE, rename=["conv1=stem"])


def test_what_does_not_fill_the_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    larger = trained(blocks=3)
    torch.save({"state_dict": under("model.", larger)}, path)
    with pytest.raises(
        BadInput, match=r"under 'state_dict.model' do not fit.*unknown .*layer\.2\.conv.*larger network"
    ):
        fullconv.load(NAME, path, SHAPE)
    assert (
        fullconv.load(NAME, path, SHAPE, ignore_unused_weights=True)
        .notes[1]
        .endswith("state_dict.model.layer.2 (6 tensors)")
    )
    state = trained().state_dict()
    del state["layer.1.norm.running_var"]
    torch.save(state, path)
    with pytest.raises(BadInput, match=r"missing layer\.1\.norm\.running_var"):
        fullconv.load(NAME, path, SHAPE)
    # Two matrices could be the head: neither is taken.
    body = {name: value for name, value in trained().state_dict().items() if not name.startswith("fc.")}
    torch.save(body | under("a.", nn.Linear(6, 4)) | under("b.", nn.Linear(6, 4)), path)
    with pytest.raises(BadInput, match=r"missing fc\.weight, fc\.bias; unknown a\.weight"):
        fullconv.load(NAME, path, SHAPE)
    torch.save({name: (value * 100).to(torch.int8) for name, value in trained().state_dict().items()}, path)
    with pytest.raises(BadInput, match=r"is of torch.int8, and the network's .* quantised"):
        fullconv.load(NAME, path, SHAPE)


def test_a_head_of_other_classes_in_any_wrapper(tmp_path: Path) -> None:
    net = trained(classes=9)
    torch.save({"state_dict": under("module.", net)}, tmp_path / "w.pth")
    model = fullconv.load(NAME, tmp_path / "w.pth", SHAPE)
    assert model.notes[0] == "the weights are for 9 classes"
    holds(model, net)
    torch.save(sequential(net), tmp_path / "w.pth")
    holds(fullconv.load(NAME, tmp_path / "w.pth", SHAPE), net)
    # A wider body is another network, whatever its numbers have in common.
    state = net.state_dict() | {"stem.weight": torch.zeros(9, 3, 3, 3), "stem.bias": torch.zeros(9)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"of another shape stem\.weight"):
        fullconv.load(NAME, tmp_path / "w.pth", SHAPE)


def test_weights_of_a_module_in_memory_are_put_into_a_copy(tmp_path: Path) -> None:
    net, mine = trained(), trained(seed=1)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    holds(fullconv.load(mine, tmp_path / "w.pth", SHAPE), net)
    assert worst(answers(mine), answers(trained(seed=1))) == 0
    program = torch.export.export(mine, (torch.from_numpy(CROP),))
    with pytest.raises(BadInput, match="leave out weights="):
        fullconv.load(program, tmp_path / "w.pth")


def test_plain_values_beside_the_tensors_are_passed_over(tmp_path: Path) -> None:
    net = trained()
    beside = {"args": argparse.Namespace(lr=1), "best": np.float64(0.9), "curve": np.zeros(3), "where": Path("x")}
    more = {"config": types.SimpleNamespace(a=[1]), "seen": {1, 2}, "shape": torch.Size([1])}
    torch.save({"state_dict": net.state_dict(), **beside, **more}, tmp_path / "w.ckpt")
    holds(fullconv.load(NAME, tmp_path / "w.ckpt", SHAPE), net)


def test_a_whole_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    net = trained()
    torch.save(net, tmp_path / "w.pth")
    with pytest.raises(
        BadInput, match=r"Python objects \(tests\.formats\.torch\.test_checkpoints\.Net\).*refused"
    ) as refused:
        fullconv.load(NAME, tmp_path / "w.pth", SHAPE)
    code = str(refused.value).partition("in Python: ")[2].partition("; then")[0]
    code = code.replace("'w.pth'", repr(str(tmp_path / "w.pth"))).replace(
        "'w.safe.pth'", repr(str(tmp_path / "new.pth"))
    )
    exec(code, {"torch": torch})
    holds(fullconv.load(NAME, tmp_path / "new.pth", SHAPE), net)
