"Runs and files under attack: killed at bad moments, written to by two, damaged, hostile, on a full disk"
import fcntl
import json
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_cli import complaint, lmfs, lmfs_path, snapshot
from test_runs import file, options, small, text  # noqa: F401 (a fixture)

from lmfromscratch.all import *
from lmfromscratch.engine.learner import LossNotFinite
from lmfromscratch.engine.models import folder_lock, model_on_meta


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    "A run of 12 steps that is finished"
    folder = tmp_path_factory.mktemp('done')/'run'
    run = new_run(text, folder, small, steps=12, threads=1).train(progress=False)
    run.finish()
    return folder


@pytest.fixture
def run(done, tmp_path): return shutil.copytree(done, tmp_path/'run')


def python(code, *args, **kwargs):
    return subprocess.Popen([sys.executable, '-c', code, *map(str, args)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **kwargs)


# --- done, or not

def test_done_means_that_all_is_written(tmp_path, file):  # noqa: F811
    "A model of 5 steps was written by Ctrl-C; the end came, and the scoring was interrupted"
    out = tmp_path/'run'
    run = new_run(file, out, small, steps=12, threads=1)
    with run._ready():
        for _ in range(5): run.train_step()
        run._keep()
    run.write()
    run.train(progress=False)
    assert run.done == 1 and not run.finished and not open_run(out).finished
    stale = (out/'model.safetensors').read_bytes()
    r = lmfs('resume', out, '--quiet')
    assert r.returncode == 0 and 'stateful' in r.stdout, r.stderr
    assert (out/'model.safetensors').read_bytes() != stale and (out/'samples.txt').is_file()
    for a, b in zip(load_lm(out/'model')[0].parameters(), run.model.parameters()): assert torch.equal(a, b)
    assert 'is done' in complaint('resume', out)


def test_the_scores_are_written_last(run, monkeypatch):
    "Whatever file can't be written any more: the run is not called done"
    opened, write_whole, names = open_run(run, text), Run._write_losses.__globals__['write_whole'], []
    monkeypatch.setitem(Run._write_losses.__globals__, 'write_whole',
                        lambda f, *a, **k: (names.append(f.name), write_whole(f, *a, **k)))
    opened.finish()
    assert names == ['losses.csv', 'losses.svg', 'samples.txt']
    for bad in names:
        def fail(f, *args, bad=bad, **kwargs):
            if f.name == bad: raise OSError('interrupted')
            write_whole(f, *args, **kwargs)
        monkeypatch.setitem(Run._write_losses.__globals__, 'write_whole', fail)
        with pytest.raises(OSError, match='interrupted'): opened.finish()
        assert not open_run(run, text).finished


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path, file):  # noqa: F811
    for again in (('resume',), ('train', file, '--steps', '6', '--out')):
        out = tmp_path/again[0]
        new_run(file, out, small, steps=6, threads=1)
        for o in checkpoints: (out/o).unlink(missing_ok=True)
        how = options if again[0] == 'train' else ['--quiet']
        r = lmfs(*again, out, *how)
        assert r.returncode == 0 and open_run(out).finished, r.stderr


# --- two writers

def test_a_second_writer_is_told_so(run, file, tmp_path):  # noqa: F811
    code = ("import sys; from lmfromscratch.engine.models import folder_lock\n"
            "with folder_lock(sys.argv[1]): print('in', flush=True); sys.stdin.read()\n")
    p = python(code, run, stdin=subprocess.PIPE)
    assert p.stdout.readline() == 'in\n'
    before = snapshot(run)
    for o in (('resume', run, '--minutes', '1'), ('train', file, '--steps', '1', '--out', run, *options)):
        assert 'Another process is writing to' in complaint(*o) or 'holds a run already' in complaint(*o)
    with pytest.raises(ValueError, match='Another process'): open_run(run, text, minutes=1).train()
    assert {k: v for k, v in snapshot(run).items() if k != 'run.json'} == {
        k: v for k, v in before.items() if k != 'run.json'}
    assert lmfs('sample', run, '--n', '5').returncode == 0 # Reading is not writing
    p.kill()
    p.wait()
    with folder_lock(run), folder_lock(run): pass # The dead hold no locks, and ours may be taken twice


def test_what_another_process_trained_meanwhile_is_not_overwritten(tmp_path):
    a = new_run(text, tmp_path/'run', small, steps=8, threads=1)
    b = open_run(tmp_path/'run', text)
    a.train(progress=False)
    with pytest.raises(ValueError, match='trained to step 8 since'): b.train(progress=False)
    assert open_run(tmp_path/'run', text).step == 8


# --- damaged and hostile files

