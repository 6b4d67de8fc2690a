"""Which layers of a net take part: phase, level and stage rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fullconv.formats.caffe.proto import caffe_pb2 as pb


class RuleError(ValueError):
    """Rules that contradict one another."""


def filter_net(net: Any, phase: int = pb.TEST, level: int = 0, stages: Sequence[str] = ()) -> Any:
    """A copy of the net with the layers that its rules include in this state."""
    out = pb.NetParameter()
    out.CopyFrom(net)
    del out.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise RuleError(f"layer {layer.name!r} has include and exclude rules; keep one kind")
        if layer.include:
            keep = any(_meets(rule, phase, level, stages) for rule in layer.include)
        else:
            keep = not any(_meets(rule, phase, level, stages) for rule in layer.exclude)
        if keep:
            out.layer.append(layer)
    return out


def _meets(rule: Any, phase: int, level: int, stages: Sequence[str]) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == phase)
        and (not rule.HasField("min_level") or level >= rule.min_level)
        and (not rule.HasField("max_level") or level <= rule.max_level)
        and all(stage in stages for stage in rule.stage)
        and not any(stage in stages for stage in rule.not_stage)
    )
