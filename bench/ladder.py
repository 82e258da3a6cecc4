"Train the ladder two ways in one run, fastai's stock way and ours, and print the ratio of the times as JSON"
import argparse
import json
import os
import platform
import sys
import time
from collections import defaultdict
from statistics import mean

import torch
import torch.nn.functional as F
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter, rnn_cbs
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastcore.foundation import L

from lmfromscratch.data import Vocab, group_chunks, human_numbers, number_tokens
from lmfromscratch.train import batch_parts, recipe_learner, recipes


def stock_dls(ids, recipe):
    "The older chapter's data: a list of tensor pairs through `DataLoaders.from_dsets`"
    sl = recipe.sl
    starts = range(0, len(ids)-sl-1, sl)
    if recipe.last: pairs = L((torch.tensor(ids[i:i+sl]), ids[i+sl]) for i in starts)
    else: pairs = L((torch.tensor(ids[i:i+sl]), torch.tensor(ids[i+1:i+sl+1])) for i in starts)
    cut = int(len(pairs) * 0.8)
    parts = pairs[:cut], pairs[cut:]
    if not recipe.streams: return DataLoaders.from_dsets(*parts, bs=recipe.bs, shuffle=False, device='cpu')
    parts = [group_chunks(o, recipe.bs) for o in parts]
    return DataLoaders.from_dsets(*parts, bs=recipe.bs, drop_last=True, shuffle=False, device='cpu')


def stock_learner(recipe, seed, ids, n_tokens):
    "fastai's own `Learner` with its default optimiser"
    set_seed(seed)
    dls = stock_dls(ids, recipe)
    model = recipe.model(n_tokens, *recipe.args)
    if getattr(model, 'regularized', False): cbs = rnn_cbs(recipe.alpha, recipe.beta)
    else: cbs = [ModelResetter()] if hasattr(model, 'reset') else []
    loss = F.cross_entropy if recipe.last else CrossEntropyLossFlat()
    return Learner(dls, model, loss_func=loss, metrics=accuracy, cbs=cbs, moms=recipe.moms, wd=recipe.wd)


def quiet(learn):
    "Without bars and rows, which cost both ways the same"
    if hasattr(learn, 'progress'): learn.remove_cb(ProgressCallback)
    learn.logger = lambda *_: None
    return learn


def fit(learn, recipe, epochs=None):
    "Seconds of the fit, and the accuracy at its end"
    start = time.perf_counter()
    quiet(learn).fit_one_cycle(epochs or recipe.epochs, recipe.lr)
    return time.perf_counter() - start, float(learn.recorder.values[-1][2])


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--models', type=int, nargs='+', default=list(recipes))
    p.add_argument('--seeds', type=int, default=1, help="fits of each model each way; times are added up")
    p.add_argument('--threads', type=int, default=1, help="torch threads, the same for both ways")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    tokens = number_tokens(human_numbers())
    vocab = Vocab.from_tokens(tokens)
    ids = vocab.encode(tokens).tolist()

    def stock(i, seed): return stock_learner(recipes[i], seed, ids, len(vocab))
    def ours(i, seed): return recipe_learner(recipes[i], seed, progress=False)
    for make in (stock, ours): fit(make(1, 0), recipes[1], 1)  # A first fit imports much

    rows = {}
    for i in args.models:
        r, times = recipes[i], defaultdict(list)
        for seed in range(args.seeds):  # In turns, so that a noisy spell of the machine meets both
            times['stock'].append(fit(stock(i, seed), r))
            times['ours'].append(fit(ours(i, seed), r))
        row = {f'{k}_s': round(sum(s for s, _ in v), 2) for k, v in times.items()}
        row['ratio'] = round(row['ours_s'] / row['stock_s'], 3)
        for k, v in times.items():
            acc = [a for _, a in v]
            row[f'{k}_accuracy'] = [round(o, 4) for o in (mean(acc), min(acc), max(acc))]
        for k, make in (('stock', stock), ('ours', ours)):
            parts = batch_parts(quiet(make(i, 0)), r.lr, epochs=2)
            row[f'{k}_ms_a_batch'] = {k: round(v, 3) for k, v in parts.items()}
        rows[r.model.__name__] = row
        print(r.model.__name__, json.dumps(row), file=sys.stderr, flush=True)

    def ratio(names):
        picked = [v for k, v in rows.items() if k in names]
        if not picked: return None
        return round(sum(o['ours_s'] for o in picked) / sum(o['stock_s'] for o in picked), 3)
    total = dict(ratio_all=ratio(rows), ratio_1_to_3=ratio(['LMModel1', 'LMModel2', 'LMModel3']))
    about = dict(seeds=args.seeds, threads=args.threads, cores=os.cpu_count(), machine=platform.machine(),
                 torch=torch.__version__)
    print(json.dumps(dict(models=rows, **total, **about), indent=1))


if __name__ == '__main__': main()
