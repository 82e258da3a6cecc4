"Runs of chapter 12 and their commands: killed at any moment, gone on with, scored, misused"
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_cli import complaint, lmfs, lmfs_path

from lmfromscratch.data import UnknownToken, human_numbers
from lmfromscratch.engine.loaders import TextTooShort
from lmfromscratch.lstm import LMModel6
from lmfromscratch.all import *
from lmfromscratch.state import map_state
from lmfromscratch.engine.models import ModelFileError
from lmfromscratch.engine.scoring import lm_loss
from lmfromscratch.engine.learner import LossNotFinite

text = '\n'.join(human_numbers()[:1500])
small = TextRecipe('CharLSTM', dict(n_hidden=24, n_emb=16, dropout=0.2), bs=8, sl=16)
options = ('--hidden', '24', '--bs', '8', '--sl', '16', '--threads', '2', '--precision', 'auto', '--quiet')


@pytest.fixture
def file(tmp_path):
    file = tmp_path/'numbers.txt'
    file.write_text(text)
    return file


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    "A run of 80 steps that nothing interrupted"
    folder = tmp_path_factory.mktemp('runs')/'whole'
    run = new_run(text, folder, small, steps=80, threads=2)
    run.train(progress=False)
    run.finish()
    return run


def tensors_of(state):
    found = []
    map_state(found.append, state)
    return found


def same(a, b, rows=True):
    pairs = [*zip(a.model.parameters(), b.model.parameters(), strict=True),
             *zip(tensors_of(a.state), tensors_of(b.state), strict=True)]
    for x, y in pairs: assert torch.equal(x, y)
    assert a.step == b.step
    if rows: assert [o['train_loss'] for o in a.rows] == [o['train_loss'] for o in b.rows]


@pytest.mark.parametrize('name', ['rnn', 'gru', 'lstm', 'tutorial', 'gpu'])
def test_every_recipe_trains_and_goes_on(name, tmp_path):
    r = text_recipes[name]
    args = r.args | dict(n_hidden=16, n_layers=min(2, r.args.get('n_layers', 1)))
    r = TextRecipe(**(vars(r) | dict(args=args, bs=4, sl=8)))
    whole = new_run(text, tmp_path/'whole', r, steps=12, threads=2)
    whole.train(progress=False)
    half = new_run(text, tmp_path/'half', r, steps=12, threads=2)
    with half._ready():
        for _ in range(5): half.train_step()
        half._keep()
    again = open_run(tmp_path/'half', text)
    assert again.step == 5
    same(again.train(progress=False), whole, rows=False)


def test_a_run_in_a_terminal_from_train_to_sample(tmp_path, file):
    out = tmp_path/'run'
    r = subprocess.run([lmfs_path, 'train', file, '--minutes', '0.03', '--out', out, *options],
                       capture_output=True, text=True, timeout=120)
    assert r.returncode == 0 and r.stderr == '', r.stderr
    assert 'stateful' in r.stdout and 'windows of 256' in r.stdout
    assert {o.name for o in out.iterdir()} >= {'run.json', 'model.json', 'model.safetensors', 'losses.csv',
                                              'losses.svg', 'samples.txt', 'checkpoint.safetensors'}
    seconds = pd.read_csv(out/'losses.csv').seconds.iloc[-1]
    assert 1.8 <= seconds < 2.5 # 0.03 minutes are 1.8 seconds
    about = json.loads((out/'model.json').read_text())['training']
    assert f"{about['valid']['stateful']:.4f}" in lmfs('score', out).stdout
    assert len(lmfs('sample', out, '--n', '40').stdout) > 40
    some = ('--n', '40', '--seed', '1')
    assert lmfs('sample', out, *some).stdout == lmfs('sample', out/'model', *some).stdout


