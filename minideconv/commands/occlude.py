"""`minideconv occlude`: what a net looks at in a photo, found out by hiding it piece by piece."""

from __future__ import annotations

import argparse

from ..files import free_folder
from .shared import add_model_option, load_or_fetch, new_command, save_all


def add(commands) -> None:
    command = new_command(
        commands, "occlude", run, "what a net looks at in a photo: a grey square hides it piece by piece (Fig. 7)",
        "minideconv occlude dog.jpg --model alexnet --out occlusion\n"
        '  minideconv occlude boot.png --model zfnet28 --class "Ankle boot" --size 6 --stride 1',
    )  # fmt: skip
    command.add_argument("photo", metavar="PHOTO", help="any image file")
    add_model_option(command)
    command.add_argument("--layer", help="a layer of the net (default: the last ReLU over maps); `info` lists them")
    command.add_argument("--channel", type=int, help="the feature map, counted from 0 (default: the strongest one)")
    command.add_argument(
        "--class", dest="class_name", metavar="NAME",
        help="the true class: its number, name or first word (default: what the net takes the whole photo for)",
    )  # fmt: skip
    command.add_argument("--size", type=int, metavar="S", help="side of the square, pixels (default: 1/5 of the photo)")
    command.add_argument(
        "--stride", type=int, metavar="S", help="how far it moves, at most (default: a third of its size)"
    )
    command.add_argument("--colour", type=_colour, metavar="R,G,B", help="0-255 each (default: the model's mean, grey)")
    command.add_argument("--out", default="occlusion", metavar="FOLDER", help="is created (default: occlusion)")


def run(options) -> None:
    """Write sheet, table and arrays into a folder, and say what hiding did."""
    from ..experiments.occlusion_sensitivity import occlude

    out = free_folder(options.out)
    seen = occlude(
        load_or_fetch(options.model), options.photo, options.layer, options.channel, options.class_name,
        size=options.size, stride=options.stride, colour=options.colour, progress=True,
    )  # fmt: skip
    places, *findings = seen.findings()
    print("\n".join([places if options.colour else f"{places} (the model's mean)", *findings]))
    save_all(seen, out, "occlusion")


def _colour(text: str) -> tuple[int, ...]:
    """`124,116,104` as three numbers."""
    try:
        red, green, blue = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a colour; give R,G,B such as 128,128,128") from None
    return red, green, blue
