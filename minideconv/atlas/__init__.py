"""The atlas: Fig. 2 of a whole net on your own photos, as a folder to explore in a browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..experiments.scanning import Scan
    from ..network import Network


class Atlas(NamedTuple):
    """An atlas that was written.

    Attributes:
        path: of the folder; open `index.html` in it.
        scan: what was found, exactly: `scan.layers["relu5"].top.value` … (also in `atlas.npz`).
    """

    path: Path
    scan: Scan

    def _repr_html_(self) -> str:
        """In a notebook: the first screen's picture and the way to the page."""
        import html

        from ..encoding import data_uri

        page, front = html.escape((self.path / "index.html").as_posix()), self.path / "faces" / "front.jpg"
        layers = ", ".join(html.escape(name) for name in self.scan.layers)
        return (
            f'<a href="{page}">{page}</a>: {layers}; '
            f'{self.scan.photos:,} photos<br><img alt="the strongest maps of each layer" src="{data_uri(front)}">'
        )


def atlas(photos, model: str | Path | Network = "alexnet", out="atlas", layers: Sequence[str] | None = None, *,
          tile: int = 80, lean: bool = False, show_photos: bool = True, share=None, share_maps: int = 12,
          progress: bool = True) -> Atlas:  # fmt: skip
    """Write the atlas of a net: for every feature map the nine photos that excite it most, projected to pixels.

    What `minideconv atlas` does. Stopped, it goes on where it was; called again, it rewrites only what changed.

    Args:
        photos: a folder, zip, glob pattern, or list of photos; or (N, H, W, C) uint8, cropped as the net sees them.
        model: a net, a zoo name whose weights are in the cache, or the path of a model file.
        out: the folder, which is made; an older atlas in it is replaced once the new one is whole.
        layers: names; None takes every ReLU that has maps.
        tile: the longest side of a picture, in pixels; smaller windows keep their pixels.
        lean: leave out the gradient and guided rules and the controls.
        show_photos: False leaves out photos, patches and file names.
        share, share_maps: also write this .html file with so many maps of each layer, to mail.
        progress: show bars and say what happens, on stderr.
    Raises:
        ValueError: if the place is taken, the photos or the net do not fit, or there is no room.
        FileNotFoundError: if photos or model are not there.

    Paper: Sec. 4, Fig. 2.
    """
    import sys

    from ..network import Network
    from ..weights import load_model
    from .share import check_share, write_share
    from .writer import write_atlas

    check_share(share, share_maps, out)
    net = model if isinstance(model, Network) else load_model(model)
    folder, found = write_atlas(
        net, photos, out, layers, model="" if net is model else str(model), tile=tile, lean=lean,
        show_photos=show_photos, progress=progress,
        report=(lambda line: print(line, file=sys.stderr)) if progress else (lambda line: None),
    )  # fmt: skip
    if share is not None:
        write_share(folder, share, share_maps)
    return Atlas(folder, found)