def test_ctrl_c_keeps_everything_and_resume_ends_it(tmp_path, file):
    out = tmp_path/'run'
    p = subprocess.Popen([lmfs_path, 'train', file, '--steps', '100000', '--out', out, *options],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(2): p.stdout.readline()
    time.sleep(2)
    p.send_signal(signal.SIGINT)
    said, err = p.communicate(timeout=60)
    assert p.returncode == 0 and 'lmfs resume' in said and err == '', err
    steps = read_checkpoint(out)[1]['step']
    assert steps > 0 and f"Stopped after {steps:,} steps" in said
    assert len(lmfs('sample', out, '--n', '10').stdout) > 10 # What there is can be used
    r = lmfs('resume', out, '--minutes', '0.06', '--quiet')
    assert r.returncode == 0 and 'stateful' in r.stdout
    assert read_checkpoint(out)[1]['step'] > steps
    assert '--minutes' in complaint('resume', out)


def test_half_written_folders(tmp_path, whole):
    half = (whole.folder/'checkpoint.safetensors').read_bytes()[:1000]
    for name in ('checkpoint.safetensors', 'checkpoint.safetensors.part'):
        out = tmp_path/name
        out.mkdir()
        for o in ('run.json', 'checkpoint-before.safetensors'): shutil.copy(whole.folder/o, out)
        (out/name).write_bytes(half)
        assert open_run(out, text).step <= 80
        assert load_run(out)[1].itos == whole.vocab.itos
        assert lmfs('sample', out, '--n', '5').returncode == 0
    only_json = tmp_path/'only_json'
    only_json.mkdir()
    (only_json/'run.json').write_bytes((whole.folder/'run.json').read_bytes())
    assert open_run(only_json, text).step == 0 # Killed before the first checkpoint: it begins again
    (only_json/'checkpoint.safetensors').write_bytes(half)
    with pytest.raises(ModelFileError, match='no whole checkpoint'): open_run(only_json, text)
    (only_json/'run.json').write_text('{"model": ')
    assert 'does not describe a run' in complaint('resume', only_json)


@pytest.mark.parametrize('content, says', [(b'', 'is empty'), (b'a' * 5000, 'one kind of character'),
                                           (b'\xff\xfe\x00binary' * 500, 'is not UTF-8 text: byte 0'),
                                           (b'to be or not', 'tokens to train on')])
def test_texts_that_no_model_can_learn_from(tmp_path, content, says):
    (tmp_path/'bad.txt').write_bytes(content)
    assert says in complaint('train', tmp_path/'bad.txt', '--out', tmp_path/'run')
    assert not (tmp_path/'run').exists()


def test_validation_characters_that_training_never_saw(tmp_path):
    odd = text + '\n' + 'zebra Ω zebra' * 10
    run = new_run(odd, tmp_path/'run', small, steps=30, threads=1)
    run.train(progress=False)
    assert 'Ω' in run.vocab.itos and 'Ω' not in odd[:len(run.data.train)]
    t = run.finish()
    assert t.nats.between(0.5, 10).all()
    with pytest.raises(UnknownToken, match='€'): score(run.model, run.vocab, 'one € two')


def test_wrong_options_are_named(tmp_path, file):
    train = lambda *args: complaint('train', file, '--out', tmp_path/'run', *args)
    assert "'transformer' is none of rnn, gru, lstm" in train('--model', 'transformer')
    assert 'minutes must be above 0' in train('--minutes', '0')
    assert 'either minutes or steps' in train('--minutes', '1', '--steps', '5')
    assert 'valid' in train('--valid', '1')
    assert 'dropout must be in [0, 1)' in train('--dropout', '1')
    assert 'float16' in train('--precision', 'float16')
    assert not (tmp_path/'run').exists()
    assert 'no file' in complaint('train', tmp_path/'missing.txt')
    assert 'no run in' in complaint('resume', tmp_path)
    assert 'no saved model' in complaint('score', tmp_path, file)


def test_a_prompt_with_an_unknown_character(whole):
    assert "'€'" in complaint('sample', whole.folder, '--prompt', '€')


def test_a_text_that_changed_is_refused(tmp_path, file):
    assert lmfs('train', file, '--steps', '2', '--out', tmp_path/'run', *options).returncode == 0
    file.write_text(text + 'more')
    assert 'SHA-256 differs' in complaint('resume', tmp_path/'run', '--minutes', '1')
    file.unlink()
    (tmp_path/'moved.txt').write_text(text)
    for o in ('resume', 'score'): assert f'no file {file} any more' in complaint(o, tmp_path/'run')
    assert_needs_no_text(tmp_path/'run', tmp_path/'moved.txt')


def test_a_run_that_was_begun_with_the_text_itself(tmp_path, whole):
    for o in ('resume', 'score'): assert 'is in no file' in complaint(o, whole.folder)
    (tmp_path/'text.txt').write_text(text)
    assert_needs_no_text(whole.folder, tmp_path/'text.txt')


def assert_needs_no_text(run, another):
    assert lmfs('sample', run, '--n', '5').returncode == 0
    assert lmfs('export', run, '--out', another.parent/'file').returncode == 0
    assert lmfs('page', run, '--out', another.parent/'site').returncode == 0
    assert lmfs('score', run, another).returncode == 0


def test_deep_grus_are_residual(tmp_path, file):
    train = lambda name, *args: lmfs('train', file, '--model', 'gru', '--steps', '1', '--out', tmp_path/name,
                                     *options, *args)
    for name, args, residual in (('two', ['--layers', '2'], None), ('three', ['--layers', '3'], True),
                                 ('plain', ['--layers', '3', '--no-residual'], False),
                                 ('asked', ['--residual'], True)):
        assert train(name, *args).returncode == 0
        assert read_settings(tmp_path/name).args.get('residual') == residual
    for o in ('--residual', '--no-residual'):
        assert 'has no residual' in complaint('train', file, '--model', 'lstm', o, '--out', tmp_path/'lstm')


def test_progress_is_asked_for_unless_quiet(tmp_path, file, monkeypatch):
    "Whether that is a bar or lines is for the run to know"
    asked, train = [], Run.train
    monkeypatch.setattr(Run, 'train', lambda self, progress: asked.append(progress) or train(self, False))
    loud = [o for o in options if o != '--quiet']
    lmfs('train', file, '--steps', '1', '--out', tmp_path/'loud', *loud)
    lmfs('train', file, '--steps', '1', '--out', tmp_path/'quiet', *options)
    assert asked == [True, False]


def test_a_rate_that_breaks_the_model_leaves_the_last_good_checkpoint(tmp_path):
    wild = TextRecipe('CharLSTM', dict(n_hidden=8), bs=4, sl=8, lr=1e30, clip=1e30)
    run = new_run(text, tmp_path/'run', wild, steps=50, threads=1)
    with pytest.raises(LossNotFinite, match='lower rate'): run.train(progress=False)
    assert all(o.isfinite().all() for o in load_run(tmp_path/'run')[0].parameters())


def test_any_model_with_layers_can_share_its_rows():
    "A model that knows nothing of it, stacked layers in one module, more threads than rows"
    torch.manual_seed(0)
    m, x, y = LMModel6(30, 16, 2), *torch.randint(30, (2, 3, 9))
    def grads():
        m.zero_grad()
        lm_loss(m.unroll(x)[0], y).backward()
        return [p.grad.clone() for p in m.parameters()]
    want = grads()
    with in_threads(m, 5): got = grads()
    for a, b in zip(got, want): assert torch.allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match='threads must be 1 or more'): in_threads(m, 0)


