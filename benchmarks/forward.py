"""AlexNet's or VGG16's convolutional part on 32 photos, ours against PyTorch, with as many threads each.

    python benchmarks/forward.py [--model vgg16] [--photos FOLDER-or-ZIP]
    MINIDECONV_DEVICE=gpu python benchmarks/forward.py

Needs the extra `bench`. Prints for each BLAS kernel, or for the GPU (PyTorch on the same, TF32 off in both): seconds,
GFLOP/s, our speed as a share of PyTorch's, and the largest relative difference of the outputs. AlexNet takes about a
minute on a CPU; results are in docs/benchmarks.md.
"""

import numpy as np
import torch
from common import alternate, arguments, for_each_kernel, load_net, load_photos, torch_device, torch_images
from torch_twin import twin

from minideconv import to_device, to_numpy
from minideconv.layers import Conv2d
from minideconv.parallel import thread_count

PHOTOS = 32


def main(options):
    torch.set_num_threads(thread_count())
    net, weights = load_net(options.model)
    x, where = to_device(load_photos(net, options.photos, PHOTOS)), torch_device()
    peer, images = twin(net).eval().to(where), torch_images(x, where)

    def ours():
        return net.forward(x)["pool5"]

    @torch.no_grad()
    def theirs():
        return peer(images)

    expected = theirs().cpu().numpy().transpose(1, 2, 3, 0)
    difference = abs(to_numpy(ours()) - expected).max() / abs(expected).max()
    seconds = alternate({"ours": ours, "torch": theirs}, options.repeats)
    flops = PHOTOS * sum(
        2 * layer.weight[0].size * np.prod(net.output_shapes()[name])
        for name, layer in net.layers.items()
        if isinstance(layer, Conv2d)
    )
    print(f"  {net.name}, {weights}, {PHOTOS} photos, {thread_count()} threads, torch on {where}")
    for name, taken in seconds.items():
        print(f"  {name:6} {taken:.3f} s  {flops / taken / 1e9:.0f} GFLOP/s")
    print(f"  our speed / torch's: {seconds['torch'] / seconds['ours']:.2f}   largest difference: {difference:.1e}")


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
