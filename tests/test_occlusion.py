"""Occlusion (Fig. 7): what is hidden is what changes; exactly as if each covered photo went through the net alone."""

import csv
import io

import numpy as np
import pytest
from PIL import Image
from small import colour_net, levels, preparation, run

import minideconv
from minideconv import Network, save_model, to_numpy
from minideconv.experiments.occlusion_sensitivity import occlude
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU


@pytest.fixture(scope="module")
def net():
    return colour_net(size=(12, 14), seed=3)


@pytest.fixture(scope="module")
def photo():
    return levels(1, (12, 14), seed=5)[0]


def cue_net():
    """Class 1 where a 2 × 2 patch is white, class 0 elsewhere: one filter that sees nothing but such a patch."""
    layers = [("conv1", Conv2d(1, 1, 2)), ("relu1", ReLU()), ("flatten", Flatten()), ("fc2", Linear(19 * 19, 2))]
    conv1, fc2 = layers[0][1], layers[3][1]
    conv1.weight, conv1.bias = np.ones((1, 1, 2, 2), "f"), np.array([-3 * 255], "f")
    fc2.weight, fc2.bias = np.stack([np.zeros(361), np.ones(361)]).astype("f"), np.array([100, 0], "f")
    return Network(layers, name="cue", input_shape=(1, 20, 20), preprocessing=preparation("L", (20, 20)),
                   classes=["plain", "cue"])  # fmt: skip


def test_a_planted_cue_lights_up_and_nothing_else():
    photo = np.random.default_rng(0).integers(0, 9, (20, 20), dtype=np.uint8)
    photo[7:9, 11:13] = 255  # the cue; noise of 0 … 8 beside it never passes conv1
    seen = occlude(cue_net(), photo, size=3, stride=1)
    top, left = np.meshgrid(seen.top, seen.left, indexing="ij")
    covers = (top <= 8) & (7 < top + 3) & (left <= 12) & (11 < left + 3)  # some of the cue
    assert covers.sum() == 16 and seen.activity.shape == (18, 18)
    assert seen.whole_activity == 255 and (seen.activity[covers] == 0).all() and (seen.activity[~covers] == 255).all()
    assert seen.label(seen.number) == "cue" and seen.whole_best == 1
    assert ((seen.best == 0) == covers).all()
    assert (seen.probability[covers] < 1e-30).all() and (seen.probability[~covers] == seen.whole_probability).all()
    assert np.abs(seen.projection).sum(axis=0)[7:9, 11:13].all() and np.count_nonzero(seen.projection) == 4


@pytest.mark.parametrize("options", [{"size": 3, "stride": 2}, {"size": 5, "stride": 4, "colour": (7, 0, 3)}, {}])
@pytest.mark.parametrize("layer", ["relu1", "conv2", "pool2", "fc4", None])
def test_every_place_equals_a_photo_covered_by_hand(net, photo, layer, options):
    seen = occlude(net, photo, layer, **options)
    for i, top in enumerate(seen.top):
        for j, left in enumerate(seen.left):
            covered = photo.copy()
            covered[top : top + seen.size, left : left + seen.size] = options.get("colour", (0, 0, 0))
            x = net.preprocess([covered])
            assert seen.activity[i, j] == float(net.forward(x)[seen.layer][seen.channel].sum())
            logits = to_numpy(net.forward(x)["relu4"])
            assert seen.best[i, j] == logits[:, 0].argmax()
            assert seen.probability[i, j] == pytest.approx(float(net.probabilities(x)[seen.number, 0]), rel=1e-6)


def test_the_map_is_the_strongest_and_the_projection_is_its_own(net, photo):
    trace = net.forward(net.preprocess([photo]))
    seen = occlude(net, photo)
    assert (seen.layer, seen.channel) == ("relu3", int(minideconv.strongest(trace, "relu3", 1).channel[0]))
    projected = minideconv.project(net, trace, "relu3", seen.channel)
    assert (seen.projection == projected.pixels).all() and seen.box == projected.box
    assert seen.whole_activity == trace["relu3"][seen.channel].sum() and (seen.photo == photo).all()
    assert occlude(net, photo, "relu2", 4).channel == 4


