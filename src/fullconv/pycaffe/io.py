"""``caffe.io``: images, the Transformer, and blobs and datums as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fullconv.formats.caffe.proto import caffe_pb2
from fullconv.formats.caffe.wire import saved_blob
from fullconv.rasters.view import read_image

Array = npt.NDArray[Any]


def load_image(filename: Any, color: bool = True) -> Array:
    """(H, W, 3) RGB, or (H, W, 1) grey, float32 on 0..1."""
    pixels = read_image(filename)
    if color and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif not color and pixels.shape[2] == 3:
        # skimage's luminance (ITU-R 709), which Caffe's loader used
        pixels = (pixels @ np.array([0.2125, 0.7154, 0.0721]))[:, :, None]
    return (pixels / np.float32(255)).astype(np.float32)


def resize_image(im: Array, new_dims: Sequence[int] | Array, interp_order: int = 1) -> Array:
    """(H, W, K) to (*new_dims, K), float32; order 0 is nearest, any other bilinear, without antialiasing."""
    rows, cols = (int(d) for d in new_dims[:2])
    y, x = ((np.arange(n) + 0.5) * length / n - 0.5 for n, length in zip((rows, cols), im.shape, strict=False))
    if interp_order == 0:
        nearest = (np.clip(np.rint(v).astype(int), 0, n - 1) for v, n in zip((y, x), im.shape, strict=False))
        return im[np.ix_(*nearest)].astype(np.float32)
    out = _lerp(im.astype(np.float32), y, 0)
    return _lerp(out, x, 1).astype(np.float32)


def _lerp(values: Array, at: Array, axis: int) -> Array:
    last = values.shape[axis] - 1
    at = np.clip(at, 0, last)
    low = np.floor(at).astype(int)
    shape = [1] * values.ndim
    shape[axis] = len(at)
    part = (at - low).reshape(shape)
    mixed: Array = values.take(low, axis) * (1 - part) + values.take(np.minimum(low + 1, last), axis) * part
    return mixed


def oversample(images: Sequence[Array], crop_dims: Sequence[int] | Array) -> Array:
    """Corners and middle of each (H, W, K) image, and their mirrors: (10 · N, *crop_dims, K)."""
    height, width = images[0].shape[:2]
    rows, cols = (int(d) for d in crop_dims)
    if rows > height or cols > width:
        raise ValueError(f"crops of {rows}×{cols} do not fit images of {height}×{width}")
    middle = (height - rows) // 2, (width - cols) // 2  # cut off, as Caffe's indices of whole numbers are
    places = [(y, x) for y in (0, height - rows) for x in (0, width - cols)] + [middle]
    out = np.empty((10 * len(images), rows, cols, images[0].shape[-1]), np.float32)
    for i, image in enumerate(images):
        for j, (y, x) in enumerate(places):
            out[10 * i + j] = image[y : y + rows, x : x + cols]
        out[10 * i + 5 : 10 * i + 10] = out[10 * i : 10 * i + 5, :, ::-1]
    return out


class Transformer:
    """From an image as loaded to a blob: resize, transpose, swap channels, scale, less the mean, scale again.

    Args:
        inputs: blob name to its shape (N, K, H, W).
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise Exception(f"{in_} is not one of the net inputs: {list(self.inputs)}")

    def preprocess(self, in_: str, data: Array) -> Array:
        """(H, W, K) as loaded to (K, H, W) as the net takes it, float32."""
        self._check(in_)
        out = np.asarray(data).astype(np.float32, copy=False)
        dims = tuple(self.inputs[in_][2:])
        if out.shape[:2] != dims:
            out = resize_image(out, dims)
        if in_ in self.transpose:
            out = out.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            out = out[list(self.channel_swap[in_]), :, :]
        if in_ in self.raw_scale:
            out = out * np.float32(self.raw_scale[in_])
        if in_ in self.mean:
            out = out - self.mean[in_]
        if in_ in self.input_scale:
            out = out * np.float32(self.input_scale[in_])
        return out

    def deprocess(self, in_: str, data: Array) -> Array:
        """The way back from a blob (K, H, W), or (1, K, H, W), to an image."""
        self._check(in_)
        out = np.array(data).squeeze()
        if in_ in self.input_scale:
            out = out / np.float32(self.input_scale[in_])
        if in_ in self.mean:
            out = out + self.mean[in_]
        if in_ in self.raw_scale:
            out = out / np.float32(self.raw_scale[in_])
        if in_ in self.channel_swap:
            out = out[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Order of the axes: (2, 0, 1) brings (H, W, K) to (K, H, W)."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise Exception("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Order of the channels: (2, 1, 0) brings RGB to BGR."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise Exception("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Scale before the mean: 255 for images loaded on 0..1 and means on 0..255."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Mean to subtract: one value a channel, or an image of the input's size."""
        self._check(in_)
        mean = np.asarray(mean, np.float32)
        shape = tuple(self.inputs[in_][1:])
        if mean.ndim == 1:
            if mean.shape[0] != shape[0]:
                raise ValueError("Mean channels incompatible with input.")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3:
                raise ValueError("Mean shape invalid")
            if mean.shape != shape:
                mean = (
                    resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
                    if mean.shape[0] == shape[0]
                    else mean
                )
                if mean.shape != shape:
                    raise ValueError(f"Mean shape incompatible with input shape: {mean.shape} and {shape}")
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Scale after the mean."""
        self._check(in_)
        self.input_scale[in_] = scale


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """A BlobProto's values, or its gradients, in its shape."""
    if return_diff:
        values = np.array(blob.diff, np.float32)
        legacy = not blob.HasField("shape")
        shape = (blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim)
        return values.reshape(shape)
    saved = saved_blob(blob, None, "blob")
    return saved.values.reshape(saved.shape)


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """An array of any shape as a BlobProto."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr, np.float64).ravel().tolist())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, np.float64).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[Array]) -> bytes:
    """Arrays as a serialised BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(arr) for arr in arraylist])
    return bytes(vector.SerializeToString())


def blobprotovector_str_to_arraylist(text: bytes) -> list[Array]:
    """The way back."""
    vector = caffe_pb2.BlobProtoVector()
    vector.ParseFromString(text)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """(C, H, W) as a Datum: uint8 as bytes, all else as floats."""
    if arr.ndim != 3:
        raise ValueError("Incorrect array shape.")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.asarray(arr, np.float64).ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """A Datum's values as (C, H, W)."""
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        if len(datum.data) != prod(shape):
            raise ValueError(f"a datum of {shape} holds {len(datum.data)} bytes; is it encoded?")
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, np.float64).reshape(shape)
