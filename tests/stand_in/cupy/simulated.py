"""What the pretended machine is, and what has been copied. Not in CuPy: tests read and set it.

Attributes:
    gpus: how many there are;  driver_error: what CUDA says instead, or None.
    memory: bytes of each GPU;  in_use, peak: bytes of all arrays that live now, lived at once.
    downloads, uploads: a (shape, dtype or what caused it) for every copy to the host, to the device.
"""

gpus, driver_error = 1, None
memory, in_use, peak = 2**36, 0, 0
downloads, uploads, used = [], [], []


def reset():
    """As at the beginning, but for arrays that live."""
    global gpus, driver_error, memory, peak
    gpus, driver_error, memory, peak = 1, None, 2**36, in_use
    for copies in (downloads, uploads, used):
        copies.clear()
