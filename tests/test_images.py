"""Photos in: whatever a camera or a download hands over becomes upright 8-bit RGB, or one clear line.

Signed arrays out: the display rule. Not in the paper; the numbers of torchvision and Caffe are computed by hand here.
"""

import io
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageFile

from minideconv.display import display, display_scale
from minideconv.images import CAFFE, TORCHVISION, Preprocessing, load_photo, photo_name

pytestmark = pytest.mark.host  # photos are prepared on the host
quick = settings(deadline=None, derandomize=True, max_examples=60)

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14  # every pixel differs, H != W


def pixels(source):
    return np.asarray(load_photo(source))


def saved(image, path, **options):
    Image.fromarray(image).save(path, **options) if isinstance(image, np.ndarray) else image.save(path, **options)
    return path


def preprocessing(**changes):
    plain = {"resize": None, "crop": None, "channels": "RGB", "scale": 1, "mean": (0, 0, 0), "std": (1, 1, 1)}
    return Preprocessing(**(plain | changes))


def detailed_photo(height=48, width=64):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------------------------------------------- reading a photo

STORED = {  # EXIF orientation -> how the camera stores PICTURE: what row 0 and column 0 of the file show
    1: PICTURE,  # top, left
    2: PICTURE[:, ::-1],  # top, right
    3: PICTURE[::-1, ::-1],  # bottom, right
    4: PICTURE[::-1],  # bottom, left
    5: PICTURE.transpose(1, 0, 2),  # left, top
    6: PICTURE[:, ::-1].transpose(1, 0, 2),  # right, top
    7: PICTURE[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: PICTURE[::-1].transpose(1, 0, 2),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_a_photo_is_turned_as_its_exif_says(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(np.ascontiguousarray(STORED[orientation]), tmp_path / f"turned.{ending}", exif=exif)
    assert np.array_equal(pixels(path), PICTURE)
    with Image.open(path) as image:
        assert np.array_equal(pixels(image), PICTURE)
    assert np.array_equal(pixels(load_photo(path)), PICTURE)  # loading again turns nothing
    assert not load_photo(path).info


def test_unreadable_exif_leaves_the_pixels_as_they_are(tmp_path):
    path = saved(PICTURE, tmp_path / "odd.png", exif=b"Exif\x00\x00nonsense")
    assert np.array_equal(pixels(path), PICTURE)


def test_paths_images_and_arrays_give_the_same_pixels(tmp_path):
    path = saved(PICTURE, tmp_path / "photo.png")
    for source in (path, str(path), Image.fromarray(PICTURE), PICTURE, PICTURE[::-1][::-1]):
        assert load_photo(source).mode == "RGB"
        assert np.array_equal(pixels(source), PICTURE)


def test_a_given_image_and_array_are_not_changed():
    array = PICTURE.copy()
    image = Image.fromarray(array)
    load_photo(array).putpixel((0, 0), (255, 0, 0))
    load_photo(image).putpixel((0, 0), (255, 0, 0))
    assert np.array_equal(array, PICTURE)
    assert np.array_equal(np.asarray(image), PICTURE)


def test_grey_is_repeated_in_all_channels(tmp_path):
    grey = PICTURE[..., 0]
    for source in (grey, Image.fromarray(grey), saved(grey, tmp_path / "grey.png")):
        assert np.array_equal(pixels(source), np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path, ending):
    levels = np.array([[0, 128, 129, 257], [32768, 65280, 65407, 65535]], np.uint16)
    path = saved(levels, tmp_path / f"deep.{ending}")
    expected = [[0, 0, 1, 1], [128, 254, 255, 255]]  # 65407 / 257 = 254.502
    assert pixels(path)[..., 0].tolist() == expected
    assert pixels(Image.fromarray(levels.astype(np.int32)))[..., 0].tolist() == expected  # mode "I"


def test_levels_of_unknown_range_are_refused():
    with pytest.raises(ValueError, match="levels from 0 to 65536, beyond 16 bits"):
        load_photo(Image.fromarray(np.array([[0, 65536]], np.int32)))
    with pytest.raises(ValueError, match="floating-point pixels"):
        load_photo(Image.fromarray(np.zeros((2, 2), np.float32)))


def test_transparency_is_laid_over_white(tmp_path):
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    expected = [[200, 100, 0], [255, 255, 255], [244, 224, 204]]  # 51 / 255 = 0.2 of the colour, 0.8 of white
    assert pixels(Image.fromarray(rgba))[0].tolist() == expected
    assert pixels(saved(rgba, tmp_path / "alpha.png"))[0].tolist() == expected
    grey_alpha = Image.fromarray(rgba).convert("LA")
    assert pixels(grey_alpha)[0, 1].tolist() == [255, 255, 255]


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255], "RGB")
    assert image.mode == "P"
    assert pixels(saved(image, tmp_path / "palette.png"))[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    path = saved(image, tmp_path / "clear.png", transparency=1)
    assert pixels(path)[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    path = saved(image, tmp_path / "bytes.png", transparency=bytes([255, 255, 0]))
    assert pixels(path)[0].tolist() == [[255, 0, 0], [0, 255, 0], [255, 255, 255]]


def test_cmyk_and_one_bit_become_rgb(tmp_path):
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # magenta and yellow: red
    assert np.abs(pixels(saved(cmyk, tmp_path / "print.jpg"))[4, 4].astype(int) - [255, 0, 0]).max() <= 3
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert pixels(saved(bits, tmp_path / "fax.png"))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert pixels(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


# ------------------------------------------------------------------------------------------- photos that are refused


def encoded(**options):
    buffer = io.BytesIO()
    Image.fromarray(detailed_photo()).save(buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "progressive JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("tolerant", [False, True])
def test_a_file_cut_short_is_refused_and_never_half_read(tmp_path, monkeypatch, form, tolerant):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", tolerant)  # some programs switch this on for good
    options = {"progressive": True} if form.startswith("progressive") else {}
    whole, path = encoded(format=form.split()[-1], **options), tmp_path / "cut.jpg"
    path.write_bytes(whole)
    expected, refused = pixels(path), 0
    lengths = [0, 1, 10, len(whole) // 4, len(whole) // 2, 3 * len(whole) // 4, *range(len(whole) - 20, len(whole))]
    for length in lengths:
        path.write_bytes(whole[:length])
        try:
            assert np.array_equal(pixels(path), expected), f"half-read at {length} of {len(whole)} bytes"
        except ValueError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            refused += 1
    assert refused >= 6  # a few last bytes may hold no pixels
    assert ImageFile.LOAD_TRUNCATED_IMAGES is tolerant


@quick
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), st.sampled_from(
    ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))  # fmt: skip
def test_a_damaged_file_never_shows_the_inside_of_pillow(tmp_path_factory, changes, form):
    content = bytearray(encoded(format=form))
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.mktemp("damaged") / "photo"
    path.write_bytes(content)
    try:
        assert load_photo(path).mode == "RGB"
    except ValueError as error:
        assert str(error).startswith("load_photo: ")
        assert error.__cause__ is None
        assert error.__suppress_context__


def test_a_text_file_named_jpg_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("not a photo")
    with pytest.raises(ValueError, match=r"notes\.jpg is not an image Pillow can read; save it as JPEG or PNG"):
        load_photo(path)


def test_a_missing_file_a_folder_and_a_closed_image_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.jpg; check the spelling"):
        load_photo(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="is a folder; give the photos in it"):
        load_photo(tmp_path)
    image = Image.open(saved(PICTURE, tmp_path / "closed.png"))
    image.close()
    with pytest.raises(ValueError, match=r"load_photo: .*closed\.png"):
        load_photo(image)


def test_a_bomb_is_refused_and_a_merely_large_photo_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # Pillow warns above this, refuses above twice this
    large = saved(Image.new("L", (1500, 1000)), tmp_path / "large.png")
    bomb = saved(Image.new("L", (1500, 1500)), tmp_path / "bomb.png")
    assert load_photo(large).size == (1500, 1000)
    with pytest.raises(ValueError, match=r"bomb\.png has more than 2 million pixels; make it smaller first"):
        load_photo(bomb)


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((4, 4, 3)), "scale it to 0-255"),
        (np.zeros((4, 4, 3), np.int64), "scale it to 0-255"),
        (np.zeros((4, 4, 4), np.uint8), "drop the alpha channel"),
        (np.zeros((4, 4, 1), np.uint8), "drop the last axis"),
        (np.zeros((3, 4, 5), np.uint8), r"one photo is uint8 \(H, W, 3\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"one photo is uint8 \(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"one photo is uint8 \(H, W, 3\)"),
        (np.zeros(4, np.uint8), r"one photo is uint8 \(H, W, 3\)"),
    ],
)
def test_an_array_of_another_kind_is_refused_with_advice(array, advice):
    with pytest.raises(ValueError, match=advice):
        load_photo(array)


def test_what_is_no_photo_at_all_is_a_type_error():
    with pytest.raises(TypeError, match="give a path, a Pillow image or a uint8 array"):
        load_photo(7)


def test_warning_filters_are_left_as_they_were(tmp_path):
    before = list(warnings.filters)
    load_photo(saved(PICTURE, tmp_path / "photo.png"))
    assert warnings.filters == before


# ------------------------------------------------------------------------------------------------------ preprocessing


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (375, 500, (256, 341)),  # 256 * 500 / 375 = 341.33
        (500, 333, (384, 256)),  # 256 * 500 / 333 = 384.38
        (256, 300, (256, 300)),
        (100, 201, (256, 514)),  # 514.56 is cut, not rounded
        (600, 600, (256, 256)),
    ],
)
def test_the_short_side_is_resized_as_torchvision_does(height, width, expected):
    photo = np.zeros((height, width, 3), np.uint8)
    crop = preprocessing(resize=256).crop_photo(photo)
    assert (crop.height, crop.width) == expected


