"""State dicts in and out: .pth and safetensors, by torchvision's names and by a table; what torch exports, comes in."""

import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from draw import assert_close, assert_equal
from test_convert_onnx import assert_same_net, described

from minideconv import Network, load_model, models, save_model, to_device, to_numpy
from minideconv.convert import convert, read, write
from minideconv.convert.state_dicts import torch_places
from minideconv.images import CAFFE, TORCHVISION, Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minideconv.models import ZOO

safetensors_numpy = pytest.importorskip("safetensors.numpy")


def state_of(net, places):
    """{torchvision's name: array} of a net."""
    return {f"{places[name]}.{key}": to_numpy(getattr(layer, key))
            for name, layer in net.layers.items() for key in layer.parameters}  # fmt: skip


def saved(state, tmp_path, suffix="safetensors"):
    path = tmp_path / f"net.{suffix}"
    if suffix == "safetensors":
        safetensors_numpy.save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(np.array(array)) for name, array in state.items()}, path)
    return path


@pytest.mark.parametrize(("name", "expected"), [
    ("alexnet", "features 0 3 6 8 10 classifier 1 4 6"),
    ("vgg16", "features 0 2 5 7 10 12 14 17 19 21 24 26 28 classifier 0 3 6"),
    ("vgg19", "features 0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34 classifier 0 3 6"),
])  # fmt: skip
def test_places_are_torchvisions(name, expected):
    found, part = [], None
    for place in torch_places(ZOO[name][0]()).values():
        group, index = place.split(".")
        found += [group, index] if group != part else [index]
        part = group
    assert " ".join(found) == expected


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_with_torchvisions_names_is_recognised(suffix, prefix, tmp_path):
    net = models.build("zfnet32", seed=3)
    state = state_of(net, torch_places(ZOO["zfnet32"][0]()))
    found = read(saved({prefix + name: array for name, array in state.items()}, tmp_path, suffix))
    assert found.name == "zfnet32" and found.preprocessing is None and repr(found) == repr(net)
    for name, array in net.parameters().items():
        assert_equal(found.parameters()[name], array)
    assert found.original_names["conv2"] == "features.3"


def test_torchvisions_alexnet_comes_in_whole_and_as_convolutions_alone(tmp_path):
    rng, shapes = np.random.default_rng(0), {}
    places = torch_places(ZOO["alexnet"][0]())
    for name, layer in ZOO["alexnet"][0]():
        shapes.update({f"{places[name]}.{key}": shape for key, shape in layer.parameter_shapes().items()})
    state = {
        name: rng.standard_normal(1, dtype=np.float32) * np.ones(shape, np.float32) for name, shape in shapes.items()
    }
    whole = read(saved(state, tmp_path))
    assert list(whole.layers)[-1] == "fc8" and whole.class_count() == 1000
    assert_equal(whole.layers["fc7"].weight, state["classifier.4.weight"])
    features = read(saved({name: state[name] for name in state if name.startswith("features")}, tmp_path))
    assert list(features.layers)[-1] == "pool5"
    write(features, tmp_path / "out.safetensors")
    assert set(safetensors_numpy.load_file(tmp_path / "out.safetensors")) == {
        n for n in state if n.startswith("features")
    }


def test_two_nets_of_the_same_shapes_must_be_told_apart(tmp_path):
    layers = [(n, layer) for n, layer in ZOO["caffenet"][0]() if layer.parameters]
    places = torch_places(ZOO["caffenet"][0]())
    state = {f"{places[name]}.{key}": np.zeros(shape, np.float32) for name, layer in layers
             for key, shape in layer.parameter_shapes().items() if name.startswith("conv")}  # fmt: skip
    path = saved(state, tmp_path)
    with pytest.raises(ValueError, match="fits alexnet_published and caffenet; say which: --net NAME"):
        read(path)
    assert read(path, net="caffenet").name == "caffenet"


def test_a_net_goes_out_with_torchvisions_names_and_comes_back_identical(tmp_path):
    net = described(models.build("zfnet28", seed=1))
    write(net, tmp_path / "net.safetensors")
    assert set(safetensors_numpy.load_file(tmp_path / "net.safetensors")) >= {"features.0.weight", "classifier.1.bias"}
    assert_same_net(read(tmp_path / "net.safetensors"), net)


