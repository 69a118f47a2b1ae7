"""One activation's stimulus is not the decision: what a net still decides without its strongest unit, or feature map.

Uses the small net and the 1,000 test pictures of Fashion-MNIST that the package carries; a few seconds. For each
picture the strongest unit of relu3 is set to zero and the layers above run again; then its strongest feature map; then
the strongest maps one after another, until the decision changes. Prints how often, and how many.

Expected: without its strongest unit the net decides as before for 99 pictures of 100; half of the decisions stand
until a third of all maps is gone, strongest first. What that means: docs/what_a_picture_shows.md.
"""

import numpy as np

from minideconv import Network
from minideconv.backend import to_device, to_numpy
from minideconv.embedded import embedded_images, embedded_model

LAYER = "relu3"


def decisions(head, maps):
    """The class of each picture, from the maps (C, H, W, N) of the layer below `head`: (N,)."""
    logits = head.forward(to_device(maps))[head.name_of(None)]
    return to_numpy(logits).argmax(axis=0)


def without_unit(maps):
    """The maps with each picture's strongest unit set to zero."""
    flat = maps.reshape(-1, maps.shape[-1]).copy()  # (C·H·W, N)
    flat[flat.argmax(axis=0), np.arange(flat.shape[1])] = 0
    return flat.reshape(maps.shape)


def without_maps(maps, order, count):
    """The maps with the first `count` feature maps of each picture's `order` (C, N) set to zero."""
    gone = np.zeros(order.shape, bool)
    np.put_along_axis(gone, order[:count], True, axis=0)
    return np.where(gone[:, None, None], 0, maps)


def main(net, images):
    names = list(net.layers)
    head = Network([(name, net.layers[name]) for name in names[names.index(LAYER) + 1 :]])
    maps = to_numpy(net.forward(to_device(net.preprocessing.scaled(images)), until=LAYER, keep=[])[LAYER])
    decided = decisions(head, maps)

    order = np.argsort(-maps.max(axis=(1, 2)), axis=0, kind="stable")  # (C, N), strongest first
    shuffled = np.random.default_rng(0).permuted(order, axis=0)
    needed = {"strongest": order, "any": shuffled}
    for kind, one in needed.items():
        changed = np.stack([decisions(head, without_maps(maps, one, n)) != decided for n in range(1, len(maps) + 1)])
        needed[kind] = np.where(changed.any(axis=0), changed.argmax(axis=0) + 1, len(maps) + 1)

    changed_by_unit = (decisions(head, without_unit(maps)) != decided).mean()
    print(f"{len(images):,} pictures, {LAYER} has {maps[..., 0].size:,} units in {len(maps)} maps")
    print(f"decision changes without the strongest unit: {changed_by_unit:.1%}")
    one_map, any_map = ((needed[kind] == 1).mean() for kind in ("strongest", "any"))
    print(f"without the strongest map: {one_map:.1%}, any map: {any_map:.1%}")
    print(f"maps to remove until it changes, median: {np.median(needed['strongest']):.0f} of the strongest, "
          f"{np.median(needed['any']):.0f} of any")  # fmt: skip


if __name__ == "__main__":
    main(embedded_model(), embedded_images().images)
