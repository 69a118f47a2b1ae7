"""Invariance (Fig. 5): transformations that can be said by hand, distances that are exact, and the command."""

import csv

import numpy as np
import pytest
from PIL import Image
from small import colour_net, levels, photo_folder, preparation, run

from minideconv import Network, load_model, save_model, to_device, to_numpy
from minideconv.experiments.feature_invariance import invariance, low_and_high
from minideconv.experiments.photo_transforms import EDGES, framed, transformed
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

FEW = {"translations": [-1, 0, 4], "scales": [1, 2], "degrees": [0, 90, 360]}


def resized(crop=12, resize=None, channels="RGB"):
    count = len(channels)
    return Preprocessing(
        resize=resize, crop=crop, channels=channels, scale=1.0, mean=(3.0,) * count, std=(1.0,) * count
    )


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("kind", [("translation", 0), ("scale", 1), ("rotation", 0), ("rotation", 360)])
def test_nothing_done_is_the_photo_as_the_net_sees_it(kind, edge):
    photo = levels(1, (17, 23), most=256)[0]
    for prepared in (resized(12), resized(12, 15), resized(None), resized((11, 9), channels="L")):
        assert (transformed(framed(prepared, photo), *kind, edge) == prepared.levels(photo)).all()


@pytest.mark.parametrize("edge", EDGES)
def test_what_the_crop_cut_off_enters_first(edge):
    photo = levels(1, (20, 16), most=256)[0]
    frame = framed(resized(12), photo)  # rows 4 … 15, columns 2 … 13
    for down in range(-4, 5):
        assert (transformed(frame, "translation", down, edge) == photo[4 - down : 16 - down, 2:14]).all()


def test_beyond_the_photo_is_what_was_chosen():
    photo = levels(1, (12, 12), most=256)[0]
    frame = framed(resized(12), photo)
    moved = {edge: transformed(frame, "translation", 3, edge) for edge in EDGES}
    for picture in moved.values():
        assert (picture[3:] == photo[:9]).all()
    assert (moved["reflect"][:3] == photo[2::-1]).all()
    assert (moved["nearest"][:3] == photo[0]).all()
    assert (moved["grey"][:3] == 3).all()  # the mean of this preparation


def test_quarter_turns_go_counter_clockwise_and_change_no_pixel():
    photo = levels(1, (18, 18), most=256)[0]
    frame = framed(resized(12), photo)
    for quarters in range(-4, 5):
        turned = transformed(frame, "rotation", 90 * quarters)
        assert (turned == np.rot90(photo, quarters)[3:15, 3:15]).all()


def test_scale_two_doubles_about_the_centre():
    ramp = np.tile(np.arange(0, 240, 12, dtype=np.uint8)[:, None], (1, 20))  # rows rise by 12
    frame = framed(resized(12, channels="L"), ramp)
    larger = transformed(frame, "scale", 2)[..., 0].astype(int)
    assert (np.diff(larger, axis=0) == 6).all() and larger[5:7, 0].sum() == ramp[9:11, 0].sum()


def test_a_translation_by_the_product_of_strides_moves_maps_by_whole_cells():
    layers = [("conv1", Conv2d(3, 4, 3, stride=2)), ("relu1", ReLU()), ("pool1", MaxPool2d(3, stride=2)),
              ("conv2", Conv2d(4, 5, 3, padding=1)), ("relu2", ReLU())]  # fmt: skip
    net = Network(layers, input_shape=(3, 31, 31), preprocessing=resized(31))
    rng = np.random.default_rng(1)
    for name in ("conv1", "conv2"):
        net.layers[name].weight = to_device(rng.integers(-2, 3, net.layers[name].weight.shape).astype("f"))
        net.layers[name].bias = to_device(rng.integers(-2, 3, net.layers[name].bias.shape).astype("f"))
    frame = framed(net.preprocessing, levels(1, (50, 40), most=99)[0])
    for cells in (1, 2, -1):
        pictures = np.stack([transformed(frame, "translation", 4 * moved) for moved in (0, cells)])
        trace = net.forward(net.preprocessing.scaled(pictures))
        for layer, shift, rim in (("relu1", 2 * cells, 0), ("pool1", cells, 0), ("relu2", cells, 1)):
            still, moved = trace[layer][..., 0], trace[layer][..., 1]
            rows = still.shape[1]
            inner = slice(max(shift, 0) + rim, rows + min(shift, 0) - rim)  # rim: rows next to conv2's padding
            below = slice(inner.start - shift, inner.stop - shift)
            assert (moved[:, inner] == still[:, below]).all() and moved[:, inner].any() and inner.start < inner.stop