def test_scoring_and_sampling_leave_a_training_alone(tmp_path, whole):
    run = new_run(text, tmp_path/'run', small, steps=80, threads=2)
    step = run.train_step
    def nosy():
        step()
        if run.step % 20 == 0:
            score(run.model, run.vocab, run.data.valid[:300])
            run.sample(10)
    run.train_step = nosy
    same(run.train(progress=False), whole)


def test_too_short_to_score(whole):
    with pytest.raises(TextTooShort, match='none to predict'): score(whole.model, whole.vocab, '')
    assert map_state(lambda o: o, None) is None


# --- folders of the version before

# Made with the code before `Run` had data: a new run of 40 steps, `train_step` and `note` 5 times, `_keep`.
# The checkpoint before was thrown away. CharLSTM with n_hidden=8, n_emb=4, dropout=0.2; batches of 4 times 8
# characters, of verses 4*32 places at most. The scores are those of that code after all of its 40 steps.
old_runs = Path(__file__).parent/'old_runs'
lines = [f"<{'odd' if i % 2 else 'even'}>\t{o}\n" for i, o in enumerate(human_numbers()[:400])]


@pytest.fixture(params=[('text', 2.8418, 'the last 3,870 of 38,700'), ('verses', 2.9429, '40 of 400 verses')],
                ids=lambda o: o[0])
