"""Top-1 and top-5 error on photos in class folders, such as ImageNet's validation set, read a batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .archives import Photos
from .evaluation import Evaluation, class_probabilities, class_words, score
from .images import Preprocessing
from .network import Network


def evaluate_folders(
    net: Network, source, *, ten_crop: bool = False, batch_size: int | None = None, progress: bool = True
) -> tuple[Evaluation, str, list[str]]:
    """Classify every photo, and compare with the folder it lies in.

    Args:
        source: a folder or zip; the folder that a photo lies in is its class.
        ten_crop: average over ten crops of each photo's central square (Sec. 3), which its `resize` gives.
        batch_size: photos that go through the net together; None: 64, or fewer where its maps are large.
    Returns:
        the errors, in words whose order the classes have, and the photos that could not be used, each with the reason.
    Raises:
        ValueError: if the net's preprocessing is unknown, folders do not fit its classes, or no photo can be used.

    Paper: Table 2.
    """
    if net.preprocessing is None:
        net.preprocess([])  # says what to pass
    photos = Photos(source)
    labels, order = _labels(net, photos.names)
    batch_size = batch_size or net.images_at_once(net.input_shape, 64)
    crop, found, truths, batch = _cropping(net, ten_crop), [], [], []
    problems = [f"{photos.path(i)} lies in no class folder" for i in range(len(photos)) if i not in labels]
    for index, pixels, problem in photos.map(crop, list(labels), progress="evaluate" if progress else None):
        if not problem and not ten_crop and pixels.shape[:2] != net.input_shape[1:]:
            seen, wanted = ("{} x {} pixels".format(*shape) for shape in (pixels.shape, net.input_shape[1:]))
            problem = f"{photos.path(index)} is {seen}, but {net.name} takes {wanted}"
        if problem:
            problems.append(problem)
            continue
        batch.append(pixels)
        truths.append(labels[index])
        if len(batch) == batch_size:
            found.append(class_probabilities(net, np.stack(batch), ten_crop))
            batch = []
    if batch:
        found.append(class_probabilities(net, np.stack(batch), ten_crop))
    if not found:
        raise ValueError(f"evaluate_folders: none of the photos of {source} can be used; {problems[0]}")
    return score(np.concatenate(found, axis=1), np.array(truths)), order, problems


def _labels(net: Network, names: list[str]) -> tuple[dict[int, int], str]:
    """{photo: class}, and in words whose order the classes have.

    The model file's class names decide, whole or by their first word, as "n01440764 tench". Only where it has none, or
    folders are called otherwise and are as many, sorted folders stand for its classes in order.
    """
    folders = {i: name.split("/")[-2] for i, name in enumerate(names) if "/" in name}
    found, count = sorted(set(folders.values())), net.class_count()
    if count is None:
        raise ValueError(f"evaluate_folders: {net.name} has no classifier, or does not say its input's size")
    if not found:
        raise ValueError(
            "evaluate_folders: there are no class folders; put the photos of each class in a folder of its own"
        )
    number = class_words(net.classes)
    if set(found) <= set(number):
        order = f"{len(found)} of the {count} classes that the model file names, in its order"
    elif len(found) == count:
        number = {name: i for i, name in enumerate(found)}
        order = f"{count} folders in sorted order, taken for the model file's classes in its order"
    else:
        advice = "call folders as the model file calls its classes (minideconv convert … --classes FILE)"
        some = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
        raise ValueError(
            f"evaluate_folders: {len(found)} class folders ({some}) do not fit the {count} classes of {net.name}; "
            f"{advice}, or give a folder for every class"
        )
    return {i: number[folder] for i, folder in folders.items()}, order


def _cropping(net: Network, ten_crop: bool) -> Callable:
    """A function from a photo to (H, W, C) uint8: what the net sees, or the square that ten crops are cut out of."""
    prepared = net.preprocessing
    if ten_crop:
        if prepared.resize is None:
            raise ValueError(
                f"evaluate_folders: ten crops need larger photos, but the preprocessing of {net.name} has no resize"
            )
        count = len(prepared.channels)
        unscaled = {"channels": prepared.channels, "scale": 1.0, "mean": (0.0,) * count, "std": (1.0,) * count}
        prepared = Preprocessing(resize=prepared.resize, crop=prepared.resize, **unscaled)

    def crop(photo):
        pixels = np.asarray(prepared.crop_photo(photo))
        return pixels if pixels.ndim == 3 else pixels[..., None]

    return crop
