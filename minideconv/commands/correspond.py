"""`minideconv correspond`: does a net relate the same part of different objects? The paper's Table 1."""

from __future__ import annotations

from ..figures import figure_png
from ..files import free_folder, write_whole
from .shared import add_model_option, load_or_fetch, new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "correspond", run, "whether a net relates the same part of different objects (Table 1)",
        "minideconv correspond photos.zip --marks dog_parts.json --model alexnet --layers relu1 relu5\n"
        "  the marks, by hand, boxes as [top, left, bottom, right] in pixels of the photo:\n"
        '  {"a.jpg": {"object": [14, 24, 140, 156], "parts": {"nose": [104, 54, 130, 82]}}, "b.jpg": …}',
    )  # fmt: skip
    command.add_argument("photos", nargs="+", metavar="PHOTOS", help="a folder, a zip, a glob pattern, or photos")
    command.add_argument("--marks", required=True, metavar="FILE.json", help="boxes of the object and of its parts")
    add_model_option(command)
    command.add_argument("--layers", nargs="+", metavar="LAYER", help="(default: every ReLU)")
    command.add_argument(
        "--draws", type=int, default=50, metavar="N", help="how many times random places are drawn (default: 50)"
    )
    command.add_argument("--seed", type=int, default=0, help="where random places are drawn from (default: 0)")
    command.add_argument(
        "--crop", choices=("photo", "object"), default="photo",
        help="show the net the middle of the photo, as always, or a square around the object (default: photo)",
    )  # fmt: skip
    command.add_argument(
        "--random-weights", action="store_true", help="the control: the same layers, with weights that mean nothing"
    )
    command.add_argument(
        "--out", default="correspondence", metavar="FOLDER", help="is created (default: correspondence)"
    )


def run(options) -> None:
    """Hide the parts and random places, print the table beside the paper's, and write picture, table and arrays."""
    from ..experiments.correspondence_analysis import correspond
    from ..experiments.part_marks import draw_marks, load_marks, place_marks
    from ..network import with_random_weights

    out = free_folder(options.out)
    marks = load_marks(options.marks)
    net = load_or_fetch(options.model)
    net = with_random_weights(net) if options.random_weights else net
    note(f"{len(marks)} photos are marked")
    photos = options.photos[0] if len(options.photos) == 1 else options.photos
    found = correspond(
        net, photos, marks, options.layers, draws=options.draws, seed=options.seed, crop=options.crop, progress=True
    )
    print(found)
    save_all(found, out, "correspondence")
    with write_whole(out / "marks.png") as file:
        file.write(figure_png(draw_marks(net, place_marks(net, photos, marks, options.crop))))
    print(f"the photos with their boxes: {out / 'marks.png'}")
