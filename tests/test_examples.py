"""Every example runs, on a tiny input."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from small import photo_folder

from minideconv import load_model, models, save_model
from minideconv.datasets import Dataset
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
