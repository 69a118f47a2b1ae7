"""A diagnosis in words and as a sheet: each number with what it means, and what the paper changed because of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..display import MID_GREY, display, display_scale
from ..figures import new_figure
from .filter_spectra import BANDS, energy_beyond, radial_energy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .architecture_selection import Diagnosis

SHOWN = 256  # filters on a sheet at most, those that alias most
NUMBERED = 100  # up to so many, each has its number
MARKED = "tab:orange"
GAP = 0.06  # between tiles, of a tile


# -------------------------------------------------------------------------------------------------------- in words


def diagnosis_title(found: Diagnosis) -> str:
    """`alexnet, conv1: 64 filters of 11 x 11, stride 4`."""
    size = "{} x {}".format(*found.filters.shape[2:])
    return f"{found.net}, {found.layer}: {len(found.rms)} filters of {size}, stride {_pair(found.stride)}"


def diagnosis_findings(found: Diagnosis) -> list[tuple[str, str, str]]:
    """(what, its number, one sentence) for each finding."""
    said = [_aliasing(found), _bands(found), _sizes(found)]
    if found.photos is not None:
        said += [_dead(found), _dominating(found), _renormalised(found)]
    return said


def _aliasing(found) -> tuple[str, str, str]:
    count, of = int(found.aliases.sum()), len(found.rms)
    noise = energy_beyond(np.ones((1, *found.spectra.shape[1:])), found.stride)[0]
    carried = " x ".join(f"{0.5 / s:.3g}" for s in dict.fromkeys(found.stride))
    what = (
        f"More than half of their energy is above {carried} cycles a {unit(found)}, where stride {_pair(found.stride)} "
        f"turns it into false lower frequencies (of white noise's energy {noise:.0%} is). The paper saw the traces in "
        "second-layer projections, and went from stride 4 to 2."
    )
    if found.stride == (1, 1):
        what = "A stride of 1 carries every frequency, so that nothing can alias; the paper went from stride 4 to 2."
    return "filters that alias", f"{count} of {of}", what


def _bands(found) -> tuple[str, str, str]:
    low, middle, high = np.nanmean(found.bands, axis=0) if found.rms.any() else (np.nan,) * 3
    resolved = 1 / max(found.filters.shape[2:])
    return (
        "energy low, middle, high", f"{low:.0%}, {middle:.0%}, {high:.0%}",
        f"Below {BANDS[0]}, up to {BANDS[1]}, and above, in cycles a {unit(found)}, mean of all filters; filters of "
        f"this size tell frequencies {resolved:.2f} apart. The paper found very low and very high ones with little "
        "between, and went from 11 x 11 to 7 x 7.",
    )  # fmt: skip


def _sizes(found) -> tuple[str, str, str]:
    there = found.rms[found.rms > 0]
    spread = _spread(there)
    after = _spread(found.rms_renormalised[found.rms > 0])
    scale = ""
    if found.levels:
        scale = f"; the paper's photos have levels of -128 to 128, for which 0.1 is {0.1 * found.levels:.2g} here"
    return (
        f"filters above RMS {found.radius:g}", f"{int(found.scaled_back.sum())} of {len(found.rms)}",
        f"Renormalisation would scale them back: the largest is {spread} times the smallest now, {after} times then. "
        f"The paper does so after each training step{scale}.",
    )  # fmt: skip


def _dead(found) -> tuple[str, str, str]:
    return (
        "dead filters", f"{int(found.dead.sum())} of {len(found.rms)}",
        f"Positive nowhere on {found.photos:,} photos, so that nothing above can use them. The paper's 7 x 7 filters "
        "with stride 2 left fewer dead than AlexNet's.",
    )  # fmt: skip


def _dominating(found) -> tuple[str, str, str]:
    strongest = int(found.energy.argmax())
    return (
        "filters that dominate", f"{int(found.dominating.sum())} of {len(found.rms)}",
        f"They hold more than four times an equal share of the layer's energy on the photos; the strongest, filter "
        f"{strongest}, holds {found.energy[strongest]:.1%} where {1 / len(found.rms):.1%} would be equal. The paper "
        "saw a few dominate in training, and began to renormalise.",
    )  # fmt: skip


def _renormalised(found) -> tuple[str, str, str]:
    strongest = int(found.energy_renormalised.argmax())
    most = found.energy_renormalised[strongest]
    return (
        "strongest, renormalised", f"{most:.1%}",
        f"What the strongest filter, {strongest} then, would hold if these very filters were scaled back now (biases "
        "stay); a net that is trained so adapts to it, this one could not.",
    )  # fmt: skip


def unit(found: Diagnosis) -> str:
    """What frequencies count by: a pixel of the photo, or a cell of the maps below, with its size."""
    return "pixel" if found.below is None else f"cell of {found.below} ({_pair(found.cell)} pixels)"


def _pair(pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"


def _spread(rms) -> str:
    return f"{rms.max() / rms.min():.1f}" if len(rms) else "-"


# -------------------------------------------------------------------------------------------------------- as a sheet


def diagnosis_figure(found: Diagnosis) -> Figure:
    """Filters beside their spectra, those that alias most first and framed; below, charts of the same numbers.

    With stride 1, where nothing aliases, those with most energy at high frequencies come first.
    """
    dense = found.stride == (1, 1)
    key, first = (found.bands[:, 2], "highest frequencies first") if dense else (found.aliasing, "most aliasing first")
    order = np.argsort(-np.nan_to_num(key, nan=-1), kind="stable")[:SHOWN]
    figure = new_figure(13.5, 10.2)
    above, below = figure.subfigures(2, 1, height_ratios=(6.9, 3.3))
    filters, spectra = above.subplots(1, 2)
    which = f"{len(order)} filters" if len(order) < len(found.rms) else "filters"
    which += "" if found.channels else f", sizes over {found.filters.shape[1]} maps"
    _tiles(filters, _filter_pictures(found)[order], order, found.aliases, None)
    filters.set_title(f"{which}, {first}{'' if dense else '; orange: aliases'}")
    _tiles(spectra, _spectrum_pictures(found)[order], order, found.aliases, found.stride)
    spectra.set_title(f"their spectra, zero in the middle{'' if dense else '; box: what the stride carries'}")
    charts = below.subplots(1, 3)
    (_bands_chart if dense else _aliasing_chart)(charts[0], found)
    _radial_chart(charts[1], found)
    (_rms_chart if found.photos is None else _energy_chart)(charts[2], found)
    for axes in charts:
        axes.grid(alpha=0.3)
    figure.suptitle(diagnosis_title(found))
    return figure


def _filter_pictures(found) -> np.ndarray:
    """(O, KH, KW, 3) uint8, on one scale; of maps the root mean square over all maps, each filter on its own scale."""
    if found.channels is None:
        size = np.sqrt((found.filters.astype(np.float64) ** 2).mean(axis=1))  # (O, KH, KW)
        levels = 255 * size / np.maximum(size.max(axis=(1, 2), keepdims=True), np.finfo(float).tiny)
        return np.repeat(levels[..., None], 3, axis=3).astype(np.uint8)
    scale = display_scale(found.filters) or None
    return np.stack([display(one, scale, found.channels) for one in found.filters])


def _spectrum_pictures(found) -> np.ndarray:
    """(O, S, S, 3) uint8: amplitude relative to each filter's largest, frequency zero in the middle."""
    import matplotlib

    amplitude = np.sqrt(np.fft.fftshift(found.spectra, axes=(1, 2)))
    largest = amplitude.max(axis=(1, 2), keepdims=True)
    relative = np.divide(amplitude, largest, out=np.zeros_like(amplitude), where=largest > 0)
    return matplotlib.colormaps["magma"](relative, bytes=True)[..., :3]


