"""What is wrong with a convolution's filters: known answers on filters made for it."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import colour_net, levels, photo_folder, preparation
from test_filter_spectra import gabor

from minideconv import Network, models
from minideconv.backend import to_device, to_numpy
from minideconv.experiments.architecture_selection import above_sheet, diagnose, layer_above
from minideconv.experiments.filter_responses import renormalised
from minideconv.layers import Conv2d, Flatten, Linear, ReLU
from minideconv.optimizer import renormalise_filters

SIZE = (24, 24)


def made_net(weights, bias=None, stride=4, channels="L"):
    """One convolution with given filters (O, C, KH, KW) and a ReLU, for photos of 24 x 24 levels as they are."""
    layer = Conv2d(weights.shape[1], len(weights), weights.shape[2:], stride=stride)
    layer.weight = to_device(weights.astype(np.float32))
    layer.bias = to_device(np.zeros(len(weights), np.float32) if bias is None else np.float32(bias))
    layers = [("conv1", layer), ("relu1", ReLU())]
    shape = (len(channels), *SIZE)
    return Network(layers, name="made", input_shape=shape, preprocessing=preparation(channels, SIZE))


def patterns():
    """(6, 1, 11, 11): a coarse and a fine wave, a delta, a constant, its negative, and one much larger than all."""
    delta = np.zeros((1, 1, 11, 11))
    delta[0, 0, 5, 5] = 1
    flat = np.full((1, 1, 11, 11), 1 / 121)
    return np.concatenate([gabor(0.05), gabor(0.2), delta, flat, -flat, 50 * flat])


def photos(count=5):
    return np.random.default_rng(0).integers(100, 256, (count, *SIZE, 1), dtype=np.uint8)


def test_a_filter_aliases_above_half_of_its_energy():
    found = diagnose(made_net(patterns()))
    assert found.aliases.tolist() == [False, True, True, False, False, False]
    assert found.stride == (4, 4) and found.photos is None and found.dead is None and found.dominating is None
    assert not diagnose(made_net(patterns(), stride=1)).aliases.any()


def test_a_filter_that_no_photo_makes_positive_is_dead_and_one_that_outweighs_all_dominates():
    found = diagnose(made_net(patterns()), photos=photos())
    assert found.dead.tolist() == [False, False, False, False, True, False] and found.photos == 5
    assert found.dominating.tolist() == [False] * 5 + [True]
    assert found.active[[3, 4, 5]].tolist() == [5, 0, 5] and found.energy.sum() == pytest.approx(1)


def test_active_photos_and_energy_are_counted_as_defined():
    net = colour_net()
    x = levels(70)  # more than go through the net together
    found = diagnose(net, x, "conv2")
    maps = np.maximum(to_numpy(net.forward(net.preprocess(x))["conv2"]).astype(np.float64), 0)
    assert found.active.tolist() == [sum(maps[o, ..., n].max() > 0 for n in range(70)) for o in range(6)]
    energy = np.array([(maps[o] ** 2).sum() for o in range(6)])
    np.testing.assert_allclose(found.energy, energy / energy.sum(), rtol=1e-6)


@given(st.floats(0.01, 1), st.integers(0, 99))
def test_renormalised_sizes_are_those_of_the_paper_s_step(radius, seed):
    net = models.build("zfnet28", until="relu2", seed=seed)
    found = diagnose(net, layer="conv2", radius=radius)
    renormalise_filters(net, radius)
    after = np.sqrt((to_numpy(net.layers["conv2"].weight).astype(float) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found.rms_renormalised, after, rtol=1e-6)
    np.testing.assert_array_equal(found.scaled_back, found.rms > radius)


def test_renormalised_filters_hold_other_shares_and_the_net_stays_as_it_was():
    net = made_net(patterns(), bias=[1, 2, 3, 4, 5, 6])
    before = to_numpy(net.layers["conv1"].weight).copy()
    found = diagnose(net, photos=photos(), radius=1 / 121)
    again = diagnose(renormalised(net, "conv1", 1 / 121), photos=photos())
    np.testing.assert_array_equal(found.energy_renormalised, again.energy)
    assert found.energy[5] > 0.7 and found.energy_renormalised[5] < 0.5
    np.testing.assert_array_equal(to_numpy(net.layers["conv1"].weight), before)


def test_below_a_layer_lie_cells_of_the_maps_it_reads():
    net = models.build("alexnet", until="relu3")
    first, second = diagnose(net), diagnose(net, layer="relu2")
    assert (first.layer, first.below, first.cell, first.channels) == ("conv1", None, (1, 1), "RGB")
    assert (second.layer, second.below, second.cell, second.channels) == ("conv2", "pool1", (8, 8), None)
    assert first.levels == pytest.approx(255 * 0.226) and second.levels is None


def test_every_number_is_told_with_a_sentence():
    told = diagnose(made_net(patterns()), photos=photos()).findings()
    assert [what for what, *_ in told] == [
        "filters that alias", "energy low, middle, high", "filters above RMS 0.1", "dead filters",
        "filters that dominate", "strongest, renormalised",
    ]  # fmt: skip
    assert [number for _, number, _ in told][:1] + [number for _, number, _ in told][3:5] == [
        "2 of 6", "1 of 6", "1 of 6",
    ]  # fmt: skip
    assert "above 0.125 cycles a pixel" in told[0][2] and "of white noise's energy 93% is" in told[0][2]
    assert all(sentence.count(".") and sentence.endswith(".") for *_, sentence in told)
    second = diagnose(models.build("alexnet", until="relu3"), layer="conv2").findings()
    assert "nothing can alias" in second[0][2] and "a cell of pool1 (8 pixels)" in second[1][2]


def test_the_table_has_a_row_for_each_filter_and_more_columns_with_photos(tmp_path):
    for seen, columns in ((None, 7), (photos(), 10)):
        found = diagnose(made_net(patterns()), photos=seen)
        found.save(tmp_path / "d.csv")
        with open(tmp_path / "d.csv", newline="") as file:
            head, *rows = csv.reader(file)
        assert len(head) == columns and [len(row) for row in rows] == [columns] * 6
        np.testing.assert_allclose([float(row[head.index("aliasing")]) for row in rows], found.aliasing)
    assert [row[head.index("photos_active")] for row in rows] == [str(n) for n in found.active]


def test_arrays_are_kept_and_read_back_without_pickle(tmp_path):
    found = diagnose(made_net(patterns()), photos=photos())
    found.save(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz", allow_pickle=False) as arrays:
        for name in ("filters", "spectra", "aliasing", "bands", "rms", "active", "energy"):
            np.testing.assert_array_equal(arrays[name], getattr(found, name))
        assert arrays["layer"] == "conv1" and "below" not in arrays


def test_the_sheet_shows_filters_and_spectra_those_that_alias_framed():
    few = diagnose(made_net(patterns()), photos=photos()).draw()
    many = diagnose(models.build("alexnet", until="relu3"), layer="conv3").draw()
    frames = [len(axes.patches) for axes in few.axes[:2]]
    assert frames == [2, 2 + 6]  # two filters alias; in each spectrum lies the box of the stride
    assert len(few.axes[0].images) == 6 and len(few.axes[0].texts) == 6
    assert len(many.axes[0].images) == 256 and not many.axes[0].texts and not many.axes[0].patches
    assert "2 of 6 alias" in few.axes[2].get_title() and "nothing aliases" in many.axes[2].get_title()


def test_dead_and_empty_filters_can_be_drawn_and_told():
    found = diagnose(made_net(np.zeros((3, 1, 3, 3))), photos=photos())
    assert found.dead.all() and np.isnan(found.aliasing).all() and (found.energy == 0).all()
    assert found._repr_png_()[:4] == b"\x89PNG" and found.findings()[0][1] == "0 of 3"


def test_the_layer_above_is_the_next_convolution_s_relu():
    net = models.build("vgg16", until="pool2")
    found = [layer_above(net, layer) for layer in ("conv1_1", "relu1_1", "conv1_2", "conv2_2")]
    assert found == ["relu1_2", "relu1_2", "relu2_1", None]


def test_the_layer_above_is_shown_with_its_top_nines():
    net = colour_net()
    sheet = above_sheet(net, layer_above(net, "conv1"), levels(12), maps=4)
    assert sheet.width > 500 and len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 10


def test_broken_photos_are_left_out_and_named(tmp_path):
    folder = photo_folder(tmp_path / "p", levels(4), broken=[2])
    found = diagnose(colour_net(), photos=str(folder))
    assert found.photos == 3 and len(found.skipped) == 1 and "002.png" in found.skipped[0]
    whole = diagnose(colour_net(), photos=levels(4)[[0, 1, 3]])
    np.testing.assert_array_equal(found.energy, whole.energy)


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (Network([("flatten", Flatten()), ("fc", Linear(4, 2))]), {}, "network has no convolution"),
        (colour_net(), {"layer": "pool1"}, "pool1 is no convolution of small; give one of conv1, conv2, conv3"),
        (colour_net(), {"layer": "relu4"}, "fc4 is no convolution of small"),
        (colour_net(), {"layer": "conv9"}, "small has no layer 'conv9'"),
        (colour_net(), {"radius": 0}, "radius is 0"),
        (models.build("zfnet32"), {"photos": levels(1)}, "does not say how photos are prepared"),
        (colour_net(), {"photos": levels(2, colours=1)}, r"expected \(N, H, W, 3\)"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(net, options, message):
    with pytest.raises(ValueError, match=message):
        diagnose(net, **options)


def test_photos_that_are_all_broken_are_refused(tmp_path):
    folder = photo_folder(tmp_path / "p", levels(2), broken=[0, 1])
    with pytest.raises(ValueError, match=r"not one of the 2 photos can be used; the first: .*000\.png"):
        diagnose(colour_net(), photos=str(folder))
