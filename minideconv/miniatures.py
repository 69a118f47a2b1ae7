"""The paper's eight layers in small, for photos of 3 × 32 × 32, and what Table 3 and Fig. 6 change in them.

One table with a few numbers in it, and `MINIATURES`, a name for each set of numbers.
"""

from __future__ import annotations

from functools import partial

from .layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU


def alexnet8(first=(7, 2), middle=(48, 48, 32), dense=(256, 256)):
    """Five convolutions and three fully connected layers, 10 classes.

    Args:
        first: side and stride of conv1's filters, in pixels. Its stride times conv2's is 2, as AlexNet's (4 · 1) and
            the paper's (2 · 2) are both 4, so that all layers from conv2 on see maps of the same size.
        middle: feature maps of conv3, conv4, conv5; 0 leaves a layer out.
        dense: units of fc6, fc7; 0 leaves a layer out.
    """
    side, stride = first
    layers = [
        ("conv1", Conv2d(3, 32, side, stride=stride, padding=side // 2)),  # 32 × 16 × 16
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 32 × 8 × 8
        ("conv2", Conv2d(32, 48, 5, stride=2 // stride, padding=2)),  # 48 × 8 × 8
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 48 × 4 × 4
    ]
    maps = 48
    for number, width in zip((3, 4, 5), middle):
        if width:
            layers += [(f"conv{number}", Conv2d(maps, width, 3, padding=1)), (f"relu{number}", ReLU())]
            maps = width
    layers += [
        ("pool5", MaxPool2d(3, stride=2, ceil_mode=True)),  # 32 × 2 × 2
        ("flatten", Flatten()),  # 128
    ]
    units = maps * 2 * 2
    for number, width in zip((6, 7), dense):
        if width:
            layers += [(f"fc{number}", Linear(units, width)), (f"relu{number}", ReLU())]
            layers += [(f"drop{number}", Dropout(0.2))]
            units = width
    return [*layers, ("fc8", Linear(units, 10))]


MINIATURES = {  # name: the table
    "alexnet8": alexnet8,
    "zfnet8": partial(alexnet8, first=(5, 1)),  # smaller filters, smaller stride: what the paper made of AlexNet
    "alexnet8_no34": partial(alexnet8, middle=(0, 0, 32)),
    "alexnet8_no7": partial(alexnet8, dense=(256, 0)),
    "alexnet8_no67": partial(alexnet8, dense=(0, 0)),
    "alexnet8_no3467": partial(alexnet8, middle=(0, 0, 32), dense=(0, 0)),
    "alexnet8_half67": partial(alexnet8, dense=(128, 128)),
    "alexnet8_double67": partial(alexnet8, dense=(512, 512)),
    "alexnet8_double345": partial(alexnet8, middle=(96, 96, 64)),
    "alexnet8_double34567": partial(alexnet8, middle=(96, 96, 64), dense=(512, 512)),
}
