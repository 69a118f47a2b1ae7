"""Convolution equals its loops; going down is its exact adjoint; blocks change nothing.

All on integer-valued float64, where every sum is exact and `==` holds.
"""

import naive
import numpy as np
import pytest
from draw import assert_close, assert_equal, check_gradient, convolutions, generators, inner, scattered, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.backend import to_device, to_numpy
from minideconv.functional import convolution


def maps(rows):
    """One map of one image from a nested list: (H, W) -> (1, H, W, 1)."""
    return to_device(np.array(rows, dtype=np.float64)[None, :, :, None])


# ---------------------------------------------------------------------------------------------------- naive loops


@given(convolutions())
def test_conv2d_is_the_naive_loop(case):
    x, weight, bias = (None if a is None else to_numpy(a) for a in case[:3])
    assert_equal(F.conv2d(*case[:3], **case.options), naive.conv2d(x, weight, bias, **case.options))


def test_conv2d_slides_the_filter_without_flipping_it():
    x = maps([[1, 2, 0], [0, 1, 3], [4, 0, 1]])
    weight = to_device(np.array([[[[1.0, 2.0], [0.0, -1.0]]]]))  # upper left + 2 · upper right - lower right
    assert_equal(F.conv2d(x, weight), maps([[1 + 4 - 1, 2 + 0 - 3], [0 + 2 - 0, 1 + 6 - 1]]))


def test_padding_may_differ_on_every_side():
    y = F.conv2d(maps([[1, 2], [3, 4]]), to_device(np.ones((1, 1, 1, 1))), padding=((1, 0), (0, 2)))
    assert_equal(y, maps([[0, 0, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]]))


def test_ints_and_pairs_say_the_same():
    rng = np.random.default_rng(0)
    x, weight = whole(rng, (2, 7, 6, 2)), whole(rng, (3, 2, 3, 3))
    expected = F.conv2d(x, weight, stride=2, padding=1)
    assert_equal(F.conv2d(x, weight, stride=(2, 2), padding=(1, 1)), expected)
    assert_equal(F.conv2d(x, weight, stride=[2, 2], padding=((1, 1), (1, 1))), expected)


@given(convolutions())
def test_every_group_is_a_convolution_of_its_own(case):
    groups, options = case.options["groups"], case.options | {"groups": 1}
    channels, filters = len(case.x) // groups, len(case.weight) // groups
    whole_result = F.conv2d(*case[:3], **case.options)
    for g in range(groups):
        some = slice(g * filters, (g + 1) * filters)
        bias = None if case.bias is None else case.bias[some]
        part = F.conv2d(case.x[g * channels : (g + 1) * channels], case.weight[some], bias, **options)
        assert_equal(whole_result[some], part)


# ---------------------------------------------------------------------------------------------------- adjoints


@given(convolutions())
def test_conv_transpose2d_is_the_adjoint_of_conv2d(case):
    y = F.conv2d(case.x, case.weight, **case.options)
    signal = whole(case.rng, y.shape)
    x = F.conv_transpose2d(signal, case.weight, case.x.shape, **case.options)
    assert x.shape == case.x.shape
    assert inner(y, signal) == inner(case.x, x)


@given(convolutions())
def test_the_weight_gradient_is_the_adjoint_of_conv2d_as_a_function_of_its_weight(case):
    y = F.conv2d(case.x, case.weight, **case.options)
    grad = whole(case.rng, y.shape)
    weight = F.conv2d_weight_gradient(case.x, grad, case.weight.shape, **case.options)
    assert weight.shape == case.weight.shape
    assert inner(y, grad) == inner(case.weight, weight)


