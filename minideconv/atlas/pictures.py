"""All winners of a scan as small pictures: the patch, its projection by each rule, and two controls.

The pictures of thousands of maps do not fit into memory, and photos win in any order; so they go to a file of tiles for
each layer, `LayerPictures.path`, from which the sheets of the atlas are put together map by map. Letters: C maps of a
layer, k winners of each, R kinds of picture, (h, w) the window that a unit sees, (th, tw) its tile, B units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backend import to_device
from ..deconvnet import Patches, project_patches
from ..display import MID_GREY, display_many, shrink
from ..experiments.reading import check_none_lost, photo_shape, photos_at_once, read_levels
from ..experiments.sanity_checks import other_map
from ..experiments.scanning import Scan, highest
from ..experiments.similarity import window_similarity
from ..network import Network, with_random_weights
from ..parallel import share
from ..windows import Window, crop

FIRST = ("patch", "deconvnet")  # the kinds of picture that every atlas has, and those that can be left out
MORE = ("gradient", "guided", "random", "other")
TILE = 80  # pixels: with it AlexNet's 1,152 maps take 120 MB
UNITS = 128  # drawn together
AT_ONCE = 16  # drawn by one core at a time


class LayerPictures(NamedTuple):
    """The tiles of one layer, and where in the photo their windows lie.

    Attributes:
        path: of the tiles: (C, R, k, th, tw, 3) uint8, mid-grey where there is no winner.
        shape: of that array.
        window: (h, w) pixels of the photo that a tile shows.
        start, stride: the window of row, column begins at start + stride · (row, column) …
        whole: … but for an axis along which it is the whole photo: there at 0.
        similar: (C, k, 2) rank correlation of each projection with random weights' and the other unit's, or None.
    """

    path: Path
    shape: tuple[int, ...]
    window: tuple[int, int]
    start: tuple[int, int]
    stride: tuple[int, int]
    whole: tuple[bool, bool]
    similar: np.ndarray | None

    def tiles(self) -> np.memmap:
        """All tiles, to be written to their file."""
        return np.memmap(self.path, np.uint8, "r+", shape=self.shape)

    def of_map(self, channel: int) -> np.ndarray:
        """The tiles of one map, read from their file: (R, k, th, tw, 3)."""
        size = math.prod(self.shape[1:])
        return np.fromfile(self.path, np.uint8, size, offset=int(channel) * size).reshape(self.shape[1:])


def picture_winners(net: Network, photos, found: Scan, folder: Path, *, more: bool = True, tile: int = TILE,
                    each_photo: Callable[[int, np.ndarray], None] | None = None,
                    progress: str | None = None) -> dict[str, LayerPictures]:  # fmt: skip
    """Draw every winner of a scan; each photo that won something goes through the net once more.

    Args:
        photos: as they were scanned.
        folder: the files of tiles go there.
        more: draw the other rules and the controls, too.
        tile: the longest side of a tile, in pixels; smaller windows keep their pixels.
        each_photo: called with the number and the levels (H, W, C) of each photo that won something.
        progress: what the bar on stderr says; None shows none.
    Returns:
        {layer: LayerPictures}.
    """
    from tqdm import tqdm

    kinds = FIRST + MORE if more else FIRST
    layers = {name: _LayerInWork(net, name, layer.top, folder, kinds, tile) for name, layer in found.layers.items()}
    control = with_random_weights(net) if more else None
    last, keep = highest(net, list(layers)), None if more else []
    winners = np.unique(np.concatenate([layer.image for layer in layers.values()]))
    size = photos_at_once(net, photo_shape(net, photos))
    runs = [winners[first : first + size] for first in range(0, len(winners), size)]
    total = sum(len(layer.image) for layer in layers.values())
    with tqdm(total=total, desc=progress, unit=" units", disable=progress is None) as bar:
        for numbers, levels, lost in read_levels(net, photos, runs):
            check_none_lost(photos, lost)
            trace = net.forward(to_device(net.preprocessing.scaled(levels)), until=last, keep=keep)
            for layer in layers.values():
                bar.update(layer.draw(net, control, trace, numbers, levels))
            for number, pixels in zip(numbers, levels):
                if each_photo is not None:
                    each_photo(int(number), pixels)
    return {name: layer.drawn for name, layer in layers.items()}


class _LayerInWork:
    """One layer's winners as flat lists, and what has been drawn of them."""

    def __init__(self, net, layer, top, folder, kinds, tile):
        self.layer, self.kinds, self.largest, self.folder = layer, kinds, tile, folder
        there = top.image >= 0
        self.channel, self.place = np.nonzero(there)  # (units,)
        self.image, self.row, self.column, self.value = (field[there] for field in top)
        self.maps, self.k = top.image.shape
        self.similar = np.full((self.maps, self.k, 2), np.nan) if len(kinds) > len(FIRST) else None
        self.drawn: LayerPictures | None = None

    def draw(self, net, control, trace, numbers, levels) -> int:
        """Draw the units that these photos won; how many there were."""
        mine = np.flatnonzero(np.isin(self.image, numbers))
        for first in range(0, len(mine), UNITS):
            some = mine[first : first + UNITS]
            self._draw_units(net, control, trace, some, np.searchsorted(numbers, self.image[some]), levels)
        return len(mine)

    def _draw_units(self, net, control, trace, some, image, levels) -> None:
        channel = self.channel[some]
        places = {"image": image, "row": self.row[some], "column": self.column[some], "value": self.value[some]}
        true = project_patches(net, trace, self.layer, channel=channel, **places)
        if self.drawn is None:
            self._begin(net, true, some)
        tiles, height, width = self.drawn.tiles(), *self.drawn.shape[3:5]

        def keep(kind, pictures):
            tiles[channel, self.kinds.index(kind), self.place[some]] = pictures

        keep("patch", _patches(levels, image, true, height, width))
        keep("deconvnet", _pictures(net, true.pixels, height, width))
        if control is not None:
            for rule in ("gradient", "guided"):
                seen = project_patches(net, trace, self.layer, channel=channel, rule=rule, **places)
                keep(rule, _pictures(net, seen.pixels, height, width))
            controls = {
                "random": project_patches(control, trace, self.layer, channel=channel, **places),
                "other": project_patches(net, trace, self.layer, channel=other_map(channel, self.maps), **places),
            }
            for number, (kind, seen) in enumerate(controls.items()):
                keep(kind, _pictures(net, seen.pixels, height, width))
                alike = window_similarity(true, seen, levels.shape[1:3])
                self.similar[channel, self.place[some], number] = alike

    def _begin(self, net, seen, some) -> None:
        """Make the file of tiles, all grey, once it is known how large the windows are."""
        window = seen.pixels.shape[1:3]
        factor = min(self.largest / max(window), 1)
        tile = tuple(max(round(side * factor), 1) for side in window)
        field, corners = net.receptive_field(self.layer), (seen.top, seen.left)
        whole = tuple(
            net.sees_all(self.layer)
            or window[axis] != field.size[axis]
            or bool((corners[axis] != field.start[axis] + field.stride[axis] * place[some]).any())
            for axis, place in enumerate((self.row, self.column))
        )
        shape = (self.maps, len(self.kinds), self.k, *tile, 3)
        path = self.folder / f"tiles-{len(list(self.folder.glob('tiles-*')))}"
        self.drawn = LayerPictures(path, shape, window, field.start, field.stride, whole, self.similar)
        grey = bytes([MID_GREY]) * math.prod(shape[1:])
        with open(path, "wb") as file:  # map by map: all of it may be larger than the memory
            for _ in range(self.maps):
                file.write(grey)


