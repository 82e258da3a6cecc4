"Train by the clock on tiny Shakespeare with several seeds, score all of the validation part; print JSON"
import argparse
import json
import platform
import tempfile
from pathlib import Path


def one_run(text, recipe, minutes, seed, threads, window):
    "Train, then score: the state carried over the whole split, and windows from an empty past"
    from lmfromscratch.engine.runs import new_run
    from lmfromscratch.engine.scoring import score
    from lmfromscratch.runs import text_recipes
    from lmfromscratch.engine.models import n_params
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(text, Path(folder)/'run', text_recipes[recipe], minutes=minutes, seed=seed,
                      threads=threads, bf16=None)
        run.train()
        nats = score(run.model, run.vocab, run.data.valid, window).nats
    s = run.settings
    return dict(seed=seed, stateful=round(nats.iloc[0], 4), windows=round(nats.iloc[1], 4), steps=run.step,
                seconds=round(run.seconds, 1), characters_per_s=round(run.step*s.bs*s.sl/run.seconds),
                parameters=n_params(run.model), threads=s.threads, bf16=s.bf16, streams=s.bs, length=s.sl,
                validated_on=len(run.data.valid))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[2]/'shared'/'data'/'tinyshakespeare.txt'
    text = beside if beside.is_file() else 'shakespeare'
    p.add_argument('text', nargs='?', default=text, help="a text file, or a name for `corpus`")
    p.add_argument('--recipe', default='lstm')
    p.add_argument('--minutes', type=float, default=3.)
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--threads', type=int, default=None, help="one for each core if not given")
    p.add_argument('--window', type=int, default=256)
    args = p.parse_args()
    import numpy as np
    import torch

    from lmfromscratch.engine.runs import cores
    runs = [one_run(args.text, args.recipe, args.minutes, seed, args.threads, args.window)
            for seed in range(args.seeds)]
    about = {k: runs[0][k] for k in ('parameters', 'threads', 'bf16', 'streams', 'length', 'validated_on')}
    res = dict(recipe=args.recipe, minutes=args.minutes, window=args.window, weights='last step', **about)
    for way in ('stateful', 'windows'):
        nats = [o[way] for o in runs]
        res[way] = dict(mean=round(float(np.mean(nats)), 4), lowest=min(nats), highest=max(nats))
    res['runs'] = [{k: v for k, v in o.items() if k not in about} for o in runs]
    res |= dict(cores=cores(), machine=platform.machine(), torch=torch.__version__)
    print(json.dumps(res, indent=1))


if __name__ == '__main__': main()