def test_what_goes_out_is_what_a_model_built_as_torchvisions_loads(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file
    from torch_twin import twin

    net = models.build("zfnet28", seed=2)
    write(net, tmp_path / "net.safetensors")
    modules = list(twin(models.build("zfnet28")).children())
    place = [type(module) for module in modules].index(torch.nn.Flatten)
    model = torch.nn.Module()
    model.features, model.classifier = torch.nn.Sequential(*modules[:place]), torch.nn.Sequential(*modules[place + 1 :])
    model.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x = np.random.default_rng(0).standard_normal((1, 28, 28, 2)).astype(np.float32)
    theirs = model.classifier(model.features(torch.from_numpy(x.transpose(3, 0, 1, 2).copy())).flatten(1))
    assert_close(net.forward(to_device(x))["fc4"], theirs.detach().numpy().T, 1e-5)


def test_a_net_that_is_not_of_the_zoo_goes_out_under_its_own_names(tmp_path):
    net = Network([("a", Conv2d(1, 2, 3)), ("b", ReLU())], name="mine", source="here")
    write(net, tmp_path / "net.safetensors")
    assert set(safetensors_numpy.load_file(tmp_path / "net.safetensors")) == {"a.weight", "a.bias"}
    assert repr(read(tmp_path / "net.safetensors")) == repr(net)


# --------------------------------------------------------------------------------------------------------- by a table


LAYERS = [
    ("first", Conv2d(3, 4, 3)),
    ("pool", MaxPool2d(2)),
    ("flatten", Flatten()),
    ("last", Linear(16, 2, has_bias=False)),
]


def table_for(tmp_path, **changes):
    from minideconv.weights import layer_entry

    entries = [layer_entry(name, layer) for name, layer in LAYERS]
    entries[0]["from"], entries[3]["from"] = "stem.conv", "head"
    entries[0].update(changes)
    (tmp_path / "table.json").write_text(json.dumps({"name": "mine", "input_shape": [3, 6, 6], "layers": entries}))
    return tmp_path / "table.json"


STATE = {
    "stem.conv.weight": np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32),
    "stem.conv.bias": np.arange(4, dtype=np.float32),
    "head.weight": np.random.default_rng(1).standard_normal((2, 16)).astype(np.float32),
}
NORM = {f"stem.norm.{key}": np.random.default_rng(i).uniform(0.5, 2, 4).astype(np.float32)
        for i, key in enumerate(("weight", "bias", "running_mean", "running_var"))}  # fmt: skip


def test_any_state_dict_comes_in_by_a_table(tmp_path):
    net = read(saved(STATE, tmp_path), table=table_for(tmp_path))
    assert list(net.layers) == ["first", "pool", "flatten", "last"] and net.name == "mine"
    assert_equal(net.layers["first"].weight, STATE["stem.conv.weight"])
    assert_equal(net.layers["last"].weight, STATE["head.weight"])
    assert net.original_names == {"first": "stem.conv", "last": "head"}


