"""Sec. 3: the update by hand, schedules, renormalisation, augmentation, and runs that stop and go on bit for bit."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from draw import assert_equal

import minideconv.training as training
from minideconv import Network, load_model, models, to_device, to_numpy
from minideconv import functional as F
from minideconv.augmentation import random_crops, random_flips
from minideconv.curves import save_curve_picture, save_curve_table
from minideconv.datasets import Dataset
from minideconv.evaluation import evaluate, score, ten_crops
from minideconv.images import Preprocessing
from minideconv.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from minideconv.training import (
    SGD,
    Falling,
    Settings,
    Steps,
    TrainingError,
    WhenStalled,
    initialise,
    renormalise_filters,
    train,
)


def small_net(seed=0):
    return Network([("conv1", Conv2d(1, 4, 3, padding=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
                    ("flatten", Flatten()), ("drop1", Dropout(0.2)), ("fc2", Linear(64, 3))],
                   input_shape=(1, 8, 8), seed=seed)  # fmt: skip


def small_data(count=64, seed=0):
    """Three classes: bright top, bright left, bright middle; with noise."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 120, (count, 8, 8, 1), dtype=np.uint8), rng.integers(0, 3, count)
    places = ((slice(0, 3), slice(0, 8)), (slice(0, 8), slice(0, 3)), (slice(3, 6), slice(3, 6)))
    for image, label in zip(images, labels):
        image[places[label]] += 100
    return Dataset(images, labels, ["top", "left", "middle"], "stripes", [])


def weights(net):
    return {name: to_numpy(value).copy() for name, value in net.parameters().items()}


def test_two_updates_by_hand():
    net = small_net()
    x = to_device(np.random.default_rng(0).standard_normal((1, 8, 8, 5), dtype=np.float32))
    labels = to_device(np.array([0, 1, 2, 1, 0]))
    optimizer = SGD(net, learning_rate=0.1, momentum=0.5, weight_decay=0.01)
    expected, velocity = weights(net), dict.fromkeys(net.parameters(), 0.0)
    for step in range(2):
        trace = net.forward(x, rng=np.random.default_rng(step))
        loss, grad = F.cross_entropy(trace["fc2"], labels)
        for name, gradient in net.gradients(trace, grad).items():
            decay = 0.01 * expected[name] if name.endswith("weight") else 0
            velocity[name] = 0.5 * velocity[name] - 0.1 * (to_numpy(gradient) + decay)
            expected[name] = expected[name] + velocity[name]
        assert optimizer.step(x, labels) == pytest.approx(float(loss), rel=1e-6)
        for name, value in weights(net).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7)
    assert optimizer.steps == 2


def test_a_small_net_learns_64_images_by_heart():
    net, data = small_net(), small_data()
    state = train(net, data, settings=Settings(epochs=60, batch_size=16), optimizer=SGD(net, learning_rate=0.05),
                  progress=False)  # fmt: skip
    assert evaluate(net, data.images, data.labels).top1 == 0
    assert state.curve[-1][2] < 0.2 * state.curve[0][2] and len(state.curve) == 60


def test_filters_are_scaled_back_to_the_radius():
    net = small_net()
    net.layers["conv1"].weight[0] = 3.0
    net.layers["conv1"].weight[1] = 0.05
    dense = to_numpy(net.layers["fc2"].weight).copy()
    renormalise_filters(net, 0.1)
    filters = to_numpy(net.layers["conv1"].weight)
    np.testing.assert_allclose(filters[0], 0.1, rtol=1e-6)
    assert_equal(filters[1], np.full((1, 3, 3), 0.05, np.float32))  # within the radius: not touched
    assert (np.sqrt((filters**2).mean(axis=(1, 2, 3))) < 0.1 + 1e-6).all()
    assert_equal(net.layers["fc2"].weight, dense)


