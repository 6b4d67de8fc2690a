"""The same promises for modules of PyTorch and networks of Keras: words of our own, which ONNX writes with several operators, and some structures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fuzz.networks.promises import promises
from torch import nn

import fullconv
from tests.conformance.test_onnx import OTHERS
from tests.formats.torch.nets import EXACT, INEXACT, REFUSED, SHAPE, Of, trunk

os.environ["KERAS_BACKEND"] = "torch"


def step(run: Callable, channels: int = 4) -> Callable[[], nn.Module]:
    """A module with one step between its trunk and its head; the trunk steps by two pixels."""
    return lambda: Of(lambda m, x: m.fc(run(m.t(x)).flatten(1)), t=trunk(), fc=nn.LazyLinear(5))


class _Sums(nn.Module):
    """A trunk, a sum of products, and a dense layer behind what is a map still."""

    def __init__(self, equation: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.t, self.equation = trunk(), equation
        self.weight = nn.Parameter(torch.randn(shape) / 9)
        self.fc = nn.LazyLinear(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.einsum(self.equation, self.t(x), self.weight).flatten(1))


WORDS: dict[str, dict[str, tuple[Callable[[], nn.Module], str]]] = {
    "AdaptivePool": {"windows of uneven size": (REFUSED["an uneven adaptive pool"][0], "refused")},
    "Attention": {"over positions": (REFUSED["attention"][0], "refused")},
    "ReduceOther": {
        f"the norm of channels of order {order}": (step(lambda x, p=order: x * torch.linalg.vector_norm(x + 0.2, p, dim=1, keepdim=True)), "exact")
        for order in (3.0, 0, float("inf"))
    },
    "ReduceOver": {"half of the channels gates the other": (step(lambda x: F.glu(x, dim=1)), "exact")},
    "ReduceVariance": {
        "channels": (step(lambda x: x * x.var(1, keepdim=True)), "exact"),
        "channels from the end": (step(lambda x: x + x.std(-3, keepdim=True)), "exact"),
        "the map": (INEXACT["variance pooling"][0], "inexact"),
    },
    "Select": {
        "one channel": (step(lambda x: x[:, 1].unsqueeze(1)), "exact"),
        "one channel without its axis, into a weight matrix": (step(lambda x: x[:, 1]), "exact"),
        "one class": (lambda: Of(lambda m, x: m.fc(m.t(x).flatten(1))[:, -2], t=trunk(), fc=nn.LazyLinear(5)), "exact"),
        "the last": (step(lambda x: x[:, -1].unsqueeze(1) * x), "exact"),
        "each": (step(lambda x: sum(x.unbind(1)).unsqueeze(1)), "exact"),
    },
    "Stack": {"two maps": (step(lambda x: torch.stack([x, x.tanh()], 1).amax(1)), "exact"), "at the end": (step(lambda x: torch.stack([x, x.sin()], -1).sum(-1)), "exact")},
}  # fmt: skip
SOME = {
    **{
        name: (EXACT[name], "exact")
        for name in ("permuted before the flatten (w h c)", "channel shuffle", "several heads")
    },
    **{
        name: (INEXACT[name][0], "inexact")
        for name in ("squeeze and excite by dense layers", "ceil pools", "group norm")
    },
    **{
        f"a sum of products, {equation}": (lambda equation=equation, shape=shape: _Sums(equation, shape), "exact")
        for equation, shape in (
            ("nchw,ochw->no", (5, 4, 7, 7)), ("nchw,whco->no", (7, 7, 4, 5)), ("nchw,oc->nohw", (6, 4)), ("nchw,co->nohw", (4, 6))
        )
    },
}  # fmt: skip
CASES = [
    pytest.param(make, says, id=f"{word}: {label}")
    for word, rows in WORDS.items()
    for label, (make, says) in rows.items()
]
CASES += [pytest.param(make, says, id=name) for name, (make, says) in SOME.items()]


@pytest.mark.parametrize(("make", "says"), CASES)
def test_a_cast_module_keeps_every_promise(tmp_path: Path, make: Callable[[], nn.Module], says: str) -> None:
    torch.manual_seed(0)
    module = make().eval()
    with torch.no_grad():
        module(torch.zeros(1, *SHAPE))  # lazy layers learn their sizes

    def original(image: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            found = module(torch.from_numpy(np.ascontiguousarray(image)))
        return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]

    verdict = promises(fullconv.load(module, input_shape=SHAPE), original, SHAPE, Random(0), tmp_path)
    assert verdict.kind == says, verdict


@pytest.mark.parametrize("name", ["flatten of (h, w, c)", "permuted"])
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras under NumPy 2
def test_a_cast_network_of_keras_keeps_every_promise(tmp_path: Path, name: str) -> None:
    from tests.formats.keras.test_keras import EXACT as KERAS
    from tests.formats.keras.test_keras import said

    model = KERAS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(tmp_path / "net.keras")
    verdict = promises(
        fullconv.load(tmp_path / "net.keras"), lambda image: [said(model, image)], SHAPE, Random(0), tmp_path
    )
    assert verdict.kind == "exact", verdict


def test_every_word_of_our_own_has_a_row() -> None:
    assert set(WORDS) == OTHERS
