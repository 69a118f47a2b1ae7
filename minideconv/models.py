"""Published architectures as tables, one layer a line, with the output shape of one image beside it.

Say which AlexNet is which: `alexnet` is torchvision's (one tower, 64-192-384-256-256 filters, no response norm);
`alexnet_published` and `caffenet` are the paper's baseline (96-256-384-384-256, two groups, response norm).
Every function returns the table, a list of (name, layer); `build` makes a `Network` of it, with random weights until
`load_model` brings real ones.
"""

from __future__ import annotations

from .images import CAFFE, TORCHVISION
from .layers import Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from .miniatures import MINIATURES
from .network import Network


def alexnet():
    """AlexNet as torchvision has it (Krizhevsky 2014, "One weird trick"), for 3 × 224 × 224."""
    return [
        ("conv1", Conv2d(3, 64, 11, stride=4, padding=2)),  # 64 × 55 × 55
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2)),  # 64 × 27 × 27
        ("conv2", Conv2d(64, 192, 5, padding=2)),  # 192 × 27 × 27
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2)),  # 192 × 13 × 13
        ("conv3", Conv2d(192, 384, 3, padding=1)),  # 384 × 13 × 13
        ("relu3", ReLU()),
        ("conv4", Conv2d(384, 256, 3, padding=1)),  # 256 × 13 × 13
        ("relu4", ReLU()),
        ("conv5", Conv2d(256, 256, 3, padding=1)),  # 256 × 13 × 13
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2)),  # 256 × 6 × 6
        ("flatten", Flatten()),  # 9216
        ("drop5", Dropout()),
        ("fc6", Linear(9216, 4096)),  # 4096
        ("relu6", ReLU()),
        ("drop6", Dropout()),
        ("fc7", Linear(4096, 4096)),  # 4096
        ("relu7", ReLU()),
        ("fc8", Linear(4096, 1000)),  # 1000
    ]


def alexnet_published():
    """AlexNet as published (Krizhevsky et al. 2012) and in Caffe: norm before pool, for 3 × 227 × 227."""
    return [
        ("conv1", Conv2d(3, 96, 11, stride=4)),  # 96 × 55 × 55
        ("relu1", ReLU()),
        ("norm1", LocalResponseNorm(5)),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 96 × 27 × 27
        ("conv2", Conv2d(96, 256, 5, padding=2, groups=2)),  # 256 × 27 × 27
        ("relu2", ReLU()),
        ("norm2", LocalResponseNorm(5)),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 256 × 13 × 13
        *_conv3_to_classifier(),
    ]


def caffenet():
    """CaffeNet, the paper's baseline as Caffe has it: pool before norm, for 3 × 227 × 227."""
    return [
        ("conv1", Conv2d(3, 96, 11, stride=4)),  # 96 × 55 × 55
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 96 × 27 × 27
        ("norm1", LocalResponseNorm(5)),
        ("conv2", Conv2d(96, 256, 5, padding=2, groups=2)),  # 256 × 27 × 27
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 256 × 13 × 13
        ("norm2", LocalResponseNorm(5)),
        *_conv3_to_classifier(),
    ]


def _conv3_to_classifier():
    """The upper half that AlexNet as published and CaffeNet share; the input is 256 × 13 × 13."""
    return [
        ("conv3", Conv2d(256, 384, 3, padding=1)),  # 384 × 13 × 13
        ("relu3", ReLU()),
        ("conv4", Conv2d(384, 384, 3, padding=1, groups=2)),  # 384 × 13 × 13
        ("relu4", ReLU()),
        ("conv5", Conv2d(384, 256, 3, padding=1, groups=2)),  # 256 × 13 × 13
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2, ceil_mode=True)),  # 256 × 6 × 6
        ("flatten", Flatten()),  # 9216
        ("fc6", Linear(9216, 4096)),  # 4096
        ("relu6", ReLU()),
        ("drop6", Dropout()),
        ("fc7", Linear(4096, 4096)),  # 4096
        ("relu7", ReLU()),
        ("drop7", Dropout()),
        ("fc8", Linear(4096, 1000)),  # 1000
    ]


def zfnet(conv3: int = 384, conv4: int = 384, conv5: int = 256):
    """The paper's own net (Fig. 3), for 3 × 224 × 224: 224 → 110 → 55 → 26 → 13 → 13 → 6.

    Those sizes need conv1 padding 1 and ceil-mode pools, which the paper does not mention. Its contrast
    normalisation is Krizhevsky et al.'s: k = 2, alpha = 1e-4 for each of 5 channels (we divide alpha by size).
    Widths other than the defaults give the paper's larger nets (Table 3).
    """
    return [
        ("conv1", Conv2d(3, 96, 7, stride=2, padding=1)),  # 96 × 110 × 110
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 96 × 55 × 55
        ("norm1", LocalResponseNorm(5, alpha=5e-4, k=2.0)),
        ("conv2", Conv2d(96, 256, 5, stride=2)),  # 256 × 26 × 26
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 256 × 13 × 13
        ("norm2", LocalResponseNorm(5, alpha=5e-4, k=2.0)),
        ("conv3", Conv2d(256, conv3, 3, padding=1)),  # 384 × 13 × 13
        ("relu3", ReLU()),
        ("conv4", Conv2d(conv3, conv4, 3, padding=1)),  # 384 × 13 × 13
        ("relu4", ReLU()),
        ("conv5", Conv2d(conv4, conv5, 3, padding=1)),  # 256 × 13 × 13
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2, ceil_mode=True)),  # 256 × 6 × 6
        ("flatten", Flatten()),  # 9216
        ("fc6", Linear(conv5 * 6 * 6, 4096)),  # 4096
        ("relu6", ReLU()),
        ("drop6", Dropout()),
        ("fc7", Linear(4096, 4096)),  # 4096
        ("relu7", ReLU()),
        ("drop7", Dropout()),
        ("fc8", Linear(4096, 1000)),  # 1000
    ]


