"""One training step of a small net (3 -> 32 -> 32 -> 64 maps, 5 × 5, pools 3/2), batch 128, against DeZero.

    pip install dezero && python benchmarks/dezero_step.py

The net of training_step.py, but pools that round down: DeZero has no others. Forward, cross-entropy, backward and the
momentum update on both sides. DeZero computes in plain NumPy; its matrix products use as many threads as ours. Prints
for each BLAS kernel what training_step.py prints. Takes about two minutes; results are in docs/log.md.
"""

import sys

import numpy as np
from common import alternate, arguments, for_each_kernel, small_net

from minideconv.training import SGD

BATCH, RATE = 128, 0.01
np.int = int  # DeZero 0.0.13 uses a name that NumPy 1.24 dropped


def main(options):
    net, random = small_net(ceil_mode=False), np.random.RandomState(0)
    x = random.standard_normal((3, 32, 32, BATCH)).astype(np.float32)
    labels = random.randint(0, 10, BATCH)
    peer, optimizer = twin(net), SGD(net, learning_rate=RATE)
    images = np.ascontiguousarray(x.transpose(3, 0, 1, 2))
    from dezero import functions, optimizers

    theirs = optimizers.MomentumSGD(lr=RATE, momentum=0.9).setup(peer)

    def ours():
        optimizer.step(x, labels)

    def dezeros():
        loss = functions.softmax_cross_entropy(peer(images), labels)
        peer.cleargrads()
        loss.backward()
        theirs.update()

    ours()
    dezeros()
    difference = max(
        abs(value - as_ours(getattr(getattr(peer, layer), "W" if key == "weight" else "b").data, value.shape)).max()
        for (layer, key), value in ((name.split("."), value) for name, value in net.parameters().items())
    )
    seconds = alternate({"ours": ours, "dezero": dezeros}, options.repeats)
    for name, taken in seconds.items():
        print(f"  {name:6} {1000 * taken:.0f} ms a step")
    print(f"  our speed / DeZero's: {seconds['dezero'] / seconds['ours']:.1f}   largest difference: {difference:.1e}")


def twin(net):
    """The same net, with copies of the weights, as a DeZero model; its layers have our names."""
    from dezero import Model, functions, layers

    class Twin(Model):
        def forward(self, x):
            for name in ("conv1", "conv2", "conv3"):
                x = functions.pooling(functions.relu(getattr(self, name)(x)), 3, 2)
            return self.fc4(functions.flatten(x))

    peer = Twin()
    for name in ("conv1", "conv2", "conv3", "fc4"):
        ours = net.layers[name]
        theirs = layers.Linear(10) if name == "fc4" else layers.Conv2d(ours.out_channels, 5, pad=2)
        setattr(peer, name, theirs)
        theirs.W.data, theirs.b.data = (ours.weight.T if name == "fc4" else ours.weight).copy(), ours.bias.copy()
    return peer


def as_ours(value, shape):
    """A parameter of DeZero's in our shape: its fully connected weights are (in, out)."""
    return value if value.shape == shape else value.T


if __name__ == "__main__":
    try:
        import dezero  # noqa: F401
    except ImportError as error:
        sys.exit(f"dezero_step: {error}; pip install dezero")
    for_each_kernel(main, arguments(__doc__.splitlines()[0]))
