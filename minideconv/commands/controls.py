"""`minideconv controls`: how much of a projection is the net's own."""

from __future__ import annotations

from ..files import free_folder
from .shared import add_model_option, load_or_fetch, new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "controls", run, "how much of a projection is the net's own: random weights, another map",
        "minideconv controls photos.zip --model alexnet --layer relu5 --limit 50 --out controls\n"
        "  minideconv controls dog.jpg --layer relu3\n"
        "  minideconv controls fashion-mnist-1000 --model zfnet28       (both come with the package)",
    )  # fmt: skip
    command.add_argument("photos", metavar="PHOTOS", help="a photo, a folder or zip, fashion-mnist or cifar10")
    add_model_option(command)
    command.add_argument("--layer", help="a convolution or a ReLU (default: the last ReLU over maps)")
    command.add_argument("--limit", type=int, default=50, metavar="N", help="photos, evenly chosen (default: 50)")
    command.add_argument("--units", type=int, default=1, metavar="K", help="the strongest of each photo (default: 1)")
    command.add_argument("--out", default="controls", metavar="FOLDER", help="is created (default: controls)")


def run(options) -> None:
    """Print how alike all controls are; write chart, table, arrays, and the pictures of the first photo."""
    from ..experiments.controls_report import controls_table
    from ..experiments.reading import photo_source
    from ..experiments.sanity_checks import controls
    from ..experiments.scanning import rectified_maps
    from ..sheets import save_image

    out = free_folder(options.out)
    net = load_or_fetch(options.model)
    usual = rectified_maps(net, net.input_shape)[-1] if net.input_shape else None
    photos = photo_source(options.photos)
    found = controls(
        net, photos, net.name_of(options.layer or usual), units=options.units, limit=options.limit, progress=True
    )
    for problem in found.skipped:
        note(f"skipped: {problem}")
    print(f"{found.net}, {found.layer}: similarity to the true projection, mean ± deviation, {len(found.image)} units")
    print(controls_table(found), end="\n\n")
    for rule, sentence in found.findings():
        print(f"{rule}: {sentence}")
    save_all(found, out, "controls")
    save_image(found.sheet(), out / "pictures.png")
    print(f"written: pictures.png in {out}, the controls of {photos.path(int(found.image[0]))}")
