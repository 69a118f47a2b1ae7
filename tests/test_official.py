"""Official files arrive whole or not at all. No network: downloads come from file:// addresses or broken openers."""

import gzip
import hashlib
import io
import re
import struct
import tarfile

import numpy as np
import pytest

from minideconv import official
from minideconv.datasets import cifar10, fashion_mnist, load
from minideconv.downloads import download

pytestmark = pytest.mark.host  # reads files
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
PICTURES = (np.arange(5 * 28 * 28) % 251).astype(np.uint8).reshape(5, 28, 28)
ANSWERS = np.array([9, 0, 3, 3, 7], np.uint8)


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    """An empty cache, no package of Debian's, and addresses that lead nowhere."""
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(official, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(official, "FASHION_MNIST_URL", (tmp_path / "server").as_uri() + "/")
    monkeypatch.setattr(official, "CIFAR10_URL", (tmp_path / "server/cifar-10-binary.tar.gz").as_uri())


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------------------------ Fashion-MNIST


def idx(array, magic=None, shape=None):
    magic = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return magic + struct.pack(f">{array.ndim}I", *(shape or array.shape)) + array.tobytes()


def make_fashion(folder, images=PICTURES, labels=ANSWERS, names=(TRAIN_IMAGES, TRAIN_LABELS)):
    """Write a tiny data set in the official format; arrays are packed, bytes written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (images, labels)):
        (folder / name).write_bytes(value if isinstance(value, bytes) else gzip.compress(idx(value)))
    return folder


def test_fashion_mnist_is_read_in_order_as_grey_images(tmp_path):
    found = fashion_mnist("train", make_fashion(tmp_path / "given"))
    assert np.array_equal(found.images[..., 0], PICTURES) and found.images.shape == (5, 28, 28, 1)
    assert found.labels.tolist() == [9, 0, 3, 3, 7]
    assert (found.images.dtype, found.labels.dtype) == (np.uint8, np.int64)
    assert found.images.flags.writeable and found.labels.flags.writeable
    assert [found.classes[label] for label in found.labels[:2]] == ["Ankle boot", "T-shirt/top"]
    assert (len(found), len(found.classes), found.name, found.skipped) == (5, 10, "fashion-mnist", [])


def test_the_parts_of_fashion_mnist_are_different_files(tmp_path):
    make_fashion(tmp_path / "given")
    names = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    make_fashion(tmp_path / "given", PICTURES[:2], ANSWERS[3:], names)
    assert load(tmp_path / "given", part="test").labels.tolist() == [3, 7]
    assert load(str(tmp_path / "given"), part="train").labels.tolist() == [9, 0, 3, 3, 7]


PACKED = gzip.compress(idx(PICTURES))
BROKEN = {
    "another type": (gzip.compress(idx(PICTURES, magic=b"\0\0\x0d\3")), "starts with 0x00000d03, not 0x00000803"),
    "labels for images": (gzip.compress(idx(ANSWERS)), "starts with 0x00000801, not 0x00000803"),
    "nothing": (gzip.compress(b""), "starts with 0x"),
    "shorter than it says": (gzip.compress(idx(PICTURES, shape=(6, 28, 28))), "holds less"),
    "longer than it says": (gzip.compress(idx(PICTURES, shape=(4, 28, 28))), "holds more"),
    "an absurd size": (gzip.compress(idx(PICTURES, shape=(2**32 - 1, 28, 28))), "its shape is"),
    "cut short": (PACKED[:-20], "ended before the end-of-stream"),
    "a wrong checksum": (PACKED[:-5] + bytes([PACKED[-5] ^ 1]) + PACKED[-4:], "CRC check failed"),
    "not packed": (idx(PICTURES), "Not a gzipped file"),
    "no file": (b"", "starts with 0x"),
}


@pytest.mark.parametrize("data, reason", BROKEN.values(), ids=BROKEN)
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, data, reason):
    with pytest.raises(ValueError, match=f"{TRAIN_IMAGES} is damaged or no IDX file: .*{reason}"):
        fashion_mnist("train", make_fashion(tmp_path / "given", images=data))


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (PICTURES, ANSWERS[:4], rf"{TRAIN_IMAGES} holds \(5, 28, 28\) but .*{TRAIN_LABELS} \(4,\)"),
        (PICTURES[:4], ANSWERS, r"holds \(4, 28, 28\) but .* \(5,\)"),
        (PICTURES[:, :27], ANSWERS, r"holds \(5, 27, 28\)"),
        (PICTURES[:0], ANSWERS[:0], r"holds \(0, 28, 28\)"),
        (PICTURES, ANSWERS + np.uint8(1), f"{TRAIN_LABELS} has a label 10"),
    ],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(tmp_path, images, labels, message):
    with pytest.raises(ValueError, match=message):
        fashion_mnist("train", make_fashion(tmp_path / "given", images, labels))


def test_mnist_which_has_the_same_file_names_is_not_taken_for_fashion(tmp_path, monkeypatch):
    monkeypatch.setitem(official.FASHION_MNIST_COUNT, "train", 5)
    with pytest.raises(ValueError, match=f"{TRAIN_LABELS} is another data set's; MNIST"):
        fashion_mnist("train", make_fashion(tmp_path / "given"))
    monkeypatch.setitem(official.FASHION_MNIST_LABELS, "train", hashlib.sha256(ANSWERS.tobytes()).hexdigest())
    assert len(fashion_mnist("train", tmp_path / "given")) == 5


def test_a_folder_that_lacks_a_file_is_named_and_nothing_is_downloaded(tmp_path):
    make_fashion(tmp_path / "server")
    (make_fashion(tmp_path / "given") / TRAIN_LABELS).unlink()
    with pytest.raises(FileNotFoundError, match=f"there is no {TRAIN_LABELS} in .*given"):
        fashion_mnist("train", tmp_path / "given")
    assert not (tmp_path / "cache").exists()


def test_debians_files_come_first_then_the_cache_then_the_network(tmp_path, monkeypatch, capsys):
    make_fashion(tmp_path / "server", PICTURES[:1], ANSWERS[:1])
    make_fashion(tmp_path / "debian", PICTURES[:3], ANSWERS[:3])
    assert len(load("fashion-mnist")) == 3
    (tmp_path / "debian").rename(tmp_path / "not installed")
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        sha256 = hashlib.sha256((tmp_path / "server" / name).read_bytes()).hexdigest()
        monkeypatch.setitem(official.FASHION_MNIST["train"], name, sha256)
    assert len(load("fashion-mnist", progress=False)) == 1 and capsys.readouterr() == ("", "")
    assert files_below(tmp_path / "cache") == [f"fashion-mnist/{TRAIN_IMAGES}", f"fashion-mnist/{TRAIN_LABELS}"]
    make_fashion(tmp_path / "cache/fashion-mnist", PICTURES[:2], ANSWERS[:2])
    assert len(load("fashion-mnist")) == 2
    (tmp_path / "not installed").rename(tmp_path / "debian")
    assert len(load("fashion-mnist")) == 3


# ----------------------------------------------------------------------------------------------------------- downloads


def test_a_download_arrives_whole_and_shows_its_progress_on_stderr(tmp_path, capsys):
    (tmp_path / "there").write_bytes(b"abc" * 10**5)
    md5 = hashlib.md5(b"abc" * 10**5).hexdigest()
    here = download((tmp_path / "there").as_uri(), tmp_path / "new" / "here", f"md5:{md5}")
    out, err = capsys.readouterr()
    assert here.read_bytes() == b"abc" * 10**5 and files_below(here.parent) == ["here"]
    assert out == "" and "here: 100%" in err


def test_a_download_with_a_wrong_checksum_leaves_what_was_there(tmp_path):
    (tmp_path / "there").write_bytes(b"new")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "here").write_bytes(b"old")
    with pytest.raises(
        ValueError, match=r"thrown away: its sha256 is 11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b"
    ):
        download((tmp_path / "there").as_uri(), tmp_path / "cache" / "here", "sha256:" + "0" * 64, progress=False)
    assert files_below(tmp_path / "cache") == ["here"] and (tmp_path / "cache" / "here").read_bytes() == b"old"


@pytest.mark.parametrize("error, raised", [(KeyboardInterrupt, KeyboardInterrupt), (ConnectionError, RuntimeError)])
def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch, error, raised):
    class Answer(io.BytesIO):
        headers = {"Content-Length": "20"}  # noqa: RUF012

        def read(self, size):
            if self.tell():
                assert files_below(tmp_path / "cache")  # the first half is on the disk
                raise error("the line is dead")
            return super().read(10)

    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: Answer(bytes(20)))
    with pytest.raises(raised, match="the line is dead"):
        download("https://example.org/x", tmp_path / "cache" / "x", "md5:0", progress=False)
    assert files_below(tmp_path / "cache") == []


def test_without_network_the_error_says_where_a_file_would_be_looked_for(tmp_path):
    cache = re.escape(str(tmp_path / "cache"))
    with pytest.raises(RuntimeError, match=rf"cannot get file.*bring it here .* {cache}.cifar-10-binary"):
        load("cifar10")
    with pytest.raises(RuntimeError, match=rf"cannot get file.*{cache}.fashion-mnist.{TRAIN_IMAGES}"):
        load("fashion-mnist")
    assert files_below(tmp_path) == []


# ------------------------------------------------------------------------------------------------------------ CIFAR-10


def batch(first):
    """Three records as CIFAR-10 writes them: label, red rows, green rows, blue rows; the pixels tell which they are."""
    records = np.zeros((3, 3073), np.uint8)
    records[:, 0] = [first, (first + 4) % 10, 9]
    records[:, 1:] = (np.arange(3072) // 16 + first) % 256  # changes within a row, from row to row and by colour
    return records.tobytes()


BATCHES = {f"data_batch_{i}.bin": batch(i) for i in range(1, 6)} | {"test_batch.bin": batch(6)}
LABELS = [1, 5, 9, 2, 6, 9, 3, 7, 9, 4, 8, 9, 5, 9, 9]


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """The folder of a tiny CIFAR-10, and an archive of it whose members lie in another order, with junk between."""
    monkeypatch.setattr(official, "CIFAR10_COUNT", 3)
    folder, archive = tmp_path / "given/cifar-10-batches-bin", tmp_path / "cifar-10-binary.tar.gz"
    folder.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as file:
        for name in ["data_batch_3.bin", "readme.html", *sorted(BATCHES, reverse=True)[:3], *sorted(BATCHES)[:3]]:
            (folder / name).write_bytes(BATCHES.get(name, b"hello"))
            file.add(folder / name, f"cifar-10-batches-bin/{name}")
            file.add(folder / "data_batch_3.bin", f"elsewhere/{name}")
    monkeypatch.setattr(official, "CIFAR10_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    return folder, archive


def test_cifar10_is_the_same_from_archive_folder_and_the_folder_around_either(cifar, tmp_path):
    folder, archive = cifar
    for source in (archive, folder, folder.parent, archive.parent, str(archive)):
        found = cifar10("train", source)
        assert found.labels.tolist() == LABELS and found.labels.dtype == np.int64
        assert found.images.shape == (15, 32, 32, 3) and found.images.dtype == np.uint8
        for row, column, colour in [(0, 0, 0), (0, 16, 0), (1, 0, 0), (31, 31, 0), (0, 0, 1), (7, 20, 2)]:
            level = (colour * 1024 + row * 32 + column) // 16 + 4
            assert set(found.images[9:12, row, column, colour]) == {level % 256}
        assert load(source, part="test").labels.tolist() == [6, 0, 9]
    assert (found.name, found.classes[0], found.classes[9], found.skipped) == ("cifar10", "airplane", "truck", [])


def test_the_archive_is_read_in_memory_and_nothing_is_unpacked_to_disk(cifar, tmp_path):
    before = files_below(tmp_path)
    cifar10("train", cifar[1])
    assert files_below(tmp_path) == before


def test_cifar10_is_downloaded_once_and_then_taken_from_the_cache(cifar, tmp_path):
    (tmp_path / "server").mkdir()
    cifar[1].rename(tmp_path / "server/cifar-10-binary.tar.gz")
    assert load("cifar10", progress=False).labels.tolist() == LABELS
    (tmp_path / "server/cifar-10-binary.tar.gz").unlink()
    assert load("cifar10", part="test").labels.tolist() == [6, 0, 9]
    assert files_below(tmp_path / "cache") == ["cifar-10-binary.tar.gz"]


def test_a_damaged_archive_is_refused_whole_and_by_name(cifar):
    data = bytearray(cifar[1].read_bytes())
    data[len(data) // 2] ^= 1
    cifar[1].write_bytes(data)
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz is damaged or not .*: its md5 is"):
        cifar10("test", cifar[1])


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"0", lambda b: b"", lambda b: b[:3073]])
def test_a_batch_of_the_wrong_length_is_refused(cifar, change):
    path = cifar[0] / "data_batch_5.bin"
    path.write_bytes(change(BATCHES[path.name]))
    with pytest.raises(ValueError, match=r"data_batch_5.bin has \d+ bytes, not 9219"):
        cifar10("train", cifar[0])


def test_a_label_beyond_the_ten_classes_is_refused(cifar):
    path = cifar[0] / "test_batch.bin"
    path.write_bytes(bytes([10]) + BATCHES[path.name][1:])
    with pytest.raises(ValueError, match=r"test_batch.bin is damaged: it has a label 10"):
        cifar10("test", cifar[0])


def test_a_missing_batch_is_named(cifar):
    (cifar[0] / "data_batch_2.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"no data_batch_2.bin in .*cifar-10-batches-bin"):
        cifar10("train", cifar[0])
    assert len(cifar10("test", cifar[0])) == 3


# ---------------------------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize("read", [fashion_mnist, cifar10])
def test_an_unknown_part_is_refused(tmp_path, read):
    with pytest.raises(ValueError, match="part is 'valid'; use"):
        read("valid", make_fashion(tmp_path / "given"))


def test_a_size_is_for_photos_not_for_sets_of_one_size(tmp_path):
    given = make_fashion(tmp_path / "given")
    with pytest.raises(ValueError, match="fashion-mnist is 28 x 28 pixels; size=32 is for folders"):
        load(given, size=32)
    assert len(load(given, size=28)) == 5
