"""What layers are called: as in the zoo where a table equals one of it, else conv1 relu1 pool1 conv2 … fc6."""

from __future__ import annotations

from collections import Counter

from ..layers import AvgPool2d, Dropout, Layer
from ..models import ZOO
from ..weights import layer_entry

STEMS = {
    "Conv2d": "conv", "Linear": "fc", "ReLU": "relu", "LocalResponseNorm": "norm", "MaxPool2d": "pool",
    "AvgPool2d": "pool", "GlobalAvgPool2d": "pool", "Flatten": "flatten", "Dropout": "drop",
}  # fmt: skip


def zoo_name(layers: list[Layer]) -> str | None:
    """The zoo net that has these layers, all or the convolutional part.

    What does nothing to a photo does not count: exporters leave dropout out, and turn torchvision's adaptive pools into
    averages of single pixels.
    """
    wanted = [_without_name("", layer) for layer in layers if not _does_nothing(layer)]
    for name, (table, _, _) in ZOO.items():
        for part in (table(), convolutional(table())):
            if wanted == [_without_name(*pair) for pair in _kept(part)]:
                return name
    return None


def convolutional(table: list[tuple[str, Layer]]) -> list[tuple[str, Layer]]:
    """The layers of a table below Flatten."""
    return table[: [type(layer).__name__ for _, layer in table].index("Flatten")]


def layer_names(layers: list[Layer]) -> list[str]:
    """A name for each layer.

    Convolutions and fully connected layers are counted together, as published nets do it, and what follows one has its
    number: conv1 relu1 norm1 pool1 … conv5 relu5 pool5 flatten fc6 relu6 drop6. A second of a kind is relu6_2.

    >>> from minideconv.layers import Conv2d, Flatten, Linear, ReLU
    >>> layer_names([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 2)])
    ['conv1', 'relu1', 'flatten', 'fc2']
    """
    zoo = zoo_name(layers)
    published = iter([name for name, _ in _kept(ZOO[zoo][0]())]) if zoo else None
    names, seen, number = [], Counter(), 0
    for layer in layers:
        kind = type(layer).__name__
        number += kind in ("Conv2d", "Linear")
        name = STEMS[kind] + ("" if kind == "Flatten" else str(number))
        if published and not _does_nothing(layer):
            name = next(published)
        elif published and names:  # after what it follows
            name = STEMS[kind] + names[-1].lstrip("abcdefghijklmnopqrstuvwxyz")
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _kept(table):
    return [(name, layer) for name, layer in table if not _does_nothing(layer)]


def _does_nothing(layer):
    return isinstance(layer, Dropout) or (
        isinstance(layer, AvgPool2d) and (layer.kernel_size, layer.stride, layer.spills) == ((1, 1), (1, 1), False)
    )


def _without_name(name, layer):
    """A layer's type and options, to be compared."""
    return {**layer_entry(name, layer), "name": None}
