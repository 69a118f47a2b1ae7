"""What this machine computes with: versions, the BLAS kernel, the device."""

from __future__ import annotations

import os
import platform

import numpy as np

from .backend import DeviceError, device, gpu_description, why_no_gpu
from .parallel import blas_libraries, thread_count


def machine_lines() -> list[str]:
    """What `minideconv info` prints: one line a fact."""
    from . import __version__

    lines = [f"minideconv {__version__}, Python {platform.python_version()}, NumPy {np.__version__}"]
    for library in blas_libraries():
        kernel = library.get("architecture", "unknown")
        lines.append(f"matrix products: {library['internal_api']} {library['version']}, {kernel} kernel")
    lines.append(f"threads: {thread_count()} (set OPENBLAS_NUM_THREADS to change)")
    lines.append(
        "another kernel may be faster on your CPU: set OPENBLAS_CORETYPE=SkylakeX (AVX-512), Zen or Haswell (AVX2) "
        f"before Python starts (now: {os.environ.get('OPENBLAS_CORETYPE') or 'chosen by OpenBLAS'})"
    )
    return [*lines, f"device: {_device_line()}"]


def _device_line() -> str:
    try:
        number = device()
        if number is not None:
            return gpu_description(number)
        reason = why_no_gpu(0)
        if reason:
            return f"CPU (no GPU: {reason})"
        return f"CPU (set MINIDECONV_DEVICE=gpu to use {gpu_description(0)})"
    except DeviceError as error:
        return f"none ({error})"
