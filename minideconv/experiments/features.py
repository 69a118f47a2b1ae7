"""The features of a net for labelled photos: what Tables 4 to 7 train new classifiers on.

    labelled(photos) -> numbers, labels, classes        feature_layers(net) -> ["pool1", "pool2", "relu3", …]
    Features(net, photos, numbers, layers).kernel("pool1") -> (N, N) inner products of unit vectors

A linear classifier needs no more of a layer than the inner products of its photos, and those of 6,000 photos are 150 MB
where the features themselves are a gigabyte. Features are written to the cache as they come, in half precision; a
layer's are dropped when its kernel is there. Letters: N photos, D numbers of a photo at one layer.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import functional as F
from ..archives import Photos
from ..backend import Array, array_module, to_device, to_numpy
from ..files import safe_names, write_whole
from ..layers import AvgPool2d, GlobalAvgPool2d, MaxPool2d, ReLU
from ..network import Network
from ..weights import cache_folder, fingerprint
from .reading import photo_shape, photos_at_once, read_levels
from .scanning import highest

MOST = 2**16  # numbers of a photo at one layer; larger maps are averaged over cells
UNIT = 256.0  # what unit vectors are scaled to, so that half precision holds their small entries
COLUMNS = 4096  # of the features, multiplied at a time
NO_CATEGORIES = ("BACKGROUND_Google", "257.clutter")  # folders of Caltech-101 and -256 that are none of theirs


def labelled(photos: Photos, most: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Photos by the folder they lie in, which is their class; of a large class `most`, drawn from `seed`.

    So train/cat and test/cat are one class: photos are divided anew.

    Returns:
        numbers: (N,) of the photos, counting up;  labels: (N,) indices into `classes`;  classes: sorted names.
    Raises:
        ValueError: fewer than two class folders.
    """
    folders = [name.split("/")[-2] if "/" in name else None for name in photos.names]
    classes = sorted({name for name in folders if name and name not in NO_CATEGORIES})
    if len(classes) < 2:
        found = f"one class folder, {classes[0]}" if classes else "no class folders"
        raise ValueError(
            f"{photos.source} has {found}; put the photos of each class in a folder of its own (cat/1.jpg)"
        )
    numbers = []
    for label, name in enumerate(classes):
        own = [i for i, folder in enumerate(folders) if folder == name]
        numbers += sorted(np.random.default_rng([seed, label]).permutation(own)[:most].tolist())
    numbers.sort()
    return np.array(numbers), np.array([classes.index(folders[i]) for i in numbers]), classes


def feature_layers(net: Network) -> list[str]:
    """What a new classifier may stand on: the last ReLU or pool after each layer with weights, bottom up.

    For AlexNet pool1, pool2, relu3, relu4, pool5, relu6, relu7: the paper's layers 1 to 7.
    """
    stages = [None]
    for name, layer in net.layers.items():
        if layer.parameters:
            stages.append(None)
        elif isinstance(layer, (ReLU, MaxPool2d, AvgPool2d, GlobalAvgPool2d)):
            stages[-1] = name
    found = [name for name in stages[1:] if name]
    if not found:
        raise ValueError(f"{net.name} has no ReLU or pool after a layer with weights; there are no features to use")
    return found


