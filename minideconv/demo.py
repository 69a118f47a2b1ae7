"""The whole idea on one page, from what the package carries: `minideconv demo` writes it, and the atlas of its net.

Not in the paper as such: Figs. 2 (top nine), 4 (evolution), 6 (filters) and 7 (occlusion), of a net of 28 pixels.
Every section is a function of `Shown` that returns what the template fills in; pictures are PNGs inside the page.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .atlas.writer import write_atlas
from .backend import to_numpy
from .datasets import Dataset
from .deconvnet import project, strongest
from .embedded import embedded_images, embedded_model, embedded_snapshots
from .encoding import data_uri, png
from .evaluation import evaluate
from .experiments.feature_evolution import evolve
from .experiments.feature_visualization import projected_top, shown_pixels, squares, strongest_maps, tiled, value_range
from .experiments.occlusion_sensitivity import occlude
from .experiments.scanning import rectified_maps, top_activations
from .experiments.snapshots import load_snapshots, snapshots
from .files import free_folder, write_whole
from .layers import Conv2d, ReLU
from .network import Network

MAPS_SHOWN = 6  # feature maps of each layer
UNITS_SHOWN = 6  # units of each layer in the picture that is pulled apart
PICTURE = 902  # the one that is pulled apart: an ankle boot with heel and laces
HIDDEN, SQUARE = 420, 7  # a coat with a row of buttons; the side of the square that hides it piece by piece, pixels
EVOLVING = 4  # feature maps followed through training


class Shown(NamedTuple):
    """What the page is about.

    Attributes:
        net, data: a trained net, and labelled images that it was not trained on.
        epochs, past: the same net at some epochs of its training, the first of them untrained.
        layers: the rectified layers that have maps, bottom up.
    """

    net: Network
    data: Dataset
    epochs: list[int]
    past: list[Network]
    layers: list[str]


def write_demo(folder, net: Network | None = None, data: Dataset | None = None, snapshot_folder=None, *,
               progress: bool = True) -> Path:  # fmt: skip
    """Write the page, `index.html`, into a folder, which is made if need be, and the atlas of all maps beside it.

    Args:
        net, data, snapshot_folder: what to show; None takes what the package carries.
        progress: show a bar.
    Returns:
        the path of the page.
    Raises:
        ValueError: if the folder cannot be written, or net, data and snapshots do not fit together.
    """
    from tqdm import tqdm

    folder = free_folder(folder)
    shown = gather(net, data, snapshot_folder)
    context = {}
    with tqdm(SECTIONS, unit="section", disable=not progress) as bar:
        for section in bar:
            bar.set_description_str(section.__name__.replace("_", " "))
            context[section.__name__] = section(shown)
    page = render(context)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{shown.data.classes[label]} {number}" for number, label in enumerate(shown.data.labels)]
    write_atlas(shown.net, shown.data.images, folder / "atlas", model=shown.net.name, names=names, progress=progress,
                report=lambda line: None)  # fmt: skip
    with write_whole(folder / "index.html") as file:
        file.write(page.encode("utf-8"))
    return folder / "index.html"


def gather(net: Network | None = None, data: Dataset | None = None, snapshot_folder=None) -> Shown:
    """Bring together what the page is about; None takes what the package carries."""
    net = embedded_model() if net is None else net
    data = embedded_images() if data is None else data
    found = snapshots(embedded_snapshots() if snapshot_folder is None else snapshot_folder)
    layers = rectified_maps(net, net.input_shape)
    if not isinstance(net.layers[layers[0]], ReLU) or len(net.output_shapes()[layers[0]]) != 3:
        raise ValueError(f"{net.name} has no ReLU whose maps could be shown")
    return Shown(net, data, [epoch for epoch, _ in found], load_snapshots([path for _, path in found]), layers)


def render(context) -> str:
    """Fill in the template; every value is escaped."""
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("demo.html").render(context)


# ---------------------------------------------------------------------------------------------------- the sections


def the_net(shown: Shown) -> dict:
    """The table of its layers, and how many of the images it gets right."""
    net, data, _, _, layers = shown
    return {
        "name": net.name, "table": str(net), "pixels": "{1} × {2}".format(*net.input_shape), "layers": layers,
        "count": f"{len(data):,}", "data": data.name, "classes": len(data.classes), "epochs": shown.epochs[-1],
        "right": f"{100 * (1 - evaluate(net, data.images, data.labels).top1):.1f} %",
    }  # fmt: skip


def first_filters(shown: Shown) -> dict:
    """The weights of the first convolution as pictures, beside those before training."""
    name = next(name for name, layer in shown.net.layers.items() if isinstance(layer, Conv2d))
    trained, untrained = (to_numpy(net.layers[name].weight) for net in (shown.net, shown.past[0]))
    columns = 8 if len(trained) >= 16 else 4
    before = f"The same {len(trained)} filters before training: noise."
    return {
        "layer": name, "size": "{} × {}".format(*trained.shape[2:]), "count": len(trained),
        "trained": _filters(shown.net, trained, columns, f"The {len(trained)} filters of {name} after training."),
        "untrained": _filters(shown.net, untrained, columns, before),
    }  # fmt: skip


def _filters(net, weight, columns, alt) -> dict:
    """One picture of filters (O, C, KH, KW), all on one scale."""
    return picture(tiled(shown_pixels(net, weight, shared_scale=True), columns, side=40), alt)


def top_nine(shown: Shown) -> list[dict]:
    """Fig. 2: for each layer some feature maps, each with its nine strongest images."""
    return [_layer_top(shown, layer) for layer in shown.layers]


def _layer_top(shown, layer) -> dict:
    net, data = shown.net, shown.data
    top = top_activations(net, data.images, layer)
    channels = strongest_maps(top.value, MAPS_SHOWN)
    projections = projected_top(net, data.images, layer, channels, top)
    maps = []
    for number, channel in enumerate(channels):
        names = class_counts(data, top.image[channel])
        left, right = squares(net, projections, number, side=56)
        maps.append({
            "channel": int(channel), "range": value_range(layer, top.value[channel]), "classes": names,
            "projections": picture(left, f"{layer} map {channel}: projections of its strongest activations."),
            "patches": picture(right, f"{layer} map {channel}: the patches that caused them, from {names}."),
        })  # fmt: skip
    field = net.receptive_field(layer).size
    return {"layer": layer, "count": len(top.value), "sees": "{} × {}".format(*field), "maps": maps}


def class_counts(data: Dataset, images: np.ndarray) -> str:
    """Which classes some images have, most frequent first: "7 Trouser, 2 Dress"; -1 is no image."""
    labels, counts = np.unique(data.labels[images[images >= 0]], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{counts[i]} {data.classes[labels[i]]}" for i in order)


def pulled_apart(shown: Shown) -> dict:
    """One image, the strongest units of each layer on it, and the top ones again through untrained weights."""
    net, data = shown.net, shown.data
    number = min(PICTURE, len(data) - 1)
    trace = net.forward(net.preprocessing.scaled(data.images[number : number + 1]))
    projected = [(layer, *_projected_units(net, trace, layer)) for layer in shown.layers]
    rows = [_units_row(net, f"{layer}, trained", *found) for layer, *found in projected]
    layer, channels, pixels = projected[-1]
    _, control = _projected_units(shown.past[0], trace, layer)
    title = f"{layer}, control: untrained weights, the same switches"
    rows.append(_units_row(net, title, channels, control, mean_correlation(pixels, control)))

    photo = net.preprocessing.restore(to_numpy(trace.input[..., 0]))
    name, said = data.classes[data.labels[number]], int(to_numpy(trace[net.name_of(None)])[:, 0].argmax())
    return {
        "photo": picture(tiled([photo], 1, side=224), f"The image: {name}."), "name": name, "rows": rows,
        "said": net.classes[said] if net.classes else f"class {said}",
    }  # fmt: skip


def _projected_units(weights, trace, layer):
    """The strongest units of one layer on one image: their channels (K,), and (K, C, H, W) projected by `weights`."""
    units = strongest(trace, layer, UNITS_SHOWN)
    places = zip(units.channel.tolist(), units.row.tolist(), units.column.tolist())
    planes = [project(weights, trace, layer, channel, (row, column)).pixels for channel, row, column in places]
    return units.channel, np.stack(planes)


def _units_row(net, title, channels, pixels, alike=None) -> dict:
    """A row of whole image planes, one a unit; `alike` is a number to show beside it."""
    drawn = zip(channels, shown_pixels(net, pixels))
    images = [
        picture(tiled([plane], 1, side=112), f"{title}: projection of map {channel}.") for channel, plane in drawn
    ]
    return {"title": title, "maps": listed(channels), "images": images, "alike": alike}


def mean_correlation(some: np.ndarray, others: np.ndarray) -> float | None:
    """Pearson's correlation of each of K pictures (K, ...) with its other, averaged; None if all of one are flat."""
    some, others = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=1, keepdims=True) for x in (some, others))
    sizes = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    return float(((some * others).sum(axis=1)[sizes > 0] / sizes[sizes > 0]).mean()) if sizes.any() else None