def test_the_square_goes_from_edge_to_edge_in_steps_as_equal_as_pixels_can_be(net, photo):
    seen = occlude(net, photo, size=4, stride=3)
    assert seen.top.tolist() == [0, 3, 5, 8] and seen.left.tolist() == [0, 2, 5, 8, 10]
    whole = occlude(net, photo, size=12)
    assert whole.top.tolist() == [0] and whole.left.tolist() == [0, 2] and whole.activity.shape == (1, 2)
    assert occlude(net, photo).size == 2  # a fifth of 12, the shorter side


def test_the_square_is_the_models_mean_unless_a_colour_is_named():
    prepared = Preprocessing(resize=None, crop=12, channels="BGR", scale=1 / 255, mean=(0.2, 0.4, 0.8), std=(0.2,) * 3)
    net = colour_net("BGR")
    net.preprocessing = prepared
    photo = levels(1, most=255)[0]
    seen = occlude(net, photo, size=12)
    assert seen.colour.tolist() == [204, 102, 51]
    assert seen.activity[0, 0] == net.forward(np.zeros((3, 12, 12, 1), "f"))["relu3"][seen.channel].sum()
    named = occlude(net, photo, size=12, colour=(10, 20, 30))
    plain = np.full((12, 12, 3), (10, 20, 30), np.uint8)
    assert named.colour.tolist() == [10, 20, 30]
    expected = net.forward(net.preprocess([plain]))["relu3"][named.channel].sum()
    assert named.activity[0, 0] == pytest.approx(float(expected), rel=1e-5)


def test_a_net_without_classifier_has_activity_alone(photo):
    whole = colour_net(size=(12, 14), seed=3)
    layers = list(whole.layers.items())[:6]
    net = Network(layers, name="maps", input_shape=(3, 12, 14), preprocessing=whole.preprocessing)
    seen = occlude(net, photo, "relu2", 1, size=4)
    assert seen.probability is None and seen.best is None and seen.number is None
    assert (seen.activity == occlude(whole, photo, "relu2", 1, size=4).activity).all()
    assert seen.rows()[0] == ("top", "left", "activity") and len(seen.findings()) == 2
    with pytest.raises(ValueError, match="maps has no classifier, so there is no class 'dog'; leave the class out"):
        occlude(net, photo, class_name="dog")


def test_the_true_class_can_be_named(net, photo):
    assert occlude(net, photo, class_name=3, size=6).number == 3
    seen = occlude(net, photo, size=6)
    best = int(net.forward(net.preprocess([photo]))["relu4"][:, 0].argmax())
    assert seen.number == seen.whole_best == best and seen.label(best) == f"class {best}"


def test_picture_table_and_arrays_can_be_kept(net, photo, tmp_path):
    seen = occlude(net, photo, size=4, stride=4)
    for ending in (".png", ".csv", ".npz"):
        seen.save(tmp_path / f"seen{ending}")
    with Image.open(tmp_path / "seen.png") as sheet, Image.open(io.BytesIO(seen._repr_png_())) as shown:
        assert sheet.size == shown.size and len(np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    with open(tmp_path / "seen.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 + seen.activity.size and rows[0]["top"] == ""
    assert [float(row["activity"]) for row in rows] == [seen.whole_activity, *seen.activity.ravel()]
    assert (rows[-1]["top"], rows[-1]["left"]) == ("8", "10")
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as arrays:
        assert (arrays["activity"] == seen.activity).all() and (arrays["best"] == seen.best).all()
        assert str(arrays["layer"]) == "relu3"


def test_many_classes_share_a_legend_of_nine_and_the_rest(net, photo):
    import dataclasses

    best = np.arange(12).reshape(3, 4)
    names = [f"n{i} ${i}" for i in range(12)]
    seen = occlude(net, photo, size=4, stride=4)
    some = dataclasses.replace(seen, top=seen.top[:3], best=best, probability=best / 12, activity=best, classes=names,
                               left=seen.left[:4])  # fmt: skip
    legend = some.draw().axes[5].get_legend()
    said = [text.get_text() for text in legend.get_texts()]
    assert len(said) == 10 and said[0].startswith(f"n{seen.number} ") and said[-1] == "3 other classes: 3 places"


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("occlude")
    save_model(colour_net(), folder / "unnamed.npz")
    named = colour_net()
    named.classes = ["n01 tench", "n02 great white shark", "n03 shark", "ankle boot", "ankle sock"]
    save_model(named, folder / "net.npz")
    layers = [("conv1", Conv2d(3, 2, 3)), ("relu1", ReLU()), ("pool1", MaxPool2d(2))]
    save_model(Network(layers, name="maps", input_shape=(3, 12, 12), preprocessing=preparation()), folder / "maps.npz")
    unknown = colour_net()
    unknown.preprocessing = None
    save_model(unknown, folder / "unknown.npz")
    Image.fromarray(levels(1)[0]).save(folder / "photo.png")
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:70])
    return folder


