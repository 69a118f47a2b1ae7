"""Table 1 of the paper: does a net relate the same part of different objects, although nothing told it to?

Hide the same part in several photos. In photo i the features x_i of a layer become x~_i, and e_i = x_i - x~_i. If the
layer knows the part, hiding it changes all photos alike: the Hamming distance between sign(e_i) and sign(e_j), with
signs in {-1, 0, 1}, is small; Delta is its mean over pairs of photos, as a share of the units. Hiding random places
says what small means.

Letters: N photos, P parts, L layers, B kinds of random places, R draws, Q pairs of photos, M measures;
C feature maps, S places in a map, D units of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..backend import Array, array_module, to_device, to_numpy
from ..layers import ReLU
from ..network import Network
from ..parallel import share
from .correspondence import MEASURES, Correspondence
from .part_marks import MarkedPhotos, load_marks, place_marks
from .reading import photos_at_once
from .scanning import highest


class Pairs(NamedTuple):
    """How the signs of change of some photos differ.

    Attributes:
        delta: (Q,) share of all units whose signs differ.
        changed: (Q,) share of the units that change in either photo whose signs differ; 0 where none changes.
        zeros: share of units that do not change, mean over photos.
    """

    delta: np.ndarray
    changed: np.ndarray
    zeros: float


def correspond(net: Network, photos, marks, layers: Sequence[str] | None = None, *, draws: int = 50, seed: int = 0,
               crop: str = "photo", progress: bool = False) -> Correspondence:  # fmt: skip
    """Hide each marked part in every photo, and random places of the same size, and compare what changes.

    What is hidden takes the net's mean colour: zero in its input. There are three kinds of random places, each box as
    large as the part's in the same photo: anywhere "in the object" (the paper's, as we read it; it may meet a part);
    "the same place" in all objects, a random one, relative to their boxes; and "anywhere" in what the net sees.

    Delta is not quite fair to parts, so it comes in three measures. "units" is the paper's: the more units something
    changes, the larger it is, and parts that a layer knows change many. "changed" is a share of those that change in
    either photo. Both compare units by place, so hiding one place in two photos gives less than hiding two, whatever is
    there; "the same place" tells how much that explains. "maps" does without places: the signs are those of the change
    of each feature map's sum.

    Args:
        net: a network that says how photos are prepared.
        photos: a folder, zip, glob pattern or `Photos`; those without marks are left alone.
        marks: a JSON file, or a dict of its form; see `part_marks`.
        layers: names; None takes every ReLU.
        draws: how many times random places are drawn;  seed: from where; places do not depend on the layers.
        crop: "photo" or "object", see `place_marks`.
        progress: show a bar.
    Raises:
        ValueError: fewer than two photos are marked, no such layer, no ReLU, or marks that do not fit.

    Paper: Sec. 4.3, Table 1.
    """
    layers = _layers(net, layers)
    if draws < 1:
        raise ValueError(f"draws is {draws}; draw random places once at least")
    if seed < 0:
        raise ValueError(f"seed is {seed}; use 0 or more")
    marks = load_marks(marks)
    if len(marks) < 2:
        raise ValueError(f"only {next(iter(marks))} is marked; correspondence compares two photos at least")
    marked = place_marks(net, photos, marks, crop)
    at_random = random_boxes(marked, draws, seed)  # (B, P, R, N, 4)
    hidden = np.concatenate([marked.boxes, at_random.reshape(-1, *marked.objects.shape)])
    delta, zeros = _measure(net, marked.x, hidden, layers, progress)  # (M, P + B·P·R, L, Q), (P + B·P·R, L)
    count, kinds = len(marked.parts), at_random.shape[:3]
    random = delta[:, count:].reshape(len(MEASURES), *kinds, *delta.shape[2:])
    random_zeros = zeros[count:].reshape(*kinds, len(layers)).mean(axis=2)
    return Correspondence(
        net.name, layers, marked.parts, marked.names, crop, marked.boxes, marked.objects,
        delta[:, :count], np.moveaxis(random, 3, 4), zeros[:count], random_zeros,
    )  # fmt: skip


def compare_signs(signs: Array) -> Pairs:
    """Compare the signs of change of every two photos, in the order (0, 1), (0, 2) … (1, 2) …

    Args:
        signs: (D, N) of -1, 0 and 1, any dtype.

    >>> signs = np.array([[1, 1], [-1, 0], [1, -1], [0, 0]])  # four units, two photos
    >>> compare_signs(signs)
    Pairs(delta=array([0.5]), changed=array([0.66666667]), zeros=0.375)
    """
    signs = signs.astype(np.float32 if len(signs) < 2**24 else np.float64)  # sums of ones stay exact
    active = abs(signs)
    products, both = (to_numpy(a.T @ a).astype(np.float64) for a in (signs, active))  # (N, N)
    i, j = np.triu_indices(signs.shape[1], 1)
    count = both.diagonal()
    either = (count[i] + count[j]) - both[i, j]
    unequal = either - (both + products)[i, j] / 2  # equal signs add 2 there, opposite ones 0
    changed = np.divide(unequal, either, out=np.zeros(len(i)), where=either > 0)
    return Pairs(unequal / len(signs), changed, float(1 - count.mean() / len(signs)))


def random_boxes(marked: MarkedPhotos, draws: int, seed: int) -> np.ndarray:
    """Boxes as large as those of the parts, at each kind of random places: (B, P, R, N, 4)."""
    parts, count = marked.boxes.shape[:2]
    rng = np.random.default_rng(seed)
    own, shared, anywhere = (rng.random((draws, parts, n, 2)).swapaxes(0, 1) for n in (count, 1, count))
    sizes = (marked.boxes[..., 2:] - marked.boxes[..., :2])[:, None]  # (P, 1, N, 2)
    seen = np.broadcast_to([0, 0, *marked.x.shape[1:3]], marked.objects.shape)
    inside = [(own, marked.objects), (shared, marked.objects), (anywhere, seen)]  # in the order of PLACES
    return np.stack([_placed(sizes, where, bounds) for where, bounds in inside])


def _placed(sizes, where, bounds) -> np.ndarray:
    """Boxes of `sizes` (…, 2) in `bounds` (N, 4): `where` in [0, 1) runs from the first place there to the last."""
    room = bounds[:, 2:] - bounds[:, :2] - sizes
    corner = bounds[:, :2] + np.floor(where * (room + 1)).astype(np.int64)
    return np.concatenate([corner, corner + sizes], axis=-1)


def _layers(net, layers) -> list[str]:
    """The layers to look at, without doubles: those named, or every ReLU."""
    named = layers or [name for name, layer in net.layers.items() if isinstance(layer, ReLU)]
    if not named:
        raise ValueError(f"{net.name} has no ReLU; name the layers to compare: {', '.join(net.layers)}")
    return [net.name_of(layer) for layer in dict.fromkeys([named] if isinstance(named, str) else named)]


def _measure(net, x, hidden, layers, progress):
    """Hide boxes (K, N, 4), one in each photo: the three measures (M, K, L, Q), and the zeros among units (K, L)."""
    from tqdm import tqdm

    before, delta, zeros = _features(net, x, layers), [], []
    for boxes in tqdm(hidden, desc="hiding", unit=" times", disable=not progress):
        after = _features(net, _with_hidden(x, boxes), layers)

        def compare(some, after=after):
            return [_compared(before[layer] - after[layer]) for layer in some]

        found = [pairs for run in share(compare, layers, after[layers[0]]) for pairs in run]
        delta.append([(units.delta, units.changed, maps.delta) for units, maps in found])
        zeros.append([units.zeros for units, _ in found])
    return np.moveaxis(np.array(delta), 2, 0), np.array(zeros)


def _compared(change) -> tuple[Pairs, Pairs]:
    """Of a layer's change (C, S, N): its units compared, and the sums of its maps."""
    xp = array_module(change)
    totals = change.sum(axis=1, dtype=np.float64)
    return compare_signs(xp.sign(change).reshape(-1, change.shape[-1])), compare_signs(xp.sign(totals))


def _features(net, x, layers) -> dict[str, Array]:
    """The maps of some layers, each (C, S, N) with S places, 1 after Flatten.

    Photos go through the net in the same batches each time, so that a unit that sees nothing of what is hidden gets the
    same bits, and the difference there is exactly zero.
    """
    found = {layer: [] for layer in layers}
    size = photos_at_once(net, x.shape[:3])
    for first in range(0, x.shape[-1], size):
        batch = to_device(x[..., first : first + size])
        trace = net.forward(batch, until=highest(net, layers), keep=layers)
        for layer in layers:
            found[layer].append(trace[layer].reshape(len(trace[layer]), -1, batch.shape[-1]))
    return {layer: array_module(parts[0]).concatenate(parts, axis=2) for layer, parts in found.items()}


def _with_hidden(x, boxes) -> np.ndarray:
    """Photos with a box of each in the net's mean colour, which is zero in its input."""
    x = x.copy()
    for n, (top, left, bottom, right) in enumerate(boxes):
        x[:, top:bottom, left:right, n] = 0
    return x
