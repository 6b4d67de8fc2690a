"""A head within a PyTorch network: pools, convolutions and sums over parameters of its own, ``fullconv_head0.mixing.weight`` and so on.

What it is, the module's ``meta`` says, and a file of its own within a ``.pt2``. A program that is exported again names its nodes anew; parameters
keep their names, so the head's nodes are found from those. It is computed in float32, whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from fullconv.errors import BrokenPromise
from fullconv.formats.adapted import KEY, Described, alike, believed, described, kernels_of, read_described
from fullconv.formats.head import FittedHead
from fullconv.formats.torch.apply import Work, fetch
from fullconv.formats.torch.module import get
from fullconv.formats.torch.network import NAME, VALUE, TorchNet, device_of, name_of, understand, value_of
from fullconv.graph.nodes import Window
from fullconv.surgery.head import STEM, Head, Part, Parts, put_behind

aten = torch.ops.aten
Array = npt.NDArray[Any]


def adapt(net: TorchNet, fitted: FittedHead) -> TorchNet:
    """``Format.adapt``."""
    there = read_described(net.module.meta.get(KEY))
    names = {
        *net.graph.values,
        *(node.name for node in net.graph),
        *(n.partition(".")[0] for n in net.module.state_dict()),
    }
    stem = next(s for s in (f"{STEM}{i}" for i in range(len(names) + 1)) if not any(n.startswith(s) for n in names))
    parts = _parts(net, fitted.head, stem, fitted.mixing is not None)
    work = Work(net)
    _write(work, parts, fitted)
    made = _understood(
        net, work, described([*there, Described.of(fitted, stem, net.graph, [p.name for p in parts.parts])])
    )
    difference = parts.within(net.graph).difference(made.graph)
    if difference is not None:
        raise BrokenPromise(f"the adapted network is not the planned one: {difference}")
    return made


def unadapted(net: TorchNet) -> tuple[TorchNet, tuple[FittedHead, ...]] | None:
    """``Format.unadapted``."""
    text = net.module.meta.get(KEY)
    if text is None:
        named = any(name.startswith(STEM) for name in net.module.state_dict())
        return (net, ()) if named else None
    heads = read_described(text)
    found: tuple[TorchNet, tuple[FittedHead, ...]] | None = believed(lambda: _taken_off(net, heads)) if heads else None
    return found or (net, ())


def recognised(net: TorchNet, text: str | None) -> TorchNet:
    """A network that was read, of which its source says this of heads: their nodes under their names, where they are there."""
    if text is None:
        return net
    heads = read_described(text)
    named = believed(lambda: [_name(net.module, each) for each in heads]) if heads else None
    if named is None:
        net.module.meta[KEY] = text
        return net
    net.module.meta[KEY] = described(named)
    found = understand(net.module, net.source, net.inputs, net.batch, net.preprocess, net.notes)
    return replace(found, is_cast=net.is_cast)


def _parts(net: TorchNet, head: Head, stem: str, mixes: bool, again: bool = False) -> Parts:
    first = next((p for p in net.module.parameters() if p.is_floating_point()), None)
    halves = first is not None and first.dtype is not torch.float32
    read = frozenset({head.logits, *(level.value for level in head.levels)}) if halves else frozenset()
    return put_behind(net.graph, head, stem, mixes=mixes, narrow=read, again=again)


def _understood(net: TorchNet, work: Work, text: str | None) -> TorchNet:
    module = work.finish()
    if text is not None:
        module.meta[KEY] = text
    return replace(
        understand(module, net.source, net.inputs, net.batch, net.preprocess, net.notes), is_cast=net.is_cast
    )


def _write(work: Work, parts: Parts, fitted: FittedHead) -> None:
    """The head's nodes behind the one that makes its logits."""
    bare = work.values[parts.logits]
    values, kernels = {**work.values, parts.bare: bare}, kernels_of(fitted, parts.parts)
    readers, at = list(bare.users), bare
    own = next((p.dtype for p in work.net.module.parameters() if p.is_floating_point()), torch.float32)
    for part in parts.parts:
        inputs: list[Any] = [values[name] for name in part.inputs]
        if part.kind == "weigh":
            for word, numbers in zip(("weight", "bias"), kernels[part.name], strict=True):
                if numbers is None:
                    inputs.append(None)
                    continue
                name = f"{_path(part.name)}.{word}"
                work.tensors[name] = nn.Parameter(torch.from_numpy(numbers.copy()).to(device_of(work.net.module)))
                with work.graph.inserting_before(at.next):
                    inputs.append(get(work.graph, name))
                at = inputs[-1]
        with work.graph.inserting_after(at):
            made = work.graph.call_function(_TARGETS[part.kind], (*inputs, *_arguments(part, own)))
        made.meta.update({NAME: part.name, VALUE: part.output})
        values[part.output] = at = made
    for reader in readers:
        reader.replace_input_with(bare, at)
    bare.meta[VALUE] = parts.bare
    work.values = {**values, parts.logits: at}
    work.nodes.update({name_of(values[p.output]): values[p.output] for p in parts.parts})


