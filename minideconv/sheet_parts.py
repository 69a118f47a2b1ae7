"""What every sheet is drawn with: its colours and type, lines of text, pictures scaled into squares, a page around all.

Pictures are uint8 RGB arrays (h, w, 3); sizes are in pixels of the sheet. Pillow is imported where it is used.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

Colour = tuple[int, int, int]

PAGE = (236, 236, 236)  # light and without a hue, so that mid-grey tiles stay grey to the eye
INK, FAINT = (28, 28, 28), (92, 92, 92)
TITLE, TEXT, SMALL = 22, 15, 13  # type sizes
MARGIN, GAP = 24, 20
FRAME = 3  # the width of an entry's frame, and between pictures of a cell
SMOOTH_BELOW = 3  # pictures enlarged by less than this are smoothed, by more they show their pixels


def check_tiles(function: str, pictures: Sequence[np.ndarray]) -> None:
    """Refuse an empty list and everything but uint8 (h, w, 3)."""
    if len(pictures) == 0:
        raise ValueError(f"{function}: no tiles; give at least one")
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(
                f"{function}: expected uint8 (height, width, 3), got {picture.dtype} {picture.shape}; "
                "make it with display.display, or numpy.asarray of an RGB image"
            )


def fitted(picture: np.ndarray, side: int, smooth_below: float = SMOOTH_BELOW) -> Image.Image:
    """Scale so that the long side is `side`: single pixels stay visible when enlarged a lot, else smooth."""
    from PIL import Image

    factor = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    method = Image.Resampling.BICUBIC if factor < smooth_below else Image.Resampling.NEAREST
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, method)


def in_slot(picture: np.ndarray, side: int) -> Image.Image:
    """Centre a picture in a square of the page's colour, so that what is not in the window shows as nothing."""
    image = fitted(picture, side)
    slot = blank(side, side)
    slot.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return slot


def page(body: Image.Image, title: str, footer: str) -> Image.Image:
    """Put margins, a title and a footer around a drawing."""
    notes = _wrapped(footer, body.width)
    head = line_height(TITLE) + 12 if title else 0
    foot = 14 + len(notes) * line_height(SMALL) if notes else 0
    sheet = blank(body.width + 2 * MARGIN, 2 * MARGIN + head + body.height + foot)
    write_line(sheet, (MARGIN, MARGIN - 4), title, TITLE, INK, body.width)
    sheet.paste(body, (MARGIN, MARGIN + head))
    for row, line in enumerate(notes):
        write_line(sheet, (MARGIN, MARGIN + head + body.height + 14 + row * line_height(SMALL)), line, SMALL, FAINT)
    return sheet


def blank(width: int, height: int) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (width, height), PAGE)


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def line_height(size: int) -> int:
    """Give the distance of lines of this type size."""
    return round(size * 1.4)


def write_line(image: Image.Image, place: tuple[int, int], text: str, size: int, ink: Colour, width: int = 0) -> None:
    """Write one line with its top left at `place`, cut with an ellipsis at `width` pixels if that is given."""
    from PIL import ImageDraw

    text = printable(text)
    if width and font(size).getlength(text) > width:
        while text and font(size).getlength(text + "…") > width:
            text = text[:-1]
        text = text.rstrip() + "…"
    ImageDraw.Draw(image).text(place, text, font=font(size), fill=ink)


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels, at spaces."""
    lines = []
    for paragraph in printable(text, keep="\n").splitlines():
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            fits = font(SMALL).getlength(longer) <= width or not lines[-1]
            lines[-1:] = [longer] if fits else [lines[-1], word]
    return lines


def printable(text: str, keep: str = "") -> str:
    """Replace what Pillow's own font lacks: é -> e, × -> x, – -> -, anything else -> ?."""
    letters = []
    for letter in unicodedata.normalize("NFKD", text.replace("×", "x").replace("–", "-").replace("−", "-")):
        if letter in keep or " " <= letter <= "~" or letter in "©«°±·»‘’“”…‹›™":
            letters.append(letter)
        elif not unicodedata.combining(letter):
            letters.append("?")
    return "".join(letters)
