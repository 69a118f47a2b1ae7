"""The same net as a torch.nn.Sequential: what tests and benchmarks compare with. Torch is imported when it is used."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from minideconv import Network, to_numpy
from minideconv.layers import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)


def twin(net: Network):
    """A torch.nn.Sequential on the CPU, in eval mode, with copies of the net's weights and the names of its layers.

    Arrays are (N, C, H, W) there: `x.transpose(3, 0, 1, 2)`. ReLUs are not in-place, so hooks on them work.

    Raises:
        ValueError: if torch has no such layer (a ceil-mode pool with uneven or wide padding).
    """
    from torch.nn import Sequential

    return Sequential(OrderedDict((name, _module(layer)) for name, layer in net.layers.items())).eval()


def _module(layer):
    from torch import nn

    if isinstance(layer, Conv2d):
        return _convolution(layer)
    if isinstance(layer, MaxPool2d):
        return _pool(layer)
    if isinstance(layer, AvgPool2d):
        return _average(layer)
    if isinstance(layer, GlobalAvgPool2d):
        return nn.AdaptiveAvgPool2d(1)
    if isinstance(layer, Linear):
        return _filled(nn.Linear(layer.in_features, layer.out_features, bias=layer.has_bias), layer)
    if isinstance(layer, LocalResponseNorm):
        return nn.LocalResponseNorm(layer.size, alpha=layer.alpha, beta=layer.beta, k=layer.k)
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.p)
    return {ReLU: nn.ReLU, Flatten: nn.Flatten}[type(layer)]()


def _convolution(layer):
    from torch import nn

    even = _even(layer.padding)
    module = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, even or 0,
                       groups=layer.groups, bias=layer.has_bias)  # fmt: skip
    module = _filled(module, layer)
    return module if even else nn.Sequential(nn.ZeroPad2d(_sides(layer.padding)), module)


def _pool(layer):
    from torch import nn

    even = _even(layer.padding)
    if even and all(2 * pad <= size for pad, size in zip(even, layer.kernel_size)):  # torch pads at most half a kernel
        return nn.MaxPool2d(layer.kernel_size, layer.stride, even, ceil_mode=layer.ceil_mode)
    if layer.ceil_mode:  # padded beforehand, torch would let one more window start in the padding
        raise ValueError(f"twin: torch has no {layer}")
    padding = nn.ConstantPad2d(_sides(layer.padding), float("-inf"))
    return nn.Sequential(padding, nn.MaxPool2d(layer.kernel_size, layer.stride))


def _average(layer):
    from torch import nn

    even = _even(layer.padding)
    if not even or any(2 * pad > size for pad, size in zip(even, layer.kernel_size)):
        raise ValueError(f"twin: torch has no {layer}")
    return nn.AvgPool2d(layer.kernel_size, layer.stride, even, layer.ceil_mode, layer.count_include_pad)


def _filled(module, layer):
    """The module with copies of the layer's parameters, in their dtype."""
    import torch

    for key in layer.parameters:
        setattr(module, key, torch.nn.Parameter(torch.from_numpy(np.array(to_numpy(getattr(layer, key))))))
    return module


def _even(padding):
    """(vertical, horizontal) if both sides of each are equal, else None."""
    (top, bottom), (left, right) = padding
    return (top, left) if (top, left) == (bottom, right) else None


def _sides(padding):
    """Padding in torch's order: left, right, top, bottom."""
    (top, bottom), (left, right) = padding
    return left, right, top, bottom
