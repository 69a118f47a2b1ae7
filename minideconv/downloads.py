"""Bring a file from an address: whole and with the right checksum, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .files import write_whole

CHUNK = 2**18  # bytes


def download(url: str, path: Path, checksum: str, *, progress: bool = True) -> Path:
    """Download a file to `path`; until its checksum is known to be right nothing is there under this name.

    Args:
        url: https://…
        path: where it goes; its folder is made if it is missing.
        checksum: "sha256:…" or "md5:…", in hexadecimal.
        progress: show a bar on stderr.
    Returns:
        `path`.
    Raises:
        RuntimeError: the network, the server or the disk failed.
        ValueError: the file is another one than expected.
    """
    from http.client import HTTPException
    from urllib.request import urlopen

    from tqdm import tqdm

    algorithm, expected = checksum.split(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    by_hand = f"or bring it here by other means and save it as {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(path) as file, urlopen(url, timeout=60) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=size or None, desc=path.name, unit="B", unit_scale=True, disable=not progress) as bar:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    found.update(chunk)
                    bar.update(len(chunk))
            if found.hexdigest() != expected:
                wrong = f"its {algorithm} is {found.hexdigest()}, not {expected}"
                raise ValueError(f"download: {url} was thrown away: {wrong}; try again, {by_hand}")
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise RuntimeError(f"download: cannot get {url} ({reason}); check the network, {by_hand}") from None
    return path