def test_a_table_folds_batch_normalisation(tmp_path):
    torch = pytest.importorskip("torch")
    counted = {"stem.norm.num_batches_tracked": np.int64(7)}
    net = read(saved({**STATE, **NORM, **counted}, tmp_path), table=table_for(tmp_path, batch_norm="stem.norm"))
    x = np.random.default_rng(0).standard_normal((3, 6, 6, 2)).astype(np.float32)
    tensor = {name: torch.from_numpy(array) for name, array in {**STATE, **NORM}.items()}
    maps = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(3, 0, 1, 2).copy()), tensor["stem.conv.weight"], tensor["stem.conv.bias"]
    )
    numbers = [tensor[f"stem.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    expected = torch.nn.functional.batch_norm(maps, *numbers).numpy().transpose(1, 2, 3, 0)
    np.testing.assert_allclose(to_numpy(net.forward(to_device(x))["first"]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("changes", "message"), [
    ({"head.weight": None}, r"head.weight is missing, but its layer wants \(2, 16\)"),
    ({"stem.conv.bias": np.zeros(5, np.float32)}, r"stem.conv.bias is \(5,\), but its layer wants \(4,\)"),
    ({"surplus": np.zeros(5, np.float32)}, "no layer wants surplus"),
    ({"head.weight": np.full((2, 16), np.nan, np.float32)}, "last.weight holds NaN or infinity"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_arrays_that_do_not_fit_the_table_are_refused(changes, message, suffix, tmp_path):
    state = {name: array for name, array in {**STATE, **changes}.items() if array is not None}
    path = saved(state, tmp_path, suffix)
    with pytest.raises(ValueError, match=message) as caught:
        convert(path, tmp_path / "net.npz", table=table_for(tmp_path))
    assert str(path) in str(caught.value) and not (tmp_path / "net.npz").exists()


def test_the_examples_of_the_documentation_are_read(tmp_path):
    text = (Path(__file__).parent.parent / "docs/weights.md").read_text(encoding="utf-8")
    preprocessing, table = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    assert Preprocessing.from_dict(json.loads(preprocessing)).channels == "BGR"
    (tmp_path / "table.json").write_text(table)
    shapes = {"features.0.weight": (16, 3, 3, 3), "features.0.bias": 16, "classifier.1.weight": (10, 16384),
              "classifier.1.bias": 10, **{f"features.1.{key[10:]}": 16 for key in NORM}}  # fmt: skip
    state = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    assert read(saved(state, tmp_path), table=tmp_path / "table.json").class_count() == 10


@pytest.mark.parametrize("text", ["{", "[]", '{"layers": 3}', '{"layers": [{"type": "ReLU"}]}', "[" * 10000])
def test_a_broken_table_is_refused(text, tmp_path):
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ValueError, match=r"table\.json"):
        read(saved(STATE, tmp_path), table=tmp_path / "table.json")


# ------------------------------------------------------------------------------------------- what goes with the weights


def test_preprocessing_and_class_names_go_into_the_file(tmp_path):
    net = models.build("alexnet", until="conv1")
    net.preprocessing = None
    save_model(net, tmp_path / "a.npz")
    (tmp_path / "own.json").write_text(json.dumps({**CAFFE.to_dict(), "crop": 224}))
    convert(tmp_path / "a.npz", tmp_path / "b.npz", preprocess="torchvision", licence="MIT")
    assert (load_model(tmp_path / "b.npz").preprocessing, load_model(tmp_path / "b.npz").licence) == (
        TORCHVISION,
        "MIT",
    )
    convert(tmp_path / "a.npz", tmp_path / "b.npz", preprocess="caffe")
    assert load_model(tmp_path / "b.npz").preprocessing.crop == 224  # of the net's size, not the preset's
    convert(tmp_path / "a.npz", tmp_path / "b.npz", preprocess=str(tmp_path / "own.json"))
    assert load_model(tmp_path / "b.npz").preprocessing.mean == (104.0, 117.0, 123.0)


@pytest.mark.parametrize("name", ["classes.txt", "classes.json"])
def test_class_names_are_a_line_each_or_a_json_list(name, tmp_path):
    save_model(models.build("zfnet28"), tmp_path / "a.npz")
    names = [f"größe {i}" for i in range(10)]
    (tmp_path / name).write_text(
        "\n".join(names) + "\n" if name.endswith("txt") else json.dumps(names), encoding="utf-8"
    )
    convert(tmp_path / "a.npz", tmp_path / "b.npz", classes=tmp_path / name)
    assert load_model(tmp_path / "b.npz").classes == names


@pytest.mark.parametrize(("options", "message"), [
    ({"preprocess": "imagenet"}, "there is no preprocessing 'imagenet'; use torchvision, caffe or a JSON file"),
    ({"preprocess": "torchvision"}, r"gives 3 × 28 × 28 .* zfnet28 takes 1 × 28 × 28"),
    ({"classes": "three.txt"}, "there are 3 class names for 10 outputs"),
    ({"net": "alexnet"}, "--net or --table, one of them, is for state dicts"),
])  # fmt: skip
def test_options_that_do_not_fit_are_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    save_model(models.build("zfnet28"), tmp_path / "a.npz")
    with pytest.raises(ValueError, match=message):
        convert("a.npz", "b.npz", **options)
    assert not (tmp_path / "b.npz").exists()


def test_a_net_without_preprocessing_says_what_to_pass(tmp_path):
    with pytest.raises(ValueError, match=r"minideconv convert MODEL\.npz NEW\.npz --preprocess"):
        models.build("zfnet").preprocess(["photo.jpg"])


def test_a_foreign_file_given_as_a_model_says_to_convert_it_first(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"convert it first: minideconv convert .*net\.onnx net\.npz"):
        load_model(tmp_path / "net.onnx")


# ------------------------------------------------------------------------------------------------ what torch exports


def test_what_torch_exports_gives_what_torch_computes(tmp_path):
    torch = pytest.importorskip("torch")
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.ReLU(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Dropout(), nn.Linear(128, 9), nn.ReLU(), nn.Linear(9, 4), nn.Softmax(1),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(2, 3, 32, 32)
    dynamic = {"x": {0: "N"}}
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False, input_names=["x"], dynamic_axes=dynamic)
    found = read(tmp_path / "net.onnx")
    ours = to_numpy(found.probabilities(to_device(x.numpy().transpose(1, 2, 3, 0).copy())))
    np.testing.assert_allclose(ours, net(x).detach().numpy().T, atol=1e-5)


# --------------------------------------------------------------------------------------------------- files of strangers


class Exploding:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle ran')",)


def test_a_pickle_with_code_is_refused_and_never_run(tmp_path):
    torch = pytest.importorskip("torch")
    for number, value in enumerate((Exploding(), {"features.0.weight": Exploding()})):
        path = tmp_path / f"net{number}.pth"
        torch.save(value, path)
        with pytest.raises(ValueError, match=r"it holds more than arrays, or is damaged; save model\.state_dict\(\)"):
            read(path)
        path.write_bytes(pickle.dumps(value, protocol=2))
        with pytest.raises(ValueError, match=r"it holds more than arrays, or is damaged; save model\.state_dict\(\)"):
            read(path)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_state_dict_of_a_checkpoint_is_found(key, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in STATE.items()}
    torch.save({key: state, "epoch": 3, "optimizer": {}}, tmp_path / "net.pth")
    net = read(tmp_path / "net.pth", table=table_for(tmp_path))
    assert_equal(net.layers["last"].weight, STATE["head.weight"])


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_a_tensor_without_plain_numbers_is_refused_by_name(kind, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in STATE.items()}
    weight = state["head.weight"]
    state["head.weight"] = weight.to_sparse() if kind == "sparse" else weight.to("meta")
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"head\.weight cannot be read|it holds more than arrays"):
        read(tmp_path / "net.pth", table=table_for(tmp_path))


def test_a_pickle_that_asks_for_all_memory_is_refused(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    (tmp_path / "net.pth").write_bytes(b"\x80\x02X\xff\xff\xff\xff")  # a text of four gigabytes
    with pytest.raises(ValueError, match="it is damaged"):
        read(tmp_path / "net.pth")

    def load(*_, **__):
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(ValueError, match="it is damaged, or larger than this machine's memory"):
        read(tmp_path / "net.pth")


def test_a_whole_model_says_to_save_its_state_dict(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"save model\.state_dict\(\)"):
        read(tmp_path / "net.pth")


@pytest.mark.parametrize("value", [[], {}, 3, {"a": 1}, {3: 4}])
def test_a_pth_without_named_arrays_is_refused(value, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(value, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="it holds no named arrays"):
        read(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["npz", "pth"])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(suffix, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / f"bomb.{suffix}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("__model__.npy", "w") as file:
        for _ in range(100):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"bomb\.\w+ has [\d,]+ bytes but unpacks to 104,857,600; it was not read"):
        read(path)


def test_a_zip_with_two_entries_of_one_name_is_refused(tmp_path):
    path = save_model(models.build("zfnet28"), tmp_path / "net.npz")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("conv1.bias.npy", b"")
    with pytest.raises(ValueError, match=r"two entries called 'conv1\.bias\.npy'"):
        read(path)


def test_a_header_that_claims_terabytes_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("conv1.weight.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    with pytest.raises(ValueError, match="cannot be read as a model file"):
        read(path)


@pytest.mark.parametrize(
    "claim", [{"shape": [10**12], "data_offsets": [0, 4 * 10**12]}, {"shape": [10**12], "data_offsets": [0, 4]}]
)
def test_a_safetensors_header_that_claims_terabytes_is_refused(claim, tmp_path):
    text = json.dumps({"a": {"dtype": "F32", **claim}}).encode()
    (tmp_path / "net.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(64))
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        read(tmp_path / "net.safetensors")


def test_a_tensor_that_is_larger_than_its_storage_is_never_made(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"features.0.weight": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match="fits no net of the zoo"):
        read(tmp_path / "net.pth")