def test_weights_are_drawn_by_name():
    dense = [("fc2", Linear(400, 100)), ("fc3", Linear(100, 99))]
    pooled = [("pool1", MaxPool2d(2)), ("conv2", Conv2d(400, 50, 3))]
    net = Network([("conv1", Conv2d(8, 400, 5)), *pooled, ("flatten", Flatten()), *dense])
    initialise(net, "paper", seed=1)
    assert to_numpy(net.layers["conv1"].weight).std() == pytest.approx(0.01, rel=0.02)
    initialise(net, "he", seed=1)
    assert to_numpy(net.layers["conv1"].weight).std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)
    assert to_numpy(net.layers["fc2"].weight).std() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert to_numpy(net.layers["conv2"].weight).std() == pytest.approx((2 / 3600) ** 0.5 / 2, rel=0.02)
    assert to_numpy(net.layers["fc3"].weight).std() == pytest.approx(0.01, rel=0.02)
    assert not to_numpy(net.layers["conv1"].bias).any()
    with pytest.raises(ValueError, match="method 'xavier' is unknown; use he or paper"):
        initialise(net, "xavier")


def test_maps_neither_die_nor_explode_at_the_start():
    net = models.build("zfnet28", seed=3)
    x = np.random.default_rng(0).standard_normal((1, 28, 28, 50), dtype=np.float32)
    trace = net.forward(to_device(x))
    for layer in ("relu1", "relu2", "relu3"):
        assert 0.3 < (to_numpy(trace[layer]) ** 2).mean() < 3
    assert abs(to_numpy(trace["fc4"])).max() < 1


def test_schedules_divide_the_learning_rate():
    steps = Steps((2, 3), factor=10)
    assert [steps.rate(1.0, [0.5] * epoch) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    stalled = WhenStalled(patience=2, factor=2)
    errors = [0.5, 0.4, 0.4, 0.41, 0.3, 0.3, 0.3, 0.3, 0.3]
    rates = [stalled.rate(1.0, errors[:epoch]) for epoch in range(len(errors) + 1)]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    falling = Falling(4)
    assert [falling.rate(1.0, [0.5] * epoch) for epoch in range(6)] == [1, 0.75, 0.5, 0.25, 0.25, 0.25]


def test_a_loss_that_explodes_stops_training_and_says_what_to_try():
    net, data = small_net(), small_data()
    with (
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match=r"step \d+: .*(not finite|overflow|infinity).*; try a learning rate"),
    ):
        train(net, data, settings=Settings(epochs=5), optimizer=SGD(net, learning_rate=1e12), progress=False)


def test_a_shift_moves_the_photo_and_fills_with_the_level_given():
    images = np.random.default_rng(0).integers(1, 200, (50, 6, 5, 2), dtype=np.uint8)
    moved = random_crops(images, 2, (250, 251), np.random.default_rng(1))
    frame = np.broadcast_to(np.array([250, 251], np.uint8), (50, 10, 9, 2)).copy()
    frame[:, 2:8, 2:7] = images
    places = set()
    for n in range(50):
        found = [(i, j) for i in range(5) for j in range(5) if (frame[n, i : i + 6, j : j + 5] == moved[n]).all()]
        assert len(found) == 1
        places.update(found)
    assert len(places) > 15  # of 25


def test_about_half_of_the_photos_are_mirrored():
    images = np.random.default_rng(0).integers(0, 256, (200, 3, 4, 1), dtype=np.uint8)
    flipped = random_flips(images, np.random.default_rng(1))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (flipped == images).all(axis=(1, 2, 3))).all() and 70 < mirrored.sum() < 130


def test_ten_crops_are_corners_centre_and_mirror_images():
    images = np.arange(2 * 5 * 7).reshape(2, 5, 7, 1).astype(np.uint8)
    crops = ten_crops(images, 3, 4)
    assert [crop[0, 0, 0, 0] for crop in crops[:5]] == [0, 3, 14, 17, 8]
    for crop, mirror in zip(crops[:5], crops[5:]):
        assert crop.shape == (2, 3, 4, 1)
        assert_equal(mirror, crop[:, :, ::-1])
    with pytest.raises(ValueError, match="smaller than the crop"):
        ten_crops(images, 6, 4)