def old(request, tmp_path):
    kind, nats, told = request.param
    return shutil.copytree(old_runs/kind, tmp_path/kind), dict(text=text, verses=lines)[kind], nats, told


def test_a_folder_of_the_version_before_opens_and_is_resumed(old):
    folder, content, nats, told = old
    d = json.loads((folder/'run.json').read_text())
    assert not {'kind', 'prompt', 'held_out'} & d.keys()
    s = read_settings(folder)
    assert s.kind == folder.name and s.prompt == ('<' if s.kind == 'verses' else None)
    model, vocab = load_run(folder)
    assert len(vocab) == len(d['vocab']) and not model.training
    run = open_run(folder, content)
    assert run.step == len(run.rows) == 5 and run.data.told == told
    for a, b in zip(run.model.parameters(), model.parameters(), strict=True): assert torch.equal(a, b)
    run.train(progress=False)
    assert run.step == 40 and run.finish().nats.iloc[0] == pytest.approx(nats, abs=2e-3)
    assert open_run(folder, content, minutes=60).done < 1
    assert json.loads((folder/'run.json').read_text())['kind'] == s.kind
    assert open_run(folder, content).data.told == told


def test_older_verses_without_their_beginning(tmp_path):
    folder = shutil.copytree(old_runs/'verses', tmp_path/'verses')
    split = json.loads((folder/'split.json').read_text())
    assert open_run(folder, lines).data.held_out == split['held_out']
    del split['start']
    (folder/'split.json').write_text(json.dumps(split))
    assert open_run(folder, lines).data.prompt == '<'
    (folder/'split.json').write_text('{')
    with pytest.raises(ModelFileError, match='split.json does not describe'): open_run(folder, lines)


# --- kinds of data

def test_another_kind_of_data_is_one_class(tmp_path, monkeypatch):
    "Numbers as words: a kind that runs know nothing of"
    monkeypatch.setattr(RunData, 'kinds', dict(RunData.kinds))

    class Words(RunningText, kind='words'):
        @staticmethod
        def vocab_of(s): return Vocab(s.vocab)

        @staticmethod
        def remember(text, s): return dict(vocab=tuple(sorted(set(text.split()))))

    words = text.replace('\n', ' . ')
    whole = new_run(words, tmp_path/'whole', small, 'words', steps=8).train(progress=False)
    assert read_settings(tmp_path/'whole').kind == 'words' and len(whole.vocab) == len(set(words.split()))
    assert whole.finish().nats.gt(0).all() and load_run(tmp_path/'whole')[1] == whole.vocab
    half = new_run(words, tmp_path/'half', small, 'words', steps=8)
    with half._ready():
        for _ in range(3): half.train_step()
        half._keep()
    same(open_run(tmp_path/'half', words).train(progress=False), whole, rows=False)
    with pytest.raises(ValueError, match="no kind of data 'chess'; known are text, verses, words"):
        new_run(text, tmp_path/'chess', kind='chess')
    del RunData.kinds['words']
    with pytest.raises(ValueError, match="no kind of data 'words'"): open_run(tmp_path/'whole', words)


