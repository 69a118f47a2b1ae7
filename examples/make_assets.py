"""Train the net that minideconv carries with it, and write everything in `minideconv/assets`.

zfnet28 on all of Fashion-MNIST, 6 to 10 minutes on 2 cores, 92 % right on the 10,000 test images. Writes
`zfnet28.npz`, `snapshots/epoch-….npz` (both in half precision), `fashion-mnist-1000.npz` (the first 100 test images of
each class) and the licence of Fashion-MNIST; together under 2 MB.

    python examples/make_assets.py --data /usr/share/datasets/fashion-mnist
    python examples/make_assets.py --snapshots run/snapshots     # without training: its last epoch is the net
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

import minideconv
from minideconv import datasets, embedded, models, training
from minideconv.evaluation import evaluate
from minideconv.experiments.snapshots import snapshots

EPOCHS, LEARNING_RATE, WEIGHT_DECAY = 12, 0.03, 3e-4
SCHEDULE = training.Steps((7, 10), 5.0)
SHOWN = (0, 1, 2, 3, 5)  # epochs to keep, and the last
EACH = 100  # images of each class
LICENCE = """The MIT License (MIT)

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""  # noqa: E501


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="the folder with the official files")
    parser.add_argument("--snapshots", metavar="FOLDER", help="take these, do not train")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=embedded.ASSETS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    test = datasets.load(options.data, part="test")
    with tempfile.TemporaryDirectory() as temporary:
        if not options.snapshots:
            train(datasets.load(options.data), test, options.epochs, temporary)
        write(dict(snapshots(options.snapshots or temporary)), test, options.out)
    print(f"written: {options.out}, {sum(f.stat().st_size for f in options.out.rglob('*') if f.is_file()):,} bytes")


def train(data, test, epochs, folder):
    net = models.build("zfnet28")
    settings = training.Settings(epochs=epochs, flips=True, schedule=SCHEDULE)
    optimizer = training.SGD(net, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    training.train(net, data, settings=settings, optimizer=optimizer, test=test, snapshots=folder)


def write(paths, test, out):
    last = max(paths)
    net = minideconv.load_model(paths[last])
    net.source, net.licence = "trained by examples/make_assets.py on Fashion-MNIST", "MIT, as minideconv"
    out.mkdir(parents=True, exist_ok=True)
    minideconv.save_model(net, out / embedded.MODEL, dtype="float16")
    kept = minideconv.load_model(out / embedded.MODEL)
    print(f"test error {evaluate(kept, test.images, test.labels).top1:.2%} after {last} epochs, in half precision")

    shutil.rmtree(out / embedded.SNAPSHOTS, ignore_errors=True)
    (out / embedded.SNAPSHOTS).mkdir()
    for epoch in sorted({*SHOWN, last} & set(paths)):
        path = out / embedded.SNAPSHOTS / f"epoch-{epoch:03d}.npz"
        minideconv.save_model(minideconv.load_model(paths[epoch]), path, dtype="float16")

    chosen = np.concatenate([np.flatnonzero(test.labels == label)[:EACH] for label in range(len(test.classes))])
    labels = test.labels[chosen].astype(np.uint8)
    np.savez_compressed(out / embedded.IMAGES, images=test.images[chosen], labels=labels)
    (out / embedded.LICENCE).write_text(LICENCE, encoding="utf-8")


if __name__ == "__main__":
    main()