def zfnet_large():
    """The paper's larger net, 512-1024-512 maps in layers 3 to 5 (Table 3), for 3 × 224 × 224."""
    return zfnet(512, 1024, 512)


def vgg16():
    """VGG16: 13 convolutions and 3 fully connected layers, for 3 × 224 × 224."""
    return _vgg((2, 2, 3, 3, 3))


def vgg19():
    """VGG19: 16 convolutions and 3 fully connected layers, for 3 × 224 × 224."""
    return _vgg((2, 2, 4, 4, 4))


def _vgg(depths):
    """VGG (Simonyan & Zisserman 2014), for 3 × 224 × 224: blocks of 3 × 3 convolutions, each block halved by a pool.

    Args:
        depths: how many convolutions each of the five blocks has.
    """
    layers, channels = [], 3
    for block, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512, 512)), start=1):
        for number in range(1, depth + 1):
            layers.append((f"conv{block}_{number}", Conv2d(channels, width, 3, padding=1)))
            layers.append((f"relu{block}_{number}", ReLU()))
            channels = width
        layers.append((f"pool{block}", MaxPool2d(2)))  # 64 × 112 × 112, 128 × 56 × 56 … 512 × 7 × 7
    return [
        *layers,
        ("flatten", Flatten()),  # 25088
        ("fc6", Linear(25088, 4096)),  # 4096
        ("relu6", ReLU()),
        ("drop6", Dropout()),
        ("fc7", Linear(4096, 4096)),  # 4096
        ("relu7", ReLU()),
        ("drop7", Dropout()),
        ("fc8", Linear(4096, 1000)),  # 1000
    ]


def zfnet32():
    """A small relative of the paper's net for colour photos of 3 × 32 × 32 (CIFAR-10), 10 classes."""
    return [
        ("conv1", Conv2d(3, 32, 5, padding=2)),  # 32 × 32 × 32
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 32 × 16 × 16
        ("conv2", Conv2d(32, 64, 3, padding=1)),  # 64 × 16 × 16
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 64 × 8 × 8
        ("conv3", Conv2d(64, 128, 3, padding=1)),  # 128 × 8 × 8
        ("relu3", ReLU()),
        ("pool3", MaxPool2d(3, stride=2, ceil_mode=True)),  # 128 × 4 × 4
        ("flatten", Flatten()),  # 2048
        ("drop3", Dropout(0.1)),
        ("fc4", Linear(2048, 10)),  # 10
    ]


def zfnet28():
    """A small relative of the paper's net for grey pictures of 1 × 28 × 28 (Fashion-MNIST), 10 classes."""
    return [
        ("conv1", Conv2d(1, 16, 5, padding=2)),  # 16 × 28 × 28
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)),  # 16 × 14 × 14
        ("conv2", Conv2d(16, 48, 3, padding=1)),  # 48 × 14 × 14
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=True)),  # 48 × 7 × 7
        ("conv3", Conv2d(48, 96, 3, padding=1)),  # 96 × 7 × 7
        ("relu3", ReLU()),
        ("pool3", MaxPool2d(3, stride=2)),  # 96 × 3 × 3
        ("flatten", Flatten()),  # 864
        ("drop3", Dropout(0.2)),
        ("fc4", Linear(864, 10)),  # 10
    ]


ZOO = {  # name: (table, (C, H, W) of its input, how photos are prepared where that was published)
    "alexnet": (alexnet, (3, 224, 224), TORCHVISION),
    "alexnet_published": (alexnet_published, (3, 227, 227), CAFFE),
    "caffenet": (caffenet, (3, 227, 227), CAFFE),
    "zfnet": (zfnet, (3, 224, 224), None),
    "zfnet_large": (zfnet_large, (3, 224, 224), None),
    "vgg16": (vgg16, (3, 224, 224), TORCHVISION),
    "vgg19": (vgg19, (3, 224, 224), TORCHVISION),
    "zfnet32": (zfnet32, (3, 32, 32), None),
    "zfnet28": (zfnet28, (1, 28, 28), None),
    **{name: (table, (3, 32, 32), None) for name, table in MINIATURES.items()},
}


def build(name: str, *, until: str | None = None, seed: int = 0) -> Network:
    """A zoo network with random weights.

    Args:
        name: one of `ZOO`.
        until: the last layer to build, such as "pool5" for the convolutional part; None builds all.
        seed: of the weights.
    Raises:
        ValueError: if there is no such network or layer.

    >>> build("zfnet28").parameters()["conv1.weight"].shape
    (16, 1, 5, 5)
    """
    if name not in ZOO:
        raise ValueError(f"there is no network {name!r}; the zoo has {', '.join(ZOO)}")
    table, input_shape, preprocessing = ZOO[name]
    layers = table()
    names = [layer for layer, _ in layers]
    if until is not None and until not in names:
        raise ValueError(f"{name} has no layer {until!r}; it has {', '.join(names)}")
    last = len(names) if until is None else names.index(until) + 1
    return Network(layers[:last], name=name, input_shape=input_shape, preprocessing=preprocessing, seed=seed)