def test_an_exact_resize_distorts_as_caffe_does():
    crop = preprocessing(resize=(20, 30)).crop_photo(np.zeros((50, 40, 3), np.uint8))
    assert (crop.height, crop.width) == (20, 30)


def test_resizing_averages_over_all_pixels():
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, ::4] = 255  # one column in four; sampling only the nearest pixels would give 0 or 255
    shrunk = np.asarray(preprocessing(resize=16).crop_photo(photo)).astype(int)
    assert np.abs(shrunk[:, 2:-2] - 64).max() <= 1


@pytest.mark.parametrize(
    ("size", "crop", "start"),
    [(225, 224, 0), (227, 224, 2), (341, 224, 58), (383, 224, 80), (384, 224, 80), (256, 227, 14), (224, 224, 0)],
)  # halves go to the even neighbour: 0.5 -> 0, 1.5 -> 2, 58.5 -> 58, 79.5 -> 80, 14.5 -> 14
def test_the_crop_starts_where_torchvision_starts_it(size, crop, start):
    rows, columns = np.arange(size) % 256, np.arange(size + 1) % 256
    photo = np.stack(np.broadcast_arrays(rows[:, None], columns[None], 0), axis=-1).astype(np.uint8)
    cropped = np.asarray(preprocessing(crop=(crop, size)).crop_photo(photo))
    assert cropped.shape == (crop, size, 3)
    assert cropped[0, 0].tolist() == [start % 256, 0, 0]  # (size + 1 - size) / 2 = 0.5 -> 0


