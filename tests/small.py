"""Small things that tests share: an integer-valued colour net, photos for it, and how a command is run."""

import numpy as np
from PIL import Image

from minideconv import Network
from minideconv.cli import main
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

SIZE = (12, 12)


def preparation(channels="RGB", size=SIZE):
    """A centre crop, and levels as they are."""
    count = len(channels)
    return Preprocessing(resize=None, crop=size, channels=channels, scale=1.0, mean=(0.0,) * count, std=(1.0,) * count)


def colour_net(channels="RGB", size=SIZE, seed=0, maps=(4, 6, 10)):
    """Three convolutions and a classifier whose weights are small integers: sums are exact in float32, in any order.

    With 12 × 12 pixels relu1 sees 3, relu2 8, and relu3 18 of them: more than there are.
    """
    one, two, three = maps
    units = three * (size[0] // 4) * (size[1] // 4)
    layers = [
        ("conv1", Conv2d(len(channels), one, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
        ("conv2", Conv2d(one, two, 3, padding=1)), ("relu2", ReLU()), ("pool2", MaxPool2d(2)),
        ("conv3", Conv2d(two, three, 3, padding=1)), ("relu3", ReLU()),
        ("flatten", Flatten()), ("fc4", Linear(units, 5)), ("relu4", ReLU()),
    ]  # fmt: skip
    rng = np.random.default_rng(seed)
    for _, layer in layers:
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, rng.integers(-1, 2, shape).astype(np.float32))
    shape = (len(channels), *size)
    return Network(layers, name="small", input_shape=shape, preprocessing=preparation(channels, size))


def renamed(net, name="../../out", layer="../../{}"):
    """The same net, called as a stranger's model file may call it and its layers."""
    layers = [(layer.format(own), each) for own, each in net.layers.items()]
    return Network(layers, name=name, input_shape=net.input_shape, preprocessing=net.preprocessing)


def levels(count, size=SIZE, seed=0, colours=3, most=8):
    """(N, H, W, C) uint8 with few levels: ties are frequent, between places and between photos."""
    return np.random.default_rng(seed).integers(0, most, (count, *size, colours), dtype=np.uint8)


def photo_folder(folder, photos, broken=(), exif=None):
    """Write photos (N, H, W, 3) as numbered PNG files; those in `broken` are cut short."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos):
        path = folder / f"{number:03}.png"
        Image.fromarray(photo).save(path, **({"exif": exif} if exif else {}))
        if number in broken:
            path.write_bytes(path.read_bytes()[:60])
    return folder


def contents(folder):
    """{path in a folder: its bytes} of all files."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*arguments):
    """`minideconv ARGUMENTS`, as typed: its exit status."""
    return main([str(argument) for argument in arguments])
