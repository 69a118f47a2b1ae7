"""Damage files on purpose and read them: each must be usable, or refused in one line, in little memory, no code run.

    nice -n 19 python benchmarks/fuzz_readers.py --inputs 200000 --seed 0

Prints how many files of each format were read and refused, and what was found; exit status 1 if anything was. Formats:
.npz, .onnx, .safetensors, .pth (only with torch). Writes nothing but scratch files.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib.util
import io
import json
import math
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from minideconv import Network, save_model, to_numpy
from minideconv.convert import read, write
from minideconv.convert.onnx_graph import NodeError
from minideconv.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool2d, ReLU
from minideconv.weights import layer_entry

ROOM = 2**29  # bytes of memory beyond what the program has when it starts; the files have a few kilobytes
SLOW = 10  # seconds
NUMBERS = (0, 1, -1, 2, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))


def net():
    """A small net with every kind of option."""
    return Network([
        ("conv1", Conv2d(2, 4, (3, 2), stride=(2, 1), padding=((1, 0), (0, 1)), groups=2)), ("relu1", ReLU()),
        ("norm1", LocalResponseNorm(3)), ("pool1", MaxPool2d(2, ceil_mode=True)), ("mean1", AvgPool2d(2, padding=1)),
        ("flatten", Flatten()), ("drop1", Dropout(0.25)), ("fc2", Linear(24, 3)),
    ], input_shape=(2, 9, 9), name="small", classes=["a", "b", "c"])  # fmt: skip


def seeds(folder: Path) -> dict[str, bytes]:
    """{suffix: a whole file}, and the table that the .pth needs."""
    files, small = {}, net()
    save_model(small, folder / "seed.npz")
    for suffix in (".onnx", ".safetensors"):
        write(small, folder / f"seed{suffix}")
    if importlib.util.find_spec("torch"):
        import torch

        state = {name: torch.from_numpy(to_numpy(value)) for name, value in small.parameters().items()}
        torch.save(state, folder / "seed.pth")
    for path in folder.glob("seed.*"):
        files[path.suffix] = path.read_bytes()
    entries = [{**layer_entry(name, layer), "from": name} for name, layer in small.layers.items()]
    (folder / "table.json").write_text(json.dumps({"input_shape": small.input_shape, "layers": entries}))
    return files


# ------------------------------------------------------------------------------------------------------------- damage


def damaged(seed: bytes, suffix: str, rng: np.random.Generator) -> bytes:
    """One to three mutations of a file: of its bytes, or of what its format means by them."""
    data = bytearray(seed)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        kinds = [flip, flip, cut, copy_block, number, insert, *MEANT[suffix]]
        with warnings.catch_warnings(), contextlib.suppress(Exception):  # after others, one may no longer apply
            warnings.simplefilter("ignore")
            data = bytearray(kinds[rng.integers(len(kinds))](data, rng)) or data
    return bytes(data)


def flip(data, rng):
    for place in rng.integers(0, len(data), rng.integers(1, 6)):
        data[place] ^= 1 << rng.integers(8)
    return data


def cut(data, rng):
    start, stop = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:stop] if rng.random() < 0.5 else data[:start] + data[stop:]


def copy_block(data, rng):
    start, place = rng.integers(0, len(data), 2)
    block = data[start : start + rng.integers(1, 64)]
    return data[:place] + block + data[place + len(block) * int(rng.integers(2)) :]


def insert(data, rng):
    place = rng.integers(0, len(data) + 1)
    return data[:place] + rng.bytes(rng.integers(1, 16)) + data[place:]


def number(data, rng):
    """An extreme integer over 1 to 8 bytes."""
    size = int(rng.choice([1, 2, 4, 8]))
    value = (int(rng.choice(np.array(NUMBERS, object))) % 2 ** (8 * size)).to_bytes(size, "little")
    place = rng.integers(0, len(data))
    return data[:place] + value + data[place + size :]


def digits(data, rng):
    """Another number, word or bracket in the text of a header or a description."""
    places = [i for i, sign in enumerate(data) if chr(sign) in '0123456789[]{}",:']
    place = places[rng.integers(len(places))]
    words = (b"-1", b"0", b"99999999999", b"1e999", b"NaN", b"null", b"[", b"{", b'"', b"true", b"2147483648")
    return data[:place] + words[rng.integers(len(words))] + data[place + 1 :]


def attribute(data, rng):
    """An ONNX file that parses, with one number, name or array of its graph changed."""
    import onnx

    model = onnx.ModelProto.FromString(bytes(data))
    nodes = model.graph.node
    node, value = nodes[rng.integers(len(nodes))], int(rng.choice(np.array(NUMBERS[:-1], object)))
    changes = [
        lambda: setattr(node, "op_type", nodes[rng.integers(len(nodes))].op_type),
        lambda: node.input.append(nodes[rng.integers(len(nodes))].output[0]),
        lambda: node.input.__delitem__(-1),
        lambda: node.output.append("more"),
        lambda: nodes.append(node),
        lambda: nodes.remove(node),
        lambda: model.graph.initializer[rng.integers(len(model.graph.initializer))].dims.append(abs(value)),
        lambda: model.graph.input[0].type.tensor_type.shape.dim[rng.integers(4)].__setattr__("dim_value", value),
        lambda: model.opset_import[0].__setattr__("version", int(rng.integers(0, 30))),
        lambda: node.attribute[rng.integers(len(node.attribute))].ints.__setitem__(0, value),
        lambda: node.attribute[rng.integers(len(node.attribute))].__setattr__("i", value),
        lambda: node.attribute[rng.integers(len(node.attribute))].__setattr__("f", float("nan")),
        lambda: model.graph.initializer[0].__setattr__("data_location", 1),
        lambda: model.graph.initializer[0].__setattr__("data_type", int(rng.integers(0, 24))),
    ]
    changes[rng.integers(len(changes))]()
    return model.SerializeToString()


def entry(data, rng):
    """An .npz that opens, with one array replaced."""
    with np.load(io.BytesIO(bytes(data)), allow_pickle=False) as archive:
        arrays = dict(archive)
    name = "__model__" if rng.random() < 0.4 else list(arrays)[rng.integers(len(arrays))]
    value = arrays[name]
    if name == "__model__":
        arrays[name] = np.array(bytes(digits(bytearray(str(value).encode()), rng)).decode("utf-8", "replace"))
    else:
        others = (
            lambda: value.astype(">f4"), lambda: value.ravel()[:-1], lambda: value * np.float32(np.nan),
            lambda: value.astype(object), lambda: value.astype("c8"), lambda: np.float32(1), lambda: value[None],
            lambda: value.astype("f2"), lambda: np.zeros(value.shape, "S3"),
        )  # fmt: skip
        arrays[name] = others[rng.integers(len(others))]()
    if rng.random() < 0.2:
        arrays[f"{name}{rng.integers(9)}"] = arrays.pop(name)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


MEANT = {".npz": [digits] + [entry] * 6, ".onnx": [attribute] * 12, ".safetensors": [digits] * 6, ".pth": [digits]}


# ------------------------------------------------------------------------------------------------------------ reading


def outcome(path: Path, table: Path | None) -> str:
    """Read a file: "read", or the kind of refusal. Anything else than a refusal in one line is an AssertionError."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = read(path, table=table)
        _check_usable(found, path.with_name("again.npz"))
        what = "read"
    except ValueError as error:
        text = str(error)
        assert text.isprintable() and len(text) < 1000, f"not one line: {text!r}"
        what = "refused, naming a node" if " node '" in text or isinstance(error, NodeError) else "refused"
    took = time.perf_counter() - start
    assert took < SLOW, f"{took:.1f} s"
    return what


