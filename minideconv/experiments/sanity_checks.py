"""How much of a projection is the net's own? Controls after Adebayo et al. 2018, for all three rules side by side.

    controls(net, photos, "relu5")  ->  Controls: how alike a projection stays without what it should depend on

The strongest unit of a layer in each photo is projected; then again

- with the weights of the layers below it drawn at random, one layer more each time from the top down. Twice: on the
  trace of the real net, with its switches and masks (what the weights alone draw), and after a new forward pass of the
  changed net, with its own switches and masks (as Adebayo et al. do it). The last step of the first is the
  control that asks what switches alone can draw: all weights random, the real switches;
- from another map of the layer, at the same place and with the same switches.

Letters: R rules, L layers with weights, M measures of similarity, U units; C channels, (h, w) the window a unit sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..backend import to_device
from ..deconvnet import Patches, project_patches, strongest
from ..display import display_many
from ..layers import Conv2d, Linear, ReLU
from ..network import CONTROL_SEED, Network, Trace, with_random_weights
from .controls_report import controls_figure, controls_findings, controls_rows, controls_sheet
from .feature_visualization import cut_window
from .reading import evenly, opened, photo_shape, photos_at_once, read_levels, told
from .results import Result
from .similarity import structural_similarity, window_similarity, within_photo

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

RULES = ("deconvnet", "gradient", "guided")
MEASURES = ("rank", "rank_absolute", "ssim")


@dataclass(frozen=True, eq=False)
class Controls(Result):
    """How alike each projection and its controls are, over many photos.

    Attributes:
        net, layer: the names of the network and the layer whose units were projected.
        rules: (R,) "deconvnet", "gradient", "guided".
        measures: (M,) "rank": Spearman's correlation of signed pixels; "rank_absolute": of their sizes; "ssim": SSIM of
            the pictures as they are drawn, each on its own scale. All from -1 to 1; the same picture has 1.
        randomised: (L,) names of the layers with weights, in the order in which they become random: from the top down.
        real_switches: (M, R, L, U) with all layers down to each one random, on the trace of the real net; NaN where
            a picture has no contrast, in all three.
        run_again: (M, R, L, U) the same after a new forward pass of the changed net.
        another_map: (M, R, U) another map at the same place.
        image: (U,) the photo of each unit, its number in the list;  channel, row, column: (U,) which unit.
        activation: (U,) what was projected.
        patch: (h, w, 3) uint8, what the first unit sees.
        pixels: (R, 2 + 2L, C, h, w) its signed projections: the true one, L on real switches, L run again, another map.
        channels: order of C, "RGB", "BGR" or "L".
        skipped: photos that could not be used, each with the reason.
    """

    net: str
    layer: str
    rules: Sequence[str]
    measures: Sequence[str]
    randomised: Sequence[str]
    real_switches: np.ndarray
    run_again: np.ndarray
    another_map: np.ndarray
    image: np.ndarray
    channel: np.ndarray
    row: np.ndarray
    column: np.ndarray
    activation: np.ndarray
    patch: np.ndarray
    pixels: np.ndarray
    channels: str
    skipped: Sequence[str] = ()

    def rows(self) -> list[Sequence]:
        return controls_rows(self)

    def draw(self) -> Figure:
        return controls_figure(self)

    def findings(self) -> list[tuple[str, str]]:
        """(rule, what the numbers say about it in one sentence)."""
        return controls_findings(self)

    def sheet(self) -> Image.Image:
        """The projections of the first unit, a row for each rule and kind of cascade, as a Pillow image."""
        return controls_sheet(self)


def controls(net: Network, photos, layer: str | None = None, *, units: int = 1, limit: int | None = None,
             seed=CONTROL_SEED, progress: bool = False) -> Controls:  # fmt: skip
    """Project the strongest units of a layer in each photo, then with random weights and from another map, and compare.

    For a ReLU the way down begins at the layer below it: the unit's own ReLU passes it in the real net, and a changed
    net, whose unit may be off, is not asked again.

    Args:
        photos: a folder, zip, glob pattern or list (as `Photos` takes them); or (N, H, W, C) uint8, cropped already.
        layer: a convolution, a fully connected layer, or a ReLU; the last layer for None.
        units: how many of each photo, at most one of each feature map.
        limit: look at so many photos at most, evenly chosen; None at all.
        seed: of the random weights.
        progress: show a bar.
    Raises:
        ValueError: if there is no such layer, nothing with weights below it, or not one photo can be used.

    Not in the paper; Adebayo et al. 2018, "Sanity checks for saliency maps".
    """
    from tqdm import tqdm

    layer = net.name_of(layer)
    start = _start(net, layer)
    photos = opened(photos)
    if units < 1 or (limit is not None and limit < 1):
        raise ValueError(f"controls: units is {units}, limit {limit}; look at one unit of one photo at least")
    changed = list(cascade(net, start, seed))
    numbers = evenly(len(photos), limit or len(photos))
    size = photos_at_once(net, photo_shape(net, photos))
    runs = [numbers[first : first + size] for first in range(0, len(numbers), size)]
    found, skipped = [], {}
    with tqdm(total=len(numbers), desc=layer, unit=" photos", disable=not progress) as bar:
        for run, (used, levels, lost) in zip(runs, read_levels(net, photos, runs)):
            skipped.update(lost)
            if len(used):
                found.append(_batch(net, changed, layer, start, units, used, levels))
            bar.update(len(run))
    problems = told(photos, skipped)
    if not found:
        raise ValueError(f"not one of the {len(numbers)} photos can be used; the first: {problems[0]}")
    alike = np.concatenate([batch.alike for batch in found], axis=-1)  # (M, R, 2L + 1, U)
    steps = len(changed)
    which = (np.concatenate(fields) for fields in zip(*(batch.units for batch in found)))
    return Controls(net.name, layer, list(RULES), list(MEASURES), [name for name, _ in changed],
                    alike[:, :, :steps], alike[:, :, steps:-1], alike[:, :, -1], *which, found[0].patch,
                    found[0].pixels, net.preprocessing.channels, problems)  # fmt: skip


def cascade(net: Network, layer: str, seed=CONTROL_SEED) -> Iterator[tuple[str, Network]]:
    """From `layer` down: the name of each layer with weights, and the net with random ones from the top down to it."""
    names = list(net.layers)
    random, layers = with_random_weights(net, seed), dict(net.layers)
    for name in reversed(names[: names.index(layer) + 1]):
        if net.layers[name].parameters:
            layers[name] = random.layers[name]
            yield name, Network(layers.items(), name=f"{net.name}, random down to {name}",
                                input_shape=net.input_shape, preprocessing=net.preprocessing)  # fmt: skip


def other_map(channel, maps: int):
    """The map that is asked in place of `channel` as a control: the one half way round."""
    return (channel + maps // 2) % maps


def _start(net: Network, layer: str) -> str:
    """Where the way down begins: at `layer`, for a ReLU at the layer below it."""
    names, kind = list(net.layers), net.layers[net.name_of(layer)]
    if not isinstance(kind, (Conv2d, Linear, ReLU)):
        fitting = [name for name, one in net.layers.items() if isinstance(one, (Conv2d, Linear, ReLU))]
        raise ValueError(f"{layer} has neither weights nor is it a ReLU; give one of {', '.join(fitting)}")
    below = names.index(layer) - isinstance(kind, ReLU)
    if not any(net.layers[name].parameters for name in names[: below + 1]):
        raise ValueError(f"below {layer} of {net.name} there are no weights that could be random")
    return names[below]


# ------------------------------------------------------------------------------------------------- a batch of photos


class _Batch(NamedTuple):
    """What some photos have to say: alike (M, R, 2L + 1, u), units five arrays (u,), and the first one's pictures."""

    alike: np.ndarray
    units: tuple[np.ndarray, ...]
    patch: np.ndarray
    pixels: np.ndarray


