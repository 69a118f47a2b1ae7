"""What CuPy has, read from api.txt: names, and what functions and array methods take."""

import inspect
from pathlib import Path

FIRST, *LINES = (Path(__file__).parent / "api.txt").read_text(encoding="utf-8").splitlines()
VERSION = FIRST.split()[-1]


def _signature(arguments):
    found = {}
    exec(f"def function({arguments}: pass", found)  # all defaults are None
    return inspect.signature(found["function"])


SIGNATURES = {  # {name: Signature, or None for what is no function}; methods are called ndarray.sum …
    name: _signature(arguments) if arguments else None for name, _, arguments in (line.partition("(") for line in LINES)
}


def check(name, args, kwargs):
    """Refuse arguments that CuPy's function does not take."""
    try:
        SIGNATURES[name].bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"cupy.{name}: {error}") from None
