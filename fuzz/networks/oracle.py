"""What a cast of an ONNX file is held to: ONNX Runtime's answers of the untouched model on crops.

The shapes that fullconv tells must be the real ones, the cast must answer as the original at training size, and every cell that it calls
exact, or free, must be its crop's answer. Nothing here asks fullconv how to compute an answer.
"""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from fullconv.errors import BrokenPromise, FullconvError
from fullconv.loading import load
from fuzz.networks.draft import plain_options
from fuzz.networks.promises import Array, Shape, Verdict, promises


class Original:
    """The untouched model in its own engine, computed as its operators are defined."""

    def __init__(self, model: onnx.ModelProto, last: bool) -> None:
        self.session = ort.InferenceSession(
            model.SerializeToString(), plain_options(), providers=["CPUExecutionProvider"]
        )
        self.name, self.last = self.session.get_inputs()[0].name, last

    def __call__(self, image: Array) -> list[Array]:
        """Answers for (1, c, h, w)."""
        given = image.transpose(0, 2, 3, 1) if self.last else image
        return self.session.run(None, {self.name: np.ascontiguousarray(given)})  # type: ignore[no-any-return]


def judge(
    model: onnx.ModelProto,
    shape: Shape,
    last: bool,
    random: Random,
    load_options: dict[str, Any] | None = None,
) -> Verdict:
    """Every check over one network."""
    if any(map(_ends_the_engine, model.graph.node)):
        return Verdict("not an original")
    try:
        onnx.checker.check_model(model)  # its own shape inference is stricter than the engine's
        original = Original(model, last)
        probe = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
        original(probe)
    except Exception:
        return Verdict("not an original")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(model, str(path))
        try:
            net = load(path, input_shape=shape, **(load_options or {}))
            str(net.plan)
        except FullconvError as error:
            broken = isinstance(error, BrokenPromise)
            return Verdict("BrokenPromise" if broken else "unread", str(error).replace(str(path), "net.onnx"))
        except Exception as error:
            return Verdict("traceback", _where(error))
        try:
            return promises(net, original, shape, random, path.parent)
        except BrokenPromise as error:
            return Verdict("BrokenPromise", _where(error))
        except FullconvError as error:
            return Verdict("fullconv error where none should be", _where(error))
        except Exception as error:  # the finding itself
            return Verdict("traceback", _where(error))


def _ends_the_engine(node: onnx.NodeProto) -> bool:
    """One of several operands that is left out: ONNX Runtime's process ends. A test of its own holds fullconv to refuse it."""
    given = onnx.defs.get_schema(node.op_type).inputs if onnx.defs.has(node.op_type) else ()
    several = bool(given) and given[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    return several and "" in list(node.input)[len(given) - 1 :]


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}"
