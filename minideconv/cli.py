"""The command line. Each command has a file of its own in `commands`."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from . import __version__
from .commands import (
    atlas,
    controls,
    convert,
    correspond,
    demo,
    diagnose,
    evaluate,
    evolve,
    fetch,
    info,
    invariance,
    occlude,
    project,
    sizes,
    train,
    transfer,
)

COMMANDS = (
    demo,
    project,
    atlas,
    diagnose,
    controls,
    occlude,
    invariance,
    correspond,
    train,
    evolve,
    evaluate,
    transfer,
    sizes,
    fetch,
    convert,
    info,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 after one line on standard error that says what to do."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"minideconv: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupted:
        print(f"minideconv: {str(interrupted) or 'stopped'}", file=sys.stderr)
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
    for command in COMMANDS:
        command.add(commands)
    return parser


def _one_line(error: BaseException) -> str:
    """The message on one line, without the name of the function it comes from."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {Path(error.filename)}"
    text = " ".join(str(error).split()) or type(error).__name__
    first, _, rest = text.partition(": ")
    return rest if rest and _is_code(first, error) else text


def _is_code(name: str, error: BaseException) -> bool:
    """Whether it names a function or class in a file or object that the error came through; a net's name does not."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if callable(frame.f_globals.get(name)) or callable(getattr(type(frame.f_locals.get("self")), name, None)):
            return True
    return False
