"""Random shifts and mirror images of training photos, so that a net sees each a little differently every time."""

from __future__ import annotations

import numpy as np


def random_crops(images: np.ndarray, padding: int, fill, rng: np.random.Generator) -> np.ndarray:
    """Shift every photo by up to `padding` pixels up, down, left and right; what comes into view is `fill`.

    The same as cropping each at random out of a frame that is `padding` pixels wider on all sides.

    Args:
        images: (N, H, W, C) uint8;  fill: a level 0-255 for each channel.
    Returns:
        (N, H, W, C) uint8, new.

    Paper: Sec. 3, where 224 × 224 crops come out of 256 × 256 photos.
    """
    if not padding:
        return images.copy()
    count, height, width, channels = images.shape
    frame = np.empty((count, height + 2 * padding, width + 2 * padding, channels), np.uint8)
    frame[:] = np.asarray(fill, np.uint8)
    frame[:, padding : padding + height, padding : padding + width] = images
    corners = rng.integers(0, 2 * padding + 1, (count, 2))
    return np.stack([one[top : top + height, left : left + width] for one, (top, left) in zip(frame, corners)])


def random_flips(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror about half of the photos left to right: (N, H, W, C) -> the same shape, new."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
