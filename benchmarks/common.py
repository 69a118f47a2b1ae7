"""What benchmarks share: photos, alternating medians, one run for each BLAS kernel, the device of both sides."""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from minideconv.backend import device, gpu_description, tf32, to_numpy

KERNELS = ("", "SkylakeX", "Haswell")  # OPENBLAS_CORETYPE; empty: what OpenBLAS chooses by itself


def arguments(description, model="alexnet"):
    """The command line of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--photos", metavar="FOLDER-or-ZIP", help="real photos (default: noise)")
    parser.add_argument("--model", default=model, help="alexnet or vgg16, where the benchmark is of one of them")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--kernel", help=argparse.SUPPRESS)
    return parser.parse_args()


def for_each_kernel(run, options):
    """Call `run(options)` in a fresh process for every BLAS kernel, which is chosen when NumPy loads; on a GPU once."""
    if options.kernel is not None:
        run(options)
        return
    if device() is not None:
        print(gpu_description(device()), flush=True)
        run(options)
        return
    for kernel in KERNELS:
        print(f"OPENBLAS_CORETYPE={kernel or '(unset)'}", flush=True)
        # PASSIVE: PyTorch's threads, once done, do not spin on a core while our side is timed
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OMP_WAIT_POLICY": "PASSIVE"}
        if not kernel:
            del environment["OPENBLAS_CORETYPE"]
        subprocess.run([sys.executable, *sys.argv, "--kernel", kernel], env=environment, check=True)


def wait():
    """Until the GPU, if that is the device, has done all that it was asked for, by us and by PyTorch."""
    if device() is not None:
        import cupy

        cupy.cuda.Device(device()).synchronize()


def torch_device():
    """The device on which PyTorch is to do what we do: the same GPU, with TF32 where we have it; else the CPU."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32()
    return "cpu" if device() is None or not torch.cuda.is_available() else f"cuda:{device()}"


def torch_images(x, where):
    """Our images (C, H, W, N) for PyTorch: (N, C, H, W) on the device `where`."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(to_numpy(x).transpose(3, 0, 1, 2))).to(where)


def load_photos(net, source, count):
    """`count` photos, preprocessed: (3, 224, 224, N) float32; noise where no source is given."""
    if source is None:
        return np.random.RandomState(0).randn(*net.input_shape, count).astype(np.float32)
    if Path(source).is_dir():
        paths = sorted(path for path in Path(source).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        return net.preprocess(paths[:: max(len(paths) // count, 1)][:count])
    from PIL import Image

    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
        return net.preprocess(
            [Image.open(archive.open(name)) for name in names[:: max(len(names) // count, 1)][:count]]
        )


def load_net(name):
    """The convolutional part of alexnet or vgg16 with real weights where they are in the cache, else random ones."""
    from minideconv import load_model, models

    try:
        return load_model(name), "real weights"
    except FileNotFoundError:
        return models.build(name, until="pool5"), f"random weights (minideconv fetch {name} brings real ones)"


def small_net(ceil_mode=True):
    """The net of the training benchmarks, for 3 × 32 × 32; no dropout, so that both sides do the same."""
    from minideconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
    from minideconv.network import Network

    last = 4 if ceil_mode else 3
    return Network([
        ("conv1", Conv2d(3, 32, 5, padding=2)),  # 32 × 32 × 32
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, ceil_mode=ceil_mode)),  # 32 × 16 × 16, or 15 × 15
        ("conv2", Conv2d(32, 32, 5, padding=2)),  # 32 × 16 × 16
        ("relu2", ReLU()),
        ("pool2", MaxPool2d(3, stride=2, ceil_mode=ceil_mode)),  # 32 × 8 × 8
        ("conv3", Conv2d(32, 64, 5, padding=2)),  # 64 × 8 × 8
        ("relu3", ReLU()),
        ("pool3", MaxPool2d(3, stride=2, ceil_mode=ceil_mode)),  # 64 × 4 × 4
        ("flatten", Flatten()),
        ("fc4", Linear(64 * last**2, 10)),  # 10
    ], input_shape=(3, 32, 32))  # fmt: skip


def alternate(functions, repeats):
    """Run the functions in turn, `repeats` times after one warm-up; {name: median seconds}."""
    times = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            time.sleep(0.05)  # the threads of the one before go to sleep
            wait()
            start = time.perf_counter()
            function()
            wait()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


@contextmanager
def own_process(make, *arguments):
    """A function that calls `make(*arguments)()` in a process of its own, which settings of this one do not reach."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
    process.start()

    def call():
        ours.send("call")
        ours.recv()

    try:
        yield call
    finally:
        process.terminate()
        process.join()


def _serve(connection, make, arguments):
    function = make(*arguments)
    while connection.recv():
        function()
        wait()
        connection.send("done")
