"""Fig. 4: the strongest unit of every epoch, its projection, how far features move, and the nets and photos for it."""

import csv
import gzip
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from draw import assert_close, assert_equal
from PIL import Image

from minideconv import Network, models, network, project, save_model, to_device, to_numpy
from minideconv.display import display
from minideconv.experiments import snapshots as shared
from minideconv.experiments.feature_evolution import HOW_SHOWN, evolution_sheet, evolve, strongest_of_all
from minideconv.experiments.feature_movement import (
    Movement,
    feature_layers,
    movement,
    movement_table,
    save_movement_picture,
    save_movement_table,
    settled,
)
from minideconv.experiments.snapshots import choose_epochs, load_snapshots, photo_batches, probe_photos, snapshots
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minideconv.sheets import MARK, table_sheet

PLAIN = Preprocessing(resize=None, crop=None, channels="L", scale=1.0, mean=(0.0,), std=(1.0,))
COLOUR = Preprocessing(resize=None, crop=None, channels="BGR", scale=1.0, mean=(2.0,) * 3, std=(1.0,) * 3)


def small_net(seed, preprocessing=PLAIN, classes=2):
    """A net with small-integer float32 weights: on photos of small levels every sum is exact."""
    channels = len(preprocessing.channels)
    layers = [
        ("conv1", Conv2d(channels, 4, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
        ("conv2", Conv2d(4, 5, 3, padding=1)), ("relu2", ReLU()), ("flatten", Flatten()), ("fc3", Linear(80, classes)),
    ]  # fmt: skip
    rng = np.random.default_rng(seed)
    for _, layer in layers:
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, to_device(rng.integers(-2, 3, shape).astype(np.float32)))
    return Network(layers, name="small", input_shape=(channels, 8, 8), preprocessing=preprocessing)


def scaled(net, layer, channel, factor, offset=0.0):
    """Multiply one filter and its bias, and add to the bias, in place."""
    net.layers[layer].weight[channel] *= factor
    net.layers[layer].bias[channel] = net.layers[layer].bias[channel] * factor + offset
    return net


def silenced(net, layer, *channels):
    """Make filters constant: zero weights and a negative bias, in place."""
    for channel in channels:
        net.layers[layer].weight[channel], net.layers[layer].bias[channel] = 0, -1
    return net


def grey_photos(count, seed=0, channels=1):
    return np.random.default_rng(seed).integers(0, 4, (count, 8, 8, channels), dtype=np.uint8)


def all_maps(net, photos, layer):
    return to_numpy(net.forward(to_device(net.preprocessing.scaled(photos)))[layer])


@pytest.fixture
def small_batches(monkeypatch):
    """Three photos at a time, so that eight need three batches."""
    monkeypatch.setattr(shared, "MOST_PHOTOS", 3)


# --------------------------------------------------------------------------------------------- the strongest projection


def strongest_by_loops(maps):
    """Image, row, column, value of each channel's largest value; the first of equals in that order."""
    found = []
    for c in range(maps.shape[0]):
        best = None
        for n in range(maps.shape[3]):
            for i in range(maps.shape[1]):
                for j in range(maps.shape[2]):
                    if best is None or maps[c, i, j, n] > best[3]:
                        best = (n, i, j, maps[c, i, j, n])
        found.append(best)
    return [np.array(column) for column in zip(*found)]


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "relu2"])
def test_the_strongest_unit_is_the_one_that_loops_find(small_batches, layer):
    photos = grey_photos(4)
    photos = np.concatenate([photos[1:], photos])  # every photo but one twice, in other batches: ties
    units = strongest_of_all(small_net(1), photos, layer)
    expected = strongest_by_loops(all_maps(small_net(1), photos, layer))
    for found, wanted in zip((units.image, units.row, units.column, units.value), expected):
        assert np.array_equal(found, wanted)
    assert units.channel.tolist() == list(range(len(units.value)))


