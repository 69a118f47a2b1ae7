"""AlexNet's convolutional part on 32 photos, ours against PyTorch on the CPU, with as many threads each.

    python benchmarks/forward.py [--photos FOLDER-or-ZIP]

Needs the extra `bench`. Prints for each BLAS kernel: seconds, GFLOP/s, our speed as a share of PyTorch's, and the
largest relative difference of the outputs. Takes about a minute; results are in docs/log.md.
"""

import numpy as np
import torch
from common import alternate, arguments, for_each_kernel, load_alexnet, load_photos
from torch_twin import twin

from minideconv.layers import Conv2d
from minideconv.parallel import thread_count

PHOTOS = 32


def main(options):
    torch.set_num_threads(thread_count())
    net, weights = load_alexnet()
    x = load_photos(net, options.photos, PHOTOS)
    peer, images = twin(net).eval(), torch.from_numpy(np.ascontiguousarray(x.transpose(3, 0, 1, 2)))  # (N, C, H, W)

    def ours():
        return net.forward(x)["pool5"]

    @torch.no_grad()
    def theirs():
        return peer(images).numpy().transpose(1, 2, 3, 0)

    difference = abs(ours() - theirs()).max() / abs(theirs()).max()
    seconds = alternate({"ours": ours, "torch": theirs}, options.repeats)
    flops = PHOTOS * sum(
        2 * layer.weight[0].size * np.prod(net.output_shapes()[name])
        for name, layer in net.layers.items()
        if isinstance(layer, Conv2d)
    )
    print(f"  {weights}, {PHOTOS} photos, {thread_count()} threads")
    for name, taken in seconds.items():
        print(f"  {name:6} {taken:.3f} s  {flops / taken / 1e9:.0f} GFLOP/s")
    print(f"  our speed / torch's: {seconds['torch'] / seconds['ours']:.2f}   largest difference: {difference:.1e}")


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
