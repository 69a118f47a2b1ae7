"""ONNX in and out: the graphs that the onnx package ships, drawn nets, every operator; onnxruntime computes alike."""

from pathlib import Path

import numpy as np
import pytest
from draw import assert_equal, stacks
from hypothesis import assume, given

from minideconv import Network, load_model, models, save_model, to_device, to_numpy
from minideconv.convert import convert, read, write
from minideconv.images import TORCHVISION
from minideconv.layers import Conv2d, GlobalAvgPool2d, ReLU

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def images_for(net, count=1, seed=0):
    """(C, H, W, N) float32 noise."""
    return np.random.default_rng(seed).standard_normal((*net.input_shape, count), dtype=np.float32)


def by_onnxruntime(model, x, names):
    """What onnxruntime computes with a file or its bytes for (C, H, W, N), or (D, N): {name: maps, images last}."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # keeps every map
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: np.ascontiguousarray(np.moveaxis(x, -1, 0))}
    return {name: np.moveaxis(maps, 0, -1) for name, maps in zip(names, session.run(names, inputs))}


def assert_same_maps(net, path, x, tolerance=1e-4):
    """Every map of `net`, by the node it came from, equals onnxruntime's; the file is changed to give them all."""
    model = onnx.load(path)
    value_of = {node.name or node.output[0]: node.output[0] for node in model.graph.node}
    wanted = {layer: value_of[name.split(" + ")[-1]] for layer, name in net.original_names.items()}
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(wanted.values()))
    onnx.save(model, path)
    del model  # VGG19 has half a gigabyte
    theirs = by_onnxruntime(str(path), x, list(dict.fromkeys(wanted.values())))
    trace = net.forward(to_device(x))
    for layer, name in wanted.items():
        ours = to_numpy(trace[layer])
        assert ours.shape == theirs[name].shape, layer
        assert abs(ours - theirs[name]).max() <= tolerance * max(abs(theirs[name]).max(), 1e-30), layer


# ------------------------------------------------------------------------------------- the graphs that onnx ships


def with_random_weights(model, seed=0):
    """The weights, which are ConstantOfShape nodes, as initializers of He et al.'s scale; biases as large as that."""
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    rng, kept = np.random.default_rng(seed), []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = shapes[node.input[0]].tolist()
        scale = np.float32(np.sqrt(2 / max(np.prod(shape[1:]), 2)) if len(shape) > 1 else 0.1)
        values = rng.standard_normal(shape, dtype=np.float32) * scale
        model.graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 8  # before 4, weights had to be inputs as well
    return model


