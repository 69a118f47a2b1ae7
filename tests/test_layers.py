"""Every layer: its gradients, the three ways down, what it keeps and what it refuses; then whole stacks of them."""

import copy

import numpy as np
import pytest
from draw import assert_equal, check_gradient, distinct, generators, inner, scattered, stacks, whole
from hypothesis import assume, given
from hypothesis import strategies as st

from minideconv import Network
from minideconv.backend import to_device, to_numpy
from minideconv.layers import (
    LAYERS,
    RULES,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Step,
)

CASES = {  # a layer, and the shape of an input for it
    "Conv2d": (Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((1, 0), (0, 1)), groups=2), (4, 5, 4, 3)),
    "Conv2d without bias": (Conv2d(2, 3, 3, has_bias=False), (2, 4, 5, 2)),
    "ReLU": (ReLU(), (3, 4, 5, 2)),
    "ReLU of vectors": (ReLU(), (7, 3)),
    "MaxPool2d": (MaxPool2d(3, stride=2), (2, 7, 7, 2)),
    "MaxPool2d that hangs over": (MaxPool2d((3, 2), stride=2, padding=((1, 1), (0, 1)), ceil_mode=True), (2, 6, 6, 2)),
    "AvgPool2d": (AvgPool2d((3, 2), stride=2, padding=((1, 1), (0, 1)), ceil_mode=True), (2, 6, 6, 2)),
    "AvgPool2d of pixels only": (AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 6, 7, 2)),
    "GlobalAvgPool2d": (GlobalAvgPool2d(), (3, 4, 5, 2)),
    "LocalResponseNorm": (LocalResponseNorm(3, alpha=0.5, beta=0.75, k=2.0), (5, 3, 4, 2)),
    "Flatten": (Flatten(), (3, 4, 5, 2)),
    "Linear": (Linear(5, 4), (5, 3)),
    "Linear without bias": (Linear(5, 4, has_bias=False), (5, 3)),
    "Dropout": (Dropout(0.5), (3, 4, 5, 2)),
}
HAS_PARAMETERS = [case for case, (layer, _) in CASES.items() if layer.parameters]


def made(case, rng):
    """A fresh layer of `CASES` with small-integer float64 parameters, and an input without ties or kinks."""
    layer, shape = CASES[case]
    layer = copy.copy(layer)
    for key, wanted in layer.parameter_shapes().items():
        setattr(layer, key, whole(rng, wanted))
    return layer, distinct(rng, shape)


def up(layer, x, seed=None):
    """One layer's pass alone: its output, and the step that leads down again; a seed means training."""
    step = Step("layer", x, layer.padding, None if seed is None else np.random.default_rng(seed))
    step.y = layer.up(x, step)
    return step.y, step


def row(*values):
    """Numbers as one (C, 1, 1, 1) array on the device."""
    return to_device(np.array(values, dtype=np.float64).reshape(-1, 1, 1, 1))


def numbers(array):
    return to_numpy(array).ravel().tolist()


def test_every_layer_of_the_table_is_tested_here():
    assert {type(layer).__name__ for layer, _ in CASES.values()} == set(LAYERS)


# ---------------------------------------------------------------------------------------------------- the checker


@given(generators())
def test_the_checker_accepts_a_right_gradient(rng):
    x = scattered(rng, (4, 5))
    check_gradient(lambda x: x**3, lambda grad: grad * 3 * x**2, x, rng)


@pytest.mark.parametrize("seed", range(60))  # not drawn: a direction orthogonal to the gradient sees nothing
def test_the_checker_rejects_a_gradient_that_is_wrong_by_a_thousandth(seed):
    rng = np.random.default_rng(seed)
    x = scattered(rng, (4, 5))
    with pytest.raises(AssertionError, match="central differences say"):
        check_gradient(lambda x: x**3, lambda grad: 1.001 * grad * 3 * x**2, x, rng)


@given(generators(), st.integers(0, 19))
def test_the_checker_rejects_a_gradient_with_one_entry_wrong_by_five_percent(rng, entry):
    x, factor = scattered(rng, (20,)), np.ones(20)
    factor[entry] = 1.05
    with pytest.raises(AssertionError, match="central differences say"):
        check_gradient(lambda x: x**3, lambda grad: to_device(factor) * grad * 3 * x**2, x, rng)


