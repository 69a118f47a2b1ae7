"""Sec. 2.1: one unit, projected down; many units, each in its window; what a unit can see."""

import numpy as np
import pytest
from draw import assert_close, assert_equal, stacks, whole
from hypothesis import given
from hypothesis import strategies as st

import minideconv.deconvnet
from minideconv import Network, models, project, project_patches, strongest, to_device, to_numpy
from minideconv.deconvnet import clipped_box
from minideconv.layers import RULES, Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU

rules = st.sampled_from(RULES)


def integer_net(layers, rng, **options):
    """A net with small-integer float64 weights and biases."""
    for _, layer in layers:
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, whole(rng, shape, -2, 2))
    return Network(layers, **options)


def units_of(draw, trace, layer, count):
    """`count` drawn units of a layer, borders and corners as often as the middle."""
    shape = trace.step(layer).y_shape
    limits = (shape[-1], shape[0], *(shape[1:3] if len(shape) == 4 else (1, 1)))
    return [
        np.array([draw(st.sampled_from([0, limit - 1]) | st.integers(0, limit - 1)) for _ in range(count)])
        for limit in limits
    ]


def cropped(pixels, top, left, height, width):
    """The window of a whole plane (C, H, W), zero where it hangs over."""
    room = 200  # more than any window hangs over
    padded = np.pad(pixels, ((0, 0), (room, room), (room, room)))
    return padded[:, top + room : top + room + height, left + room : left + room + width]


@given(st.data(), stacks(lrn=False), rules)
def test_windows_equal_the_whole_map(data, stack, rule):
    net, x = stack
    trace = net.forward(x)
    layer = data.draw(st.sampled_from(list(net.layers)))
    image, channel, row, column = units = units_of(data.draw, trace, layer, 4)
    value = np.array([3.0, -2.0, 0.0, 1.0])
    patches = project_patches(net, trace, layer, image=image, channel=channel, row=row, column=column, rule=rule,
                              value=value)  # fmt: skip
    size = patches.pixels.shape[1:3]
    for b, (n, c, i, j) in enumerate(zip(*units)):
        p = project(net, trace, layer, int(c), (i, j), image=int(n), rule=rule, value=value[b])
        top, left = patches.top[b], patches.left[b]
        assert_equal(patches.pixels[..., b], cropped(p.pixels, top, left, *size))
        outside = p.pixels.copy()
        outside[:, max(top, 0) : max(top + size[0], 0), max(left, 0) : max(left + size[1], 0)] = 0
        assert not outside.any(), "a unit sees more than its window"


@given(st.data(), stacks(lrn=True), rules)
def test_windows_equal_the_whole_map_with_response_norm(data, stack, rule):
    net, x = stack
    trace = net.forward(x)
    layer = data.draw(st.sampled_from(list(net.layers)))
    image, channel, row, column = units = units_of(data.draw, trace, layer, 3)
    patches = project_patches(net, trace, layer, image=image, channel=channel, row=row, column=column, rule=rule)
    for b, (n, c, i, j) in enumerate(zip(*units)):
        p = project(net, trace, layer, int(c), (i, j), image=int(n), rule=rule)
        window = cropped(p.pixels, patches.top[b], patches.left[b], *patches.pixels.shape[1:3])
        assert_close(patches.pixels[..., b], window, 1e-10)
        assert patches.activation[b] == p.activation


@given(st.data(), stacks(dense=False))
def test_a_unit_changes_only_inside_its_box_and_receptive_field(data, stack):
    """Interval arithmetic against the thing itself: change the pixels outside the box, the unit stays."""
    net, x = stack
    layer = data.draw(st.sampled_from(list(net.layers)))
    trace = net.forward(x, until=layer)
    image, channel, row, column = (int(unit[0]) for unit in units_of(data.draw, trace, layer, 1))
    top, left, bottom, right = clipped_box(net, trace, layer, row, column)
    other = whole(np.random.default_rng(0), x.shape)
    other[:, top:bottom, left:right] = x[:, top:bottom, left:right]
    changed = net.forward(other, until=layer)[layer]
    assert changed[channel, row, column, image] == trace[layer][channel, row, column, image]
    assert 0 <= top <= bottom <= x.shape[1] and 0 <= left <= right <= x.shape[2]


