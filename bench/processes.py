"""Characters a second of a run by one thread, threads or processes, in turns; print JSON

What is printed is the median of the turns, since a processor may be faster for a moment.

`wall` is by the clock. `computing` is what the clock would show if nothing else ran: the time that the
processor spent on the busiest process, of which what the threads share is divided by their number."""
import argparse
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median


def speed(group, folder, steps, rounds, bf16, sync=None):
    "Characters a second in the best of some rounds of training steps, by the clock and by computing"
    from lmfromscratch.engine.runs import open_run
    run = open_run(folder, group=group)
    run.settings = s = replace(run.settings, bf16=bf16)
    if sync: group.add_up = lambda params, loss: (sync(group, list(params)), loss.item())[1]
    with run._ready(): return fastest(run.train_step, steps, rounds, s)


def fastest(step, steps, rounds, s):
    clocks, found = (time.perf_counter, time.process_time, time.thread_time), []
    for _ in range(rounds):
        start = [o() for o in clocks]
        for _ in range(steps): step()
        wall, all_threads, main = [o() - t for o, t in zip(clocks, start)]
        found.append((wall, main + (all_threads-main)/s.threads))
    return [steps*s.bs*s.sl/min(o) for o in zip(*found)]


def one_by_one(group, params):
    "A message for each weight tensor, for comparison"
    import torch.distributed as dist
    for p in params: dist.all_reduce(p.grad)


def ddp_step(group, folder, steps, rounds):
    "The same training with PyTorch's DistributedDataParallel around the model"
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    from lmfromscratch.engine.runs import open_run
    from lmfromscratch.engine.scoring import lm_loss
    run = open_run(folder, group=group)
    s = run.settings
    with run._ready():
        ddp = DistributedDataParallel(run.model)
        mine = group.rows(s.bs)
        def step():
            x, y = run.data.batch(0)
            loss = lm_loss(ddp(x[mine]), y[mine])
            run.opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(run.model.parameters(), s.clip)
            loss.item()
            run.opt.step()
        return fastest(step, steps, rounds, s)


def slowest(found): return [min(o) for o in zip(*found)]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[2]/'shared'/'data'/'tinyshakespeare.txt'
    p.add_argument('--text', default=beside if beside.is_file() else 'shakespeare')
    p.add_argument('--recipe', default='lstm')
    p.add_argument('--processes', type=int, default=2)
    p.add_argument('--turns', type=int, default=6, help="how often each way has its turn")
    p.add_argument('--rounds', type=int, default=6, help="of a turn")
    p.add_argument('--steps', type=int, default=4, help="of a round")
    args = p.parse_args()
    import torch

    from lmfromscratch.engine.processes import alone, in_processes
    from lmfromscratch.engine.runs import cores, new_run, seconds_a_batch
    from lmfromscratch.runs import text_recipes
    torch.set_num_threads(1)
    n, how = args.processes, (args.steps, args.rounds)
    with tempfile.TemporaryDirectory() as tmp:
        def folder(name, **settings):
            new_run(args.text, Path(tmp)/name, text_recipes[args.recipe], steps=10**6, **settings)
            return Path(tmp)/name
        single, threads = folder('single', threads=1), folder('threads', threads=n)
        many = folder('many', threads=1, processes=n)
        precisions = [False]
        try: seconds_a_batch(new_run(args.text, Path(tmp)/'bf16', steps=1), True)
        except (RuntimeError, ValueError): pass # Not on this processor
        else: precisions.append(True)
        ways = {}
        for bf16 in precisions:
            kind = ', bfloat16' if bf16 else ''
            ways |= {f'one thread{kind}': lambda b=bf16: speed(alone, single, *how, b),
                     f'{n} threads{kind}': lambda b=bf16: speed(alone, threads, *how, b),
                     f'{n} processes{kind}': lambda b=bf16: slowest(in_processes(n, speed, many, *how, b))}
        ways |= {'a group of one': lambda: in_processes(1, speed, single, *how, False)[0],
                 f'{n} processes, a message for each tensor':
                     lambda: slowest(in_processes(n, speed, many, *how, False, one_by_one)),
                 f'{n} processes, DDP': lambda: slowest(in_processes(n, ddp_step, many, *how))}
        turns = [{name: f() for name, f in ways.items()} for _ in range(args.turns)]
    def told(way, i):
        speeds, times = zip(*[(o[way][i], o[way][i]/o['one thread'][i]) for o in turns])
        return dict(characters_per_s=round(median(speeds)), times_one_thread=round(median(times), 3))
    res = {k: {name: told(k, i) for i, name in enumerate(('wall', 'computing'))} for k in ways}
    print(json.dumps(res | dict(recipe=args.recipe, cores=cores(), machine=platform.machine(),
                                torch=torch.__version__), indent=1))


if __name__ == '__main__': main()
