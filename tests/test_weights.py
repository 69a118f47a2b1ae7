"""A model file is whole, checked and harmless, or it is refused in one line."""

import json
import zipfile

import numpy as np
import pytest
from draw import assert_equal, stacks
from hypothesis import given

from minideconv import load_model, models, save_model, to_numpy
from minideconv.images import CAFFE, Preprocessing
from minideconv.weights import cache_folder


@pytest.fixture
def saved(tmp_path):
    net = models.build("zfnet28")
    net.classes, net.source, net.licence = ["T-shirt", "短褲"] + ["…"] * 8, "made here", "MIT"
    net.preprocessing = Preprocessing(resize=None, crop=None, channels="L", scale=1 / 255, mean=(0.3,), std=(0.5,))
    return net, save_model(net, tmp_path / "net.npz")


def rewrite(path, change):
    """Change the arrays of a model file: `change` gets the dict and edits it."""
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)


def edit(path, change):
    """Change the description of a model file."""

    def in_arrays(arrays):
        description = json.loads(str(arrays["__model__"]))
        change(description)
        arrays["__model__"] = np.array(json.dumps(description))

    rewrite(path, in_arrays)


def test_a_model_file_brings_everything_back(saved):
    net, path = saved
    again = load_model(path)
    assert repr(again) == repr(net)
    for name, value in net.parameters().items():
        assert_equal(again.parameters()[name], value)
    for attribute in ("name", "classes", "source", "sha256", "licence", "preprocessing", "input_shape"):
        assert getattr(again, attribute) == getattr(net, attribute)


@given(stacks())
def test_any_stack_of_layers_survives_a_model_file(tmp_path_factory, stack):
    net, x = stack
    path = save_model(net, tmp_path_factory.mktemp("stack") / "net.npz")
    again = load_model(path)
    assert repr(again) == repr(net)
    last = list(net.layers)[-1]
    np.testing.assert_allclose(to_numpy(again.forward(x)[last]), to_numpy(net.forward(x)[last]), rtol=1e-5, atol=1e-5)


def test_half_precision_is_cast_on_loading(saved, tmp_path):
    net, _ = saved
    again = load_model(save_model(net, tmp_path / "half.npz", dtype="float16"))
    weight = to_numpy(again.parameters()["conv1.weight"])
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight, to_numpy(net.parameters()["conv1.weight"]), rtol=1e-3, atol=1e-6)


def test_numpy_alone_can_read_a_model_file(saved):
    with np.load(saved[1], allow_pickle=False) as archive:
        assert json.loads(str(archive["__model__"]))["layers"][0]["name"] == "conv1"
        assert archive["conv1.weight"].dtype == np.float32