def test_distances_are_lengths_of_differences_by_the_length_of_the_features():
    net, photos = colour_net(seed=2), levels(3, (20, 16), seed=4)
    found = invariance(net, list(photos), ["relu1", "relu3", "fc4"], **FEW)
    assert found.distance.shape == (3, 3, 8) and found.transformation.tolist()[2:4] == ["translation", "scale"]
    for p, photo in enumerate(photos):
        frame = framed(net.preprocessing, photo)
        before = net.forward(net.preprocess([photo]))
        for k, (kind, amount) in enumerate(zip(found.transformation, found.amount)):
            after = net.forward(net.preprocess([transformed(frame, kind, amount)]))
            for number, layer in enumerate(found.layers):
                still = to_numpy(before[layer])
                expected = np.linalg.norm(to_numpy(after[layer]) - still) / np.linalg.norm(still)
                assert found.distance[number, p, k] == pytest.approx(float(expected), rel=1e-5, abs=0)
            expected = net.probabilities(after.input)[found.number[p], 0]
            assert found.probability[p, k] == pytest.approx(float(expected), rel=1e-5)
    one, two, three = (to_numpy(net.forward(net.preprocess([photo]))["relu3"]) for photo in photos)
    expected = (np.linalg.norm(one - two) + np.linalg.norm(one - three)) / 2 / np.linalg.norm(one)
    assert found.apart[1, 0] == pytest.approx(float(expected), rel=1e-5)


def test_what_has_not_moved_is_at_distance_zero_exactly_with_any_weights():
    net = load_model("zfnet28")  # float weights: another batch rounds differently
    photos = [np.repeat(picture, 3, axis=2) for picture in levels(2, (28, 28), colours=1, most=256)]
    found = invariance(net, photos)
    still = (found.amount == 0) | ((found.transformation == "scale") & (found.amount == 1))
    assert still.sum() == 3 and (found.distance[:, :, still] == 0).all() and (found.distance[:, :, ~still] > 0).all()
    assert (found.probability[:, still] == found.whole_probability[:, None]).all()
    assert found.amount[found.transformation == "translation"].tolist() == list(range(-7, 8))


def test_low_and_high_are_the_first_rectified_maps_and_what_the_classifier_sees():
    assert low_and_high(load_model("zfnet28"), (1, 28, 28)) == ["relu1", "pool3"]
    body = [("conv1", Conv2d(3, 2, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2))]
    top = [("flatten", Flatten()), ("fc2", Linear(50, 4)), ("relu2", ReLU()), ("drop2", Dropout()),
           ("fc3", Linear(4, 2))]  # fmt: skip
    assert low_and_high(Network(body, input_shape=(3, 12, 12)), (3, 12, 12)) == ["relu1", "pool1"]
    assert low_and_high(Network(body + top, input_shape=(3, 12, 12)), (3, 12, 12)) == ["relu1", "relu2"]


def test_half_way_is_the_least_amount_at_half_of_the_farthest():
    import dataclasses

    found = invariance(colour_net(), list(levels(1)), ["relu1"], translations=[-2, 0, 1, 5], degrees=[0, 30, 350])
    distance = np.zeros_like(found.distance)
    distance[0, 0, :4] = [0.9, 0, 0.4, 1]
    distance[0, 0, found.transformation == "rotation"] = [0, 0.3, 0.6]
    given = dataclasses.replace(found, distance=distance)
    assert given.half_way("relu1", "translation") == 2 and given.half_way("relu1", "rotation") == 10


