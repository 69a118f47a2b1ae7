"""Fig. 2: the top nine equal a full scan, in a fixed order; a sheet shows the winners' projections and patches."""

import numpy as np
import pytest
from PIL import Image

from minideconv import Network, project, to_numpy
from minideconv.display import display
from minideconv.experiments import feature_visualization as fv
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

PLAIN = Preprocessing(resize=None, crop=(8, 8), channels="L", scale=1.0, mean=(0.0,), std=(1.0,))


def integer_net(seed=0):
    """A net whose weights are small integers: every sum is exact in float32, in any order."""
    rng = np.random.default_rng(seed)
    layers = [
        ("conv1", Conv2d(1, 5, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
        ("conv2", Conv2d(5, 4, 3, padding=1)), ("relu2", ReLU()), ("flatten", Flatten()), ("fc3", Linear(64, 3)),
    ]  # fmt: skip
    for _, layer in layers:
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, rng.integers(-2, 3, shape).astype(np.float32))
    return Network(layers, name="small", input_shape=(1, 8, 8), preprocessing=PLAIN)


def pictures(count, seed=0, levels=3):
    return np.random.default_rng(seed).integers(0, levels, (count, 8, 8, 1), dtype=np.uint8)


def full_scan(net, photos, layer, k):
    """All positions of all photos in plain loops, sorted as DESIGN.md 13 says, one position for each photo."""
    maps = to_numpy(net.forward(net.preprocessing.scaled(photos))[layer])
    maps = maps if maps.ndim == 4 else maps[:, None, None]
    channels, height, width, count = maps.shape
    tops = []
    for c in range(channels):
        units = [(-maps[c, y, x, n], n, y, x) for n in range(count) for y in range(height) for x in range(width)]
        best, used = [], set()
        for value, n, y, x in sorted(units):
            if n not in used:
                used.add(n)
                best.append((n, y, x, -value))
        tops.append((best + [(-1, -1, -1, np.nan)] * k)[:k])
    return [np.array([[unit[i] for unit in top] for top in tops]) for i in range(4)]


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "relu2", "fc3"])
@pytest.mark.parametrize(("count", "k"), [(40, 9), (9, 9), (4, 9), (1, 1), (30, 1)])
def test_the_top_equals_a_full_scan_ties_included(layer, count, k):
    net, photos = integer_net(), pictures(count)
    photos[count // 2 :] = photos[: count - count // 2]  # every photo twice: ties between images
    top = fv.top_activations(net, photos, layer, k, batch_size=7)
    for found, wanted in zip(top, full_scan(net, photos, layer, k)):
        np.testing.assert_array_equal(found, wanted)


def test_of_equal_positions_the_first_in_row_major_order_wins():
    photos = np.zeros((2, 8, 8, 1), np.uint8)
    photos[:, [2, 5], [6, 1]] = 9
    net = Network([("relu1", ReLU())], input_shape=(1, 8, 8), preprocessing=PLAIN)
    top = fv.top_activations(net, photos, "relu1", 2)
    assert [field.tolist() for field in top] == [[[0, 1]], [[2, 2]], [[6, 6]], [[9.0, 9.0]]]


@pytest.mark.parametrize("size", [1, 2, 9, 16, 31, 100])
def test_the_top_does_not_depend_on_the_batch(size):
    net, photos = integer_net(), pictures(31)
    for found, wanted in zip(*(fv.top_activations(net, photos, "relu2", batch_size=n) for n in (size, 31))):
        assert (found == wanted).all()


def test_a_list_of_photos_gives_what_the_array_gives():
    net, photos = integer_net(), pictures(11)
    listed = [Image.fromarray(photo[..., 0]) for photo in photos]
    array, others = (fv.top_activations(net, some, "relu2", batch_size=4) for some in (photos, listed))
    assert all((one == other).all() for one, other in zip(array, others))
    seen, same = (fv.projected_top(net, some, "relu2", [0, 3], array, batch_size=4) for some in (photos, listed))
    assert (seen.pixels == same.pixels).all() and (seen.patches == same.patches).all()


def test_only_one_batch_goes_through_the_net_at_a_time(monkeypatch):
    net, seen = integer_net(), []
    forward = net.forward
    monkeypatch.setattr(net, "forward", lambda x, **options: seen.append(x.shape[-1]) or forward(x, **options))
    photos = [Image.fromarray(photo[..., 0]) for photo in pictures(10)]
    fv.top_activations(net, photos, "relu1", batch_size=4)
    assert seen == [4, 4, 2]


@pytest.mark.parametrize("rule", ["deconvnet", "gradient", "guided"])
def test_projections_of_the_top_equal_project_cut_to_the_window(rule):
    net, photos = integer_net(), pictures(20)
    top = fv.top_activations(net, photos, "relu2", 3)
    seen = fv.projected_top(net, photos, "relu2", [2, 0], top, rule, batch_size=6)
    trace = net.forward(net.preprocessing.scaled(photos))
    start, stride = net.receptive_field("relu2").start[0], net.receptive_field("relu2").stride[0]
    for which, channel in enumerate([2, 0]):
        for n in range(3):
            image, row, column = (field[channel, n] for field in top[:3])
            plane = project(net, trace, "relu2", channel, (row, column), image=image, rule=rule).pixels
            y, x = start + row * stride, start + column * stride
            cut = fv.cut_window(plane.transpose(1, 2, 0), y, x, *seen.pixels.shape[-2:])[..., 0]
            shown = seen.pixels[which, n, 0]
            inside = fv.cut_window(np.ones((8, 8, 1), np.uint8), y, x, *shown.shape)[..., 0] == 1
            assert shown.any() or top.value[channel, n] == 0 or not plane.any()
            assert (shown[inside] == cut[inside]).all() and not shown[~inside].any()
            patch = seen.patches[which, n, ..., 0]
            assert (patch[inside] == fv.cut_window(photos[image], y, x, *shown.shape)[..., 0][inside]).all()
            assert (patch[~inside] == 128).all()


def test_where_photos_are_missing_nothing_is_shown():
    net, photos = integer_net(), pictures(2)
    top = fv.top_activations(net, photos, "relu1")
    seen = fv.projected_top(net, photos, "relu1", [0], top)
    assert seen.there.tolist() == [[True] * 2 + [False] * 7]
    left, right = fv.squares(net, seen, 0, side=30)
    assert (left[..., 3] > 0).sum() == (right[..., 3] > 0).sum() == 2 * 30 * 30


def test_tiles_keep_their_pixels_and_their_places():
    tiles = [np.full((2, 3, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = fv.tiled([*tiles, None], 2, side=6, gap=1)
    assert sheet.shape == (4 + 1 + 4, 6 + 1 + 6, 4)
    assert [sheet[y, x].tolist() for y, x in ((0, 0), (3, 12), (8, 5))] == [[n] * 3 + [255] for n in (10, 20, 30)]
    assert not sheet[4].any() and not sheet[:, 6].any() and not sheet[5:, 7:].any()


def test_a_sheet_shows_every_projection_and_every_patch():
    net, photos = integer_net(1), pictures(30, levels=200)
    top = fv.top_activations(net, photos, "relu2")
    channels = np.flatnonzero((top.value > 0).all(axis=1))[:2].tolist()
    assert len(channels) == 2
    sheet = np.asarray(fv.top_nine_sheet(net, photos, "relu2", channels, top))
    seen = fv.projected_top(net, photos, "relu2", channels, top)
    side = round(60 / seen.pixels.shape[-1]) * seen.pixels.shape[-1]
    factor = side // seen.pixels.shape[-1]
    drawn = [display(PLAIN.display_order(plane)) for plane in seen.pixels.reshape(-1, *seen.pixels.shape[2:])]
    for picture in [*drawn, *seen.patches.reshape(-1, *seen.patches.shape[2:])]:
        assert is_on(sheet, picture.repeat(factor, axis=0).repeat(factor, axis=1))
    assert not is_on(sheet, 255 - drawn[0].repeat(factor, axis=0).repeat(factor, axis=1))


def is_on(sheet, picture):
    """Whether a picture is somewhere on a sheet, pixel by pixel."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero((sheet[: 1 - height, : 1 - width] == picture[0, 0]).all(axis=-1))
    return any((sheet[y : y + height, x : x + width] == picture).all() for y, x in zip(rows, columns))


def test_a_shared_scale_keeps_strengths_comparable():
    net = integer_net()
    pixels = np.stack([np.full((1, 2, 2), 1.0), np.full((1, 2, 2), 4.0)])
    weak, strong = fv.shown_pixels(net, pixels, shared_scale=True)
    assert 128 < weak.max() < strong.max()
    alone = fv.shown_pixels(net, pixels)
    assert alone[0].max() == alone[1].max() == strong.max()


def test_a_map_that_never_fires_is_called_not_active():
    assert fv.value_range("relu3", np.array([0.0, 0.0, np.nan])) == "not active"
    assert fv.value_range("relu3", np.array([4.0, 2.5, np.nan])) == "4 to 2.5"
    assert fv.value_range("conv3", np.array([0.0])) == "0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "relu9"}, "no layer 'relu9'"),
        ({"k": 0}, "k is 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"photos": np.zeros((0, 8, 8, 1), np.uint8)}, "0 photos"),
    ],
)
def test_what_cannot_be_scanned_is_refused(arguments, message):
    wanted = {"photos": pictures(2), "layer": "relu1", **arguments}
    with pytest.raises(ValueError, match=message):
        fv.top_activations(integer_net(), **wanted)


@pytest.mark.parametrize("channels", [[], [5], [-1], [0.5]])
def test_a_sheet_of_maps_that_are_not_there_is_refused(channels):
    with pytest.raises(ValueError, match="relu1 has 5 channels, counted from 0"):
        fv.top_nine_sheet(integer_net(), pictures(3), "relu1", channels)
    with pytest.raises(ValueError, match="rule 'up' is unknown"):
        fv.top_nine_sheet(integer_net(), pictures(3), "relu1", [0], rule="up")
