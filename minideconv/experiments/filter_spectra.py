"""Which frequencies a convolution filter passes, and which of them its stride can carry.

Frequencies are in cycles a pixel, from 0 to 0.5 along each axis; where a layer's input is not the photo but maps, in
cycles a cell of those maps. Letters: O filters, C channels of the layer's input, S frequencies along each axis.
"""

from __future__ import annotations

import numpy as np

from ..backend import to_numpy

SIZE = 64  # filters are padded with zeros to so many pixels: as many frequencies
BANDS = (0.1, 0.3)  # where the low frequencies end, and where the high ones begin


def power_spectra(weight, size: int = SIZE) -> np.ndarray:
    """How much of each frequency a filter passes: the squared DFT, zero-padded, summed over input channels.

    A filter's mean is not removed. It is the filter's answer to plain brightness or colour, which every stride carries;
    without it a blob would seem to alias as much as a grating.

    Args:
        weight: (O, C, KH, KW).
        size: S, at least; never less than the filter.
    Returns:
        (O, S, S) float64, frequency zero first, as `frequencies` lists them. The sum over a filter is S² times the
        sum of its squared weights (Parseval).

    Paper: Sec. 4.1 looks at the filters themselves; the spectra are ours.
    """
    weight = to_numpy(weight).astype(np.float64)
    size = max(size, *weight.shape[2:])
    spectra = np.empty((len(weight), size, size))
    for spectrum, kernel in zip(spectra, weight):  # one at a time: all of a wide layer would take gigabytes
        spectrum[:] = (np.abs(np.fft.fft2(kernel, s=(size, size))) ** 2).sum(axis=0)
    return spectra


def frequencies(size: int) -> tuple[np.ndarray, np.ndarray]:
    """|fy| as a column (S, 1), and |fx| as a row (1, S), of the spectra of that size."""
    f = np.abs(np.fft.fftfreq(size))
    return f[:, None], f[None]


def energy_beyond(spectra: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """The share of each filter's energy that its stride turns into other frequencies: (O, S, S) -> (O,).

    Who looks at every s-th pixel only cannot tell frequencies above 1/(2s) from lower ones: they alias.

    Args:
        stride: (vertical, horizontal), in pixels.
    Returns:
        0 to 1; NaN for a filter that is zero.
    """
    down, across = frequencies(spectra.shape[1])
    return share(spectra, (down > 0.5 / stride[0]) | (across > 0.5 / stride[1]))


def band_energy(spectra: np.ndarray) -> np.ndarray:
    """The shares of each filter's energy at low, middle and high frequencies, in any direction: (O, S, S) -> (O, 3)."""
    radius = np.hypot(*frequencies(spectra.shape[1]))
    bands = (radius < BANDS[0], (radius >= BANDS[0]) & (radius <= BANDS[1]), radius > BANDS[1])
    return np.stack([share(spectra, band) for band in bands], axis=1)


def share(spectra: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Which part of each spectrum lies `where` (S, S) is true: (O, S, S) -> (O,), NaN for an empty one."""
    total = spectra.sum(axis=(1, 2))
    return np.divide(spectra[:, where].sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)


def radial_energy(spectra: np.ndarray, bins: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """How the energy of all filters together is spread over radial frequency.

    Args:
        spectra: (O, S, S); every filter counts alike, however strong.
        bins: rings of equal width from 0 to √½ cycles.
    Returns:
        the middle of each ring (bins,) in cycles, and the mean energy of a frequency in it (bins,); a delta has 1.
    """
    total = spectra.sum(axis=(1, 2))
    there = total > 0
    mean = (spectra[there] / total[there, None, None]).mean(axis=0) if there.any() else np.zeros(spectra.shape[1:])
    radius = np.hypot(*frequencies(spectra.shape[1]))
    edges = np.linspace(0, np.sqrt(0.5) + 1e-9, bins + 1)
    ring = np.digitize(radius.ravel(), edges) - 1
    count = np.bincount(ring, minlength=bins)
    summed = np.bincount(ring, mean.ravel() * mean.size, minlength=bins)
    return (edges[1:] + edges[:-1]) / 2, summed / np.maximum(count, 1)
