"""Fashion-MNIST and CIFAR-10 as their authors publish them: found or downloaded, checked, read as arrays.

Letters as in `datasets`: N images, H rows, W columns, C channels. A file is taken whole or refused by name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np

from .downloads import download
from .weights import cache_folder

FASHION_MNIST_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FASHION_MNIST_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
FASHION_MNIST_COUNT = {"train": 60_000, "test": 10_000}
FASHION_MNIST = {  # part -> the file of images, the file of labels, and the sha256 of the official ones
    "train": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}
FASHION_MNIST_LABELS = {  # sha256 of the labels themselves: Debian packs them anew, so its files have other hashes
    "train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # the package dataset-fashion-mnist

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # the only checksum that its author publishes
CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
CIFAR10_COUNT = 10_000  # images in each batch


# ------------------------------------------------------------------------------------------------------ Fashion-MNIST


def has_fashion_mnist(folder: Path) -> bool:
    """Whether a folder holds a file with an official name."""
    return any((folder / name).is_file() for names in FASHION_MNIST.values() for name in names)


def read_fashion_mnist(part: str, data=None, *, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 1) uint8 and labels (N,) int64 of one part; see `datasets.fashion_mnist`."""
    pictures, answers = (
        _fashion_mnist_file(name, sha256, data, progress) for name, sha256 in FASHION_MNIST[part].items()
    )
    images, labels = read_idx(pictures, ndim=3), read_idx(answers, ndim=1)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not len(labels):
        expected = "expected (N, 28, 28) and (N,)"
        raise ValueError(f"fashion_mnist: {pictures} holds {images.shape} but {answers} {labels.shape}; {expected}")
    if labels.max() > 9:
        raise ValueError(f"fashion_mnist: {answers} has a label {labels.max()}, beyond the ten classes; get it again")
    full = len(labels) == FASHION_MNIST_COUNT[part]
    if full and hashlib.sha256(labels.tobytes()).hexdigest() != FASHION_MNIST_LABELS[part]:
        raise ValueError(f"fashion_mnist: {answers} is another data set's; MNIST's files have the same names")
    return images[..., None], labels.astype(np.int64)


def read_idx(path: str | os.PathLike, ndim: int) -> np.ndarray:
    """Read a gzip'd IDX file of bytes whole: 0x0000 08 `ndim`, then each size as four bytes, then the array as uint8.

    Raises:
        ValueError: it is damaged, cut short, too long, or of another type or number of axes.
    """
    try:
        with gzip.open(path) as file:
            head = file.read(4 + 4 * ndim)
            if len(head) < 4 + 4 * ndim or head[:4] != bytes([0, 0, 8, ndim]):
                raise ValueError(f"it starts with 0x{head[:4].hex()}, not 0x000008{ndim:02x}")
            shape = struct.unpack(f">{ndim}I", head[4:])
            expected = math.prod(shape)
            if expected > 2**30:
                raise ValueError(f"its shape is {shape}")
            body = file.read(expected + 1)
            if len(body) != expected:
                raise ValueError(f"it holds {'less' if len(body) < expected else 'more'} than its shape {shape} says")
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(f"read_idx: {path} is damaged or no IDX file: {error}; get the file again") from None
    return np.frombuffer(body, np.uint8).reshape(shape).copy()  # a copy, so that it can be written to


def _fashion_mnist_file(name: str, sha256: str, data, progress: bool) -> Path:
    """Find one official file, or download it."""
    cache = cache_folder() / "fashion-mnist"
    folders = [DEBIAN, cache] if data is None else [Path(data).expanduser()]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    if data is not None:
        raise FileNotFoundError(f"fashion_mnist: there is no {name} in {data}; give the folder of the official files")
    return download(FASHION_MNIST_URL + name, cache / name, f"sha256:{sha256}", progress=progress)


# ------------------------------------------------------------------------------------------------------------ CIFAR-10


def find_cifar10(path: Path) -> Path | None:
    """The official archive or the folder of its files, at `path` or in it; None if it is something else."""
    if path.is_file() and path.name.endswith((".tar.gz", ".tgz")):
        return path
    for folder in (path, path / CIFAR10_FOLDER):
        if any((folder / name).is_file() for names in CIFAR10_BATCHES.values() for name in names):
            return folder
    archive = path / Path(CIFAR10_URL).name
    return archive if archive.is_file() else None


def read_cifar10(part: str, source: Path | None, *, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) int64 of one part, from what `find_cifar10` found or the cache."""
    source = source or _cached_cifar10(progress)
    read = _from_archive if source.is_file() else _from_folder
    records = np.concatenate([_records(name, batch) for name, batch in read(source, CIFAR10_BATCHES[part]).items()])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, 32, 32, C)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _cached_cifar10(progress: bool) -> Path:
    path = cache_folder() / Path(CIFAR10_URL).name
    return path if path.is_file() else download(CIFAR10_URL, path, f"md5:{CIFAR10_MD5}", progress=progress)


def _from_archive(path: Path, names: list[str]) -> dict[str, bytes]:
    """Read files by their exact names, in one pass; the bytes that are checked are the bytes that are unpacked."""
    data = path.read_bytes()
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != CIFAR10_MD5:
        wrong = f"its md5 is {found}, not {CIFAR10_MD5}"
        raise ValueError(f"cifar10: {path} is damaged or not {Path(CIFAR10_URL).name}: {wrong}; get the file again")
    wanted, contents = {f"{CIFAR10_FOLDER}/{name}": name for name in names}, {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive:  # in the archive's order: going back would unpack all again
            if member.name in wanted and member.isfile():
                contents[wanted[member.name]] = archive.extractfile(member).read()
    return {f"{path}, {name}": contents[name] for name in names}


def _from_folder(folder: Path, names: list[str]) -> dict[str, bytes]:
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"cifar10: there is no {name} in {folder}; unpack the archive again")
    return {str(folder / name): (folder / name).read_bytes() for name in names}


def _records(name: str, data: bytes) -> np.ndarray:
    """Split a batch: (10000, 1 + 3072) uint8, the label, then the red, green and blue rows."""
    if len(data) != CIFAR10_COUNT * 3073:
        raise ValueError(f"cifar10: {name} has {len(data)} bytes, not {CIFAR10_COUNT * 3073}; get the file again")
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise ValueError(f"cifar10: {name} is damaged: it has a label {records[:, 0].max()}; get the file again")
    return records
