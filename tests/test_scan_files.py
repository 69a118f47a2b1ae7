"""A scan in a file: stopped and resumed, or cut into shards and merged, it ends in the very bytes of one run."""

import io
import json
import random
import shutil
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import colour_net, levels, photo_folder

from minideconv import files
from minideconv.archives import Photos
from minideconv.experiments import scan_files
from minideconv.experiments.scan_files import (
    differences,
    load_scan,
    merge_scans,
    resumed_scan,
    save_scan,
    shard_batches,
)
from minideconv.experiments.scanning import EDGES, new_scan, scan

LAYERS = ["relu1", "relu3"]


def quiet(line):
    """What nobody needs to hear."""


def resumed(net, photos, path, **options):
    options = {"batch_size": 4, "note": quiet, **options}
    return resumed_scan(net, photos, LAYERS, path, **options)


def assert_same_scan(one, other):
    assert (one.settings, one.skipped, list(one.layers)) == (other.settings, other.skipped, list(other.layers))
    assert (one.done == other.done).all()
    for name in one.layers:
        fields = zip((*one.layers[name].top, *one.layers[name][1:]), (*other.layers[name].top, *other.layers[name][1:]))
        for mine, theirs in fields:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


def interrupt_after(monkeypatch, net, batches):
    """Let Ctrl-C come when so many batches have gone through the net."""
    forward, left = type(net).forward.__get__(net), [batches]

    def interrupted(x, **options):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return forward(x, **options)

    monkeypatch.setattr(net, "forward", interrupted)


@pytest.fixture
def photos(tmp_path):
    """Eighteen photos, two of them broken."""
    return Photos(photo_folder(tmp_path / "photos", levels(18), [3, 17]))


# ------------------------------------------------------------------------------------------------- one file, again


def test_what_is_saved_is_loaded(tmp_path, photos):
    found = scan(colour_net(), photos, ["relu3", "relu1", "relu4"], batch_size=4)
    save_scan(found, tmp_path / "scan.npz", more=np.arange(3))
    assert_same_scan(load_scan(tmp_path / "scan.npz"), found)
    assert_same_scan(load_scan(str(tmp_path / "scan.npz")), found)


def test_layers_may_have_any_name(tmp_path):
    names = {"../a": "relu1", "b/c.value": "relu2", "__done__": "relu3"}
    net = colour_net()
    net.layers = {next((odd for odd, name in names.items() if name == key), key): net.layers[key] for key in net.layers}
    found = scan(net, levels(5), list(names), batch_size=2)
    save_scan(found, tmp_path / "scan.npz")
    assert_same_scan(load_scan(tmp_path / "scan.npz"), found)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.npz"]


