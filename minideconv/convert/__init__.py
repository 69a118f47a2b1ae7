"""Weights in and out: ONNX, PyTorch's .pth and safetensors -> a model file (.npz), and back to ONNX and safetensors."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

from ..backend import not_finite
from ..files import check_writable, one_line
from ..images import CAFFE, TORCHVISION, Preprocessing
from ..models import ZOO
from ..network import Network
from ..weights import check_words, load_model, save_model
from . import onnx_graph, onnx_in, onnx_out, state_dicts
from .names import layer_names, zoo_name
from .published import PUBLISHED

PRESETS = {"torchvision": TORCHVISION, "caffe": CAFFE}
STATE_DICTS = (".pth", ".pt", ".safetensors")
READ = (".onnx", *STATE_DICTS, ".npz")
WRITERS = {".npz": save_model, ".onnx": onnx_out.save_onnx, ".safetensors": state_dicts.save_safetensors}
LARGEST_MAP = 2**28  # numbers of one image's maps; VGG's largest have 2**21.6
MOST_PARAMETERS = 2**29  # of all layers; VGG19 has 2**27.1


def convert(source, out, *, net: str | None = None, table=None, preprocess: str | None = None, classes=None,
            licence: str | None = None) -> Network:  # fmt: skip
    """Read weights in one format and write them in another.

    Args:
        source: .onnx, .pth, .pt, .safetensors, or a model file or zoo name as `load_model` takes it.
        out: .npz, .onnx or .safetensors.
        net: the zoo net that a state dict belongs to, None for the only one that fits.
        table: path of an explicit layer table for a state dict (`state_dicts`).
        preprocess: "torchvision", "caffe" or the path of a JSON file with the fields of `images.Preprocessing`.
        classes: path of a file with the class names, a line each or a JSON list.
        licence: a note of the weights' licence.
    Returns:
        the net that was written.
    Raises:
        ValueError: if the source cannot be read whole, or `out` not be written; nothing is written then.
    """
    out = Path(out)
    if out.suffix not in WRITERS:
        raise ValueError(f"cannot write {out}: the name must end in {', '.join(WRITERS)}")
    check_writable(out)
    found = read(source, net=net, table=table)
    if preprocess is not None:
        found.preprocessing = _preprocessing(preprocess, found)
    if classes is not None:
        found.classes = _class_names(Path(classes))
    found.licence = licence or found.licence
    _settle_size(found)
    write(found, out)
    return found


def read(source, *, net: str | None = None, table=None) -> Network:
    """The net in a file of any format; arguments as for `convert`."""
    path = Path(source).expanduser()
    if (net or table) and (path.suffix not in STATE_DICTS or (net and table)):
        raise ValueError("--net or --table, one of them, is for state dicts: .pth, .pt, .safetensors")
    if net and net not in ZOO:
        raise ValueError(f"there is no network {net!r}; the zoo has {', '.join(ZOO)}")
    if str(source) in ZOO or path.suffix == ".npz":
        return load_model(source)
    if path.suffix not in READ:
        raise ValueError(f"cannot read {path}: the name must end in {', '.join(READ)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the spelling")
    try:
        found = _from_onnx(path) if path.suffix == ".onnx" else _from_state_dict(path, net, table and Path(table))
        check_words(found)
        _check_numbers(found)
    except ValueError as error:
        text = one_line(error, 400)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    if found.source is None:
        _note_source(found, path)
    return found


def write(net: Network, path: Path) -> None:
    """Write a net in the format of the path's ending."""
    WRITERS[path.suffix](net, path)


def _from_onnx(path: Path) -> Network:
    graph = onnx_graph.read_graph(path)
    stack, about = onnx_in.read_layers(graph), dict(graph.metadata)
    names = about.pop("layers", None)
    if not (isinstance(names, list) and len(names) == len(stack.layers) and all(isinstance(n, str) for n in names)):
        names = layer_names(stack.layers)
    shape = None if None in graph.input_shape else graph.input_shape
    prepared = about.pop("preprocessing", None)
    usual = {"name": zoo_name(stack.layers) or path.stem, "original_names": dict(zip(names, stack.origins))}
    words = ("name", "classes", "source", "sha256", "licence", "original_names")
    about = {**usual, **{word: about[word] for word in words if word in about}}
    net = Network(
        zip(names, stack.layers), input_shape=shape, softmax=stack.softmax,
        preprocessing=Preprocessing.from_dict(prepared) if prepared else None, **about,
    )  # fmt: skip
    for name, maps in (net.output_shapes() if shape else {}).items():
        if math.prod(maps) > LARGEST_MAP:
            raise ValueError(f"the maps of {name} are {' × '.join(map(str, maps))}, larger than any net's")
    return net


def _from_state_dict(path: Path, net: str | None, table: Path | None) -> Network:
    if path.suffix == ".safetensors":
        state, description = state_dicts.read_safetensors(path)
    else:
        state, description = state_dicts.read_pth(path), None
    if table:
        return state_dicts.from_table(state, table, path)
    if description is not None and not net:
        return state_dicts.from_description(state, description, path)
    return state_dicts.from_zoo(state, net, path)


def _check_numbers(net: Network) -> None:
    count = sum(value.size for value in net.parameters().values())
    if count > MOST_PARAMETERS:
        raise ValueError(f"it has {count:,} parameters; {MOST_PARAMETERS:,} are read at most")
    wrong = not_finite(net.parameters())
    if wrong:
        raise ValueError(f"{wrong} holds NaN or infinity")


def _note_source(net: Network, path: Path) -> None:
    """Say where a net comes from: what is known of a published file, else its name; and its sha256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    net.sha256 = digest.hexdigest()
    known = PUBLISHED.get(net.sha256)
    net.source = known.source if known else path.name
    if known:
        net.licence, net.preprocessing = known.licence, known.preprocessing


def _preprocessing(wanted: str, net: Network) -> Preprocessing:
    """A preset, cropped to what the net takes, or the fields of a JSON file."""
    if wanted in PRESETS:
        _, *sizes = net.input_shape or ("C", PRESETS[wanted].crop)
        return replace(PRESETS[wanted], crop=sizes[0] if len(set(sizes)) == 1 else sizes or None)
    try:
        return Preprocessing.from_dict(json.loads(Path(wanted).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(f"there is no preprocessing {wanted!r}; use {', '.join(PRESETS)} or a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{wanted} is no preprocessing: {one_line(error)}") from None


def _class_names(path: Path) -> list[str]:
    """A JSON list of names, or one name a line."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no list of class names ({one_line(error)})") from None


def _settle_size(net: Network) -> None:
    """Take the input's size from the preprocessing where the file left it open; refuse where they contradict."""
    crop = net.preprocessing.crop if net.preprocessing else None
    if crop:
        shape = (len(net.preprocessing.channels), *((crop, crop) if isinstance(crop, int) else crop))
        net.input_shape = net.input_shape or shape
        if net.input_shape != shape:
            found, wanted = (" × ".join(map(str, sizes)) for sizes in (shape, net.input_shape))
            raise ValueError(
                f"the preprocessing gives {found} (channels, rows, columns), but {net.name} takes {wanted}"
            )
    check_words(net)
