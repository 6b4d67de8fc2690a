"""Every argument of every operator that has a spelling is read, harmless or refused, and nothing else is handed out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fullconv
from fullconv.formats.torch.operators import OPERATORS
from tests.conftest import worst
from tests.formats.torch.nets import SHAPE, Of, trunk

SCHEMAS = {str(target): (record, target._schema) for target, record in OPERATORS.items() if hasattr(target, "_schema")}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_argument_is_marked_once(name: str) -> None:
    record, schema = SCHEMAS[name]
    for argument in schema.arguments:
        marks = [argument.name in names for names in (record.reads, record.harmless, record.refuses)]
        assert sum(marks) == 1, (
            f"{name}: {argument.name} is marked {sum(marks)} times: is it read, harmless or refused?"
        )
        assert argument.has_default_value() or argument.name not in record.refuses


def test_every_mark_is_of_an_argument_that_there_is() -> None:
    have = {argument.name for _, schema in SCHEMAS.values() for argument in schema.arguments}
    for record, _ in SCHEMAS.values():
        assert record.reads | record.harmless | record.refuses <= have


def headed(run, **parts: nn.Module) -> nn.Module:
    """A classifier with an operator in its body."""
    torch.manual_seed(0)
    return Of(lambda m, x: m.fc(run(m, m.t(x)).flatten(1)), t=trunk(), fc=nn.Linear(196, 5), **parts).eval()


READ = {
    "add by nothing": lambda m, x: torch.add(x, x, alpha=0),
    "add by a negative share": lambda m, x: torch.add(x, x.sigmoid(), alpha=-2.5),
    "whole numbers": lambda m, x: (x * 5).to(torch.int32).to(torch.float32),
    "whole numbers added": lambda m, x: torch.add((x * 5).long(), (x * 3).long(), alpha=2).float(),
    "truth": lambda m, x: x.bool().float() - (x > 0.1).to(x.dtype),
    "truth times a number": lambda m, x: (x > 0.2) * x + ~(x > 0.2) * 0.5,
    "a truth times a truth": lambda m, x: ((x > 0.2) * (x < 0.9)).float(),
    "whole numbers by a fraction": lambda m, x: (x > 0).int() * 2.5,
    "softplus with a low threshold": lambda m, x: nn.functional.softplus(x, 1, 0.1),
    "rounded down": lambda m, x: torch.div(x, 0.37, rounding_mode="floor"),
    "rounded to zero": lambda m, x: torch.div(x - 1, 0.37, rounding_mode="trunc"),
    "a remainder": lambda m, x: (x - 1) % 0.3,
    "a choice of whole numbers": lambda m, x: torch.where(x > 0.3, 2, (x * 4).long()).float(),
    "a comparison of a truth and a number": lambda m, x: ((x > 0.3) > 0.5).float(),
    "a largest of whole numbers": lambda m, x: (x * 9).long().amax(1, keepdim=True) * x,
}


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_computed(name: str, runtime: str) -> None:
    module = headed(READ[name])
    full = fullconv.load(module, input_shape=SHAPE).cast()
    image = torch.randn(1, 3, 20, 18)
    found = next(iter(full.run(image.numpy(), runtime=runtime).values()))
    for row, col in ((0, 0), (2, 1)):
        with torch.no_grad():
            crop = module(image[:, :, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16]).numpy()
        assert worst(found[0, :, row, col], crop[0]) < 1e-5


REFUSED = {
    "batch statistics": (lambda m, x: m.n(x), {"n": nn.BatchNorm2d(4, track_running_stats=False)}, "its own batch"),
    "batch statistics by training": (
        lambda m, x: nn.functional.batch_norm(x, torch.zeros(4), torch.ones(4), training=True), {}, "its own batch"
    ),
    "a dropout that stays": (lambda m, x: nn.functional.dropout(x, 0.5, True), {}, "drops values"),
    "a scaled product": (
        lambda m, x: torch.addmm(torch.ones(196), x.flatten(1), torch.eye(196), beta=0.5, alpha=2), {}, "scales its product"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    run, parts, reason = REFUSED[name]
    (refusal,) = fullconv.load(headed(run, **parts), input_shape=SHAPE).plan.refusals
    assert reason in refusal.reason
