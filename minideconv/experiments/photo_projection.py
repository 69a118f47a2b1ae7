"""What a network sees in one photo: the strongest feature maps of a layer, each projected to pixels.

The paper's Fig. 2 turned round: not the nine strongest photos of one map, but the strongest maps of one photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backend import to_numpy
from ..deconvnet import Units, clipped_box, project_patches, strongest, unit_of
from ..display import display
from ..layers import ReLU
from ..network import Network, Trace
from ..photo_sheet import Entry, project_sheet

if TYPE_CHECKING:
    from PIL import Image

MOST_UNITS = 36  # as many colours as stay apart
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
    net.check_prepares()
    photo = net.preprocessing.restore(to_numpy(trace.input[..., int(units.image[0])]))
    patches = project_patches(
        net, trace, layer, image=units.image, channel=units.channel, row=units.row, column=units.column, rule=rule
    )
    vectors, boxes, entries = len(trace.step(layer).y_shape) == 2, [], []
    for unit, (channel, row, column, value) in enumerate(zip(*units[1:])):
        top, left, bottom, right = box = clipped_box(net, trace, layer, int(row), int(column))
        if bottom == top or right == left:
            raise ValueError(
                f"{layer} {channel}, {row}, {column} sees only padding, nothing of the photo; choose another"
            )
        dy, dx = patches.top[unit], patches.left[unit]
        pixels = patches.pixels[:, top - dy : bottom - dy, left - dx : right - dx, unit]
        picture = display(net.preprocessing.display_order(pixels))
        boxes.append(box)
        caption = _caption(net, layer, vectors, channel, row, column, value)
        entries.append(Entry(photo[top:bottom, left:right], picture, caption))
    what = f"what {len(entries)} units respond to" if len(entries) > 1 else "what one unit responds to"
    title = f"{net.name}, {layer}: {what} in this photo ({rule} rule)"
    return project_sheet(photo, boxes, entries, title, HOW_SHOWN)


def chosen_units(trace: Trace, layer: str, top: int = 9, channel: int | None = None, position=None) -> Units:
    """The units to show of a trace's first image: one that was asked for, or the strongest of each of `top` maps.

    Args:
        channel: show this feature map only;  position: (row, column) in it, None for its strongest unit.
    Raises:
        ValueError: if there is no such channel or position, or a position comes without a channel.
    """
    if channel is None:
        if position is not None:
            raise ValueError("a position needs a channel: say which feature map it lies in")
        if not 1 <= top <= MOST_UNITS:
            raise ValueError(f"top is {top}; a sheet shows 1 to {MOST_UNITS} units")
        return strongest(trace, layer, top)
    maps = trace.image(0)[layer]
    channel, row, column = unit_of(maps, layer, channel, position)
    value = to_numpy(maps[(channel, row, column) if maps.ndim == 4 else channel])  # (1,)
    return Units(*(np.array([number]) for number in (0, channel, row, column)), value)


def activation_text(net: Network, layer: str, value: float) -> str:
    """`activation 98.2`; a rectified unit at zero is `not active`."""
    return "not active" if isinstance(net.layers[layer], ReLU) and value == 0 else f"activation {value:.3g}"


def _caption(net, layer, vectors, channel, row, column, value) -> list[str]:
    if vectors:
        return [f"{layer} unit {channel}", activation_text(net, layer, value)]
    return [f"{layer} map {channel}", f"row {row}, column {column} · {activation_text(net, layer, value)}"]
