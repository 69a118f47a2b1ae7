"""Max-pooling with switches, and unpooling: put values back where the switches say.

Both loop over the taps of the window, never over pixels, and nothing is scattered: the same lines run on a GPU and
give the same bits twice. The largest of a window is the largest of its rows' largest, so pooling takes two short loops.
"""

from __future__ import annotations

from ..backend import Array, array_module
from ..parallel import channel_slabs, share
from .geometry import axis_slices, output_shape, pad, pad_pairs, pair, reach, tap_slices


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
    if len(x.shape) != 4:
        raise ValueError(f"max_pool2d: x has shape {x.shape}; expected (C, H, W, N)")
    if not x.size or x.dtype.kind != "f":
        raise ValueError(f"max_pool2d: x is {x.dtype} {x.shape}; expected floating point, at least one image")
    xp, out = array_module(x), output_shape(x.shape[1:3], kernel_size, stride, padding, ceil_mode)
    sides = reach(x.shape, kernel_size, stride, padding, out)
    y = xp.empty((len(x), *out, x.shape[3]), dtype=x.dtype)
    switches = xp.empty(y.shape, dtype=xp.uint8)
    down, across = (axis_slices(*axis) for axis in zip(kernel_size, stride, out))

    def work(slabs):
        for some in slabs:
            padded = pad(x[some], sides, -xp.inf)  # a padded 0 would beat -1
            numbers = [xp.uint8(j) for j in range(kernel_size[1])]
            of_row, tap = _first_largest([padded[:, :, columns] for columns in across], numbers)
            taps = [xp.uint8(i * kernel_size[1]) + tap[:, rows] for i, rows in enumerate(down)]  # row-major
            y[some], switches[some] = _first_largest([of_row[:, rows] for rows in down], taps)

    share(work, channel_slabs(y), y)
    return y, switches


def _first_largest(candidates, taps):
    """Pixel by pixel the largest of some maps, and the tap beside the first that is: uint8, counted upwards."""
    xp = array_module(candidates[0])
    best, switch = candidates[0].copy(), xp.zeros(candidates[0].shape, xp.uint8) + taps[0]
    for candidate, tap in zip(candidates[1:], taps[1:]):
        xp.maximum(switch, (candidate > best) * tap, out=switch)  # the last to win stays
        xp.maximum(best, candidate, out=best)
    return best, switch


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
    xp, out = array_module(y), y.shape[1:3]
    most = output_shape(x_shape[1:3], kernel_size, stride, padding, ceil_mode=True)
    if (y.shape[0], y.shape[3]) != (x_shape[0], x_shape[3]) or out[0] > most[0] or out[1] > most[1]:
        raise ValueError(f"max_unpool2d: y of shape {y.shape} cannot come from x_shape {tuple(x_shape)}")
    (top, bottom), (left, right) = reach(x_shape, kernel_size, stride, padding, out)
    (height, width), x = x_shape[1:3], xp.empty(x_shape, dtype=y.dtype)

    def work(slabs):
        for some in slabs:
            signal, switch = y[some], switches[some]
            padded = xp.zeros((len(signal), top + height + bottom, left + width + right, y.shape[3]), dtype=y.dtype)
            for i, j, rows, columns in tap_slices(kernel_size, stride, out):
                padded[:, rows, columns] += signal * (switch == i * kernel_size[1] + j)
            x[some] = padded[:, top : top + height, left : left + width]

    share(work, channel_slabs(y), y)
    return x


def window_arguments(function: str, kernel_size, stride, padding, has_switches: bool = True):
    """Pooling arguments in their full form, checked: (KH, KW), (SH, SW), ((top, bottom), (left, right)).

    Args:
        has_switches: whether every tap needs a number of its own, in a uint8.
    """
    kernel_size = pair(kernel_size, "kernel_size")
    stride, padding = pair(kernel_size if stride is None else stride, "stride"), pad_pairs(padding)
    if has_switches and kernel_size[0] * kernel_size[1] > 256:
        raise ValueError(f"{function}: a window of {kernel_size} has more than 256 taps, too many for uint8 switches")
    for sides, kernel in zip(padding, kernel_size):
        if max(sides) >= kernel:
            raise ValueError(f"{function}: padding {sides} must be smaller than the kernel, {kernel}")
    return kernel_size, stride, padding