def test_one_photo_is_a_curve_and_picture_table_and_arrays_can_be_kept(tmp_path):
    found = invariance(colour_net(), [levels(1)[0]], class_names=[2], **FEW)
    assert np.isnan(found.apart).all() and "other photos" not in found.findings()[0]
    assert found.number.tolist() == [2] and found.pictures.shape == (3, 5, 1, 12, 12, 3)
    for ending in (".png", ".csv", ".npz"):
        found.save(tmp_path / f"found{ending}")
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.width == round(4.1 * 4 * 120) and len(np.unique(np.asarray(sheet.convert("L")))) > 20
    with open(tmp_path / "found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["distance relu1"]) for row in rows] == found.distance[0, 0].tolist()
    assert rows[2]["transformation"] == "translation" and rows[2]["amount"] == "4.0" and rows[2]["class"] == "class 2"
    with np.load(tmp_path / "found.npz", allow_pickle=False) as arrays:
        assert (arrays["distance"] == found.distance).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edge": "black"}, "edge is 'black'; use one of reflect, nearest, grey"),
        ({"scales": [0.5, 0]}, "a scale of 0 leaves nothing"),
        ({"degrees": [np.nan]}, "amounts of rotation are"),
        ({"translations": []}, "amounts of translation are"),
        ({"class_names": [1, 2, 3]}, "3 classes for 2 photos; give one for each, or one for all"),
        ({"layers": ["relu9"]}, "has no layer 'relu9'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        invariance(colour_net(), list(levels(2)), **options)


def test_photos_that_cannot_be_compared_are_refused():
    net = colour_net()
    with pytest.raises(ValueError, match="0 photos; give 1 to 20"):
        invariance(net, [])
    with pytest.raises(ValueError, match="21 photos; give 1 to 20"):
        invariance(net, [levels(1)[0]] * 21)
    net.preprocessing = resized(None)
    with pytest.raises(ValueError, match="as 12 x 12 and 12 x 13 pixels; give equal photos"):
        invariance(net, [levels(1)[0], levels(1, (12, 13))[0]])
    net.preprocessing = preparation()
    net.layers["conv1"].weight[:], net.layers["conv1"].bias[:] = 0, -1
    with pytest.raises(ValueError, match="relu1 of small is all zero for the uint8 array"):
        invariance(net, [levels(1)[0]])


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invariance")
    photo_folder(folder / "photos", levels(4, (16, 20)), broken=[2])
    named = colour_net()
    named.classes = ["n01 tench", "n02 shark", "n03 boot", "n04 sock", "n05 shoe"]
    save_model(named, folder / "net.npz")
    layers = [("conv1", Conv2d(3, 2, 3)), ("relu1", ReLU())]
    save_model(Network(layers, name="maps", input_shape=(3, 12, 12), preprocessing=preparation()), folder / "maps.npz")
    return folder


def test_the_command_writes_three_files_and_says_how_soon_features_move(files, tmp_path, capsys):
    photos = [files / "photos" / f"00{number}.png" for number in (0, 1, 3)]
    given = ["--class", "n02", "boot", "4", "--edge", "grey", "--out", tmp_path / "out"]
    assert run("invariance", *photos, "--model", files / "net.npz", *given) == 2  # "boot" is no first word
    assert "has no class 'boot'; near: n03 boot" in capsys.readouterr().err
    given[2] = "n03 boot"
    assert run("invariance", *photos, "--model", files / "net.npz", *given) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["relu1", "relu3", "written"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"invariance.{e}" for e in ("csv", "npz", "png")]
    with np.load(tmp_path / "out" / "invariance.npz") as arrays:
        assert arrays["number"].tolist() == [1, 2, 4] and [name[-7:] for name in arrays["names"]] == [
            "000.png", "001.png", "003.png"
        ]  # fmt: skip


def test_of_a_folder_some_photos_are_taken_and_broken_ones_left_out(files, tmp_path, capsys):
    given = ["--model", files / "maps.npz", "--limit", 3, "--out", tmp_path]
    assert run("invariance", files / "photos", *given) == 0
    said = capsys.readouterr().err
    assert "3 of 4 photos, evenly chosen" in said and "skipped: " in said and "002.png is damaged" in said
    with np.load(tmp_path / "invariance.npz") as arrays:
        assert len(arrays["names"]) == 2 and "probability" not in arrays and arrays["layers"].tolist() == ["relu1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photos": "missing"}, "there is no file or folder missing"),
        ({"photos": "{folder}/photos/002.png"}, "is damaged or cut short"),
        ({"photos": "{folder}/photos/000.png {folder}/photos/002.png"}, "002.png is damaged or cut short"),
        ({"photos": "{folder}/photos/000.png missing.png"}, "there is no file missing.png"),
        ({"photos": "{folder}/net.npz {folder}/net.npz"}, "is not an image Pillow can read"),
        ({"--limit": "0"}, "limit is 0; look at one photo at least"),
        ({"--layers": "relu1 relu9"}, "small has no layer 'relu9'"),
        ({"--class": "tench"}, "has no class 'tench'; near: n01 tench"),
        ({"--class": "1 2"}, "2 classes for 3 photos"),
        ({"--class": "1", "--model": "{folder}/maps.npz"}, "maps has no classifier, so there is no class '1'"),
        ({"--out": "{folder}/net.npz"}, "is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    files, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    options = {"photos": "{folder}/photos", "--model": "{folder}/net.npz", "--out": "out", **change}
    given = options.pop("photos").split()
    given += [part for name, value in options.items() for part in (name, *value.split())]
    assert run("invariance", *(part.format(folder=files) for part in given)) == 2
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1] and said[-1].startswith("minideconv: ") and list(tmp_path.iterdir()) == []


def test_half_way_is_the_least_change_either_way():
    """A photo made 0.9 as large is nearer to itself than one made 0.3 as large."""
    net, photos = colour_net(), [np.random.default_rng(0).integers(0, 8, (30, 30, 3), np.uint8)]
    found = invariance(net, photos, ["relu1"], translations=[-3, 0, 1], scales=[0.3, 0.9, 1, 1.5], degrees=[0, 350, 90])
    at = dict(zip(zip(found.transformation.tolist(), found.amount.tolist()), found.distance[0, 0].tolist()))
    assert at["scale", 0.9] >= at["scale", 0.3] / 2  # so half-way is at the smaller of the two changes
    assert found.half_way("relu1", "scale") == 1 / 0.9
    assert found.half_way("relu1", "translation") == 1 and found.half_way("relu1", "rotation") == 10


def test_one_class_for_all_photos_may_be_a_number():
    net = colour_net()
    photos = [np.random.default_rng(seed).integers(0, 8, (30, 30, 3), np.uint8) for seed in (0, 1)]
    small = {"translations": [0], "scales": [1], "degrees": [0]}
    assert invariance(net, photos, ["relu1"], 3, **small).number.tolist() == [3, 3]