def _pictures(net, pixels, height, width) -> np.ndarray:
    """Projections (C, h, w, B) as tiles (B, th, tw, 3) uint8, each on its own scale."""

    def draw(run):
        return display_many(shrink(pixels[..., run], height, width), net.preprocessing.channels)

    return _drawn_by_all_cores(draw, pixels)


def _patches(levels, image, seen: Patches, height, width) -> np.ndarray:
    """The photos in the same windows, mid-grey where they hang over: (n, H, W, C) -> (B, th, tw, 3) uint8."""
    photos = levels.transpose(3, 1, 2, 0).astype(np.float32) - MID_GREY

    def draw(run):
        window = Window(seen.top[run], seen.left[run], *seen.pixels.shape[1:3])
        cut = shrink(crop(photos, window, image[run]), height, width)  # (C, th, tw, B), zero outside the photo
        patches = np.rint(cut + MID_GREY).astype(np.uint8).transpose(3, 1, 2, 0)
        return np.broadcast_to(patches, (*patches.shape[:3], 3))

    return _drawn_by_all_cores(draw, seen.pixels)


def _drawn_by_all_cores(draw, pixels) -> np.ndarray:
    runs = [slice(first, first + AT_ONCE) for first in range(0, pixels.shape[3], AT_ONCE)]
    return np.concatenate([tiles for part in share(lambda some: [*map(draw, some)], runs, pixels) for tiles in part])