def change_checkpoint(run, **tensors):
    "Other tensors in the only checkpoint of a run; None takes one out"
    newest, older = [run/o for o in checkpoints]
    older.unlink()
    data, old = newest.read_bytes(), load_file(newest)
    header = json.loads(data[8:8 + struct.unpack('<Q', data[:8])[0]])
    save_file({k: v for k, v in (old | tensors).items() if v is not None}, newest, header['__metadata__'])


@pytest.mark.parametrize('tensors', [
    {'opt.0.exp_avg': torch.zeros(3)}, {'opt.0.exp_avg': None}, {'opt.0.step': torch.zeros(2)},
    {'opt.99.step': torch.zeros(())}, {'state.0': torch.zeros(1, 9, 24)}, {'state.7': torch.zeros(3)},
    {'model.h_o.bias': torch.zeros(5)}, {'model.h_o.bias': torch.zeros(20, dtype=torch.int64)},
    {'model.h_o.bias': torch.full((20,), torch.nan)}, {'rng': torch.zeros(5056, dtype=torch.uint8)},
    {'rng': torch.zeros(7, dtype=torch.uint8)}, {'more': torch.zeros(1)}], ids=str)
def test_a_checkpoint_that_does_not_fit_is_refused(run, tensors):
    vocab_sz = len(read_settings(run).vocab)
    tensors = {k: v if v is None or len(v.shape) != 1 or len(v) != 20 else v[:1].expand(vocab_sz).contiguous()
               for k, v in tensors.items()}
    change_checkpoint(run, **tensors)
    with pytest.raises(ModelFileError, match='no whole checkpoint'): read_checkpoint(run)
    with pytest.raises(ModelFileError, match='no whole checkpoint'): open_run(run, text)


def test_one_damaged_checkpoint_costs_only_what_came_after_the_other(run):
    (run/checkpoints[0]).write_bytes((run/checkpoints[0]).read_bytes()[:5000])
    assert open_run(run, text).step == 0 # The one before, of the start


def test_a_small_file_cannot_ask_for_a_large_model(run):
    d = json.loads((run/'run.json').read_text())
    for args in (dict(n_hidden=16_000), dict(n_hidden=10**9), dict(n_hidden=24, n_layers=100_000)):
        (run/'run.json').write_text(json.dumps(d | dict(args=args)))
        about = json.loads((run/'model.json').read_text())
        (run/'model.json').write_text(json.dumps(about | dict(config=args | dict(vocab_sz=len(d['vocab'])))))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for f in (lambda: load_run(run), lambda: open_run(run, text), lambda: load_lm(run/'model')):
            with pytest.raises(ModelFileError): f()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000 # KiB


def test_every_model_has_the_same_shapes_without_numbers():
    import test_saved
    for f in test_saved.make.values():
        model = f(6)
        again = model_on_meta(type(model), model.config)
        assert {k: o.shape for k, o in again.state_dict().items()} == {
            k: o.shape for k, o in model.state_dict().items()}
        assert all(o.is_meta for o in again.parameters())


@pytest.mark.parametrize('change', [
    dict(bs='many'), dict(steps=-1), dict(lr=float('nan')), dict(vocab=[1, 2]), dict(vocab=['a', 'a']),
    dict(args=7), dict(kind='chess'), dict(model='LMModel99'), dict(seed=10**30), dict(betas=[2]),
    dict(held_out='9 x'), dict(surprise=1), dict(threads=10**6), dict(source=3)], ids=str)
def test_settings_that_are_none(run, change):
    d = json.loads((run/'run.json').read_text()) | change
    (run/'run.json').write_text(json.dumps(d))
    for command in ('resume', 'sample', 'export'): complaint(command, run)


@pytest.mark.parametrize('name', ['run.json', 'model.json'])
@pytest.mark.parametrize('content', ['[' * 100_000, '{"a":' * 100_000, '', '\0', '[]', '1' * 10_000,
                                     '{"model": NaN}'])
def test_json_that_is_none(run, name, content):
    (run/name).write_text(content)
    place = run if name == 'run.json' else run/'model'
    assert 'does not describe' in complaint('sample', place)


def test_a_model_of_nan_is_neither_scored_nor_sampled(run, file):  # noqa: F811
    weights = load_file(run/'model.safetensors')
    weights['h_o.weight'][3, 3] = torch.nan
    save_file(weights, run/'model.safetensors')
    for o in (('score', run/'model', file), ('sample', run/'model'), ('export', run/'model')):
        assert 'not all numbers in h_o.weight are finite' in complaint(*o)


# --- the disk

