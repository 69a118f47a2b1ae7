"""How often a net is right: top-1 and top-5 error, the confusion matrix, and the paper's average over ten crops.

And how classes are called, where a user names one.
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import NamedTuple

import numpy as np

from .backend import to_device, to_numpy
from .network import Network


class Evaluation(NamedTuple):
    """Attributes:
    top1, top5: shares of photos whose class is not the most probable one, not among the five most probable.
    confusion: (classes, classes) counts, true class by predicted class.
    """

    top1: float
    top5: float
    confusion: np.ndarray


def evaluate(net: Network, images: np.ndarray, labels: np.ndarray, *, ten_crop: bool = False,
             batch_size: int | None = None, progress: bool = False) -> Evaluation:  # fmt: skip
    """Classify photos and compare with their labels.

    Args:
        images: (N, H, W, C) uint8 of the net's own input size, or larger for `ten_crop`.
        labels: (N,) integers, in the order of the net's outputs.
        ten_crop: average the probabilities over the four corners, the centre, and their mirror images.
        batch_size: photos that go through the net together; None: 250, or fewer where its maps are large.
        progress: show a bar.
    Raises:
        ValueError: if there is no photo, or a label is no class of the net.

    Paper: Sec. 3 (ten crops) and Table 2 (top-1, top-5).
    """
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(f"evaluate: {len(images)} photos and {len(labels)} labels; give one label for each photo")
    from tqdm import tqdm

    seen = net.input_shape or (images.shape[3], *images.shape[1:3])
    batch_size = batch_size or net.images_at_once(seen, 250)
    starts = tqdm(range(0, len(images), batch_size), "evaluate", unit="batch", disable=not progress)
    probabilities = np.concatenate(
        [class_probabilities(net, images[start : start + batch_size], ten_crop) for start in starts], axis=1
    )
    return score(probabilities, np.asarray(labels))


def score(probabilities: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Errors and confusion matrix for (classes, N) probabilities and (N,) labels."""
    classes, count = probabilities.shape
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"evaluate: labels lie in {labels.min()} … {labels.max()}, but the net has {classes} classes")
    order = np.argsort(-probabilities, axis=0, kind="stable")[:5]  # (5, N), most probable first
    right = order == labels
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, order[0]), 1)
    return Evaluation(1 - right[0].sum() / count, 1 - right.any(axis=0).sum() / count, confusion)


def class_probabilities(net: Network, images: np.ndarray, ten_crop: bool = False) -> np.ndarray:
    """(N, H, W, C) uint8 -> (classes, N) probabilities, on the CPU."""
    views = ten_crops(images, *net.input_shape[1:]) if ten_crop else [images]
    total = sum(net.probabilities(to_device(net.preprocessing.scaled(view))) for view in views)
    return to_numpy(total) / len(views)


def ten_crops(images: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The four corners and the centre of every photo, and their mirror images: ten times (N, height, width, C).

    Raises:
        ValueError: if the photos, (N, H, W, C), are smaller than the crop.
    """
    down, across = images.shape[1] - height, images.shape[2] - width
    if down < 0 or across < 0:
        raise ValueError(f"ten_crops: photos of {images.shape[1:3]} are smaller than the crop, {(height, width)}")
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    crops = [images[:, top : top + height, left : left + width] for top, left in corners]
    return [*crops, *(crop[:, :, ::-1] for crop in crops)]


def class_words(classes: list[str] | None) -> dict[str, int]:
    """{word: number} of every class: its whole name, and the first word of it where no other class has that.

    >>> class_words(["n01440764 tench", "ankle boot", "ankle sock"])
    {'n01440764': 0, 'n01440764 tench': 0, 'ankle boot': 1, 'ankle sock': 2}
    """
    firsts = [(name.split() or [""])[0] for name in classes or ()]
    shared = Counter(firsts)
    words = {first: number for number, first in enumerate(firsts) if first and shared[first] == 1}
    return {**words, **{name: number for number, name in enumerate(classes or ())}}


def class_number(net: Network, name: str | int) -> int:
    """Which output of a net is meant: by its number, its whole name or its first word, in any case of letters.

    Raises:
        ValueError: if the net does not classify, or has no such class; the message lists names that are near.
    """
    count = net.class_count()
    if count is None:
        raise ValueError(f"{net.name} has no classifier, so there is no class {name!r}; leave the class out")
    words, asked = class_words(net.classes), str(name).strip()
    folded = {word.casefold(): number for word, number in words.items()}
    for found in (words.get(asked), folded.get(asked.casefold())):
        if found is not None:
            return found
    if asked.isdecimal() and int(asked) < count:
        return int(asked)
    if not net.classes:
        raise ValueError(f"{net.name} has no class names; give a number, 0 … {count - 1}, not {name!r}")
    raise ValueError(f"{net.name} has no class {name!r}; {_near(net.classes, asked)}, or give 0 … {count - 1}")


def class_label(classes: list[str] | None, number: int) -> str:
    """What to call a class: its name, or its number where the net has no names."""
    return classes[number] if classes else f"class {number}"


def _near(classes, asked) -> str:
    """Names that hold what was asked for, or are spelt alike; else the first ones."""
    holding = [name for name in classes if asked and asked.casefold() in name.casefold()]
    alike = difflib.get_close_matches(asked, classes, n=5, cutoff=0.5)
    near = list(dict.fromkeys([*holding, *alike]))[:5]
    return f"near: {', '.join(near)}" if near else f"it has {', '.join(classes[:5])}{' …' if len(classes) > 5 else ''}"
