"""One training step of a small net (3 -> 32 -> 32 -> 64 maps, 5 × 5, pools 3/2), batch 128, against DeZero.

    pip install dezero && python benchmarks/dezero_step.py

The net of training_step.py, but pools that round down: DeZero has no others. Forward, cross-entropy, backward and the
momentum update on both sides, in turns, each in a process of its own. DeZero computes in plain NumPy; its matrix
products use as many threads as ours. Prints for each BLAS kernel: milliseconds a step, our speed as a multiple of
DeZero's, and the largest difference of a weight after one step from the same start. Takes about a minute; results are
in docs/log.md.
"""

import sys

import numpy as np
from common import alternate, arguments, for_each_kernel, own_process, small_net

from minideconv.training import SGD

BATCH, RATE = 128, 0.01
LEARNED = ("conv1", "conv2", "conv3", "fc4")
np.int = int  # DeZero 0.0.13 uses a name that NumPy 1.24 dropped


def main(options):
    print(f"  largest difference after a step: {difference():.1e}")
    with own_process(dezero_step) as dezeros:
        seconds = alternate({"ours": our_step()[0], "dezero": dezeros}, options.repeats)
    for name, taken in seconds.items():
        print(f"  {name:6} {1000 * taken:4.0f} ms a step   our speed / its: {taken / seconds['ours']:.1f}")


def batch():
    random = np.random.RandomState(0)
    return random.standard_normal((3, 32, 32, BATCH)).astype(np.float32), random.randint(0, 10, BATCH)


def our_step():
    """A function that makes a step, and the net that it changes."""
    net, (x, labels) = small_net(ceil_mode=False), batch()
    optimizer = SGD(net, learning_rate=RATE)
    return lambda: optimizer.step(x, labels), net


def dezero_step():
    """The same for DeZero, from the same start."""
    from dezero import functions, optimizers

    peer, (x, labels) = twin(small_net(ceil_mode=False)), batch()
    images, optimizer = np.ascontiguousarray(x.transpose(3, 0, 1, 2)), optimizers.MomentumSGD(lr=RATE, momentum=0.9)
    optimizer.setup(peer)

    def step():
        loss = functions.softmax_cross_entropy(peer(images), labels)
        peer.cleargrads()
        loss.backward()
        optimizer.update()
        return peer

    return step


def difference():
    """Of weights after one step on both sides, the largest."""
    step, net = our_step()
    step()
    peer = dezero_step()()
    return max(
        max(abs(net.layers[name].weight - (layer.W.data.T if name == "fc4" else layer.W.data)).max(),
            abs(net.layers[name].bias - layer.b.data).max())
        for name, layer in ((name, getattr(peer, name)) for name in LEARNED)
    )  # fmt: skip


def twin(net):
    """The same net, with copies of the weights, as a DeZero model; its layers have our names."""
    from dezero import Model, functions, layers

    class Twin(Model):
        def forward(self, x):
            for name in ("conv1", "conv2", "conv3"):
                x = functions.pooling(functions.relu(getattr(self, name)(x)), 3, 2)
            return self.fc4(functions.flatten(x))

    peer = Twin()
    for name in LEARNED:
        ours = net.layers[name]
        theirs = layers.Linear(10) if name == "fc4" else layers.Conv2d(ours.out_channels, 5, pad=2)
        setattr(peer, name, theirs)
        theirs.W.data, theirs.b.data = (ours.weight.T if name == "fc4" else ours.weight).copy(), ours.bias.copy()
    return peer


if __name__ == "__main__":
    try:
        import dezero  # noqa: F401
    except ImportError as error:
        sys.exit(f"dezero_step: {error}; pip install dezero")
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
