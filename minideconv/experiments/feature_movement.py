"""The number behind Fig. 4: how far the features of each layer still move between epochs of training.

Feature maps are compared by correlation over a fixed set of photos, so what counts is which photos and places excite
a map, not how strongly all of them do. Letters: N photos, C feature maps, L layers, E epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..backend import Array, array_module, to_numpy
from ..figures import figure_png, new_figure
from ..files import write_table, write_whole
from ..layers import Linear, ReLU
from ..network import Network
from .snapshots import check_nets_and_photos, photo_batches

CONSTANT = 1e-10  # a map whose variance is a smaller part of its mean square is constant: float32 holds no more
SETTLED = 0.1  # distance from the last epoch: a mean correlation of 0.9 with what the features end as
COLUMNS = ("layer", "epoch", "moved_since_previous", "distance_to_last", "feature_maps", "constant_maps")


class Movement(NamedTuple):
    """How far the features of each layer change from epoch to epoch: `movement` says how that is measured.

    Attributes:
        layers: L names.
        step: (L, E - 1) distance between each epoch and the next; NaN if all maps are constant at both.
        remaining: (L, E) distance between each epoch and the last, where it is 0 (or NaN, likewise).
        channels: (L,) how many feature maps each layer has.
        constant: (L, E) how many of them are constant over all photos and positions; dead, if that constant is zero.
    """

    layers: list[str]
    step: np.ndarray
    remaining: np.ndarray
    channels: np.ndarray
    constant: np.ndarray


def movement(nets: Sequence[Network], photos: np.ndarray, layers: Sequence[str] | None = None, *,
             progress: bool = False) -> Movement:  # fmt: skip
    """Measure how far features move: 1 - the correlation of each map at one epoch with itself at another.

    Correlated over all photos and positions, then averaged over the maps of a layer. 0: the same photos and places
    excite the maps in the same proportion, whatever the factor; 1: nothing of that is left. A map that is constant at
    one of two epochs (dead, perhaps) has moved by 1 between them; one that is constant at both does not count.

    Args:
        nets: one net at several epochs, in order; two at least.
        photos: (N, H, W, C) uint8, as the nets see them.
        layers: their names; None takes all `feature_layers`.
        progress: show a bar.
    Raises:
        ValueError: if there is no such layer, no photo, or only one net.

    Not in the paper, which says of its pictures: "The lower layers of the model can be seen to converge within a few
    epochs. However, the upper layers only develop after a considerable number of epochs (40-50)".
    """
    from tqdm import tqdm

    check_nets_and_photos("movement", nets, photos, least=2)
    layers = [nets[0].name_of(name) for name in layers] if layers is not None else feature_layers(nets[0])
    sums, count = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0)
    with tqdm(total=len(photos) * len(nets), desc="movement", unit=" photos", disable=not progress) as bar:
        for _, x in photo_batches(nets[0], photos):
            found = _batch_moments(nets, x, layers, bar)
            for layer, (moments, values) in found.items():
                sums[layer] = sums[layer] + moments
                count[layer] += values
    parts = [_distances(sums[layer], count[layer]) for layer in layers]
    step, remaining, channels, constant = (np.array(part) for part in zip(*parts))
    return Movement(layers, step, remaining, channels, constant)


def feature_layers(net: Network) -> list[str]:
    """Every layer with weights, after its ReLU where it has one, but not the classifier: relu1, relu2 …

    A classifier's outputs are held by the labels: on Fashion-MNIST they move as little as the first layer's maps.
    """
    names, found = list(net.layers), []
    for name, after in zip(names, [*names[1:], None]):
        if net.layers[name].parameters:
            found.append(after if after and isinstance(net.layers[after], ReLU) else name)
    classifier = isinstance(net.layers[names[-1]], Linear)
    return found[:-1] if classifier and len(found) > 1 else found


def _batch_moments(nets, x, layers, bar):
    """{layer: (moments (4, E, C), values in a map)} of one batch: maps meet those of the epoch before and the last."""
    last, before, found = _features(nets[-1], x, layers), None, {layer: [] for layer in layers}
    for net in nets:
        now = last if net is nets[-1] else _features(net, x, layers)
        for layer, maps in now.items():
            found[layer].append(_moments(maps, (before or now)[layer], last[layer]))
        before = now
        bar.update(x.shape[-1])
    return {layer: (np.stack(found[layer], axis=1), maps.shape[1]) for layer, maps in last.items()}


def _features(net, x, layers) -> dict[str, Array]:
    """The maps of some layers, each (C, positions and photos)."""
    top = max(layers, key=list(net.layers).index)
    trace = net.forward(x, until=top, keep=layers)
    return {layer: trace[layer].reshape(len(trace[layer]), -1) for layer in layers}


def _moments(maps, before, last) -> np.ndarray:
    """Sums over all values of each map, in float64: itself, its square, its products with two others; (4, C)."""
    xp = array_module(maps)
    maps, before, last = (array.astype(np.float64) for array in (maps, before, last))
    products = [(maps * other).sum(axis=1) for other in (maps, before, last)]
    return to_numpy(xp.stack([maps.sum(axis=1), *products]))


def _distances(moments, count):
    """One layer's (4, E, C) sums of `count` values -> step (E - 1,), remaining (E,), C, constant maps (E,)."""
    mean, square, with_before, with_last = moments / count
    variance = square - mean**2
    moves = variance > CONSTANT * square  # (E, C)
    variance = np.where(moves, variance, 1.0)

    def distance(a, b, product):
        correlation = (product - mean[a] * mean[b]) / np.sqrt(variance[a] * variance[b])  # (…, C)
        each = np.where(moves[a] & moves[b], np.maximum(1 - correlation, 0), 1.0)
        counted = moves[a] | moves[b]
        total = np.where(counted, each, 0).sum(axis=-1)
        return np.where(counted.any(axis=-1), total / np.maximum(counted.sum(axis=-1), 1), np.nan)

    here, previous, end = slice(1, None), slice(None, -1), slice(-1, None)
    step = distance(here, previous, with_before[1:])
    remaining = distance(slice(None), end, with_last)
    return step, remaining, moves.shape[1], (~moves).sum(axis=1)


