"""Sec. 4, Fig. 4: how a feature forms in training. At each epoch: where is it strongest, and what does it see there?

    evolve(nets, photos, "relu3")  ->  Evolution  ->  evolution_sheet

The nets are one net at several epochs (`snapshots.load_snapshots`), the photos a fixed set (`snapshots.probe_photos`).
How far the features of whole layers still move is in `feature_movement`. Letters: N photos, H rows, W columns,
C channels; K feature maps of one layer, E epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..backend import array_module, to_device, to_numpy
from ..deconvnet import Units, project_patches
from ..display import display
from ..network import Network, check_rule
from ..sheets import table_sheet
from .feature_visualization import cut_window
from .snapshots import batch_size, check_nets_and_photos, photo_batches

if TYPE_CHECKING:
    from PIL import Image

HOW_SHOWN = (
    "Of each feature map and epoch: the projection of its strongest activation over all photos ({rule} rule), below it "
    "the patch that caused it, then the activation, its row and column, and the photo's number. An orange bar: another "
    "photo has become the strongest, and the picture jumps. Each projection is shown by itself: zero is mid-grey, "
    "positive brighter, negative darker, full contrast near the 99.5th percentile of its non-zero pixels; so numbers "
    "tell how strong it is, the contrast does not. A projection is shaped by the switches of its photo, not by the "
    "feature alone."
)


class Evolution(NamedTuple):
    """Some feature maps of one layer at some epochs: the strongest activation over all photos, and its projection.

    Attributes:
        layer, rule: which layer, and how it was projected.
        channels: (K,) which feature maps.
        image, row, column, value: (K, E) where each map is strongest at each epoch, and its activation there.
        pixels: (K, E, C, h, w) projections, signed, in the model's channel order: the window that a unit can see, zero
            where it hangs over the photo.
        patches: (K, E, h, w, 3) uint8, the photo in the same window; mid-grey where it hangs over.
    """

    layer: str
    rule: str
    channels: np.ndarray
    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    pixels: np.ndarray
    patches: np.ndarray

    @property
    def jumped(self) -> np.ndarray:
        """(K, E) bool: another photo is the strongest than at the epoch before."""
        return np.diff(self.image, axis=1, prepend=self.image[:, :1]) != 0


def evolve(nets: Sequence[Network], photos: np.ndarray, layer: str, channels: Sequence[int] | None = None,
           rule: str = "deconvnet", *, top: int = 6, progress: bool = False) -> Evolution:  # fmt: skip
    """Follow feature maps through training: at each epoch, project the strongest activation over all photos.

    Args:
        nets: one net at several epochs, in order.
        photos: (N, H, W, C) uint8, as the nets see them.
        layer, channels: which feature maps; None takes the `top` that are strongest at the last epoch, in order.
        rule: "deconvnet", "gradient" or "guided".
        progress: show a bar.
    Raises:
        ValueError: if there is no such layer, channel or rule, no photo or no net.

    Paper: Sec. 4, "Feature Evolution during Training", Fig. 4.
    """
    from tqdm import tqdm

    check_rule(rule)
    check_nets_and_photos("evolve", nets, photos)
    nets[0].name_of(layer)
    units = [strongest_of_all(net, photos, layer) for net in tqdm(nets, layer, unit=" epochs", disable=not progress)]
    channels = _chosen_channels(layer, units[-1].value, channels, top)
    units = [Units(*(field[channels] for field in every)) for every in units]  # E of (K,)
    pixels, patches = zip(*(_projected(net, photos, layer, some, rule) for net, some in zip(nets, units)))
    image, _, row, column, value = (np.stack(field, axis=1) for field in zip(*units))
    pixels, patches = np.stack(pixels, axis=1), np.stack(patches, axis=1)
    return Evolution(layer, rule, channels, image, row, column, value, pixels, patches)


def strongest_of_all(net: Network, photos: np.ndarray, layer: str) -> Units:
    """The strongest unit of every feature map over all photos; among equals the lowest image, row, column.

    Args:
        photos: (N, H, W, C) uint8, as the net sees them.
    Returns:
        units with arrays (C,), one for each channel of the layer.
    """
    best = None
    for first, x in photo_batches(net, photos):
        maps = net.forward(x, until=layer, keep=[layer])[layer]
        maps = maps if maps.ndim == 4 else maps[:, None, None]  # (C, H, W, N), also after Flatten
        maps = maps.transpose(0, 3, 1, 2)  # (C, N, H, W): of equals, argmax finds the first
        flat = maps.reshape(len(maps), -1)
        where = flat.argmax(axis=1)
        value = to_numpy(flat[array_module(flat).arange(len(flat)), where])
        image, row, column = np.unravel_index(to_numpy(where), maps.shape[1:])
        found = Units(first + image, np.arange(len(flat)), row, column, value)
        stronger = True if best is None else value > best.value
        best = found if best is None else Units(*(np.where(stronger, *pair) for pair in zip(found, best)))
    return best


def _chosen_channels(layer, strength, channels, top) -> np.ndarray:
    """The feature maps asked for, or the `top` of largest strength (C,); (K,)."""
    if channels is None:
        if top < 1:
            raise ValueError(f"evolve: top is {top}; show one feature map at least")
        return np.sort(np.argsort(-strength, kind="stable")[:top])
    channels = np.asarray(channels, dtype=np.intp)
    wrong = channels[(channels < 0) | (channels >= len(strength))]
    if len(wrong) or not len(channels):
        found = f"no channel {wrong[0]}" if len(wrong) else "none in channels"
        raise ValueError(f"evolve: {layer} has {len(strength)} channels, counted from 0; there is {found}")
    return channels


def _projected(net, photos, layer, units, rule):
    """The projections (K, C, h, w) of one net's units, and the photos in the same windows (K, h, w, 3)."""
    pixels, patches, size = [], [], batch_size(net, photos)
    keep = [layer] if rule == "deconvnet" else None  # switches are enough for it; the others need the maps of each ReLU
    for first in range(0, len(units.image), size):
        image, channel, row, column, value = (field[first : first + size] for field in units)
        needed, place = np.unique(image, return_inverse=True)
        trace = net.forward(to_device(net.preprocessing.scaled(photos[needed])), until=layer, keep=keep)
        seen = project_patches(
            net, trace, layer, image=place, channel=channel, row=row, column=column, value=value, rule=rule
        )
        pixels.append(seen.pixels.transpose(3, 0, 1, 2))
        window = seen.pixels.shape[1:3]
        cut = (cut_window(photos[n], top, left, *window) for n, top, left in zip(image, seen.top, seen.left))
        patches += [np.broadcast_to(patch, (*window, 3)) for patch in cut]  # grey as RGB
    return np.concatenate(pixels), np.stack(patches)


