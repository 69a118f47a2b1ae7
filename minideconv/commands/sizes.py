"""`minideconv sizes`: what layers and widths of a net are worth (Table 3)."""

from __future__ import annotations

from ..files import free_folder
from .shared import new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "sizes", run, "what layers and widths of a net are worth: train it without them (Table 3)",
        "minideconv sizes --data cifar10 --out sizes\n"
        "  minideconv sizes --data cifar10 --nets alexnet8 zfnet8 --seeds 5 --limit 50000 --out all-photos",
    )  # fmt: skip
    command.add_argument("--data", required=True, help="cifar10, or ten class folders of 32 x 32 pixels, or a zip")
    command.add_argument("--nets", nargs="+", metavar="NAME", help="nets of the zoo (default: the nine of Table 3)")
    command.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each net (default: 3)")
    command.add_argument("--limit", type=int, default=20000, metavar="N", help="photos to train on (default: 20000)")
    command.add_argument("--epochs", type=int, default=12, help="(default: 12); the learning rate falls to zero")
    command.add_argument("--learning-rate", type=float, default=0.03, help="(default: 0.03)")
    command.add_argument("--size", type=int, help="resize photos to a square of so many pixels (photos of any size)")
    command.add_argument(
        "--out", default="sizes", metavar="FOLDER", help="finished runs in it are kept (default: sizes)"
    )


def run(options) -> None:
    """Train all nets from all seeds, print the table and write it."""
    from dataclasses import replace

    from ..datasets import load
    from ..experiments.model_sizes import SETTINGS, TABLE_3, model_sizes, thinned
    from ..models import build
    from ..training import Falling

    for name in ("seeds", "limit", "epochs", "learning_rate"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be above zero")
    out = free_folder(options.out)
    names = options.nets or list(TABLE_3)
    for name in names:
        build(name)  # says what there is
    data = thinned(load(options.data, part="train", size=options.size), options.limit)
    test = load(options.data, part="test", size=options.size)
    settings = replace(SETTINGS, epochs=options.epochs, schedule=Falling(options.epochs))
    note(f"{len(names) * options.seeds} runs on {len(data):,} photos; Ctrl-C stops, the same command goes on")
    result = model_sizes(names, data, test, out, seeds=range(options.seeds), settings=settings,
                         learning_rate=options.learning_rate)  # fmt: skip
    print(result)
    save_all(result, out, "sizes")
