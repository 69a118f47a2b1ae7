"""Sec. 4, Fig. 5: how far the features of a low and of a high layer move when a photo is shifted, enlarged or turned.

    invariance(net, photos)  ->  Invariance  ->  .draw(), .rows(), .save("invariance.png")

Letters: P photos, L layers, K transformed versions of each photo, C channels, H rows, W columns, D features of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..backend import Array, array_module, to_device, to_numpy
from ..evaluation import class_label, class_number
from ..layers import Dropout, Flatten
from ..network import Network
from ..parallel import share
from ..photos import Photo, photo_name
from .photo_transforms import ROTATION, SCALE, TRANSFORMATIONS, TRANSLATION, framed, listed_amounts, transformed
from .reading import photos_at_once
from .results import Result
from .scanning import highest, rectified_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FARTHEST, STEP = 60 / 224, 4 / 224  # of the photo's height: how far the paper shifts; by how much at a time
SCALES = np.round(np.arange(1, 1.801, 0.05), 2)  # the paper's axis
DEGREES = np.arange(0, 360, 10)
MOST_PHOTOS = 20  # more curves cannot be told apart
PICTURED, PICTURE_SIDE = 5, 96  # so many versions of each transformation are kept as pictures, this large at most


@dataclass(frozen=True, eq=False)
class Invariance(Result):
    """How far features moved.

    Attributes:
        net: what the net is called;  names: (P) photos.
        edge: what lay beyond a photo's own edge: "reflect", "nearest" or "grey".
        layers: (L) names.
        transformation: (K,) "translation", "scale" or "rotation".
        amount: (K,) pixels downwards, a factor, or degrees counter-clockwise.
        distance: (L, P, K) Euclidean distance of a layer's features from those of the untransformed photo, divided by
            the length of the latter: 0 where nothing changes, 1 as far as from a blank; so layers can be compared.
        apart: (L, P) mean distance, likewise divided, from the other untransformed photos; NaN if there is one photo.
        pictures: (3, 5, P, h, w, 3) uint8 RGB, what the net saw, made small: each transformation, five amounts.
        pictured: (3, 5) those amounts.
        number: (P,) the class that is meant by the true one; None, like all that follows, if the net does not classify.
        whole_probability: (P,) the true class's probability for the untransformed photo, 0 … 1.
        probability: (P, K) the same for the transformed ones.
        classes: names of the net's classes, if it has any.
    """

    net: str
    names: list[str]
    edge: str
    layers: list[str]
    transformation: np.ndarray
    amount: np.ndarray
    distance: np.ndarray
    apart: np.ndarray
    pictures: np.ndarray
    pictured: np.ndarray
    number: np.ndarray | None = None
    whole_probability: np.ndarray | None = None
    probability: np.ndarray | None = None
    classes: list[str] | None = None

    def label(self, photo: int) -> str:
        """What the true class of a photo is called."""
        return class_label(self.classes, int(self.number[photo]))

    def half_way(self, layer: str, transformation: str) -> float:
        """The least change, either way, at which the mean over photos is half of the farthest that it goes.

        Pixels, a factor above 1, or degrees.
        """
        some = self.transformation == transformation
        mean, amount = self.distance[self.layers.index(layer)][:, some].mean(axis=0), self.amount[some]
        sizes = {
            TRANSLATION: abs,
            SCALE: lambda s: np.maximum(s, 1 / s),
            ROTATION: lambda s: np.minimum(s % 360, -s % 360),
        }
        return float(sizes[transformation](amount)[mean >= mean.max() / 2].min())

    def findings(self) -> list[str]:
        """A line for each layer: how soon its features are half-way to as far as they go, and how far that is."""
        lines = []
        for layer, distance, apart in zip(self.layers, self.distance, self.apart):
            moved, scaled, turned = (self.half_way(layer, kind) for kind in TRANSFORMATIONS)
            farthest = [distance[:, self.transformation == kind].mean(axis=0).max() for kind in TRANSFORMATIONS]
            others = f"; other photos are {apart.mean():.2f} away" if len(self.names) > 1 else ""
            lines.append(
                f"{layer}: half-way at {moved:g} pixels, scale {scaled:g}, {turned:g} degrees; "
                f"farthest {', '.join(f'{value:.2f}' for value in farthest)}{others}"
            )
        return lines

    def draw(self) -> Figure:
        """Fig. 5: a row for each transformation; photos, distance in each layer, probability; a curve a photo."""
        from .invariance_sheet import invariance_sheet

        return invariance_sheet(self)

    def rows(self) -> list[Sequence]:
        """A row for each photo and transformed version."""
        classifies = self.number is not None
        head = ["photo", "transformation", "amount", *(f"distance {layer}" for layer in self.layers)]
        rows = [[*head, "probability", "class"] if classifies else head]
        for photo, name in enumerate(self.names):
            for k, (kind, amount) in enumerate(zip(self.transformation.tolist(), self.amount.tolist())):
                row = [name, kind, amount, *self.distance[:, photo, k].tolist()]
                rows.append([*row, float(self.probability[photo, k]), self.label(photo)] if classifies else row)
        return rows


def invariance(net: Network, photos: Sequence[Photo], layers: Sequence[str] | None = None,
               class_names: Sequence[str | int] | str | int | None = None, *,
               translations: Sequence[float] | None = None,
               scales: Sequence[float] = SCALES, degrees: Sequence[float] = DEGREES, edge: str = "reflect",
               progress: bool = False) -> Invariance:  # fmt: skip
    """Shift, enlarge and turn photos before they are cropped, and measure how far features move.

    Args:
        net: with its preprocessing.
        photos: each as `load_photo` takes it.
        layers: which; by default the first ReLU, and the features below the classifier (`low_and_high`).
        class_names: the true class of each photo, as `class_number` takes it, or one for all; by default the most
            probable one of the photo untransformed.
        translations: pixels downwards; by default as far as in the paper, 60 of 224, either way.
        scales: factors;  degrees: counter-clockwise; by default as in the paper, 1 … 1.8 and all round.
        edge: what lies beyond a photo's own edge: "reflect", "nearest" or "grey", see `photo_transforms`.
        progress: show a bar.
    Raises:
        ValueError: no photo or too many, one that cannot be used, no such layer, class or edge, features all zero.

    Paper: Sec. 4, "Feature Invariance", Fig. 5.
    """
    net.check_prepares()
    names, frames = _read(net, photos)
    own = np.stack([transformed(frame, TRANSLATION, 0) for frame in frames])  # (P, H, W, C)
    shape = (own.shape[3], *own.shape[1:3])
    layers = list(dict.fromkeys(net.name_of(layer) for layer in layers or low_and_high(net, shape)))
    translations = _translations(shape[1]) if translations is None else translations
    kinds, amount = listed_amounts({TRANSLATION: translations, SCALE: scales, ROTATION: degrees}, edge)

    base = [_seen(net, levels[None], layers) for levels in own]
    lengths = _base_lengths(net, base, layers, names)  # (L, P)
    numbers, classified = _numbers(net, base, class_names), {}
    if numbers is not None:
        before = np.array([shares[number, 0] for (_, shares), number in zip(base, numbers)])
        after = np.empty((len(own), len(amount)))
        classified = {"number": numbers, "whole_probability": before, "probability": after, "classes": net.classes}
    distance = np.empty((*lengths.shape, len(amount)))
    for photo, some, moved, shares in _measured(net, frames, own, base, layers, kinds, amount, edge, progress):
        distance[:, photo, some] = moved / lengths[:, photo, None]
        if numbers is not None:
            after[photo, some] = shares[numbers[photo]]
    pictures, pictured = _pictures(frames, kinds, amount, edge)
    return Invariance(net.name, names, edge, layers, kinds, amount, distance, _apart(base, lengths), pictures, pictured,
                      **classified)  # fmt: skip


def low_and_high(net: Network, shape) -> list[str]:
    """The first rectified maps, and the last features: below the classifier if there is one, else the net's last layer.

    So of AlexNet whole relu1 and relu7, as in the paper; of its convolutional part relu1 and pool5. What only hands
    features on, dropout and flattening, is passed over.
    """
    names = list(net.layers)
    if net.class_count() is not None:
        classifier = next(name for name in reversed(names) if net.layers[name].parameters)
        names = names[: names.index(classifier)] or names
    while len(names) > 1 and isinstance(net.layers[names[-1]], (Dropout, Flatten)):
        names = names[:-1]
    return [rectified_maps(net, shape)[0], names[-1]]


def _read(net, photos):
    """Names and frames of the photos, all of one size."""
    photos = [photos] if isinstance(photos, (str, bytes)) or hasattr(photos, "__fspath__") else list(photos)
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise ValueError(f"invariance: {len(photos)} photos; give 1 to {MOST_PHOTOS}, each becomes a curve")
    names, frames = [photo_name(photo) for photo in photos], [framed(net.preprocessing, photo) for photo in photos]
    for name, frame in zip(names, frames):
        if frame.size != frames[0].size:
            seen = " and ".join("{} x {}".format(*size) for size in (frames[0].size, frame.size))
            raise ValueError(f"invariance: {net.name} sees {names[0]} and {name} as {seen} pixels; give equal photos")
    return names, frames


def _translations(height: int) -> np.ndarray:
    """As far down and up as the paper shifts, in whole pixels."""
    step = max(round(STEP * height), 1)
    farthest = int(FARTHEST * height) // step * step
    return np.arange(-farthest, farthest + 1, step)


def _measured(net, frames, own, base, layers, kinds, amount, edge, progress):
    """Each photo's versions, batch by batch: photo, which (n,), distances (L, n), probabilities (classes, n) or None.

    A version that is the photo itself has distance 0, not that of another batch's rounding.
    """
    from tqdm import tqdm

    size = photos_at_once(net, (own.shape[3], *own.shape[1:3]))
    runs = np.array_split(np.arange(len(amount)), -(-len(amount) // size))
    batches = [(photo, some) for photo in range(len(own)) for some in runs]
    for photo, some in tqdm(batches, "invariance", unit=" batches", disable=not progress):
        levels, (before, shares) = _versions(frames[photo], kinds[some], amount[some], edge), base[photo]
        moved = ~(levels == own[photo]).all(axis=(1, 2, 3))
        features, found = _seen(net, levels, layers)
        distances = np.array([_lengths(here - there) for here, there in zip(features, before)])
        yield photo, some, moved * distances, None if found is None else np.where(moved, found, shares)


def _versions(frame, kinds, amount, edge) -> np.ndarray:
    """(n, H, W, C) uint8, transformed on all cores: scipy works without Python's lock."""

    def work(numbers):
        return [transformed(frame, kinds[k], amount[k], edge) for k in numbers]

    return np.array(list(chain.from_iterable(share(work, range(len(kinds)), amount))))


