"""A folder that is either the old one or the new one, whole; of the new one only what changed is written anew.

    with NewFolder("atlas", key) as new:      # .atlas.part
        new.write("maps/relu5/017.jpg", data)
                                              # renamed to atlas once everything is there
`manifest.json` in it says what it was made of (`key`) and the sha256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

MANIFEST = "manifest.json"


class NewFolder:
    """Writes a folder beside its final place, and puts it there when the `with` block ends without an error.

    Args:
        path: the final place. What is there already must have been made by this class, and hold nothing else.
        key: JSON values that say what the folder is made of.
    Attributes:
        part: where files are written meanwhile;  sizes: {path in the folder: bytes} of what was written.
    Raises:
        ValueError: if the place is taken by something else, or cannot be written.
    """

    def __init__(self, path, key: dict):
        check_replaceable(path)
        self.path, self.key = Path(path), key
        if self.path.is_symlink():  # a link stays one
            self.path = self.path.resolve()
        self.part, self.gone = (self.path.with_name(f".{self.path.name}.{end}") for end in ("part", "old"))
        self.sizes: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def __enter__(self) -> NewFolder:
        if self.gone.exists() and not self.path.exists():  # a run was killed between the two renames below
            self.gone.rename(self.path)
        for left in (self.part, self.gone):
            shutil.rmtree(left, ignore_errors=True)
        self._before = read_manifest(self.path).get("files", {})
        try:
            self.part.mkdir()
        except OSError as error:
            raise ValueError(f"cannot write {self.path}: {error.strerror}; choose another place") from None
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self._finish()
        shutil.rmtree(self.part, ignore_errors=True)

    def write(self, name: str, data: bytes | str) -> None:
        """Write one file; a file that the old folder has, byte for byte, is taken over from there."""
        data = data.encode("utf-8") if isinstance(data, str) else data
        place, found = self.part / name, hashlib.sha256(data).hexdigest()
        place.parent.mkdir(parents=True, exist_ok=True)
        if self._before.get(name) != found or not self._taken_over(name, place):
            place.write_bytes(data)
        self.sizes[name], self._hashes[name] = len(data), found

    def _taken_over(self, name, place) -> bool:
        try:
            if hashlib.sha256((self.path / name).read_bytes()).hexdigest() != self._before[name]:
                return False
            os.link(self.path / name, place)
        except OSError:  # gone, or a file system without links
            return False
        return True

    def _finish(self) -> None:
        manifest = {"made of": self.key, "files": dict(sorted(self._hashes.items()))}
        (self.part / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if self.path.exists():
            self.path.rename(self.gone)
        self.part.rename(self.path)
        shutil.rmtree(self.gone, ignore_errors=True)


def read_manifest(path) -> dict:
    """What a folder says it was made of; {} if there is none, or it says nothing."""
    try:
        manifest = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else {}


def is_up_to_date(path, key: dict) -> bool:
    """Whether a folder was made of `key` and all its files are there; they are not read."""
    manifest = read_manifest(path)
    same = manifest.get("made of") == json.loads(json.dumps(key))
    return same and all((Path(path) / name).is_file() for name in manifest.get("files", {}))


def check_replaceable(path) -> None:
    """Refuse a place that holds anything but a folder of ours, with nothing in it that is not ours."""
    path = Path(path)
    check_named(path)
    if not path.parent.is_dir():
        raise ValueError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot write {path}: you may not write to {path.parent}; choose another place")
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"cannot write {path}: it is a file; give another place")
    manifest = read_manifest(path)
    ours = {*manifest["files"], MANIFEST} if "made of" in manifest else set()
    theirs = [place for place in path.rglob("*") if not _is_known(place, path, ours)]
    if theirs:
        name = min(theirs).relative_to(path)
        raise ValueError(f"{path} holds {name}, which no atlas put there; give another place, or move it away")


def check_named(path: Path) -> None:
    """Refuse a place beside which nothing can be written: `.`, `..` and the root."""
    if path.name in ("", ".."):
        raise ValueError(f"cannot write {path}: it has no name of its own; name a folder that is to be made")


def _is_known(place: Path, folder: Path, ours) -> bool:
    """Whether it is a file of ours or of a file manager, or a folder that holds one of ours."""
    name = place.relative_to(folder).as_posix()
    if place.is_dir() and not place.is_symlink():
        return any(file.startswith(f"{name}/") for file in ours)
    return name in ours or place.name in (".DS_Store", "Thumbs.db", "desktop.ini")
