"""How alike two projections are: the number that belongs beside every control.

Letters: C channels, h rows, w columns, B pictures; n pixels of a picture that are compared.
"""

from __future__ import annotations

import numpy as np

from ..deconvnet import Patches

GRID = 20  # a window is compared at about so many rows and columns
SIGMA, REACH = 1.5, 5  # of SSIM's Gaussian, in pixels: 11 × 11, as Wang et al. have it
STEADY = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)  # their C1, C2 for levels of 0 to 255


def window_similarity(some: Patches, others: Patches, photo_size: tuple[int, int]) -> np.ndarray:
    """Spearman's rank correlation of signed pixels, each window with its other; what hangs over the photo is left out.

    Ranks do not depend on how a picture is scaled. Compared are all channels at every few pixels, about 20 × 20 places.

    Args:
        some, others: projections in the same windows, pixels (C, h, w, B).
        photo_size: rows and columns of the network's input.
    Returns:
        (B,), from -1 to 1; NaN where one of the two has no contrast.

    Not in the paper; after Adebayo et al. 2018.
    """
    channels, height, width, count = some.pixels.shape
    rows, columns = (np.arange(0, length, max(length // GRID, 1)) for length in (height, width))
    inside = within_photo(some, photo_size)[rows[:, None], columns]
    inside = np.broadcast_to(inside, (channels, *inside.shape)).reshape(-1, count)
    pair = (seen.pixels[:, rows[:, None], columns].reshape(-1, count) for seen in (some, others))
    return rank_correlation(*pair, inside)


def within_photo(patches: Patches, photo_size: tuple[int, int]) -> np.ndarray:
    """Which pixels of windows do not hang over a photo of so many rows and columns: (h, w, B) bool."""
    down, across = (
        corner + np.arange(length)[:, None] for corner, length in zip(patches[1:3], patches.pixels.shape[1:3])
    )  # (h, B), (w, B)
    return ((down >= 0) & (down < photo_size[0]))[:, None] & ((across >= 0) & (across < photo_size[1]))


def rank_correlation(some: np.ndarray, others: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each column of (n, B) with its other, over the rows that are `inside`: (B,)."""
    from scipy.stats import rankdata

    count = inside.sum(axis=0)
    centred = []
    for values in (some, others):
        ranks = rankdata(np.where(inside, values, np.inf), axis=0)  # those outside come last and disturb no rank
        centred.append(np.where(inside, ranks - (count + 1) / 2, 0))
    one, other = centred
    sizes = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    return np.divide((one * other).sum(axis=0), sizes, out=np.full(len(count), np.nan), where=sizes > 0)


def structural_similarity(some: np.ndarray, others: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """SSIM: how alike brightness, contrast and structure are around every pixel, averaged over pixels and channels.

    Around each pixel μ, σ² and σxy are taken with Gaussian weights over 11 × 11 pixels, those that are `inside` alone,
    and (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) is the similarity there.

    Args:
        some, others: (C, h, w, B) levels, 0 to 255.
        inside: (h, w, B) bool, which pixels count.
    Returns:
        (B,), from -1 to 1; NaN where nothing is inside.

    Not in the paper; Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
    """
    weight = np.maximum(_blurred(inside[None]), np.finfo(float).tiny)

    def local(values):
        return _blurred(np.where(inside, values, 0)) / weight

    some, others = some.astype(np.float64), others.astype(np.float64)
    mean, mean_other = local(some), local(others)
    variances = local(some**2 + others**2) - mean**2 - mean_other**2
    covariance = local(some * others) - mean * mean_other
    alike = (2 * mean * mean_other + STEADY[0]) * (2 * covariance + STEADY[1])
    alike /= (mean**2 + mean_other**2 + STEADY[0]) * (variances + STEADY[1])
    count = len(some) * inside.sum(axis=(0, 1))
    total = np.where(inside, alike, 0).sum(axis=(0, 1, 2))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _blurred(values: np.ndarray) -> np.ndarray:
    """The sum of (C, h, w, B) around each pixel under a Gaussian; nothing lies beyond the edges."""
    from scipy.ndimage import correlate1d

    taps = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * SIGMA**2))
    rows = correlate1d(values.astype(np.float64), taps / taps.sum(), axis=1, mode="constant")
    return correlate1d(rows, taps / taps.sum(), axis=2, mode="constant")
