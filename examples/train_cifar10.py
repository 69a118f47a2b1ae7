"""Train a small relative of the paper's net on CIFAR-10, with the shifts and mirror images of Sec. 3.

    python examples/train_cifar10.py [--data FOLDER-or-ZIP] [--out run-cifar10]

Data: CIFAR-10's official archive or class folders from --data, or downloaded (170 MB). An epoch takes 32 s on two
cores, all of it 11 minutes; the test error is in docs/log.md. Writes model.npz, curve.csv, curve.png and snapshots/ of
every epoch into --out; stop it with Ctrl-C and start it again to go on.
"""

import argparse
from pathlib import Path

from minideconv import models, save_model
from minideconv.curves import save_curve_picture, save_curve_table
from minideconv.datasets import cifar10
from minideconv.evaluation import evaluate
from minideconv.training import SGD, Falling, Settings, train

SETTINGS = Settings(epochs=20, batch_size=64, seed=0, crop_padding=2, flips=True, schedule=Falling(20))
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.02, 0.9, 5e-4


def main(data, test, out, settings=SETTINGS):
    net = models.build("zfnet32", seed=settings.seed)
    optimizer = SGD(net, learning_rate=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    out.mkdir(parents=True, exist_ok=True)
    progress = train(net, data, settings=settings, optimizer=optimizer, test=test, checkpoint=out / "checkpoint.npz",
                     resume=True, snapshots=out / "snapshots")  # fmt: skip
    save_model(net, out / "model.npz")
    save_curve_table(out / "curve.csv", progress)
    save_curve_picture(out / "curve.png", progress, "CIFAR-10")
    result = evaluate(net, test.images, test.labels)
    print(f"test error {100 * result.top1:.2f} % after {sum(row[5] for row in progress.curve):.0f} s of training")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FOLDER-or-ZIP", help="the official archive, or class folders")
    parser.add_argument("--out", type=Path, default=Path("run-cifar10"))
    chosen = parser.parse_args()
    main(cifar10("train", chosen.data), cifar10("test", chosen.data), chosen.out)