def cell_size(shape: tuple[int, ...], most: int = MOST) -> int:
    """The side of the square cells that maps (C, H, W) are averaged over, so that at most `most` numbers remain.

    >>> cell_size((64, 27, 27)), cell_size((64, 224, 224)), cell_size((4096,))
    (1, 7, 1)
    """
    if len(shape) == 1:
        return 1
    channels, height, width = shape
    fitting = (k for k in range(1, max(height, width)) if channels * -(-height // k) * -(-width // k) <= most)
    return next(fitting, max(height, width))


def averaged(maps: Array) -> Array:
    """Maps (C, H, W, N) or vectors (D, N) as vectors (D, N), averaged over cells where they are large."""
    cell = cell_size(maps.shape[:-1])
    if cell > 1:
        maps, _ = F.avg_pool2d(maps, cell, ceil_mode=True)
    return maps.reshape(-1, maps.shape[-1])


class Features:
    """The features of some photos at some layers, in a folder of the cache; what is there is not computed again.

    Args:
        net, photos: which;  numbers: (N,) of the photos;  layers: names.
    Attributes:
        folder: where they are kept. It may be deleted at any time.
        skipped: {photo: why it could not be used}, after `extract`.
    """

    def __init__(
        self, net: Network, photos: Photos, numbers: np.ndarray, layers: Sequence[str], batch: int | None = None
    ):
        self.net, self.photos, self.numbers, self.layers = net, photos, numbers, list(layers)
        self.input_shape = photo_shape(net, photos)
        self.batch = batch or photos_at_once(net, self.input_shape)
        self.shapes = net.output_shapes(self.input_shape)
        about = [fingerprint(net), photos.fingerprint(), numbers.tolist(), self.batch, MOST]
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        called = re.sub(r"[^\w.-]", "_", f"{net.name}-{photos.source.stem}")[:50]  # a net may be called ../../x
        self.folder = cache_folder() / "features" / f"{called}-{key}"
        self._skips, self._files = self.folder / "skipped.json", safe_names(net.layers)
        self.skipped: dict[int, str] = {}

    def length(self, layer: str) -> int:
        """D, the numbers of a photo."""
        shape, cell = self.shapes[layer], cell_size(self.shapes[layer])
        return shape[0] * int(np.prod([-(-side // cell) for side in shape[1:]], dtype=int))

    def extract(self, progress: bool = True) -> None:
        """Run the photos through the net, as far as that has not been done; photos that cannot be read get zeros."""
        from tqdm import tqdm

        self.folder.mkdir(parents=True, exist_ok=True)
        if progress:
            tqdm.write(f"features are kept in {self.folder}, which may be deleted at any time", file=sys.stderr)
        if self._skips.exists():
            self.skipped = {int(key): why for key, why in json.loads(self._skips.read_text()).items()}
        missing = [layer for layer in self.layers if not (self._kernel(layer).exists() and self._kept(layer))]
        if not missing:
            return
        count = len(self.numbers)
        done = min(map(self._written, missing)) // self.batch * self.batch
        done = count if min(map(self._written, missing)) == count else done
        runs = [self.numbers[first : first + self.batch] for first in range(done, count, self.batch)]
        for layer in missing:  # rows that only some layers have are computed again
            with open(self._rows(layer), "ab") as file:
                file.truncate(done * self._row(layer).itemsize)
        with tqdm(total=count, initial=done, desc="features", unit=" photos", disable=not progress) as bar:
            for run, (used, levels, lost) in zip(runs, read_levels(self.net, self.photos, runs)):
                if lost:
                    self.skipped.update({int(number): why for number, why in lost.items()})
                    with write_whole(self._skips) as file:
                        file.write(json.dumps(self.skipped).encode())
                self._append(missing, np.isin(run, used), levels)
                bar.update(len(run))

    def _append(self, layers, there: np.ndarray, levels: np.ndarray) -> None:
        """Write the features of one batch behind those that are there."""
        rows = {layer: np.zeros(len(there), self._row(layer)) for layer in layers}
        if there.any():
            x = to_device(self.net.preprocessing.scaled(levels))
            trace = self.net.forward(x, until=highest(self.net, layers), keep=layers)
            for layer in layers:
                rows[layer]["length"][there], rows[layer]["unit"][there] = _packed(averaged(trace[layer]))
        for layer in layers:
            with open(self._rows(layer), "ab") as file:
                file.write(rows[layer].tobytes())

    def kernel(self, layer: str) -> np.ndarray:
        """(N, N) float32, the inner products of the photos' features, each scaled to unit length.

        A photo that was skipped, or none of whose features is active, has a row of zeros.
        """
        if not self._kernel(layer).exists():
            found = gram(np.fromfile(self._rows(layer), self._row(layer))["unit"]) / np.float32(UNIT**2)
            with write_whole(self._kernel(layer)) as file:
                np.save(file, found)
            if layer != self.layers[-1]:
                self._rows(layer).unlink()
        return np.load(self._kernel(layer))

    def vectors(self, layer: str) -> np.ndarray:
        """(D, N) float32, the features themselves; they are kept for the last layer only."""
        rows = np.fromfile(self._rows(layer), self._row(layer))
        return np.ascontiguousarray((rows["unit"] * (rows["length"] / np.float32(UNIT))[:, None]).T)

    def _row(self, layer: str) -> np.dtype:
        return np.dtype([("length", "<f4"), ("unit", "<f2", (self.length(layer),))])

    def _written(self, layer: str) -> int:
        path = self._rows(layer)
        return path.stat().st_size // self._row(layer).itemsize if path.exists() else 0

    def _kept(self, layer: str) -> bool:
        return layer != self.layers[-1] or self._written(layer) == len(self.numbers)

    def _rows(self, layer: str) -> Path:
        return self.folder / f"{self._files[layer]}.rows"

    def _kernel(self, layer: str) -> Path:
        return self.folder / f"{self._files[layer]}.kernel.npy"


def _packed(vectors: Array) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (D, n) as their lengths (n,) and as rows (n, D) of that length `UNIT`, in half precision."""
    xp = array_module(vectors)
    length = xp.sqrt((vectors * vectors).sum(axis=0))
    unit = vectors * (UNIT / xp.maximum(length, 1e-30))
    return to_numpy(length), to_numpy(unit.T.astype(np.float16))


def gram(rows: np.ndarray) -> np.ndarray:
    """The inner products of all pairs of rows (N, D), some columns at a time: (N, N) float32.

    >>> gram(np.array([[1, 2], [3, 4]], np.float16))
    array([[ 5., 11.],
           [11., 25.]], dtype=float32)
    """
    from scipy.linalg.blas import ssyrk

    found = np.zeros((len(rows), len(rows)), np.float32, order="F")
    for first in range(0, rows.shape[1], COLUMNS):
        part = rows[:, first : first + COLUMNS].astype(np.float32)
        found = ssyrk(1.0, part.T, beta=1.0, c=found, trans=1, lower=1, overwrite_c=1)  # the lower half
    for row in range(len(found)):  # in place: another matrix of this size may not fit
        found[row, row + 1 :] = found[row + 1 :, row]
    return found
