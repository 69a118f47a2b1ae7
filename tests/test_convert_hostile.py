"""ONNX files made to harm: none runs code or takes memory, each ends in one line. Damaged ones: tests/test_fuzz.py."""

import subprocess
import sys

import numpy as np
import pytest
from test_convert_onnx import B, W, conv, graph, model_of, saved

from minideconv.convert import convert, read

pytestmark = pytest.mark.host  # reads files

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from minideconv.convert.onnx_size import MOST  # noqa: E402


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).isprintable()


def chain(*nodes, shape=(1, 2, 6, 5), outputs=("y0",), arrays=()):
    """A ModelProto of nodes (operator, inputs, outputs), wired by hand."""
    protos = [helper.make_node(operator, inputs, out, name=f"n{i}") for i, (operator, inputs, out) in enumerate(nodes)]
    return model_of(protos, arrays, shape, outputs=outputs)


GRAPHS = {
    "a circle": (chain(("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"])), "topologically sorted"),
    "a circle beside": (
        chain(("Relu", ["x"], ["y0"]), ("Relu", ["b"], ["a"]), ("Relu", ["a"], ["b"])), "topologically sorted"),
    "two values of one name": (chain(("Relu", ["x"], ["y0"]), ("Relu", ["y0"], ["y0"])), "single static assignment"),
    "two branches": (
        chain(("Relu", ["x"], ["a"]), ("Relu", ["a"], ["y0"]), ("Relu", ["a"], ["z"])),
        "Relu node 'n1': a net is a chain here, but Relu 'n2' reads a as well",
    ),
    "a sum of two branches": (
        chain(("Relu", ["x"], ["a"]), ("Dropout", ["a"], ["b"]), ("Add", ["a", "b"], ["y0"])),
        "but Add 'n2' reads a as well",
    ),
    "a square": (chain(("Add", ["x", "x"], ["y0"])), "only a bias directly after MatMul"),
    "a mask that is used": (
        chain(("Dropout", ["x"], ["a", "m"]), ("Relu", ["a"], ["b"]), ("Relu", ["m"], ["y0"])),
        "more than its first output"),
    "an output in the middle": (
        chain(("Relu", ["x"], ["y0"]), ("Relu", ["y0"], ["z"])),
        "the way from x ends at z, but the graph's output is y0",
    ),
    "two outputs": (chain(("Relu", ["x"], ["y0"]), ("Relu", ["y0"], ["z"]), outputs=("y0", "z")), "output is y0, z"),
    "weights computed from the image": (
        chain(("Relu", ["x"], ["a"]), ("Conv", ["a", "a"], ["y0"])), "its input a is not a constant"),
    "a size computed from the image": (
        chain(("Shape", ["x"], ["s"]), ("Reshape", ["x", "s"], ["y0"]), shape=("N", 2, 6, 5)),
        "reads x as well; export it with a fixed batch size"),
    "another domain": (
        model_of([helper.make_node("Relu", ["x"], ["y0"], name="evil", domain="com.evil")]),
        "'evil': it belongs to com.evil"),
    "no input": (chain(("RandomNormal", [], ["y0"])), "damaged or no ONNX file|the graph must have one input"),
    "vectors of three axes": (chain(("Relu", ["x"], ["y0"]), shape=(1, 2, 3)), r"not floating point, \(N, C, H, W\)"),
    "a weight with NaN": (graph([conv()], {"w": np.full_like(W, np.nan)}), r"conv1\.weight holds NaN or infinity"),
    "too many nodes": (graph([("Relu", [], {})] * 10_001), "nodes; 10,000 are read at most|not weights"),
    "old operators": (graph([("Relu", [], {})], opset=6), r"operator set 6, older than 7; .*version_converter"),
    "maps of a terabyte": (
        graph([conv(pads=[1000] * 4)] * 3, {"w": np.ones((2, 1, 1, 1), np.float32)}, shape=(1, 2, 20000, 20000)),
        "the maps of conv1 are 2 × 22000 × 22000, larger than any net's"),
}  # fmt: skip


@pytest.mark.parametrize("what", GRAPHS)
def test_a_graph_that_is_no_chain_is_refused(what, tmp_path):
    model, message = GRAPHS[what]
    if what == "another domain":
        model.opset_import.append(helper.make_opsetid("com.evil", 1))
    refused(saved(model, tmp_path), message)


def test_two_weights_of_one_name_are_refused(tmp_path):
    model = graph([conv()], {"w": W})
    model.graph.initializer.append(numpy_helper.from_array(W * 2, "w"))
    refused(saved(model, tmp_path), "w initializer name is not unique")


@pytest.mark.parametrize("shape", [[10**6, 10**6], [2**62, 2**62], [-1], [2**31]])
def test_a_constant_of_terabytes_is_never_made(shape, tmp_path):
    arrays = [numpy_helper.from_array(np.array(shape, np.int64), "s")]
    path = saved(chain(("ConstantOfShape", ["s"], ["w"]), ("Conv", ["x", "w"], ["y0"]), arrays=arrays), tmp_path)
    refused(path, "is not that of a weight")


