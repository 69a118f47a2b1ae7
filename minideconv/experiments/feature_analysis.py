"""Table 7: how well can a linear classifier tell classes apart from the features of each layer? And Table 4.

    transfer(net, "caltech101.zip")  ->  Transfer  ->  .svm (sizes of training set, layers, splits)

Photos are divided anew for each split: so many of each class train, up to fifty of the others test. What is measured is
the accuracy of each class, averaged over classes. Letters: K classes, L layers, S splits, T numbers of training photos.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..archives import Photos
from ..backend import to_numpy
from ..figures import new_figure
from ..layers import Linear
from ..network import Network
from .feature_generalization import classify, train_softmax, with_classifier
from .features import Features, feature_layers, labelled
from .reading import photo_shape, told
from .results import Result

COSTS = (1.0, 10.0, 100.0)  # C of the SVM, for features of unit length; above 10 nothing changes any more
FOLDS = 5  # of the training part, to choose it
PER_CLASS = 80  # photos of a class that are used, at most
TEST_PER_CLASS = 50
PAPER_SVM = {1: (44.8, 0.7), 2: (66.2, 0.5), 3: (72.3, 0.4), 4: (76.6, 0.4), 5: (86.2, 0.8), 7: (85.5, 0.4)}  # Table 7
PAPER_SOFTMAX = {5: (82.9, 0.4), 7: (85.4, 0.4)}  # Table 7; all with 30 photos of a class
COLUMNS = ("layer", "features", "classifier", "train_per_class", "accuracy", "deviation", "splits", "C", "paper")


@dataclass(frozen=True, eq=False)
class Transfer(Result):
    """How well the features of each layer tell new classes apart.

    Attributes:
        net, data: what they are called.
        classes: K names;  layers: L names, bottom up.
        depths: (L,) how many layers with weights there are up to each, the paper's number for it; 0 in nets that are
            deeper than the paper's eight layers.
        lengths: (L,) numbers of a photo at each layer.
        train_per_class: (T,) photos of each class that a classifier is trained on.
        svm: (T, L, S) accuracy of a linear SVM, the mean over classes, a share.
        cost: (T, L, S) its C, chosen by cross-validation on the training part.
        softmax: (T, S) accuracy of a softmax on the last layer's features.
        weight, bias: (K, D), (K,) of that softmax, trained in the first split with the most photos.
        trained_on: names of the photos it was trained on.
        whole: whether photos were squeezed whole into the net's input, or cropped as the net says.
        input_shape: (C, H, W) of the photos.
        skipped: the photos that could not be used, each with the reason.
    """

    net: str
    data: str
    classes: list[str]
    layers: list[str]
    depths: np.ndarray
    lengths: np.ndarray
    train_per_class: np.ndarray
    svm: np.ndarray
    cost: np.ndarray
    softmax: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    trained_on: list[str]
    whole: bool
    input_shape: tuple[int, int, int]
    skipped: list[str]

    def network(self, net: Network) -> Network:
        """`net` up to the last layer, with the new softmax and its class names; takes photos as `net` does."""
        classifier = Linear(*self.weight.shape[::-1])
        classifier.weight, classifier.bias = self.weight, self.bias
        found = with_classifier(
            squeezing(net) if self.whole else net, self.layers[-1], classifier, self.classes, self.input_shape
        )
        found.source = (
            f"{net.source}; classifier trained by minideconv transfer on {len(self.trained_on)} photos of {self.data}"
        )
        return found

    def paper(self, row: int, softmax: bool = False) -> tuple[float, float] | None:
        """The paper's accuracy and deviation in percent, if the data are Caltech-101."""
        caltech = len(self.classes) == 101 and {"accordion", "yin_yang"} <= set(self.classes)
        known = PAPER_SOFTMAX if softmax else PAPER_SVM
        return known.get(int(self.depths[row])) if caltech else None

    def entries(self):
        """Each line of the table: layer's number, classifier, and its accuracies (T, S)."""
        for row in range(len(self.layers)):
            yield row, "SVM", self.svm[:, row]
        yield len(self.layers) - 1, "softmax", self.softmax

    def rows(self):
        table = [COLUMNS]
        for row, kind, accuracy in self.entries():
            for t, count in enumerate(self.train_per_class):
                paper = self.paper(row, kind == "softmax") if count == 30 else None
                costs = " ".join(f"{c:g}" for c in self.cost[t, row]) if kind == "SVM" else ""
                mean, deviation = mean_and_deviation(accuracy[t])
                deviation = "" if np.isnan(deviation) else deviation
                table.append([self.layers[row], self.lengths[row], kind, count, mean, deviation, accuracy.shape[1],
                              costs, paper[0] / 100 if paper else ""])  # fmt: skip
        return table

    def __str__(self) -> str:
        """The table as text, in percent."""
        known = any(self.paper(row) for row in range(len(self.layers)))
        heads = [*(f"{count} a class" for count in self.train_per_class), *(["paper, 30 a class"] if known else [])]
        width = max(map(len, self.layers))
        lines = [f"{'layer':{width}}  features  classifier" + "".join(f"{head:>20}" for head in heads)]
        for row, kind, accuracy in self.entries():
            cells = ["{:.1f} ± {:.1f}".format(*(100 * x for x in mean_and_deviation(own))) for own in accuracy]
            paper = self.paper(row, kind == "softmax")
            cells += [("{:.1f} ± {:.1f}".format(*paper) if paper else "-")] if known else []
            line = f"{self.layers[row]:{width}}  {self.lengths[row]:8,}  {kind:10}"
            lines.append(line + "".join(f"{cell.replace(' ± nan', ''):>20}" for cell in cells))
        return "\n".join(lines)

    def draw(self):
        figure = new_figure(7.5, 4.2)
        axes, places = figure.subplots(), np.arange(len(self.layers))
        for t, count in enumerate(self.train_per_class):
            mean, deviation = np.transpose([mean_and_deviation(own) for own in self.svm[t]])
            line = axes.errorbar(places, 100 * mean, 100 * np.nan_to_num(deviation), fmt="o-", capsize=3,
                                 label=f"SVM, {count} photos a class")  # fmt: skip
            axes.plot(places[-1] + 0.15, 100 * self.softmax[t].mean(), "*", markersize=11,
                      color=line[0].get_color(), label=f"softmax, {count} photos a class")  # fmt: skip
        paper = {row: self.paper(row) for row in places if self.paper(row)}
        if paper:
            axes.plot(list(paper), [mean for mean, _ in paper.values()], "s", mfc="none", color="black",
                      label="the paper's net, SVM, 30 photos a class")  # fmt: skip
        axes.set_xticks(places, self.layers, rotation=45 if len(places) > 8 else 0)
        axes.set(ylim=(0, 100), ylabel="mean accuracy of a class, %", title=f"{self.net} on {self.data}")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        return figure


def mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Of some splits; one alone has no deviation: NaN."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def transfer(net: Network, data, *, train_per_class: int | Sequence[int] = 30, splits: int = 3,
             layers: Sequence[str] | None = None, whole: bool = False, seed: int = 0, progress: bool = True,
             ) -> Transfer:  # fmt: skip
    """Train classifiers for new classes on the features of each layer of a trained net.

    Features and their inner products are kept in the cache, by net and photos: a second call, or one that goes on after
    Ctrl-C, computes only what is missing.

    Args:
        data: a folder or zip; the folder that a photo lies in is its class. Of each class 80 photos are used at most.
        train_per_class: one number of training photos, or several; up to 50 of the others test.
        splits: how often photos are divided anew;  seed: of the divisions.
        layers: names; by default the last ReLU or pool after each layer with weights.
        whole: squeeze the whole photo into the net's input, whatever its sides, instead of cropping it.
        progress: show bars.
    Raises:
        ValueError: fewer than two classes, a class with too few photos, no such layer, no layer to use, a net that
            does not say how photos are prepared, or scikit-learn is missing.

    Paper: Sec. 5.2, Table 4; Sec. 5.3, Table 7.
    """
    from tqdm import tqdm

    counts = np.unique(np.atleast_1d(train_per_class))
    _check_numbers(counts, splits)
    names = list(dict.fromkeys(map(net.name_of, layers or feature_layers(net))))
    names.sort(key=list(net.layers).index)
    photos = data if isinstance(data, Photos) else Photos(data)
    numbers, labels, classes = labelled(photos, PER_CLASS, seed)
    check_enough(labels, classes, counts[-1])
    features = Features(squeezing(net) if whole else net, photos, numbers, names)
    features.extract(progress)
    labels = np.where(np.isin(numbers, list(features.skipped)), -1, labels)
    check_enough(labels, classes, counts[-1])
    parts = {(t, s): divide(labels, count, np.random.default_rng([seed, s]))
             for t, count in enumerate(counts) for s in range(splits)}  # fmt: skip
    with tqdm(total=(len(names) + 1) * len(parts), desc="classifiers", disable=not progress) as bar:
        svm, cost = _svm_of_each_layer(features, labels, parts, (len(counts), len(names), splits), bar)
        softmax, layer = _softmax_of_the_last(features, labels, parts, (len(counts), splits), bar)
    trained_on = [photos.names[i] for i in numbers[parts[len(counts) - 1, 0][0]]]
    depths = dict(zip(net.layers, np.cumsum([bool(layer.parameters) for layer in net.layers.values()])))
    depths = np.array([depths[name] if max(depths.values()) <= 8 else 0 for name in names])
    lengths = np.array([features.length(name) for name in names])
    return Transfer(
        net.name, photos.source.stem, classes, names, depths, lengths, counts, svm, cost, softmax,
        to_numpy(layer.weight), to_numpy(layer.bias), trained_on, whole, features.input_shape,
        told(photos, features.skipped),
    )  # fmt: skip


