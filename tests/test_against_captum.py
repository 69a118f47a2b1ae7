"""The engine against PyTorch and Captum, live: forward, the three ways down, weight gradients, the loss.

In float64 everything agrees to 1e-10 of the largest value. In float32 pictures agree to 1e-4 unless a maximum or a ReLU
below the unit is tied to within rounding: that may fall either way and changes the picture, so a few may differ.
"""

import contextlib
import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Network, models, project, project_patches, strongest, to_device, to_numpy
from minideconv import functional as F
from minideconv.layers import (
    RULES,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from minideconv.weights import load_model

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")
from torch_twin import twin  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")

CAPTUM = {
    "deconvnet": attr.NeuronDeconvolution,
    "gradient": attr.NeuronGradient,
    "guided": attr.NeuronGuidedBackprop,
}
RELUS = ("relu1", "relu2", "relu3", "relu4", "relu5")


# ------------------------------------------------------------------------------------------- between the two engines


def tensor(array):
    """(C, H, W, N) or (D, N) -> a tensor (N, C, H, W) or (N, D)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(to_numpy(array), -1, 0)))


def array(tensor):
    """The way back."""
    return np.moveaxis(tensor.detach().numpy(), 0, -1)


def seen_by_captum(model, x, layer, rule, value_of):
    """What Captum sees, (C, H, W, N), when the seed is the gradient of `value_of(maps)`: (N, …) -> (N,)."""
    inputs = tensor(x).requires_grad_()
    return array(CAPTUM[rule](model, getattr(model, layer)).attribute(inputs, value_of))


def units_seen_by_captum(model, x, layer, rule, units):
    """(C, H, W, B): units (image, *place), each seeded with 1."""
    image, *place = units
    chosen = (np.arange(len(image)), *place)
    return seen_by_captum(model, to_numpy(x)[..., image], layer, rule, lambda maps: maps[chosen])


def cropped(planes, patches):
    """(C, H, W, B) planes cut to the windows of `patches`, zero outside the image."""
    tall, wide = patches.pixels.shape[1:3]
    padded = np.pad(planes, ((0, 0), (tall, tall), (wide, wide), (0, 0)))
    corners = zip(patches.top + tall, patches.left + wide)
    return np.stack([padded[:, t : t + tall, s : s + wide, b] for b, (t, s) in enumerate(corners)], axis=-1)


def relative_error(found, expected):
    """The largest difference over the largest expected value; 0 where both are all zero."""
    assert found.shape == expected.shape
    difference = abs(to_numpy(found) - expected).max(initial=0)
    return difference / max(abs(expected).max(initial=0), 1e-30) if difference else 0.0


def in_float64(net):
    """The same net with the same weights as float64."""
    net = copy.deepcopy(net)
    for layer in net.layers.values():
        for key in layer.parameters:
            setattr(layer, key, getattr(layer, key).astype("float64"))
    return net


def with_biases(net, seed):
    """The net with biases that matter, in place of its zeros."""
    random = np.random.RandomState(seed)
    for layer in net.layers.values():
        if "bias" in layer.parameters:
            layer.bias = to_device((0.1 * random.standard_normal(layer.bias.shape)).astype(np.float32))
    return net


# --------------------------------------------------------------------------------------- small stacks, in float64


@st.composite
def stacks(draw, norm=True):
    """A small net in float64, all layers drawn, with or without response norm and a classifier, and 2 images for it."""
    channels, size = draw(st.integers(1, 3)), (draw(st.integers(9, 14)), draw(st.integers(9, 14)))
    shape, layers = (channels, *size), []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        for name, kind in (("conv", convolutions), ("relu", relus), ("norm", norms), ("pool", pools)):
            layer = draw(kind(shape)) if norm or name != "norm" else None
            if layers and isinstance(layer, ReLU) and isinstance(layers[-1][1], ReLU):
                layer = None  # of two in succession Captum rectifies the signal at one only, under the deconvnet rule
            with contextlib.suppress(ValueError):  # a window that does not fit the map is left out
                if layer is not None:
                    shape = layer.output_shape(shape)
                    layers.append((f"{name}{number}", layer))
    if draw(st.booleans()):
        width = int(np.prod(shape))
        layers += [("flatten", Flatten()), ("fc6", Linear(width, 7)), ("relu6", ReLU()), ("drop6", Dropout()),
                   ("fc7", Linear(7, 4, has_bias=draw(st.booleans())))]  # fmt: skip
    seed = draw(st.integers(0, 2**32 - 1))
    net = in_float64(with_biases(Network(layers or [("relu1", ReLU())], seed=seed), seed))
    return net, to_device(np.random.default_rng(seed).standard_normal((channels, *size, 2)))


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def paddings(most):
    """Each side on its own, below `most` = (vertical, horizontal)."""
    return st.tuples(*(pairs(0, limit - 1) for limit in most))


@st.composite
def convolutions(draw, shape):
    kernel, groups = draw(pairs(1, 4)), draw(st.sampled_from([g for g in (1, 2, 3) if shape[0] % g == 0]))
    return Conv2d(shape[0], groups * draw(st.integers(1, 3)), kernel, stride=draw(pairs(1, 3)),
                  padding=draw(paddings(kernel)), groups=groups, has_bias=draw(st.booleans()))  # fmt: skip


@st.composite
def pools(draw, shape):
    """Windows may overlap, and leave pixels out; torch has ceil mode with even padding up to half a kernel only."""
    kernel, ceil_mode = draw(pairs(1, 4)), draw(st.booleans())
    even = st.tuples(*(st.integers(0, size // 2).map(lambda pad: (pad, pad)) for size in kernel))
    padding = draw(even if ceil_mode else paddings(kernel))
    pool = MaxPool2d(kernel, stride=draw(pairs(1, 4)), padding=padding, ceil_mode=ceil_mode)
    mean = AvgPool2d(kernel, stride=draw(pairs(1, 4)), padding=draw(even), ceil_mode=ceil_mode,
                     count_include_pad=draw(st.booleans()))  # fmt: skip
    return draw(st.sampled_from([None, pool, pool, mean, mean, GlobalAvgPool2d()]))


def norms(shape):
    some = st.builds(LocalResponseNorm, st.sampled_from([1, 3, 5]), alpha=st.floats(0.01, 2), beta=st.floats(0.3, 1.2))
    return st.one_of(st.none(), some)


def relus(shape):
    return st.sampled_from([ReLU(), None])


@given(stacks())
def test_forward_gradient_and_weight_gradients_equal_autograds(stack):
    net, x = stack
    model, inputs = twin(net), tensor(x).requires_grad_()
    trace, maps = net.forward(x), inputs
    for name, module in model.named_children():
        maps = module(maps)
        assert relative_error(trace[name], array(maps)) < 1e-10
    grad = np.random.default_rng(0).standard_normal(trace[name].shape)
    maps.backward(tensor(grad))
    assert relative_error(net.backward(trace, to_device(grad)), array(inputs.grad)) < 1e-10
    gradients = net.gradients(trace, to_device(grad)) if net.parameters() else {}
    expected = {key.replace(".1.", "."): value.grad.numpy() for key, value in model.named_parameters()}
    assert set(gradients) == set(expected)
    for key, value in gradients.items():
        assert relative_error(value, expected[key]) < 1e-10


@given(stacks(norm=False), st.data())
def test_a_signal_comes_down_every_rule_as_in_captum(stack, data):
    net, x = stack
    layer, rule = data.draw(st.sampled_from(list(net.layers))), data.draw(st.sampled_from(RULES))
    trace = net.forward(x)
    signal = np.random.default_rng(1).standard_normal(trace[layer].shape)
    weight = tensor(signal)
    expected = seen_by_captum(twin(net), x, layer, rule, lambda maps: (maps * weight).flatten(1).sum(1))
    assert relative_error(net.backward(trace, to_device(signal), layer, rule), expected) < 1e-10


@given(stacks(), st.data())
def test_units_are_projected_as_in_captum(stack, data):
    net, x = stack
    normed = any(isinstance(layer, LocalResponseNorm) for layer in net.layers.values())
    layer = data.draw(st.sampled_from(list(net.layers)))
    rule = data.draw(st.sampled_from([rule for rule in RULES if not (normed and rule == "deconvnet")]))
    trace = net.forward(x)
    *shape, count = trace[layer].shape
    units = np.random.default_rng(2).integers(0, np.array([[count, *shape]]).T, (len(shape) + 1, 5))
    expected = units_seen_by_captum(twin(net), x, layer, rule, units)
    patches = project_patches(net, trace, layer, **named(units), value=1.0, rule=rule)
    assert relative_error(patches.pixels, cropped(expected, patches)) < 1e-10
    image, channel, *position = units[:, 0].tolist()
    whole = project(net, trace, layer, channel, position or None, image=image, rule=rule, value=1.0)
    assert relative_error(whole.pixels, expected[..., 0]) < 1e-10


@pytest.mark.parametrize("scale", [1, 30, 1000])  # with 1000 an exponential would overflow
def test_cross_entropy_equals_torchs(scale):
    random = np.random.default_rng(scale)
    logits, labels = scale * random.standard_normal((10, 16)), random.integers(0, 10, 16)
    loss, grad = F.cross_entropy(to_device(logits), to_device(labels))
    there = tensor(logits).requires_grad_()
    expected = torch.nn.functional.cross_entropy(there, torch.from_numpy(labels))
    expected.backward()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-12)
    assert relative_error(grad, array(there.grad)) < 1e-12
    assert relative_error(F.softmax(to_device(logits)), array(there.softmax(1))) < 1e-12


# ------------------------------------------------------------------------------------- the published tables


def assert_equal_to_captum(net, x, rules):
    """Strong units and corners of relu1 … relu5: all equal in float64; in float32 all but those with a tie."""
    exact = errors_of_units(in_float64(net), x.astype("float64"), rules)
    rounded = errors_of_units(net, x, rules)
    assert max(exact) < 1e-10
    assert np.mean(np.array(rounded) < 1e-4) > 0.8


def errors_of_units(net, x, rules):
    """The relative error of each picture: of some units of relu1 … relu5, by each of the rules."""
    model, trace, errors = twin(net), net.forward(x), []
    for number, layer in enumerate(net.layers):
        if layer in RELUS:
            units, below = chosen_units(trace, layer), model[: number + 1]
            for rule in rules:
                patches = project_patches(net, trace, layer, **named(units), value=1.0, rule=rule)
                expected = cropped(units_seen_by_captum(below, x, layer, rule, units), patches)
                assert patches.pixels.dtype == x.dtype
                assert abs(expected).max(axis=(0, 1, 2)).all()
                errors += [relative_error(patches.pixels[..., b], expected[..., b]) for b in range(len(units[0]))]
    return errors


def chosen_units(trace, layer):
    """(image, channel, row, column), each (B,): the strongest unit of each image, and of two corners of the map."""
    maps = to_numpy(trace[layer])
    _, height, width, count = maps.shape
    strong = [np.array(strongest(trace, layer, 1, image=n)[:4], dtype=int) for n in range(count)]
    corners = [(0, maps[:, 0, 0, 0].argmax(), 0, 0), (count - 1, maps[:, -1, -1, -1].argmax(), height - 1, width - 1)]
    return np.concatenate([*strong, np.transpose(corners)], axis=1)


def named(units):
    """(image, channel, row, column) or, after Flatten, (image, channel), as `project_patches` wants them."""
    return dict(zip(("image", "channel", "row", "column"), units))


def test_alexnet_projects_as_in_captum():
    net = with_biases(models.build("alexnet", until="relu5", seed=3), 3)
    x = to_device(np.random.default_rng(3).standard_normal((3, 224, 224, 2), dtype=np.float32))
    assert_equal_to_captum(net, x, RULES)


def test_caffenet_with_groups_and_norm_projects_as_in_captum():
    """Not the deconvnet rule: it leaves the norm out on the way down, Captum does not."""
    net = with_biases(models.build("caffenet", until="relu5", seed=4), 4)
    x = to_device(np.random.default_rng(4).standard_normal((3, 227, 227, 2), dtype=np.float32))
    assert_equal_to_captum(net, x, ("gradient", "guided"))


def test_alexnet_with_published_weights_projects_as_in_captum():
    try:
        net = load_model("alexnet")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert_equal_to_captum(net, net.preprocess(photo_like()), RULES)


def photo_like():
    """Two pictures, uint8 (2, 240, 300, 3): a shaded ground with discs and bars, and texture as rough as a photo's."""
    random, (row, column) = np.random.RandomState(5), np.mgrid[:240, :300]
    pictures = []
    for _ in range(2):
        picture = 90 + 60 * np.stack([row / 240, column / 300, 1 - row / 240], axis=-1) + rough(random, (240, 300))
        for _ in range(12):
            (top, left), radius = random.uniform((0, 0), (240, 300)), random.uniform(8, 45)
            y, x, turn = row - top, column - left, random.uniform(0, 3.2)
            disc = y**2 + x**2 < radius**2
            bar = (abs(np.cos(turn) * y + np.sin(turn) * x) < radius / 6) & (abs(y) + abs(x) < 3 * radius)
            picture[disc if random.rand() < 0.5 else bar] += random.uniform(-110, 110, 3)
        pictures.append(picture.clip(0, 255))
    return np.array(pictures).astype(np.uint8)


def rough(random, shape):
    """Noise whose amplitude falls as 1/frequency, as that of photographs does; (H, W, 1)."""
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    noise = np.fft.ifft2(np.fft.fft2(random.standard_normal(shape)) / (frequency + 0.004)).real
    return 15 * (noise / noise.std())[..., None]
