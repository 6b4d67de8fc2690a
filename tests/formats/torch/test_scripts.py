"""TorchScript files, traced and scripted: equal to the file's own answers, and nothing of theirs reaches beyond the network."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import fullconv
from fullconv.errors import BadInput
from tests.conftest import worst
from tests.formats.torch.test_checkpoints import SHAPE, trained

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
BATCH = np.random.default_rng(0).random((2, *SHAPE), np.float32)


def written(script: torch.jit.ScriptModule, path: Path) -> Path:
    torch.jit.save(script, path)
    return path


def recoded(path: Path, old: str, new: str) -> Path:
    """The file with other code, as nobody's PyTorch would write it."""
    content = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content[name] = archive.read(name)
    assert any(old.encode() in text for name, text in content.items() if name.endswith(".py"))
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text.replace(old.encode(), new.encode()) if name.endswith(".py") else text)
    return path


class HandsBack(nn.Module):
    """Its answer, and the image itself behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.net(x), x


def test_an_input_that_is_handed_back_is_no_answer(tmp_path: Path) -> None:
    """It was the last output, which a map is of, and no engine had it."""
    torch.manual_seed(0)
    made = HandsBack().eval()
    path = written(torch.jit.trace(made, torch.rand(1, *SHAPE)), tmp_path / "net.pt")
    same = fullconv.load(path, input_shape=SHAPE)
    same.save(tmp_path / "net.onnx")
    message = onnx.load(tmp_path / "net.onnx")
    message.graph.output.append(message.graph.input[0])
    onnx.save(message, tmp_path / "back.onnx")
    back = fullconv.load(tmp_path / "back.onnx", input_shape=SHAPE)
    with torch.no_grad():
        expected = made(torch.from_numpy(BATCH[:1]))[0].numpy()
    for model in (same, back, fullconv.load(made, input_shape=SHAPE)):
        assert len(model.graph.outputs) == 1
        (found,) = model.run(BATCH[:1]).values()
        assert worst(found, expected) < 1e-5


class Chunks(nn.Module):
    """Sizes that a trace makes tensors of, and a branch on a size that a script keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(1) != 3:
            raise ValueError("takes colours")
        x = torch.relu(self.conv(x))
        n, c, h, w = x.size()
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("net", [trained(), Chunks().eval()], ids=["net", "chunks"])
@pytest.mark.parametrize("kind", ["scripted", "traced", "frozen"])
def test_both_kinds_answer_as_the_file_does(tmp_path: Path, net: nn.Module, kind: str) -> None:
    script = torch.jit.trace(net, torch.from_numpy(BATCH[:1])) if kind == "traced" else torch.jit.script(net)
    path = written(torch.jit.freeze(script) if kind == "frozen" else script, tmp_path / "net.pt")
    model = fullconv.load(path, input_shape=SHAPE)
    large = np.random.default_rng(1).random((1, 3, 27, 25), np.float32)
    (own,), (whole,) = model.run(BATCH[:1]).values(), model.cast().run(large).values()
    step = int(model.sampling().stride[0])
    with torch.no_grad():
        assert worst(own, net(torch.from_numpy(BATCH[:1])).numpy()) < 1e-5
        for row in range(whole.shape[2]):
            crop = torch.from_numpy(large[:, :, row * step : row * step + 20, step : step + 20])
            assert worst(whole[:, :, row, 1], net(crop).numpy()) < 1e-4
    if kind == "scripted" and isinstance(net, type(trained())):
        assert model.native.batch is None
        assert "layer.0.norm.running_var" in model.module.state_dict()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_one_saved_for_phones_is_the_script_that_it_is(tmp_path: Path) -> None:
    net, path = Chunks().eval(), tmp_path / "net.ptl"
    torch.jit.script(net)._save_for_lite_interpreter(str(path))
    (own,) = fullconv.load(path, input_shape=SHAPE).run(BATCH[:1]).values()
    with torch.no_grad():
        assert worst(own, net(torch.from_numpy(BATCH[:1])).numpy()) < 1e-5
    path.write_bytes(b"bytecode alone")
    with pytest.raises(
        BadInput, match=r"net\.ptl: holds no code of TorchScript; save the network with torch\.jit\.save"
    ):
        fullconv.load(path, input_shape=SHAPE)


def test_a_size_is_asked_for_and_the_files_own_words_are_told(tmp_path: Path) -> None:
    path = written(torch.jit.script(Chunks().eval()), tmp_path / "net.pth")
    with pytest.raises(BadInput, match=r"net\.pth: a TorchScript file does not say its training size.*--input-shape"):
        fullconv.load(path)
    with pytest.raises(BadInput, match=r"fails for images of \(4, 20, 20\).*takes colours"):
        fullconv.load(path, input_shape=(4, 20, 20))
    with pytest.raises(BadInput, match="leave out --weights"):
        fullconv.load(path, weights=path, input_shape=SHAPE)
    with pytest.raises(BadInput, match=r"is a TorchScript file.*give it as the model"):
        fullconv.load("tests.formats.torch.test_checkpoints:Net", path, SHAPE)


def test_one_saved_on_a_gpu_runs_on_the_processor(tmp_path: Path) -> None:
    class There(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.to(torch.device("cuda:0"))).mean((2, 3))

    net = There().eval()
    path = written(torch.jit.script(net), tmp_path / "net.pt")
    model = fullconv.load(path, input_shape=SHAPE)
    (own,) = model.run(BATCH).values()
    with torch.no_grad():
        assert worst(own, net.conv(torch.from_numpy(BATCH)).mean((2, 3)).numpy()) < 1e-5


class Decides(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if float(x.mean()) > 0.4:
            x = x * 2
        return x.mean((2, 3))


def test_what_reaches_beyond_the_network_is_refused_by_name(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for call, named in (
        (f'torch.from_file("{trace}", True, 100)', "its code calls 'from_file'"),
        (f'ops.aten.save(x, "{trace}")', "its code calls 'save'"),
        ("ops.torchvision.nms(x, x, 0.5)", "the operator torchvision::nms, which is not PyTorch's own"),
        ("__torch__.torch.classes.quantized.Conv2dPackedParamsBase", r"the class quantized\.Conv2dPackedParamsBase"),
    ):
        path = written(torch.jit.script(Chunks().eval()), tmp_path / "net.pt")
        with pytest.raises(BadInput, match=named):
            fullconv.load(recoded(path, "torch.mean(", f"torch.mean({call}, "), input_shape=SHAPE)
    assert not trace.exists()
    path = written(torch.jit.script(Decides()), tmp_path / "net.pt")
    with pytest.raises(BadInput, match="makes no program"):
        fullconv.load(path, input_shape=SHAPE)


def test_damaged_and_packed_files(tmp_path: Path) -> None:
    path = written(torch.jit.script(Chunks().eval()), tmp_path / "net.pt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"net\.pt"):
        fullconv.load(path, input_shape=SHAPE)
    path.write_bytes(whole)
    with pytest.raises(BadInput, match="PyTorch cannot load this TorchScript"):
        fullconv.load(recoded(path, "torch.relu(", "torch.no_such("), input_shape=SHAPE)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(io.BytesIO(whole)) as old:
        for name in old.namelist():
            archive.writestr(name, old.read(name))
        archive.writestr("net/data/9", bytes(300 << 20))
    path.write_bytes(packed.getvalue())
    with pytest.raises(BadInput, match="packed to much less than it becomes"):
        fullconv.load(path, input_shape=SHAPE)
