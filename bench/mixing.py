"Train LSTMs on tiny Shakespeare, mix them with counts, score all of the validation part; write a CSV"
import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lmfromscratch.engine.counts import Counts
from lmfromscratch.engine.runs import Run, new_run, open_run
from lmfromscratch.engine.scoring import read, segments, token_logps, windows
from lmfromscratch.engine.texts import corpus
from lmfromscratch.mixing import Gate, add_bets, bet_facts, em_weights, fit_bets, mix
from lmfromscratch.reading import LearnRMS, reading_table
from lmfromscratch.runs import EndlessStreams

order, window = 9, 256
team_share = .35 # Of the counts while an LSTM is trained for the team


class TeamRun(Run):
    "A run whose loss is that of a mixture with counts, from some share of the training on"
    def prepare(self, begin):
        ids, s, self.begin = self.data.train, self.settings, begin
        self.places = EndlessStreams(torch.arange(len(ids)), s.bs, s.sl)
        edges, parts = torch.linspace(0, len(ids), 6).long().tolist(), [torch.zeros(1)]
        for a, b in zip(edges, edges[1:]): # The counts for each fifth are made without it
            rest = Counts.of(torch.cat([ids[:a], ids[b:]]), order, len(self.vocab)).eval()
            piece = ids[max(0, a-1):b]
            parts.append(token_logps(rest, segments(piece[None]))[0])
        self.counted = torch.cat(parts).float() # Log-probability of each training character

    def forward(self):
        if self.done < self.begin: return super().forward()
        keep = (torch.rand(self.settings.bs) >= self.settings.forget).float()[None, :, None]
        state = self.state and tuple(o*keep for o in self.state)
        x, y = self.data.batch(self.step)
        logits, state = self.model.unroll(x, state)
        net = logits.float().log_softmax(-1).gather(-1, y[..., None])[..., 0]
        tab = self.counted[self.places.batch(self.step)[1]]
        return -torch.logaddexp(net + math.log1p(-team_share), tab + math.log(team_share)).mean(), state


def trained(folder, seed, steps, tune=False, begin=None):
    "A run of chapter 12's recipe; for `tune` without the last ninth of what the others train on"
    text, valid = corpus('shakespeare'), .1
    if tune: text, valid = text[:int(len(text)*.9)], 1/9
    team = '' if begin is None else f'team{begin}_'
    place = folder/f"{team}{'tune' if tune else 'seed'}{seed}"
    if (place/'model.json').is_file(): return open_run(place, text)
    run = new_run(text, place, steps=steps, seed=seed, threads=1, bf16=None, valid=valid)
    if team:
        run.__class__ = TeamRun
        run.prepare(begin)
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
        two = torch.logaddexp(nets[a], nets[b]) - math.log(2)
        with torch.no_grad(): gated = add_bets(torch.stack([two, tabs[0]]),
                                               gate(bet_facts(two, tabs[0], seen[0], order)))
        note(way, 'two LSTMs + counts, by a gate', s, of(gated, s))


def team_scores(runs, counts, args, note):
    "LSTMs that were trained for the team: from when on is chosen at the end of the training part"
    def scores(run, table, w=None):
        batches = lambda: segments(run.data.valid[None])
        each = torch.stack([token_logps(m, batches())[0] for m in (run.model, table)])
        w = em_weights(each) if w is None else w
        return each[0], mix(each, w), w
    chosen, best = None, math.inf
    for begin in (None, 0, .5):
        run = runs['tune'] if begin is None else trained(args.folder, 0, args.steps, tune=True, begin=begin)
        alone, both, w = scores(run, counts['tune'])
        name = 'apart' if begin is None else f'for the team, from {begin:.0%} on'
        note('end of the training part', f'LSTM, trained {name}', 0, alone)
        note('end of the training part', f'LSTM + counts, trained {name}', 0, both, w)
        if begin is not None and -both.mean() < best: chosen, best, weights = begin, -both.mean(), w
    for s in range(args.seeds):
        alone, both, _ = scores(trained(args.folder, s, args.steps, begin=chosen), counts[0], weights)
        note('stateful', 'LSTM, trained for the team', s, alone)
        note('stateful', 'LSTM + counts, trained for the team', s, both, weights)


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
    p.add_argument('--steps', type=int, default=4644, help="as the records of chapter 12")
    p.add_argument('--ways', default='windows,stateful,reading,team', help="other rows stay in the table")
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
    for way in args.ways.split(','):
        if way == 'reading': reading_on(runs, counts, pairs, args.folder, note)
        elif way == 'team': team_scores(runs, counts, args, note)
        else: plain_scores(f'windows of {window}' if way == 'windows' else way, runs, counts, pairs, note)
    if args.out.is_file():
        before = pd.read_csv(args.out, dtype=str, na_filter=False)
        new = {(o['way'], o['model']) for o in rows}
        rows = [o for o in before.to_dict('records') if (o['way'], o['model']) not in new] + rows
    table = pd.DataFrame(rows).assign(nats=lambda t: t.nats.astype(float))
    table.to_csv(args.out, index=False)
    print(table.groupby(['way', 'model'], sort=False).nats.agg(['mean', 'min', 'max']).round(4).to_string())


if __name__ == '__main__': main()
