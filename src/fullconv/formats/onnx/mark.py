"""What tells an ONNX file that fullconv wrote from any other: a property of its metadata."""

from __future__ import annotations

import onnx

from fullconv.system.guard import MARK

_KEY = "software"


def marked(message: onnx.ModelProto) -> onnx.ModelProto:
    """The message itself, with fullconv's mark."""
    for entry in message.metadata_props:
        if entry.key == _KEY:
            entry.value = MARK
            return message
    message.metadata_props.add(key=_KEY, value=MARK)
    return message
