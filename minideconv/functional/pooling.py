"""Max-pooling with switches, and unpooling: put values back where the switches say. Averages, and their adjoints.

Both loop over the taps of the window, never over pixels, and nothing is scattered: the same lines run on a GPU and
give the same bits twice.
"""

from __future__ import annotations

import numpy as np

from ..backend import Array, array_module, block_bytes
from ..parallel import share
from .geometry import output_shape, pad, pad_pairs, pair, tap_slices


def max_pool2d(x: Array, kernel_size, *, stride=None, padding=0, ceil_mode: bool = False) -> tuple[Array, Array]:
    """Keep the largest value of every window, and remember where it was.

    Args:
        x: (C, H, W, N) maps.
        kernel_size, stride, padding: pixels; stride is the kernel's size unless given. Padding never wins.
        ceil_mode: let the last window hang over the edge (as Caffe does) instead of dropping it.
    Returns:
        y: (C, OH, OW, N) maxima.
        switches: (C, OH, OW, N) uint8, which tap of its window held the maximum, 0 … KH·KW-1 in row-major order;
            the first of equals.
    Raises:
        ValueError: if a padding is not smaller than the kernel, or the window has more than 256 taps.

    >>> import numpy as np
    >>> y, switches = max_pool2d(np.array([[1., 5.], [5., 2.]]).reshape(1, 2, 2, 1), 2)
    >>> y.item(), switches.item()
    (5.0, 1)

    Paper: Sec. 2.1, "Unpooling" (the switch variables).
    """
    kernel_size, stride, padding = window_arguments("max_pool2d", kernel_size, stride, padding)
    _check_maps("max_pool2d", x)
    xp, out = array_module(x), output_shape(x.shape[1:3], kernel_size, stride, padding, ceil_mode)
    reach = _reach(x.shape, kernel_size, stride, padding, out)
    y = xp.full((len(x), *out, x.shape[3]), -xp.inf, dtype=x.dtype)
    switches = xp.zeros(y.shape, dtype=xp.uint8)

    def work(slabs):
        for some in slabs:
            padded, best, switch = pad(x[some], reach, -xp.inf), y[some], switches[some]  # a padded 0 would beat -1
            for i, j, rows, columns in tap_slices(kernel_size, stride, out):
                candidate, tap = padded[:, rows, columns], xp.uint8(i * kernel_size[1] + j)
                xp.maximum(switch, (candidate > best) * tap, out=switch)  # taps count up: the last to win stays
                xp.maximum(best, candidate, out=best)

    share(work, _slabs(y), y)
    return y, switches