def test_errors_and_confusion_are_counted():
    probabilities = np.zeros((7, 3))
    probabilities[:, 0] = [7, 6, 5, 4, 3, 2, 1]  # true class 0: right
    probabilities[:, 1] = [7, 6, 5, 4, 3, 2, 1]  # true class 4: among the five
    probabilities[:, 2] = [7, 6, 5, 4, 3, 2, 1]  # true class 6: not among the five
    result = score(probabilities, np.array([0, 4, 6]))
    assert (result.top1, result.top5) == pytest.approx((2 / 3, 1 / 3))
    assert result.confusion.sum() == 3 and result.confusion[4, 0] == result.confusion[0, 0] == 1
    with pytest.raises(ValueError, match="labels lie in 0 … 7, but the net has 7 classes"):
        score(probabilities, np.array([0, 7, 1]))


def test_the_ten_crop_average_is_over_all_views():
    net = small_net()
    net.preprocessing = Preprocessing(resize=8, crop=8, channels="L", scale=1 / 255, mean=(0.4,), std=(0.2,))
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 9, 1), dtype=np.uint8)
    views = ten_crops(images, 8, 8)
    average = sum(to_numpy(net.probabilities(to_device(net.preprocessing.scaled(view)))) for view in views) / 10
    labels = average.argmax(axis=0)
    assert evaluate(net, images, labels, ten_crop=True).top1 == 0


SETTINGS = Settings(epochs=3, batch_size=8, seed=5, crop_padding=1, flips=True, schedule=Steps((1,)))


def full_run():
    net = small_net()
    state = train(net, small_data(), settings=SETTINGS, test=small_data(30, 1), progress=False)
    return weights(net), [row[:5] for row in state.curve]


@pytest.mark.parametrize("stop", [1, 7, 8, 13, 23])
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(tmp_path, monkeypatch, stop):
    expected, curve = full_run()
    net, step = small_net(), SGD.step

    def interrupting(self, *args):
        loss = step(self, *args)
        if self.steps == stop:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the middle of things
        return loss

    monkeypatch.setattr(SGD, "step", interrupting)
    with pytest.raises(training.Interrupted, match="goes on from there"):
        train(
            net, small_data(), settings=SETTINGS, test=small_data(30, 1), checkpoint=tmp_path / "c.npz", progress=False
        )
    monkeypatch.setattr(SGD, "step", step)
    other = small_net(seed=9)  # whatever it was, the checkpoint replaces it
    state = train(other, small_data(), settings=SETTINGS, test=small_data(30, 1), checkpoint=tmp_path / "c.npz",
                  resume=True, progress=False)  # fmt: skip
    for name, value in weights(other).items():
        assert_equal(value, expected[name])
    assert [row[:5] for row in state.curve] == curve


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import minideconv.training as training
from test_training import SETTINGS, small_data, small_net
training.SAVE_EVERY = 0.0
step = training.SGD.step
training.SGD.step = lambda self, *args: (time.sleep(0.005), step(self, *args))[1]
print("ready", flush=True)
training.train(small_net(), small_data(), settings=SETTINGS, test=small_data(30, 1), checkpoint={path!r}, resume=True,
               progress=False)
