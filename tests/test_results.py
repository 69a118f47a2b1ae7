"""What every experiment returns can be drawn, told and kept; only whole files are written."""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from minideconv.commands.shared import save_all
from minideconv.curves import save_curve_picture
from minideconv.experiments.feature_movement import Movement, save_movement_picture
from minideconv.experiments.results import Result
from minideconv.figures import figure_png, new_figure
from minideconv.training import Progress

pytestmark = pytest.mark.host  # draws on the host


@dataclass(frozen=True, eq=False)
class Squares(Result):
    values: np.ndarray
    names: list[str]
    missing: None = None

    def draw(self):
        figure = new_figure(2, 1)
        figure.subplots().plot(self.values)
        return figure

    def rows(self):
        return [("name", "value"), *zip(self.names, self.values)]


@pytest.fixture
def result():
    return Squares(np.array([1.0, 4.0, 9.0]), ["one", "two, too", "three"])


def test_a_notebook_shows_the_picture(result):
    assert Image.open(io.BytesIO(result._repr_png_())).size == (240, 120)


def test_the_ending_of_the_path_decides_what_is_written(result, tmp_path):
    for ending in (".png", ".csv", ".npz"):
        result.save(tmp_path / f"squares{ending}")
    assert (tmp_path / "squares.png").read_bytes() == result._repr_png_()
    with open(tmp_path / "squares.csv", newline="") as file:
        assert list(csv.reader(file)) == [["name", "value"], ["one", "1.0"], ["two, too", "4.0"], ["three", "9.0"]]
    with np.load(tmp_path / "squares.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["names", "values"]  # what is None is left out
        assert arrays["values"].tolist() == [1, 4, 9] and arrays["names"].tolist() == result.names


def test_an_unknown_ending_is_refused_and_nothing_is_written(result, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.png, \.csv or \.npz"):
        result.save(tmp_path / "squares.pdf")
    assert not list(tmp_path.iterdir())


NAMES = ["$x^$", "a $5 b$6", "$", r"\frac{", "$$_{^$"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_dollars_is_drawn_as_it_is(name):
    figure = new_figure(4, 3)
    left, right = figure.subplots(1, 2)
    left.plot([1, 2], label=name)
    left.legend()
    left.set(title=name, xlabel=name)
    left.set_xticks([0, 1], [name, name])
    right.text(0.5, 0.5, name)
    figure.legend(handles=left.lines, labels=[name], loc="outside lower center")
    figure.suptitle(name)
    assert figure_png(figure)[:4] == b"\x89PNG"


def test_curves_and_movement_are_drawn_for_a_net_with_dollars_in_its_name(tmp_path):
    save_curve_picture(tmp_path / "curve.png", Progress(curve=[(1, 0.1, 2.0, 0.5, 0.5, 1.0)]), "$x^$")
    measured = Movement(["$x^$"], np.ones((1, 1)), np.ones((1, 2)), np.array([4]), np.zeros((1, 2), int))
    save_movement_picture(tmp_path / "movement.png", measured, [1, 2], "$x^$")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "movement.png"]


def test_a_picture_that_cannot_be_drawn_costs_no_number(result, tmp_path, monkeypatch):
    def broken(self):
        raise RuntimeError("no picture")

    monkeypatch.setattr(Squares, "draw", broken)
    with pytest.raises(RuntimeError, match="no picture"):
        save_all(result, tmp_path, "squares")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["squares.csv", "squares.npz"]
