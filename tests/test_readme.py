"""The README's Python example prints what it says. Needs AlexNet in the cache, else it is skipped."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import minideconv

README = Path(__file__).parent.parent / "README.md"


def test_the_six_lines_print_their_number(capsys):
    try:
        minideconv.load_model("alexnet")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    photo = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(import minideconv\n.*?)```", text, flags=re.DOTALL)[1]
    said = re.search(r"this prints\s+`(.+?)`; a test asserts it", text)[1]
    exec(code.replace('"photo.jpg"', repr(str(photo))))
    printed = capsys.readouterr().out.strip()
    assert printed.rsplit(" ", 1)[0] == said.rsplit(" ", 1)[0]
    assert float(printed.split()[-1]) == pytest.approx(float(said.split()[-1]), abs=0.02)
