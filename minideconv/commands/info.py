"""`minideconv info`: what is in a model file, and what this machine computes with."""

from __future__ import annotations

from .shared import new_command


def add(commands) -> None:
    command = new_command(
        commands, "info", run, "what is in a model file, and what this machine computes with",
        "minideconv info alexnet\n  minideconv info",
    )  # fmt: skip
    command.add_argument("model", nargs="?", metavar="MODEL", help="a zoo name or a model file; none: the machine only")


def run(options) -> None:
    """Print a model's table and where it comes from, or the versions and devices in use."""
    from ..machine import machine_lines
    from ..models import ZOO, build
    from ..weights import FETCHED, load_model, model_path

    if options.model is None:
        print("\n".join(machine_lines()))
        return
    path = model_path(options.model)
    if options.model in ZOO and not path.exists():
        print(build(options.model))
        fetched = f"; fetch them: minideconv fetch {options.model}" if options.model in FETCHED else ""
        print(f"\nno weights of {options.model} are in the cache ({path}){fetched}")
        return
    net = load_model(options.model)
    print(net)
    last = list(net.output_shapes().values())[-1] if net.input_shape else ()
    classes = f"{len(net.classes)} names" if net.classes else "no names"
    print(f"\nfile           {path}")
    print(f"classifier     {f'{last[0]} classes, {classes}' if len(last) == 1 else 'no classifier'}")
    print(f"preprocessing  {net.preprocessing or 'unknown'}")
    print(f"source         {net.source or 'unknown'}\nsha256         {net.sha256 or 'unknown'}")
    print(f"licence        {net.licence or 'unknown'}")
