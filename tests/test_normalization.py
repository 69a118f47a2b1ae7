"""Local response normalisation equals its loops, and its gradient the central differences."""

import naive
import numpy as np
import pytest
from draw import assert_close, assert_equal, check_gradient, generators, scattered, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.backend import to_device, to_numpy

NUMBERS = {  # size, alpha, beta, k
    "size": st.sampled_from([1, 3, 5, 9]),
    "alpha": st.floats(1e-4, 1),
    "beta": st.floats(0.5, 1.5),
    "k": st.floats(1, 3),
}
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
numbers = st.fixed_dictionaries(NUMBERS)


@given(generators(), SHAPES, numbers)
def test_local_response_norm_is_the_naive_loop(rng, shape, numbers):
    x = whole(rng, shape)
    assert_close(F.local_response_norm(x, **numbers), naive.local_response_norm(to_numpy(x), **numbers))


@given(generators(), SHAPES, numbers)
def test_the_gradient_agrees_with_central_differences(rng, shape, numbers):
    x = scattered(rng, shape)
    check_gradient(
        lambda x: F.local_response_norm(x, **numbers),
        lambda grad: F.local_response_norm_gradient(grad, x, **numbers), x, rng,
    )  # fmt: skip


def test_one_pixel_by_hand():
    x = to_device(np.array([3.0, 1.0, 2.0]).reshape(3, 1, 1, 1))
    y = F.local_response_norm(x, 3, alpha=3.0, beta=1.0, k=0.0)  # alpha / size = 1: the sum of squares itself
    assert_close(y.ravel(), to_device(np.array([3 / (9 + 1), 1 / (9 + 1 + 4), 2 / (1 + 4)])))


def test_channels_beyond_half_the_size_do_not_matter():
    x = np.ones((7, 1, 1, 1))
    changed = x.copy()
    changed[6] = 100
    y, other = (to_numpy(F.local_response_norm(to_device(a), 5, 1.0, 0.75, 1.0)) for a in (x, changed))
    assert_equal(y[:4], other[:4])
    assert (y[4:] != other[4:]).all()


def test_alpha_zero_and_k_one_change_nothing():
    x = whole(np.random.default_rng(0), (4, 3, 3, 2))
    assert_equal(F.local_response_norm(x, 5, 0.0, 0.75, 1.0), x)


def test_vectors_are_normalised_too():
    x = whole(np.random.default_rng(0), (6, 1, 1, 4))
    y = F.local_response_norm(x, 3, 0.5, 0.75, 1.0)
    assert_equal(F.local_response_norm(x.reshape(6, 4), 3, 0.5, 0.75, 1.0), y.reshape(6, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept_up_and_down(dtype):
    x = whole(np.random.default_rng(0), (4, 3, 3, 2)).astype(dtype)
    assert F.local_response_norm(x, 3, 0.5, 0.75, 1.0).dtype == dtype
    assert F.local_response_norm_gradient(x, x, 3, 0.5, 0.75, 1.0).dtype == dtype


@given(generators(), SHAPES, numbers)
def test_arguments_are_not_changed(rng, shape, numbers):
    x, grad = whole(rng, shape), whole(rng, shape)
    before = x.copy(), grad.copy()
    F.local_response_norm(x, **numbers)
    F.local_response_norm_gradient(grad, x, **numbers)
    assert_equal(x, before[0])
    assert_equal(grad, before[1])


@pytest.mark.parametrize("size", [0, -1, 2, 4])
def test_a_size_that_has_no_middle_is_refused(size):
    with pytest.raises(ValueError, match=rf"local_response_norm: size is {size}; .*positive odd"):
        F.local_response_norm(to_device(np.ones((3, 2, 2, 1))), size, 1.0, 0.75, 1.0)
