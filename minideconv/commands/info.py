"""`minideconv info`: what is in a model file, and what this machine computes with."""

from __future__ import annotations

from .shared import new_command


def add(commands) -> None:
    command = new_command(
        commands, "info", run, "what is in a model file, and what this machine computes with",
        "minideconv info alexnet\n  minideconv info\n  minideconv info vgg16 --table > table.json",
    )  # fmt: skip
    command.add_argument("model", nargs="?", metavar="MODEL", help="a zoo name or a model file; none: the machine only")
    command.add_argument("--table", action="store_true", help="the layer table as JSON, as convert --table takes it")


def run(options) -> None:
    """Print a model's table and where it comes from, or the versions and devices in use."""
    from ..machine import machine_lines
    from ..models import ZOO, build
    from ..weights import FETCHED, load_model, model_path

    if options.model is None:
        print("\n".join(machine_lines()))
        return
    path = model_path(options.model)
    if options.table:
        _print_table(options.model)
        return
    if options.model in ZOO and not path.exists():
        print(build(options.model))
        fetched = f"; fetch them: minideconv fetch {options.model}" if options.model in FETCHED else ""
        print(f"\nno weights of {options.model} are in the cache ({path}){fetched}")
        return
    net = load_model(options.model)
    print(net)
    count = net.class_count()
    classes = f"{len(net.classes)} names" if net.classes else "no names"
    print(f"\nfile           {path}")
    print(f"classifier     {f'{count} classes, {classes}' if count else 'no classifier'}")
    print(f"preprocessing  {net.preprocessing or 'unknown; write it into the file: minideconv convert --preprocess'}")
    print(f"source         {net.source or 'unknown'}\nsha256         {net.sha256 or 'unknown'}")
    print(f"licence        {net.licence or 'unknown'}")
    if net.original_names:
        pairs = ", ".join(f"{layer} = {name}" for layer, name in net.original_names.items() if layer in net.layers)
        print(f"originally     {pairs}{', softmax at the end' if net.softmax else ''}")


def _print_table(model) -> None:
    """The layer table as JSON, each layer with its place in torchvision's state dict."""
    import json

    from ..convert.state_dicts import torch_places
    from ..models import ZOO
    from ..weights import layer_entry, load_model

    if model in ZOO:
        table, shape, _ = ZOO[model]
        layers = table()
    else:
        net = load_model(model)
        layers, shape = list(net.layers.items()), net.input_shape
    places = torch_places(layers)
    entries = [
        {**layer_entry(name, layer), **({"from": places[name]} if name in places else {})} for name, layer in layers
    ]
    lines = ",\n    ".join(json.dumps(entry) for entry in entries)
    print(f'{{"name": {json.dumps(str(model))}, "input_shape": {json.dumps(shape)}, "layers": [\n    {lines}]}}')
