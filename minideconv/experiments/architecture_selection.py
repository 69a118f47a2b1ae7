"""Sec. 4.1, Fig. 6: what is wrong with a convolution's filters? What made the paper change AlexNet's first layer.

    diagnose(net)                 ->  Diagnosis: the filters and their spectra; which alias, which bands they cover
    diagnose(net, photos)         ->  and which are dead, which dominate, and what renormalisation would do

Letters: O filters, C channels of the layer's input, KH, KW rows and columns of a filter, S frequencies along an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..backend import to_numpy
from ..display import channel_order
from ..layers import Conv2d, ReLU
from ..network import Network
from .diagnosis_report import diagnosis_figure, diagnosis_findings
from .feature_visualization import strongest_maps, top_nine_sheet
from .filter_responses import Responses, filter_responses, renormalised
from .filter_spectra import band_energy, energy_beyond, power_spectra
from .reading import opened
from .results import Result
from .scanning import scan

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

ALIASES = 0.5  # a filter with more than this share of its energy beyond what the stride carries aliases
DOMINATES = 4.0  # a filter with more than so many times an equal share of the layer's energy dominates
RADIUS = 0.1  # the paper's, for photos whose levels are about -128 … 128

COLUMNS = (
    "filter", "aliasing", "low", "middle", "high", "rms", "rms_renormalised",
    "photos_active", "energy", "energy_renormalised",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Diagnosis(Result):
    """What one convolution's filters look like, and, where photos were given, what they do.

    Attributes:
        net, layer: the names of the network and of its convolution.
        below: the layer whose maps are its input; None for the first layer, whose input is the photo.
        cell: (vertical, horizontal) pixels of the photo between two neighbours of the input: 1 for the photo itself.
        stride: (vertical, horizontal), in pixels, or cells, of the input.
        channels: "RGB", "BGR" or "L" if the input has colours, else None.
        filters: (O, C, KH, KW) the weights.
        spectra: (O, S, S) squared DFT, zero-padded, summed over C, frequency zero first (`filter_spectra`).
        aliasing: (O,) share of the energy at |fx| or |fy| above 1/(2 · stride), 0 to 1; NaN for a filter of zeros.
        bands: (O, 3) shares of the energy below 0.1, at 0.1 to 0.3 and above 0.3 cycles a pixel or cell.
        rms: (O,) root mean square of each filter's weights;  radius: what renormalisation scales it back to.
        rms_renormalised: (O,) afterwards.
        levels: how many levels (0-255) of a photo one unit of the net's input is, where that is known, else None.
        photos: how many photos were looked at; None, as all below, if none were given.
        active: (O,) how many of them make a filter positive anywhere; 0 for a dead one.
        energy: (O,) share of the layer's energy, its squared positive values over all places and photos; sums to 1.
        energy_renormalised: (O,) the same once the net's filters are renormalised.
        skipped: photos that could not be used, each with the reason.
    """

    net: str
    layer: str
    below: str | None
    cell: tuple[int, int]
    stride: tuple[int, int]
    channels: str | None
    filters: np.ndarray
    spectra: np.ndarray
    aliasing: np.ndarray
    bands: np.ndarray
    rms: np.ndarray
    radius: float
    rms_renormalised: np.ndarray
    levels: float | None = None
    photos: int | None = None
    active: np.ndarray | None = None
    energy: np.ndarray | None = None
    energy_renormalised: np.ndarray | None = None
    skipped: Sequence[str] = ()

    @property
    def aliases(self) -> np.ndarray:
        """(O,) bool: more than half of the filter's energy is beyond what the stride carries."""
        return self.aliasing > ALIASES

    @property
    def dead(self) -> np.ndarray | None:
        """(O,) bool: positive on no photo."""
        return None if self.active is None else self.active == 0

    @property
    def dominating(self) -> np.ndarray | None:
        """(O,) bool: more than four times an equal share of the layer's energy."""
        return None if self.energy is None else self.energy > DOMINATES / len(self.energy)

    @property
    def scaled_back(self) -> np.ndarray:
        """(O,) bool: the filter is larger than the radius, so that renormalisation changes it."""
        return self.rms > self.radius

    def findings(self) -> list[tuple[str, str, str]]:
        """(what, its number, one sentence: what it means and what the paper did about it) for each finding."""
        return diagnosis_findings(self)

    def rows(self) -> list[Sequence]:
        measured = [self.aliasing, *self.bands.T, self.rms, self.rms_renormalised]
        seen = [self.active, self.energy, self.energy_renormalised]
        columns = [*measured, *(values for values in seen if values is not None)]
        table = zip(range(len(self.rms)), *(values.tolist() for values in columns))
        return [COLUMNS[: len(columns) + 1], *table]

    def draw(self) -> Figure:
        return diagnosis_figure(self)


