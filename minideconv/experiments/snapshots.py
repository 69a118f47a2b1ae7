"""One net at several epochs of its training, and the fixed photos at which its features are looked at.

    snapshots(folder)  ->  (epoch, path) …  ->  choose_epochs  ->  load_snapshots  ->  nets, one an epoch
    probe_photos("fashion-mnist", nets[0].preprocessing)  ->  .photos (N, H, W, C) uint8  ->  photo_batches

What experiments on training share. Letters: N photos, H rows, W columns, C channels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backend import Array, to_device
from ..images import Preprocessing
from ..network import Network
from ..weights import describe, load_model
from .reading import evenly, photo_source, photos_at_once

PAPER_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
MOST_EPOCHS = 8  # where the paper's do not fit
MOST_PHOTOS = 256  # in one batch


def snapshots(folder) -> list[tuple[int, Path]]:
    """List the snapshots that training left in a folder, by epoch: (completed epochs, path).

    Raises:
        ValueError: if there is no such folder, or no file such as epoch-001.npz in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"snapshots: there is no folder {folder}; give the one that training wrote snapshots to")
    names = ((re.fullmatch(r"epoch-(\d{3}|[1-9]\d{3,})\.npz", path.name), path) for path in folder.iterdir())
    found = sorted((int(match[1]), path) for match, path in names if match)
    if not found:
        inner = folder / "snapshots"
        advice = f"try {inner}" if inner.is_dir() else "training writes one an epoch"
        raise ValueError(f"snapshots: no file in {folder} is called like epoch-001.npz; {advice}")
    return found


def choose_epochs(available: Iterable[int], wanted: Iterable[int] | None = None) -> list[int]:
    """The epochs to show: those wanted, else the paper's as far as they are there, else a few at even distances.

    Without a wish the last one is always among them: where training ended.

    Raises:
        ValueError: if one that is wanted is not there.

    >>> choose_epochs(range(13)), choose_epochs(range(41, 55))
    ([1, 2, 5, 10, 12], [41, 43, 45, 47, 48, 50, 52, 54])
    """
    available = sorted(available)
    if wanted is not None:
        wanted = sorted(set(wanted))
        missing = [epoch for epoch in wanted if epoch not in available]
        if missing or not wanted:
            raise ValueError(f"there is no snapshot of epoch {_listed(missing)}; there are {_listed(available)}")
        return wanted
    known = sorted({*PAPER_EPOCHS, available[-1]} & set(available))
    if len(known) >= 3:
        return known
    places = np.linspace(0, len(available) - 1, min(MOST_EPOCHS, len(available)))
    return [available[int(place)] for place in np.rint(places)]


def load_snapshots(paths: Sequence[Path]) -> list[Network]:
    """Load model files that must be of one net: the same layers, the same preparation of photos.

    Raises:
        ValueError: if one differs, or does not say how photos are prepared.
    """
    nets = [load_model(path) for path in paths]
    for net, path in zip(nets, paths):
        if net.preprocessing is None or net.input_shape is None:
            raise ValueError(f"load_snapshots: {path} does not say how photos are prepared, so it can be shown none")
        for key in ("layers", "preprocessing", "input_shape"):
            if describe(net)[key] != describe(nets[0])[key]:
                advice = "keep the snapshots of each run in a folder of their own"
                raise ValueError(f"load_snapshots: {path} and {paths[0]} differ in {key}; {advice}")
    return nets


class Probe(NamedTuple):
    """Photos at which features are looked at, the same at every epoch.

    Attributes:
        photos: (N, H, W, C) uint8, cropped as the net sees them; RGB or grey.
        numbers: (N,) the place of each in the sorted list of all photos of its source.
        skipped: the photos that could not be used, each with the reason.
    """

    photos: np.ndarray
    numbers: np.ndarray
    skipped: list[str]


def probe_photos(source, preprocessing: Preprocessing, limit: int = 1000) -> Probe:
    """Read at most `limit` photos, evenly spread over all that are there, so that every class folder has its share.

    Args:
        source: a folder, zip or glob pattern of photos; or "fashion-mnist", "cifar10" for their test photos.
        preprocessing: of the net; photos are resized and cropped as it says.
    Raises:
        ValueError: if no photo can be used, or the crops have different sizes.
        FileNotFoundError: if there is nothing of that name.
    """
    if limit < 1:
        raise ValueError(f"probe_photos: limit is {limit}; look at one photo at least")
    photos = photo_source(source)
    crops = list(photos.map(preprocessing.levels, evenly(len(photos), limit).tolist()))
    used = {number: pixels for number, pixels, problem in crops if not problem}
    skipped = [problem for _, _, problem in crops if problem]
    sizes = sorted({"{} x {}".format(*pixels.shape) for pixels in used.values()})
    if len(sizes) != 1:
        found = f"photos of different sizes, {_listed(sizes[:3])}" if sizes else f"no photo to use: {skipped[0]}"
        raise ValueError(f"probe_photos: in {source} there are {found}")
    return Probe(np.stack(list(used.values())), np.array(list(used)), skipped)


def photo_batches(net: Network, photos: np.ndarray) -> Iterator[tuple[int, Array]]:
    """Prepare the photos for a net, so many at a time that all its maps of them fit into memory.

    Args:
        photos: (N, H, W, C) uint8, cropped as the net sees them.
    Yields:
        the number of the first photo, and (C, H, W, n) float32 on the device.
    """
    size = batch_size(net, photos)
    for first in range(0, len(photos), size):
        yield first, to_device(net.preprocessing.scaled(photos[first : first + size]))


def batch_size(net: Network, photos: np.ndarray) -> int:
    """How many photos go through the net together; depends on sizes alone, so that it is the same at every epoch."""
    return photos_at_once(net, (photos.shape[3], *photos.shape[1:3]), MOST_PHOTOS)


def check_nets_and_photos(function: str, nets: Sequence[Network], photos: np.ndarray, least: int = 1) -> None:
    """Refuse too few nets, and everything but uint8 (N, H, W, C)."""
    if len(nets) < least:
        raise ValueError(f"{function}: got {len(nets)} epochs; give {least} at least, a net for each")
    if getattr(photos, "dtype", None) != np.uint8 or photos.ndim != 4 or not photos.size:
        found = f"{photos.dtype} {photos.shape}" if hasattr(photos, "shape") else type(photos).__name__
        raise ValueError(f"{function}: photos is {found}; expected uint8 (N, H, W, C), as probe_photos gives")
    nets[0].check_prepares()


def _listed(items) -> str:
    return ", ".join(map(str, items)) or "none"
