"""What an experiment returns: arrays that draw themselves, tell themselves as a table, and can be kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figures import figure_png
from ..files import write_table, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Result:
    """The outcome of an experiment: a dataclass of arrays, which says in its own file how it is drawn and told.

    In a notebook it shows its picture.
    """

    def draw(self) -> Figure:
        """The picture, as a matplotlib figure."""
        raise NotImplementedError

    def rows(self) -> list[Sequence]:
        """The table: names of the columns, then a row for each thing that was measured."""
        raise NotImplementedError

    def save(self, path) -> None:
        """Write the picture (.png), the table (.csv) or every field as an array (.npz), by the ending of `path`.

        Raises:
            ValueError: another ending, or a place that cannot be written.
        """
        ending = Path(path).suffix.lower()
        if ending == ".csv":
            return write_table(path, self.rows())
        if ending not in (".png", ".npz"):
            raise ValueError(f"cannot write {path}; use a name that ends in .png, .csv or .npz")
        with write_whole(path) as file:
            if ending == ".png":
                file.write(self._repr_png_())
            else:
                np.savez_compressed(file, **self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: np.asarray(value) for name, value in fields.items() if value is not None}

    def _repr_png_(self) -> bytes:
        return figure_png(self.draw())