def test_a_dead_map_is_strongest_at_its_first_unit(small_batches):
    units = strongest_of_all(silenced(small_net(1), "conv1", 2), grey_photos(8), "relu1")
    assert [int(field[2]) for field in units] == [0, 2, 0, 0, 0]


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("layer", ["relu1", "relu2", "fc3"])
def test_each_picture_is_the_projection_cropped_beside_the_photo_cropped(small_batches, layer, rule):
    nets, photos = [small_net(seed, COLOUR) for seed in (1, 2)], grey_photos(8, channels=3)
    evolution = evolve(nets, photos, layer, [1, 0], rule)
    height, width = evolution.pixels.shape[3:]
    assert (height, width) == {"relu1": (3, 3), "relu2": (8, 8), "fc3": (8, 8)}[layer]
    for k, channel in enumerate([1, 0]):
        for e, net in enumerate(nets):
            image = evolution.image[k, e]
            place = (int(evolution.row[k, e]), int(evolution.column[k, e]))
            trace = net.forward(to_device(net.preprocessing.scaled(photos[[image]])))
            p = project(net, trace, layer, channel, place, rule=rule)
            assert p.activation == evolution.value[k, e] == all_maps(net, photos, layer)[channel].max()
            top, left = {
                "relu1": (place[0] - 1, place[1] - 1),
                "relu2": (2 * place[0] - 3, 2 * place[1] - 3),
                "fc3": (0, 0),
            }[layer]
            room = ((0, 0), (9, 9), (9, 9))
            window = np.s_[..., top + 9 : top + 9 + height, left + 9 : left + 9 + width]
            assert_equal(evolution.pixels[k, e], np.pad(p.pixels, room)[window])
            photo = np.pad(photos[image].transpose(2, 0, 1), room, constant_values=128)[window]
            assert_equal(evolution.patches[k, e], photo.transpose(1, 2, 0))


def test_a_unit_at_the_border_shows_what_lies_outside_as_mid_grey():
    net, photos = small_net(0), np.zeros((1, 8, 8, 1), np.uint8)
    photos[0, 0, 7] = 9
    net.layers["conv1"].weight[0] = 0
    net.layers["conv1"].weight[0, 0, 1, 1] = 1
    evolution = evolve([net], photos, "relu1", [0])
    assert evolution.patches[0, 0, ..., 0].tolist() == [[128, 128, 128], [0, 9, 128], [0, 0, 128]]
    assert np.count_nonzero(evolution.pixels) == 1 and evolution.pixels[0, 0, 0, 1, 1] == evolution.value[0, 0]


def test_without_a_wish_the_maps_that_are_strongest_in_the_end_are_followed():
    nets, photos = [small_net(1), scaled(scaled(small_net(2), "conv2", 4, 64), "conv2", 1, 32)], grey_photos(8)
    for channel in (1, 4):
        nets[1].layers["conv2"].bias[channel] = 9999 + channel
    assert evolve(nets, photos, "relu2", top=2).channels.tolist() == [1, 4]
    assert evolve(nets, photos, "relu2", top=99).channels.tolist() == [0, 1, 2, 3, 4]
    assert evolve(nets[::-1], photos, "relu2", top=99).value.shape == (5, 2)


def test_a_jump_is_an_epoch_with_another_photo():
    evolution = evolve([small_net(1)] * 2 + [small_net(2)], grey_photos(8), "relu1")
    changed = evolution._replace(image=np.array([[3, 3, 5], [0, 2, 2], [1, 1, 1], [4, 0, 4]]))
    assert evolution.jumped[:, :2].sum() == 0
    assert changed.jumped.tolist() == [[False, False, True], [False, True, False], [False] * 3, [False, True, True]]


