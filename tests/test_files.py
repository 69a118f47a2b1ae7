"""What files are called, and that they are whole or not there."""

import re

import pytest

from minideconv.files import safe_names

pytestmark = pytest.mark.host  # names alone


@pytest.mark.parametrize(
    "names",
    [["relu1", "relu2"], ["a/b", "a_b", "A:b", "a_b_2", "a_b_3"], ["A_b_2", "a/b", "a b"], ["con", "CON", "con_2"],
     ["photos", "Photos"], ["", "/", "..", "."], ["x" * 300, "x" * 301], ["\u00e9", "\u00e8", "\U0001f418"]],
)  # fmt: skip
def test_safe_names_are_safe_and_no_two_alike(names):
    safe = safe_names(names, taken=["photos"])
    assert list(safe) == names and len({name.lower() for name in safe.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in safe.values())
    assert not {name.lower() for name in safe.values()} & {"con", "prn", "aux", "nul", "com1", "lpt9", "photos"}
