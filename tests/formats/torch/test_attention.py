"""Attention as ATen has it: crops by every engine, files, modules that train and traces, equal to PyTorch; no cast goes through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import CannotCast, CannotRun
from tests.conftest import worst

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::FutureWarning"
)
SHAPE, SIDE = (3, 16, 16), 16  # pixels, and positions of 4×4 of them
DEPTH = 8
BATCH = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
SEEN = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.4
SEEN[3] = False  # a position that reads none


def per_image(x: torch.Tensor) -> torch.Tensor:
    return (x.mean(-1) > -0.1)[:, None, None, :]


def none_seen(x: torch.Tensor) -> torch.Tensor:
    return (x.mean(-1) > 1e9)[:, None, None, :]


NUMBERS = torch.zeros(2, SIDE, SIDE).masked_fill(~SEEN, float("-inf"))
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a scale": {"scale": 0.3},
    "the past": {"is_causal": True},
    "a mask of truths": {"attn_mask": SEEN},
    "a mask of numbers": {"attn_mask": NUMBERS},
    "a mask an image": {"attn_mask": per_image},
    "a mask of none": {"attn_mask": none_seen},
    "heads that share": {"is_causal": True, "scale": 0.7, "enable_gqa": True},
}


class Attends(nn.Module):
    """Heads over patches of an image, in several forms side by side."""

    def __init__(self, forms: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.forms = forms
        self.patches, self.out = nn.Conv2d(3, 16, 4, 4), nn.Linear(4 * DEPTH, 5)
        self.parts = nn.ModuleList(nn.Linear(16, 4 * DEPTH) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        found = []
        for form in self.forms.values():
            q, k, v = (part(x).unflatten(-1, (-1, DEPTH)).transpose(1, 2) for part in self.parts)
            if form.get("enable_gqa"):
                k, v = k[:, :2], v[:, :2]
            elif form.get("attn_mask") is NUMBERS:
                q, k, v = q[:, :2], k[:, :2], v[:, :2]
            mask = form.get("attn_mask")
            given = {**form, "attn_mask": mask(x)} if callable(mask) else form
            made = F.scaled_dot_product_attention(q, k, v, **given).transpose(1, 2).flatten(2)
            found.append(self.out(F.pad(made, (0, 4 * DEPTH - made.shape[-1]))).square().mean(1))
        return torch.cat(found, 1)


class Transformers(nn.Module):
    """PyTorch's own layers over patches, side by side."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.out = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        self.token = nn.Parameter(torch.randn(1, 2, 16))
        self.heads, self.turned = (nn.MultiheadAttention(16, 4, batch_first=first) for first in (True, False))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 4, 32, activation=kind, batch_first=True, norm_first=first)
            for kind, first in (("gelu", True), ("relu", False))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        positions_first = x.transpose(0, 1)
        found = [
            self.turned(positions_first, positions_first, positions_first, need_weights=False)[0].transpose(0, 1),
            *(layer(x) for layer in self.layers),
        ]
        tokens = self.token.expand(x.shape[0], -1, -1)
        found.append(self.heads(tokens, x, x, need_weights=False)[0])
        read, weights = self.heads(x, x, x)
        answers = [self.out(each).square().mean(1) for each in (*found, read)]
        return torch.cat([*answers, weights.square().mean(1)], 1)


NETS = {"forms": lambda: Attends(FORMS), "layers": lambda: Transformers()}


def answers(net: nn.Module, batch: np.ndarray = BATCH) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(batch)).numpy()


def require_equal(
    model: fullconv.Model, wanted: np.ndarray, engines: tuple[str, ...], batch: np.ndarray = BATCH
) -> None:
    output = model.graph.outputs[0]
    for engine in engines:
        found = model.run(batch, outputs=[output], runtime=engine)[output]
        assert worst(found.reshape(wanted.shape), wanted) < 1e-5, engine


@pytest.mark.parametrize("name", NETS)
def test_every_engine_and_file_answers_as_pytorch_does(name: str, tmp_path: Path) -> None:
    net = NETS[name]().eval()
    wanted = answers(net)
    model = fullconv.load(net, input_shape=SHAPE)
    require_equal(model, wanted, ("onnxruntime", "torch", "openvino"))
    (path,) = model.save(tmp_path / "net.onnx")
    session = ort.InferenceSession(path)
    found = session.run(None, {session.get_inputs()[0].name: BATCH})[0]
    assert worst(found.reshape(wanted.shape), wanted) < 1e-5, "and takes any batch"
    made = fullconv.load(path, input_shape=SHAPE).module(torch.from_numpy(BATCH))
    assert worst(made.detach().numpy(), wanted) < 1e-5
    with pytest.raises(CannotCast):
        model.cast()