@given(stacks(), rules)
def test_a_zero_seed_gives_exactly_zero(stack, rule):
    net, x = stack
    trace = net.forward(x)
    last = list(net.layers)[-1]
    assert not project(net, trace, last, 0, value=0.0, rule=rule).pixels.any()
    zeros = {} if trace[last].ndim == 2 else {"row": [0], "column": [0]}
    assert not project_patches(net, trace, last, image=[0], channel=[0], value=[0.0], rule=rule, **zeros).pixels.any()


@given(stacks(lrn=False), rules)
def test_projection_is_positively_homogeneous(stack, rule):
    net, x = stack
    trace = net.forward(x)
    last = list(net.layers)[-1]
    once = project(net, trace, last, 0, value=1.0, rule=rule).pixels
    assert_equal(project(net, trace, last, 0, value=8.0, rule=rule).pixels, 8 * once)


@given(stacks(relu=False, lrn=False))
def test_the_three_rules_agree_where_there_is_no_rectifier(stack):
    net, x = stack
    trace = net.forward(x)
    last = list(net.layers)[-1]
    gradient, deconvnet, guided = (project(net, trace, last, 0, value=-3.0, rule=rule).pixels for rule in RULES)
    assert_equal(deconvnet, gradient)
    assert_equal(guided, gradient)


@given(stacks(), rules)
def test_the_projection_depends_on_the_bias_through_the_switches_alone(stack, rule):
    """Decision 5: nothing is added on the way down. Same trace, biases replaced: the same picture."""
    net, x = stack
    trace = net.forward(x)
    last = list(net.layers)[-1]
    before = project(net, trace, last, 0, value=2.0, rule=rule).pixels
    for layer in net.layers.values():
        if getattr(layer, "bias", None) is not None:
            layer.bias = layer.bias + 100
    assert_equal(project(net, trace, last, 0, value=2.0, rule=rule).pixels, before)


def test_groups_of_units_make_no_difference(monkeypatch):
    rng = np.random.default_rng(3)
    net = integer_net([("conv1", Conv2d(2, 3, 3, padding=1)), ("pool1", MaxPool2d(3, stride=2)),
                       ("conv2", Conv2d(3, 4, 3, padding=1))], rng)  # fmt: skip
    trace = net.forward(whole(rng, (2, 9, 9, 5)))
    units = {"image": rng.integers(5, size=23), "channel": rng.integers(4, size=23)}
    units |= {"row": rng.integers(4, size=23), "column": rng.integers(4, size=23)}
    at_once = project_patches(net, trace, "conv2", **units)
    monkeypatch.setattr(minideconv.deconvnet, "UNITS_AT_ONCE", 4)
    for one, other in zip(at_once, project_patches(net, trace, "conv2", **units)):
        assert_equal(one, other)


def test_pixels_keep_their_sign():
    net = Network([("conv1", Conv2d(1, 1, 3)), ("relu1", ReLU())])
    net.layers["conv1"].weight = to_device(np.array([[-1, 0, 2], [0, 5, 0], [-3, 0, 1]], np.float32)[None, None])
    trace = net.forward(to_device(np.ones((1, 5, 5, 1), np.float32)))
    pixels = project(net, trace, "relu1", 0, (1, 1)).pixels[0]
    assert_equal(pixels[1:4, 1:4], 4 * to_numpy(net.layers["conv1"].weight)[0, 0])  # the activation times the filter
    assert pixels.min() == -12.0


