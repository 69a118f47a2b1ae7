"""What belongs to the atlas as a whole: the first screen, the net's table, the first filters, the card to share."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..archives import Photos
from ..backend import to_numpy
from ..display import mosaic
from ..encoding import jpeg, png
from ..experiments.feature_visualization import pairs_sheet, shown_pixels, strongest_maps, tiled
from ..experiments.reading import photo_shape
from ..experiments.scanning import Scan
from ..layers import Conv2d
from ..network import Network
from ..sheet_parts import PAGE
from ..summary import layer_rows
from .encode import face
from .folder import NewFolder
from .layer import Layer, mean_similarity

FRONT_LAYERS, FRONT_MAPS, FRONT_SIDE = 5, 12, 80
CARD = (1200, 630)  # pixels, what pages show of a link
CARD_SIDE = 66  # of a tile on it


def summary(net: Network, photos, found: Scan, layers: Sequence[Layer], names: dict[str, Any],
            sections: dict[str, bool]) -> dict[str, Any]:  # fmt: skip
    """What the page knows before it loads any layer; JSON values.

    Args:
        names: {"front": …, "filters": …} as `write_front` and `write_filters` returned them, and "model".
    """
    shape = photo_shape(net, photos)
    rows = layer_rows(net, shape)
    sees = {name: field for name, _, _, field, _ in rows}
    shapes = {name: output for name, _, output, _, _ in rows}
    return {
        "format": 1, "title": net.name, "photos": found.photos, "skipped": len(found.skipped), "input": list(shape[1:]),
        "photo_digits": photo_digits(len(photos)), "sections": sections, "share": False,
        "net": [
            {"name": name, "operation": operation, "shape": list(output), "sees": field and list(field),
             "parameters": count} for name, operation, output, field, count in rows
        ],
        "filters": names["filters"], "front": names["front"],
        "layers": [
            {"name": layer.name, "maps": len(layer.found.active), "shown": len(layer.found.active),
             "dead": layer.dead, "grid": None if layer.flat else list(shapes[layer.name][1:]),
             "sees": sees[layer.name] and list(sees[layer.name]), "data": f"data/{layer.file}.js",
             "folder": f"maps/{layer.file}",
             "sheet": f"sheets/{layer.file}.jpg", "similar": mean_similarity(layer.pictures.similar)}
            for layer in layers
        ],
        "finding": finding(layers), "command": f"minideconv project PHOTO --model {shlex.quote(names['model'])}",
        "files": isinstance(photos, Photos), "made": names["made"],
    }  # fmt: skip


def photo_digits(count: int) -> int:
    return len(str(max(count - 1, 0)))


def finding(layers: Sequence[Layer]) -> str:
    """One sentence that the numbers allow: what the controls say, or how many maps are not active."""
    similar = [(layer.name, mean_similarity(layer.pictures.similar)) for layer in layers]
    similar = [(name, pair[1]) for name, pair in similar if pair and pair[1] is not None]
    if similar:
        (low, few), (high, many) = (pick(similar, key=lambda pair: pair[1]) for pick in (min, max))
        other = f"; in {low} it is {few:.2f}" if low != high else ""
        shows = f" In {high} a picture shows the photo, its switches and the layers below more than the map."
        return (
            f"At the same place of the same photo, the projection of another map of {high} has a rank correlation of "
            f"{many:.2f} with the true one{other}.{shows if many > 0.5 else ''}"
        )
    dead, maps = sum(layer.dead for layer in layers), sum(len(layer.found.active) for layer in layers)
    return f"{dead:,} of {maps:,} maps are not active on any of the {layers[0].photos:,} photos."


def write_front(new: NewFolder, layers: Sequence[Layer]) -> dict[str, Any]:
    """Write the picture of the first screen: the best maps of up to five layers, the highest first."""
    which = sorted({round(place) for place in np.linspace(0, len(layers) - 1, min(len(layers), FRONT_LAYERS))})
    rows, faces, across = [], [], min(FRONT_MAPS, max(len(layer.found.active) for layer in layers))
    grey = np.full((FRONT_SIDE, FRONT_SIDE, 3), PAGE, np.uint8)
    for layer in (layers[n] for n in reversed(which)):
        maps = strongest_maps(layer.found.top.value, across)
        own = [face(layer.pictures.of_map(channel)[1][:1], FRONT_SIDE) for channel in maps]  # nine would be too small
        faces += own + [grey] * (across - len(own))
        rows.append({"layer": layer.name, "maps": maps.tolist()})
    picture = mosaic(faces, across)
    new.write("faces/front.jpg", jpeg(picture))
    size = {"width": picture.shape[1], "height": picture.shape[0], "side": FRONT_SIDE}
    return {"file": "faces/front.jpg", **size, "rows": rows}


def write_filters(new: NewFolder, net: Network, file: str) -> dict[str, Any] | None:
    """Write the first convolution's filters as one picture, all on one scale; None if they have no colours."""
    name, layer = next(iter(net.layers.items()))
    if not isinstance(layer, Conv2d) or layer.weight.shape[1] != len(net.preprocessing.channels):
        return None
    weight = to_numpy(layer.weight)
    columns = int(np.ceil(np.sqrt(len(weight))))
    picture = tiled(shown_pixels(net, weight, shared_scale=True), columns, side=48)
    new.write(f"filters/{file}.png", png(picture))
    size = {"width": picture.shape[1], "height": picture.shape[0], "size": list(weight.shape[2:])}
    return {"layer": name, "file": f"filters/{file}.png", "count": len(weight), **size}


def write_card(new: NewFolder, net: Network, layers: Sequence[Layer], patches: bool) -> None:
    """Write a picture to send with a link: the three best maps of the highest layer and of one in the middle."""
    from PIL import Image, ImageOps

    groups, labels = [], []
    for number in dict.fromkeys((len(layers) - 1, len(layers) // 2)):
        layer = layers[number]
        for channel in strongest_maps(layer.found.top.value, 3):
            patch, projection = layer.pictures.of_map(channel)[:2]
            pair = [face(projection, 3 * CARD_SIDE), face(patch, 3 * CARD_SIDE, signed=False)]
            groups.append([tiled([square], 1, side=3 * CARD_SIDE) for square in pair[: 2 if patches else 1]])
            labels.append(f"{layer.name} {layer.noun} {channel}")
    title = f"{net.name}: what excites its feature maps, in {layers[0].photos:,} photos"
    sheet = pairs_sheet(groups, labels, title, "minideconv, after Zeiler & Fergus 2014")
    card = ImageOps.pad(Image.fromarray(np.asarray(sheet)), CARD, color=PAGE)
    new.write("card.png", png(np.asarray(card), colours=256))
