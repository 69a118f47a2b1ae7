"""Training as in the paper's Sec. 3, as one explicit loop over epochs and minibatches.

Every random number of a run is drawn on the CPU from (seed, epoch, batch): a run is the same on every device, and one
that stops anywhere goes on from its checkpoint as if it had not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .augmentation import random_crops, random_flips
from .checkpoints import load_checkpoint, save_checkpoint
from .datasets import Dataset, minibatches
from .evaluation import evaluate
from .images import Preprocessing
from .network import Network
from .optimizer import SGD, TrainingError, initialise, renormalise_filters
from .weights import save_model

__all__ = [
    "SGD", "Falling", "Interrupted", "Progress", "Settings", "Steps", "TrainingError", "WhenStalled",
    "initialise", "preprocessing_of", "renormalise_filters", "train",
]  # fmt: skip

SAVE_EVERY = 30.0  # seconds between checkpoints within an epoch


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in training, after the step was finished and the checkpoint written."""


@dataclass(frozen=True)
class Steps:
    """A schedule: divide the learning rate by `factor` after each of `epochs`."""

    epochs: tuple[int, ...]
    factor: float = 10.0

    def rate(self, first: float, errors: list[float]) -> float:
        """The learning rate of the next epoch, given the test error of every epoch so far."""
        return first / self.factor ** sum(len(errors) >= epoch for epoch in self.epochs)


@dataclass(frozen=True)
class WhenStalled:
    """A schedule: divide the learning rate by `factor` when the test error has not fallen for `patience` epochs.

    Paper: Sec. 3, annealed "when the validation error plateaus", there by hand.
    """

    patience: int = 3
    factor: float = 10.0

    def rate(self, first: float, errors: list[float]) -> float:
        """The learning rate of the next epoch, given the test error of every epoch so far."""
        best, waited, divisions = math.inf, 0, 0
        for error in errors:
            best, waited = (error, 0) if error < best else (best, waited + 1)
            if waited == self.patience:
                divisions, waited = divisions + 1, 0
        return first / self.factor**divisions


