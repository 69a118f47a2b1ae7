"""`minideconv convert` and `minideconv info`: what they print, and one line for everything that is wrong."""

import json

import pytest
from small import run

from minideconv import load_model, models, save_model

pytest.importorskip("onnx")
pytest.importorskip("safetensors")


@pytest.fixture
def net(tmp_path):
    return save_model(models.build("zfnet28"), tmp_path / "net.npz")


def test_convert_goes_out_and_in_and_says_what_it_does_not_know(net, tmp_path, capsys):
    assert run("convert", net, tmp_path / "net.onnx") == 0
    assert run("convert", tmp_path / "net.onnx", tmp_path / "again.npz", "--licence", "MIT") == 0
    shown = capsys.readouterr().out
    assert f"written        {tmp_path / 'again.npz'}" in shown and "licence        MIT" in shown
    assert (
        "preprocessing  unknown: give --preprocess" in shown and "classes        10, no names: give --classes" in shown
    )


def test_info_shows_where_layers_come_from(net, tmp_path, capsys):
    run("convert", net, tmp_path / "net.onnx")
    run("convert", tmp_path / "net.onnx", tmp_path / "again.npz")
    capsys.readouterr()
    assert run("info", tmp_path / "again.npz") == 0
    shown = capsys.readouterr().out
    assert "preprocessing  unknown; write it into the file: minideconv convert --preprocess" in shown
    assert "source         net.onnx" in shown


@pytest.mark.parametrize("name", ["zfnet28", "net.npz"])
def test_the_table_that_info_prints_is_one_that_convert_reads(name, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("info", name, "--table") == 0
    (tmp_path / "table.json").write_text(capsys.readouterr().out)
    assert json.loads((tmp_path / "table.json").read_text())["layers"][0]["from"] == "features.0"
    run("convert", net, "net.safetensors")
    assert run("convert", "net.safetensors", "again.npz", "--table", "table.json") == 0
    assert repr(load_model("again.npz")).splitlines()[1:] == repr(load_model(net)).splitlines()[1:]


@pytest.mark.parametrize(("arguments", "message"), [
    (["gone.onnx", "out.npz"], "there is no file gone.onnx; check the spelling"),
    (["net.npz", "out.txt"], "the name must end in .npz, .onnx, .safetensors"),
    (["net.txt", "out.npz"], "cannot read net.txt: the name must end in .onnx"),
    (["net.npz", "gone/out.onnx"], "there is no folder gone; create it first"),
    (["net.npz", "out.npz", "--preprocess", "gone.json"], "there is no preprocessing 'gone.json'"),
    (["net.npz", "out.npz", "--classes", "gone.txt"], "No such file or directory: gone.txt"),
    (["net.npz", "out.npz", "--net", "alexnet"], "--net or --table, one of them, is for state dicts"),
    (["net.safetensors", "out.npz", "--net", "resnet"], "there is no network 'resnet'; the zoo has"),
    (["net.safetensors", "out.npz", "--net", "alexnet"], "features.0.weight is (16, 1, 5, 5), but its layer wants"),
    (["net.safetensors", "out.npz", "--table", "gone.json"], "No such file or directory: gone.json"),
    (["caffenet", "out.npz"], "no weights of caffenet are in the cache"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(arguments, message, net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "empty"))
    run("convert", net, "net.safetensors")
    capsys.readouterr()
    assert run("convert", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("minideconv: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz", "net.safetensors"]
