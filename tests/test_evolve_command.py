"""`minideconv evolve`: the files it writes, the table it prints, one line for everything that is wrong."""

import numpy as np
import pytest
from PIL import Image
from small import colour_net, contents, renamed, run

from minideconv import models, save_model
from minideconv.images import Preprocessing

GREY = Preprocessing(resize=28, crop=28, channels="L", scale=1 / 255, mean=(0.3,), std=(0.3,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Snapshots of three epochs, six photos, and two files that are of no use."""
    folder = tmp_path_factory.mktemp("evolve")
    (folder / "snapshots").mkdir()
    (folder / "photos").mkdir()
    for epoch in (0, 1, 2):
        net = models.build("zfnet28", seed=epoch)
        net.preprocessing = GREY
        save_model(net, folder / f"snapshots/epoch-{epoch:03d}.npz")
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(folder / f"photos/{number}.png")
    (folder / "photos/broken.png").write_bytes((folder / "photos/0.png").read_bytes()[:900])
    (folder / "file").touch()
    return folder


def test_a_sheet_for_each_layer_and_the_movement_are_written_into_the_folder(folder, tmp_path, capsys):
    out = tmp_path / "new" / "evolution"
    given = ["--photos", folder / "photos", "--layer", "relu1", "relu3", "--channels", "3,5", "--out", out]
    assert run("evolve", folder / "snapshots", *given) == 0
    assert sorted(path.name for path in out.iterdir()) == ["movement.csv", "movement.png", "relu1.png", "relu3.png"]
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["layer", "relu1", "relu2", "relu3", "written:"]
    assert lines[1].split()[1:3] == ["0-1", "1-2"]
    assert lines[-1] == f"written: relu1.png, relu3.png, movement.csv, movement.png in {out}"
    assert "skipped: " in shown.err and "broken.png" in shown.err and "6 photos at 3 epochs" in shown.err
    with Image.open(out / "relu3.png") as two, Image.open(out / "relu1.png") as other:
        assert two.size[1] > 400 and two.size == other.size


def test_names_in_a_model_file_lead_no_sheet_out_of_the_folder(folder, tmp_path, capsys):
    place = tmp_path / "snapshots"
    place.mkdir()
    for epoch in (0, 1):
        save_model(renamed(colour_net(seed=epoch)), place / f"epoch-{epoch:03d}.npz")
    out = tmp_path / "deep" / "deeper" / "out"
    given = ["--photos", folder / "photos", "--layers", "../../relu1", "../../relu2", "--top", "1", "--out", out]
    assert run("evolve", place, *given) == 0
    names = {"______relu1.png", "______relu2.png", "movement.csv", "movement.png"}
    assert {path.name for path in out.iterdir()} == names
    assert set(contents(tmp_path / "deep")) == {f"deeper/out/{name}" for name in names}
    assert not list(tmp_path.glob("*.png")) and "written: ______relu1.png, ______relu2.png," in capsys.readouterr().out


def test_by_default_every_rectifier_has_a_sheet_of_the_strongest_maps(folder, tmp_path, capsys):
    options = ["--photos", folder / "photos", "--out", tmp_path, "--epochs", "0,2", "--top", "1", "--limit", "3"]
    assert run("evolve", folder / "snapshots", *options, "--rule", "guided") == 0
    assert {"relu1.png", "relu2.png", "relu3.png"} < {path.name for path in tmp_path.iterdir()}
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split()[1] == "0-2" and "3 photos at 2 epochs" in printed.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"snapshots": "nowhere"}, "there is no folder nowhere"),
        ({"snapshots": "{folder}"}, "try {folder}/snapshots"),
        ({"--photos": "nowhere"}, "there is no file or folder nowhere"),
        ({"--photos": "{folder}/photos/broken.png"}, "no photo to use"),
        ({"--layer": "relu9"}, "zfnet28 has no layer 'relu9'"),
        ({"--channels": "16"}, "relu1 has 16 channels, counted from 0; there is no channel 16"),
        ({"--top": "0"}, "show one feature map at least"),
        ({"--limit": "0"}, "look at one photo at least"),
        ({"--epochs": "1,7"}, "there is no snapshot of epoch 7; there are 0, 1, 2"),
        ({"--epochs": "1"}, "only epoch 1 is there to show"),
        ({"--out": "{folder}/file"}, "is a file; give a folder"),
        ({"--out": "{folder}/file/below"}, "file is a file; give a folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(
    folder, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    options = {"snapshots": "{folder}/snapshots", "--photos": "{folder}/photos", "--layer": "relu1", "--out": "out"}
    options.update(change)
    given = [options.pop("snapshots"), *(part for option in options.items() for part in option)]
    assert run("evolve", *(part.format(folder=folder) for part in given)) == 2
    said = capsys.readouterr().err.splitlines()
    assert message.format(folder=folder) in said[-1] and said[-1].startswith("minideconv: ")
    assert list(tmp_path.iterdir()) == []


def test_options_that_are_no_numbers_are_refused_and_help_shows_an_example(capsys):
    for arguments in (["x", "--photos", "y", "--channels", "a,b"], ["x"], ["--help"]):
        with pytest.raises(SystemExit):
            run("evolve", *arguments)
    shown = capsys.readouterr()
    assert "'a,b' are not numbers; give some such as 0,5,7" in shown.err and "required: --photos" in shown.err
    assert "example:\n  minideconv evolve run/snapshots" in shown.out
