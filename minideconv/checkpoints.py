"""Checkpoints: everything a training run needs to go on as if it had never stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .backend import to_device, to_numpy
from .files import write_whole
from .weights import describe, read_archive

FORMAT = 1


def save_checkpoint(path, net, velocity: dict[str, Any], state: dict[str, Any]) -> None:
    """Write weights, velocities and `state` (JSON values) to one .npz, beside its place first."""
    arrays = {name: to_numpy(value) for name, value in net.parameters().items()}
    arrays |= {f"velocity {name}": to_numpy(value) for name, value in velocity.items()}
    text = json.dumps({"format": FORMAT, "layers": describe(net)["layers"], **state}, ensure_ascii=False)
    with write_whole(path) as file:
        np.savez(file, __checkpoint__=np.array(text), **arrays)


def load_checkpoint(path, net, velocity: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Put a checkpoint's weights and velocities into `net` and `velocity`, and return its state.

    Args:
        settings: what the run is asked to do; JSON values.
    Raises:
        ValueError: if the file is not whole, or is of another net or other settings; nothing has been changed then.
    """
    state, arrays = read_archive(Path(path), "__checkpoint__", "a checkpoint", FORMAT)
    if state.get("layers") != json.loads(json.dumps(describe(net)["layers"])):
        raise ValueError(f"{path} is a checkpoint of another net; train that net, or start anew with another file")
    before, now = state.get("settings", {}), json.loads(json.dumps(settings))
    changed = [f"{key} was {before.get(key)!r}" for key in now if before.get(key) != now[key]]
    if changed:
        raise ValueError(f"{path} was trained with other settings ({', '.join(changed)}); use those, or start anew")
    wanted = {**net.parameters(), **{f"velocity {name}": value for name, value in velocity.items()}}
    if {name: value.shape for name, value in wanted.items()} != {name: value.shape for name, value in arrays.items()}:
        raise ValueError(f"{path} is damaged: its arrays do not match its layers; start anew with another file")
    for name in velocity:
        layer, key = name.rsplit(".", 1)
        setattr(net.layers[layer], key, to_device(arrays[name]))
        velocity[name] = to_device(arrays[f"velocity {name}"])
    return state
