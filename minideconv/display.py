"""Signed arrays out: how positive and negative pixels are shown as a picture. The only file that rescales for the eye.

Letters: C channels, H rows, W columns, B pictures. A level is an 8-bit value, 0-255; zero is always level 128.
"""

from __future__ import annotations

import math

import numpy as np

from .backend import Array, array_module, to_numpy

# For each channel order of a network: which of its channels are red, green and blue.
RED_GREEN_BLUE = {"RGB": [0, 1, 2], "BGR": [2, 1, 0], "L": [0, 0, 0]}

MID_GREY = 128
STEEPNESS = 1.5  # chosen by looking at AlexNet's relu2 and relu5: 1 is flat, 3 turns soft colour into posters
PERCENTILE = 99.5  # of the non-zero magnitudes: the size that is drawn at 90 % of full contrast


def display_scale(pixels: np.ndarray) -> float:
    """Find the size that `display` draws at 90 % of full contrast: the 99.5th percentile of non-zero magnitudes.

    Not the maximum: a few extreme pixels would leave all others almost grey. Give it several projections in one array
    to get the scale they can share.

    Args:
        pixels: any shape, signed, in any unit.
    Returns:
        The scale, in that unit; 0.0 when every pixel is zero (a dead map).
    Raises:
        ValueError: a pixel is not finite.

    >>> display_scale(np.array([0.0, 0.0, -2.0, 2.0]))
    2.0
    """
    pixels = np.asarray(pixels)
    if not np.isfinite(pixels).all():
        raise ValueError("display: pixels holds NaN or infinite values; check the weights and the photo")
    sizes = np.abs(pixels[pixels != 0])
    return float(np.percentile(sizes, PERCENTILE)) if sizes.size else 0.0


def display(pixels: np.ndarray, scale: float | None = None, channels: str = "RGB") -> np.ndarray:
    """Draw signed pixels: zero is mid-grey, positive is brighter, negative darker by the same amount.

    The rule, one for every projection: level = 128 + 127 * tanh(1.5 * pixels / scale), rounded. Zero is exactly 128,
    opposite signs mirror each other, the scale is drawn at 90 % of full contrast, and what is larger is pressed softly
    into the rest instead of being cut off. A dead map is plain grey.

    Args:
        pixels: (C, H, W) signed: a projection, a filter, a difference of photos.
        scale: the size drawn at 90 % contrast; None takes `display_scale(pixels)`. Pass one scale to several maps to
            compare their strengths.
        channels: order of the C channels: "RGB", "BGR" or "L".
    Returns:
        (H, W, 3) uint8, RGB.
    Raises:
        ValueError: wrong shape, a pixel that is not finite, or a scale that is not a positive number.

    Not in the paper, which does not say how its pictures are scaled.

    >>> display(np.array([[[-9.0, 0.0, 9.0]]]), channels="L")[0, :, 0]
    array([ 13, 128, 243], dtype=uint8)
    """
    pixels = np.asarray(pixels)
    if channels not in RED_GREEN_BLUE:
        raise ValueError(f'display: channels is {channels!r}; use "RGB", "BGR" or "L"')
    check_pixels("display", pixels, len(channels))
    scale = display_scale(pixels) if scale is None else scale
    if not pixels.any():
        return np.full((*pixels.shape[1:], 3), MID_GREY, np.uint8)
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"display: scale is {scale}; it must be a number above zero, as display_scale gives")
    with np.errstate(over="ignore"):  # beyond float64 is beyond full contrast
        ratio = np.divide(pixels, scale / STEEPNESS, dtype=np.float64)
    levels = _levels(np.clip(ratio, -20, 20).astype(np.float32))  # float32: several times faster, exact enough
    return np.ascontiguousarray(levels[RED_GREEN_BLUE[channels]].transpose(1, 2, 0))  # (H, W, 3)


