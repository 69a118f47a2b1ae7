"""Labelled photos in memory: Fashion-MNIST, CIFAR-10, any folder or zip of class folders; and minibatches of them.

    load("cifar10")  ->  Dataset  ->  .images (N, H, W, C) uint8, .labels (N,)  ->  minibatches(N, 128, rng)

Letters: N images, H rows, W columns, C channels. Levels stay 0-255 here; means and crops are training's business. What
is damaged is named, and nothing half-read is used: an official file is taken whole or refused, a photo is used whole
or skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import official
from .archives import EVERY, Photos, class_folders
from .images import Preprocessing

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images of one size.

    Attributes:
        images: (N, H, W, C) uint8, levels 0-255; C is 1 (grey) or 3 (RGB).
        labels: (N,) int64, indices into `classes`.
        classes: the names of the classes.
        name: what the data are called.
        skipped: the photos that could not be used, each with the reason.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]
    name: str
    skipped: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.images.shape[1:]
        size = f"{len(self):,} images of {height} x {width} x {channels}"
        return f"<{self.name}: {size}, {len(self.classes)} classes, {len(self.skipped)} skipped>"

    def skipped_text(self) -> str:
        """How many photos were skipped and the first ten of them, a line each; "" if all could be used."""
        if not self.skipped:
            return ""
        more = [f"and {len(self.skipped) - 10} more"] if len(self.skipped) > 10 else []
        return "\n  ".join([f"{self.name}: skipped {len(self.skipped)} photo(s)", *self.skipped[:10], *more])


def load(source: str | os.PathLike, *, part: str = "train", size: int | None = None, progress: bool = True) -> Dataset:
    """Read one part of a data set into memory.

    A folder or zip of class folders may have a `train` and a `test` (or `val`) folder above them. Where it has not,
    every fifth photo of each class, in sorted order, is for testing and the others are for training.

    Args:
        source: "fashion-mnist", "cifar10", or the path of: the folder with their official files; CIFAR-10's archive;
            a folder or zip of class folders (`cat/1.jpg`), whose photos become RGB. A folder that is called cifar10
            itself is ./cifar10.
        part: "train" or "test".
        size: pixels; resize each photo's short side to it and crop the centre square. None takes photos as they are.
        progress: show progress and name skipped photos on stderr.
    Raises:
        ValueError: damaged official files, no class folders, or photos of different sizes where no `size` is given.
        FileNotFoundError: there is no such file or folder.
        RuntimeError: a download failed.

    Paper: Sec. 3 crops to 256 x 256 in this way; the data sets are not the paper's.
    """
    path = Path(source).expanduser()
    if source == "fashion-mnist" or official.has_fashion_mnist(path):
        dataset = fashion_mnist(part, None if source == "fashion-mnist" else path, progress=progress)
    elif source == "cifar10" or official.find_cifar10(path):
        dataset = cifar10(part, None if source == "cifar10" else path, progress=progress)
    else:
        return read_class_folders(source, part, size=size, progress=progress)
    if size not in (None, dataset.images.shape[1]):
        height, width = dataset.images.shape[1:3]
        raise ValueError(f"load: {dataset.name} is {height} x {width} pixels; size={size} is for folders of photos")
    return dataset


def is_official(source: str | os.PathLike) -> bool:
    """Whether `load` takes a source for Fashion-MNIST or CIFAR-10 as published, and not for class folders."""
    path = Path(source).expanduser()
    return (
        source in ("fashion-mnist", "cifar10") or official.has_fashion_mnist(path) or bool(official.find_cifar10(path))
    )


def fashion_mnist(part: str, data: str | os.PathLike | None = None, *, progress: bool = True) -> Dataset:
    """Read Fashion-MNIST, 28 x 28 grey: 60,000 images for training, 10,000 for testing.

    Args:
        part: "train" or "test".
        data: the folder with the official .gz files, or with shorter ones in their format. None looks where Debian's
            package puts them, then in the cache, and downloads what is missing into the cache (31 MB).
        progress: show the download on stderr.
    Raises:
        ValueError: a file is damaged, or not what its name says.
        FileNotFoundError: `data` is given and lacks a file.
        RuntimeError: the download failed.
    """
    _check_part("fashion_mnist", part)
    images, labels = official.read_fashion_mnist(part, data, progress=progress)
    return Dataset(images, labels, list(official.FASHION_MNIST_CLASSES), "fashion-mnist", [])


def cifar10(part: str, data: str | os.PathLike | None = None, *, progress: bool = True) -> Dataset:
    """Read CIFAR-10, 32 x 32 RGB: 50,000 images for training, 10,000 for testing.

    Args:
        part: "train" or "test".
        data: the official binary archive, its folder once unpacked, a folder that holds either, or a folder or zip of
            class folders. None takes the archive in the cache, and downloads it if it is not there (170 MB).
        progress: show progress on stderr.
    Raises:
        ValueError: the archive or a file is damaged, or the classes are not CIFAR-10's.
        FileNotFoundError: a file is missing.
        RuntimeError: the download failed.
    """
    _check_part("cifar10", part)
    source = None if data is None else official.find_cifar10(Path(data).expanduser())
    if data is None or source:
        images, labels = official.read_cifar10(part, source, progress=progress)
        return Dataset(images, labels, list(official.CIFAR10_CLASSES), "cifar10", [])
    dataset = read_class_folders(data, part, progress=progress)
    if dataset.classes != official.CIFAR10_CLASSES or dataset.images.shape[1:] != (32, 32, 3):
        raise ValueError(f"cifar10: {data} is not CIFAR-10 but {dataset!r}; use load to read it")
    return replace(dataset, name="cifar10")


def read_class_folders(
    source: str | os.PathLike, part: str, *, size: int | None = None, progress: bool = True
) -> Dataset:
    """Read the photos of one part from a folder, a zip or a glob pattern of class folders, as `load` says."""
    _check_part("load", part)
    photos, crop = _photos(source), _cropping(size)
    classes, chosen, strays = class_folders(photos.names, part)
    if not chosen:
        advice = f"put those of each class in a folder of its own (cat/1.jpg), at least {EVERY} in each"
        raise ValueError(f"load: {source} has no photos in class folders for part {part!r}; {advice}")
    images, used, problems = _stacked(photos, list(chosen), crop, progress)
    labels = np.array([chosen[index] for index in used], dtype=np.int64)
    skipped = [f"{photos.path(index)} lies in no class folder" for index in strays] + problems
    dataset = Dataset(images, labels, classes, photos.source.stem, skipped)
    if progress and skipped:
        print(dataset.skipped_text(), file=sys.stderr)
    return dataset


def _photos(source) -> Photos:
    try:
        return Photos(source)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error}; by name there are "fashion-mnist" and "cifar10"') from None


def _stacked(photos: Photos, indices: list[int], crop, progress: bool) -> tuple[np.ndarray, list[int], list[str]]:
    """Read photos of one size into one array: images (N, H, W, 3) uint8, their N indices, and what was skipped, why."""
    images, used, problems = None, [], []
    bar = f"reading {photos.source.name}" if progress else None
    for index, pixels, problem in photos.map(crop, indices, progress=bar):
        if problem:
            problems.append(problem)
            continue
        if images is None:
            images = np.empty((len(indices), *pixels.shape), np.uint8)
        if pixels.shape != images.shape[1:]:
            first, other = ("{} x {} pixels".format(*shape) for shape in (images.shape[1:], pixels.shape))
            found = f"{photos.path(used[0])} is {first} (height x width) but {photos.path(index)} is {other}"
            raise ValueError(f"load: {found}; give a size to crop all photos to squares of one size")
        images[len(used)] = pixels
        used.append(index)
    if not used:
        raise ValueError(f"load: none of the {len(indices)} photos of {photos.source} can be used; {problems[0]}")
    return images[: len(used)], used, problems


def _cropping(size: int | None) -> Callable[[Image.Image], np.ndarray]:
    """Make a function from a photo to (H, W, 3) uint8: its central square of `size` pixels, or all of it for None."""
    if size is None:
        return np.asarray
    unscaled = {"channels": "RGB", "scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    square = Preprocessing(resize=size, crop=(size, size), **unscaled)
    return lambda photo: np.asarray(square.crop_photo(photo))


def _check_part(function: str, part: str) -> None:
    if part not in ("train", "test"):
        raise ValueError(f'{function}: part is {part!r}; use "train" or "test"')


def minibatches(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffle the numbers 0 ... count - 1 and deal them out, `size` at a time; the last batch may be smaller.

    All that is random is drawn at once, when this is called: a checkpoint of `rng` before the call repeats the epoch.

    >>> [len(batch) for batch in minibatches(5, 2, np.random.default_rng(0))]
    [2, 2, 1]
    """
    if size < 1:
        raise ValueError(f"minibatches: size is {size}; a batch has at least one image")
    order = rng.permutation(count)
    return (order[first : first + size] for first in range(0, count, size))
