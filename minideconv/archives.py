"""The photos of a folder, a zip or a glob pattern: listed in one fixed order, opened one by one, never extracted.

    photos = Photos("holiday.zip")  ->  photos.names, sorted  ->  photos[17] opens one, photos.map(work) all of them
    class_folders(photos.names, "train")  ->  which class each belongs to

Names in a zip are only labels here: nothing is written to disk, so an absolute name or one with `..` can do no harm.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import threading
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .photos import Photo, load_photo, photo_name

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
CHUNK = 256  # photos that are decoded ahead of whoever uses them
THREADS = 8  # at most: Pillow decodes without Python's lock, all else waits for it
LARGEST = 2**28  # bytes of one photo; a few kilobytes of zip can promise more than any memory holds

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")  # the first of these that holds class folders
EVERY = 5  # without such folders, every fifth photo of a class is for testing


class Photos(Sequence):
    """The photos of a folder and its subfolders, of a zip, of a list, or behind a glob pattern: `holiday/**/*.jpg`.

    A photo is a file with one of the endings in `SUFFIXES`. Hidden files and folders are left out, and what macOS adds
    to zips. The order is by folder, then by name, both by code point: the same on every machine. A list keeps its own.

    Args:
        source: a folder, a .zip, one photo, a glob pattern; or a list of photos, each as `load_photo` takes it.
    Attributes:
        names: what each photo is called below `source`, with "/" between folders: "cat/1.jpg".
    Raises:
        FileNotFoundError: there is nothing of that name.
        ValueError: no photo in it, a folder that may not be read, or a zip that is damaged.

    >>> Photos("/usr/share/holiday.zip")
    Traceback (most recent call last):
    FileNotFoundError: Photos: there is no file or folder /usr/share/holiday.zip; check the spelling
    """

    def __init__(self, source: str | os.PathLike[str] | Sequence[Photo]):
        self._zip, self._turn = None, threading.Lock()  # ZipFile does not say that threads may share it
        if isinstance(source, (list, tuple)):
            self.source, self._places = Path("the list"), list(source)
            self.names = [photo_name(photo) for photo in source]
        else:
            self.source = Path(source).expanduser()
            places = self._listed()
            self.names = sorted(places, key=lambda name: name.split("/"))
            self._places = [places[name] for name in self.names]  # a path each, or an entry of the zip
        if not self.names:
            raise ValueError(f"Photos: there is no photo in {self.source}; looked for {', '.join(SUFFIXES)}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image.Image:
        """Open one photo, upright and RGB, as `load_photo` does.

        Raises:
            ValueError: it is damaged, cut short or no image; the message names it.
        """
        if self._zip is None:
            return load_photo(self._places[index])
        return load_photo(_opened(self._unzipped(index), self.path(index)))

    def path(self, index: int) -> str:
        """Where a photo lies, for messages and captions: "holiday.zip/cat/1.jpg"."""
        path = photo_name(self._places[index]) if self._zip is None else f"{self.source}/{self.names[index]}"
        return path if path.isprintable() else ascii(path)  # a name may hold what would steer a terminal

    def fingerprint(self) -> str:
        """A sha256 that changes when photos come, go or change: of their names and sizes, with a zip's own checksums,
        a file's time of change, or the pixels of what is in memory. No file is read.
        """
        marks = ([name, *_marks(place)] for name, place in zip(self.names, self._places))
        return hashlib.sha256(json.dumps(list(marks)).encode()).hexdigest()

    def map(
        self, work: Callable[[Image.Image], Any], indices: Sequence[int] | None = None, *, progress: str | None = None
    ) -> Iterator[tuple[int, Any, str | None]]:
        """Open many photos and do something with each; threads decode the next ones meanwhile.

        Args:
            work: called with each photo; runs in a thread.
            indices: which photos, None for all; results come in this order.
            progress: what the progress bar on stderr says; None shows none.
        Yields:
            (index, what `work` returned, None), or (index, None, what is wrong with the photo) if it cannot be used.
        """
        from tqdm import tqdm

        def attempt(index):
            try:
                return index, work(self[index]), None
            except (ValueError, OSError) as error:
                return index, None, self._said(index, str(error).removeprefix("load_photo: "))

        indices = range(len(self)) if indices is None else indices
        bar = tqdm(total=len(indices), desc=progress, unit=" photos", disable=progress is None)
        with bar, ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
            for first in range(0, len(indices), CHUNK):
                with _strict_and_quiet():
                    results = list(pool.map(attempt, indices[first : first + CHUNK]))
                bar.update(len(results))
                yield from results

    def _said(self, index: int, problem: str) -> str:
        """What is wrong with a photo, its path written as `path` writes it."""
        name = "" if self._zip else photo_name(self._places[index])
        return problem.replace(name, self.path(index)) if name else problem

    def _listed(self) -> dict[str, Any]:
        """{name: path or zip entry} of every photo of the source."""
        if self.source.is_dir():
            return {path.relative_to(self.source).as_posix(): path for path in _walk(self.source)}
        if self.source.suffix.lower() == ".zip" and self.source.is_file():
            return self._listed_zip()
        if self.source.is_file():
            return {self.source.name: self.source}
        if any(sign in str(self.source) for sign in "*?["):
            paths = [Path(name) for name in glob.glob(str(self.source), recursive=True)]
            return {path.as_posix(): path for path in paths if _is_photo(path.name) and path.is_file()}
        raise FileNotFoundError(f"Photos: there is no file or folder {self.source}; check the spelling")

    def _listed_zip(self):
        try:
            self._zip = zipfile.ZipFile(self.source)  # closed when this object goes
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"Photos: {self.source} is damaged or no zip ({error}); get the file again") from None
        names = {_plain(info.filename): info for info in self._zip.infolist() if not info.is_dir()}
        return {name: info for name, info in names.items() if _is_photo(name)}

    def _unzipped(self, index: int) -> bytes:
        """The bytes of one photo, in memory; the zip's own checksum has been compared."""
        info = self._places[index]
        if info.file_size > LARGEST:
            raise ValueError(f"{self.path(index)} has {info.file_size} bytes unpacked, too many for a photo")
        try:
            with self._turn:
                return self._zip.read(info)
        except Exception as error:  # wrong checksums, passwords, unknown compressions: a type each
            reason = str(error).replace(info.filename, "the photo")  # zipfile names it, too
            raise ValueError(f"{self.path(index)} cannot be unpacked ({reason}); get the zip again") from None


