"""`minideconv diagnose`: the files it writes, what it prints, one line for everything that is wrong."""

import numpy as np
import pytest
from PIL import Image
from small import colour_net, contents, levels, photo_folder, renamed, run

from minideconv import models, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small net with its preparation and one without, a few photos of which one is broken."""
    folder = tmp_path_factory.mktemp("diagnose")
    save_model(colour_net(), folder / "net.npz")
    save_model(models.build("zfnet32"), folder / "bare.npz")
    photo_folder(folder / "photos", levels(6), broken=[4])
    photo_folder(folder / "broken", levels(1), broken=[0])
    (folder / "empty").mkdir()
    (folder / "file").touch()
    return folder


def test_filters_alone_need_no_photos(folder, tmp_path, capsys):
    assert run("diagnose", folder / "bare.npz", "--out", tmp_path / "new" / "d") == 0
    assert sorted(path.name for path in (tmp_path / "new" / "d").iterdir()) == [
        "diagnosis.csv", "diagnosis.npz", "diagnosis.png",
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "zfnet32, conv1: 32 filters of 5 x 5, stride 1"
    assert [line.split("  ")[0] for line in lines if line and line[0] not in " w"] == [
        "zfnet32, conv1: 32 filters of 5 x 5, stride 1", "filters that alias", "energy low, middle, high",
        "filters above RMS 0.1",
    ]  # fmt: skip
    with Image.open(tmp_path / "new" / "d" / "diagnosis.png") as sheet:
        assert sheet.size == (1620, 1224)


def test_with_photos_dead_filters_are_counted_and_the_layer_above_is_drawn(folder, tmp_path, capsys):
    assert run("diagnose", folder / "net.npz", folder / "photos", "--out", tmp_path) == 0
    shown = capsys.readouterr()
    assert {path.name for path in tmp_path.iterdir()} == {
        "diagnosis.csv", "diagnosis.npz", "diagnosis.png", "relu2.png",
    }  # fmt: skip
    assert "skipped: " in shown.err and "004.png" in shown.err
    assert "dead filters                0 of 4" in shown.out and "on 5 photos" in shown.out
    assert shown.out.splitlines()[-1].startswith(f"written: relu2.png in {tmp_path}")


def test_names_in_a_model_file_lead_no_sheet_out_of_the_folder(folder, tmp_path, capsys):
    save_model(renamed(colour_net()), tmp_path / "net.npz")
    assert run("diagnose", tmp_path / "net.npz", folder / "photos", "--out", tmp_path / "deep" / "deeper" / "out") == 0
    files = {*(f"diagnosis.{ending}" for ending in ("png", "csv", "npz")), "______relu2.png"}
    assert set(contents(tmp_path)) == {"net.npz", *(f"deep/deeper/out/{name}" for name in files)}
    assert "written: ______relu2.png in" in capsys.readouterr().out


def test_any_convolution_can_be_named_and_the_last_has_no_layer_above(folder, tmp_path):
    assert run("diagnose", folder / "net.npz", folder / "photos", "--layer", "relu3", "--out", tmp_path) == 0
    assert not (tmp_path / "relu3.png").exists()
    with np.load(tmp_path / "diagnosis.npz") as arrays:
        assert arrays["layer"] == "conv3" and arrays["filters"].shape == (10, 6, 3, 3)


def test_what_the_package_carries_needs_no_file(tmp_path, capsys):
    assert run("diagnose", "zfnet28", "fashion-mnist-1000", "--out", tmp_path) == 0
    assert "on 1,000 photos" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npz"], "there is no model file nowhere.npz"),
        (["{folder}/net.npz", "nowhere"], "there is no file or folder nowhere"),
        (["{folder}/net.npz", "{folder}/empty"], "there is no photo in"),
        (["{folder}/net.npz", "{folder}/broken"], "not one of the 1 photos can be used"),
        (["{folder}/net.npz", "{folder}/file"], "file is not an image Pillow can read"),
        (["{folder}/net.npz", "--layer", "pool1"], "pool1 is no convolution of small; give one of conv1, conv2, conv3"),
        (["{folder}/net.npz", "--radius", "-1"], "radius is -1"),
        (["{folder}/bare.npz", "{folder}/photos"], "zfnet32 does not say how photos are prepared"),
        (["{folder}/net.npz", "--out", "{folder}/file"], "is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    folder, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run("diagnose", *(part.format(folder=folder) for part in arguments)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and said[-1].startswith("minideconv: ")
    assert list(tmp_path.iterdir()) == []


def test_the_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        run("diagnose", "--help")
    assert "minideconv diagnose alexnet photos.zip" in capsys.readouterr().out
