"""A scan: several layers in one pass, counts as plain loops count them, and photos that cannot be used do no harm."""

import re
import shutil
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from small import SIZE, colour_net, levels, photo_folder, preparation

from minideconv import Network, to_numpy, top_activations
from minideconv.archives import Photos
from minideconv.encoding import png
from minideconv.experiments import scanning
from minideconv.experiments.feature_visualization import projected_top
from minideconv.experiments.reading import BATCH, photos_at_once
from minideconv.experiments.scanning import EDGES, new_scan, rectified_maps, scan
from minideconv.layers import Conv2d, Flatten, ReLU

LAYERS = ["relu1", "pool1", "conv2", "relu3", "flatten", "relu4"]


def maps_of(net, photos, layer):
    """(C, H, W, N), also after Flatten."""
    maps = to_numpy(net.forward(net.preprocessing.scaled(photos))[layer])
    return maps if maps.ndim == 4 else maps[:, None, None]


def full_scan(net, photos, layer, k, numbers=None):
    """The k strongest of each map in plain loops: [image, row, column, value], each (C, k)."""
    maps, tops = maps_of(net, photos, layer), []
    numbers = range(len(photos)) if numbers is None else numbers
    for plane in maps:
        best = []
        for n, number in enumerate(numbers):
            units = [(-plane[y, x, n], number, y, x) for y in range(plane.shape[0]) for x in range(plane.shape[1])]
            best.append(min(units))
        best = [(number, y, x, -value) for value, number, y, x in sorted(best)]
        tops.append((best + [(-1, -1, -1, np.nan)] * k)[:k])
    return [np.array([[unit[i] for unit in top] for top in tops]) for i in range(4)]


def assert_same_layer(found, wanted):
    for one, other in zip((*found.top, found.active, found.bins), (*wanted.top, wanted.active, wanted.bins)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("count", "batch_size", "k"), [(23, 5, 9), (23, 23, 9), (4, 3, 9), (1, 1, 1), (20, 1, 2)])
def test_several_layers_in_one_pass_give_what_each_gives_alone_and_what_loops_give(count, batch_size, k):
    net, photos = colour_net(), levels(count)
    together = scan(net, photos, LAYERS, k, batch_size=batch_size)
    assert list(together.layers) == LAYERS and together.photos == count and together.done.all()
    for layer in LAYERS:
        assert_same_layer(together.layers[layer], scan(net, photos, [layer], k, batch_size=batch_size).layers[layer])
        for found, wanted in zip(together.layers[layer].top, full_scan(net, photos, layer, k)):
            np.testing.assert_array_equal(found, wanted)


def test_layers_may_come_in_any_order_and_twice():
    net, photos = colour_net(), levels(7)
    found = scan(net, photos, ["relu3", "relu1", "relu3"], batch_size=3)
    assert list(found.layers) == ["relu3", "relu1"]
    assert_same_layer(found.layers["relu1"], scan(net, photos, ["relu1"], batch_size=3).layers["relu1"])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_histogram_and_the_active_photos_are_what_loops_count(layer):
    net, photos = colour_net(), levels(30)
    found = scan(net, photos, [layer], batch_size=7).layers[layer]
    maps = maps_of(net, photos, layer)
    for channel, plane in enumerate(maps):
        strongest = [plane[..., n].max() for n in range(30)]
        assert found.active[channel] == sum(value > 0 for value in strongest)
        inside = [sum(low <= value < high for value in strongest if value > 0) for low, high in pairwise(EDGES)]
        assert found.bins[channel].tolist() == inside


def test_what_is_beyond_the_histogram_is_counted_at_its_ends_and_what_is_not_active_nowhere():
    values = np.array([[-5, 0, 1e-9, EDGES[0], 1.0, 1.01 * EDGES[-2], EDGES[-1], 1e30]], np.float32)
    bins = scanning._histograms(values)[0]
    assert bins[0] == 2 and bins[-1] == 3 and bins[np.searchsorted(EDGES, 1.0)] == 1 and bins.sum() == 6


