"""Train a small relative of the paper's net on Fashion-MNIST, as in Sec. 3.

    python examples/train_fashion_mnist.py [--data FOLDER] [--out run-fashion-mnist]

Data: from --data, from Debian's package dataset-fashion-mnist, or downloaded (30 MB). Time and test error are in
docs/log.md. Writes model.npz, curve.csv, curve.png and snapshots/ of every epoch into --out; stop it with Ctrl-C and
start it again to go on.
"""

import argparse
from pathlib import Path

from minideconv import models, save_model
from minideconv.curves import save_curve_picture, save_curve_table
from minideconv.datasets import fashion_mnist
from minideconv.evaluation import evaluate
from minideconv.training import SGD, Settings, Steps, train

SETTINGS = Settings(epochs=12, batch_size=128, seed=0, flips=True, schedule=Steps((7, 10), factor=5))
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.03, 0.9, 3e-4


def main(data, test, out, settings=SETTINGS):
    net = models.build("zfnet28", seed=settings.seed)
    optimizer = SGD(net, learning_rate=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    out.mkdir(parents=True, exist_ok=True)
    progress = train(net, data, settings=settings, optimizer=optimizer, test=test, checkpoint=out / "checkpoint.npz",
                     resume=True, snapshots=out / "snapshots")  # fmt: skip
    save_model(net, out / "model.npz")
    save_curve_table(out / "curve.csv", progress)
    save_curve_picture(out / "curve.png", progress, "Fashion-MNIST")
    result = evaluate(net, test.images, test.labels)
    print(f"test error {100 * result.top1:.2f} % after {sum(row[5] for row in progress.curve):.0f} s of training")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FOLDER", help="the folder of the four official files")
    parser.add_argument("--out", type=Path, default=Path("run-fashion-mnist"))
    chosen = parser.parse_args()
    main(fashion_mnist("train", chosen.data), fashion_mnist("test", chosen.data), chosen.out)
