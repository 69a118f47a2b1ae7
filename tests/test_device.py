"""The same on every device: each operation, training, projections; what is copied between them; memory that runs out.

On the CPU the comparisons compare it with itself; on the stand-in for CuPy they show that the same lines run; on a GPU
that it computes the same within rounding, and twice the same bits.
"""

import gc

import numpy as np
import pytest
from draw import assert_close, assert_equal
from hypothesis import given
from hypothesis import strategies as st
from small import colour_net, levels

from minideconv import Network, evaluation, models, project, project_patches, strongest
from minideconv import functional as F
from minideconv.backend import array_module, to_device, to_numpy
from minideconv.cli import main
from minideconv.datasets import Dataset
from minideconv.experiments.scanning import new_scan, scan
from minideconv.layers import RULES, Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from minideconv.network import TooLargeError
from minideconv.training import SGD, Settings, train

GROUPED = {"stride": 2, "padding": ((1, 0), (2, 1)), "groups": 2}
WINDOW = {"stride": 2, "padding": 1, "ceil_mode": True}
NORM = (5, 0.02, 0.75, 2.0)


def operations(rng):
    """{name: (function, the arrays it takes)}: every operation once, float32, on the CPU."""

    def draw(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    x, weight, bias, y = draw(4, 9, 8, 3), draw(6, 2, 3, 3), draw(6), draw(6, 4, 5, 3)
    pooled, switches = F.max_pool2d(x, 3, **WINDOW)
    _, counts = F.avg_pool2d(x, 3, **WINDOW)
    place, dense, columns = {"stride": 2, "padding": 1}, draw(5, 7), draw(7, 3)
    return {
        "conv2d": (lambda *a: F.conv2d(*a, **GROUPED), (x, weight, bias)),
        "conv_transpose2d": (lambda *a: F.conv_transpose2d(*a, x.shape, **GROUPED), (y, weight)),
        "conv2d_weight_gradient": (lambda *a: F.conv2d_weight_gradient(*a, weight.shape, **GROUPED), (x, y)),
        "max_pool2d": (lambda x: F.max_pool2d(x, 3, **WINDOW)[0], (x,)),
        "switches": (lambda x: F.max_pool2d(x, 3, **WINDOW)[1], (x,)),
        "max_unpool2d": (lambda *a: F.max_unpool2d(*a, x.shape, 3, **place), (pooled, switches)),
        "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, **WINDOW)[0], (x,)),
        "avg_pool2d_transpose": (lambda *a: F.avg_pool2d_transpose(*a, x.shape, 3, **place), (pooled, counts)),
        "global_avg_pool2d": (F.global_avg_pool2d, (x,)),
        "global_avg_pool2d_transpose": (lambda y: F.global_avg_pool2d_transpose(y, x.shape), (draw(4, 1, 1, 3),)),
        "local_response_norm": (lambda x: F.local_response_norm(x, *NORM), (x,)),
        "local_response_norm_gradient": (lambda *a: F.local_response_norm_gradient(*a, *NORM), (draw(*x.shape), x)),
        "linear": (F.linear, (columns, dense, draw(5))),
        "linear_transpose": (F.linear_transpose, (draw(5, 3), dense)),
        "linear_weight_gradient": (F.linear_weight_gradient, (columns, draw(5, 3))),
        "softmax": (F.softmax, (columns,)),
        "loss": (lambda *a: F.cross_entropy(*a)[0], (columns, np.array([0, 6, 3]))),
        "cross_entropy": (lambda *a: F.cross_entropy(*a)[1], (columns, np.array([0, 6, 3]))),
    }


NAMES = list(operations(np.random.default_rng(0)))


@pytest.fixture
def on_cpu(monkeypatch):
    """A function that calls another with MINIDECONV_DEVICE=cpu."""

    def call(function):
        with monkeypatch.context() as patch:
            patch.setenv("MINIDECONV_DEVICE", "cpu")
            return function()

    return call


def test_every_operation_is_compared():
    assert {name.removeprefix("functional.") for name in F.__all__} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1))
def test_an_operation_gives_on_the_device_what_it_gives_on_the_cpu(name, seed):
    function, arrays = operations(np.random.default_rng(seed))[name]
    there = [to_device(array) for array in arrays]
    found = function(*there)
    assert array_module(found) is array_module(there[0])
    assert_close(found, function(*arrays), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_gives_the_same_bits_twice(name):
    function, arrays = operations(np.random.default_rng(1))[name]
    there = [to_device(array) for array in arrays]
    assert to_numpy(function(*there)).tobytes() == to_numpy(function(*there)).tobytes()


def small_net(seed=0):
    return Network([
        ("conv1", Conv2d(1, 4, 3, padding=1)), ("relu1", ReLU()), ("norm1", LocalResponseNorm(3)),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=True)), ("flatten", Flatten()), ("fc2", Linear(64, 3)),
    ], name="small", input_shape=(1, 8, 8), seed=seed)  # fmt: skip