def test_the_checker_rejects_a_gradient_of_another_shape():
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="shape"):
        check_gradient(lambda x: x, lambda grad: grad.reshape(20), scattered(rng, (4, 5)), rng)


# ---------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("case", CASES)
@given(generators())
def test_the_gradient_rule_agrees_with_central_differences(case, rng):
    layer, x = made(case, rng)
    _, step = up(layer, x, seed=1)
    check_gradient(lambda x: up(layer, x, seed=1)[0], lambda grad: layer.down(grad, step, "gradient"), x, rng)


@pytest.mark.parametrize("case", HAS_PARAMETERS)
@given(generators())
def test_the_gradients_of_weight_and_bias_agree_with_central_differences(case, rng):
    layer, x = made(case, rng)
    _, step = up(layer, x)

    def pass_with(key, value):
        other = copy.copy(layer)
        setattr(other, key, value)
        return up(other, x)[0]

    for key in layer.parameters:
        check_gradient(
            lambda value, key=key: pass_with(key, value),
            lambda grad, key=key: layer.gradients(grad, step)[key], getattr(layer, key), rng,
        )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_named_and_shaped_like_the_parameters(case):
    layer, x = made(case, np.random.default_rng(0))
    y, step = up(layer, x)
    shapes = {key: value.shape for key, value in layer.gradients(y, step).items()}
    assert shapes == layer.parameter_shapes()
    assert tuple(shapes) == tuple(layer.parameters)


# ---------------------------------------------------------------------------------------------------- the three rules


def test_the_three_rules_of_a_rectifier_by_hand():
    _, step = up(ReLU(), row(1, -1, 2, -2))
    signal = row(3, 4, -5, -6)
    assert numbers(ReLU().down(signal, step, "gradient")) == [3, 0, -5, 0]  # where the unit was active
    assert numbers(ReLU().down(signal, step, "deconvnet")) == [3, 4, 0, 0]  # where the signal is positive
    assert numbers(ReLU().down(signal, step, "guided")) == [3, 0, 0, 0]  # both


def test_a_rectifier_at_zero_is_not_active():
    _, step = up(ReLU(), row(0, 1))
    assert numbers(ReLU().down(row(5, 5), step, "gradient")) == [0, 5]
    assert numbers(ReLU().down(row(5, 5), step, "guided")) == [0, 5]


@given(generators())
def test_the_deconvnet_rule_does_not_ask_what_the_rectifier_did(rng):
    x, signal = distinct(rng, (3, 4, 4, 2)), whole(rng, (3, 4, 4, 2))
    down = [ReLU().down(signal, up(ReLU(), maps)[1], "deconvnet") for maps in (x, -x)]
    assert_equal(down[0], down[1])


def test_the_deconvnet_rule_of_a_rectifier_needs_no_maps():
    _, step = up(ReLU(), row(1, -1))
    step.drop(x=True, y=True)
    assert numbers(ReLU().down(row(-2, 7), step, "deconvnet")) == [0, 7]
    with pytest.raises(ValueError, match="the maps of layer were not kept"):
        ReLU().down(row(-2, 7), step, "gradient")


def test_a_rule_that_does_not_exist_is_refused():
    _, step = up(ReLU(), row(1))
    with pytest.raises(ValueError, match="rule 'gradcam' is unknown; use one of gradient, deconvnet, guided"):
        ReLU().down(row(1), step, "gradcam")


@pytest.mark.parametrize("case", [case for case, (layer, _) in CASES.items() if not isinstance(layer, ReLU)])
@given(generators())
def test_only_the_rectifier_and_contrast_normalisation_know_of_rules(case, rng):
    layer, x = made(case, rng)
    y, step = up(layer, x, seed=1)
    signal = scattered(rng, y.shape)
    gradient, deconvnet, guided = (layer.down(signal, step, rule) for rule in ("gradient", "deconvnet", "guided"))
    assert_equal(guided, gradient)
    assert_equal(deconvnet, signal if isinstance(layer, LocalResponseNorm) else gradient)


