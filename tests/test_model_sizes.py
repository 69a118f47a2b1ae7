"""Table 3 in small: the nets differ as their names say, runs are kept and gone on with, and the command tells it."""

import json

import numpy as np
import pytest
from draw import assert_equal
from PIL import Image

from minideconv import load_model, models
from minideconv.cli import main
from minideconv.datasets import Dataset
from minideconv.evaluation import evaluate
from minideconv.experiments.model_sizes import TABLE_3, model_sizes, one_run, thinned
from minideconv.miniatures import MINIATURES
from minideconv.training import Falling, Interrupted, Settings, train

SETTINGS = Settings(epochs=2, batch_size=16, flips=True, schedule=Falling(2))
LITTLE = "alexnet8_no3467"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 10
    images = rng.integers(0, 60, (40, 32, 32, 3)) + 19 * labels[:, None, None, None]
    return Dataset(images.astype(np.uint8), labels, list("abcdefghij"), "grey levels", [])


def shapes(name):
    return models.build(name).output_shapes()


def test_every_row_of_table_3_is_a_net():
    assert set(TABLE_3) < set(MINIATURES) < set(models.ZOO)


def test_layers_are_left_out_as_the_name_says():
    names = {name: [layer for layer in shapes(name) if layer.startswith(("conv", "fc"))] for name in MINIATURES}
    assert names["alexnet8"] == "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8".split()
    assert names["alexnet8_no34"] == "conv1 conv2 conv5 fc6 fc7 fc8".split()
    assert names["alexnet8_no7"] == "conv1 conv2 conv3 conv4 conv5 fc6 fc8".split()
    assert names["alexnet8_no67"] == "conv1 conv2 conv3 conv4 conv5 fc8".split()
    assert names["alexnet8_no3467"] == "conv1 conv2 conv5 fc8".split()


def test_layers_are_as_wide_as_the_name_says():
    base = shapes("alexnet8")
    for name, layers, factor in (("half67", "fc6 fc7", 0.5), ("double67", "fc6 fc7", 2),
                                 ("double345", "conv3 conv4 conv5", 2),
                                 ("double34567", "conv3 conv4 conv5 fc6 fc7", 2)):  # fmt: skip
        changed = shapes(f"alexnet8_{name}")
        for layer in base:
            if layer.startswith(("conv", "fc")):
                assert changed[layer][0] == base[layer][0] * (factor if layer in layers.split() else 1), (name, layer)


def test_the_two_first_layers_leave_all_else_equal():
    """AlexNet-like or ZFNet-like: from conv2 on, shapes and numbers of parameters are the same."""
    coarse, dense = models.build("alexnet8"), models.build("zfnet8")
    above = [name for name in coarse.layers if name not in ("conv1", "relu1", "pool1")]
    assert {name: coarse.output_shapes()[name] for name in above} == {
        name: dense.output_shapes()[name] for name in above
    }
    counts = [{k: v.size for k, v in net.parameters().items() if not k.startswith("conv1")} for net in (coarse, dense)]
    assert counts[0] == counts[1]


def test_errors_are_those_of_the_saved_net(data, tmp_path):
    result = model_sizes([LITTLE], data, data, tmp_path, seeds=[3, 4], settings=SETTINGS, progress=False)
    for s, seed in enumerate([3, 4]):
        net = load_model(tmp_path / LITTLE / f"seed-{seed}" / "model.npz")
        assert evaluate(net, data.images, data.labels).top1 == result.test_error[0, s] == result.train_error[0, s]
    assert result.parameters.tolist() == [sum(value.size for value in net.parameters().values())]


def test_what_is_finished_is_not_trained_again(data, tmp_path, monkeypatch):
    first = model_sizes([LITTLE], data, data, tmp_path, seeds=[0], settings=SETTINGS, progress=False)
    monkeypatch.setattr("minideconv.experiments.model_sizes.train", None)
    again = model_sizes([LITTLE], data, data, tmp_path, seeds=[0], settings=SETTINGS, progress=False)
    assert np.array_equal(first.test_error, again.test_error) and np.array_equal(first.seconds, again.seconds)


def test_what_was_stopped_ends_in_the_same_weights(data, tmp_path, monkeypatch):
    one_run(LITTLE, data, data, tmp_path / "whole", SETTINGS, 0.03, False)

    def train_one_epoch(*arguments, settings, **options):
        train(*arguments, settings=Settings(**{**vars(settings), "epochs": 1}), **options)
        raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("minideconv.experiments.model_sizes.train", train_one_epoch)
        with pytest.raises(Interrupted):
            one_run(LITTLE, data, data, tmp_path / "stopped", SETTINGS, 0.03, False)
    one_run(LITTLE, data, data, tmp_path / "stopped", SETTINGS, 0.03, False)
    whole, stopped = (load_model(tmp_path / name / "model.npz").parameters() for name in ("whole", "stopped"))
    for name, value in whole.items():
        assert_equal(value, stopped[name])


def test_runs_with_other_settings_are_not_mixed(data, tmp_path):
    one_run(LITTLE, data, data, tmp_path / "run", SETTINGS, 0.03, False)
    with pytest.raises(ValueError, match="a run with other settings"):
        one_run(LITTLE, data, data, tmp_path / "run", SETTINGS, 0.02, False)


def test_some_photos_are_spread_over_all(data):
    some = thinned(data, 4)
    assert np.array_equal(some.labels, data.labels[[0, 13, 26, 39]]) and thinned(data, 40) is data


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def folders(tmp_path):
    for label in range(10):
        for number in range(5):
            path = tmp_path / "photos" / "abcdefghij"[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (25 * label, 9 * number, 0)).save(path)
    return tmp_path / "photos"


def test_the_command_prints_and_writes_the_table(folders, tmp_path, capsys):
    arguments = ["--nets", LITTLE, "alexnet8_no67", "--seeds", "2", "--epochs", "1", "--out", str(tmp_path / "sizes")]
    assert main(["sizes", "--data", str(folders), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(LITTLE) and lines[1].endswith("without layers 3, 4, 6, 7") and "±" in lines[1]
    assert {path.name for path in (tmp_path / "sizes").glob("sizes.*")} == {"sizes.png", "sizes.csv", "sizes.npz"}
    assert len((tmp_path / "sizes" / "sizes.csv").read_text().splitlines()) == 5
    run = tmp_path / "sizes" / LITTLE / "seed-1"
    assert json.loads((run / "errors.json").read_text())["asked"]["seed"] == 1
    assert {path.name for path in run.iterdir()} == {"curve.csv", "errors.json", "model.npz"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nets", "resnet"], "there is no network 'resnet'"),
        (["--nets", "zfnet28"], "zfnet28"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--limit", "0"], "--limit is 0"),
        (["--learning-rate", "-1"], "--learning-rate is -1"),
        (["--data", "nothing"], "there is no file or folder nothing"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folders, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(["sizes", "--data", str(folders), "--epochs", "1", *arguments]) == 2
    assert says in capsys.readouterr().err.strip().splitlines()[-1]
