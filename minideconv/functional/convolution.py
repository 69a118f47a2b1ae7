"""Convolution, its adjoint (the "filtering" step of the deconvnet) and its weight gradient.

All three are one loop over blocks of output pixels. In a block, `im2col` lays the patch under every output pixel
out as a column, so that the convolution is one matrix product:

    (O, C·KH·KW) @ (C·KH·KW, rows·OW·N) -> (O, rows·OW·N)

Going down runs the same two steps backwards: the transposed product, then every column is added back where it
was taken from (`col2im`).
"""

from __future__ import annotations

import math
from itertools import chain

from ..backend import Array, array_module, block_bytes
from ..parallel import channel_slabs, eighths, share
from .geometry import output_shape, pad_pairs, pair

PARTIAL_SUMS = 8  # a weight gradient is added up in so many parts


def conv2d(x: Array, weight: Array, bias: Array | None = None, *, stride=1, padding=0, groups: int = 1) -> Array:
    """Slide every filter over the maps: each output pixel is a filter times the patch under it, plus a bias.

    As in every framework this is a cross-correlation: filters are not flipped.

    Args:
        x: (C, H, W, N) maps.
        weight: (O, C/groups, KH, KW) filters.
        bias: (O,) or None.
        stride, padding: pixels; padding is with zeros.
        groups: channels are split into this many groups, each seen by its own O/groups filters.
    Returns:
        (O, OH, OW, N) with OH = (H + top + bottom - KH) // stride + 1.
    Raises:
        ValueError: if shapes do not fit together.

    >>> import numpy as np
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d(x, np.ones((1, 1, 2, 2)))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])

    Paper: Sec. 2, "convolving the previous layer output with learned filters".
    """
    _check("conv2d", x.shape, "x", weight.shape, groups)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv2d: bias has shape {bias.shape}; expected (O,) = {weight.shape[:1]}")
    if groups > 1:
        parts = zip(_split(x, groups), _split(weight, groups), _split(bias, groups))
        return array_module(x).concatenate([conv2d(*part, stride=stride, padding=padding) for part in parts])

    stride, padding = pair(stride, "stride"), pad_pairs(padding)
    out, taps = output_shape(x.shape[1:3], weight.shape[2:], stride, padding), weight.shape[2:]
    xp, phases, filters = array_module(x), _split_phases(x, stride, padding), weight.reshape(len(weight), -1)
    y = xp.empty((len(weight), *out, x.shape[3]), dtype=xp.result_type(x, weight))
    depth = filters.shape[1]
    blocks = _blocks(x, depth, out, x.shape[3])

    def work(some):
        pixels = _pixels(blocks[0], out)
        columns_buffer, products = xp.empty(depth * pixels, x.dtype), xp.empty(len(y) * pixels, y.dtype)
        for rows, images in some:
            columns = _im2col(phases, taps, stride, rows, out[1], images, columns_buffer)
            target = y[:, rows, :, images]  # (O, rows, OW, N)
            product = xp.matmul(filters, columns, out=_within(products, (len(y), columns.shape[1])))
            xp.add(product.reshape(target.shape), 0 if bias is None else bias[:, None, None, None], out=target)

    share(work, blocks, x)
    return y


