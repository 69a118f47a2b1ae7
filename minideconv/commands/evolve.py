"""`minideconv evolve`: how features form in training, and when they stop moving."""

from __future__ import annotations

import argparse

from ..files import free_folder, safe_names
from ..layers import RULES
from .shared import new_command, note


def add(commands) -> None:
    command = new_command(
        commands, "evolve", run, "how features form in training, from the snapshots of its epochs",
        "minideconv evolve run/snapshots --photos fashion-mnist --out evolution\n"
        "  minideconv evolve run/snapshots --photos photos.zip --layers relu2 relu3 --channels 0,5,7 --out evolution",
    )  # fmt: skip
    command.add_argument("snapshots", metavar="SNAPSHOTS", help="the folder with epoch-000.npz, epoch-001.npz …")
    command.add_argument("--photos", required=True, help="a folder or zip of photos, fashion-mnist or cifar10")
    command.add_argument("--limit", type=int, default=1000, metavar="N", help="photos, evenly chosen (default: 1000)")
    command.add_argument("--layers", nargs="+", metavar="LAYER", help="a sheet for each (default: every ReLU)")
    command.add_argument("--channels", type=_numbers, metavar="0,5,7", help="feature maps (default: the strongest)")
    command.add_argument("--top", type=int, default=6, metavar="K", help="how many of the strongest (default: 6)")
    command.add_argument(
        "--epochs", type=_numbers, metavar="1,2,5", help="(default: 1,2,5,10,20,30,40,64 as far as there, and the last)"
    )
    command.add_argument("--rule", choices=RULES, default="deconvnet", help="what a ReLU lets through on the way down")
    command.add_argument("--out", default="evolution", metavar="FOLDER", help="is created (default: evolution)")


def run(options) -> None:
    """Write a sheet for each layer, and how far all layers move; print the latter."""
    from ..experiments.feature_evolution import evolution_sheet, evolve
    from ..experiments.feature_movement import (
        movement,
        movement_table,
        save_movement_picture,
        save_movement_table,
    )
    from ..experiments.snapshots import choose_epochs, load_snapshots, probe_photos, snapshots
    from ..sheets import save_image

    out = free_folder(options.out)
    paths = dict(snapshots(options.snapshots))
    epochs = choose_epochs(paths, options.epochs)
    if len(epochs) < 2:
        raise ValueError(f"only epoch {epochs[0]} is there to show; evolution needs two at least")
    nets = load_snapshots([paths[epoch] for epoch in epochs])
    layers = [nets[0].name_of(layer) for layer in options.layers or _rectifiers(nets[0])]
    probe = probe_photos(options.photos, nets[0].preprocessing, options.limit)
    for problem in probe.skipped:
        note(f"skipped: {problem}")
    note(f"{len(probe.photos):,} photos at {len(epochs)} epochs")

    sheets = {}
    for layer in dict.fromkeys(layers):
        evolution = evolve(nets, probe.photos, layer, options.channels, options.rule, top=options.top, progress=True)
        sheets[layer] = evolution_sheet(evolution, nets[0], epochs, probe.numbers)
    measured = movement(nets, probe.photos, progress=True)

    out.mkdir(parents=True, exist_ok=True)
    files = {layer: f"{name}.png" for layer, name in safe_names(sheets, taken=["movement"]).items()}
    for layer, sheet in sheets.items():
        save_image(sheet, out / files[layer])
    save_movement_table(out / "movement.csv", measured, epochs)
    save_movement_picture(out / "movement.png", measured, epochs, f"{nets[0].name}: how far features still move")
    print(f"how far features moved between epochs (1 - correlation)\n{movement_table(measured, epochs)}")
    print(f"written: {', '.join([*files.values(), 'movement.csv', 'movement.png'])} in {out}")


def _rectifiers(net) -> list[str]:
    from ..layers import ReLU

    return [name for name, layer in net.layers.items() if isinstance(layer, ReLU)] or [net.name_of(None)]


def _numbers(text: str) -> list[int]:
    """`0,5,7` as a list."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are not numbers; give some such as 0,5,7") from None