def _set(name, value):
    return lambda arrays: arrays.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("conv2.bias"), r"missing: \['conv2.bias'\], not known: \[\]"),
        (_set("conv9.weight", np.zeros(3, np.float32)), r"missing: \[\], not known: \['conv9.weight'\]"),
        (_set("conv1.bias", np.zeros(17, np.float32)), r"conv1.bias has shape \(17,\), but its layer wants \(16,\)"),
        (_set("conv1.bias", np.zeros(16)), "conv1.bias is float64; expected float32 or float16"),
        (_set("conv1.bias", np.full(16, np.inf, np.float32)), "conv1.bias holds NaN or infinity"),
        (_set("conv1.bias", np.array([None] * 16)), "cannot be read as a model file"),
        (lambda arrays: arrays.pop("__model__"), "is not a model file: it has no __model__ entry"),
        (_set("__model__", np.array("{")), "cannot be read as a model file"),
        (_set("__model__", np.array("[1]")), "has model file format None, but this version reads 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(saved, change, message):
    rewrite(saved[1], change)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(saved[1])
    assert "\n" not in str(caught.value) and str(saved[1]) in str(caught.value)


def _layer(number, **entries):
    return lambda description: description["layers"][number].update(entries)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "has model file format 2, but this version reads 1"),
        (lambda d: d.pop("classes"), "lacks or does not know 'classes'"),
        (_layer(0, type="Attention"), "lacks or does not know 'Attention'"),
        (_layer(0, dilation=2), "does not fit together: .*dilation"),
        (_layer(0, out_channels=16.0), r"does not fit together: Conv2d: out_channels is 16\.0; give a whole number"),
        (
            _layer(1, type="LocalResponseNorm", size=float("nan")),
            "does not fit together: LocalResponseNorm: size is nan; give a whole number",
        ),
        (_layer(1, type="LocalResponseNorm", size=3, k=float("inf")), "alpha, beta, k are .*; they must be finite"),
        (_layer(-1, out_features=-10), "does not fit together: Linear: out_features is -10; give a whole number"),
        (_layer(3, in_channels=7), "does not fit together: .*layer conv2: Conv2d expects maps of shape"),
        (lambda d: d.update(classes=5), "classes must be a list of names"),
        (lambda d: d.update(classes=["a"]), "there are 1 class names for 10 outputs"),
        (lambda d: d.update(original_names="abc"), "original_names a table of names"),
        (lambda d: d.update(original_names={"conv1": 3}), "original_names a table of names"),
        (lambda d: d.update(softmax=None), "softmax must be true or false"),
        (lambda d: d.update(name=None), "name, source, sha256 and licence must be text"),
        (lambda d: d["preprocessing"].update(channels="HSV"), "does not fit together: .*channels"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(saved, change, message):
    edit(saved[1], change)
    with pytest.raises(ValueError, match=message):
        load_model(saved[1])


def test_a_pickle_is_refused_and_never_run(saved):
    rewrite(saved[1], _set("conv1.bias", np.array([Exploding()], dtype=object)))
    with pytest.raises(ValueError, match=r"cannot be read as a model file: it is damaged or no \.npz file"):
        load_model(saved[1])


class Exploding:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle ran')",)


def test_truncated_and_foreign_files_are_refused(saved, tmp_path):
    whole = saved[1].read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        saved[1].write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cannot be read as a model file"):
            load_model(saved[1])
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"is not a model file|cannot be read as a model file"):
        load_model(tmp_path / "other.npz")


def test_any_damaged_byte_is_refused_or_harmless(saved):
    whole, rng = bytearray(saved[1].read_bytes()), np.random.default_rng(0)
    for place in (
        rng.integers(0, len(whole), 150).tolist()
        + list(range(0, 200, 3))
        + list(range(len(whole) - 200, len(whole), 3))
    ):
        damaged = whole.copy()
        damaged[place] ^= int(rng.integers(1, 256))
        saved[1].write_bytes(damaged)
        try:
            load_model(saved[1])
        except ValueError as error:
            assert "\n" not in str(error)


def test_a_plain_array_file_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"cannot be read as a model file: it is damaged or no \.npz file"):
        load_model(tmp_path / "x.npy")


def test_a_damaged_file_in_the_cache_says_how_to_fetch_it_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))
    (tmp_path / "alexnet.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="fetch it again: minideconv fetch alexnet --force"):
        load_model("alexnet")


def test_saving_refuses_what_could_not_be_loaded(saved, tmp_path):
    net, _ = saved
    with pytest.raises(ValueError, match=r"the name must end in \.npz"):
        save_model(net, tmp_path / "net.zip")
    with pytest.raises(ValueError, match="there is no folder"):
        save_model(net, tmp_path / "missing" / "net.npz")
    with pytest.raises(ValueError, match="cannot save a model in int8: use float32, or float16"):
        save_model(net, tmp_path / "int8.npz", dtype="int8")
    net.layers["fc4"].weight[0, 0] = 1e6
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=r"fc4\.weight holds NaN or infinity in float16"):
        save_model(net, tmp_path / "half.npz", dtype="float16")
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_a_missing_model_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    with pytest.raises(FileNotFoundError, match="fetch it: minideconv fetch alexnet"):
        load_model("alexnet")
    with pytest.raises(FileNotFoundError, match="no weights of caffenet are in the cache"):
        load_model("caffenet")
    with pytest.raises(FileNotFoundError, match=r"there is no model file nothere\.npz; give a \.npz file, or one of"):
        load_model("nothere.npz")


def test_caffes_preprocessing_survives(tmp_path):
    net = models.build("caffenet", until="conv1")
    assert load_model(save_model(net, tmp_path / "c.npz")).preprocessing == CAFFE
