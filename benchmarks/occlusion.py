"""100 places of a square on one photo, AlexNet: `occlude` against covered photos through the whole net, and PyTorch.

    python benchmarks/occlusion.py [--photos FOLDER-or-ZIP]

Needs the extra `bench`. A square of 35 pixels in steps of 21 covers 224 × 224 at 10 × 10 places; watched is the total
activity of relu5's strongest map. Beside `occlude` itself, projection and all, run the same 100 covered photos through
`net.forward`, nothing saved, and through PyTorch, each in its best of a few batch sizes. Prints for each BLAS kernel:
seconds, their ratios, and the largest relative difference. Takes about two minutes; results are in docs/log.md.
"""

import time

import numpy as np
import torch
from common import alternate, arguments, for_each_kernel, load_net, load_photos, torch_device, torch_images, wait
from torch_twin import twin

from minideconv import occlude, to_device, to_numpy
from minideconv.parallel import thread_count

SIZE, STRIDE, LAYER = 35, 21, "relu5"
BATCHES = (10, 20, 34, 50, 100)


def main(options):
    torch.set_num_threads(thread_count())
    net, weights = load_net("alexnet")
    photo = net.preprocessing.restore(load_photos(net, options.photos, 1)[..., 0])
    seen = occlude(net, photo, LAYER, size=SIZE, stride=STRIDE)
    covered = covered_photos(to_numpy(net.preprocess([photo])), seen)
    where = torch_device()
    module = twin(net)[: list(net.layers).index(LAYER) + 1].to(where)

    def whole(size):
        parts = (ready[..., first : first + size] for first in range(0, ready.shape[-1], size))
        maps = [net.forward(x, until=LAYER, keep=(LAYER,))[LAYER] for x in parts]
        return np.concatenate([to_numpy(part[seen.channel].sum(axis=(0, 1))) for part in maps])

    ready, images = to_device(covered), torch_images(covered, where)

    def torch_whole(size):
        with torch.inference_mode():
            return (
                torch.cat([module(some)[:, seen.channel].sum(dim=(1, 2)) for some in images.split(size)]).cpu().numpy()
            )

    ours, theirs = (min(BATCHES, key=lambda size: timed(run, size)) for run in (whole, torch_whole))
    seconds = alternate({
        "occlude": lambda: occlude(net, photo, LAYER, size=SIZE, stride=STRIDE),
        f"whole net, batches of {ours}": lambda: whole(ours),
        f"torch, batches of {theirs}": lambda: torch_whole(theirs),
    }, options.repeats)  # fmt: skip
    print(f"  {weights}, {seen.activity.size} places, {thread_count()} threads")
    for name, taken in seconds.items():
        print(f"  {name:28} {taken:5.2f} s   occlude is {taken / seconds['occlude']:.1f} times as fast")
    for name, values in (("whole net", whole(ours)), ("torch", torch_whole(theirs))):
        print(f"  difference from {name}: {abs(values - seen.activity.ravel()).max() / abs(values).max():.1e}")


def covered_photos(x, seen):
    """The photo, preprocessed, with the square in each place: (C, H, W, 100)."""
    covered = np.repeat(x, seen.activity.size, axis=3)
    places = [(top, left) for top in seen.top for left in seen.left]
    for place, (top, left) in enumerate(places):
        covered[:, top : top + seen.size, left : left + seen.size, place] = 0
    return covered


def timed(function, *arguments):
    function(*arguments)
    wait()
    start = time.perf_counter()
    function(*arguments)
    wait()
    return time.perf_counter() - start


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