def _check_usable(found: Network, path: Path) -> None:
    """What was read can be written and read again, and runs, or says in a ValueError why not."""
    save_model(found, path)
    again = read(path)
    assert repr(again) == repr(found)
    shapes = [found.input_shape, *found.output_shapes().values()] if found.input_shape else []
    if shapes and max(map(math.prod, shapes)) < 10**6:
        with warnings.catch_warnings(), contextlib.suppress(ValueError):
            warnings.simplefilter("ignore")  # overflows
            again.forward(np.ones((*found.input_shape, 1), np.float32))


def fuzz(count: int, seed: int, folder: Path, report=print) -> tuple[Counter, list[str]]:
    """Read `count` damaged files, each drawn from (seed, number): counts of (suffix, outcome), and what was found."""
    files, counts, found = seeds(folder), Counter(), []
    for suffix in files:  # whole files are read
        assert outcome(folder / f"seed{suffix}", folder / "table.json" if suffix == ".pth" else None) == "read"
    for i in range(count):
        suffix = sorted(files)[i % len(files)]
        path = folder / f"fuzzed{suffix}"
        path.write_bytes(damaged(files[suffix], suffix, np.random.default_rng((seed, i))))
        try:
            counts[suffix, outcome(path, folder / "table.json" if suffix == ".pth" else None)] += 1
        except Exception as error:
            found.append(f"input {i}, {suffix}: {type(error).__name__}: {error}")
            report(found[-1])
            counts[suffix, "FOUND"] += 1
        if i % 10_000 == 9_999:
            report(f"{i + 1:,} inputs, {len(found)} found")
    return counts, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder:
        fuzz(20, options.seed, Path(folder), report=lambda text: None)  # everything is imported
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        counts, found = fuzz(options.inputs, options.seed, Path(folder))
    for (suffix, what), number in sorted(counts.items()):
        print(f"{suffix:13} {what:24} {number:9,}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    took = time.perf_counter() - start
    print(f"{options.inputs:,} inputs in {took:.0f} s, peak memory grew by {grown:.0f} MiB, {len(found)} found")
    print("\n".join(found[:50]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
