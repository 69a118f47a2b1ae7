"""Averages equal their loops, and what hands them back is their exact adjoint."""

import naive
import numpy as np
import pytest
from draw import assert_equal, generators, inner, poolings, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.backend import to_device, to_numpy

EVERY_COUNT = 720720  # a multiple of 1 … 16: means of multiples of it are whole, and exact


def maps(rows):
    """One map of one image from a nested list: (H, W) -> (1, H, W, 1)."""
    return to_device(np.array(rows, dtype=np.float64)[None, :, :, None])


def mean(case, x=None, count_include_pad=True):
    x = case.x if x is None else x
    return F.avg_pool2d(x, case.kernel_size, count_include_pad=count_include_pad, **case.options)


def spread(case, y, counts):
    options = {key: case.options[key] for key in ("stride", "padding")}
    return F.avg_pool2d_transpose(y, counts, case.x.shape, case.kernel_size, **options)


@given(poolings(), st.booleans())
def test_avg_pool2d_is_the_naive_loop(case, include):
    stride, options = case.options["stride"] or case.kernel_size, case.options
    expected = naive.avg_pool2d(
        to_numpy(case.x), case.kernel_size, stride, options["padding"], options["ceil_mode"], include
    )
    assert_equal(mean(case, count_include_pad=include)[0], expected)


def test_padding_counts_if_it_shall_and_what_hangs_over_never_does():
    x = maps([[4, 4, 4]])
    options = {"stride": (1, 2), "padding": ((0, 0), (1, 0)), "ceil_mode": True}
    assert_equal(F.avg_pool2d(x, (1, 2), **options)[0], maps([[2, 4]]))
    assert_equal(F.avg_pool2d(x, (1, 2), count_include_pad=False, **options)[0], maps([[4, 4]]))
    y, counts = F.avg_pool2d(x, (1, 2), ceil_mode=True)
    assert_equal(y, maps([[4, 4]]))
    assert_equal(counts, maps([[2, 1]]))


@given(poolings(), st.booleans())
def test_spreading_is_the_adjoint_of_averaging(case, include):
    x = EVERY_COUNT * whole(case.rng, case.x.shape)
    y, counts = mean(case, x, include)
    signal = EVERY_COUNT * whole(case.rng, y.shape)
    assert inner(y, signal) == inner(x, spread(case, signal, counts))


@given(generators(), st.tuples(*[st.integers(1, 4)] * 4))
def test_spreading_whole_maps_is_the_adjoint_of_their_averages(rng, shape):
    x, signal = EVERY_COUNT * whole(rng, shape), EVERY_COUNT * whole(rng, (shape[0], 1, 1, shape[3]))
    assert inner(F.global_avg_pool2d(x), signal) == inner(x, F.global_avg_pool2d_transpose(signal, shape))


@given(generators(), st.tuples(*[st.integers(1, 4)] * 4))
def test_a_global_average_is_the_average_of_the_largest_window(rng, shape):
    x = EVERY_COUNT * whole(rng, shape)
    assert_equal(F.global_avg_pool2d(x), F.avg_pool2d(x, shape[1:3])[0])


@given(generators(), st.sampled_from(["float32", "float64"]))
def test_the_dtype_is_kept(rng, dtype):
    x = whole(rng, (2, 5, 5, 2)).astype(dtype)
    y, counts = F.avg_pool2d(x, 3, stride=2, padding=1)
    assert (y.dtype, counts.dtype, F.global_avg_pool2d(x).dtype) == (dtype,) * 3
    assert F.avg_pool2d_transpose(y, counts, x.shape, 3, stride=2, padding=1).dtype == dtype


X, Y = to_device(np.ones((2, 9, 9, 3))), to_device(np.ones((2, 3, 3, 3)))
REFUSED = {
    "padding": (lambda: F.avg_pool2d(X, 3, padding=3), ["avg_pool2d", "(3, 3)", "smaller"]),
    "three axes": (lambda: F.avg_pool2d(X[0], 3), ["avg_pool2d", "x is float64 (9, 9, 3)", "(C, H, W, N)"]),
    "no image": (lambda: F.global_avg_pool2d(X[..., :0]), ["global_avg_pool2d", "(2, 9, 9, 0)", "N at least 1"]),
    "other counts": (
        lambda: F.avg_pool2d_transpose(Y, Y[:1, 1:], X.shape, 3),
        ["avg_pool2d_transpose", "(C, OH, OW, N) = (2, 3, 3, 3)", "(1, 2, 3, 3)"],
    ),
    "another map": (lambda: F.avg_pool2d_transpose(Y, Y[:1], (2, 6, 9, 3), 3), ["(2, 6, 9, 3)"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_error_names_the_function_what_came_and_what_was_expected(what):
    call, pieces = REFUSED[what]
    with pytest.raises(ValueError) as error:
        call()
    for piece in pieces:
        assert piece in str(error.value)
