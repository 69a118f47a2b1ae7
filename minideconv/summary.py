"""A network as a table: what `print(net)` shows."""

from __future__ import annotations

import math


def table(net) -> str:
    """One line a layer: name, operation, output shape, receptive field in pixels, parameters.

    Shapes need the net's `input_shape`; without one those columns show a dash.
    """
    rows, total = [("layer", "operation", "output", "sees", "parameters")], 0
    for name, operation, shape, sees, count in layer_rows(net):
        field = "all" if sees is None else " × ".join(map(str, sees))
        rows.append((name, operation, " × ".join(map(str, shape)) or "-", field, f"{count:,}" if count else ""))
        total += count
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4].rjust(12)]).rstrip() for row in rows
    ]
    size = " × ".join(map(str, net.input_shape)) if net.input_shape else "unknown"
    return "\n".join([f"{net.name}: input {size}, {total:,} parameters", *lines])


def layer_rows(net, input_shape=None) -> list[tuple]:
    """(name, operation in words, output shape, receptive field or None for all, parameters) of every layer.

    The shape is that of one image, () where neither `input_shape` nor the net's own is known.
    """
    input_shape = input_shape or net.input_shape
    shapes, rows = net.output_shapes(input_shape) if input_shape else {}, []
    for name, layer in net.layers.items():
        count = sum(math.prod(shape) for shape in layer.parameter_shapes().values())
        sees = None if net.sees_all(name) else net.receptive_field(name).size
        rows.append((name, _operation(layer), shapes.get(name, ()), sees, count))
    return rows


def _operation(layer) -> str:
    """The layer in a few words: `conv 64 of 11×11 / 4, pad 2`."""
    kind, options = type(layer).__name__, {name: getattr(layer, name) for name in layer.options}
    window = ""
    if "kernel_size" in options:
        window = f" {_pair(options['kernel_size'])} / {_pair(options['stride'], short=True)}"
        pads = {side for sides in options["padding"] for side in sides}
        window += "" if pads == {0} else f", pad {pads.pop() if len(pads) == 1 else options['padding']}"
    extra = f", {options['groups']} groups" if options.get("groups", 1) > 1 else ""
    extra += ", ceil" if options.get("ceil_mode") else ""
    return {
        "Conv2d": f"conv {options.get('out_channels')} of{window}{extra}",
        "MaxPool2d": f"max pool{window}{extra}",
        "AvgPool2d": f"average pool{window}{extra}",
        "GlobalAvgPool2d": "average of each map",
        "LocalResponseNorm": f"response norm over {options.get('size')}",
        "Linear": f"linear to {options.get('out_features')}",
        "Dropout": f"dropout {options.get('p')}",
    }.get(kind, kind)


def _pair(value, short=False) -> str:
    return str(value[0]) if short and value[0] == value[1] else f"{value[0]}×{value[1]}"
