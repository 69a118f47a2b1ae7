"""Fig. 5 of the paper, with finer steps and every layer: shift, enlarge and turn photos, and see how far features move.

    python examples/invariance.py photo.jpg more.jpg …

AlexNet's convolutional part, 51 versions of each photo, two to three seconds a photo on 2 cores; its weights are
fetched by `minideconv fetch alexnet`. Into the folder `invariance`: invariance.png (a row for each transformation, a
column for each layer, a curve for each photo), invariance.csv, invariance.npz.

Expected: the higher the layer, the more can be done to a photo before its features are half as far away as they get. On
five photos of Caltech-101: 2 pixels for relu1, 6, 10, 10 and 12 for relu2 to relu5, 14 for pool5. No layer is invariant
to rotation. A second run shows how little depends on what enters at the photo's edge.
"""

import sys
from pathlib import Path

import numpy as np

from minideconv import invariance, load_model

MODEL = "alexnet"
LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5", "pool5")
TRANSLATIONS = np.arange(0, 61, 2)  # pixels of the 224 that the net sees, downwards
SCALES = (1, 1.02, 1.04, 1.06, 1.08, 1.1, 1.2, 1.8)
DEGREES = (0, 2, 4, 6, 8, 10, 15, 20, 30, 45, 90, 180)
OUT = Path("invariance")


def main(photos):
    net = load_model(MODEL)
    amounts = {"translations": TRANSLATIONS, "scales": SCALES, "degrees": DEGREES}
    found = invariance(net, photos, LAYERS, **amounts, progress=True)
    print(*found.findings(), sep="\n")

    OUT.mkdir(parents=True, exist_ok=True)
    for ending in (".png", ".csv", ".npz"):
        found.save(OUT / f"invariance{ending}")

    grey = invariance(net, photos, LAYERS, **amounts, edge="grey", progress=True)
    print(
        f"grey instead of mirrored edges: distances change by {abs(grey.distance - found.distance).max():.2f} at most"
    )
    print(f"written: {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
