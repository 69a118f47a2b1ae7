"""Parts of objects, marked by boxes in a JSON file: read, checked, and found again in what a net sees.

    {"dog.jpg": {"object": [14, 24, 140, 156], "parts": {"nose": [104, 54, 130, 82]}}, …}

The name is that of the photo in its folder or zip. A box is [top, left, bottom, right], half-open, in pixels of the
photo as it is seen upright. Letters: N photos, P parts, C channels, H rows, W columns.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..archives import Photos
from ..figures import new_figure
from ..images import Preprocessing
from ..network import Network
from .reading import photo_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
CROPS = ("photo", "object")
MOST = 2**31  # pixels; above it (and NaN) a number is no place in a photo
FORM = '{"photo.jpg": {"object": [top, left, bottom, right], "parts": {"nose": [top, left, bottom, right]}}, …}'


class Marks(NamedTuple):
    """What is marked in one photo: the box of the object, and of its parts, {name: box}."""

    object: Box
    parts: dict[str, Box]


class MarkedPhotos(NamedTuple):
    """Photos as a net sees them, and where their parts are in that.

    Attributes:
        names: N names, sorted;  parts: P names, as in the first photo.
        x: (C, H, W, N) float32, on the CPU.
        boxes: (P, N, 4), objects: (N, 4) whole pixels of x: top, left, bottom, right; objects are cut to what is seen.
    """

    names: list[str]
    parts: list[str]
    x: np.ndarray
    boxes: np.ndarray
    objects: np.ndarray


def load_marks(source) -> dict[str, Marks]:
    """Read marks from a JSON file; or check those of a dict of the same form.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no JSON, JSON of another form, a box without area, or photos with different parts.
    """
    name, found = ("marks", source) if isinstance(source, Mapping) else (str(source), _read_json(Path(source)))
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"{name} does not map photos to boxes; it has to look like {FORM}")
    marks = {photo: _checked_marks(f"{name}, {photo}", entry) for photo, entry in found.items()}
    every = list(dict.fromkeys(part for mark in marks.values() for part in mark.parts))
    for photo, mark in marks.items():
        for part in every:
            if part not in mark.parts:
                raise ValueError(f"{name}: {photo} has no {part!r}, others have; mark the same parts in every photo")
    return dict(sorted(marks.items()))


def place_marks(net: Network, photos, marks: Mapping[str, Marks], crop: str = "photo") -> MarkedPhotos:
    """Prepare the marked photos for a net, and find their boxes in what it sees.

    Args:
        photos: a folder, zip, glob pattern or `Photos`; those without marks are left alone.
        crop: "photo" shows the net the photo as always, its centre; "object" a square around each object, as large as
            its longer side (but within the photo) and resized to the net's input, so that objects are aligned.
    Raises:
        ValueError: marks of a photo that is not there, a box outside its photo or outside what the net sees, a part
            larger than its object, photos of different sizes, or a net that does not say how photos are prepared.
    """
    if crop not in CROPS:
        raise ValueError(f"crop is {crop!r}; use one of {', '.join(CROPS)}")
    photos = photos if isinstance(photos, Photos) else Photos(photos)
    shape = photo_shape(net, photos)
    where, parts = _numbers(photos, marks), list(next(iter(marks.values())).parts)
    levels, boxes, objects = [], [], []
    for name, mark in marks.items():
        photo = photos[where[name]]
        _check_inside(name, mark, photo.height, photo.width)
        preparation, photo, mark = _framed(net.preprocessing, photo, mark, crop, shape)
        levels.append(preparation.levels(photo))
        seen = {part: preparation.box_in_crop(box, photo.height, photo.width) for part, box in mark.parts.items()}
        whole = preparation.box_in_crop(mark.object, photo.height, photo.width)
        objects.append(_object_seen(net, name, whole, levels[-1].shape))
        boxes.append([_part_seen(net, name, part, seen[part], levels[-1].shape, objects[-1]) for part in parts])
    sizes = sorted({"{} x {}".format(*photo.shape) for photo in levels})
    if len(sizes) > 1:
        raise ValueError(f"photos of different sizes, {' and '.join(sizes[:3])} pixels; give a net that crops them")
    x = net.preprocessing.scaled(np.stack(levels))
    return MarkedPhotos(list(marks), parts, x, np.array(boxes).transpose(1, 0, 2), np.array(objects))


def draw_marks(net: Network, marked: MarkedPhotos) -> Figure:
    """The photos as the net sees them, with their boxes, to look whether they are where they should be."""
    import matplotlib

    count = len(marked.names)
    columns = min(count, 4)
    figure = new_figure(3 * columns, 3.2 * -(-count // columns) + 0.6)
    colours = matplotlib.colormaps["tab10"](range(len(marked.parts)))
    for n, axes in enumerate(figure.subplots(-(-count // columns), columns, squeeze=False).flat):
        axes.axis("off")
        if n < count:
            axes.imshow(net.preprocessing.restore(marked.x[..., n]))
            axes.set_title(marked.names[n], fontsize=7)
            _outline(axes, marked.objects[n], "white", "object")
            for part, box, colour in zip(marked.parts, marked.boxes[:, n], colours):
                _outline(axes, box, colour, part)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(marked.parts) + 1, facecolor="lightgrey")
    return figure


def _outline(axes, box, colour, label) -> None:
    top, left, bottom, right = box - 0.5  # a pixel's middle is where imshow counts it
    axes.plot(
        [left, right, right, left, left], [top, top, bottom, bottom, top], color=colour, label=label, clip_on=False
    )


# ------------------------------------------------------------------------------------------------------------- reading


def _read_json(path: Path):
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}; give marks that look like {FORM}") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"cannot read {path} ({why}); give marks that look like {FORM}") from None
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply; it has to look like {FORM}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _without_doubles(pairs) -> dict:
    """A JSON object as a dict; of two entries with one name Python would silently take the last."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice; leave one")
    return dict(pairs)