def test_torchvision_numbers():
    x = TORCHVISION(np.full((256, 256, 3), (255, 0, 51), np.uint8))
    assert x.shape == (3, 224, 224, 1)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert np.allclose(x[:, 0, 0, 0], expected, rtol=1e-6)


def test_caffe_numbers_are_blue_green_red():
    x = CAFFE(np.full((300, 400, 3), (10, 20, 30), np.uint8))
    assert x.shape == (3, 227, 227, 1)
    assert x[:, 0, 0, 0].tolist() == [30 - 104, 20 - 117, 10 - 123]


def test_a_photo_is_a_column_of_the_last_axis(tmp_path):
    batch = np.random.default_rng(1).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    x = preprocessing()(batch)
    assert np.array_equal(x, batch.transpose(3, 1, 2, 0))
    path = saved(batch[1], tmp_path / "one.png")
    mixed = preprocessing()([batch[0], path, Image.fromarray(batch[2]), str(path)])
    assert np.array_equal(mixed, x[..., [0, 1, 2, 1]])
    assert np.array_equal(preprocessing()(batch[3]), x[..., 3:])
    assert np.array_equal(preprocessing()(path), x[..., 1:2])


def test_a_grey_net_takes_grey_batches_and_colour_photos():
    grey = preprocessing(channels="L", mean=(0,), std=(1,))
    batch = np.random.default_rng(2).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    assert np.array_equal(grey(batch), batch.transpose(1, 2, 0)[None])
    red = np.full((5, 5, 3), (255, 0, 0), np.uint8)
    assert grey(red).tolist() == np.full((1, 5, 5, 1), 76).tolist()  # 0.299 * 255 = 76.2
    assert grey.crop_photo(red).mode == "L"


