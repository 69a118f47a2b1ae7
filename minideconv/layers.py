"""The layers of a convnet: one way up, and the ways down.

A layer that is linear once its switches are fixed has a single way down, whatever the rule; only the rectifier has
three (and the deconvnet leaves contrast normalisation out):

    layer                up                        gradient            deconvnet           guided
    Conv2d               conv2d(x, W) + b          conv_transpose2d    the same, no bias   the same
    MaxPool2d            maximum and its switch    max_unpool2d        the same            the same
    AvgPool2d …          mean of each window       spread evenly       the same            the same
    Linear, Flatten …    W x + b, reshape          transpose           the same            the same
    ReLU                 max(x, 0)                 g · (x > 0)         g · (g > 0)         g · (x > 0) · (g > 0)
    LocalResponseNorm    divide by local energy    its Jacobian        identity            its Jacobian

Layers hold parameters only. What a pass computed lives in its `Step`s, so one forward pass serves thousands of
projections.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from . import functional as F
from .backend import Array, array_module
from .functional.geometry import output_shape, pad_pairs, pair, whole
from .functional.pooling import window_arguments
from .parallel import pixelwise

RULES = ("gradient", "deconvnet", "guided")


class Step:
    """What one layer's pass leaves behind, for the ways down to read: a row of a `Trace`.

    Attributes:
        name: of the layer.
        x, y: the layer's input and output maps; reading them is a ValueError if they were not kept.
        x_shape, y_shape: their shapes, always there.
        padding: how far the windows of `y` begin outside `x`, as `functional` takes it.
        switches: (C, OH, OW, N) uint8 of a max-pooling layer, else None.
        counts: (1, OH, OW, N) of an average-pooling layer, of how many pixels each mean is, else None.
        mask: what dropout multiplied with, or None.
        rng: a numpy Generator in training, or None.
    """

    def __init__(self, name: str, x: Array, padding, rng=None):
        self.name, self.padding, self.rng = name, padding, rng
        self.x_shape, self.y_shape = x.shape, None
        self._x, self._y = x, None
        self.switches, self.counts, self.mask = None, None, None

    @property
    def x(self) -> Array:
        return self._kept(self._x, "input")

    @property
    def y(self) -> Array:
        return self._kept(self._y, "maps")

    @y.setter
    def y(self, maps):
        self._y, self.y_shape = maps, maps.shape

    def drop(self, x: bool = False, y: bool = False) -> None:
        """Forget the input or the output maps, to save memory."""
        self._x, self._y = None if x else self._x, None if y else self._y

    def image(self, n: int) -> Step:
        """The same step for image `n` alone (views)."""
        one = copy.copy(self)
        for name in ("_x", "_y", "switches", "counts", "mask"):
            array = getattr(self, name)
            setattr(one, name, None if array is None else array[..., n : n + 1])
        one.x_shape, one.y_shape = (*self.x_shape[:-1], 1), (*self.y_shape[:-1], 1)
        return one

    def _kept(self, array, what):
        if array is None:
            raise ValueError(f"the {what} of {self.name} were not kept in the trace; run forward without keep")
        return array


class Layer:
    """One layer of a table. Unless a subclass says otherwise it works on single pixels and keeps the shape."""

    kernel_size = stride = (1, 1)
    padding = ((0, 0), (0, 0))
    sees_all = False  # whether every unit sees the whole map below
    options: tuple[str, ...] = ()  # constructor arguments, by name: what a model file stores
    parameters: tuple[str, ...] = ()  # attributes that are trained

    @property
    def spills(self) -> bool:
        """Whether signal on its way down can land outside the map below, in its padding."""
        return self.padding != Layer.padding

    def up(self, x: Array, step: Step) -> Array:
        """The layer's output for the maps `x`; what the ways down need is left in `step`."""
        raise NotImplementedError

    def down(self, signal: Array, step: Step, rule: str) -> Array:
        """The signal at the layer's input, for the signal at its output; `rule` is one of `RULES`."""
        raise NotImplementedError

    def gradients(self, grad: Array, step: Step) -> dict[str, Array]:
        """The gradient of each of `parameters`, for the gradient `grad` at the layer's output."""
        return {}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one image's output, for the `shape` of its input: (C, H, W) or (D,)."""
        return shape

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape that each of `parameters` must have."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)
        return f"{type(self).__name__}({arguments})"