def _checked_marks(where: str, entry) -> Marks:
    if isinstance(entry, Marks):
        entry = entry._asdict()
    if not isinstance(entry, Mapping) or set(entry) != {"object", "parts"}:
        raise ValueError(f'{where}: expected "object" and "parts"; the file has to look like {FORM}')
    if not isinstance(entry["parts"], Mapping) or not entry["parts"]:
        raise ValueError(f'{where}: "parts" names no part; the file has to look like {FORM}')
    parts = {part: _checked_box(f"{where}, {part}", box) for part, box in entry["parts"].items()}
    return Marks(_checked_box(f"{where}, object", entry["object"]), parts)


def _checked_box(where: str, box) -> Box:
    numbers = list(box) if isinstance(box, (list, tuple, np.ndarray)) else []
    real = all(isinstance(n, Real) and not isinstance(n, bool) and abs(n) < MOST for n in numbers)
    if len(numbers) != 4 or not real:
        raise ValueError(f"{where}: {box!r:.60} is no box; give [top, left, bottom, right] in pixels of the photo")
    top, left, bottom, right = map(float, numbers)
    if bottom <= top or right <= left:
        raise ValueError(f"{where}: the box {numbers} has no area; give [top, left, bottom, right]")
    return top, left, bottom, right


# ------------------------------------------------------------------------------------------------------------- placing


def _numbers(photos: Photos, marks) -> dict[str, int]:
    """Which photo each mark belongs to: of that name, or of that name in any subfolder if there is just one."""
    found = {}
    for name in marks:
        fits = [i for i, other in enumerate(photos.names) if other == name]
        fits = fits or [i for i, other in enumerate(photos.names) if other.endswith(f"/{name}")]
        if len(fits) != 1:
            many = f"{len(fits)} photos" if fits else "no photo"
            raise ValueError(f"{photos.source} has {many} called {name}, which is marked; name one that is there")
        found[name] = fits[0]
    return found


def _check_inside(name, mark, height, width) -> None:
    for part, (top, left, bottom, right) in {"object": mark.object, **mark.parts}.items():
        if top < 0 or left < 0 or bottom > height or right > width:
            raise ValueError(
                f"{name}, {part}: the box {[top, left, bottom, right]} lies outside the photo of {height} x {width} "
                "pixels (height x width); a box is [top, left, bottom, right]"
            )


def _framed(preparation: Preprocessing, photo, mark: Marks, crop: str, shape):
    """The photo to prepare, how, and the marks in it: all as it is, or cut to a square around the object."""
    if crop == "photo":
        return preparation, photo, mark
    top, left, bottom, right = mark.object
    side = min(round(max(bottom - top, right - left)), photo.height, photo.width)
    y = min(max(round((top + bottom - side) / 2), 0), photo.height - side)
    x = min(max(round((left + right - side) / 2), 0), photo.width - side)
    moved = [(t - y, l - x, b - y, r - x) for t, l, b, r in (mark.object, *mark.parts.values())]  # noqa: E741
    preparation = dataclasses.replace(preparation, resize=shape[1:], crop=shape[1:])
    return preparation, photo.crop((x, y, x + side, y + side)), Marks(moved[0], dict(zip(mark.parts, moved[1:])))


def _object_seen(net, name, box, shape) -> list[int]:
    """An object's box in whole pixels, cut to what the net sees."""
    ends = (*shape[:2], *shape[:2])
    top, left, bottom, right = (min(max(round(edge), 0), end) for edge, end in zip(box, ends))
    if bottom <= top or right <= left:
        raise ValueError(f"{name}, object: its box lies outside what {net.name} sees, {shape[0]} x {shape[1]} pixels")
    return [top, left, bottom, right]


def _part_seen(net, name, part, box, shape, whole) -> list[int]:
    """A part's box in whole pixels, one at least; all of it has to be seen, and has to fit into its object."""
    top, left, bottom, right = (round(edge) for edge in box)
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    if top < 0 or left < 0 or bottom > shape[0] or right > shape[1]:
        raise ValueError(
            f"{name}, {part}: its box lies outside what {net.name} sees of the photo, the middle; leave that photo "
            "out, or show the net the object alone (crop object)"
        )
    height, width = whole[2] - whole[0], whole[3] - whole[1]
    if bottom - top > height or right - left > width:
        raise ValueError(
            f"{name}, {part}: {bottom - top} x {right - left} pixels are larger than what is seen of the object, "
            f"{height} x {width}, so it has no random places in it; mark the whole object"
        )
    return [top, left, bottom, right]
