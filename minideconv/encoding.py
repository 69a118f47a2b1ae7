"""Pictures as bytes: what goes into image files, into pages that stand alone, and into notebooks.

Pillow is imported where it is used, so that `import minideconv` stays fast.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np

TYPES = {"jpg": "image/jpeg", "png": "image/png"}


def jpeg(pixels: np.ndarray, quality: int = 65) -> bytes:
    """(H, W, 3) or grey (H, W, 1) uint8 as JPEG without any metadata.

    Colours keep their full resolution (4:4:4): otherwise a relu5 projection of AlexNet keeps 60 % of its saturation.
    """
    return _encoded(pixels, "JPEG", quality=quality, subsampling=0)


def png(pixels: np.ndarray, colours: int | None = None) -> bytes:
    """(H, W, 3), (H, W, 4) or grey (H, W, 1) uint8 as PNG; of RGB, as few as 256 colours may be kept."""
    return _encoded(pixels, "PNG", colours, optimize=True)


def _encoded(pixels, kind, colours=None, **options) -> bytes:
    from PIL import Image

    file, image = io.BytesIO(), Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    (image.quantize(colours) if colours else image).save(file, kind, **options)
    return file.getvalue()


def data_uri(picture: bytes | Path, extension: str = "png") -> str:
    """An encoded picture, or a file, as an address that holds all of it."""
    if isinstance(picture, Path):
        picture, extension = picture.read_bytes(), picture.suffix[1:]
    return f"data:{TYPES[extension]};base64,{base64.b64encode(picture).decode('ascii')}"
