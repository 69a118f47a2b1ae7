"""Class folders become arrays whose labels stay with their images; damaged photos are named; minibatches."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from minideconv import datasets, official
from minideconv.datasets import cifar10, load, minibatches

pytestmark = pytest.mark.host  # reads files


def photo(level, height=32, width=32, kind="PNG"):
    pixels = np.full((height, width, 3), level, np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()


def make_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def levels(dataset):
    return dataset.images[:, 0, 0, 0].tolist()


PETS = {
    "train/dog/1.png": photo(1), "train/cat/1.png": photo(2), "train/cat/2.png": photo(3), "test/dog/3.png": photo(4),
}  # fmt: skip


def test_a_zip_and_a_folder_of_class_folders_give_the_same_images_and_labels(tmp_path):
    source = make_zip(tmp_path / "pets.zip", PETS)
    with zipfile.ZipFile(source) as archive:
        archive.extractall(tmp_path / "pets")
    for place in (source, tmp_path / "pets", f"{tmp_path}/pets/*/*/*.png"):
        found = load(place, progress=False)
        assert levels(found) == [2, 3, 1] and found.labels.tolist() == [0, 0, 1] and found.classes == ["cat", "dog"]
        assert (found.images.shape, found.images.dtype, found.labels.dtype) == ((3, 32, 32, 3), np.uint8, np.int64)
        test = load(place, part="test", progress=False)
        assert levels(test) == [4] and test.labels.tolist() == [1] and test.classes == ["cat", "dog"]
    assert load(source, progress=False).name == "pets" and repr(found).endswith("2 classes, 0 skipped>")


def test_without_a_test_folder_every_fifth_photo_of_a_class_is_for_testing(tmp_path):
    files = {
        f"{animal}/{i}.png": photo(10 * label + i) for label, animal in enumerate(["cat", "dog"]) for i in range(6)
    }
    source = make_zip(tmp_path / "pets.zip", files)
    assert levels(load(source, progress=False)) == [0, 1, 2, 3, 5, 10, 11, 12, 13, 15]
    assert levels(load(source, part="test", progress=False)) == [4, 14]


def test_a_damaged_photo_is_named_and_skipped_and_labels_stay_with_their_images(tmp_path, capsys):
    damaged = photo(9, kind="JPEG")[:-30]
    source = make_zip(tmp_path / "pets.zip", PETS | {"train/cat/1.5.jpg": damaged, "train/cat/0.png": b"hello"})
    found = load(source)
    assert levels(found) == [2, 3, 1] and found.labels.tolist() == [0, 0, 1]
    assert ["pets.zip/train/cat/0.png is not an image" in found.skipped[0], len(found.skipped)] == [True, 2]
    assert "pets.zip/train/cat/1.5.jpg is damaged or cut short" in found.skipped[1]
    out, err = capsys.readouterr()
    assert out == "" and "reading pets.zip" in err and err.endswith(found.skipped_text() + "\n")
    assert load(source, progress=False).skipped == found.skipped
    assert capsys.readouterr() == ("", "")


def test_the_first_ten_of_many_skipped_photos_are_named():
    def text(count):
        return datasets.Dataset(None, None, [], "pets", [f"photo {i}" for i in range(count)]).skipped_text().split("\n")

    assert text(0) == [""]
    assert text(1) == ["pets: skipped 1 photo(s)", "  photo 0"]
    assert text(10)[-1] == "  photo 9"
    assert text(12)[-2:] == ["  photo 9", "  and 2 more"]


def test_if_no_photo_can_be_used_the_first_reason_is_given(tmp_path):
    source = make_zip(tmp_path / "pets.zip", {"cat/1.png": b"", "cat/2.png": b"hello"})
    with pytest.raises(ValueError, match=r"none of the 2 photos of .*pets.zip can be used; .*cat/1.png is not"):
        load(source, progress=False)


def test_photos_of_different_sizes_want_a_size(tmp_path):
    source = make_zip(tmp_path / "pets.zip", {"cat/1.png": photo(1, 20, 30), "cat/2.png": photo(2, 30, 20)})
    message = r"cat/1.png is 20 x 30 pixels \(height x width\) but .*cat/2.png is 30 x 20 pixels; give a size"
    with pytest.raises(ValueError, match=message):
        load(source, progress=False)
    found = load(source, size=8, progress=False)
    assert found.images.shape == (2, 8, 8, 3) and levels(found) == [1, 2]


def test_size_scales_the_short_side_and_takes_the_middle(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200  # the middle third is one square
    Image.fromarray(pixels).resize((48, 16), Image.Resampling.NEAREST).save(tmp_path / "1.png")
    source = make_zip(tmp_path / "a.zip", {"cat/1.png": (tmp_path / "1.png").read_bytes()})
    assert np.all(load(source, size=16, progress=False).images == 200)
    half = load(source, size=8, progress=False).images
    assert half.shape == (1, 8, 8, 3) and np.all(half[:, :, 1:-1] == 200)
    with pytest.raises(ValueError, match="0"):
        load(source, size=0)


def test_grey_and_colour_photos_of_a_folder_all_become_rgb(tmp_path):
    with io.BytesIO() as file:
        Image.fromarray(np.full((32, 32), 7, np.uint8)).save(file, "PNG")
        grey = file.getvalue()
    found = load(make_zip(tmp_path / "a.zip", {"cat/1.png": grey, "cat/2.png": photo(8)}), progress=False)
    assert found.images[:, 5, 5].tolist() == [[7, 7, 7], [8, 8, 8]]


def test_a_photo_beside_the_class_folders_is_named(tmp_path):
    source = make_zip(tmp_path / "pets.zip", {"cat/1.png": photo(1), "logo.png": photo(2)})
    found = load(source, progress=False)
    assert levels(found) == [1] and found.classes == ["cat"]
    assert found.skipped == [f"{source}/logo.png lies in no class folder"]


@pytest.mark.parametrize("files, part", [({"1.png": photo(1)}, "train"), ({"cat/1.png": photo(1)}, "test")])
def test_photos_without_classes_and_parts_without_photos_are_refused(tmp_path, files, part):
    with pytest.raises(ValueError, match=f"no photos in class folders for part '{part}'; put those of each class"):
        load(make_zip(tmp_path / "pets.zip", files), part=part)


def test_cifar10_as_photos_must_have_its_classes_and_size(tmp_path):
    animals = official.CIFAR10_CLASSES
    files = {f"{part}/{name}/{i}.png": photo(i) for i, name in enumerate(animals) for part in ("train", "test")}
    found = cifar10("test", make_zip(tmp_path / "photos.zip", files), progress=False)
    assert (found.name, found.labels.tolist(), levels(found)) == ("cifar10", list(range(10)), list(range(10)))
    large = make_zip(tmp_path / "large.zip", {f"{name}/1.png": photo(1, 33, 33) for name in animals})
    others = make_zip(tmp_path / "others.zip", {name.replace("dog", "fish"): data for name, data in files.items()})
    for source, found in ((large, "<large: 10 images of 33 x 33"), (others, "<others: 10 images of 32 x 32")):
        with pytest.raises(ValueError, match=f"{source.name} is not CIFAR-10 but {found}"):
            cifar10("train", source, progress=False)


def test_an_unknown_part_or_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="part is 'valid'; use"):
        load(make_zip(tmp_path / "pets.zip", PETS), part="valid")
    with pytest.raises(
        FileNotFoundError, match=r'no file or folder .*cifra10; .*by name there are "fashion-mnist" and'
    ):
        load(tmp_path / "cifra10")


# --------------------------------------------------------------------------------------------------------- minibatches


@pytest.mark.parametrize("count, size, lengths", [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 4, [3]), (0, 4, [])])
def test_minibatches_hold_every_index_once_and_keep_the_last(count, size, lengths):
    batches = list(minibatches(count, size, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == lengths
    assert sorted(np.concatenate([[], *batches])) == list(range(count))


def test_minibatches_are_shuffled_by_the_generator_and_by_nothing_else():
    rng, same, other = (np.random.default_rng(seed) for seed in (1, 1, 2))
    first, second = (np.concatenate(list(minibatches(100, 7, rng))) for _ in range(2))
    assert np.array_equal(first, np.concatenate(list(minibatches(100, 7, same))))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(100))
    assert not np.array_equal(first, np.concatenate(list(minibatches(100, 7, other))))


def test_all_chance_of_an_epoch_is_drawn_when_its_minibatches_are_asked_for():
    rng = np.random.default_rng(1)
    batches = minibatches(100, 7, rng)
    after = rng.bit_generator.state
    list(batches)
    assert rng.bit_generator.state == after


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_without_images_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        minibatches(10, size, np.random.default_rng(0))