def _marks(place) -> list:
    """What tells whether the photo behind a path, a zip entry or an array has changed."""
    if isinstance(place, zipfile.ZipInfo):
        return [place.file_size, place.CRC]
    if isinstance(place, (str, os.PathLike)):
        found = os.stat(place) if os.path.exists(place) else None
        return [found.st_size, found.st_mtime_ns] if found else ["missing"]
    return [pixels_hash(np.asarray(place))]


def pixels_hash(pixels: np.ndarray) -> str:
    """A sha256 of an array and its shape."""
    found = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode())
    found.update(np.ascontiguousarray(pixels))
    return found.hexdigest()


def _plain(name: str) -> str:
    """A name in a zip as a label: /a//./b and a\\b become a/b."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _is_photo(name: str) -> bool:
    """By its name alone: the right ending, and neither hidden nor in a hidden folder."""
    return name.lower().endswith(SUFFIXES) and not any(map(_is_hidden, name.split("/")))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"  # ".." is hidden as well


def _walk(folder: Path) -> Iterator[Path]:
    """Every photo below a folder; links are followed, but no folder is entered twice."""

    def refuse(error):
        raise ValueError(f"Photos: cannot read the folder {error.filename} ({error.strerror}); check its permissions")

    entered = set()
    for path, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(path)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        files = (Path(path, name) for name in names if _is_photo(name))
        yield from (file for file in files if file.is_file())  # a pipe would be waited for without end


def _opened(data: bytes, path: str) -> Image.Image:
    """Let Pillow look at a photo's bytes; its pixels are decoded later, by `load_photo`."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image Pillow can read; save it as JPEG or PNG") from None
    except Exception as error:  # as in load_photo: a dozen types
        raise ValueError(f"{path} is damaged or cut short ({error}); get the file again") from None
    image.filename = path  # what load_photo calls it
    return image


@contextmanager
def _strict_and_quiet() -> Iterator[None]:
    """Hold what `load_photo` sets and puts back for each photo, so that threads cannot put it back wrong."""
    from PIL import ImageFile

    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


# ------------------------------------------------------------------------------------------------------- class folders


def class_folders(names: list[str], part: str) -> tuple[list[str], dict[int, int], list[int]]:
    """Read classes off the names of photos: the folder of `cat/1.jpg`, or of `train/cat/1.jpg` and `test/cat/2.jpg`.

    Folders around all of it, as zips often have, do not count. Without folders for training and for testing, photos
    5, 10, 15 ... of each class are for testing.

    Args:
        names: sorted, as `Photos.names`.
        part: "train" or "test".
    Returns:
        The classes of both parts, sorted; {index into `names`: index of its class} of the part; and the indices of
        photos that lie beside the class folders.

    >>> class_folders(["cat/1.jpg", "dog/1.jpg", "dog/2.jpg"], "train")
    (['cat', 'dog'], {0: 0, 1: 1, 2: 1}, [])
    """
    paths = [name.split("/") for name in names]
    while min(map(len, paths)) > 2 and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]  # pets/cat/1.jpg -> cat/1.jpg
    folders = _part_folders(paths)
    if folders:
        classed = {path[1] for path in paths if path[0] in folders.values() and len(path) > 2}
        mine = [(index, path[1:]) for index, path in enumerate(paths) if path[0] == folders[part]]
    else:
        classed = {path[0] for path in paths if len(path) > 1}
        mine = list(_fifths(paths, part))
    number = {name: i for i, name in enumerate(sorted(classed))}
    chosen = {index: number[path[0]] for index, path in mine if len(path) > 1}
    return list(number), chosen, [index for index, path in mine if len(path) == 1]


def _part_folders(paths: list[list[str]]) -> dict[str, str] | None:
    """The folders for training and for testing, by part, if both are there and hold class folders."""
    tops = {path[0].lower(): path[0] for path in paths if len(path) > 2}
    found = [next((tops[name] for name in group if name in tops), None) for group in (TRAIN_FOLDERS, TEST_FOLDERS)]
    return dict(zip(("train", "test"), found)) if all(found) else None


def _fifths(paths: list[list[str]], part: str) -> Iterator[tuple[int, list[str]]]:
    """Deal out each class: every fifth photo to "test", the others to "train"; photos in no class to both."""
    seen = Counter()
    for index, path in enumerate(paths):
        seen[path[0]] += 1
        if len(path) == 1 or (seen[path[0]] % EVERY == 0) == (part == "test"):
            yield index, path