def settled(measured: Movement, epochs: Sequence[int], threshold: float = SETTLED) -> list[int | None]:
    """For each layer the epoch from which on its features stay within `threshold` of what they end as.

    None where that cannot be said, because all maps of the layer are constant at some epoch and at the last.
    The answer is one of the epochs that were measured, at the latest the last.
    """
    found = []
    for distances in measured.remaining:
        far = np.flatnonzero(~(distances <= threshold))
        first = far[-1] + 1 if len(far) else 0
        found.append(epochs[first] if first < len(epochs) else None)
    return found


def movement_table(measured: Movement, epochs: Sequence[int]) -> str:
    """A line for each layer: how far it moved between epochs, and when it was near what it ends as."""
    steps = _steps(epochs)
    width = max(7, *map(len, steps)) + 1
    name = max(map(len, ["layer", *measured.layers]))
    lines = ["layer".ljust(name) + "".join(step.rjust(width) for step in steps) + "  settled  constant maps"]
    for layer, row, when, constant, channels in zip(
        measured.layers, measured.step, settled(measured, epochs), measured.constant[:, -1], measured.channels
    ):
        cells = "".join(("-" if np.isnan(value) else f"{value:.3f}").rjust(width) for value in row)
        lines.append(f"{layer.ljust(name)}{cells}{'-' if when is None else when!s:>9}  {constant} of {channels}")
    return "\n".join(lines)


def save_movement_table(path, measured: Movement, epochs: Sequence[int]) -> None:
    """Write one row for each layer and epoch as CSV, see `COLUMNS`; what cannot be said is left empty."""
    table = [COLUMNS]
    for number, layer in enumerate(measured.layers):
        steps = ["", *map(_cell, measured.step[number])]
        rows = zip(epochs, steps, map(_cell, measured.remaining[number]), measured.constant[number])
        for epoch, step, remaining, constant in rows:
            table.append([layer, epoch, step, remaining, measured.channels[number], constant])
    write_table(path, table)


def _steps(epochs) -> list[str]:
    return [f"{before}-{after}" for before, after in pairwise(epochs)]


def _cell(value) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def save_movement_picture(path, measured: Movement, epochs: Sequence[int], title: str = "") -> None:
    """Draw both distances against epochs as a PNG, a line for each layer, low layers dark."""
    import matplotlib

    figure = new_figure(9.5, 4)
    between, left = figure.subplots(1, 2)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(measured.layers)))
    for layer, step, remaining, colour in zip(measured.layers, measured.step, measured.remaining, colours):
        between.plot(range(1, len(epochs)), step, "o-", color=colour, label=layer)
        left.plot(range(len(epochs)), remaining, "o-", color=colour, label=layer)
    left.axhline(SETTLED, color="grey", linestyle=":", label=f"settled: below {SETTLED}")
    steps = _steps(epochs)
    between.set_xticks(range(1, len(epochs)), steps, rotation=45 if len(steps) > 6 else 0)
    left.set_xticks(range(len(epochs)), epochs)
    between.set(title="moved between two epochs", xlabel="epochs", ylabel="1 - correlation", ylim=(0, None))
    left.set(title=f"still away from epoch {epochs[-1]}", xlabel="epoch", ylim=(0, None))
    for axes in (between, left):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    with write_whole(path) as file:
        file.write(figure_png(figure))