_TARGETS: Mapping[str, Any] = {
    "wide": aten.to.dtype, "narrow": aten.to.dtype, "order": aten.permute.default, "mean": aten.avg_pool2d.default,
    "weigh": aten.conv2d.default, "add": aten.add.Tensor,
}  # fmt: skip


def _arguments(part: Part, own: torch.dtype) -> tuple[Any, ...]:
    if part.kind in ("wide", "narrow"):
        return (torch.float32 if part.kind == "wide" else own,)
    if part.kind == "order":
        return (list(part.order),)
    if not isinstance(part.touch, Window):
        return ()
    y, x = part.touch.y, part.touch.x
    strides = [int(y.stride), int(x.stride)]
    return ([y.kernel, x.kernel], strides) if part.kind == "mean" else (strides,)


def _path(name: str) -> str:
    """The submodule of a convolution: ``fullconv_head0.level1`` of ``fullconv_head0_level1_weigh``."""
    stem, word = name.removesuffix("_weigh").rsplit("_", 1)
    return f"{stem}.{word}"


def _taken_off(net: TorchNet, heads: tuple[Described, ...]) -> tuple[TorchNet, tuple[FittedHead, ...]] | None:
    work = Work(net)
    fitted = [_remove(work, each) for each in reversed(heads)][::-1]
    bare = _understood(net, work, None)
    # The same heads are written again, and must be the nodes that are there.
    again = bare
    for each, one in zip(heads, fitted, strict=True):
        parts, more = _parts(again, one.head, each.stem, each.mixes, again=True), Work(again)
        _write(more, parts, one)
        again = _understood(again, more, None)
    stems = [f"{each.stem}_" for each in heads]
    same = _told(net.module, stems) == _told(again.module, stems)
    state, other = net.module.state_dict(), again.module.state_dict()
    mine = [name for name in other if any(name.startswith(f"{each.stem}.") for each in heads)]
    same = same and state.keys() == other.keys() and all(alike(_array(state[n]), _array(other[n])) for n in mine)
    return (bare, tuple(fitted)) if same and again.graph.difference(net.graph) is None else None


def _remove(work: Work, each: Described) -> FittedHead:
    """Take a head out; what it was, by its weights."""
    last, bare = work.values[each.head.logits], work.values[f"{each.stem}_bare"]
    paths = {weighs: _path(name) for name, weighs in each.weighing.items() if name in work.nodes}
    weights = {weighs: _array(fetch(work.net.module, f"{path}.weight")) for weighs, path in paths.items()}
    biased = paths["spread"] if "spread" in paths else next(iter(paths.values()))
    fitted = each.fitted(weights, _array(fetch(work.net.module, f"{biased}.bias")))
    last.replace_all_uses_with(bare)
    bare.meta[VALUE] = each.head.logits
    work.values[each.head.logits] = bare
    work.graph.eliminate_dead_code()
    return fitted


def _array(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.detach().cpu().numpy())


