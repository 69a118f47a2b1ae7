"""A net as an ONNX file: one node a layer, under the layer's name, and the table that says which.

Preprocessing, class names and where the weights come from go into the file's metadata; a softmax that was taken off
when the net came in is put back.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ..backend import to_numpy
from ..files import write_whole
from ..layers import Flatten, Linear
from ..network import Network
from ..weights import describe
from .onnx_graph import METADATA, imported

OPSET = 13
TOO_LARGE = 2**31 - 2**20  # bytes: protobuf ends there


def save_onnx(net: Network, path: Path) -> None:
    """Write a net as an ONNX file with any number of images, checked by onnx.

    Raises:
        ValueError: if onnx is not installed, the weights exceed 2 GB, or the path cannot be written.
    """
    onnx = imported()
    parameters = {n: np.ascontiguousarray(to_numpy(value), np.float32) for n, value in net.parameters().items()}
    if sum(array.nbytes for array in parameters.values()) > TOO_LARGE:
        raise ValueError(f"{net.name} has more than 2 GB of weights, too many for one ONNX file; use .safetensors")
    nodes, constants, value = [], dict(parameters), "input"
    shape, shapes = net.input_shape, net.output_shapes() if net.input_shape else {}
    for name, layer in net.layers.items():
        operator, extra, attributes = OPERATORS[type(layer).__name__](layer)
        if attributes.get("ceil_mode") and shape:
            attributes.update(_rounding(name, layer, shape))
        shape = shapes.get(name)
        constants.update({f"{name}.{key}": array for key, array in extra.items()})
        inputs = [value, *(f"{name}.{key}" for key in (*layer.parameters, *extra))]
        value = f"{name}.output"
        nodes.append(onnx.helper.make_node(operator, inputs, [value], name=name, **attributes))
    if net.softmax:
        nodes.append(onnx.helper.make_node("Softmax", [value], ["probabilities"], name="softmax", axis=1))
        value = "probabilities"
    model = _model(onnx, nodes, constants, value, net)
    onnx.checker.check_model(model)  # full_check would infer sizes, and misses the ceil rule that onnxruntime keeps
    with write_whole(path) as file:
        file.write(model.SerializeToString())


def _model(onnx, nodes, constants, output, net):
    """The nodes and arrays as a ModelProto, with the net's description as metadata."""
    number = onnx.TensorProto.FLOAT
    flat = any(isinstance(layer, (Flatten, Linear)) for layer in net.layers.values())
    shape = net.input_shape or _open_shape(net)
    images = onnx.helper.make_tensor_value_info("input", number, ["N", *shape])
    maps = onnx.helper.make_tensor_value_info(output, number, ["N", *([None] if flat else [None] * 3)])
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(nodes, net.name, [images], [maps], arrays)
    model = onnx.helper.make_model(graph, producer_name="minideconv", ir_version=8,
                                   opset_imports=[onnx.helper.make_opsetid("", OPSET)])  # fmt: skip
    about = {**describe(net), "layers": list(net.layers)}
    onnx.helper.set_model_props(model, {METADATA: json.dumps(about, ensure_ascii=False)})
    return model


def _open_shape(net):
    """The input of a net that does not say its size: channels of the first convolution, any rows and columns."""
    for layer in net.layers.values():
        if layer.parameters:
            first = getattr(layer, "in_channels", None)
            return [first, "H", "W"] if first else [layer.in_features]
    return ["C", "H", "W"]


def _window(layer) -> dict:
    (top, bottom), (left, right) = layer.padding
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": [top, left, bottom, right]}


def _rounding(name, layer, shape) -> dict:
    """Attributes of a pool that rounds up, for maps of `shape`.

    Older runtimes do not drop a last window that starts beyond the map. Where one is dropped, padding takes its place.
    """
    sizes, out = shape[1:], layer.output_shape(shape)[1:]
    axes = list(zip(sizes, layer.kernel_size, layer.stride, layer.padding, out))
    if all(count == math.ceil((size + sum(sides) - kernel) / step) + 1 for size, kernel, step, sides, count in axes):
        return {}
    ends = [
        max((count - 1) * step + kernel - size - before, after) for size, kernel, step, (before, after), count in axes
    ]
    if ends != [after for _, after in layer.padding] and getattr(layer, "count_include_pad", False):
        raise ValueError(f"{name} cannot be written as ONNX: its last windows hang over and its padding counts")
    return {"pads": [before for before, _ in layer.padding] + ends, "ceil_mode": 0}


def _max_pool(layer):
    return "MaxPool", {}, {**_window(layer), "ceil_mode": int(layer.ceil_mode)}


def _average_pool(layer):
    return "AveragePool", {}, {**_window(layer), "ceil_mode": int(layer.ceil_mode),
                               "count_include_pad": int(layer.count_include_pad)}  # fmt: skip


def _response_norm(layer):
    return "LRN", {}, {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}


OPERATORS = {  # layer -> operator, arrays it reads beside its parameters, attributes
    "Conv2d": lambda layer: ("Conv", {}, {**_window(layer), "group": layer.groups}),
    "ReLU": lambda layer: ("Relu", {}, {}),
    "MaxPool2d": _max_pool,
    "AvgPool2d": _average_pool,
    "GlobalAvgPool2d": lambda layer: ("GlobalAveragePool", {}, {}),
    "LocalResponseNorm": _response_norm,
    "Flatten": lambda layer: ("Flatten", {}, {"axis": 1}),
    "Linear": lambda layer: ("Gemm", {}, {"transB": 1}),
    "Dropout": lambda layer: ("Dropout", {"ratio": np.float32(layer.p)}, {}),
}
