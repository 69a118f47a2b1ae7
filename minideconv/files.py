"""Files that are either whole or not there."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

MOST_UNPACKED = 8  # times the size of a zip; weights shrink by a tenth, half of them zero to a half
DEVICES = ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)))  # of Windows


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


def write_table(path, rows) -> None:
    """Write rows of cells as CSV, whole or not at all."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    with write_whole(path) as file:
        file.write(text.getvalue().encode())


def check_writable(path) -> None:
    """Refuse a path whose folder does not exist, or that is a folder itself."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder; give a file name in it")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: you may not write to {path.parent}; choose another place")


def free_folder(out) -> Path:
    """Refuse, before any work is done, a path that cannot become a folder, or that may not be written to."""
    out = Path(out).expanduser()
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(f"cannot write into {out}: {place} is a file; give a folder")
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write into {out}: you may not write to {there}; give another folder")
    return out


def safe_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """{name of a layer: what files may be called after it}: nothing but letters, digits, - and _, no two alike.

    A model file may call its layers anything, `../../there`, too.

    Args:
        taken: what other files in that folder are called, in small letters.

    >>> safe_names(["relu1", "a/b", "A_b", "../c"], taken=["relu1"])
    {'relu1': 'relu1_2', 'a/b': 'a_b', 'A_b': 'A_b_2', '../c': '___c'}
    """
    safe, gone = {}, {*DEVICES, *taken}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:60] or "_"
        tries = chain([plain], (f"{plain}_{number}" for number in count(2)))
        safe[name] = next(each for each in tries if each.lower() not in gone)
        gone.add(safe[name].lower())
    return safe


def check_zip(path) -> None:
    """Refuse a zip with two entries of one name, or that unpacks to far more than it holds; other files pass.

    Raises:
        ValueError: naming the file and what is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries, size = archive.infolist(), os.path.getsize(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        return  # no zip: for its reader to say
    names, unpacked = [entry.filename for entry in entries], sum(entry.file_size for entry in entries)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} has two entries called {ascii(twice)[:60]}; it was not read")
    if unpacked > MOST_UNPACKED * size + 2**20:
        raise ValueError(f"{path} has {size:,} bytes but unpacks to {unpacked:,}; it was not read")


def one_line(error: BaseException, most: int = 200) -> str:
    """What a library says of a file, as the start of one printable line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:most]
