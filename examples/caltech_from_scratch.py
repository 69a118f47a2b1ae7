"""Table 4, first row: a net that has seen nothing but Caltech-101, 30 photos of each of its 101 classes.

    python examples/caltech_from_scratch.py caltech101.zip [--splits 1] [--out run-caltech]

The paper trains its whole net on them and gets 46.5 % of an average class right, where the features of the same net
trained on ImageNet give 86.5 % (`minideconv transfer`). This one is smaller, and trains in seven minutes on two cores:
photos of 64 × 64 pixels, squeezed whole, four convolutions, 2 million parameters. The result is in docs/log.md. Writes
model.npz, curve.csv and curve.png of each split into --out.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from minideconv import Network, save_model
from minideconv.archives import Photos
from minideconv.curves import save_curve_picture, save_curve_table
from minideconv.datasets import Dataset
from minideconv.evaluation import evaluate
from minideconv.experiments.feature_analysis import check_enough, divide
from minideconv.experiments.features import labelled
from minideconv.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minideconv.training import SGD, Falling, Settings, preprocessing_of, train

SIZE, PER_CLASS, TRAIN = 64, 80, 30
SETTINGS = Settings(epochs=60, batch_size=64, seed=0, crop_padding=6, flips=True, schedule=Falling(60))
LEARNING_RATE, WEIGHT_DECAY = 0.01, 5e-4


def small_zfnet(classes, seed):
    """The paper's net for 64 × 64 pixels: large steps first, then 3 × 3 filters, two fully connected layers."""
    return Network([
        ("conv1", Conv2d(3, 48, 7, stride=2, padding=3)), ("relu1", ReLU()),
        ("pool1", MaxPool2d(3, stride=2, padding=1)),
        ("conv2", Conv2d(48, 96, 5, padding=2)), ("relu2", ReLU()), ("pool2", MaxPool2d(3, stride=2, padding=1)),
        ("conv3", Conv2d(96, 128, 3, padding=1)), ("relu3", ReLU()),
        ("conv4", Conv2d(128, 128, 3, padding=1)), ("relu4", ReLU()), ("pool4", MaxPool2d(3, stride=2, padding=1)),
        ("flatten", Flatten()), ("drop5", Dropout(0.5)), ("fc5", Linear(128 * 4 * 4, 512)), ("relu5", ReLU()),
        ("drop6", Dropout(0.5)), ("fc6", Linear(512, classes)),
    ], name="small zfnet", input_shape=(3, SIZE, SIZE), seed=seed)  # fmt: skip


def main(source, out, splits=1, settings=SETTINGS, train_per_class=TRAIN):
    photos = Photos(source)
    numbers, labels, classes = labelled(photos, PER_CLASS)
    read = photos.map(
        lambda photo: np.asarray(photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR)), numbers, progress="reading"
    )
    usable = [(pixels, label) for (_, pixels, problem), label in zip(read, labels) if not problem]
    images, labels = (np.stack(part) for part in zip(*usable))
    check_enough(labels, classes, train_per_class)
    found = []
    for split in range(splits):
        parts = divide(labels, train_per_class, np.random.default_rng([0, split]))
        data, test = (Dataset(images[part], labels[part], classes, photos.source.stem, []) for part in parts)
        net = small_zfnet(len(classes), split)
        net.preprocessing = replace(preprocessing_of(data), resize=(SIZE, SIZE))  # squeezed whole
        optimizer = SGD(net, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        folder = out / f"split-{split}"
        folder.mkdir(parents=True, exist_ok=True)
        progress = train(net, data, settings=settings, optimizer=optimizer, test=test,
                         checkpoint=folder / "checkpoint.npz", resume=True)  # fmt: skip
        save_model(net, folder / "model.npz")
        save_curve_table(folder / "curve.csv", progress)
        save_curve_picture(folder / "curve.png", progress, "Caltech-101, from scratch")
        confusion = evaluate(net, test.images, test.labels).confusion
        found.append(100 * np.mean(np.diag(confusion) / confusion.sum(axis=1)))
        print(
            f"split {split}: mean accuracy of a class {found[-1]:.1f} %, {sum(row[5] for row in progress.curve):.0f} s"
        )
    print(f"{np.mean(found):.1f} ± {np.std(found, ddof=1) if splits > 1 else np.nan:.1f} %; the paper: 46.5 ± 1.7 %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="a folder or zip of class folders")
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("run-caltech"))
    chosen = parser.parse_args()
    main(chosen.data, chosen.out, chosen.splits)