def test_no_batch_holds_more_maps_than_it_may(monkeypatch):
    net, photos = small_net(1), grey_photos(8)
    values = sum(int(np.prod(shape)) for shape in net.output_shapes().values())
    monkeypatch.setattr(network, "BATCH_BYTES", 4 * values * 3 + 1)
    batches = list(photo_batches(net, photos))
    assert [(first, x.shape[-1]) for first, x in batches] == [(0, 3), (3, 3), (6, 2)]
    assert_equal(np.concatenate([to_numpy(x) for _, x in batches], axis=-1), PLAIN.scaled(photos))
    monkeypatch.setattr(network, "BATCH_BYTES", 1)
    assert [x.shape[-1] for _, x in photo_batches(net, photos)] == [1] * 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "relu9"}, "small has no layer 'relu9'"),
        ({"channels": [0, 4]}, "relu1 has 4 channels, counted from 0; there is no channel 4"),
        ({"channels": [-1]}, "no channel -1"),
        ({"channels": []}, "none in channels"),
        ({"top": 0}, "top is 0; show one feature map at least"),
        ({"rule": "lime"}, "rule 'lime' is unknown"),
        ({"nets": []}, "got 0 epochs; give 1 at least"),
        ({"photos": np.zeros((0, 8, 8, 1), np.uint8)}, r"photos is uint8 \(0, 8, 8, 1\)"),
        ({"photos": np.zeros((2, 8, 8, 1))}, "photos is float64 .*; expected uint8"),
        ({"photos": ["a.jpg"]}, "photos is list; expected uint8"),
        ({"nets": [small_net(1, PLAIN)], "photos": grey_photos(2, channels=3)}, "conv1"),
    ],
)
def test_what_cannot_be_followed_is_refused(change, message):
    arguments = {"nets": [small_net(1)], "photos": grey_photos(2), "layer": "relu1", **change}
    with pytest.raises(ValueError, match=message):
        evolve(**arguments)


def test_a_net_that_does_not_say_how_photos_are_prepared_is_refused():
    net = small_net(1)
    net.preprocessing = None
    with pytest.raises(ValueError, match="small does not say how photos are prepared"):
        evolve([net], grey_photos(2), "relu1")


# ------------------------------------------------------------------------------------------- how far features move


def movement_by_corrcoef(one, other, photos, layer):
    """1 - the mean of NumPy's correlations, for maps none of which is constant."""
    pairs = zip(all_maps(one, photos, layer), all_maps(other, photos, layer))
    return np.mean([1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])


def test_movement_is_one_minus_the_mean_correlation_of_maps(small_batches):
    nets, photos = [small_net(seed) for seed in (1, 2, 5)], grey_photos(8)
    layers = ["conv1", "conv2", "fc3"]
    found = movement(nets, photos, layers)
    assert found.layers == layers and found.channels.tolist() == [4, 5, 2] and not found.constant.any()
    for number, layer in enumerate(layers):
        first, second, last = ([a, b] for a, b in ((0, 1), (1, 2), (0, 2)))
        expected = [movement_by_corrcoef(nets[a], nets[b], photos, layer) for a, b in (first, second, last)]
        assert_close(found.step[number], np.array(expected[:2]), 1e-9)
        assert_close(found.remaining[number], np.array([expected[2], expected[1], 0]), 1e-9)
        assert min(expected) > 0.1


def test_a_net_that_stays_the_same_does_not_move_at_all(small_batches):
    found = movement([small_net(1), small_net(1), small_net(1)], grey_photos(8))
    assert found.layers == ["relu1", "relu2"]
    assert np.array_equal(found.step, np.zeros((2, 2))) and np.array_equal(found.remaining, np.zeros((2, 3)))


def test_a_factor_does_not_count_as_movement_but_another_filter_does():
    louder, turned = scaled(small_net(1), "conv1", 2, 8), scaled(small_net(1), "conv1", 2, -1)
    found = movement([small_net(1), louder, turned], grey_photos(8), ["relu1"])
    assert found.step[0, 0] == 0
    assert 0.05 < found.step[0, 1] < 0.5  # one map of four, by something between 0 and 2
    shifted = scaled(small_net(1), "conv1", 0, 4, offset=20)
    assert movement([small_net(1), shifted], grey_photos(8), ["conv1"]).step[0, 0] == pytest.approx(0, abs=1e-12)


def test_a_net_whose_upper_layer_changes_moves_only_there_and_above():
    changed = small_net(1)
    changed.layers["conv2"].weight = small_net(2).layers["conv2"].weight
    found = movement([small_net(1), changed], grey_photos(8), ["relu1", "pool1", "conv2", "relu2", "fc3"])
    assert found.step[:2].tolist() == [[0.0], [0.0]]
    assert (found.step[2:] > 0.05).all()


