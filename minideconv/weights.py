"""The model file: one `.npz` that holds everything needed to run a net, and nothing that can run by itself.

It holds the arrays `conv1.weight`, `conv1.bias` … (float32, or float16 to be cast) and one JSON string, `__model__`:
format version, name, input shape, layer table, preprocessing, class names, source, its sha256, licence note.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .backend import to_device, to_numpy
from .files import check_zip, write_whole
from .images import Preprocessing
from .layers import LAYERS, Layer
from .models import ZOO
from .network import Network

FORMAT = 1
CONVERTED = (".onnx", ".pth", ".pt", ".safetensors")  # what `minideconv convert` reads
ASSETS = Path(__file__).parent / "assets"  # what the package carries: zfnet28.npz and pictures
FETCHED = ("alexnet", "vgg16")  # the zoo names that `minideconv fetch` can bring


def cache_folder() -> Path:
    """Where fetched model files live: `MINIDECONV_CACHE`, else `minideconv` in the platform's cache folder."""
    if os.environ.get("MINIDECONV_CACHE"):
        return Path(os.environ["MINIDECONV_CACHE"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minideconv"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "minideconv"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minideconv"


def save_model(net: Network, path, *, dtype: str = "float32") -> Path:
    """Write a net as a model file, beside its final place first: a reader sees the old file or the new one whole.

    Args:
        path: ends in .npz; its folder must exist.
        dtype: "float32", or "float16" for half the size.
    Raises:
        ValueError: if the path is not usable, or a weight is not finite.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"cannot save a model as {path}: the name must end in .npz")
    if dtype not in ("float32", "float16"):
        raise ValueError(f"cannot save a model in {dtype}: use float32, or float16 for half the size")
    arrays = {name: to_numpy(value).astype(dtype) for name, value in net.parameters().items()}
    for name, value in arrays.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{net.name} is not saved: {name} holds NaN or infinity in {dtype}")
    with write_whole(path) as file:
        np.savez(file, __model__=np.array(json.dumps(describe(net), ensure_ascii=False)), **arrays)
    return path


def load_model(source) -> Network:
    """Load a model file, by path or by a zoo name whose weights are in the cache.

    Every name, shape and dtype is checked, and that all numbers are finite, before anything runs.

    Raises:
        FileNotFoundError: if it is not there; the message says how to fetch it.
        ValueError: if the file is not a whole model file.
    """
    path = model_path(source)
    if not path.exists():
        name = str(source)
        if name in FETCHED:
            raise FileNotFoundError(f"{name} is not in the cache ({path}); fetch it: minideconv fetch {name}")
        if name in ZOO:
            raise FileNotFoundError(f"no weights of {name} are in the cache ({path}); give the path of a model file")
        raise FileNotFoundError(f"there is no model file {path}; give a .npz file, or one of: {', '.join(FETCHED)}")
    if path.suffix in CONVERTED:
        raise ValueError(f"{path} is not a model file; convert it first: minideconv convert {path} {path.stem}.npz")
    description, arrays = read_archive(path, "__model__", "a model file", FORMAT)
    return fill(network_of(description, path), arrays, path)


def model_path(source) -> Path:
    """The file behind `source`: a zoo name means the cache, or else what the package carries; all else is a path."""
    if str(source) not in ZOO:
        return Path(source).expanduser()
    cached, carried = (folder / f"{source}.npz" for folder in (cache_folder(), ASSETS))
    return carried if carried.exists() and not cached.exists() else cached


def layer_entry(name: str, layer: Layer) -> dict[str, Any]:
    """One line of the layer table: name, type and options."""
    return {"name": name, "type": type(layer).__name__, **{key: getattr(layer, key) for key in layer.options}}


def describe(net: Network) -> dict[str, Any]:
    """Everything but the arrays, as JSON holds it."""
    return {
        "format": FORMAT, "name": net.name, "input_shape": net.input_shape,
        "layers": [layer_entry(name, layer) for name, layer in net.layers.items()],
        "preprocessing": net.preprocessing.to_dict() if net.preprocessing else None, "classes": net.classes,
        "source": net.source, "sha256": net.sha256, "licence": net.licence,
        "original_names": net.original_names, "softmax": net.softmax,
    }  # fmt: skip


def fingerprint(net: Network) -> str:
    """A sha256 that changes when anything of a net does that a model file holds: layers, weights, preparation."""
    found = hashlib.sha256(json.dumps(describe(net), sort_keys=True).encode())
    for name, value in net.parameters().items():
        found.update(name.encode())
        found.update(np.ascontiguousarray(to_numpy(value)))
    return found.hexdigest()


def read_archive(path, entry: str, what: str, version: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON description and the arrays of a .npz file, as they stand there; pickles are refused.

    Args:
        entry: the name of the JSON string;  what: the kind of file, for messages;  version: its format.
    Raises:
        ValueError: if the file is not whole, or not of that kind or version.
    """
    path = Path(path)
    check_zip(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.zip.namelist():
                _check_claim(archive.zip, name)
            arrays = {name: archive[name] for name in archive.files}
        description = json.loads(str(arrays.pop(entry)))
    except KeyError:
        raise ValueError(f"{path} is not {what}: it has no {entry} entry") from None
    except (PermissionError, FileNotFoundError, MemoryError):
        raise
    except Exception:  # zip, zlib, header and JSON errors of a dozen types: NumPy checks little
        advice = ""
        if path.parent == cache_folder() and path.stem in FETCHED:
            advice = f"; fetch it again: minideconv fetch {path.stem} --force"
        raise ValueError(f"{path} cannot be read as {what}: it is damaged or no .npz file{advice}") from None
    found = description.pop("format", None) if isinstance(description, dict) else None
    if found != version:
        raise ValueError(f"{path} has {what.split(' ', 1)[1]} format {found!r}, but this version reads {version}")
    return description, arrays


def _check_claim(archive, name: str) -> None:
    """Refuse an array whose header claims another size than is there, before NumPy makes room for it."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        if math.prod(shape) * dtype.itemsize != archive.getinfo(name).file_size - member.tell():
            raise ValueError(f"{name} claims the shape {shape}")


def network_of(description: dict[str, Any], path) -> Network:
    """The net of a description, its weights empty; `path` is the file that errors name."""
    try:
        layers = []
        for entry in description["layers"]:
            arguments = dict(entry)
            name, kind = arguments.pop("name"), LAYERS[arguments.pop("type")]
            layers.append((name, kind(**arguments)))
        about = {key: description[key] for key in ("name", "input_shape", "classes", "source", "sha256", "licence")}
        about.update({key: description[key] for key in ("original_names", "softmax") if key in description})
        prepared = description["preprocessing"]
        preprocessing = Preprocessing.from_dict(prepared) if prepared else None
        net = Network(layers, preprocessing=preprocessing, seed=None, **about)
        check_words(net)
    except KeyError as error:
        raise ValueError(f"{path}: its description lacks or does not know {error}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: its description does not fit together: {error}") from None
    return net


def check_words(net: Network) -> None:
    """Refuse a description whose words and numbers cannot be what they stand for."""
    words = (net.name, net.source, net.sha256, net.licence)
    if not isinstance(net.name, str) or not all(word is None or isinstance(word, str) for word in words):
        raise ValueError("name, source, sha256 and licence must be text")
    classes, names, count = net.classes, net.original_names, net.class_count()
    named = isinstance(names, dict) and all(isinstance(text, str) for pair in names.items() for text in pair)
    if not isinstance(net.softmax, bool) or not (names is None or named):
        raise ValueError("softmax must be true or false, original_names a table of names")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError("classes must be a list of names")
    if classes is not None and count not in (None, len(classes)):
        raise ValueError(f"there are {len(classes)} class names for {count} outputs")


def fill(net: Network, arrays: dict[str, np.ndarray], path) -> Network:
    """Give a net its arrays, as float32 on the device.

    Raises:
        ValueError: naming `path`, unless they are exactly what the layer table wants, and finite.
    """
    wanted = {
        f"{name}.{key}": shape for name, layer in net.layers.items() for key, shape in layer.parameter_shapes().items()
    }
    if set(wanted) != set(arrays):
        missing, surplus = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
        raise ValueError(f"{path}: arrays do not match the layers (missing: {missing}, not known: {surplus})")
    for name, shape in wanted.items():
        value = arrays[name]
        if value.shape != shape:
            raise ValueError(f"{path}: {name} has shape {value.shape}, but its layer wants {shape}")
        if value.dtype not in (np.float32, np.float16):
            raise ValueError(f"{path}: {name} is {value.dtype}; expected float32 or float16")
        if not np.isfinite(value).all():
            raise ValueError(f"{path}: {name} holds NaN or infinity")
        layer, key = name.rsplit(".", 1)
        setattr(net.layers[layer], key, to_device(np.ascontiguousarray(value, dtype=np.float32)))
    return net
