"""`minideconv diagnose`: what is wrong with a convolution's filters."""

from __future__ import annotations

import shutil
import textwrap

from ..files import free_folder, safe_names
from .shared import load_or_fetch, new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "diagnose", run, "which filters of a convolution alias, are dead or dominate",
        "minideconv diagnose alexnet photos.zip --out diagnosis\n"
        "  minideconv diagnose vgg16 --layer conv2_1\n"
        "  minideconv diagnose zfnet28 fashion-mnist-1000       (both come with the package)",
    )  # fmt: skip
    command.add_argument("model", metavar="MODEL", help="alexnet, vgg16, zfnet28 or a .npz model file")
    what = "a folder or zip, fashion-mnist or cifar10: what the filters do there, and the layer above (default: none)"
    command.add_argument("photos", nargs="?", metavar="PHOTOS", help=what)
    command.add_argument("--layer", help="a convolution, or the ReLU above it (default: the first of the net)")
    command.add_argument(
        "--radius",
        type=float,
        default=0.1,
        metavar="RMS",
        help="renormalise larger filters (default: 0.1, the paper's)",
    )
    command.add_argument("--out", default="diagnosis", metavar="FOLDER", help="is created (default: diagnosis)")


def run(options) -> None:
    """Print what was found, each number with its meaning; write sheet, table and arrays, and the layer above."""
    from ..experiments.architecture_selection import above_sheet, convolution, diagnose, layer_above
    from ..experiments.diagnosis_report import diagnosis_title
    from ..experiments.reading import photo_source
    from ..sheets import save_image

    out = free_folder(options.out)
    net = load_or_fetch(options.model)
    layer = convolution(net, options.layer)
    photos = options.photos and photo_source(options.photos)
    found = diagnose(net, photos, layer, radius=options.radius, progress=True)
    for problem in found.skipped:
        note(f"skipped: {problem}")
    above = layer_above(net, layer) if photos else None
    sheet = above_sheet(net, above, photos, progress=True) if above else None

    print(diagnosis_title(found))
    for what, number, sentence in found.findings():
        print(_finding(what, number, sentence))
    save_all(found, out, "diagnosis")
    if sheet is not None:
        file = f"{safe_names([above], taken=['diagnosis'])[above]}.png"
        save_image(sheet, out / file)
        print(f"written: {file} in {out}, the top nines of the layer above, where aliasing would show")


def _finding(what: str, number: str, sentence: str) -> str:
    """`dead filters   0 of 64` and below it, indented, what it means."""
    width = min(max(shutil.get_terminal_size().columns, 60), 120)
    return f"\n{what:28}{number}\n" + textwrap.fill(sentence, width, initial_indent="  ", subsequent_indent="  ")
