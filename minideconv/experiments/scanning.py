"""Sec. 4: which photos excite each feature map most? A scan over any number of them, in the memory of one batch.

    scan(net, Photos("holiday.zip"), ["relu1", "relu5"])  ->  Scan  ->  .layers["relu5"].top

The sorted list of photos is cut into fixed batches. What a scan has found is one small value, so it can be kept in a
file, gone on with, or merged with what other machines found (`scan_files`): the result is the same, bit for bit.
Letters: N photos, C feature maps, H rows, W columns, k photos kept for each map, B bins of a histogram.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..archives import Photos, pixels_hash
from ..backend import Array, array_module, to_device, to_numpy
from ..layers import ReLU
from ..network import Network
from ..weights import fingerprint
from .reading import opened, photo_shape, photos_at_once, read_levels

SHOWN_MAPS, SHOWN_PLACES = 20, 3  # in a notebook
EDGES = 2.0 ** (np.arange(-20, 41) / 2)  # of the histograms' bins, half an octave each, from 0.001 to a million


class TopActivations(NamedTuple):
    """Where each feature map of a layer is strongest: one position in each of k photos, strongest first.

    Attributes:
        image, row, column: (C, k) integers; image is -1 where there were fewer than k photos.
        value: (C, k) the activations there, NaN where there were fewer than k photos.
    """

    image: np.ndarray
    row: np.ndarray
    column: np.ndarray
    value: np.ndarray

    def _repr_html_(self) -> str:
        """In a notebook: a table of the first maps, with the three strongest activations of each."""
        lines = []
        for channel, unit in enumerate(zip(*(field[:SHOWN_MAPS, :SHOWN_PLACES].tolist() for field in self))):
            places = (place for place in zip(*unit) if place[0] >= 0)
            cells = ("{3:.4g} in photo {0} at {1}, {2}".format(*place) for place in places)
            lines.append(f"<tr><th>{channel}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        more = f"<caption>{SHOWN_MAPS} of {len(self.value)} maps</caption>" if len(self.value) > SHOWN_MAPS else ""
        return f"<table>{more}<tr><th>map</th><th colspan={SHOWN_PLACES}>strongest</th></tr>{''.join(lines)}</table>"


class LayerScan(NamedTuple):
    """What a scan knows of one layer.

    Attributes:
        top: the strongest activations of each map.
        active: (C,) how many photos make the map positive somewhere.
        bins: (C, B) how many of them have their strongest activation in each bin; `EDGES` are the borders.
    """

    top: TopActivations
    active: np.ndarray
    bins: np.ndarray


class Scan(NamedTuple):
    """What a scan has found so far; never changed, only replaced by the next.

    Attributes:
        settings: what must be equal for two scans to be of one kind: net, photos, layers, k, size of a batch.
        layers: {layer name: LayerScan}.
        done: (batches,) bool, which of the fixed batches are in it.
        skipped: {number of a photo: why it could not be used}.
    """

    settings: dict
    layers: dict[str, LayerScan]
    done: np.ndarray
    skipped: dict[int, str]

    @property
    def photos(self) -> int:
        """How many photos were used so far."""
        size = self.settings["batch_size"]
        sizes = np.minimum(self.settings["photos"] - size * np.arange(len(self.done)), size)  # the last may be smaller
        return int(sizes[self.done].sum()) - len(self.skipped)


# ------------------------------------------------------------------------------------------------------- the scan


def scan(net: Network, photos, layers: Sequence[str], k: int = 9, *, batch_size: int | None = None, batches=None,
         start: Scan | None = None, save: Callable[[Scan], None] | None = None, progress: str | None = None,
         ) -> Scan:  # fmt: skip
    """Find the k photos that excite each feature map of some layers most; all layers in one pass.

    Args:
        photos: `Photos`, or (N, H, W, C) uint8, cropped as the net sees them. Photos that cannot be read are skipped.
        layers: names; after Flatten, units are maps of one row and one column.
        k: photos for each map, in each its one strongest position.
        batch_size: photos that go through the net together; None chooses by the size of its maps.
        batches: which of the fixed batches to scan, None for all.
        start: what an earlier, unfinished scan found.
        save: called with the scan after each batch.
        progress: what the bar on stderr says; None shows none.
    Raises:
        ValueError: if there is no such layer or no photo, k or batch_size is below one, or not one photo can be used.

    Paper: Sec. 4, "the top 9 activations".
    """
    from tqdm import tqdm

    done = new_scan(net, photos, layers, k, batch_size) if start is None else start
    wanted = [n for n in (range(len(done.done)) if batches is None else batches) if not done.done[n]]
    size = done.settings["batch_size"]
    numbers = [np.arange(n * size, min((n + 1) * size, len(photos))) for n in wanted]
    with tqdm(total=sum(map(len, numbers)), desc=progress, unit=" photos", disable=progress is None) as bar:
        for batch, some, (used, levels, skipped) in zip(wanted, numbers, read_levels(net, photos, numbers)):
            done = joined(done, _one_batch(net, done, batch, used, levels, skipped))
            if save is not None:
                save(done)
            bar.update(len(some))
    if done.done.all():  # one shard of many may well hold nothing of use
        check_any(done, photos)
    return done


def check_any(done: Scan, photos=None) -> None:
    """Refuse a scan in which not one photo could be used; `photos` tell the name of the first."""
    if not done.photos:
        first = "the first" if photos is None else f"the first, {photos.path(0)}"
        raise ValueError(f"not one of the {len(done.skipped)} photos can be used; {first}: {done.skipped[0]}")


def top_activations(net: Network, photos, layer: str, k: int = 9, *, batch_size: int | None = None,
                    progress: bool = False) -> TopActivations:  # fmt: skip
    """Scan photos for the k that excite each feature map of one layer most.

    Args:
        photos: a folder, zip, glob pattern or list (as `Photos` takes them); or (N, H, W, C) uint8, cropped already.
        layer, k, batch_size: as for `scan`;  progress: show a bar.
    Returns:
        by activation, largest first, then by image, row and column, smallest first. Photos that cannot be read are
        skipped with a warning.
    Raises:
        ValueError: as `scan`.

    Paper: Sec. 4, "the top 9 activations".
    """
    photos = opened(photos)
    found = scan(net, photos, [layer], k, batch_size=batch_size, progress=layer if progress else None)
    if found.skipped:
        first, why = next(iter(found.skipped.items()))
        warnings.warn(f"{len(found.skipped)} photo(s) skipped; the first, {photos.path(first)}: {why}", stacklevel=2)
    return found.layers[layer].top


def rectified_maps(net: Network, input_shape) -> list[str]:
    """What is looked at where no layers are named: every ReLU that has maps, bottom up; the last layer if none has."""
    shapes = net.output_shapes(input_shape)
    named = [name for name, layer in net.layers.items() if isinstance(layer, ReLU) and len(shapes[name]) == 3]
    return named or [net.name_of(None)]


def new_scan(net: Network, photos, layers: Sequence[str], k: int = 9, batch_size: int | None = None) -> Scan:
    """A scan that has seen nothing yet."""
    layers = list(dict.fromkeys(net.name_of(layer) for layer in layers))
    if len(photos) == 0 or k < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"scan: {len(photos)} photos, k is {k}, batch_size {batch_size}; give one at least")
    input_shape = photo_shape(net, photos)
    shapes = net.output_shapes(input_shape)
    batch_size = batch_size or photos_at_once(net, input_shape)
    settings = {
        "net": fingerprint(net), "collection": _collection(photos), "photos": len(photos),
        "layers": layers, "k": k, "batch_size": batch_size,
    }  # fmt: skip
    none = TopActivations(*(np.empty((0, 0), kind) for kind in (np.int64, np.int64, np.int64, np.float32)))
    empty = {layer: LayerScan(_strongest(none, shapes[layer][0], k), *_no_counts(shapes[layer][0])) for layer in layers}
    return Scan(settings, empty, np.zeros(-(-len(photos) // batch_size), bool), {})


def _collection(photos) -> str:
    return photos.fingerprint() if isinstance(photos, Photos) else pixels_hash(photos)


def _no_counts(channels):
    return np.zeros(channels, np.int64), np.zeros((channels, len(EDGES) - 1), np.int64)


# ------------------------------------------------------------------------------------------------------- one batch


def _one_batch(net, scan, batch, used, levels, skipped) -> Scan:
    """What one batch of photos alone has to say: numbers (n,), levels (n, H, W, C)."""
    done, layers = np.zeros_like(scan.done), {}
    done[batch] = True
    if len(used):
        x = to_device(net.preprocessing.scaled(levels))
        trace = net.forward(x, until=highest(net, scan.layers), keep=list(scan.layers))
    for layer, before in scan.layers.items():
        if len(used):
            best = _best_positions(trace[layer], used)
            layers[layer] = LayerScan(best, (best.value > 0).sum(axis=1), _histograms(best.value))
        else:
            nothing = TopActivations(*(field[:, :0] for field in before.top))
            layers[layer] = LayerScan(nothing, *_no_counts(len(before.active)))
    return Scan(scan.settings, layers, done, skipped)


def highest(net: Network, layers: Sequence[str]) -> str:
    """The last of some layers on the way up."""
    return max(layers, key=list(net.layers).index)


def _best_positions(maps: Array, numbers: np.ndarray) -> TopActivations:
    """The strongest unit of each map in each photo, the first in row-major order among equals: fields (C, n)."""
    maps = maps if maps.ndim == 4 else maps[:, None, None]  # (C, H, W, n), also after Flatten
    channels, height, width, count = maps.shape
    flat = maps.transpose(0, 3, 1, 2).reshape(channels, count, height * width)
    where = flat.argmax(axis=2)
    value = array_module(flat).take_along_axis(flat, where[..., None], axis=2)[..., 0]
    row, column = np.divmod(to_numpy(where), width)
    return TopActivations(np.tile(numbers, (channels, 1)), row, column, to_numpy(value))


def _histograms(value: np.ndarray) -> np.ndarray:
    """How many photos' strongest activations, (C, n), lie in each bin; what is not active lies in none: (C, B)."""
    channels, bins = len(value), len(EDGES) - 1
    place = np.clip(np.searchsorted(EDGES, value, side="right") - 1, 0, bins - 1)
    which = (np.arange(channels)[:, None] * bins + place)[value > 0]
    return np.bincount(which, minlength=channels * bins).reshape(channels, bins)


