"""ONNX's own backend node cases for convolution, pooling and LRN go through `functional`.

ONNX arrays are (N, C, H, W) and ours (C, H, W, N). Its argmax indices count through the whole (N, C, H, W) array, our
switches within one window. The cases come with the onnx package, which generates them from fixed seeds.
"""

import importlib

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import to_device, to_numpy

onnx = pytest.importorskip("onnx")

MODULES = ("conv", "convtranspose", "maxpool", "maxunpool", "averagepool", "globalaveragepool", "lrn")
CASES = (  # all must be there
    "test_averagepool_2d_ceil",
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    "test_averagepool_2d_default",
    "test_averagepool_2d_pads",
    "test_averagepool_2d_pads_count_include_pad",
    "test_averagepool_2d_precomputed_pads",
    "test_averagepool_2d_precomputed_pads_count_include_pad",
    "test_averagepool_2d_precomputed_same_upper",
    "test_averagepool_2d_precomputed_strides",
    "test_averagepool_2d_same_lower",
    "test_averagepool_2d_same_upper",
    "test_averagepool_2d_strides",
    "test_basic_conv_with_padding",
    "test_basic_conv_without_padding",
    "test_conv_with_autopad_same",
    "test_conv_with_strides_and_asymmetric_padding",
    "test_conv_with_strides_no_padding",
    "test_conv_with_strides_padding",
    "test_convtranspose",
    "test_convtranspose_autopad_same",
    "test_convtranspose_group_2",
    "test_convtranspose_group_2_image_3",
    "test_convtranspose_kernel_shape",
    "test_convtranspose_output_shape",
    "test_convtranspose_pad",
    "test_convtranspose_pads",
    "test_globalaveragepool",
    "test_globalaveragepool_precomputed",
    "test_lrn",
    "test_lrn_default",
    "test_maxpool_2d_ceil",
    "test_maxpool_2d_ceil_output_size_reduce_by_one",
    "test_maxpool_2d_default",
    "test_maxpool_2d_pads",
    "test_maxpool_2d_precomputed_pads",
    "test_maxpool_2d_precomputed_same_upper",
    "test_maxpool_2d_precomputed_strides",
    "test_maxpool_2d_same_lower",
    "test_maxpool_2d_same_upper",
    "test_maxpool_2d_strides",
    "test_maxpool_with_argmax_2d_precomputed_pads",
    "test_maxpool_with_argmax_2d_precomputed_strides",
    "test_maxunpool_export_with_output_shape",
    "test_maxunpool_export_without_output_shape",
)
ROUGH = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 3e-4}  # its numbers have four decimals
LEFT_OUT = {  # with the reason; `reason` finds the same
    "test_averagepool_1d_default": "not 2-D",
    "test_averagepool_2d_dilations": "dilation",
    "test_averagepool_3d_default": "not 2-D",
    "test_averagepool_3d_dilations_small": "not 2-D",
    "test_convtranspose_1d": "not 2-D",
    "test_convtranspose_3d": "not 2-D",
    "test_convtranspose_dilations": "dilation",
    "test_maxpool_1d_default": "not 2-D",
    "test_maxpool_2d_dilations": "dilation",
    "test_maxpool_2d_uint8": "not float32",
    "test_maxpool_3d_default": "not 2-D",
    "test_maxpool_3d_dilations": "not 2-D",
    "test_maxpool_3d_dilations_use_ref_impl": "not 2-D",
    "test_maxpool_3d_dilations_use_ref_impl_large": "not 2-D",
}


