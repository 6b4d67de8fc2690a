"""A network as a Python file of plain PyTorch: what makes the module that its tensors belong to."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch

from fullconv.formats.torch.module import about_mean, batch_norm, below_peak, channel_conv1d
from fullconv.formats.torch.network import TorchNet

_OWN = (about_mean, batch_norm, below_peak, channel_conv1d)
_HEAD = '''"""{source}, written by fullconv: a module of plain PyTorch, and load() for its weights in {weights}."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import device, inf, nan, nn  # noqa: F401 - what generated code may name

# name: (shape, dtype, is a parameter, is part of a state_dict)
TENSORS = {{
{tensors}
}}


{functions}

class FullyConvolutional(nn.Module):
    """Input {inputs}; any height and width from there on."""

    def __init__(self) -> None:
        super().__init__()
        for name, (shape, dtype, is_parameter, persistent) in TENSORS.items():
            *path, leaf = name.split(".")
            holder = self
            for part in path:
                if not hasattr(holder, part):
                    holder.add_module(part, nn.Module())
                holder = getattr(holder, part)
            value = torch.zeros(shape, dtype=getattr(torch, dtype))
            if is_parameter:
                holder.register_parameter(leaf, nn.Parameter(value))
            else:
                holder.register_buffer(leaf, value, persistent=persistent)
{constants}
{forward}

def load(path: str | Path = Path(__file__).with_name({weights_name!r})) -> FullyConvolutional:
    """The module with its weights, in eval mode."""
    from safetensors.torch import load_file

    module = FullyConvolutional()
    module.load_state_dict(load_file(path))
    return module.eval()
'''


def recipe_of(net: TorchNet, weights: str) -> str:
    """The file's text."""
    module, persistent = net.module, set(net.module.state_dict())
    parameters = dict(module.named_parameters(remove_duplicate=False))
    every = {**parameters, **dict(module.named_buffers(remove_duplicate=False))}
    tensors = [
        f"    {name!r}: ({tuple(value.shape)}, {_dtype(value)!r}, {name in parameters}, {name in persistent}),"
        for name, value in every.items()
    ]
    constants = [
        f"        self.get_buffer({name!r}).copy_(torch.tensor({value.tolist()!r}, dtype=torch.{_dtype(value)}))"
        for name, value in every.items()
        if name not in persistent
    ]
    shapes = ", ".join(f"{name} {axes.shape}" for name, axes in net.inputs.items())
    return _HEAD.format(
        source=_safe(net.source),
        weights=_safe(weights),
        weights_name=weights,
        tensors="\n".join(tensors),
        functions="\n\n".join(_source(f) for f in _OWN if any(n.target is f for n in module.graph.nodes)) or "\n",
        inputs=shapes,
        constants="\n".join(constants),
        forward=_forward(module),
    )


def _safe(text: str) -> str:
    """Text that a docstring can hold."""
    return text.replace("\\", "/").replace('"', "'")


def _own_name(function: Any) -> str:
    """Not the function's own name: generated code has variables of that."""
    return f"own_{function.__name__}"


def _source(function: Any) -> str:
    return inspect.getsource(function).replace(f"def {function.__name__}(", f"def {_own_name(function)}(")


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _forward(module: Any) -> str:
    code = module.graph.python_code("self")
    text = str(code.src)
    for name, value in code.globals.items():
        if value in _OWN:
            text = re.sub(rf"\b{name}\b", _own_name(value), text)
    lines = [
        line.partition(";  ")[0] if ";  " in line and " = None" in line else line for line in text.strip().splitlines()
    ]
    return "\n".join(f"    {line}" if line.strip() else "" for line in lines) + "\n"
