"""Where arrays live: NumPy on the CPU or, with `MINIDECONV_DEVICE=gpu`, CuPy on a GPU.

The only file that imports CuPy, and only once a GPU has been asked for. Everything else writes
`xp = array_module(x)` and then plain array code. Copies between CPU and GPU are made here and nowhere else; those to
the GPU go through pinned memory, which CuPy sees to.
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
        return f"CuPy {reason}: pip install '.[gpu]' (for CUDA 13) or '.[gpu12]' (for drivers of CUDA 12)"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        advice = "see nvidia-smi; a driver of CUDA 12 needs pip install '.[gpu12]' in place of '.[gpu]'"
        return f"CUDA finds no GPU ({error}): {advice}"
    if number >= count:
        return f"there {'is' if count == 1 else 'are'} only {count} GPU{'s' * (count != 1)}, counted from 0"
    return None


def gpu_description(number: int) -> str:
    """One line: GPU `number`, its memory, versions of CuPy, CUDA and the driver, and how products are rounded."""
    import cupy

    runtime = cupy.cuda.runtime
    free, total = cupy.cuda.Device(number).mem_info
    cuda, driver = (f"{v // 1000}.{v % 1000 // 10}" for v in (runtime.runtimeGetVersion(), runtime.driverGetVersion()))
    return (
        f"GPU {number}, {runtime.getDeviceProperties(number)['name'].decode()}, "
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CuPy {cupy.__version__}, CUDA {cuda} (driver: {driver}), "
        f"matrix products in {'TF32' if tf32() else 'float32'}"
    )


def tf32() -> bool:
    """Read `MINIDECONV_TF32`: whether a GPU may round the operands of matrix products to 10 bits, for speed.

    Raises:
        DeviceError: if the variable is neither 1 nor 0.
    """
    wanted = os.environ.get("MINIDECONV_TF32", "0").strip() or "0"
    if wanted not in ("0", "1"):
        raise DeviceError(f"MINIDECONV_TF32={wanted} is not understood; use 1 or 0")
    return wanted == "1"


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
    os.environ["CUPY_TF32"] = "1" if tf32() else "0"  # CuPy reads it at its first matrix product
    import cupy

    cupy.cuda.Device(number).use()
    return cupy.asarray(x)


def to_numpy(x: Array) -> np.ndarray:
    """Bring an array to the CPU; it is returned as it is if it is there already."""
    return np.asarray(x) if array_module(x) is np else x.get()


def not_finite(arrays: dict[str, Array]) -> str | None:
    """The name of the first of some arrays of one device that holds NaN or infinity; None if all are finite.

    One number an array comes to the CPU, all of them at once: NaN and infinity reach the sum. A sum may also overflow.
    """
    if not arrays:
        return None
    xp = array_module(next(iter(arrays.values())))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = to_numpy(xp.stack([array.sum() for array in arrays.values()]))
    suspects = [name for name, total in zip(arrays, sums) if not np.isfinite(total)]
    return next((name for name in suspects if not bool(xp.isfinite(arrays[name]).all())), None)


# ------------------------------------------------------------------------------------------------------- memory


def block_bytes(x: Array) -> int:
    """How large one im2col block may grow, in bytes: about a CPU's cache, or enough work for a GPU."""
    return 2**22 if array_module(x) is np else _gpu_block_bytes(x.device.id)


@cache
def _gpu_block_bytes(number: int) -> int:
    """At most 256 MiB, and a sixteenth of what is free. Asked once: other blocks would round sums differently."""
    return _power_below(min(free_bytes(number) // 16, 2**28))


def room(most: int) -> int:
    """How many bytes of maps are worked on at once where we choose: `most`, less if a GPU has not four times that."""
    number = device()
    return most if number is None else min(most, _power_below(free_bytes(number) // 4))


def free_bytes(number: int) -> int:
    """What can still be allocated on GPU `number`: its free memory, and what CuPy keeps of freed arrays."""
    import cupy

    with cupy.cuda.Device(number):
        return cupy.cuda.Device(number).mem_info[0] + cupy.get_default_memory_pool().free_bytes()


def _power_below(size: int) -> int:
    """The largest power of two up to `size`, at least 1: sizes that do not change with every byte."""
    return 2 ** (max(size, 1).bit_length() - 1)


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
