"""Mean images as Caffe stores them: one BlobProto."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from fullconv.errors import BadInput
from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.formats.caffe.wire import saved_blob


def read_binaryproto(path: Path) -> npt.NDArray[Any]:
    """The mean as (C, H, W)."""
    blob = pb.BlobProto()
    try:
        blob.ParseFromString(path.read_bytes())
    except DecodeError:
        raise BadInput(f"{path}: not a readable .binaryproto") from None
    saved = saved_blob(blob, None, str(path))
    mean = np.asarray(saved.values).reshape(saved.shape)
    while mean.ndim > 3 and mean.shape[0] == 1:
        mean = mean[0]
    return mean