def _tiles(axes, pictures, order, marked, stride) -> None:
    """Lay pictures (n, h, w, 3) out in a square; tile n lies in column, row of n, each one wide and high."""
    from matplotlib.patches import Rectangle

    columns = math.ceil(math.sqrt(len(pictures)))
    for place, (picture, number) in enumerate(zip(pictures, order)):
        row, column = divmod(place, columns)
        left, top, side = column + GAP / 2, row + GAP / 2, 1 - GAP
        axes.imshow(picture, extent=(left, left + side, top + side, top), interpolation="nearest")
        if marked[number]:
            axes.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=MARKED, linewidth=1.5))
        if stride is not None and stride != (1, 1):
            high, wide = (side / s for s in stride)
            corner = (left + (side - wide) / 2, top + (side - high) / 2)
            axes.add_patch(Rectangle(corner, wide, high, fill=False, edgecolor="white", linewidth=0.6))
        if len(pictures) <= NUMBERED:
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
            axes.text(left + 0.03, top + 0.03, str(number), va="top", fontsize=5.5, bbox=box)
    grey = MID_GREY / 255
    axes.set(xlim=(0, columns), ylim=(math.ceil(len(pictures) / columns), 0), aspect="equal", facecolor=(grey,) * 3)
    axes.set_axis_off()