def diagnose(net: Network, photos=None, layer: str | None = None, *, radius: float = RADIUS,
             progress: bool = False) -> Diagnosis:  # fmt: skip
    """Look at one convolution's filters: their frequencies, their sizes and, on photos, what they do.

    Args:
        net: any network with a convolution.
        photos: a folder, zip, glob pattern or list (as `Photos` takes them); (N, H, W, C) uint8, cropped as the net
            sees them; None looks at the filters alone.
        layer: a convolution, or the ReLU right above one; None for the first of the net.
        radius: filters whose root mean square is larger are scaled back to it, the paper's 0.1 by default.
        progress: show a bar.
    Raises:
        ValueError: if the net has no convolution, `layer` is none, or photos cannot be used.

    Paper: Sec. 4.1 and Fig. 6; renormalisation Sec. 3.
    """
    if not radius > 0:
        raise ValueError(f"radius is {radius}; filters are scaled back to a size above zero, such as {RADIUS}")
    layer = convolution(net, layer)
    weight, names = to_numpy(net.layers[layer].weight), list(net.layers)
    below = names[names.index(layer) - 1] if names.index(layer) else None
    spectra, stride = power_spectra(weight), net.layers[layer].stride
    rms = np.sqrt((weight.astype(np.float64) ** 2).mean(axis=(1, 2, 3)))
    return Diagnosis(
        net=net.name, layer=layer, below=below, stride=stride,
        cell=net.receptive_field(below).stride if below else (1, 1),
        channels=None if below else channel_order(net.preprocessing, weight.shape[1]),
        filters=weight, spectra=spectra, aliasing=energy_beyond(spectra, stride), bands=band_energy(spectra),
        rms=rms, radius=radius, rms_renormalised=np.minimum(rms, radius),
        levels=None if below or not net.preprocessing else _levels_of_one(net.preprocessing),
        **({} if photos is None else _seen(net, layer, photos, radius, progress)),
    )  # fmt: skip


def convolution(net: Network, layer: str | None) -> str:
    """The name of the convolution that is meant: the first for None, the one right below for a ReLU."""
    convolutions = [name for name, one in net.layers.items() if isinstance(one, Conv2d)]
    if not convolutions:
        raise ValueError(f"{net.name} has no convolution, so there are no filters to look at")
    layer = net.name_of(layer or convolutions[0])
    names = list(net.layers)
    if isinstance(net.layers[layer], ReLU) and names.index(layer):
        layer = names[names.index(layer) - 1]
    if layer not in convolutions:
        raise ValueError(f"{layer} is no convolution of {net.name}; give one of {', '.join(convolutions)}")
    return layer


def _levels_of_one(preprocessing) -> float:
    return float(np.mean(preprocessing.std)) / preprocessing.scale


def _seen(net, layer, photos, radius, progress) -> dict:
    """What the filters do on photos, now and renormalised: the last fields of `Diagnosis`."""
    both = [net, renormalised(net, layer, radius)]
    now, after = filter_responses(both, photos, layer, progress=layer if progress else None)
    return {"photos": now.photos, "active": now.active, "skipped": now.skipped,
            "energy": _shares(now), "energy_renormalised": _shares(after)}  # fmt: skip


def _shares(responses: Responses) -> np.ndarray:
    total = responses.energy.sum()
    return responses.energy / total if total else responses.energy


# ------------------------------------------------------------------------------------------------- one layer higher


def layer_above(net: Network, layer: str) -> str | None:
    """The ReLU of the next convolution above `layer`, where the paper saw aliasing; None if there is none.

    >>> from minideconv import models
    >>> layer_above(models.build("vgg16", until="pool1"), "conv1_1")
    'relu1_2'
    """
    above = list(net.layers)[list(net.layers).index(layer) + 1 :]
    for place, name in enumerate(above):
        if isinstance(net.layers[name], Conv2d):
            after = above[place + 1 : place + 2]
            return after[0] if after and isinstance(net.layers[after[0]], ReLU) else name
    return None


def above_sheet(net: Network, layer: str, photos, maps: int = 18, *, progress: bool = False) -> Image.Image:
    """The top nines of the layer above, projected to pixels: where the paper saw what stride 4 does to AlexNet.

    Args:
        layer: of the net, as `layer_above` names it;  photos: as for `diagnose`.
        maps: how many feature maps, those whose nine winners are strongest.
    Raises:
        ValueError: as `scan`.

    Paper: Fig. 6 (d, e).
    """
    photos = opened(photos)
    top = scan(net, photos, [layer], progress=layer if progress else None).layers[layer].top
    return top_nine_sheet(net, photos, layer, strongest_maps(top.value, maps), top)
