"""What the commands of `minideconv …` share: help with an example, and a net that is fetched when it is missing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def new_command(commands, name, run, summary, example) -> argparse.ArgumentParser:
    """A subcommand whose help shows an example."""
    command = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.set_defaults(run=run)
    return command


def add_model_option(command) -> None:
    command.add_argument(
        "--model",
        default="alexnet",
        help="alexnet, vgg16 (fetched once into the cache), zfnet28 (carried along) or a .npz model file",
    )


def load_or_fetch(model):
    """Load a net; fetch it first if it can be fetched and is not there, and say so."""
    from ..fetch import fetch as bring
    from ..weights import FETCHED, load_model, model_path

    if model in FETCHED and not model_path(model).exists():
        note(f"{model} is not in the cache; fetching its published weights (once)")
        bring(model, report=note)
    return load_model(model)


def save_all(result, folder: Path, name: str) -> None:
    """Write an experiment's arrays, table and picture into a folder, which is created, and say so.

    Numbers first: if a picture cannot be drawn, they are not lost with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"{name}{ending}" for ending in (".png", ".csv", ".npz")]
    for file in reversed(files):
        result.save(folder / file)
    print(f"written: {', '.join(files)} in {folder}")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