@pytest.mark.parametrize("case", HAS_PARAMETERS)
def test_the_bias_plays_no_part_on_the_way_down(case):
    layer, x = made(case, np.random.default_rng(0))
    y, step = up(layer, x)
    down = layer.down(y, step, "deconvnet")
    layer.bias = None
    assert_equal(layer.down(y, step, "deconvnet"), down)


# ---------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_the_dtype_is_kept_up_and_down(case, dtype):
    layer, x = made(case, np.random.default_rng(0))
    for key in layer.parameters:
        setattr(layer, key, getattr(layer, key).astype(dtype))
    y, step = up(layer, x.astype(dtype), seed=1)
    assert y.dtype == dtype
    assert {layer.down(y, step, rule).dtype for rule in RULES} == {np.dtype(dtype)}
    assert {value.dtype for value in layer.gradients(y, step).values()} <= {np.dtype(dtype)}


def everything(layer):
    """A layer's attributes, arrays copied to the CPU as bytes."""
    return {key: to_numpy(value).tobytes() if hasattr(value, "shape") else value for key, value in vars(layer).items()}


@pytest.mark.parametrize("case", CASES)
def test_a_pass_leaves_the_layer_its_input_and_its_signal_alone(case):
    rng = np.random.default_rng(0)
    layer, x = made(case, rng)
    before, x_before = everything(layer), x.copy()
    y, step = up(layer, x, seed=1)
    signal = scattered(rng, y.shape)
    signal_before = signal.copy()
    for rule in RULES:
        layer.down(signal, step, rule)
    layer.gradients(signal, step)
    assert everything(layer) == before
    assert_equal(x, x_before)
    assert_equal(signal, signal_before)


@pytest.mark.parametrize("case", CASES)
def test_output_shape_foretells_the_shape_of_the_output(case):
    layer, x = made(case, np.random.default_rng(0))
    y, step = up(layer, x)
    assert layer.output_shape(x.shape[:-1]) == y.shape[:-1]
    assert layer.down(y, step, "deconvnet").shape == x.shape


@pytest.mark.parametrize("case", CASES)
def test_a_layer_prints_as_the_call_that_made_it(case):
    layer, _ = CASES[case]
    again = eval(repr(layer), dict(LAYERS))
    assert repr(again) == repr(layer)
    assert {key: getattr(again, key) for key in layer.options} == {key: getattr(layer, key) for key in layer.options}


@pytest.mark.parametrize("case", CASES)
def test_one_image_of_a_step_leads_down_as_it_does_among_the_others(case):
    rng = np.random.default_rng(0)
    layer, x = made(case, rng)
    x = whole(rng, x.shape)
    y, step = up(layer, x, seed=1)
    signal = whole(rng, y.shape)
    for rule in RULES:
        together, alone = layer.down(signal, step, rule), layer.down(signal[..., 1:2], step.image(1), rule)
        assert_equal(alone, together[..., 1:2])


def test_a_layer_without_ways_up_or_down_says_so():
    step = Step("layer", row(1), 0)
    with pytest.raises(NotImplementedError):
        Layer().up(row(1), step)
    with pytest.raises(NotImplementedError):
        Layer().down(row(1), step, "gradient")


# ---------------------------------------------------------------------------------------------------- dropout


@given(generators(), st.floats(0, 0.99))
def test_dropout_that_is_off_changes_nothing(rng, p):
    x = whole(rng, (3, 4, 5, 2))
    y, step = up(Dropout(p), x)
    assert_equal(y, x)
    assert_equal(Dropout(p).down(y, step, "gradient"), x)


@given(generators(), st.floats(0, 0.99))
def test_dropout_that_is_on_drops_an_entry_or_scales_it(rng, p):
    x = distinct(rng, (3, 4, 5, 2))
    y, _ = up(Dropout(p), x, seed=0)
    ratio = to_numpy(y) / to_numpy(x)
    np.testing.assert_allclose(ratio[ratio != 0], 1 / (1 - p), rtol=1e-12)


def test_dropout_drops_about_as_many_as_it_says():
    y, _ = up(Dropout(0.3), to_device(np.ones((10, 10, 10, 100))), seed=0)
    assert float((y == 0).mean()) == pytest.approx(0.3, abs=0.005)


