"""Where arrays live: NumPy on the CPU or, with `MINIDECONV_DEVICE=gpu`, CuPy on a GPU.

The only file that imports CuPy, and only once a GPU has been asked for. Everything else writes
`xp = array_module(x)` and then plain array code.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Any

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray

CHOICES = "cpu, gpu, gpu:1 (any number) or auto"


class DeviceError(RuntimeError):
    """The device that `MINIDECONV_DEVICE` asks for cannot be used; the message says what to do."""


def device() -> int | None:
    """Read `MINIDECONV_DEVICE`: None for the CPU, else the number of the GPU.

    Raises:
        DeviceError: if the variable is not one of cpu, gpu, gpu:N, auto, or asks for a GPU that is not there.
    """
    wanted = os.environ.get("MINIDECONV_DEVICE", "cpu").strip().lower() or "cpu"
    kind, _, number = wanted.partition(":")
    if kind == "cpu" and not number:
        return None
    if kind == "auto" and not number:
        return None if why_no_gpu(0) else 0
    if kind != "gpu" or not (number.isdecimal() or wanted == "gpu"):
        raise DeviceError(f"MINIDECONV_DEVICE={wanted} is not understood; use {CHOICES}")
    reason = why_no_gpu(int(number or 0))
    if reason:
        raise DeviceError(f"MINIDECONV_DEVICE={wanted}, but {reason}; or set MINIDECONV_DEVICE=cpu")
    return int(number or 0)


def why_no_gpu(number: int) -> str | None:
    """One clause that says why GPU `number` cannot be used and what would help; None if it can."""
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        reason = "is not installed" if missing else f"does not load ({' '.join(str(error).split())[:200]})"
        return f"CuPy {reason}: pip install '.[gpu]' (CuPy for CUDA 13)"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CUDA finds no GPU ({error}): check the driver with nvidia-smi"
    if number >= count:
        return f"there are only {count} GPUs, counted from 0"
    return None


def gpu_description(number: int) -> str:
    """One line: GPU `number`, its memory, CuPy's and CUDA's versions."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(number)
    free, total = cupy.cuda.Device(number).mem_info
    return (
        f"GPU {number}, {properties['name'].decode()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, "
        f"CuPy {cupy.__version__}, CUDA {cupy.cuda.runtime.runtimeGetVersion()}"
    )


def array_module(x: Array):
    """The module whose functions work on `x`: `cupy` for a GPU array, `numpy` for everything else."""
    if isinstance(x, np.ndarray) or "cupy" not in sys.modules:
        return np
    import cupy

    return cupy.get_array_module(x)


def to_device(x: Array) -> Array:
    """Move an array to the chosen device; it is returned as it is if it is there already."""
    number = device()
    if number is None:
        return to_numpy(x)
    import cupy

    cupy.cuda.Device(number).use()
    return cupy.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """Bring an array to the CPU; it is returned as it is if it is there already."""
    return np.asarray(x) if array_module(x) is np else x.get()


def block_bytes(x: Array) -> int:
    """How large one im2col block may grow, in bytes: about a CPU's cache, or enough work for a GPU."""
    return 2**22 if array_module(x) is np else 2**28


@cache
def keep_freed_memory() -> None:
    """Ask the C library to keep freed memory for the next array, where it is glibc.

    Else the memory of every map goes back to the system and comes anew page by page: a sixth of a training step.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: how much may lie free at the end of the heap, 2 GiB
        mallopt(-4, 0)  # M_MMAP_MAX: no array gets a mapping of its own