def test_photos_that_do_not_fit_are_refused(tmp_path):
    small = saved(np.zeros((20, 300, 3), np.uint8), tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"small\.png is 20 x 300 .* smaller than the crop of 224 x 224"):
        preprocessing(crop=224).crop_photo(small)
    with pytest.raises(ValueError, match="different sizes, 2 x 3 pixels and 3 x 2 pixels; set crop"):
        preprocessing()([PICTURE, PICTURE.transpose(1, 0, 2)])
    with pytest.raises(ValueError, match="no photos"):
        preprocessing()([])
    with pytest.raises(ValueError, match="strip of 1 x 5000 pixels; crop it first"):
        TORCHVISION(np.zeros((1, 5000, 3), np.uint8))
    with pytest.raises(ValueError, match=r"float64 array of shape \(4, 4, 3\)"):
        preprocessing()(np.zeros((2, 4, 4, 3)))


@st.composite
def preprocessings(draw):
    channels = draw(st.sampled_from(["RGB", "BGR", "L"]))
    number, positive = st.floats(-200, 200), st.floats(0.01, 100)
    size = st.none() | st.integers(1, 400) | st.tuples(st.integers(1, 400), st.integers(1, 400))
    return Preprocessing(
        resize=draw(size), crop=draw(size), channels=channels, scale=draw(st.sampled_from([1 / 255, 1.0])),
        mean=tuple(draw(number) for _ in channels), std=tuple(draw(positive) for _ in channels),
    )  # fmt: skip


@quick
@given(preprocessings(), arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=5)))
def test_restore_undoes_preprocessing(recipe, grey):
    photo = np.stack([grey, grey if recipe.channels == "L" else 255 - grey, grey], axis=-1)
    as_is = Preprocessing(**(recipe.to_dict() | {"resize": None, "crop": None}))
    restored = as_is.restore(as_is(photo)[..., 0])
    assert restored.shape == photo.shape
    assert np.abs(restored.astype(int) - photo).max() <= 1


def test_restore_clips_and_checks():
    assert preprocessing().restore(np.array([[[-5.0]], [[300.0]], [[7.4]]])).tolist() == [[[0, 255, 7]]]
    with pytest.raises(ValueError, match=r"restore: .* C = 3, got shape \(1, 2, 2\)"):
        preprocessing().restore(np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="restore: pixels holds NaN"):
        preprocessing().restore(np.full((3, 1, 1), np.nan))