def test_the_same_seed_drops_the_same_entries_and_another_seed_others():
    x = to_device(np.ones((3, 4, 5, 2)))
    first, again, other = (to_numpy(up(Dropout(0.5), x, seed)[0]) for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


@given(generators())
def test_dropout_masks_the_way_down_as_it_masked_the_way_up(rng):
    x, signal = whole(rng, (3, 4, 5, 2)), whole(rng, (3, 4, 5, 2))
    y, step = up(Dropout(0.5), x, seed=3)
    for rule in RULES:
        assert inner(y, signal) == inner(x, Dropout(0.5).down(signal, step, rule))


# ---------------------------------------------------------------------------------------------------- what is refused

REFUSED = {
    "channels in groups": (lambda: Conv2d(3, 4, 3, groups=2), ["Conv2d: 3 -> 4 channels", "2 groups"]),
    "filters in groups": (lambda: Conv2d(4, 3, 3, groups=2), ["Conv2d: 4 -> 3 channels", "2 groups"]),
    "no groups": (lambda: Conv2d(4, 4, 3, groups=0), ["Conv2d", "groups is 0", "whole number"]),
    "kernel 0": (lambda: Conv2d(3, 4, 0), ["kernel_size is 0", "at least 1"]),
    "half a stride": (lambda: Conv2d(3, 4, 3, stride=0.5), ["stride is 0.5", "(vertical, horizontal)"]),
    "negative padding": (lambda: Conv2d(3, 4, 3, padding=-1), ["padding is -1", "negative"]),
    "four paddings": (lambda: Conv2d(3, 4, 3, padding=(1, 1, 1, 1)), ["padding is (1, 1, 1, 1)", "(top, bottom)"]),
    "pooling padding": (lambda: MaxPool2d(2, padding=2), ["MaxPool2d: padding (2, 2)", "smaller than the kernel, 2"]),
    "pooling taps": (lambda: MaxPool2d(17), ["MaxPool2d", "(17, 17)", "256 taps"]),
    "even size": (lambda: LocalResponseNorm(4), ["LocalResponseNorm: size is 4", "positive odd"]),
    "no size": (lambda: LocalResponseNorm(-1), ["LocalResponseNorm: size is -1", "at least 1"]),
    "certain dropout": (lambda: Dropout(1.0), ["Dropout: p is 1.0", "below 1"]),
    "negative dropout": (lambda: Dropout(-0.1), ["Dropout: p is -0.1", "at least 0"]),
    "dropout of NaN": (lambda: Dropout(float("nan")), ["Dropout: p is nan"]),
    "maps of another depth": (lambda: Conv2d(3, 4, 3).output_shape((4, 9, 9)), ["Conv2d", "(3, H, W)", "(4, 9, 9)"]),
    "vectors for a pool": (lambda: MaxPool2d(2).output_shape((4,)), ["MaxPool2d", "(C, H, W)", "(4,)"]),
    "maps for a matrix": (lambda: Linear(4, 2).output_shape((4, 1, 1)), ["Linear", "(4,)", "(4, 1, 1)"]),
    "vectors too long": (lambda: Linear(4, 2).output_shape((5,)), ["Linear", "(4,)", "(5,)"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_error_names_the_layer_what_came_and_what_was_expected(what):
    call, pieces = REFUSED[what]
    with pytest.raises(ValueError) as error:
        call()
    for piece in pieces:
        assert piece in str(error.value)


# ---------------------------------------------------------------------------------------------------- whole stacks


def last_maps(trace):
    return trace[list(trace.steps)[-1]]


def roughen(net, x, rng):
    """Give every weight, bias and pixel a fraction, so that ties and kinks are rare; maps keep about their size."""
    for layer in net.layers.values():
        for key in layer.parameters:
            value = getattr(layer, key)
            inputs = int(np.prod(value.shape[1:]))
            setattr(layer, key, (value + 0.3 * scattered(rng, value.shape)) / inputs**0.5)
    return x + 0.3 * scattered(rng, x.shape)


def pattern(trace):
    """Which linear piece of the network a pass went through: every switch, and the sign of every rectifier."""
    masks = [trace[name] > 0 for name in trace.steps if name.startswith("relu")]
    return [to_numpy(array).tobytes() for array in (*trace.switches.values(), *masks)]


def within_one_piece(run, base):
    """`run` -> last maps, giving the example up where it leaves the linear piece of the trace `base`."""

    def last(value):
        trace = run(value)
        assume(pattern(trace) == pattern(base))
        return last_maps(trace)

    return last


def training_pass(net, x):
    return net.forward(x, rng=np.random.default_rng(5))


@given(stacks(), generators())
def test_the_gradient_of_a_stack_at_its_input_agrees_with_central_differences(stack, rng):
    net, x = stack
    x = roughen(net, x, rng)
    trace = training_pass(net, x)
    run = within_one_piece(lambda x: training_pass(net, x), trace)
    check_gradient(run, lambda grad: net.backward(trace, grad), x, rng, step=1e-6, tolerance=1e-6)


@given(stacks(), generators())
def test_the_gradients_of_all_parameters_of_a_stack_agree_with_central_differences(stack, rng):
    net, x = stack
    x = roughen(net, x, rng)
    trace = training_pass(net, x)
    for name, value in net.parameters().items():
        layer, key = net.layers[name.split(".")[0]], name.split(".")[1]

        def run(value, layer=layer, key=key):
            held = getattr(layer, key)
            setattr(layer, key, value)
            trace = training_pass(net, x)
            setattr(layer, key, held)
            return trace

        check_gradient(
            within_one_piece(run, trace),
            lambda grad, name=name: net.gradients(trace, grad)[name], value, rng, step=1e-6, tolerance=1e-6,
        )  # fmt: skip


@given(stacks(lrn=False), generators())
def test_a_stack_is_the_sum_of_what_its_gradients_say_exactly(stack, rng):
    # On its linear piece net(x) = J x + Σ J_b b, so <g, net(x)> = <Jᵀ g, x> + Σ <J_bᵀ g, b>; and so it is from each
    # weight upwards. All in integers: any wrong entry shows.
    net, x = stack
    trace = net.forward(x)
    grad = whole(rng, last_maps(trace).shape)
    total, shares = inner(last_maps(trace), grad), {}
    for name, found in (net.gradients(trace, grad) if net.parameters() else {}).items():
        shares[name] = inner(found, net.parameters()[name])
    biases = [name for name in shares if name.endswith("bias")]
    assert total == inner(x, net.backward(trace, grad)) + sum(shares[name] for name in biases)
    order = list(net.layers)
    for name in (name for name in shares if name.endswith("weight")):
        above = [b for b in biases if order.index(b.split(".")[0]) >= order.index(name.split(".")[0])]
        assert total == shares[name] + sum(shares[b] for b in above)


@given(stacks(lrn=False, relu=False), generators())
def test_without_rectifier_and_normalisation_all_rules_are_one(stack, rng):
    net, x = stack
    trace = net.forward(x)
    signal = whole(rng, last_maps(trace).shape)
    gradient = net.backward(trace, signal, rule="gradient")
    assert_equal(net.backward(trace, signal, rule="deconvnet"), gradient)
    assert_equal(net.backward(trace, signal, rule="guided"), gradient)


@given(stacks(), generators(), st.sampled_from(RULES))
def test_two_passes_give_the_same_bits(stack, rng, rule):
    net, x = stack
    traces = [training_pass(net, x) for _ in "12"]
    for name in net.layers:
        assert_equal(traces[0][name], traces[1][name])
    signal = scattered(rng, last_maps(traces[0]).shape)
    assert_equal(*(net.backward(trace, signal, rule=rule) for trace in traces))


@given(stacks(), generators())
def test_passes_leave_the_layers_of_a_stack_alone(stack, rng):
    net, x = stack
    before = [everything(layer) for layer in net.layers.values()]
    trace = training_pass(net, x)
    for rule in RULES:
        net.backward(trace, last_maps(trace), rule=rule)
    assert [everything(layer) for layer in net.layers.values()] == before


def test_a_net_without_parameters_has_no_gradients():
    net, x = Network([("relu1", ReLU())]), row(1, -1)
    assert net.gradients(net.forward(x), x) == {}
