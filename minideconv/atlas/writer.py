"""The atlas of a net: Fig. 2 for every feature map of every layer, on your own photos, as a folder for a browser.

    scan (resumable)  ->  pictures of all winners  ->  the folder: index.html, data, maps, faces, photos, atlas.npz

Everything is written beside the final place first, and what did not change since the last run is taken over.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import Photos
from ..encoding import jpeg
from ..experiments.reading import opened, photo_shape
from ..experiments.scan_files import differences, load_scan, merge_scans, resumed_scan, save_scan
from ..experiments.scanning import Scan, new_scan, rectified_maps
from ..files import safe_names
from ..network import Network
from .folder import NewFolder, check_named, check_replaceable, is_up_to_date
from .front import photo_digits, summary, write_card, write_filters, write_front
from .layer import Layer, call, figure_2, foretold_size, write_layer
from .page import made_by, page
from .pictures import FIRST, MORE, TILE, picture_winners

K = 9  # the paper's, and a square of three by three
TAKEN = ("photos",)  # a folder of the atlas, beside those of layers


def write_atlas(net: Network, photos, out, layers: Sequence[str] | None = None, *, model: str = "", tile: int = TILE,
                lean: bool = False, show_photos: bool = True, merge: Sequence = (), names: Sequence[str] | None = None,
                progress: bool = True, report: Callable[[str], None] = print) -> tuple[Path, Scan]:  # fmt: skip
    """Write the atlas of a net on some photos; stopped, it goes on where it was.

    Args:
        photos: a folder, zip, glob pattern or list of photos; or (N, H, W, C) uint8, cropped as the net sees them.
        out: the folder, which is made; an older atlas in it is replaced once the new one is whole.
        layers: their names; None takes every ReLU that has maps.
        model: how the net was called, for the commands that the page shows.
        tile: the longest side of a picture, in pixels.
        lean: leave out the other rules and the controls.
        show_photos: False leaves out photos, patches and file names.
        merge: the files of all shards of a scan (`write_shard`), instead of scanning.
        names: what photos are called; None takes the names of their files.
        progress: show bars;  report: told what happens, in lines.
    Returns:
        the folder, and what the scan found.
    Raises:
        ValueError: if the place is taken, photos or net do not fit, or there is no room.
    """
    out, photos = Path(out).expanduser(), opened(photos)
    check_replaceable(out)
    if not 8 <= tile <= 512:
        raise ValueError(f"tile is {tile}; give 8 to 512 pixels")
    layers = list(layers or rectified_maps(net, photo_shape(net, photos)))
    start = new_scan(net, photos, layers, K)
    options = {"tile": tile, "lean": lean, "photos": show_photos, "model": model_name(net, model)}
    named = hashlib.sha256(json.dumps(list(names)).encode()).hexdigest() if names else None
    key = {"scan": start.settings, "options": options, "names": named, "made by": made_by()}
    earlier = _earlier_scan(out)
    if earlier is not None and is_up_to_date(out, key):
        report(f"{out} is up to date")
        return out, earlier
    found = _scanned(net, photos, start, earlier, out, merge, progress, report)
    for number, reason in found.skipped.items():
        report(f"skipped {photos.path(number)}: {reason}")
    if names is None and isinstance(photos, Photos):
        names = [re.split(r"[/\\]", name)[-1] for name in photos.names]
    with NewFolder(out, key) as new:
        _write(new, net, photos, found, options, names, progress, report)
    scan_path(out).unlink(missing_ok=True)
    return out, found


def write_shard(net: Network, photos, out, shard: tuple[int, int], layers: Sequence[str] | None = None, *,
                progress: bool = True, report: Callable[[str], None] = print) -> Path:  # fmt: skip
    """Scan one part of a collection for an atlas; all parts together are merged by `write_atlas`.

    Args:
        shard: (i, n), the i-th of n parts, counted from 1;  others: as for `write_atlas`.
    Returns:
        the file with what was found.
    """
    photos, path = opened(photos), scan_path(out, shard)
    layers = list(layers or rectified_maps(net, photo_shape(net, photos)))
    bar = f"scan {shard[0]}/{shard[1]}" if progress else None
    found = resumed_scan(net, photos, layers, path, K, shard=shard, progress=bar, note=report)
    for number, reason in found.skipped.items():
        report(f"skipped {photos.path(number)}: {reason}")
    return path


def scan_path(out, shard: tuple[int, int] | None = None) -> Path:
    """Where a scan is kept until the atlas is there: beside it."""
    out = Path(out).expanduser()
    check_named(out)
    return out.with_name(f"{out.name}.{'scan' if shard is None else 'shard-{}-of-{}'.format(*shard)}.npz")


def model_name(net: Network, model: str) -> str:
    """How to call the model in a command: what the user called it, without the folders it lies in."""
    return re.split(r"[/\\]", str(model))[-1] or f"{net.name}.npz"


def _earlier_scan(out: Path) -> Scan | None:
    """What the atlas that is there was made of; None if there is none, or it cannot be read."""
    try:
        return load_scan(out / "atlas.npz")
    except (ValueError, FileNotFoundError):
        return None


def _scanned(net, photos, start, earlier, out, merge, progress, report) -> Scan:
    """The scan: merged from shards, taken from an atlas that is there, or made."""
    if merge:
        found = merge_scans(merge)
        different = differences(found.settings, start.settings)
        if different:
            raise ValueError(f"the shards do not fit this atlas: they are of {different}")
        return found
    if earlier is not None and earlier.done.all() and not differences(earlier.settings, start.settings):
        report(f"nothing to scan: {out} has these photos already")
        return earlier
    layers, bar = start.settings["layers"], "scan" if progress else None
    return resumed_scan(net, photos, layers, scan_path(out), K, progress=bar, note=report)


def _write(new: NewFolder, net, photos, found, options, names, progress, report) -> None:
    """Fill the new folder."""
    shown, digits = options["photos"], photo_digits(len(photos))
    work = new.part / "tiles"
    work.mkdir()
    _check_room(work, found, options)

    def keep(number, levels):
        new.write(f"photos/{number:0{digits}}.jpg", jpeg(levels, quality=80))

    pictures = picture_winners(
        net, photos, found, work, more=not options["lean"], tile=options["tile"], each_photo=keep if shown else None,
        progress="projections" if progress else None,
    )  # fmt: skip
    flat = {name: len(shape) == 1 for name, shape in net.output_shapes(photo_shape(net, photos)).items()}
    layers = [
        Layer(name, file, found.layers[name], pictures[name], found.photos, flat[name])
        for name, file in safe_names(found.layers, TAKEN).items()
    ]
    _write_rest(new, net, photos, found, layers, options)
    if shown:
        new.write("data/photos.js", call("photos", photo_names(names, layers) if names else {}))
    _foretell(new, layers, shown, report)
    _write_layers(new, layers, shown, progress)
    del layers, pictures
    shutil.rmtree(work)


def _check_room(work, found, options) -> None:
    """Refuse, before anything is drawn, if the tiles of all winners do not fit where they are kept meanwhile."""
    winners = sum(layer.top.image.size for layer in found.layers.values())
    wanted = winners * len(FIRST if options["lean"] else FIRST + MORE) * 3 * options["tile"] ** 2
    free = shutil.disk_usage(work).free
    if wanted > free:
        room = f"up to {megabytes(wanted)} are needed meanwhile, but {megabytes(free)} are free"
        raise ValueError(
            f"no room for the pictures beside the atlas: {room}; make room, or try --lean or fewer --layers"
        )


def _foretell(new, layers, shown, report) -> None:
    """Say how large the folder will be; refuse if there is no room for what is still to be written."""
    missing = sum(foretold_size(layer, shown) for layer in layers)
    size = sum(new.sizes.values()) + missing
    free = shutil.disk_usage(new.part).free
    report(f"writing about {megabytes(size)} to {new.path}")
    if missing > free:
        wanted = f"{new.path} needs about {megabytes(missing)} more, but {megabytes(free)} are free"
        raise ValueError(f"{wanted}; make room, or leave pictures out with --lean")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 2e6 else f"{size / 1e3:.0f} kB"


def _write_layers(new, layers, shown, progress) -> None:
    from tqdm import tqdm

    total = sum(len(layer.found.active) for layer in layers)
    with tqdm(total=total, desc="writing", unit=" maps", disable=not progress) as bar:
        for layer in layers:
            write_layer(new, layer, shown, bar.update)


def _write_rest(new: NewFolder, net, photos, found, layers, options) -> None:
    """All but the maps: first screen, filters, card, figures to print, names, numbers, the page itself."""
    from .. import __version__

    shown = options["photos"]
    first = next(iter(safe_names(net.layers, TAKEN).values()))
    names: dict[str, Any] = {
        "front": write_front(new, layers), "filters": write_filters(new, net, first),
        "model": options["model"], "made": f"minideconv {__version__}",
    }  # fmt: skip
    write_card(new, net, layers, shown)
    for layer in layers:
        new.write(f"sheets/{layer.file}.jpg", figure_2(net, layer, shown))
    sections = {"photos": shown, "patches": shown, "more": not options["lean"]}
    about = summary(net, photos, found, layers, names, sections)
    new.write("data/summary.json", json.dumps(about, indent=1) + "\n")
    new.write("index.html", page(about))
    new.write(".gitignore", "*\n")
    numbers = new.part / "tiles" / "atlas.npz"
    similar = {
        f"{layer.name}.similar": layer.pictures.similar for layer in layers if layer.pictures.similar is not None
    }
    save_scan(found, numbers, **similar)
    new.write("atlas.npz", numbers.read_bytes())


def photo_names(names: Sequence[str], layers: Sequence[Layer]) -> dict[str, str]:
    """{number: what the photo is called} of all photos that won something."""
    winners = np.unique(np.concatenate([layer.found.top.image.ravel() for layer in layers]))
    return {str(number): names[number] for number in winners if number >= 0}
