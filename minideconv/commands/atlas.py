"""`minideconv atlas`: what every feature map of a net looks for, in your own photos, as a page to explore."""

from __future__ import annotations

import argparse

from .shared import add_model_option, load_or_fetch, new_command, note


def add(commands) -> None:
    command = new_command(
        commands, "atlas", run, "the nine photos that excite every feature map most, projected to pixels, as a page",
        "minideconv atlas photos.zip --model alexnet --out atlas\n"
        "  minideconv atlas 'holiday/**/*.jpg' --layers relu5 --share relu5.html\n"
        "  a large collection, in eight jobs, then together:\n"
        "  minideconv atlas photos --shard 1/8 --out atlas      (… 8/8)\n"
        "  minideconv atlas photos --merge atlas.shard-*.npz --out atlas",
    )  # fmt: skip
    command.add_argument("photos", nargs="+", metavar="PHOTOS", help="a folder, a zip, a glob pattern, or photos")
    add_model_option(command)
    command.add_argument("--layers", nargs="+", metavar="LAYER", help="(default: every ReLU over maps)")
    command.add_argument("--out", default="atlas", metavar="FOLDER", help="is made or replaced (default: atlas)")
    command.add_argument(
        "--tile", type=int, default=80, metavar="PIXELS", help="longest side of a picture (default: 80)"
    )
    command.add_argument("--lean", action="store_true", help="leave out other rules and controls: a third of the size")
    command.add_argument("--no-photos", action="store_true", help="projections alone: no photos, patches or file names")
    command.add_argument("--share", metavar="FILE.html", help="also write one file to mail, with a few maps a layer")
    command.add_argument("--share-maps", type=int, default=12, metavar="N", help="how many (default: 12)")
    command.add_argument("--shard", type=_shard, metavar="I/N", help="only scan the I-th of N parts of the photos")
    command.add_argument("--merge", nargs="+", metavar="FILE", help="make the atlas of the scans of all shards")
    command.add_argument("--open", action="store_true", help="show the page in the browser")


def run(options) -> None:
    """Write the atlas, or scan one shard for it, and print where it is."""
    from ..atlas.share import check_share, write_share
    from ..atlas.writer import write_atlas, write_shard

    check_share(options.share, options.share_maps, options.out)
    if options.shard and (options.merge or options.share):
        raise ValueError("--shard only scans; give --merge and --share when all shards are there")
    net = load_or_fetch(options.model)
    photos = options.photos[0] if len(options.photos) == 1 else sorted(set(options.photos))
    if options.shard:
        print(write_shard(net, photos, options.out, options.shard, options.layers, report=note))
        return
    folder, _ = write_atlas(
        net, photos, options.out, options.layers, model=options.model, tile=options.tile, lean=options.lean,
        show_photos=not options.no_photos, merge=options.merge or (), report=note,
    )  # fmt: skip
    page = (folder / "index.html").resolve()
    print(page)
    if options.share:
        print(write_share(folder, options.share, options.share_maps))
    if options.open:
        import webbrowser

        webbrowser.open(page.as_uri())


def _shard(text: str) -> tuple[int, int]:
    """`2/8` as (2, 8)."""
    try:
        number, of = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard; give one such as 2/8") from None
    return number, of