def test_a_shape_of_a_million_axes_is_refused(tmp_path):
    arrays = [numpy_helper.from_array(np.array([2**27], np.int64), "s")]
    nodes = [("ConstantOfShape", ["s"], ["t"]), ("ConstantOfShape", ["t"], ["w"]), ("Conv", ["x", "w"], ["y0"])]
    refused(saved(chain(*nodes, arrays=arrays), tmp_path), "it has no shape, or no number")


def test_many_small_constants_of_gigabytes_are_refused(tmp_path):
    arrays = [numpy_helper.from_array(np.array([2**13, 2**13, 2, 2], np.int64), "s")]
    nodes = [("ConstantOfShape", ["s"], ["w"]), ("Conv", ["x", "w"], ["a"]), ("Conv", ["a", "w"], ["b"]),
             ("Conv", ["b", "w"], ["y0"])]  # fmt: skip
    refused(saved(chain(*nodes, arrays=arrays, shape=(1, 2**13, 6, 5)), tmp_path), "it has 805,306,368 parameters")


@pytest.mark.parametrize("dims", [[10**12], [4, 1, 3, 3], [2**62, 4]])
def test_a_weight_that_is_not_as_large_as_it_claims_is_refused(dims, tmp_path):
    model = graph([conv()], {"w": W})
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    refused(saved(model, tmp_path), "too small|overflow")


def of_empty_nodes(size, path):
    """A file whose graph, field 7, is `size` bytes of empty nodes, field 1."""
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    path.write_bytes(b"\x3a" + length + b"\x0a\x00" * (size // 2))
    return path


def test_a_file_of_millions_of_empty_nodes_is_refused_before_it_is_unpacked(tmp_path):
    refused(of_empty_nodes(2 * MOST, tmp_path / "net.onnx"), "of its bytes are not weights; it is no sequential net")


def test_what_is_unpacked_stays_small(tmp_path):
    path = of_empty_nodes(MOST - 10, tmp_path / "net.onnx")
    code = f"""
import contextlib, onnx, resource
from minideconv.convert import read
peaks = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
with contextlib.suppress(ValueError):
    read({str(path)!r})
peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 1024  # KiB


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"PK\x03\x04", b"{}", b"\x3a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_onnx_is_refused(data, tmp_path):
    (tmp_path / "net.onnx").write_bytes(data)
    refused(tmp_path / "net.onnx", "export it again")


# --------------------------------------------------------------------------------------------------- external data


def beside(tmp_path, **changes):
    """An ONNX file with its weights beside, and what the file says of them changed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    model = graph([conv("b")], {"w": W, "b": B})
    onnx.save(model, folder / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    model = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        entries = {**{entry.key: entry.value for entry in tensor.external_data}, **changes}
        del tensor.external_data[:]
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


@pytest.mark.parametrize("changes", [
    {"location": "../secret.bin"}, {"location": "/etc/passwd"}, {"location": ""}, {"location": "."},
    {"location": "gone.bin"},
    {"offset": "-4"}, {"offset": "1000000"}, {"offset": "many"}, {"length": "8"}, {"length": "99999999999"},
])  # fmt: skip
def test_external_data_that_lie_elsewhere_or_are_not_whole_are_refused(changes, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    refused(beside(tmp_path, **changes), r"tensor name: w\b|is not whole in|no usable place")


def test_external_data_behind_a_link_out_of_the_folder_are_refused(tmp_path):
    path = beside(tmp_path)
    (tmp_path / "secret.bin").write_bytes((path.parent / "net.bin").read_bytes())
    (path.parent / "net.bin").unlink()
    (path.parent / "net.bin").symlink_to(tmp_path / "secret.bin")
    refused(path, "it is a symbolic link")


def test_external_data_that_are_whole_are_read(tmp_path):
    assert read(beside(tmp_path)).layers["conv1"].weight.shape == W.shape


# ------------------------------------------------------------------------------------------------------- the output


def test_a_net_that_is_refused_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "net.npz").write_bytes(b"old")
    with pytest.raises(ValueError, match="no layer for it"):
        convert(saved(graph([("Sigmoid", [], {})]), tmp_path), tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("{", "damaged"), ("[]", "damaged"), ("[" * 9999, "damaged"), ('{"layers": ["a", "a"]}', "a name of its own"),
    ('{"preprocessing": 3}', "expected a dict"), ('{"classes": 5}', "must be a list"), ('{"name": []}', "must be text"),
])  # fmt: skip
def test_metadata_of_strangers_are_checked(text, message, tmp_path):
    model = graph([("Relu", [], {}), ("Relu", [], {})])
    helper.set_model_props(model, {"minideconv": text})
    refused(saved(model, tmp_path), message)


def test_a_name_that_is_no_text_is_shown_as_well_as_it_can_be(tmp_path):
    path = saved(graph([conv()], {"w": W}), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"conv0", b"con\xff0"))
    net = convert(path, tmp_path / "net.npz")
    assert net.original_names == {"conv1": "con�0"}


def test_a_string_tensor_is_refused(tmp_path):
    model = graph([conv()], {"w": W})
    model.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.STRING, [1], [b"text"]))
    refused(saved(model, tmp_path), "STRING numbers|STRING")
