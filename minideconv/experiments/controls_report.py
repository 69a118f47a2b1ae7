"""Controls as a table, a chart, a sheet of pictures, and in a sentence for each rule.

Letters: R rules, K controls, M measures, U units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..display import display
from ..figures import new_figure
from ..sheets import table_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from .sanity_checks import Controls

ALIKE, UNLIKE, TRACE = 0.6, 0.2, 0.05  # rank correlations that are called so in words
NAMES = {"rank": "rank correlation", "rank_absolute": "rank correlation of sizes", "ssim": "SSIM"}
KEPT, AGAIN, OTHER = "real switches", "run again", "another map"
HOW_SHOWN = (
    "Zero is mid-grey, each picture on its own scale; below each, the rank correlation of its signed pixels with the "
    "true projection's, and SSIM. Real switches: only the weights are random, switches and masks are the real net's. "
    "Run again: the changed net has looked at the photo anew and has switches and masks of its own. Another map: the "
    "same place, the real weights and switches."
)


# ---------------------------------------------------------------------------------------------------- as a table


def summary(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the last axis, without what is NaN; NaN where nothing is left."""
    there = ~np.isnan(values)
    count = there.sum(axis=-1)
    least = np.maximum(count, 1)
    mean = np.where(there, values, 0).sum(axis=-1) / least
    spread = np.sqrt((np.where(there, values - mean[..., None], 0) ** 2).sum(axis=-1) / least)
    return np.where(count, mean, np.nan), np.where(count, spread, np.nan)


def each_control(found: Controls) -> Iterator[tuple[str, str, np.ndarray]]:
    """(kind of control, down to which layer weights are random, similarities (M, R, U)) of every control."""
    for kind, cascade in ((KEPT, found.real_switches), (AGAIN, found.run_again)):
        for step, name in enumerate(found.randomised):
            yield kind, name, cascade[:, :, step]
    yield OTHER, "", found.another_map


def controls_rows(found: Controls) -> list[Sequence]:
    """A row for each rule and control: mean and standard deviation of every measure over the units."""
    rows = [("rule", "control", "random_down_to", "units",
             *(f"{measure}_{what}" for measure in found.measures for what in ("mean", "deviation")))]  # fmt: skip
    for number, rule in enumerate(found.rules):
        for kind, name, alike in each_control(found):
            mean, spread = summary(alike[:, number])
            rows.append((rule, kind, name, alike.shape[-1], *np.stack([mean, spread], axis=1).ravel().tolist()))
    return rows


def controls_table(found: Controls) -> str:
    """The same for reading: a block for each rule, `mean ± deviation` for each measure."""
    labels = [_label(kind, name) for kind, name, _ in each_control(found)]
    width = max(map(len, labels)) + 4
    lines = []
    for number, rule in enumerate(found.rules):
        lines.append(f"\n{rule:{width}}" + "".join(f"{NAMES[name]:>27}" for name in found.measures))
        for label, (*_, alike) in zip(labels, each_control(found)):
            cells = (f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(*summary(alike[:, number])))
            lines.append(f"  {label:{width - 2}}" + "".join(f"{cell:>27}" for cell in cells))
    return "\n".join(lines)[1:]


def _label(kind: str, name: str) -> str:
    return f"{kind}, random down to {name}" if name else kind


def controls_findings(found: Controls) -> list[tuple[str, str]]:
    """(rule, one sentence): what its rank correlations say, means over all units."""
    rank, said = list(found.measures).index("rank"), []
    cascades = (found.real_switches[rank], found.run_again[rank], found.another_map[rank])
    for rule, kept, again, other in zip(found.rules, *(summary(values)[0] for values in cascades)):
        numbers = (
            f"{kept[0]:.2f} with {found.randomised[0]} alone random, {kept[-1]:.2f} with all weights random on the "
            f"real switches, {again[-1]:.2f} run again, {other:.2f} from another map"
        )
        said.append((rule, f"{numbers}: {_of_map(other)}; {_of_weights(kept[-1], again[-1])}"))
    return said


