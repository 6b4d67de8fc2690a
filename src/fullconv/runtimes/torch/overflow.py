"""Numbers that fp16 does not hold: which layer they start at, told instead of answers that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from fullconv.errors import BadInput
from fullconv.runtimes.torch.device import computing

_MOST = 65504  # the largest number of fp16


def require_range(
    module: fx.GraphModule, given: Sequence[torch.Tensor], device: torch.device, called: Mapping[str, str]
) -> None:
    """Say at which layer a network overflows that was run in fp16 and gave what is no number.

    Args:
        given: its inputs, as they were.
        called: what the network's file calls the values of nodes; parts of an operator have none.

    Raises:
        BadInput: with the layer; nothing where its numbers are too large in float32 too, or the inputs hold none.
    """
    with computing("fp32", device):
        exact = tensors_of(module(*given))
    if not all(is_finite(value) for value in exact):
        return
    watch = _Watch(module, called)
    with computing("fp16", device):
        watch.run(*given)
    where = f" at {watch.first!r}" if watch.first else ""
    raise BadInput(
        f"precision fp16: the network's numbers grow beyond what it holds ({_MOST}){where}; use --precision bf16, which has float32's range"
    )


class _Watch(fx.Interpreter):
    """Runs a graph and remembers the first value of the file that is not finite, or what the first of all belongs to."""

    def __init__(self, module: fx.GraphModule, called: Mapping[str, str]) -> None:
        super().__init__(module)
        self.called = called
        self.first: str | None = None
        self._seen = False

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        computed = n.op not in ("placeholder", "get_attr", "output") and isinstance(found, torch.Tensor)
        self._seen = self._seen or (computed and not is_finite(found))
        if self.first is None and self._seen and n.name in self.called:
            self.first = self.called[n.name]
        return found


def is_finite(value: torch.Tensor) -> bool:
    """Whether all its numbers are; whole ones are always."""
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def tensors_of(found: Any) -> tuple[torch.Tensor, ...]:
    """What a module gives, as a tuple."""
    return tuple(found) if isinstance(found, tuple | list) else (found,)
