"How long `lmfs` takes to answer, and what of it is importing PyTorch and fastai. Prints one line of JSON"
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

lmfs = Path(sys.executable).with_name("lmfs")
commands = {
    "python": [sys.executable, "-c", "pass"],
    "torch": [sys.executable, "-c", "import torch"],
    "torch, fastai's callbacks": [sys.executable, "-c", "import torch, fastai.callback.core"],
    "lmfs --help": [lmfs, "--help"],
    "lmfs --version": [lmfs, "--version"],
    "lmfs train --help": [lmfs, "train", "--help"],
    "a mistyped option": [lmfs, "train", "--minuets", "3"],
    "lmfs sample model7 --n 1": [lmfs, "sample", "model7", "--n", "1"],
    "lmfs sample shakespeare --n 1": [lmfs, "sample", "shakespeare", "--n", "1"],
}


def seconds(cmd):
    start = time.perf_counter()
    subprocess.run(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=5, help="runs of each command, which take turns")
    args = p.parse_args()
    times = {k: [] for k in commands}
    for _ in range(args.rounds):
        for k, cmd in commands.items(): times[k].append(seconds(cmd))
    medians = {k: round(statistics.median(v), 2) for k, v in times.items()}
    print(json.dumps(dict(seconds=medians, rounds=args.rounds, cores=os.cpu_count(),
                          machine=platform.machine(), python=platform.python_version())))


if __name__ == "__main__": main()
