"""The loop of Sec. 4.1: look at the first layer, find the fault, change the architecture, measure the error.

    python examples/architecture_loop.py --data cifar10.zip [--out loop] [--seeds 5]

`alexnet8` begins like AlexNet with large filters that move in large steps (7 × 7, stride 2), `zfnet8` like the paper's
net with smaller ones in smaller steps (5 × 5, stride 1). conv2's stride makes up for it, so that all else is equal:
shapes from conv2 on, and 195,258 of 199,994 and 197,690 parameters. Both train on 20,000 photos of CIFAR-10.

Twenty minutes on two cores; can be stopped and started again. What came out is in docs/what_a_picture_shows.md.
Prints errors, and how many filters alias, are dead or dominate; writes NAME-conv1.png (filters and spectra), relu2.png
(both nets' top nines of the second layer, where the paper saw the aliasing), sizes.png and sizes.csv.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from minideconv import load_model
from minideconv.datasets import cifar10
from minideconv.experiments.architecture_selection import above_sheet, diagnose
from minideconv.experiments.model_sizes import SETTINGS, model_sizes, thinned
from minideconv.sheets import save_image

NETS = ("alexnet8", "zfnet8")
TRAIN_ON, LOOK_AT = 20_000, 1_000  # photos


def main(data, test, out, seeds=5, settings=SETTINGS):
    errors = model_sizes(NETS, thinned(data, TRAIN_ON), test, out, seeds=range(seeds), settings=settings)
    photos, sheets = thinned(test, LOOK_AT).images, []
    print(f"{errors}\n\nfilters of conv1, of 32    alias    dead    dominate    (means over seeds)")
    for name in NETS:
        nets = [load_model(out / name / f"seed-{seed}" / "model.npz") for seed in range(seeds)]
        found = [diagnose(net, photos=photos) for net in nets]
        counts = (np.mean([getattr(one, what).sum() for one in found]) for what in ("aliases", "dead", "dominating"))
        print(name.ljust(23) + "{:9.1f}{:8.1f}{:12.1f}".format(*counts))
        found[0].save(out / f"{name}-conv1.png")
        sheets.append(above_sheet(nets[0], "relu2", photos))
    save_image(side_by_side(*sheets), out / "relu2.png")
    errors.save(out / "sizes.png")
    errors.save(out / "sizes.csv")
    gains = 100 * (errors.test_error[0] - errors.test_error[1])  # seed by seed
    print(f"\nthe denser first layer takes {gains.mean():.1f} ± {gains.std(ddof=1):.1f} points off the test error")


def side_by_side(left, right):
    """Two sheets as one."""
    both = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), left.getpixel((0, 0)))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="FOLDER-or-ZIP", help="CIFAR-10's official archive, or class folders")
    parser.add_argument("--out", type=Path, default=Path("loop"))
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    main(cifar10("train", chosen.data), cifar10("test", chosen.data), chosen.out, chosen.seeds)