def test_every_active_photo_is_in_one_bin():
    found = scan(colour_net(), levels(40), LAYERS, batch_size=9)
    for layer in found.layers.values():
        assert (layer.bins.sum(axis=1) == layer.active).all()


# -------------------------------------------------------------------------------------------- photos of no use


def folder_with_broken_ones(tmp_path, photos, broken):
    return Photos(photo_folder(tmp_path / "photos", photos, broken))


def test_broken_photos_are_named_by_number_and_change_nothing_of_the_others(tmp_path):
    net, photos, broken = colour_net(), levels(12), [0, 5, 6, 11]
    found = scan(net, folder_with_broken_ones(tmp_path, photos, broken), ["relu1", "relu3"], batch_size=4)
    left = [n for n in range(12) if n not in broken]
    assert list(found.skipped) == broken and found.photos == 8
    for layer in ("relu1", "relu3"):
        for one, other in zip(found.layers[layer].top, full_scan(net, photos[left], layer, 9, left)):
            np.testing.assert_array_equal(one, other)
    whole = scan(net, photos[left], ["relu3"], batch_size=8).layers["relu3"]
    assert (found.layers["relu3"].bins == whole.bins).all() and (found.layers["relu3"].active == whole.active).all()


def test_a_batch_of_which_nothing_can_be_used_is_passed_over(tmp_path):
    photos = folder_with_broken_ones(tmp_path, levels(9), [0, 1, 2])
    found = scan(colour_net(), photos, ["relu2"], batch_size=3)
    assert found.done.all() and found.photos == 6 and found.layers["relu2"].top.image.min() == -1


def test_the_reasons_name_no_path(tmp_path):
    odd = photo_folder(tmp_path / "Zugspitze", levels(3), [1])
    (odd / "001.png").rename(odd / "Erika\u202e\n.png")
    shutil.copyfile(odd / "Erika\u202e\n.png", odd / "Erika.png")
    for source in (odd, [odd / "000.png", odd / "Erika\u202e\n.png", odd / "gone.png"], f"{odd}/*.png"):
        found = scan(colour_net(), Photos(source), ["relu1"])
        assert found.photos >= 1 and len(found.skipped) == 2
        for reason in found.skipped.values():
            assert reason and not re.search("Zugspitze|Erika|gone|/", reason), reason


def test_photos_of_another_size_are_skipped_and_it_is_said_which_size(tmp_path):
    net, folder = colour_net(), photo_folder(tmp_path / "photos", levels(4))
    net.preprocessing = preparation(size=None)
    Image.fromarray(np.zeros((12, 13, 3), np.uint8)).save(folder / "001.png")
    found = scan(net, Photos(folder), ["relu1"])
    assert found.skipped == {1: "is 12 x 13 pixels, not 12 x 12"} and found.photos == 3


def test_photos_smaller_than_the_crop_are_skipped(tmp_path):
    folder = photo_folder(tmp_path / "photos", levels(4))
    Image.fromarray(np.zeros((12, 11, 3), np.uint8)).save(folder / "001.png")
    found = scan(colour_net(), Photos(folder), ["relu1"])
    assert list(found.skipped) == [1] and "smaller than the crop of 12 x 12" in found.skipped[1]


def test_nothing_that_can_be_used_is_an_error_with_a_reason(tmp_path):
    photos = folder_with_broken_ones(tmp_path, levels(4), range(4))
    with pytest.raises(
        ValueError, match=r"not one of the 4 photos can be used; the first, .*000.png: is damaged or cut short"
    ):
        scan(colour_net(), photos, ["relu1"], batch_size=2)


def test_a_part_of_a_collection_may_hold_nothing_of_use(tmp_path):
    photos = folder_with_broken_ones(tmp_path, levels(6), [2, 3])
    found = scan(colour_net(), photos, ["relu1"], batch_size=2, batches=[1])
    assert found.photos == 0 and list(found.skipped) == [2, 3] and (found.layers["relu1"].top.image == -1).all()


