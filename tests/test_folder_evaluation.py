"""Errors on class folders: classes in the model file's order, crops where they should be, bad photos named."""

import shutil

import numpy as np
import pytest
from PIL import Image
from small import run

from minideconv import Network, save_model, to_device
from minideconv.folder_evaluation import evaluate_folders
from minideconv.images import Preprocessing
from minideconv.layers import Flatten, GlobalAvgPool2d, Linear

COLOURS = {"red": (200, 30, 20), "green": (20, 190, 30), "blue": (30, 20, 180)}


def colour_net(classes, **preprocessing):
    """A net that tells colours: its classes are the channels of a photo, in the order red, green, blue of `classes`."""
    net = Network([("pool1", GlobalAvgPool2d()), ("flatten", Flatten()), ("fc1", Linear(3, 3, has_bias=False))],
                  name="colours", input_shape=(3, 8, 8), classes=classes)  # fmt: skip
    order = [list(COLOURS).index(name) for name in classes or ("blue", "green", "red")]
    net.layers["fc1"].weight = to_device(np.eye(3, dtype=np.float32)[order])
    usual = {"resize": 10, "crop": 8, "channels": "RGB", "scale": 1 / 255, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    net.preprocessing = Preprocessing(**{**usual, **preprocessing})
    return net


@pytest.fixture
def folders(tmp_path):
    """Three photos of each colour, but one of the blue ones is red."""
    root = tmp_path / "photos"
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(3):
            shown = COLOURS["red"] if (name, i) == ("blue", 2) else colour
            Image.new("RGB", (20, 12 + i), shown).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize("classes", [["green", "red", "blue"], ["blue", "green", "red"], None])
@pytest.mark.parametrize("ten_crop", [False, True])
def test_classes_have_the_order_of_the_model_file(classes, ten_crop, folders):
    result, order, problems = evaluate_folders(colour_net(classes), folders, ten_crop=ten_crop, progress=False)
    assert result.top1 == pytest.approx(1 / 9) and result.top5 == 0 and problems == []
    names = classes or sorted(COLOURS)
    assert result.confusion[names.index("blue"), names.index("red")] == 1 and np.trace(result.confusion) == 8
    assert ("that the model file names" in order) == bool(classes)


def test_a_class_may_be_named_by_the_first_word_of_a_line(folders):
    net = colour_net(["blue", "green", "red"])
    net.classes = ["blue a colour", "green, of grass", "red"]
    (folders / "green").rename(folders / "green,")
    assert evaluate_folders(net, folders, progress=False)[0].top1 == pytest.approx(1 / 9)


def test_folders_of_other_names_stand_for_the_classes_in_order_if_they_are_as_many(folders):
    for number, name in enumerate(("blue", "green", "red")):
        (folders / name).rename(folders / f"n0{number}")
    result, order, _ = evaluate_folders(colour_net(["blue", "green", "red"]), folders, progress=False)
    assert result.top1 == pytest.approx(1 / 9) and order.startswith("3 folders in sorted order")


def test_some_of_the_classes_are_enough_if_the_model_file_names_them(folders):
    shutil.rmtree(folders / "blue")
    result, order, _ = evaluate_folders(colour_net(["blue", "green", "red"]), folders, progress=False)
    assert result.top1 == 0 and result.confusion.sum() == 6 and order.startswith("2 of the 3 classes")
    with pytest.raises(ValueError, match=r"2 class folders \(green, red\) do not fit the 3 classes of colours"):
        evaluate_folders(colour_net(None), folders, progress=False)


def test_batches_do_not_change_the_result(folders):
    net = colour_net(["blue", "green", "red"])
    results = [evaluate_folders(net, folders, batch_size=size, progress=False)[0].confusion for size in (1, 4, 9)]
    assert all((result == results[0]).all() for result in results)


def test_ten_crops_see_what_the_centre_does_not(folders):
    for path in folders.glob("green/*.png"):  # green at the rim of the square of 10, blue in its middle
        pixels = np.zeros((10, 10, 3), np.uint8)
        pixels[...], pixels[1:9, 1:9] = COLOURS["green"], COLOURS["blue"]
        pixels[[0, 9]], pixels[:, [0, 9]] = (0, 255, 0), (0, 255, 0)
        Image.fromarray(pixels).save(path)
    net = colour_net(["blue", "green", "red"])
    net.layers["fc1"].weight = to_device(np.diag([1.0, 3.0, 1.0]).astype(np.float32)[:, [2, 1, 0]])
    one, ten = (evaluate_folders(net, folders, ten_crop=crops, progress=False)[0] for crops in (False, True))
    assert one.confusion[1, 1] == 0 and ten.confusion[1, 1] == 3


def test_photos_that_cannot_be_used_are_named_and_left_out(folders):
    (folders / "red" / "broken.png").write_bytes(b"no photo")
    Image.new("RGB", (20, 20)).save(folders / "stray.png")
    result, _, problems = evaluate_folders(colour_net(["blue", "green", "red"]), folders, progress=False)
    assert result.confusion.sum() == 9 and len(problems) == 2
    assert "stray.png lies in no class folder" in problems[0] and "broken.png" in problems[1]


def test_photos_of_another_size_than_the_net_takes_are_named(folders):
    net = colour_net(["blue", "green", "red"], resize=None, crop=None)
    with pytest.raises(ValueError, match=r"0\.png is 12 x 20 pixels, but colours takes 8 x 8"):
        evaluate_folders(net, folders, progress=False)
    with pytest.raises(ValueError, match="the preprocessing of colours has no resize"):
        evaluate_folders(net, folders, ten_crop=True, progress=False)


# ------------------------------------------------------------------------------------------------------- the command


def test_evaluate_prints_errors_and_says_whose_order_the_classes_have(folders, tmp_path, capsys):
    path = save_model(colour_net(["blue", "green", "red"]), tmp_path / "net.npz")
    assert run("evaluate", "--model", path, "--data", folders, "--ten-crop") == 0
    assert capsys.readouterr().out.splitlines() == [
        "photos       9, mean of ten crops",
        "classes      3 of the 3 classes that the model file names, in its order",
        "top-1 error  11.11 %",
        "top-5 error  0.00 %",
    ]


def test_evaluate_says_in_one_line_what_is_wrong(folders, tmp_path, capsys):
    net = colour_net(["blue", "green", "red"])
    good = save_model(net, tmp_path / "net.npz")
    net.preprocessing = None
    unknown = save_model(net, tmp_path / "unknown.npz")
    maps = Network([("pool1", GlobalAvgPool2d())], input_shape=(3, 8, 8))
    maps.preprocessing = colour_net(None).preprocessing
    maps = save_model(maps, tmp_path / "maps.npz")
    for model, data, message in (
        (unknown, folders, "--preprocess"),
        (good, folders / "red", "there are no class folders"),
        (good, tmp_path / "nowhere", "there is no file or folder"),
        (tmp_path / "gone.npz", folders, "there is no model file"),
    ):
        assert run("evaluate", "--model", model, "--data", data) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert run("evaluate", "--model", maps, "--data", folders) == 0  # averages of whole maps are classes
