"""Every example runs, on a tiny input."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from small import colour_net, levels, photo_folder

from minideconv import load_model, models, save_model
from minideconv.datasets import Dataset
from minideconv.embedded import embedded_images, embedded_model
from minideconv.images import Preprocessing
from minideconv.training import Settings

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "shape"), [("train_fashion_mnist", (28, 28, 1)), ("train_cifar10", (32, 32, 3))])
def test_training_examples_write_what_they_say(tmp_path, capsys, name, shape):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, *shape), dtype=np.uint8), np.arange(40) % 10
    data = Dataset(images, labels, list("abcdefghij"), "noise", [])
    example(name).main(data, data, tmp_path / "run", Settings(epochs=1, batch_size=20))
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written == {"model.npz", "checkpoint.npz", "curve.csv", "curve.png", "snapshots"}
    assert load_model(tmp_path / "run" / "model.npz").classes == data.classes
    assert "test error " in capsys.readouterr().out


def test_the_correspondence_example_writes_both_crops(tmp_path, capsys):
    from test_correspondence import MARKS

    photos = photo_folder(tmp_path / "photos", levels(3))
    (tmp_path / "marks.json").write_text(json.dumps(MARKS))
    layers, out = ["relu1", "relu3"], tmp_path / "out"
    example("correspondence").main(colour_net(), photos, tmp_path / "marks.json", layers, draws=2, out=out)
    kinds = {f"{crop}{ending}" for crop in ("photo", "object") for ending in (".png", ".csv", ".npz")}
    assert {path.name for path in out.iterdir()} == kinds
    assert capsys.readouterr().out.count("the paper's Δ") == 2


def test_the_diagnosis_example_writes_what_it_says(tmp_path, capsys):
    nets = [colour_net(seed=seed) for seed in (0, 1)]
    nets[1].name = "other"
    example("diagnose").main(nets, levels(6), tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    ends = (".png", ".csv", ".npz", "-relu2.png")
    assert written == {f"{name}{end}" for name in ("small", "other") for end in ends}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("small, conv1: of 4 filters 0 alias, 0 are dead") and len(lines) == 3


def test_the_controls_example_writes_what_it_says(tmp_path, capsys):
    example("controls").main(colour_net(), levels(3), ["relu1", "relu2"], tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    ends = (".png", ".csv", ".npz", "-pictures.png")
    assert written == {f"{layer}{end}" for layer in ("relu1", "relu2") for end in ends}
    assert capsys.readouterr().out.count("another map") == 2 * (3 + 3)


def test_the_example_of_one_unit_sets_to_zero_what_it_says_and_prints_its_figures(capsys):
    module, maps = example("one_unit"), np.random.default_rng(0).permutation(120).reshape(5, 3, 4, 2) + 1.0
    for n in range(2):
        gone = module.without_unit(maps)[..., n]
        strongest = np.unravel_index(maps[..., n].argmax(), (5, 3, 4))
        assert gone[strongest] == 0 and (gone != maps[..., n]).sum() == 1
    order = np.array([[4, 0], [2, 1], [0, 2], [1, 3], [3, 4]])
    gone = (module.without_maps(maps, order, 2) == 0).all(axis=(1, 2))
    assert np.flatnonzero(gone[:, 0]).tolist() == [2, 4] and np.flatnonzero(gone[:, 1]).tolist() == [0, 1]

    module.main(embedded_model(), embedded_images().images[::20])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "50 pictures, relu3 has 4,704 units in 96 maps" and len(lines) == 4
    assert float(lines[1].split()[-1].rstrip("%")) < 10


@pytest.mark.parametrize("name", ["occlusion", "invariance"])
def test_examples_on_photos_write_what_they_say(tmp_path, monkeypatch, capsys, name):
    net = models.build("zfnet32")
    net.preprocessing = Preprocessing(
        resize=36, crop=32, channels="RGB", scale=1 / 255, mean=(0.5,) * 3, std=(0.2,) * 3
    )
    save_model(net, tmp_path / "net.npz")
    photos = photo_folder(tmp_path / "photos", np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), np.uint8))
    script = example(name)
    small = {"SIZE": 12, "STRIDE": 10, "LAYERS": ("relu1", "relu3"), "TRANSLATIONS": [0, 4]}
    for constant in small.keys() & vars(script).keys():
        monkeypatch.setattr(script, constant, small[constant])
    monkeypatch.setattr(script, "MODEL", tmp_path / "net.npz")
    monkeypatch.setattr(script, "OUT", tmp_path / "out")
    script.main(sorted(map(str, photos.iterdir())))
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    folders = ["000/", "001/"] if name == "occlusion" else [""]
    assert written == [f"{folder}{name}.{ending}" for folder in folders for ending in ("csv", "npz", "png")]
    assert f"written: {tmp_path / 'out'}" in capsys.readouterr().out


def test_the_loop_trains_both_nets_and_looks_at_both(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8), np.arange(30) % 10
    data = Dataset(images, labels, list("abcdefghij"), "noise", [])
    example("architecture_loop").main(data, data, tmp_path, seeds=2, settings=Settings(epochs=1, batch_size=15))
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"alexnet8", "zfnet8", "alexnet8-conv1.png", "zfnet8-conv1.png", "relu2.png"} | {
        "sizes.png", "sizes.csv"
    }  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["alexnet8", "zfnet8"] and "off the test error" in lines[-1]


def test_a_net_is_trained_on_caltech_alone(tmp_path, capsys):
    for label, name in enumerate("abc"):
        photo_folder(tmp_path / "photos" / name, levels(7, size=(40, 50), seed=label), broken=[2])
    settings = Settings(epochs=1, batch_size=6)
    example("caltech_from_scratch").main(tmp_path / "photos", tmp_path / "run", 2, settings, train_per_class=4)
    for split in ("split-0", "split-1"):
        written = {path.name for path in (tmp_path / "run" / split).iterdir()}
        assert written == {"model.npz", "checkpoint.npz", "curve.csv", "curve.png"}
        assert load_model(tmp_path / "run" / split / "model.npz").preprocessing.resize == (64, 64)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[-1].endswith("the paper: 46.5 ± 1.7 %")
