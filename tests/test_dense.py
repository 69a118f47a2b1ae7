"""Fully connected layers are W x + b and its adjoints; softmax and cross-entropy are their definitions."""

import naive
import numpy as np
import pytest
from draw import assert_close, assert_equal, check_gradient, generators, inner, scattered, whole
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.backend import to_device, to_numpy

LENGTHS = st.integers(1, 6)


@st.composite
def dense(draw):
    """x (D, N), weight (O, D), bias (O,) of small integers, and the generator they came from."""
    rng, inputs, outputs, images = draw(generators()), draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)
    return whole(rng, (inputs, images)), whole(rng, (outputs, inputs)), whole(rng, outputs), rng


@st.composite
def classified(draw):
    """Logits (classes, N), integer labels (N,), and the generator they came from."""
    rng, classes, images = draw(generators()), draw(st.integers(1, 7)), draw(LENGTHS)
    return whole(rng, (classes, images)), to_device(rng.integers(0, classes, images)), rng


# ---------------------------------------------------------------------------------------------------- W x + b


@given(dense())
def test_linear_is_w_x_plus_b_for_every_column(case):
    x, weight, bias = (to_numpy(a) for a in case[:3])
    expected = np.zeros((len(weight), x.shape[1]))
    for o, n in np.ndindex(expected.shape):
        expected[o, n] = bias[o] + sum(weight[o, d] * x[d, n] for d in range(len(x)))
    assert_equal(F.linear(*case[:3]), expected)


def test_linear_by_hand():
    weight, bias = to_device(np.array([[1.0, 2.0], [0.0, -1.0]])), to_device(np.array([10.0, 20.0]))
    x = to_device(np.array([[1.0], [3.0]]))
    assert to_numpy(F.linear(x, weight, bias)).tolist() == [[17], [17]]
    assert to_numpy(F.linear(x, weight)).tolist() == [[7], [-3]]


@given(dense())
def test_linear_transpose_is_the_adjoint_of_linear(case):
    x, weight, _, rng = case
    signal = whole(rng, (len(weight), x.shape[1]))
    assert inner(F.linear(x, weight), signal) == inner(x, F.linear_transpose(signal, weight))


@given(dense())
def test_the_weight_gradient_is_the_adjoint_of_linear_as_a_function_of_its_weight(case):
    x, weight, _, rng = case
    grad = whole(rng, (len(weight), x.shape[1]))
    assert inner(F.linear(x, weight), grad) == inner(weight, F.linear_weight_gradient(x, grad))


# ---------------------------------------------------------------------------------------------------- softmax


@given(classified())
def test_softmax_is_the_naive_loop(case):
    assert_close(F.softmax(case[0]), naive.softmax(to_numpy(case[0])))


@given(classified(), st.sampled_from([1, 1e4]))
def test_probabilities_of_every_image_sum_to_one_even_for_huge_logits(case, scale):
    p = to_numpy(F.softmax(case[0] * scale))
    assert np.isfinite(p).all() and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=0), 1, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_two_huge_logits_by_hand(dtype):
    p = F.softmax(to_device(np.array([[1e4, -1e4], [-1e4, -1e4]], dtype=dtype)))
    assert p.dtype == dtype
    assert to_numpy(p).tolist() == [[1, 0.5], [0, 0.5]]


@given(classified(), st.integers(-1000, 1000))
def test_a_constant_added_to_all_logits_changes_nothing(case, constant):
    assert_equal(F.softmax(case[0] + constant), F.softmax(case[0]))


# ---------------------------------------------------------------------------------------------------- cross-entropy


@given(classified())
def test_cross_entropy_is_the_naive_loop(case):
    logits, labels, _ = case
    expected = naive.cross_entropy(to_numpy(logits), to_numpy(labels))
    assert float(F.cross_entropy(logits, labels)[0]) == pytest.approx(expected, abs=1e-12)


@given(classified())
def test_its_gradient_agrees_with_central_differences(case):
    logits, labels, rng = case
    logits = logits + 0.1 * scattered(rng, logits.shape)
    slope = F.cross_entropy(logits, labels)[1]
    check_gradient(
        lambda z: F.cross_entropy(z, labels)[0].reshape(1), lambda grad: grad * slope, logits, rng, tolerance=1e-6
    )


@given(classified())
def test_its_gradient_sums_to_zero_for_every_image(case):
    slope = to_numpy(F.cross_entropy(*case[:2])[1])
    np.testing.assert_allclose(slope.sum(axis=0), 0, atol=1e-12)


def test_equal_logits_lose_the_logarithm_of_the_number_of_classes():
    loss, slope = F.cross_entropy(to_device(np.zeros((4, 2))), to_device(np.array([0, 3])))
    assert float(loss) == pytest.approx(np.log(4))
    assert to_numpy(slope).tolist() == [[-0.375, 0.125], [0.125, 0.125], [0.125, 0.125], [0.125, -0.375]]


def test_a_hopeless_image_loses_its_logit_and_nothing_overflows():
    loss, slope = F.cross_entropy(to_device(np.array([[1e4], [-1e4]])), to_device(np.array([1])))
    assert float(loss) == 2e4
    assert to_numpy(slope).tolist() == [[1], [-1]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_keeps_the_dtype(dtype):
    loss, slope = F.cross_entropy(to_device(np.zeros((4, 2), dtype)), to_device(np.array([0, 3])))
    assert (loss.dtype, slope.dtype) == (dtype, dtype)


# ---------------------------------------------------------------------------------------------------- errors


def test_linear_refuses_columns_of_another_length_and_names_both_shapes():
    with pytest.raises(ValueError, match=r"linear: x has shape \(3, 2\), weight \(O, D\) = \(5, 4\); x must be"):
        F.linear(to_device(np.ones((3, 2))), to_device(np.ones((5, 4))))


def test_linear_refuses_maps():
    with pytest.raises(ValueError, match=r"linear: x has shape \(4, 1, 1, 2\)"):
        F.linear(to_device(np.ones((4, 1, 1, 2))), to_device(np.ones((5, 4))))


def test_cross_entropy_wants_one_label_an_image():
    with pytest.raises(ValueError, match=r"cross_entropy: labels have shape \(3,\); expected \(N,\) = \(2,\)"):
        F.cross_entropy(to_device(np.zeros((4, 2))), to_device(np.array([0, 1, 2])))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(ValueError, match="a label is not one of the 3 classes, 0 … 2"):
        F.cross_entropy(to_device(np.zeros((3, 2))), to_device(np.array([0, label])))


def test_a_dense_bias_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"linear: bias has shape \(1,\); expected \(O,\) = \(3,\)"):
        F.linear(to_device(np.zeros((2, 1))), to_device(np.zeros((3, 2))), to_device(np.zeros(1)))