def generate_cases():
    """{name: (node, inputs, outputs)}: runs the generators of the onnx package with an `expect` that only records."""
    cases, state = {}, np.random.get_state()

    def record(node, inputs, outputs, name, **_):
        cases[name] = (node, inputs, outputs)

    for name in MODULES:
        module = importlib.import_module(f"onnx.backend.test.case.node.{name}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "expect", record)
            for generate in generators(module):
                np.random.seed(0)
                generate()
    np.random.set_state(state)
    return cases


def generators(module):
    """Every function whose name starts with "export" in the classes that `module` defines."""
    classes = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    return [getattr(group, name) for group in classes for name in vars(group) if name.startswith("export")]


FOUND = generate_cases()


# ------------------------------------------------------------------------------------- from ONNX's words to ours


def attributes_of(node):
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def ours(array):
    """(N, C, H, W) -> (C, H, W, N), on the device."""
    return to_device(np.ascontiguousarray(array.transpose(1, 2, 3, 0)))


def theirs(array):
    """(C, H, W, N) -> (N, C, H, W)."""
    return to_numpy(array).transpose(3, 0, 1, 2)


def padding_of(attributes, total):
    """((top, bottom), (left, right)) from pads, or shared out by auto_pad from a `total` for each axis."""
    auto_pad = attributes.get("auto_pad", b"NOTSET")
    if auto_pad == b"NOTSET":
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        return (top, bottom), (left, right)
    less_before = {b"SAME_UPPER": True, b"SAME_LOWER": False}[auto_pad]
    halves = [(pad // 2, pad - pad // 2) for pad in (max(pad, 0) for pad in total)]
    return tuple(half if less_before else half[::-1] for half in halves)


def padding_to_cover(attributes, size, kernel, stride):
    """Padding of Conv and MaxPool; with auto_pad there is a window for every `stride` pixels begun."""
    total = [(-(-s // step) - 1) * step + k - s for s, k, step in zip(size, kernel, stride)]
    return padding_of(attributes, total)


def strides_of(attributes):
    return tuple(attributes.get("strides", (1, 1)))


# ----------------------------------------------------------------------------------------------- the five operations


def run_conv(attributes, x, weight, bias=None):
    stride = strides_of(attributes)
    padding = padding_to_cover(attributes, x.shape[2:], weight.shape[2:], stride)
    bias = None if bias is None else to_device(bias)
    groups = attributes.get("group", 1)
    return [theirs(F.conv2d(ours(x), to_device(weight), bias, stride=stride, padding=padding, groups=groups))]


def run_convtranspose(attributes, y, weight):
    """Size, or else padding, follows from the other; pixels beyond the last window (output_padding) stay zero."""
    stride, groups = strides_of(attributes), attributes.get("group", 1)
    extra = attributes.get("output_padding", (0, 0))
    full = [step * (s - 1) + more + k for s, k, step, more in zip(y.shape[2:], weight.shape[2:], stride, extra)]
    if "output_shape" in attributes or "auto_pad" in attributes:
        size = attributes.get("output_shape", [s * step for s, step in zip(y.shape[2:], stride)])
        padding = padding_of(attributes, [f - s for f, s in zip(full, size)])
    else:
        padding = padding_of(attributes, None)
        size = [f - sum(sides) for f, sides in zip(full, padding)]
    x_shape = (weight.shape[1] * groups, *size, len(y))
    x = F.conv_transpose2d(ours(y), to_device(weight), x_shape, stride=stride, padding=padding, groups=groups)
    return [theirs(x)]


def run_maxpool(attributes, x):
    """The maxima, and ONNX's argmax indices worked out from our switches."""
    kernel, stride = tuple(attributes["kernel_shape"]), strides_of(attributes)
    padding = padding_to_cover(attributes, x.shape[2:], kernel, stride)
    ceil_mode = bool(attributes.get("ceil_mode", 0))
    y, switches = F.max_pool2d(ours(x), kernel, stride=stride, padding=padding, ceil_mode=ceil_mode)
    down_columns = bool(attributes.get("storage_order", 0))
    return [theirs(y), indices_from(theirs(switches), x.shape, kernel, stride, padding, down_columns)]


def run_maxunpool(attributes, y, indices, output_shape=None):
    """The indices count in the smallest array that the pool can come from, even where a larger one is asked for."""
    kernel, stride = tuple(attributes["kernel_shape"]), strides_of(attributes)
    padding = padding_of(attributes, None)
    size = [step * (s - 1) + k - sum(p) for s, k, step, p in zip(y.shape[2:], kernel, stride, padding)]
    switches = switches_from(indices, (*y.shape[:2], *size), kernel, stride, padding)
    count, channels, height, width = (*y.shape[:2], *size) if output_shape is None else output_shape
    x_shape = (int(channels), int(height), int(width), int(count))
    return [theirs(F.max_unpool2d(ours(y), ours(switches), x_shape, kernel, stride=stride, padding=padding))]


def run_averagepool(attributes, x):
    kernel, stride = tuple(attributes["kernel_shape"]), strides_of(attributes)
    padding = padding_to_cover(attributes, x.shape[2:], kernel, stride)
    counting = {key: bool(attributes.get(key, 0)) for key in ("ceil_mode", "count_include_pad")}
    return [theirs(F.avg_pool2d(ours(x), kernel, stride=stride, padding=padding, **counting)[0])]


def run_globalaveragepool(attributes, x):
    return [theirs(F.global_avg_pool2d(ours(x)))]


def run_lrn(attributes, x):
    alpha, beta, k = (attributes.get(name, usual) for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return [theirs(F.local_response_norm(ours(x), attributes["size"], alpha, beta, k))]


RUN = {
    "Conv": run_conv,
    "ConvTranspose": run_convtranspose,
    "MaxPool": run_maxpool,
    "MaxUnpool": run_maxunpool,
    "AveragePool": run_averagepool,
    "GlobalAveragePool": run_globalaveragepool,
    "LRN": run_lrn,
}


def first_pixels(shape, stride, padding):
    """Row and column where each window of (…, OH, OW) maps starts, as arrays (OH, 1) and (1, OW)."""
    (top, _), (left, _) = padding
    return np.arange(shape[2])[:, None] * stride[0] - top, np.arange(shape[3]) * stride[1] - left


def indices_from(switches, x_shape, kernel, stride, padding, down_columns):
    """Our switches (N, C, OH, OW) as ONNX's indices into flat (N, C, H, W), whose planes may be column major."""
    count, channels, height, width = x_shape
    tap_row, tap_column = np.divmod(switches.astype(np.int64), kernel[1])
    first_row, first_column = first_pixels(switches.shape, stride, padding)
    row, column = first_row + tap_row, first_column + tap_column
    plane = np.arange(count * channels).reshape(count, channels, 1, 1)
    return plane * height * width + (column * height + row if down_columns else row * width + column)


def switches_from(indices, x_shape, kernel, stride, padding):
    """The way back, for indices that go along rows."""
    row, column = np.divmod(indices % (x_shape[2] * x_shape[3]), x_shape[3])
    first_row, first_column = first_pixels(indices.shape, stride, padding)
    return ((row - first_row) * kernel[1] + column - first_column).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("name", CASES)
def test_case_of_onnx(name):
    node, inputs, outputs = FOUND[name]
    results = RUN[node.op_type](attributes_of(node), *inputs)
    for result, expected in zip(results, outputs):  # MaxPool's indices only where the case has them
        assert result.shape == expected.shape
        assert result.dtype == expected.dtype
        if expected.dtype == np.int64:
            assert (result == expected).all()
        else:
            assert abs(result - expected).max() <= ROUGH.get(name, 1e-5) * abs(expected).max()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("test_maxpool")])
def test_indices_become_the_switches_they_were_made_of(name):
    node, (x,), _ = FOUND[name]
    attributes = {**attributes_of(node), "storage_order": 0}
    y, indices = run_maxpool(attributes, x)
    kernel, stride = tuple(attributes["kernel_shape"]), strides_of(attributes)
    padding = padding_to_cover(attributes, x.shape[2:], kernel, stride)
    switches = switches_from(indices, x.shape, kernel, stride, padding)
    assert (indices == indices_from(switches, x.shape, kernel, stride, padding, False)).all()
    assert (x.ravel()[indices] == y).all()


def test_no_case_is_left_out_without_a_reason():
    assert not set(CASES) & set(LEFT_OUT)
    for name, why in LEFT_OUT.items():
        if name in FOUND:
            node, inputs, _ = FOUND[name]
            assert reason(node, inputs) == why
    for name in CASES:
        node, inputs, _ = FOUND[name]
        assert reason(node, inputs) is None


def reason(node, inputs):
    """Why a case cannot go through `functional`, or None."""
    if inputs[0].ndim != 4:
        return "not 2-D"
    if inputs[0].dtype != np.float32:
        return "not float32"
    return "dilation" if max(attributes_of(node).get("dilations", [1])) > 1 else None
