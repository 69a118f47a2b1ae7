"""Batch normalisation folded into the convolution or fully connected layer before it. Not in the paper."""

from __future__ import annotations

import numpy as np

from ..layers import Conv2d, Linear


def fold_batch_norm(layer: Conv2d | Linear, scale, shift, mean, variance, epsilon: float) -> None:
    """Give a layer the weights that do what it and the batch normalisation after it do, in float64:

        scale · (W x + b - mean) / √(variance + epsilon) + shift

    Args:
        layer: with weights; it has a bias afterwards.
        scale, shift, mean, variance: (O,), as batch normalisation keeps them after training.
    Raises:
        ValueError: if their shapes differ from (O,), or a variance is negative.
    """
    numbers = [np.asarray(values, np.float64) for values in (scale, shift, mean, variance)]
    outputs = len(layer.weight)
    if any(values.shape != (outputs,) for values in numbers):
        shapes = ", ".join(str(values.shape) for values in numbers)
        raise ValueError(f"batch normalisation has shapes {shapes} after a layer of {outputs} outputs")
    scale, shift, mean, variance = numbers
    if not (variance + epsilon > 0).all():
        raise ValueError("a variance of the batch normalisation is not positive")
    factor = scale / np.sqrt(variance + epsilon)
    bias = 0.0 if layer.bias is None else layer.bias
    layer.weight = layer.weight * factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    layer.bias, layer.has_bias = (bias - mean) * factor + shift, True
