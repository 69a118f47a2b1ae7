"""How long an atlas takes, stage by stage; how much memory and disk; whether resumed and merged scans are the same.

    python benchmarks/atlas.py --photos photos.zip --model alexnet
    MINIDECONV_DEVICE=gpu python benchmarks/atlas.py --photos photos.zip

Stages: decoding alone; the scan of all layers (decoding included); projections of all winners with the deconvnet rule
(photos decoded and sent through the net once more, tiles drawn); the same with the other rules and the controls;
encoding. Then whole runs in processes of their own, for memory, size, and the equality of results.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import wait

import minideconv
from minideconv.archives import Photos
from minideconv.atlas.layer import Layer, encoded_maps
from minideconv.atlas.pictures import picture_winners
from minideconv.atlas.writer import scan_path
from minideconv.experiments.reading import photo_shape, read_levels
from minideconv.experiments.scanning import rectified_maps, scan

LIMIT = 200  # photos of the second memory figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True, help="a folder or zip of photos")
    parser.add_argument("--model", default="alexnet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="minideconv-benchmark-") as folder:
        stages(options, Path(folder))
        whole_runs(options, Path(folder))
        interrupted_and_merged(options, Path(folder))


def stages(options, folder: Path) -> None:
    """Print the time of each stage."""
    net, photos = minideconv.load_model(options.model), Photos(options.photos)
    layers = rectified_maps(net, photo_shape(net, photos))
    timed("decode", lambda: [None for _ in read_levels(net, photos, [np.arange(len(photos))])])
    found, scanned = timed("scan, decoding included", lambda: scan(net, photos, layers))
    units = sum(int((layer.top.image >= 0).sum()) for layer in found.layers.values())
    _, one = timed(f"{units:,} projections, deconvnet", lambda: picture_winners(net, photos, found, folder, more=False))
    pictures, all_kinds = timed(
        "the same with other rules and controls", lambda: picture_winners(net, photos, found, folder)
    )
    made = [Layer(name, name, found.layers[name], pictures[name], found.photos, False) for name in layers]
    timed("encoding", lambda: [sum(len(one.sheet) for one in encoded_maps(layer, patches=True)) for layer in made])
    print(
        f"scan and all deconvnet projections: {scanned + one:.1f} s; other rules and controls: {all_kinds - one:.1f} s"
    )


def timed(name: str, work):
    start = time.perf_counter()
    result = work()
    wait()
    seconds = time.perf_counter() - start
    print(f"{name:45s} {seconds:7.1f} s", flush=True)
    return result, seconds


def whole_runs(options, folder: Path) -> None:
    """Print peak memory, size and time of `minideconv atlas` on all photos, and memory on fewer of them."""
    few, photos = folder / "few", Photos(options.photos)
    few.mkdir()
    for number in range(0, len(photos), max(len(photos) // LIMIT, 1)):
        photos[number].save(few / f"{number:06d}.jpg", quality=95)
    for name, source in (("few", few), ("all", options.photos)):
        out, start = folder / name / "atlas", time.perf_counter()
        run = subprocess.Popen(
            command(source, options.model, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(run.pid, 0)
        seconds, files = time.perf_counter() - start, [path for path in out.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        print(f"minideconv atlas, {name} photos: {seconds:.1f} s, exit status {status}, peak memory "
              f"{used.ru_maxrss / 1e6:.2f} GB, {size / 1e6:.0f} MB in {len(files):,} files", flush=True)  # fmt: skip
        first = sum((out / file).stat().st_size for file in ("index.html", "faces/front.jpg"))
    print(f"first view: {first / 1e6:.2f} MB")


def interrupted_and_merged(options, folder: Path) -> None:
    """Compare the result file of one scan with that of an interrupted and of a merged one."""
    whole, cut, parts = folder / "all" / "atlas" / "atlas.npz", folder / "cut", folder / "parts"
    listens = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # also in the background
    run = subprocess.Popen(command(options.photos, options.model, cut), stderr=subprocess.PIPE, text=True, **listens)
    seen = ""
    while not re.search(r"scan: +(3[3-9]|[4-9].)%", seen) and (letter := run.stderr.read(1)):
        seen = seen[-400:] + letter
    run.send_signal(signal.SIGINT)
    run.stderr.read()
    print(f"interrupted at a third: exit status {run.wait()}, the scan's file is there: {scan_path(cut).exists()}")
    subprocess.run(command(options.photos, options.model, cut), check=True, capture_output=True)
    print(f"resumed: identical result file: {filecmp.cmp(cut / 'atlas.npz', whole, shallow=False)}")
    for number in (1, 2, 3):
        shard = [*command(options.photos, options.model, parts), "--shard", f"{number}/3"]
        subprocess.run(shard, check=True, capture_output=True)
    files = [str(scan_path(parts, (number, 3))) for number in (3, 1, 2)]
    subprocess.run([*command(options.photos, options.model, parts), "--merge", *files], check=True, capture_output=True)
    print(f"three shards merged: identical result file: {filecmp.cmp(parts / 'atlas.npz', whole, shallow=False)}")


def command(photos, model: str, out: Path) -> list[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    return [sys.executable, "-m", "minideconv", "atlas", str(photos), "--model", model, "--out", str(out)]


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
