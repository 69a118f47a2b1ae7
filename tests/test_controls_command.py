"""`minideconv controls`: the files it writes, what it prints, one line for everything that is wrong."""

import numpy as np
import pytest
from PIL import Image
from small import colour_net, levels, photo_folder, run

from minideconv import Network, models, save_model
from minideconv.layers import MaxPool2d


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small net with its preparation, one without, one without weights; photos of which one is broken."""
    folder = tmp_path_factory.mktemp("controls")
    save_model(colour_net(), folder / "net.npz")
    save_model(models.build("zfnet32"), folder / "bare.npz")
    pool = Network([("pool1", MaxPool2d(2))], preprocessing=colour_net().preprocessing, input_shape=(3, 12, 12))
    save_model(pool, folder / "pool.npz")
    photo_folder(folder / "photos", levels(6), broken=[4])
    photo_folder(folder / "broken", levels(1), broken=[0])
    (folder / "empty").mkdir()
    (folder / "file").touch()
    return folder


def test_chart_table_arrays_and_pictures_are_written_into_the_folder(folder, tmp_path, capsys):
    out = tmp_path / "new" / "c"
    assert run("controls", folder / "photos", "--model", folder / "net.npz", "--layer", "relu2", "--out", out) == 0
    files = ["controls.csv", "controls.npz", "controls.png", "pictures.png"]
    assert sorted(path.name for path in out.iterdir()) == files
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "small, relu2: similarity to the true projection, mean ± deviation, 5 units"
    assert [line.split()[0] for line in lines if line and line[0] != " "][1:] == [
        "deconvnet", "gradient", "guided", "deconvnet:", "gradient:", "guided:", "written:", "written:",
    ]  # fmt: skip
    assert sum(" random down to conv1" in line for line in lines) == 6
    assert "skipped: " in shown.err and "004.png" in shown.err
    assert lines[-1] == f"written: pictures.png in {out}, the controls of {folder}/photos/000.png"
    with Image.open(out / "pictures.png") as sheet:
        assert sheet.width > 600


def test_one_photo_is_enough_and_the_last_relu_over_maps_is_asked(folder, tmp_path, capsys):
    options = ["--model", folder / "net.npz", "--units", 3, "--out", tmp_path]
    assert run("controls", folder / "photos" / "002.png", *options) == 0
    assert "small, relu3: similarity to the true projection, mean ± deviation, 3 units" in capsys.readouterr().out


def test_the_limit_chooses_photos_evenly(folder, tmp_path):
    options = ["--model", folder / "net.npz", "--limit", 3, "--out", tmp_path]
    assert run("controls", folder / "photos", *options) == 0
    with np.load(tmp_path / "controls.npz") as arrays:
        assert arrays["image"].tolist() == [0, 2]  # and 4, which is broken


def test_what_the_package_carries_needs_no_file(tmp_path, capsys):
    options = ["--model", "zfnet28", "--layer", "relu2", "--limit", 4, "--out", tmp_path]
    assert run("controls", "fashion-mnist-1000", *options) == 0
    shown = capsys.readouterr().out
    assert "4 units" in shown and shown.endswith("the controls of fashion-mnist-1000 0\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"photos": "nowhere"}, "there is no file or folder nowhere"),
        ({"photos": "{folder}/empty"}, "there is no photo in"),
        ({"photos": "{folder}/broken"}, "not one of the 1 photos can be used"),
        ({"photos": "{folder}/file"}, "file is not an image Pillow can read"),
        ({"--model": "nowhere.npz"}, "there is no model file nowhere.npz"),
        ({"--model": "{folder}/bare.npz"}, "zfnet32 does not say how photos are prepared"),
        ({"--model": "{folder}/pool.npz", "--layer": "pool1"}, "pool1 has neither weights nor is it a ReLU"),
        ({"--layer": "relu9"}, "small has no layer 'relu9'"),
        ({"--layer": "pool1"}, "give one of conv1, relu1, conv2, relu2, conv3, relu3, fc4, relu4"),
        ({"--limit": "0"}, "look at one unit of one photo at least"),
        ({"--units": "0"}, "look at one unit of one photo at least"),
        ({"--out": "{folder}/file"}, "is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    folder, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    options = {"photos": "{folder}/photos", "--model": "{folder}/net.npz", "--layer": "relu1", **change}
    given = [options.pop("photos"), *(part for option in options.items() for part in option)]
    assert run("controls", *(part.format(folder=folder) for part in given)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and said[-1].startswith("minideconv: ")
    assert list(tmp_path.iterdir()) == []


def test_the_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        run("controls", "--help")
    assert "minideconv controls photos.zip --model alexnet" in capsys.readouterr().out
