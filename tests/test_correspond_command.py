"""`minideconv correspond`: what it prints and writes, and one line for everything that is wrong."""

import copy
import json

import numpy as np
import pytest
from PIL import Image
from small import colour_net, levels, photo_folder, run
from test_correspondence import MARKS

from minideconv import Network, save_model
from minideconv.layers import Conv2d


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, four photos, and marks of three of them."""
    folder = tmp_path_factory.mktemp("correspond")
    save_model(colour_net(), folder / "net.npz")
    linear = Network([("conv1", Conv2d(3, 2, 3))], name="linear", input_shape=(3, 12, 12))
    linear.preprocessing = colour_net().preprocessing
    save_model(linear, folder / "linear.npz")
    photo_folder(folder / "photos", levels(4))
    (folder / "marks.json").write_text(json.dumps(MARKS))
    (folder / "file").touch()
    return folder


def test_the_table_stands_beside_the_paper_and_everything_is_kept(folder, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    given = ["--marks", folder / "marks.json", "--model", folder / "net.npz", "--layer", "relu1", "relu3"]
    assert run("correspond", folder / "photos", *given, "--draws", "3", "--out", out) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "small: share of unequal signs, mean ± deviation over 3 pairs of 3 photos"
    firsts = [line.split("  ")[0] for line in lines]
    assert firsts.count("relu1") == firsts.count("relu3") == 6 and firsts.count("paper, 5") == 3
    assert "3 photos are marked" in shown.err and "hiding" in shown.err
    names = ["correspondence.csv", "correspondence.npz", "correspondence.png", "marks.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    with np.load(out / "correspondence.npz") as arrays:
        assert arrays["random"].shape == (3, 3, 2, 2, 3, 3)
    with Image.open(out / "marks.png") as marks:
        assert marks.width > 800


def test_the_net_may_be_shown_the_object_alone_and_seeds_reproduce(folder, tmp_path):
    given = ["correspond", folder / "photos", "--marks", folder / "marks.json", "--model", folder / "net.npz"]
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        options = ["--crop", "object", "--draws", "2", "--seed", seed, "--out", tmp_path / out]
        assert run(*given, *options) == 0
    a, b, c = ((tmp_path / out / "correspondence.csv").read_text() for out in "abc")
    assert a == b != c


def test_the_control_is_the_same_net_with_weights_that_mean_nothing(folder, tmp_path, capsys):
    given = ["correspond", folder / "photos", "--marks", folder / "marks.json", "--model", folder / "net.npz"]
    assert run(*given, "--draws", "1", "--random-weights", "--out", tmp_path) == 0
    assert capsys.readouterr().out.startswith("small with random weights: ")


def marks(change):
    found = copy.deepcopy(MARKS)
    change(found)
    return json.dumps(found)


BAD_MARKS = [
    ("{", "is no JSON: Expecting property name"),
    ("[1]", "does not map photos to boxes; it has to look like"),
    (marks(lambda m: [m.pop("001.png"), m.pop("002.png")]), "only 000.png is marked"),
    (marks(lambda m: m.update({"dog.jpg": m["000.png"]})), "no photo called dog.jpg, which is marked"),
    (marks(lambda m: m["001.png"]["parts"].pop("eye")), "001.png has no 'eye', others have"),
    (marks(lambda m: m["001.png"]["parts"].update(eye=[1, 1, 99, 2])), "001.png, eye: the box [1.0, 1.0, 99.0, 2.0]"),
    (marks(lambda m: m["001.png"]["parts"].update(eye=[1, 1, 1, 2])), "001.png, eye: the box [1, 1, 1, 2] has no area"),
    (marks(lambda m: m["001.png"].update(object=[1, 1, 3, 3])), "001.png, nose: 3 x 4 pixels are larger than"),
]


@pytest.mark.parametrize(("text", "message"), BAD_MARKS)
def test_marks_that_are_wrong_are_said_in_one_line_and_nothing_is_written(folder, tmp_path, capsys, text, message):
    (tmp_path / "marks.json").write_text(text)
    given = ["--marks", tmp_path / "marks.json", "--model", folder / "net.npz", "--out", tmp_path / "out"]
    assert run("correspond", folder / "photos", *given) == 2
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1] and said[-1].startswith("minideconv: ")
    assert [path.name for path in tmp_path.iterdir()] == ["marks.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photos": "nowhere"}, "there is no file or folder nowhere"),
        ({"photos": "{folder}/photos/000.png"}, "has no photo called 001.png"),
        ({"--marks": "nowhere.json"}, "there is no file nowhere.json; give marks that look like"),
        ({"--layer": "relu9"}, "small has no layer 'relu9'"),
        ({"--model": "{folder}/linear.npz"}, "linear has no ReLU; name the layers"),
        ({"--draws": "0"}, "draws is 0"),
        ({"--seed": "-1"}, "seed is -1"),
        ({"--out": "{folder}/file"}, "is a file; give a folder"),
    ],
)
def test_what_else_is_wrong_is_said_in_one_line(folder, tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    options = {"photos": "{folder}/photos", "--marks": "{folder}/marks.json", "--model": "{folder}/net.npz"}
    options = {**options, "--out": "out", "--draws": "1", **change}
    given = [options.pop("photos"), *(part for option in options.items() for part in option)]
    assert run("correspond", *(part.format(folder=folder) for part in given)) == 2
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1] and said[-1].startswith("minideconv: ")
    assert list(tmp_path.iterdir()) == []


def test_help_shows_an_example_and_the_form_of_the_marks(capsys):
    with pytest.raises(SystemExit):
        run("correspond", "--help")
    shown = capsys.readouterr().out
    assert "minideconv correspond photos.zip --marks dog_parts.json" in shown and '"parts": {"nose": [104' in shown