def test_top_activations_warn_of_skipped_photos(tmp_path):
    photos = folder_with_broken_ones(tmp_path, levels(4), [2])
    with pytest.warns(UserWarning, match=r"1 photo\(s\) skipped; the first, .*002.png: is damaged"):
        top = top_activations(colour_net(), photos, "relu1")
    assert sorted(set(top.image.ravel())) == [-1, 0, 1, 3]


# ------------------------------------------------------------------------------------------------- sources, memory


def test_lists_folders_zips_patterns_and_arrays_give_the_same(tmp_path):
    net, photos = colour_net("BGR"), levels(11)
    folder = photo_folder(tmp_path / "photos", photos)
    zipped = shutil.make_archive(str(tmp_path / "photos"), "zip", folder)
    paths = sorted(folder.iterdir())
    sources = [folder, str(folder), zipped, f"{folder}/*.png", paths, [Image.fromarray(p) for p in photos], [*photos]]
    wanted = top_activations(net, photos, "relu3", batch_size=4)
    for source in sources:
        found = top_activations(net, source, "relu3", batch_size=4)
        assert all((one == other).all() for one, other in zip(found, wanted))


def test_only_one_batch_is_in_the_net_and_only_the_layers_wanted_are_kept(monkeypatch):
    net, seen = colour_net(), []
    forward = net.forward

    def watched(x, **options):
        seen.append((x.shape[-1], options["until"], tuple(options["keep"])))
        return forward(x, **options)

    monkeypatch.setattr(net, "forward", watched)
    scan(net, levels(10), ["relu2", "relu1"], batch_size=4)
    assert seen == [(n, "relu2", ("relu2", "relu1")) for n in (4, 4, 2)]


def test_what_a_scan_holds_does_not_grow_with_the_photos():
    net = colour_net()
    few, many = (scan(net, levels(count), LAYERS, batch_size=8) for count in (16, 160))
    for layer in LAYERS:
        pairs = zip(
            (*few.layers[layer].top, few.layers[layer].bins), (*many.layers[layer].top, many.layers[layer].bins)
        )
        assert all(one.nbytes == other.nbytes for one, other in pairs)


def test_fewer_photos_go_together_where_maps_are_large():
    net = colour_net()
    assert photos_at_once(net, (3, 12, 12)) == BATCH
    wide = Network([("conv1", Conv2d(3, 64, 3)), ("relu1", ReLU())])
    assert [photos_at_once(wide, (3, side, side)) for side in (300, 600, 6000)] == [5, 1, 1]


# ---------------------------------------------------------------------------------------------------- the settings


def test_by_default_every_rectifier_with_maps_is_looked_at():
    net = colour_net()
    assert rectified_maps(net, (3, *SIZE)) == ["relu1", "relu2", "relu3"]
    assert rectified_maps(Network([("flatten", Flatten())], input_shape=(3, 2, 2)), (3, 2, 2)) == ["flatten"]


def settings(net=None, photos=None, layers=("relu1",), k=9, batch_size=4):
    return new_scan(net or colour_net(), levels(8) if photos is None else photos, layers, k, batch_size).settings


def differing(one, other):
    return {key for key in one if one[key] != other[key]}


def test_equal_scans_have_equal_settings():
    assert settings() == settings()


def test_another_weight_and_another_preparation_are_another_net():
    changed, prepared = colour_net(), colour_net("BGR")
    changed.layers["conv3"].bias[0] += 1
    assert differing(settings(), settings(changed)) == differing(settings(), settings(prepared)) == {"net"}


def test_another_order_another_level_and_another_shape_are_other_photos():
    photos = levels(8)
    changed = photos.copy()
    changed[3, 2, 1, 0] += 1
    net = Network([("conv1", Conv2d(3, 2, 1)), ("relu1", ReLU())], preprocessing=preparation())
    base = settings(net, photos.reshape(8, 8, 18, 3))
    assert differing(settings(), settings(photos=photos[::-1])) == {"collection"}
    assert differing(settings(), settings(photos=changed)) == {"collection"}
    assert differing(base, settings(net, photos.reshape(8, 18, 8, 3))) == {"collection"}


