"""Tiles to image files: a map's sheets, faces of maps, and the pictures of a whole layer.

Every kind of picture of a map has the same size, codec and contrast rule; else a control would be no control. JPEG
keeps its colours only without chroma subsampling (4:4:4): with it, a relu5 projection keeps 60 % of its saturation.
Tiles lie a multiple of 8 pixels apart, so that no JPEG block crosses two. Letters: R kinds, k winners, (th, tw) a tile.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from ..display import MID_GREY

QUALITY = 70  # of JPEGs, 4:4:4
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


def face(tiles: np.ndarray, side: int = FACE) -> np.ndarray:
    """A map's nine winners as one square of three by three: (k, th, tw, 3) -> (side, side, 3)."""
    from PIL import Image

    count, height, width, _ = tiles.shape
    across = int(np.ceil(np.sqrt(count)))
    square = np.full((across * across, height, width, 3), MID_GREY, np.uint8)
    square[:count] = tiles
    square = square.reshape(across, across, height, width, 3).transpose(0, 2, 1, 3, 4)
    square = Image.fromarray(square.reshape(across * height, across * width, 3))
    method = Image.Resampling.NEAREST if max(square.size) < side else Image.Resampling.BOX
    factor = side / max(square.size)
    small = square.resize([max(round(length * factor), 1) for length in square.size], method)
    canvas = Image.new("RGB", (side, side), (MID_GREY,) * 3)
    canvas.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(canvas)


def mosaic(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Equal squares side by side, row by row, without gaps: (side, side, 3) each; the last row is filled with grey."""
    rows, side = -(-len(pictures) // columns), len(pictures[0])
    whole = np.full((rows * columns, side, side, 3), MID_GREY, np.uint8)
    whole[: len(pictures)] = pictures
    whole = whole.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    return whole.reshape(rows * side, columns * side, 3)


def jpeg(pixels: np.ndarray, quality: int = QUALITY) -> bytes:
    """(H, W, 3) or grey (H, W, 1) uint8 as JPEG, 4:4:4, without any metadata."""
    return _encoded(pixels, "JPEG", quality=quality, subsampling=0)


def png(pixels: np.ndarray) -> bytes:
    """(H, W, 3) or (H, W, 4) uint8 as PNG."""
    return _encoded(pixels, "PNG", optimize=True)


def _encoded(pixels, kind, **options) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, kind, **options)
    return file.getvalue()