@pytest.mark.parametrize("name", ["zfnet512", "bvlc_alexnet", "vgg19"])
def test_every_map_of_a_real_graph_equals_onnxruntimes(name, tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(with_random_weights(onnx.load(LIGHT / f"light_{name}.onnx")), path)
    net = read(path)
    assert net.softmax and len(net.layers) == {"zfnet512": 21, "bvlc_alexnet": 23, "vgg19": 45}[name]
    assert_same_maps(net, path, images_for(net))


@pytest.mark.parametrize("name", ["zfnet512", "bvlc_alexnet", "vgg19"])
def test_a_shipped_graph_gives_its_shipped_output(name):
    expected = TensorProto()
    expected.ParseFromString((LIGHT / f"light_{name}_output_0.pb").read_bytes())
    net = read(LIGHT / f"light_{name}.onnx")
    found = to_numpy(net.probabilities(to_device(images_for(net))))
    np.testing.assert_allclose(found[:, 0], numpy_helper.to_array(expected)[0], rtol=1e-4)


def test_a_graph_equal_to_a_zoo_table_takes_its_names_and_others_count_up():
    vgg, zfnet = read(LIGHT / "light_vgg19.onnx"), read(LIGHT / "light_zfnet512.onnx")
    assert list(vgg.layers)[:5] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"] and vgg.name == "vgg19"
    assert list(zfnet.layers)[-7:] == ["pool5", "flatten", "fc6", "relu6", "fc7", "relu7", "fc8"]
    assert [zfnet.original_names[name] for name in ("conv1", "pool5", "fc8")] == ["n0", "n14", "n20"]


@pytest.mark.parametrize("name", ["densenet121", "inception_v1", "resnet50", "shufflenet", "squeezenet"])
def test_a_graph_with_branches_is_refused_with_the_nodes_that_branch(name):
    with pytest.raises(ValueError, match=r"node 'n\d+': a net is a chain here, but \w+ 'n\d+' reads r\d+ as well"):
        read(LIGHT / f"light_{name}.onnx")


# ---------------------------------------------------------------------------------------------------- our nets, out


def float32(net):
    for layer in net.layers.values():
        for key in layer.parameters:
            setattr(layer, key, getattr(layer, key).astype(np.float32))
    return net


@given(stacks())
def test_a_drawn_net_goes_out_equal_to_onnxruntime_and_comes_back_identical(tmp_path_factory, stack):
    net, x = float32(stack[0]), to_numpy(stack[1]).astype(np.float32) / 4
    net.source = "drawn"
    path = tmp_path_factory.mktemp("out") / "net.onnx"
    try:
        write(net, path)
    except ValueError as error:
        assume("cannot be written as ONNX" not in str(error))
        raise
    last = list(net.layers)[-1]
    ours, theirs = to_numpy(net.forward(to_device(x))[last]), by_onnxruntime(path.read_bytes(), x, [f"{last}.output"])
    np.testing.assert_allclose(ours, theirs[f"{last}.output"], rtol=0, atol=1e-4 * max(abs(ours).max(), 1e-30))
    assert_same_net(read(path), net, options=False)  # some pools that round up say it in padding there


def assert_same_net(found, net, options=True):
    """Same layers, same words, same arrays to the last bit."""
    assert found.output_shapes() == net.output_shapes()
    assert repr(found) == repr(net) or not options
    for word in ("name", "input_shape", "preprocessing", "classes", "source", "sha256", "licence", "softmax"):
        assert getattr(found, word) == getattr(net, word), word
    for name, array in net.parameters().items():
        assert_equal(found.parameters()[name], array)


def described(net):
    """The net with a value in every field."""
    net.classes = [f"class {i}, größer" for i in range(net.class_count())]
    net.source, net.sha256, net.licence, net.softmax = "a test", "0" * 64, "MIT", True
    return net


@pytest.mark.parametrize("name", ["zfnet28", "zfnet32"])
@pytest.mark.parametrize("suffix", ["onnx", "safetensors"])
def test_a_described_net_goes_out_and_comes_back_identical(name, suffix, tmp_path):
    pytest.importorskip("safetensors")
    net = described(models.build(name))
    if name == "zfnet32":
        net.preprocessing = TORCHVISION.from_dict({**TORCHVISION.to_dict(), "resize": 32, "crop": 32})
    save_model(net, tmp_path / "a.npz")
    convert(tmp_path / "a.npz", tmp_path / f"net.{suffix}")
    convert(tmp_path / f"net.{suffix}", tmp_path / "b.npz")
    assert_same_net(load_model(tmp_path / "b.npz"), net)


def test_a_softmax_goes_out_again_and_gives_probabilities(tmp_path):
    net = described(models.build("zfnet28"))
    write(net, tmp_path / "net.onnx")
    x = images_for(net, 3)
    theirs = by_onnxruntime((tmp_path / "net.onnx").read_bytes(), x, ["probabilities"])["probabilities"]
    np.testing.assert_allclose(to_numpy(net.probabilities(to_device(x))), theirs, atol=1e-5)
    assert read(tmp_path / "net.onnx").softmax


def test_a_net_of_maps_alone_and_of_any_size_goes_out_and_comes_back(tmp_path):
    net = Network(
        [("conv1", Conv2d(3, 4, 3)), ("relu1", ReLU()), ("conv2", Conv2d(4, 5, 1)), ("pool2", GlobalAvgPool2d())]
    )
    write(net, tmp_path / "net.onnx")
    for size in ((5, 7), (9, 4)):
        x = np.random.default_rng(0).standard_normal((3, *size, 2), dtype=np.float32)
        theirs = by_onnxruntime((tmp_path / "net.onnx").read_bytes(), x, ["pool2.output"])["pool2.output"]
        np.testing.assert_allclose(to_numpy(net.forward(to_device(x))["pool2"]), theirs, atol=1e-5)
        assert net.probabilities(to_device(x)).shape == (5, 2)
    assert read(tmp_path / "net.onnx").input_shape is None


# ------------------------------------------------------------------------------------------------- one operator each


def graph(nodes, weights=(), shape=(1, 2, 6, 5), opset=13, outputs=None):
    """A ModelProto: nodes are (operator, inputs, attributes), chained from "x" in order; weights {name: array}."""
    protos, value = [], "x"
    for i, (operator, inputs, attributes) in enumerate(nodes):
        protos.append(
            helper.make_node(operator, [value, *inputs], [f"y{i}"], name=f"{operator.lower()}{i}", **attributes)
        )
        value = f"y{i}"
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(weights).items()]
    return model_of(protos, arrays, shape, opset, outputs or [value])


