"""What a network sees in one photo: the strongest feature maps of a layer, each projected to pixels.

The paper's Fig. 2 turned round: not the nine strongest photos of one map, but the strongest maps of one photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backend import to_numpy
from ..deconvnet import Units, clipped_box, project_patches, strongest
from ..images import display
from ..network import Network, Trace
from ..sheets import Entry, project_sheet

if TYPE_CHECKING:
    from PIL import Image

HOW_SHOWN = (
    "Each projection is shown by itself: zero is mid-grey, positive brighter, negative darker, full contrast near the "
    "99.5th percentile of its non-zero pixels. A projection shows what passes down through the switches of this photo, "
    "not all that excites the map."
)


def projection_sheet(net: Network, trace: Trace, layer: str, units: Units, rule: str = "deconvnet") -> Image.Image:
    """Draw one photo with the receptive fields of some units, and each unit's patch beside its projection.

    Args:
        net: the network; its preprocessing undoes the scaling of the photo.
        trace: a forward pass on the photo.
        layer, units: which units; all of one image of the trace.
        rule: "deconvnet", "gradient" or "guided".
    Returns:
        a Pillow image.
    Raises:
        ValueError: if the net does not know how its photos were prepared.

    Paper: Sec. 4, Fig. 2.
    """
    if net.preprocessing is None:
        raise ValueError(f"{net.name} does not say how photos are prepared, so none can be shown")
    photo = net.preprocessing.restore(to_numpy(trace.input[..., int(units.image[0])]))
    patches = project_patches(
        net, trace, layer, image=units.image, channel=units.channel, row=units.row, column=units.column, rule=rule
    )
    boxes, entries = [], []
    for unit, (channel, row, column, value) in enumerate(zip(*units[1:])):
        top, left, bottom, right = box = clipped_box(net, trace, layer, int(row), int(column))
        dy, dx = patches.top[unit], patches.left[unit]
        pixels = patches.pixels[:, top - dy : bottom - dy, left - dx : right - dx, unit]
        picture = display(net.preprocessing.display_order(pixels))
        boxes.append(box)
        entries.append(Entry(photo[top:bottom, left:right], picture, _caption(net, layer, channel, row, column, value)))
    title = f"{net.name}, {layer}: what {_count(len(entries), 'unit')} respond to in this photo ({rule} rule)"
    return project_sheet(photo, boxes, entries, title, HOW_SHOWN)


def chosen_units(trace: Trace, layer: str, top: int = 9, channel: int | None = None, position=None) -> Units:
    """The units to show of a trace's first image: one that was asked for, or the strongest of each of `top` maps.

    Args:
        channel: show this feature map only;  position: (row, column) in it, None for its strongest unit.
    Raises:
        ValueError: if there is no such channel or position, or a position comes without a channel.
    """
    maps = to_numpy(trace.image(0)[layer])
    if channel is None:
        if position is not None:
            raise ValueError("a position needs a channel: say which feature map it lies in")
        if top < 1:
            raise ValueError(f"top is {top}; show at least one unit")
        return strongest(trace, layer, top)
    if not 0 <= channel < len(maps):
        raise ValueError(f"{layer} has {len(maps)} channels, counted from 0; there is no channel {channel}")
    plane = maps[channel].reshape(maps.shape[1:3] if maps.ndim == 4 else (1, 1))
    row, column = np.unravel_index(plane.argmax(), plane.shape) if position is None else position
    if not (0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]):
        size = f"{plane.shape[0]} rows and {plane.shape[1]} columns"
        raise ValueError(f"{layer} has {size}, counted from 0; there is no position {row},{column}")
    return Units(*(np.array([number]) for number in (0, channel, row, column)), plane[row, column][None])


def _caption(net, layer, channel, row, column, value) -> list[str]:
    if len(net.output_shapes()[layer]) == 1:
        name, where = f"{layer} unit {channel}", ""
    else:
        name, where = f"{layer} map {channel}", f"row {row}, column {column} · "
    idle = layer.startswith("relu") and value == 0
    return [name, where + ("not active" if idle else f"activation {value:.3g}")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
