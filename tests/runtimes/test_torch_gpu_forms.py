"""What is changed in a network for GPUs: the same numbers, whatever its sizes; on the processor here, and on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from fullconv.loading import load  # noqa: E402
from fullconv.runtimes.torch.fold import folded  # noqa: E402
from fullconv.runtimes.torch.joined import joined, rectified  # noqa: E402
from fullconv.runtimes.torch.module import inferring  # noqa: E402
from fullconv.runtimes.torch.session import LoweredSession  # noqa: E402
from fullconv.runtimes.torch.stem import as_blocks, blocks, with_blocks  # noqa: E402

nn, F = torch.nn, torch.nn.functional
gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here, and this is of one"),
]
DEVICES = ["cpu", pytest.param("cuda", marks=gpu)]


@given(
    st.integers(1, 4), st.integers(2, 4), st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(0, 5), st.integers(0, 5)), st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 99),
)  # fmt: skip
def test_a_kernel_over_blocks_is_the_one_over_pixels(
    channels: int, step: int, size: tuple[int, int], padding: tuple[int, int], more: tuple[int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, channels, size[0] + more[0], size[1] + more[1], dtype=torch.float64)
    kernel, bias = torch.randn(5, channels, *size, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    made = blocks(kernel, step, padding)
    assert made.shape[1] % 8 == 0
    found = F.conv2d(as_blocks(x, tuple(made.shape[1:]), step, size, padding), made, bias)
    torch.testing.assert_close(found, F.conv2d(x, kernel, bias, step, padding), rtol=1e-12, atol=1e-12)


class Residual(nn.Module):
    """A stem, a ReLU that joins, one behind a sum, one of what two read, and one behind a sum that is broadcast."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1)
        self.normed = nn.BatchNorm2d(16)
        self.one, self.two = nn.Conv2d(16, 16, 3, 1, 1, groups=groups), nn.Conv2d(16, 16, 3, 1, 1)
        self.side, self.shared, self.narrow = nn.Conv2d(16, 24, 1, 2), nn.Conv2d(16, 24, 3, 2, 1), nn.Conv2d(24, 1, 1)
        self.last = nn.Linear(24 * 4 * 4, 7)

    def forward(self, x: Any) -> Any:
        x = self.pool(F.relu(self.normed(self.stem(x))))
        x = F.relu(x + self.two(F.relu(self.one(x))))
        x = F.relu(self.shared(x) + self.side(x))
        both = self.narrow(x)
        x = F.relu(both + x) + torch.sigmoid(both)
        return self.last(torch.flatten(x, 1))


def graph_of(groups: int = 1) -> Any:
    torch.manual_seed(0)
    module = Residual(groups).eval()
    module.normed.running_mean.normal_()
    model = load(module, input_shape=(3, 32, 32)).cast()
    lowered = model.lowered({model.graph.image: (1, 3, 67, 80)})
    return lowered, folded(inferring(lowered, [model.output()], "the network")), model.output()


def calls(module: Any, target: Any) -> int:
    return sum(node.target is target for node in module.graph.nodes)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_network_is_the_same_with_its_layers_joined(groups: int) -> None:
    _, module, _ = graph_of(groups)
    x = torch.randn(1, 3, 67, 80)
    with torch.inference_mode():
        before = module(x)
        relus = calls(module, F.relu)
        names = {node.name for node in module.graph.nodes if node.target is F.relu}
        changed = joined(with_blocks(module))
        assert calls(changed, as_blocks) == 1
        assert calls(changed, rectified) == (4 if groups == 1 else 3)  # but of groups, and of what two read
        assert calls(changed, F.relu) == relus - calls(changed, rectified)
        assert {node.name for node in changed.graph.nodes if node.target is rectified} < names
        torch.testing.assert_close(changed(x), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_it_is_compiled_with_the_strides_that_it_is_said_to_have(device: str) -> None:
    _, module, _ = graph_of()
    x = torch.randn(1, 3, 67, 80, device=device)
    module = module.to(device)
    how = {"dynamic": False, "fullgraph": True} | ({"backend": "aot_eager"} if device == "cpu" else {})
    with torch.inference_mode():
        before = module(x)
        compiled = torch.compile(joined(with_blocks(module)), **how)
        torch.testing.assert_close(compiled(x), before, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_a_sum_that_is_broadcast_is_that(device: str) -> None:
    how: Any = {"device": device, "dtype": torch.float64}
    x, kernel, beside = torch.randn(1, 8, 9, 9, **how), torch.randn(16, 8, 3, 3, **how), torch.randn(1, 1, 7, 7, **how)
    found = rectified(x, kernel, None, beside, [1, 1], [0, 0], [1, 1])
    torch.testing.assert_close(found, F.relu(F.conv2d(x, kernel) + beside))


def test_only_gpus_have_these_forms() -> None:
    lowered, _, output = graph_of()
    session = LoweredSession(lowered, [output], "bf16", "cpu")
    assert calls(session.module, rectified) == calls(session.module, as_blocks) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here, and this is of one")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sizes", [(16, 64), (3, 10), (5, 7), (8, 1)])
def test_a_gpu_rectifies_what_is_no_number_to_none(dtype: Any, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, sizes[0], 32, 32, device="cuda", dtype=dtype)
    x[0, 0, 5, 5], x[0, 1, 20, 20], x[0, 2, 20, 20] = float("nan"), float("inf"), float("inf")
    kernel, bias = (
        torch.randn(sizes[1], sizes[0], 3, 3, device="cuda", dtype=dtype),
        torch.randn(sizes[1], device="cuda", dtype=dtype),
    )
    how: Any = [1, 1], [1, 1], [1, 1]
    plain = F.conv2d(x, kernel, bias, *how)
    beside = torch.randn_like(plain)
    for other in (None, beside):
        found = rectified(x, kernel, bias, other, *how)
        wanted = F.relu(
            F.conv2d(x.float(), kernel.float(), bias.float(), *how) + (0 if other is None else other.float())
        )
        torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=6e-2, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here, and this is of one")
@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-5), ("tf32", 5e-3), ("fp16", 5e-3), ("bf16", 4e-2)])
def test_a_session_on_a_gpu_is_near_the_processor(precision: Any, near: float) -> None:
    lowered, _, output = graph_of()
    image = torch.randn(1, 3, 67, 80).numpy()
    name = next(iter(lowered.inputs))
    sessions = [LoweredSession(lowered, [output], *how) for how in (("fp32", "cpu"), (precision, "cuda"))]
    assert calls(sessions[1].module, as_blocks) == 1
    wanted, found = (session.run({name: image}, [output])[0] for session in sessions)
    assert abs(found - wanted).max() < near * max(1, abs(wanted).max())