def test_the_command_writes_three_files_and_says_what_hiding_did(files, tmp_path, capsys):
    given = ["--layer", "relu2", "--channel", 5, "--size", 4, "--stride", 4, "--out", tmp_path / "new" / "out"]
    assert run("occlude", files / "photo.png", "--model", files / "net.npz", "--class", "N03", *given) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "3 × 3 places of a square of 4 pixels, colour 0, 0, 0 (the model's mean)"
    assert said[1].startswith("relu2 map 5: total activity ") and said[2].startswith("n03 shark: probability ")
    assert said[3].startswith("most probable: ") and said[4].startswith("written: occlusion.png, occlusion.csv")
    written = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert written == ["occlusion.csv", "occlusion.npz", "occlusion.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photo": "missing.png"}, "there is no file missing.png"),
        ({"photo": "{folder}"}, "is a folder; give the photos in it"),
        ({"photo": "{folder}/broken.png"}, "is damaged or cut short"),
        ({"--size": "13"}, "a square of 13 pixels is larger than the photo, which the net sees as 12 x 12"),
        ({"--size": "0"}, "size is 0; give a whole number of at least 1"),
        ({"--stride": "0"}, "stride is 0; give a whole number of at least 1"),
        ({"--colour": "1,2,300"}, "give three whole numbers R, G, B of 0 … 255"),
        ({"--layer": "relu9"}, "small has no layer 'relu9'; it has conv1"),
        ({"--channel": "10"}, "relu3 has 10 channels, counted from 0; there is no channel 10"),
        ({"--class": "shark"}, "has no class 'shark'; near: n02 great white shark, n03 shark"),
        ({"--class": "ankle"}, "has no class 'ankle'; near: ankle boot, ankle sock"),
        ({"--class": "5"}, "has no class '5'; it has n01 tench, n02 great white shark, n03 shark"),
        ({"--class": "tench", "--model": "{folder}/unnamed.npz"}, "has no class names; give a number, 0 … 4"),
        ({"--class": "tench", "--model": "{folder}/maps.npz"}, "maps has no classifier, so there is no class 'tench'"),
        ({"--model": "{folder}/unknown.npz"}, "does not say how photos are prepared"),
        ({"--model": "resnet"}, "there is no model file resnet"),
        ({"--out": "{folder}/photo.png"}, "is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    files, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "empty"))
    options = {"photo": "{folder}/photo.png", "--model": "{folder}/net.npz", "--out": "out", **change}
    given = [options.pop("photo"), *(part for option in options.items() for part in option)]
    assert run("occlude", *(part.format(folder=files) for part in given)) == 2
    said = capsys.readouterr().err
    assert message in said.splitlines()[-1] and said.startswith("minideconv: ") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_colour_that_is_none_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit):
        run("occlude", "x.png", "--colour", "grey")
    assert "'grey' is not a colour; give R,G,B such as 128,128,128" in capsys.readouterr().err