def model_of(protos, arrays=(), shape=(1, 2, 6, 5), opset=13, outputs=("y0",)):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    axes = 2 if {"Flatten", "Reshape"} & {proto.op_type for proto in protos} else 4
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * axes) for name in outputs]
    made = helper.make_graph(protos, "test", inputs, outputs, arrays)
    return helper.make_model(made, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


def saved(model, tmp_path):
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "net.onnx"


def conv(*bias, **attributes):
    return "Conv", ["w", *bias], {"group": 2, **attributes}


def max_pool(kernel, **attributes):
    return "MaxPool", [], {"kernel_shape": kernel, **attributes}


def average_pool(kernel, **attributes):
    return "AveragePool", [], {"kernel_shape": kernel, **attributes}


RNG = np.random.default_rng(1)
W = RNG.standard_normal((4, 1, 3, 2)).astype(np.float32)  # two groups
B = RNG.standard_normal(4).astype(np.float32)
NORM = {"s": B, "t": B + 1, "m": B - 1, "v": B**2 + 0.1}
DENSE = RNG.standard_normal((60, 3)).astype(np.float32)
FLAT = ("Flatten", [], {})
CASES = {  # nodes, weights, and the types of the layers that come of them
    "groups, stride, uneven pads": (
        [conv("b", strides=[2, 1], pads=[1, 0, 2, 1])], {"w": W, "b": B}, "Conv2d"),
    "auto_pad SAME_UPPER": ([conv(auto_pad="SAME_UPPER", strides=[2, 2])], {"w": W}, "Conv2d"),
    "auto_pad SAME_LOWER": ([conv(auto_pad="SAME_LOWER")], {"w": W}, "Conv2d"),
    "auto_pad VALID": ([conv(auto_pad="VALID")], {"w": W}, "Conv2d"),
    "half precision": ([conv()], {"w": W}, "Conv2d"),
    "batch normalisation": (
        [conv(), ("BatchNormalization", [*NORM], {"epsilon": 0.01}), ("Relu", [], {})],
        {"w": W, **NORM}, "Conv2d ReLU"),
    "batch normalisation of vectors": (
        [FLAT, ("MatMul", ["w"], {}), ("Add", ["b"], {}), ("BatchNormalization", [*"sbmv"], {})],
        {"w": DENSE, "b": B[:3], "s": B[:3], "m": B[:3], "v": B[:3] ** 2}, "Flatten Linear"),
    "max pool": ([max_pool([3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1)], {},
                 "MaxPool2d"),
    "max pool SAME": ([max_pool([3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], {},
                      "MaxPool2d"),
    "average of pixels": ([average_pool([3, 3], pads=[1, 1, 1, 0])], {}, "AvgPool2d"),
    "average with padding": (
        [average_pool([2, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)],
        {}, "AvgPool2d"),
    "average, ceil": ([average_pool([2, 2], strides=[2, 2], ceil_mode=1)], {}, "AvgPool2d"),
    "average of one pixel": ([("Relu", [], {}), average_pool([1, 1])], {}, "ReLU AvgPool2d"),
    "global average": ([("GlobalAveragePool", [], {}), FLAT], {}, "GlobalAvgPool2d Flatten"),
    "LRN": ([("LRN", [], {"size": 3, "alpha": 0.3, "beta": 0.6, "bias": 2.0})], {}, "LocalResponseNorm"),
    "Gemm": ([FLAT, ("Gemm", ["w", "b"], {"alpha": 0.5, "beta": 2.0})], {"w": DENSE, "b": B[:1]}, "Flatten Linear"),
    "Gemm transposed": ([FLAT, ("Gemm", ["w"], {"transB": 1})], {"w": DENSE.T}, "Flatten Linear"),
    "MatMul and Add": (
        [FLAT, ("MatMul", ["w"], {}), ("Add", ["b"], {})], {"w": DENSE, "b": B[None, :3]}, "Flatten Linear"),
    "Reshape to 1": ([("Reshape", ["d"], {})], {"d": np.array([1, 60])}, "Flatten"),
    "Reshape to 0, -1": ([("Reshape", ["d"], {})], {"d": np.array([0, -1])}, "Flatten"),
    "Dropout": ([("Dropout", ["p"], {}), ("Identity", [], {})], {"p": np.float32(0.25)}, "Dropout"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operator_becomes_the_layer_that_computes_it(case, tmp_path):
    nodes, weights, types = CASES[case]
    model = graph(nodes, weights)
    net = read(saved(model, tmp_path))
    assert " ".join(type(layer).__name__ for layer in net.layers.values()) == types
    x = RNG.standard_normal((2, 6, 5, 1)).astype(np.float32)
    theirs = by_onnxruntime(model.SerializeToString(), x, [f"y{len(nodes) - 1}"])[f"y{len(nodes) - 1}"]
    ours = to_numpy(net.forward(to_device(x))[list(net.layers)[-1]])
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_other_floats_are_cast(dtype, tmp_path):
    kind = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.DOUBLE
    model = graph([conv()], {"w": W.astype(dtype)})
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.output[0].type.tensor_type.elem_type = kind
    assert_equal(read(saved(model, tmp_path)).layers["conv1"].weight, W.astype(dtype).astype(np.float32))


def test_weights_may_be_constant_nodes_or_shared_by_identity(tmp_path):
    made = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(W))
    protos = [made, helper.make_node("Identity", ["k"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y0"], group=2)]
    net = read(saved(model_of(protos), tmp_path))
    assert_equal(net.layers["conv1"].weight, W)


def test_weights_may_lie_in_a_file_beside(tmp_path):
    model = graph([conv("b")], {"w": W, "b": B})
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    net = read(tmp_path / "net.onnx")
    assert_equal(net.layers["conv1"].weight, W)
    assert_equal(net.layers["conv1"].bias, B)


def test_dropout_of_older_files_keeps_its_ratio(tmp_path):
    net = read(saved(graph([("Dropout", [], {"ratio": 0.3})], opset=9), tmp_path))
    assert net.layers["drop0"].p == 0.3


def test_an_open_size_comes_from_the_preprocessing(tmp_path):
    model = graph([("Conv", ["w"], {})], {"w": np.ones((4, 3, 3, 3), np.float32)}, shape=("N", 3, "H", "W"))
    path = saved(model, tmp_path)
    assert read(path).input_shape is None
    net = convert(path, tmp_path / "net.npz", preprocess="torchvision")
    assert load_model(tmp_path / "net.npz").input_shape == net.input_shape == (3, 224, 224)


REFUSED = {  # nodes, weights, what the error says
    "another operator": ([("Sigmoid", [], {})], {}, "Sigmoid node 'sigmoid0': there is no layer for it; known"),
    "dilation": ([conv(dilations=[2, 2])], {"w": W}, r"dilated by \(2, 2\)"),
    "absurd stride": ([conv(strides=[2**40, 1])], {"w": W}, "conv0'.*exceeds 1024 pixels"),
    "stride 0": ([max_pool([2, 2], strides=[0, 1])], {}, "maxpool0': stride is"),
    "negative pads": ([conv(pads=[-1, 0, 0, 0])], {"w": W}, "padding is .*negative"),
    "absurd pads": ([conv(pads=[10**9, 0, 0, 0])], {"w": W}, "exceeds 1024"),
    "pads as large as the pool": ([max_pool([2, 2], pads=[2, 0, 0, 0])], {}, "must be smaller"),
    "kernel larger than the map": ([max_pool([9, 9])], {}, "does not fit into 6 pixels"),
    "other channels": ([("Conv", ["w"], {})], {"w": W}, "conv0': Conv2d expects maps of shape"),
    "one-dimensional": ([("Conv", ["w"], {})], {"w": W[..., 0]}, "only convolutions over rows and columns"),
    "groups that do not divide": ([("Conv", ["w"], {"group": 3})], {"w": W}, "4 filters cannot be split into 3"),
    "even LRN": ([("LRN", [], {"size": 4})], {}, "lrn0': LocalResponseNorm: size is 4"),
    "Gemm on maps": ([("Gemm", ["w"], {})], {"w": DENSE}, "only W x . b on flattened maps"),
    "softmax in the middle": ([("Softmax", [], {"axis": 1}), ("Relu", [], {})], {}, "relu1': it follows a softmax"),
    "softmax over columns": ([("Softmax", [], {})], {}, "not over the channels"),
    "flatten of the batch": ([("Flatten", [], {"axis": 0})], {}, "only axis 1"),
    "reshape to maps": ([("Reshape", ["d"], {})], {"d": np.array([1, 3, 4, 5])}, "must flatten every image"),
    "reshape to other vectors": ([("Reshape", ["d"], {})], {"d": np.array([2, 30])}, "must flatten every image"),
    "add on its own": ([("Add", ["b"], {})], {"b": np.float32([1])}, "only a bias directly after MatMul"),
    "norm first": ([("BatchNormalization", [*NORM], {})], NORM, "can only be folded into a convolution"),
    "negative variance": (
        [conv(), ("BatchNormalization", ["s", "t", "m", "m"], {})],
        {"w": W, **NORM, "m": -np.ones(4, np.float32)}, "a variance .* is not positive"),
    "norm of other channels": (
        [conv(), ("BatchNormalization", [*NORM], {})],
        {"w": W, **{key: value[:3] for key, value in NORM.items()}}, "after a layer of 4 outputs"),
    "training dropout": ([("Dropout", ["p", "t"], {})], {"p": np.float32(0.5), "t": np.array(True)}, "BOOL numbers"),
    "whole numbers": ([conv()], {"w": W.astype(np.int64)}, "its weight is int64"),
    "a bias of another length": ([conv("b")], {"w": W, "b": B[:3]}, r"its bias is float32 \(3,\)"),
    "nothing": ([("Identity", [], {})], {}, "the graph has no layers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_layer_is_refused_with_the_nodes_name_and_why(case, tmp_path):
    nodes, weights, message = REFUSED[case]
    path = saved(graph(nodes, weights), tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        convert(path, tmp_path / "net.npz")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "net.npz").exists()