def test_a_file_is_plain_arrays_and_one_line_of_json(tmp_path):
    save_scan(scan(colour_net(), levels(5), LAYERS), tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz", allow_pickle=False) as archive:
        assert archive["relu3.value"].shape == (10, 9) and archive["relu3.bins"].shape == (10, len(EDGES) - 1)
        assert json.loads(str(archive["__scan__"]))["edges"] == EDGES.tolist()


@pytest.mark.parametrize("batches", [0, 1, 2, 4])
@pytest.mark.parametrize("every", [0.0, 1e9])
def test_interrupted_and_resumed_a_scan_ends_in_the_same_bytes(tmp_path, photos, monkeypatch, batches, every):
    monkeypatch.setattr(scan_files, "SAVE_EVERY", every)
    resumed(colour_net(), photos, tmp_path / "whole.npz")
    net, said = colour_net(), []
    with monkeypatch.context() as stopping:
        interrupt_after(stopping, net, batches)
        with pytest.raises(KeyboardInterrupt, match=r"stopped after \d+ photos; the same command goes on from there"):
            resumed(net, photos, tmp_path / "scan.npz")
    assert (tmp_path / "scan.npz").exists() == (batches > 0)
    before = load_scan(tmp_path / "scan.npz").done.sum() if batches else 0
    assert before == batches
    with monkeypatch.context() as counting:
        interrupt_after(counting, net, 5 - batches)  # no more than are left
        found = resumed(net, photos, tmp_path / "scan.npz", note=said.append)
    assert len(said) == (batches > 0) and found.done.all()
    assert (tmp_path / "scan.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_interrupted_at_every_batch_it_ends_in_the_same_bytes(tmp_path, photos, monkeypatch):
    resumed(colour_net(), photos, tmp_path / "whole.npz")
    for _ in range(4):
        net = colour_net()
        interrupt_after(monkeypatch, net, 1)
        with pytest.raises(KeyboardInterrupt):
            resumed(net, photos, tmp_path / "scan.npz")
    resumed(colour_net(), photos, tmp_path / "scan.npz")
    assert (tmp_path / "scan.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_finished_scan_is_not_run_or_written_again(tmp_path, photos, monkeypatch):
    net, path = colour_net(), tmp_path / "scan.npz"
    resumed(net, photos, path)
    before = path.stat()
    interrupt_after(monkeypatch, net, 0)
    assert resumed(net, photos, path).done.all()
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_killed_between_write_and_rename_the_older_scan_stays_whole(tmp_path, photos, monkeypatch):
    net, path = colour_net(), tmp_path / "scan.npz"
    interrupt_after(monkeypatch, net, 2)
    with pytest.raises(KeyboardInterrupt):
        resumed(net, photos, path)
    older = path.read_bytes()
    with monkeypatch.context() as killing:
        killing.setattr(files.os, "replace", lambda *paths: (_ for _ in ()).throw(SystemExit("killed")))
        with pytest.raises(SystemExit):
            resumed(colour_net(), photos, path)
    assert path.read_bytes() == older and sorted(tmp_path.iterdir()) == [tmp_path / "photos", path]
    resumed(colour_net(), photos, path)
    resumed(colour_net(), photos, tmp_path / "whole.npz")
    assert path.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_scan_of_other_photos_is_not_written_over(tmp_path, photos):
    path = tmp_path / "scan.npz"
    found = resumed(colour_net(), levels(9), path)
    with pytest.raises(
        ValueError, match=r"is a scan of another net, or other weights and other photos.*; delete it, or"
    ):
        resumed(colour_net(seed=1), photos, path)
    assert_same_scan(load_scan(path), found)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    net = colour_net()
    interrupt_after(monkeypatch, net, 0)
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere; create it first"):
        resumed(net, levels(9), tmp_path / "nowhere" / "scan.npz")


# ------------------------------------------------------------------------------------------------------------ shards


def shards(net, photos, folder, of, **options):
    paths = [folder / f"shard-{number}.npz" for number in range(1, of + 1)]
    for number, path in enumerate(paths, 1):
        resumed(net, photos, path, shard=(number, of), **options)
    return paths


def test_shards_are_whole_batches_and_all_of_them_are_the_collection():
    for count in range(1, 20):
        for of in range(1, count + 1):
            parts = [list(shard_batches(count, number, of)) for number in range(1, of + 1)]
            assert [*chain(*parts)] == list(range(count)) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("shard", "message"),
    [((0, 3), "there is no shard 0/3; shards count from 1/3 to 3/3"), ((4, 3), "there is no shard 4/3"),
     ((1, 0), "there is no shard 1/0; shards count from 1/1 to 1/1"), ((-1, -2), "there is no shard -1/-2"),
     ((1, 6), "there are 5 batches of photos, too few for 6 shards; use at most 5")],
)  # fmt: skip
def test_a_shard_that_is_not_there_is_refused(tmp_path, photos, shard, message):
    with pytest.raises(ValueError, match=message):
        resumed(colour_net(), photos, tmp_path / "scan.npz", shard=shard)
    assert not (tmp_path / "scan.npz").exists()


@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_shards_merged_in_any_order_are_one_scan_to_the_byte(tmp_path, photos, of):
    net = colour_net()
    resumed(net, photos, tmp_path / "whole.npz")
    paths = shards(net, photos, tmp_path, of)
    for order in (paths, paths[::-1], random.Random(0).sample(paths, of)):
        save_scan(merge_scans(order), tmp_path / "merged.npz")
        assert (tmp_path / "merged.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_shard_can_be_interrupted_and_resumed_too(tmp_path, photos, monkeypatch):
    net = colour_net()
    first, second = shards(net, photos, tmp_path, 2)
    wanted = second.read_bytes()
    second.unlink()
    with monkeypatch.context() as stopping:
        interrupt_after(stopping, net, 1)
        with pytest.raises(KeyboardInterrupt):
            resumed(net, photos, second, shard=(2, 2))
    with pytest.raises(ValueError, match="merge: 2 of 5 batches are missing; finish and give all shards"):
        merge_scans([first, second])
    resumed(net, photos, second, shard=(2, 2))
    assert second.read_bytes() == wanted


def test_a_shard_of_broken_photos_alone_can_be_merged(tmp_path):
    photos = Photos(photo_folder(tmp_path / "photos", levels(12), range(4, 8)))
    merged = merge_scans(shards(colour_net(), photos, tmp_path, 3))
    assert_same_scan(merged, scan(colour_net(), photos, LAYERS, batch_size=4))


def test_shards_of_broken_photos_alone_are_no_scan(tmp_path):
    photos = Photos(photo_folder(tmp_path / "photos", levels(4), range(4)))
    paths = shards(colour_net(), photos, tmp_path, 2, batch_size=2)
    with pytest.raises(ValueError, match="not one of the 4 photos can be used"):
        merge_scans(paths)


@pytest.mark.parametrize(
    ("net", "count", "layers", "options", "difference"),
    [
        (colour_net(seed=1), 18, LAYERS, {}, "another net, or other weights"),
        (colour_net("BGR"), 18, LAYERS, {}, "another net, or other weights"),
        (colour_net(), 17, LAYERS, {}, "other photos, or changed ones and other photos"),
        (colour_net(), 18, ["relu1"], {}, "other layers"),
        (colour_net(), 18, LAYERS[::-1], {}, "other layers"),
        (colour_net(), 18, LAYERS, {"k": 8}, "another k"),
        (colour_net(), 18, LAYERS, {"batch_size": 5}, "another batch size"),
    ],
)
def test_a_merge_of_unlike_settings_is_refused_and_says_which(tmp_path, net, count, layers, options, difference):
    one, other = tmp_path / "1.npz", tmp_path / "2.npz"
    resumed(colour_net(), levels(18), one, shard=(1, 2))
    resumed_scan(net, levels(count), layers, other, **{"batch_size": 4, **options}, shard=(2, 2), note=quiet)
    with pytest.raises(ValueError) as refused:
        merge_scans([one, other])
    assert str(refused.value) == f"merge: {other} and {one} cannot be merged: one is of {difference}"


def test_doubled_missing_and_no_shards_are_refused(tmp_path):
    one, two, three = shards(colour_net(), levels(18), tmp_path, 3)
    with pytest.raises(ValueError, match=r"merge: .*shard-2.npz holds photos that another shard holds, too"):
        merge_scans([one, two, three, two])
    with pytest.raises(ValueError, match="merge: 2 of 5 batches are missing"):
        merge_scans([three, one])
    with pytest.raises(ValueError, match="give the scans of all shards"):
        merge_scans([])
    with pytest.raises(FileNotFoundError, match=r"there is no scan .*gone.npz"):
        merge_scans([one, two, tmp_path / "gone.npz"])


@given(
    st.integers(0, 2**31), st.integers(1, 25), st.integers(1, 12), st.integers(1, 10), st.integers(1, 8), st.randoms()
)
@settings(max_examples=25)
def test_any_shards_of_any_batches_merge_into_one_scan(tmp_path_factory, seed, count, batch_size, k, of, random):
    net, photos = colour_net(seed=seed % 5), levels(count, seed=seed, most=3)
    folder = tmp_path_factory.mktemp("any")
    options = {"batch_size": batch_size, "k": k}
    resumed(net, photos, folder / "whole.npz", **options)
    paths = shards(net, photos, folder, min(of, -(-count // batch_size)), **options)
    random.shuffle(paths)
    save_scan(merge_scans(paths), folder / "merged.npz")
    assert (folder / "merged.npz").read_bytes() == (folder / "whole.npz").read_bytes()
    shutil.rmtree(folder)


def test_every_setting_has_words_for_its_difference():
    one = new_scan(colour_net(), levels(3), LAYERS).settings
    assert differences(one, dict(one)) == ""
    assert all(differences(one, {**one, key: None}) for key in one)


# -------------------------------------------------------------------------------------------------------- bad files


def arrays_of(path):
    with np.load(path) as archive:
        return dict(archive)


def described(arrays, **changes):
    about = json.loads(str(arrays["__scan__"]))
    for key, value in changes.items():
        (about if key in about else about["settings"])[key] = value
    return {**arrays, "__scan__": np.array(json.dumps(about))}


def pickled():
    return np.array([{"a": 1}], dtype=object)


HOSTILE = {
    "another shape": lambda a: {**a, "relu1.value": a["relu1.value"][:, :8]},
    "a map less": lambda a: {**a, "relu1.active": a["relu1.active"][:-1]},
    "too few bins": lambda a: {**a, "relu1.bins": a["relu1.bins"][:, :5]},
    "no number at all": lambda a: {**a, "relu1.active": np.int64(3)},
    "another dtype": lambda a: {**a, "relu1.row": a["relu1.row"].astype(float)},
    "a pickle": lambda a: {**a, "relu1.row": pickled()},
    "a field is missing": lambda a: {key: a[key] for key in a if key != "relu3.bins"},
    "no batches": lambda a: {key: a[key] for key in a if key != "__done__"},
    "too few batches": lambda a: {**a, "__done__": a["__done__"][:-1]},
    "batches as numbers": lambda a: {**a, "__done__": a["__done__"].astype(int)},
    "a photo that is not there": lambda a: {**a, "relu1.image": a["relu1.image"] + 1000},
    "a photo before the first": lambda a: {**a, "relu1.image": a["relu1.image"] * 0 - 2},
    "a place before the first": lambda a: {**a, "relu1.row": a["relu1.row"] - 1000},
    "an activation that is infinite": lambda a: {**a, "relu1.value": a["relu1.value"] * np.inf},
    "no description": lambda a: {key: a[key] for key in a if key != "__scan__"},
    "a description that is no JSON": lambda a: {**a, "__scan__": np.array("{")},
    "a description that is a list": lambda a: {**a, "__scan__": np.array("[]")},
    "another format": lambda a: described(a, format=2),
    "settings that are none": lambda a: described(a, settings=[1]),
    "no settings": lambda a: described(a, settings={}),
    "layers that are no names": lambda a: described(a, layers=[1, None]),
    "layers that are a number": lambda a: described(a, layers=5),
    "batches of nothing": lambda a: described(a, batch_size=0),
    "batches that are text": lambda a: described(a, batch_size="4"),
    "k that is text": lambda a: described(a, k="9"),
    "skipped photos without numbers": lambda a: described(a, skipped={"x": "why"}),
    "skipped photos that are not there": lambda a: described(a, skipped={"4000": "why"}),
    "skipped photos as a list": lambda a: described(a, skipped=[3]),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "scan.npz"
    resumed(colour_net(), levels(18), path)
    return path


@pytest.mark.parametrize("what", HOSTILE)
def test_a_scan_that_is_not_whole_is_refused_in_one_line(tmp_path, whole, what):
    path = tmp_path / "bad.npz"
    np.savez(path, allow_pickle=True, **HOSTILE[what](arrays_of(whole)))
    with pytest.raises(ValueError) as refused:
        load_scan(str(path))
    said = str(refused.value)
    assert str(path) in said and "\n" not in said and len(said) < 300


def other_files(whole):
    """Bytes that are no scan: cut short, changed, other kinds of file."""
    data, other = whole.read_bytes(), io.BytesIO()
    np.savez(other, a=np.zeros(3))
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    cut = {f"cut at {part}": data[: int(len(data) * part)] for part in (0, 0.1, 0.5, 0.99)}
    return {**cut, "a changed bit": bytes(changed), "another archive": other.getvalue(), "an array": array.getvalue()}


def test_a_damaged_file_and_one_of_another_kind_are_refused_in_one_line(tmp_path, whole):
    path = tmp_path / "bad.npz"
    for data in other_files(whole).values():
        path.write_bytes(data)
        for place in (path, str(path)):
            with pytest.raises(ValueError, match=r"bad\.npz (cannot be read as a scan|is not a scan)"):
                load_scan(place)


def test_a_damaged_file_is_not_gone_on_with_but_said_to_be_in_the_way(tmp_path, whole):
    path = tmp_path / "scan.npz"
    path.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"scan\.npz is in the way: it is no scan to go on with; delete it"):
        resumed(colour_net(), levels(18), path)


def test_a_folder_in_place_of_the_scan_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no scan"):
        load_scan(tmp_path)
