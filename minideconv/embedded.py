"""What the package carries with it, so that it can show the whole idea offline: a small net, its past, and pictures.

`examples/make_assets.py` made all of it: zfnet28 trained on Fashion-MNIST, and 1,000 test images of Fashion-MNIST
(© 2017 Zalando SE, MIT; the notice lies beside them).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .datasets import Dataset
from .network import Network
from .official import FASHION_MNIST_CLASSES
from .weights import ASSETS, load_model

MODEL, IMAGES, SNAPSHOTS, LICENCE = (
    "zfnet28.npz", "fashion-mnist-1000.npz", "snapshots", "LICENSE-fashion-mnist.txt",
)  # fmt: skip


def embedded_model() -> Network:
    """A zfnet28 that was trained on Fashion-MNIST, its weights kept in half precision.

    Raises:
        FileNotFoundError: if this installation lacks it.
    """
    return load_model(_asset(MODEL))


def embedded_images() -> Dataset:
    """1,000 test images of Fashion-MNIST, (1000, 28, 28, 1) uint8: the first hundred of each class, class by class.

    Raises:
        FileNotFoundError: if this installation lacks them.
    """
    with np.load(_asset(IMAGES), allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"].astype(np.int64)
    return Dataset(images, labels, list(FASHION_MNIST_CLASSES), "fashion-mnist-1000", [])


def embedded_snapshots() -> Path:
    """The folder with that net at a few epochs of its training: epoch-000.npz (before it), epoch-001.npz …

    Raises:
        FileNotFoundError: if this installation lacks it.
    """
    return _asset(SNAPSHOTS)


def _asset(name: str) -> Path:
    path = ASSETS / name
    if not path.exists():
        raise FileNotFoundError(f"this installation of minideconv lacks {path}; install it again, with its assets")
    return path
