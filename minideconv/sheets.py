"""Labelled grids and tables of pictures, drawn with Pillow; and sheets into files.

Everything here takes uint8 RGB arrays (h, w, 3); `display.display` makes those from signed projections. Sizes are in
pixels of the sheet.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import check_writable, write_whole
from .sheet_parts import (
    FAINT,
    FRAME,
    GAP,
    INK,
    SMALL,
    TEXT,
    TITLE,
    blank,
    check_tiles,
    font,
    in_slot,
    line_height,
    page,
    printable,
    write_line,
)

if TYPE_CHECKING:
    from PIL import Image

MARK = (240, 120, 20)  # orange, the bar beside a cell that is to be noticed


# --------------------------------------------------------------------------------------------------- a grid of tiles


def grid_sheet(
    tiles: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None, title: str = "", *,
    tile: int | None = 96, gap: int = 8, footer: str = "",
) -> Image.Image:  # fmt: skip
    """Lay tiles out row by row, each with its label below.

    Args:
        tiles: (h, w, 3) uint8 each, or one array (N, h, w, 3).
        columns: tiles in a row.
        labels: one short line a tile, cut where it would run into the next; None for none.
        title, footer: lines above and below.
        tile: the long side of each tile on the sheet, in pixels; None keeps every tile at its own size.
        gap: pixels between tiles.
    Returns:
        A Pillow image in mode RGB.
    Raises:
        ValueError: no tiles, not one label per tile, a number below its least, or tiles that are not uint8 (h, w, 3).
    """
    from PIL import Image

    check_tiles("grid_sheet", tiles)
    if columns < 1 or gap < 0 or (tile is not None and tile < 1):
        raise ValueError(f"grid_sheet: columns is {columns}, tile {tile}, gap {gap}; use at least 1, 1 and 0")
    if labels is not None and len(labels) != len(tiles):
        raise ValueError(f"grid_sheet: {len(labels)} labels for {len(tiles)} tiles; give one for each, or None")
    height, width = (tile, tile) if tile else (max(picture.shape[axis] for picture in tiles) for axis in (0, 1))
    pitch = height + gap + (line_height(SMALL) if labels else 0)
    sheet = blank(min(columns, len(tiles)) * (width + gap) - gap, math.ceil(len(tiles) / columns) * pitch - gap)
    for i, picture in enumerate(tiles):
        x, y = i % columns * (width + gap), i // columns * pitch
        sheet.paste(in_slot(picture, tile) if tile else Image.fromarray(np.ascontiguousarray(picture)), (x, y))
        if labels:
            write_line(sheet, (x, y + height + 2), labels[i], SMALL, FAINT, width + gap // 2)
    return page(sheet, title, footer)


# -------------------------------------------------------------------------------------------------- a table of tiles


def table_sheet(
    cells: Sequence[Sequence[Sequence[np.ndarray]]], rows: Sequence[str], columns: Sequence[str],
    captions: Sequence[Sequence[Sequence[str]]], marked: np.ndarray, title: str = "", footer: str = "", *,
    tile: int = 88, gap: int = 10,
) -> Image.Image:  # fmt: skip
    """Lay cells out in named rows and columns: in each the pictures one below the other, then short lines of text.

    Args:
        cells: for each row and column, one or more (h, w, 3) uint8.
        rows, columns: their names.
        captions: for each row and column, lines to write below; as many in every cell.
        marked: (rows, columns) bool, which cells have an orange bar on their left.
        title, footer: lines above and below the table.
        tile: the side of the square that each picture fills, in pixels;  gap: pixels between cells.
    Returns:
        A Pillow image in mode RGB.
    Raises:
        ValueError: no cells, not one for each name, or pictures that are not uint8 (h, w, 3).
    """
    shape = (len(rows), len(columns))
    check_tiles("table_sheet", [picture for row in cells for cell in row for picture in cell])
    if any((len(part), *{len(row) for row in part}) != shape for part in (cells, captions, marked)):
        raise ValueError(f"table_sheet: not one cell, caption and mark for each of {shape[0]} rows, {shape[1]} columns")
    pictures, lines = len(cells[0][0]), len(captions[0][0])
    head = math.ceil(max(font(TEXT).getlength(printable(name)) for name in rows)) + GAP
    pitch = pictures * (tile + FRAME) + lines * line_height(SMALL) + 2 * gap
    width = max(head + len(columns) * (tile + gap) - gap, math.ceil(font(TITLE).getlength(printable(title))))
    sheet = blank(width, line_height(TEXT) + 4 + len(rows) * pitch - 2 * gap)
    for j, name in enumerate(columns):
        write_line(sheet, (head + j * (tile + gap), 0), name, TEXT, INK, tile + gap // 2)
    for i, name in enumerate(rows):
        y = line_height(TEXT) + 4 + i * pitch
        write_line(sheet, (0, y + tile // 2 - TEXT // 2), name, TEXT, INK)
        for j, place in enumerate((head + j * (tile + gap), y) for j in range(len(columns))):
            _draw_cell(sheet, place, cells[i][j], captions[i][j], tile, gap if marked[i][j] else 0)
    return page(sheet, title, footer)


def _draw_cell(sheet, place, pictures, caption, tile, bar) -> None:
    """Draw one cell of a table with its top left at `place`, and a bar in the middle of a gap of `bar` pixels."""
    from PIL import ImageDraw

    x, y = place
    height = len(pictures) * (tile + FRAME) - FRAME
    for number, picture in enumerate(pictures):
        sheet.paste(in_slot(picture, tile), (x, y + number * (tile + FRAME)))
    for number, line in enumerate(caption):
        write_line(sheet, (x, y + height + 2 + number * line_height(SMALL)), line, SMALL, FAINT, tile)
    if bar:
        middle = x - bar // 2
        ImageDraw.Draw(sheet).rectangle((middle - 2, y, middle + 1, y + height - 1), fill=MARK)


def save_image(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write an image as PNG or JPEG, by the path's ending; whoever reads the path sees a whole file or none.

    JPEG has quality 92 and full colour resolution: halving it would dull the colours of projections.

    Raises:
        ValueError: another ending than .png, .jpg or .jpeg, or a folder that does not exist.
    """
    check_image_path(path)
    jpeg = {"format": "JPEG", "quality": 92, "subsampling": "4:4:4"}
    options = {"format": "PNG", "optimize": True} if Path(path).suffix.lower() == ".png" else jpeg
    with write_whole(path) as file:
        image.save(file, **options)


def check_image_path(path: str | os.PathLike[str]) -> None:
    """Refuse, before any work is done, a path that `save_image` could not write."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"save_image: cannot tell the format of {path}; end its name in .png or .jpg")
    check_writable(path)
