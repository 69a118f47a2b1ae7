"""One layer of the atlas: its maps' sheets, its faces, its printable Fig. 2, and the numbers the page reads.

Written into the folder: maps/relu5/017.jpg (rows: patch, deconvnet), maps/relu5/017-more.jpg (the other rules and the
controls), faces/relu5-0.jpg (a hundred maps at a glance), sheets/relu5.jpg, data/relu5.js.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..display import mosaic
from ..encoding import jpeg, png
from ..experiments.feature_visualization import BESIDE, HOW_SHOWN, pairs_sheet, strongest_maps, tiled, value_range
from ..experiments.sanity_checks import other_map
from ..experiments.scanning import EDGES, LayerScan
from ..network import Network
from ..parallel import share
from .encode import FACE, FACES_ACROSS, extension, face, map_sheet, pitch
from .folder import NewFolder
from .pictures import FIRST, MORE, LayerPictures

FACES_A_FILE = FACES_ACROSS**2
ENCODED_AT_ONCE = 32  # maps
ON_A_SHEET = 12  # maps of the printable figure
SAMPLED = 8  # maps that are encoded to foretell how many bytes all will take
THUMBNAIL = 8  # rows and columns at which patches are compared for their variety


class Layer(NamedTuple):
    """What is known of one layer.

    Attributes:
        name: as the net calls it;  file: as files call it.
        found: its part of the scan;  pictures: its tiles.
        photos: how many were scanned;  flat: whether it comes after Flatten, so that units have no place.
    """

    name: str
    file: str
    found: LayerScan
    pictures: LayerPictures
    photos: int
    flat: bool

    @property
    def dead(self) -> int:
        """How many maps no photo makes positive."""
        return int((self.found.active == 0).sum())

    @property
    def noun(self) -> str:
        """What its channels are called."""
        return "unit" if self.flat else "map"

    def path(self, channel: int, more: bool = False) -> str:
        """Where a map's sheet lies in the folder."""
        digits, end = len(str(len(self.found.active) - 1)), "-more" if more else ""
        return f"maps/{self.file}/{channel:0{digits}}{end}.{extension(self.pictures.shape[3:5])}"


class MapFiles(NamedTuple):
    """What is made of one map's tiles: its sheets as files, its faces as pixels, and how unlike its patches are."""

    sheet: bytes
    more: bytes | None
    face: np.ndarray
    patch_face: np.ndarray
    variety: float


def encoded_maps(layer: Layer, patches: bool, channels=None) -> Iterator[MapFiles]:
    """Encode maps, some at a time on all cores, in order."""
    encode = png if extension(layer.pictures.shape[3:5]) == "png" else jpeg

    def work(channel):
        own = layer.pictures.of_map(channel)  # (R, k, th, tw, 3)
        more = encode(map_sheet(own[len(FIRST) :])) if len(own) > len(FIRST) else None
        sheet = encode(map_sheet(own[0 if patches else 1 : len(FIRST)]))
        return MapFiles(
            sheet, more, face(own[1]), face(own[0], signed=False), _variety(own[0][layer.found.top.image[channel] >= 0])
        )

    channels = range(len(layer.found.active)) if channels is None else channels
    for first in range(0, len(channels), ENCODED_AT_ONCE):
        some = channels[first : first + ENCODED_AT_ONCE]
        for made in share(lambda part: [*map(work, part)], some, layer.found.active):
            yield from made


def _variety(patches: np.ndarray) -> float:
    """How unlike the patches (n, th, tw, 3) are: 1 - the mean correlation of two, at 8 × 8 pixels; 0 for one alone."""
    rows, columns = (np.arange(THUMBNAIL) * side // THUMBNAIL for side in patches.shape[1:3])
    small = np.add.reduceat(np.add.reduceat(patches.astype(float), rows, axis=1), columns, axis=2)
    small = small.reshape(len(patches), -1)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-9)
    pairs = (small @ small.T)[np.triu_indices(len(small), 1)]
    return float(1 - pairs.mean()) if len(pairs) else 0.0


