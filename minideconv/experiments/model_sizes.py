"""Table 3: what does a net lose when layers are taken away, and what does it gain when they grow?

    model_sizes(["alexnet8", "alexnet8_no34"], data, test, "sizes")  ->  ModelSizes  ->  .test_error (nets, seeds)

Every net is trained in the same way from several seeds. Each run has a folder of its own, so that what is finished is
not trained again, and what was stopped goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..curves import save_curve_table
from ..datasets import Dataset
from ..evaluation import evaluate
from ..figures import new_figure
from ..files import write_whole
from ..models import build
from ..optimizer import SGD
from ..training import Falling, Settings, train
from ..weights import save_model
from .results import Result

TABLE_3 = {  # what is trained: the paper's words for it, and its top-1 error on training and validation photos, percent
    "alexnet8": ("all eight layers", 35.1, 40.5),
    "alexnet8_no34": ("without layers 3, 4", 41.8, 45.4),
    "alexnet8_no7": ("without layer 7", 27.4, 40.0),
    "alexnet8_no67": ("without layers 6, 7", 27.4, 44.8),
    "alexnet8_no3467": ("without layers 3, 4, 6, 7", 71.1, 71.3),
    "alexnet8_half67": ("layers 6, 7 half as wide", 40.3, 41.7),
    "alexnet8_double67": ("layers 6, 7 twice as wide", 26.8, 40.0),
    "alexnet8_double345": ("layers 3, 4, 5 wider", 18.8, 37.5),  # these two of its own net, which has 33.1 and 38.4
    "alexnet8_double34567": ("layers 3 to 7 wider", 10.0, 38.3),
}
SETTINGS = Settings(epochs=12, batch_size=128, crop_padding=2, flips=True, schedule=Falling(12))
LEARNING_RATE, WEIGHT_DECAY = 0.03, 5e-4


@dataclass(frozen=True, eq=False)
class ModelSizes(Result):
    """The errors of some nets.

    Attributes:
        data: what they were trained on;  photos: how many of them.
        names: V names;  seeds: S numbers.
        parameters: (V,) how many numbers each net has.
        train_error, test_error: (V, S) shares of photos not classified right, dropout off.
        seconds: (V, S) of training.
    """

    data: str
    photos: int
    names: list[str]
    seeds: list[int]
    parameters: np.ndarray
    train_error: np.ndarray
    test_error: np.ndarray
    seconds: np.ndarray

    def rows(self):
        table = [("net", "parameters", "seed", "train_error", "test_error", "seconds")]
        for v, s in np.ndindex(self.test_error.shape):
            errors = (float(found[v, s]) for found in (self.train_error, self.test_error))
            table.append([self.names[v], self.parameters[v], self.seeds[s], *errors, f"{self.seconds[v, s]:.0f}"])
        return table

    def __str__(self) -> str:
        """The table as text: errors in percent, mean and deviation over seeds, and the paper's on ImageNet."""
        width = max(len(name) for name in ["net", *self.names])
        lines = [f"{'net':{width}}  parameters   train error, %    test error, %  the paper's, %"]
        for name, count, *errors in zip(self.names, self.parameters, self.train_error, self.test_error):
            cells = "".join(f"{_percent(error):>17}" for error in errors)
            words, *paper = TABLE_3.get(name, ("",))
            known = f"{paper[0]:7.1f} {paper[1]:5.1f}" if paper else 13 * " "
            lines.append(f"{name:{width}}  {count:10,}{cells} {known}  {words}".rstrip())
        return "\n".join(lines)

    def draw(self):
        figure = new_figure(8, 0.45 * len(self.names) + 1.4)
        axes, places = figure.subplots(), np.arange(len(self.names))
        for found, marker, colour, label in (
            (self.train_error, "o", "tab:blue", "training photos"), (self.test_error, "s", "tab:orange", "test photos"),
        ):  # fmt: skip
            axes.plot(100 * found, places, marker, mfc="none", alpha=0.5, color=colour)
            axes.plot(100 * found.mean(axis=1), places, marker, color=colour, label=label)
        axes.set_yticks(places, self.names)
        axes.invert_yaxis()
        axes.set(xlabel="top-1 error, % (hollow: each seed)", title=f"{self.photos:,} photos of {self.data}")
        axes.grid(alpha=0.3)
        axes.legend()
        return figure


