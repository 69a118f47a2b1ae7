"""Where kernel windows lie on a map: sizes, padding, and the slices that each kernel tap meets."""

from __future__ import annotations

import operator

from ..backend import Array, array_module


def whole(value, what: str) -> int:
    """A whole number of at least 1, as an int."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{what} is {value!r}; give a whole number of at least 1")
    return number


def pair(value, what: str) -> tuple[int, int]:
    """An int, or (vertical, horizontal), as two ints of at least 1."""
    try:
        vertical, horizontal = value if isinstance(value, (tuple, list)) else (value, value)
        vertical, horizontal = operator.index(vertical), operator.index(horizontal)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {value!r}; give an int or (vertical, horizontal)") from None
    if min(vertical, horizontal) < 1:
        raise ValueError(f"{what} is {value!r}; it must be at least 1")
    return vertical, horizontal


def pad_pairs(padding) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding in its full form, ((top, bottom), (left, right))."""
    sides = padding if isinstance(padding, (tuple, list)) else (padding, padding)
    try:
        (top, bottom), (left, right) = (p if isinstance(p, (tuple, list)) else (p, p) for p in sides)
        top, bottom, left, right = map(operator.index, (top, bottom, left, right))
    except (TypeError, ValueError):
        message = f"padding is {padding!r}; give an int, (vertical, horizontal) or ((top, bottom), (left, right))"
        raise ValueError(message) from None
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"padding is {padding!r}; it must not be negative")
    return (top, bottom), (left, right)


def output_size(size: int, kernel: int, stride: int, pad: tuple[int, int], ceil_mode: bool = False) -> int:
    """How many windows fit along one axis of `size` pixels.

    With `ceil_mode` one more window may hang over the end, if it starts before the end of the map itself.
    """
    before, after = pad
    room = size + before + after - kernel
    if room < 0:
        raise ValueError(f"a kernel of {kernel} does not fit into {size} pixels with padding {before} and {after}")
    count = room // stride + 1
    if ceil_mode and room % stride and count * stride < size + before:
        count += 1
    return count


def output_shape(size, kernel_size, stride, padding, ceil_mode: bool = False) -> tuple[int, int]:
    """(OH, OW) for a map of `size` = (H, W); the other arguments in their full form."""
    rows, columns = zip(size, kernel_size, stride, padding)
    return output_size(*rows, ceil_mode), output_size(*columns, ceil_mode)


def pad(x: Array, padding, value: float = 0) -> Array:
    """Surround every map with `value`: (C, H, W, N) -> (C, top + H + bottom, left + W + right, N)."""
    (top, bottom), (left, right) = padding
    if not any((top, bottom, left, right)):
        return x
    channels, height, width, images = x.shape
    shape = (channels, top + height + bottom, left + width + right, images)
    padded = array_module(x).full(shape, value, dtype=x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


def tap_slices(kernel_size, stride, out_shape):
    """For every kernel tap, in row-major order, the rows and columns of the padded map that it meets.

    Args:
        kernel_size, stride: (vertical, horizontal);  out_shape: (OH, OW), how many windows.
    Yields:
        i, j, rows, columns: the tap, and two slices with one entry for every window.
    """
    down, across = (axis_slices(*axis) for axis in zip(kernel_size, stride, out_shape))
    for i, rows in enumerate(down):
        for j, columns in enumerate(across):
            yield i, j, rows, columns


def axis_slices(kernel: int, stride: int, count: int) -> list[slice]:
    """Along one axis, what each tap of the kernel meets in `count` windows: slices with one entry for every window."""
    return [slice(tap, tap + stride * (count - 1) + 1, stride) for tap in range(kernel)]


def reach(x_shape, kernel_size, stride, padding, out):
    """The padding that the windows really touch: before as given, after as far as the last window reaches."""
    sides = []
    for size, kernel, step, (before, _), count in zip(x_shape[1:3], kernel_size, stride, padding, out):
        sides.append((before, max((count - 1) * step + kernel - before - size, 0)))
    return tuple(sides)
