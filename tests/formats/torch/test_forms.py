"""What attention's families compute besides attention: every operator of it has a form for the engines, equal to PyTorch, for any number of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import fullconv
from fullconv.errors import CannotCast
from fullconv.runtimes.torch.module import inferring
from tests.conftest import worst

SHAPE = (4, 12, 12)
BATCH = np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)
Run = Callable[[nn.Module, torch.Tensor], torch.Tensor]


def tokens(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(2).transpose(1, 2)


def places(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A table of places that follows from the image's size, repeated for its batch."""
    n, _, h, w = x.shape
    rows = torch.ones(1, h, w).cumsum(1, dtype=torch.float32) / (h + 1e-6)
    cols = torch.ones(1, h, w).cumsum(2, dtype=torch.float32) / (w + 1e-6)
    return x + m.spread(torch.stack((rows.sin(), cols.cos()), 1).repeat(n, 1, 1, 1))


# By the networks that have them: Swin rolls, HaloNet and LambdaNetworks look at windows, Next-ViT pools tokens, MViT and SAM sum by letters, ...
def masked(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """As Swin marks which positions belong together: zeros like the image's, filled part by part."""
    mask = x.new_zeros((12, 12))
    for i, rows in enumerate((slice(0, -4), slice(-4, None))):
        mask[rows, 3:] = i + 1
    apart = mask.view(1, 144) - mask.view(144, 1)
    apart = apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)
    return (x.flatten(2).transpose(1, 2) @ x.flatten(2) + apart).softmax(-1)


FORMS: dict[str, Run] = {
    "a table of places": places,
    "a mask made of the image's kind": masked,
    "zeros for every image": lambda m, x: torch.cat([x.new_zeros(1).sum() + torch.zeros(x.shape[0], 2, 12, 12), torch.ones(x.shape[0], 1, 12, 12) * x[:, :1]], 1),
    "the largest and its place": lambda m, x: x.max(1)[0] + x.min(1, keepdim=True)[1].float().sum(1) + x.flatten(1).max(1)[1][:, None, None],
    "a token repeated": lambda m, x: torch.cat([m.token.repeat(x.shape[0], 1, 1), tokens(x)], 1),
    "repeated channels and rows": lambda m, x: x.repeat(1, 2, 3, 1),
    "repeated along new axes": lambda m, x: m.token[0].repeat(5, 1, 1).sum(1).mean() * x,
    "tiled": lambda m, x: x + m.window.tile(4, 6),
    "each in a row": lambda m, x: x.repeat_interleave(2, 1) * x.repeat_interleave(2, dim=1).mean((2, 3), keepdim=True),
    "rolled": lambda m, x: torch.roll(x, (-2, 3), (2, 3)) + torch.roll(x, 15, -1),
    "backwards": lambda m, x: x.flip(-1) + x.flip(1, 2),
    "windows along axes": lambda m, x: x.unfold(2, 5, 3).unfold(3, 4, 4),
    "sums so far": lambda m, x: x.cumsum(2) + (x > 0).int().cumsum(-1),
    "tokens pooled": lambda m, x: F.avg_pool1d(tokens(x).transpose(1, 2), 3, 2, 1),
    "a convolution of tokens": lambda m, x: m.along(tokens(x).transpose(1, 2)),
    "a convolution of three axes": lambda m, x: m.deep(x.unsqueeze(1)),
    "a sum by letters": lambda m, x: torch.einsum("bchw,hk->bckw", x, m.matrix),
    "a product of two by letters": lambda m, x: torch.einsum("bci,bcj->bij", x.flatten(2), x.flatten(2)),
    "places by a list": lambda m, x: x[:, [3, 0, 0, 1]] + x[:, :, list(range(11, -1, -1))] + x[..., torch.arange(12)],
    "columns": lambda m, x: F.unfold(x, (3, 2), dilation=(1, 2), padding=1, stride=2),
    "columns laid back": lambda m, x: F.fold(F.unfold(x, 3, padding=1, stride=2).softmax(1), (12, 12), 3, padding=1, stride=2),
    "columns of a size that leaves some": lambda m, x: F.fold(F.unfold(x, (2, 3), stride=3), (12, 12), (2, 3), stride=3),
}  # fmt: skip


