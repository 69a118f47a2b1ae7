"""Features, their inner products, and the classifiers on them; `minideconv transfer` as a user types it."""

import zipfile

import numpy as np
import pytest
from draw import assert_equal
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small import colour_net, contents, photo_folder, renamed

from minideconv import load_model, models, to_numpy
from minideconv.archives import Photos
from minideconv.cli import main
from minideconv.experiments import features as features_module
from minideconv.experiments.feature_analysis import (
    Transfer,
    check_enough,
    divide,
    mean_class_accuracy,
    svm_accuracy,
    transfer,
)
from minideconv.experiments.feature_generalization import classify, train_softmax
from minideconv.experiments.features import Features, averaged, cell_size, feature_layers, gram, labelled
from minideconv.layers import Conv2d
from minideconv.network import Network
from minideconv.weights import save_model

pytest.importorskip("sklearn")
COLOURS = {"blue": (30, 40, 220), "green": (40, 200, 30), "red": (220, 40, 30)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def colours(tmp_path):
    """Three classes of twelve photos, of one colour each and much noise."""
    rng, folder = np.random.default_rng(0), tmp_path / "colours"
    for name, colour in COLOURS.items():
        noise = rng.integers(-30, 31, (12, 16, 16, 3))
        photo_folder(folder / name, np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8))
    return folder


def prepared(folder, net=None, batch=5):
    net = net or colour_net()
    photos = Photos(folder)
    numbers, labels, _ = labelled(photos, 80)
    return Features(net, photos, numbers, feature_layers(net), batch), labels


# ------------------------------------------------------------------------------------------------------------ photos


def test_the_folder_is_the_class_and_caltechs_background_is_none(tmp_path):
    for name in ("cat/1.jpg", "BACKGROUND_Google/1.jpg", "dog/1.jpg", "cat/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    numbers, labels, classes = labelled(Photos(tmp_path), 80)
    assert classes == ["cat", "dog"]
    assert labels.tolist() == [0, 0, 1] and len(set(numbers.tolist())) == 3


def test_of_a_large_class_some_are_drawn_and_always_the_same(colours):
    photos = Photos(colours)
    numbers, labels, _ = labelled(photos, 5, seed=3)
    again, _, _ = labelled(photos, 5, seed=3)
    other, _, _ = labelled(photos, 5, seed=4)
    assert np.bincount(labels).tolist() == [5, 5, 5] and sorted(numbers) == list(numbers)
    assert np.array_equal(numbers, again) and not np.array_equal(numbers, other)


# ---------------------------------------------------------------------------------------------------------- features


def test_features_come_from_where_the_net_pools():
    assert feature_layers(models.build("alexnet")) == "pool1 pool2 relu3 relu4 pool5 relu6 relu7".split()
    assert feature_layers(colour_net()) == ["pool1", "pool2", "relu3", "relu4"]


def test_a_net_of_convolutions_alone_has_no_features():
    with pytest.raises(ValueError, match="no ReLU or pool"):
        feature_layers(Network([("conv1", Conv2d(3, 2, 3))]))


@given(st.tuples(*(st.integers(1, 9) for _ in range(3))), st.integers(9, 90))
def test_large_maps_are_averaged_over_the_smallest_cells_that_fit(shape, most):
    k = cell_size(shape, most)
    count = lambda k: shape[0] * -(-shape[1] // k) * -(-shape[2] // k)  # noqa: E731
    assert count(k) <= most and (k == 1 or count(k - 1) > most)


def test_averages_are_those_of_naive_cells(monkeypatch):
    monkeypatch.setattr(features_module, "cell_size", lambda shape: 2)
    maps = np.random.default_rng(0).integers(0, 9, (3, 5, 4, 2)).astype(float)
    naive = [maps[c, i : i + 2, j : j + 2].mean(axis=(0, 1)) for c in range(3) for i in (0, 2, 4) for j in (0, 2)]
    assert np.array_equal(averaged(maps), np.array(naive))


@given(st.integers(1, 7), st.integers(1, 23), st.integers(1, 8))
def test_inner_products_in_blocks_are_all_inner_products(rows, columns, block):
    array = np.random.default_rng(rows).integers(-4, 5, (rows, columns)).astype(np.float16)
    before, features_module.COLUMNS = features_module.COLUMNS, block
    try:
        assert np.array_equal(gram(array), array.astype(float) @ array.T.astype(float))
    finally:
        features_module.COLUMNS = before


def test_a_kernel_is_the_inner_products_of_unit_vectors(colours):
    net = colour_net()
    some, _ = prepared(colours, net)
    some.extract(progress=False)
    x = net.preprocess([str(colours / name) for name in np.array(Photos(colours).names)[some.numbers]])
    trace = net.forward(x)
    for layer in some.layers:
        vectors = to_numpy(trace[layer]).reshape(-1, x.shape[-1]).astype(float)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=0), 1e-30)
        assert np.abs(some.kernel(layer) - vectors.T @ vectors).max() < 1e-3  # half precision
    last = to_numpy(trace[some.layers[-1]])
    assert np.abs(some.vectors(some.layers[-1]) - last).max() < 1e-3 * last.max()


