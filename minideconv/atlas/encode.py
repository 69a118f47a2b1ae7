"""Tiles to image files: a map's sheets, faces of maps, and the pictures of a whole layer.

Every kind of picture of a map has the same size, codec and contrast rule; else a control would be no control. Tiles lie
a multiple of 8 pixels apart, so that no JPEG block crosses two. Letters: R kinds, k winners, (th, tw) a tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..display import MID_GREY, display_many, mosaic, shrink
from ..sheet_parts import SMOOTH_BELOW

PNG_BELOW = 17  # tiles smaller than this are smaller as PNG, and exact
FACE = 144  # pixels, a map's three by three
FACES_ACROSS = 10


def pitch(tile: int) -> int:
    """The distance of tiles in a sheet: the next multiple of 8."""
    return -(-tile // 8) * 8


def extension(tile: Sequence[int]) -> str:
    return "png" if max(tile) < PNG_BELOW else "jpg"


def map_sheet(tiles: np.ndarray) -> np.ndarray:
    """A map's pictures, a row for each kind: (R, k, th, tw, 3) -> (R·pitch, k·pitch, 3), grey between."""
    kinds, count, height, width, _ = tiles.shape
    down, across = pitch(height), pitch(width)
    sheet = np.full((kinds, down, count, across, 3), MID_GREY, np.uint8)
    sheet[:, :height, :, :width] = tiles.transpose(0, 2, 1, 3, 4)
    return sheet.reshape(kinds * down, count * across, 3)


def face(tiles: np.ndarray, side: int = FACE, *, signed: bool = True) -> np.ndarray:
    """A map's nine winners as one square of three by three: (k, th, tw, 3) -> (side, side, 3).

    Args:
        signed: projections, whose contrast is made full again after they were made smaller; else patches.
    """
    from PIL import Image

    across = math.ceil(math.sqrt(len(tiles)))
    factor = min(side // across / max(tiles.shape[1:3]), 1)  # one for both axes: a tile keeps its shape
    size = (max(round(length * factor), 1) for length in tiles.shape[1:3])
    small = shrink(tiles.transpose(3, 1, 2, 0).astype(np.float32) - MID_GREY, *size)
    small = display_many(small) if signed else np.rint(small + MID_GREY).astype(np.uint8).transpose(3, 1, 2, 0)
    square = Image.fromarray(mosaic(small, across, across))
    factor = side / max(square.size)
    method = Image.Resampling.BICUBIC if factor < SMOOTH_BELOW else Image.Resampling.NEAREST
    square = square.resize([max(round(length * factor), 1) for length in square.size], method)
    canvas = Image.new("RGB", (side, side), (MID_GREY,) * 3)
    canvas.paste(square, ((side - square.width) // 2, (side - square.height) // 2))
    return np.asarray(canvas)
