"""Files that are either whole or not there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(path):
    """Open a binary file beside `path`, and rename it there once everything is written.

    A reader sees the old file or the new one, never half of one; an error or Ctrl-C leaves the old one.

    Raises:
        ValueError: if the folder does not exist, or `path` is a folder.
    """
    path = Path(path)
    check_writable(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            file = open(part, "wb")
        except OSError as error:
            raise ValueError(f"cannot write {path}: {error.strerror}; choose another place") from None
        with file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(path) -> None:
    """Refuse a path whose folder does not exist, or that is a folder itself."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; give a file name in it")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: you may not write to {path.parent}; choose another place")
