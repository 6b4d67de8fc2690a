"""Gates that act behind a stride: at every cell, the window around its own place at the step at which it was pooled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import CannotCast
from fullconv.model import Model
from tests.conftest import worst
from tests.formats.onnx.nets import weights, write

CROP = 12
# kernel, stride, pad before and behind, and where a coarse cell i's centre lies among the fine ones: (first, step)
WINDOWS = {
    "padded on both sides": (3, 2, (1, 1), 0),
    "padded behind, as SAME": (3, 2, (0, 1), 1),
    "not padded": (3, 2, (0, 0), 1),
    "blocks": (2, 2, (0, 0), 0),  # between two cells, as the middle of a window of ten is
    "of one cell": (1, 3, (0, 0), 0),
    "wide": (5, 3, (2, 2), 0),
}


class Behind(nn.Module):
    """What comes in gates what goes out of a convolution with a stride."""

    def __init__(self, kernel: int, stride: int, pads: tuple[int, int]) -> None:
        super().__init__()
        self.first, self.route = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)
        self.conv, self.pads, self.fc = nn.Conv2d(4, 4, kernel, stride), pads * 2, nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        gate = torch.sigmoid(self.route(x.mean((2, 3))) * 3)
        x = self.conv(F.pad(x, self.pads)) * gate[:, :, None, None]
        return self.fc(x.mean((2, 3)))

    def by_hand(self, image: torch.Tensor, first: int) -> torch.Tensor:
        """The map of a larger image, its gates pooled cell by cell."""
        x = torch.relu(self.first(image))
        size, stride, y = CROP - 2, self.conv.stride[0], self.conv(F.pad(x, self.pads))

        def edge(i: int, length: int) -> int:
            return min(max(first + i * stride - (size - 1) // 2, 0), length - size)

        out = torch.empty_like(y)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                top, left = edge(i, x.shape[2]), edge(j, x.shape[3])
                pooled = x[:, :, top : top + size, left : left + size].mean((2, 3))
                out[:, :, i, j] = y[:, :, i, j] * torch.sigmoid(self.route(pooled) * 3)
        cells = self.conv(F.pad(torch.zeros(1, 4, size, size), self.pads)).shape[2]
        return self.fc(F.avg_pool2d(out, cells, 1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def in_torch(module: Behind, path: Path) -> Model:
    return fullconv.load(module, input_shape=(3, CROP, CROP))


def in_onnx(module: Behind, path: Path, opset: int = 13) -> Model:
    (before, behind), stride = module.pads[:2], module.conv.stride[0]
    body = (
        "c = Conv (x, w1, b1)\nr = Relu(c)\nq = GlobalAveragePool(r)\nf = Flatten(q)\ng = Gemm <transB=1> (f, w2, b2)\n"
        "t = Mul(g, three)\ns = Sigmoid(t)\nu = Reshape(s, shape)\n"
        f"d = Conv <strides=[{stride},{stride}], pads=[{before},{before},{behind},{behind}]> (r, w3, b3)\n"
        "m = Mul(u, d)\np = GlobalAveragePool(m)\nh = Flatten(p)\ny = Gemm <transB=1> (h, w4, b4)"
    )
    parts = {"1": module.first, "2": module.route, "3": module.conv, "4": module.fc}
    numbers = {f"w{i}": part.weight.detach().numpy() for i, part in parts.items()}
    numbers |= {f"b{i}": part.bias.detach().numpy() for i, part in parts.items()}
    numbers |= {"three": np.array(3, np.float32), "shape": np.array([1, 4, 1, 1])}
    return fullconv.load(write(path / "net.onnx", body, numbers, f"float[1,3,{CROP},{CROP}] x", opset=opset))


@pytest.mark.parametrize("read", [in_torch, in_onnx])
@pytest.mark.parametrize("name", WINDOWS)
def test_each_cell_is_gated_by_the_window_around_it(tmp_path: Path, name: str, read) -> None:
    torch.manual_seed(0)
    kernel, stride, pads, first = WINDOWS[name]
    module = Behind(kernel, stride, pads).eval()
    full = read(module, tmp_path).cast()
    crop, image = torch.randn(1, 3, CROP, CROP), torch.randn(1, 3, 27, 22)
    with torch.inference_mode():
        expected, one = module.by_hand(image, first).numpy(), module(crop).numpy()
    (mapped,), (alone,) = full.run(image.numpy()).values(), full.run(crop.numpy()).values()
    assert worst(alone.reshape(1, 5), one) < 3e-6
    assert mapped.shape == expected.shape
    assert worst(mapped, expected) < 1e-5


def test_a_gate_pooled_finer_joins_one_pooled_coarser(tmp_path: Path) -> None:
    """Statistics of two steps decide together; what comes of them acts on the coarser map, twice at one node."""
    body = (
        "c = Conv (x, w1, b1)\nq = GlobalAveragePool(c)\nd = Conv <strides=[1,2], pads=[1,1,1,1]> (c, w2, b2)\nz = GlobalMaxPool(d)\n"
        "j = Concat <axis=1> (q, z)\ns = Conv(j, w3, b3)\na = Add(s, s)\nt = Sigmoid(q)\nm = Sum(t, d, t)\nn = Mul(m, a)\n"
        "p = GlobalAveragePool(n)\ny = Flatten(p)"
    )
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w2=(4, 4, 3, 3), b2=(4,), w3=(4, 8, 1, 1), b3=(4,))
    path = write(tmp_path / "net.onnx", body, numbers, f"float[1,3,{CROP},{CROP}] x", "float[1,4] y")
    model = fullconv.load(path)
    sampled = [edit for edit in model.plan.edits if type(edit).__name__ == "SampleGate"]
    assert [(edit.value, edit.axis, edit.step) for edit in sampled] == [("q", 3, 2), ("t", 3, 2)]
    assert str(model.cast().checked).startswith("checked")


def test_a_gate_of_a_coarser_step_is_refused(tmp_path: Path) -> None:
    body = (
        "c = Conv (x, w1, b1)\nd = Conv <strides=[2,2]> (c, w2, b2)\nq = GlobalAveragePool(d)\nm = Mul(c, q)\n"
        "p = GlobalAveragePool(m)\ny = Flatten(p)"
    )
    numbers = weights(w1=(4, 3, 3, 3), b1=(4,), w2=(4, 4, 3, 3), b2=(4,))
    path = write(tmp_path / "net.onnx", body, numbers, f"float[1,3,{CROP},{CROP}] x", "float[1,4] y")
    with pytest.raises(CannotCast, match="which no window gives"):
        fullconv.load(path).cast()


def test_an_operator_set_without_steps_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(CannotCast, match="from operator set 10 on, the file has 9"):
        in_onnx(Behind(3, 2, (1, 1)), tmp_path, opset=9).cast()


def test_a_map_behind_sampled_gates_can_be_finer(tmp_path: Path) -> None:
    """At the network's own cells it is the same; between them every cell has a window of its own."""
    torch.manual_seed(0)
    module = Behind(3, 2, (0, 0)).eval()
    full = in_onnx(module, tmp_path).cast()
    image = np.random.default_rng(0).standard_normal((1, 3, 28, 22)).astype(np.float32)
    (own,), (fine,) = full.run(image).values(), full.refined(1).run(image).values()
    assert worst(fine[:, :, ::2, ::2][:, :, : own.shape[2], : own.shape[3]], own) < 1e-5
    assert fine.shape[2] > own.shape[2]
