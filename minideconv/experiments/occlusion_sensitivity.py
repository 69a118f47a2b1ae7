"""Sec. 4.2, Fig. 7: what a net looks at in a photo, found out by hiding it: a grey square moves over the photo.

    occlude(net, photo)  ->  Occlusion  ->  .draw(), .rows(), .save("occlusion.png")

Letters: H rows, W columns, C channels of the photo as the net sees it; P × Q places of the square, row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backend import to_numpy
from ..deconvnet import project, strongest, unit_of
from ..evaluation import class_label, class_number
from ..functional.geometry import whole
from ..network import Network
from ..photos import Photo, photo_name
from .reading import photos_at_once
from .results import Result
from .scanning import highest, rectified_maps
from .variants import forward_variants

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PART, STEPS = 5, 3  # by default the square's side is a fifth of the photo's, and it moves by a third of that
AT_ONCE = 64  # places, fewer if maps are large: more do not fit the cache as well


@dataclass(frozen=True, eq=False)
class Occlusion(Result):
    """What the net did at each place of the square.

    Attributes:
        net, name: what net and photo are called.
        photo: (H, W, 3) uint8 RGB, as the net saw it.
        size: side of the square, pixels.
        colour: (3,) uint8 RGB, of the square; of a net that takes off a mean image, its average.
        top, left: (P,), (Q,) its upper edge and left edge at each place, pixels from the photo's.
        layer, channel: the feature map that was watched.
        whole_activity: sum of that map's activations for the photo itself.
        activity: (P, Q) the same with the square in each place.
        projection: (C, H, W) signed, the map's strongest activation in the photo itself, projected to pixels (deconvnet
            rule), in the net's channel order and scale.
        channels: that order, "RGB", "BGR" or "L"; None if the channels are no colours.
        box: (top, left, bottom, right), half-open, pixels: what the projected unit can see.
        number: which class is meant by the true one; None, like all that follows, if the net does not classify.
        whole_probability: the true class's probability for the photo itself, 0 … 1.
        probability: (P, Q) the same with the square in each place.
        whole_best: the most probable class for the photo itself.
        best: (P, Q) the most probable class with the square in each place.
        classes: names of the net's classes, if it has any.
    """

    net: str
    name: str
    photo: np.ndarray
    size: int
    colour: np.ndarray
    top: np.ndarray
    left: np.ndarray
    layer: str
    channel: int
    whole_activity: float
    activity: np.ndarray
    projection: np.ndarray
    channels: str | None
    box: tuple[int, int, int, int]
    number: int | None = None
    whole_probability: float | None = None
    probability: np.ndarray | None = None
    whole_best: int | None = None
    best: np.ndarray | None = None
    classes: list[str] | None = None

    def label(self, number: int) -> str:
        """What a class is called."""
        return class_label(self.classes, number)

    def findings(self) -> list[str]:
        """What was done and found, in a few lines."""
        levels, count = ", ".join(map(str, self.colour.tolist())), self.activity.size
        lines = [f"{len(self.top)} × {len(self.left)} places of a square of {self.size} pixels, colour {levels}"]
        where = self._least(self.activity)
        lines.append(f"{self.layer} map {self.channel}: total activity {self.whole_activity:.4g}; least {where}")
        if self.number is not None:
            where = self._least(self.probability)
            lines.append(f"{self.label(self.number)}: probability {self.whole_probability:.4g}; least {where}")
            first = Counter(self.best.ravel().tolist()).most_common(4)
            said = ", ".join(f"{self.label(number)} at {places} of {count} places" for number, places in first)
            lines.append(f"most probable: {said}")
        return lines

    def _least(self, values: np.ndarray) -> str:
        """The least of (P, Q) values, and where."""
        row, column = np.unravel_index(values.argmin(), values.shape)
        place = f"row {self.top[row]}, column {self.left[column]}"
        return f"{values[row, column]:.4g} with the square's corner at {place}"

    def draw(self) -> Figure:
        """Fig. 7: the photo, the two heat maps, the projection, and the most probable classes."""
        from .occlusion_sheet import occlusion_sheet

        return occlusion_sheet(self)

    def rows(self) -> list[Sequence]:
        """A row for each place of the square, after one for the photo itself, whose place is empty."""
        places = [("", ""), *((int(top), int(left)) for top in self.top for left in self.left)]
        activity = [self.whole_activity, *self.activity.ravel().tolist()]
        if self.number is None:
            return [("top", "left", "activity"), *((*place, value) for place, value in zip(places, activity))]
        probability = [self.whole_probability, *self.probability.ravel().tolist()]
        best = [self.whole_best, *self.best.ravel().tolist()]
        head = ("top", "left", "activity", f"probability of {self.label(self.number)}", "most probable", "its name")
        cells = zip(places, activity, probability, best)
        return [head, *((*place, value, share, first, self.label(first)) for place, value, share, first in cells)]


def occlude(net: Network, photo: Photo, layer: str | None = None, channel: int | None = None,
            class_name: str | int | None = None, *, size: int | None = None, stride: int | None = None,
            colour: Sequence[int] | None = None, progress: bool = False) -> Occlusion:  # fmt: skip
    """Cover one square of a photo after the other, and see what a feature map and the classifier make of the rest.

    The square lies in the photo everywhere, from edge to edge. Only what it can change is computed (`variants`).

    Args:
        net: with its preprocessing, which crops the photo first.
        photo: as `load_photo` takes it.
        layer: by default the last ReLU that has maps.
        channel: which feature map; by default the one with the strongest activation in the photo itself.
        class_name: the true class, as `class_number` takes it; by default the most probable one of the photo itself.
        size: side of the square, pixels; by default a fifth of the photo's shorter side.
        stride: how far it moves, pixels, at most: places are spread evenly; by default a third of its size.
        colour: of the square, RGB 0-255; by default the mean that the net takes off, which is zero to it.
        progress: show a bar.
    Raises:
        ValueError: a photo that cannot be used, no such layer, channel or class, a square larger than the photo.

    Paper: Sec. 4.2, "Occlusion Sensitivity", Fig. 7, which does not say how large its square is.
    """
    x = net.preprocess([photo])  # (C, H, W, 1)
    layer, last = net.name_of(layer or rectified_maps(net, x.shape[:3])[-1]), net.name_of(None)
    number = None if class_name is None else class_number(net, class_name)
    classifies = net.class_count() is not None
    height, width = x.shape[1:3]
    size = max(round(min(height, width) / PART), 1) if size is None else whole(size, "size")
    top, left = _places(height, width, size, max(size // STEPS, 1) if stride is None else whole(stride, "stride"))
    filling = _filling(net, colour, x)

    keep = list(dict.fromkeys([layer, last] if classifies else [layer]))
    trace = net.forward(x, until=highest(net, keep))
    channel = (
        int(strongest(trace, layer, 1).channel[0]) if channel is None else unit_of(trace[layer], layer, channel)[0]
    )
    measured = [_measured(net, trace, layer, channel, classifies)]
    for rows, columns in _batches(net, x, top, left, progress):
        maps = forward_variants(net, trace, _squares(filling, x, rows, columns, size), rows, columns, keep)
        measured.append(_measured(net, maps, layer, channel, classifies))
    activity, shares = (np.concatenate(part, axis=-1) for part in zip(*measured))  # (1 + P·Q,), (classes, 1 + P·Q)

    grid, seen = (len(top), len(left)), project(net, trace, layer, channel)
    restore = net.preprocessing.restore
    plain = restore(np.broadcast_to(filling[..., 0], x.shape[:3]))  # (H, W, 3)
    return Occlusion(
        net=net.name, name=photo_name(photo), photo=restore(to_numpy(trace.input[..., 0])), size=size,
        colour=np.rint(plain.mean(axis=(0, 1))).astype(np.uint8), top=top, left=left, layer=layer, channel=channel,
        whole_activity=float(activity[0]), activity=activity[1:].reshape(grid), projection=seen.pixels,
        channels=seen.channels, box=seen.box, **(_classified(net, shares, grid, number) if classifies else {}),
    )  # fmt: skip


def _places(height, width, size, stride):
    """Where the square begins: from edge to edge, steps as equal as whole pixels can be and at most `stride`."""
    if size > min(height, width):
        raise ValueError(
            f"occlude: a square of {size} pixels is larger than the photo, which the net sees as {height} x {width}; "
            f"give a size of {min(height, width)} at most"
        )
    sides = (np.linspace(0, room, -(-room // stride) + 1) for room in (height - size, width - size))
    return (np.rint(side).astype(np.intp) for side in sides)


def _filling(net, colour, x) -> np.ndarray:
    """What the square puts in place of the photo: (C, 1, 1, 1), preprocessed, or (C, H, W, 1) under a mean image."""
    if colour is None:
        return np.zeros((len(x), 1, 1, 1), np.float32)
    levels = np.asarray(colour)
    if levels.shape != (3,) or levels.dtype.kind not in "iu" or levels.min() < 0 or levels.max() > 255:
        raise ValueError(f"occlude: colour is {colour!r}; give three whole numbers R, G, B of 0 … 255")
    from PIL import Image

    plain = Image.new("RGB", x.shape[2:0:-1], tuple(levels.tolist()))
    pixels = np.asarray(plain.convert("L") if net.preprocessing.channels == "L" else plain)
    return net.preprocessing.scaled(pixels.reshape(1, *x.shape[1:3], -1))


def _squares(filling, x, rows, columns, size) -> np.ndarray:
    """(C, size, size, B): what covers each place."""
    planes = np.broadcast_to(filling[..., 0], x.shape[:3])
    return np.stack([planes[:, i : i + size, j : j + size] for i, j in zip(rows, columns)], axis=-1)


def _batches(net, x, top, left, progress):
    """All places as pairs of arrays (B,): rows, columns; equal batches, as large as memory and cache like them."""
    from tqdm import tqdm

    rows, columns = np.repeat(top, len(left)), np.tile(left, len(top))
    count = -(-len(rows) // photos_at_once(net, x.shape[:3], AT_ONCE))
    with tqdm(total=len(rows), desc="occlude", unit=" places", disable=not progress) as bar:
        for some in np.array_split(np.arange(len(rows)), count):
            yield rows[some], columns[some]
            bar.update(len(some))


def _measured(net, maps, layer, channel, classifies) -> tuple[np.ndarray, np.ndarray]:
    """Total activity of one feature map of each image, (N,), and the probabilities, (classes, N)."""
    one = maps[layer][channel]  # (H, W, N), or (N,) after Flatten
    total = to_numpy(one.reshape(-1, one.shape[-1]).sum(axis=0))
    shares = to_numpy(net.softmax_of(maps[net.name_of(None)])) if classifies else np.zeros((0, len(total)))
    return total, shares


def _classified(net, shares, grid, number) -> dict:
    """The fields that only a classifier fills, of (classes, 1 + P·Q) probabilities."""
    best = shares.argmax(axis=0)
    number = int(best[0]) if number is None else number
    return {
        "number": number, "whole_probability": float(shares[number, 0]), "whole_best": int(best[0]),
        "probability": shares[number, 1:].reshape(grid), "best": best[1:].reshape(grid), "classes": net.classes,
    }  # fmt: skip
