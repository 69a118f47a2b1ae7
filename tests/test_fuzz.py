"""A few of the damaged files of benchmarks/fuzz_readers.py, always the same ones."""

import fuzz_readers
import pytest

pytestmark = pytest.mark.host  # reads files

pytest.importorskip("onnx")
pytest.importorskip("safetensors")


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path):
    counts, found = fuzz_readers.fuzz(1500, 1, tmp_path)
    assert not found
    outcomes = {what for _, what in counts}
    assert {"read", "refused", "refused, naming a node"} == outcomes and sum(counts.values()) == 1500


def test_a_reader_that_fails_is_found(tmp_path, monkeypatch):
    def read(path, table=None):
        if path.name.startswith("fuzzed"):
            raise IndexError("a bug")
        return fuzz_readers.net()

    monkeypatch.setattr(fuzz_readers, "read", read)
    _, found = fuzz_readers.fuzz(5, 0, tmp_path)
    assert len(found) == 5 and found[0].endswith("IndexError: a bug")
