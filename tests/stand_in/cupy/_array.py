"""The device array: a NumPy array in a wrapper that lets nothing out unnoticed."""

import weakref

import numpy as np

from . import simulated
from ._api import SIGNATURES, check
from .cuda import Device, OutOfMemoryError

PLAIN = {"dtype", "shape", "ndim", "size", "itemsize", "nbytes", "strides", "flags"}  # the host knows these
NUMBERS = (bool, int, float, complex, np.generic)


class ndarray:
    """Made by `upload` and `on_device`; the constructor is CuPy's."""

    __slots__ = ("__weakref__", "_values")
    __array_ufunc__ = None  # NumPy's ufuncs refuse it, and its operators leave the work to ours
    __hash__ = None

    def __new__(cls, shape, dtype=float):
        return _wrapped(np.empty(shape, dtype))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed; use to_numpy")

    def __array_function__(self, func, types, args, kwargs):
        raise TypeError(f"numpy.{func.__name__} of a device array: use to_numpy, or the function of array_module(x)")

    def __getattr__(self, name):
        if f"ndarray.{name}" not in SIGNATURES:
            raise AttributeError(f"CuPy's arrays have no {name}")
        value = getattr(self._values, name)
        if name in PLAIN or not callable(value):
            return on_device(value) if isinstance(value, np.ndarray) else value

        def method(*args, **kwargs):
            check(f"ndarray.{name}", args, kwargs)
            with np.errstate(all="ignore"):
                result = value(*map(on_host, args), **{key: on_host(value) for key, value in kwargs.items()})
            if name in ("nonzero", "compress"):
                simulated.downloads.append(((), name))  # the host must learn the size
            if result is self._values:
                return self
            return kwargs["out"] if kwargs.get("out") is not None else on_device(result)

        return method

    # ------------------------------------------------------------------------------------------- to the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        return download(self)

    def item(self):
        return download(self).item()

    def tolist(self):
        return download(self).tolist()

    def tobytes(self, order="C"):
        return download(self).tobytes(order)

    def __bool__(self):
        return bool(download(self))

    def __int__(self):
        return int(download(self))

    def __float__(self):
        return float(download(self))

    def __repr__(self):
        return repr(download(self))

    def __str__(self):
        return str(download(self))

    def __format__(self, format_spec):
        return format(download(self), format_spec)

    def __reduce__(self):
        return upload, (download(self),)

    # ------------------------------------------------------------------------------------------- entries

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over an array without axes")
        return (self[n] for n in range(len(self)))

    def __getitem__(self, key):
        return on_device(self._values[self._index(key)])

    def __setitem__(self, key, value):
        if not isinstance(value, (ndarray, *NUMBERS)):
            raise TypeError(f"Unsupported type {type(value)}: assign a device array or a number")
        index = self._index(key)
        if any(isinstance(one, np.ndarray) and one.dtype != bool for one in index):
            places = np.arange(self.size).reshape(self.shape)[index]
            if len(np.unique(places)) < places.size:
                raise ValueError("one place is written twice: on a GPU it is not defined which value stays")
        self._values[index] = on_host(value)

    def _index(self, key):
        """A key as NumPy takes it; with an ellipsis, so that the result is a view and never a scalar."""
        keys = key if isinstance(key, tuple) else (key,)
        for one in keys:
            if isinstance(one, (np.ndarray, list)):
                raise TypeError(f"a {type(one).__name__} as index would be uploaded at every use; use xp.asarray once")
            if isinstance(one, ndarray) and one.dtype == bool:
                simulated.downloads.append(((), "mask"))  # the host must learn how many
        keys = tuple(map(on_host, keys))
        return keys if any(one is ... for one in keys) else (*keys, ...)

    @property
    def device(self):
        return Device(simulated.used[-1] if simulated.used else 0)

    def copy(self, order="C"):
        return _wrapped(self._values.copy(order))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported by CuPy's astype")
        with np.errstate(all="ignore"):
            values = self._values.astype(dtype, order, copy=copy)
        return self if values is self._values else _wrapped(values)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()


def _operator(ufunc, swapped=False, inplace=False):
    def operator(self, *others):
        if not all(isinstance(other, (ndarray, *NUMBERS)) for other in others):
            raise TypeError(
                f"Unsupported type {[type(other) for other in others]}: operands are device arrays, numbers"
            )
        operands = [self._values, *map(on_host, others)]
        with np.errstate(all="ignore"):
            if inplace:
                ufunc(*operands, out=self._values, casting="same_kind")
                return self
            return on_device(ufunc(*(operands[::-1] if swapped else operands)))

    return operator


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift, "divmod": np.divmod, "matmul": np.matmul,
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
    setattr(ndarray, f"__r{_name}__", _operator(_ufunc, swapped=True))
    if _name != "divmod":
        setattr(ndarray, f"__i{_name}__", _operator(_ufunc, inplace=True))
for _name, _ufunc in {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert,
}.items():  # fmt: skip
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))


# ------------------------------------------------------------------------------------------------- in and out


def upload(values, dtype=None):
    """Copy host data to the device, and count it."""
    values = np.array(values, dtype)
    if values.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {values.dtype}")
    if values.ndim:  # a number goes as an argument of a kernel
        simulated.uploads.append((values.shape, values.dtype.name))
    return _wrapped(values)


def download(array):
    """Copy a device array to the host, and count it."""
    simulated.downloads.append((array.shape, array.dtype.name))
    return array._values.copy()


def on_host(value):
    """An argument as NumPy takes it; a host array is refused."""
    if isinstance(value, ndarray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: use to_device, or xp.asarray")
    return type(value)(map(on_host, value)) if type(value) in (list, tuple) else value


def on_device(value):
    """What NumPy returned, arrays and scalars wrapped."""
    if type(value) in (list, tuple):
        return type(value)(map(on_device, value))
    return _wrapped(np.asarray(value)) if isinstance(value, (np.ndarray, *NUMBERS)) else value


def _wrapped(values):
    array = object.__new__(ndarray)
    object.__setattr__(array, "_values", values)
    _account(values)
    return array


_alive = {}  # {id of a NumPy array that owns memory: a reference that tells when it is gone}


def _account(values):
    """Keep `simulated.in_use` true, and refuse an array that does not fit."""
    while isinstance(values.base, np.ndarray):
        values = values.base
    key, size = id(values), values.nbytes
    if key in _alive or not size:
        return
    if simulated.in_use + size > simulated.memory:
        raise OutOfMemoryError(
            f"Out of memory allocating {size:,} bytes (allocated so far: {simulated.in_use:,} bytes)."
        )

    def gone(_):
        del _alive[key]
        simulated.in_use -= size

    _alive[key] = weakref.ref(values, gone)
    simulated.in_use += size
    simulated.peak = max(simulated.peak, simulated.in_use)
