"""An ONNX file as a chain of nodes: read without trusting it, refused where it is no chain.

graph = read_graph("net.onnx")
graph.nodes              the nodes an image passes, bottom up
node.attribute("pads")   a value;   node.constant(1)   a weight, whether initializer, Constant or ConstantOfShape
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..files import one_line
from .onnx_size import check_size

OLDEST = 7  # operator set: before it BatchNormalization and Dropout meant something else
LARGEST = 2**28  # numbers of one ConstantOfShape; VGG's fc6 has 2**27
MOST_NODES = 10_000
METADATA = "minideconv"  # where our own files say what ONNX has no place for
NUMBERS = {"FLOAT": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64, "INT64": np.int64, "INT32": np.int32}


class NodeError(ValueError):
    """A node that cannot be one of our layers; the message names it."""


class Node:
    """One node of a graph: its operator, its name in the file, and what it reads beside the maps."""

    def __init__(self, proto, graph: Graph):
        name = proto.name or (proto.output[0] if proto.output else "")
        self.name = name.decode("utf-8", "replace") if isinstance(name, bytes) else name  # bytes if it is no UTF-8
        self.operator = proto.op_type
        self.domain, self.inputs, self.outputs = proto.domain, list(proto.input), list(proto.output)
        self._attributes, self._graph = proto.attribute, graph

    def attribute(self, name: str, usual: Any = None) -> Any:
        """The value of an attribute, `usual` if the node has none. Floats are the shortest that float32 rounds to."""
        from onnx import helper

        for attribute in self._attributes:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                if isinstance(value, float):
                    return float(str(np.float32(value)))
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return usual

    def constant(self, place: int) -> np.ndarray | None:
        """The array at input `place`, None if the node has no such input.

        Raises:
            ValueError: if that input is computed from the image, or the array is damaged.
        """
        if place >= len(self.inputs) or not self.inputs[place]:
            return None
        array = self._graph.constant(self.inputs[place])
        if array is None:
            raise self.refused(f"its input {self.inputs[place]} is not a constant")
        return array

    def refused(self, why: str) -> NodeError:
        """The error that names this node."""
        return NodeError(f"{self.operator} node {self.name!r}: {why}")


class Graph:
    """A chain of nodes, its constants, and what else the file says.

    Attributes:
        nodes: bottom up;  opset: the version of ONNX's operators.
        batch, input_shape: of its input; each axis an int, None where the file leaves it open. (C, H, W) or (D,).
        metadata: what a file of ours carries beside the graph, {} for others.
    """

    def __init__(self, model, folder: Path):
        self._folder, self._constants = folder, _constants(model.graph, self)
        self.opset = _opset(model)
        self.metadata = _metadata(model)
        self._input = _data_input(model.graph, self._constants)
        self.batch, *shape = _axes(self._input)
        self.input_shape = tuple(shape)
        self.nodes = self._chain(model.graph)

    def constant(self, name: str) -> np.ndarray | None:
        """The array of that name, made when it is asked for; None if there is none."""
        found = self._constants.get(name)
        while isinstance(found, Node) and found.operator == "Identity":  # exporters share weights in this way
            found = self._constants[found.inputs[0]]
        if isinstance(found, Node):
            return _of_shape(found) if found.operator == "ConstantOfShape" else _constant_value(found, self._folder)
        return None if found is None else tensor_array(found, self._folder)

    def _chain(self, graph) -> list[Node]:
        """Walk from the input to the output; whatever is not on that way, or leaves it twice, is refused."""
        if len(graph.node) > MOST_NODES:
            raise ValueError(f"it has {len(graph.node):,} nodes; {MOST_NODES:,} are read at most")
        nodes = [Node(proto, self) for proto in graph.node]
        readers: dict[str, list[Node]] = {}
        for node in nodes:
            if node.domain not in ("", "ai.onnx"):
                raise node.refused(f"it belongs to {node.domain}, not to ONNX's own operators")
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        chain, value = [], self._input.name
        while value in readers:
            first, *others = readers[value]
            if others:
                shape = any(node.operator == "Shape" for node in readers[value])
                advice = "; export it with a fixed batch size" if shape else ""
                raise first.refused(f"a net is a chain here, but {others[0].operator} {others[0].name!r} "
                                    f"reads {value} as well{advice}")  # fmt: skip
            if not first.outputs or any(name in readers for name in first.outputs[1:]):
                raise first.refused("more than its first output is used")
            chain.append(first)
            value = first.outputs[0]
        if [output.name for output in graph.output] != [value]:
            outputs = ", ".join(output.name for output in graph.output)
            raise ValueError(f"the way from {self._input.name} ends at {value}, but the graph's output is {outputs}")
        on_the_way = set(map(id, chain))
        beside = [
            n for n in nodes if id(n) not in on_the_way and not any(name in self._constants for name in n.outputs)
        ]
        if beside:
            raise beside[0].refused("it is not on the way from the image to the output")
        return chain


def read_graph(path: Path) -> Graph:
    """Read and check an ONNX file. External data must lie beside it.

    Raises:
        ValueError: if onnx is not installed, the file is damaged, or its graph is no chain.
    """
    onnx = imported()
    check_size(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(str(path))
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # protobuf and the checker have types of their own
        raise ValueError(f"it is damaged or no ONNX file ({one_line(error)}); get or export it again") from None
    return Graph(model, path.parent)


def imported():
    """The onnx package."""
    try:
        import onnx
    except ImportError:
        raise ValueError("ONNX files need the package onnx: pip install 'minideconv[convert]'") from None
    return onnx


# --------------------------------------------------------------------------------------------------------- constants


def _constants(graph, owner) -> dict[str, Any]:
    """{name: TensorProto, or the Node that makes it}: everything that does not depend on the image."""
    if graph.sparse_initializer:
        raise ValueError("it has sparse weights; export it with dense ones")
    found = {tensor.name: tensor for tensor in graph.initializer}
    for proto in graph.node:
        shared = proto.op_type == "Identity" and list(proto.input) and proto.input[0] in found
        if proto.op_type in ("Constant", "ConstantOfShape") or shared:
            found.update({name: Node(proto, owner) for name in proto.output})
    return found


def tensor_array(tensor, folder: Path) -> np.ndarray:
    """The array of a TensorProto; its size is compared with what the file holds before any is read.

    Raises:
        ValueError: if they differ, or it holds anything but float or int numbers.
    """
    from onnx import TensorProto, external_data_helper, numpy_helper

    kind = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in TensorProto.DataType.values() else "?"
    if kind not in NUMBERS:
        raise ValueError(f"{tensor.name!r} holds {kind} numbers; export the net as float32")
    size, count = math.prod(tensor.dims) * np.dtype(NUMBERS[kind]).itemsize, math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0:
        raise ValueError(f"{tensor.name!r} has shape {tuple(tensor.dims)}")
    if tensor.data_location == TensorProto.EXTERNAL:
        _check_external(tensor, folder, size)
        copied = TensorProto()
        copied.CopyFrom(tensor)
        external_data_helper.load_external_data_for_tensor(copied, str(folder))
        tensor = copied
    elif tensor.HasField("raw_data") and len(tensor.raw_data) != size:
        raise ValueError(f"{tensor.name!r} has shape {tuple(tensor.dims)}, but {len(tensor.raw_data)} bytes")
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"{tensor.name!r} of {count} numbers is damaged ({one_line(error)})") from None
    return array


def _check_external(tensor, folder, size) -> None:
    """Refuse external data that are not as long as the array. The checker has seen to it that they lie beside."""
    where = {entry.key: entry.value for entry in tensor.external_data}
    location = where["location"]
    there = (folder / location).stat().st_size
    try:
        offset = int(where.get("offset", 0))
        length = int(where.get("length", there - offset))
    except ValueError:
        raise ValueError(f"{tensor.name!r} has no usable place in {location!r}") from None
    if offset < 0 or length != size or offset + length > there:
        raise ValueError(f"{tensor.name!r} of {size} bytes is not whole in {location!r}; copy that file again")


def _constant_value(node: Node, folder: Path) -> np.ndarray:
    """What a Constant node holds: a tensor, a number or a list of them."""
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        value = node.attribute(name)
        if value is not None:
            return np.asarray(value, np.float32 if "float" in name else np.int64)
    tensor = node.attribute("value")
    if tensor is None:
        raise node.refused("its value is no array of numbers")
    return tensor_array(tensor, folder)


def _of_shape(node: Node) -> np.ndarray:
    """A ConstantOfShape: one number at every place, and in memory once."""
    shape, value = node.constant(0), node.attribute("value")
    number = np.zeros(1, np.float32) if value is None else tensor_array(value, Path())
    if shape is None or shape.ndim != 1 or shape.size > 4 or number.size != 1:
        raise node.refused("it has no shape, or no number")
    dims = shape.tolist()
    if min(dims, default=0) < 0 or math.prod(dims) > LARGEST:
        raise node.refused(f"its shape {tuple(dims)} is not that of a weight")
    return np.broadcast_to(number.ravel()[0], dims)


# --------------------------------------------------------------------------------------------- the rest of the file


def _opset(model) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions or versions[0] < OLDEST:
        found = f"operator set {versions[0]}" if versions else "no operator set"
        advice = "convert it first: onnx.version_converter.convert_version(model, 13)"
        raise ValueError(f"it uses {found}, older than {OLDEST}; {advice}")
    return versions[0]


def _metadata(model) -> dict[str, Any]:
    """The JSON that files of ours carry; {} if there is none."""
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA]
    try:
        found = json.loads(texts[0]) if texts else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"its metadata {METADATA!r} are damaged")
    return found


def _data_input(graph, constants):
    """The one graph input that is no weight and that a node reads."""
    read = {name for node in graph.node for name in node.input}
    inputs = [value for value in graph.input if value.name not in constants and value.name in read]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ValueError(f"the graph must have one input, the images; it has {names}")
    return inputs[0]


def _axes(value) -> list[int | None]:
    """The sizes of a graph input: (N, C, H, W) or (N, D)."""
    kind = value.type.tensor_type
    sizes = [axis.dim_value if axis.HasField("dim_value") else None for axis in kind.shape.dim]
    if (
        kind.elem_type not in (1, 10, 11)
        or len(sizes) not in (2, 4)
        or any(size is not None and size < 1 for size in sizes)
    ):
        raise ValueError(f"its input {value.name} is not floating point, (N, C, H, W) or (N, D)")
    return sizes