def display_many(pixels: Array, channels: str = "RGB") -> np.ndarray:
    """Draw many signed pictures at once, each by itself and by the rule of `display`; computed on their device.

    Args:
        pixels: (C, H, W, B) signed and finite, as `project_patches` gives them.
        channels: order of the C channels.
    Returns:
        (B, H, W, 3) uint8, RGB.

    >>> display_many(np.array([[[[-9.0, 0.0], [0.0, 0.0], [9.0, 0.0]]]]), channels="L")[..., 0]
    array([[[ 13, 128, 243]],
    <BLANKLINE>
           [[128, 128, 128]]], dtype=uint8)
    """
    xp, scales = array_module(pixels), _scales(pixels)
    faint = xp.finfo(pixels.dtype).tiny  # a dead map is all zeros: any scale shows it grey
    ratio = pixels * (STEEPNESS / xp.maximum(scales, faint))
    levels = to_numpy(_levels(xp.clip(ratio, -20, 20, out=ratio)))  # (C, H, W, B)
    return np.ascontiguousarray(levels.transpose(3, 1, 2, 0)[..., RED_GREEN_BLUE[channels]])


def _scales(pixels: Array) -> Array:
    """`display_scale` of each picture: (C, H, W, B) -> (B,)."""
    xp = array_module(pixels)
    sizes = xp.ascontiguousarray(xp.abs(pixels).reshape(-1, pixels.shape[-1]).T)  # (B, n)
    count, (total, n) = (sizes > 0).sum(axis=1), sizes.shape
    most = min(int(n * (1 - PERCENTILE / 100)) + 3, n)  # the percentile is among the largest so many
    largest = xp.sort(xp.partition(sizes, n - most, axis=1)[:, n - most :], axis=1)
    place = xp.maximum((count - 1) * (PERCENTILE / 100) - count + most, 0)  # counted in `largest`
    below, above = (xp.clip(i, 0, most - 1).astype(int) for i in (xp.floor(place), xp.floor(place) + 1))
    picture = xp.arange(total)
    low, high = largest[picture, below], largest[picture, above]
    return (low + (high - low) * (place - below)).astype(pixels.dtype)


def _levels(ratio: Array) -> Array:
    """-20 … 20 -> levels 1 … 255 around mid-grey; `ratio` may be overwritten."""
    xp = array_module(ratio)
    contrast = xp.tanh(ratio, out=ratio)
    contrast *= MID_GREY - 1
    return (xp.rint(contrast, out=contrast) + MID_GREY).astype(np.uint8)


def shrink(pixels: Array, height: int, width: int) -> Array:
    """Make pictures smaller: each new pixel is the mean of what it covers. (C, H, W, B) -> (C, height, width, B).

    Two matrix products, rows then columns. Along an axis that is no longer than asked for nothing happens.
    """
    xp = array_module(pixels)
    channels, rows, columns, count = pixels.shape
    if height < rows:
        weights = xp.asarray(_cover(rows, height), pixels.dtype)
        pixels = xp.matmul(weights, pixels.reshape(channels, rows, -1)).reshape(channels, height, columns, count)
    if width < columns:
        weights = xp.asarray(_cover(columns, width), pixels.dtype)
        pixels = xp.matmul(weights, pixels.reshape(-1, columns, count))  # for each channel and row
    return pixels.reshape(channels, min(height, rows), min(width, columns), count)


def _cover(length: int, fewer: int) -> np.ndarray:
    """(fewer, length): which share of each new pixel every old pixel covers; rows sum to 1."""
    edges = np.arange(fewer + 1) * (length / fewer)
    old = np.arange(length)
    overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    return np.maximum(overlap, 0) * (fewer / length)


def mosaic(pictures, columns: int, rows: int | None = None) -> np.ndarray:
    """Lay equal pictures (h, w, 3) uint8 side by side, row by row and without gaps; what is left over is mid-grey."""
    rows, (height, width, _) = rows or -(-len(pictures) // columns), pictures[0].shape
    whole = np.full((rows * columns, height, width, 3), MID_GREY, np.uint8)
    whole[: len(pictures)] = pictures
    whole = whole.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return whole.reshape(rows * height, columns * width, 3)


def channel_order(preprocessing, count: int) -> str | None:
    """How `count` channels are to be shown: as the net's preparation says, else by their number; None: not at all."""
    if preprocessing is not None and len(preprocessing.channels) == count:
        return preprocessing.channels
    return {1: "L", 3: "RGB"}.get(count)


def check_pixels(function: str, pixels: np.ndarray, channels: int) -> None:
    """Refuse anything but finite (C, H, W)."""
    if pixels.ndim != 3 or pixels.shape[0] != channels:
        raise ValueError(f"{function}: expected one picture (C, H, W) with C = {channels}, got shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise ValueError(f"{function}: pixels holds NaN or infinite values; check the weights and the photo")
