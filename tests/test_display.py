"""Signed pixels as pictures: many at once are as one by one, smaller pictures are means, notebooks get whole images."""

import io

import numpy as np
import pytest
from draw import generators
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small import SIZE, colour_net, levels

from minideconv import Atlas, project, project_patches, top_activations
from minideconv.backend import to_device, to_numpy
from minideconv.display import MID_GREY, _scales, display, display_many, display_scale, mosaic, shrink
from minideconv.encoding import png
from minideconv.experiments.feature_visualization import projected_top
from minideconv.experiments.scanning import TopActivations, scan


def opened(data):
    """The pixels of an encoded picture."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@st.composite
def projections(draw, dtypes=(np.float32, np.float64)):
    """Signed (C, H, W, B): dense, sparse, integer-valued, dead maps among them, of any strength."""
    rng, channels = draw(generators()), draw(st.sampled_from([1, 3]))
    shape = (channels, *(draw(st.integers(1, 12)) for _ in "HWB"))
    pixels = rng.standard_normal(shape) * 10.0 ** draw(st.integers(-6, 6))
    if draw(st.booleans()):
        pixels = rng.integers(-3, 4, shape).astype(float)
    pixels *= rng.random(shape) < draw(st.sampled_from([0.02, 0.3, 1.0]))
    pixels[..., rng.random(shape[-1]) < 0.2] = 0  # dead maps
    return pixels.astype(draw(st.sampled_from(dtypes)))


# ------------------------------------------------------------------------------------------------------- many at once


@given(projections(), st.sampled_from(["RGB", "BGR"]))
def test_many_pictures_at_once_are_drawn_as_one_by_one(pixels, order):
    order = order if len(pixels) == 3 else "L"
    many = display_many(to_device(pixels), order)
    alone = [display(pixels[..., n], channels=order) for n in range(pixels.shape[-1])]
    assert many.dtype == np.uint8 and many.flags.c_contiguous
    assert (many == alone).all()


@given(projections([np.float64]))
def test_the_scale_of_each_picture_is_that_of_display_scale(pixels):
    found = to_numpy(_scales(to_device(pixels)))
    wanted = [display_scale(pixels[..., n]) for n in range(pixels.shape[-1])]
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_the_scale_counts_pixels_that_are_not_zero_alone():
    pixels = np.zeros((1, 40, 50, 2))
    pixels.reshape(-1, 2)[: 2 * 201, 1] = np.repeat(np.arange(201), 2) + 1  # the 99.5th percentile lies at 200
    assert _scales(pixels).tolist() == [0.0, display_scale(pixels[..., 1])]
    assert display_scale(pixels[..., 1]) == pytest.approx(200, abs=0.01)


def test_a_dead_map_is_grey_beside_others():
    pixels = np.zeros((3, 2, 2, 3), np.float32)
    pixels[..., 1] = 5
    drawn = display_many(pixels)
    assert (drawn[[0, 2]] == MID_GREY).all() and (drawn[1] == 243).all()


def test_many_pictures_are_not_changed_by_drawing_them():
    pixels = np.random.default_rng(0).standard_normal((3, 4, 5, 2))
    before = pixels.copy()
    display_many(pixels)
    shrink(pixels, 2, 2)
    assert (pixels == before).all()


# ----------------------------------------------------------------------------------------------------------- smaller


def area_mean(picture, height, width):
    """Each new pixel is the mean over its rectangle, in plain loops: (H, W) -> (height, width)."""
    rows, columns = picture.shape
    small = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        top, bottom, left, right = (
            y * rows / height,
            (y + 1) * rows / height,
            x * columns / width,
            (x + 1) * columns / width,
        )
        for row, column in np.ndindex(rows, columns):
            tall = max(min(row + 1, bottom) - max(row, top), 0)
            wide = max(min(column + 1, right) - max(column, left), 0)
            small[y, x] += picture[row, column] * tall * wide / ((bottom - top) * (right - left))
    return small


@given(projections([np.float64]), st.integers(1, 9), st.integers(1, 9))
def test_a_smaller_picture_is_the_mean_of_what_each_pixel_covers(pixels, height, width):
    channels, rows, columns, count = pixels.shape
    small = to_numpy(shrink(to_device(pixels), height, width))
    assert small.shape == (channels, min(height, rows), min(width, columns), count)
    for c, n in np.ndindex(channels, count):
        wanted = area_mean(pixels[c, :, :, n], *small.shape[1:3])
        np.testing.assert_allclose(small[c, :, :, n], wanted, rtol=0, atol=1e-12 * max(np.abs(pixels).max(), 1e-300))


@given(projections([np.float64]), st.integers(1, 9), st.integers(1, 9))
def test_a_smaller_picture_keeps_the_mean(pixels, height, width):
    small = shrink(pixels, height, width)
    scale = np.abs(pixels).max() + 1e-300
    np.testing.assert_allclose(small.mean(axis=(1, 2)), pixels.mean(axis=(1, 2)), rtol=0, atol=1e-12 * scale)


def test_a_picture_that_is_not_larger_stays_as_it_is():
    pixels = np.random.default_rng(0).standard_normal((3, 4, 6, 2)).astype(np.float32)
    for height, width in ((4, 6), (9, 6), (4, 100), (50, 60)):
        small = shrink(pixels, height, width)
        assert small.dtype == np.float32 and (small == pixels).all()


def test_rows_and_columns_shrink_by_themselves():
    pixels = np.arange(24.0).reshape(1, 4, 6, 1)
    assert shrink(pixels, 2, 6)[0, :, :, 0].tolist() == pixels[0, :, :, 0].reshape(2, 2, 6).mean(axis=1).tolist()
    assert shrink(pixels, 4, 3)[0, :, :, 0].tolist() == pixels[0, :, :, 0].reshape(4, 3, 2).mean(axis=2).tolist()


def test_a_mosaic_goes_row_by_row_and_fills_up_with_grey():
    tiles = [np.full((2, 3, 3), n, np.uint8) for n in range(5)]
    whole = mosaic(tiles, 2)
    assert whole.shape == (6, 6, 3)
    assert whole[::2, ::3, 0].tolist() == [[0, 1], [2, 3], [4, MID_GREY]]
    assert mosaic(tiles[:1], 2, 2)[::2, ::3, 0].tolist() == [[0, MID_GREY], [MID_GREY, MID_GREY]]


# --------------------------------------------------------------------------------------------------------- notebooks


@pytest.fixture(scope="module")
def seen():
    """A net, photos, and their trace."""
    net, photos = colour_net("BGR"), levels(6)
    return net, photos, net.forward(net.preprocessing.scaled(photos))


def test_a_projection_shows_itself(seen):
    net, _, trace = seen
    shown = project(net, trace, "relu2", 0)
    assert shown.pixels.any() and (opened(shown._repr_png_()) == display(shown.pixels, channels="BGR")).all()


def test_patches_show_the_first_hundred_side_by_side(seen):
    net, _, trace = seen
    many = project_patches(
        net, trace, "relu1", image=0, channel=0, row=np.arange(144) // 12, column=np.arange(144) % 12
    )
    picture = opened(many._repr_png_())
    assert picture.shape == (30, 30, 3)
    assert (picture[3:6, 6:9] == display(many.pixels[..., 12], channels="BGR")).all()


def test_top_projections_show_projections_above_patches(seen):
    net, photos, _ = seen
    top = top_activations(net, photos, "relu2", 3)
    shown = projected_top(net, photos, "relu2", [1, 4], top)
    picture = opened(shown._repr_png_())
    assert picture.shape == (4 * 8, 3 * 8, 3)
    assert (picture[16:24, 8:16] == display(shown.pixels[1, 1], channels="BGR")).all()
    assert (picture[24:32, 16:24] == shown.patches[1, 2]).all()


def test_what_has_no_colours_shows_no_picture(seen):
    net, photos, trace = seen
    shown = projected_top(net, photos, "relu2", [1], top_activations(net, photos, "relu2", 3))
    one, many = (
        project(net, trace, "relu2", 0),
        project_patches(net, trace, "relu2", image=0, channel=0, row=0, column=0),
    )
    assert [each._replace(channels=None)._repr_png_() for each in (shown, one, many)] == [None] * 3


def test_top_activations_show_a_table():
    field = np.array([[4, 7, -1]])
    table = TopActivations(field, field + 1, field + 2, np.array([[98.25, 3.5, np.nan]]))._repr_html_()
    assert "<td>98.25 in photo 4 at 5, 6</td><td>3.5 in photo 7 at 8, 9</td></tr>" in table and "nan" not in table
    many = TopActivations(*(np.repeat(part, 30, axis=0) for part in (field, field, field, field * 1.0)))._repr_html_()
    assert "20 of 30 maps" in many and many.count("<tr>") == 21


def test_an_atlas_shows_its_first_screen_and_names_cannot_break_out(tmp_path):
    folder = tmp_path / 'a"><script>'
    (folder / "faces").mkdir(parents=True)
    (folder / "faces" / "front.jpg").write_bytes(png(np.zeros((*SIZE, 3), np.uint8)))
    found = scan(colour_net(), levels(2), ["relu1"])
    shown = Atlas(folder, found._replace(layers={"</a><script>": found.layers["relu1"]}))._repr_html_()
    assert "<script>" not in shown and shown.count("<a ") == shown.count("</a>") == 1
    assert "&lt;/a&gt;&lt;script&gt;" in shown and "data:image/jpeg;base64," in shown and "2 photos" in shown
