"""Max-pooling equals its loops, switches included; unpooling is its exact adjoint with the switches held fixed."""

import naive
import numpy as np
import pytest
from draw import assert_equal, check_gradient, distinct, generators, inner, poolings, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import parallel
from minideconv.backend import to_device, to_numpy
from minideconv.functional.geometry import output_size


def maps(rows, dtype=np.float64):
    """One map of one image from a nested list: (H, W) -> (1, H, W, 1)."""
    return to_device(np.array(rows, dtype=dtype)[None, :, :, None])


def pool(case, x=None):
    return F.max_pool2d(case.x if x is None else x, case.kernel_size, **case.options)


def unpool(case, y, switches):
    options = {key: case.options[key] for key in ("stride", "padding")}
    return F.max_unpool2d(y, switches, case.x.shape, case.kernel_size, **options)


def stride_and_padding(case):
    return case.options["stride"] or case.kernel_size, case.options["padding"]


# ---------------------------------------------------------------------------------------------------- naive loops


@given(poolings())
def test_max_pool2d_is_the_naive_loop_with_the_same_switches(case):
    y, switches = naive.max_pool2d(
        to_numpy(case.x), case.kernel_size, *stride_and_padding(case), case.options["ceil_mode"]
    )
    for found, expected in zip(pool(case), (y, switches)):
        assert_equal(found, expected)


def test_a_switch_says_which_tap_of_its_window_held_the_maximum():
    x = maps([[1, 2, 0, 7], [3, 0, 0, 0], [0, 0, 5, 0], [0, 4, 0, 0]])
    y, switches = F.max_pool2d(x, 2)
    assert_equal(y, maps([[3, 7], [4, 5]]))
    assert_equal(switches, maps([[2, 1], [3, 0]], np.uint8))  # lower left, upper right; lower right, upper left


def test_the_first_of_equal_values_wins_row_by_row():
    y, switches = F.max_pool2d(maps([[0, 0, 1], [0, 1, 1], [1, 1, 1]]), 3)
    assert (y.item(), switches.item()) == (1, 2)


@given(poolings())
def test_padding_never_wins_not_even_against_negative_maps(case):
    y, _ = pool(case, x=case.x - 10)
    assert float(y.max()) < 0


@given(poolings())
def test_every_switch_points_into_the_map(case):
    switches = to_numpy(pool(case)[1])
    rows, columns = naive.switch_positions(switches, case.kernel_size, *stride_and_padding(case))
    assert rows.min() >= 0 and rows.max() < case.x.shape[1]
    assert columns.min() >= 0 and columns.max() < case.x.shape[2]


@given(poolings())
def test_the_switches_lead_to_the_maxima(case):
    y, switches = pool(case)
    found = naive.select(to_numpy(case.x), to_numpy(switches), case.kernel_size, *stride_and_padding(case))
    assert_equal(y, found)


# ---------------------------------------------------------------------------------------------------- sizes


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 9), st.data(), st.booleans())
def test_output_size_is_the_rule_of_caffe_and_pytorch(size, kernel, stride, data, ceil_mode):
    before, after = data.draw(st.tuples(*[st.integers(max(kernel - size, 0), max(kernel - 1, 0))] * 2))
    expected = naive.pooled_size(size, kernel, stride, (before, after), ceil_mode)
    assert output_size(size, kernel, stride, (before, after), ceil_mode) == expected


@pytest.mark.parametrize("size, ceil_mode, expected", [
    (110, True, 55), (26, True, 13), (13, True, 6),  # the paper's own sizes: 3 × 3 / 2 pools that round up
    (109, False, 54), (25, False, 12), (12, False, 5),  # ZFNet-512 as published in ONNX rounds down
])  # fmt: skip
def test_three_by_three_pools_of_stride_two_have_the_published_sizes(size, ceil_mode, expected):
    y, switches = F.max_pool2d(to_device(np.ones((1, size, 3, 1))), (3, 1), stride=(2, 1), ceil_mode=ceil_mode)
    assert y.shape == switches.shape == (1, expected, 3, 1)


