"""After Adebayo et al. 2018: how much of a projection is the net's own, and how much the photo's?

Projects the strongest unit of each of 50 photos, then again with random weights, layer by layer from the top down, and
from another map at the same place; by all three rules. Needs photos and AlexNet's weights (minideconv fetch alexnet).
A minute a layer on 2 cores. Writes into the folder `controls`, for each layer: a chart (.png), the table (.csv), all
arrays (.npz), and the pictures of the first photo.

Expected at relu5: with conv5 random, or from another map, deconvnet and guided draw nearly the same picture (rank
correlation about 0.9), the gradient another one (0.0). With all weights random no rule draws anything like it.
"""

import sys
from pathlib import Path

from minideconv import load_model
from minideconv.experiments.controls_report import controls_table
from minideconv.experiments.sanity_checks import controls
from minideconv.sheets import save_image

PHOTOS = "photos.zip"
MODEL, LAYERS = "alexnet", ("relu3", "relu5")
LIMIT = 50  # photos
OUT = Path("controls")


def main(net, photos, layers, out):
    out.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        found = controls(net, photos, layer, limit=LIMIT, progress=True)
        for ending in (".png", ".csv", ".npz"):
            found.save(out / f"{layer}{ending}")
        save_image(found.sheet(), out / f"{layer}-pictures.png")

        print(f"{net.name}, {layer}\n{controls_table(found)}")
        for rule, sentence in found.findings():
            print(f"{rule}: {sentence}")
    print(f"written: {out}")


if __name__ == "__main__":
    main(load_model(MODEL), *(sys.argv[1:2] or [PHOTOS]), LAYERS, OUT)
