"""What every experiment returns can be drawn, told and kept; only whole files are written."""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from minideconv.experiments.results import Result
from minideconv.figures import new_figure

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
