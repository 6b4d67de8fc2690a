"""How a written network samples an image, in the file's own metadata: for who runs it without fullconv.

The key ``fullconv.outputs`` holds JSON: for each output its ``stride`` and ``crop`` in pixels, the ``centre`` of cell (0, 0)'s field as a
pixel index and the ``field``'s size, each as [y, x], fractions as text. Cells beyond floor((image - crop) / stride) + 1 rows and columns
stand for no whole crop. A file that has it is read at its crop's size where it leaves height and width open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import onnx_ir as ir

from fullconv.errors import Refused
from fullconv.geometry.axis import Extent
from fullconv.geometry.field import Field, receptive_fields
from fullconv.geometry.grid import Pair, Sampling, sampling
from fullconv.graph.nodes import Graph

KEY = "fullconv.outputs"
_NUMBER = re.compile(r"-?[0-9]{1,9}(/[0-9]{1,9})?")  # a power of ten would be a number of any length


def record(model: ir.Model, graph: Graph, untouched: Graph) -> None:
    """Write the sampling of every output that is a map; the arguments as of ``described``."""
    text = described(graph, untouched)
    if text is not None:
        model.metadata_props[KEY] = text


def record_again(model: ir.Model, graph: Graph) -> None:
    """Write it anew for a model whose cells see other pixels now and stand for the crops that they stood for."""
    fields, known = receptive_fields(graph), recorded(model)
    told = {n: _shown(Sampling(fields[n].stride, known[n].crop, fields[n])) for n in graph.outputs if n in known}
    if told:
        model.metadata_props[KEY] = json.dumps(told)


def described(graph: Graph, untouched: Graph) -> str | None:
    """The sampling of every output that is a map, as it is written; None where there is none.

    Args:
        graph: of the model that is written.
        untouched: of the network at its own step, whose crops the cells stand for.
    """
    try:
        fields, known = receptive_fields(graph), receptive_fields(untouched)
    except Refused:
        return None  # no one step leads from cell to cell
    told = {}
    for name in graph.outputs:
        if graph.values[name].is_map and name in fields and name in known:
            crop = sampling(untouched, name).crop
            told[name] = _shown(Sampling(fields[name].stride, crop, fields[name]))
    return json.dumps(told) if told else None


def _shown(sampling: Sampling) -> dict[str, list[int | str]]:
    parts = {
        "stride": sampling.stride,
        "crop": sampling.crop,
        "centre": sampling.field.centre,
        "field": sampling.field.size,
    }
    return {name: _pair(pair) for name, pair in parts.items()}


def _pair(pair: Pair) -> list[int | str]:
    return [int(side) if Fraction(side).denominator == 1 else str(side) for side in pair]


def recorded(model: ir.Model) -> dict[str, Sampling]:
    """What ``record`` wrote into a file, by output; nothing where it is not there or makes no sense."""
    try:
        return {str(name): _read(parts) for name, parts in json.loads(model.metadata_props.get(KEY, "{}")).items()}
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, RecursionError):
        return {}  # metadata of a stranger's, which no answer hangs on


def recorded_crop(model: ir.Model) -> tuple[int, int] | None:
    """(height, width) of the crop that every recorded output's cells stand for, None where there is none in whole pixels."""
    crops = {sampling.crop for sampling in recorded(model).values()}
    if len(crops) != 1:
        return None
    height, width = crops.pop()
    return (int(height), int(width)) if height.denominator == width.denominator == 1 else None


def _read(parts: Mapping[str, Any]) -> Sampling:
    stride, crop, centre, size = (_fractions(parts[name]) for name in ("stride", "crop", "centre", "field"))
    y, x = (
        Extent(each, step, middle - (each - 1) / 2) for each, step, middle in zip(size, stride, centre, strict=True)
    )
    return Sampling(stride, crop, Field(y, x))


def _fractions(pair: Any) -> Pair:
    texts = [str(side) for side in pair]
    if not all(_NUMBER.fullmatch(text) for text in texts):
        raise ValueError(f"no numbers: {texts}")
    y, x = map(Fraction, texts)
    return y, x
