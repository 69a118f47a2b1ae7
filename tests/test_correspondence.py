"""Correspondence analysis: the share of unequal signs by hand and by naive loops, fair random places, exact zeros."""

import csv
import json
import shutil
from itertools import combinations

import numpy as np
import pytest
from draw import generators
from hypothesis import given
from hypothesis import strategies as st
from small import colour_net, levels, photo_folder

from minideconv import Correspondence, Network, correspond, to_device, to_numpy
from minideconv.experiments import correspondence_analysis
from minideconv.experiments.correspondence import COLUMNS, MEASURES, PAPER, PLACES
from minideconv.experiments.correspondence_analysis import compare_signs, random_boxes
from minideconv.experiments.part_marks import MarkedPhotos
from minideconv.layers import Conv2d, MaxPool2d, ReLU

LAYERS = ["relu1", "relu3", "fc4"]
OBJECT = [1, 0, 12, 11]
MARKS = {
    f"{n:03}.png": {"object": OBJECT, "parts": {"eye": [3, 2 + n, 5, 4 + n], "nose": [7 - n, 5, 10 - n, 9]}}
    for n in range(3)
}


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", levels(4))


# --------------------------------------------------------------------------------------------------------- the measure


def test_two_photos_by_hand():
    signs = to_device(np.array([[1, 1], [1, -1], [0, 1], [-1, 0], [0, 0], [0, 0], [-1, -1], [0, 0]]))
    found = compare_signs(signs)
    assert found.delta == [3 / 8]  # the second, third and fourth unit
    assert found.changed == [3 / 5]  # three units change in neither photo
    assert found.zeros == 8 / 16


def test_pairs_come_in_the_order_of_the_photos():
    signs = to_device(np.array([[1, 1, -1], [1, 0, 1]]))
    assert compare_signs(signs).delta.tolist() == [1 / 2, 1 / 2, 2 / 2]  # (0, 1), (0, 2), (1, 2)


def test_where_nothing_changes_nothing_differs():
    found = compare_signs(to_device(np.zeros((5, 3))))
    assert found.delta.tolist() == found.changed.tolist() == [0, 0, 0] and found.zeros == 1


@given(rng=generators(), units=st.integers(1, 40), count=st.integers(2, 5))
def test_the_comparison_is_the_naive_one(rng, units, count):
    signs = rng.integers(-1, 2, (units, count))
    found = compare_signs(to_device(signs))
    for q, (i, j) in enumerate(combinations(range(count), 2)):
        unequal = sum(signs[d, i] != signs[d, j] for d in range(units))
        either = sum(signs[d, i] != 0 or signs[d, j] != 0 for d in range(units))
        assert found.delta[q] == unequal / units
        assert found.changed[q] == (unequal / either if either else 0)
    assert found.zeros == pytest.approx((signs == 0).mean(), abs=1e-12)


@given(rng=generators(), count=st.integers(2, 6))
def test_another_order_of_photos_gives_the_same_pairs(rng, count):
    signs, order = rng.integers(-1, 2, (30, count)), rng.permutation(count)
    one, other = (compare_signs(to_device(array)) for array in (signs, signs[:, order]))
    assert sorted(one.delta) == sorted(other.delta) and sorted(one.changed) == sorted(other.changed)
    assert one.zeros == other.zeros


# -------------------------------------------------------------------------------------------------------- random places


def marked(boxes, objects, size):
    """Marks without photos: boxes (P, N, 4), objects (N, 4) in `size` pixels."""
    boxes, objects = np.array(boxes), np.array(objects)
    names, parts = [[str(n) for n in range(count)] for count in (boxes.shape[1], len(boxes))]
    return MarkedPhotos(names, parts, np.zeros((3, *size, len(names)), np.float32), boxes, objects)


