"""The course of a training run as a table and as a picture."""

from __future__ import annotations

import math

from .figures import figure_png, new_figure
from .files import write_table, write_whole
from .training import COLUMNS, Progress


def save_curve_table(path, progress: Progress) -> None:
    """Write one row an epoch as CSV: the columns of `training.COLUMNS`; errors are shares."""
    write_table(path, [COLUMNS, *progress.curve])


def save_confusion_table(path, confusion, classes: list[str]) -> None:
    """Write a confusion matrix (classes, classes) as CSV: a row for each true class, a column for each predicted."""
    rows = [[name, *counts] for name, counts in zip(classes, confusion.tolist())]
    write_table(path, [["true \\ predicted", *classes], *rows])


def save_curve_picture(path, progress: Progress, title: str = "") -> None:
    """Draw loss and errors against epochs as a PNG."""
    columns = dict(zip(COLUMNS, zip(*progress.curve)))
    figure = new_figure(8, 3.6)
    loss, error = figure.subplots(1, 2)
    loss.plot(columns["epoch"], columns["train_loss"], "o-", color="tab:blue", label="training, dropout on")
    error.plot(columns["epoch"], _percent(columns["train_error"]), "o-", color="tab:blue", label="training, dropout on")
    if not all(math.isnan(value) for value in columns["test_error"]):
        error.plot(columns["epoch"], _percent(columns["test_error"]), "s-", color="tab:orange", label="test")
    for axes, name in ((loss, "cross-entropy loss"), (error, "top-1 error, %")):
        axes.set(xlabel="epoch", ylabel=name, ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    with write_whole(path) as file:
        file.write(figure_png(figure))


def _percent(shares):
    return [100 * share for share in shares]
