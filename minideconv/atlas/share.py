"""One file to mail: some maps of each layer of an atlas, with their projections and patches, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..display import mosaic
from ..encoding import data_uri, jpeg
from ..experiments.feature_visualization import strongest_maps
from ..files import check_writable, write_whole
from .encode import FACES_ACROSS
from .layer import FACES_A_FILE, call
from .page import page

LARGEST = 15_000_000  # bytes; more does not go through the mail


def check_share(path, maps: int, folder) -> None:
    """Refuse, before any work is done, what cannot be written, or would lie in the atlas's own folder."""
    if maps < 1:
        raise ValueError(f"--share-maps is {maps}; share one map at least")
    if path is not None:
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"cannot share as {path}: the name must end in .html")
        if Path(folder).expanduser().resolve() in Path(path).resolve().parents:
            raise ValueError(f"cannot share as {path}: the next atlas replaces all of {folder}; give a place outside")
        check_writable(path)


def write_share(folder, path, maps: int = 12) -> Path:
    """Write one HTML file with the strongest maps of each layer of an atlas.

    Args:
        folder: of the atlas;  path: ends in .html;  maps: how many of each layer.
    Raises:
        ValueError: if it would be larger than 15 MB.
    """
    check_share(path, maps, folder)
    folder, path = Path(folder), Path(path)
    summary = json.loads((folder / "data" / "summary.json").read_text(encoding="utf-8"))
    summary.update(share=True, sections={**summary["sections"], "photos": False, "more": False})
    inline, scripts = {summary["front"]["file"]: None}, []
    if summary["filters"]:
        inline[summary["filters"]["file"]] = None
    for layer in summary["layers"]:
        text = (folder / layer["data"]).read_text(encoding="utf-8")
        name, data = json.loads("[" + text.removeprefix("atlas.add(").rstrip().removesuffix(");") + "]")
        kept = _strongest(data, maps)
        inline.update(_faces(folder, data, kept))
        data["maps"], data["more"] = [data["maps"][n] for n in kept], []
        inline.update({f"{data['folder']}/{n:0{data['digits']}}.{data['ext']}": None for n in kept})
        scripts.append(call("add", name, data))
        layer["shown"] = len(kept)
        for row in summary["front"]["rows"]:  # what is left out keeps its place in the picture, but no link
            if row["layer"] == name:
                row["maps"] = [n if n in kept else None for n in row["maps"]]
    inline = {name: data or data_uri(folder / name) for name, data in inline.items()}
    whole = page(summary, inline, scripts).encode("utf-8")
    if len(whole) > LARGEST:
        advice = f"{len(whole) / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f} MB; share fewer maps with --share-maps"
        raise ValueError(f"{path} is not written: it would have {advice}")
    with write_whole(path) as file:
        file.write(whole)
    return path


def _strongest(data, count) -> list[int]:
    """The places in the list of maps of the strongest ones."""
    value = [[np.nan if number is None else number for number in entry["value"]] for entry in data["maps"]]
    return strongest_maps(np.array(value, float), count).tolist()


def _faces(folder, data, kept) -> dict[str, str]:
    """The faces of the maps that are kept, in as few pictures as hold them: {path: data URI}."""
    from PIL import Image

    side, made = data["faces"]["side"], {}
    places = [(n // FACES_A_FILE, *divmod(n % FACES_A_FILE, FACES_ACROSS)) for n in kept]
    for files in (data["faces"]["files"], data["faces"]["patches"]):
        if files:
            sheets = {n: np.asarray(Image.open(folder / files[n]).convert("RGB")) for n, _, _ in places}
            faces = [sheets[n][y * side : (y + 1) * side, x * side : (x + 1) * side] for n, y, x in places]
            files[:] = files[: -(-len(kept) // FACES_A_FILE)]
            for number, name in enumerate(files):
                some = faces[number * FACES_A_FILE : (number + 1) * FACES_A_FILE]
                made[name] = data_uri(jpeg(mosaic(some, FACES_ACROSS), quality=80), "jpg")
    return made