def test_conv_transpose2d_paints_the_filter_at_every_value_and_adds_where_they_overlap():
    weight = to_device(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    x = F.conv_transpose2d(maps([[10, 100]]), weight, (1, 2, 3, 1))
    assert_equal(x, maps([[10, 20 + 100, 200], [30, 40 + 300, 400]]))


def test_pixels_that_no_window_reached_get_nothing():
    signal = maps([[1, 1], [1, 1]])
    x = F.conv_transpose2d(signal, to_device(np.ones((1, 1, 1, 1))), (1, 4, 4, 1), stride=2)
    assert_equal(x, maps([[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]))


@pytest.mark.parametrize("height", [223, 224])  # decision 4: 7 × 7 / 2 maps both to 109
def test_the_way_down_gives_back_the_input_shape_it_is_told(height):
    shape = (1, height, 9, 1)
    y = F.conv2d(to_device(np.ones(shape)), to_device(np.ones((1, 1, 7, 7))), stride=2)
    assert y.shape == (1, 109, 2, 1)
    assert F.conv_transpose2d(y, to_device(np.ones((1, 1, 7, 7))), shape, stride=2).shape == shape


@given(convolutions())
def test_both_gradients_agree_with_central_differences(case):
    x, weight = scattered(case.rng, case.x.shape), scattered(case.rng, case.weight.shape)
    check_gradient(
        lambda x: F.conv2d(x, weight, **case.options),
        lambda grad: F.conv_transpose2d(grad, weight, x.shape, **case.options), x, case.rng,
    )  # fmt: skip
    check_gradient(
        lambda weight: F.conv2d(x, weight, **case.options),
        lambda grad: F.conv2d_weight_gradient(x, grad, weight.shape, **case.options), weight, case.rng,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- blocks

OPTIONS = {"stride": (1, 2), "padding": ((1, 0), (0, 1))}
CUT = {  # shapes whose smallest blocks, of about 256 output pixels, cut the output unevenly
    "between rows": (2, 9, 28, 10),
    "after every row": (1, 6, 82, 11),
    "between rows and between images": (2, 5, 52, 50),
}


def three_results(x, weight):
    """The convolution, its way down and its weight gradient."""
    y = F.conv2d(x, weight, **OPTIONS)
    down = F.conv_transpose2d(y, weight, x.shape, **OPTIONS)
    return y, down, F.conv2d_weight_gradient(x, y, weight.shape, **OPTIONS)


def in_blocks_of(size, x, weight):
    """The same, cut into blocks of `size` bytes (but at least 256 output pixels); and how many blocks there were."""
    starts, _touched = [], convolution._touched

    def counted(*args):
        starts.append(args)
        return _touched(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "block_bytes", lambda x: size)
        patch.setattr(convolution, "_touched", counted)
        return three_results(x, weight), len(starts)


@pytest.mark.parametrize("where", CUT)
def test_cutting_into_blocks_changes_nothing(where):
    rng = np.random.default_rng(0)
    x, weight = whole(rng, CUT[where]), whole(rng, (3, CUT[where][0], 3, 2))
    results, blocks = in_blocks_of(1, x, weight)
    assert blocks > 2 * 3
    for cut, expected in zip(results, three_results(x, weight)):
        assert_equal(cut, expected)


SHAPES = st.tuples(st.integers(1, 2), st.integers(3, 9), st.integers(3, 40), st.integers(1, 60))


@given(generators(), SHAPES, st.integers(1, 50_000))
def test_blocks_of_any_size_change_nothing(rng, shape, size):
    x, weight = whole(rng, shape), whole(rng, (2, shape[0], 3, 2))
    for cut, expected in zip(in_blocks_of(size, x, weight)[0], three_results(x, weight)):
        assert_equal(cut, expected)


# ---------------------------------------------------------------------------------------------------- dtypes, errors


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept_by_all_three(dtype, groups):
    rng = np.random.default_rng(0)
    x, weight, bias = (whole(rng, s).astype(dtype) for s in ((4, 5, 5, 2), (2, 4 // groups, 3, 3), (2,)))
    y = F.conv2d(x, weight, bias, groups=groups)
    assert y.dtype == dtype
    assert F.conv_transpose2d(y, weight, x.shape, groups=groups).dtype == dtype
    assert F.conv2d_weight_gradient(x, y, weight.shape, groups=groups).dtype == dtype


@given(convolutions())
def test_float32_is_right_to_a_hundred_thousandth_of_the_largest_value(case):
    x, weight = scattered(case.rng, case.x.shape), scattered(case.rng, case.weight.shape)
    y = F.conv2d(x.astype("float32"), weight.astype("float32"), **case.options)
    assert_close(y, F.conv2d(x, weight, **case.options), tolerance=1e-5)


@given(convolutions())
def test_arguments_are_not_changed(case):
    before = [None if a is None else a.copy() for a in case[:3]]
    y = F.conv2d(*case[:3], **case.options)
    signal = y.copy()
    F.conv_transpose2d(y, case.weight, case.x.shape, **case.options)
    F.conv2d_weight_gradient(case.x, y, case.weight.shape, **case.options)
    for now, then in zip((*case[:3], y), (*before, signal)):
        assert now is then is None or (to_numpy(now) == to_numpy(then)).all()


def ones(*shape):
    return to_device(np.ones(shape))


X, WEIGHT = (4, 8, 8, 2), (6, 4, 3, 3)
REFUSED = {
    "an alpha channel": (
        lambda: F.conv2d(ones(4, 8, 8, 1), ones(96, 3, 7, 7)),
        ["conv2d: x has 4 channels but weight expects 3", "(O, C/groups, KH, KW) = (96, 3, 7, 7)", "alpha channel?"],
    ),
    "channels of the way down": (
        lambda: F.conv_transpose2d(ones(6, 6, 6, 2), ones(*WEIGHT), (3, 8, 8, 2)),
        ["conv_transpose2d: x_shape has 3 channels but weight expects 4"],
    ),
    "channels of groups": (
        lambda: F.conv2d(ones(*X), ones(*WEIGHT), groups=2),
        ["conv2d: x has 4 channels but weight expects 4", "in each of 2 groups"],
    ),
    "filters of groups": (
        lambda: F.conv2d(ones(8, 8, 8, 2), ones(5, 4, 3, 3), groups=2),
        ["conv2d", "5 filters", "2 groups"],
    ),
    "no groups": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), groups=0), ["conv2d", "0 groups"]),
    "an image without N": (lambda: F.conv2d(ones(4, 8, 8), ones(*WEIGHT)), ["x has shape (4, 8, 8)", "(C, H, W, N)"]),
    "a matrix": (lambda: F.conv2d(ones(*X), ones(6, 4)), ["weight has shape (6, 4)", "(O, C/groups, KH, KW)"]),
    "a bias too long": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), ones(7)), ["conv2d: bias", "(7,)", "(O,) = (6,)"]),
    "a bias of one": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), ones(1)), ["conv2d: bias", "(1,)", "(O,) = (6,)"]),
    "a bias too long for groups": (
        lambda: F.conv2d(ones(*X), ones(6, 2, 3, 3), ones(7), groups=2),
        ["conv2d: bias", "(7,)", "(O,) = (6,)"],
    ),
    "another signal": (
        lambda: F.conv_transpose2d(ones(6, 5, 6, 2), ones(*WEIGHT), X),
        ["conv_transpose2d: y has shape (6, 5, 6, 2)", "(O, OH, OW, N) = (6, 6, 6, 2)"],
    ),
    "another gradient": (
        lambda: F.conv2d_weight_gradient(ones(*X), ones(6, 6, 6, 1), WEIGHT),
        ["conv2d_weight_gradient: grad has shape (6, 6, 6, 1)", "(O, OH, OW, N) = (6, 6, 6, 2)"],
    ),
    "a signal of more channels than two groups have": (
        lambda: F.conv_transpose2d(ones(7, 6, 6, 2), ones(6, 2, 3, 3), X, groups=2),
        ["conv_transpose2d: y has shape (7, 6, 6, 2)", "(O, OH, OW, N) = (6, 6, 6, 2)"],
    ),
    "a gradient of more channels than two groups have": (
        lambda: F.conv2d_weight_gradient(ones(*X), ones(7, 6, 6, 2), (6, 2, 3, 3), groups=2),
        ["conv2d_weight_gradient: grad has shape (7, 6, 6, 2)", "(O, OH, OW, N) = (6, 6, 6, 2)"],
    ),
    "a kernel larger than the map": (
        lambda: F.conv2d(ones(4, 2, 8, 2), ones(*WEIGHT)),
        ["kernel of 3", "2 pixels", "padding 0 and 0"],
    ),
    "stride 0": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), stride=0), ["stride is 0", "at least 1"]),
    "three strides": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), stride=(1, 2, 3)), ["stride is (1, 2, 3)", "vertical"]),
    "half a pixel": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), padding=0.5), ["padding is 0.5", "(top, bottom)"]),
    "negative padding": (lambda: F.conv2d(ones(*X), ones(*WEIGHT), padding=(0, -1)), ["(0, -1)", "negative"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_error_names_the_function_what_came_and_what_was_expected(what):
    call, pieces = REFUSED[what]
    with pytest.raises(ValueError) as error:
        call()
    for piece in pieces:
        assert piece in str(error.value)
