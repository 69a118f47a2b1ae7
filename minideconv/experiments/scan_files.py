"""A scan in a file: written as it goes, so that it can be stopped and resumed; parts of a collection, and their merge.

The file is a `.npz` of the exact numbers: `relu5.image`, `relu5.row`, `relu5.column`, `relu5.value` (C, k),
`relu5.active` (C,), `relu5.bins` (C, B), and a JSON string `__scan__` with the settings and which photos were skipped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import check_writable, write_whole
from ..weights import read_archive
from .scanning import EDGES, LayerScan, Scan, TopActivations, check_any, joined, new_scan, scan

FORMAT = 1
SAVE_EVERY = 5.0  # seconds
FIELDS = ("image", "row", "column", "value", "active", "bins")
WHAT = {  # a setting, and what it means that two scans differ in it
    "net": "another net, or other weights", "collection": "other photos, or changed ones", "photos": "other photos",
    "layers": "other layers", "k": "another k", "batch_size": "another batch size",
}  # fmt: skip


def save_scan(found: Scan, path, **more: np.ndarray) -> None:
    """Write a scan, whole or not at all; `more` arrays are kept beside it."""
    arrays = {}
    for name, layer in found.layers.items():
        fields = (*layer.top, layer.active, layer.bins)
        arrays.update({f"{name}.{field}": array for field, array in zip(FIELDS, fields)})
    about = {"format": FORMAT, "settings": found.settings, "skipped": found.skipped, "edges": EDGES.tolist()}
    text = np.array(json.dumps(about, sort_keys=True))
    with write_whole(path) as file:
        np.savez(file, __scan__=text, __done__=found.done, **arrays, **more)


def load_scan(path) -> Scan:
    """Read a scan back.

    Raises:
        ValueError: if the file is not a whole scan.
        FileNotFoundError: if it is not there.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no scan {path}; a scan is a .npz that `minideconv atlas` wrote")
    about, arrays = read_archive(path, "__scan__", "a scan", FORMAT)
    try:
        settings, layers = about["settings"], {}
        for name in settings["layers"]:
            *top, active, bins = (arrays[f"{name}.{field}"] for field in FIELDS)
            layers[name] = LayerScan(TopActivations(*top), active, bins)
            _check_shapes(layers[name], settings["k"])
            _check_places(layers[name].top, settings["photos"])
        done = arrays["__done__"]
        if done.dtype != bool or done.shape != (-(-settings["photos"] // settings["batch_size"]),):
            raise ValueError("its batches do not fit its photos")
        skipped = {int(number): str(why) for number, why in about["skipped"].items()}
        if not all(0 <= number < settings["photos"] for number in skipped):
            raise ValueError("it skipped photos that are not there")
        return Scan(settings, layers, done, skipped)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is no whole scan ({error}); scan again") from None


def _check_shapes(layer: LayerScan, k: int) -> None:
    channels = len(layer.active)
    kinds = "iiifii"
    shapes = [(channels, k)] * 4 + [(channels,), (channels, len(EDGES) - 1)]
    for field, array, shape, kind in zip(FIELDS, (*layer.top, layer.active, layer.bins), shapes, kinds):
        if array.shape != shape or array.dtype.kind != kind:
            raise ValueError(f"{field} is {array.dtype} {array.shape}, expected {shape}")


def _check_places(top: TopActivations, photos: int) -> None:
    there = top.image >= 0
    if top.image.min() < -1 or top.image.max() >= photos or not np.isfinite(top.value[there]).all():
        raise ValueError("it holds photos that are not there, or activations that are no numbers")
    if min(top.row[there].min(initial=0), top.column[there].min(initial=0)) < 0:
        raise ValueError("it holds units that are not there")


def resumed_scan(net, photos, layers: Sequence[str], path, k: int = 9, *, batch_size: int | None = None,
                 shard: tuple[int, int] = (1, 1), progress: str | None = None, note=print) -> Scan:  # fmt: skip
    """Scan photos, writing what was found to `path` as it goes; a second call goes on where the first was stopped.

    Args:
        net, photos, layers, k, batch_size, progress: as for `scan`.
        path: of the scan file.
        shard: (i, n), scan only the i-th of n parts of the collection, counted from 1, in whole batches.
        note: told in one line where it goes on.
    Raises:
        KeyboardInterrupt: with a line that says how far it came, after writing it.
        ValueError: as `scan`; there is no such shard, or `path` cannot be written or is a scan of other settings.
    """
    check_writable(path)
    start = new_scan(net, photos, layers, k, batch_size)
    batches = shard_batches(len(start.done), *shard)
    if Path(path).is_file():
        start = _gone_on(_earlier(path), start, path, note)
    keeper = _Keeper(path)
    try:
        found = scan(net, photos, layers, k, batches=batches, start=start, save=keeper, progress=progress)
    except KeyboardInterrupt:
        keeper.write()
        seen = keeper.latest.photos if keeper.latest else start.photos
        raise KeyboardInterrupt(f"stopped after {seen:,} photos; the same command goes on from there") from None
    if not np.array_equal(found.done, start.done) or not Path(path).is_file():
        save_scan(found, path)
    return found


def _earlier(path) -> Scan:
    try:
        return load_scan(path)
    except ValueError:
        raise ValueError(f"{path} is in the way: it is no scan to go on with; delete it or move it away") from None


def _gone_on(earlier: Scan, start: Scan, path, note) -> Scan:
    different = differences(earlier.settings, start.settings)
    if different:
        raise ValueError(f"{path} is a scan of {different}; delete it, or give another --out")
    note(f"{path} has {earlier.photos:,} photos already; going on")
    return earlier


class _Keeper:
    """Writes the latest scan to its file, every few seconds."""

    def __init__(self, path):
        self.path, self.latest, self.written = path, None, time.monotonic()

    def __call__(self, found: Scan) -> None:
        self.latest = found
        if time.monotonic() - self.written > SAVE_EVERY:
            self.write()

    def write(self) -> None:
        if self.latest is not None:
            save_scan(self.latest, self.path)
            self.written = time.monotonic()


def shard_batches(count: int, number: int, of: int) -> range:
    """The batches of one of `of` parts of a collection, counted from 1.

    >>> [list(shard_batches(7, i, 3)) for i in (1, 2, 3)]
    [[0, 1], [2, 3], [4, 5, 6]]
    """
    if not 1 <= number <= of:
        raise ValueError(
            f"there is no shard {number}/{of}; shards count from 1/{max(of, 1)} to {max(of, 1)}/{max(of, 1)}"
        )
    if of > count:
        raise ValueError(f"there are {count} batches of photos, too few for {of} shards; use at most {count}")
    return range(count * (number - 1) // of, count * number // of)


def merge_scans(paths: Sequence) -> Scan:
    """Put the scans of all parts of a collection together: the same, bit for bit, as one scan of all of it.

    Raises:
        ValueError: if they were made with unlike settings, overlap, or leave photos out; or not one can be used.
    """
    if not paths:
        raise ValueError("merge: give the scans of all shards")
    found = load_scan(paths[0])
    for path in paths[1:]:
        other = load_scan(path)
        different = differences(found.settings, other.settings)
        if different:
            raise ValueError(f"merge: {path} and {paths[0]} cannot be merged: one is of {different}")
        if (found.done & other.done).any():
            raise ValueError(f"merge: {path} holds photos that another shard holds, too; give each shard once")
        found = joined(found, other)
    if not found.done.all():
        missing = int((~found.done).sum())
        raise ValueError(f"merge: {missing} of {len(found.done)} batches are missing; finish and give all shards")
    check_any(found)
    return found


def differences(one: dict, other: dict) -> str:
    """In which settings two scans differ, in words; "" if they are of one kind."""
    return " and ".join(dict.fromkeys(words for key, words in WHAT.items() if one.get(key) != other.get(key)))
