"""Every benchmark can at least be started: its imports are there, and it tells what it wants."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NEEDS = {  # beyond what the tests install
    "dezero_step": "dezero", "forward": "torch", "occlusion": "torch", "projections": "captum",
    "training_step": "torch",
}  # fmt: skip
PARTS = ("common", "torch_twin")


@pytest.mark.host
@pytest.mark.parametrize("name", sorted({path.stem for path in BENCHMARKS.glob("*.py")} - set(PARTS)))
def test_a_benchmark_says_what_it_wants(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")
