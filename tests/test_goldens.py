"""Projections of AlexNet's relu1 … relu5 equal what Captum gave when goldens/alexnet_patches.npz was made.

NumPy alone is needed here; goldens/make_alexnet_patches.py says what is in the file and how it came about.
"""

import functools

import numpy as np
import pytest
from goldens.make_alexnet_patches import FILE, LAST, RULES, WINDOWS, recipe, thinned

from minideconv import project, project_patches, to_numpy

LAYERS = tuple(WINDOWS)
TOLERANCE = {"float32": 1e-4, "float64": 2e-7}  # of a picture's largest value; the file itself is rounded to float32


@functools.cache
def golden():
    with np.load(FILE, allow_pickle=False) as archive:
        return dict(archive)


@functools.cache
def alexnet(dtype):
    """The net of the recipe and its trace."""
    net, images = recipe(np.dtype(dtype))
    return net, net.forward(images, until="relu5")


def relative_errors(pictures, expected):
    """The largest difference of each picture over its largest expected value, (..., B) -> (B,); 0/0 is 0."""
    axes = tuple(range(expected.ndim - 1))
    differences, peaks = abs(pictures - expected).max(axis=axes), abs(expected).max(axis=axes)
    return np.where(differences == 0, 0, differences / np.maximum(peaks, 1e-30))


def windows_of(plane, layer, row, column):
    """A whole plane (3, H, W) cropped to one unit's window, zero outside the image, and what the window leaves out."""
    size, stride, start = WINDOWS[layer]
    top, left = start + row * stride + size, start + column * stride + size  # in the padded plane
    wide = np.pad(plane, ((0, 0), (size, size), (size, size)))
    window = wide[:, top : top + size, left : left + size].copy()
    wide[:, top : top + size, left : left + size] = 0
    return window, wide


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layer", LAYERS)
def test_activations_equal_torchs(layer, dtype):
    image, channel, row, column = golden()[f"{layer}.units"].T
    activation = to_numpy(alexnet(dtype)[1][layer])[channel, row, column, image]
    expected = golden()[f"{layer}.activation"]
    assert abs(activation - expected).max() < TOLERANCE[dtype] * expected.max()
    assert activation[-1] == 0  # the unit that is not active
    assert (activation[:-1] > 0).all()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_patches_equal_captums(layer, rule, dtype):
    image, channel, row, column = golden()[f"{layer}.units"].T
    net, trace = alexnet(dtype)
    patches = project_patches(
        net, trace, layer, image=image, channel=channel, row=row, column=column, value=1.0, rule=rule
    )
    size, stride, start = WINDOWS[layer]
    assert patches.pixels.shape == (3, size, size, len(image))
    assert patches.pixels.dtype == dtype
    assert (patches.top == start + stride * row).all()
    assert (patches.left == start + stride * column).all()
    assert relative_errors(thinned(patches.pixels, layer), golden()[f"{layer}.{rule}"]).max() < TOLERANCE[dtype]
    sums = abs(patches.pixels).sum(axis=(0, 1, 2))
    assert relative_errors(sums[None], golden()[f"{layer}.{rule}.sum"][None]).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_planes_equal_captums(layer, rule):
    net, trace = alexnet("float32")
    for unit, (image, channel, row, column) in enumerate(golden()[f"{layer}.units"].tolist()):
        plane = project(net, trace, layer, channel, (row, column), image=image, rule=rule, value=1.0).pixels
        window, outside = windows_of(plane, layer, row, column)
        expected = golden()[f"{layer}.{rule}"][..., unit]
        assert relative_errors(thinned(window, layer)[..., None], expected[..., None]) < TOLERANCE["float32"]
        assert not outside.any()


@pytest.mark.parametrize("layer", LAYERS)
def test_a_patch_is_seeded_with_the_activation_unless_a_value_is_given(layer):
    image, channel, row, column = golden()[f"{layer}.units"].T
    patches = project_patches(*alexnet("float32"), layer, image=image, channel=channel, row=row, column=column)
    expected = golden()[f"{layer}.deconvnet"] * golden()[f"{layer}.activation"]
    assert relative_errors(thinned(patches.pixels, layer), expected).max() < TOLERANCE["float32"]


def test_the_goldens_cover_what_is_easy_to_get_wrong():
    """A strong unit, two corners whose windows hang over the image, and a unit that only the deconvnet lets through."""
    for layer in LAYERS:
        units = golden()[f"{layer}.units"]
        assert units[2:4, 2:].tolist() == [[0, 0], [LAST[layer], LAST[layer]]]
        assert abs(golden()[f"{layer}.deconvnet"]).max(axis=(0, 1, 2)).all()
        for rule in ("gradient", "guided"):
            assert abs(golden()[f"{layer}.{rule}"]).max(axis=(0, 1, 2)).astype(bool).tolist() == [True] * 4 + [False]
        assert not golden()[f"{layer}.deconvnet"][:, 0, 0, 2].any()
    assert FILE.stat().st_size < 300_000
