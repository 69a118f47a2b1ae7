"""What the tests draw: arrays, convolutions, poolings, whole stacks of layers; and how they compare.

Arrays are drawn on the CPU, moved with `to_device` and brought back with `to_numpy`, so that every test also runs
with `MINIDECONV_DEVICE=gpu`. Where a test says `==`, values are small integers in float64: every sum is exact.
"""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from minideconv import Network
from minideconv.backend import to_device, to_numpy
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

SIZES = st.integers(1, 7)
NON_NEGATIVE = st.integers(0, 2)
PADDING = st.tuples(*[st.tuples(NON_NEGATIVE, NON_NEGATIVE)] * 2)  # ((top, bottom), (left, right))


def generators():
    """Seeded NumPy generators: Hypothesis draws the seed, so that arrays of any size cost nothing to draw."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def whole(rng, shape, low=-4, high=4):
    """Integers low … high as float64, on the device: sums of them are exact, and ties are frequent."""
    return to_device(rng.integers(low, high + 1, shape).astype(np.float64))


def distinct(rng, shape):
    """Float64 values in (-3, 3), on the device: no two are equal and none is near zero, so no tie and no kink."""
    size = int(np.prod(shape))
    return to_device((rng.permutation(size) - size // 2 + 0.5).reshape(shape) * (6 / (size + 1)))


def scattered(rng, shape):
    """Float64 values of either sign, none near zero, on the device: a direction that hides no entry."""
    return to_device(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


def inner(a, b) -> float:
    """<a, b>, the sum of the products of all entries."""
    return float((a * b).sum())


def assert_equal(actual, expected):
    """Same shape, same dtype, same values, to the last bit (but 0 == -0)."""
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(actual, expected)


def assert_close(actual, expected, tolerance=1e-12):
    """Same shape, and every value within `tolerance` of the largest one expected."""
    actual, expected = to_numpy(actual), to_numpy(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-300))


def check_gradient(f, gradient, x, rng, step=1e-5, tolerance=1e-7):
    """Compare a gradient with central differences along one random direction, for a random output gradient.

    Args:
        f: x -> y, arrays of any shape.
        gradient: (gradient at y) -> gradient at x.
        x: float64, with no tie and no kink of `f` within `step` along the direction.
        tolerance: relative to the sum of all |gradient · direction|, which cannot cancel.
    Raises:
        AssertionError: if they differ by more than that and the rounding of the differences.
    """
    direction = scattered(rng, x.shape)
    above, below = f(x + step * direction), f(x - step * direction)
    grad = scattered(rng, above.shape)
    measured = inner(grad, above - below) / (2 * step)
    found = gradient(grad)
    assert found.shape == x.shape, f"the gradient has shape {found.shape}, the input {x.shape}"
    claimed, scale = inner(found, direction), float(abs(found * direction).sum())
    allowed = tolerance * scale + 1e-14 * inner(abs(grad), abs(above)) / step
    assert abs(measured - claimed) <= allowed, f"central differences say {measured}, the gradient {claimed}"


# ---------------------------------------------------------------------------------------------------- one operation


class Convolution(NamedTuple):
    x: Any  # (C, H, W, N)
    weight: Any  # (O, C/groups, KH, KW)
    bias: Any  # (O,) or None
    options: dict  # stride, padding, groups
    rng: Any  # for whatever else a test needs


@st.composite
def convolutions(draw):
    """Integer-valued float64 maps and filters that fit: any stride, asymmetric padding, groups, odd shapes."""
    rng, groups = draw(generators()), draw(st.integers(1, 3))
    channels, filters, images = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel, padding = draw(st.tuples(*[st.integers(1, 4)] * 2)), draw(PADDING)
    height, width = (draw(SIZES) + max(k - 1 - sum(p), 0) for k, p in zip(kernel, padding))
    weight = whole(rng, (groups * filters, channels, *kernel))
    bias = whole(rng, groups * filters) if draw(st.booleans()) else None
    options = {"stride": draw(st.tuples(*[st.integers(1, 3)] * 2)), "padding": padding, "groups": groups}
    return Convolution(whole(rng, (groups * channels, height, width, images)), weight, bias, options, rng)


class Pooling(NamedTuple):
    x: Any  # (C, H, W, N)
    kernel_size: tuple  # (KH, KW)
    options: dict  # stride, padding, ceil_mode
    rng: Any


@st.composite
def poolings(draw):
    """Small integers (so ties are frequent), windows that overlap, leave gaps, or hang over the edge."""
    rng, kernel = draw(generators()), draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding = tuple(tuple(draw(st.integers(0, min(k - 1, 2))) for _ in "12") for k in kernel)
    height, width = (draw(SIZES) + max(k - 1 - sum(p), 0) for k, p in zip(kernel, padding))
    options = {"stride": draw(st.none() | st.tuples(*[st.integers(1, 5)] * 2)), "padding": padding}
    options["ceil_mode"] = draw(st.booleans())
    shape = (draw(st.integers(1, 4)), height, width, draw(st.integers(1, 3)))
    return Pooling(whole(rng, shape, -3, 3), kernel, options, rng)


# ---------------------------------------------------------------------------------------------------- whole networks


@st.composite
def stacks(draw, lrn=True, dense=True, relu=True):
    """A Network of up to eleven layers with small-integer float64 weights, and an input for it.

    Args:
        lrn: whether LocalResponseNorm, and averages of other than 1, 2 or 4 pixels, may be drawn.
        dense, relu: whether Flatten and Linear; ReLU may be drawn.
    Returns:
        net, x: x is integer-valued float64 (C, H, W, N) on the device. Without LRN all sums are exact. Dropout is
        there, but off unless `forward` is given an rng.
    """
    rng, images = draw(generators()), draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 3)), draw(st.integers(4, 12)), draw(st.integers(4, 12)))  # (C, H, W) so far
    x, layers = whole(rng, (*shape, images)), []
    kinds = ["conv", "pool", "conv", "drop", "mean"] + ["relu"] * relu + ["norm"] * lrn + ["global"] * lrn
    for number in range(1, draw(st.integers(2, 6)) + 1):
        kind = draw(st.sampled_from(kinds))
        if kind == "conv" and sum(isinstance(layer, Conv2d) for _, layer in layers) == 3:
            kind = "drop"  # three are enough, and sums stay far below 2**53
        layer = draw(_mean(shape, 4 if lrn else 2) if kind == "mean" else _SPATIAL[kind](shape))
        layers.append((f"{kind}{number}", layer))
        shape = layer.output_shape(shape)
    if dense and draw(st.booleans()):
        size, hidden, classes = int(np.prod(shape)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
        layers += [("flatten", Flatten()), ("fc7", Linear(size, hidden, has_bias=draw(st.booleans())))]
        layers += [("relu7", ReLU())] * relu + [("drop7", Dropout(0.5)), ("fc8", Linear(hidden, classes))]
    for _, layer in layers:
        for key, wanted in layer.parameter_shapes().items():
            setattr(layer, key, whole(rng, wanted, -2, 2))
    return Network(layers, input_shape=x.shape[:3]), x


@st.composite
def _conv(draw, shape):
    """A Conv2d that fits maps of `shape` (C, H, W)."""
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if shape[0] % g == 0]))
    padding, filters = draw(PADDING), groups * draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, min(3, size + sum(sides)))) for size, sides in zip(shape[1:], padding))
    stride, has_bias = draw(st.tuples(*[st.integers(1, 2)] * 2)), draw(st.booleans())
    return Conv2d(shape[0], filters, kernel, stride=stride, padding=padding, groups=groups, has_bias=has_bias)


@st.composite
def _pool(draw, shape):
    """A MaxPool2d that fits maps of `shape` (C, H, W)."""
    kernel = tuple(draw(st.integers(1, min(3, size))) for size in shape[1:])
    padding = tuple(tuple(draw(st.integers(0, min(k - 1, 2))) for _ in "12") for k in kernel)
    stride, ceil_mode = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.booleans())
    return MaxPool2d(kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)


@st.composite
def _mean(draw, shape, largest):
    """An AvgPool2d that fits maps of `shape` (C, H, W), with windows of at most `largest` rows and columns."""
    pool, include = draw(_pool(shape)), draw(st.booleans())
    kernel = tuple(min(k, largest) for k in pool.kernel_size)
    padding = tuple(tuple(min(side, k - 1) for side in sides) for sides, k in zip(pool.padding, kernel))
    options = {"stride": pool.stride, "padding": padding, "ceil_mode": pool.ceil_mode, "count_include_pad": include}
    return AvgPool2d(kernel, **options)


_SPATIAL = {
    "conv": _conv,
    "pool": _pool,
    "relu": lambda shape: st.builds(ReLU),
    "global": lambda shape: st.builds(GlobalAvgPool2d),
    "norm": lambda shape: st.sampled_from([1, 3, 5]).map(lambda n: LocalResponseNorm(n, alpha=0.02, beta=0.75, k=2.0)),
    "drop": lambda shape: st.builds(Dropout, st.just(0.5)),
}