# ------------------------------------------------------------------------------------------------------- joining


def joined(one: Scan, other: Scan) -> Scan:
    """Two scans of different batches as one."""
    layers = {name: _joined_layers(layer, other.layers[name]) for name, layer in one.layers.items()}
    skipped = dict(sorted({**one.skipped, **other.skipped}.items()))
    return Scan(one.settings, layers, one.done | other.done, skipped)


def _joined_layers(one: LayerScan, other: LayerScan) -> LayerScan:
    top = TopActivations(*(np.concatenate(fields, axis=1) for fields in zip(one.top, other.top)))
    top = _strongest(top, len(one.active), one.top.value.shape[1])
    return LayerScan(top, one.active + other.active, one.bins + other.bins)


def _strongest(found: TopActivations, channels: int, k: int) -> TopActivations:
    """The k strongest of (C, n) candidates, in order; where n < k, image -1 and value NaN fill the rest."""
    missing = k - found.value.shape[1]
    if missing > 0:
        filling = TopActivations(
            *(np.full((channels, missing), -1 if field.dtype.kind == "i" else np.nan, field.dtype) for field in found)
        )
        pairs = zip(found, filling)
        found = TopActivations(*(np.concatenate([field.reshape(channels, -1), none], axis=1) for field, none in pairs))
    # lexsort takes its last key first, and puts NaN at the end
    order = np.lexsort((found.column, found.row, found.image, -found.value), axis=1)[:, :k]
    return TopActivations(*(np.take_along_axis(field, order, axis=1) for field in found))
