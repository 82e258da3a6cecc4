"Train on tiny Shakespeare by the clock, or as long as so many steps of the recipe take; score; print JSON"
import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from lmfromscratch.engine.layers import in_threads
from lmfromscratch.engine.models import n_params
from lmfromscratch.engine.runs import machine, new_run
from lmfromscratch.engine.scoring import score
from lmfromscratch.engine.texts import corpus
from lmfromscratch.runs import TextRecipe, text_recipes

root = Path(__file__).resolve().parents[1]
sizes = {'n_hidden', 'n_layers', 'n_emb', 'bs', 'sl'} # What doesn't change these takes as long


class Muon:
    "Muon (Jordan et al. 2024) for the recurrent layers' matrices, each gate by itself; AdamW for all else"
    def __init__(self, model, s, rate):
        layers = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
        ours = {p for m in layers for p in m.parameters() if p.ndim == 2}
        self.gates = [(p, [nn.Parameter(o) for o in p.data.chunk(4)]) for p in ours] # Views of the weights
        blocks = [o for _, gates in self.gates for o in gates]
        self.muon = torch.optim.Muon(blocks, weight_decay=s.wd, momentum=0.9)
        others = [p for p in model.parameters() if p not in ours]
        self.adam = torch.optim.AdamW(others, lr=s.lr, betas=s.betas, weight_decay=s.wd, fused=True)
        self.highest, self.rate, self.params = s.lr, rate, list(model.parameters())
        self.param_groups = self.adam.param_groups # Where `Run` writes the rate of a step

    def zero_grad(self):
        for p in self.params: p.grad = None

    def step(self):
        for p, gates in self.gates:
            for gate, grad in zip(gates, p.grad.chunk(4)): gate.grad = grad
        self.muon.param_groups[0]['lr'] = self.rate * self.param_groups[0]['lr'] / self.highest
        self.muon.step()
        self.adam.step()

    def state_dict(self): return dict(state={}) # A run that is timed here is never resumed


def changed(recipe, settings, names):
    "The recipe with other settings, such as `lr=4e-3` or `n_hidden=448`"
    own = {o.name for o in fields(TextRecipe)}
    top = {k: v for k, v in settings.items() if k in own}
    return replace(recipe, args=recipe.args | {k: v for k, v in settings.items() if k in names}, **top)


def begin(text, folder, recipe, muon, **settings):
    run = new_run(text, folder, recipe, **settings)
    if muon: run.opt = Muon(run.model, run.settings, muon)
    return run


def times_as_long(one, other, repeats=6, steps=5):
    "How much longer a step of `one` computes, both timed in turn; the fastest of each counts"
    best = dict.fromkeys((one, other), float('inf'))
    for _ in range(repeats):
        for run in best:
            run.model.train()
            with in_threads(run.model, run.settings.threads, run.settings.bf16):
                start = time.process_time()
                for _ in range(steps): run.train_step()
                best[run] = min(best[run], (time.process_time() - start)/steps)
    return best[one] / best[other]


def one_run(text, recipe, muon, window, folder, **settings):
    "Train, then score: the state carried over all that is held out, and windows from an empty past"
    run = begin(text, folder, recipe, muon, **settings)
    run.train()
    nats = score(run.model, run.vocab, run.data.valid, window).nats
    s = run.settings
    return dict(parameters=n_params(run.model), threads=s.threads, bf16=s.bf16), dict(
        seed=s.seed, stateful=round(nats.iloc[0], 4), windows=round(nats.iloc[1], 4), steps=run.step,
        seconds=round(run.seconds), characters=run.data.characters(run.step),
        training=round(float(run.rows[-1]['train_loss']), 3))


def record(file, **about):
    "A row more in the table of chapter 12"
    git = ['git', 'describe', '--always', '--dirty']
    commit = subprocess.run(git, cwd=root, capture_output=True, text=True).stdout.strip()
    row = dict(date=time.strftime('%Y-%m-%d'), **about, machine=machine(), commit=commit)
    rows = [pd.read_csv(file)] if file.exists() else []
    pd.concat([*rows, pd.DataFrame([row])]).to_csv(file, index=False)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[2]/'shared'/'data'/'tinyshakespeare.txt'
    text = beside if beside.is_file() else 'shakespeare'
    p.add_argument('text', nargs='?', default=text, help="a text file, or a name for `corpus`")
    p.add_argument('--recipe', default='lstm')
    p.add_argument('--minutes', type=float, default=3.)
    p.add_argument('--steps', type=int, help="not minutes: as long as so many steps of the plain recipe take")
    p.add_argument('--set', nargs='*', default=[], metavar='NAME=VALUE', help="such as n_hidden=448 lr=4e-3")
    p.add_argument('--muon', type=float, default=0., metavar='RATE', help="of Muon, for recurrent matrices")
    p.add_argument('--tune', action='store_true', help="hold out the end of the training part instead")
    p.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    p.add_argument('--bf16', action='store_true', help="with --steps: compute in bfloat16, not in float32")
    p.add_argument('--threads', type=int, default=None, help="one for each core if not given")
    p.add_argument('--window', type=int, default=256)
    p.add_argument('--record', type=Path, metavar='CSV', help="add a row a run to this table")
    args = p.parse_args()

    plays = corpus(args.text)
    if args.tune: plays = plays[:int(0.9*len(plays))]
    plain = text_recipes[args.recipe]
    settings = {k: json.loads(v) for k, v in (o.split('=') for o in args.set)}
    recipe = changed(plain, settings, {'n_hidden', 'n_layers', 'n_emb', 'dropout', 'emb_dropout'})
    common, longer = dict(threads=args.threads, bf16=None if args.steps is None else args.bf16), 1.
    with tempfile.TemporaryDirectory() as tmp:
        if args.steps:
            pair = [begin(plays, Path(tmp)/n, r, m, steps=100_000, **common)
                    for n, r, m in (('other', recipe, args.muon), ('plain', plain, 0.))]
            if sizes & {*settings} or args.muon: longer = times_as_long(*pair)
            common['steps'] = round(args.steps/longer)
        else: common['minutes'] = args.minutes
        what = ', '.join(args.set + ([f'muon={args.muon:g}'] if args.muon else [])) or 'as it is'
        part = 'end of the training part' if args.tune else 'held out'
        res, runs = dict(recipe=args.recipe, what=what, part=part, step_time=round(longer, 3)), []
        for seed in args.seeds:
            folder = Path(tmp)/f'seed{seed}'
            about, run = one_run(plays, recipe, args.muon, args.window, folder, seed=seed, **common)
            if args.record: record(args.record, **res, **run, **about)
            runs.append(run)
    res |= dict(window=args.window, weights='last step', **about)
    for way in ('stateful', 'windows'):
        nats = [o[way] for o in runs]
        res[way] = dict(mean=round(float(np.mean(nats)), 4), lowest=min(nats), highest=max(nats))
    print(json.dumps(res | dict(runs=runs, machine=machine()), indent=1))


if __name__ == '__main__': main()
