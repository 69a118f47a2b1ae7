"""What the filters of a convolution do on photos: how many photos make each positive, and how much energy it has.

Letters: N photos, O filters of the layer, H rows, W columns.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..backend import array_module, to_device, to_numpy
from ..network import Network
from ..optimizer import renormalise_filters
from ..parallel import channel_slabs, share
from .reading import opened, photo_shape, photos_at_once, read_levels, told


class Responses(NamedTuple):
    """What the filters of one layer did on photos.

    Attributes:
        active: (O,) how many photos make a filter positive anywhere.
        energy: (O,) float64, the sum of its squared positive values over all places of all photos.
        photos: how many there were.
        skipped: those that could not be used, each with the reason.
    """

    active: np.ndarray
    energy: np.ndarray
    photos: int
    skipped: list[str]


def filter_responses(nets: Sequence[Network], photos, layer: str, progress: str | None = None) -> list[Responses]:
    """Run some nets over the same photos and add up what the positive part of one layer's output holds.

    Args:
        nets: of the same layers; photos are prepared as the first one says.
        photos: as for `scan`: `Photos` or what it takes, or (N, H, W, C) uint8. Photos that cannot be read are skipped.
        layer: a convolution.
        progress: what the bar on stderr says; None shows none.
    Returns:
        what each net did.
    Raises:
        ValueError: if the net does not say how photos are prepared, or not one photo can be used.
    """
    from tqdm import tqdm

    photos, net = opened(photos), nets[0]
    size = photos_at_once(net, photo_shape(net, photos))
    runs = [np.arange(first, min(first + size, len(photos))) for first in range(0, len(photos), size)]
    filters = net.layers[layer].out_channels
    sums, skipped, used = [[np.zeros(filters, np.int64), np.zeros(filters)] for _ in nets], {}, 0
    with tqdm(total=len(photos), desc=progress, unit=" photos", disable=progress is None) as bar:
        for run, (numbers, levels, lost) in zip(runs, read_levels(net, photos, runs)):
            skipped.update(lost)
            used += len(numbers)
            if len(numbers):
                x = to_device(net.preprocessing.scaled(levels))
                for one, (active, energy) in zip(nets, sums):
                    positive, squares = _positive_part(one.forward(x, until=layer, keep=[])[layer])
                    active += positive
                    energy += squares
            bar.update(len(run))
    if not used:
        raise ValueError(f"not one of the {len(photos)} photos can be used; the first: {told(photos, skipped)[0]}")
    return [Responses(active, energy, used, told(photos, skipped)) for active, energy in sums]


def _positive_part(maps) -> tuple[np.ndarray, np.ndarray]:
    """(O, H, W, n) -> in how many photos each filter is positive, and the energy of it: (O,) twice."""
    xp = array_module(maps)

    def work(slabs):
        found = []
        for slab in slabs:
            some = xp.maximum(maps[slab], 0)
            some = xp.ascontiguousarray(some.reshape(len(some), -1, maps.shape[3]).swapaxes(1, 2))  # (o, n, H·W)
            active = (some.max(axis=2) > 0).sum(axis=1)
            some *= some
            found.append((to_numpy(active), to_numpy(some.sum(axis=(1, 2), dtype=np.float64))))
        return found

    parts = chain.from_iterable(share(work, channel_slabs(maps), maps))
    active, energy = (np.concatenate(arrays) for arrays in zip(*parts))
    return active, energy


def renormalised(net: Network, layer: str, radius: float) -> Network:
    """The layers of a net up to `layer`, their filters scaled back to `radius` as after a step of the paper's training.

    Paper: Sec. 3.
    """
    names = list(net.layers)
    layers = [(name, copy.deepcopy(net.layers[name])) for name in names[: names.index(layer) + 1]]
    changed = Network(layers, name=net.name, input_shape=net.input_shape, preprocessing=net.preprocessing)
    renormalise_filters(changed, radius)
    return changed