def _percent(errors: np.ndarray) -> str:
    spread = f" ± {100 * errors.std(ddof=1):.1f}" if len(errors) > 1 else ""
    return f"{100 * errors.mean():.1f}{spread}"


def model_sizes(names: Sequence[str], data: Dataset, test: Dataset, folder, *, seeds: Sequence[int] = (0, 1, 2),
                settings: Settings = SETTINGS, learning_rate: float = LEARNING_RATE, progress: bool = True,
                ) -> ModelSizes:  # fmt: skip
    """Train nets in the same way from several seeds, and measure their errors.

    Args:
        names: of nets in the zoo, such as those of `TABLE_3`.
        data, test: labelled photos of the size that the nets take.
        folder: model, curve and errors of each run go to folder/NAME/seed-N; finished runs are read from there.
        seeds: of weights, order and augmentation.
        settings, learning_rate: of training; momentum and weight decay are fixed.
        progress: show bars.
    Raises:
        ValueError: if photos do not fit a net, or the folder holds runs with other settings.
        Interrupted: after Ctrl-C; the same call goes on.

    Paper: Sec. 5.1, Table 3.
    """
    found = np.empty((3, len(names), len(seeds)))
    parameters = np.array([sum(value.size for value in build(name).parameters().values()) for name in names])
    for (v, name), (s, seed) in ((net, run) for net in enumerate(names) for run in enumerate(seeds)):
        place = Path(folder) / name / f"seed-{seed}"
        found[:, v, s] = one_run(name, data, test, place, replace(settings, seed=seed), learning_rate, progress)
    return ModelSizes(data.name, len(data), list(names), list(seeds), parameters, *found)


def one_run(name: str, data: Dataset, test: Dataset, folder: Path, settings: Settings, learning_rate: float,
            progress: bool) -> tuple[float, float, float]:  # fmt: skip
    """Train one net, or read what an earlier run wrote: error on training photos and on test photos, seconds."""
    asked = {**asdict(settings), "schedule": repr(settings.schedule), "learning_rate": learning_rate,
             "data": data.name, "photos": len(data)}  # fmt: skip
    errors = folder / "errors.json"
    if errors.exists():
        written = json.loads(errors.read_text())
        if written.pop("asked") != asked:
            raise ValueError(f"{folder} holds a run with other settings; give another folder")
        return tuple(written.values())
    folder.mkdir(parents=True, exist_ok=True)
    net = build(name, seed=settings.seed)
    optimizer = SGD(net, learning_rate=learning_rate, weight_decay=WEIGHT_DECAY)
    if progress:
        print(f"{name}, seed {settings.seed}", file=sys.stderr)
    run = train(net, data, settings=settings, optimizer=optimizer, checkpoint=folder / "checkpoint.npz", resume=True,
                progress=progress)  # fmt: skip
    save_model(net, folder / "model.npz")
    save_curve_table(folder / "curve.csv", run)
    measured = [evaluate(net, part.images, part.labels).top1 for part in (data, test)]
    result = dict(zip(("train_error", "test_error", "seconds"), (*measured, sum(row[5] for row in run.curve))))
    with write_whole(errors) as file:
        file.write(json.dumps({"asked": asked, **result}).encode())
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    return tuple(result.values())


def thinned(data: Dataset, most: int) -> Dataset:
    """At most so many of the photos, spread evenly over their order."""
    if len(data) <= most:
        return data
    chosen = np.linspace(0, len(data) - 1, most).round().astype(int)
    return replace(data, images=data.images[chosen], labels=data.labels[chosen])