def evolution_sheet(evolution: Evolution, net: Network, epochs: Sequence[int], numbers: np.ndarray | None = None, *,
                    tile: int = 88) -> Image.Image:  # fmt: skip
    """Draw a row for each feature map, a column for each epoch: the projection, and the patch below it.

    Args:
        net: any of the nets; its preprocessing says the order of the colours.
        epochs: E numbers, for the titles of the columns.
        numbers: (N,) what to call the photos; None calls them by their place.
        tile: the size of each picture on the sheet, in pixels.
    Returns:
        a Pillow image.

    Paper: Fig. 4.
    """
    numbers = np.arange(evolution.image.max() + 1) if numbers is None else np.asarray(numbers)
    order = net.preprocessing.display_order
    cells = [
        [(display(order(pixels)), patch) for pixels, patch in zip(*row)]
        for row in zip(evolution.pixels, evolution.patches)
    ]
    flat = len(net.output_shapes()[evolution.layer]) == 1
    places = zip(numbers[evolution.image], evolution.row, evolution.column, evolution.value)
    captions = [[_caption(evolution.layer, flat, *unit) for unit in zip(*row)] for row in places]
    return table_sheet(
        cells,
        [f"{'unit' if flat else 'map'} {channel}" for channel in evolution.channels],
        [f"epoch {epoch}" for epoch in epochs],
        captions,
        evolution.jumped,
        f"{net.name}, {evolution.layer}: features through training",
        HOW_SHOWN.format(rule=evolution.rule),
        tile=tile,
    )


def _caption(layer, flat, number, row, column, value) -> list[str]:
    if layer.startswith("relu") and value == 0:
        return ["not active", ""]
    return [f"{value:.3g}" if flat else f"{value:.3g} at {row},{column}", f"photo {number}"]
