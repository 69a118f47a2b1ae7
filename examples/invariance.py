"""Fig. 5 of the paper: shift, enlarge and turn photos, and see how far the features of a low and a high layer move.

    python examples/invariance.py photo.jpg more.jpg …

AlexNet's convolutional part, 84 versions of each photo, three seconds a photo on 2 cores; its weights are fetched by
`minideconv fetch alexnet`. Into the folder `invariance`: invariance.png (a row for each transformation, a curve for
each photo), invariance.csv, invariance.npz.

Expected: relu1 is as far away as it gets after a few pixels, pool5 moves gently and farther the more is done; neither
is invariant to rotation. A second run shows how much of that depends on what enters at the photo's edge.
"""

import sys
from pathlib import Path

import numpy as np

from minideconv import invariance, load_model

MODEL = "alexnet"
LAYERS = ("relu1", "pool5")
TRANSLATIONS = np.arange(-60, 61, 4)  # pixels of the 224 that the net sees; scales and degrees as in the paper
OUT = Path("invariance")


def main(photos):
    net = load_model(MODEL)
    found = invariance(net, photos, LAYERS, translations=TRANSLATIONS)
    print(*found.findings(), sep="\n")

    OUT.mkdir(parents=True, exist_ok=True)
    for ending in (".png", ".csv", ".npz"):
        found.save(OUT / f"invariance{ending}")

    other = invariance(net, photos, LAYERS, translations=TRANSLATIONS, edge="grey")
    print(
        f"grey instead of mirrored edges change a distance by {abs(other.distance - found.distance).max():.2f} at most"
    )
    print(f"written: {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