def data(count=40):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 100, (count, 8, 8, 1)) + 70 * labels[:, None, None, None]
    return Dataset(images.astype(np.uint8), labels, ["a", "b", "c"], "noise of three levels", [])


def trained():
    """The loss of each epoch, and the weights at the end."""
    net = small_net()
    state = train(net, data(), settings=Settings(4, 8, seed=3), optimizer=SGD(net, learning_rate=0.05), progress=False)
    return np.array(state.curve)[:, 2], {name: to_numpy(value) for name, value in net.parameters().items()}


def test_training_on_the_device_takes_the_course_that_it_takes_on_the_cpu(on_cpu):
    (curve, weights), (expected, others) = trained(), on_cpu(trained)
    np.testing.assert_allclose(curve, expected, rtol=1e-3)
    assert expected[-1] < expected[0]
    for name, value in weights.items():
        assert_close(value, others[name], 1e-2)


def test_training_twice_gives_the_same_bits():
    (curve, weights), (again, others) = trained(), trained()
    assert curve.tolist() == again.tolist()
    for name, value in weights.items():
        assert_equal(value, others[name])


@pytest.mark.parametrize("rule", RULES)
def test_a_projection_on_the_device_is_that_on_the_cpu(on_cpu, rule):
    x = np.random.default_rng(2).standard_normal((1, 8, 8, 2), dtype=np.float32)

    def pixels():
        net = small_net()
        trace = net.forward(x)
        units = strongest(trace, "pool1", image=1)
        patches = project_patches(net, trace, "pool1", image=units.image, channel=units.channel, row=units.row,
                                  column=units.column, rule=rule)  # fmt: skip
        return project(net, trace, "fc2", channel=1, image=1, rule=rule).pixels, patches.pixels, units.value

    for found, expected in zip(pixels(), on_cpu(pixels)):
        assert type(found) is np.ndarray
        assert_close(found, expected, 1e-5)


def test_an_integer_net_is_scanned_to_the_same_bits(on_cpu):
    def found():
        return scan(colour_net(), levels(12), ["relu1", "relu3", "relu4"], 3, batch_size=5)

    here, there = found(), on_cpu(found)
    for layer in here.layers:
        for one, other in zip(here.layers[layer].top, there.layers[layer].top):
            np.testing.assert_array_equal(one, other)


def test_weights_that_a_net_is_given_move_to_the_device():
    layer = Conv2d(1, 2, 3)
    layer.weight, layer.bias = np.ones((2, 1, 3, 3), np.float32), np.zeros(2, np.float32)
    net = Network([("conv1", layer)])
    assert array_module(layer.weight) is array_module(to_device(np.zeros(1)))
    assert to_numpy(net.forward(np.ones((1, 3, 3, 1), np.float32))["conv1"]).ravel().tolist() == [9, 9]


def test_a_net_without_a_seed_waits_for_its_weights():
    assert Network([("conv1", Conv2d(1, 2, 3))], seed=None).parameters() == {"conv1.weight": None, "conv1.bias": None}


# ------------------------------------------------------------------------------------------------ what is copied


@pytest.fixture
def gpu(stand_in, monkeypatch):
    """A pretended GPU that is chosen; `.simulated` counts what is copied."""
    monkeypatch.setenv("MINIDECONV_DEVICE", "gpu")
    return stand_in


def copies(gpu):
    """How many copies to the device and to the host there were since the last time, with their shapes."""
    found = tuple([shape for shape, _ in which] for which in (gpu.simulated.uploads, gpu.simulated.downloads))
    gpu.simulated.uploads.clear()
    gpu.simulated.downloads.clear()
    return found


def test_a_projection_of_alexnet_takes_the_photo_and_gives_the_unit_and_its_pixels(gpu):
    net = models.build("alexnet", until="pool5")
    photo, parameters = levels(1, (224, 224)), list(net.parameters().values())
    assert copies(gpu) == ([value.shape for value in parameters], [])
    x = net.preprocess(photo)
    assert copies(gpu) == ([(3, 224, 224, 1)], [])
    trace = net.forward(x)
    assert copies(gpu) == ([], [(1,), (len(parameters) + 1,)])  # is the input finite? are weights and maps?
    seen = project(net, trace, "relu5", channel=17)
    assert copies(gpu) == ([], [(), (), (3, 224, 224)])  # where the unit is, its activation, its pixels
    assert seen.pixels.shape == (3, 224, 224)


