"""Fig. 4 of the paper on Fashion-MNIST: train a small net, keep it after every epoch, and watch its features form.

Trains zfnet28 on 10,000 pictures for 10 epochs: two to three minutes on 2 cores, 31 MB to download if the data are not
there. Writes into the folder `evolution`: the snapshots, relu1.png, relu2.png and relu3.png (a row for each feature
map, a column for each epoch), movement.csv and movement.png.

Expected: first-layer features look the same from epoch 1 on, third-layer ones still change at the end. The table says
so in numbers: between any two of its epochs relu1 moves least (about 0.01) and relu3 most (about 0.2).
"""

from dataclasses import replace
from pathlib import Path

from minideconv import datasets, models
from minideconv.experiments.feature_evolution import evolution_sheet, evolve
from minideconv.experiments.feature_movement import (
    movement,
    movement_table,
    save_movement_picture,
    save_movement_table,
)
from minideconv.experiments.snapshots import choose_epochs, load_snapshots, probe_photos, snapshots
from minideconv.sheets import save_image
from minideconv.training import SGD, Settings, train

DATA = "fashion-mnist"  # or a folder with its official files
PICTURES = 10_000
EPOCHS = 10
LEARNING_RATE = 0.01
LAYERS = ("relu1", "relu2", "relu3")
MAPS = 6  # of each layer: those that are strongest at the end
PROBE = 1000  # test pictures at which features are looked at
OUT = Path("evolution")


def train_with_snapshots(folder):
    """Train, and leave epoch-000.npz (before training), epoch-001.npz … in a folder."""
    data = datasets.load(DATA, part="train")
    data = replace(data, images=data.images[:PICTURES], labels=data.labels[:PICTURES])
    net = models.build("zfnet28", seed=0)
    optimizer = SGD(net, learning_rate=LEARNING_RATE)
    train(net, data, settings=Settings(epochs=EPOCHS), optimizer=optimizer, test=None, snapshots=folder)


def main():
    train_with_snapshots(OUT / "snapshots")

    paths = dict(snapshots(OUT / "snapshots"))
    epochs = choose_epochs(paths)  # the paper's 1, 2, 5, 10 … and the last
    nets = load_snapshots([paths[epoch] for epoch in epochs])
    probe = probe_photos(DATA, nets[0].preprocessing, PROBE)

    for layer in LAYERS:
        evolution = evolve(nets, probe.photos, layer, top=MAPS)
        save_image(evolution_sheet(evolution, nets[0], epochs, probe.numbers), OUT / f"{layer}.png")

    measured = movement(nets, probe.photos)
    save_movement_table(OUT / "movement.csv", measured, epochs)
    save_movement_picture(OUT / "movement.png", measured, epochs, "zfnet28: how far features still move")
    print(movement_table(measured, epochs))
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
