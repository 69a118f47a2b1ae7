"""The stand-in for CuPy refuses what it should, counts what it should, and is otherwise NumPy.

Where CuPy itself is installed, what the stand-in believes of it is compared with it; that needs no GPU.
"""

import copy
import importlib
import math
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.host  # pretends machines of its own
HERE = Path(__file__).parent / "stand_in"


@pytest.fixture
def device(stand_in):
    """(2, 3) on the device: 0 … 5."""
    array = stand_in.arange(6.0).reshape(2, 3)
    stand_in.simulated.reset()
    return array


def nothing_moved(cupy):
    return not cupy.simulated.downloads and not cupy.simulated.uploads


HOST = np.ones((2, 3))


@pytest.mark.parametrize("convert", [
    np.asarray, np.array, lambda x: np.zeros(3) + np.asarray(x), lambda x: np.stack([HOST, np.asarray(x)]), memoryview,
    lambda x: np.testing.assert_array_equal(x, HOST),
], ids=str)  # fmt: skip
def test_a_device_array_does_not_become_a_host_array_by_itself(stand_in, device, convert):
    with pytest.raises(TypeError):
        convert(device)
    assert nothing_moved(stand_in)


@pytest.mark.parametrize("mix", [
    lambda x: x + HOST, lambda x: HOST + x, lambda x: x * HOST, lambda x: HOST / x, lambda x: x @ HOST.T,
    lambda x: HOST.T @ x, lambda x: x > HOST, lambda x: HOST == x, lambda x: x.__iadd__(HOST),
    lambda x: HOST.copy().__iadd__(x), lambda x: x + [1, 2, 3], lambda x: x + None, lambda x: x + np.ones(()),
], ids=range(13))  # fmt: skip
def test_host_and_device_do_not_mix_in_operators(device, mix):
    with pytest.raises(TypeError):
        mix(device)


@pytest.mark.parametrize("mix", [
    lambda cupy, x: cupy.maximum(x, HOST), lambda cupy, x: cupy.maximum(x, x, out=HOST.copy()),
    lambda cupy, x: cupy.stack([x, HOST]), lambda cupy, x: cupy.where(x > 1, HOST, x), lambda cupy, x: x.dot(HOST.T),
    lambda cupy, x: cupy.take(x, np.array([0]), axis=1), lambda cupy, x: cupy.sum(HOST), lambda cupy, x: cupy.exp(1.0),
    lambda cupy, x: np.maximum(x, x), lambda cupy, x: np.sum(x), lambda cupy, x: np.concatenate([x, x]),
    lambda cupy, x: np.zeros_like(x), lambda cupy, x: np.add(HOST, 1, out=x),
], ids=range(13))  # fmt: skip
def test_functions_work_on_arrays_of_their_own_kind_alone(stand_in, device, mix):
    with pytest.raises(TypeError):
        mix(stand_in, device)


@pytest.mark.parametrize("key", [np.array([0, 1]), [0, 1], (0, np.array([1])), HOST > 0], ids=str)
def test_a_host_index_is_refused_because_it_would_be_uploaded_at_every_use(stand_in, device, key):
    with pytest.raises(TypeError, match="index"):
        device[key]
    with pytest.raises(TypeError, match="index"):
        device[key] = 1
    assert nothing_moved(stand_in)


def test_a_host_array_is_not_assigned_to_a_place_on_the_device(device):
    for key in (slice(None), 0, ...):
        with pytest.raises(TypeError, match="Unsupported type"):
            device[key] = HOST[0]


def test_no_place_is_written_twice(stand_in, device):
    twice, once = stand_in.asarray([0, 0]), stand_in.asarray([1, 0])
    with pytest.raises(ValueError, match="written twice"):
        device[twice, 0] = 1
    device[once, 0] = 7
    assert device[:, 0].tolist() == [7, 7]


@pytest.mark.parametrize("name", ["errstate", "isin_", "float128", "str_", "lib", "random", "apply"])
def test_only_names_that_cupy_has_can_be_asked_for(stand_in, name):
    with pytest.raises(AttributeError, match=f"CuPy has no function or type {name}"):
        getattr(stand_in, name)


@pytest.mark.parametrize("name", ["tostring", "itemset", "newbyteorder", "ctypes", "__array_interface__", "resize"])
def test_only_attributes_that_cupys_arrays_have_can_be_asked_for(device, name):
    with pytest.raises(AttributeError, match="have no"):
        getattr(device, name)


@pytest.mark.parametrize("call", [
    lambda cupy, x: cupy.add(x, 1, where=x > 1), lambda cupy, x: cupy.sum(x, initial=1),
    lambda cupy, x: cupy.sum(x, where=x > 1), lambda cupy, x: x.max(initial=0), lambda cupy, x: x.sum(where=x > 1),
    lambda cupy, x: x.astype(int, casting="unsafe"), lambda cupy, x: cupy.argsort(x, order="a"),
    lambda cupy, x: cupy.take(x, x, 1, None, "raise"), lambda cupy, x: x.astype(),
], ids=range(9))  # fmt: skip
def test_only_arguments_that_cupy_takes_can_be_given(stand_in, device, call):
    with pytest.raises(TypeError):
        call(stand_in, device)