"""


def test_a_run_that_was_killed_at_any_moment_goes_on_bit_for_bit(tmp_path):
    """Kill -9, four times in the same run, while it writes a checkpoint after every step."""
    path, rng = tmp_path / "c.npz", np.random.default_rng(0)
    code = KILLED.format(tests=os.path.dirname(__file__), path=str(path))
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.12))
        process.kill()
        process.communicate()
    net = small_net()
    train(net, small_data(), settings=SETTINGS, test=small_data(30, 1), checkpoint=path, resume=True, progress=False)
    for name, value in full_run()[0].items():
        assert_equal(weights(net)[name], value)


def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(tmp_path):
    path, data = tmp_path / "c.npz", small_data()
    train(small_net(), data, settings=SETTINGS, checkpoint=path, progress=False)
    net = small_net(seed=4)
    before = weights(net)
    other = Settings(epochs=3, batch_size=8, seed=6, crop_padding=1, flips=True, schedule=Steps((1,)))
    with pytest.raises(ValueError, match=r"trained with other settings \(seed was 5\); use those, or start anew"):
        train(net, data, settings=other, checkpoint=path, resume=True, progress=False)
    wide = Network([("flatten", Flatten()), ("fc", Linear(64, 3))], input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="is a checkpoint of another net"):
        train(wide, data, settings=SETTINGS, checkpoint=path, resume=True, progress=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        train(net, data, settings=SETTINGS, checkpoint=path, resume=True, progress=False)
    for name, value in weights(net).items():
        assert_equal(value, before[name])


def test_a_finished_run_can_be_prolonged(tmp_path):
    path, data = tmp_path / "c.npz", small_data()
    longer = Settings(epochs=5, batch_size=8, seed=5, crop_padding=1, flips=True, schedule=Steps((1,)))
    net, through = small_net(), small_net()
    train(net, data, settings=SETTINGS, checkpoint=path, progress=False)
    train(net, data, settings=longer, checkpoint=path, resume=True, progress=False)
    train(through, data, settings=longer, progress=False)
    for name, value in weights(net).items():
        assert_equal(value, weights(through)[name])


def test_snapshots_are_model_files_of_every_epoch(tmp_path):
    net, data = small_net(), small_data()
    first = weights(net)
    train(net, data, settings=Settings(epochs=2, batch_size=32), snapshots=tmp_path / "run", progress=False)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [f"epoch-00{n}.npz" for n in range(3)]
    for epoch, expected in ((0, first), (2, weights(net))):
        snapshot = load_model(tmp_path / "run" / f"epoch-00{epoch}.npz")
        for name, value in weights(snapshot).items():
            assert_equal(value, expected[name])
        assert snapshot.preprocessing == net.preprocessing and snapshot.classes == data.classes


@pytest.mark.parametrize("mean", ["channel", "pixel"])
def test_the_mean_of_the_data_is_taken_off(mean):
    data = small_data(500)
    x = training.preprocessing_of(data, mean).scaled(data.images)
    assert abs(x.mean()) < 1e-4 and (mean == "channel" or abs(x.mean(axis=3)).max() < 1e-3)
    assert x.std() == pytest.approx(1, abs=0.2)


def test_the_curve_is_written_as_table_and_picture(tmp_path):
    state = train(small_net(), small_data(), settings=Settings(epochs=2), test=small_data(9, 1), progress=False)
    save_curve_table(tmp_path / "curve.csv", state)
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    assert rows[0] == "epoch,learning_rate,train_loss,train_error,test_error,seconds"
    assert [float(value) for value in rows[2].split(",")] == state.curve[1]
    save_curve_picture(tmp_path / "curve.png", state, "stripes")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"


def test_data_that_do_not_fit_are_refused():
    data = small_data()
    two = Dataset(data.images, data.labels % 2, ["a", "b"], "two classes", [])
    with pytest.raises(ValueError, match=r"gives \(3,\) for each photo, but two classes has 2 classes"):
        train(small_net(), two, settings=SETTINGS, progress=False)
    with pytest.raises(ValueError, match="does not fit"):
        train(small_net(), data, settings=SETTINGS, test=two, progress=False)
    with pytest.raises(ValueError, match="has no photos to train on"):
        train(small_net(), Dataset(data.images[:0], data.labels[:0], data.classes, "empty", []), settings=SETTINGS)