def test_a_full_disk_is_one_line_and_what_was_there_is_whole(run):
    "A limit on the size of files stands for the disk"
    before = snapshot(run)
    code = ("import resource, signal, sys; from lmfromscratch.engine.cli import lmfs\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
            "lmfs(['export', sys.argv[1], '--weights', 'fp32'])\n")
    p = python(code, run)
    _, err = p.communicate(timeout=120)
    assert p.returncode == 1 and 'Traceback' not in err and "Can't write" in err, err
    code = code.replace("'export', sys.argv[1], '--weights', 'fp32'",
                        "'train', sys.argv[2], '--steps', '30', '--out', sys.argv[1] + '2', *sys.argv[3:]")
    (run.parent/'text.txt').write_text(text)
    p = python(code, run, run.parent/'text.txt', *options)
    _, err = p.communicate(timeout=120)
    assert p.returncode == 1 and len(err.strip().splitlines()) == 1 and "Can't write" in err, err
    assert not list(run.parent.rglob('*.part'))
    now = snapshot(run)
    assert {k: now[k] for k in before} == before


def test_a_folder_that_cannot_be_written_to_is_noticed_first(tmp_path, file, monkeypatch):  # noqa: F811
    def never(*args): raise AssertionError("it was tried")
    monkeypatch.setitem(new_run.__globals__, 'choose_bf16', never)
    (tmp_path/'a file').write_text('')
    loud = [o for o in options if o not in ('--precision', 'auto')]
    for out in (tmp_path/'a file'/'run', tmp_path/'nul\0l'):
        assert "Can't write to the folder" in complaint('train', file, '--steps', '9', '--out', out, *loud)


def test_a_name_that_is_mistyped_leaves_no_folder(tmp_path):
    assert 'no run in' in complaint('resume', tmp_path/'nothing')
    with pytest.raises(ValueError, match='There is no folder'), folder_lock(tmp_path/'nothing'): pass
    assert not (tmp_path/'nothing').exists()


def test_a_folder_that_is_gone_while_a_run_trains(tmp_path):
    run = new_run(text, tmp_path/'run', small, steps=5, threads=1)
    def gone(step=run.train_step):
        step()
        shutil.rmtree(run.folder, ignore_errors=True)
    run.train_step = gone
    with pytest.raises(OSError, match="Can't write .*checkpoint"): run.train(progress=False)


# --- losses that run away

def test_a_loss_that_ran_away_is_no_result(tmp_path, file):  # noqa: F811
    "Finite, and far worse than any guess: an error, and no checkpoint with such weights"
    wild = TextRecipe('CharLSTM', dict(n_hidden=8), bs=4, sl=8, lr=1e6, clip=1e30, warmup=0.)
    run = new_run(text, tmp_path/'run', wild, steps=50, threads=1)
    with pytest.raises(LossNotFinite, match='run away'): run.train(progress=False, save_every=0)
    assert unused(tmp_path/'run') or newest_step(tmp_path/'run') < run.step
    r = lmfs('train', file, '--lr', '1e6', '--steps', '2', '--out', tmp_path/'short', *options)
    assert r.returncode == 1 and 'run away' in r.stderr and not (tmp_path/'short'/'samples.txt').exists()


def test_infinite_weights_are_not_saved(tmp_path):
    run = new_run(text, tmp_path/'run', small, steps=5, threads=1)
    with torch.no_grad(): run.model.h_o.bias[0] = torch.inf
    with pytest.raises(ModelFileError, match='not saved'): run._keep()
    assert torch.isfinite(load_run(tmp_path/'run')[0].h_o.bias).all()


# --- signals and the clock