def _aliasing_chart(axes, found) -> None:
    shares = np.sort(np.nan_to_num(found.aliasing))[::-1]
    axes.bar(range(len(shares)), 100 * shares, width=1.0, color=np.where(shares > 0.5, MARKED, "tab:blue"))
    axes.axhline(50, color="grey", linestyle=":")
    axes.set(title=f"{int(found.aliases.sum())} of {len(shares)} alias", xlabel="filters, sorted", ylim=(0, 100),
             ylabel=f"energy above 1 / (2 · {_pair(found.stride)}), %")  # fmt: skip


def _bands_chart(axes, found) -> None:
    bands = 100 * np.nan_to_num(found.bands[np.argsort(-np.nan_to_num(found.bands[:, 2]))])  # (O, 3)
    names = (f"above {BANDS[1]}", f"{BANDS[0]} to {BANDS[1]}", f"below {BANDS[0]}")
    axes.stackplot(range(len(bands)), *bands[:, ::-1].T, labels=names, colors=("tab:blue", "lightblue", "lightgrey"))
    axes.set(title="bands: nothing aliases at stride 1", xlabel="filters, sorted", ylim=(0, 100),
             ylabel="energy, %")  # fmt: skip
    axes.legend()


def _radial_chart(axes, found) -> None:
    frequency, energy = radial_energy(found.spectra)
    axes.plot(frequency, energy, "o-", markersize=3)
    axes.axhline(1, color="grey", linestyle=":", label="a delta, or white noise")
    for border in BANDS:
        axes.axvline(border, color="grey", linewidth=0.8)
    if max(found.stride) > 1:
        axes.axvline(0.5 / max(found.stride), color=MARKED, label=f"1 / (2 · {max(found.stride)})")
    axes.set(title="mean spectrum of all filters", ylabel="energy of a frequency (mean of all: 1)", ylim=(0, None),
             xlabel=f"cycles a {unit(found)}, any direction")  # fmt: skip
    axes.legend()


def _energy_chart(axes, found) -> None:
    for energy, label in ((found.energy, "as it is"), (found.energy_renormalised, "renormalised")):
        axes.plot(100 * np.sort(energy)[::-1], "o-", markersize=2.5, label=label)
    axes.axhline(100 / len(found.energy), color="grey", linestyle=":", label="equal shares")
    axes.set(title=f"energy on {found.photos:,} photos, {int(found.dead.sum())} filters dead", ylim=(0, None),
             xlabel="filters, sorted", ylabel="share of the layer's energy, %")  # fmt: skip
    axes.legend()


def _rms_chart(axes, found) -> None:
    axes.plot(np.sort(found.rms)[::-1], "o-", markersize=2.5)
    axes.axhline(found.radius, color=MARKED, label=f"radius {found.radius:g}")
    axes.set(title=f"{int(found.scaled_back.sum())} filters are larger than the radius", ylim=(0, None),
             xlabel="filters, sorted", ylabel="root mean square of the weights")  # fmt: skip
    axes.legend()
