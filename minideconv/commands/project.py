"""`minideconv project`: what the units of a net respond to in a photo."""

from __future__ import annotations

import argparse

from ..layers import RULES, ReLU
from .shared import add_model_option, load_or_fetch, new_command


def add(commands) -> None:
    command = new_command(
        commands, "project", run, "what the units of a net respond to in a photo, projected back to pixels",
        "minideconv project dog.jpg --model alexnet --layer relu5 --out sheet.png\n"
        "  minideconv project dog.jpg --layer conv3 --channel 17 --position 5,7 --rule guided --out unit.png",
    )  # fmt: skip
    command.add_argument("photo", metavar="PHOTO", help="any image file")
    add_model_option(command)
    command.add_argument("--layer", help="a layer of the net (default: the last ReLU over maps); `info` lists them")
    command.add_argument("--channel", type=int, help="one feature map, counted from 0 (default: the strongest ones)")
    command.add_argument(
        "--position", type=_position, metavar="ROW,COLUMN", help="which unit of --channel (default: its strongest)"
    )
    command.add_argument("--rule", choices=RULES, default="deconvnet", help="what a ReLU lets through on the way down")
    command.add_argument("--top", type=int, default=9, metavar="K", help="how many feature maps (default: 9)")
    command.add_argument("--out", default="sheet.png", metavar="FILE", help="a .png or .jpg (default: sheet.png)")


def run(options) -> None:
    """Write a sheet for one photo and list its units."""
    from ..experiments.photo_projection import chosen_units, projection_sheet
    from ..experiments.scanning import rectified_maps
    from ..sheets import check_image_path, save_image

    check_image_path(options.out)
    net = load_or_fetch(options.model)
    usual = rectified_maps(net, net.input_shape)[-1] if net.input_shape else None  # where units still have a place
    layer = net.name_of(options.layer or usual)
    trace = net.forward(net.preprocess([options.photo]), until=layer)
    units = chosen_units(trace, layer, options.top, options.channel, options.position)
    save_image(projection_sheet(net, trace, layer, units, options.rule), options.out)
    print(f"{layer} of {net.name}, {options.rule} rule: channel, row, column, activation")
    for channel, row, column, value in zip(*units[1:]):
        idle = "  not active" if value == 0 and isinstance(net.layers[layer], ReLU) else ""
        print(f"{channel:5d} {row:4d} {column:4d}  {value:.6g}{idle}")
    print(f"written: {options.out}")


def _position(text: str) -> tuple[int, int]:
    """`5,7` as (row, column)."""
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a position; give ROW,COLUMN such as 5,7") from None
    return row, column