def test_the_bible_is_read_by_verses(tmp_path, monkeypatch):
    monkeypatch.setattr('lmfromscratch.engine.run_data.bible_verses', lambda: lines)
    run = new_run('bible', tmp_path/'run', replace(verse_recipe, args=small.args, bs=4), steps=3, threads=1)
    assert run.settings.kind == 'verses' and run.settings.source == 'bible' and not run.model.carry
    assert open_run(tmp_path/'run').data.held_out == run.data.held_out
    other = new_run('bible', tmp_path/'other', small, split_seed=1, steps=3)
    assert other.data.held_out != run.data.held_out


def test_who_reads_the_lines_leaves(tmp_path, monkeypatch):
    "What was trained until then is in the checkpoint"
    def leave(*args, **kwargs): raise BrokenPipeError
    run = new_run(text, tmp_path/'run', small, steps=40, threads=1)
    monkeypatch.setattr('builtins.print', leave)
    with pytest.raises(BrokenPipeError): run.train()
    assert read_checkpoint(tmp_path/'run')[1]['step'] == run.step == 4


# --- processors and devices

@pytest.fixture
def no_bf16(monkeypatch):
    "A processor on which PyTorch has no LSTM in bfloat16: most laptops"
    plain = torch.nn.LSTM.forward
    def forward(self, x, state=None):
        if torch.is_autocast_enabled('cpu'):
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation")
        return plain(self, x, state)
    monkeypatch.setattr(torch.nn.LSTM, 'forward', forward)


def test_what_cannot_be_computed_is_never_chosen(no_bf16, tmp_path, file):
    run = new_run(text, tmp_path/'run', small, steps=3, threads=2, bf16=None)
    assert run.settings.bf16 is False and read_settings(tmp_path/'run').bf16 is False
    assert run.train(progress=False).step == 3
    r = lmfs('train', file, '--steps', '3', '--out', tmp_path/'auto', *options)
    assert r.returncode == 0 and 'float32' in r.stdout, r.stderr


def test_a_model_whose_first_weights_are_fixed_is_timed(tmp_path):
    run = new_run(text, tmp_path/'run', small, steps=3, threads=1, bf16=False)
    next(run.model.parameters()).requires_grad_(False)
    assert choose_bf16(run, None) in (True, False) and seconds_a_batch(run, False) > 0


def test_bfloat16_by_name_where_it_cannot_be_computed(no_bf16, tmp_path, file):
    by_name = [o if o != 'auto' else 'bfloat16' for o in options]
    said = complaint('train', file, '--steps', '3', '--out', tmp_path/'run', *by_name)
    lines = said.strip().splitlines()
    assert len(lines) == 2 and "can't train CharLSTM in bfloat16" in lines[0] and 'float32' in lines[1]
    assert not (tmp_path/'run').exists()
    assert new_run(text, tmp_path/'gru', text_recipes['gru'], steps=1, threads=1, bf16=True).settings.bf16


def test_here_too_what_is_chosen_trains(tmp_path):
    "Whatever this processor is: the choice can be computed, and is right as far as it can be wrong"
    run = new_run(text, tmp_path/'run', small, steps=3, threads=2, bf16=None)
    assert run.train(progress=False).step == 3
    try: seconds_a_batch(run, True)
    except RuntimeError: assert run.settings.bf16 is False


def test_a_trial_leaves_no_trace(tmp_path):
    a = new_run(text, tmp_path/'a', small, steps=5, threads=1, bf16=False)
    b = new_run(text, tmp_path/'b', small, steps=5, threads=1, bf16=False)
    before = torch.get_rng_state()
    seconds_a_batch(b, False, 3)
    assert torch.equal(torch.get_rng_state(), before) and b.settings.bf16 is False
    same(a.train(progress=False), b.train(progress=False))


