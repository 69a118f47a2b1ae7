"""A small net, twelve photos with awkward names, and the atlas of them: what the tests of the page open."""

import json
import re

import numpy as np
from PIL import Image

from minideconv import Network
from minideconv.atlas.writer import write_atlas
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, MaxPool2d, ReLU

SIDE = 24  # pixels, of what the net sees
DEAD = 3  # this map of relu2 is not active on any photo
NAMES = (
    "<!--<script>.jpg", "<img src=x onerror=document.title=1>.jpg", "a'b\".jpg", "100% #1.jpg", "😀 ü.jpg",
    "&lt;b&gt;.jpg", "`${1}`.jpg", "PHOTO $& $1.jpg", "plain.jpg", "two  spaces.jpg", "\\u003c.jpg", "z.jpg",
)  # fmt: skip


def make_photos(folder, names=NAMES):
    """Write smooth random photos of these names; returns the folder."""
    rng = np.random.default_rng(7)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((32, 28), Image.Resampling.BICUBIC).save(folder / name, quality=95)
    return folder


def make_net(maps=(5, 7, 6), names=("relu1", "relu2", "relu3"), title="tiny", dead_layer=False):
    """Three convolutions; map DEAD of the second is dead where there is one, with `dead_layer` all of the third."""
    prepared = Preprocessing(resize=SIDE, crop=SIDE, channels="RGB", scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
    convolutions = [Conv2d(i, o, 3, padding=1) for i, o in zip((3, *maps), maps)]
    layers = []
    for n, (convolution, name) in enumerate(zip(convolutions, names), 1):
        layers += [(f"conv{n}", convolution), (name, ReLU()), (f"pool{n}", MaxPool2d(2))]
    net = Network(layers[:-1], name=title, input_shape=(3, SIDE, SIDE), preprocessing=prepared, seed=3)
    if len(convolutions[1].bias) > DEAD:
        convolutions[1].weight[DEAD], convolutions[1].bias[DEAD] = 0, -1
    if dead_layer:
        convolutions[2].weight[:], convolutions[2].bias[:] = 0, -1
    return net


def make_atlas(out, photos, net, **options):
    """Write an atlas without a word; returns its folder. Options as `write_atlas` takes them."""
    return write_atlas(net, photos, out, progress=False, report=lambda line: None, **options)[0]


def read_data(folder, file):
    """What a script in data/ hands to the page: the last argument of its call."""
    text = (folder / "data" / file).read_text(encoding="utf-8")
    return json.loads("[" + re.fullmatch(r"atlas\.\w+\((.*)\);\s*", text, re.S)[1] + "]")[-1]
