"""Sec. 4, Fig. 2: for each feature map, the nine photos that excite it most, projected to pixels beside the patches.

    top_activations(net, photos, "relu3")  ->  TopActivations  ->  projected_top  ->  top_nine_sheet

Letters: N photos, C feature maps of a layer (or channels of a photo), H rows, W columns; K feature maps that are
shown, k photos of each, (h, w) the window that a unit can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..backend import to_device
from ..deconvnet import project_patches
from ..display import MID_GREY, display, display_many, display_scale, mosaic
from ..encoding import png
from ..network import Network, check_rule
from ..sheet_parts import PAGE
from ..sheets import grid_sheet
from .reading import check_none_lost, opened, photo_shape, photos_at_once, read_levels
from .scanning import TopActivations, top_activations

if TYPE_CHECKING:
    from PIL import Image

ACROSS = 3  # the paper's squares of three by three
SHOWN_MAPS = 10  # in a notebook

HOW_SHOWN = (
    "Of each feature map: the projections of its strongest activation in each of the photos that excite it most "
    "({rule} rule), strongest first, row by row{beside}. Zero is "
    "mid-grey, positive brighter, negative darker, full contrast near the 99.5th percentile of the non-zero pixels of "
    "{scale}. A projection is shaped by the switches of its photo, not by the feature alone."
)
BESIDE = "; right, the patches that caused them, in the same places"


class TopProjections(NamedTuple):
    """The winners of some feature maps, projected to pixels.

    Attributes:
        pixels: (K, k, C, h, w) signed, in the model's channel order; zero where the window hangs over the photo.
        patches: (K, k, h, w, 3) uint8, the photos in the same windows; mid-grey where they hang over.
        there: (K, k) bool, False where there were fewer than k photos.
        channels: the order of the pixels' channels.
    """

    pixels: np.ndarray
    patches: np.ndarray
    there: np.ndarray
    channels: str | None = None

    def _repr_png_(self) -> bytes | None:
        """In a notebook: a row for each of the first maps, its projections and below them the patches."""
        if self.channels is None:
            return None
        rows = []
        for pixels, patches in zip(self.pixels[:SHOWN_MAPS], self.patches):
            rows += [*display_many(pixels.transpose(1, 2, 3, 0), self.channels), *patches]
        return png(mosaic(rows, self.pixels.shape[1]))


# ---------------------------------------------------------------------------------------------- what they see there


def projected_top(net: Network, photos, layer: str, channels: Sequence[int], top: TopActivations,
                  rule: str = "deconvnet", *, batch_size: int | None = None) -> TopProjections:  # fmt: skip
    """Project the winners of some feature maps; only photos that won something go through the net again.

    Args:
        photos, layer: as they were scanned.
        channels: K numbers of feature maps.
        top: of `top_activations`.
        rule: "deconvnet", "gradient" or "guided".
    Raises:
        ValueError: if there is no such channel or rule.

    Paper: Sec. 2.1 and Fig. 2.
    """
    check_rule(rule)
    photos, channels = opened(photos), _checked_channels(layer, channels, len(top.value))
    image, row, column, value = (field[channels].ravel() for field in top)  # (K·k,)
    channel = np.repeat(channels, top.value.shape[1])
    winners, pixels, patches = np.unique(image[image >= 0]), None, None
    batch_size = batch_size or photos_at_once(net, photo_shape(net, photos))
    runs = [winners[first : first + batch_size] for first in range(0, len(winners), batch_size)]
    for numbers, levels, lost in read_levels(net, photos, runs):
        check_none_lost(photos, lost)
        x = to_device(net.preprocessing.scaled(levels))
        trace = net.forward(x, until=layer, keep=[layer] if rule == "deconvnet" else None)
        some = np.flatnonzero(np.isin(image, numbers))
        place = np.searchsorted(numbers, image[some])
        seen = project_patches(net, trace, layer, image=place, channel=channel[some], row=row[some],
                               column=column[some], value=value[some], rule=rule)  # fmt: skip
        if pixels is None:
            pixels = np.zeros((len(image), *seen.pixels.shape[:3]), seen.pixels.dtype)
            patches = np.full((len(image), *seen.pixels.shape[1:3], 3), MID_GREY, np.uint8)
        pixels[some] = seen.pixels.transpose(3, 0, 1, 2)
        for unit, n, corner in zip(some, place, zip(seen.top, seen.left)):
            patches[unit] = cut_window(levels[n], *corner, *patches.shape[1:3])
    shape = (len(channels), top.value.shape[1])
    pixels, patches = (array.reshape(*shape, *array.shape[1:]) for array in (pixels, patches))
    return TopProjections(pixels, patches, image.reshape(shape) >= 0, net.preprocessing.channels)


def cut_window(photo: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A window of one photo (H, W, 3), mid-grey where it hangs over: (height, width, 3)."""
    patch = np.full((height, width, photo.shape[2]), MID_GREY, photo.dtype)
    inside = photo[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    row, column = max(-top, 0), max(-left, 0)
    patch[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return patch


def _checked_channels(layer, channels, count) -> np.ndarray:
    channels = np.asarray(channels)
    wrong = channels.ndim != 1 or not len(channels) or channels.dtype.kind not in "iu"
    if wrong or channels.min() < 0 or channels.max() >= count:
        found = channels.tolist()
        raise ValueError(
            f"{layer} has {count} channels, counted from 0; give a list of some of them, not {found!r:.60}"
        )
    return channels


# ------------------------------------------------------------------------------------------------------ as pictures


def shown_pixels(net: Network, pixels: np.ndarray, shared_scale: bool = False) -> list[np.ndarray]:
    """Draw signed pictures (n, C, h, w) as `display.display` does, each by itself or on one scale: (h, w, 3)."""
    order = net.preprocessing.display_order
    scale = display_scale(pixels) if shared_scale else None
    return [display(order(picture), scale) for picture in pixels]


def tiled(pictures: Sequence[np.ndarray], columns: int, *, side: int = 60, gap: int = 3) -> np.ndarray:
    """Lay small pictures out row by row, each pixel enlarged to a whole number of pixels, with clear gaps between.

    Args:
        pictures: (h, w, 3) uint8, of one size; None leaves a place empty.
        columns: pictures in a row.
        side: about how long the long side of each becomes, in pixels.
        gap: pixels.
    Returns:
        (H, W, 4) uint8, RGB and opacity.
    """
    height, width = next(picture for picture in pictures if picture is not None).shape[:2]
    factor = max(1, round(side / max(height, width)))
    height, width = height * factor, width * factor
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for place, picture in enumerate(pictures):
        if picture is None:
            continue
        y, x = place // columns * (height + gap), place % columns * (width + gap)
        sheet[y : y + height, x : x + width, :3] = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        sheet[y : y + height, x : x + width, 3] = 255
    return sheet


def squares(net: Network, projections: TopProjections, number: int, *, shared_scale: bool = False,
            side: int = 60) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """One feature map's projections and its patches as two squares of three by three: (H, W, 4) uint8 each.

    Args:
        number: which of the K maps.
        shared_scale: draw its projections on one scale, so that their strengths can be compared.
    """
    pixels, patches, there = (field[number] for field in projections[:3])
    drawn = shown_pixels(net, pixels, shared_scale)
    both = ([picture if shown else None for picture, shown in zip(some, there)] for some in (drawn, patches))
    left, right = (tiled(pictures, ACROSS, side=side) for pictures in both)
    return left, right


def value_range(layer: str, value: np.ndarray) -> str:
    """The activations (k,) of one map in words: from the strongest to the weakest of its winners."""
    value = value[~np.isnan(value)]
    if layer.startswith("relu") and not value.any():
        return "not active"
    return f"{value[0]:.3g}" if len(value) == 1 else f"{value[0]:.3g} to {value[-1]:.3g}"


def top_nine_sheet(net: Network, photos, layer: str, channels: Sequence[int], top: TopActivations | None = None,
                   rule: str = "deconvnet", *, shared_scale: bool = False) -> Image.Image:  # fmt: skip
    """Draw the paper's Fig. 2: of each feature map its projections, three by three, beside the patches.

    Args:
        photos: as for `top_activations`.
        channels: the feature maps to show.
        top: of `top_activations` on the same photos; None scans them.
        rule: "deconvnet", "gradient" or "guided".
        shared_scale: draw the projections of one map on one scale, so that their strengths can be compared.
    Returns:
        a Pillow image.
    Raises:
        ValueError: if there is no such layer, channel or rule, or no photo.

    Paper: Sec. 4, Fig. 2.
    """
    check_rule(rule)
    photos = opened(photos)
    top = top_activations(net, photos, layer) if top is None else top
    projections = projected_top(net, photos, layer, channels, top, rule)
    pairs = [squares(net, projections, n, shared_scale=shared_scale) for n in range(len(channels))]
    noun = "unit" if len(net.output_shapes()[layer]) == 1 else "map"
    labels = [f"{noun} {channel} · {value_range(layer, top.value[channel])}" for channel in channels]
    how = HOW_SHOWN.format(
        rule=rule, beside=BESIDE, scale="all nine together" if shared_scale else "each projection by itself"
    )
    return pairs_sheet(pairs, labels, f"{net.name}, {layer}: the strongest of {len(photos):,} photos", how)


def pairs_sheet(pairs: Sequence[Sequence[np.ndarray]], labels: Sequence[str], title: str, how: str,
                columns: int = ACROSS) -> Image.Image:  # fmt: skip
    """Lay out a group of squares (H, W, 4) for each feature map: its projections, and its patches if they are shown."""
    gap = np.zeros((len(pairs[0][0]), 9, 4), np.uint8)
    tiles = [_opaque(np.hstack([part for square in pair for part in (square, gap)][:-1])) for pair in pairs]
    return grid_sheet(tiles, min(columns, len(tiles)), labels, title, tile=None, gap=24, footer=how)


def strongest_maps(value: np.ndarray, count: int) -> np.ndarray:
    """The feature maps whose weakest of k winners is strongest, in the order of their numbers: (C, k) -> (count,)."""
    weakest = np.nanmin(np.where(np.isnan(value), np.inf, value), axis=1)
    return np.sort(np.argsort(-weakest, kind="stable")[:count])


def _opaque(picture: np.ndarray) -> np.ndarray:
    """(H, W, 4) on the colour of a sheet: (H, W, 3)."""
    return np.where(picture[..., 3:] > 0, picture[..., :3], np.array(PAGE, np.uint8))