def test_display_order_turns_channels_and_adds_no_mean():
    stack = np.arange(3.0)[:, None, None, None] * np.ones((3, 2, 2, 5))
    assert CAFFE.display_order(stack)[:, 0, 0, 0].tolist() == [2, 1, 0]
    assert np.array_equal(TORCHVISION.display_order(stack), stack)
    grey = preprocessing(channels="L", mean=(9,), std=(1,))
    assert grey.display_order(stack[1:2]).shape == (3, 2, 2, 5)
    assert np.all(grey.display_order(stack[1:2]) == 1)


@quick
@given(preprocessings())
def test_a_recipe_survives_json(recipe):
    assert Preprocessing.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_numpy_numbers_in_a_recipe_become_plain_ones():
    recipe = preprocessing(resize=np.int64(8), mean=tuple(np.float32([1, 2, 3])))
    assert json.loads(json.dumps(recipe.to_dict()))["mean"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resize", 0), ("resize", "256"), ("resize", [1, 2, 3]), ("resize", 2.5), ("resize", True), ("resize", [5]),
        ("crop", -1), ("crop", [224]), ("crop", [224, None]), ("channels", "rgb"), ("channels", None), ("scale", 0),
        ("scale", float("nan")), ("scale", "1"), ("mean", [1, 2]), ("scale", None), ("mean", None), ("mean", 1),
        ("mean", [1, 2, "3"]), ("std", [1, 1, 0]), ("std", [1, 1, float("inf")]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ValueError, match=f"Preprocessing: {field} is "):
        Preprocessing.from_dict(TORCHVISION.to_dict() | {field: value})


def test_missing_and_unknown_fields_are_named():
    values = TORCHVISION.to_dict()
    with pytest.raises(ValueError, match="unknown field 'size'; the fields are resize, crop"):
        Preprocessing.from_dict(values | {"size": 3})
    del values["std"]
    with pytest.raises(ValueError, match="missing field 'std'"):
        Preprocessing.from_dict(values)
    with pytest.raises(ValueError, match="expected a dict of fields, got 'torchvision'"):
        Preprocessing.from_dict("torchvision")


# ------------------------------------------------------------------------------------------------ showing signed pixels

signed = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda size: (3, *size)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


def test_the_scale_is_a_percentile_of_what_is_not_zero():
    values = np.zeros((3, 20, 20))
    values[0, :10] = np.arange(1, 201).reshape(10, 20) * np.where(np.arange(20) % 2, 1, -1)
    assert display_scale(values) == pytest.approx(1 + 0.995 * 199)
    assert display_scale(np.zeros((3, 2, 2))) == 0.0
    assert display_scale(values[values != 0]) == display_scale(values)  # of any shape, zeros count for nothing


def test_display_by_hand():
    row = np.array([-30.0, -2, -1, 0, 1, 2, 30])
    levels = display(np.stack([row[None]] * 3), scale=2.0)
    # 127 * tanh(1.5) = 114.95, 127 * tanh(0.75) = 80.67
    assert levels[0, :, 0].tolist() == [1, 13, 47, 128, 209, 243, 255]
    assert levels.dtype == np.uint8
    assert levels.shape == (1, 7, 3)


@quick
@given(signed)
def test_zero_is_mid_grey_and_opposite_signs_mirror(p):
    levels, mirrored = display(p).astype(int), display(-p).astype(int)
    assert np.all(levels.transpose(2, 0, 1)[p == 0] == 128)
    assert np.abs(levels + mirrored - 256).max() <= 1


@quick
@given(signed)
def test_more_is_never_drawn_darker(p):
    levels = display(p).transpose(2, 0, 1).ravel()[np.argsort(p, axis=None)]
    assert np.all(np.diff(levels.astype(int)) >= 0)


@quick
@given(signed, st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**15]))
def test_an_own_scale_forgets_the_strength_and_a_shared_one_keeps_it(p, factor):
    p = p.astype(np.float64)
    assert np.array_equal(display(p * factor), display(p))
    shared = display_scale(np.stack([p, p * factor], axis=-1))
    if shared:
        contrast = [np.abs(display(q, shared).astype(int) - 128) for q in (p, p * factor)]
        weaker, stronger = contrast if factor > 1 else contrast[::-1]
        assert np.all(weaker <= stronger)


