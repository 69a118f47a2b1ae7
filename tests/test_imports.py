"""Imports run one way, read from the source; and `import minideconv` stays about as fast as `import numpy`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minideconv

pytestmark = pytest.mark.host  # reads source files

PACKAGE = Path(minideconv.__file__).parent
ORDER = (  # a file may import from the lines above its own; files of one folder may also import each other
    ("backend",),
    ("parallel",),
    ("functional",),
    ("files",),
    ("photos", "display", "encoding", "figures"),
    ("archives", "downloads"),
    ("layers", "images"),
    ("summary", "miniatures", "initial_weights"),
    ("network",),
    ("windows",),
    ("models", "deconvnet"),
    ("weights",),
    ("official", "checkpoints", "augmentation", "evaluation", "optimizer"),
    ("datasets", "convert", "fetch", "folder_evaluation"),
    ("training", "embedded"),
    ("curves",),
    ("sheet_parts",),
    ("sheets", "photo_sheet", "machine"),
    ("experiments",),
    ("atlas",),
    ("demo",),
    ("commands",),
    ("cli",),
    ("__init__", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
HEAVY = (
    "scipy",
    "matplotlib",
    "jinja2",
    "tqdm",
    "PIL",
    "torch",
    "cupy",
    "onnx",
    "safetensors",
    "sklearn",
    "threadpoolctl",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def label(path):
    return path.relative_to(PACKAGE).as_posix()


def part(path):
    """Which name of `ORDER` a file belongs to: itself, or the folder it lies in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source, package):
    """Every module that `source`, a file of `package`, may import, as full dotted names; wherever it says so.

    `from a import b` counts as a.b: whether b is a module or a name in one is the same for this test.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def imports(path):
    package = ".".join(["minideconv", *path.relative_to(PACKAGE).parts[:-1]])
    return list(imported(path.read_text(encoding="utf-8"), package))


def test_the_reader_of_imports_sees_every_form():
    source = "import os.path\nfrom . import a\nfrom ..b import c\ndef f():\n    from d.e import g, h"
    assert list(imported(source, "minideconv.x")) == ["os.path", "minideconv.x.a", "minideconv.b.c", "d.e.g", "d.e.h"]


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_file_has_its_place_in_the_order(path):
    assert part(path) in RANK, f"give {label(path)} a line in ORDER"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_file_imports_only_from_below(path):
    own, wrong = part(path), []
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "minideconv" or parts[1] == "__version__":
            continue
        other = parts[1] if parts[1] in RANK else "__init__"  # a name that the whole package exports
        if not (RANK[other] < RANK.get(own, 0) or (other == own and (PACKAGE / own).is_dir())):
            wrong.append(name)
    assert not wrong, f"{label(path)} imports from above or beside: {wrong}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_only_the_backend_imports_cupy(path):
    asks = [name for name in imports(path) if name.split(".")[0].startswith("cupy")]
    assert not asks or label(path) == "backend.py"


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, minideconv; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, timeout=60
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")
