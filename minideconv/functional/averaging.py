"""Average pooling, of windows and of whole maps, each beside its adjoint. Not in the paper: nets after VGG have it."""

from __future__ import annotations

import numpy as np

from ..backend import Array, array_module
from .geometry import output_shape, pad, reach, tap_slices
from .pooling import window_arguments


def avg_pool2d(x: Array, kernel_size, *, stride=None, padding=0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> tuple[Array, Array]:  # fmt: skip
    """Take the mean of every window, and say of how many pixels.

    Args:
        x: (C, H, W, N) maps.
        kernel_size, stride, padding, ceil_mode: as for `max_pool2d`; what lies outside the map adds zero.
        count_include_pad: padding counts as pixels (PyTorch's default) or does not (ONNX's). What a window of
            `ceil_mode` has beyond the padding never counts.
    Returns:
        y: (C, OH, OW, N) means.
        counts: (1, OH, OW, N), what each sum was divided by.
    Raises:
        ValueError: if a padding is not smaller than the kernel, or x is no (C, H, W, N).

    >>> y, counts = avg_pool2d(np.array([[1., 5.], [5., 1.]]).reshape(1, 2, 2, 1), 2)
    >>> y.item(), counts.item()
    (3.0, 4.0)
    """
    kernel_size, stride, padding = window_arguments("avg_pool2d", kernel_size, stride, padding, has_switches=False)
    _check_maps("avg_pool2d", x)
    xp, out = array_module(x), output_shape(x.shape[1:3], kernel_size, stride, padding, ceil_mode)
    padded, y = pad(x, reach(x.shape, kernel_size, stride, padding, out)), 0
    for _, _, rows, columns in tap_slices(kernel_size, stride, out):
        y = y + padded[:, rows, columns]
    axes = zip(x.shape[1:3], kernel_size, stride, padding, out)
    counts = np.outer(*(_window_lengths(*axis, count_include_pad) for axis in axes))  # (OH, OW)
    counts = xp.asarray(counts[None, :, :, None], dtype=x.dtype)
    return y / counts, xp.broadcast_to(counts, (1, *y.shape[1:]))


def avg_pool2d_transpose(y: Array, counts: Array, x_shape, kernel_size, *, stride=None, padding=0) -> Array:
    """The adjoint of `avg_pool2d`: every window hands its value, divided by its count, to all its pixels.

    Args:
        y: (C, OH, OW, N) signal on its way down.
        counts: (1, OH, OW, N), as `avg_pool2d` gave them.
        x_shape: (C, H, W, N) of the array that was pooled.
        kernel_size, stride, padding: pixels, as given to `avg_pool2d`.
    Returns:
        (C, H, W, N), dtype of `y`.
    Raises:
        ValueError: if `y` and `counts` differ in shape, or do not belong to `x_shape`.
    """
    function = "avg_pool2d_transpose"
    kernel_size, stride, padding = window_arguments(function, kernel_size, stride, padding, has_switches=False)
    if y.shape[1:] != counts.shape[1:]:
        raise ValueError(f"{function}: y is (C, OH, OW, N) = {y.shape} but counts are {counts.shape}")
    out, most = y.shape[1:3], output_shape(x_shape[1:3], kernel_size, stride, padding, ceil_mode=True)
    if (y.shape[0], y.shape[3]) != (x_shape[0], x_shape[3]) or out[0] > most[0] or out[1] > most[1]:
        raise ValueError(f"{function}: y of shape {y.shape} cannot come from x_shape {tuple(x_shape)}")
    (top, bottom), (left, right) = reach(x_shape, kernel_size, stride, padding, out)
    channels, height, width, images = x_shape
    padded = array_module(y).zeros((channels, top + height + bottom, left + width + right, images), dtype=y.dtype)
    share = y / array_module(y).maximum(counts, 1)  # a window that lies outside the map altogether has none
    for _, _, rows, columns in tap_slices(kernel_size, stride, out):
        padded[:, rows, columns] += share
    return padded[:, top : top + height, left : left + width]


def global_avg_pool2d(x: Array) -> Array:
    """The mean of every map: (C, H, W, N) -> (C, 1, 1, N)."""
    _check_maps("global_avg_pool2d", x)
    return x.mean(axis=(1, 2), keepdims=True)


def global_avg_pool2d_transpose(y: Array, x_shape) -> Array:
    """The adjoint of `global_avg_pool2d`: (C, 1, 1, N) -> `x_shape`, (C, H, W, N)."""
    return array_module(y).broadcast_to(y / (x_shape[1] * x_shape[2]), x_shape).copy()


def _check_maps(function, x):
    if len(x.shape) != 4 or not x.size or x.dtype.kind != "f":
        raise ValueError(f"{function}: x is {x.dtype} {x.shape}; expected floating point (C, H, W, N), N at least 1")


def _window_lengths(size, kernel, step, sides, count, include_pad):
    """How many pixels of each window count, along one axis: (count,) integers."""
    first = np.arange(count) * step - sides[0]
    low, high = (-sides[0], size + sides[1]) if include_pad else (0, size)
    return np.minimum(first + kernel, high) - np.maximum(first, low)
