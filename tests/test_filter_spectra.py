"""The spectra of filters: equal to the DFT's definition, and right on filters whose frequencies are known."""

import numpy as np
import pytest
from draw import generators
from hypothesis import given
from hypothesis import strategies as st

from minideconv.experiments.filter_spectra import (
    SIZE,
    band_energy,
    energy_beyond,
    power_spectra,
    radial_energy,
    share,
)


@st.composite
def filters(draw):
    shape = [draw(st.integers(1, most)) for most in (3, 3, 11, 11)]
    return draw(generators()).standard_normal(shape)


def grating(vertical, horizontal, size=64, phase=0.3):
    """(1, 1, size, size): a wave of so many cycles a pixel downwards and across."""
    y, x = np.mgrid[:size, :size]
    return np.cos(2 * np.pi * (vertical * y + horizontal * x) + phase)[None, None]


def gabor(frequency, size=11, width=2.5):
    """(1, 1, size, size): a horizontal wave in a Gaussian."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return (np.cos(2 * np.pi * frequency * x) * np.exp(-(x**2 + y**2) / (2 * width**2)))[None, None]


def test_a_spectrum_is_the_dft_as_defined():
    weight, size = np.random.default_rng(0).standard_normal((2, 3, 4, 5)), 9
    wanted = np.zeros((2, size, size))
    for o in range(2):
        for v in range(size):
            for u in range(size):
                for c in range(3):
                    total = sum(
                        weight[o, c, y, x] * np.exp(-2j * np.pi * (v * y + u * x) / size)
                        for y in range(4)
                        for x in range(5)
                    )
                    wanted[o, v, u] += abs(total) ** 2
    np.testing.assert_allclose(power_spectra(weight, size), wanted, rtol=1e-10)


@given(filters())
def test_the_energy_of_a_spectrum_is_that_of_the_filter(weight):
    energy = power_spectra(weight).sum(axis=(1, 2)) / SIZE**2
    np.testing.assert_allclose(energy, (weight**2).sum(axis=(1, 2, 3)), rtol=1e-12)


@given(filters(), st.integers(1, 4), st.floats(0.1, 9))
def test_sign_size_and_place_of_a_filter_change_no_share(weight, stride, factor):
    spectra = power_spectra(weight)
    moved = np.pad(weight, ((0, 0), (0, 0), (3, 0), (0, 5)))
    for other in (-weight, factor * weight, moved, weight[:, :, ::-1, ::-1]):
        others = power_spectra(other)
        for measure in (lambda s: energy_beyond(s, (stride, stride)), band_energy):
            np.testing.assert_allclose(measure(others), measure(spectra), atol=1e-12)


@given(filters(), st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_turning_filter_and_stride_together_changes_nothing(weight, stride):
    turned = power_spectra(weight.transpose(0, 1, 3, 2))
    found = energy_beyond(power_spectra(weight), stride)
    np.testing.assert_allclose(energy_beyond(turned, stride[::-1]), found, atol=1e-12)


@pytest.mark.parametrize(
    ("wave", "stride", "beyond", "band"),
    [
        ((0, 4 / 64), 4, 0, 0),
        ((0, 8 / 64), 4, 0, 1),  # exactly at the limit, which a stride of 4 still carries
        ((0, 9 / 64), 4, 1, 1),
        ((9 / 64, 0), 4, 1, 1),
        ((7 / 64, 7 / 64), 4, 0, 1),  # beyond 1/8 in radius, but not along either axis
        ((25 / 64, 0), 2, 1, 2),
        ((25 / 64, 0), 1, 0, 2),
        ((32 / 64, 32 / 64), 1, 0, 2),
    ],
)
def test_a_pure_wave_has_all_its_energy_on_one_side_of_the_limit_and_in_one_band(wave, stride, beyond, band):
    spectra = power_spectra(grating(*wave))
    assert energy_beyond(spectra, (stride, stride))[0] == pytest.approx(beyond, abs=1e-12)
    np.testing.assert_allclose(band_energy(spectra)[0], np.eye(3)[band], atol=1e-12)


def test_each_axis_has_the_limit_of_its_own_stride():
    down, across = power_spectra(grating(9 / 64, 0)), power_spectra(grating(0, 9 / 64))
    assert [energy_beyond(one, (4, 2))[0] for one in (down, across)] == pytest.approx([1, 0], abs=1e-12)


def test_a_delta_has_every_frequency_alike():
    delta = np.zeros((1, 3, 11, 11))
    delta[0, 1, 5, 2] = -3
    spectra = power_spectra(delta)
    np.testing.assert_allclose(spectra, 9, rtol=1e-12)
    carried = 17  # of the 64 frequencies 0, ±1/64 … those up to 8/64
    assert energy_beyond(spectra, (4, 4))[0] == pytest.approx(1 - (carried / 64) ** 2, rel=1e-12)
    np.testing.assert_allclose(radial_energy(spectra)[1], 1, rtol=1e-12)


def test_a_constant_is_low_and_its_mean_is_not_removed():
    spectra = power_spectra(np.full((1, 3, 11, 11), 0.7))
    assert spectra[0, 0, 0] == pytest.approx(3 * (121 * 0.7) ** 2)
    assert spectra.argmax() == 0 and energy_beyond(spectra, (4, 4))[0] < 0.15 and band_energy(spectra)[0, 0] > 0.8


def test_a_gabor_above_the_limit_of_its_stride_aliases_there_and_not_at_half_the_stride():
    spectra = power_spectra(gabor(0.2))
    assert energy_beyond(spectra, (4, 4))[0] > 0.9 and energy_beyond(spectra, (2, 2))[0] < 0.2
    assert energy_beyond(power_spectra(gabor(0.05)), (4, 4))[0] < 0.3


def test_a_filter_of_zeros_has_no_shares():
    spectra = power_spectra(np.zeros((2, 1, 3, 3)) + np.array([0, 1]).reshape(2, 1, 1, 1))
    assert np.isnan(energy_beyond(spectra, (4, 4))).tolist() == [True, False]
    assert np.isnan(band_energy(spectra)).all(axis=1).tolist() == [True, False]
    assert np.isfinite(radial_energy(spectra)[1]).all() and (radial_energy(spectra[:1])[1] == 0).all()


@given(filters())
def test_the_bands_are_everything(weight):
    np.testing.assert_allclose(band_energy(power_spectra(weight)).sum(axis=1), 1, rtol=1e-12)


def test_a_filter_larger_than_the_grid_is_not_cut():
    weight = np.random.default_rng(0).standard_normal((1, 1, 70, 3))
    spectra = power_spectra(weight)
    assert spectra.shape == (1, 70, 70) and spectra.sum() / 70**2 == pytest.approx((weight**2).sum())
    assert share(spectra, np.ones((70, 70), bool))[0] == 1
