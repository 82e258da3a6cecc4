"Training in several processes: equal to one, resumed by any number, killed, hung, misused"
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_cli import complaint
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lmfromscratch.all import *
from lmfromscratch.data import human_numbers
from lmfromscratch.engine.learner import LossNotFinite
from lmfromscratch.engine.processes import ProcessHangs, ProcessLost
from lmfromscratch.state import map_state

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason="processes are copied")
text = '\n'.join(human_numbers()[:1500])
lines = [f'<{o}\n' for o in human_numbers()[:300]]
small = TextRecipe('CharLSTM', dict(n_hidden=24, n_emb=16, dropout=0.3, emb_dropout=0.1), bs=12, sl=16,
                   forget=0.1)
models = dict(
    lstm=small, gru=replace(small, model='CharGRU', args=dict(n_hidden=16, dropout=0.3)),
    residual=replace(small, model='CharGRU', args=dict(n_hidden=16, n_layers=2, dropout=0.3, residual=True)),
    unrolled=replace(small, model='UnrolledLM', args=dict(n_hidden=16, n_layers=2, dropout=0.3)),
    stacks=replace(small, model='CharGRU', args=dict(n_hidden=16, n_layers=2, dropout=0.3)),
    fused=replace(small, model='UnrolledLM', args=dict(n_hidden=16, n_layers=3, dropout=0.3, fused=True)),
    windows=replace(small, model='UnrolledLM', args=dict(n_hidden=16, dropout=0.3, fused=True, carry=False)),
    awd=replace(small, model='AWDLSTM', args=dict(n_emb=16, n_hidden=12, n_layers=2)))


def numbers(state):
    found = []
    map_state(lambda o: found.append(o.detach().clone()), state)
    return found


