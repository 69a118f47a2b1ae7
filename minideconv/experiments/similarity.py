"""How alike two projections are: the number that belongs beside every control.

Letters: C channels, h rows, w columns, B pictures; n pixels of a picture that are compared.
"""

from __future__ import annotations

import numpy as np

from ..deconvnet import Patches

GRID = 20  # a window is compared at about so many rows and columns


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
    down, across = some.top + rows[:, None], some.left + columns[:, None]  # (rows, B), (columns, B)
    inside = ((down >= 0) & (down < photo_size[0]))[:, None] & ((across >= 0) & (across < photo_size[1]))
    inside = np.broadcast_to(inside, (channels, *inside.shape)).reshape(-1, count)
    pair = (seen.pixels[:, rows[:, None], columns].reshape(-1, count) for seen in (some, others))
    return rank_correlation(*pair, inside)


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
