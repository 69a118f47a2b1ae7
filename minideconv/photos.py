"""Read a photo from anywhere, as it is meant to be seen: upright, 8 bits a channel, RGB.

Letters: H rows, W columns. A level is an 8-bit value, 0-255. Pillow is imported where it is used, so that
`import minideconv` stays fast.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Photo = Union[str, "os.PathLike[str]", "Image.Image", np.ndarray]

ORIENTATION_TAG = 0x0112  # EXIF: how the camera was held, 1 (upright) to 8
UPRIGHT = {  # orientation -> the name of Pillow's transposition that undoes it
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip


def load_photo(source: Photo) -> Image.Image:
    """Read one photo as it is meant to be seen: upright, 8 bits a channel, RGB.

    Turned as its EXIF orientation says. Transparent parts are laid over white. Grey is repeated in R, G and B;
    16-bit grey (Pillow's modes "I;16" and "I", read as 0-65535) is scaled to 0-255. Of an animation, the first frame.
    Colour profiles are ignored, as torchvision and Caffe do.

    Args:
        source: a path, a Pillow image, or a uint8 array (H, W, 3) RGB or (H, W) grey. It is not changed.
    Returns:
        A Pillow image in mode RGB that carries pixels only (no EXIF), so that loading it again changes nothing.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an image, damaged, cut short (a half-read photo is never returned), too large, or an
            array of another dtype or shape.
        TypeError: neither a path, an image nor an array.

    >>> load_photo(np.zeros((2, 3), np.uint8)).size
    (3, 2)
    """
    from PIL import Image

    if isinstance(source, np.ndarray):
        return Image.fromarray(_checked_array(source)).convert("RGB")
    name = photo_name(source)
    if isinstance(source, Image.Image):
        with _decoding(name):
            image = _upright(source)
        return _as_rgb(image, name)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"load_photo: {name} is no photo; give a path, a Pillow image or a uint8 array (H, W, 3)")
    with _opened(source) as file, _decoding(name):
        image = _upright(Image.open(file))
    return _as_rgb(image, name)


def photo_name(source: Photo) -> str:
    """Call a photo by its path, or by what it is when it has none, for messages and captions."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, np.ndarray):
        return f"the {source.dtype} array of shape {source.shape}"
    return getattr(source, "filename", "") or f"this {type(source).__name__}"


def _checked_array(array: np.ndarray) -> np.ndarray:
    """Pass a uint8 (H, W, 3) or (H, W) array on, C-contiguous; refuse every other array with what to do."""
    shape, advice = array.shape, "one photo is uint8 (H, W, 3) or (H, W)"
    if array.dtype != np.uint8:
        advice = "scale it to 0-255 and convert: array.round().astype(numpy.uint8)"
    elif len(shape) == 3 and shape[2] == 4:
        advice = "drop the alpha channel: array[:, :, :3]"
    elif len(shape) == 3 and shape[2] == 1:
        advice = "drop the last axis: array[:, :, 0]"
    elif (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and array.size:
        return np.ascontiguousarray(array)
    raise ValueError(f"load_photo: {photo_name(array)} is no photo; {advice}")


def _opened(path: str | os.PathLike[str]):
    """Open a photo's file, or say in one line why that cannot be done."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        message = f"load_photo: there is no file {path}; check the spelling and the folder"
        raise FileNotFoundError(message) from None
    except IsADirectoryError:
        raise ValueError(f"load_photo: {path} is a folder; give the photos in it, one by one or as a list") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"load_photo: cannot read {path} ({reason}); check the file's permissions") from None


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises on a bad file into one line, and refuse half-read photos."""
    from PIL import Image, ImageFile, UnidentifiedImageError

    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a 100-megapixel photo, or odd EXIF: nothing the user has to act on
            yield
    except UnidentifiedImageError:
        raise ValueError(f"load_photo: {name} is not an image Pillow can read; save it as JPEG or PNG") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"load_photo: {name} has more than {most} million pixels; make it smaller first") from None
    except Exception as error:  # decoders raise a dozen types, struct.error and IndexError among them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"load_photo: {name} is damaged or cut short ({reason}); get the file again") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _upright(image: Image.Image) -> Image.Image:
    """Decode all of an image and turn it as its EXIF orientation says; always a copy."""
    from PIL import Image

    image.load()  # before the EXIF is read: TIFF files are turned while they load
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION_TAG))
    except Exception:  # unreadable EXIF says nothing about the pixels
        turn = None
    return image.transpose(Image.Transpose[turn]) if turn else image.copy()


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    """Bring any of Pillow's modes to RGB without clipping, and leave everything but the pixels behind."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError(f"load_photo: {name} holds floating-point pixels of unknown range; convert it to 8 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image), name))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return Image.fromarray(np.asarray(image.convert("RGB")))


def _eight_bits(levels: np.ndarray, name: str) -> np.ndarray:
    """Scale 0-65535 to 0-255, rounding to the nearest level: (H, W) integers -> (H, W) uint8."""
    if levels.min() < 0 or levels.max() > 65535:
        span = f"{levels.min()} to {levels.max()}"
        raise ValueError(f"load_photo: {name} has levels from {span}, beyond 16 bits; convert it to 8 bits first")
    return ((levels.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)
