"Train the ladder two ways in one run, fastai's stock way and ours; print the ratio of the CPU times as JSON"
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
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter, rnn_cbs
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import set_seed
from fastcore.foundation import L

from lmfromscratch.data import Vocab, group_chunks, human_numbers, number_tokens
from lmfromscratch.state import LM
from lmfromscratch.train import recipes, train_recipe


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


class CpuTime(Callback):
    "Seconds of CPU time that a fit takes, its validations included"
    def before_fit(self): self.start = time.process_time()
    def after_fit(self): self.seconds = time.process_time() - self.start


def stock_fit(recipe, seed, epochs, ids, n_tokens):
    "fastai's own `Learner` with its default optimiser"
    set_seed(seed)
    dls = stock_dls(ids, recipe)
    model = recipe.model(n_tokens, *recipe.args)
    if not isinstance(model, LM): cbs = []
    else: cbs = rnn_cbs(recipe.alpha, recipe.beta) if model.regularized else [ModelResetter()]
    loss = F.cross_entropy if recipe.last else CrossEntropyLossFlat()
    learn = Learner(dls, model, loss_func=loss, metrics=accuracy, cbs=[*cbs, CpuTime()], moms=recipe.moms,
                    wd=recipe.wd)
    learn.remove_cb(ProgressCallback) # Bars and rows cost both ways the same
    learn.logger = lambda *_: None
    learn.fit_one_cycle(epochs or recipe.epochs, recipe.lr)
    return learn.cpu_time.seconds, float(learn.recorder.values[-1][2])


def our_fit(recipe, seed, epochs):
    "`train_recipe`, as `lmfs course` calls it"
    learn = train_recipe(recipe, seed, epochs, progress=False, cbs=CpuTime())
    return learn.cpu_time.seconds, learn.history.accuracy.iloc[-1]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--models', type=int, nargs='+', default=[1, 3, 4, 6, 7])
    p.add_argument('--epochs', type=int, default=None, help="default: as each recipe says")
    p.add_argument('--seeds', type=int, default=1, help="fits of each model each way; times are added up")
    p.add_argument('--threads', type=int, default=1, help="torch threads, the same for both ways")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    tokens = number_tokens(human_numbers())
    vocab = Vocab.from_tokens(tokens)
    ids = vocab.encode(tokens).tolist()

    def stock(i, seed, epochs): return stock_fit(recipes[i], seed, epochs, ids, len(vocab))
    def ours(i, seed, epochs): return our_fit(recipes[i], seed, epochs)
    ways = dict(stock=stock, ours=ours)
    for fit in ways.values(): fit(1, 0, 1)  # A first fit imports much

    rows = {}
    for i in args.models:
        fits = defaultdict(list)
        for seed in range(args.seeds):  # In turns, so that a noisy spell of the machine meets both
            for way, fit in ways.items(): fits[way].append(fit(i, seed, args.epochs))
        row = {f'{way}_s': round(sum(s for s, _ in v), 2) for way, v in fits.items()}
        row['ratio'] = round(row['ours_s'] / row['stock_s'], 3)
        for way, v in fits.items():
            acc = [a for _, a in v]
            row[f'{way}_accuracy'] = [round(o, 4) for o in (mean(acc), min(acc), max(acc))]
        rows[recipes[i].model.__name__] = row
        print(recipes[i].model.__name__, json.dumps(row), file=sys.stderr, flush=True)

    total = {k: round(sum(o[k] for o in rows.values()), 2) for k in ('stock_s', 'ours_s')}
    total['ratio'] = round(total['ours_s'] / total['stock_s'], 3)
    about = dict(seeds=args.seeds, threads=args.threads, cores=os.cpu_count(), machine=platform.machine(),
                 torch=torch.__version__)
    print(json.dumps(dict(models=rows, all=total, **about), indent=1))


if __name__ == '__main__': main()