@given(rng=generators(), count=st.integers(2, 4), parts=st.integers(1, 3), seed=st.integers(0, 99))
def test_random_boxes_have_the_size_of_the_part_and_lie_inside(rng, count, parts, seed):
    corner = rng.integers(0, 10, (count, 2))
    objects = np.concatenate([corner, corner + rng.integers(5, 10, (count, 2))], axis=1)
    sizes = rng.integers(1, 6, (parts, count, 2))
    given_marks = marked(np.concatenate([objects[:, :2] + 0 * sizes, objects[:, :2] + sizes], -1), objects, (20, 25))
    boxes = random_boxes(given_marks, 7, seed)
    assert boxes.shape == (len(PLACES), parts, 7, count, 4) and boxes.dtype == np.int64
    assert (boxes[..., 2:] - boxes[..., :2] == sizes[:, None]).all()
    assert (boxes[:2, ..., :2] >= objects[:, :2]).all() and (boxes[:2, ..., 2:] <= objects[:, 2:]).all()
    assert (boxes[2, ..., :2] >= 0).all() and (boxes[2, ..., 2:] <= [20, 25]).all()
    np.testing.assert_array_equal(boxes, random_boxes(given_marks, 7, seed))
    assert (boxes != random_boxes(given_marks, 7, seed + 1)).any()


def test_every_place_is_reached_the_first_and_the_last():
    boxes = random_boxes(marked([[[2, 3, 4, 5]] * 2], [[2, 3, 5, 7]] * 2, (6, 8)), 400, 0)[:, 0]  # (B, R, N, 4)
    for places, rows, columns in zip(boxes, ((2, 3), (2, 3), (0, 4)), ((3, 5), (3, 5), (0, 6))):
        for n in (0, 1):
            assert set(places[:, n, 0]) == set(range(rows[0], rows[1] + 1))
            assert set(places[:, n, 1]) == set(range(columns[0], columns[1] + 1))


def test_the_same_place_is_the_same_in_every_object():
    boxes = random_boxes(marked([[[0, 0, 2, 2], [5, 4, 7, 6]]], [[0, 0, 8, 8], [5, 4, 13, 12]], (20, 20)), 50, 0)
    inside, same, _ = boxes[:, 0]
    np.testing.assert_array_equal(same[:, 0] + [5, 4, 5, 4], same[:, 1])
    assert (inside[:, 0] + [5, 4, 5, 4] != inside[:, 1]).any()


# ---------------------------------------------------------------------------------------------------------- the whole


def naive(net, x, boxes, layers):
    """delta (M, L, Q) of one way to hide boxes (N, 4): photo by photo, pair by pair, unit by unit."""

    def maps(n, hide):
        one = x[..., n : n + 1].copy()
        top, left, bottom, right = boxes[n]
        if hide:
            one[:, top:bottom, left:right] = 0
        trace = net.forward(to_device(one))
        return [to_numpy(trace[layer])[..., 0].astype(np.float64) for layer in layers]

    change = [[a - b for a, b in zip(maps(n, False), maps(n, True))] for n in range(x.shape[-1])]
    found = np.zeros((3, len(layers), len(list(combinations(change, 2)))))
    for q, (one, other) in enumerate(combinations(change, 2)):
        for n, (a, b) in enumerate(zip(one, other)):
            units = [(np.sign(v), np.sign(w)) for v, w in zip(a.flat, b.flat)]
            unequal = sum(v != w for v, w in units)
            either = sum(v != 0 or w != 0 for v, w in units)
            sums = [(np.sign(v.sum()), np.sign(w.sum())) for v, w in zip(a, b)]
            found[:, n, q] = (
                unequal / len(units), unequal / either if either else 0, sum(v != w for v, w in sums) / len(sums)
            )  # fmt: skip
    return found


@given(seed=st.integers(0, 2**16), count=st.integers(2, 3))
def test_parts_and_random_places_are_compared_as_by_naive_loops(tmp_path_factory, seed, count):
    folder = photo_folder(tmp_path_factory.mktemp("naive") / "photos", levels(count, seed=seed))
    net, marks = colour_net(seed=seed), dict(list(MARKS.items())[:count])
    found = correspond(net, folder, marks, LAYERS, draws=2, seed=seed)
    x = to_numpy(net.preprocess(sorted(folder.iterdir())))
    for p in range(2):
        np.testing.assert_array_equal(found.delta[:, p], naive(net, x, found.boxes[p], LAYERS))
    given_marks = MarkedPhotos(found.photos, found.parts, x, found.boxes, found.objects)
    boxes = random_boxes(given_marks, 2, seed)
    for b, p, r in np.ndindex(*boxes.shape[:3]):
        np.testing.assert_array_equal(found.random[:, b, p, :, r], naive(net, x, boxes[b, p, r], LAYERS))