def test_a_broken_photo_has_a_row_of_zeros_and_is_named(colours):
    (colours / "green" / "003.png").write_bytes(b"nothing")
    some, _ = prepared(colours)
    some.extract(progress=False)
    (number,) = some.skipped
    assert some.photos.names[number] == "green/003.png"
    kernel = some.kernel("pool1")
    row = int(np.flatnonzero(some.numbers == number)[0])
    assert not kernel[row].any() and not kernel[:, row].any() and kernel[0, 0] > 0.99


def rows_of(some):
    return {layer: some._rows(layer).read_bytes() for layer in some.layers}


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_stopped_extraction_goes_on_and_ends_in_the_same_bytes(colours, tmp_path, monkeypatch, after):
    whole, _ = prepared(colours)
    whole.extract(progress=False)
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "other"))
    stopped, _ = prepared(colours)
    calls, append = [], stopped._append

    def append_until(*arguments):
        if len(calls) == after:
            with open(stopped._rows("pool1"), "ab") as file:  # half a row, as a kill may leave it
                file.write(b"1234567")
            raise KeyboardInterrupt
        calls.append(append(*arguments))

    monkeypatch.setattr(stopped, "_append", append_until)
    with pytest.raises(KeyboardInterrupt):
        stopped.extract(progress=False)
    again, _ = prepared(colours)
    again.extract(progress=False)
    assert rows_of(again) == rows_of(whole)


def test_what_is_in_the_cache_is_not_computed_again(colours, monkeypatch):
    net = colour_net()
    transfer(net, colours, train_per_class=4, splits=1, progress=False)
    monkeypatch.setattr(net, "forward", None)
    transfer(net, colours, train_per_class=[3, 5], splits=2, progress=False)


@pytest.mark.parametrize("name", ["../../out", "..", "/etc", "a" * 300, "a\\b"])
def test_names_in_a_model_file_lead_no_feature_out_of_the_cache(colours, tmp_path, name):
    features, _ = prepared(colours, renamed(colour_net(), name, "../../../{}"))
    before = set(contents(tmp_path))
    features.extract(progress=False)
    assert features.kernel(features.layers[0]).any()
    new = set(contents(tmp_path)) - before
    assert new and {path.rpartition("/")[0] for path in new} == {f"cache/features/{features.folder.name}"}


def test_layers_with_like_names_have_features_of_their_own(colours):
    net = colour_net()
    names = {"relu1": "a/b", "pool1": "a_b"}
    like = Network([(names.get(own, own), layer) for own, layer in net.layers.items()], name="like",
                   input_shape=net.input_shape, preprocessing=net.preprocessing)  # fmt: skip
    photos = Photos(colours)
    numbers, _, _ = labelled(photos, 80)
    pair = (
        Features(like, photos, numbers, ["a/b", "a_b", "relu4"], 5),
        Features(net, photos, numbers, [*names, "relu4"], 5),
    )
    for features in pair:
        features.extract(progress=False)
    for own, other in names.items():
        assert_equal(pair[0].kernel(other), pair[1].kernel(own))


def test_other_weights_are_other_features(colours):
    one, _ = prepared(colours, colour_net(seed=0))
    other, _ = prepared(colours, colour_net(seed=1))
    assert one.folder != other.folder


# -------------------------------------------------------------------------------------------------------- classifiers


def test_divisions_share_no_photo_and_have_so_many_of_each_class():
    labels = np.repeat([0, 1, 2], [90, 12, 40])
    labels[5] = -1  # cannot be used
    train, test = divide(labels, 10, np.random.default_rng(0))
    assert not set(train) & set(test) and 5 not in {*train, *test}
    assert np.bincount(labels[train]).tolist() == [10, 10, 10]
    assert np.bincount(labels[test]).tolist() == [50, 2, 30]


def test_every_class_counts_the_same():
    labels = np.array([0] * 98 + [1] * 2)
    assert mean_class_accuracy(np.zeros(100, int), labels) == 0.5


