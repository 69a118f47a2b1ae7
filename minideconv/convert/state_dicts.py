"""State dicts of PyTorch, as .pth or .safetensors: for the zoo by torchvision's parameter names, else by a table.

A table is the layer table of a model file, as `minideconv info NET --table` prints it. In it "from" says where in the
state dict a layer's weight and bias are, and "batch_norm" where the batch normalisation is that follows it:

    {"input_shape": [3, 32, 32], "layers": [
      {"name": "conv1", "type": "Conv2d", "in_channels": 3, …, "from": "features.0", "batch_norm": "features.1"}, …]}
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..files import check_zip, one_line, write_whole
from ..layers import Flatten, Layer
from ..models import ZOO
from ..network import Network
from ..weights import FORMAT, describe, fill, layer_entry, network_of
from .folding import fold_batch_norm
from .names import convolutional, zoo_name

METADATA = "minideconv"
UNKNOWN = dict.fromkeys(("input_shape", "classes", "source", "sha256", "licence", "preprocessing"))
WRAPPERS = ("state_dict", "model_state_dict", "model")  # training scripts keep the state dict under one of these
NORM_KEYS = ("weight", "bias", "running_mean", "running_var")


class Stored(NamedTuple):
    """An array of a file: its shape, and how to read it as float32."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


StateDict = dict[str, Stored]


# ----------------------------------------------------------------------------------------------------------- the files


def read_pth(path: Path) -> StateDict:
    """The tensors of a .pth or .pt file. Torch reads it, and nothing in it is run.

    Raises:
        ValueError: if torch is not installed, or the file is not a state dict alone.
    """
    try:
        import torch
    except ImportError:
        raise ValueError("reading .pth needs PyTorch: pip install torch; .safetensors and .onnx do not") from None
    check_zip(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError):
        raise
    except MemoryError:  # the length of a text is believed
        raise ValueError("it is damaged, or larger than this machine's memory; get it again") from None
    except pickle.UnpicklingError:  # torch's own message advises to run the pickle
        raise ValueError("it holds more than arrays, or is damaged; save model.state_dict()") from None
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ValueError(f"it is damaged or no file of PyTorch ({one_line(error, 100)}); get it again") from None
    for key in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    named = loaded.items() if isinstance(loaded, dict) else ()
    tensors = {name: value for name, value in named if torch.is_tensor(value)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise ValueError("it holds no named arrays; save model.state_dict()")
    return {name: Stored(tuple(value.shape), _tensor_reader(name, value)) for name, value in tensors.items()}


def _tensor_reader(name, tensor):
    def read():
        try:
            return tensor.detach().float().numpy()
        except Exception as error:  # sparse, quantized, without storage …
            raise ValueError(f"{name} cannot be read ({one_line(error)}); save it as float32") from None

    return read


def read_safetensors(path: Path) -> tuple[StateDict, dict[str, Any] | None]:
    """The arrays of a .safetensors file, and the description if it is one of ours.

    Raises:
        ValueError: if safetensors is not installed, or the file is damaged.
    """
    safetensors = _imported()
    try:
        file = safetensors.safe_open(path, framework="np")
        names, metadata = list(file.keys()), file.metadata() or {}
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        description = json.loads(metadata[METADATA]) if METADATA in metadata else None
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"it is damaged or no safetensors file ({one_line(error)}); get it again") from None
    return {name: Stored(shape, _slice_reader(file, name)) for name, shape in shapes.items()}, description


def _slice_reader(file, name):
    def read():
        try:
            array = file.get_tensor(name)
        except Exception as error:  # bfloat16, float8 …
            raise ValueError(f"{name} cannot be read ({one_line(error)}); save it as float32") from None
        return array.astype(np.float32, copy=False)

    return read


def save_safetensors(net: Network, path: Path) -> None:
    """Write a net's arrays under torchvision's names if it is of the zoo, else under its own, with its description.

    Raises:
        ValueError: if safetensors is not installed, or the path cannot be written.
    """
    _imported()
    from safetensors.numpy import save

    places = _own_places(net)
    arrays = {f"{places[name]}.{key}": np.ascontiguousarray(to_numpy(getattr(layer, key)), np.float32)
              for name, layer in net.layers.items() for key in layer.parameters}  # fmt: skip
    data = save(arrays, {METADATA: json.dumps(describe(net), ensure_ascii=False)})
    with write_whole(path) as file:
        file.write(data)


def _imported():
    try:
        import safetensors
    except ImportError:
        raise ValueError("safetensors files need the package: pip install 'minideconv[convert]'") from None
    return safetensors


# ---------------------------------------------------------------------------------------------- which array is whose


def torch_places(layers: list[tuple[str, Layer]]) -> dict[str, str]:
    """{layer: where torchvision keeps its parameters}: features.0, features.3 … classifier.1, counted layer by layer.

    >>> torch_places(ZOO["alexnet"][0]())["fc6"]
    'classifier.1'
    """
    places, part, index = {}, "features", 0
    for name, layer in layers:
        if isinstance(layer, Flatten):
            part, index = "classifier", 0
            continue
        if layer.parameters:
            places[name] = f"{part}.{index}"
        index += 1
    return places


