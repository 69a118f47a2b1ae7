"""The deconvnet of Sec. 2.1: choose a unit, set all others to zero, and walk its activation down to the pixels.

`project` is the definition: the whole plane of one image, through every layer below. `project_patches` does the same
for many units at once and only where each of them can see: a unit of AlexNet's relu5 is 1 × 1 there, 3 × 3 one
convolution below, then 5 × 5, 7 × 7, 15 × 15 … Units of one layer have windows of one size, so they stack in the last
axis, where images were, and go down together through the very same layers.
"""

from __future__ import annotations

import math
import operator
from itertools import chain
from typing import NamedTuple

import numpy as np

from .backend import Array, array_module, to_device, to_numpy
from .display import channel_order, display, display_many, mosaic
from .encoding import png
from .network import Network, Trace, check_rule
from .parallel import share
from .windows import Window, WindowStep

UNITS_AT_ONCE, BYTES_AT_ONCE = 64, 2**26  # so many units, or their widest windows, go down together


class Units(NamedTuple):
    """Units of one layer, one an entry: which image, channel, row and column, and their activation. Each (K,)."""

    image: np.ndarray
    channel: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


class Projection(NamedTuple):
    """One unit projected to pixels.

    Attributes:
        pixels: (3, H, W) signed, the whole image plane, in the model's channel order and scale.
        box: (top, left, bottom, right), half-open, in pixels of the network's input: what the unit can see of it.
        activation: the value that was projected.
        layer, channel, row, column, image, rule: which unit, and how.
        channels: the order of the pixels' channels, "RGB", "BGR" or "L"; None if they are no colours.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    activation: float
    layer: str
    channel: int
    row: int
    column: int
    image: int
    rule: str
    channels: str | None = None

    def _repr_png_(self) -> bytes | None:
        """In a notebook: the signed pixels, zero mid-grey."""
        return self.channels and png(display(self.pixels, channels=self.channels))


class Patches(NamedTuple):
    """Many units of one layer projected to pixels, each in the window it can see.

    Attributes:
        pixels: (3, h, w, B) signed; zero where the window hangs over the image.
        top, left: (B,) corner of each window in the image, in pixels; may be negative.
        activation: (B,) the values that were projected.
        channels: the order of the pixels' channels, as in `Projection`.
    """

    pixels: np.ndarray
    top: np.ndarray
    left: np.ndarray
    activation: np.ndarray
    channels: str | None = None

    def _repr_png_(self) -> bytes | None:
        """In a notebook: the first hundred windows side by side, each on its own scale."""
        return self.channels and png(mosaic(display_many(self.pixels[..., :100], self.channels), 10))


def project(net: Network, trace: Trace, layer: str, channel: int, position: tuple[int, int] | None = None, *,
            image: int = 0, rule: str = "deconvnet", value: float | None = None) -> Projection:  # fmt: skip
    """Project one unit down to the pixels: keep its activation, set all others to zero, walk down every layer.

    Args:
        net: weights come from here.
        trace: of `net.forward` (or of a net of the same shape: real switches, other weights).
        layer, channel: which feature map; after Flatten, `channel` is the unit.
        position: (row, column) of the unit; None takes the strongest of the map.
        image: which image of the trace.
        rule: "deconvnet", "gradient" or "guided".
        value: what to project instead of the activation; a rectifier on the way may stop a negative one.
    Returns:
        the pixels of the whole image plane, and which unit they came from.
    Raises:
        ValueError: if there is no such layer, channel, position or image.

    Paper: Sec. 2.1.
    """
    one = trace.image(image)
    maps = one[layer]
    channel, row, column = unit_of(maps, layer, channel, position)
    unit = (channel, row, column, 0) if maps.ndim == 4 else (channel, 0)

    seed = array_module(maps).zeros_like(maps)
    seed[unit] = maps[unit] if value is None else value
    pixels = net.backward(one, seed, layer, rule)

    box = clipped_box(net, trace, layer, row, column)
    order, activation = channel_order(net.preprocessing, len(pixels)), float(seed[unit])
    return Projection(to_numpy(pixels[..., 0]), box, activation, layer, channel, row, column, image, rule, order)


def project_patches(net: Network, trace: Trace, layer: str, *, image, channel, row=None, column=None,
                    value=None, rule: str = "deconvnet") -> Patches:  # fmt: skip
    """Project many units at once, each only in the window it can see; equal to `project`, cropped.

    Args:
        net, trace, layer, rule: as for `project`.
        image, channel, row, column: (B,) integers, a unit an entry; row and column are left out after Flatten.
        value: (B,) or one number, what to project; None for the activations.
    Returns:
        windows of the receptive field's size, along each axis on which that fits into the image and into every map
        on the way; along the others the window is the whole image.
    Raises:
        ValueError: if units lie outside the maps.

    Paper: Sec. 2.1.
    """
    check_rule(rule)
    units = _checked_units(trace, layer, image, channel, row, column)
    count = len(units[0])
    if not count:
        raise ValueError("project_patches: there are no units; image and channel are empty")
    if value is None:
        seeds = _activations(trace[layer], units)
    else:
        seeds = to_device(np.broadcast_to(np.asarray(to_numpy(value), dtype=trace.input.dtype), (count,)))

    def work(groups):
        return [_project_windows(net, trace, layer, [i[some] for i in units], seeds[some], rule) for some in groups]

    size = _group_size(net, trace, layer)
    groups = [slice(first, first + size) for first in range(0, count, size)]
    parts = zip(*chain.from_iterable(share(work, groups, seeds)))
    pixels, *rest = (np.concatenate(arrays, axis=-1) for arrays in parts)
    return Patches(pixels, *rest, channel_order(net.preprocessing, len(pixels)))


def _group_size(net, trace, layer) -> int:
    """How many units go down together: bounded by memory, and the same every time, so that results are too."""
    window, largest = Window(np.zeros(1, np.intp), np.zeros(1, np.intp), 1, 1), 1
    names = list(trace.steps)
    for name in reversed(names[: names.index(layer) + 1]):
        step = trace.step(name)
        window = window.below(net.layers[name], step).confined(step.x_shape)
        largest = max(largest, math.prod(window.shape(step.x_shape)))
    return min(max(BYTES_AT_ONCE // (largest * trace.input.dtype.itemsize), 1), UNITS_AT_ONCE)


def _project_windows(net, trace, layer, units, seeds, rule):
    """Walk one group of units down together: seeds (B,) -> pixels (3, h, w, B) and the windows' corners."""
    image, channel, row, column = units
    xp, step, count = array_module(seeds), trace.step(layer), len(image)
    window = Window(row, column, 1, 1)
    signal = xp.zeros((*window.shape(step.y_shape), count), dtype=seeds.dtype)
    place = (xp.asarray(channel), xp.arange(count))
    signal[place if signal.ndim == 2 else (place[0], 0, 0, place[1])] = seeds

    names = list(trace.steps)
    for name in reversed(names[: names.index(layer) + 1]):
        layer, step = net.layers[name], trace.step(name)
        below = window.below(layer, step)
        signal = layer.down(signal, WindowStep(step, window, below, image), rule)
        signal, window = below.confine(signal, step.x_shape, layer.spills)
    return to_numpy(signal), window.top, window.left, to_numpy(seeds)


