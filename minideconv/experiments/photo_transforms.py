"""Photos shifted, enlarged and turned before they are cropped, so that what enters at an edge is the photo itself.

A net that resizes the short side to 256 and crops 224 leaves 16 pixels of the photo around the crop, often more on two
sides. A photo moved by 10 pixels then shows 10 rows that were hidden. Only beyond the photo's own edge something must
be made up, and `EDGES` are the ways to do that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..images import Preprocessing

EDGES = {  # beyond the photo -> what scipy.ndimage calls it
    "reflect": "reflect",  # the photo mirrored: no new edge, no new colour, but things appear twice
    "nearest": "nearest",  # the last row or column goes on: streaks
    "grey": "grid-constant",  # the mean that the net takes off: nothing to the net, but a straight edge
}
TRANSFORMATIONS = TRANSLATION, SCALE, ROTATION = ("translation", "scale", "rotation")


class Framed(NamedTuple):
    """A photo and what lies around the part that the net sees.

    Attributes:
        levels: (H', W', C) uint8, RGB or grey;  box: (top, left, bottom, right), the net's part, half-open, pixels.
        grey: (C,) levels of the mean that the net takes off.
    """

    levels: np.ndarray
    box: tuple[int, int, int, int]
    grey: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what the net sees."""
        top, left, bottom, right = self.box
        return bottom - top, right - left


def framed(preprocessing: Preprocessing, photo) -> Framed:
    """Read a photo (as `load_photo` takes it) with its surroundings."""
    levels, box = preprocessing.surroundings(photo)
    top, left, bottom, right = box
    zero = np.zeros((levels.shape[2], bottom - top, right - left), np.float32)
    mean = preprocessing.restore(zero).mean(axis=(0, 1))  # (3,), three times the same for grey nets
    return Framed(levels, box, mean[: levels.shape[2]])


def transformed(photo: Framed, transformation: str, amount: float, edge: str = "reflect") -> np.ndarray:
    """What the net sees of a photo that was shifted, enlarged or turned about the centre of its crop.

    Bilinear, rounded to whole levels. A shift by whole pixels moves them and changes none.

    Args:
        transformation: "translation" (`amount` pixels downwards), "scale" (a factor; above 1 enlarges) or "rotation"
            (degrees, counter-clockwise).
        edge: what lies beyond the photo: "reflect", "nearest" or "grey".
    Returns:
        (H, W, C) uint8.
    """
    from scipy.ndimage import affine_transform

    matrix, shift = _back(transformation, amount)
    centre = (np.array(photo.size) - 1) / 2
    offset = centre - matrix @ (centre + shift) + photo.box[:2]  # pixel p of the result comes from matrix @ p + offset
    planes = [
        affine_transform(plane, matrix, offset, photo.size, np.float64, order=1, mode=EDGES[edge], cval=grey)
        for plane, grey in zip(photo.levels.transpose(2, 0, 1), photo.grey)
    ]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8)


def listed_amounts(amounts: dict[str, Sequence[float]], edge: str) -> tuple[np.ndarray, np.ndarray]:
    """{transformation: its amounts} as two arrays (K,): which transformation, and how much.

    Raises:
        ValueError: for amounts that are no finite numbers, a scale of zero or less, an edge of another name.
    """
    if edge not in EDGES:
        raise ValueError(f"invariance: edge is {edge!r}; use one of {', '.join(EDGES)}")
    arrays = {kind: np.asarray(values, dtype=np.float64) for kind, values in amounts.items()}
    for kind, values in arrays.items():
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"invariance: amounts of {kind} are {values.tolist()}; give a list of finite numbers")
    if arrays[SCALE].min() <= 0:
        raise ValueError(f"invariance: a scale of {arrays[SCALE].min():g} leaves nothing; give factors above zero")
    return np.repeat(list(arrays), [*map(len, arrays.values())]), np.concatenate([*arrays.values()])


def _back(transformation: str, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """The way from a pixel of the result, seen from the centre, back to the photo: matrix (2, 2) of rows and columns,
    and the shift (2,) that is taken off first.
    """
    if transformation == TRANSLATION:
        return np.eye(2), np.array([amount, 0.0])
    if transformation == SCALE:
        return np.eye(2) / amount, np.zeros(2)
    quarters, rest = divmod(amount, 90)
    cos, sin = (math.cos(math.radians(rest)), math.sin(math.radians(rest))) if rest else (1.0, 0.0)
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])  # exact, so that quarter turns move pixels and change none
    return np.array([[cos, sin], [-sin, cos]]) @ np.linalg.matrix_power(quarter, int(quarters) % 4), np.zeros(2)
