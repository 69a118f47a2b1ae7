"""One training step of a small net (3 -> 32 -> 32 -> 64 maps, 5 × 5, pools 3/2), batch 128, against PyTorch on the CPU.

    python benchmarks/training_step.py

Needs the extra `bench`. Forward, cross-entropy, backward and the momentum update on both sides, as many threads each.
Prints for each BLAS kernel: milliseconds a step, our speed as a share of PyTorch's, and the largest difference of a
weight after one step from the same start. Takes about a minute; results are in docs/log.md.
"""

import numpy as np
import torch
from common import alternate, arguments, for_each_kernel, small_net
from torch_twin import twin

from minideconv.parallel import thread_count
from minideconv.training import SGD

BATCH, RATE = 128, 0.01


def main(options):
    torch.set_num_threads(thread_count())
    net, random = small_net(), np.random.RandomState(0)
    x = random.standard_normal((3, 32, 32, BATCH)).astype(np.float32)
    labels = random.randint(0, 10, BATCH)
    peer, optimizer = twin(net).train(), SGD(net, learning_rate=RATE)
    images, targets = torch.from_numpy(np.ascontiguousarray(x.transpose(3, 0, 1, 2))), torch.from_numpy(labels)
    theirs = torch.optim.SGD(peer.parameters(), lr=RATE, momentum=0.9)

    def ours():
        optimizer.step(x, labels)

    def torchs():
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(peer(images), targets).backward()
        theirs.step()

    ours()
    torchs()
    difference = max(
        abs(value - parameter.detach().numpy()).max()
        for value, parameter in zip(net.parameters().values(), peer.parameters())
    )
    seconds = alternate({"ours": ours, "torch": torchs}, 3 * options.repeats)
    for name, taken in seconds.items():
        print(f"  {name:6} {1000 * taken:.0f} ms a step")
    print(f"  our speed / torch's: {seconds['torch'] / seconds['ours']:.2f}   largest difference: {difference:.1e}")


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
