"""Fig. 6 of the paper: what is wrong with AlexNet's first layer, and what is not wrong with VGG16's.

Needs a folder or zip of photos, and the weights: minideconv fetch alexnet; minideconv fetch vgg16. Two minutes on 2
cores for 800 photos. Writes into the folder `diagnosis`, for each net: the filters beside their spectra (.png), the
table (.csv), all arrays (.npz), and the top nines of the second layer, where the paper saw the aliasing.

Expected: 41 of AlexNet's 64 filters (11 x 11, stride 4) have more than half of their energy beyond what the stride can
carry, none of VGG16's (3 x 3, stride 1). On 800 ImageNet photos no filter of either is dead.
"""

import sys
from pathlib import Path

from minideconv import load_model
from minideconv.experiments.architecture_selection import above_sheet, diagnose, layer_above
from minideconv.sheets import save_image

PHOTOS = "photos.zip"
NETS = ("alexnet", "vgg16")
OUT = Path("diagnosis")


def main(nets, photos, out):
    out.mkdir(parents=True, exist_ok=True)
    for net in nets:
        found = diagnose(net, photos=photos, progress=True)
        for ending in (".png", ".csv", ".npz"):
            found.save(out / f"{net.name}{ending}")

        second = layer_above(net, found.layer)
        save_image(above_sheet(net, second, photos, progress=True), out / f"{net.name}-{second}.png")

        print(f"{net.name}, {found.layer}: of {len(found.rms)} filters {found.aliases.sum()} alias, "
              f"{found.dead.sum()} are dead, {found.dominating.sum()} dominate, "
              f"{found.scaled_back.sum()} have an RMS above {found.radius}")  # fmt: skip
    print(f"written: {out}")


if __name__ == "__main__":
    main([load_model(name) for name in NETS], *(sys.argv[1:2] or [PHOTOS]), OUT)
