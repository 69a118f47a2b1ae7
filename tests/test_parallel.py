"""Sharing an operation among cores: everything is done once, nothing deadlocks, errors come through."""

import os
import threading

import numpy as np
import pytest

from minideconv import parallel
from minideconv.parallel import pixelwise, share, thread_count

pytestmark = pytest.mark.host  # threads of the CPU

HERE = np.zeros(1)  # tells `share` that the work is on the CPU


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(parallel, "thread_count", lambda: 3)
    parallel._pool.cache_clear()
    yield
    parallel._pool.cache_clear()


def test_every_item_is_worked_on_once_and_in_order():
    runs = share(lambda run: list(run), list(range(8)), HERE)
    assert runs == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert share(lambda run: list(run), [5], HERE) == [[5]] and share(len, [], HERE) == [0]


def test_the_runs_are_on_different_threads():
    together = threading.Barrier(3, timeout=10)  # passes only if three runs wait at the same time
    names = share(lambda run: (together.wait(), threading.current_thread().name)[1], [0, 1, 2], HERE)
    assert len(set(names)) == 3


def test_work_inside_shared_work_is_not_shared_again():
    inner = share(
        lambda run: share(lambda nested: (threading.current_thread().name, nested), run, HERE), [0, 1, 2, 3], HERE
    )
    assert [len(run) for run in inner] == [1, 1]
    assert [nested for run in inner for _, nested in run] == [[0, 1], [2, 3]]


def test_an_error_in_a_run_comes_through_and_the_next_work_is_shared_again():
    def fail(run):
        raise ValueError(f"item {run[0]}")

    with pytest.raises(ValueError, match="item 0"):
        share(fail, [0, 1, 2], HERE)
    assert len(share(len, [0, 1, 2], HERE)) == 3


@pytest.mark.skipif(int(np.__version__.split(".")[0]) < 2, reason="NumPy 1 keeps errstate for each thread")
def test_the_threads_obey_the_callers_errstate():
    huge = np.full(3, 1e300)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        share(lambda run: huge * huge, [0, 1, 2], HERE)
    with np.errstate(over="ignore"):
        assert np.isinf(share(lambda run: huge * huge, [0, 1, 2], HERE)).all()


@pytest.mark.parametrize("size", [1, 4000, 10**6])  # slabs of one channel, of two, of all
def test_what_is_done_to_every_pixel_is_the_same_in_slabs(monkeypatch, size):
    monkeypatch.setattr(parallel, "block_bytes", lambda x: size)
    x = np.arange(60.0).reshape(5, 2, 3, 2)
    np.testing.assert_array_equal(pixelwise(lambda x, y: x * (y > 30), x, 60 - x), x * (60 - x > 30))


def test_matrix_products_get_their_threads_back():
    before = [library["num_threads"] for library in parallel.blas_libraries()]
    inside = share(lambda run: [library["num_threads"] for library in parallel.blas_libraries()], [0, 1], HERE)
    assert all(count == 1 for counts in inside for count in counts)
    assert [library["num_threads"] for library in parallel.blas_libraries()] == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_can_share_work_too():
    share(len, [0, 1, 2], HERE)
    child = os.fork()
    if child == 0:
        os._exit(0 if share(len, [0, 1, 2], HERE) == [1, 1, 1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_there_is_at_least_one_thread():
    assert thread_count() >= 1
