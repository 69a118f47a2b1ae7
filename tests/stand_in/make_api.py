"""Write cupy/api.txt: every public name of CuPy, and what its functions and array methods take.

    pip install cupy-cuda13x && python tests/stand_in/make_api.py

Needs no GPU. A line is a name; a function has its arguments behind it, all defaults written as None. The names and
arguments are facts about CuPy's interface; they were read from the version in the first line.
"""

import inspect
import re
from pathlib import Path

import cupy

SIGNATURE = re.compile(r"(?:_ndarray_base\.)?\w+(\(.*?\))(?: ->.*)?$")
PARAMETER = re.compile(r"^(?:.* )?(\**\w+)(?:=.*)?$")  # "tuple options=()" -> options


def main():
    (Path(__file__).parent / "cupy" / "api.txt").write_text("\n".join(lines()) + "\n", encoding="utf-8")


def lines():
    """The file, line by line."""
    found = [f"# CuPy {cupy.__version__}"]
    for name in sorted(name for name in dir(cupy) if not name.startswith("_")):
        value = getattr(cupy, name)
        if not inspect.ismodule(value):
            found.append(name + arguments(value))
    for name in sorted(name for name in dir(cupy.ndarray) if not name.startswith("_")):
        found.append(f"ndarray.{name}" + arguments(getattr(cupy.ndarray, name), method=True))
    return found


def arguments(value, method=False):
    """What is in the parentheses, with None for every default; nothing for what cannot be called."""
    if isinstance(value, cupy.ufunc):
        inputs = ", ".join(f"x{number + 1}" for number in range(value.nin))
        return f"({inputs}, /, out=None, *, casting=None, dtype=None)"
    if not callable(value) or isinstance(value, type):
        return ""
    try:
        parameters = list(inspect.signature(value).parameters.values())
        some = [p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else None) for p in parameters]
        return str(inspect.Signature(some[1:] if method else some))
    except ValueError:  # compiled: the first line of the documentation says it
        found = SIGNATURE.match((value.__doc__ or "").strip().split("\n")[0])
        if not found:
            return ""
        parts = [part.strip() for part in found[1][1:-1].split(",") if part.strip()]
        names = [part if part in "*/" else PARAMETER.match(part)[1] + (part.partition("=")[1] and "=None")
                 for part in parts]  # fmt: skip
        return f"({', '.join(names[1:] if method else names)})"


if __name__ == "__main__":
    main()
