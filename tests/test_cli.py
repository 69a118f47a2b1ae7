"""The command line: what it writes, what it prints, and one line with exit status 2 for everything that is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import colour_net, levels, preparation, run

from minideconv import cli, load_model, models, project, save_model
from minideconv.archives import Photos
from minideconv.commands import train as train_command
from minideconv.experiments.scanning import new_scan
from minideconv.files import free_folder
from minideconv.folder_evaluation import evaluate_folders
from minideconv.functional import avg_pool2d, max_pool2d
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d
from minideconv.photos import load_photo
from minideconv.sheets import check_image_path
from minideconv.training import Falling, Steps, WhenStalled


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a small model file and a photo."""
    folder = tmp_path_factory.mktemp("files")
    net = models.build("zfnet32")
    net.preprocessing = Preprocessing(
        resize=32, crop=32, channels="RGB", scale=1 / 255, mean=(0.5,) * 3, std=(0.2,) * 3
    )
    save_model(net, folder / "net.npz")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / "photo.png")
    (folder / "broken.jpg").write_bytes((folder / "photo.png").read_bytes()[:900])
    return folder


def test_project_writes_a_sheet_and_lists_its_units(files, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert run("project", files / "photo.png", "--model", files / "net.npz", "--layer", "relu3", "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "relu3 of zfnet32, deconvnet rule: channel, row, column, activation"
    assert len(lines) == 11 and lines[-1] == f"written: {out}"
    channel, row, column, value = lines[1].split()
    net = load_model(files / "net.npz")
    trace = net.forward(net.preprocess([files / "photo.png"]))
    p = project(net, trace, "relu3", channel=int(channel))
    assert (p.row, p.column) == (int(row), int(column)) and p.activation == pytest.approx(float(value), rel=1e-5)
    with Image.open(out) as sheet:
        assert sheet.width > 1000 and len(np.unique(np.asarray(sheet), axis=0)) > 20


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_project_shows_one_chosen_unit(files, tmp_path, capsys, rule):
    out = tmp_path / "unit.jpg"
    options = ["--layer", "conv2", "--channel", 5, "--position", "3,0", "--rule", rule, "--out", out]
    assert run("project", files / "photo.png", "--model", files / "net.npz", *options) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[1].split()[:3] == ["5", "3", "0"] and len(listed) == 3
    assert out.stat().st_size > 5000


def test_project_shows_units_of_a_classifier(files, tmp_path, capsys):
    out = tmp_path / "classes.png"
    assert run("project", files / "photo.png", "--model", files / "net.npz", "--layer", "fc4", "--out", out) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11 and out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "there is no file missing.jpg"),
        (["{folder}"], "is a folder; give the photos in it"),
        (["{folder}/broken.jpg"], "is damaged or cut short"),
        (["{folder}/net.npz"], "is not an image Pillow can read"),
        (["{photo}", "--layer", "relu9"], "zfnet32 has no layer 'relu9'; it has conv1"),
        (["{photo}", "--channel", "128"], "relu3 has 128 channels, counted from 0; there is no channel 128"),
        (["{photo}", "--channel", "1", "--position", "8,0"], "8 rows and 8 columns, counted from 0"),
        (["{photo}", "--position", "1,1"], "a position needs a channel"),
        (["{photo}", "--top", "0"], "a sheet shows 1 to 36 units"),
        (["{photo}", "--out", "sheet.gif"], "end its name in .png or .jpg"),
        (["{photo}", "--out", "nowhere/sheet.png"], "there is no folder nowhere; create it first"),
        (["{photo}", "--model", "resnet"], "there is no model file resnet; give a .npz file, or one of"),
        (["{photo}", "--model", "caffenet"], "no weights of caffenet are in the cache"),
        (["{photo}", "--out", "/proc/sheet.png"], "cannot write /proc/sheet.png"),
        (["{photo}", "--model", "{photo}"], "cannot be read as a model file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(files, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "empty"))
    given = [argument.format(folder=files, photo=files / "photo.png") for argument in arguments]
    options = {"--model": files / "net.npz", "--layer": "relu3", "--out": tmp_path / "sheet.png"}
    for option, value in options.items():
        given += [] if option in given else [option, value]
    assert run("project", *given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("minideconv: ")
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_bad_options_are_refused_by_the_parser(files, capsys):
    for arguments in (
        ["project", "x.jpg", "--rule", "lime"],
        ["project", "x.jpg", "--position", "5"],
        ["fetch", "x"],
        [],
    ):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        assert stopped.value.code == 2
    assert "give ROW,COLUMN such as 5,7" in capsys.readouterr().err


def test_every_command_shows_an_example_in_its_help(capsys):
    for command in (
        "demo",
        "project",
        "atlas",
        "occlude",
        "invariance",
        "train",
        "evaluate",
        "evolve",
        "fetch",
        "convert",
        "info",
    ):
        with pytest.raises(SystemExit) as stopped:
            run(command, "--help")
        assert stopped.value.code == 0
        assert f"example:\n  minideconv {command}" in capsys.readouterr().out


def test_a_missing_model_is_fetched_and_it_is_said(files, tmp_path, monkeypatch, capsys):
    import importlib

    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))

    def bring(name, source=None, **options):
        save_model(models.build("alexnet", until="relu1"), tmp_path / f"{name}.npz")

    monkeypatch.setattr(importlib.import_module("minideconv.fetch"), "fetch", bring)
    out = tmp_path / "sheet.png"
    assert run("project", files / "photo.png", "--layer", "relu1", "--out", out) == 0
    assert "alexnet is not in the cache; fetching its published weights (once)" in capsys.readouterr().err
    assert out.exists()


def test_info_shows_the_table_and_the_origin(files, capsys):
    assert run("info", files / "net.npz") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("zfnet32: input 3 × 32 × 32") and "classifier     10 classes, no names" in shown
    assert "licence        unknown" in shown
    assert run("info") == 0
    assert "matrix products: " in capsys.readouterr().out


def test_info_says_where_there_is_no_classifier(tmp_path, capsys):
    path = save_model(models.build("alexnet", until="pool1"), tmp_path / "features.npz")
    assert run("info", path) == 0
    assert "classifier     no classifier" in capsys.readouterr().out


def test_ctrl_c_stops_quietly(files, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minideconv.commands.info.run", interrupted)
    assert run("info") == 130
    assert capsys.readouterr().err == "minideconv: stopped\n"


def test_the_module_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "minideconv", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("minideconv ")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Class folders with a few 32 × 32 photos."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number, name in enumerate("abcdefghij"):
        (folder / name).mkdir()
        for photo in range(10):
            pixels = rng.integers(0, 100, (32, 32, 3), dtype=np.uint8)
            pixels[3 * number : 3 * number + 3] += 120
            Image.fromarray(pixels).save(folder / name / f"{photo}.png")
    return folder


def test_train_writes_a_model_its_curve_and_its_snapshots(pictures, tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--data", pictures, "--batch-size", 20, "--out", out, "--flips", "--patience", 2]
    assert run("train", *options, "--epochs", 1) == 0
    assert run("train", *options, "--epochs", 1) == 2  # an old run is not overwritten by accident
    assert "holds a run already; go on with --resume, or give another folder with --out" in capsys.readouterr().err
    assert run("train", *options, "--epochs", 2, "--resume") == 0
    printed = capsys.readouterr().out
    assert "test error: " in printed and "for 2 epochs" in printed
    written = {path.name for path in out.iterdir()}
    assert written == {"model.npz", "checkpoint.npz", "curve.csv", "curve.png", "confusion.csv", "snapshots"}
    assert len((out / "curve.csv").read_text().splitlines()) == 3
    confusion = [line.split(",") for line in (out / "confusion.csv").read_text().splitlines()]
    assert confusion[0][1:] == list("abcdefghij") and sum(int(n) for row in confusion[1:] for n in row[1:]) == 20
    assert load_model(out / "model.npz").classes == list("abcdefghij")
    assert sorted(path.name for path in (out / "snapshots").iterdir())[-1] == "epoch-002.npz"


@pytest.mark.parametrize(
    ("arguments", "schedule"),
    [
        (["--epochs", "12"], Steps((7, 10), 5.0)),
        (["--epochs", "2"], Steps((1,), 5.0)),
        (["--epochs", "1"], Steps((), 5.0)),
        (["--divide-at", "4,5", "--divide-by", "10"], Steps((4, 5), 10.0)),
        (["--patience", "2"], WhenStalled(2, 5.0)),
        (["--epochs", "18", "--falling"], Falling(18)),
        (["--constant"], None),
    ],
)
def test_the_options_of_train_choose_a_schedule(arguments, schedule):
    options = cli._parser().parse_args(["train", *arguments])
    assert train_command.schedule(options) == schedule


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "zfnet28"], "zfnet28 takes 1 × 28 × 28 (channels, rows, columns), but these are"),
        (["--epochs", "0"], "--epochs is 0; it must be above zero"),
        (["--divide-at", "1", "--patience", "2"], "give one of --divide-at, --patience, --falling, --constant"),
        (["--data", "nowhere"], "nowhere"),
        (["--learning-rate", "1e20"], "; try a learning rate below 1e+20"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_train_says_what_is_wrong_in_one_line(pictures, tmp_path, capsys, arguments, message):
    options = {"--model": "zfnet32", "--data": pictures, "--out": tmp_path / "run"}
    given = list(arguments)
    for name, value in options.items():
        given += [] if name in arguments else [name, value]
    assert run("train", *given) == 2
    error = capsys.readouterr().err
    assert "nowhere" not in arguments or not (tmp_path / "run").exists(), "nothing half-made"
    assert message in error.splitlines()[-1]


@pytest.mark.parametrize("name", ["my_net", "zfnet32", "network", "load_model"])
def test_a_net_keeps_its_name_in_what_is_said_of_it(files, tmp_path, monkeypatch, capsys, name):
    net = load_model(files / "net.npz")
    net.name = name
    net.layers["conv1"].weight[:] = np.nan
    monkeypatch.setattr("minideconv.commands.project.load_or_fetch", lambda model: net)
    assert run("project", files / "photo.png", "--out", tmp_path / "sheet.png") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"minideconv: {name}: conv1.weight holds NaN") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: max_pool2d(np.zeros((1, 2, 2)), 2), "x has shape (1, 2, 2); expected (C, H, W, N)"),  # a function
        (lambda: avg_pool2d(np.zeros((1, 2, 2, 0)), 2), "x is float64 (1, 2, 2, 0); expected floating point"),
        (lambda: Conv2d(3, 4, 3, groups=2), "3 -> 4 channels cannot be split into 2 groups"),  # a class
        (lambda: Photos("nowhere"), "there is no file or folder nowhere"),
        (lambda: Preprocessing.from_dict([]), "expected a dict of fields"),
        (
            lambda: preparation().levels(np.zeros((9, 8, 3), np.uint8)),
            "the uint8 array of shape (9, 8, 3) is",
        ),  # a method
        (lambda: check_image_path("sheet.xyz"), "cannot tell the format of sheet.xyz"),  # its neighbour
        (lambda: new_scan(colour_net(), levels(0), ["relu1"]), "0 photos, k is 9"),
        (lambda: evaluate_folders(colour_net(), "nowhere"), "there is no file or folder nowhere"),
        (lambda: load_photo("nowhere.png"), "there is no file nowhere.png"),
    ],
)
def test_the_name_of_the_function_is_not_said(monkeypatch, capsys, call, said):
    monkeypatch.setattr("minideconv.commands.info.run", lambda options: call())
    assert run("info", "zfnet32") == 2
    assert capsys.readouterr().err.startswith(f"minideconv: {said}")


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(pictures, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "mine" and allowed(path, mode))
    for out in (tmp_path / "mine", tmp_path / "mine" / "deep" / "run"):
        assert run("train", "--data", pictures, "--model", "zfnet32", "--epochs", "1", "--out", out) == 2
        line = f"minideconv: cannot write into {out}: you may not write to {tmp_path / 'mine'}; give another folder\n"
        assert capsys.readouterr().err == line
        with pytest.raises(ValueError, match="you may not write to"):
            free_folder(out)
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.raises(ValueError, match="you may not write to"):
        free_folder("run")
    assert free_folder(tmp_path / "other" / "run") == tmp_path / "other" / "run"


def test_train_takes_a_file_for_no_folder_and_knows_the_home_folder(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").touch()
    assert run("train", "--data", pictures, "--model", "zfnet32", "--out", "~/run/deep") == 2
    assert f"cannot write into {tmp_path}/run/deep: {tmp_path}/run is a file; give a folder" in capsys.readouterr().err


def test_project_shows_the_last_maps_unless_told_otherwise(files, tmp_path, capsys):
    assert run("project", files / "photo.png", "--model", files / "net.npz", "--out", tmp_path / "sheet.png") == 0
    assert capsys.readouterr().out.startswith("relu3 of zfnet32")


def test_info_shows_the_table_of_a_net_without_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))
    assert run("info", "zfnet32") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("zfnet32: input 3 × 32 × 32") and "no weights of zfnet32 are in the cache" in shown


def test_a_reader_that_has_seen_enough_is_no_error(files):
    command = f"{sys.executable} -m minideconv info {files / 'net.npz'} | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.startswith("zfnet32")
