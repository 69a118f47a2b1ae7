"""`minideconv invariance`: how far features move when photos are shifted, enlarged or turned."""

from __future__ import annotations

from ..experiments.photo_transforms import EDGES
from ..files import free_folder
from .shared import add_model_option, load_or_fetch, new_command, note, save_all


def add(commands) -> None:
    command = new_command(
        commands, "invariance", run, "how far features move when photos are shifted, enlarged or turned (Fig. 5)",
        "minideconv invariance a.jpg b.jpg c.jpg --model alexnet --out invariance\n"
        "  minideconv invariance shoes.zip --model zfnet28 --layers relu1 relu3 --class Sneaker --edge nearest",
    )  # fmt: skip
    command.add_argument(
        "photos", metavar="PHOTOS", nargs="+", help="image files, or one folder or zip; fashion-mnist, cifar10"
    )
    add_model_option(command)
    command.add_argument(
        "--layers", nargs="+", metavar="LAYER", help="low and high (default: first ReLU, and what the classifier sees)"
    )
    command.add_argument(
        "--class", dest="class_names", nargs="+", metavar="NAME",
        help="the true class, one for each photo or one for all: number, name or first word (default: what the net "
        "takes each photo for)",
    )  # fmt: skip
    command.add_argument(
        "--edge", choices=tuple(EDGES), default="reflect",
        help="what enters beyond the photo's own edge: the photo mirrored, its last pixel, or the model's mean "
        "(default: reflect); what the crop had cut off enters first",
    )  # fmt: skip
    command.add_argument(
        "--limit",
        type=int,
        default=5,
        metavar="N",
        help="photos of a folder or zip, evenly chosen, 20 at most (default: 5)",
    )
    command.add_argument("--out", default="invariance", metavar="FOLDER", help="is created (default: invariance)")


def run(options) -> None:
    """Write sheet, table and arrays into a folder, and say how soon features move."""
    from ..experiments.feature_invariance import invariance

    out = free_folder(options.out)
    net = load_or_fetch(options.model)
    net.check_prepares()
    photos = _named(options.photos) if len(options.photos) > 1 else _chosen(options.photos[0], options.limit)
    found = invariance(net, photos, options.layers, options.class_names, edge=options.edge, progress=True)
    print("\n".join(found.findings()))
    save_all(found, out, "invariance")


def _named(paths) -> list:
    """The photos of a list; none may be missing or broken."""
    from ..photos import load_photo

    return [_called(load_photo(path), path) for path in paths]


def _chosen(source, limit) -> list:
    """At most `limit` photos of a folder or zip, evenly chosen; what cannot be read is said, and left out."""
    from ..experiments.reading import evenly, photo_source

    photos = photo_source(source)
    chosen = evenly(len(photos), limit).tolist()
    if len(chosen) < len(photos):
        note(f"{len(chosen)} of {len(photos):,} photos, evenly chosen; --limit takes more")
    found, problems = [], []
    for index, image, problem in photos.map(lambda image: image, chosen):
        if problem is None:
            found.append(_called(image, photos.path(index)))
        else:
            problems.append(problem)
    if not found:
        raise ValueError(problems[0])
    for problem in problems:
        note(f"skipped: {problem}")
    return found


def _called(image, name):
    """A photo that knows what it is called, as Pillow's own do."""
    image.filename = str(name)
    return image