def test_a_shared_scale_shows_a_weak_map_weaker():
    weak, strong = np.full((3, 1, 1), 1.0), np.full((3, 1, 1), 10.0)
    assert display(weak)[0, 0, 0] == display(strong)[0, 0, 0] == 243
    assert display(weak, scale=10.0)[0, 0, 0] == 147  # 127 * tanh(0.15) = 18.9


def test_a_dead_map_is_plain_grey():
    for scale in (None, 0.0, 5.0):
        assert np.all(display(np.zeros((3, 4, 5)), scale) == 128)


@pytest.mark.parametrize("size", [1e-45, 1e-300, 1e300])
def test_extreme_sizes_keep_their_contrast(size):
    p = np.array([[[size, -size]]] * 3, np.float32 if size == 1e-45 else np.float64)
    assert display(p)[0, :, 0].tolist() == [243, 13]
    assert display(p, scale=1.0)[0, 0, 0] in (128, 255)


def test_channel_orders_are_shown_as_rgb():
    p = np.array([-1.0, 0.0, 1.0])[:, None, None]
    assert display(p, channels="BGR")[0, 0].tolist() == display(p)[0, 0, ::-1].tolist() == [243, 128, 13]
    assert display(p[:1], channels="L")[0, 0].tolist() == [13, 13, 13]


def test_display_refuses_what_it_cannot_draw():
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            display(np.full((3, 1, 1), value))
        with pytest.raises(ValueError, match="NaN or infinite"):
            display_scale(np.full(3, value))
        with pytest.raises(ValueError, match="scale is"):
            display(np.ones((3, 1, 1)), scale=value)
    for scale in (0.0, -1.0):
        with pytest.raises(ValueError, match="scale is"):
            display(np.ones((3, 1, 1)), scale)
    with pytest.raises(ValueError, match=r"C = 3, got shape \(1, 3, 3\)"):
        display(np.ones((1, 3, 3)))
    with pytest.raises(ValueError, match="channels is 'GBR'"):
        display(np.ones((3, 1, 1)), channels="GBR")


def test_photos_have_names_for_messages():
    assert photo_name("a/b.jpg") == "a/b.jpg"
    assert photo_name(PICTURE) == "the uint8 array of shape (2, 3, 3)"
    assert photo_name(Image.fromarray(PICTURE)) == "this Image"


def test_a_mean_image_is_taken_off_pixel_by_pixel():
    rng = np.random.default_rng(0)
    mean = rng.uniform(0, 255, (3, 4, 5)).tolist()
    prepared = Preprocessing(resize=None, crop=(4, 5), channels="BGR", scale=1.0, mean=mean, std=(1.0, 2.0, 4.0))
    photo = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    expected = (photo[:, :, ::-1].transpose(2, 0, 1) - np.array(mean)) / np.array([1, 2, 4])[:, None, None]
    np.testing.assert_allclose(prepared(photo)[..., 0], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(prepared.restore(prepared(photo)[..., 0]), photo)
    assert Preprocessing.from_dict(prepared.to_dict()) == prepared
    for wrong in (rng.uniform(0, 1, (3, 5, 4)).tolist(), [[1.0], [2.0], [3.0]], [[["x"]]]):
        with pytest.raises(ValueError, match=r"mean is an image of .*; expected finite numbers \(3, 4, 5\), the crop"):
            Preprocessing(**{**prepared.to_dict(), "mean": wrong})