def test_a_run_in_bfloat16_is_resumed_elsewhere_in_float32(no_bf16, tmp_path, capsys):
    new_run(text, tmp_path/'run', small, steps=4, threads=1)
    d = json.loads((tmp_path/'run'/'run.json').read_text()) | dict(bf16=True)
    (tmp_path/'run'/'run.json').write_text(json.dumps(d))
    assert open_run(tmp_path/'run', text).train(progress=False).step == 4
    assert 'continues in float32' in capsys.readouterr().out


def test_the_random_state_of_the_device_is_kept(tmp_path, monkeypatch):
    "A stub stands for the GPU, whose masks its own random numbers decide"
    state = [torch.arange(16, dtype=torch.uint8)]
    monkeypatch.setattr(torch.cuda, 'get_rng_state', lambda *a: state[0].clone())
    monkeypatch.setattr(torch.cuda, 'set_rng_state', lambda o, *a: state.__setitem__(0, o.clone()))
    run = new_run(text, tmp_path/'run', small, steps=4, threads=1)
    monkeypatch.setattr(Run, '_on_gpu', lambda self: True)
    monkeypatch.setattr(Run, '_own_dice', lambda self: torch.random.fork_rng(devices=[]))
    run.rng = run._dice()
    state[0] += 5
    run._keep()
    state[0] = torch.zeros(16, dtype=torch.uint8)
    again = open_run(tmp_path/'run', text)
    with again._ready(): assert torch.equal(state[0], torch.arange(16, dtype=torch.uint8) + 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU: the test above has a stub instead')
def test_a_run_on_a_gpu_goes_on_to_the_bit(tmp_path):
    how = dict(steps=12, device='cuda')
    whole = new_run(text, tmp_path/'whole', small, **how).train(progress=False)
    half = new_run(text, tmp_path/'half', small, **how)
    with half._ready():
        for _ in range(5): half.train_step()
        half._keep()
    same(open_run(tmp_path/'half', text).train(progress=False), whole, rows=False)


def test_off_a_terminal_a_line_every_tenth(tmp_path, capsys):
    new_run(text, tmp_path/'run', small, steps=40, threads=1).train()
    lines = [o for o in capsys.readouterr().out.splitlines() if '%' in o]
    assert [o.split('%')[0].strip() for o in lines] == [str(10*i) for i in range(1, 11)]
    assert all('train' in o and 'valid' in o for o in lines)
    new_run(text, tmp_path/'quiet', small, steps=10, threads=1).train(progress=False)
    assert capsys.readouterr().out == ''


# --- long texts

class LongIds(torch.overrides.TorchFunctionMode):
    "Notes how many int64 numbers the largest tensor holds that PyTorch's functions give"
    most = 0
    def __torch_function__(self, f, types, args=(), kwargs=None):
        res = f(*args, **(kwargs or {}))
        if isinstance(res, torch.Tensor) and res.dtype == torch.int64: self.most = max(self.most, res.numel())
        return res


@pytest.mark.parametrize('kind', ['text', 'verses'])
def test_no_tensor_of_a_long_text_is_int64(kind, tmp_path):
    "Not while it's read, not in training, not in scoring"
    content = lines*20 if kind == 'verses' else text*6
    n = sum(map(len, content))
    with LongIds() as ids:
        run = new_run(content, tmp_path/'run', small, kind, steps=2, threads=1).train(progress=False)
        run.finish()
        assert 0 < ids.most < n/10 - 1 # What is held out is not int64 either
    all_ids = run.data.train.ids if kind == 'verses' else run.data.ids
    assert all_ids.dtype == torch.int8 and len(all_ids) == n
    assert run.data.valid[0].dtype == run.data.batch(0)[0].dtype == torch.int64


def peak(f, *args):
    "Bytes that `f` takes for a while, without PyTorch's, and what it returns"
    tracemalloc.start()
    try: return f(*args), tracemalloc.get_traced_memory()[1]
    finally: tracemalloc.stop()


def test_a_long_text_is_not_copied():
    long = 'néver\n' * 300_000
    verses = long.splitlines(keepends=True)
    for content in (long, verses):
        digest, most = peak(text_sha256, content)
        assert digest == hashlib.sha256(long.encode()).hexdigest() and most < 10**6
    assert peak(corpus, long)[1] < 1000


def test_ids_are_as_small_as_they_can_be():
    for n, t in ((128, torch.int8), (129, torch.int16), (2**15, torch.int16), (2**15 + 1, torch.int32)):
        vocab = Vocab([chr(i) for i in range(n)], sep='')
        ids = vocab.encode(vocab.itos[-1] + '\0', small=True)
        assert ids.dtype == t and ids.tolist() == [n-1, 0] and vocab.encode('\0').dtype == torch.int64
        with pytest.raises(UnknownToken, match='Token 1 of the text'): vocab.encode('\0' + chr(n), small=True)


def test_more_text_than_memory_is_refused_before_it_is_read(tmp_path, file, monkeypatch):
    run, short = tmp_path/'run', tmp_path/'short.txt'
    train = ('train', file, '--steps', '1', *options)
    assert lmfs(*train, '--out', run).returncode == 0
    short.write_text(text[:4000])
    monkeypatch.setattr('lmfromscratch.engine.texts.free_memory', lambda: 60_000) # Of 77,400 and of 80,000
    monkeypatch.setattr('lmfromscratch.engine.texts.read_text', lambda file: pytest.fail('it was read'))
    for args in ([*train, '--out', tmp_path/'new'], ['resume', run, '--minutes', '1'], ['score', run]):
        assert f'{file} has 0 MB; to read it takes about 0 MB, and 0 MB are free' in complaint(*args)
    assert 'to score it takes about' in complaint('score', run, short)
    monkeypatch.setattr('lmfromscratch.engine.texts.free_memory', lambda: 200_000)
    assert 'to read it by verses takes about' in complaint(*train, '--verses', '--out', tmp_path/'new')
    assert not (tmp_path/'new').exists()


def test_only_a_share_of_much_is_scored_at_the_end(tmp_path, file, monkeypatch):
    monkeypatch.setattr(RunData, 'share', lambda self, step: 1000)
    for verses, told in (((), 'the first 1,000 of the 3,870'), (('--verses',), 'the first 981 of the 3,960')):
        out = tmp_path/f'run{len(verses)}'
        r = lmfs('train', file, *verses, '--steps', '5', '--out', out, *options)
        assert f"Scoring {told}" in r.stdout and f"`lmfs score {out}` takes them all" in r.stdout, r.stdout
        run = open_run(out)
        about = json.loads((out/'model.json').read_text())['training']
        assert about['valid_characters'] == run.data.to_score(1000).numel() <= 1000
        assert list(about['valid'].values()) == run.scores(longest=1000).nats.tolist()
        assert f"{run.scores().nats.iloc[0]:.4f}" in lmfs('score', out).stdout
        assert run.scores().nats.iloc[0] != run.scores(longest=1000).nats.iloc[0]


def test_whoever_waits_for_a_score_sees_a_bar(tmp_path, file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self): return True
    for verses in ((), ('--verses',)):
        out = tmp_path/f'run{len(verses)}'
        lmfs('train', file, *verses, '--steps', '1', '--out', out, *options)
        assert lmfs('score', out).stderr == ''
        with monkeypatch.context() as m:
            m.setattr(io, 'StringIO', Terminal)
            r = lmfs('score', out)
        assert '0%|' in r.stderr and '%|' not in r.stdout


@pytest.mark.parametrize('verses', [(), ('--verses',)])
def test_what_is_no_regular_file(tmp_path, verses):
    os.mkfifo(tmp_path/'pipe')
    for o in ('pipe', '.'): # A folder, too
        said = complaint('train', tmp_path/o, *verses, '--out', tmp_path/'run')
        assert 'is no regular file: save it as one first' in said
    assert not (tmp_path/'run').exists()