def test_arrays_of_things_that_are_no_numbers_are_refused(stand_in):
    for value in (["a"], [None], np.array(["2026-11-24"], "datetime64[D]")):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            stand_in.asarray(value)


# ---------------------------------------------------------------------------------------------------- what is counted


@pytest.mark.parametrize("bring", [
    float, int, bool, math.isfinite, str, repr, "{:.2f}".format, lambda x: x.item(), lambda x: x.get(),
    lambda x: x.tolist(), lambda x: min(x, 9), lambda x: x in [1], copy.copy, lambda x: pickle.loads(pickle.dumps(x)),
], ids=range(14))  # fmt: skip
def test_a_number_that_comes_to_the_host_is_counted(stand_in, device, bring):
    bring(device[0, 1])
    assert len(stand_in.simulated.downloads) == (0 if bring is copy.copy else 1)  # a copy stays where it is


def test_a_mask_is_counted_because_the_host_must_learn_how_many(stand_in, device):
    assert device[device > 3].tolist() == [4, 5]
    stand_in.nonzero(device)
    stand_in.where(device)
    stand_in.where(device, device, 0)  # this one needs nobody to know
    assert len(stand_in.simulated.downloads) == 4  # mask, list, nonzero, where


def test_what_goes_to_the_device_is_counted_and_copied(stand_in, device):
    host = np.arange(3)
    there = [stand_in.asarray(host), stand_in.array(host), stand_in.ascontiguousarray(host), stand_in.asarray(device)]
    host[:] = 9
    assert len(stand_in.simulated.uploads) == 3 and there[3] is device
    assert [array.tolist() for array in there[:3]] == [[0, 1, 2]] * 3


def test_what_comes_back_is_a_copy(stand_in, device):
    here = stand_in.asnumpy(device)
    here[:] = 9
    assert type(here) is np.ndarray and device[0, 0].item() == 0


# ---------------------------------------------------------------------------------------------------- otherwise NumPy


def test_results_are_device_arrays_without_exception(stand_in, device):
    results = [device.sum(), device[0, 0], device + 1, np.float32(2) * device, -device, 1 / (1 + device), device.T]
    results += [stand_in.sqrt(device), stand_in.argmax(device), *stand_in.divmod(device, 2), *device, abs(device)]
    assert all(isinstance(result, stand_in.ndarray) for result in results) and nothing_moved(stand_in)
    assert stand_in.get_array_module(device) is sys.modules["cupy"] and stand_in.get_array_module(HOST) is np


def test_an_entry_is_a_view(device):
    device[0, 1][...] = 8
    entry = device[1]
    entry += 1
    assert device.tolist() == [[0, 8, 2], [4, 5, 6]]


def test_out_is_what_comes_back(stand_in, device):
    out = stand_in.empty_like(device)
    assert stand_in.maximum(device, 3, out=out) is out and out.tolist() == [[3, 3, 3], [3, 4, 5]]
    assert stand_in.result_type(device, np.float32) == np.float64 and device.astype(float, copy=False) is device


def test_nothing_warns_of_numbers_that_overflow(stand_in, device):
    assert math.isinf((device.astype("float32") * np.float32(1e38) * 1e38)[1, 2])
    assert math.isnan(stand_in.log(-device)[1, 2]) and math.isinf((1 / device)[0, 0])


def test_memory_is_that_of_the_arrays_that_live(stand_in):
    before = stand_in.simulated.in_use
    array = stand_in.zeros((10, 100))
    view, product = array[:5], array * 2
    assert stand_in.simulated.in_use == before + 16000
    del array, product
    assert stand_in.simulated.in_use == before + 8000 and view.shape == (5, 100)
    del view
    assert (stand_in.simulated.in_use, stand_in.simulated.peak) == (before, before + 16000)


def test_an_array_that_does_not_fit_is_refused_as_cupy_does(stand_in):
    stand_in.simulated.memory = stand_in.simulated.in_use + 1000
    stand_in.zeros(100)
    with pytest.raises(stand_in.cuda.memory.OutOfMemoryError, match=r"Out of memory allocating 1,008 bytes"):
        stand_in.zeros(126)  # doubles, 8 bytes each
    assert issubclass(stand_in.cuda.memory.OutOfMemoryError, MemoryError)


# ---------------------------------------------------------------------------------------------------- CuPy itself


@pytest.fixture
def real():
    """CuPy, where it is installed; a GPU is not needed."""
    if str(HERE) in sys.path or hasattr(sys.modules.get("cupy"), "simulated"):
        pytest.skip("the stand-in is in place of CuPy")
    return pytest.importorskip("cupy")


def test_the_list_of_names_is_that_of_cupy(real, monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    lines = (HERE / "cupy" / "api.txt").read_text(encoding="utf-8").splitlines()
    if lines[0] != f"# CuPy {real.__version__}":
        pytest.skip(f"the list is of another version than {real.__version__}: python tests/stand_in/make_api.py")
    assert importlib.import_module("make_api").lines() == lines


def test_a_ufunc_of_cupy_has_no_where(real):
    with pytest.raises(TypeError, match="where"):
        real.add(1, 2, where=True)
