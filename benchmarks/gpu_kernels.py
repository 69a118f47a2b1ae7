"""Each operation on the shapes of whole nets: milliseconds, GFLOP/s, GB/s, and how far that is from the device's limit.

    MINIDECONV_DEVICE=gpu python benchmarks/gpu_kernels.py [--images 32] [--gflops 67000 --gbs 4800]
    python benchmarks/gpu_kernels.py --nets alexnet --images 8

Counted are the multiplications and additions that the mathematics needs, and every array read or written once. What an
operation can at best take is the longer of two times: the arithmetic at the device's peak, and the bytes at its
bandwidth. The last column is that time as a share of the measured one. The two peaks are those given, else what a large
float32 matrix product and a large copy reach in the same run. Results are in docs/benchmarks.md.
"""

import argparse
import math

import numpy as np
from common import alternate

from minideconv import functional as F
from minideconv import models
from minideconv.backend import array_module, device, gpu_description, to_device
from minideconv.layers import Conv2d, LocalResponseNorm, MaxPool2d

NETS = ("alexnet", "vgg16", "alexnet_published")  # the last for its response norms


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=NETS, choices=models.ZOO, metavar="NET")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--gflops", type=float, help="the device's peak in float32")
    parser.add_argument("--gbs", type=float, help="its memory's bandwidth in GB/s")
    options = parser.parse_args(arguments)
    print("CPU" if device() is None else gpu_description(device()))
    gflops, gbs = options.gflops or measured_gflops(options.repeats), options.gbs or measured_gbs(options.repeats)
    print(f"limits: {gflops:.0f} GFLOP/s, {gbs:.0f} GB/s\n")
    print(f"{'operation':26}{'maps':>16}{'ms':>10}{'GFLOP/s':>10}{'GB/s':>8}{'of limit':>10}")
    for name, shape, work, flops, size in operations(options.nets, options.images):
        seconds = median_seconds(work, options.repeats)
        best = max(flops / gflops, size / gbs) / 1e9
        print(f"{name:26}{shape:>16}{1e3 * seconds:10.3f}{flops / seconds / 1e9:10.0f}{size / seconds / 1e9:8.0f}"
              f"{100 * best / seconds:9.0f} %", flush=True)  # fmt: skip


def median_seconds(work, repeats) -> float:
    return alternate({"": work}, repeats)[""]


def measured_gflops(repeats) -> float:
    """What a square matrix product reaches: 2 n³ operations."""
    n = 2048 if device() is None else 8192
    x = noise(n, n)
    return 2 * n**3 / median_seconds(lambda: x @ x, repeats) / 1e9


def measured_gbs(repeats) -> float:
    """What copying an array much larger than any cache reaches: every byte is read and written."""
    x = noise(2**26)
    y = array_module(x).empty_like(x)

    def copy():
        y[...] = x

    return 2 * x.nbytes / median_seconds(copy, repeats) / 1e9


def noise(*shape):
    return to_device(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def operations(nets, images):
    """Yield (name, maps, function, operations, bytes) for every shape that occurs, each once."""
    kinds, seen = {Conv2d: convolutions, MaxPool2d: pools, LocalResponseNorm: norms}, set()
    for name in nets:
        net = models.build(name, seed=None)
        shapes = [net.input_shape, *net.output_shapes().values()]
        for layer, x_shape, y_shape in zip(net.layers.values(), shapes, shapes[1:]):
            key = (type(layer), x_shape, y_shape)
            if type(layer) in kinds and key not in seen:
                seen.add(key)
                yield from kinds[type(layer)](layer, (*x_shape, images), (*y_shape, images))


def convolutions(layer, x_shape, y_shape):
    """Forward, its adjoint, its weight gradient: as many operations each."""
    weight_shape = layer.parameter_shapes()["weight"]
    x, weight, y = noise(*x_shape), noise(*weight_shape), noise(*y_shape)
    where = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    flops, size = 2 * math.prod(weight_shape[1:]) * y.size, x.nbytes + weight.nbytes + y.nbytes
    name, maps = f"{layer.kernel_size[0]}×{layer.kernel_size[1]}/{layer.stride[0]}", text(x_shape)
    yield f"conv2d {name}", maps, lambda: F.conv2d(x, weight, **where), flops, size
    yield f"  transpose {name}", maps, lambda: F.conv_transpose2d(y, weight, x_shape, **where), flops, size
    yield f"  weight gradient {name}", maps, lambda: F.conv2d_weight_gradient(x, y, weight_shape, **where), flops, size


def pools(layer, x_shape, y_shape):
    """One comparison, or addition, for every tap of every window; switches are a byte each."""
    x, where = noise(*x_shape), {"stride": layer.stride, "padding": layer.padding}
    y, switches = F.max_pool2d(x, layer.kernel_size, ceil_mode=layer.ceil_mode, **where)
    flops, size = y.size * math.prod(layer.kernel_size), x.nbytes + y.nbytes + switches.nbytes
    name, maps = f"{layer.kernel_size[0]}/{layer.stride[0]}", text(x_shape)

    def up():
        return F.max_pool2d(x, layer.kernel_size, ceil_mode=layer.ceil_mode, **where)

    yield f"max_pool2d {name}", maps, up, flops, size
    yield (
        f"  unpool {name}",
        maps,
        lambda: F.max_unpool2d(y, switches, x_shape, layer.kernel_size, **where),
        flops,
        size,
    )


def norms(layer, x_shape, y_shape):
    """A square, `size` additions, a scaling, a power (counted as one) and a product for every value."""
    x, where = noise(*x_shape), (layer.size, layer.alpha, layer.beta, layer.k)
    flops, maps = x.size * (layer.size + 5), text(x_shape)
    yield "local_response_norm", maps, lambda: F.local_response_norm(x, *where), flops, 2 * x.nbytes
    yield "  gradient", maps, lambda: F.local_response_norm_gradient(x, x, *where), 2 * flops, 3 * x.nbytes


def text(shape) -> str:
    channels, height, width, _ = shape
    return f"{channels}×{height}×{width}"


if __name__ == "__main__":
    main()