def _batch(net, changed, layer, start, units, numbers, levels) -> _Batch:
    x = to_device(net.preprocessing.scaled(levels))
    trace = net.forward(x, until=layer)
    chosen = [strongest(trace, layer, units, image=n) for n in range(len(numbers))]
    image, channel, row, column, value = (np.concatenate(fields) for fields in zip(*chosen))
    places = {"image": image, "channel": channel, "row": row, "column": column, "value": value}

    true = _by_rule(net, trace, start, places)
    alike, first = [], [_first(true)]
    for seen in _controls(net, changed, trace, x, start, places):
        alike.append([_alike(net, one, other, levels.shape[1:3]) for one, other in zip(true, seen)])
        first.append(_first(seen))
    alike = np.array(alike).transpose(2, 1, 0, 3)  # (2L + 1, R, M, u) -> (M, R, 2L + 1, u)
    patch = cut_window(levels[0], int(true[0].top[0]), int(true[0].left[0]), *true[0].pixels.shape[1:3])
    patch = np.broadcast_to(patch, (*patch.shape[:2], 3))
    return _Batch(alike, (numbers[image], channel, row, column, value), patch, np.stack(first, axis=1))


def _controls(net, changed, trace, x, start, places) -> Iterator[list[Patches]]:
    """Each control's projections by all rules: random weights on real switches, then run again, then another map."""
    for _, weights in changed:
        yield _by_rule(weights, trace, start, places)
    for _, weights in changed:
        yield _by_rule(weights, weights.forward(x, until=start), start, places)
    maps = trace.step(start).y_shape[0]
    yield _by_rule(net, trace, start, {**places, "channel": other_map(places["channel"], maps)})


def _by_rule(weights: Network, trace: Trace, start: str, places) -> list[Patches]:
    return [project_patches(weights, trace, start, rule=rule, **places) for rule in RULES]


def _first(seen: list[Patches]) -> np.ndarray:
    """The first unit's pictures: (R, C, h, w)."""
    return np.stack([one.pixels[..., 0] for one in seen])


def _alike(net, true: Patches, seen: Patches, photo_size) -> list[np.ndarray]:
    """All measures of how alike projections and their controls are: M times (u,)."""
    sizes = (one._replace(pixels=np.abs(one.pixels)) for one in (true, seen))
    signed = window_similarity(true, seen, photo_size)
    drawn = (display_many(one.pixels, net.preprocessing.channels).transpose(3, 1, 2, 0) for one in (true, seen))
    ssim = structural_similarity(*drawn, within_photo(true, photo_size))
    return [signed, window_similarity(*sizes, photo_size), np.where(np.isnan(signed), np.nan, ssim)]
