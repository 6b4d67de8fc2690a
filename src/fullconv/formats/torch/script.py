"""A TorchScript file as a program of torch.export: by PyTorch's own converter, or by following one run, held to the file's own answers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from fullconv.errors import BadInput, FullconvError
from fullconv.formats.format import Reading
from fullconv.formats.torch.export import export_module
from fullconv.formats.torch.quiet import quiet, told
from fullconv.formats.torch.scripts import checked
from fullconv.system import apart

aten = torch.ops.aten
Shape = tuple[int, int, int]


def open_script(path: Path, reading: Reading) -> tuple[ExportedProgram, bool]:
    """The network of a TorchScript file, traced or scripted, as a program at its training size; whether any batch will do.

    Raises:
        BadInput: damaged; it needs operators that are not PyTorch's own, or Python values of tensors; its size is not given.
    """
    if reading.input_shape is None:
        raise BadInput(f"{path}: a TorchScript file does not say its training size; give it with --input-shape C,H,W")
    source = checked(path)
    if (reading.isolate or apart.is_asked()) and not apart.is_within():
        apart.try_to_load(path, reading.input_shape)
    script, itself = _loaded(source, path), _loaded(source, path)
    return _program(script, itself, reading.input_shape, path)


def _loaded(source: Path | io.BytesIO, path: Path) -> Any:
    try:
        with quiet():
            if not isinstance(source, Path):
                source.seek(0)
            script = torch.jit.load(source, map_location="cpu")  # type: ignore[no-untyped-call]
            script.eval()
    except Exception as error:  # PyTorch's own, as the file makes them
        raise BadInput(f"{path}: PyTorch cannot load this TorchScript ({told(error)})") from None
    return script


def _program(script: Any, itself: Any, shape: Shape, path: Path) -> tuple[ExportedProgram, bool]:
    """The program of a script; the same script as it was loaded says what it must answer."""
    own = [value for value in script.state_dict().values() if value.is_floating_point()]
    images = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0)).to(
        own[0].dtype if own else torch.float32
    )
    _answers(itself, images[:1], path)  # what the file itself does not take is told in its own words
    _settle_sizes(script, images[:1])
    reasons = []
    ways: tuple[Callable[[Any, torch.Tensor, Path], tuple[ExportedProgram, bool]], ...] = (_converted, _followed)
    for way in ways:
        try:
            with quiet(), torch.no_grad():
                program, any_batch = way(script, images, path)
                _require_fixed(program, path)
            _hold(itself, program, images if any_batch else images[:1], path)
            return program, any_batch
        except FullconvError as error:
            reasons.append(str(error).removeprefix(f"{path}: "))
        except Exception as error:  # of the converter, as the network makes them
            reasons.append(told(error)[:200])
    raise BadInput(
        f"{path}: PyTorch makes no program of this TorchScript ({'; '.join(dict.fromkeys(reasons))}); give the module itself from Python, or an "
        "ONNX file of it (torch.onnx.export)"
    )


def _settle_sizes(script: Any, image: torch.Tensor) -> None:
    """Numbers that a trace computes from sizes by way of tensors (half of the channels, say), as the numbers that they are at training size."""
    graph = script.graph
    for tidy in ("inline", "peephole", "constant_propagation"):
        getattr(torch._C, f"_jit_pass_{tidy}")(graph)
    counted = graph.copy()
    for _ in range(len(list(counted.outputs()))):
        counted.eraseOutput(0)
    numbers = _taken_out(counted)
    if not numbers:
        return
    tuples = counted.create("prim::TupleConstruct", [node.output() for node in numbers])
    whole = torch._C.IntType.get()
    tuples.output().setType(torch._C.TupleType([whole] * len(numbers)))
    counted.appendNode(tuples)
    counted.registerOutput(tuples.output())
    try:
        with quiet(), torch.no_grad():
            found = torch._C._create_function_from_graph("sizes", counted)(script, image)
    except Exception:  # they stay, and what cannot be read of them is told
        return
    for node, value in zip(_taken_out(graph), found, strict=True):
        with graph.insert_point_guard(node):
            node.output().replaceAllUsesWith(graph.insertConstant(value))


def _taken_out(graph: Any) -> list[Any]:
    """Nodes that make a number of a tensor that is computed from sizes and constants alone."""
    return [n for n in graph.findAllNodes("aten::Int", False) if _of_sizes(n.input())]


def _of_sizes(value: Any) -> bool:
    node = value.node()
    if node.kind() in ("prim::NumToTensor", "prim::Constant"):
        return True
    inputs = list(node.inputs())
    return bool(inputs) and node.kind().startswith("aten::") and all(_of_sizes(each) for each in inputs)


def _converted(script: Any, images: torch.Tensor, path: Path) -> tuple[ExportedProgram, bool]:
    """By the converter, which keeps the names of layers and lets batches be of any size."""
    from torch._export.converter import TS2EPConverter

    free = []

    class Converter(TS2EPConverter):
        """Its last step at the training size, as modules are exported."""

        def retrace_as_exported_program(self, module: nn.Module, constants: dict[str, Any]) -> ExportedProgram:
            try:
                made = torch.export.export(module, (images,), dynamic_shapes=({0: Dim("batch", min=1)},))
                free.append(True)
            except Exception:
                made = torch.export.export(module, (images[:1],))
            return made

    return Converter(script, (images,)).convert(), bool(free)


def _followed(script: Any, images: torch.Tensor, path: Path) -> tuple[ExportedProgram, bool]:
    """By the operators that one run calls; a value that decides what is run stops it."""
    from torch.fx.experimental.proxy_tensor import make_fx

    module = make_fx(lambda x: script(x), pre_dispatch=True)(images[:1])
    for node in module.graph.nodes:
        if node.target is aten._convolution.default:
            node.target, node.args = aten.convolution.default, node.args[:9]
    module.recompile()
    _, *shape = images.shape
    return export_module(module, (shape[0], shape[1], shape[2]), str(path))


def _require_fixed(program: ExportedProgram, path: Path) -> None:
    """BadInput where a number is taken out of a tensor: traces write sizes so, which another way of reading resolves."""
    if any(node.target is aten._local_scalar_dense.default for node in program.graph.nodes):
        raise BadInput(f"{path}: what it computes depends on numbers that it takes out of tensors")


def _answers(script: Any, images: torch.Tensor, path: Path) -> list[torch.Tensor]:
    try:
        with quiet(), torch.no_grad():
            found = script(images)
    except Exception as error:  # of the interpreter, as the network makes them
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise BadInput(
            f"{path}: fails for images of {tuple(images.shape[1:])}: {lines[-1].strip()[:300] if lines else type(error).__name__}; is this "
            "the size that it was trained on (--input-shape)?"
        ) from None
    parts = found if isinstance(found, tuple | list) else list(found.values()) if isinstance(found, dict) else [found]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def _hold(script: Any, program: ExportedProgram, images: torch.Tensor, path: Path) -> None:
    """BadInput where a program does not answer as the file does."""
    for given in (images, images[:1], images * 4 - 2):
        wanted, made = _answers(script, given, path), _answers(program.module(), given, path)
        if len(wanted) != len(made) or not all(_near(a, b) for a, b in zip(wanted, made, strict=True)):
            raise BadInput(f"{path}: PyTorch's conversion of it answers otherwise than the file itself")


def _near(one: torch.Tensor, other: torch.Tensor) -> bool:
    scale = float(one.double().abs().max()) if one.numel() else 0.0
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=1e-4, atol=1e-5 * scale, equal_nan=True
    )
