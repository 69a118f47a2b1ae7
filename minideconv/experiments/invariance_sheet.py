"""Fig. 5 as a sheet: a row for each transformation, a curve for each photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..display import mosaic
from ..figures import new_figure
from .photo_transforms import ROTATION, SCALE, TRANSFORMATIONS, TRANSLATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .feature_invariance import Invariance

UNITS = {TRANSLATION: "pixels downwards", SCALE: "factor", ROTATION: "degrees, counter-clockwise"}
LONGEST = 40  # letters of a photo's name in the legend


def invariance_sheet(found: Invariance) -> Figure:
    """Photos, distances in each layer, and the true class's probability where the net classifies."""
    classifies = found.probability is not None
    tall, wide = found.pictures.shape[2] * found.pictures.shape[3], found.pictures.shape[1] * found.pictures.shape[4]
    columns = 1 + len(found.layers) + classifies
    legend = 0.2 * -(-len(found.names) // 3)
    figure = new_figure(4.1 * columns, 3 * min(max(3.6 * tall / wide + 0.5, 2.9), 6) + 0.7 + legend)
    axes = figure.subplots(3, columns, squeeze=False)
    colours = _colours(len(found.names))
    farthest = 1.05 * max(np.nanmax(found.distance), np.nanmax(np.append(found.apart.mean(axis=1), 0)))
    for row, kind in enumerate(TRANSFORMATIONS):
        _pictures(axes[row, 0], found, row, colours)
        some = found.transformation == kind
        for number, layer in enumerate(found.layers):
            panel = axes[row, 1 + number]
            _curves(panel, found.amount[some], found.distance[number][:, some], colours, kind)
            if len(found.names) > 1:
                label = "other photos, on average"
                panel.axhline(found.apart[number].mean(), color="0.4", linestyle=":", linewidth=1, label=label)
            panel.set_title(f"{layer}: distance / length", fontsize=10)
            panel.set_ylim(0, farthest)
        if classifies:
            _curves(axes[row, -1], found.amount[some], found.probability[:, some], colours, kind)
            axes[row, -1].set_title("probability of the true class", fontsize=10)
            axes[row, -1].set_ylim(0, 1.02)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    labels = [*(_label(found, photo) for photo in range(len(found.names))), *labels[len(found.names) :]]
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, 3), fontsize=8, frameon=False)
    figure.suptitle(f"{found.net}: how far features move; beyond the photo's own edge: {found.edge}", fontsize=11)
    return figure


def _colours(count: int) -> list:
    import matplotlib

    return list(matplotlib.colormaps["tab10" if count <= 10 else "tab20"].colors[:count])


def _pictures(axes: Axes, found: Invariance, row: int, colours) -> None:
    """Photos below each other, amounts beside each other; a coloured mark says which curve is whose."""
    pictures = found.pictures[row].swapaxes(0, 1)  # (P, 5, h, w, 3)
    photos, versions, height, width, _ = pictures.shape
    axes.imshow(mosaic(pictures.reshape(-1, height, width, 3), versions))
    axes.set_xticks((np.arange(versions) + 0.5) * width, [f"{amount:g}" for amount in found.pictured[row]])
    axes.set_yticks((np.arange(photos) + 0.5) * height, ["■"] * photos)
    for tick, colour in zip(axes.get_yticklabels(), colours):
        tick.set_color(colour)
    kind = TRANSFORMATIONS[row]
    name = "vertical translation" if kind == TRANSLATION else kind
    axes.set_title(f"{name}, {UNITS[kind]}", fontsize=10)
    axes.tick_params(length=0, labelsize=8)
    for side in axes.spines.values():
        side.set_visible(False)


def _curves(axes: Axes, amount, values, colours, kind) -> None:
    """One curve a photo, (P, n) values against (n,) amounts in order."""
    order = np.argsort(amount, kind="stable")
    for photo, colour in enumerate(colours):
        axes.plot(amount[order], values[photo][order], color=colour, linewidth=1.3, label=str(photo))
    axes.set_xlabel(UNITS[kind], fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)


def _label(found: Invariance, photo: int) -> str:
    """A photo's name, and its class where there is one."""
    name = "/".join(Path(found.names[photo]).parts[-2:])
    name = name if found.number is None else f"{name}: {found.label(photo)}"
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
