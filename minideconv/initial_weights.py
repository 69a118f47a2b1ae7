"""The weights a net begins with: how large, and drawn in what order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .backend import Array, to_device
from .layers import Layer, MaxPool2d


def complete(layers: Sequence[Layer], seed, scales: Sequence[float] | None = None) -> None:
    """Move weights to the device; draw those that are missing, layer by layer.

    Args:
        seed: as NumPy's generators take it; None leaves missing ones empty.
        scales: their standard deviation in each layer; by default those of `he_scales`.
    """
    rng = np.random.default_rng(seed)
    for layer, scale in zip(layers, he_scales(layers) if scales is None else scales):
        for key, shape in layer.parameter_shapes().items():
            if getattr(layer, key) is not None:
                setattr(layer, key, to_device(getattr(layer, key)))
            elif seed is not None:
                setattr(layer, key, drawn(key, shape, rng, scale))


def forget(layers: Sequence[Layer]) -> None:
    """Leave every layer without weights, in place."""
    for layer in layers:
        for key in layer.parameters:
            setattr(layer, key, None)


def he_scales(layers: Sequence[Layer]) -> list[float]:
    """Standard deviation of each layer's initial weights, chosen so that maps keep their size on the way up.

    The root of 2 / fan-in (He et al. 2015), half of that after max-pooling: the maximum of a window has about four
    times the mean square of its entries. The last layer gets 0.01: all classes begin equally likely. Without these two
    a third of the maps of a small net died in the first epoch (docs/log.md).
    """
    scales, pooled = [], False
    for layer in layers:
        shape = layer.parameter_shapes().get("weight")
        if shape is None:
            pooled = pooled or isinstance(layer, MaxPool2d)
            scales.append(0.0)
        else:
            he = math.sqrt(2 / max(math.prod(shape[1:]), 1))
            scales.append(0.01 if layer is layers[-1] else he / 2 if pooled else he)
            pooled = False
    return scales


def drawn(key: str, shape: tuple[int, ...], rng: np.random.Generator, scale: float) -> Array:
    """Initial values of a parameter, float32 on the device: zero for a "bias", normal with deviation `scale` else."""
    if key == "bias":
        return to_device(np.zeros(shape, np.float32))
    return to_device(rng.standard_normal(shape, dtype=np.float32) * np.float32(scale))