def started(file, out):  # noqa: F811
    "A training in a process of its own, in the middle of it"
    p = subprocess.Popen([lmfs_path, 'train', file, '--minutes', '5', '--out', out, *options],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(2): p.stdout.readline()
    time.sleep(1)
    return p


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP'])
def test_signals_that_ask_for_an_end_lose_nothing(tmp_path, file, name):  # noqa: F811
    p, number = started(file, tmp_path/'run'), getattr(signal, name)
    p.send_signal(number)
    said, err = p.communicate(timeout=60)
    assert p.returncode == 128 + number and err == '' and 'continues' in said
    steps = read_checkpoint(tmp_path/'run')[1]['step']
    assert f"after {steps:,} steps" in said
    assert json.loads((tmp_path/'run'/'model.json').read_text())['training']['steps'] == steps


def test_time_in_which_a_process_is_stopped_is_no_training_time(tmp_path, file):  # noqa: F811
    p, begun = started(file, tmp_path/'run'), time.time()
    p.send_signal(signal.SIGSTOP)
    time.sleep(2)
    p.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    slept = time.time() - begun
    assert p.returncode == 0 and slept > 2.5
    assert pd.Series(read_checkpoint(tmp_path/'run')[1]['seconds']).item() < slept + 1 - 1.5


def test_a_closed_terminal_is_no_error(tmp_path, file):  # noqa: F811
    "The other end of a pseudo terminal is closed, as when a window or a connection is"
    ours, theirs = pty.openpty()
    cmd = [lmfs_path, 'train', file, '--minutes', '5', '--out', tmp_path/'run', *options[:-1]]
    p = subprocess.Popen(cmd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    while b'held out' not in os.read(ours, 5000): pass
    time.sleep(1.5)
    os.close(ours)
    assert p.wait(timeout=60) == 128 + signal.SIGHUP
    assert json.loads((tmp_path/'run'/'model.json').read_text())['training']['steps'] > 0


# --- what is saved

def test_a_compiled_model_is_saved_as_what_it_was_made_of(tmp_path):
    model, vocab = CharLSTM(6, 8), Vocab('abcdef', '')
    save_lm(torch.compile(model), vocab, tmp_path/'m')
    again, _ = load_lm(tmp_path/'m')
    for a, b in zip(model.parameters(), again.parameters(), strict=True): assert torch.equal(a, b)


def test_files_have_the_modes_that_others_have(tmp_path):
    (tmp_path/'usual').touch()
    save_lm(CharLSTM(6, 8), Vocab('abcdef', ''), tmp_path/'m')
    new_run(text, tmp_path/'run', small, steps=1, threads=1)
    modes = {o.stat().st_mode for o in tmp_path.rglob('*') if o.is_file() and o.name != '.lock'}
    assert modes == {(tmp_path/'usual').stat().st_mode}


# --- bad arguments

@pytest.mark.parametrize('args, says', [
    (('train', 'TEXT', '--out', 'NEW', '--hidden', 10**9), "can't be made with"),
    (('train', 'TEXT', '--out', 'NEW', '--hidden', 60_000), 'GB to train'),
    (('train', 'TEXT', '--out', 'NEW', '--valid', 1e-9), 'leaves none to predict'),
    (('train', 'TEXT', '--out', 'NEW', '--layers', 10**5), 'n_layers must be 1,000 at most'),
    (('train', 'TEXT', '--out', 'NEW', '--minutes', 'inf'), 'minutes must be above 0'),
    (('train', 'TEXT', '--out', 'NEW', '--seed', '9'*30), 'seed must be 0 or more'),
    (('train', 'TEXT', '--out', 'NEW', '--threads', 10**5), 'threads must be 1 or more and below 257'),
    (('sample', 'RUN', '--seed', '9'*30), '--seed must be from 0'),
    (('sample', 'RUN', '--n', -5), '0 or more, not -5'),
    (('score', 'RUN', '--theta', 5), '--theta is for --cache'),
    (('score', 'RUN', '--rate', 1), '--rate is for --dynamic'),
    (('page', 'RUN', '--out', 'FIFO'), 'is a file')], ids=lambda o: ' '.join(map(str, o))[:60])
def test_bad_arguments_are_one_line(run, file, args, says):  # noqa: F811
    os.mkfifo(run.parent/'fifo')
    names = dict(TEXT=file, NEW=run.parent/'new', RUN=run, FIFO=run.parent/'fifo')
    assert says in complaint(*(names.get(o, o) for o in args))


def test_what_takes_more_memory_than_there_is(run):
    "A limit for this process stands for a small machine"
    code = ("import resource, sys; from lmfromscratch.engine.cli import lmfs; import torch\n"
            "resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)\n"
            "lmfs(['sample', sys.argv[1], '--batch', '1000000000'])\n")
    p = python(code, run)
    _, err = p.communicate(timeout=120)
    assert p.returncode == 1 and err.startswith('lmfs: There is not enough memory'), err


def test_ctrl_c_in_an_import_leaves_no_traceback(tmp_path):
    (tmp_path/'slow.py').write_text("import signal; signal.raise_signal(signal.SIGINT)\n")
    code = ("import sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['lmfs', 'serve']\n"
            "from lmfromscratch.engine import cli\n"
            "def f(**kwargs): {}\n"
            "cli.commands['serve'] = f; cli.parser_of = lambda *a: __import__('argparse').ArgumentParser()\n"
            "cli.lmfs()\n")
    for what in ('import slow', "__import__('signal').raise_signal(2)"):
        p = python(code.format(what), tmp_path)
        _, err = p.communicate(timeout=60)
        assert (p.returncode, err) == (130, '')
