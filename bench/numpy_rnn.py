"Time the NumPy RNN of chapter 09, one window at a time against many rows at once; print the ratios as JSON"
import argparse
import json
import os
import platform
import time
from pathlib import Path
from statistics import median


def chars_per_second(cls, text, batch_size, dtype, seconds, hidden):
    "Characters per second of whole training steps: read, forward, backward, update"
    from lmfromscratch.engine.reader import DataReader
    reader = DataReader(text, seq_length=25, batch_size=batch_size)
    rnn = cls(hidden, reader.vocab_size, 25, dtype=dtype)
    for _ in range(3): rnn.train_step(reader)
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        rnn.train_step(reader)
        done += 25 * (batch_size or 1)
    return done / spent


def main():
    p = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[2]/'shared'/'data'/'tinyshakespeare.txt'
    text = str(beside) if beside.is_file() else 'shakespeare'
    p.add_argument('text', nargs='?', default=text, help="a text file, or a name for `corpus`")
    p.add_argument('--rows', type=int, nargs='+', default=[1, 4, 16, 32, 64, 128, 256])
    p.add_argument('--repeats', type=int, default=5, help="rounds of measurements, each way once in each")
    p.add_argument('--seconds', type=float, default=0.3, help="of one measurement")
    p.add_argument('--hidden', type=int, default=100)
    p.add_argument('--threads', type=int, default=1, help="threads of NumPy's matrix products, for both ways")
    args = p.parse_args()
    for o in ('OMP', 'OPENBLAS', 'MKL'): os.environ[f'{o}_NUM_THREADS'] = str(args.threads)  # NumPy reads it
    import numpy as np

    from lmfromscratch.numpy_rnn import RNN, BatchRNN
    sizes = [None, *args.rows]
    ways = {(d, n): (RNN if n is None else BatchRNN) for d in ('float32', 'float64') for n in sizes}
    found = {k: [] for k in ways}
    for _ in range(args.repeats):
        for (dtype, n), cls in ways.items():
            speed = chars_per_second(cls, args.text, n, np.dtype(dtype), args.seconds, args.hidden)
            found[dtype, n].append(speed)

    res = {}
    for d in ('float32', 'float64'):
        best, mid = ({n: f(found[d, n]) for n in sizes} for f in (max, median))
        res[d] = dict(
            plain_chars_per_s=round(best[None]),
            batch_chars_per_s={n: round(best[n]) for n in args.rows},
            ratio={n: round(best[n]/best[None], 1) for n in args.rows},
            ratio_of_medians={n: round(mid[n]/mid[None], 1) for n in args.rows})
    top = {d: max(o['ratio'].values()) for d, o in res.items()}
    about = dict(hidden=args.hidden, seq_length=25, threads=args.threads, cores=os.cpu_count(),
                 machine=platform.machine(), numpy=np.__version__)
    print(json.dumps(dict(**res, best_ratio=top, at_least_10_times=top['float32'] >= 10, **about), indent=1))


if __name__ == '__main__': main()
