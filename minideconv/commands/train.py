"""`minideconv train`: train a small net on Fashion-MNIST, CIFAR-10 or your own photos."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import free_folder
from ..models import ZOO
from .shared import new_command, note


def add(commands) -> None:
    command = new_command(
        commands, "train", run, "train a net and keep a snapshot of every epoch",
        "minideconv train --data fashion-mnist --out run\n"
        "  minideconv train --data cifar10 --epochs 20 --batch-size 64 --learning-rate 0.02 --falling \\\n"
        "    --crop-padding 2 --weight-decay 5e-4 --out run --resume",
    )  # fmt: skip
    command.add_argument("--model", choices=list(ZOO), metavar="NAME",
                         help=f"{', '.join(ZOO)}; by default zfnet28 or zfnet32, as the photos want")  # fmt: skip
    command.add_argument("--data", default="fashion-mnist", help="fashion-mnist, cifar10, or class folders or a zip")
    command.add_argument("--size", type=int, help="resize photos to a square of so many pixels (photos of any size)")
    command.add_argument("--out", default="run", metavar="FOLDER", help="model, checkpoint, curve, snapshots go there")
    command.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    command.add_argument("--epochs", type=int, default=12)
    command.add_argument("--batch-size", type=int, default=128)
    command.add_argument("--learning-rate", type=float, default=0.03,
                         help="divided after 7/12 and 10/12 of the epochs, unless one of these is given:")  # fmt: skip
    command.add_argument("--divide-at", type=_numbers, default=(), metavar="7,10", help="divide the rate after epochs")
    command.add_argument("--patience", type=int, help="divide the rate when the test error stalls for so many epochs")
    command.add_argument("--falling", action="store_true", help="lower the rate in equal steps, to zero at the end")
    command.add_argument("--constant", action="store_true", help="keep the rate")
    command.add_argument("--divide-by", type=float, default=5.0, metavar="FACTOR")
    command.add_argument("--momentum", type=float, default=0.9)
    command.add_argument("--weight-decay", type=float, default=3e-4)
    command.add_argument("--filter-radius", type=float, metavar="RMS", help="scale filters back to it (the paper: 0.1)")
    command.add_argument("--initialise", choices=("he", "paper"), default="he", help="paper: standard deviation 1e-2")
    command.add_argument("--mean", choices=("channel", "pixel"), default="channel", help="what is taken off the photos")
    command.add_argument("--crop-padding", type=int, default=0, metavar="PIXELS", help="shift photos at random")
    command.add_argument(
        "--flips", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the photos"
    )
    command.add_argument("--seed", type=int, default=0)


def run(options) -> None:
    """Train, and write the model, its curve and its errors."""
    from ..datasets import load
    from ..evaluation import evaluate
    from ..models import build
    from ..training import SGD, initialise, preprocessing_of, train
    from ..weights import save_model

    settings = _settings(options)
    out = _folder(options)
    data = load(options.data, part="train", size=options.size)
    test = load(options.data, part="test", size=options.size)
    net = build(options.model or _model_for(data), seed=options.seed)
    _check_fit(net, data)
    initialise(net, options.initialise, options.seed)
    net.preprocessing = preprocessing_of(data, options.mean)
    net.source = f"trained by minideconv train on {data.name}"
    optimizer = SGD(net, learning_rate=options.learning_rate, momentum=options.momentum,
                    weight_decay=options.weight_decay, filter_radius=options.filter_radius)  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    note(f"{len(data):,} photos to train on, {len(test):,} to test on; Ctrl-C stops, --resume goes on")
    progress = train(net, data, settings=settings, optimizer=optimizer, test=test, checkpoint=out / "checkpoint.npz",
                     resume=options.resume, snapshots=out / "snapshots")  # fmt: skip
    save_model(net, out / "model.npz")
    _report(out, progress, evaluate(net, test.images, test.labels), data.classes, net.name)


def _settings(options):
    from ..training import Settings

    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be above zero")
    return Settings(options.epochs, options.batch_size, options.seed, options.crop_padding, options.flips,
                    schedule(options))  # fmt: skip


def schedule(options):
    """How the learning rate changes, as the options say."""
    from ..training import Falling, Steps, WhenStalled

    if sum(map(bool, (options.divide_at, options.patience, options.falling, options.constant))) > 1:
        raise ValueError("give one of --divide-at, --patience, --falling, --constant")
    if options.patience:
        return WhenStalled(options.patience, options.divide_by)
    if options.falling or options.constant:
        return Falling(options.epochs) if options.falling else None
    usual = {7 * options.epochs // 12, 10 * options.epochs // 12} - {0}  # of one epoch there is nothing to divide
    return Steps(options.divide_at or tuple(sorted(usual)), options.divide_by)


def _folder(options) -> Path:
    """The output folder, checked before anything is read: an old run in it is not overwritten by accident."""
    out = free_folder(options.out)
    if (out / "checkpoint.npz").exists() and not options.resume:
        raise ValueError(f"{out} holds a run already; go on with --resume, or give another folder with --out")
    return out


def _model_for(data) -> str:
    """The small net for photos of this size."""
    height, width, channels = data.images.shape[1:]
    return "zfnet28" if (channels, height, width) == ZOO["zfnet28"][1] else "zfnet32"


def _check_fit(net, data) -> None:
    height, width, channels = data.images.shape[1:]
    if (channels, height, width) != net.input_shape:
        wanted = f"{net.name} takes {' × '.join(map(str, net.input_shape))} (channels, rows, columns)"
        raise ValueError(f"{wanted}, but these are {data!r}; try another --model or --size")


def _report(out, progress, result, classes, title) -> None:
    """Write the curve and the confusion matrix, and print where everything is."""
    from ..curves import save_confusion_table, save_curve_picture, save_curve_table

    save_curve_table(out / "curve.csv", progress)
    save_curve_picture(out / "curve.png", progress, title)
    save_confusion_table(out / "confusion.csv", result.confusion, classes)
    print(f"test error: {100 * result.top1:.2f} % (top-1), {100 * result.top5:.2f} % (top-5)")
    print(f"training took {sum(row[5] for row in progress.curve):.0f} s for {len(progress.curve)} epochs")
    print(f"written: {out}/model.npz, curve.csv, curve.png, confusion.csv, snapshots/")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of epochs; give numbers such as 5,7") from None
