"""The model file: one `.npz` that holds everything needed to run a net, and nothing that can run by itself.

It holds the arrays `conv1.weight`, `conv1.bias` … (float32, or float16 to be cast) and one JSON string, `__model__`:
format version, name, input shape, layer table, preprocessing, class names, source, its sha256, licence note.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .backend import to_device, to_numpy
from .files import write_whole
from .images import Preprocessing
from .layers import LAYERS
from .models import ZOO
from .network import Network

FORMAT = 1
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
    description, arrays = read_archive(path, "__model__", "a model file", FORMAT)
    net = _rebuild(description, path)
    for name, value in _checked(arrays, net, path).items():
        layer, key = name.rsplit(".", 1)
        setattr(net.layers[layer], key, to_device(value))
    return net


def model_path(source) -> Path:
    """The file behind `source`: a zoo name means the cache, everything else is a path."""
    return cache_folder() / f"{source}.npz" if str(source) in ZOO else Path(source).expanduser()


def describe(net: Network) -> dict[str, Any]:
    """Everything but the arrays, as JSON holds it."""
    layers = [
        {"name": name, "type": type(layer).__name__, **{option: getattr(layer, option) for option in layer.options}}
        for name, layer in net.layers.items()
    ]
    return {
        "format": FORMAT, "name": net.name, "input_shape": net.input_shape, "layers": layers,
        "preprocessing": net.preprocessing.to_dict() if net.preprocessing else None, "classes": net.classes,
        "source": net.source, "sha256": net.sha256, "licence": net.licence,
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
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
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


def _rebuild(description, path) -> Network:
    """The net of a description, its weights empty."""
    try:
        layers = []
        for entry in description["layers"]:
            arguments = dict(entry)
            name, kind = arguments.pop("name"), LAYERS[arguments.pop("type")]
            layer = kind(**arguments)
            for key, shape in layer.parameter_shapes().items():
                setattr(layer, key, np.broadcast_to(np.float32(0), shape))  # no memory: replaced by the file's arrays
            layers.append((name, layer))
        about = {key: description[key] for key in ("name", "input_shape", "classes", "source", "sha256", "licence")}
        prepared = description["preprocessing"]
        net = Network(layers, preprocessing=Preprocessing.from_dict(prepared) if prepared else None, **about)
        _check_words(net)
    except KeyError as error:
        raise ValueError(f"{path}: its description lacks or does not know {error}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: its description does not fit together: {error}") from None
    return net


def _check_words(net) -> None:
    """Refuse a description whose words and numbers cannot be what they stand for."""
    words = (net.name, net.source, net.sha256, net.licence)
    if not isinstance(net.name, str) or not all(word is None or isinstance(word, str) for word in words):
        raise ValueError("name, source, sha256 and licence must be text")
    outputs = list(net.output_shapes().values())[-1] if net.input_shape else ()
    classes = net.classes
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError("classes must be a list of names")
    if classes is not None and len(outputs) == 1 and outputs != (len(classes),):
        raise ValueError(f"there are {len(classes)} class names for {outputs[0]} outputs")


def _checked(arrays, net, path) -> dict[str, np.ndarray]:
    """The file's arrays as float32, refused unless they are exactly what the layer table wants."""
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
        arrays[name] = np.ascontiguousarray(value, dtype=np.float32)
    return arrays