def test_sixty_four_units_of_alexnet_come_down_with_three_copies_and_some_indices(gpu):
    net = models.build("alexnet", until="pool5")
    trace = net.forward(net.preprocess(levels(1, (224, 224))))
    copies(gpu)
    units = strongest(trace, "relu5", k=64)
    assert copies(gpu) == ([], [(256, 1), (256, 1)])
    project_patches(net, trace, "relu5", image=units.image, channel=units.channel, row=units.row, column=units.column)
    up, down = copies(gpu)
    assert down == [(3, 163, 163, 64), (64,)]  # pixels, activations
    assert len(up) < 40 and sum(map(np.prod, up)) < 2 * 163 * 163 * 64  # where windows lie in switches, and in maps


def test_a_training_step_gives_the_loss_the_errors_and_whether_all_is_finite(gpu):
    optimizer = SGD(small_net())
    x, labels = np.zeros((1, 8, 8, 5), np.float32), np.arange(5) % 3
    copies(gpu)
    optimizer.step(x, labels)
    up, down = copies(gpu)
    assert up == [(1, 8, 8, 5), (5,)]
    assert down == [(1,), (5,), (), (), (5,), ()]  # input; weights and maps; labels; errors; gradients and loss; loss


# ------------------------------------------------------------------------------------------------ memory that runs out


def leave(gpu, size):
    """Let `size` bytes of the pretended GPU be free."""
    gc.collect()  # what earlier tests left
    gpu.simulated.memory = gpu.simulated.in_use + size


@pytest.fixture
def net(gpu):
    return colour_net(size=(64, 64), maps=(16, 8, 8))  # 0.7 MB of maps an image


def test_too_large_a_batch_says_which_one_to_use(gpu, net):
    x = np.zeros((3, 64, 64, 100), np.float32)
    leave(gpu, 2**25)
    with pytest.raises(
        TooLargeError, match=r"small: 100 images at once do not fit .*; use a batch size of (\d+) or"
    ) as error:
        net.forward(x)
    size = int(str(error.value).split("batch size of ")[1].split()[0])
    assert 1 < size < 50 and net.forward(x[..., :size])


def test_one_image_that_is_too_large_is_told_so(gpu, net):
    leave(gpu, 2**19)
    with pytest.raises(TooLargeError, match="one image does not fit into memory; use a smaller image"):
        net.forward(np.zeros((3, 64, 64, 1), np.float32))


def test_memory_that_runs_out_on_the_way_down_says_it_too(gpu, net):
    trace = net.forward(np.zeros((3, 64, 64, 8), np.float32))
    grad = array_module(trace["relu4"]).zeros_like(trace["relu4"])
    leave(gpu, 2**16)
    for walk in (lambda: net.backward(trace, grad), lambda: net.gradients(trace, grad)):
        with pytest.raises(TooLargeError, match=r"8 images at once do not fit .* use a batch size of"):
            walk()


def test_where_batches_are_ours_to_choose_they_shrink_with_the_memory(gpu, net):
    photos, labels = levels(60, (64, 64)), np.zeros(60, int)
    scanned, right = scan(net, photos, ["relu3"]), evaluation.evaluate(net, photos, labels)
    assert scanned.settings["batch_size"] == 32
    leave(gpu, 2**25)  # 32 MiB, less than the maps of 60 photos
    few = scan(net, photos, ["relu3"])
    assert few.settings["batch_size"] == 12
    np.testing.assert_array_equal(few.layers["relu3"].top.value, scanned.layers["relu3"].top.value)
    assert evaluation.evaluate(net, photos, labels).top1 == right.top1


def test_batches_are_the_same_on_every_machine_with_enough_memory(gpu, net, monkeypatch):
    sizes = [new_scan(net, levels(4, (64, 64)), ["relu3"]).settings["batch_size"]]
    leave(gpu, 2**30)
    sizes.append(new_scan(net, levels(4, (64, 64)), ["relu3"]).settings["batch_size"])
    monkeypatch.setenv("MINIDECONV_DEVICE", "cpu")
    sizes.append(net.images_at_once((3, 64, 64), 32))
    assert sizes == [32, 32, 32]


def test_the_command_line_says_it_in_one_line(gpu, net, monkeypatch, capsys, tmp_path):
    def run(*_, **__):
        leave(gpu, 2**20)
        net.forward(np.zeros((3, 64, 64, 4), np.float32))

    monkeypatch.setattr("minideconv.demo.write_demo", run)
    assert main(["demo", "--out", str(tmp_path / "page")]) == 2
    line = "minideconv: small: 4 images at once do not fit into memory; use a batch size of 1 or less\n"
    assert capsys.readouterr().err == line


def test_numpys_memory_runs_out_in_the_same_words(monkeypatch):
    monkeypatch.setattr(Conv2d, "up", lambda *_: np.empty(2**62, np.uint8))
    with pytest.raises(TooLargeError, match="2 images at once do not fit into memory; use a batch size of 1 or less"):
        small_net().forward(np.zeros((1, 8, 8, 2), np.float32))