def test_a_photo_that_comes_goes_or_changes_makes_other_photos(tmp_path):
    folder = photo_folder(tmp_path / "photos", levels(4))
    zipped = shutil.make_archive(str(tmp_path / "one"), "zip", folder)
    first = Photos(folder).fingerprint()
    assert first == Photos(folder).fingerprint() != Photos(zipped).fingerprint()
    Image.fromarray(levels(1, seed=9)[0]).save(folder / "002.png")
    second = Photos(folder).fingerprint()
    other = shutil.make_archive(str(tmp_path / "two"), "zip", folder)
    assert second != first and Photos(other).fingerprint() != Photos(zipped).fingerprint()
    (folder / "003.png").rename(folder / "004.png")
    assert Photos(folder).fingerprint() not in (first, second)


def test_photos_in_memory_differ_by_pixels_and_by_shape():
    one = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    marks = [Photos([kind(one.reshape(shape))]).fingerprint() for kind in (Image.fromarray, np.asarray)
             for shape in ((2, 4, 3), (4, 2, 3))]  # fmt: skip
    assert len(set(marks[:2])) == len(set(marks[2:])) == 2
    assert Photos([Image.fromarray(one)]).fingerprint() == marks[0] != Photos([Image.fromarray(one + 1)]).fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"k": 0}, "k is 0"), ({"batch_size": 0}, "batch_size 0"), ({"layers": ["relu9"]}, "no layer 'relu9'"),
     ({"photos": levels(0)}, "0 photos")],
)  # fmt: skip
def test_what_cannot_be_scanned_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        settings(**change)


def test_a_net_that_does_not_say_how_photos_are_prepared_is_refused():
    net = colour_net()
    net.preprocessing = None
    with pytest.raises(ValueError, match="small does not say how photos are prepared"):
        settings(net)
    net = Network([("conv1", Conv2d(3, 2, 1)), ("relu1", ReLU())], preprocessing=preparation(size=None))
    with pytest.raises(ValueError, match="does not say how large its photos are"):
        scan(net, Photos([levels(1)[0]]), ["relu1"])


def test_progress_is_shown_only_when_asked(capsys):
    scan(colour_net(), levels(5), ["relu1"], batch_size=2)
    assert capsys.readouterr() == ("", "")
    scan(colour_net(), levels(5), ["relu1"], batch_size=2, progress="looking")
    out, err = capsys.readouterr()
    assert out == "" and "looking" in err and "5/5" in err


def test_the_reason_for_skipping_a_photo_does_not_name_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in ("a.png", "secret.png"):
            archive.writestr(name, png(levels(1)[0]))
    data = bytearray((tmp_path / "photos.zip").read_bytes())
    data[data.rindex(b"IDAT") + 6] ^= 255  # inside the second photo
    (tmp_path / "photos.zip").write_bytes(data)
    found = scan(colour_net(), Photos(tmp_path / "photos.zip"), ["relu1"])
    assert list(found.skipped) == [1] and "CRC" in found.skipped[1] and "secret" not in found.skipped[1]


@pytest.mark.parametrize("photos", [np.zeros((2, 12, 12, 3), np.float32), np.zeros((12, 12, 3), np.uint8)])
def test_an_array_that_is_no_photos_is_refused(photos):
    with pytest.raises(ValueError, match=r"an array of them is uint8 \(N, H, W, C\)"):
        top_activations(colour_net(), photos, "relu1")


def test_photos_that_vanish_after_the_scan_are_named(tmp_path):
    names = folder_with_broken_ones(tmp_path, levels(4), [])
    top = top_activations(colour_net(), names, "relu1")
    (tmp_path / "photos" / "001.png").write_bytes(b"gone")
    with pytest.raises(ValueError, match=r"001\.png has changed since it was scanned: is"):
        projected_top(colour_net(), names, "relu1", [0, 1], top)