def test_traces_are_read_as_their_parts_and_train(tmp_path: Path) -> None:
    """A trace has PyTorch's fused layers, which no other engine has, and which have no gradient; and sizes by way of tensors."""
    net = Transformers().eval()
    with torch.no_grad():
        torch.jit.trace(net, torch.from_numpy(BATCH[:1])).save(tmp_path / "net.pt")
    model = fullconv.load(tmp_path / "net.pt", input_shape=SHAPE)
    require_equal(model, answers(net), ("onnxruntime", "torch"))
    module = model.module.train()
    module(torch.from_numpy(BATCH[:1])).square().mean().backward()
    own, read = dict(net.named_parameters()), dict(module.named_parameters())
    assert read
    assert all(value.shape == own[name].shape and value.grad is not None for name, value in read.items())


class Kernel(nn.Module):
    """What PyTorch chose for the processor: attention with more answers than one, and a convolution by its inner name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.out = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv = self.patches
        x = torch.ops.aten.convolution(x, conv.weight, conv.bias, [4, 4], [0, 0], [1, 1], False, [0, 0], 1)
        x = x.flatten(2).transpose(1, 2).unflatten(-1, (2, 8)).transpose(1, 2).contiguous()
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        made = kernel(x, x, x, 0.0, True, scale=0.4)[0] + kernel(x, x, x, attn_mask=NUMBERS[None])[0]
        return self.out(made.transpose(1, 2).flatten(2)).square().mean(1)


def test_an_export_that_chose_a_kernel(tmp_path: Path) -> None:
    net = Kernel().eval()
    sizes = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(net, (torch.from_numpy(BATCH),), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "net.pt2")
    model = fullconv.load(tmp_path / "net.pt2")
    targets = {str(node.target) for node in program.graph.nodes}
    assert any("flash_attention_for_cpu" in each for each in targets)
    assert "aten.convolution.default" in targets
    require_equal(model, answers(net), ("onnxruntime", "torch"))


def test_a_map_by_crops_is_pytorchs() -> None:
    net = Attends({"heads that share": FORMS["heads that share"]}).eval()
    image = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    found = fullconv.map(fullconv.load(net, input_shape=SHAPE), image, by="crops", stride=8, preprocess="unit")
    values = image.transpose(2, 0, 1).astype(np.float32) / 255
    crops = np.stack([values[:, y : y + 16, x : x + 16] for y in (0, 8) for x in (0, 8, 16)])
    wanted = answers(net, np.ascontiguousarray(crops))
    assert worst(found.scores.reshape(len(wanted.T), -1).T, wanted) < 1e-5


def test_what_drops_at_random_is_left_to_pytorch() -> None:
    model = fullconv.load(Attends({"drops": {"dropout_p": 0.5}}).eval(), input_shape=SHAPE)
    with pytest.raises(CannotRun, match="drops values at inference too"):
        model.lowered({model.graph.image: (1, *SHAPE)})


@pytest.mark.long
def test_real_transformers() -> None:
    """torchvision's layers lay positions in front of the batch; timm's do not."""
    timm = pytest.importorskip("timm")
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    nets = {
        (3, 32, 32): VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=7),
        (3, 160, 160): timm.create_model("test_vit", num_classes=7),
    }
    for shape, net in nets.items():
        for parameter in net.parameters():
            nn.init.normal_(parameter, 0, 0.2)
        batch = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
        model = fullconv.load(net.eval(), input_shape=shape)
        require_equal(model, answers(net, batch), ("onnxruntime", "torch"), batch)


class Unflattens(nn.Module):
    """Axes taken apart with positions in front of the batch, and behind the axis."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.patches, self.out = kind, nn.Conv2d(3, 16, 4, 4), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).permute(2, 0, 1)  # positions, batch, channels
        if self.kind == "behind":
            x = x.unflatten(0, (8, 2)).permute(0, 2, 1, 3)
        elif self.kind == "last":
            x = x.unflatten(-1, (2, 8)).permute(0, 1, 3, 2)
        else:
            x = x.view_as(x.reshape(x.shape[0], x.shape[1], 2, 8)).permute(0, 1, 3, 2)
        return self.out(x.flatten(2).permute(1, 0, 2).square().mean(1)[:, :8])


@pytest.mark.parametrize("kind", ["last", "behind", "like another"])
def test_axes_are_taken_apart_for_any_batch(kind: str) -> None:
    net = Unflattens(kind).eval()
    model = fullconv.load(net, input_shape=SHAPE)
    for count in (1, 3, 4):
        batch = np.random.default_rng(0).standard_normal((count, *SHAPE)).astype(np.float32)
        require_equal(model, answers(net, batch), ("onnxruntime", "torch"), batch)