def _svm_of_each_layer(features, labels, parts, shape, bar) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and C, (T, L, S) each, one layer's inner products at a time."""
    accuracy, cost = np.empty((2, *shape))
    for row, name in enumerate(features.layers):
        kernel = features.kernel(name)
        for (t, s), (train, test) in parts.items():
            accuracy[t, row, s], cost[t, row, s] = svm_accuracy(kernel, labels, train, test)
            bar.update()
    return accuracy, cost


def _softmax_of_the_last(features, labels, parts, shape, bar) -> tuple[np.ndarray, Linear]:
    """Accuracy (T, S), and the layer trained in the first split with the most photos."""
    accuracy, layers, vectors = np.empty(shape), {}, features.vectors(features.layers[-1])
    for (t, s), (train, test) in parts.items():
        layers[t, s] = layer = train_softmax(vectors[:, train], labels[train], labels.max() + 1)
        accuracy[t, s] = mean_class_accuracy(classify(layer, vectors[:, test]), labels[test])
        bar.update()
    return accuracy, layers[shape[0] - 1, 0]


def squeezing(net: Network) -> Network:
    """The same net for photos that are resized to its input, whatever their sides, and not cropped."""
    _, *size = photo_shape(net, ())
    found = copy.copy(net)
    found.preprocessing = dataclasses.replace(net.preprocessing, resize=tuple(size), crop=tuple(size))
    return found


def _check_numbers(counts: np.ndarray, splits: int) -> None:
    from importlib.util import find_spec

    if counts[0] < 2 or counts[-1] >= PER_CLASS or splits < 1:
        raise ValueError(
            f"transfer: {', '.join(map(str, counts))} photos of a class to train on and {splits} splits; give 2 to "
            f"{PER_CLASS - 1} photos and at least one split"
        )
    if find_spec("sklearn") is None:
        raise ValueError("the SVM is scikit-learn's: pip install 'minideconv[experiments]'")


def check_enough(labels: np.ndarray, classes: list[str], train: int) -> None:
    """Refuse classes that have no photo left to test on; labels of -1 are photos that cannot be used."""
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    least = int(counts.argmin())
    if counts[least] <= train:
        few = int((counts <= train).sum())
        more = f" ({few} classes have too few)" if few > 1 else ""
        raise ValueError(
            f"class {classes[least]} has {counts[least]} photos that can be used{more}, but {train} are to train on "
            "and at least one to test on; use a smaller --train-per-class, or leave the class out"
        )


def divide(labels: np.ndarray, train: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Deal out the photos of each class at random: `train` of them, and up to 50 of the others to test."""
    trained, tested = [], []
    for label in range(labels.max() + 1):
        own = rng.permutation(np.flatnonzero(labels == label))
        trained.append(own[:train])
        tested.append(own[train : train + TEST_PER_CLASS])
    return np.concatenate(trained), np.concatenate(tested)


def svm_accuracy(kernel: np.ndarray, labels: np.ndarray, train, test) -> tuple[float, float]:
    """Train a linear SVM on some photos and test it on others, by their inner products alone.

    Args:
        kernel: (N, N) inner products of unit vectors;  labels: (N,);  train, test: numbers of photos.
    Returns:
        the mean accuracy of a class, and C, chosen by five-fold cross-validation on the training part.

    Paper: Sec. 5.3.
    """
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import SVC

    folds = min(FOLDS, int(np.bincount(labels[train]).min()))
    chosen = GridSearchCV(
        SVC(kernel="precomputed"), {"C": COSTS}, cv=StratifiedKFold(folds, shuffle=True, random_state=0)
    )
    chosen.fit(kernel[np.ix_(train, train)], labels[train])
    found = chosen.predict(kernel[np.ix_(test, train)])
    return mean_class_accuracy(found, labels[test]), chosen.best_params_["C"]


def mean_class_accuracy(found: np.ndarray, labels: np.ndarray) -> float:
    """The share of each class that was found, averaged over classes.

    >>> mean_class_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])), mean_class_accuracy(
    ...     np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]))
    (0.75, 0.5)
    """
    return float(np.mean([(found[labels == label] == label).mean() for label in np.unique(labels)]))
