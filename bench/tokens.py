"Characters, byte pairs and words with equal CPU time and about equal weights: bits per byte, as CSV"
import argparse
import csv
import math
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from lmfromscratch.data import Vocab
from lmfromscratch.engine.loaders import distinct_chars
from lmfromscratch.engine.models import n_params
from lmfromscratch.engine.scoring import lm_loss, segments, text_rows, token_logps
from lmfromscratch.engine.texts import bible_verses, corpus
from lmfromscratch.runs import EndlessStreams, warm_cosine
from lmfromscratch.state import LM, map_state
from lmfromscratch.tokens import Bpe, ByteWords, token_bytes
from lmfromscratch.unrolled import KneserNey

# The most telling first
kinds = ['chars', 'bpe:1000', 'words:5000', 'bpe:5000', 'bpe:512', 'bpe:2000', 'bpe:256']
columns = ['text', 'tokens', 'model', 'seed', 'vocab', 'bytes_per_token', 'weights', 'seconds', 'steps',
           'nats_per_token', 'bits_per_byte', 'setting']


class TiedLSTM(LM):
    "One LSTM layer whose embedding is also the output layer"
    def __init__(self, vocab_sz, n_hidden, n_emb=32):
        super().__init__()
        self.config = dict(vocab_sz=vocab_sz, n_hidden=n_hidden, n_emb=n_emb)
        self.i_h = nn.Embedding(vocab_sz, n_emb)
        nn.init.normal_(self.i_h.weight, std=0.1)
        self.rnn = nn.LSTM(n_emb, n_hidden, batch_first=True)
        self.project, self.h_o = nn.Linear(n_hidden, n_emb), nn.Linear(n_emb, vocab_sz)
        self.h_o.weight = self.i_h.weight

    def unroll(self, x, state=None):
        out, state = self.rnn(self.i_h(x), state)
        return self.h_o(self.project(out)), state


def sized(vocab_sz, weights):
    "The model with as many weights as asked for, or a few less"
    n = 8
    while n_params(TiedLSTM(vocab_sz, n + 8)) <= weights: n += 8
    return TiedLSTM(vocab_sz, n)


def vocab_of(train, tokens):
    "The vocabulary, learned from the training part alone; characters are those of the whole text"
    kind, _, size = tokens.partition(':')
    return dict(bpe=Bpe, words=ByteWords)[kind].train(train, int(size))


def train(ids, vocab_sz, seed, args):
    "A model after so many seconds of CPU time, and the number of its steps"
    torch.manual_seed(seed)
    model, state, step = sized(vocab_sz, args.weights), None, 0
    often = torch.bincount(ids.long(), minlength=vocab_sz) + 1.
    model.h_o.bias.data = (often/often.sum()).log() # Rare tokens would take it hundreds of steps
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    batches, start = EndlessStreams(ids, args.bs, args.sl), time.process_time()
    while (done := (time.process_time() - start) / args.seconds) < 1:
        for group in opt.param_groups: group['lr'] = args.lr * warm_cosine(done, 0.1)
        x, y = batches.batch(step)
        logits, state = model.unroll(x, state)
        loss = lm_loss(logits, y)
        opt.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.)
        opt.step()
        state, step = map_state(torch.Tensor.detach, state), step + 1
    return model.eval(), step


def measured(logps, targets, vocab):
    n = token_bytes(vocab)[targets.long()].sum().item()
    nats = -float(logps.sum())
    return dict(vocab=len(vocab), bytes_per_token=n/len(targets), nats_per_token=nats/len(targets),
                bits_per_byte=nats/n/math.log(2))


def parts(name, args):
    "Training part, the last ninth of which is for choosing; held-out part; and the whole text"
    text = ''.join(bible_verses()) if name == 'bible' else corpus(name)
    n = int(0.9*len(text))
    return text[:n], text[n:][:args.scored], text


def count(ids, test, vocab):
    "Kneser-Ney; how far it looks back is chosen on the last ninth of the training part"
    def bits(n, ids, part):
        before = ids[len(ids)-n+1:]
        logps = torch.from_numpy(KneserNey(ids, n, len(vocab)).probs(torch.cat([before, part]))).log()
        return measured(logps, part, vocab)
    lengths = (3, 4, 5) if len(vocab) > 256 else (5, 6, 7)
    small, dev = ids[:len(ids)*8//9], ids[len(ids)*8//9:]
    best = min([n for n in lengths if len(vocab)**n < 2**63],
               key=lambda n: bits(n, small, dev)['bits_per_byte'])
    return bits(best, ids, test) | dict(setting=f'n={best}')


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('out', type=Path, help="CSV file; what it has already is not done again")
    p.add_argument('--texts', nargs='*', default=['shakespeare', 'bible'])
    p.add_argument('--tokens', nargs='*', default=kinds)
    p.add_argument('--seeds', type=int, nargs='*', default=[0, 1, 2])
    p.add_argument('--seconds', type=float, default=60., help="of CPU time for each training")
    p.add_argument('--weights', type=int, default=300_000)
    p.add_argument('--lr', type=float, default=8e-3, help="as in chapter 12's recipe")
    p.add_argument('--bs', type=int, default=16)
    p.add_argument('--sl', type=int, default=64)
    p.add_argument('--scored', type=int, default=200_000, help="characters of the held-out part")
    p.add_argument('--no-counting', action='store_true')
    p.add_argument('--most', type=float, default=math.inf, help="seconds after which no other model is begun")
    args = p.parse_args()
    began = time.monotonic()
    torch.set_num_threads(1)
    rows = []
    if args.out.exists():
        with open(args.out) as f: rows = list(csv.DictReader(f))
    def there(*key): return any((o['text'], o['tokens'], o['model'], int(o['seed'])) == key for o in rows)
    def keep(**row):
        rows.append({k: f'{v:.4f}' if isinstance(v, float) else v for k, v in row.items()})
        with open(args.out, 'w', newline='') as f:
            w = csv.DictWriter(f, columns, lineterminator='\n')
            w.writeheader()
            w.writerows(rows)
        print({k: row[k] for k in ('text', 'tokens', 'model', 'seed', 'bits_per_byte')}, flush=True)

    made = {}
    for name in args.texts:
        for seed in args.seeds + [None]*(not args.no_counting):
            for tokens in args.tokens:
                model = 'counting' if seed is None else 'lstm'
                if there(name, tokens, model, seed or 0): continue
                if time.monotonic() - began > args.most: return
                if (name, tokens) not in made:
                    text = parts(name, args)
                    vocab = vocab_of(text[0], tokens) if tokens != 'chars' else \
                        Vocab(distinct_chars(text[-1]), sep='')
                    made[name, tokens] = vocab, [vocab.encode(o, small=True) for o in text[:2]]
                vocab, (ids, test) = made[name, tokens]
                about = dict(text=name, tokens=tokens, model=model, seed=seed or 0)
                if seed is None:
                    keep(**about, **count(ids, test, vocab), weights='', seconds='', steps='')
                    continue
                net, steps = train(ids, len(vocab), seed, args)
                rows_ = text_rows(net, vocab, test, 8)
                logps, _ = token_logps(net, segments(rows_, 256))
                # The targets in the order of the log-probabilities: segment by segment, stream by stream
                targets = torch.cat([y.flatten() for _, y in segments(rows_, 256)])
                keep(**about, **measured(logps, targets, vocab), weights=n_params(net), steps=steps,
                     seconds=args.seconds, setting=f'lr={args.lr:g}')


if __name__ == '__main__': main()