def max_unpool2d(y: Array, switches: Array, x_shape, kernel_size, *, stride=None, padding=0) -> Array:
    """Put each pooled value back where it came from; everything else is zero.

    The adjoint of `max_pool2d` with its switches held fixed: where windows share a maximum, their values add.

    Args:
        y: (C, OH, OW, N) pooled maps, or any signal of that shape on its way down.
        switches: (C, OH, OW, N) uint8, which tap of its window held the maximum, row-major.
        x_shape: (C, H, W, N) of the array that was pooled.
        kernel_size, stride, padding: pixels, as given to `max_pool2d`.
    Returns:
        (C, H, W, N), dtype of `y`.
    Raises:
        ValueError: if `y` and `switches` differ in shape, or do not belong to `x_shape`.

    Paper: Sec. 2.1, "Unpooling".
    """
    kernel_size, stride, padding = window_arguments("max_unpool2d", kernel_size, stride, padding)
    if y.shape != switches.shape:
        raise ValueError(f"max_unpool2d: y is (C, OH, OW, N) = {y.shape} but switches are {switches.shape}")

    def reaching(i, j, some):
        return y[some] * (switches[some] == i * kernel_size[1] + j)

    return _spread("max_unpool2d", y, x_shape, kernel_size, stride, padding, reaching)


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
        ValueError: if a padding is not smaller than the kernel.

    >>> import numpy as np
    >>> y, counts = avg_pool2d(np.array([[1., 5.], [5., 1.]]).reshape(1, 2, 2, 1), 2)
    >>> y.item(), counts.item()
    (3.0, 4.0)

    Not in the paper: nets after VGG have it.
    """
    kernel_size, stride, padding = window_arguments("avg_pool2d", kernel_size, stride, padding, most=None)
    _check_maps("avg_pool2d", x)
    xp, out = array_module(x), output_shape(x.shape[1:3], kernel_size, stride, padding, ceil_mode)
    reach = _reach(x.shape, kernel_size, stride, padding, out)
    axes = zip(x.shape[1:3], kernel_size, stride, padding, out)
    rows, columns = (_window_lengths(*axis, count_include_pad) for axis in axes)
    counts = xp.asarray(np.outer(rows, columns)[None, :, :, None], dtype=x.dtype)  # (1, OH, OW, 1)
    y = xp.zeros((len(x), *out, x.shape[3]), dtype=x.dtype)

    def work(slabs):
        for some in slabs:
            padded, total = pad(x[some], reach), y[some]
            for _, _, rows, columns in tap_slices(kernel_size, stride, out):
                total += padded[:, rows, columns]
            total /= counts

    share(work, _slabs(y), y)
    return y, xp.broadcast_to(counts, (1, *y.shape[1:]))


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
    kernel_size, stride, padding = window_arguments("avg_pool2d_transpose", kernel_size, stride, padding, most=None)
    if y.shape[1:] != counts.shape[1:]:
        raise ValueError(f"avg_pool2d_transpose: y is (C, OH, OW, N) = {y.shape} but counts are {counts.shape}")
    y = y / array_module(y).maximum(counts, 1)  # a window that lies outside the map altogether has none
    return _spread("avg_pool2d_transpose", y, x_shape, kernel_size, stride, padding, lambda i, j, some: y[some])


def global_avg_pool2d(x: Array) -> Array:
    """The mean of every map: (C, H, W, N) -> (C, 1, 1, N). Not in the paper."""
    _check_maps("global_avg_pool2d", x)
    return x.mean(axis=(1, 2), keepdims=True)


def global_avg_pool2d_transpose(y: Array, x_shape) -> Array:
    """The adjoint of `global_avg_pool2d`: (C, 1, 1, N) -> `x_shape`, (C, H, W, N)."""
    return array_module(y).broadcast_to(y / (x_shape[1] * x_shape[2]), x_shape).copy()


def window_arguments(function: str, kernel_size, stride, padding, most: int | None = 256):
    """Pooling arguments in their full form, checked: (KH, KW), (SH, SW), ((top, bottom), (left, right)).

    Args:
        most: taps that a window may have; None for any number.
    """
    kernel_size = pair(kernel_size, "kernel_size")
    stride, padding = pair(kernel_size if stride is None else stride, "stride"), pad_pairs(padding)
    if most and kernel_size[0] * kernel_size[1] > most:
        raise ValueError(
            f"{function}: a window of {kernel_size} has more than {most} taps, too many for uint8 switches"
        )
    for sides, kernel in zip(padding, kernel_size):
        if max(sides) >= kernel:
            raise ValueError(f"{function}: padding {sides} must be smaller than the kernel, {kernel}")
    return kernel_size, stride, padding


def _spread(function, y, x_shape, kernel_size, stride, padding, reaching):
    """Add to each pixel of (C, H, W, N) what the windows above it send through each tap.

    Args:
        reaching: (tap row, tap column, slice of channels) -> the signal of every window through that tap.
    """
    xp, out = array_module(y), y.shape[1:3]
    most = output_shape(x_shape[1:3], kernel_size, stride, padding, ceil_mode=True)
    if (y.shape[0], y.shape[3]) != (x_shape[0], x_shape[3]) or out[0] > most[0] or out[1] > most[1]:
        raise ValueError(f"{function}: y of shape {y.shape} cannot come from x_shape {tuple(x_shape)}")
    (top, bottom), (left, right) = _reach(x_shape, kernel_size, stride, padding, out)
    (height, width), x = x_shape[1:3], xp.empty(x_shape, dtype=y.dtype)

    def work(slabs):
        for some in slabs:
            padded = xp.zeros((len(x[some]), top + height + bottom, left + width + right, y.shape[3]), dtype=y.dtype)
            for i, j, rows, columns in tap_slices(kernel_size, stride, out):
                padded[:, rows, columns] += reaching(i, j, some)
            x[some] = padded[:, top : top + height, left : left + width]

    share(work, _slabs(y), y)
    return x


def _check_maps(function, x):
    if len(x.shape) != 4:
        raise ValueError(f"{function}: x has shape {x.shape}; expected (C, H, W, N)")
    if not x.size or x.dtype.kind != "f":
        raise ValueError(f"{function}: x is {x.dtype} {x.shape}; expected floating point, at least one image")


def _window_lengths(size, kernel, step, sides, count, include_pad):
    """How many pixels of each window count, along one axis: (count,) integers."""
    first = np.arange(count) * step - sides[0]
    low, high = (-sides[0], size + sides[1]) if include_pad else (0, size)
    return np.minimum(first + kernel, high) - np.maximum(first, low)


def _reach(x_shape, kernel_size, stride, padding, out):
    """The padding that the windows really touch: before as given, after as far as the last window reaches."""
    sides = []
    for size, kernel, step, (before, _), count in zip(x_shape[1:3], kernel_size, stride, padding, out):
        sides.append((before, max((count - 1) * step + kernel - before - size, 0)))
    return tuple(sides)


def _slabs(y):
    """Slices of channels so small that all taps of one slab find it in the cache."""
    size = max(block_bytes(y) // 16 // (y[0].size * y.dtype.itemsize), 1)
    return [slice(first, first + size) for first in range(0, len(y), size)]