def strongest(trace: Trace, layer: str, k: int = 9, *, image: int = 0) -> Units:
    """The strongest units of one image, at most one of each feature map, strongest first (then by channel).

    Args:
        k: how many; fewer if the layer has fewer maps.
    Returns:
        units with arrays (k,); row and column are 0 after Flatten.
    """
    maps = trace.image(image)[layer]
    flat = maps.reshape(len(maps), -1)  # (C, H·W)
    where = flat.argmax(axis=1)[:, None]
    peak, where = (to_numpy(a)[:, 0] for a in (array_module(flat).take_along_axis(flat, where, axis=1), where))
    channel = np.argsort(-peak, kind="stable")[:k]
    row, column = np.divmod(where[channel], maps.shape[2] if maps.ndim == 4 else 1)
    return Units(np.full(len(channel), image), channel, row, column, peak[channel])


def clipped_box(net: Network, trace: Trace, layer: str, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), half-open: the receptive field of a unit, clipped to the image, in pixels."""
    limits = trace.input.shape[1:3]
    if net.sees_all(layer):
        return 0, 0, *limits
    sides = []
    for unit, size, stride, start, limit in zip((row, column), *net.receptive_field(layer), limits):
        first = start + unit * stride
        sides.append((min(max(first, 0), limit), min(max(first + size, 0), limit)))
    (top, bottom), (left, right) = sides
    return top, left, bottom, right


def unit_of(maps: Array, layer: str, channel: int, position=None) -> tuple[int, int, int]:
    """(channel, row, column) of one unit of `maps`, (C, H, W, 1) or (D, 1); the strongest of the channel by default.

    Raises:
        ValueError: if there is none.
    """
    try:
        channel = operator.index(channel)
        row, column = (0, 0) if position is None else map(operator.index, position)
    except (TypeError, ValueError):
        raise ValueError(f"{layer}: channel {channel!r}, position {position!r} are not a unit; give integers") from None
    if not 0 <= channel < len(maps):
        raise ValueError(f"{layer} has {len(maps)} channels, counted from 0; there is no channel {channel}")
    height, width = maps.shape[1:3] if maps.ndim == 4 else (1, 1)
    if position is None:
        row, column = divmod(int(maps[channel].argmax()), width)
    if not (0 <= row < height and 0 <= column < width):
        size = f"{height} rows and {width} columns"
        raise ValueError(f"{layer} has {size}, counted from 0; there is no position {row}, {column}")
    return channel, row, column


def _checked_units(trace, layer, image, channel, row, column):
    """Unit indices as four (B,) int arrays, refused if any lies outside the maps."""
    shape = trace.step(layer).y_shape
    limits = (shape[-1], shape[0], *(shape[1:3] if len(shape) == 4 else (1, 1)))
    row, column = (0 if index is None and len(shape) == 2 else index for index in (row, column))
    units = []
    for name, index, limit in zip(("image", "channel", "row", "column"), (image, channel, row, column), limits):
        index = np.array(0.5) if index is None else np.asarray(to_numpy(index))
        if index.dtype.kind not in "iu" and index.size:
            raise ValueError(f"project_patches: {name} must be integers, one a unit")
        index = np.atleast_1d(index).astype(np.intp)
        if index.size and not (0 <= index.min() and index.max() < limit):
            raise ValueError(f"project_patches: {layer} has {name} 0 … {limit - 1}; got {index.min()} … {index.max()}")
        units.append(index)
    try:
        return [array.ravel() for array in np.broadcast_arrays(*units)]
    except ValueError:
        lengths = ", ".join(str(len(index)) for index in units)
        raise ValueError(f"project_patches: image, channel, row, column have lengths {lengths}") from None


def _activations(maps, units):
    """What the maps (C, H, W, N), or (D, N), hold at (B,) units: (B,) on their device."""
    image, channel, row, column = (array_module(maps).asarray(index) for index in units)
    return maps[channel, row, column, image] if maps.ndim == 4 else maps[channel, image]
