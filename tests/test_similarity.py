"""The numbers beside a control: Spearman's correlation of what lies in the photo, whatever the contrast; SSIM."""

import warnings

import naive
import numpy as np
import pytest
from draw import generators
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from minideconv import Patches
from minideconv.experiments.similarity import (
    GRID,
    rank_correlation,
    structural_similarity,
    window_similarity,
    within_photo,
)

pytestmark = pytest.mark.host  # compares results on the host


def spearman(one, other):
    """SciPy's answer, NaN where one of the two is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spearmanr(one, other).statistic if len(one) > 1 else np.nan


@st.composite
def columns(draw):
    """Two arrays (n, B) with many ties or none, and which rows of each column count: (n, B) bool."""
    rng, shape = draw(generators()), (draw(st.integers(1, 30)), draw(st.integers(1, 5)))
    kinds = (lambda: rng.integers(-2, 3, shape).astype(float), lambda: rng.standard_normal(shape))
    pair = [draw(st.sampled_from(kinds))() for _ in "12"]
    return *pair, rng.random(shape) < draw(st.sampled_from([0.3, 0.8, 1.0]))


@given(columns())
def test_each_column_is_correlated_as_scipy_does_it_over_the_rows_that_count(drawn):
    one, other, inside = drawn
    found = rank_correlation(one, other, inside)
    wanted = [spearman(one[rows, n], other[rows, n]) for n, rows in enumerate(inside.T)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@given(columns())
def test_what_does_not_count_changes_nothing(drawn):
    one, other, inside = drawn
    found = rank_correlation(one, other, inside)
    changed = (np.where(inside, values, junk) for values, junk in ((one, 1e9), (other, -1e9)))
    np.testing.assert_array_equal(rank_correlation(*changed, inside), found)


def patches(pixels, top=0, left=0):
    count = pixels.shape[-1]
    return Patches(pixels, np.full(count, top), np.full(count, left), np.ones(count))


def windows(seed=0, shape=(3, 7, 9, 4)):
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_same_is_1_its_negative_minus_1_and_what_is_flat_has_no_number():
    pixels = windows()
    flat = np.zeros_like(pixels)
    for other, wanted in ((pixels, 1), (-pixels, -1), (flat, np.nan)):
        found = window_similarity(patches(pixels), patches(other), (20, 20))
        np.testing.assert_allclose(found, [wanted] * 4, rtol=0, atol=1e-12)
    assert np.isnan(window_similarity(patches(flat), patches(flat), (20, 20))).all()


def test_scaling_a_picture_does_not_matter():
    one, other = windows(), windows(1)
    plain = window_similarity(patches(one), patches(other), (20, 20))
    assert (window_similarity(patches(np.sinh(one) * 100), patches(other * 1e-9), (20, 20)) == plain).all()
    assert window_similarity(patches(other), patches(one), (20, 20)) == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize(
    ("top", "left", "rows", "across"),
    [(0, 0, slice(None), slice(None)), (-3, 0, slice(3, None), slice(None)), (15, -2, slice(5), slice(2, None)),
     (18, 16, slice(2), slice(4))],
)  # fmt: skip
def test_what_hangs_over_the_photo_is_left_out(top, left, rows, across):
    one, other = windows(), windows(1)
    found = window_similarity(patches(one, top, left), patches(other, top, left), (20, 20))
    wanted = [spearman(one[:, rows, across, n].ravel(), other[:, rows, across, n].ravel()) for n in range(4)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_each_window_has_a_place_of_its_own():
    one, other = windows(), windows(1)
    top = np.array([-3, 0, 2, 17])
    some = Patches(one, top, np.zeros(4, int), np.ones(4))
    found = window_similarity(some, some._replace(pixels=other), (20, 20))
    alone = [
        window_similarity(patches(one[..., [n]], top[n]), patches(other[..., [n]], top[n]), (20, 20))[0]
        for n in range(4)
    ]
    np.testing.assert_array_equal(found, alone)


def test_a_window_wholly_outside_has_no_number():
    assert np.isnan(window_similarity(patches(windows(), -7), patches(windows(1), -7), (20, 20))).all()


def test_large_windows_are_compared_at_every_few_pixels():
    one, other = windows(shape=(3, 3 * GRID + 1, 9, 2)), windows(1, (3, 3 * GRID + 1, 9, 2))
    found = window_similarity(patches(one), patches(other), (100, 100))
    wanted = [spearman(one[:, ::3, :, n].ravel(), other[:, ::3, :, n].ravel()) for n in range(2)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------ SSIM


@st.composite
def pictures(draw):
    """Two arrays (C, h, w, B) of levels, some flat, and which pixels count: (h, w, B) bool."""
    rng, shape = draw(generators()), [draw(st.integers(1, most)) for most in (3, 14, 13, 3)]
    one = rng.integers(0, 256, shape)
    kinds = (lambda: rng.integers(0, 256, shape), lambda: np.full(shape, 128), lambda: 255 - one, lambda: one // 2)
    other = draw(st.sampled_from(kinds))()
    return one, other, rng.random(shape[1:]) < draw(st.sampled_from([0.4, 1.0]))


@given(pictures())
def test_ssim_is_as_wang_et_al_define_it(drawn):
    one, other, inside = drawn
    found = structural_similarity(one, other, inside)
    wanted = [naive.structural_similarity(one[..., n], other[..., n], inside[..., n]) for n in range(one.shape[-1])]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@given(pictures())
def test_ssim_is_symmetric_at_most_1_and_1_for_the_same(drawn):
    one, other, inside = drawn
    there = inside.any(axis=(0, 1))
    found = structural_similarity(one, other, inside)
    np.testing.assert_allclose(structural_similarity(other, one, inside), found, atol=1e-12)
    np.testing.assert_allclose(structural_similarity(one, one, inside)[there], 1, atol=1e-12)
    assert (np.abs(found[there]) <= 1 + 1e-12).all() and np.isnan(found[~there]).all()


@given(pictures())
def test_what_is_not_inside_does_not_change_ssim(drawn):
    one, other, inside = drawn
    changed = (np.where(inside, values, junk) for values, junk in ((one, 0), (other, 255)))
    np.testing.assert_array_equal(structural_similarity(*changed, inside), structural_similarity(one, other, inside))


def test_ssim_tells_a_picture_with_little_noise_from_its_negative():
    one = np.random.default_rng(0).integers(60, 196, (3, 20, 20, 1))
    noisy = one + np.random.default_rng(1).integers(-5, 6, one.shape)
    inside = np.ones((20, 20, 1), bool)
    near, far = (structural_similarity(one, other, inside)[0] for other in (noisy, 255 - one))
    assert near > 0.95 and far < -0.5


def test_a_window_hangs_over_where_its_corner_says():
    found = within_photo(patches(np.zeros((1, 4, 5, 1)), top=-1, left=7), (3, 10))
    wanted = np.zeros((4, 5), bool)
    wanted[1:4, :3] = True
    np.testing.assert_array_equal(found[..., 0], wanted)
