"""How much of the paper's Table 1 a net has learnt, and how much five photos can say.

    python benchmarks/correspondence.py --photos photos.zip --marks examples/dog_parts.json

For both crops: how far hiding a part lies below hiding random places in the object, in each measure, for the net and
for nets of the same layers with random weights (several seeds: mean and deviation). Then, for the net, all sets of five
of the photos, each with every draw of random places: how often all parts lie below random places, as in the paper.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np

import minideconv
from minideconv.experiments.correspondence import MEASURES, PLACES
from minideconv.network import with_random_weights

AS_MANY = 5  # photos in the paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True)
    parser.add_argument("--marks", required=True)
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--layer", default="relu5")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3, help="of random weights")
    options = parser.parse_args()
    net = minideconv.load_model(options.model)
    for crop in ("photo", "object"):
        found = [
            minideconv.correspond(one, options.photos, options.marks, options.layer, draws=options.draws, crop=crop)
            for one in (net, *(with_random_weights(net, seed=(1311, 2901, seed)) for seed in range(options.seeds)))
        ]
        print(f"\n{options.model}, {options.layer}, crop {crop}: the part minus random places, {options.draws} draws")
        learnt_or_not(found)
        few_photos(found[0])


def learnt_or_not(found) -> None:
    """Print the differences, of the net beside those of nets with random weights."""
    print(f"{'measure':9}{'part':11}" + "".join(f"{place:33}" for place in PLACES[:2]))
    print(f"{'':20}" + f"{'net':9}{'random weights':24}" * 2)
    below = np.array([one.delta.mean(-1)[:, None] - one.random.mean((-2, -1)) for one in found])[..., 0]
    for m, measure in enumerate(MEASURES):
        for p, part in enumerate(found[0].parts):
            cells = [(values[0], values[1:].mean(), values[1:].std()) for values in below[:, m, :2, p].T]
            shown = "".join(f"{net:+.3f}   {f'{mean:+.3f} ± {spread:.3f}':24}" for net, mean, spread in cells)
            print(f"{measure:9}{part:11}{shown}")


def few_photos(found) -> None:
    """Print how often all parts are below random places in the object, over sets of five photos and draws."""
    pairs = list(combinations(range(len(found.photos)), 2))
    sets = list(combinations(range(len(found.photos)), AS_MANY))
    inside = np.array([[i in some and j in some for i, j in pairs] for some in sets], float)  # (sets, Q)
    inside /= inside.sum(axis=1, keepdims=True)
    for m, measure in enumerate(MEASURES):
        part = found.delta[m, :, 0] @ inside.T  # (P, sets)
        random = found.random[m, 0, :, 0] @ inside.T  # (P, R, sets)
        share = (part[:, None] < random).all(axis=0).mean()
        print(f"{measure}: all parts below random places in {share:.0%} of {len(sets)} sets of {AS_MANY} x draws")


if __name__ == "__main__":
    main()
