"""Where arrays live: what `MINIDECONV_DEVICE` may say, errors that name the way out, memory.

There need be no GPU here: the stand-in for CuPy (stand_in/cupy) pretends one wherever it is asked for.
"""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from minideconv.backend import (
    DeviceError,
    array_module,
    block_bytes,
    device,
    gpu_description,
    not_finite,
    room,
    tf32,
    to_device,
    to_numpy,
)
from minideconv.machine import machine_lines

pytestmark = pytest.mark.host  # pretends machines of its own


@pytest.fixture
def machine(monkeypatch, stand_in):
    """Pretend: `machine("gpu", gpus=2)` is a machine with two GPUs and MINIDECONV_DEVICE=gpu."""

    def pretend(wanted, gpus=None, error=None):
        monkeypatch.setitem(sys.modules, "cupy", None if gpus is None else stand_in)  # None: it cannot be imported
        stand_in.simulated.gpus, stand_in.simulated.driver_error = gpus or 0, error
        if wanted is None:
            monkeypatch.delenv("MINIDECONV_DEVICE", raising=False)
        else:
            monkeypatch.setenv("MINIDECONV_DEVICE", wanted)
        return stand_in

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
    (2, None, "there are only 2 GPUs", "counted from 0"),
    (1, None, "there is only 1 GPU,", "counted from 0"),
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
    assert isinstance(moved, cupy.ndarray) and cupy.simulated.used == [1]
    x[0] = 5  # it is a copy
    assert to_numpy(moved).tolist() == [1, 1, 1]


def test_on_the_gpu_an_array_that_is_there_already_is_returned_as_it_is(machine):
    machine("gpu", gpus=1)
    x = to_device(np.ones(3))
    assert to_device(x) is x


def test_a_gpu_array_comes_to_the_cpu_when_that_is_the_device(machine):
    machine("gpu", gpus=1)
    x = to_device(np.ones(3))
    machine("cpu", gpus=1)
    assert type(to_device(x)) is np.ndarray


def test_the_module_of_an_array_follows_the_array_not_the_variable(machine):
    cupy = machine("gpu", gpus=1)
    x = to_device(np.ones(3))
    machine("cpu", gpus=1)
    assert array_module(x) is cupy
    machine("gpu", gpus=1)
    assert array_module(np.ones(3)) is np
    assert array_module(1.5) is np


@pytest.mark.parametrize("wanted, gpus, error, line", [
    (None, None, None, "device: CPU (no GPU: CuPy is not installed: pip install '.[gpu]' (for CUDA 13) or '.[gpu12]'"),
    ("auto", 0, "no driver", "device: CPU (no GPU: CUDA finds no GPU (no driver): see nvidia-smi"),
    ("cpu", 1, None, "device: CPU (set MINIDECONV_DEVICE=gpu to use GPU 0, a pretended GPU, 64.0 of 64.0 GiB free, "),
    ("gpu:1", 2, None, "device: GPU 1, a pretended GPU, 64.0 of 64.0 GiB free, CuPy"),
    ("gpu", 0, "no driver", "device: none (MINIDECONV_DEVICE=gpu, but CUDA finds no GPU (no driver)"),
])  # fmt: skip
def test_info_says_which_device_there_is_or_why_there_is_none(machine, wanted, gpus, error, line):
    machine(wanted, gpus, error)
    assert machine_lines()[-1].startswith(line)


# ---------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_the_first_array_that_is_not_finite_is_named_with_one_copy(machine, where):
    cupy = machine(where, gpus=1)
    fine, huge = np.ones((2, 3), np.float32), np.full(9, 3e38, np.float32)  # whose sum is infinite, but no entry
    wrong = np.array([[1, -np.inf, np.inf]], np.float32)
    arrays = {name: to_device(x) for name, x in {"a": fine, "b": fine * 2, "c": wrong, "d": wrong}.items()}
    assert not_finite(arrays) == "c"
    arrays = {"a": arrays["a"], "b": arrays["b"]}
    cupy.simulated.downloads.clear()
    assert not_finite(arrays) is None and not_finite({}) is None
    assert len(cupy.simulated.downloads) == (where == "gpu")
    assert not_finite({"huge": to_device(huge)}) is None


@pytest.mark.parametrize("wanted, asked", [(None, False), ("", False), ("0", False), ("1", True)])
def test_tf32_is_used_only_when_asked_for(machine, monkeypatch, wanted, asked):
    cupy = machine("gpu", gpus=1)
    monkeypatch.setenv("CUPY_TF32", "1")  # CuPy's own variable does not decide
    if wanted is None:
        monkeypatch.delenv("MINIDECONV_TF32", raising=False)
    else:
        monkeypatch.setenv("MINIDECONV_TF32", wanted)
    to_device(np.ones(3))
    assert (tf32(), os.environ["CUPY_TF32"] == "1") == (asked, asked)
    assert f"matrix products in {'TF32' if asked else 'float32'}" in gpu_description(0)
    assert f"CuPy {cupy.__version__}, CUDA 13.2 (driver: 13.1)" in gpu_description(0)


def test_another_word_for_tf32_is_refused(machine, monkeypatch):
    machine("gpu", gpus=1)
    monkeypatch.setenv("MINIDECONV_TF32", "yes")
    with pytest.raises(DeviceError, match="MINIDECONV_TF32=yes is not understood; use 1 or 0"):
        to_device(np.ones(3))


# ---------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("gigabytes, mebibytes", [(80, 256), (4, 256), (3, 128), (1, 64), (0.125, 8)])
def test_blocks_follow_the_memory_of_a_gpu_in_powers_of_two(machine, gigabytes, mebibytes):
    cupy = machine("gpu", gpus=1)
    cupy.simulated.memory = int(gigabytes * 2**30) + cupy.simulated.in_use + 1000
    assert block_bytes(to_device(np.ones(3))) == mebibytes * 2**20
    cupy.simulated.memory *= 2
    assert block_bytes(to_device(np.ones(3))) == mebibytes * 2**20  # asked once: results must not change in a run
    assert block_bytes(np.ones(3)) == 2**22


def test_where_it_is_ours_to_choose_work_fits_into_a_quarter_of_the_gpu(machine):
    cupy = machine("gpu", gpus=1)
    assert room(2**28) == 2**28
    cupy.simulated.memory = 2**28 + cupy.simulated.in_use
    assert room(2**28) == 2**26
    machine("cpu", gpus=1)
    assert room(2**28) == 2**28


def test_no_gpu_memory_at_all_still_gives_a_size(machine):
    cupy = machine("gpu", gpus=1)
    x = to_device(np.ones(3))
    cupy.simulated.memory = cupy.simulated.in_use
    assert block_bytes(x) == room(2**28) == 1


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
