"""Photos as a net sees them, run by run: what scans and pictures of any number of photos read.

Letters: N photos, C channels of a photo, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..archives import Photos
from ..datasets import is_official, load
from ..embedded import embedded_images
from ..network import Network

if TYPE_CHECKING:
    from PIL import Image

BATCH = 32  # photos that go through the net together, fewer if their maps are large
EMBEDDED = "fashion-mnist-1000"  # what the pictures that the package carries are called


def opened(photos) -> Photos | np.ndarray:
    """Photos that were cropped already, (N, H, W, C) uint8, stay as they are; everything else becomes `Photos`."""
    if isinstance(photos, np.ndarray):
        if photos.dtype != np.uint8 or photos.ndim != 4:
            raise ValueError(f"photos are {photos.dtype} {photos.shape}; an array of them is uint8 (N, H, W, C)")
        if not len(photos):
            raise ValueError("there are 0 photos; give one at least")
        return photos
    return photos if isinstance(photos, Photos) else Photos(photos)


def photo_source(source) -> Photos:
    """The photos behind what a command was given.

    Args:
        source: a folder, zip, glob pattern or photo; "fashion-mnist", "cifar10" or a folder with Fashion-MNIST's files
            for their test images; "fashion-mnist-1000" for those of them that the package carries.
    Raises:
        FileNotFoundError, ValueError: as `Photos` and `datasets.load`.
    """
    if source == EMBEDDED:
        images = embedded_images().images
    elif is_official(source):
        images = load(source, part="test").images
    else:
        return Photos(source)
    return Photos([_named(image, f"{source} {number}") for number, image in enumerate(images)])


def _named(pixels: np.ndarray, name: str) -> Image.Image:
    """Pixels (H, W, C) as a Pillow image that messages call by a name."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.filename = name
    return image


def evenly(count: int, limit: int) -> np.ndarray:
    """At most `limit` of `count` photos, evenly spread over all, so that every class folder has its share: (n,)."""
    if limit < 1:
        raise ValueError(f"limit is {limit}; look at one photo at least")
    return np.arange(min(limit, count)) * count // min(limit, count)


def photos_at_once(net: Network, input_shape, most: int = BATCH) -> int:
    """How many photos of a shape (C, H, W) go through a net together: `Network.images_at_once`."""
    return net.images_at_once(input_shape, most)


def read_levels(net: Network, photos, runs) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
    """Read some photos run by run, as the net sees them before scaling.

    Args:
        photos: `Photos`, or (N, H, W, C) uint8;  runs: lists of numbers.
    Yields:
        for each run the numbers (n,) that could be used, their levels (n, H, W, C) uint8, and {number: why not}.
    """
    if isinstance(photos, np.ndarray):
        for run in runs:
            yield np.asarray(run), photos[run], {}
        return
    channels, *size = photo_shape(net, photos)
    size = (*size, channels)
    read = photos.map(net.preprocessing.levels, [int(number) for run in runs for number in run])
    for run in runs:
        used, levels, skipped = [], np.empty((len(run), *size), np.uint8), {}
        for _ in run:
            number, pixels, problem = next(read)
            if problem is None and pixels.shape != size:
                problem = f"is {pixels.shape[0]} x {pixels.shape[1]} pixels, not {size[0]} x {size[1]}"
            if problem is None:
                levels[len(used)] = pixels
                used.append(number)
            else:  # without its path: a scan may be given away
                skipped[number] = problem.replace(photos.path(number), "").replace(" ;", ";").strip()
        yield np.array(used, np.int64), levels[: len(used)], skipped


def told(photos, skipped: dict[int, str]) -> list[str]:
    """{number: why a photo could not be used} as lines for people, each with the photo's path."""
    return [f"{photos.path(number)} {why}" for number, why in skipped.items()]


def check_none_lost(photos, lost: dict[int, str]) -> None:
    """Refuse to go on if photos that were scanned cannot be read any more."""
    for number, why in lost.items():
        raise ValueError(f"{photos.path(number)} has changed since it was scanned: {why}")


def photo_shape(net: Network, photos) -> tuple[int, int, int]:
    """(C, H, W) of the photos as the net sees them.

    Raises:
        ValueError: if the model file does not say it.
    """
    net.check_prepares()
    size = photos.shape[1:3] if isinstance(photos, np.ndarray) else net.preprocessing.crop
    size = size or (net.input_shape and net.input_shape[1:])
    if not size:
        raise ValueError(f"{net.name} does not say how large its photos are; set net.preprocessing with a crop")
    return (len(net.preprocessing.channels), *((size, size) if isinstance(size, int) else size))
