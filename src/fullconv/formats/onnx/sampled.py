"""How a written network samples an image, in the file's own metadata: for who runs it without fullconv.

The key ``fullconv.outputs`` holds JSON: for each output its ``stride`` and ``crop`` in pixels, the ``centre`` of cell (0, 0)'s field as a
pixel index and the ``field``'s size, each as [y, x], fractions as text. Cells beyond floor((image - crop) / stride) + 1 rows and columns
stand for no whole crop.
"""

from __future__ import annotations

import json
from fractions import Fraction

import onnx_ir as ir

from fullconv.errors import Refused
from fullconv.geometry.field import receptive_fields
from fullconv.geometry.grid import Pair, Sampling, sampling
from fullconv.graph.nodes import Graph

KEY = "fullconv.outputs"


def record(model: ir.Model, graph: Graph, untouched: Graph) -> None:
    """Write the sampling of every output that is a map.

    Args:
        graph: of the model.
        untouched: of the network at its own step, whose crops the cells stand for.
    """
    try:
        fields, known = receptive_fields(graph), receptive_fields(untouched)
    except Refused:
        return  # no one step leads from cell to cell
    told = {}
    for name in graph.outputs:
        if graph.values[name].is_map and name in fields and name in known:
            crop = sampling(untouched, name).crop
            told[name] = _shown(Sampling(fields[name].stride, crop, fields[name]))
    if told:
        model.metadata_props[KEY] = json.dumps(told)


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
