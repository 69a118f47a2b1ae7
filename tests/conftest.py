"""How hard Hypothesis tries, and the machine that tests pretend.

Always the same few examples; `--hypothesis-profile=long` tries many new ones; on the stand-in for CuPy (stand_in/cupy),
where the same code has only to run on device arrays, fewer do.
"""

import importlib
import os
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from minideconv import backend

STAND_IN = Path(__file__).parent / "stand_in"
collect_ignore = ["stand_in"]

slow: dict = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, database=None, max_examples=60, **slow)
settings.register_profile("device", derandomize=True, database=None, max_examples=15, **slow)
settings.register_profile("long", max_examples=1000, **slow)
settings.load_profile("ci" if os.environ.get("MINIDECONV_DEVICE", "cpu") == "cpu" else "device")


@cache
def stand_in_modules():
    """{name: module} of the stand-in for CuPy, imported once and beside whatever `cupy` is loaded."""
    others = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "cupy"}
    sys.path.insert(0, str(STAND_IN))
    try:
        importlib.import_module("cupy")
        return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "cupy"}
    finally:
        sys.path.remove(str(STAND_IN))
        sys.modules.update(others)


@pytest.fixture
def stand_in(monkeypatch):
    """CuPy's stand-in in place of CuPy, with one GPU of 64 GiB; its `simulated` changes that and counts copies."""
    loaded = sys.modules.get("cupy")
    if not hasattr(loaded, "simulated"):
        for name, module in stand_in_modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    cupy = sys.modules["cupy"]
    cupy.simulated.reset()
    backend._gpu_block_bytes.cache_clear()
    yield cupy
    cupy.simulated.reset()
    backend._gpu_block_bytes.cache_clear()