@dataclass(frozen=True)
class Falling:
    """A schedule: the learning rate falls epoch by epoch in equal steps, so that it would be zero after `epochs`.

    Not in the paper: a short run ends better for it than for a few divisions (docs/log.md).
    """

    epochs: int

    def rate(self, first: float, errors: list[float]) -> float:
        """The learning rate of the next epoch, given the test error of every epoch so far."""
        return first * max(self.epochs - len(errors), 1) / self.epochs


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do. A checkpoint is resumed only with the same settings, but for more epochs.

    Attributes:
        epochs, batch_size, seed: of the run.
        crop_padding: pixels that photos are shifted by at random, at most; 0: never.
        flips: mirror half of the photos left to right.
        schedule: `Falling`, `Steps`, `WhenStalled`, or None for a constant learning rate.
    """

    epochs: int = 10
    batch_size: int = 128
    seed: int = 0
    crop_padding: int = 0
    flips: bool = False
    schedule: Falling | Steps | WhenStalled | None = None


@dataclass
class Progress:
    """How far a run has come: with weights and velocities all that a checkpoint needs.

    Attributes:
        epoch, position: the next batch is number `position` of `epoch`, both from 0.
        loss, errors, seen: sums over the images of this epoch so far;  seconds: spent on it.
        curve: a row for each finished epoch, see `COLUMNS`; errors are shares, NaN where not measured.
    """

    epoch: int = 0
    position: int = 0
    loss: float = 0.0
    errors: int = 0
    seen: int = 0
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)


COLUMNS = ("epoch", "learning_rate", "train_loss", "train_error", "test_error", "seconds")


def preprocessing_of(data: Dataset, mean: str = "channel") -> Preprocessing:
    """How photos are prepared for a net trained on `data`: minus the mean of its images, over their deviation.

    Args:
        mean: "channel": one number for each channel; "pixel": a whole mean image, as in the paper.
    Returns:
        a Preprocessing that resizes and crops photos of any size to that of the data.

    Paper: Sec. 3, "subtracting the per-pixel mean".
    """
    if mean not in ("channel", "pixel"):
        raise ValueError(f"preprocessing_of: mean {mean!r} is unknown; use channel or pixel")
    height, width, channels = data.images.shape[1:]
    std = (data.images.reshape(-1, channels).std(axis=0, dtype=np.float64) / 255).clip(1e-3)
    image = data.images.mean(axis=0, dtype=np.float64).transpose(2, 0, 1) / 255  # (C, H, W)
    centre = image if mean == "pixel" else image.mean(axis=(1, 2))
    return Preprocessing(
        resize=min(height, width), crop=(height, width), channels="L" if channels == 1 else "RGB", scale=1 / 255,
        mean=centre.tolist(), std=std.tolist(),
    )  # fmt: skip


def train(net: Network, data: Dataset, *, settings: Settings, optimizer: SGD | None = None, test: Dataset | None = None,
          checkpoint=None, resume: bool = False, snapshots=None, progress: bool = True) -> Progress:  # fmt: skip
    """Train a net, epoch by epoch.

    Args:
        net: is changed in place; without `preprocessing` it gets that of the data.
        data, test: labelled photos; the test error of each epoch steers `WhenStalled`.
        optimizer: by default `SGD(net)`.
        checkpoint: a .npz path, written about twice a minute, after each epoch, and on Ctrl-C.
        resume: go on from `checkpoint` if it is there; the result is the same, bit for bit, as without the stop.
        snapshots: a folder for a model file of every epoch: epoch-000.npz (before training), epoch-001.npz …
        progress: show a bar.
    Returns:
        how far it came, with the curve.
    Raises:
        TrainingError: if a loss or gradient is not finite.
        Interrupted: after Ctrl-C.
        ValueError: if data and net, or checkpoint and settings, do not fit together.

    Paper: Sec. 3.
    """
    _fit(net, data, test)
    run = _Run(net, settings, optimizer or SGD(net), checkpoint, data.name)
    state = run.restore() if resume and checkpoint and Path(checkpoint).exists() else Progress()
    if state == Progress():
        _snapshot(net, snapshots, 0)
    with _after_each_step() as interrupted:
        while state.epoch < settings.epochs:
            _train_epoch(run, data, state, interrupted, progress)
            _close_epoch(run, test, state)
            _snapshot(net, snapshots, state.epoch)
            run.save(state)
    return state


def _train_epoch(run, data, state, interrupted, progress):
    """One pass over the data, from `state.position` on: augment, step, count."""
    from tqdm import tqdm

    settings, optimizer = run.settings, run.optimizer
    optimizer.learning_rate = run.rate(state)
    batches = list(minibatches(len(data), settings.batch_size, np.random.default_rng([settings.seed, state.epoch])))
    saved = time.monotonic()
    title, last = f"epoch {state.epoch + 1}/{settings.epochs}", state.epoch + 1 == settings.epochs
    shown = {"unit": "img", "mininterval": 0.5, "disable": not progress, "leave": last}
    with tqdm(total=len(data), initial=state.seen, desc=title, **shown) as bar:
        for chosen in batches[state.position :]:
            start = time.monotonic()
            rng = np.random.default_rng([settings.seed, state.epoch, state.position + 1])
            x = run.net.preprocessing.scaled(_augmented(data.images[chosen], settings, run.net.preprocessing, rng))
            loss = optimizer.step(x, data.labels[chosen], rng)
            state.position += 1
            state.seen += len(chosen)
            state.loss += loss * len(chosen)
            state.errors += optimizer.errors
            state.seconds += time.monotonic() - start
            bar.update(len(chosen))
            bar.set_postfix_str(
                f"loss {state.loss / state.seen:.3f}, error {100 * state.errors / state.seen:.1f} %", refresh=False
            )
            if interrupted:  # by Ctrl-C
                run.save(state)
                raise Interrupted(run.where(state))
            if time.monotonic() - saved > SAVE_EVERY:
                run.save(state)
                saved = time.monotonic()


def _close_epoch(run, test, state):
    """Measure the test error, add a row to the curve, and begin the next epoch."""
    with run.optimizer.guarded():
        error = evaluate(run.net, test.images, test.labels).top1 if test else math.nan
    row = [state.epoch + 1, run.optimizer.learning_rate, state.loss / state.seen, state.errors / state.seen, error]
    state.curve.append([*row, state.seconds])
    state.epoch, state.position = state.epoch + 1, 0
    state.loss, state.errors, state.seen, state.seconds = 0.0, 0, 0, 0.0


def _augmented(images, settings, preprocessing, rng):
    """Photos (N, H, W, C) as the net meets them this time: shifted, perhaps mirrored."""
    if settings.crop_padding:
        mean = np.asarray(preprocessing.mean).reshape(len(preprocessing.channels), -1).mean(axis=1)
        images = random_crops(images, settings.crop_padding, np.rint(mean / preprocessing.scale), rng)
    return random_flips(images, rng) if settings.flips else images


class _Run:
    """What stays the same during a run, and how it is saved and restored."""

    def __init__(self, net, settings, optimizer, checkpoint, data_name):
        self.net, self.settings, self.optimizer, self.checkpoint = net, settings, optimizer, checkpoint
        self.first_rate = optimizer.learning_rate
        self.asked = {
            **asdict(settings), "schedule": repr(settings.schedule), "data": data_name,
            "learning_rate": self.first_rate, "momentum": optimizer.momentum,
            "weight_decay": optimizer.weight_decay, "filter_radius": optimizer.filter_radius,
        }  # fmt: skip
        del self.asked["epochs"]

    def rate(self, state) -> float:
        schedule = self.settings.schedule
        return schedule.rate(self.first_rate, [row[4] for row in state.curve]) if schedule else self.first_rate

    def save(self, state) -> None:
        if self.checkpoint:
            saved = {"settings": self.asked, "progress": asdict(state), "steps": self.optimizer.steps}
            save_checkpoint(self.checkpoint, self.net, self.optimizer.velocity, saved)

    def restore(self) -> Progress:
        saved = load_checkpoint(self.checkpoint, self.net, self.optimizer.velocity, self.asked)
        self.optimizer.steps = saved["steps"]
        return Progress(**saved["progress"])

    def where(self, state) -> str:
        kept = f"; {self.checkpoint} goes on from there" if self.checkpoint else ""
        return f"stopped in epoch {state.epoch + 1} after {state.seen} images{kept}"


def _fit(net, data, test):
    """Give the net the data's preprocessing if it has none, and refuse data that do not fit it."""
    if not len(data):
        raise ValueError(f"{data.name} has no photos to train on")
    if net.preprocessing is None:
        net.preprocessing = preprocessing_of(data)
    net.classes = net.classes or list(data.classes)
    for part in (data, test):
        if part is not None and (
            len(part.classes) != len(net.classes) or part.images.shape[1:] != data.images.shape[1:]
        ):
            raise ValueError(f"{part!r} does not fit {net.name} with {len(net.classes)} classes and {data!r}")
    outputs = list(net.output_shapes((data.images.shape[3], *data.images.shape[1:3])).values())[-1]
    if outputs != (len(net.classes),):
        raise ValueError(f"{net.name} gives {outputs} for each photo, but {data.name} has {len(net.classes)} classes")


def _snapshot(net, folder, epoch):
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_model(net, Path(folder) / f"epoch-{epoch:03d}.npz")


@contextmanager
def _after_each_step():
    """Let Ctrl-C wait until a step is finished: yields a list that is empty until then."""
    interrupted = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread can receive signals
        return
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