def some_steps(group, folder, content, n):
    "Losses, weights, the state of all rows, and a look at what is held out, `n` steps after a checkpoint"
    run, losses = open_run(folder, content, group=group), []
    with run._ready():
        for _ in range(n):
            run.train_step()
            losses.append(run.losses[-1])
        run._keep()
    rows = [o.shape[1] for o in numbers(run.state)]
    assert rows == [] or set(rows) == {run.settings.bs // group.size}
    weights = [p.detach().clone() for p in run.model.parameters()]
    return losses, weights, numbers(group.whole(run.state)), run.data.look(run.model, group)


def alike(a, b, eps=2e-6):
    "Step by step, weight by weight, and row by row"
    assert a[0] == pytest.approx(b[0], abs=eps)
    for part in (1, 2):
        for x, y in zip(a[part], b[part], strict=True): assert torch.allclose(x, y, atol=10*eps)
    assert a[3] == pytest.approx(b[3], abs=eps)


def exactly(a, b):
    assert a[0] == b[0] and a[3] == b[3]
    for part in (1, 2):
        for x, y in zip(a[part], b[part], strict=True): assert torch.equal(x, y)


# --- equal to one process

@pytest.mark.parametrize('n, name', [(2, o) for o in models] + [(3, 'lstm'), (3, 'unrolled')])
def test_rows_shared_among_processes_train_as_in_one(tmp_path, n, name):
    for o in ('one', 'many'): new_run(text, tmp_path/o, models[name], steps=30, threads=1)
    one = some_steps(alone, tmp_path/'one', text, 20)
    first, *others = in_processes(n, some_steps, tmp_path/'many', text, 20)
    alike(first, one)
    for o in others: exactly(o, first)


@pytest.mark.parametrize('n', [2, 3])
def test_verses_shared_among_processes_train_as_in_one(tmp_path, n):
    "Their batches have any number of verses, and some fewer than there are processes"
    how = dict(kind='verses', recipe=replace(small, bs=4, forget=0.), steps=60, threads=1)
    for o in ('one', 'many'): run = new_run(lines, tmp_path/o, **how)
    sizes = {len(run.data.batch(i)[0]) for i in range(60)}
    assert min(sizes) < 3 < max(sizes) and any(o % n for o in sizes)
    one = some_steps(alone, tmp_path/'one', lines, 60)
    first, *others = in_processes(n, some_steps, tmp_path/'many', lines, 60)
    alike(first, one)
    for o in others: exactly(o, first)


@pytest.mark.parametrize('n', [1, 3])
def test_a_checkpoint_of_two_is_resumed_by_any_number(tmp_path, n):
    for o in ('one', 'two'): new_run(text, tmp_path/o, small, steps=30, threads=1)
    some_steps(alone, tmp_path/'one', text, 10)
    in_processes(2, some_steps, tmp_path/'two', text, 10)
    whole, shared = [read_checkpoint(tmp_path/o)[0] for o in ('one', 'two')]
    assert whole.keys() == shared.keys() and torch.equal(whole['rng'], shared['rng'])
    want = some_steps(alone, tmp_path/'one', text, 10)
    got = some_steps(alone, tmp_path/'two', text, 10) if n == 1 else \
        in_processes(n, some_steps, tmp_path/'two', text, 10)[0]
    alike(got, want)


def test_evaluation_adds_sums_and_counts(tmp_path):
    "Of seven streams two processes have three and four, so the mean of their means would be another number"
    def means(group, values): return group.mean(values[group.rows(len(values))])
    values = torch.randn(7)**2
    for o in in_processes(2, means, values): assert o == pytest.approx(values.mean().item(), rel=1e-6)
    halves = [values[rows_of(7, i, 2)].mean().item() for i in range(2)]
    assert sum(halves)/2 != pytest.approx(values.mean().item(), rel=1e-3)


def test_ddp_overwrites_a_state_that_is_a_buffer():
    "Why a kept state is neither a parameter nor a buffer: DDP gives each process that of the first"
    class Keeps(nn.Module):
        def __init__(self, buffer):
            super().__init__()
            self.i_h = nn.Linear(1, 1)
            if buffer: self.register_buffer('h', torch.zeros(1), persistent=False)
            else: self.h = torch.zeros(1)

        def forward(self, x):
            seen, self.h = self.h.clone(), x.detach()[0]
            return self.i_h(x), seen

    def second_forward_sees(group, buffer):
        model = DistributedDataParallel(Keeps(buffer))
        x = torch.full((1, 1), float(group.rank + 1))
        model(x)[0].sum().backward()
        return model(x)[1].item()
    assert in_processes(2, second_forward_sees, True) == [1., 1.]
    assert in_processes(2, second_forward_sees, False) == [1., 2.]


# --- a group and its parts

def test_what_the_first_process_can_not_do_ends_all():
    def f(group, error):
        def first(): raise error
        try: group.by_first(first)
        except ValueError: return 'told'
        except SystemExit as e: return e.code
    assert in_processes(3, f, ValueError('no')) == ['told', 1, 1]


def test_a_copy_that_fails_or_dies_is_an_error():
    def fails(group):
        if group.rank == 1: raise KeyError('in a copy')
        group.total(1)
    with pytest.raises(RuntimeError, match='has died|in a copy'): in_processes(2, fails)
    def dies(group): os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(RuntimeError, match='was killed'): in_processes(2, dies)
    with pytest.raises(ValueError, match='must be 1 or more'): in_processes(0, dies)


def test_a_process_that_hangs_is_an_error_for_the_others():
    def f(group):
        if group.rank == 1: time.sleep(2.5)
        else:
            with pytest.raises(ProcessHangs, match='Process 0 of 2: another one has not answered for 1 sec'):
                group.total(1)
    in_processes(2, f, seconds=1)


def test_a_process_that_died_is_an_error_for_the_others(tmp_path):
    def f(group):
        if group.rank == 1: os._exit(0)
        with pytest.raises(ProcessLost, match='has died'): group.total(1)
        (tmp_path/'seen').touch()
    with pytest.raises(RuntimeError, match='Process 1 was killed'): in_processes(2, f)
    assert (tmp_path/'seen').exists()


def test_a_training_that_runs_away_ends_in_all_processes(tmp_path):
    wild = TextRecipe('CharLSTM', dict(n_hidden=8), bs=4, sl=8, lr=1e30, clip=1e30)
    new_run(text, tmp_path/'run', wild, steps=50, threads=1)
    def f(group):
        with pytest.raises(LossNotFinite, match='lower rate'):
            open_run(tmp_path/'run', text, group=group).train(progress=False)
        return True
    assert in_processes(2, f) == [True, True]
    assert all(o.isfinite().all() for o in load_run(tmp_path/'run')[0].parameters())


# --- the command line

@pytest.fixture
def file(tmp_path):
    (tmp_path/'numbers.txt').write_text(text)
    return tmp_path/'numbers.txt'


options = ('--hidden', 24, '--bs', 12, '--sl', 16, '--threads', 1, '--precision', 'float32')


def test_sizes_that_do_not_divide_say_which_do(tmp_path, file):
    said = complaint('train', file, *options, '--processes', 5, '--steps', 9, '--out', tmp_path/'run')
    assert "12 streams can't be shared equally among 5 processes" in said
    assert "take bs=10 or 15, or 1, 2, 3, 4, 6, 12 processes" in said
    said = complaint('train', file, *options, '--processes', 20, '--steps', 9, '--out', tmp_path/'run')
    assert 'take bs=20, or' in said
    said = complaint('train', file, '--processes', 0, '--out', tmp_path/'run')
    assert 'processes must be 1 or more' in said
    assert not (tmp_path/'run').exists()


# --- faults

def children(pid):
    "Processes below `pid`, as `{pid: command line}`"
    below = {}
    for o in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            stat = (o/'stat').read_text().rpartition(')')[2].split()
            below.setdefault(int(stat[1]), {})[int(o.name)] = (o/'cmdline').read_text()
    found, todo = {}, [pid]
    while todo:
        for k, v in below.get(todo.pop(), {}).items():
            found[k] = v
            todo.append(k)
    return found


def workers(pid):
    "The training processes: those that have no child, and the connections of a group"
    found = children(pid)
    return sorted(o for o in found if not children(o) and 'resource_tracker' not in found[o])


@contextlib.contextmanager
def begun(out, *cmd, log):
    "A command in a session of its own; afterwards nothing of it is left"
    with open(log, 'w') as f:
        p = subprocess.Popen([*map(str, cmd)], stdout=f, stderr=f, start_new_session=True)
    try: yield p
    finally:
        left = [p.pid, *children(p.pid)]
        for o in left:
            with contextlib.suppress(ProcessLookupError): os.kill(o, signal.SIGKILL)
        p.wait()


def wait_for(what, log, seconds=240):
    until = time.time() + seconds
    while time.time() < until:
        if what in log.read_text(): return
        time.sleep(0.02)
    raise AssertionError(f"no {what!r} in {log.read_text()[-3000:]}")


def gone(pids, seconds=90):
    until = time.time() + seconds
    while time.time() < until:
        alive = [o for o in pids if Path(f'/proc/{o}').exists()
                 and (Path(f'/proc/{o}')/'stat').read_text().rpartition(')')[2].split()[0] != 'Z']
        if not alive: return True
        time.sleep(0.05)
    return False


def ended_as(folder, whole):
    "Is a run at its end as the one that had no fault, bit for bit?"
    a, b = read_checkpoint(folder)[0], read_checkpoint(whole)[0]
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


long = ('--steps', 400, *options)
lmfs_path = Path(sys.executable).with_name('lmfs')


# What `long` makes of the recipe
as_said = replace(lstm := text_recipes['lstm'], args={**lstm.args, 'n_hidden': 24}, bs=12, sl=16)


def together(group, folder): open_run(folder, text, group=group).train(progress=False)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    "Two processes that nothing disturbs"
    folder = tmp_path_factory.mktemp('whole')
    file = folder/'numbers.txt'
    file.write_text(text)
    new_run(file, folder/'run', as_said, steps=400, processes=2, threads=1)
    in_processes(2, together, folder/'run')
    return folder/'run'


linux = pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason="looks for processes in /proc")