def _seen(net, levels, layers) -> tuple[list[Array], np.ndarray | None]:
    """Features of each layer, (D, N) each, and probabilities (classes, N) where the net classifies."""
    x, last = to_device(net.preprocessing.scaled(levels)), net.name_of(None)
    keep = [*layers, last] if net.class_count() is not None else layers
    trace = net.forward(x, until=highest(net, keep), keep=keep)
    features = [trace[layer].reshape(-1, len(levels)) for layer in layers]
    return features, to_numpy(net.softmax_of(trace[last])) if last in keep and keep is not layers else None


def _lengths(features: Array) -> np.ndarray:
    """Euclidean length of each column: (D, N) -> (N,)."""
    return to_numpy(array_module(features).sqrt((features * features).sum(axis=0)))


def _base_lengths(net, base, layers, names) -> np.ndarray:
    """(L, P) lengths of the untransformed photos' features, what distances are divided by; refused if one is zero."""
    lengths = np.array([[_lengths(one)[0] for one in features] for features, _ in base]).T
    for layer, photo in np.argwhere(lengths == 0)[:1]:
        raise ValueError(f"{layers[layer]} of {net.name} is all zero for {names[photo]}; choose another layer or photo")
    return lengths


def _apart(base, lengths) -> np.ndarray:
    """(L, P) mean distance of each photo's features from those of the others."""
    others = lengths.shape[1] - 1
    if not others:
        return np.full(lengths.shape, np.nan)
    sums = np.array([
        [sum(float(_lengths(there - here)[0]) for there in features) for here in features]
        for features in zip(*(one for one, _ in base))
    ])  # fmt: skip
    return sums / others / lengths