class ReLU(Layer):
    """Keep what is positive. On the way down this is where the three rules part."""

    def up(self, x, step):
        return pixelwise(lambda x: array_module(x).maximum(x, 0), x)

    def down(self, signal, step, rule):
        if rule == "gradient":  # back through where the unit was active
            return pixelwise(lambda signal, y: signal * (y > 0), signal, step.y)
        if rule == "deconvnet":  # rectify the signal itself, whatever the unit did (Sec. 2.1, "Rectification")
            return pixelwise(lambda signal: array_module(signal).maximum(signal, 0), signal)
        if rule == "guided":  # both (Springenberg et al. 2014)
            return pixelwise(lambda signal, y: signal * (y > 0) * (signal > 0), signal, step.y)
        raise ValueError(f"rule {rule!r} is unknown; use one of {', '.join(RULES)}")


class Conv2d(Layer):
    """Convolution with `out_channels` learned filters; arguments as PyTorch's.

    Attributes:
        weight: (out_channels, in_channels/groups, KH, KW);  bias: (out_channels,) or None.
            None until given, or until the layer joins a `Network`, which draws them.
    """

    options = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups", "has_bias")

    def __init__(self, in_channels: int, out_channels: int, kernel_size, *, stride=1, padding=0, groups: int = 1,
                 has_bias: bool = True):  # fmt: skip
        self.in_channels = whole(in_channels, "Conv2d: in_channels")
        self.out_channels = whole(out_channels, "Conv2d: out_channels")
        self.groups, self.has_bias = whole(groups, "Conv2d: groups"), bool(has_bias)
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: {in_channels} -> {out_channels} channels cannot be split into {groups} groups")
        self.kernel_size, self.stride = pair(kernel_size, "kernel_size"), pair(stride, "stride")
        self.padding = pad_pairs(padding)
        self.weight: Any = None
        self.bias: Any = None

    @property
    def parameters(self):
        return ("weight", "bias") if self.has_bias else ("weight",)

    def up(self, x, step):
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=step.padding, groups=self.groups)

    def down(self, signal, step, rule):
        return F.conv_transpose2d(
            signal, self.weight, step.x_shape, stride=self.stride, padding=step.padding, groups=self.groups
        )

    def gradients(self, grad, step):
        weight = F.conv2d_weight_gradient(
            step.x, grad, self.weight.shape, stride=self.stride, padding=step.padding, groups=self.groups
        )
        return {"weight": weight, "bias": grad.sum(axis=(1, 2, 3))} if self.has_bias else {"weight": weight}

    def output_shape(self, shape):
        _expect(self, shape, 3, self.in_channels)
        return (self.out_channels, *output_shape(shape[1:], self.kernel_size, self.stride, self.padding))

    def parameter_shapes(self):
        shapes = {"weight": (self.out_channels, self.in_channels // self.groups, *self.kernel_size)}
        return {**shapes, "bias": (self.out_channels,)} if self.has_bias else shapes


class MaxPool2d(Layer):
    """Keep the maximum of every window; its switch stays in the step and leads the way down."""

    options = ("kernel_size", "stride", "padding", "ceil_mode")

    def __init__(self, kernel_size, *, stride=None, padding=0, ceil_mode: bool = False):
        self.kernel_size, self.stride, self.padding = window_arguments("MaxPool2d", kernel_size, stride, padding)
        self.ceil_mode = bool(ceil_mode)

    def up(self, x, step):
        y, step.switches = F.max_pool2d(
            x, self.kernel_size, stride=self.stride, padding=step.padding, ceil_mode=self.ceil_mode
        )
        return y

    def down(self, signal, step, rule):
        return F.max_unpool2d(
            signal, step.switches, step.x_shape, self.kernel_size, stride=self.stride, padding=step.padding
        )

    def output_shape(self, shape):
        _expect(self, shape, 3)
        out = output_shape(shape[1:], self.kernel_size, self.stride, self.padding, self.ceil_mode)
        return (shape[0], *out)


class AvgPool2d(Layer):
    """The mean of every window; arguments as PyTorch's."""

    options = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

    def __init__(self, kernel_size, *, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True):
        self.kernel_size, self.stride, self.padding = window_arguments(
            "AvgPool2d", kernel_size, stride, padding, has_switches=False
        )
        self.ceil_mode, self.count_include_pad = bool(ceil_mode), bool(count_include_pad)

    @property
    def spills(self):
        return self.ceil_mode or super().spills

    def up(self, x, step):
        y, step.counts = F.avg_pool2d(
            x, self.kernel_size, stride=self.stride, padding=step.padding,
            ceil_mode=self.ceil_mode, count_include_pad=self.count_include_pad,
        )  # fmt: skip
        return y

    def down(self, signal, step, rule):
        return F.avg_pool2d_transpose(
            signal, step.counts, step.x_shape, self.kernel_size, stride=self.stride, padding=step.padding
        )

    output_shape = MaxPool2d.output_shape


class GlobalAvgPool2d(Layer):
    """The mean of every map, (C, H, W, N) -> (C, 1, 1, N), whatever its size."""

    sees_all = True

    def up(self, x, step):
        return F.global_avg_pool2d(x)

    def down(self, signal, step, rule):
        return F.global_avg_pool2d_transpose(signal, step.x_shape)

    def output_shape(self, shape):
        _expect(self, shape, 3)
        return (shape[0], 1, 1)


class LocalResponseNorm(Layer):
    """Contrast normalisation across channels; see `functional.local_response_norm`."""

    options = ("size", "alpha", "beta", "k")

    def __init__(self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = (
            whole(size, "LocalResponseNorm: size"),
            float(alpha),
            float(beta),
            float(k),
        )
        if self.size % 2 == 0:
            raise ValueError(f"LocalResponseNorm: size is {size}; it must be a positive odd number of channels")
        if not all(map(math.isfinite, (self.alpha, self.beta, self.k))):
            raise ValueError(f"LocalResponseNorm: alpha, beta, k are {alpha}, {beta}, {k}; they must be finite")

    def up(self, x, step):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def down(self, signal, step, rule):
        if rule == "deconvnet":  # "we do not use any contrast normalization operations ... in this path"
            return signal
        return F.local_response_norm_gradient(signal, step.x, self.size, self.alpha, self.beta, self.k)


class Flatten(Layer):
    """Maps to column vectors, (C, H, W, N) -> (C·H·W, N)."""

    sees_all = True

    def up(self, x, step):
        return x.reshape(-1, x.shape[-1])

    def down(self, signal, step, rule):
        return signal.reshape(step.x_shape)

    def output_shape(self, shape):
        return (math.prod(shape),)


class Linear(Layer):
    """A fully connected layer on column vectors, y = W x + b.

    Attributes:
        weight: (out_features, in_features);  bias: (out_features,) or None. None until given, as in `Conv2d`.
    """

    options = ("in_features", "out_features", "has_bias")

    def __init__(self, in_features: int, out_features: int, *, has_bias: bool = True):
        self.in_features = whole(in_features, "Linear: in_features")
        self.out_features = whole(out_features, "Linear: out_features")
        self.has_bias = bool(has_bias)
        self.weight: Any = None
        self.bias: Any = None

    @property
    def parameters(self):
        return ("weight", "bias") if self.has_bias else ("weight",)

    def up(self, x, step):
        return F.linear(x, self.weight, self.bias)

    def down(self, signal, step, rule):
        return F.linear_transpose(signal, self.weight)

    def gradients(self, grad, step):
        weight = F.linear_weight_gradient(step.x, grad)
        return {"weight": weight, "bias": grad.sum(axis=1)} if self.has_bias else {"weight": weight}

    def output_shape(self, shape):
        _expect(self, shape, 1, self.in_features)
        return (self.out_features,)

    def parameter_shapes(self):
        shapes = {"weight": (self.out_features, self.in_features)}
        return {**shapes, "bias": (self.out_features,)} if self.has_bias else shapes


class Dropout(Layer):
    """In training, set each entry to zero with probability `p` and scale the rest by 1/(1-p); else do nothing."""

    options = ("p",)

    def __init__(self, p: float = 0.5):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is {p}; it must be at least 0 and below 1")
        self.p = p

    def up(self, x, step):
        if step.rng is None:
            return x
        keep = step.rng.random(x.shape, dtype="float32") >= self.p  # drawn on the CPU: the same on every device
        step.mask = array_module(x).asarray(keep) * x.dtype.type(1 / (1 - self.p))
        return x * step.mask

    def down(self, signal, step, rule):
        return signal if step.mask is None else signal * step.mask


def _expect(layer, shape, axes, first=None):
    """Refuse an input shape that a layer cannot take."""
    if len(shape) != axes or first not in (None, shape[0]):
        wanted = f"({first or 'C'}, H, W)" if axes == 3 else f"({first},)"
        raise ValueError(f"{type(layer).__name__} expects maps of shape {wanted} an image, but {tuple(shape)} came")


LAYERS = {
    kind.__name__: kind
    for kind in (Conv2d, ReLU, MaxPool2d, AvgPool2d, GlobalAvgPool2d, LocalResponseNorm, Flatten, Linear, Dropout)
}
