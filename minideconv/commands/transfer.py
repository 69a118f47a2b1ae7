"""`minideconv transfer`: how well the features of each layer tell new classes apart (Tables 4 and 7)."""

from __future__ import annotations

from pathlib import Path

from ..files import check_writable, free_folder
from .shared import add_model_option, load_or_fetch, new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "transfer", run, "how well the features of each layer tell new classes apart (Tables 4, 7)",
        "minideconv transfer --model alexnet --data caltech101.zip --train-per-class 30 --splits 3\n"
        "  minideconv transfer --data pets --train-per-class 15 30 --save alexnet-pets.npz",
    )  # fmt: skip
    add_model_option(command)
    command.add_argument("--data", required=True, help="a folder or zip of class folders")
    command.add_argument(
        "--train-per-class", type=int, nargs="+", default=[30], metavar="N",
        help="photos of each class to train on; several are compared (default: 30). Up to 50 others test",
    )  # fmt: skip
    command.add_argument("--splits", type=int, default=3, help="how often photos are divided anew (default: 3)")
    command.add_argument(
        "--layers", nargs="+", metavar="LAYER", help="(default: each layer, pooled where the net pools)"
    )
    command.add_argument(
        "--whole", action="store_true", help="squeeze whole photos into the net's input instead of cropping them"
    )
    command.add_argument("--seed", type=int, default=0, help="of the divisions (default: 0)")
    command.add_argument("--out", default="transfer", metavar="FOLDER", help="is created (default: transfer)")
    command.add_argument(
        "--save", metavar="NAME.npz",
        help="write the net up to the last layer with its new softmax as a model file, trained in the first split",
    )  # fmt: skip


def run(options) -> None:
    """Measure every layer; print the table and write it, and the net with its new classifier."""
    from ..experiments.feature_analysis import transfer
    from ..weights import save_model

    out = free_folder(options.out)
    if options.save and Path(options.save).suffix != ".npz":
        raise ValueError(f"cannot save a model as {options.save}: the name must end in .npz")
    if options.save and Path(options.save).expanduser().parent != out:  # which is created
        check_writable(options.save)
    net = load_or_fetch(options.model)
    result = transfer(net, options.data, train_per_class=options.train_per_class, splits=options.splits,
                      layers=options.layers, whole=options.whole, seed=options.seed)  # fmt: skip
    for problem in result.skipped[:10]:
        note(f"skipped: {problem}")
    measured = f"{len(result.classes)} classes, {options.splits} split(s)"
    print(f"{result.net} on {result.data}, {measured}: mean accuracy of a class in %")
    print(result)
    save_all(result, out, "transfer")
    if options.save:
        save_model(result.network(net), options.save)
        print(f"written: {options.save}, classifies {len(result.classes)} classes")