def foretold_size(layer: Layer, patches: bool) -> int:
    """About how many bytes `write_layer` will write, from a few of the maps."""
    maps = len(layer.found.active)
    made = list(encoded_maps(layer, patches, range(0, maps, max(maps // SAMPLED, 1))))
    faces = [len(_faces([each.face for each in made]))]
    faces += [len(_faces([each.patch_face for each in made]))] * patches
    sheets = sum(len(each.sheet) + len(each.more or b"") for each in made)
    data = call("add", layer.name, layer_data(layer, patches, np.zeros(maps)))
    return len(data) + (sheets + sum(faces)) * maps // len(made)


def _faces(pictures) -> bytes:
    return jpeg(mosaic(pictures, FACES_ACROSS), quality=60)


def write_layer(new: NewFolder, layer: Layer, patches: bool, step: Callable[[], Any]) -> None:
    """Write the maps and numbers of one layer; `step` is called after each map."""
    faces, patch_faces, variety, files = [], [], [], {"files": [], "patches": []}

    def flush():
        for kind, pictures, end in (("files", faces, ""), ("patches", patch_faces, "-patches")):
            if pictures and (patches or kind == "files"):
                name = f"faces/{layer.file}-{len(files[kind])}{end}.jpg"
                new.write(name, _faces(pictures))
                files[kind].append(name)
            pictures.clear()

    for channel, made in enumerate(encoded_maps(layer, patches)):
        new.write(layer.path(channel), made.sheet)
        if made.more is not None:
            new.write(layer.path(channel, more=True), made.more)
        faces.append(made.face)
        patch_faces.append(made.patch_face)
        variety.append(made.variety)
        if len(faces) == FACES_A_FILE:
            flush()
        step()
    flush()
    data = layer_data(layer, patches, variety)
    data["faces"] = {"side": FACE, "columns": FACES_ACROSS, **files}
    new.write(f"data/{layer.file}.js", call("add", layer.name, data))


def call(function: str, *arguments) -> str:
    """A script that hands data to the page; nothing in it can end the script element it may be put in."""
    text = ", ".join(json.dumps(argument, ensure_ascii=True, separators=(",", ":")) for argument in arguments)
    return f"atlas.{function}({text.replace('<', chr(92) + 'u003c')});\n"


def layer_data(layer: Layer, patches: bool, variety) -> dict[str, Any]:
    """The numbers of a layer, as the page reads them."""
    pictures, top, maps = layer.pictures, layer.found.top, len(layer.found.active)
    more = MORE if pictures.shape[1] > len(FIRST) else ()
    filled = np.flatnonzero(layer.found.bins.any(axis=0)) if layer.found.bins.any() else [0, 0]
    return {
        "tile": list(pictures.shape[3:5]), "pitch": [pitch(side) for side in pictures.shape[3:5]],
        "window": list(pictures.window), "start": list(pictures.start), "stride": list(pictures.stride),
        "whole": list(pictures.whole), "ext": extension(pictures.shape[3:5]), "folder": f"maps/{layer.file}",
        "rows": list(FIRST if patches else FIRST[1:]), "more": list(more), "k": top.image.shape[1],
        "digits": len(str(maps - 1)), "histogram": {"edges": EDGES[filled[0] : filled[-1] + 2].tolist()},
        "maps": [_map_data(layer, channel, variety[channel], filled[0]) for channel in range(maps)],
    }  # fmt: skip


def _map_data(layer, channel, variety, lowest) -> dict[str, Any]:
    top, bins, maps = layer.found.top, layer.found.bins[channel], len(layer.found.active)
    filled = np.flatnonzero(bins)
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, -1)
    similar = mean_similarity(layer.pictures.similar, channel)
    return {
        "map": channel,
        "image": top.image[channel].tolist(), "row": top.row[channel].tolist(), "column": top.column[channel].tolist(),
        "value": [_short(value) for value in top.value[channel]],
        "active": _short(layer.found.active[channel] / max(layer.photos, 1)),
        "bins": bins[first : last + 1].tolist(), "first": max(first - int(lowest), 0),
        "strength": _short(top.value[channel, 0]), "variety": _short(variety),
        "other": other_map(channel, maps) if similar and maps > 1 else None, "similar": similar,
    }  # fmt: skip


def mean_similarity(similar: np.ndarray | None, channel=slice(None)) -> list[float | None] | None:
    """The mean over winners of the two controls' similarity, (…, k, 2): [random weights, other unit]; None without."""
    if similar is None:
        return None
    values = similar[channel].reshape(-1, 2)
    return [_short(column[~np.isnan(column)].mean()) if (~np.isnan(column)).any() else None for column in values.T]


def _short(value) -> float | None:
    """Four significant digits; None for NaN. The exact numbers are in atlas.npz."""
    return None if np.isnan(value) else float(f"{value:.4g}")


def figure_2(net: Network, layer: Layer, patches: bool) -> bytes:
    """The paper's Fig. 2 of one layer, to print: its strongest maps, projections beside patches."""
    channels = strongest_maps(layer.found.top.value, ON_A_SHEET)
    side = max(max(layer.pictures.shape[3:5]), 48)
    kinds = [1, 0] if patches else [1]
    tiles = (layer.pictures.of_map(channel) for channel in channels)
    groups = [[tiled(list(own[kind]), 3, side=side) for kind in kinds] for own in tiles]
    labels = [
        f"{layer.noun} {channel} · {value_range(layer.name, layer.found.top.value[channel])}" for channel in channels
    ]
    how = HOW_SHOWN.format(rule="deconvnet", beside=BESIDE if patches else "", scale="each projection by itself")
    title = f"{net.name}, {layer.name}: the strongest of {layer.photos:,} photos"
    return jpeg(np.asarray(pairs_sheet(groups, labels, title, how, 3 if patches else 4)), quality=85)