def _told(module: fx.GraphModule, stems: list[str]) -> list[tuple[Any, ...]]:
    """The nodes of these names as what can be compared."""

    def shown(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return str(value.target) if value.op == "get_attr" else value_of(value)
        return tuple(map(shown, value)) if isinstance(value, list | tuple) else value

    mine = [n for n in module.graph.nodes if n.op == "call_function" and any(name_of(n).startswith(s) for s in stems)]
    return [(n.target, name_of(n), value_of(n), shown(_plainly(n))) for n in mine]


def _plainly(node: fx.Node) -> tuple[Any, ...]:
    """Arguments without what is the default: an export writes some."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = [*node.args, *(node.kwargs.get(a.name, a.default_value) for a in schema[len(node.args) :])]
    return tuple(given)


def _name(module: fx.GraphModule, each: Described) -> Described:
    """Name a head's nodes, which are found from its parameters; what it is in the names that other nodes have now."""
    nodes = {str(node.target): node for node in module.graph.nodes if node.op == "get_attr"}
    words = [name.removeprefix(f"{each.stem}_") for name in each.nodes]
    found: dict[str, fx.Node] = {}
    sources: dict[str, fx.Node] = {}
    for stem in ("logits", *(f"level{i}" for i in range(len(each.head.levels)))):
        chain = [word for word in words if word.startswith(f"{stem}_")]
        weigh = "mixing" if stem == "logits" else f"{stem}_weigh"
        if weigh not in words:
            continue
        (node,) = nodes[f"{_path(f'{each.stem}_{weigh}')}.weight"].users
        found[weigh] = node
        for word in reversed([word for word in chain if word != weigh]):
            node = _input(node, 0)
            found[word] = node
        sources[stem] = _input(node, 0)
    terms = [
        found[word] for word in ("mixing", *(f"level{i}_weigh" for i in range(len(each.head.levels)))) if word in found
    ]
    total = terms[0]
    for i, term in enumerate(terms[1:]):
        (total,) = (user for user in total.users if user in term.users)
        found[f"sum_{i}"] = total
    if "spread" in words:
        (total,) = total.users
        found["spread"] = total
    for word in [word for word in words if word in ("back", "moved", "narrow")]:
        (total,) = total.users
        found[word] = total
    if "logits" not in sources:
        node = _input(found["moved"], 0)
        if "logits_wide" in words:
            found["logits_wide"], node = node, _input(node, 0)
        sources["logits"] = node
    if set(found) != set(words):
        raise ValueError(f"{each.stem}: other nodes")
    for word, node in found.items():
        node.meta.update({NAME: f"{each.stem}_{word}", VALUE: f"{each.stem}_{word}"})
    bare = sources["logits"]
    logits = value_of(bare)
    bare.meta.setdefault(NAME, logits)
    bare.meta[VALUE] = f"{each.stem}_bare"
    total.meta[VALUE] = logits
    head = each.head
    values = [value_of(sources[f"level{i}"]) for i in range(len(head.levels))]
    levels = tuple(
        replace(level, value=logits if value == f"{each.stem}_bare" else value)
        for level, value in zip(head.levels, values, strict=True)
    )
    output = logits if head.output == head.logits else _output_behind(module, total, head.output)
    return replace(each, head=replace(head, output=output, logits=logits, levels=levels))


def _output_behind(module: fx.GraphModule, node: fx.Node, known: str) -> str:
    """The output that comes from a node, of several the one of this name."""
    (last,) = (each for each in module.graph.nodes if each.op == "output")
    reached, todo = {node}, [node]
    while todo:
        fresh = [user for user in todo.pop().users if user not in reached]
        reached.update(fresh)
        todo += fresh
    names = [value_of(value) for value in last.all_input_nodes if value in reached]
    return known if known in names else names[0]


def _input(node: fx.Node, i: int) -> fx.Node:
    value = node.args[i]
    if not isinstance(value, fx.Node):
        raise ValueError(f"{node.name}: input {i} is no value")
    return value
