"""The tables say what they claim: shapes in the comments, parameter counts as published."""

import inspect
import re

import numpy as np
import pytest

from minideconv import Network, models, to_device


def empty(table, input_shape):
    """A Network of a table whose weights take no memory."""
    for _, layer in table:
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, np.broadcast_to(np.float32(0), shape))
    return Network(table, input_shape=input_shape)


def count(net):
    return sum(value.size for value in net.parameters().values())


@pytest.mark.parametrize("name", models.ZOO)
def test_every_table_fits_its_input(name):
    table, input_shape, _ = models.ZOO[name]
    shapes = empty(table(), input_shape).output_shapes()
    assert len(list(shapes.values())[-1]) == 1


@pytest.mark.parametrize(
    "name", [name for name in models.ZOO if not name.startswith(("vgg", "zfnet_large", "alexnet8_", "zfnet8"))]
)
def test_the_shapes_in_the_comments_are_true(name):
    table, input_shape, _ = models.ZOO[name]
    shapes = empty(table(), input_shape).output_shapes()
    source = inspect.getsource(table)
    if "_conv3_to_classifier" in source:
        source += inspect.getsource(models._conv3_to_classifier)
    said = {}
    for layer, comment in re.findall(r'\("(\w+)", .*# ([\d ×]+)$', source, flags=re.MULTILINE):
        said[layer] = tuple(int(size) for size in comment.split("×"))
    assert len(said) >= 6
    assert said == {layer: shapes[layer] for layer in said}


def test_vgg_halves_with_every_pool():
    shapes = empty(models.vgg16(), (3, 224, 224)).output_shapes()
    pools = [shapes[f"pool{block}"] for block in range(1, 6)]
    assert pools == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


@pytest.mark.parametrize(
    ("name", "published"),
    [("alexnet", 61_100_840), ("vgg16", 138_357_544), ("vgg19", 143_667_240), ("alexnet_published", 60_965_224),
     ("caffenet", 60_965_224)],
)  # fmt: skip
def test_parameter_counts_are_the_published_ones(name, published):
    table, input_shape, _ = models.ZOO[name]
    assert count(empty(table(), input_shape)) == published


def test_the_papers_sizes():
    """Fig. 3: 224 → 110 → 55 → 26 → 13 → 13 → 6."""
    shapes = empty(models.zfnet(), (3, 224, 224)).output_shapes()
    layers = ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    assert [shapes[layer][1] for layer in layers] == [110, 55, 26, 13, 13, 6]
    assert [shapes[f"conv{i}"][0] for i in range(1, 6)] == [96, 256, 384, 384, 256]
    large = empty(models.zfnet_large(), (3, 224, 224)).output_shapes()
    assert [large[f"conv{i}"][0] for i in range(3, 6)] == [512, 1024, 512]


def test_the_paper_normalises_after_pooling_and_alexnet_before():
    order = {name: [layer for layer, _ in models.ZOO[name][0]()] for name in models.ZOO}
    assert order["zfnet"].index("pool1") < order["zfnet"].index("norm1")
    assert order["caffenet"].index("pool1") < order["caffenet"].index("norm1")
    assert order["alexnet_published"].index("norm1") < order["alexnet_published"].index("pool1")
    assert not any(layer.startswith("norm") for layer in order["alexnet"])


@pytest.mark.parametrize("name", ["zfnet32", "zfnet28"])
def test_the_small_nets_run(name):
    net = models.build(name)
    assert net.forward(to_device(np.ones((*net.input_shape, 2), np.float32)))["fc4"].shape == (10, 2)


def test_build_says_what_there_is():
    with pytest.raises(ValueError, match="there is no network 'resnet'; the zoo has alexnet, "):
        models.build("resnet")
    with pytest.raises(ValueError, match="zfnet28 has no layer 'conv9'; it has conv1, "):
        models.build("zfnet28", until="conv9")
