"""Tables 4 to 6: keep the layers of a trained net, and train a new softmax on top of them.

The softmax is a net of one `Linear` layer, trained by the package's own SGD on vectors (D, N).
"""

from __future__ import annotations

import numpy as np

from ..backend import to_device, to_numpy
from ..datasets import minibatches
from ..layers import AvgPool2d, Flatten, Linear
from ..network import Network
from ..optimizer import SGD
from .features import cell_size

EPOCHS, BATCH = 20, 100
LEARNING_RATE, WEIGHT_DECAY = 8.0, 1e-5  # for vectors whose mean length is one; the rate falls to zero in equal steps


def train_softmax(vectors: np.ndarray, labels: np.ndarray, classes: int, *, seed: int = 0) -> Linear:
    """Train a softmax on feature vectors.

    One constant, one over their mean length, scales all vectors; it ends up in the weights, so that these take the
    vectors as they are.

    Args:
        vectors: (D, N) float32;  labels: (N,) integers from 0;  classes: how many there are;  seed: of the order.
    Returns:
        a layer: its logits are `weight @ vectors + bias`.

    Paper: Sec. 5.2, "train a new softmax classifier on top".
    """
    scale = np.float32(1 / np.linalg.norm(vectors, axis=0).mean())
    layer = Linear(len(vectors), classes)
    optimizer = SGD(Network([("classifier", layer)], seed=seed), weight_decay=WEIGHT_DECAY)
    for epoch in range(EPOCHS):
        optimizer.learning_rate = LEARNING_RATE * (1 - epoch / EPOCHS)
        for chosen in minibatches(vectors.shape[1], BATCH, np.random.default_rng([seed, epoch])):
            optimizer.step(to_device(vectors[:, chosen] * scale), labels[chosen])
    layer.weight *= scale
    return layer


def classify(layer: Linear, vectors: np.ndarray) -> np.ndarray:
    """The most probable class of each of (D, N) vectors: (N,) integers."""
    return to_numpy(Network([("classifier", layer)]).forward(to_device(vectors))["classifier"]).argmax(axis=0)


def with_classifier(net: Network, layer: str, classifier: Linear, classes: list[str], input_shape) -> Network:
    """The layers of a net up to one, and a new classifier on them.

    Args:
        layer: the last that is kept; its maps are averaged over cells, if they are large, as `features.averaged` does.
        classifier: takes those as vectors;  classes: their names;  input_shape: (C, H, W) of the photos.
    """
    names = list(net.layers)
    layers = [(name, net.layers[name]) for name in names[: names.index(layer) + 1]]
    shape = net.output_shapes(input_shape)[layer]
    if cell_size(shape) > 1:
        layers.append(("average", AvgPool2d(cell_size(shape), ceil_mode=True)))
    if len(shape) == 3:
        layers.append(("flatten", Flatten()))
    return Network([*layers, ("classifier", classifier)], name=f"{net.name} with a new classifier",
                   input_shape=input_shape, preprocessing=net.preprocessing, classes=classes,
                   source=net.source, sha256=net.sha256,
                   licence=net.licence, original_names=net.original_names)  # fmt: skip