def test_a_projection_done_by_hand():
    """4 × 4 pixels, one 1 × 1 filter of 2, 2 × 2 pooling: 7 at (2, 3) is the maximum of the last window."""
    net = Network([("conv1", Conv2d(1, 1, 1)), ("pool1", MaxPool2d(2))])
    net.layers["conv1"].weight = to_device(np.full((1, 1, 1, 1), 2.0))
    picture = np.array([[1, 2, 0, 0], [3, 4, 0, 5], [0, 0, 6, 7], [0, 1, 0, 0]], np.float64)
    trace = net.forward(to_device(picture[None, ..., None]))
    p = project(net, trace, "pool1", 0)
    assert (p.row, p.column, p.activation, p.box) == (1, 1, 14.0, (2, 2, 4, 4))
    assert_equal(p.pixels[0], np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 28.0], [0, 0, 0, 0]]))


def test_windows_have_the_receptive_fields_size_and_may_hang_over():
    net = models.build("alexnet", until="pool5")
    trace = net.forward(to_device(np.random.default_rng(0).standard_normal((3, 224, 224, 2), dtype=np.float32)))
    patches = project_patches(net, trace, "relu5", image=[0, 1], channel=[3, 4], row=[0, 12], column=[0, 6])
    assert patches.pixels.shape == (3, 163, 163, 2)
    assert patches.top.tolist() == [-66, 126] and patches.left.tolist() == [-66, 30]
    assert not patches.pixels[:, :66, :, 0].any() and not patches.pixels[:, 98:, :, 1].any()
    assert project(net, trace, "relu5", 3, (0, 0)).box == (0, 0, 97, 97)
    whole_image = project_patches(net, trace, "pool5", image=[0], channel=[3], row=[2], column=[2])
    assert whole_image.pixels.shape == (3, 195, 195, 1)


