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

    @property
    def mem_info(self):
        return simulated.memory - simulated.in_use, simulated.memory


class _Pool:
    """Freed memory goes back at once here; CuPy's pool keeps it."""

    def free_bytes(self):
        return 0

    def free_all_blocks(self):
        pass


def _device_count():
    if simulated.driver_error:
        raise CUDARuntimeError(simulated.driver_error)
    return simulated.gpus


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=_device_count,
    getDeviceProperties=lambda number: {"name": b"a pretended GPU"},
    runtimeGetVersion=lambda: 13000,
)
memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)


def get_current_stream():
    return SimpleNamespace(synchronize=lambda: None)


def get_default_memory_pool():  # cupy.get_default_memory_pool is this
    return _Pool()