def hidden(shown: Shown) -> dict:
    """Fig. 7: one image, hidden piece by piece; and what the net most often takes it for instead."""
    net, data = shown.net, shown.data
    number = min(HIDDEN, len(data) - 1)
    photo, name = data.images[number], data.classes[data.labels[number]]
    photo = photo[..., 0] if photo.shape[2] == 1 else photo
    seen = dataclasses.replace(occlude(net, photo, size=SQUARE, stride=1), name=f"{name} {number}")
    others = Counter(seen.best[seen.best != seen.whole_best].tolist()).most_common(1)
    sheet = seen._repr_png_()
    width, height = (int.from_bytes(sheet[at : at + 4], "big") for at in (16, 20))  # where a PNG says it
    alt = f"{name}: activity, probability and most probable class for each place of a square that hides it."
    return {
        "sheet": {"uri": data_uri(sheet), "alt": alt, "width": width, "height": height}, "name": name, "size": SQUARE,
        "said": seen.label(seen.whole_best), "other": seen.label(others[0][0]) if others else None,
        "least": f"{seen.probability.min():.2f}", "whole": f"{seen.whole_probability:.2f}",
    }  # fmt: skip


def evolution(shown: Shown) -> dict:
    """Fig. 4: the strongest projection of a few maps of the highest layer at each epoch, and its patch below."""
    layer = shown.layers[-1]
    seen = evolve(shown.past, shown.data.images, layer, top=EVOLVING)
    strips = []
    for channel, pixels, patches, jumped in zip(seen.channels, seen.pixels, seen.patches, seen.jumped):
        drawn = shown_pixels(shown.net, pixels)
        alt = f"{layer} map {channel} at epochs {listed(shown.epochs)}: its strongest projection, its patch below."
        jumps = [shown.epochs[at] for at in np.flatnonzero(jumped)]
        image = picture(tiled([*drawn, *patches], len(drawn), side=96), alt)
        strips.append({"channel": int(channel), "jumps": listed(jumps), "image": image})
    return {"layer": layer, "epochs": shown.epochs, "strips": strips}


SECTIONS = (the_net, first_filters, top_nine, pulled_apart, hidden, evolution)


# --------------------------------------------------------------------------------------------------------- pictures


def picture(pixels: np.ndarray, alt: str) -> dict:
    """A picture (H, W, 4) uint8 for the template: a PNG as data URI, its size, and what it shows in words."""
    return {"uri": data_uri(png(pixels)), "alt": alt, "width": pixels.shape[1], "height": pixels.shape[0]}


def listed(items: Sequence) -> str:
    return ", ".join(map(str, items))
