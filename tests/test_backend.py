"""Where arrays live: what `MINIDECONV_DEVICE` may say, and errors that name the way out.

There need be no GPU here: a small fake stands in for CuPy wherever one is asked for.
"""

import platform
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from minideconv.backend import DeviceError, array_module, block_bytes, device, to_device, to_numpy


class FakeArray:
    """An array on the fake GPU."""

    def __init__(self, values):
        self.values = values

    def get(self):
        return self.values


class FakeError(Exception):
    """What CuPy raises where CUDA finds no driver."""


def fake_cupy(count, error=None):
    """As much of CuPy as the backend uses, with `count` GPUs; `used` lists those that were chosen."""
    cupy = ModuleType("cupy")
    cupy.used = []

    def device_count():
        if error:
            raise FakeError(error)
        return count

    runtime = SimpleNamespace(getDeviceCount=device_count, CUDARuntimeError=FakeError)
    cupy.cuda = SimpleNamespace(runtime=runtime)
    cupy.cuda.Device = lambda number: SimpleNamespace(use=lambda: cupy.used.append(number))
    cupy.asarray = lambda x: x if isinstance(x, FakeArray) else FakeArray(x)
    cupy.get_array_module = lambda x: cupy if isinstance(x, FakeArray) else np
    return cupy


@pytest.fixture
def machine(monkeypatch):
    """Pretend: `machine("gpu", gpus=2)` is a machine with two GPUs and MINIDECONV_DEVICE=gpu."""

    def pretend(wanted, gpus=None, error=None):
        cupy = None if gpus is None else fake_cupy(gpus, error)
        monkeypatch.setitem(sys.modules, "cupy", cupy)  # None: `import cupy` is an ImportError
        if wanted is None:
            monkeypatch.delenv("MINIDECONV_DEVICE", raising=False)
        else:
            monkeypatch.setenv("MINIDECONV_DEVICE", wanted)
        return cupy

    return pretend


# ---------------------------------------------------------------------------------------------------- the variable


@pytest.mark.parametrize("wanted", [None, "", "  ", "cpu", "CPU", " cpu "])
def test_the_cpu_is_the_default(machine, wanted):
    machine(wanted, gpus=2)
    assert device() is None


@pytest.mark.parametrize("wanted, number", [("gpu", 0), ("GPU", 0), ("gpu:0", 0), (" Gpu:1 ", 1)])
def test_a_gpu_is_chosen_by_its_number(machine, wanted, number):
    machine(wanted, gpus=2)
    assert device() == number


def test_auto_takes_the_first_gpu_if_there_is_one(machine):
    machine("auto", gpus=1)
    assert device() == 0


@pytest.mark.parametrize("gpus, error", [(None, None), (0, None), (0, "no driver")])
def test_auto_takes_the_cpu_if_there_is_no_gpu(machine, gpus, error):
    machine("auto", gpus, error)
    assert device() is None


@pytest.mark.parametrize("wanted", ["tpu", "1", "gpu:", "gpu:x", "gpu:-1", "gpu:1.5", "gpu 1", "cpu:0", "auto:1"])
def test_anything_else_is_refused_with_the_choices(machine, wanted):
    machine(wanted, gpus=2)
    with pytest.raises(DeviceError) as error:
        device()
    for piece in (f"MINIDECONV_DEVICE={wanted}", "not understood", "cpu, gpu, gpu:1 (any number) or auto"):
        assert piece in str(error.value)


@pytest.mark.parametrize("gpus, error, reason, fix", [
    (None, None, "CuPy is not installed", "pip install '.[gpu]'"),
    (0, "driver too old", "CUDA finds no GPU (driver too old)", "nvidia-smi"),
    (2, None, "2 GPUs", "counted from 0"),
])  # fmt: skip
def test_a_gpu_that_cannot_be_used_is_an_error_that_names_the_fix(machine, gpus, error, reason, fix):
    machine("gpu:2", gpus, error)
    with pytest.raises(DeviceError) as raised:
        device()
    for piece in ("MINIDECONV_DEVICE=gpu:2", reason, fix, "MINIDECONV_DEVICE=cpu"):
        assert piece in str(raised.value)


def test_the_error_is_a_runtime_error_and_reaches_whoever_moves_an_array(machine):
    machine("gpu")
    assert issubclass(DeviceError, RuntimeError)
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        to_device(np.ones(3))


# ---------------------------------------------------------------------------------------------------- moving arrays


def test_on_the_cpu_an_array_that_is_there_already_is_returned_as_it_is(machine):
    machine("cpu")
    x = np.ones(3)
    assert to_device(x) is x
    assert to_numpy(x) is x


def test_on_the_cpu_cupy_is_neither_needed_nor_imported(machine, monkeypatch):
    machine("cpu")
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.setattr(sys, "meta_path", [])  # any import that is not there yet now fails
    x = np.ones(3)
    assert (array_module(x), block_bytes(x) > 0, to_numpy(to_device(x)) is x) == (np, True, True)


def test_an_array_goes_to_the_chosen_gpu_and_back(machine):
    cupy = machine("gpu:1", gpus=2)
    x = np.ones(3)
    moved = to_device(x)
    assert isinstance(moved, FakeArray)
    assert cupy.used == [1]
    assert to_numpy(moved) is x


def test_on_the_gpu_an_array_that_is_there_already_is_returned_as_it_is(machine):
    machine("gpu", gpus=1)
    x = FakeArray(np.ones(3))
    assert to_device(x) is x


def test_a_gpu_array_comes_to_the_cpu_when_that_is_the_device(machine):
    machine("cpu", gpus=1)
    x = FakeArray(np.ones(3))
    assert to_device(x) is x.values


def test_the_module_of_an_array_follows_the_array_not_the_variable(machine):
    cupy = machine("cpu", gpus=1)
    assert array_module(FakeArray(np.ones(3))) is cupy
    machine("gpu", gpus=1)
    assert array_module(np.ones(3)) is np
    assert array_module(1.5) is np


def test_a_gpu_is_given_larger_blocks(machine):
    machine("gpu", gpus=1)
    assert block_bytes(FakeArray(np.ones(3))) > block_bytes(np.ones(3)) > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_memory_that_was_freed_is_used_again_without_asking_the_system():
    program = """
import resource
import numpy as np
from minideconv.backend import keep_freed_memory
keep_freed_memory()
faults = []
for _ in range(3):
    array = np.ones(2**24, np.float32)  # 64 MiB, more than glibc keeps by itself
    del array
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
assert faults[2] - faults[1] < 20, faults
"""
    if "glibc" in platform.libc_ver():
        subprocess.run([sys.executable, "-c", program], check=True)
