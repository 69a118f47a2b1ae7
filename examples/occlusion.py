"""Fig. 7 of the paper: cover a photo piece by piece, and see where the net looks.

    python examples/occlusion.py photo.jpg [more.jpg …]

AlexNet's convolutional part, two seconds a photo on 2 cores; its weights are fetched by `minideconv fetch alexnet`. For
each photo a folder in `occlusion`: occlusion.png (the photo, the strongest relu5 map's total activity as a grey square
moves, its projection), occlusion.csv and occlusion.npz. With a model file that classifies, such as `minideconv transfer
… --save` writes, also the probability of the class and the most probable class at each place.

Expected: activity falls where the square hides what the map responds to, in most photos a part of the object.
"""

import sys
from pathlib import Path

from minideconv import load_model, occlude

MODEL = "alexnet"
SIZE, STRIDE = 48, 16  # pixels of the 224 that the net sees
OUT = Path("occlusion")


def main(photos):
    net = load_model(MODEL)
    for photo in photos:
        seen = occlude(net, photo, size=SIZE, stride=STRIDE)
        print(photo, *seen.findings(), sep="\n  ")

        folder = OUT / Path(photo).stem
        folder.mkdir(parents=True, exist_ok=True)
        for ending in (".png", ".csv", ".npz"):
            seen.save(folder / f"occlusion{ending}")
    print(f"written: {OUT}")


if __name__ == "__main__":
    main(sys.argv[1:])