def drawn(separation, count=20, length=30, classes=4, seed=0):
    """Vectors (D, N) around a centre for each class, and labels."""
    rng = np.random.default_rng(seed)
    centres, labels = rng.standard_normal((length, classes)), np.arange(count * classes) % classes
    return (separation * centres[:, labels] + rng.standard_normal((length, len(labels)))).astype(np.float32), labels


@pytest.mark.parametrize(("separation", "least", "most"), [(3, 1.0, 1.0), (0, 0.05, 0.5)])
def test_an_svm_finds_classes_that_are_there_and_none_that_are_not(separation, least, most):
    vectors, labels = drawn(separation)
    vectors /= np.linalg.norm(vectors, axis=0)
    accuracy, cost = svm_accuracy(vectors.T @ vectors, labels, np.arange(48), np.arange(48, 80))
    assert least <= accuracy <= most and cost in (1, 10, 100)


def test_the_softmax_finds_classes_that_are_there():
    vectors, labels = drawn(3)
    layer = train_softmax(vectors[:, :48], labels[:48], 4)
    assert mean_class_accuracy(classify(layer, vectors[:, 48:]), labels[48:]) == 1.0


def test_the_scale_of_features_ends_up_in_the_weights():
    vectors, labels = drawn(1)
    one, four = train_softmax(vectors, labels, 4), train_softmax(4 * vectors, labels, 4)
    assert_equal(one.weight, 4 * four.weight)
    assert_equal(one.bias, four.bias)


# ------------------------------------------------------------------------------------------------------------ all of it


def test_colours_are_told_apart_at_every_layer(colours):
    result = transfer(colour_net(), colours, train_per_class=6, splits=2, progress=False)
    assert result.layers == ["pool1", "pool2", "relu3", "relu4"] and result.svm.shape == (1, 4, 2)
    assert result.lengths.tolist() == [4 * 36, 6 * 9, 10 * 9, 5] and result.depths.tolist() == [1, 2, 3, 4]
    assert (result.svm[:, :3] == 1).all()


def test_the_new_net_says_what_the_softmax_said(colours):
    net = colour_net()
    layers = ["pool1", "pool2"]
    result = transfer(net, colours, train_per_class=6, splits=1, layers=layers, progress=False)
    new = result.network(net)
    assert list(new.layers)[-3:] == ["pool2", "flatten", "classifier"] and new.classes == ["blue", "green", "red"]
    held_out = [name for name in Photos(colours).names if name not in result.trained_on]
    truth = np.array([new.classes.index(name.split("/")[0]) for name in held_out])
    found = to_numpy(new.probabilities(new.preprocess([str(colours / name) for name in held_out])))
    assert mean_class_accuracy(found.argmax(axis=0), truth) == result.softmax[0, 0]


def test_averaged_maps_are_averaged_in_the_new_net_too(colours, monkeypatch):
    monkeypatch.setattr(features_module, "MOST", 30)
    monkeypatch.setattr(features_module.cell_size, "__defaults__", (30,))
    net = colour_net()
    result = transfer(net, colours, train_per_class=6, splits=1, layers=["pool1"], progress=False)
    new = result.network(net)
    assert result.lengths.tolist() == [16] and list(new.layers)[-3:] == ["average", "flatten", "classifier"]
    assert new.probabilities(new.preprocess([str(colours / "red" / "000.png")])).argmax() == 2


def test_whole_photos_are_squeezed_not_cropped(tmp_path):
    """What tells the classes apart lies at the left edge, outside the central square."""
    for name, level in (("dark", 20), ("light", 230)):
        photos = np.full((8, 12, 36, 3), 120, np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None]
        photos[:, :, :8] = level
        photo_folder(tmp_path / "edges" / name, photos)
    run = lambda whole: transfer(  # noqa: E731
        colour_net(), tmp_path / "edges", train_per_class=4, splits=1, layers=["pool1"], whole=whole, progress=False
    )
    assert run(True).svm.item() == 1 and run(False).svm.item() <= 0.5
    assert run(True).network(colour_net()).preprocessing.resize == (12, 12)


def test_the_papers_row_stands_beside_caltechs_101_classes_only():
    fields = dict.fromkeys(Transfer.__dataclass_fields__)
    fields.update(layers=["pool1", "pool5"], depths=np.array([1, 5]))
    classes = ["accordion", *map(str, range(99)), "yin_yang"]
    caltech, other = Transfer(**{**fields, "classes": classes}), Transfer(**{**fields, "classes": ["a", "b"]})
    assert (caltech.paper(0), caltech.paper(1), caltech.paper(1, softmax=True)) == (
        (44.8, 0.7),
        (86.2, 0.8),
        (82.9, 0.4),
    )
    assert other.paper(0) is None


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def model(tmp_path):
    return str(save_model(colour_net(), tmp_path / "net.npz"))


