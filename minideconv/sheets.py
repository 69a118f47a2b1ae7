"""Pictures for people: a photo beside what the network saw in it, and labelled grids of tiles, drawn with Pillow.

Everything here takes uint8 RGB arrays (H, W, 3); `display.display` makes those from signed projections. Sizes of the
drawing are in pixels of the sheet; boxes are in pixels of the photo. Pillow is imported where it is used.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .files import check_writable, write_whole

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Box = tuple[int, int, int, int]  # top, left, bottom, right; half-open
Colour = tuple[int, int, int]

PAGE = (236, 236, 236)  # light and without a hue, so that mid-grey tiles stay grey to the eye
INK, FAINT = (28, 28, 28), (92, 92, 92)
TITLE, TEXT, SMALL = 22, 15, 13  # type sizes
MARGIN, GAP = 24, 20
FRAME, LINE = 3, 3  # widths: an entry's frame, a box on the photo
MARK = (240, 120, 20)  # orange, the bar beside a cell that is to be noticed
PHOTO_SIDE = 640  # the long side of the photo
TILE_SMALLEST, TILE_LARGEST = 136, 400
SMOOTH_BELOW = 3  # pictures enlarged by less than this are smoothed, by more they show their pixels

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


# -------------------------------------------------------------------------------------------------- a photo's sheet


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
    _check_pixels("project_sheet", [photo, *(tile for entry in entries for tile in (entry.patch, entry.picture))])
    _check_boxes(boxes, entries, photo.shape)
    marked = _with_boxes(photo, boxes)
    grid = _entry_grid(entries, marked.height)
    width = marked.width + 2 * GAP + grid.width
    body = _blank(width, max(marked.height + _line(SMALL), grid.height))
    _write(body, (0, 0), "what the network saw", SMALL, FAINT)
    body.paste(marked, (0, _line(SMALL)))
    body.paste(grid, (marked.width + 2 * GAP, 0))
    return _page(body, title, footer)


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

    image = _fitted(photo, PHOTO_SIDE, smooth_below=6)
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
    below = 2 * FRAME + 6 + max(lines * _line(SMALL), _line(TEXT))
    tile = (height - (rows - 1) * GAP) // rows - below
    tile = min(max(tile, TILE_SMALLEST), TILE_LARGEST)
    cell_width, cell_height, top = 2 * tile + 3 * FRAME, tile + below, _line(SMALL)
    sheet = _blank(columns * (cell_width + GAP) - GAP, top + rows * (cell_height + GAP) - GAP)
    for column in range(min(columns, len(entries))):
        x = column * (cell_width + GAP)
        _write(sheet, (x + FRAME, 0), "patch", SMALL, FAINT)
        _write(sheet, (x + 2 * FRAME + tile, 0), "projection", SMALL, FAINT)
    for i, entry in enumerate(entries):
        place = (i % columns * (cell_width + GAP), top + i // columns * (cell_height + GAP))
        sheet.paste(_entry_cell(entry, i, tile, cell_width, cell_height), place)
    return sheet


def _entry_cell(entry: Entry, index: int, tile: int, width: int, height: int) -> Image.Image:
    """Draw one patch and projection in a frame of their colour, with number and caption below."""
    from PIL import ImageDraw

    cell = _blank(width, height)
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, width - 1, tile + 2 * FRAME - 1), fill=colour(index))
    cell.paste(_in_slot(entry.patch, tile), (FRAME, FRAME))
    cell.paste(_in_slot(entry.picture, tile), (2 * FRAME + tile, FRAME))
    tag_width, tag_height = _tag_size(index)
    top = tile + 2 * FRAME + 6
    _draw_tag(draw, (0, top, tag_width, top + tag_height), index)
    for row, line in enumerate(entry.caption):
        x = tag_width + 8
        _write(cell, (x, top + row * _line(SMALL)), line, SMALL, FAINT if row else INK, width - x)
    return cell


def colour(index: int) -> Colour:
    """Give the colour of the box and the frame with this index, from 0; 36 differ."""
    base, turn = BASE_COLOURS[index % len(BASE_COLOURS)], index // len(BASE_COLOURS) % 3
    towards = (0, 255, 0)[turn]
    return tuple(round(level + (towards - level) * (0, 0.5, 0.4)[turn]) for level in base)


def _tag_size(index: int) -> tuple[int, int]:
    return math.ceil(_font(TEXT).getlength(str(index + 1))) + 12, TEXT + 6


def _draw_tag(draw: ImageDraw.ImageDraw, place: tuple[int, int, int, int], index: int) -> None:
    """Draw a number on its colour, black or white by which reads better."""
    left, top, right, bottom = place
    fill = colour(index)
    bright = 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 130
    draw.rectangle((left, top, right - 1, bottom - 1), fill=fill, outline=INK)
    middle = ((left + right) / 2, (top + bottom) / 2)
    draw.text(middle, str(index + 1), font=_font(TEXT), fill=INK if bright else (255, 255, 255), anchor="mm")


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

    _check_pixels("grid_sheet", tiles)
    if columns < 1 or gap < 0 or (tile is not None and tile < 1):
        raise ValueError(f"grid_sheet: columns is {columns}, tile {tile}, gap {gap}; use at least 1, 1 and 0")
    if labels is not None and len(labels) != len(tiles):
        raise ValueError(f"grid_sheet: {len(labels)} labels for {len(tiles)} tiles; give one for each, or None")
    height, width = (tile, tile) if tile else (max(picture.shape[axis] for picture in tiles) for axis in (0, 1))
    pitch = height + gap + (_line(SMALL) if labels else 0)
    sheet = _blank(min(columns, len(tiles)) * (width + gap) - gap, math.ceil(len(tiles) / columns) * pitch - gap)
    for i, picture in enumerate(tiles):
        x, y = i % columns * (width + gap), i // columns * pitch
        sheet.paste(_in_slot(picture, tile) if tile else Image.fromarray(np.ascontiguousarray(picture)), (x, y))
        if labels:
            _write(sheet, (x, y + height + 2), labels[i], SMALL, FAINT, width + gap // 2)
    return _page(sheet, title, footer)


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
    _check_pixels("table_sheet", [picture for row in cells for cell in row for picture in cell])
    if any((len(part), *{len(row) for row in part}) != shape for part in (cells, captions, marked)):
        raise ValueError(f"table_sheet: not one cell, caption and mark for each of {shape[0]} rows, {shape[1]} columns")
    pictures, lines = len(cells[0][0]), len(captions[0][0])
    head = math.ceil(max(_font(TEXT).getlength(_printable(name)) for name in rows)) + GAP
    pitch = pictures * (tile + FRAME) + lines * _line(SMALL) + 2 * gap
    width = max(head + len(columns) * (tile + gap) - gap, math.ceil(_font(TITLE).getlength(_printable(title))))
    sheet = _blank(width, _line(TEXT) + 4 + len(rows) * pitch - 2 * gap)
    for j, name in enumerate(columns):
        _write(sheet, (head + j * (tile + gap), 0), name, TEXT, INK, tile + gap // 2)
    for i, name in enumerate(rows):
        y = _line(TEXT) + 4 + i * pitch
        _write(sheet, (0, y + tile // 2 - TEXT // 2), name, TEXT, INK)
        for j, place in enumerate((head + j * (tile + gap), y) for j in range(len(columns))):
            _draw_cell(sheet, place, cells[i][j], captions[i][j], tile, gap if marked[i][j] else 0)
    return _page(sheet, title, footer)


def _draw_cell(sheet, place, pictures, caption, tile, bar) -> None:
    """Draw one cell of a table with its top left at `place`, and a bar in the middle of a gap of `bar` pixels."""
    from PIL import ImageDraw

    x, y = place
    height = len(pictures) * (tile + FRAME) - FRAME
    for number, picture in enumerate(pictures):
        sheet.paste(_in_slot(picture, tile), (x, y + number * (tile + FRAME)))
    for number, line in enumerate(caption):
        _write(sheet, (x, y + height + 2 + number * _line(SMALL)), line, SMALL, FAINT, tile)
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


# ------------------------------------------------------------------------------------------------------ small helpers


def _check_pixels(function: str, pictures: Sequence[np.ndarray]) -> None:
    """Refuse an empty list and everything but uint8 (h, w, 3)."""
    if len(pictures) == 0:
        raise ValueError(f"{function}: no tiles; give at least one")
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(
                f"{function}: expected uint8 (height, width, 3), got {picture.dtype} {picture.shape}; "
                "make it with display.display, or numpy.asarray of an RGB image"
            )


def _fitted(picture: np.ndarray, side: int, smooth_below: float = SMOOTH_BELOW) -> Image.Image:
    """Scale so that the long side is `side`: single pixels stay visible when enlarged a lot, else smooth."""
    from PIL import Image

    factor = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    method = Image.Resampling.BICUBIC if factor < smooth_below else Image.Resampling.NEAREST
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, method)


def _in_slot(picture: np.ndarray, side: int) -> Image.Image:
    """Centre a picture in a square of the page's colour, so that what is not in the window shows as nothing."""
    fitted = _fitted(picture, side)
    slot = _blank(side, side)
    slot.paste(fitted, ((side - fitted.width) // 2, (side - fitted.height) // 2))
    return slot


def _page(body: Image.Image, title: str, footer: str) -> Image.Image:
    """Put margins, a title and a footer around a drawing."""
    notes = _wrapped(footer, body.width)
    head = _line(TITLE) + 12 if title else 0
    foot = 14 + len(notes) * _line(SMALL) if notes else 0
    sheet = _blank(body.width + 2 * MARGIN, 2 * MARGIN + head + body.height + foot)
    _write(sheet, (MARGIN, MARGIN - 4), title, TITLE, INK, body.width)
    sheet.paste(body, (MARGIN, MARGIN + head))
    for row, line in enumerate(notes):
        _write(sheet, (MARGIN, MARGIN + head + body.height + 14 + row * _line(SMALL)), line, SMALL, FAINT)
    return sheet


def _blank(width: int, height: int) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (width, height), PAGE)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _line(size: int) -> int:
    """Give the distance of lines of this type size."""
    return round(size * 1.4)


def _write(image: Image.Image, place: tuple[int, int], text: str, size: int, ink: Colour, width: int = 0) -> None:
    """Write one line with its top left at `place`, cut with an ellipsis at `width` pixels if that is given."""
    from PIL import ImageDraw

    text = _printable(text)
    if width and _font(size).getlength(text) > width:
        while text and _font(size).getlength(text + "…") > width:
            text = text[:-1]
        text = text.rstrip() + "…"
    ImageDraw.Draw(image).text(place, text, font=_font(size), fill=ink)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels, at spaces."""
    lines = []
    for paragraph in _printable(text, keep="\n").splitlines():
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            fits = _font(SMALL).getlength(longer) <= width or not lines[-1]
            lines[-1:] = [longer] if fits else [lines[-1], word]
    return lines


def _printable(text: str, keep: str = "") -> str:
    """Replace what Pillow's own font lacks: é -> e, × -> x, – -> -, anything else -> ?."""
    letters = []
    for letter in unicodedata.normalize("NFKD", text.replace("×", "x").replace("–", "-").replace("−", "-")):
        if letter in keep or " " <= letter <= "~" or letter in "©«°±·»‘’“”…‹›™":
            letters.append(letter)
        elif not unicodedata.combining(letter):
            letters.append("?")
    return "".join(letters)
