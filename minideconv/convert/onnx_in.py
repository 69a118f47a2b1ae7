"""A chain of ONNX nodes as layers: one small function an operator, and the table that finds it.

A chain gets longer from below: each function reads one node and adds a layer to the `Stack`, or changes the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..layers import (
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
)
from .folding import fold_batch_norm
from .onnx_graph import Graph, Node, NodeError

WIDEST = 1024  # pixels of a kernel, stride or padding; the widest published kernel is 11


class Stack:
    """The layers read so far.

    Attributes:
        layers: without names;  origins: the node each comes from.
        shape: (C, H, W) or (D,) of one image's maps after them, None where the file leaves the size open.
        flat: whether these are vectors;  softmax: whether a softmax follows the last layer.
        last: the last node that was read.
    """

    def __init__(self, graph: Graph):
        self.layers: list[Layer] = []
        self.origins: list[str] = []
        self.flat, self.softmax, self.batch, self.opset = len(graph.input_shape) == 1, False, graph.batch, graph.opset
        self.shape = None if None in graph.input_shape else graph.input_shape
        self.last = None

    def add(self, layer: Layer, node: Node) -> None:
        self.shape = layer.output_shape(self.shape) if self.shape else None
        self.layers.append(layer)
        self.origins.append(node.name)


def read_layers(graph: Graph) -> Stack:
    """The layers of a chain, with their weights, as float32 where the file has other numbers.

    Raises:
        ValueError: naming the node that cannot be one of our layers, and why.
    """
    stack = Stack(graph)
    for node in graph.nodes:
        if stack.softmax:
            raise node.refused("it follows a softmax; only the last node can be one")
        if node.operator not in OPERATORS:
            raise node.refused(f"there is no layer for it; known are {', '.join(OPERATORS)}")
        try:
            OPERATORS[node.operator](node, stack)
        except NodeError:
            raise
        except ValueError as error:
            raise node.refused(str(error)) from None
        stack.last = node
    if not stack.layers:
        raise ValueError("the graph has no layers")
    for layer in stack.layers:
        for key in layer.parameters:
            setattr(layer, key, np.asarray(getattr(layer, key), np.float32))
    return stack


def convolution(node: Node, stack: Stack) -> None:
    weight, bias = node.constant(1), node.constant(2)
    if weight is None or weight.ndim != 4 or stack.flat:
        raise node.refused("only convolutions over rows and columns are known")
    groups, kernel = node.attribute("group", 1), weight.shape[2:]
    options = _window(node, stack, kernel)
    if groups < 1 or len(weight) % groups:
        raise node.refused(f"{len(weight)} filters cannot be split into {groups} groups")
    layer = Conv2d(weight.shape[1] * groups, len(weight), kernel, groups=groups, has_bias=bias is not None, **options)
    _fill(layer, weight, bias)
    stack.add(layer, node)


def max_pool(node: Node, stack: Stack) -> None:
    stack.add(MaxPool2d(_kernel(node), **_window(node, stack, _kernel(node)), ceil_mode=_flag(node, "ceil_mode")), node)


def average_pool(node: Node, stack: Stack) -> None:
    layer = AvgPool2d(
        _kernel(node), **_window(node, stack, _kernel(node)), ceil_mode=_flag(node, "ceil_mode"),
        count_include_pad=_flag(node, "count_include_pad"),
    )  # fmt: skip
    stack.add(layer, node)


def global_average_pool(node: Node, stack: Stack) -> None:
    stack.add(GlobalAvgPool2d(), node)


def relu(node: Node, stack: Stack) -> None:
    stack.add(ReLU(), node)


def response_norm(node: Node, stack: Stack) -> None:
    alpha, beta, k = (node.attribute(name, usual) for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    stack.add(LocalResponseNorm(node.attribute("size"), alpha=alpha, beta=beta, k=k), node)


def gemm(node: Node, stack: Stack) -> None:
    weight, bias = node.constant(1), node.constant(2)
    if node.attribute("transA", 0) or not stack.flat or weight is None or weight.ndim != 2:
        raise node.refused("only W x + b on flattened maps is known")
    weight = _times(weight if node.attribute("transB", 0) else weight.T, node.attribute("alpha", 1.0))
    if bias is not None:
        bias = _times(_per_output(node, bias, len(weight)), node.attribute("beta", 1.0))
    _add_linear(node, stack, weight, bias)


def matrix_product(node: Node, stack: Stack) -> None:
    weight = node.constant(1)
    if weight is None or weight.ndim != 2 or not stack.flat:
        raise node.refused("only W x on flattened maps is known")
    _add_linear(node, stack, weight.T, None)


def addition(node: Node, stack: Stack) -> None:
    """The bias of the matrix product before it."""
    if stack.last is None or stack.last.operator != "MatMul":
        raise node.refused("only a bias directly after MatMul can be added; a net is a chain here")
    layer, bias = stack.layers[-1], node.constant(1 if node.inputs[0] in stack.last.outputs else 0)
    layer.bias, layer.has_bias = _per_output(node, bias, layer.out_features), True


def batch_norm(node: Node, stack: Stack) -> None:
    """Folded into the layer before it."""
    if stack.last is None or stack.last.operator not in ("Conv", "Gemm", "MatMul", "Add"):
        raise node.refused("it can only be folded into a convolution or matrix product directly before it")
    if node.attribute("training_mode", 0) or node.attribute("spatial", 1) != 1:
        raise node.refused("it is in training mode, or not one number a channel; export the net for inference")
    numbers = [node.constant(place) for place in range(1, 5)]
    fold_batch_norm(stack.layers[-1], *numbers, node.attribute("epsilon", 1e-5))
    stack.origins[-1] += f" + {node.name}"


def flatten(node: Node, stack: Stack) -> None:
    if node.attribute("axis", 1) != 1:
        raise node.refused("only axis 1, every image for itself, is known")
    _add_flatten(node, stack)


def reshape(node: Node, stack: Stack) -> None:
    target = node.constant(1)
    batch, size = target.tolist() if target is not None and target.shape == (2,) else (None, None)
    whole = math.prod(stack.shape) if stack.shape else None
    if batch not in (0, -1, stack.batch) or (size != -1 and size != (whole or size)) or node.attribute("allowzero", 0):
        raise node.refused("it must flatten every image for itself, to (N, C·H·W)")
    _add_flatten(node, stack)


def dropout(node: Node, stack: Stack) -> None:
    training = node.constant(2)
    if training is not None and training.any():
        raise node.refused("it is in training mode; export the net for inference")
    ratio = node.attribute("ratio", 0.5) if stack.opset < 12 else node.constant(1)
    ratio = 0.5 if ratio is None else float(str(np.float32(ratio)))
    stack.add(Dropout(ratio), node)


def softmax(node: Node, stack: Stack) -> None:
    """Recorded, not a layer: the last layer gives logits."""
    axis = node.attribute("axis", 1 if stack.opset < 13 else -1)
    pixels = stack.shape[1:] if stack.shape and not stack.flat else (1, 1) if stack.flat else (None, None)
    if axis not in ((1, -1) if stack.flat else (1,)) or (stack.opset < 13 and pixels != (1, 1)):
        raise node.refused("it is not over the channels; only a softmax over the classes is known")
    stack.softmax = True


def nothing(node: Node, stack: Stack) -> None:
    """An operator that changes nothing."""


OPERATORS: dict[str, Callable[[Node, Stack], None]] = {
    "Conv": convolution,
    "Relu": relu,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "LRN": response_norm,
    "BatchNormalization": batch_norm,
    "Flatten": flatten,
    "Reshape": reshape,
    "Gemm": gemm,
    "MatMul": matrix_product,
    "Add": addition,
    "Dropout": dropout,
    "Softmax": softmax,
    "Identity": nothing,
}


# ------------------------------------------------------------------------------------------- what the functions share


def _window(node: Node, stack: Stack, kernel) -> dict:
    """Stride and padding of a convolution or pool; `auto_pad` becomes the padding it means at this size of maps."""
    stride = tuple(node.attribute("strides", (1, 1)))
    pads, dilations = node.attribute("pads", (0, 0, 0, 0)), node.attribute("dilations", (1, 1))
    if len(kernel) != 2 or len(stride) != 2 or len(pads) != 4:
        raise node.refused("only windows of rows and columns are known")
    if any(step != 1 for step in dilations):
        raise node.refused(f"it is dilated by {tuple(dilations)}; only contiguous windows are known")
    if max(*kernel, *stride, *pads) > WIDEST:
        raise node.refused(f"its kernel {tuple(kernel)}, stride {stride} or pads {tuple(pads)} exceeds {WIDEST} pixels")
    top, left, bottom, right = pads
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if stack.shape is None or stack.flat:
            raise node.refused(f"{auto} depends on the size of the maps; export the net with a fixed input size")
        sides = [_same(size, k, s, auto) for size, k, s in zip(stack.shape[1:], kernel, stride)]
        return {"stride": stride, "padding": tuple(sides)}
    return {"stride": stride, "padding": ((top, bottom), (left, right)) if auto == "NOTSET" else 0}


def _same(size: int, kernel: int, stride: int, auto: str) -> tuple[int, int]:
    """Padding, before and after, that gives a window for every `stride` pixels begun."""
    total = max((math.ceil(size / max(stride, 1)) - 1) * stride + kernel - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def _kernel(node: Node) -> tuple[int, ...]:
    return tuple(node.attribute("kernel_shape", ()))


def _flag(node: Node, name: str) -> bool:
    return bool(node.attribute(name, 0))


def _times(array: np.ndarray, factor: float) -> np.ndarray:
    return array if factor == 1 else array * factor  # weights of gigabytes are not copied for nothing


def _per_output(node: Node, bias: np.ndarray, outputs: int) -> np.ndarray:
    """A bias as (O,): one number an output, or one for all."""
    if bias.shape not in ((outputs,), (1, outputs), (1,), (1, 1), ()):
        raise node.refused(f"its bias has shape {bias.shape} for {outputs} outputs")
    return np.broadcast_to(bias.ravel(), outputs)


def _add_linear(node: Node, stack: Stack, weight: np.ndarray, bias: np.ndarray | None) -> None:
    layer = Linear(weight.shape[1], len(weight), has_bias=bias is not None)
    _fill(layer, weight, bias)
    stack.add(layer, node)


def _add_flatten(node: Node, stack: Stack) -> None:
    if not stack.flat:  # else they are flat already
        stack.add(Flatten(), node)
        stack.flat = True


def _fill(layer: Conv2d | Linear, weight: np.ndarray, bias: np.ndarray | None) -> None:
    """Give a layer its arrays, if they are numbers of the right shape."""
    layer.weight, layer.bias = weight, bias
    for key, shape in layer.parameter_shapes().items():
        array = getattr(layer, key)
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"its {key} is {array.dtype} {array.shape}; expected float {shape}")
