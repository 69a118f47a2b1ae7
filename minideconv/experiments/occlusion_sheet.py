"""Fig. 7 as a sheet: what the net made of a photo while a square moved over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..display import display
from ..figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .occlusion_sensitivity import Occlusion

HEAT = "viridis"  # dark where hiding the place costs most
CLEAR = 0.6  # how much of a heat map covers the photo below it, which is drawn grey
NAMED = 9  # classes that get a colour and a line in the legend
OTHERS = "0.75"  # the colour of the rest
LONGEST = 34  # letters of a class name in a legend or title


def occlusion_sheet(seen: Occlusion) -> Figure:
    """Photo, activity and projection; below them, where the net classifies, probability, classes and their names."""
    classifies = seen.probability is not None
    tall, wide = seen.photo.shape[:2]
    panel = min(max(tall / wide, 0.5), 1.6) * 3.4 + 0.8  # inches, with its title
    figure = new_figure(13, panel * (1 + classifies) + 0.5)
    axes = figure.subplots(1 + classifies, 3, squeeze=False)
    _photo(axes[0, 0], seen)
    total = f"{seen.layer} map {seen.channel}"
    _heat(axes[0, 1], seen, seen.activity, f"total activity of {total}\n({seen.whole_activity:.4g} without the square)")
    _projection(axes[0, 2], seen, total)
    if classifies:
        title = f"probability of {_short(seen.label(seen.number))}\n({seen.whole_probability:.3f} without the square)"
        _heat(axes[1, 0], seen, seen.probability, title, vmin=0)
        _classes(axes[1, 1], axes[1, 2], seen)
    title = f"{seen.net}, {Path(seen.name).name}: {seen.findings()[0]}. A cell of a map is where its centre was."
    figure.suptitle(title, fontsize=11)
    return figure


def _photo(axes: Axes, seen: Occlusion) -> None:
    """The photo with the square in the place that costs most activity, and what the projected unit can see."""
    photo, (row, column) = seen.photo.copy(), np.unravel_index(seen.activity.argmin(), seen.activity.shape)
    top, left = int(seen.top[row]), int(seen.left[column])
    photo[top : top + seen.size, left : left + seen.size] = seen.colour
    _show(axes, photo, "the photo; the square is where\nhiding costs most activity")
    _outline(axes, top, left, top + seen.size, left + seen.size, "tab:orange")


def _projection(axes: Axes, seen: Occlusion, total: str) -> None:
    """The map's strongest activation, projected to pixels: zero is mid-grey."""
    if seen.channels is None:
        axes.set_axis_off()
        return
    _show(axes, display(seen.projection, channels=seen.channels), f"projection of {total}:\nits strongest activation")
    _outline(axes, *seen.box, "0.2")


def _heat(axes: Axes, seen: Occlusion, values: np.ndarray, title: str, **limits) -> None:
    """A heat map over the photo, each cell around the centre of the square, with its colour bar."""
    _show(axes, _grey(seen.photo), title)
    mesh = axes.pcolormesh(*_edges(seen), values, cmap=HEAT, alpha=CLEAR, linewidth=0, **limits)
    axes.figure.colorbar(mesh, ax=axes, shrink=0.8).solids.set_alpha(1)


def _classes(axes: Axes, legend: Axes, seen: Occlusion) -> None:
    """The most probable class at each place, and beside it what the colours mean; the true class is the first."""
    import matplotlib
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    numbers, counts = np.unique(seen.best, return_counts=True)
    order = sorted(zip(numbers.tolist(), counts.tolist()), key=lambda one: (one[0] != seen.number, -one[1], one[0]))
    named, rest = order[:NAMED], sum(count for _, count in order[NAMED:])
    colours = [*matplotlib.colormaps["tab10"].colors[: len(named)], OTHERS]
    kinds = np.full(seen.best.shape, len(named))
    for kind, (number, _) in enumerate(named):
        kinds[seen.best == number] = kind
    _show(axes, _grey(seen.photo), "the most probable class")
    colour_map = ListedColormap(colours)
    axes.pcolormesh(*_edges(seen), kinds, cmap=colour_map, vmin=-0.5, vmax=len(named) + 0.5, alpha=CLEAR, linewidth=0)
    labels = [f"{_short(seen.label(number))}: {_places(count)}" for number, count in named]
    labels += [f"{len(order) - NAMED} other classes: {_places(rest)}"] if rest else []
    handles = [Patch(color=colour, alpha=CLEAR) for colour in colours[: len(labels)]]
    legend.set_axis_off()
    legend.legend(handles, labels, loc="center left", frameon=False, title="most probable class", alignment="left")


def _show(axes: Axes, picture: np.ndarray, title: str) -> None:
    """A picture whose axes count pixels."""
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    axes.set_title(title, fontsize=10)
    axes.tick_params(labelsize=8)
    axes.set(xlim=(0, width), ylim=(height, 0))


def _outline(axes: Axes, top, left, bottom, right, colour) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.5))


def _edges(seen: Occlusion) -> tuple[np.ndarray, np.ndarray]:
    """Where cells begin and end, (Q + 1,) and (P + 1,) pixels: half-way between the square's centres."""
    return _halves(seen.left + seen.size / 2, seen.size), _halves(seen.top + seen.size / 2, seen.size)


def _halves(centres, size) -> np.ndarray:
    if len(centres) == 1:
        return centres[0] + np.array([-size / 2, size / 2])
    steps = np.diff(centres) / 2
    return np.concatenate([centres[:1] - steps[0], centres[:-1] + steps, centres[-1:] + steps[-1]])


def _grey(photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB -> (H, W) brightness, lightened, so that the colours over it mean something."""
    return 80 + photo @ np.array([0.299, 0.587, 0.114]) * (175 / 255)


def _short(name: str) -> str:
    """A class name for a legend: cut to a length."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _places(count: int) -> str:
    return f"{count} place{'s' if count != 1 else ''}"