def test_with_ceil_mode_the_last_window_hangs_over_the_edge():
    x = maps([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert_equal(F.max_pool2d(x, 2)[0], maps([[5]]))
    assert_equal(F.max_pool2d(x, 2, ceil_mode=True)[0], maps([[5, 6], [8, 9]]))


# ---------------------------------------------------------------------------------------------------- adjoint


@given(poolings())
def test_unpool_is_the_adjoint_of_pooling(case):
    y, switches = pool(case)
    x, signal = whole(case.rng, case.x.shape), whole(case.rng, y.shape)
    selected = naive.select(to_numpy(x), to_numpy(switches), case.kernel_size, *stride_and_padding(case))
    assert inner(to_device(selected), signal) == inner(x, unpool(case, signal, switches))


def test_a_maximum_that_windows_share_gets_the_sum_of_their_values():
    x = maps([[0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 0], [0, 0, 0, 10]])
    _, switches = F.max_pool2d(x, 3, stride=1)  # the 9 is the maximum of three of the four windows
    assert_equal(switches, maps([[4, 3], [1, 8]], np.uint8))
    unpooled = F.max_unpool2d(maps([[1, 10], [100, 1000]]), switches, x.shape, 3, stride=1)
    assert_equal(unpooled, maps([[0, 0, 0, 0], [0, 111, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1000]]))


@given(poolings())
def test_windows_that_do_not_overlap_give_their_maxima_back(case):
    stride = tuple(max(pair) for pair in zip(case.kernel_size, stride_and_padding(case)[0]))
    case = case._replace(options=case.options | {"stride": stride})
    y, switches = pool(case)
    again = F.max_pool2d(unpool(case, abs(y), switches), case.kernel_size, **case.options)[0]
    assert_equal(again, abs(y))


@given(poolings())
def test_the_gradient_agrees_with_central_differences(case):
    x = distinct(case.rng, case.x.shape)
    switches = pool(case, x)[1]
    check_gradient(lambda x: pool(case, x)[0], lambda grad: unpool(case, grad, switches), x, case.rng)


# ---------------------------------------------------------------------------------------------------- blocks


@given(poolings(), st.integers(1, 3000))
def test_slabs_of_channels_do_not_change_a_result(case, size):
    def results():
        y, switches = pool(case)
        return y, switches, unpool(case, y, switches)

    in_one = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "block_bytes", lambda x: size)
        for cut, expected in zip(results(), in_one):
            assert_equal(cut, expected)


# ---------------------------------------------------------------------------------------------------- dtypes, limits


@given(generators(), st.sampled_from(["float32", "float64"]))
def test_the_dtype_is_kept_and_switches_are_uint8(rng, dtype):
    x = whole(rng, (2, 5, 5, 2)).astype(dtype)
    y, switches = F.max_pool2d(x, 3, stride=2, padding=1)
    assert (y.dtype, switches.dtype) == (dtype, "uint8")
    assert F.max_unpool2d(y, switches, x.shape, 3, stride=2, padding=1).dtype == dtype


def test_a_window_of_256_taps_still_has_a_switch_for_the_last():
    x = np.zeros((1, 16, 16, 1))
    x[0, 15, 15] = 1
    switches = F.max_pool2d(to_device(x), 16)[1]
    assert switches.item() == 255


X, Y = to_device(np.ones((2, 9, 9, 3))), to_device(np.ones((2, 3, 3, 3)))
SWITCHES = Y.astype("uint8")
REFUSED = {
    "too many taps": (lambda: F.max_pool2d(X, (257, 1)), ["max_pool2d", "(257, 1)", "256", "uint8"]),
    "too many taps down": (lambda: F.max_unpool2d(Y, SWITCHES, X.shape, 17), ["max_unpool2d", "(17, 17)", "256"]),
    "padding as large as the kernel": (lambda: F.max_pool2d(X, 3, padding=3), ["max_pool2d", "(3, 3)", "smaller", "3"]),
    "padding below only": (lambda: F.max_pool2d(X, 3, padding=((0, 3), (0, 0))), ["padding (0, 3)", "smaller"]),
    "three axes": (lambda: F.max_pool2d(X[0], 3), ["max_pool2d", "x has shape (9, 9, 3)", "(C, H, W, N)"]),
    "kernel too large": (lambda: F.max_pool2d(X, (10, 2)), ["kernel of 10", "9 pixels"]),
    "kernel 0": (lambda: F.max_pool2d(X, 0), ["kernel_size is 0", "at least 1"]),
    "stride of a word": (lambda: F.max_pool2d(X, 3, stride="two"), ["stride is 'two'", "(vertical, horizontal)"]),
    "negative padding": (lambda: F.max_pool2d(X, 3, padding=-1), ["padding is -1", "negative"]),
    "other switches": (
        lambda: F.max_unpool2d(Y, SWITCHES[:, 1:], X.shape, 3),
        ["max_unpool2d", "(C, OH, OW, N) = (2, 3, 3, 3)", "(2, 2, 3, 3)"],
    ),
    "another map": (lambda: F.max_unpool2d(Y, SWITCHES, (2, 6, 9, 3), 3), ["max_unpool2d", "(2, 6, 9, 3)"]),
    "other channels": (lambda: F.max_unpool2d(Y, SWITCHES, (5, 9, 9, 3), 3), ["max_unpool2d", "(5, 9, 9, 3)"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_error_names_the_function_what_came_and_what_was_expected(what):
    call, pieces = REFUSED[what]
    with pytest.raises(ValueError) as error:
        call()
    for piece in pieces:
        assert piece in str(error.value)
