"""Variants of one image, computed only where they can differ, equal the whole way up: exactly, on integers."""

import numpy as np
from draw import assert_close, assert_equal, stacks, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend import to_device, to_numpy
from minideconv.experiments.variants import Variants, forward_variants
from minideconv.layers import Conv2d
from minideconv.network import Network
from minideconv.windows import Window


def variants_of(x, data, count):
    """Windows of one drawn size and new pixels for them, and the whole images that they make."""
    channels, rows, columns, _ = x.shape
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    top, left = rng.integers(0, rows - height + 1, count), rng.integers(0, columns - width + 1, count)
    pixels, images = whole(rng, (channels, height, width, count)), x[..., :1].repeat(count, axis=3)
    for n, (row, column) in enumerate(zip(top, left)):
        images[:, row : row + height, column : column + width, n] = pixels[..., n]
    return pixels, top, left, images


@given(stacks(lrn=False), st.data())
def test_every_layer_of_every_variant_is_as_if_it_went_up_alone(drawn, data):
    net, x = drawn
    pixels, top, left, images = variants_of(x, data, 3)
    trace, expected = net.forward(x[..., :1]), net.forward(images)
    found = forward_variants(net, trace, pixels, top, left, list(net.layers))
    assert list(found) == list(net.layers)
    for name, maps in found.items():
        assert_equal(maps, expected[name])


@given(stacks(), st.data())
def test_contrast_normalisation_is_no_exception(drawn, data):
    net, x = drawn
    pixels, top, left, images = variants_of(x, data, 2)
    last = net.name_of(None)
    found = forward_variants(net, net.forward(x[..., :1]), pixels, top, left, [last])[last]
    assert_close(found, net.forward(images)[last], 1e-12)


def test_only_what_can_change_is_computed():
    net = Network([("conv1", Conv2d(1, 1, 3, padding=1)), ("conv2", Conv2d(1, 1, 5, stride=2))])
    x = np.zeros((1, 40, 40, 1))
    trace = net.forward(x)
    variants = Variants(to_device(np.ones((1, 4, 4, 1))), Window(np.array([10]), np.array([0]), 4, 4))
    one = variants.up(net.layers["conv1"], trace.step("conv1"))
    assert one.maps.shape == (1, 6, 6, 1)  # a pixel more on each side
    assert (one.window.top, one.window.left) == (9, 0)  # moved inwards at the edge
    two = one.up(net.layers["conv2"], trace.step("conv2"))
    assert two.maps.shape == (1, 5, 5, 1) and two.window.top == 3  # rows 3 … 7 see rows 6 … 18, which hold 9 … 14
    assert to_numpy(two.whole(trace["conv2"]).maps).shape == (1, 18, 18, 1)
