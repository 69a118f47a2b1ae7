"""Table 1 of the paper with AlexNet: hide eyes and noses of twelve dogs, and compare what changes in the net.

`dog_parts.json` beside this file marks the right eye, the left eye (the dog's own) and the nose of twelve ImageNet
photos of dogs by boxes; the photos are not ours to give away. Put those it names, short side 256, into the folder (or
zip) PHOTOS, or mark your own. About a minute on 2 quiet cores. Writes into the folder `correspondence`, once for the
photos as AlexNet sees them and once for the heads alone: a table, a chart and the arrays.

Expected: of all units, as the paper counts, hiding an eye changes relu5 no more alike than hiding random places, and
hiding the nose less. Of the sums of feature maps, whose places do not matter, those of parts agree more than those of
(nearly) any random draw: 0.46 to 0.50 against 0.50 to 0.53.
"""

from pathlib import Path

import minideconv

PHOTOS = "imagenet-photos.zip"
MARKS = Path(__file__).parent / "dog_parts.json"
LAYERS = ("relu1", "relu3", "relu5")
DRAWS = 20  # of random places
OUT = Path("correspondence")


def main(net, photos=PHOTOS, marks=MARKS, layers=LAYERS, draws=DRAWS, out=OUT):
    out.mkdir(parents=True, exist_ok=True)
    for crop in ("photo", "object"):
        found = minideconv.correspond(net, photos, marks, layers, draws=draws, crop=crop, progress=True)
        print(f"{found}\n")
        for ending in (".png", ".csv", ".npz"):
            found.save(out / f"{crop}{ending}")
    print(f"written: {out}")


if __name__ == "__main__":
    main(minideconv.load_model("alexnet"))