def _own_places(net: Network) -> dict[str, str]:
    """Where `save_safetensors` puts each layer of a net."""
    trained = [name for name, layer in net.layers.items() if layer.parameters]
    zoo = zoo_name(list(net.layers.values()))
    return dict(zip(trained, torch_places(ZOO[zoo][0]()).values() if zoo else trained))


def from_description(state: StateDict, description, path: Path) -> Network:
    """The net of a file that we wrote."""
    if not isinstance(description, dict) or description.pop("format", None) != FORMAT:
        raise ValueError(f"its description is not of format {FORMAT}; give --net or --table")
    net = network_of(description, path)
    names = net.original_names
    net = _filled(net, state, _own_places(net), {}, path)
    net.original_names = names  # those of the file before
    return net


def from_zoo(state: StateDict, name: str | None, path: Path) -> Network:
    """The zoo net whose parameters these are, whole or without its classifier.

    Args:
        name: which; None for the only one that fits.
    Raises:
        ValueError: if none fits, or several do.
    """
    shapes = {key: stored.shape for key, stored in _without_module(state).items()}
    features = not any(key.startswith("classifier.") for key in shapes)
    fitting = [zoo for zoo in ([name] if name else ZOO) if name or shapes == _torch_shapes(zoo, features)]
    if len(fitting) != 1:
        fits = f"fits {' and '.join(fitting)}; say which: --net NAME"
        none = "fits no net of the zoo by torchvision's names; give --net NAME to see what differs, or --table FILE"
        raise ValueError(f"it {fits if fitting else none}")
    table, shape, _ = ZOO[fitting[0]]
    layers = convolutional(table()) if features else table()
    described = {"name": fitting[0], "input_shape": shape, "layers": [layer_entry(*pair) for pair in layers]}
    return _filled(network_of({**UNKNOWN, **described}, path), state, torch_places(layers), {}, path)


def from_table(state: StateDict, table: Path, path: Path) -> Network:
    """The net of an explicit table; see the top of this file.

    Raises:
        ValueError: if the table is none, or its places do not fit the arrays.
    """
    try:
        described = json.loads(table.read_text(encoding="utf-8"))
        layers = [dict(entry) for entry in described["layers"]]
        places = {entry["name"]: entry.pop("from") for entry in layers if "from" in entry}
        norms = {entry["name"]: entry.pop("batch_norm") for entry in layers if "batch_norm" in entry}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{table} is no layer table ({one_line(error)}); see minideconv info alexnet --table"
        ) from None
    net = network_of({**UNKNOWN, "name": table.stem, **described, "layers": layers}, table)
    return _filled(net, state, places, norms, path)


def _torch_shapes(zoo: str, features: bool) -> dict[str, tuple[int, ...]]:
    """{torchvision's name: shape} of a zoo net, or of its convolutional part."""
    table = convolutional(ZOO[zoo][0]()) if features else ZOO[zoo][0]()
    places = torch_places(table)
    return {f"{places[name]}.{key}": shape for name, layer in table for key, shape in layer.parameter_shapes().items()}


def _without_module(state: StateDict) -> StateDict:
    """DataParallel puts "module." before every name."""
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: stored for name, stored in state.items()}


def _filled(net: Network, state: StateDict, places: dict[str, str], norms: dict[str, str], path: Path) -> Network:
    """Read each layer's arrays from its place; every array of the file must be used, every shape fit."""
    state, wanted = _without_module(state), {}
    for name, layer in net.layers.items():
        for key, shape in layer.parameter_shapes().items():
            wanted[f"{places.get(name, name)}.{key}"] = shape
    outputs = {name: layer.parameter_shapes().get("weight", (0,))[:1] for name, layer in net.layers.items()}
    for name, place in norms.items():
        if name not in outputs:
            raise ValueError(f"there is no layer {name!r} for a batch_norm")
        wanted.update({f"{place}.{key}": outputs[name] for key in NORM_KEYS})
    _check_shapes(state, wanted)
    arrays = {f"{name}.{key}": state[f"{places.get(name, name)}.{key}"].read()
              for name, layer in net.layers.items() for key in layer.parameters}  # fmt: skip
    for name, place in norms.items():
        layer = net.layers[name]
        layer.weight, layer.bias = arrays[f"{name}.weight"], arrays.get(f"{name}.bias")
        fold_batch_norm(layer, *(state[f"{place}.{key}"].read() for key in NORM_KEYS), 1e-5)
        arrays.update({f"{name}.{key}": getattr(layer, key).astype(np.float32) for key in layer.parameters})
    fill(net, arrays, path)
    net.original_names = {name: places[name] + (f" + {norms[name]}" if name in norms else "") for name in places}
    return net


def _check_shapes(state: StateDict, wanted: dict[str, tuple[int, ...]]) -> None:
    for name, shape in wanted.items():
        found = state[name].shape if name in state else "missing"
        if found != shape:
            raise ValueError(f"{name} is {found}, but its layer wants {shape}")
    surplus = [name for name in state if name not in wanted and not name.endswith(".num_batches_tracked")]
    if surplus:
        raise ValueError(f"no layer wants {', '.join(surplus[:3])}{' …' if len(surplus) > 3 else ''}")