def test_units_after_flatten_see_the_whole_image():
    rng = np.random.default_rng(0)
    net = integer_net([("conv1", Conv2d(3, 4, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
                       ("flatten", Flatten()), ("fc2", Linear(36, 5))], rng)  # fmt: skip
    trace = net.forward(whole(rng, (3, 6, 6, 4)))
    p = project(net, trace, "fc2", channel=2, image=3)
    assert p.box == (0, 0, 6, 6) and (p.row, p.column) == (0, 0)
    patches = project_patches(net, trace, "fc2", image=[3, 0], channel=[2, 4])
    assert patches.pixels.shape == (3, 6, 6, 2) and patches.top.tolist() == [0, 0]
    assert_equal(patches.pixels[..., 0], p.pixels)
    assert p.activation == float(trace["fc2"][2, 3])


def test_random_weights_with_real_switches_is_another_net():
    rng = np.random.default_rng(0)
    layers = lambda: [("conv1", Conv2d(1, 2, 3)), ("pool1", MaxPool2d(2))]  # noqa: E731
    real, other = integer_net(layers(), rng), integer_net(layers(), rng)
    trace = real.forward(whole(rng, (1, 6, 6, 1)))
    p, q = project(real, trace, "pool1", 1, (1, 0)), project(other, trace, "pool1", 1, (1, 0))
    assert p.activation == q.activation  # from the trace
    expected = p.pixels[0][np.nonzero(p.pixels[0])].size
    assert expected and not np.array_equal(p.pixels, q.pixels)


def test_strongest_units_come_in_a_reproducible_order():
    net = Network([("relu1", ReLU())])
    maps = np.zeros((4, 2, 2, 2), np.float32)
    maps[1, 0, 1, 1] = maps[1, 1, 0, 1] = 5  # the first of equals within a map
    maps[3, 1, 1, 1] = 5  # equals across maps: by channel
    maps[0, 0, 0, 1] = 7
    units = strongest(net.forward(to_device(maps)), "relu1", 3, image=1)
    assert units.channel.tolist() == [0, 1, 3] and units.value.tolist() == [7, 5, 5]
    assert units.row.tolist() == [0, 0, 1] and units.column.tolist() == [0, 1, 1] and units.image.tolist() == [1, 1, 1]


def test_receptive_fields_of_published_nets():
    sizes = {"conv1": 11, "pool1": 19, "conv2": 51, "pool2": 67, "conv3": 99, "conv4": 131, "conv5": 163, "pool5": 195}
    net = models.build("caffenet", until="pool5")
    assert {name: net.receptive_field(name).size[0] for name in sizes} == sizes
    vgg = models.build("vgg16", until="pool5")
    assert vgg.receptive_field("relu5_3").size == (196, 196) and vgg.receptive_field("pool5").size == (212, 212)
    assert vgg.receptive_field("pool5").stride == (32, 32)


@pytest.mark.host  # 2,000 channels of 110 x 110: only the size of a group is at stake
def test_wide_windows_go_down_in_smaller_groups():
    size = minideconv.deconvnet._group_size
    for channels, units in ((3, 64), (96, 17), (2000, 1)):
        net = Network([("conv1", Conv2d(channels, 1, 101))])
        trace = net.forward(to_device(np.zeros((channels, 110, 110, 1), np.float32)))
        assert size(net, trace, "conv1") == units
        patches = project_patches(net, trace, "conv1", image=[0] * 5, channel=[0] * 5, row=range(5), column=[1] * 5)
        assert patches.pixels.shape == (channels, 101, 101, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "conv9"}, "no layer 'conv9'; it has conv1"),
        ({"channel": 4}, "conv1 has 4 channels, counted from 0; there is no channel 4"),
        ({"position": (4, 0)}, "conv1 has 4 rows and 4 columns, counted from 0; there is no position 4, 0"),
        ({"position": (1.5, 1)}, "are not a unit; give integers"),
        ({"position": 5}, "are not a unit; give integers"),
        ({"image": 2}, "2 images, counted from 0; there is no image 2"),
        ({"rule": "saliency"}, "rule 'saliency' is unknown; use one of gradient, deconvnet, guided"),
    ],
)
def test_project_says_what_is_wrong(arguments, message):
    net = Network([("conv1", Conv2d(1, 4, 3)), ("relu1", ReLU())])
    trace = net.forward(to_device(np.ones((1, 6, 6, 2), np.float32)))
    with pytest.raises(ValueError, match=message):
        project(net, trace, **{"layer": "conv1", "channel": 0, **arguments})


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"image": [0, 2]}, "conv1 has image 0 … 1; got 0 … 2"),
        ({"row": [-1, 0]}, "conv1 has row 0 … 3; got -1 … 0"),
        ({"channel": [0.5, 1]}, "channel must be integers"),
        ({"row": None}, "row must be integers"),
        ({"image": [0, 1, 1]}, "have lengths 3, 2, 2, 2"),
        ({"image": [], "channel": [], "row": [], "column": []}, "there are no units"),
    ],
)
def test_project_patches_says_what_is_wrong(units, message):
    net = Network([("conv1", Conv2d(1, 4, 3)), ("relu1", ReLU())])
    trace = net.forward(to_device(np.ones((1, 6, 6, 2), np.float32)))
    units = {"image": [0, 1], "channel": [1, 2], "row": [0, 0], "column": [1, 3], **units}
    with pytest.raises(ValueError, match=message):
        project_patches(net, trace, "conv1", **units)


def test_a_trace_without_maps_still_walks_down_as_deconvnet_and_says_why_not_otherwise():
    rng = np.random.default_rng(0)
    net = integer_net([("conv1", Conv2d(1, 2, 3)), ("relu1", ReLU()), ("norm1", LocalResponseNorm(3)),
                       ("pool1", MaxPool2d(2)), ("conv2", Conv2d(2, 2, 2))], rng)  # fmt: skip
    x = whole(rng, (1, 8, 8, 2))
    full, lean = net.forward(x), net.forward(x, keep=["conv2"])
    unit = {"image": [1], "channel": [0], "row": [1], "column": [1]}
    assert_equal(project_patches(net, lean, "conv2", **unit).pixels, project_patches(net, full, "conv2", **unit).pixels)
    for rule in ("gradient", "guided"):
        with pytest.raises(ValueError, match="of norm1 were not kept in the trace; run forward without keep"):
            project_patches(net, lean, "conv2", **unit, rule=rule)
