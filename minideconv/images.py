"""Photos in: crop and scale a photo for a network. What comes out again, signed, is drawn in `display`.

Letters: C channels, H rows, W columns, N images. A level is an 8-bit value, 0-255. Arrays here are NumPy arrays; the
network moves them to its device. Pillow is imported where it is used, so that `import minideconv` stays fast.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .display import RED_GREEN_BLUE, check_pixels
from .photos import Photo, load_photo, photo_name

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What one network wants done to a photo; it belongs to the model file. Call it: photos -> (C, H, W, N) float32.

    Args:
        resize: an int is the short side in pixels, the long side becomes int(resize * long / short) (torchvision);
            (height, width) is exact and may distort (Caffe); None leaves the photo as it is.
        crop: the centre (height, width), an int for a square, None for all of it; in pixels, after resizing.
        channels: "RGB", "BGR" or "L" (grey), the order of the network's input.
        scale: multiplies the levels 0-255 before the mean is taken off: 1/255 for torchvision, 1 for Caffe.
        mean, std: one number per channel, in the order of `channels` and in scaled units: (scale * level - mean) / std.
            `mean` may also be a whole mean image, nested (C, H, W) of the crop's size: the paper's per-pixel mean.
    Raises:
        ValueError: naming the field that is not one of these.

    >>> TORCHVISION(np.zeros((300, 400, 3), np.uint8)).shape
    (3, 224, 224, 1)
    """

    resize: int | tuple[int, int] | None
    crop: int | tuple[int, int] | None
    channels: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        if not isinstance(self.channels, str) or self.channels not in RED_GREEN_BLUE:
            raise ValueError(f'Preprocessing: channels is {self.channels!r}; use "RGB", "BGR" or "L"')
        for field in ("resize", "crop"):
            object.__setattr__(self, field, _checked_size(field, getattr(self, field)))
        image = isinstance(self.mean, (list, tuple)) and any(isinstance(plane, (list, tuple)) for plane in self.mean)
        mean = _checked_mean_image(self) if image else _checked_numbers("mean", self.mean, len(self.channels))
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", _checked_numbers("std", self.std, len(self.channels)))
        object.__setattr__(self, "scale", _checked_numbers("scale", self.scale, 1)[0])
        if self.scale <= 0 or min(self.std) <= 0:
            field = "scale" if self.scale <= 0 else "std"
            raise ValueError(f"Preprocessing: {field} is {getattr(self, field)}; it must be greater than zero")

    def crop_photo(self, photo: Photo) -> Image.Image:
        """Resize and crop one photo to exactly what the network sees, before scaling: mode RGB, or L for grey nets.

        Bilinear and antialiased, as torchvision resizes Pillow images.

        Raises:
            ValueError: the photo cannot be read (`load_photo`), or is smaller than the crop.
        """
        image = self.resize_photo(photo)
        image = image.crop(self._centre(image, photo)) if self.crop is not None else image
        return image.convert("L") if self.channels == "L" else image

    def resize_photo(self, photo: Photo) -> Image.Image:
        """The first half of `crop_photo`: all of a photo, as large as `resize` says; mode RGB."""
        from PIL import Image

        image = load_photo(photo)
        height, width = self._resized(image.height, image.width)
        if (width, height) != image.size:
            if max(height, width) > 100 * min(height, width):  # a strip of 1 x 10000 would grow to gigabytes
                raise ValueError(f"crop_photo: {photo_name(photo)} is a strip of {_size_text(image)}; crop it first")
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return image

    def levels(self, photo: Photo) -> np.ndarray:
        """One photo, cropped as the network sees it: (H, W, C) uint8, RGB or grey; what `scaled` takes N of."""
        levels = np.asarray(self.crop_photo(photo))
        return levels[..., None] if levels.ndim == 2 else levels

    def box_in_crop(self, box, height: int, width: int) -> tuple[float, float, float, float]:
        """Where a box of a photo lies in what the network sees of it; not clipped, not rounded.

        Args:
            box: (top, left, bottom, right) in pixels of the photo, upright;  height, width: the photo's.
        Returns:
            the same in pixels of the network's input; beyond it where the crop leaves something out.

        >>> TORCHVISION.box_in_crop((0, 0, 150, 400), 300, 400)  # becomes 256 x 341, of which 224 x 224 are cut
        (-16.0, -58.0, 112.0, 283.0)
        """
        rows, columns = self._resized(height, width)
        y, x = self._corner(rows, columns)
        top, left, bottom, right = box
        down, across = rows / height, columns / width
        return top * down - y, left * across - x, bottom * down - y, right * across - x

    def surroundings(self, photo: Photo) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """One photo as the network would see it without its crop, and where it is cropped.

        Returns:
            (H', W', C) uint8, RGB or grey, and the box (top, left, bottom, right), half-open, that `levels` cuts out.
        """
        image = self.resize_photo(photo)
        left, top, right, bottom = self._centre(image, photo) if self.crop is not None else (0, 0, *image.size)
        whole = np.asarray(image.convert("L") if self.channels == "L" else image)
        return whole.reshape(*whole.shape[:2], -1), (top, left, bottom, right)

    def __call__(self, photos: Photo | list[Photo] | tuple[Photo, ...]) -> np.ndarray:
        """Turn photos into the array the network takes.

        Args:
            photos: one photo or a list of them, each as `load_photo` takes it, or a uint8 array (N, H, W, 3); for
                grey nets also (N, H, W), unless its last axis is 3: that is one photo (H, W, 3).
        Returns:
            (C, H, W, N) float32, C-contiguous: (scale * level - mean) / std.
        Raises:
            ValueError: no photos, photos of different sizes after cropping, or one that cannot be used.
        """
        crops = [self.levels(photo) for photo in self._listed(photos)]
        sizes = sorted({"{} x {} pixels".format(*crop.shape) for crop in crops})
        if len(sizes) != 1:
            found = f"photos of different sizes, {' and '.join(sizes[:3])}; set crop" if sizes else "no photos"
            raise ValueError(f"Preprocessing: {found}; one array takes one or more photos of one size")
        return self.scaled(np.stack(crops))

    def scaled(self, levels: np.ndarray) -> np.ndarray:
        """Scale photos that are cropped already: (N, H, W, C) uint8, RGB or grey -> (C, H, W, N) float32.

        Raises:
            ValueError: the photos have another number of channels than the network.
        """
        if levels.ndim != 4 or levels.shape[3] != len(self.channels):
            raise ValueError(f"Preprocessing: photos are {levels.shape}; expected (N, H, W, {len(self.channels)})")
        levels = levels if self.channels == "L" else levels[..., RED_GREEN_BLUE[self.channels]]
        x = np.ascontiguousarray(levels.transpose(3, 1, 2, 0), dtype=np.float32)  # (C, H, W, N)
        x *= np.float32(self.scale)
        x -= self._per_channel(self.mean, x)
        x /= self._per_channel(self.std, x)
        return x

    def restore(self, x: np.ndarray) -> np.ndarray:
        """Undo the scaling of one image: (C, H, W) preprocessed -> (H, W, 3) uint8 RGB, clipped to 0-255.

        For photos. Projections are signed and have no mean to add: show them with `display`.

        Raises:
            ValueError: `x` has another number of channels or axes, or is not finite.
        """
        x = np.asarray(x)
        check_pixels("restore", x, len(self.channels))
        levels = (x * self._per_channel(self.std, x) + self._per_channel(self.mean, x)) / self.scale
        levels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(self.display_order(levels).transpose(1, 2, 0))  # (H, W, 3)

    def display_order(self, pixels: np.ndarray) -> np.ndarray:
        """Put channels in the order red, green, blue: (C, H, W, ...) -> (3, H, W, ...). No mean is added."""
        return pixels[RED_GREEN_BLUE[self.channels]]

    def to_dict(self) -> dict[str, Any]:
        """Write the fields as a dict of JSON values; `from_dict` reads it back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: naming the field that is missing, unknown or wrong.
        """
        if not isinstance(values, dict):  # a wrong value in a model file, so no TypeError
            raise ValueError(f"Preprocessing: expected a dict of fields, got {values!r:.60}")
        known = [field.name for field in fields(cls)]
        for problem, names in (("missing", set(known) - set(values)), ("unknown", set(values) - set(known))):
            if names:
                wrong = min(map(str, names))
                raise ValueError(f"Preprocessing: {problem} field {wrong!r}; the fields are {', '.join(known)}")
        return cls(**values)

    def _listed(self, photos) -> list[Photo]:
        """Split what `__call__` takes into single photos."""
        if isinstance(photos, (list, tuple)):
            return list(photos)
        if isinstance(photos, np.ndarray):
            greys = photos.ndim == 3 and self.channels == "L" and photos.shape[2] != 3
            return list(photos) if greys or photos.ndim == 4 else [photos]
        return [photos]

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Compute the (height, width) that `resize` asks for."""
        if not isinstance(self.resize, int):
            return self.resize or (height, width)
        # As torchvision rounds: down, so 375 x 500 becomes 256 x 341, not 342.
        short, long = min(height, width), max(height, width)
        other = int(self.resize * long / short)
        return (self.resize, other) if height <= width else (other, self.resize)

    def _centre(self, image: Image.Image, photo: Photo) -> tuple[int, int, int, int]:
        """Place the crop in the middle: (left, top, right, bottom), Pillow's order."""
        height, width = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        if height > image.height or width > image.width:
            resized = "" if self.resize is None else " after resizing"
            raise ValueError(
                f"crop_photo: {photo_name(photo)} is {_size_text(image)} (height x width){resized}, smaller than the "
                f"crop of {height} x {width}; use a larger photo, set resize, or a smaller crop"
            )
        top, left = self._corner(image.height, image.width)
        return left, top, left + width, top + height

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        """The top left corner of the crop in a resized photo, as torchvision: Python's round, halves to even."""
        crop = (height, width) if self.crop is None else self.crop
        rows, columns = (crop, crop) if isinstance(crop, int) else crop
        return round((height - rows) / 2), round((width - columns) / 2)

    @staticmethod
    def _per_channel(numbers, x: np.ndarray) -> np.ndarray:
        """Shape numbers (C,) or (C, H, W) to broadcast over `x`, (C, H, W, ...): append axes; dtype of `x`."""
        array = np.asarray(numbers, dtype=x.dtype)
        return array.reshape(*array.shape, *[1] * (x.ndim - array.ndim))


