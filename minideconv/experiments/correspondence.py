"""What a correspondence analysis found, as a table and as a chart, beside the paper's Table 1.

Letters as in `correspondence_analysis`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from ..figures import new_figure
from .results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACES = ("in the object", "the same place", "anywhere")
MEASURES = ("units", "changed", "maps")
SAID = {
    "units": "of all units, the paper's Δ",
    "changed": "of the units that change in either photo",
    "maps": "of the feature maps' sums, wherever they change",
}
PAPER = {  # Table 1: layer -> what is hidden -> mean and deviation of Δ over the pairs of five photos
    "5": {"right eye": (0.067, 0.007), "left eye": (0.069, 0.007), "nose": (0.079, 0.017), "random": (0.107, 0.017)},
    "7": {"right eye": (0.069, 0.015), "left eye": (0.068, 0.013), "nose": (0.069, 0.011), "random": (0.073, 0.014)},
}
COLOURS = ("tab:blue", "tab:orange", "tab:grey")  # of the random places
COLUMNS = (
    "measure", "layer", "size_of", "hidden", "mean", "deviation_over_pairs", "deviation_over_draws",
    "share_of_draws_as_low", "unchanged_units",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Correspondence(Result):
    """How alike photos change when the same part is hidden in them, and when random places are.

    Attributes:
        net, layers, parts, photos: names; the net's, L layers', P parts', N photos', sorted.
        crop: "photo" or "object": what the net was shown.
        boxes: (P, N, 4) where the parts are, objects: (N, 4), in pixels of the net's input: top, left, bottom, right.
        delta: (M, P, L, Q) shares of unequal signs in the order of `MEASURES`, for the pairs (0, 1), (0, 2) … (1, 2) …
        random: (M, B, P, L, R, Q) the same for random places in the order of `PLACES`, each as large as the part.
        zeros: (P, L) share of units that do not change at all, random_zeros: (B, P, L) the same, mean over draws.
    """

    net: str
    layers: list[str]
    parts: list[str]
    photos: list[str]
    crop: str
    boxes: np.ndarray
    objects: np.ndarray
    delta: np.ndarray
    random: np.ndarray
    zeros: np.ndarray
    random_zeros: np.ndarray

    def as_low(self) -> np.ndarray:
        """(M, B, P, L) share of the draws whose mean over pairs is at most that of the part."""
        part = self.delta.mean(axis=-1)[:, None, ..., None]  # (M, 1, P, L, 1)
        return (self.random.mean(axis=-1) <= part).mean(axis=-1)

    def rows(self) -> list[Sequence]:
        """For every measure, layer and part what hiding it gave, and hiding random places of its size; the paper's."""
        return [COLUMNS, *self._measured(), *_paper_rows()]

    def _measured(self) -> Iterator[Sequence]:
        as_low = self.as_low()
        for m, measure in enumerate(MEASURES):
            for n, layer in enumerate(self.layers):
                for p, part in enumerate(self.parts):
                    values, start = self.delta[m, p, n], (measure, layer, part)
                    yield *start, "the part", values.mean(), values.std(), "", "", self.zeros[p, n]
                    for b, place in enumerate(PLACES):
                        values = self.random[m, b, p, n]  # (R, Q)
                        spread = values.std(), values.mean(axis=1).std(), as_low[m, b, p, n]
                        yield *start, place, values.mean(), *spread, self.random_zeros[b, p, n]

    def __str__(self) -> str:
        """The table for the screen: a block for each measure, the paper's rows under the first."""
        photos, pairs, draws = len(self.photos), self.delta.shape[-1], self.random.shape[4]
        lines = [
            f"{self.net}: share of unequal signs, mean ± deviation over {pairs} pairs of {photos} photos",
            f"random places: {draws} draws, each box as large as the part's; in brackets how many draws are as low",
        ]
        width = max(map(len, [*self.layers, "paper, 5"])) + 2
        part_width = max(map(len, [*self.parts, *PAPER["5"]])) + 2
        for m, measure in enumerate(MEASURES):
            heads = "".join(place.ljust(24) for place in PLACES)
            unchanged = "units unchanged by the part, in the object" if measure == "units" else ""
            lines += [
                "",
                SAID[measure],
                f"{'layer':{width}}{'hidden':{part_width}}{'the part':16}{heads}{unchanged}".rstrip(),
            ]
            for n, layer in enumerate(self.layers):
                for p, part in enumerate(self.parts):
                    start = f"{layer:{width}}{part:{part_width}}"
                    lines.append((start + self._cells(m, p, n)).rstrip())
            if measure == "units":
                for layer, row in PAPER.items():
                    for part in list(row)[:-1]:
                        start = f"{f'paper, {layer}':{width}}{part:{part_width}}"
                        lines.append(f"{start}{_pair(*row[part]):16}{_pair(*row['random'])}")
        return "\n".join(lines)

    def _cells(self, m, p, n) -> str:
        part, random, low = self.delta[m, p, n], self.random[m, :, p, n], self.as_low()[m, :, p, n]
        cells = [f"{_pair(v.mean(), v.std())} ({100 * share:.0f} %)".ljust(24) for v, share in zip(random, low)]
        unchanged = f"{self.zeros[p, n]:.3f}, {self.random_zeros[0, p, n]:.3f}" if m == 0 else ""
        return f"{_pair(part.mean(), part.std()):16}{''.join(cells)}{unchanged}"

    def draw(self) -> Figure:
        """A row of panels for each measure, a panel for each layer, and the paper's two layers in the last column."""
        count = len(self.layers)
        figure = new_figure(2.6 * (count + 1) + 0.6, 8.2)
        panels = figure.subplots(len(MEASURES), count + 1, squeeze=False)
        for m, measure in enumerate(MEASURES):
            for n, layer in enumerate(self.layers):
                panels[m, n].set(title=layer, ylabel=fill(SAID[measure], 28) if n == 0 else "")
                self._draw_panel(panels[m, n], m, n)
        for axes, layer in zip(panels[:, -1], PAPER):
            _draw_paper(axes, layer)
        panels[2, -1].axis("off")
        panels[2, -1].legend(*panels[0, 0].get_legend_handles_labels(), loc="center", title="hidden")
        seen = "the object alone" if self.crop == "object" else "the photo"
        figure.suptitle(
            f"{self.net}, shown {seen}: share of unequal signs of change, mean over {self.delta.shape[-1]} pairs of "
            f"{len(self.photos)} photos\nthin lines: deviation over pairs; thick: over {self.random.shape[4]} draws",
            fontsize=10,
        )
        return figure

    def _draw_panel(self, axes, m, n) -> None:
        """One layer, one measure: for every part its mean in black, and those of random places beside it."""
        where = np.arange(len(self.parts))
        values = self.delta[m, :, n]  # (P, Q)
        _draw_points(axes, where - 0.24, values.mean(axis=-1), values.std(axis=-1), "black", "the part", "D")
        for b, (place, colour) in enumerate(zip(PLACES, COLOURS)):
            values, x = self.random[m, b, :, n], where - 0.08 + 0.16 * b  # (P, R, Q)
            means = values.mean(axis=-1)
            _draw_points(axes, x, means.mean(axis=-1), values.std(axis=(1, 2)), colour, place)
            axes.errorbar(x, means.mean(axis=-1), means.std(axis=-1), fmt="none", ecolor=colour, elinewidth=4)
        _finish(axes, self.parts, from_zero=MEASURES[m] != "changed")  # all of these are near 1