class Net(nn.Module):
    """A form over a map, and a head over all that comes of it."""

    def __init__(self, form: Run) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.body, self.spread = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.along, self.deep = nn.Conv1d(4, 6, 3, 2, 1, groups=2), nn.Conv3d(1, 2, (1, 3, 5), padding=(0, 1, 2))
        self.token, self.window = nn.Parameter(torch.randn(1, 2, 4)), nn.Parameter(torch.randn(4, 3, 2))
        self.matrix = nn.Parameter(torch.randn(12, 5))
        with torch.no_grad():
            self.head = nn.Linear(form(self, torch.zeros(1, *SHAPE)).numel(), 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.form(self, self.body(x)).flatten(1))


@pytest.mark.parametrize("name", FORMS)
def test_every_engine_answers_as_pytorch_does(name: str) -> None:
    net = Net(FORMS[name]).eval()
    with torch.no_grad():
        wanted = net(torch.from_numpy(BATCH)).numpy()
    model = fullconv.load(net, input_shape=SHAPE)
    output = model.output()
    inferring(model.lowered({"x": (3, *SHAPE)}), [output], name)  # the engines' own form, not PyTorch in their place
    for engine in ("onnxruntime", "torch", "openvino"):
        found = model.run(BATCH, outputs=[output], runtime=engine)[output]
        assert worst(found.reshape(wanted.shape), wanted) < 1e-5, engine


def test_places_of_two_axes_at_once_are_told() -> None:
    model = fullconv.load(Net(lambda m, x: x[:, [0, 1], [2, 3]]).eval(), input_shape=SHAPE)
    assert any("several axes at once" in each.reason for each in model.plan.refusals)


@pytest.mark.parametrize(
    "name", ["rolled", "backwards", "places by a list", "windows along axes", "columns", "sums so far", "tiled"]
)
def test_what_mixes_places_of_the_map_is_refused_by_name(name: str) -> None:
    model = fullconv.load(Net(FORMS[name]).eval(), input_shape=SHAPE)
    with pytest.raises(CannotCast) as refused:
        model.cast()
    assert refused.value.refusals


def test_grey_repeated_to_colours_is_cast() -> None:
    """As networks of colours are fed with grey images: one channel three times, by either word."""
    torch.manual_seed(0)
    image = torch.randn(1, 1, 40, 34)
    for repeat in (lambda x: x.repeat(1, 3, 1, 1), lambda x: torch.tile(x, (3, 1, 1))):
        net = Grey(repeat).eval()
        full = fullconv.load(net, input_shape=(1, 16, 16)).cast()
        found = full.run(image.numpy())[full.output()]
        with torch.no_grad():
            for row, col in ((0, 0), (3, 5), (found.shape[2] - 1, found.shape[3] - 1)):
                crop = image[:, :, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16]
                assert worst(found[0, :, row, col], net(crop)[0].numpy()) < 1e-5
    assert worst(full.module(image).detach().numpy(), found) < 1e-5


class Grey(nn.Module):
    def __init__(self, repeat: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.repeat = repeat
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(294, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.repeat(x))


ORDER = torch.tensor([-1, 1, 0])


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.flip(1),
        lambda x: x[:, [2, 1, 0]],
        lambda x: x[:, ORDER, :, :],
        lambda x: x.index_select(1, torch.tensor([2, 1, 0])),
    ],
)
def test_channels_turned_round_are_cast(form: Callable[[torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(0)
    image, net = torch.randn(1, 3, 40, 34), Grey(form).eval()
    full = fullconv.load(net, input_shape=(3, 16, 16)).cast()
    found = full.run(image.numpy())[full.output()]
    with torch.no_grad():
        for row, col in ((0, 0), (3, 5), (found.shape[2] - 1, found.shape[3] - 1)):
            crop = image[:, :, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16]
            assert worst(found[0, :, row, col], net(crop)[0].numpy()) < 1e-5
