"""What a net computes for variants of one photo that each differ from it in one small window: only that is computed.

A square of 35 × 35 pixels can change 11 × 11 of the 55 × 55 cells of AlexNet's conv1, 7 × 7 of 27 × 27 after the pool,
then 11 × 11, 7 × 7 of 13 × 13, 9 × 9, 11 × 11, and everything from conv5 on. Windows of all variants have one size,
so they stack in the last axis, where images were, and go up through the very same layers.

Letters: C channels, H rows, W columns of a map; h, w those of a window; B variants.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..backend import Array, array_module, to_device
from ..layers import AvgPool2d, Layer, MaxPool2d, Step
from ..network import Network, Trace
from ..windows import Window, crop


def forward_variants(net: Network, trace: Trace, pixels: Array, top: np.ndarray, left: np.ndarray,
                     keep: Collection[str]) -> dict[str, Array]:  # fmt: skip
    """Walk up some layers for variants of one image; equal to `net.forward` on each variant.

    Args:
        trace: of the image itself, all maps kept, at least up to the highest layer of `keep`.
        pixels: (C, h, w, B) what each variant has in its window, preprocessed.
        top, left: (B,) where the windows lie, within the image, in pixels.
        keep: names of layers.
    Returns:
        {layer: its maps of every variant, (C, H, W, B) or (D, B)}.
    """
    found: dict[str, Array] = {}
    variants = Variants(to_device(pixels), Window(top, left, *pixels.shape[1:3]))
    for name, step in trace.steps.items():
        variants = variants.up(net.layers[name], step)
        if name in keep:
            found[name] = variants.whole(step.y).maps
        if len(found) == len(keep):
            break
    return found


class Variants:
    """Maps of one layer where they may differ from those of the image itself.

    Attributes:
        maps: (C, h, w, B), or vectors (D, B);  window: where in the layer's maps they lie; None: they are whole.
    """

    def __init__(self, maps: Array, window: Window | None = None):
        self.maps, self.window = maps, window

    def up(self, layer: Layer, step: Step) -> Variants:
        """The same one layer up."""
        if self.window is None or _works_on_pixels(layer):
            return Variants(layer.up(self.maps, Step(step.name, self.maps, layer.padding)), self.window)
        if layer.sees_all or (isinstance(layer, AvgPool2d) and layer.spills):  # a mean at the edge is of fewer pixels
            return self.whole(step.x).up(layer, step)
        above = self.window.above(layer, step)
        outside = -np.inf if isinstance(layer, MaxPool2d) else 0  # a padded zero would win over negative inputs
        x = self.seen_through(above.below(layer, step), step.x, outside)
        maps = layer.up(x, Step(step.name, x, Layer.padding))
        return Variants(maps, None if maps.shape[:3] == step.y_shape[:3] else above)

    def whole(self, maps: Array) -> Variants:
        """Whole maps of each variant, `maps` (C, H, W, 1) being the image's."""
        if self.window is None:
            return self
        return Variants(self.seen_through(Window.of_map(maps.shape, self.maps.shape[-1]), maps))

    def seen_through(self, window: Window, maps: Array, outside: float = 0) -> Array:
        """What differs, put into the image's `maps` (C, H, W, 1), then cut to a window: (C, height, width, B)."""
        own, every = self.window, np.arange(self.maps.shape[-1])
        seen = Window(window.top - own.top, window.left - own.left, window.height, window.width)  # counted from ours
        rows, columns = seen.top + np.arange(seen.height)[:, None], seen.left + np.arange(seen.width)[:, None]  # (…, B)
        ours = ((0 <= rows) & (rows < own.height))[:, None] & ((0 <= columns) & (columns < own.width))  # (h, w, B)
        xp = array_module(maps)
        return xp.where(xp.asarray(ours), crop(self.maps, seen, every), crop(maps, window, 0 * every, outside))


def _works_on_pixels(layer: Layer) -> bool:
    return (layer.kernel_size, layer.stride, layer.padding) == ((1, 1), (1, 1), Layer.padding) and not layer.sees_all
