"""Sec. 4, Fig. 2: for each feature map, the nine photos that excite it most, projected to pixels beside the patches.

    top_activations(net, photos, "relu3")  ->  TopActivations  ->  projected_top  ->  top_nine_sheet

Letters: N photos, C feature maps of a layer (or channels of a photo), H rows, W columns; K feature maps that are
shown, k photos of each, (h, w) the window that a unit can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..backend import array_module, to_device, to_numpy
from ..deconvnet import project_patches
from ..images import MID_GREY, display, display_scale
from ..network import Network, check_rule
from ..sheets import PAGE, grid_sheet

if TYPE_CHECKING:
    from PIL import Image

BATCH = 128  # photos that go through the net together
ACROSS = 3  # the paper's squares of three by three

HOW_SHOWN = (
    "Of each feature map: left, the projections of its strongest activation in each of the photos that excite it most "
    "({rule} rule), strongest first, row by row; right, the patches that caused them, in the same places. Zero is "
    "mid-grey, positive brighter, negative darker, full contrast near the 99.5th percentile of the non-zero pixels of "
    "{scale}. A projection is shaped by the switches of its photo, not by the feature alone."
)


class TopActivations(NamedTuple):
    """Where each feature map of a layer is strongest: one position in each of k photos, strongest first.

    Attributes:
        image, row, column: (C, k) integers; image is -1 where there were fewer than k photos.
        value: (C, k) the activations there, NaN where there were fewer than k photos.
    """

    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


class TopProjections(NamedTuple):
    """The winners of some feature maps, projected to pixels.

    Attributes:
        pixels: (K, k, C, h, w) signed, in the model's channel order; zero where the window hangs over the photo.
        patches: (K, k, h, w, 3) uint8, the photos in the same windows; mid-grey where they hang over.
        there: (K, k) bool, False where there were fewer than k photos.
    """

    pixels: np.ndarray
    patches: np.ndarray
    there: np.ndarray


# ------------------------------------------------------------------------------------------- which photos, and where


def top_activations(net: Network, photos, layer: str, k: int = 9, *, batch_size: int = BATCH,
                    progress: bool = False) -> TopActivations:  # fmt: skip
    """Scan photos for the k that excite each feature map most; memory depends on the batch, not on their number.

    Args:
        photos: (N, H, W, C) uint8, cropped as the net sees them, or a list of anything that `net.preprocess` takes.
        layer: its name; after Flatten, units are maps of one row and one column.
        k: photos for each map, in each its one strongest position.
        batch_size: photos that go through the net together.
        progress: show a bar.
    Returns:
        by activation, largest first, then by image, row and column, smallest first.
    Raises:
        ValueError: if there is no such layer or no photo, or k or batch_size is below one.

    Paper: Sec. 4, "the top 9 activations".
    """
    from tqdm import tqdm

    net.name_of(layer)
    if len(photos) == 0 or k < 1 or batch_size < 1:
        raise ValueError(f"top_activations: {len(photos)} photos, k is {k}, batch_size {batch_size}; give one at least")
    top = None
    with tqdm(total=len(photos), desc=layer, unit="img", disable=not progress) as bar:
        for first in range(0, len(photos), batch_size):
            x = _prepared(net, photos[first : first + batch_size])
            found = _best_positions(net.forward(x, until=layer, keep=[layer])[layer], first)
            top = _strongest(found if top is None else _joined(top, found), k)
            bar.update(x.shape[-1])
    return top


def _prepared(net, photos):
    """Photos (n, H, W, C), cropped already, or a list of others -> (C, H, W, n) on the device."""
    if isinstance(photos, np.ndarray) and photos.ndim == 4 and net.preprocessing is not None:
        return to_device(net.preprocessing.scaled(photos))
    return net.preprocess(photos)


def _best_positions(maps, first) -> TopActivations:
    """The strongest unit of each map in each photo, the first in row-major order among equals: fields (C, n)."""
    maps = maps if maps.ndim == 4 else maps[:, None, None]  # (C, H, W, n), also after Flatten
    channels, height, width, count = maps.shape
    flat = maps.transpose(0, 3, 1, 2).reshape(channels, count, height * width)
    where = flat.argmax(axis=2)
    value = array_module(flat).take_along_axis(flat, where[..., None], axis=2)[..., 0]
    row, column = np.divmod(to_numpy(where), width)
    return TopActivations(np.tile(first + np.arange(count), (channels, 1)), row, column, to_numpy(value))


def _joined(*parts) -> TopActivations:
    return TopActivations(*(np.concatenate(fields, axis=1) for fields in zip(*parts)))


def _strongest(found, k) -> TopActivations:
    """The k strongest of (C, n) candidates, in order; where n < k, image -1 and value NaN fill the rest."""
    missing = k - found.value.shape[1]
    if missing > 0:
        none = np.full((len(found.value), missing), -1)
        found = _joined(found, TopActivations(none, none, none, np.full(none.shape, np.nan, found.value.dtype)))
    # lexsort takes its last key first, and puts NaN at the end
    order = np.lexsort((found.column, found.row, found.image, -found.value), axis=1)[:, :k]
    return TopActivations(*(np.take_along_axis(field, order, axis=1) for field in found))


# ---------------------------------------------------------------------------------------------- what they see there


def projected_top(net: Network, photos, layer: str, channels: Sequence[int], top: TopActivations,
                  rule: str = "deconvnet", *, batch_size: int = BATCH) -> TopProjections:  # fmt: skip
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
    channels = _checked_channels(layer, channels, len(top.value))
    image, row, column, value = (field[channels].ravel() for field in top)  # (K·k,)
    channel = np.repeat(channels, top.value.shape[1])
    winners, pixels, patches = np.unique(image[image >= 0]), None, None
    for first in range(0, len(winners), batch_size):
        numbers = winners[first : first + batch_size]
        x = _prepared(net, photos[numbers] if isinstance(photos, np.ndarray) else [photos[n] for n in numbers])
        trace = net.forward(x, until=layer, keep=[layer] if rule == "deconvnet" else None)
        some = np.flatnonzero(np.isin(image, numbers))
        place = np.searchsorted(numbers, image[some])
        seen = project_patches(net, trace, layer, image=place, channel=channel[some], row=row[some],
                               column=column[some], value=value[some], rule=rule)  # fmt: skip
        if pixels is None:
            pixels = np.zeros((len(image), *seen.pixels.shape[:3]), seen.pixels.dtype)
            patches = np.full((len(image), *seen.pixels.shape[1:3], 3), MID_GREY, np.uint8)
        pixels[some] = seen.pixels.transpose(3, 0, 1, 2)
        shown = [net.preprocessing.restore(to_numpy(x[..., n])) for n in range(x.shape[-1])]
        for unit, n, corner in zip(some, place, zip(seen.top, seen.left)):
            patches[unit] = cut_window(shown[n], *corner, *patches.shape[1:3])
    shape = (len(channels), top.value.shape[1])
    pixels, patches = (array.reshape(*shape, *array.shape[1:]) for array in (pixels, patches))
    return TopProjections(pixels, patches, image.reshape(shape) >= 0)


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
    """Draw signed pictures (n, C, h, w) as `images.display` does, each by itself or on one scale: (h, w, 3)."""
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
    pixels, patches, there = (field[number] for field in projections)
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
        photos: (N, H, W, C) uint8, cropped as the net sees them, or a list of anything that `net.preprocess` takes.
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
    top = top_activations(net, photos, layer) if top is None else top
    projections = projected_top(net, photos, layer, channels, top, rule)
    pairs = [squares(net, projections, n, shared_scale=shared_scale) for n in range(len(channels))]
    tiles = [_opaque(np.hstack([left, np.zeros((len(left), 9, 4), np.uint8), right])) for left, right in pairs]
    noun = "unit" if len(net.output_shapes()[layer]) == 1 else "map"
    labels = [f"{noun} {channel} · {value_range(layer, top.value[channel])}" for channel in channels]
    how = HOW_SHOWN.format(rule=rule, scale="all nine together" if shared_scale else "each projection by itself")
    title = f"{net.name}, {layer}: the strongest of {len(photos):,} photos"
    return grid_sheet(tiles, min(ACROSS, len(tiles)), labels, title, tile=None, gap=24, footer=how)


def _opaque(picture: np.ndarray) -> np.ndarray:
    """(H, W, 4) on the colour of a sheet: (H, W, 3)."""
    return np.where(picture[..., 3:] > 0, picture[..., :3], np.array(PAGE, np.uint8))