def test_the_command_writes_table_picture_arrays_and_a_model(colours, model, tmp_path, capsys):
    out, saved = tmp_path / "out", tmp_path / "new.npz"
    arguments = ["--train-per-class", "4", "6", "--splits", "2", "--out", str(out), "--save", str(saved)]
    assert main(["transfer", "--model", model, "--data", str(colours), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "4 a class" in printed and "6 a class" in printed and "softmax" in printed and "paper" not in printed
    assert {path.name for path in out.iterdir()} == {"transfer.png", "transfer.csv", "transfer.npz"}
    assert len((out / "transfer.csv").read_text().splitlines()) == 1 + 2 * 5
    with np.load(out / "transfer.npz", allow_pickle=False) as arrays:
        assert arrays["svm"].shape == (2, 4, 2) and arrays["classes"].tolist() == list(COLOURS)
    assert load_model(saved).classes == list(COLOURS)


def test_a_zip_will_do(colours, model, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "colours.zip", "w") as archive:
        for path in colours.rglob("*.png"):
            archive.write(path, path.relative_to(colours))
    arguments = [
        "--train-per-class",
        "4",
        "--splits",
        "1",
        "--out",
        str(tmp_path / "out"),
        "--layers",
        "pool2",
        "pool1",
    ]
    assert main(["transfer", "--model", model, "--data", str(tmp_path / "colours.zip"), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["pool1", "pool2", "pool2"] and "±" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--train-per-class", "12"],
            "blue has 12 photos that can be used (3 classes have too few), but 12 are to train",
        ),
        (["--train-per-class", "0"], "give 2 to 79 photos"),
        (["--splits", "0"], "at least one split"),
        (["--layers", "relu9"], "has no layer 'relu9'"),
        (["--save", "new.txt"], "must end in .npz"),
        (["--save", "nowhere/new.npz"], "there is no folder nowhere"),
        (["--out", "net.npz"], "is a file; give a folder"),
        (["--data", "colours/red"], "has no class folders"),
        (["--data", "one"], "has one class folder, red"),
        (["--data", "nothing"], "there is no file or folder nothing"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(colours, model, tmp_path, monkeypatch, capsys, arguments, says):
    (tmp_path / "one").mkdir()
    (colours / "red" / "000.png").rename(tmp_path / "one" / "000.png")
    photo_folder(tmp_path / "one" / "red", np.zeros((1, 16, 16, 3), np.uint8))
    photo_folder(colours / "red", np.zeros((1, 16, 16, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    usual = ["--model", model, "--data", "colours", "--train-per-class", "4", "--out", "out"]
    assert main(["transfer", *usual, *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("minideconv: ") and says in error and not (tmp_path / "out").exists()


def test_too_many_broken_photos_are_found_out_before_anything_is_trained(colours, model, tmp_path, capsys):
    for path in list((colours / "red").iterdir())[:8]:
        path.write_bytes(b"nothing")
    arguments = ["--data", str(colours), "--train-per-class", "5", "--out", str(tmp_path / "out")]
    assert main(["transfer", "--model", model, *arguments]) == 2
    assert "class red has 4 photos" in capsys.readouterr().err


def test_without_scikit_learn_the_extra_is_named(colours, model, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["transfer", "--model", model, "--data", str(colours), "--train-per-class", "4"]) == 2
    assert "pip install 'minideconv[experiments]'" in capsys.readouterr().err


def test_enough_is_one_more_than_is_trained_on():
    check_enough(np.repeat([0, 1], 6), ["a", "b"], 5)
    with pytest.raises(ValueError, match="class b has 5 photos"):
        check_enough(np.repeat([0, 1], [6, 5]), ["a", "b"], 5)


def test_the_new_net_may_be_saved_in_the_folder_that_is_created(colours, model, tmp_path):
    out = tmp_path / "new"
    arguments = ["--train-per-class", "4", "--splits", "1", "--out", str(out), "--save", str(out / "net.npz")]
    assert main(["transfer", "--model", model, "--data", str(colours), *arguments]) == 0
    assert load_model(out / "net.npz").classes == list(COLOURS)


def test_clutter_is_no_class(colours):
    (colours / "red").rename(colours / "257.clutter")
    assert labelled(Photos(colours), 80)[2] == ["blue", "green"]
