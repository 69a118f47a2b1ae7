"""Write alexnet_patches.npz: what Captum sees in AlexNet's relu1 … relu5, for tests that have neither torch nor Captum.

    python tests/goldens/make_alexnet_patches.py        (with the extra `bench`; two minutes)

Weights and images are drawn from numpy.random.RandomState(0), whose stream is frozen, so the file holds results only.
They are float64, rounded to float32 at the end. Units are chosen so that float32 can reproduce them: a maximum or a
ReLU that is tied to within rounding may fall either way, and changes the whole picture when it does.

Arrays of the file, for a layer such as relu5 and B units:
    relu5.units                 (B, 4) image, channel, row, column; the last unit is not active
    relu5.activation            (B,)
    relu5.deconvnet, .gradient, .guided
                                (3, h, w, B) every `THINNED["relu5"]`-th pixel of the receptive-field window, from its
                                corner on; zero where the window hangs over the image. The seed is 1.
    relu5.deconvnet.sum, …      (B,) sum of the magnitudes of all pixels
    torch, captum               their versions
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minideconv import models, to_device, to_numpy

FILE = Path(__file__).with_name("alexnet_patches.npz")
RULES = ("deconvnet", "gradient", "guided")
WINDOWS = {  # (size, stride, start) of what a unit sees, worked out by hand, not by the code under test
    "relu1": (11, 4, -2),
    "relu2": (51, 8, -18),
    "relu3": (99, 16, -34),
    "relu4": (131, 16, -50),
    "relu5": (163, 16, -66),
}
THINNED = {"relu1": 1, "relu2": 3, "relu3": 5, "relu4": 7, "relu5": 9}  # odd: every phase of conv1's stride is met
LAST = {"relu1": 54, "relu2": 26, "relu3": 12, "relu4": 12, "relu5": 12}  # last row and column of the maps


def recipe(dtype):
    """AlexNet with He et al.'s weights and biases that matter, and two images (3, 224, 224, 2), in `dtype`.

    All numbers are float32 numbers, so the net and the images are the same in float64.
    """
    random, net = np.random.RandomState(0), models.build("alexnet", until="pool5")

    def draw(shape, scale):
        return to_device((scale * random.standard_normal(shape)).astype(np.float32).astype(dtype))

    for layer in net.layers.values():
        for key, shape in layer.parameter_shapes().items():
            setattr(layer, key, draw(shape, (2 / np.prod(shape[1:])) ** 0.5 if key == "weight" else 0.1))
    return net, draw((3, 224, 224, 2), 1.0)


def main():
    import captum
    import torch

    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    from torch_twin import twin

    net, images = recipe(np.float64)
    model = twin(net)
    images = torch.from_numpy(np.ascontiguousarray(to_numpy(images).transpose(3, 0, 1, 2)))
    arrays = {"torch": np.array(torch.__version__), "captum": np.array(captum.__version__)}
    for layer in WINDOWS:
        with torch.no_grad():
            maps = model[: list(net.layers).index(layer) + 1](images).numpy()  # (N, C, H, W)
        units = [first_steady(model, images, layer, some) for some in candidates(maps, LAST[layer])]
        arrays[f"{layer}.units"] = np.array(units, dtype=np.int16)
        arrays[f"{layer}.activation"] = np.array([maps[unit] for unit in units], dtype=np.float32)
        for rule in RULES:
            windows = look(model, images, layer, units, rule)
            arrays[f"{layer}.{rule}"] = thinned(windows, layer).astype(np.float32)
            arrays[f"{layer}.{rule}.sum"] = abs(windows).sum(axis=(0, 1, 2)).astype(np.float32)
        print(layer, *units, f"largest value {abs(windows).max():.2g}")
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {FILE.stat().st_size / 1000:.0f} kB")


def candidates(maps, last):
    """Five lists of units (image, channel, row, column), the best first.

    They are: two strong units, the strongest at two corners of the map, one in the middle that is not active.
    """
    return [
        _strongest(maps, 0, slice(None), slice(None)),
        _strongest(maps, 1, slice(None), slice(None)),
        _strongest(maps, 0, slice(0, 1), slice(0, 1)),
        _strongest(maps, 1, slice(last, last + 1), slice(last, last + 1)),
        [(0, int(channel), last // 2, last // 2) for channel in np.flatnonzero(maps[0, :, last // 2, last // 2] == 0)],
    ]


def _strongest(maps, image, rows, columns):
    """The strongest unit of each channel within some rows and columns of an image, strongest first."""
    units = []
    for channel, plane in enumerate(maps[image]):
        cut = plane[rows, columns]
        row, column = np.unravel_index(cut.argmax(), cut.shape)
        units.append((image, channel, int(row) + (rows.start or 0), int(column) + (columns.start or 0)))
    return sorted(units, key=lambda unit: -maps[unit])


def first_steady(model, images, layer, units):
    """The first unit whose pictures do not change when the images change by a few times float32's rounding."""
    import torch

    random = np.random.RandomState(1)
    noise = torch.from_numpy(3e-6 * random.standard_normal((12, *images.shape[1:])))
    for image, *place in units:
        copies = torch.cat([images[image : image + 1], images[image] + noise])
        pictures = [look(model, copies, layer, [(n, *place) for n in range(13)], rule) for rule in RULES]
        if all(abs(p - p[..., :1]).max() <= 2e-5 * abs(p).max() for p in pictures):
            return image, *place
        print(f"{layer} {image} {place}: tied to within rounding, left out")
    raise RuntimeError(f"{layer}: no steady unit")


def look(model, images, layer, units, rule):
    """What Captum sees, cropped to the units' windows: (3, h, w, B)."""
    import torch
    from captum.attr import NeuronDeconvolution, NeuronGradient, NeuronGuidedBackprop

    method = {"deconvnet": NeuronDeconvolution, "gradient": NeuronGradient, "guided": NeuronGuidedBackprop}[rule]
    image, channel, row, column = np.array(units).T
    x, place = images[image].requires_grad_(), (np.arange(len(units)), channel, row, column)
    seen = method(model, getattr(model, layer)).attribute(x, lambda maps: maps[place])  # (B, 3, H, W)
    size, stride, start = WINDOWS[layer]
    wide = torch.nn.functional.pad(seen.detach(), [size] * 4).numpy()  # room for windows that hang over the image
    corners = zip(row * stride + start + size, column * stride + start + size)
    return np.stack([p[:, t : t + size, s : s + size] for p, (t, s) in zip(wide, corners)], axis=-1)


def thinned(windows, layer):
    """Every few pixels of (3, h, w, B) windows."""
    return windows[:, :: THINNED[layer], :: THINNED[layer]]


if __name__ == "__main__":
    main()
