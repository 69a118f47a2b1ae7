"""Share the work of one operation among the CPU's cores.

NumPy's matrix products use all cores by themselves, but copies, comparisons and sums use one. So the blocks of an
operation are shared among threads instead, each with single-threaded matrix products: 1.3 to 1.7 times faster on two
cores (docs/log.md). It pays for lone products, too: once woken, OpenBLAS's own threads spin on a core for some 25 ms
before they sleep, and slow down what runs next. A GPU does this by itself; there everything runs in one share.

Two things to know: while an operation is shared, matrix products of other threads of the process use one core, too; and
the number of threads is what NumPy's products used at the first operation (set OPENBLAS_NUM_THREADS to change it).
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache

import numpy as np

from .backend import array_module, block_bytes

_busy = threading.Lock()  # one operation is shared at a time; what runs inside it, or beside it, is not shared again


def share(work, items, x) -> list:
    """Cut `items` into one run for each core, call `work(run)` for all of them at once, and list what they returned.

    Args:
        work: a function of a list of items; calls must not write to the same memory.
        items: a list, cut in order.
        x: an array that tells the device.
    """
    cores = thread_count() if array_module(x) is np and len(items) > 1 else 1
    if cores == 1 or not _busy.acquire(blocking=False):
        return [work(items)]
    try:
        size = -(-len(items) // min(cores, len(items)))
        with _blas().limit(limits=1, user_api="blas"):
            runs = [items[first : first + size] for first in range(0, len(items), size)]
            contexts = [copy_context() for _ in runs]  # carry numpy.errstate into the threads
            return list(_pool().map(lambda context, run: context.run(work, run), contexts, runs))
    finally:
        _busy.release()


def pixelwise(function, *arrays):
    """`function(*arrays)` where it does the same to every pixel, on all cores.

    Args:
        function: of arrays of one shape; gives an array of that shape, and the dtype of the first.
        arrays: maps, cut into slabs of channels that fit the cache.
    """
    first = arrays[0]
    slabs = channel_slabs(first)
    if array_module(first) is not np or len(slabs) < 2:
        return function(*arrays)
    result = np.empty(first.shape, first.dtype)

    def work(some):
        for slab in some:
            result[slab] = function(*(array[slab] for array in arrays))

    share(work, slabs, first)
    return result


def channel_slabs(x) -> list[slice]:
    """Slices of the first axis of `x` so small that what is done to one slab after the other finds it in the cache."""
    size = max(block_bytes(x) // 16 // max(x[:1].size * x.dtype.itemsize, 1), 1)
    return [slice(first, first + size) for first in range(0, len(x), size)]


def eighths(length: int, x, least: int = 1) -> list[slice]:
    """Cut `length` into runs that cores can share: eight, on however many cores, but none shorter than `least`.

    On a GPU one: it shares work by itself, and a product of all is faster than eight of parts.
    """
    size = max(-(-length // 8), least) if array_module(x) is np else length
    return [slice(first, min(first + size, length)) for first in range(0, length, size)]


@cache
def thread_count() -> int:
    """How many threads: as many as NumPy's matrix products use; 1 if that cannot be limited on this platform."""
    return max((library["num_threads"] for library in blas_libraries()), default=1)


def blas_libraries() -> list[dict]:
    """The libraries that compute matrix products, as threadpoolctl describes them."""
    return [library for library in _blas().info() if library["user_api"] == "blas"]


@cache
def _blas():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="minideconv")


def _after_fork() -> None:
    """A forked child has none of its parent's threads: start anew there."""
    global _busy
    _busy = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
