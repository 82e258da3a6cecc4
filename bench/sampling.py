"Time sampling: against re-reading all text for each character, a bare loop over nn.GRU, and 64 texts at once"
import argparse
import json
import os
import platform
import time
from functools import partial
from itertools import islice


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--length', type=int, default=200, help="characters to write")
    p.add_argument('--rounds', type=int, default=12, help="each way once in each; the shortest time counts")
    p.add_argument('--threads', type=int, default=1)
    args = p.parse_args()
    import torch
    import torch.nn.functional as F

    from lmfromscratch.generate import generate_ids
    from lmfromscratch.gru import CharGRU
    from lmfromscratch.runs import CharLSTM
    torch.set_num_threads(args.threads)
    start = torch.zeros(64, 1, dtype=torch.long)

    @torch.no_grad()
    def reread(model, n):
        ids = start[:1]
        for _ in range(n):
            probs = F.softmax(model.unroll(ids)[0][:, -1], -1)
            ids = torch.cat([ids, torch.multinomial(probs, 1)], 1)

    @torch.no_grad()
    def bare(model, n):
        "The least that a loop over nn.GRU can do"
        x, h = start[:1], None
        for _ in range(n):
            out, h = model.rnn(model.i_h(x), h)
            x = torch.multinomial(F.softmax(model.h_o(out[:, -1]), -1), 1)

    def ours(model, n, bs=1):
        for _ in islice(generate_ids(model, start[:bs], seed=0), n): pass

    def seconds(f):
        begin = time.perf_counter()
        f()
        return time.perf_counter() - begin

    models = {'GRU 128': CharGRU(65, 128), 'GRU 256': CharGRU(65, 256), 'LSTM 320': CharLSTM(65, 320)}
    res = {}
    for name, model in models.items():
        model.eval()
        ways = dict(reread=partial(reread, model, args.length), ours=partial(ours, model, args.length),
                    batch_of_64=partial(ours, model, args.length, 64))
        if name.startswith('GRU'): ways['bare'] = partial(bare, model, args.length)
        for f in ways.values(): f()
        times = {k: [] for k in ways}
        for _ in range(args.rounds):
            for k, f in ways.items(): times[k].append(seconds(f))
        best = {k: min(v) for k, v in times.items()}
        res[name] = dict(
            characters_per_s=round(args.length / best['ours']),
            times_faster_than_rereading=round(best['reread'] / best['ours'], 1),
            batch_of_64_times_the_characters_of_1=round(64 * best['ours'] / best['batch_of_64'], 1))
        if 'bare' in best: res[name]['time_of_bare_nn_GRU_loop'] = round(best['ours'] / best['bare'], 2)
    about = dict(length=args.length, threads=args.threads, cores=os.cpu_count(), machine=platform.machine(),
                 torch=torch.__version__)
    print(json.dumps(res | about, indent=1))


if __name__ == '__main__': main()
