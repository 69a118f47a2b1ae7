"""A stand-in for CuPy, for the tests only: device arrays that lie in ordinary memory and refuse what CuPy refuses.

    PYTHONPATH=tests/stand_in MINIDECONV_DEVICE=gpu pytest -m "not host"

runs the tests on it: this folder is then the first that `import cupy` finds, in child processes, too. Nothing is fast
here and nothing is parallel; what it is for is that code which would fail on a GPU, or would silently move arrays to
the host, fails on any laptop.

- Only names that CuPy has (api.txt, which ../make_api.py writes from CuPy itself) with the arguments that it takes.
- A device array refuses `np.asarray` and operands that are host arrays, as CuPy does.
- Stricter than CuPy, which sends `np.add(device, …)` and `np.stack([device])` to its own functions, computes
  `cupy.sum(host)` on the host, and uploads a host array or list in an index at every use: all of these are refused.
  So is writing one place twice in an indexed assignment, which is undefined there, and an index out of bounds, which
  wraps around there.
- Every copy from device to host and back is counted (`simulated`), also those that float(), bool(), int(), .item()
  and boolean masks make.
- Results have no scalars: a sum or `x[0, 0]` is an array without axes, the latter a view. Nothing warns of overflow.
"""

import sys as _sys

import numpy as _np

from . import cuda, simulated
from ._api import SIGNATURES, VERSION, check
from ._array import download, ndarray, on_device, on_host, upload

__version__ = VERSION

MAKES = {  # need no device array among their arguments
    "arange", "empty", "eye", "full", "identity", "indices", "linspace", "logspace", "ones", "tri", "zeros",
}  # fmt: skip
ON_HOST = {  # answer with something that is no array
    "can_cast", "common_type", "iscomplexobj", "isrealobj", "isscalar", "issubdtype", "may_share_memory",
    "min_scalar_type", "ndim", "promote_types", "result_type", "shape", "size",
}  # fmt: skip
COUNTING = {"argwhere", "bincount", "extract", "flatnonzero", "nonzero", "unique"}  # the host must learn the size


def __getattr__(name):
    if name not in SIGNATURES:
        raise AttributeError(f"CuPy has no function or type {name}")
    if not hasattr(_np, name):
        raise NotImplementedError(f"the stand-in has no cupy.{name}; write it into tests/stand_in/cupy")
    return getattr(_np, name) if SIGNATURES[name] is None else _function(name)


def _function(name):
    """CuPy's function `name`, computed by NumPy's."""

    def call(*args, **kwargs):
        check(name, args, kwargs)
        given = [*args, *kwargs.values()]
        if name not in MAKES | ON_HOST and not _any_device(given):
            raise TypeError(f"cupy.{name}: there is no device array among its arguments")
        with _np.errstate(all="ignore"):
            result = getattr(_np, name)(*map(on_host, args), **{key: on_host(value) for key, value in kwargs.items()})
        if name in COUNTING or (name == "where" and len(given) == 1):
            simulated.downloads.append(((), name))
        if name in ON_HOST:
            return result
        return kwargs["out"] if kwargs.get("out") is not None else on_device(result)

    call.__name__ = name
    globals()[name] = call
    return call


def _any_device(values):
    return any(_any_device(v) if isinstance(v, (list, tuple)) else isinstance(v, ndarray) for v in values)


def asarray(a, dtype=None, *args, **kwargs):
    """A device array as it is; everything else is uploaded."""
    check("asarray", (a, dtype, *args), kwargs)
    return (a if dtype in (None, a.dtype) else a.astype(dtype)) if isinstance(a, ndarray) else upload(a, dtype)


def array(obj, dtype=None, *args, **kwargs):
    check("array", (obj, dtype, *args), kwargs)
    return obj.astype(dtype or obj.dtype) if isinstance(obj, ndarray) else upload(obj, dtype)


def ascontiguousarray(a, dtype=None):
    a = asarray(a, dtype)
    return a if a.flags.c_contiguous else a.copy()


def asnumpy(a, *args, **kwargs):
    check("asnumpy", (a, *args), kwargs)
    return download(a) if isinstance(a, ndarray) else _np.asarray(a)


def get_array_module(*args):
    return _sys.modules[__name__] if _any_device(args) else _np


def get_default_memory_pool():
    return cuda.MemoryPool()
