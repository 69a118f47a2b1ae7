"""The part of `cupy.cuda` that minideconv asks: devices and their memory, as `simulated` pretends them."""

from types import SimpleNamespace

from . import simulated


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Device:
    def __init__(self, device=0):
        self.id = device

    def use(self):
        simulated.used.append(self.id)

    def synchronize(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def mem_info(self):
        return simulated.memory - simulated.in_use, simulated.memory


class MemoryPool:
    """Freed memory goes back at once here; CuPy's pool keeps it."""

    def free_bytes(self):
        return 0


def _device_count():
    if simulated.driver_error:
        raise CUDARuntimeError(simulated.driver_error)
    return simulated.gpus


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=_device_count,
    getDeviceProperties=lambda number: {"name": b"a pretended GPU"},
    runtimeGetVersion=lambda: 13020,
    driverGetVersion=lambda: 13010,
)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
