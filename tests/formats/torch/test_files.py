"""PyTorch networks from files and names, and what is written; files of strangers run no code."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fullconv
from fullconv.errors import BadInput
from tests.conftest import worst
from tests.formats.torch.nets import EXACT, INEXACT, SHAPE
from tests.formats.torch.real import mnist, resnet20, rnet


def net(name: str = "batch norm between dense layers") -> nn.Module:
    torch.manual_seed(0)
    return EXACT[name]().eval()


def image(height: int = 28, width: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, channels, height, width)).astype(np.float32)


def run(model: fullconv.Model, values: np.ndarray) -> np.ndarray:
    return next(iter(model.run(values).values()))


class Code:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self):
        return (open, (self.trace, "w"))


class TestWriting:
    @pytest.mark.parametrize(
        "name", ["batch norm between dense layers", "channel shuffle", "several heads", "pixel unshuffle"]
    )
    @pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
    def test_what_is_written_is_read_again_for_any_size(self, tmp_path: Path, name: str, suffix: str) -> None:
        full = fullconv.load(net(name), input_shape=SHAPE).cast()
        (path,) = full.save(tmp_path / f"net{suffix}")
        again = fullconv.load(path, input_shape=SHAPE)
        assert again.is_fully_convolutional
        for one, other in zip(full.run(image()).values(), again.run(image()).values(), strict=True):
            assert worst(other, one) < 1e-6

    @pytest.mark.parametrize("name", INEXACT)
    def test_every_structure_is_written_as_onnx(self, tmp_path: Path, name: str) -> None:
        torch.manual_seed(0)
        full = fullconv.load(INEXACT[name][0](), input_shape=SHAPE).cast()
        (path,) = full.save(tmp_path / "net.onnx")
        onnx.checker.check_model(str(path), full_check=True)
        dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
        assert [bool(d.dim_param) for d in dims] == [True, False, True, True]
        assert worst(run(fullconv.load(path, input_shape=SHAPE), image()), run(full, image())) < 1e-6

    @pytest.mark.parametrize("name", ["batch norm between dense layers", "channel shuffle", "standardised weights"])
    def test_safetensors_with_a_recipe_of_plain_pytorch(self, tmp_path: Path, name: str) -> None:
        full = fullconv.load(net(name), input_shape=SHAPE).cast()
        written = full.save(tmp_path / "net.safetensors")
        assert [path.name for path in written] == ["net.safetensors", "net.py"]
        spec = importlib.util.spec_from_file_location("written_net", written[1])
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        assert "fullconv" not in written[1].read_text().replace("written by fullconv", "")
        module = made.load()
        assert set(module.state_dict()) == set(full.module.state_dict())
        with torch.no_grad():
            assert worst(module(torch.from_numpy(image())).numpy(), run(full, image())) < 1e-6
            if "norm" in name:
                module.train()(torch.from_numpy(image()))
                assert int(module.state_dict()["3.num_batches_tracked"]) == 1

    def test_a_gate_of_channels_has_a_recipe_too(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        full = fullconv.load(INEXACT["efficient channel attention"][0](), input_shape=SHAPE).cast()
        _, recipe = full.save(tmp_path / "net.safetensors")
        spec = importlib.util.spec_from_file_location("written_gate", recipe)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        with torch.no_grad():
            assert worst(made.load()(torch.from_numpy(image())).numpy(), run(full, image())) < 1e-6

    def test_another_suffix_is_refused(self, tmp_path: Path) -> None:
        full = fullconv.load(net(), input_shape=SHAPE).cast()
        with pytest.raises(BadInput, match=r"\.pt2, \.onnx, \.safetensors"):
            full.save(tmp_path / "net.pth")
        with pytest.raises(BadInput, match="leave out --out-weights"):
            full.save(tmp_path / "net.pt2", tmp_path / "w.pth")
        assert not list(tmp_path.iterdir())


class TestExportedPrograms:
    def program(self, module: nn.Module, batch: int = 2, free: bool = True):
        dims = ({0: torch.export.Dim("batch")},) if free else None
        return torch.export.export(module, (torch.zeros(batch, *SHAPE),), dynamic_shapes=dims)

    @pytest.mark.parametrize(("batch", "free"), [(2, True), (1, False), (4, False)])
    def test_a_pt2_file_is_cast(self, tmp_path: Path, batch: int, free: bool) -> None:
        module, path = net("view by the batch"), tmp_path / "net.pt2"
        torch.export.save(self.program(module, batch, free), path)
        model = fullconv.load(path)
        crop = image(16, 16)
        with torch.no_grad():
            expected = module(torch.from_numpy(crop)).numpy()
        assert worst(run(model, crop), expected) < 1e-6
        assert worst(run(model.cast(), crop).reshape(1, 5), expected) < 1e-6
        assert run(model.cast(), image()).shape == (1, 5, 7, 5)

    def test_a_program_in_memory(self) -> None:
        module = net()
        model = fullconv.load(self.program(module))
        assert run(model.cast(), image()).shape == (1, 5, 7, 5)

    def test_pickled_code_is_not_run(self, tmp_path: Path) -> None:
        good, trace = tmp_path / "net.pt2", tmp_path / "trace"
        torch.export.save(self.program(net()), good)
        hostile = tmp_path / "hostile.pt2"
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(hostile, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename.endswith("sample_inputs/model.pt"):
                    buffer = io.BytesIO()
                    torch.save({"inputs": Code(trace)}, buffer)
                    content = buffer.getvalue()
                new.writestr(item, content)
        with pytest.raises(BadInput, match="loading it could run code; refused"):
            fullconv.load(hostile)
        assert not trace.exists()

    def test_a_pickled_weight_is_not_run(self, tmp_path: Path) -> None:
        good, trace = tmp_path / "net.pt2", tmp_path / "trace"
        torch.export.save(self.program(net()), good)
        hostile = tmp_path / "hostile.pt2"
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(hostile, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename.endswith("model_weights_config.json"):
                    listed = json.loads(content)
                    for entry in listed["config"].values():
                        entry["use_pickle"] = True
                    content = json.dumps(listed).encode()
                elif item.filename.rsplit("/", 1)[-1] == "weight_0":
                    buffer = io.BytesIO()
                    torch.save(Code(trace), buffer)
                    content = buffer.getvalue()
                new.writestr(item, content)
        with pytest.raises(BadInput, match="refused"):
            fullconv.load(hostile)
        assert not trace.exists()

    @pytest.mark.parametrize("place", ["input", "weight", "operator", "size", "file"])
    def test_names_sizes_and_operators_of_a_graph_run_no_code(self, tmp_path: Path, place: str, capfd) -> None:
        """PyTorch writes code with the names, evaluates the sizes and looks up the operators that a file gives."""
        good, hostile, trace = tmp_path / "net.pt2", tmp_path / "hostile.pt2", tmp_path / "trace"
        torch.export.save(self.program(net()), good)
        code = f'__import__("pathlib").Path({str(trace)!r}).touch()'

        def changed(value, above: str = ""):
            if isinstance(value, list):
                return [changed(item, above) for item in value]
            if not isinstance(value, dict):
                return value
            found = {}
            for key, inner in value.items():
                if place == "input" and above == "tensor_values" and key == "input":
                    key = f"input={code}"
                elif place == "input" and key == "name" and inner == "input" and above in ("as_tensor", "arg"):
                    inner = f"input={code}"
                elif place == "weight" and key == "parameter_name":
                    inner = f'{inner}") or {code} or ("'
                elif place == "operator" and key == "target" and above == "nodes":
                    inner = "torch.hub.load"
                elif place == "file" and key == "target" and above == "nodes":
                    inner = "torch.ops.aten.from_file.default"
                elif place == "size" and key == "expr_str":
                    inner = code
                found[key] = changed(inner, key)
            return found

        with zipfile.ZipFile(good) as old, zipfile.ZipFile(hostile, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename.endswith("models/model.json"):
                    before = json.loads(content)
                    assert changed(before) != before
                    content = json.dumps(changed(before)).encode()
                new.writestr(item, content)
        with pytest.raises(BadInput, match="could run code; refused"):
            fullconv.load(hostile)
        assert not trace.exists()
        assert "Traceback" not in capfd.readouterr().err

    def test_a_damaged_graph_leaves_no_trace_on_the_terminal(self, tmp_path: Path, capfd) -> None:
        good, damaged = tmp_path / "net.pt2", tmp_path / "damaged.pt2"
        torch.export.save(self.program(net()), good)
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(damaged, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                new.writestr(item, content.replace(b"aten.linear.default", b"aten.no_such.default"))
        with pytest.raises(BadInput, match=r"not a readable \.pt2 file"):
            fullconv.load(damaged)
        assert capfd.readouterr().err == ""

    def test_quotes_in_a_name_are_refused(self) -> None:
        module = nn.Sequential()
        module.add_module('a") or print("', nn.Conv2d(3, 2, 3))
        with pytest.raises(BadInput, match="has a name with quotes"):
            fullconv.load(module, input_shape=SHAPE)

    @pytest.mark.parametrize("kept", [0, 100, 3000])
    def test_a_truncated_file(self, tmp_path: Path, kept: int) -> None:
        path = tmp_path / "net.pt2"
        torch.export.save(self.program(net()), path)
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(BadInput, match="truncated or damaged"):
            fullconv.load(path)

    def test_a_free_training_size_is_asked_for(self, tmp_path: Path) -> None:
        module, path, auto = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), tmp_path / "net.pt2", torch.export.Dim.AUTO
        torch.export.save(
            torch.export.export(module, (torch.zeros(2, *SHAPE),), dynamic_shapes=({2: auto, 3: auto},)), path
        )
        with pytest.raises(BadInput, match="--input-shape"):
            fullconv.load(path)
        assert fullconv.load(path, input_shape=SHAPE).is_fully_convolutional


class TestWeights:
    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
    @pytest.mark.parametrize("inside", [None, "state_dict", "model"])
    def test_prefixes_and_wrappers_are_taken_off(
        self, tmp_path: Path, prefix: str, inside: str | None, monkeypatch
    ) -> None:
        source = net("dense layers with dropout")
        state = {prefix + name: value for name, value in source.state_dict().items()}
        path = tmp_path / "w.pth"
        torch.save({inside: state, "epoch": 3} if inside else state, path)
        model = fullconv.load("tests.formats.torch.test_files:small", weights=path, input_shape=SHAPE)
        crop = image(16, 16)
        with torch.no_grad():
            assert worst(run(model, crop), source(torch.from_numpy(crop)).numpy()) < 1e-6

    def test_safetensors(self, tmp_path: Path) -> None:
        source = net("dense layers with dropout")
        save_file({f"module.{k}": v for k, v in source.state_dict().items()}, tmp_path / "w.safetensors")
        model = fullconv.load("tests.formats.torch.test_files:small", tmp_path / "w.safetensors", SHAPE)
        assert worst(run(model.cast(), image()), run(fullconv.load(source, input_shape=SHAPE).cast(), image())) == 0

    def test_weights_of_another_network_are_told_by_their_first_names(self, tmp_path: Path) -> None:
        torch.save({f"layer{i}.weight": torch.zeros(2) for i in range(5)}, tmp_path / "w.pth")
        with pytest.raises(
            BadInput,
            match=r"missing 0\.0\.weight, 0\.0\.bias, 2\.weight and 3 more; unknown layer0\.weight, layer1\.weight",
        ):
            fullconv.load("tests.formats.torch.test_files:small", tmp_path / "w.pth", SHAPE)

    def test_weights_for_other_classes_make_a_head_for_them(self, tmp_path: Path) -> None:
        from torchvision.models import squeezenet1_1

        torch.save(squeezenet1_1(num_classes=7).state_dict(), tmp_path / "w.pth")
        model = fullconv.load("torchvision:squeezenet1_1", tmp_path / "w.pth")
        assert model.graph.values[model.graph.outputs[-1]].shape[1] == 7
        assert model.notes[1:] == ("the weights are for 7 classes",)
        assert re.search(
            r"nothing says how pixels go in with .*w\.pth: .* as with the library's own weights: RGB", model.notes[0]
        )

    def test_a_checkpoint_with_code_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        torch.save({"state_dict": {}, "config": Code(trace)}, tmp_path / "w.pth")
        with pytest.raises(BadInput, match=r"could run code; refused.*weights_only=False"):
            fullconv.load("tests.formats.torch.test_files:small", tmp_path / "w.pth", SHAPE)
        (tmp_path / "old.pth").write_bytes(pickle.dumps(Code(trace)))
        with pytest.raises(BadInput, match=r"refused|damaged"):
            fullconv.load("tests.formats.torch.test_files:small", tmp_path / "old.pth", SHAPE)
        assert not trace.exists()

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"text"])
    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_damaged_weights(self, tmp_path: Path, content: bytes, suffix: str) -> None:
        path = tmp_path / f"w{suffix}"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"w{suffix}"):
            fullconv.load("tests.formats.torch.test_files:small", path, SHAPE)

    def test_no_state_dict(self, tmp_path: Path) -> None:
        torch.save([1, 2], tmp_path / "w.pth")
        with pytest.raises(BadInput, match="holds no state_dict"):
            fullconv.load("tests.formats.torch.test_files:small", tmp_path / "w.pth", SHAPE)


def small() -> nn.Module:
    return EXACT["dense layers with dropout"]()


def broken() -> nn.Module:
    raise ValueError("on purpose")


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if float(x.sum()) > 0 else x


class TestNames:
    def test_unknown_names_come_with_near_ones(self) -> None:
        with pytest.raises(BadInput, match="did you mean resnet18"):
            fullconv.load("torchvision:resnet81")
        with pytest.raises(BadInput, match="timm has no model of this name; did you mean resnet18"):
            fullconv.load("timm:resnet181")
        with pytest.raises(BadInput, match="cannot import 'no_such_module'"):
            fullconv.load("no_such_module:make")
        with pytest.raises(BadInput, match="has no 'nothing'"):
            fullconv.load("tests.formats.torch.test_files:nothing")
        with pytest.raises(BadInput, match="making it failed: ValueError: on purpose"):
            fullconv.load("tests.formats.torch.test_files:broken", input_shape=SHAPE)
        with pytest.raises(BadInput, match="is a str, neither"):
            fullconv.load("tests.formats.torch.test_files:__doc__", input_shape=SHAPE)

    def test_the_training_size_is_asked_for(self) -> None:
        with pytest.raises(BadInput, match="give the size that it was trained on with --input-shape"):
            fullconv.load("tests.formats.torch.test_files:small")

    def test_a_module_whose_export_fails_tells_why(self) -> None:
        with pytest.raises(BadInput, match=r"torch\.export cannot read it") as caught:
            fullconv.load(Branches(), input_shape=SHAPE)
        assert "Traceback" not in str(caught.value)
        assert "--input-shape" in str(caught.value)
        with pytest.raises(BadInput, match=r"torch\.export cannot read it"):
            fullconv.load(net(), input_shape=(3, 20, 20))

    @pytest.mark.long
    def test_torchvision_and_timm_know_size_and_preprocessing(self) -> None:
        model = fullconv.load("torchvision:squeezenet1_1")
        assert model.image_shape == (3, 224, 224)
        assert model.preprocess.mean == (0.485, 0.456, 0.406)
        assert "random" in model.notes[0]
        model = fullconv.load("timm:lcnet_035")
        assert model.image_shape == (3, 224, 224)
        assert model.preprocess.scale == pytest.approx(1 / 255)

    @pytest.mark.long
    def test_auxiliary_heads_are_left_out_and_told(self) -> None:
        from torchvision.models import googlenet

        model = fullconv.load(googlenet(init_weights=False, aux_logits=True), input_shape=(3, 224, 224))
        assert model.notes == ("left out: aux1, aux2 (no part of what the network answers with in eval mode)",)
        assert not any(name.startswith("aux") for name in model.cast().module.state_dict())

    def test_what_is_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="a list is no model"):
            fullconv.load([1])
        (tmp_path / "w.safetensors").write_bytes(b"")
        with pytest.raises(BadInput, match="these are weights of PyTorch"):
            fullconv.load(tmp_path / "w.safetensors")
        text = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
        with pytest.raises(BadInput, match="cannot read it"):
            fullconv.load(text, input_shape=SHAPE)

    def test_modules_are_found_in_the_working_folder(self, tmp_path: Path, monkeypatch) -> None:
        code = "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(392, 4))\n"
        (tmp_path / "mine_here.py").write_text(code)
        monkeypatch.chdir(tmp_path)
        assert fullconv.load("mine_here:make", input_shape=SHAPE).cast().is_fully_convolutional
        assert str(tmp_path) not in sys.path


class TestRealNetworks:
    def test_resnet20(self, shared: Path) -> None:
        module = resnet20(shared)
        model = fullconv.load(module, input_shape=(3, 32, 32))
        full = model.cast()
        crop = image(32, 32)
        with torch.no_grad():
            expected = module(torch.from_numpy(crop)).numpy()
        assert worst(run(full, crop).reshape(1, 10), expected) < 1e-5
        assert [str(e) for e in model.plan.edits][-1] == "linear (10, 64) -> linear (10, 64, 1, 1)"
        assert full.sampling().stride == (4, 4)

    def test_rnet_has_two_heads_and_a_flatten_of_width_height_channels(self, shared: Path) -> None:
        module = rnet(shared)
        model = fullconv.load(module, input_shape=(3, 24, 24))
        assert model.plan.exactness.startswith("not exact: cells differ from their crops through ceil overhang")
        found = model.cast().run(image(24, 24))
        with torch.no_grad():
            expected = module(torch.from_numpy(image(24, 24)))
        for mine, theirs in zip(found.values(), expected, strict=True):
            assert worst(mine.reshape(theirs.shape), theirs.numpy()) < 1e-5

    def test_the_mnist_network_with_its_own_weights(self, shared: Path) -> None:
        path = shared / "torch" / "convex_adversarial" / "mnist.pth"
        model = fullconv.load("tests.formats.torch.real:mnist", weights=path, input_shape=(1, 28, 28))
        module = mnist()
        module.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        crop = image(28, 28, 1)
        with torch.no_grad():
            assert worst(run(model.cast(), crop).reshape(1, 10), module(torch.from_numpy(crop)).numpy()) < 1e-5

    @pytest.mark.parametrize(
        "name",
        [
            "torchvision:resnet18", "torchvision:squeezenet1_1", "timm:convnextv2_atto",
            *(
                pytest.param(name, marks=pytest.mark.long)
                for name in (
                    "torchvision:alexnet", "torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5", "torchvision:efficientnet_b0", "timm:ecaresnet26t",
                    "timm:resnest14d", "timm:skresnet18", "timm:tresnet_m", "timm:ghostnet_050", "timm:fasternet_t0", "timm:mixnet_s",
                )
            ),
        ],
    )  # fmt: skip
    def test_families(self, name: str) -> None:
        """Cast and original in double precision are the same; the engine's float32 answer is theirs. `python -m benchmarks.coverage` runs 260."""
        from benchmarks.coverage.check import check

        small = {"torchvision:alexnet": 224, "timm:tresnet_m": 128}  # uneven windows, space to depth
        row = check(name, larger=False, side=small.get(name, 96))
        assert row.verdict == "cast", row