def _size_text(image: Image.Image) -> str:
    return f"{image.height} x {image.width} pixels"  # height first, as everywhere here


def _checked_size(field: str, value) -> int | tuple[int, int] | None:
    """Accept None, a positive int or a pair of them."""
    sizes = list(value) if isinstance(value, (list, tuple)) else [value]
    whole = all(isinstance(size, Integral) and not isinstance(size, bool) and size > 0 for size in sizes)
    if value is None:
        return None
    if not whole or len(sizes) > 2 or len(sizes) != (2 if isinstance(value, (list, tuple)) else 1):
        raise ValueError(f"Preprocessing: {field} is {value!r}; use pixels as an int, (height, width), or None")
    return int(sizes[0]) if len(sizes) == 1 else (int(sizes[0]), int(sizes[1]))


def _checked_numbers(field: str, values, count: int) -> tuple[float, ...]:
    """Accept `count` finite numbers."""
    numbers = values if isinstance(values, (list, tuple)) else [values]
    finite = all(isinstance(n, Real) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    if len(numbers) != count or not finite:
        raise ValueError(f"Preprocessing: {field} is {values!r}; expected {count} finite number(s)")
    return tuple(float(n) for n in numbers)


def _checked_mean_image(preprocessing) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """Accept nested (C, H, W) finite numbers of the crop's size."""
    crop, channels = preprocessing.crop, len(preprocessing.channels)
    wanted = (channels, crop, crop) if isinstance(crop, int) else (channels, *(crop or ()))
    try:
        image = np.asarray(preprocessing.mean, dtype=np.float64)
    except (TypeError, ValueError):
        image = np.zeros(0)
    if image.shape != wanted or not np.isfinite(image).all():
        raise ValueError(
            f"Preprocessing: mean is an image of {image.shape}; expected finite numbers {wanted}, the crop"
        )
    return tuple(tuple(tuple(row) for row in plane) for plane in image.tolist())


TORCHVISION = Preprocessing(
    resize=256, crop=224, channels="RGB", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
CAFFE = Preprocessing(
    resize=(256, 256), crop=227, channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)
)
