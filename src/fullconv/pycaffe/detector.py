"""``caffe.Detector``: class scores of windows of images (R-CNN style)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fullconv.formats.caffe.proto import caffe_pb2 as pb
from fullconv.pycaffe.classifier import input_transformer
from fullconv.pycaffe.io import load_image, resize_image
from fullconv.pycaffe.net import Net

Array = npt.NDArray[Any]


class Detector(Net):
    """A Net over windows, each with some context around it."""

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, pb.TEST)
        self.transformer = input_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[Any, Iterable[Sequence[float]]]]) -> list[dict[str, Any]]:
        """Scores of windows.

        Args:
            images_windows: (file name, windows) pairs, a window as (ymin, xmin, ymax, xmax).

        Returns:
            A dict a window: ``window``, ``prediction`` and ``filename``.
        """
        listed = [(name, [np.asarray(window) for window in windows]) for name, windows in images_windows]
        crops = []
        for name, windows in listed:
            image = load_image(name)
            crops += [self.crop(image, window) for window in windows]
        if not crops:
            return []
        name = self.inputs[0]
        blobs = np.stack([self.transformer.preprocess(name, crop) for crop in crops])
        scores = self.forward_all(None, **{name: blobs})[self.outputs[0]]
        scores = scores.reshape(len(scores), -1)
        windows_of = [(window, name) for name, windows in listed for window in windows]
        return [{"window": w, "prediction": s, "filename": n} for (w, n), s in zip(windows_of, scores, strict=True)]

    def detect_selective_search(self, image_fnames: Any) -> NoReturn:
        raise NotImplementedError(
            "selective search ran in MATLAB: find windows with a library of yours and give them to detect_windows"
        )

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, in pixels of the net's input, around each window."""
        self.context_pad = context_pad
        if not context_pad:
            return
        name = self.inputs[0]
        swap, order = self.transformer.channel_swap.get(name), self.transformer.transpose.get(name)
        mean = self.transformer.mean.get(name)
        if mean is None:
            self.crop_mean: Array = np.zeros((*self.blobs[name].shape[2:], self.blobs[name].channels), np.float32)
            return
        # The mean as an image as loaded: what lies outside the photo becomes zero in the blob.
        image = np.broadcast_to(mean, self.blobs[name].data.shape[1:]).copy()
        if swap is not None:
            image = image[np.argsort(swap), :, :]
        image = image.transpose(np.argsort(order)) if order is not None else image
        scale = self.transformer.raw_scale.get(name)
        self.crop_mean = image / scale if scale is not None else image

    def crop(self, im: Array, window: Array) -> Array:
        """A window cut out; with context, the surroundings come along and the mean stands in outside the image."""
        y0, x0, y1, x1 = (int(v) for v in window)
        if not self.context_pad:
            return im[y0:y1, x0:x1]
        side = self.blobs[self.inputs[0]].width
        scale = side / (side - 2 * self.context_pad)
        middle_y, middle_x = (y0 + y1) / 2, (x0 + x1) / 2
        half_y, half_x = scale * (y1 - y0) / 2, scale * (x1 - x0) / 2
        top, left = round(middle_y - half_y), round(middle_x - half_x)
        bottom, right = round(middle_y + half_y), round(middle_x + half_x)
        factor_y, factor_x = side / max(1, bottom - top), side / max(1, right - left)
        cut_top, cut_left = max(0, -top), max(0, -left)
        part = im[max(0, top) : min(im.shape[0], bottom), max(0, left) : min(im.shape[1], right)]
        out = np.array(self.crop_mean, np.float32)
        rows = min(round(part.shape[0] * factor_y), side - round(cut_top * factor_y))
        cols = min(round(part.shape[1] * factor_x), side - round(cut_left * factor_x))
        if rows > 0 and cols > 0:
            y, x = round(cut_top * factor_y), round(cut_left * factor_x)
            out[y : y + rows, x : x + cols] = resize_image(part, (rows, cols))
        return out