def conv_transpose2d(y: Array, weight: Array, x_shape, *, stride=1, padding=0, groups: int = 1) -> Array:
    """Paint every output pixel back as its filter, scaled by its value, and add up where they overlap.

    The exact adjoint of `conv2d` (without bias): <conv2d(x), y> = <x, conv_transpose2d(y)>. The same filters with
    input and output exchanged and flipped in both directions. Pixels that no window reached stay zero.

    Args:
        y: (O, OH, OW, N) signal at the convolution's output.
        weight: (O, C/groups, KH, KW), as given to `conv2d`.
        x_shape: (C, H, W, N) of the maps that were convolved; a stride makes it ambiguous otherwise.
        stride, padding, groups: as given to `conv2d`.
    Returns:
        (C, H, W, N).
    Raises:
        ValueError: if shapes do not fit together.

    Paper: Sec. 2.1, "Filtering".
    """
    _check("conv_transpose2d", x_shape, "x_shape", weight.shape, groups)
    stride, padding, taps = pair(stride, "stride"), pad_pairs(padding), weight.shape[2:]
    out = output_shape(x_shape[1:3], taps, stride, padding)
    _check_signal("conv_transpose2d", "y", y.shape, (len(weight), *out, x_shape[3]))
    if groups > 1:
        shape = (x_shape[0] // groups, *x_shape[1:])
        parts = zip(_split(y, groups), _split(weight, groups))
        return array_module(y).concatenate(
            [conv_transpose2d(*part, shape, stride=stride, padding=padding) for part in parts]
        )

    xp, filters = array_module(y), weight.transpose(1, 2, 3, 0).reshape(-1, len(weight))  # (C·KH·KW, O)
    phases = xp.zeros(_phases_shape(x_shape, stride, padding), dtype=xp.result_type(y, weight))
    size = taps[0] * taps[1]

    def work(parts):  # windows overlap in rows, so cores share channels, or images where channels are few
        for channels, images in parts:
            some, planes = filters[channels.start * size : channels.stop * size], phases[channels, ..., images]
            blocks = _blocks(phases, len(some), out, planes.shape[-1])
            buffer = xp.empty(len(some) * _pixels(blocks[0], out), phases.dtype)
            for rows, these in blocks:
                signal = y[:, rows, :, images][..., these].reshape(len(y), -1)
                columns = xp.matmul(some, signal, out=_within(buffer, (len(some), signal.shape[1])))
                _col2im(columns, planes, taps, stride, rows, out[1], these)

    share(work, _parts(x_shape, size, y), y)
    return _join_phases(phases, x_shape, stride, padding)


def conv2d_weight_gradient(x: Array, grad: Array, weight_shape, *, stride=1, padding=0, groups: int = 1) -> Array:
    """How the loss changes with each filter entry: the patches under the output pixels, weighted by `grad`.

    The adjoint of `conv2d` as a function of its weight. The bias's gradient is `grad.sum(axis=(1, 2, 3))`.

    Args:
        x: (C, H, W, N) maps that were convolved.
        grad: (O, OH, OW, N) gradient at the output.
        weight_shape: (O, C/groups, KH, KW).
        stride, padding, groups: as given to `conv2d`.
    Returns:
        (O, C/groups, KH, KW).
    Raises:
        ValueError: if shapes do not fit together.

    Not in the paper: it is backpropagation.
    """
    _check("conv2d_weight_gradient", x.shape, "x", weight_shape, groups)
    stride, padding, taps = pair(stride, "stride"), pad_pairs(padding), weight_shape[2:]
    out = output_shape(x.shape[1:3], taps, stride, padding)
    _check_signal("conv2d_weight_gradient", "grad", grad.shape, (weight_shape[0], *out, x.shape[3]))
    if groups > 1:
        shape = (weight_shape[0] // groups, *weight_shape[1:])
        parts = zip(_split(x, groups), _split(grad, groups))
        return array_module(x).concatenate(
            [conv2d_weight_gradient(*part, shape, stride=stride, padding=padding) for part in parts]
        )

    xp, phases, depth = array_module(x), _split_phases(x, stride, padding), x.shape[0] * taps[0] * taps[1]
    blocks = _blocks(x, depth, out, x.shape[3])

    def work(parts):
        buffer = xp.empty(depth * _pixels(blocks[0], out), x.dtype)
        totals = [xp.zeros((depth, len(grad)), dtype=xp.result_type(x, grad)) for _ in parts]
        for total, part in zip(totals, parts):
            for rows, images in part:
                columns = _im2col(phases, taps, stride, rows, out[1], images, buffer)
                total += columns @ grad[:, rows, :, images].reshape(len(grad), -1).T  # (C·KH·KW, O): BLAS likes it tall
        return totals

    size = -(-len(blocks) // PARTIAL_SUMS)
    parts = [blocks[first : first + size] for first in range(0, len(blocks), size)]
    total = sum(chain.from_iterable(share(work, parts, x)))  # the same sums in the same order on however many cores
    return xp.ascontiguousarray(total.T).reshape(weight_shape)


def _im2col(phases, taps, stride, rows, width, images, buffer):
    """Lay the patch under every output pixel out as a column: (C, SH, SW, h, w, N) -> (C·KH·KW, rows·OW·N)."""
    shape = (len(phases), *taps, rows.stop - rows.start, width, images.stop - images.start)  # (C, KH, KW, rows, OW, N)
    columns = _within(buffer, shape)
    for i, j, touched in _touched(phases, taps, stride, rows, width):
        columns[:, i, j] = touched[..., images]
    return columns.reshape(len(phases) * taps[0] * taps[1], -1)


def _col2im(columns, phases, taps, stride, rows, width, images):
    """Add every column back to the patch it stands for, in place: the adjoint of `_im2col`."""
    columns = columns.reshape(len(phases), *taps, rows.stop - rows.start, width, -1)  # (C, KH, KW, rows, OW, N)
    for i, j, touched in _touched(phases, taps, stride, rows, width):
        touched[..., images] += columns[:, i, j]


def _touched(phases, taps, stride, rows, width):
    """For every kernel tap (i, j), the pixels that it touches in all windows of some rows: views (C, rows, OW, N)."""
    for i in range(taps[0]):
        down, row_phase = divmod(i, stride[0])
        for j in range(taps[1]):
            across, column_phase = divmod(j, stride[1])
            plane = phases[:, row_phase, column_phase]
            yield i, j, plane[:, rows.start + down : rows.stop + down, across : across + width]


def _split_phases(x, stride, padding):
    """Pad with zeros and keep pixels apart by phase: (C, H, W, N) -> (C, SH, SW, h, w, N).

    All windows touch every `stride`-th pixel with one tap; here those lie side by side, and copies run along rows.
    """
    phases = array_module(x).zeros(_phases_shape(x.shape, stride, padding), dtype=x.dtype)
    slices = list(_phase_slices(x.shape, stride, padding))

    def work(slabs):
        for some in slabs:
            for phase, pixels in slices:
                phases[some][phase] = x[some][pixels]

    share(work, channel_slabs(x), x)
    return phases


def _join_phases(phases, x_shape, stride, padding):
    """Put the phases together and leave the padding out: the adjoint of `_split_phases`."""
    x = array_module(phases).empty(x_shape, dtype=phases.dtype)
    slices = list(_phase_slices(x_shape, stride, padding))

    def work(slabs):
        for some in slabs:
            for phase, pixels in slices:
                x[some][pixels] = phases[some][phase]

    share(work, channel_slabs(x), x)
    return x


def _phases_shape(x_shape, stride, padding):
    """(C, SH, SW, h, w, N) of the padded map."""
    channels, height, width, count = x_shape
    tall, wide = height + sum(padding[0]), width + sum(padding[1])
    return channels, *stride, -(-tall // stride[0]), -(-wide // stride[1]), count


def _phase_slices(x_shape, stride, padding):
    """For each phase, where its pixels lie in (C, SH, SW, h, w, N), and where in (C, H, W, N): two indices."""
    down, across = (list(_axis_phases(*axis)) for axis in zip(x_shape[1:3], stride, padding))
    for row_phase, h, rows in down:
        for column_phase, w, columns in across:
            yield (slice(None), row_phase, column_phase, h, w), (slice(None), rows, columns)


def _axis_phases(size, stride, pad):
    """For each phase of one axis: its number, where its pixels lie among the phase's, and where in the map."""
    for phase in range(min(stride, pad[0] + size)):
        first = max(-(-(pad[0] - phase) // stride), 0)  # the first of this phase that is not padding
        start = phase + first * stride - pad[0]
        yield phase, slice(first, first + len(range(start, size, stride))), slice(start, None, stride)


def _blocks(x, depth, out, count):
    """Cut the output into blocks whose columns fit the cache: by rows, and by images where one row is too much.

    Args:
        depth: how tall a column is;  out: (OH, OW);  count: how many images.
    Returns:
        a list of (rows, images), two slices of the output, none larger than the first; all rows of the first images
        first.
    """
    height, width = out
    room = max(block_bytes(x) // (x.dtype.itemsize * depth), 256)  # columns in a block; fewer starve the product
    parts = -(-width * count // room) if width * count > 2 * room else 1  # cutting rows is cheaper than cutting images
    some = -(-count // parts)
    tall = min(height, max(room // (width * some), 1))
    return [
        (slice(row, min(row + tall, height)), slice(image, min(image + some, count)))
        for image in range(0, count, some)
        for row in range(0, height, tall)
    ]


def _pixels(block, out):
    """How many columns a block has."""
    rows, images = block
    return (rows.stop - rows.start) * out[1] * (images.stop - images.start)


def _within(buffer, shape):
    """The beginning of a buffer as an array. Memory that is used again is in the cache; fresh memory costs a copy."""
    return buffer[: math.prod(shape)].reshape(shape)


def _parts(x_shape, taps, y):
    """Cut (C, H, W, N) into parts, (channels, images), that cores can work on without meeting: up to 8 of channels."""
    channels, count = x_shape[0], x_shape[3]
    least = -(-64 // taps)  # fewer than 64 rows starve the product
    runs = eighths(channels, y, least)
    if len(runs) > 1:
        return [(run, slice(0, count)) for run in runs]
    size = -(-count // max(count // 64, 1))
    return [(slice(0, channels), slice(start, min(start + size, count))) for start in range(0, count, size)]


def _split(array, groups):
    """Cut along the first axis into equal groups (views); no array is `groups` times no array."""
    if array is None:
        return [None] * groups
    size = len(array) // groups
    return [array[g * size : (g + 1) * size] for g in range(groups)]


def _check(function, x_shape, what, weight_shape, groups):
    if len(x_shape) != 4:
        raise ValueError(f"{function}: {what} has shape {tuple(x_shape)}; expected (C, H, W, N)")
    if 0 in x_shape:
        raise ValueError(f"{function}: {what} is empty, {tuple(x_shape)}; give at least one image")
    if len(weight_shape) != 4:
        raise ValueError(f"{function}: weight has shape {tuple(weight_shape)}; expected (O, C/groups, KH, KW)")
    if groups < 1 or weight_shape[0] % groups:
        raise ValueError(f"{function}: {weight_shape[0]} filters cannot be split into {groups} groups")
    if x_shape[0] != weight_shape[1] * groups:
        of_groups = f" in each of {groups} groups" if groups > 1 else "; is there an alpha channel?"
        raise ValueError(
            f"{function}: {what} has {x_shape[0]} channels but weight expects {weight_shape[1]} "
            f"(weight is (O, C/groups, KH, KW) = {tuple(weight_shape)}){of_groups}"
        )


def _check_signal(function, what, shape, expected):
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{function}: {what} has shape {tuple(shape)}; expected (O, OH, OW, N) = {tuple(expected)}")