def test_equal_photos_with_equal_hidden_parts_change_alike_exactly(tmp_path):
    folder = photo_folder(tmp_path / "photos", np.repeat(levels(1, most=256), 3, axis=0))
    marks = dict.fromkeys(MARKS, MARKS["000.png"])
    found = correspond(colour_net(), folder, marks, draws=3)
    assert (found.delta == 0).all() and (found.zeros < 1).any()
    assert (found.random[:, PLACES.index("the same place")] == 0).all()
    assert (found.random[0, PLACES.index("in the object")] > 0).any()


def test_a_unit_that_sees_nothing_of_the_box_does_not_change_at_all():
    """In float32 too, where a product may round differently in another batch: the bits are the same."""
    layers = [("conv1", Conv2d(3, 32, 5, padding=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
              ("conv2", Conv2d(32, 48, 3, padding=1)), ("relu2", ReLU())]  # fmt: skip
    net = Network(layers, input_shape=(3, 64, 64), seed=0)
    x = np.random.default_rng(0).normal(size=(3, 64, 64, 7)).astype(np.float32)
    hidden = correspondence_analysis._with_hidden(x, [[20, 30, 28, 36]] * 7)
    before, after = (correspondence_analysis._features(net, images, ["relu1", "relu2"]) for images in (x, hidden))
    for layer, (rows, columns), side in (("relu1", ((18, 30), (28, 38)), 64), ("relu2", ((8, 16), (13, 20)), 32)):
        change = to_numpy(before[layer] - after[layer]).reshape(-1, side, side, 7)
        assert change[:, rows[0] : rows[1], columns[0] : columns[1]].any()
        change[:, rows[0] : rows[1], columns[0] : columns[1]] = 0
        assert not change.any(), layer


def test_the_order_of_the_marks_does_not_matter_nor_which_photos_lie_beside(photos):
    found = correspond(colour_net(), photos, MARKS, draws=3)
    other = correspond(colour_net(), photos, dict(reversed(MARKS.items())), draws=3)
    (photos / "003.png").unlink()  # it has no marks
    for again in (other, correspond(colour_net(), photos, MARKS, draws=3)):
        for field, value in vars(found).items():
            np.testing.assert_array_equal(value, getattr(again, field), field)


def test_photos_in_another_order_give_the_same_pairs_of_parts(photos, tmp_path):
    found = correspond(colour_net(), photos, MARKS, draws=1)
    (tmp_path / "other").mkdir()
    marks = {}
    for new, (name, mark) in zip("cab", MARKS.items()):
        shutil.copy(photos / name, tmp_path / "other" / f"{new}.png")
        marks[f"{new}.png"] = mark
    other = correspond(colour_net(), tmp_path / "other", marks, draws=1)
    np.testing.assert_array_equal(np.sort(found.delta), np.sort(other.delta))
    np.testing.assert_allclose(found.zeros, other.zeros, rtol=1e-12)


def test_places_come_from_the_seed_and_not_from_the_layers_or_batches(photos, monkeypatch):
    found = correspond(colour_net(), photos, MARKS, ["relu1", "relu2"], draws=4, seed=5)
    one = correspond(colour_net(), photos, MARKS, "relu2", draws=4, seed=5)
    np.testing.assert_array_equal(found.random[:, :, :, 1:], one.random)
    assert (correspond(colour_net(), photos, MARKS, "relu2", draws=4, seed=6).random != one.random).any()
    monkeypatch.setattr(correspondence_analysis, "photos_at_once", lambda net, shape: 2)
    np.testing.assert_array_equal(correspond(colour_net(), photos, MARKS, "relu2", draws=4, seed=5).random, one.random)


def test_every_relu_is_the_default_and_the_shapes_are_as_documented(photos):
    found = correspond(colour_net(), photos, MARKS, draws=5)
    assert isinstance(found, Correspondence) and found.layers == ["relu1", "relu2", "relu3", "relu4"]
    assert found.photos == list(MARKS) and found.parts == ["eye", "nose"]
    assert found.delta.shape == (3, 2, 4, 3) and found.random.shape == (3, 3, 2, 4, 5, 3)
    assert found.zeros.shape == (2, 4) and found.random_zeros.shape == (3, 2, 4) == found.as_low().shape[1:]
    dense = found.layers.index("relu4")  # after Flatten a unit is a map
    np.testing.assert_array_equal(found.delta[0, :, dense], found.delta[2, :, dense])


@pytest.mark.parametrize(
    ("given_marks", "options", "message"),
    [
        (dict(list(MARKS.items())[:1]), {}, r"only 000\.png is marked; .* two photos at least"),
        (MARKS, {"layers": ["relu9"]}, "small has no layer 'relu9'"),
        (MARKS, {"draws": 0}, "draws is 0; draw random places once at least"),
    ],
)
def test_what_is_wrong_is_said(photos, given_marks, options, message):
    with pytest.raises(ValueError, match=message):
        correspond(colour_net(), photos, given_marks, **options)


def test_a_net_without_relu_needs_layers(photos):
    net = Network([("conv1", Conv2d(3, 2, 3))], name="linear", input_shape=(3, 12, 12))
    net.preprocessing = colour_net().preprocessing
    with pytest.raises(ValueError, match="linear has no ReLU; name the layers to compare: conv1"):
        correspond(net, photos, MARKS)
    assert correspond(net, photos, MARKS, "conv1", draws=1).layers == ["conv1"]


# ---------------------------------------------------------------------------------------------------------- the result


def result():
    """Two photos, one part, one layer, two draws: means that can be checked by eye."""
    box, one = np.array([[[0, 0, 1, 1]] * 2]), np.ones((3, 1, 1, 1))
    random = np.array([0.25, 0.75]).reshape(1, 1, 1, 1, 2, 1) + np.zeros((3, 3, 1, 1, 2, 1))
    return Correspondence(
        "net", ["relu1"], ["nose"], ["a.png", "b.png"], "photo", box, box[0], 0.5 * one, random,
        np.array([[0.9]]), np.full((3, 1, 1), 0.8),
    )  # fmt: skip


def test_the_table_has_every_measure_beside_the_paper_and_says_how_many_draws_are_as_low():
    lines = str(result()).splitlines()
    row = next(line for line in lines if line.startswith("relu1"))
    assert row.split("  ")[-1].strip() == "0.900, 0.800"
    assert "0.500 ± 0.000" in row and row.count("0.500 ± 0.250 (50 %)") == 3
    assert sum(line.startswith("relu1") for line in lines) == len(MEASURES)
    assert any(line.split() == "paper, 5 nose 0.079 ± 0.017 0.107 ± 0.017".split() for line in lines)


def test_the_csv_has_a_row_for_everything_that_was_hidden(tmp_path):
    result().save(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert rows[:2] == [
        ["units", "relu1", "nose", "the part", "0.5", "0.0", "", "", "0.9"],
        ["units", "relu1", "nose", "in the object", "0.5", "0.25", "0.25", "0.5", "0.8"],
    ]
    assert len(rows) == len(MEASURES) * (1 + len(PLACES)) + sum(map(len, PAPER.values()))
    assert ["paper", "5", "random", "in the object", "0.107", "0.017", "", "", ""] in rows


def test_the_result_is_kept_as_arrays_and_drawn(tmp_path):
    found = result()
    found.save(tmp_path / "arrays.npz")
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert sorted(arrays) == sorted(vars(found))
        np.testing.assert_array_equal(arrays["random"], found.random)
    titles = [axes.get_title() for axes in found.draw().axes]
    assert titles.count("relu1") == len(MEASURES)
    assert {f"the paper, layer {layer}" for layer in PAPER} < set(titles)


def test_marks_may_come_from_a_file(photos, tmp_path):
    (tmp_path / "marks.json").write_text(json.dumps(MARKS))
    one, other = (correspond(colour_net(), photos, m, "relu1", draws=2) for m in (MARKS, tmp_path / "marks.json"))
    np.testing.assert_array_equal(one.random, other.random)