def _numbers(net, base, class_names) -> np.ndarray | None:
    """(P,) which class is the true one of each photo; None if the net does not classify."""
    if class_names is None or class_names in ((), []):
        best = [shares[:, 0].argmax() for _, shares in base if shares is not None]
        return np.array(best) if best else None
    names = [class_names] if isinstance(class_names, (str, int)) else list(class_names)
    if len(names) not in (1, len(base)):
        raise ValueError(f"invariance: {len(names)} classes for {len(base)} photos; give one for each, or one for all")
    return np.array([class_number(net, name) for name in names] * (len(base) // len(names)))


def _pictures(frames, kinds, amount, edge) -> tuple[np.ndarray, np.ndarray]:
    """Small pictures of five versions of each transformation, (3, 5, P, h, w, 3) uint8, and their amounts (3, 5)."""
    from PIL import Image

    ratio = min(PICTURE_SIDE / max(frames[0].size), 1)
    small = [max(round(side * ratio), 1) for side in reversed(frames[0].size)]  # width, height
    pictures, pictured = [], []
    for kind in TRANSFORMATIONS:
        some = amount[kinds == kind]
        some = some[np.rint(np.linspace(0, len(some) - 1, PICTURED)).astype(int)]
        seen = [[transformed(frame, kind, one, edge) for frame in frames] for one in some]
        images = [
            [Image.fromarray(np.broadcast_to(x, (*x.shape[:2], 3)).copy()).resize(small) for x in row] for row in seen
        ]
        pictures.append([[np.asarray(image) for image in row] for row in images])
        pictured.append(some)
    return np.array(pictures), np.array(pictured)
