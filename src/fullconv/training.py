"""A network as a module that trains, and the way back: trained numbers as a network of the format that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from fullconv.errors import BadInput, MissingExtra
from fullconv.formats.format import Format
from fullconv.graph.nodes import Graph

Array = npt.NDArray[Any]
_WRAPPERS = ("_orig_mod.", "module.")  # what torch.compile and DataParallel put in front of names


def module_of(native: Any, kind: Format, graph: Graph, name: str) -> Any:
    """The network as an nn.Module of PyTorch, in eval mode; a copy.

    Raises:
        MissingExtra: PyTorch is not there.
        CannotRun: an operator has no form in PyTorch here.
    """
    _require_torch()
    from fullconv.runtimes.torch.stepping import without_steps

    if kind.framework is not None:
        return without_steps(kind.framework.module(native))
    from fullconv.runtimes.torch.module import trained

    network = replace(kind.trainable(native), batch=kind.batch(native))
    return without_steps(trained(network, graph.outputs, name))


def with_weights(native: Any, kind: Format, state: Mapping[str, Any], name: str) -> Any:
    """The native network with the numbers of a state_dict.

    Raises:
        BadInput: names are missing or unknown, shapes differ, or numbers are not finite.
    """
    if kind.framework is not None:
        own = {key: _numbers(value) for key, value in kind.framework.module(native).state_dict().items()}
        return kind.framework.with_weights(native, _fitting(own, state, name))
    _require_torch()
    from fullconv.runtimes.torch.names import valid

    network = kind.trainable(native)
    names = valid(network.names)
    lowered = network.lowered
    arrays = dict(lowered.weights) | {c.name: numpy_helper.to_array(c) for c in lowered.constants if c.name in names}
    for node in lowered.nodes:
        if node.op_type == "Constant" and node.output[0] in names:
            arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    keys = {key: value for value, key in names.items()}
    found = _fitting({key: arrays[value] for key, value in keys.items()}, state, name)
    return kind.with_weights(native, {keys[key]: array for key, array in found.items()})


def _require_torch() -> None:
    if find_spec("torch") is None:
        raise MissingExtra("PyTorch is not installed; install it with: pip install 'fullconv[torch]'")


def _fitting(own: Mapping[str, Array], state: Mapping[str, Any], name: str) -> dict[str, Array]:
    """Numbers of a state_dict in the types of the network's own."""
    state = _unwrapped(own, state)
    missing, unknown = [k for k in own if k not in state], [k for k in state if k not in own]
    if missing or unknown:
        said = [f"{word} {_listed(keys)}" for word, keys in (("lacks", missing), ("has unknown", unknown)) if keys]
        raise BadInput(f"{name}: the state_dict {' and '.join(said)}; it should be one of this network's module")
    made, wrong = {}, []
    for key, mine in own.items():
        value = _numbers(state[key])
        if value.shape != mine.shape:
            wrong.append(f"{key} is {value.shape}, the network's {mine.shape}")
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            wrong.append(f"{key} holds NaN or infinite numbers: the training diverged")
        elif mine.dtype.kind != value.dtype.kind:
            wrong.append(f"{key} is of {value.dtype}, the network's of {mine.dtype}")
        else:
            made[key] = value.astype(mine.dtype)
            if value.dtype.kind == "f" and not np.isfinite(made[key]).all():
                wrong.append(f"{key} holds numbers too large for {mine.dtype}")
    if wrong:
        raise BadInput(f"{name}: the state_dict does not fit: {'; '.join(wrong[:6])}")
    return made


def _unwrapped(own: Mapping[str, Array], state: Mapping[str, Any]) -> Mapping[str, Any]:
    for wrapper in _WRAPPERS:
        if state and all(key.startswith(wrapper) for key in state) and not all(key in own for key in state):
            state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state


def _numbers(value: Any) -> Array:
    """A tensor or array; bfloat16, which NumPy lacks, as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() and value.element_size() == 2 else value).numpy()
    return np.asarray(value)


def _listed(keys: list[str], most: int = 6) -> str:
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