def _of_map(rank: float) -> str:
    if np.isnan(rank):
        return "of the map nothing can be said"
    if rank >= ALIKE:
        return "the picture hardly depends on which map is asked"
    return "the picture is this map's own" if rank < UNLIKE else "the picture depends in part on which map is asked"


def _of_weights(kept: float, again: float) -> str:
    if np.isnan([kept, again]).all():
        return "of the weights nothing can be said"
    if np.nanmax([kept, again]) < TRACE:
        return "without trained weights nothing of it is left"
    return "a part of it is drawn without any trained weight"


# ---------------------------------------------------------------------------------------------------- as a chart


def controls_figure(found: Controls) -> Figure:
    """How alike pictures stay, step by step: a column for each measure; above on the real switches, below run again."""
    figure = new_figure(13.5, 7.6)
    all_axes = figure.subplots(2, len(found.measures), sharex=True, sharey="col")
    for row, (kind, cascade) in enumerate(((KEPT, found.real_switches), (AGAIN, found.run_again))):
        for axes, name, steps, other in zip(all_axes[row], found.measures, cascade, found.another_map):
            _steps_chart(axes, found, steps, other)
            axes.set(title=f"{NAMES[name]}, {kind}")
    all_axes[0][0].legend()
    for axes in all_axes[1]:
        axes.set_xlabel("random from the top down to")
    photos = f"{len(found.image):,} units of {len(np.unique(found.image)):,} photos"
    figure.suptitle(f"{found.net}, {found.layer}: similarity to the true projection, mean and deviation, {photos}")
    return figure


def _steps_chart(axes, found, steps, other) -> None:
    """One measure: steps (R, L, U) as lines that begin at the true picture's 1, another map (R, U) as single points."""
    count = len(found.randomised)
    for number, (rule, line, point) in enumerate(zip(found.rules, steps, other)):
        shift, colour = 0.08 * (number - 1), f"C{number}"
        mean, spread = summary(line)
        places = np.arange(count + 1) + shift
        axes.errorbar(places, [1, *mean], [0, *spread], fmt="o-", capsize=2, markersize=4, color=colour, label=rule)
        mean, spread = summary(point)
        axes.errorbar(count + 1.3 + shift, mean, spread, fmt="s", capsize=2, markersize=5, color=colour)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.axvline(count + 0.65, color="grey", linewidth=0.8)
    labels = ["true", *found.randomised, OTHER]
    axes.set_xticks(
        [*range(count + 1), count + 1.3], labels, rotation=45 if count > 2 else 0, ha="right" if count > 2 else "center"
    )
    axes.grid(alpha=0.3)


# ------------------------------------------------------------------------------------------------- as a sheet


def controls_sheet(found: Controls) -> Image.Image:
    """The first unit's projections: a row for each rule and cascade; what it sees, the true one, steps, another map."""
    steps, rank, ssim = len(found.randomised), *(list(found.measures).index(name) for name in ("rank", "ssim"))
    columns = ["patch", "projection", *(f"to {name}" for name in found.randomised), OTHER]
    rows, cells, captions = [], [], []
    for number, rule in enumerate(found.rules):
        drawn = [_drawn(found, pixels) for pixels in found.pixels[number]]
        true, other = drawn[0], drawn[-1]
        kinds = ((KEPT, found.real_switches, drawn[1 : steps + 1]), (AGAIN, found.run_again, drawn[steps + 1 : -1]))
        for kind, cascade, pictures in kinds:
            alike = [*cascade[:, number, :, 0].T, found.another_map[:, number, 0]]  # (M,) each
            rows.append(f"{rule}, {kind}")
            cells.append([[picture] for picture in (found.patch, true, *pictures, other)])
            captions.append([[""], [""], *([f"{one[rank]:.2f} · {one[ssim]:.2f}"] for one in alike)])
    marked = np.zeros((len(rows), len(columns)), bool)
    unit = f"map {found.channel[0]}, activation {found.activation[0]:.3g}"
    title = f"{found.net}, {found.layer}: {unit}, and its controls"
    return table_sheet(cells, rows, columns, captions, marked, title, HOW_SHOWN, tile=112)


def _drawn(found, pixels) -> np.ndarray:
    return display(pixels, channels=found.channels)
