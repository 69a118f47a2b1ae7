"""One training step of a small net (3 -> 32 -> 32 -> 64 maps, 5 × 5, pools 3/2), batch 128, against PyTorch.

    python benchmarks/training_step.py
    MINIDECONV_DEVICE=gpu python benchmarks/training_step.py

Needs the extra `bench`. Forward, cross-entropy, backward and the momentum update on both sides, as many threads each,
in turns, PyTorch in processes of its own: in one it has the memory of the C library as it comes, in the other it keeps
freed memory as our optimizer asks for (`backend.keep_freed_memory`). Prints for each BLAS kernel, or for the GPU
(PyTorch on the same, TF32 off in both): milliseconds a step, our speed as a share of PyTorch's, and the largest
difference of a weight after one step from the same start. Takes about a minute; results are in docs/benchmarks.md.
"""

import numpy as np
import torch
from common import alternate, arguments, for_each_kernel, own_process, small_net, torch_device, torch_images
from torch_twin import twin

from minideconv.backend import keep_freed_memory, to_device, to_numpy
from minideconv.parallel import thread_count
from minideconv.training import SGD

BATCH, RATE = 128, 0.01


def main(options):
    print(f"  largest difference after a step: {difference():.1e}")
    with (
        own_process(torch_step, thread_count(), False) as plain,
        own_process(torch_step, thread_count(), True) as keeps,
    ):
        steps = {"ours": our_step()[0], "torch": plain, "torch, memory kept": keeps}
        seconds = alternate(steps, 3 * options.repeats)
    for name, taken in seconds.items():
        print(f"  {name:18} {1000 * taken:4.0f} ms a step   our speed / its: {taken / seconds['ours']:.2f}")


def batch():
    random = np.random.RandomState(0)
    return random.standard_normal((3, 32, 32, BATCH)).astype(np.float32), random.randint(0, 10, BATCH)


def our_step():
    """A function that makes a step, and the parameters that it changes."""
    net, (x, labels) = small_net(), batch()
    optimizer, x = SGD(net, learning_rate=RATE), to_device(x)
    return lambda: optimizer.step(x, labels), list(net.parameters().values())


def torch_step(threads, keep_memory):
    """The same for PyTorch, from the same start."""
    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()
    where = torch_device()
    peer, (x, labels) = twin(small_net()).to(where).train(), batch()
    images, targets = torch_images(x, where), torch.from_numpy(labels).to(where)
    optimizer = torch.optim.SGD(peer.parameters(), lr=RATE, momentum=0.9)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(peer(images), targets).backward()
        optimizer.step()
        return peer

    return step


def difference():
    """Of weights after one step on both sides, the largest."""
    step, values = our_step()
    step()
    peer = torch_step(thread_count(), False)()
    return max(
        abs(to_numpy(ours) - theirs.detach().cpu().numpy()).max() for ours, theirs in zip(values, peer.parameters())
    )


if __name__ == "__main__":
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
