"""A photo beside what the network saw in it: receptive fields on the photo, and each unit's patch and projection.

Everything here takes uint8 RGB arrays (H, W, 3); `display.display` makes those from signed projections. Boxes are in
pixels of the photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .sheet_parts import (
    FAINT,
    FRAME,
    GAP,
    INK,
    SMALL,
    TEXT,
    Colour,
    blank,
    check_tiles,
    fitted,
    font,
    in_slot,
    line_height,
    page,
    write_line,
)

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Box = tuple[int, int, int, int]  # top, left, bottom, right; half-open

LINE = 3  # the width of a box on the photo
PHOTO_SIDE = 640  # the long side of the photo
TILE_SMALLEST, TILE_LARGEST = 136, 400

# Twelve colours that stay apart on a photo and on the page; a second and third round is lighter and darker.
BASE_COLOURS = (
    (230, 25, 75), (0, 130, 200), (245, 130, 48), (60, 180, 75), (145, 30, 180), (255, 225, 25),
    (70, 225, 235), (240, 50, 230), (150, 90, 40), (190, 240, 60), (20, 30, 130), (0, 128, 128),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Entry:
    """One unit on a sheet.

    Args:
        patch: (h, w, 3) uint8, the part of the photo in the unit's receptive field.
        picture: (h, w, 3) uint8, its projection in the same window, as `display.display` draws it.
        caption: one or two short lines, such as "relu5 map 17" and "row 5, column 7 · activation 98.2".
    """

    patch: np.ndarray
    picture: np.ndarray
    caption: Sequence[str]


def project_sheet(
    photo: np.ndarray, boxes: Sequence[Box], entries: Sequence[Entry], title: str, footer: str = ""
) -> Image.Image:
    """Draw a photo with numbered receptive fields, and beside it each unit's patch and projection.

    Args:
        photo: (H, W, 3) uint8, as the network saw it.
        boxes: one (top, left, bottom, right) per entry, half-open, in pixels of `photo` and inside it.
        entries: one `Entry` per unit, one to about 25. Entry and box of one number share a colour.
        title: one line above.
        footer: lines below, wrapped to the sheet's width.

    Sides that several boxes share are drawn next to each other, a few pixels inwards, so that each colour is seen.

    Returns:
        A Pillow image in mode RGB; about 1,700 x 800 pixels for nine entries.
    Raises:
        ValueError: no entries, not one box per entry, a box outside the photo, or pixels that are not uint8 (H, W, 3).
    """
    check_tiles("project_sheet", [photo, *(tile for entry in entries for tile in (entry.patch, entry.picture))])
    _check_boxes(boxes, entries, photo.shape)
    marked = _with_boxes(photo, boxes)
    grid = _entry_grid(entries, marked.height)
    width = marked.width + 2 * GAP + grid.width
    body = blank(width, max(marked.height + line_height(SMALL), grid.height))
    write_line(body, (0, 0), "what the network saw", SMALL, FAINT)
    body.paste(marked, (0, line_height(SMALL)))
    body.paste(grid, (marked.width + 2 * GAP, 0))
    return page(body, title, footer)


def _check_boxes(boxes: Sequence[Box], entries: Sequence[Entry], shape: tuple[int, ...]) -> None:
    """Refuse boxes that do not match the entries or leave the photo."""
    if not entries or len(boxes) != len(entries):
        raise ValueError(f"project_sheet: {len(boxes)} boxes and {len(entries)} entries; give one box for each entry")
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
            raise ValueError(
                f"project_sheet: box {number} is {(top, left, bottom, right)} (top, left, bottom, right), not inside "
                f"the photo of {shape[0]} x {shape[1]} pixels; clip it to the photo"
            )


def _with_boxes(photo: np.ndarray, boxes: Sequence[Box]) -> Image.Image:
    """Enlarge the photo and draw every box with its number."""
    from PIL import ImageDraw

    image = fitted(photo, PHOTO_SIDE, smooth_below=6)
    scale_y, scale_x = image.height / photo.shape[0], image.width / photo.shape[1]
    draw, tags = ImageDraw.Draw(image), []
    scaled = np.rint(np.asarray(boxes) * [scale_y, scale_x, scale_y, scale_x]).astype(int).tolist()
    outlines = [(left, top, right - 1, bottom - 1) for top, left, bottom, right in scaled]  # Pillow's order, inclusive
    outlines = [_apart(outlines, i) for i in range(len(outlines))]
    for i, (left, top, right, bottom) in enumerate(outlines):
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=INK)
        draw.rectangle((left, top, right, bottom), outline=colour(i), width=LINE)
    for i, outline in enumerate(outlines):  # after all lines, so that none crosses a number
        tags.append(_free_place(outline, _tag_size(i), tags, image.size))
        _draw_tag(draw, tags[-1], i)
    return image


def _apart(outlines: Sequence[tuple[int, ...]], index: int) -> tuple[int, ...]:
    """Shift the sides that an outline shares with earlier ones inwards, so that each colour stays visible."""
    sides = []
    for side, inwards in enumerate((1, 1, -1, -1)):
        earlier = sum(other[side] == outlines[index][side] for other in outlines[:index])
        sides.append(outlines[index][side] + inwards * min(earlier, 8) * (LINE + 1))
    return tuple(sides) if sides[0] < sides[2] and sides[1] < sides[3] else outlines[index]


def _free_place(outline, size, taken, bounds) -> tuple[int, int, int, int]:
    """Find a place for a number along its box that covers as little of earlier numbers as possible."""
    left, top, right, bottom = outline
    width, height = size
    small = min(right - left, bottom - top) < 3 * height  # then the number goes outside, not over the patch
    out_x, out_y = (width, height) if small else (0, 0)
    places = []
    for step in (0, 1, 0.5, 0.25, 0.75):
        along_x, along_y = left + step * (right - left + 1 - width), top + step * (bottom - top + 1 - height)
        places += [(along_x, top - out_y), (along_x, bottom + 1 - height + out_y)]
        places += [(left - out_x, along_y), (right + 1 - width + out_x, along_y)]
    rectangles = []
    for x, y in places:
        x, y = round(min(max(x, 0), bounds[0] - width)), round(min(max(y, 0), bounds[1] - height))
        rectangles.append((x, y, x + width, y + height))
    return min(rectangles, key=lambda place: sum(_overlap(place, other) for other in taken))


def _overlap(a, b) -> int:
    """Count the pixels two (left, top, right, bottom) rectangles share."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def _entry_grid(entries: Sequence[Entry], height: int) -> Image.Image:
    """Lay the entries out in rows, about as tall as the photo."""
    columns = math.ceil(math.sqrt(len(entries)))
    rows = math.ceil(len(entries) / columns)
    lines = max(len(entry.caption) for entry in entries)
    below = 2 * FRAME + 6 + max(lines * line_height(SMALL), line_height(TEXT))
    tile = (height - (rows - 1) * GAP) // rows - below
    tile = min(max(tile, TILE_SMALLEST), TILE_LARGEST)
    cell_width, cell_height, top = 2 * tile + 3 * FRAME, tile + below, line_height(SMALL)
    sheet = blank(columns * (cell_width + GAP) - GAP, top + rows * (cell_height + GAP) - GAP)
    for column in range(min(columns, len(entries))):
        x = column * (cell_width + GAP)
        write_line(sheet, (x + FRAME, 0), "patch", SMALL, FAINT)
        write_line(sheet, (x + 2 * FRAME + tile, 0), "projection", SMALL, FAINT)
    for i, entry in enumerate(entries):
        place = (i % columns * (cell_width + GAP), top + i // columns * (cell_height + GAP))
        sheet.paste(_entry_cell(entry, i, tile, cell_width, cell_height), place)
    return sheet


def _entry_cell(entry: Entry, index: int, tile: int, width: int, height: int) -> Image.Image:
    """Draw one patch and projection in a frame of their colour, with number and caption below."""
    from PIL import ImageDraw

    cell = blank(width, height)
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, width - 1, tile + 2 * FRAME - 1), fill=colour(index))
    cell.paste(in_slot(entry.patch, tile), (FRAME, FRAME))
    cell.paste(in_slot(entry.picture, tile), (2 * FRAME + tile, FRAME))
    tag_width, tag_height = _tag_size(index)
    top = tile + 2 * FRAME + 6
    _draw_tag(draw, (0, top, tag_width, top + tag_height), index)
    for row, line in enumerate(entry.caption):
        x = tag_width + 8
        write_line(cell, (x, top + row * line_height(SMALL)), line, SMALL, FAINT if row else INK, width - x)
    return cell


def colour(index: int) -> Colour:
    """Give the colour of the box and the frame with this index, from 0; 36 differ."""
    base, turn = BASE_COLOURS[index % len(BASE_COLOURS)], index // len(BASE_COLOURS) % 3
    towards = (0, 255, 0)[turn]
    return tuple(round(level + (towards - level) * (0, 0.5, 0.4)[turn]) for level in base)


def _tag_size(index: int) -> tuple[int, int]:
    return math.ceil(font(TEXT).getlength(str(index + 1))) + 12, TEXT + 6


def _draw_tag(draw: ImageDraw.ImageDraw, place: tuple[int, int, int, int], index: int) -> None:
    """Draw a number on its colour, black or white by which reads better."""
    left, top, right, bottom = place
    fill = colour(index)
    bright = 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 130
    draw.rectangle((left, top, right - 1, bottom - 1), fill=fill, outline=INK)
    middle = ((left + right) / 2, (top + bottom) / 2)
    draw.text(middle, str(index + 1), font=font(TEXT), fill=INK if bright else (255, 255, 255), anchor="mm")