@linux
def test_a_killed_worker_and_a_killed_launcher(tmp_path, file, whole):
    "All start again, and go on bit for bit; without their launcher they stop, and `lmfs resume` goes on"
    out, log = tmp_path/'run', tmp_path/'log'
    with begun(out, lmfs_path, 'train', file, *long, '--processes', 2, '--out', out, log=log) as p:
        wait_for(' 20%', log)
        first, second = workers(p.pid)
        os.kill(second, signal.SIGKILL)
        wait_for('A process has died: all 2 start again.', log)
        wait_for(' 60%', log)
        left = children(p.pid)
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        assert gone(left), left
    assert 20 < read_checkpoint(out)[1]['step'] < 400, log.read_text()
    assert 'Traceback' not in log.read_text()
    in_processes(2, together, out)
    assert ended_as(out, whole)


@linux
def test_torchrun_starts_all_again_after_a_fault(tmp_path, file, whole):
    out, log = tmp_path/'run', tmp_path/'log'
    torchrun = (sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
                '--max-restarts=1', '-m', 'lmfromscratch')
    with begun(out, *torchrun, 'train', file, *long, '--out', out, log=log) as p:
        wait_for(' 30%', log)
        os.kill(workers(p.pid)[0], signal.SIGKILL)
        assert p.wait(300) == 0, log.read_text()
    assert log.read_text().count('held out:') == 2 and 'stateful' in log.read_text()
    assert ended_as(out, whole)


@linux
def test_a_worker_that_hangs_ends_the_run(tmp_path, file):
    out, log, script = tmp_path/'run', tmp_path/'log', tmp_path/'script.py'
    script.write_text("import sys\nfrom lmfromscratch.engine.processes import launch\n"
                      "from lmfromscratch.engine.cli import train_together\n"
                      "if __name__ == '__main__':\n"
                      "    launch(2, train_together, sys.argv[1], None, False, seconds=3)\n")
    new_run(file, out, as_said, steps=100_000, processes=2, threads=1)
    with begun(out, sys.executable, script, out, log=log) as p:
        wait_for('held out', log)
        time.sleep(1)
        hung, start = workers(p.pid)[-1], time.time()
        os.kill(hung, signal.SIGSTOP)
        wait_for('lmfs: Process 0 of 2: another one has not answered for 3 seconds', log, 30)
        assert time.time() - start < 15
        os.kill(hung, signal.SIGKILL) # PyTorch would do that half a minute later
        assert p.wait(60) == 1
    assert 'start again' not in log.read_text() and read_checkpoint(out)