def test_a_map_that_dies_has_moved_by_one_and_one_that_is_dead_does_not_count():
    alive, one_dead, two_dead = small_net(1), silenced(small_net(1), "conv1", 3), silenced(small_net(1), "conv1", 3, 0)
    found = movement([alive, one_dead, two_dead, two_dead], grey_photos(8), ["relu1"])
    assert found.constant.tolist() == [[0, 1, 2, 2]]
    assert_close(found.step, np.array([[1 / 4, 1 / 3, 0]]))
    assert_close(found.remaining, np.array([[2 / 4, 1 / 3, 0, 0]]))
    back = movement([two_dead, alive], grey_photos(8), ["relu1"])
    assert_close(back.step, np.array([[2 / 4]]))


def test_a_layer_that_is_dead_as_a_whole_has_no_number(tmp_path):
    dead = silenced(small_net(1), "conv1", 0, 1, 2, 3)
    found = movement([dead, dead, dead], grey_photos(3))
    assert np.isnan(found.step).all() and np.isnan(found.remaining).all()
    assert found.constant.tolist() == [[4] * 3, [5] * 3]  # above a dead layer biases alone are left
    assert settled(found, [0, 1, 2]) == [None, None]
    assert movement_table(found, [0, 1, 2]).splitlines()[1].split() == ["relu1", "-", "-", "-", "4", "of", "4"]
    save_movement_table(tmp_path / "m.csv", found, [0, 1, 2])
    assert (tmp_path / "m.csv").read_text().splitlines()[2] == "relu1,1,,,4,4"
    save_movement_picture(tmp_path / "m.png", found, [0, 1, 2])


def test_rounding_on_a_constant_map_does_not_make_it_alive():
    net = small_net(1)
    net.layers["conv1"].weight[1] = 1e-8
    net.layers["conv1"].bias[1] = 1.0
    found = movement([net, net], grey_photos(8), ["conv1"])
    assert found.constant.tolist() == [[1, 1]] and found.step.tolist() == [[0.0]]


def test_feature_layers_are_those_with_weights_after_their_relu_without_the_classifier():
    assert feature_layers(models.build("zfnet28")) == ["relu1", "relu2", "relu3"]
    assert feature_layers(Network([("conv1", Conv2d(1, 2, 3)), ("conv2", Conv2d(2, 2, 3))])) == ["conv1", "conv2"]
    assert feature_layers(Network([("fc1", Linear(4, 2))])) == ["fc1"]


def test_movement_wants_two_nets_and_layers_that_are_there():
    with pytest.raises(ValueError, match="movement: got 1 epochs; give 2 at least"):
        movement([small_net(1)], grey_photos(2))
    with pytest.raises(ValueError, match="small has no layer 'relu7'"):
        movement([small_net(1)] * 2, grey_photos(2), ["relu7"])


BY_HAND = Movement(
    ["relu1", "relu2", "relu3"],
    np.array([[0.05, 0.02, 0.0], [0.3, 0.2, 0.06], [0.5, 0.5, np.nan]]),
    np.array([[0.07, 0.02, 0.01, 0.0], [0.4, 0.05, 0.2, 0.0], [0.9, 0.6, np.nan, np.nan]]),
    np.array([16, 32, 64]),
    np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 2, 64, 64]]),
)


def test_a_layer_is_settled_once_it_stays_near_what_it_ends_as():
    assert settled(BY_HAND, [1, 2, 5, 10]) == [1, 10, None]  # relu2 was near at epoch 2, but went away again
    assert settled(BY_HAND, [1, 2, 5, 10], threshold=0.25) == [1, 2, None]
    assert settled(BY_HAND, [1, 2, 5, 10], threshold=0.05) == [2, 10, None]


def test_the_table_has_a_line_for_each_layer():
    assert movement_table(BY_HAND, [1, 2, 5, 10]).splitlines() == [
        "layer     1-2     2-5    5-10  settled  constant maps",
        "relu1   0.050   0.020   0.000        1  0 of 16",
        "relu2   0.300   0.200   0.060       10  1 of 32",
        "relu3   0.500   0.500       -        -  64 of 64",
    ]


