"""The part of a map that a unit above can see, for many units at once: what `project_patches` walks down.

And upwards: the part of a map that a change below can reach.

A window lies in the padded plane, so it may hang over the map. Whatever lands there on the way down is padding, not
map, and is set to zero after every layer. A window that outgrows its map becomes the whole map.
"""

from __future__ import annotations

import numpy as np

from .backend import Array, array_module
from .layers import Layer, Step


class Window:
    """Equal windows, one a unit: rows top … top + height (half-open), columns alike, in pixels of one layer's maps.

    Attributes:
        top, left: (B,) integers;  height, width: integers.
        whole: (vertical, horizontal), whether the window is the whole map along that axis.
    """

    def __init__(self, top: np.ndarray, left: np.ndarray, height: int, width: int, whole=(False, False)):
        self.top, self.left, self.height, self.width, self.whole = top, left, height, width, whole

    @classmethod
    def of_map(cls, shape, count: int) -> Window:
        """The whole map of `shape` (C, H, W, N), for `count` units."""
        corner = np.zeros(count, dtype=np.intp)
        return cls(corner, corner, shape[1], shape[2], (True, True))

    def shape(self, maps_shape) -> tuple[int, ...]:
        """Shape of maps cropped to one window: (C, height, width), or (D,) of vectors, which have no windows."""
        return (maps_shape[0], self.height, self.width) if len(maps_shape) == 4 else (maps_shape[0],)

    def below(self, layer: Layer, step: Step) -> Window:
        """What the windows see in the layer's input: interval arithmetic, one layer down."""
        if len(step.x_shape) == 2:
            return self
        if layer.sees_all:
            return Window.of_map(step.x_shape, len(self.top))
        (down, across), (rows, columns) = layer.stride, layer.kernel_size
        (above, _), (before, _) = layer.padding
        return Window(
            self.top * down - above,
            self.left * across - before,
            (self.height - 1) * down + rows,
            (self.width - 1) * across + columns,
            self.whole,
        )

    def above(self, layer: Layer, step: Step) -> Window:
        """What of the layer's output depends on these windows of its input: where it changes if they do.

        The windows lie in the map, here and above: those at an edge are moved inwards, so that all have one size.
        """
        starts, sizes = [], []
        sides = ((self.top, self.height), (self.left, self.width))
        for (start, length), kernel, stride, (pad, _), limit in zip(
            sides, layer.kernel_size, layer.stride, layer.padding, step.y_shape[1:3]
        ):
            size = min((length + kernel - 2) // stride + 1, limit)  # so many cells at most, wherever the window lies
            first = -((kernel - 1 - pad - start) // stride)  # the first whose kernel window ends in ours
            starts.append(first.clip(0, limit - size))
            sizes.append(size)
        return Window(*starts, *sizes)

    def confined(self, shape) -> Window:
        """The same window in a map of `shape`: along each axis on which it outgrows the map, the whole map."""
        if len(shape) == 2:
            return self
        tall, wide = self.height > shape[1] or self.whole[0], self.width > shape[2] or self.whole[1]
        none = np.zeros_like(self.top)
        return Window(
            none if tall else self.top, none if wide else self.left,
            shape[1] if tall else self.height, shape[2] if wide else self.width, (tall, wide),
        )  # fmt: skip

    def confine(self, signal: Array, shape, padded: bool = True) -> tuple[Array, Window]:
        """Keep what lies in the map: zero where windows hang over it, the whole map where they outgrow it.

        Args:
            signal: (C, height, width, B), may be changed in place;  shape: (C, H, W, N) of the map.
            padded: whether signal can lie outside the map at all.
        Returns:
            the signal, and the window it now fills.
        """
        new = self.confined(shape)
        if any(new.whole):
            inside = Window(new.top - self.top, new.left - self.left, new.height, new.width)  # seen from the signal
            signal = crop(signal, inside, np.arange(len(self.top)))
        if padded and len(shape) == 4:
            clear(signal, new, shape)
        return signal, new


class WindowStep:
    """A layer's `Step` seen through one window a unit: the same attributes, cropped when they are first read."""

    padding = 0

    def __init__(self, step: Step, window: Window, below: Window, image: np.ndarray):
        self._step, self._window, self._below, self._image = step, window, below, image
        self.x_shape = (*below.shape(step.x_shape), len(image))

    @property
    def x(self) -> Array:
        return crop(self._step.x, self._below, self._image)

    @property
    def y(self) -> Array:
        return crop(self._step.y, self._window, self._image)

    @property
    def switches(self) -> Array:
        return crop(self._step.switches, self._window, self._image)

    @property
    def counts(self) -> Array:
        return crop(self._step.counts, self._window, self._image)

    @property
    def mask(self) -> Array | None:
        return None if self._step.mask is None else crop(self._step.mask, self._window, self._image)


def crop(maps: Array, window: Window, image: np.ndarray, outside: float = 0) -> Array:
    """Cut one window a unit out of its image, `outside` beyond the map: (C, H, W, N) -> (C, height, width, B).

    Vectors have no windows: (D, N) -> (D, B).
    """
    xp = array_module(maps)
    if maps.ndim == 2:
        return maps[:, xp.asarray(image)]
    _, height, width, count = maps.shape
    rows = (window.top + np.arange(window.height)[:, None]).clip(0, height - 1)  # (h, B)
    columns = (window.left + np.arange(window.width)[:, None]).clip(0, width - 1)  # (w, B)
    flat = (rows[:, None] * width + columns) * count + image  # (h, w, B)
    cut = xp.take(maps.reshape(len(maps), -1), xp.asarray(flat), axis=1)
    clear(cut, window, maps.shape, outside)
    return cut


def clear(signal: Array, window: Window, shape, value: float = 0) -> None:
    """Set to zero, or to `value`, in place, what lies outside a map of `shape` (C, H, W, N)."""
    axes = ((window.top, window.height, shape[1]), (window.left, window.width, shape[2]))
    for axis, (start, length, size) in enumerate(axes):
        before, after = min(max(-start.min(), 0), length), min(max(size - start.max(), 0), length)
        for edge in (slice(0, before), slice(max(after, before), length)):  # where some windows hang over, some not
            if edge.start < edge.stop:
                pixel = start + np.arange(edge.start, edge.stop)[:, None]  # (edge, B)
                inside = array_module(signal).asarray((0 <= pixel) & (pixel < size))
                strip = signal[:, edge] if axis == 0 else signal[:, :, edge]
                strip[...] = array_module(signal).where(inside[:, None] if axis == 0 else inside, strip, value)
