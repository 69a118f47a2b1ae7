"""256 relu5 units of 64 photos projected to pixels: `project_patches` against Captum's NeuronDeconvolution.

    python benchmarks/projections.py [--photos FOLDER-or-ZIP]
    MINIDECONV_DEVICE=gpu python benchmarks/projections.py

Needs the extra `bench`. The same units on both sides, the strongest of four random maps in each photo. Both sides
start from photos: the time includes the forward passes, one a photo for us, one a unit for Captum, which has no other
way. Prints for each BLAS kernel, or for the GPU (Captum on the same, TF32 off in both): milliseconds a unit, ratios,
forward passes, and the largest relative difference. Takes about five minutes on a CPU; results are in
docs/benchmarks.md.
"""

import statistics
import time
import warnings

import numpy as np
import torch
from captum.attr import NeuronDeconvolution
from common import alternate, arguments, for_each_kernel, load_net, load_photos, torch_device, torch_images, wait
from torch_twin import twin

from minideconv import project_patches, to_device, to_numpy
from minideconv.parallel import thread_count

PHOTOS, MAPS_EACH, LAYER = 64, 4, "relu5"
BATCHES = (4, 8, 16, 32, 64)  # Captum's best is searched


def main(options):
    warnings.simplefilter("ignore")  # Captum warns on every call that it sets hooks
    torch.set_num_threads(thread_count())
    net, weights = load_net("alexnet")
    x = to_device(load_photos(net, options.photos, PHOTOS))
    units = choose_units(net, x)
    count = len(units["image"])

    def ours():
        return project_patches(net, net.forward(x, until=LAYER), LAYER, **units, value=np.ones(count))

    def forward_only():
        net.forward(x, until=LAYER)

    captum = Captum(net, x, units)
    best = min(BATCHES, key=lambda size: timed(lambda: captum.batches(size, range(64))))
    functions = {
        "ours": ours,
        "(forward alone)": forward_only,
        "captum one by one": lambda: captum.batches(1, range(0, count, 4)),  # every fourth unit, to save time
        f"captum in batches of {best}": lambda: captum.batches(best, range(count)),
    }
    each = {name: 1000 * taken / count for name, taken in alternate(functions, options.repeats).items()}
    each["captum one by one"] *= 4
    print(f"  {weights}, {count} units of {PHOTOS} photos, {thread_count()} threads, captum on {captum.where}")
    for name, taken in each.items():
        passes = PHOTOS if name in ("ours", "(forward alone)") else count
        print(f"  {name:24} {taken:6.2f} ms a unit   forward passes: {passes}")
    batched = each[f"captum in batches of {best}"]
    print(f"  ratios: {each['captum one by one'] / each['ours']:.1f} one by one, {batched / each['ours']:.1f} batched")
    print(f"  relative difference: {compare(ours(), captum, units)}")


def choose_units(net, x):
    """In every photo, the strongest unit of each of four maps drawn at random."""
    maps = to_numpy(net.forward(x, until=LAYER)[LAYER])
    channel = np.random.RandomState(1).randint(len(maps), size=PHOTOS * MAPS_EACH)
    image = np.repeat(np.arange(PHOTOS), MAPS_EACH)
    flat = maps[channel, :, :, image].reshape(len(image), -1).argmax(axis=1)
    return {"image": image, "channel": channel, "row": flat // maps.shape[2], "column": flat % maps.shape[2]}


class Captum:
    """The same units through Captum."""

    def __init__(self, net, x, units):
        self.where = torch_device()
        modules = twin(net).eval().to(self.where)
        self.attribution = NeuronDeconvolution(modules, modules[list(net.layers).index(LAYER)])
        self.images = torch_images(x, self.where)
        self.units = units

    def batches(self, size, which):
        """Whole-image projections of the units `which`, `size` in a call: a list of (size, 3, H, W)."""
        which = np.array(which)
        return [self.one_batch(which[first : first + size]) for first in range(0, len(which), size)]

    def one_batch(self, which):
        image, channel, row, column = (torch.from_numpy(self.units[key][which]).to(self.where) for key in self.units)
        along = torch.arange(len(which), device=self.where)
        return self.attribution.attribute(self.images[image], lambda maps: maps[along, channel, row, column])


def compare(patches, captum, units):
    """Median and largest difference between a patch and the same window of Captum's picture, of its largest value."""
    differences = []
    size = patches.pixels.shape[1]
    for unit in range(0, len(units["image"]), 4):
        whole = np.pad(captum.one_batch(np.array([unit])).cpu().numpy()[0], ((0, 0), (size, size), (size, size)))
        top, left = patches.top[unit] + size, patches.left[unit] + size
        window = whole[:, top : top + size, left : left + size]
        differences.append(abs(window - patches.pixels[..., unit]).max() / abs(window).max())
    return f"median {statistics.median(differences):.1e}, largest {max(differences):.1e} of {len(differences)} units"


def timed(function):
    function()
    wait()
    start = time.perf_counter()
    function()
    wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