def _paper_rows() -> Iterator[Sequence]:
    for layer, row in PAPER.items():
        for hidden, (mean, deviation) in row.items():
            where = PLACES[0] if hidden == "random" else "the part"
            yield "paper", layer, hidden, where, mean, deviation, "", "", ""


def _pair(mean, deviation) -> str:
    return f"{mean:.3f} ± {deviation:.3f}"


def _draw_paper(axes, layer) -> None:
    """The paper's numbers in the same form; there is one random mean for all parts."""
    *parts, _ = row = PAPER[layer]
    where = np.arange(len(parts))
    _draw_points(axes, where - 0.24, *zip(*(row[part] for part in parts)), "black", "the part", "D")
    _draw_points(axes, where - 0.08, *zip(*[row["random"]] * len(parts)), COLOURS[0], PLACES[0])
    axes.set_title(f"the paper, layer {layer}")
    _finish(axes, parts)


def _draw_points(axes, x, mean, deviation, colour, label, marker="o") -> None:
    axes.errorbar(x, mean, deviation, fmt=marker, color=colour, markersize=4, elinewidth=0.8, label=label)


def _finish(axes, parts, from_zero: bool = True) -> None:
    axes.set_xticks(range(len(parts)), parts, fontsize=8)
    axes.set(xlim=(-0.5, len(parts) - 0.5), **({"ylim": (0, None)} if from_zero else {}))
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)
