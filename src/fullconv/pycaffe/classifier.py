"""``caffe.Classifier``: images to class scores, with oversampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.pycaffe.io import Transformer, oversample, resize_image
from fullconv.pycaffe.net import Net

Array = npt.NDArray[Any]


def input_transformer(
    net: Net,
    mean: Array | None = None,
    input_scale: float | None = None,
    raw_scale: float | None = None,
    channel_swap: Sequence[int] | None = None,
) -> Transformer:
    """The Transformer of a net's first input, for images of (H, W, K)."""
    name = net.inputs[0]
    transformer = Transformer({name: net.blobs[name].data.shape})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer


class Classifier(Net):
    """A Net for image classification by the middle of an image, or by ten crops."""

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, pb.TEST)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].data.shape[2:])
        self.image_dims = np.array(image_dims if image_dims else self.crop_dims)

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Scores (N, classes) of (H, W, K) images; the mean of ten crops with ``oversample``."""
        resized = np.stack([resize_image(image, self.image_dims) for image in inputs])
        if oversample:
            crops = _ten(resized, self.crop_dims)
        else:
            top, left = (np.array(resized.shape[1:3]) - self.crop_dims) // 2
            crops = resized[:, top : top + self.crop_dims[0], left : left + self.crop_dims[1]]
        name = self.inputs[0]
        blobs = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        found = self.forward_all(None, **{name: blobs})[self.outputs[0]]
        return found.reshape(len(found) // 10, 10, -1).mean(1) if oversample else found


def _ten(images: Array, dims: Array) -> Array:
    return oversample(list(images), dims)
