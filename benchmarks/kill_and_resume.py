"""Kill a training run with SIGKILL at random moments, 20 times over, and compare where it ends.

    python benchmarks/kill_and_resume.py

Each of 20 runs writes a checkpoint after every step, is killed three times while it does, resumes, and must end in the
very weights of a run that was never stopped. Prints how many did. Takes about two minutes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RUNS, KILLS = 20, 3
TRAINING = """
import sys
import numpy as np
import minideconv.training as training
from minideconv import models
from minideconv.datasets import Dataset

training.SAVE_EVERY = 0.0
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (512, 28, 28, 1), dtype=np.uint8), rng.integers(0, 10, 512)
data = Dataset(images, labels, list("abcdefghij"), "noise", [])
settings = training.Settings(epochs=3, batch_size=32, crop_padding=2, flips=True, schedule=training.Steps((1, 2)))
net = models.build("zfnet28")
print("ready", flush=True)
training.train(net, data, settings=settings, test=data, checkpoint=sys.argv[1], resume=True, progress=False)
np.savez(sys.argv[2], **net.parameters())
"""


def start(folder):
    command = [sys.executable, "-c", TRAINING, str(folder / "checkpoint.npz"), str(folder / "weights.npz")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def finish(folder):
    start(folder).communicate()
    with np.load(folder / "weights.npz") as weights:
        return dict(weights)


def main():
    rng, same = np.random.default_rng(0), 0
    with tempfile.TemporaryDirectory() as folder:
        expected = finish(Path(folder))
    for run in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(KILLS):
                process = start(Path(folder))
                time.sleep(rng.uniform(0.05, 1.2))
                process.kill()
                process.communicate()
            found = finish(Path(folder))
        equal = all(np.array_equal(found[name], expected[name]) for name in expected)
        same += equal
        print(f"run {run + 1}: {'equal' if equal else 'DIFFERENT'}", flush=True)
    print(f"{same} of {RUNS} runs, killed {KILLS} times each, end in the same weights, bit for bit")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    main()