def test_the_csv_holds_every_number_by_layer_and_epoch(tmp_path):
    save_movement_table(tmp_path / "m.csv", BY_HAND, [1, 2, 5, 10])
    with open(tmp_path / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert list(rows[5].items()) == [
        ("layer", "relu2"), ("epoch", "2"), ("moved_since_previous", "0.3"), ("distance_to_last", "0.05"),
        ("feature_maps", "32"), ("constant_maps", "0"),
    ]  # fmt: skip
    assert rows[4]["moved_since_previous"] == "" == rows[11]["distance_to_last"]


def test_the_chart_is_a_png_with_a_colour_for_each_layer(tmp_path):
    save_movement_picture(tmp_path / "m.png", BY_HAND, [1, 2, 5, 10], "title")
    with Image.open(tmp_path / "m.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert image.format == "PNG" and image.width > 1000 and (68, 1, 84) in colours
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


# ---------------------------------------------------------------------------------------------------------- sheets


def test_a_sheet_has_a_row_for_each_map_and_a_column_for_each_epoch():
    nets, photos = [small_net(seed) for seed in (1, 2, 3)], grey_photos(8)
    sizes = {}
    for epochs, maps in ((3, 4), (3, 2), (2, 4)):
        evolution = evolve(nets[:epochs], photos, "relu1", range(maps))
        sizes[epochs, maps] = evolution_sheet(evolution, nets[0], range(epochs), tile=200).size
    assert sizes[3, 4][0] - sizes[2, 4][0] == 200 + 10
    row = 2 * (200 + 3) + 2 * 18 + 2 * 10  # two pictures, two lines, a double gap
    assert sizes[3, 4][1] - sizes[3, 2][1] == 2 * row


def test_a_cell_shows_the_projection_above_the_patch_and_jumps_are_marked():
    nets, photos = [small_net(1), small_net(2)], grey_photos(8) * 60
    evolution = evolve(nets, photos, "relu1", [0, 1])
    moved = evolution._replace(image=np.array([[3, 3], [2, 5]]))
    sheets = [np.asarray(evolution_sheet(e, nets[0], [1, 2], tile=90)) for e in (evolution, moved)]
    patch = evolution.patches[0, 0].repeat(30, 0).repeat(30, 1)
    found = [(y, x) for y in range(100, 300) for x in range(24, 140)
             if np.array_equal(sheets[0][y : y + 90, x : x + 90], patch)]  # fmt: skip
    assert len(found) == 1
    ((y, x),) = found
    above = sheets[0][y - 93 : y - 3, x : x + 90]
    sign = np.sign(evolution.pixels[0, 0, 0]).repeat(30, 0).repeat(30, 1)
    assert np.array_equal(np.sign(above[..., 0].astype(int) - 128), sign) and sign.any()
    marked = np.argwhere((sheets[1] == MARK).all(axis=-1))
    assert len(marked) == 4 * 183 and marked[:, 0].min() > y + 90, "one bar, in the second row"
    assert (marked[:, 1] > x + 90).all() and (marked[:, 1] < x + 100).all()


def test_the_colours_of_a_net_that_takes_blue_first_are_put_in_order(monkeypatch):
    from minideconv.experiments import feature_evolution

    seen = []
    monkeypatch.setattr(feature_evolution, "table_sheet", lambda cells, *rest, **options: seen.append(cells[0][0]))
    net = small_net(1, COLOUR)
    evolution = evolve([net], grey_photos(4, channels=3), "relu2", [1])
    evolution_sheet(evolution, net, [1])
    picture, patch = seen[0]
    assert np.array_equal(picture, display(evolution.pixels[0, 0], channels="BGR"))
    assert np.array_equal(patch, evolution.patches[0, 0]) and not np.array_equal(picture, picture[..., ::-1])


def test_captions_say_what_is_not_active_and_call_photos_by_their_numbers(monkeypatch):
    from minideconv.experiments import feature_evolution

    seen = {}
    monkeypatch.setattr(
        feature_evolution, "table_sheet", lambda *arguments, **options: seen.update(zip("abcdefg", arguments))
    )
    net, photos = silenced(small_net(1), "conv1", 2), grey_photos(4)
    evolution = evolve([net, net], photos, "relu1", [2, 0])
    evolution_sheet(evolution, net, [5, 9], numbers=np.array([10, 20, 30, 40]))
    image, value, place = evolution.image[1, 0], evolution.value[1, 0], (evolution.row[1, 0], evolution.column[1, 0])
    assert seen["b"] == ["map 2", "map 0"] and seen["c"] == ["epoch 5", "epoch 9"]
    assert seen["d"][0] == [["not active", ""]] * 2
    assert seen["d"][1] == [["{:.3g} at {},{}".format(value, *place), f"photo {10 * (image + 1)}"]] * 2
    assert seen["f"] == "small, relu1: features through training"
    assert "(deconvnet rule)" in seen["g"] and len(seen["g"]) == len(HOW_SHOWN) + 3
    evolution_sheet(evolve([net], photos, "fc3", [1]), net, [5])
    assert seen["b"] == ["unit 1"] and "at" not in seen["d"][0][0][0]


def test_a_table_is_wide_enough_for_its_title_and_refuses_what_does_not_fit():
    tile = np.full((4, 4, 3), 7, np.uint8)
    wide = table_sheet([[[tile]]], ["a"], ["b"], [[["c"]]], [[False]], "a title that is longer than the table")
    assert wide.width > table_sheet([[[tile]]], ["a"], ["b"], [[["c"]]], [[False]], "a title").width > 100
    for wrong in ({"rows": ["a", "b"]}, {"columns": []}, {"captions": [[]]}, {"marked": [[True, False]]}):
        table = {"cells": [[[tile]]], "rows": ["a"], "columns": ["b"], "captions": [[["c"]]], "marked": [[False]]}
        with pytest.raises(ValueError, match="table_sheet: not one cell, caption and mark for each of"):
            table_sheet(**{**table, **wrong})
    with pytest.raises(ValueError, match="table_sheet: no tiles"):
        table_sheet([], [], [], [], [])


# --------------------------------------------------------------------------------------------- snapshots and photos


def test_snapshots_are_listed_by_epoch(tmp_path):
    for name in ("epoch-010.npz", "epoch-002.npz", "epoch-1000.npz", "epoch-0003.npz", "epoch-4.npz",
                 "epoch-005.npz.part", ".epoch-006.npz.12.part", "checkpoint.npz"):  # fmt: skip
        (tmp_path / name).touch()
    assert snapshots(tmp_path) == [(n, tmp_path / f"epoch-{n:03d}.npz") for n in (2, 10, 1000)]


def test_a_folder_without_snapshots_is_refused_with_what_to_try(tmp_path):
    with pytest.raises(ValueError, match=r"there is no folder .*missing"):
        snapshots(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"is called like epoch-001\.npz; training writes one an epoch"):
        snapshots(tmp_path)
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(ValueError, match=r"epoch-001\.npz; try .*snapshots$"):
        snapshots(tmp_path)


def test_epochs_are_those_wanted_or_the_papers_or_a_few():
    assert choose_epochs(range(71)) == [1, 2, 5, 10, 20, 30, 40, 64, 70]
    assert choose_epochs([0, 1, 2, 3]) == [1, 2, 3]
    assert choose_epochs([9, 7, 3]) == [3, 7, 9] and choose_epochs([4]) == [4]
    assert choose_epochs(range(11, 19)) == list(range(11, 19))
    assert choose_epochs(range(100, 115)) == [100, 102, 104, 106, 108, 110, 112, 114]
    assert choose_epochs(range(9), [5, 0, 5]) == [0, 5]
    for wanted in ([1, 9], []):
        with pytest.raises(ValueError, match=r"no snapshot of epoch (9|none); there are 0, 1, 2"):
            choose_epochs(range(3), wanted)


def test_snapshots_come_back_as_nets_and_must_be_of_one_net(tmp_path):
    paths = [save_model(small_net(seed), tmp_path / f"epoch-{seed:03d}.npz") for seed in range(3)]
    nets = load_snapshots(paths)
    assert_equal(nets[2].layers["conv2"].weight, small_net(2).layers["conv2"].weight)
    others = {
        "layers": small_net(3, classes=3),
        "preprocessing": small_net(3, Preprocessing(**{**PLAIN.to_dict(), "mean": (1.0,)})),
    }
    others["input_shape"] = small_net(3)
    others["input_shape"].input_shape = (1, 9, 9)
    for key, other in others.items():
        path = save_model(other, tmp_path / "epoch-003.npz")
        with pytest.raises(ValueError, match=rf"epoch-003\.npz and .*epoch-000\.npz differ in {key}|{key}"):
            load_snapshots([*paths, path])
    other = small_net(3)
    other.preprocessing = None
    with pytest.raises(ValueError, match=r"epoch-003\.npz does not say how photos are prepared"):
        load_snapshots([*paths, save_model(other, tmp_path / "epoch-003.npz")])


def write_photos(folder, count, size=(8, 8)):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((*size, 3), number * 5, np.uint8)).save(folder / f"{number:02d}.png")


def test_photos_are_chosen_evenly_and_keep_their_numbers(tmp_path):
    write_photos(tmp_path / "p", 10)
    (tmp_path / "p/05.png").write_bytes(b"no photo")
    probe = probe_photos(tmp_path / "p", PLAIN, limit=4)
    assert probe.numbers.tolist() == [0, 2, 7] and len(probe.skipped) == 1 and "05.png" in probe.skipped[0]
    assert probe.photos.shape == (3, 8, 8, 1) and probe.photos.dtype == np.uint8
    assert probe.photos[:, 0, 0, 0].tolist() == [0, 10, 35]
    every = probe_photos(tmp_path / "p", COLOUR)
    assert len(every.photos) == 9 and len(every.skipped) == 1


def test_photos_are_cropped_once_as_the_net_sees_them(tmp_path):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    prepared = Preprocessing(resize=12, crop=8, channels="BGR", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    probe = probe_photos(tmp_path, prepared)
    assert_equal(prepared.scaled(probe.photos), prepared([picture]))


def make_fashion(folder, part, count, seed=0):
    """A tiny data set with the official names."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    labels = np.arange(count, dtype=np.uint8) % 10
    images = (labels[:, None, None] * 20 + rng.integers(0, 50, (count, 28, 28))).astype(np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return images


def test_the_photos_of_a_data_set_are_its_test_photos(tmp_path):
    images = make_fashion(tmp_path / "fashion", "t10k", 9)
    probe = probe_photos(tmp_path / "fashion", PLAIN, limit=3)
    assert probe.numbers.tolist() == [0, 3, 6] and probe.skipped == []
    assert_equal(probe.photos[..., 0], images[::3])


def test_photos_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*missing"):
        probe_photos(tmp_path / "missing", PLAIN)
    with pytest.raises(ValueError, match="limit is 0; look at one photo at least"):
        probe_photos(tmp_path, PLAIN, limit=0)
    write_photos(tmp_path / "p", 1)
    Image.new("L", (9, 8)).save(tmp_path / "p/wide.png")
    with pytest.raises(ValueError, match="photos of different sizes, 8 x 8, 8 x 9"):
        probe_photos(tmp_path / "p", PLAIN)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_bytes(b"no photo")
    with pytest.raises(ValueError, match=r"no photo to use: .*a\.png"):
        probe_photos(tmp_path / "bad", PLAIN)


# --------------------------------------------------------------------------------------------------------- the example


def test_the_example_runs_on_a_tiny_data_set(tmp_path, monkeypatch, capsys):
    path = Path(__file__).parents[1] / "examples" / "feature_evolution.py"
    spec = importlib.util.spec_from_file_location("feature_evolution_example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    make_fashion(tmp_path / "data", "train", 40)
    make_fashion(tmp_path / "data", "t10k", 20, seed=1)
    tiny = {"DATA": tmp_path / "data", "PICTURES": 30, "EPOCHS": 3, "PROBE": 10, "MAPS": 2, "OUT": tmp_path / "out"}
    for name, value in tiny.items():
        monkeypatch.setattr(example, name, value)
    example.main()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "movement.csv", "movement.png", "relu1.png", "relu2.png", "relu3.png", "snapshots",
    ]  # fmt: skip
    assert len(list((tmp_path / "out/snapshots").iterdir())) == 4
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["layer", "relu1", "relu2", "relu3", "written:"]
    assert printed[0].split()[1:3] == ["1-2", "2-3"]
