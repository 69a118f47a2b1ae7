"""Walking up records a trace; walking down reads it. Bad numbers are refused at the door."""

import numpy as np
import pytest
from draw import assert_equal, stacks
from hypothesis import given

from minideconv import Network, models, to_device, to_numpy
from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minideconv.network import with_random_weights


def small_net(**options):
    return Network([("conv1", Conv2d(1, 2, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
                    ("flatten", Flatten()), ("fc2", Linear(18, 4))], input_shape=(1, 6, 6), **options)  # fmt: skip


def picture(images=2):
    return to_device(np.random.default_rng(0).standard_normal((1, 6, 6, images), dtype=np.float32))


def test_the_trace_holds_every_map_by_name():
    net, x = small_net(), picture()
    trace = net.forward(x)
    assert [(name, trace[name].shape) for name in net.layers] == [
        ("conv1", (2, 6, 6, 2)), ("relu1", (2, 6, 6, 2)), ("pool1", (2, 3, 3, 2)), ("flatten", (18, 2)), ("fc2", (4, 2))
    ]  # fmt: skip
    assert trace.input is x and list(trace.switches) == ["pool1"] and "pool1" in trace and "conv2" not in trace
    assert_equal(trace["relu1"], to_numpy(trace["conv1"]).clip(0))


@given(stacks())
def test_output_shapes_are_those_of_the_maps(stack):
    net, x = stack
    trace = net.forward(x)
    assert net.output_shapes() == {name: trace[name].shape[:-1] for name in net.layers}


@given(stacks())
def test_one_image_of_a_trace_is_the_trace_of_one_image(stack):
    net, x = stack
    one, alone = net.forward(x).image(0), net.forward(x[..., :1])
    for name in net.layers:
        np.testing.assert_allclose(to_numpy(one[name]), to_numpy(alone[name]), rtol=1e-9, atol=1e-9)
    for name, switches in one.switches.items():
        assert_equal(switches, alone.switches[name])


def test_forward_stops_where_it_is_told_and_keeps_what_it_is_told():
    net, x = small_net(), picture()
    trace = net.forward(x, until="pool1", keep=["relu1"])
    assert list(trace.steps) == ["conv1", "relu1", "pool1"]
    assert trace["relu1"].shape == (2, 6, 6, 2) and trace["pool1"].shape == (2, 3, 3, 2) and trace.switches
    with pytest.raises(ValueError, match="the maps of conv1 were not kept in the trace; run forward without keep"):
        trace["conv1"]


def test_weights_are_drawn_from_the_seed():
    one, same, other = small_net(seed=1), small_net(seed=1), small_net(seed=2)
    for name, value in one.parameters().items():
        assert_equal(value, same.parameters()[name])
        assert name.endswith("bias") or not np.array_equal(to_numpy(value), to_numpy(other.parameters()[name]))


def test_probabilities_are_a_softmax_of_the_last_layer():
    net, x = small_net(), picture(3)
    p = to_numpy(net.probabilities(x))
    logits = to_numpy(net.forward(x)["fc2"]).astype(np.float64)
    np.testing.assert_allclose(p, np.exp(logits) / np.exp(logits).sum(axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match="alexnet has no classifier: it ends with the maps of pool1"):
        models.build("alexnet", until="pool1").probabilities(to_device(np.zeros((3, 224, 224, 1), np.float32)))


def test_printing_a_net_gives_its_table():
    lines = repr(small_net()).splitlines()
    assert lines[0] == "network: input 1 × 6 × 6, 96 parameters"
    assert lines[1].split() == ["layer", "operation", "output", "sees", "parameters"]
    assert [line.split()[0] for line in lines[2:]] == ["conv1", "relu1", "pool1", "flatten", "fc2"]
    assert "conv 2 of 3×3 / 1, pad 1" in lines[2] and "2 × 6 × 6" in lines[2] and lines[2].endswith("20")
    assert "all" in lines[6] and lines[6].endswith("76")
    assert "-" in repr(Network([("conv1", Conv2d(1, 2, 3))])).splitlines()[2]  # no input_shape, no output shape


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 6, 6, 1), np.float32), r"layer conv1: Conv2d expects maps of shape \(1, H, W\)"),
        (np.zeros((1, 6, 6), np.float32), r"x is float32 \(1, 6, 6\); expected float \(C, H, W, N\)"),
        (np.zeros((1, 6, 6, 1), np.uint8), r"x is uint8 \(1, 6, 6, 1\); expected float"),
        (np.zeros((1, 6, 6, 0), np.float32), r"x is empty, \(1, 6, 6, 0\); give at least one image"),
        ([[1.0]], "x is list; expected float"),
        (np.full((1, 6, 6, 1), np.nan, np.float32), "the input of conv1 holds NaN or infinity"),
        (np.zeros((1, 8, 8, 1), np.float32), r"layer fc2: linear: x has shape \(32, 1\)"),
    ],
)
def test_forward_refuses_what_does_not_fit(x, message):
    with pytest.raises(ValueError, match=message):
        small_net().forward(to_device(x) if isinstance(x, np.ndarray) else x)


def test_a_weight_that_is_not_finite_is_named():
    net = small_net()
    net.layers["conv1"].weight[1, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match=r"conv1\.weight holds NaN or infinity"):
        net.forward(picture())
    net = small_net()
    net.layers["conv1"].bias[0] = -np.inf  # the ReLU would make a harmless zero of it
    with pytest.raises(ValueError, match=r"conv1\.bias holds NaN or infinity"):
        net.forward(picture(), until="relu1")
    net = small_net()
    net.layers["fc2"].weight[:] = 1e36
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="the maps of fc2 overflow"):
        net.forward(1e4 * abs(picture()))


def test_names_and_signals_are_checked():
    net, x = small_net(), picture()
    with pytest.raises(ValueError, match="network has no layer 'pool9'; it has conv1, relu1, pool1, flatten, fc2"):
        net.forward(x, until="pool9")
    with pytest.raises(ValueError, match="network has no layer 'relu9'"):
        net.forward(x, keep=["relu9"])
    trace = net.forward(x)
    with pytest.raises(ValueError, match=r"gradients: grad has shape \(1, 1\), but fc2 has \(4, 2\)"):
        net.gradients(trace, to_device(np.ones((1, 1), np.float32)))
    with pytest.raises(ValueError, match=r"the signal has shape \(2, 3, 3, 1\), but pool1 has \(2, 3, 3, 2\)"):
        net.backward(trace, trace["pool1"][..., :1], "pool1")
    with pytest.raises(ValueError, match="a name of its own"):
        Network([("a", ReLU()), ("a", ReLU())])
    with pytest.raises(ValueError, match="does not say how photos are prepared"):
        net.preprocess(np.zeros((1, 6, 6, 3), np.uint8))


def test_random_weights_are_not_those_that_training_starts_from():
    net = models.build("zfnet28")
    control = with_random_weights(net)
    weights = [name for name in net.parameters() if name.endswith("weight")]
    assert weights and all((net.parameters()[name] != control.parameters()[name]).all() for name in weights)
    assert list(control.layers) == list(net.layers)
