"""What makes pool5's features good or bad for Caltech-101: how photos are cut, mirrored, averaged; SVM or ridge, decay.

    python benchmarks/caltech_features.py caltech101.zip

Needs AlexNet in the cache and the extra `experiments`. 30 photos of each class train, up to 50 test; mean accuracy of a
class over three splits, in percent; the softmax on a fourth, which no other figure uses. Takes about five minutes; the
results are in docs/log.md.
"""

import argparse
import time

import numpy as np
from sklearn.svm import SVC

import minideconv
from minideconv.archives import Photos
from minideconv.backend import to_device, to_numpy
from minideconv.experiments import feature_generalization as softmax
from minideconv.experiments.feature_analysis import divide, mean_class_accuracy, squeezing
from minideconv.experiments.features import labelled
from minideconv.experiments.reading import photos_at_once, read_levels

SPLITS, TRAIN, PER_CLASS, LAYER = 3, 30, 80, "pool5"


def main(source):
    net, photos = minideconv.load_model("alexnet"), Photos(source)
    numbers, labels, _ = labelled(photos, PER_CLASS)
    cut, mirrored = pooled(net, photos, numbers)
    whole, whole_mirrored = pooled(squeezing(net), photos, numbers)
    maps = cut.reshape(len(cut), 256, 36)
    views = {
        "cropped": cut, "mirrored": mirrored, "squeezed whole": whole, "squeezed, mirrored": whole_mirrored,
        "cropped, root": np.sqrt(cut), "cropped + mirrored": cut + mirrored,
        "squeezed + mirrored": whole + whole_mirrored,
        "cropped, mean of each map": maps.mean(axis=2), "cropped, maximum of each map": maps.max(axis=2),
    }  # fmt: skip
    parts = [divide(labels, TRAIN, np.random.default_rng([0, split])) for split in range(SPLITS + 1)]
    for name, rows in views.items():
        kernel = inner_products(rows)
        print(f"{name:30} SVM {percent(kernel, labels, parts[:SPLITS], svm):5.1f}", flush=True)
    kernel = inner_products(cut)
    for cost in (1, 10, 100):
        start = time.perf_counter()
        found = percent(kernel, labels, parts[:SPLITS], lambda *arguments, cost=cost: svm(*arguments, cost=cost))
        print(f"cropped, SVM, C = {cost:<12} {found:9.1f}    {(time.perf_counter() - start) / SPLITS:.2f} s a split")
    for strength in (1e-3, 1e-2, 1e-1, 1.0):
        ridge = lambda *arguments, strength=strength: least_squares(*arguments, strength)  # noqa: E731
        print(f"cropped, ridge of {strength:<12g} {percent(kernel, labels, parts[:SPLITS], ridge):9.1f}")
    train, test = parts[SPLITS]
    for rate, decay in ((4.0, 1e-5), (8.0, 1e-5), (8.0, 1e-4), (8.0, 1e-3)):
        softmax.LEARNING_RATE, softmax.WEIGHT_DECAY = rate, decay
        layer = softmax.train_softmax(cut[train].T, labels[train], labels.max() + 1)
        found = mean_class_accuracy(softmax.classify(layer, cut[test].T), labels[test])
        print(f"cropped, softmax, rate {rate:g}, decay {decay:<8g} {100 * found:.1f}", flush=True)


def pooled(net, photos, numbers) -> tuple[np.ndarray, np.ndarray]:
    """pool5 of every photo and of its mirror image: (N, D) twice."""
    size, found = photos_at_once(net, net.input_shape), ([], [])
    runs = [numbers[first : first + size] for first in range(0, len(numbers), size)]
    for _, levels, lost in read_levels(net, photos, runs):
        assert not lost, lost
        for view, rows in zip((levels, levels[:, :, ::-1]), found):
            x = to_device(net.preprocessing.scaled(view))
            maps = to_numpy(net.forward(x, until=LAYER, keep=[LAYER])[LAYER])
            rows.append(maps.reshape(-1, len(levels)).T)
    return tuple(np.concatenate(rows) for rows in found)


def inner_products(rows) -> np.ndarray:
    """Of rows (N, D), each scaled to unit length: (N, N)."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def percent(kernel, labels, parts, classifier) -> float:
    """Mean accuracy of a class over splits."""
    found = [mean_class_accuracy(classifier(kernel, labels, *part), labels[part[1]]) for part in parts]
    return 100 * float(np.mean(found))


def svm(kernel, labels, train, test, cost=10.0):
    machine = SVC(kernel="precomputed", C=cost).fit(kernel[np.ix_(train, train)], labels[train])
    return machine.predict(kernel[np.ix_(test, train)])


def least_squares(kernel, labels, train, test, strength):
    """Ridge regression on ±1, one class against the others."""
    truth = np.where(labels[train, None] == np.arange(labels.max() + 1), 1.0, -1.0)
    inverse = kernel[np.ix_(train, train)] + strength * np.eye(len(train))
    return (kernel[np.ix_(test, train)] @ np.linalg.solve(inverse, truth)).argmax(axis=1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder or zip of class folders")
    main(parser.parse_args().data)
