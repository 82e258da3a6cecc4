"Train LSTMs on tiny Shakespeare, mix them with counts, score all of the validation part; write a CSV"
import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lmfromscratch.engine.counts import Counts
from lmfromscratch.engine.runs import new_run, open_run
from lmfromscratch.engine.scoring import read, segments, windows
from lmfromscratch.engine.texts import corpus
from lmfromscratch.mixing import Gate, add_bets, bet_facts, em_weights, fit_bets, mix
from lmfromscratch.reading import LearnRMS, reading_table

order, window = 9, 256


def trained(folder, seed, steps, tune=False):
    "An ordinary run of chapter 12's recipe; for `tune` without the last ninth of what the others train on"
    text, valid = corpus('shakespeare'), .1
    if tune: text, valid = text[:int(len(text)*.9)], 1/9
    place = folder/f"{'tune' if tune else 'seed'}{seed}"
    if (place/'model.json').is_file(): return open_run(place, text)
    run = new_run(text, place, steps=steps, seed=seed, threads=1, bf16=False, valid=valid)
    run.train()
    run.finish()
    return run


def panel(model, ids, way):
    "Log-probabilities of all tokens, `(n, vocab_sz)`"
    batches = segments(ids[None]) if way == 'stateful' else windows(ids, window)
    return torch.cat([o.flatten(0, 1).log_softmax(-1) for o, _ in read(model, batches, way == 'stateful')])


def found(counts, ids, way):
    "How many tokens of each context were counted"
    batches, state, parts = segments(ids[None]) if way == 'stateful' else windows(ids, window), None, []
    for x, _ in batches:
        _, n, state = counts.look(x, state if way == 'stateful' else None)
        parts.append(n.flatten())
    return torch.cat(parts)


def read_on(model, run, file, **how):
    "Log-probabilities of what came, of a model that learns while it reads; kept in a file"
    if not file.is_file():
        np.save(file, -reading_table(model, run.vocab, run.data.valid, segment=32, **how).nats.to_numpy())
    return torch.from_numpy(np.load(file))


def learned_gate(nets, tabs, seen, y):
    "A gate that is learned on the text that was kept out"
    torch.manual_seed(0)
    pair, facts = torch.stack([nets, tabs]), bet_facts(nets, tabs, seen, order)
    gate = Gate(facts)
    def bet(at): return add_bets(pair[:, at], gate(facts[at])).gather(1, y[at, None])[:, 0]
    fit_bets(bet, list(gate.parameters()), len(facts)//2, rounds=60)
    return gate


def plain_scores(way, runs, counts, pairs, note):
    "Frozen members: one by one, with constant weights, with a gate, and two networks"
    ids = {k: r.data.valid for k, r in runs.items()}
    nets, tabs = [{k: panel(m, ids[k], way) for k, m in o.items()}
                  for o in ({k: r.model for k, r in runs.items()}, {k: counts[k] for k in ('tune', 0)})]
    seen = {k: found(counts[k], ids[k], way) for k in tabs}
    def of(logps, k): return logps.gather(1, ids[k][1:, None])[:, 0]
    came, tab = {k: of(o, k) for k, o in nets.items()}, {k: of(o, k) for k, o in tabs.items()}
    w = em_weights(torch.stack([came['tune'], tab['tune']]))
    gate = learned_gate(nets['tune'], tabs['tune'], seen['tune'], ids['tune'][1:])
    note(way, 'counts', '', tab[0])
    for s, (a, b) in pairs.items():
        note(way, 'LSTM', s, came[s])
        note(way, 'LSTM + counts', s, mix(torch.stack([came[s], tab[0]]), w), w)
        with torch.no_grad(): gated = add_bets(torch.stack([nets[s], tabs[0]]),
                                               gate(bet_facts(nets[s], tabs[0], seen[0], order)))
        note(way, 'LSTM + counts, by a gate', s, of(gated, s))
        if a == b: continue # A single seed
        note(way, 'two LSTMs', s, mix(torch.stack([came[a], came[b]]), torch.tensor([.5, .5])))
        three = torch.stack([w[0]/2, w[0]/2, w[1]])
        note(way, 'two LSTMs + counts', s, mix(torch.stack([came[a], came[b], tab[0]]), three), three)


def reading_on(runs, counts, pairs, folder, note):
    "Members that learn while they read"
    on, way = {}, 'reading on'
    for k, r in runs.items():
        net = read_on(r.model, r, folder/f'on_lstm_{k}.npy', learn=LearnRMS())
        tab = read_on(counts[k], r, folder/f"on_counts_{'tune' if k == 'tune' else 'all'}.npy")
        on[k] = torch.stack([net, tab])
    w = em_weights(on['tune'])
    three = torch.stack([w[0]/2, w[0]/2, w[1]])
    note(way, 'counts', '', on[0][1])
    for s, (a, b) in pairs.items():
        note(way, 'LSTM', s, on[s][0])
        note(way, 'LSTM + counts', s, mix(on[s], w), w)
        if a != b: note(way, 'two LSTMs + counts', s, mix(torch.stack([on[a][0], *on[b]]), three), three)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--folder', type=Path, default=Path('runs/mixing'), help="where the runs are, or will be")
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--steps', type=int, default=2620)
    p.add_argument('--ways', default='stateful,windows,reading', help="rows of other ways stay in the table")
    p.add_argument('--out', type=Path, default=Path(__file__).with_suffix('.csv'))
    args = p.parse_args()
    torch.set_num_threads(1)
    runs = {'tune': trained(args.folder, 0, args.steps, tune=True)}
    runs |= {s: trained(args.folder, s, args.steps) for s in range(args.seeds)}
    counts = {k: Counts.of(runs[k].data.train, order, 65, live=True).eval() for k in ('tune', 0)}
    counts |= {s: counts[0] for s in range(1, args.seeds)}
    rows, pairs = [], {s: (s, (s+1) % args.seeds) for s in range(args.seeds)}
    def note(way, name, seed, logps, weights=()):
        rows.append(dict(way=way, model=name, seed=seed, nats=round(-logps.mean().item(), 4),
                         weights=' '.join(f'{o:.3f}' for o in weights)))
    names = dict(stateful='stateful', windows=f'windows of {window}', reading='reading on')
    asked = [names[o] for o in args.ways.split(',')]
    for way in asked:
        if way == 'reading on': reading_on(runs, counts, pairs, args.folder, note)
        else: plain_scores(way, runs, counts, pairs, note)
    if args.out.is_file():
        before = pd.read_csv(args.out, dtype=str, na_filter=False)
        rows = before[~before.way.isin(asked)].to_dict('records') + rows
    table = pd.DataFrame(rows).assign(nats=lambda t: t.nats.astype(float))
    table.to_csv(args.out, index=False)
    print(table.groupby(['way', 'model'], sort=False).nats.agg(['mean', 'min', 'max']).round(4).to_string())


if __name__ == '__main__': main()
