"The NumPy RNN of chapter 09: bad input, Ctrl-C in a real process, the same text from the same seed"
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lmfromscratch.data import UnknownToken, human_numbers
from lmfromscratch.engine.loaders import TextTooShort
from lmfromscratch.engine.reader import DataReader
from lmfromscratch.numpy_rnn import *

text = '\n'.join(human_numbers()[:500])


def make(seq_length=25, cls=RNN, hidden_size=20, seed=0, **kwargs):
    reader = DataReader(text, seq_length=seq_length, **kwargs)
    return reader, cls(hidden_size, reader.vocab_size, seq_length, seed=seed)


@pytest.fixture(scope='module')
def trained():
    reader, rnn = make(hidden_size=50)
    rnn.train(reader, steps=300, progress=False)
    return reader, rnn


# --- the way people use it

def test_as_people_use_it(tmp_path):
    file = tmp_path/'input.txt'
    file.write_text(text, encoding='utf-8')
    reader = DataReader(str(file), seq_length=25)
    assert reader.just_started()
    rnn = RNN(hidden_size=100, vocab_size=reader.vocab_size, seq_length=25, learning_rate=0.1)
    rnn.train(reader, steps=20)
    assert not reader.just_started()
    inputs, targets = reader.next_batch()
    assert len(inputs) == len(targets) == 25 and list(inputs[1:]) == list(targets[:-1])
    ids = rnn.sample(rnn.h, inputs[0], 200)
    assert len(ids) == 200 and set(''.join(reader.ix_to_char[i] for i in ids)) <= set(text)
    column = np.zeros((100, 1))
    assert len(rnn.sample(column, reader.char_to_ix['o'], 7)) == 7 and not column.any()
    written = rnn.predict(reader, 'one', 50)
    assert written.startswith('one') and len(written) == 53
    reader.close()
    assert rnn.sample(None, 0, 0) == [] and rnn.predict(reader, 'one', 0) == 'one'


def test_reader_goes_round_and_keeps_to_its_part():
    reader, _ = make(valid=0.2)
    seen = []
    while not seen or not reader.just_started(): seen.append(reader.next_batch()[0])
    n = len(np.concatenate(seen))
    assert np.array_equal(np.concatenate(seen), reader.train_ids[:n]) and len(reader.train_ids) - n <= 25
    assert reader.decode(reader.train_ids) + reader.decode(reader.valid_ids) == text
    assert np.array_equal(reader.next_batch()[0], seen[0])


def test_rows_of_a_batch_go_on():
    reader, _ = make(batch_size=4)
    (x1, y1), (x2, _) = reader.next_batch(), reader.next_batch()
    assert x1.shape == (4, 25) and np.array_equal(y1[:, -1], x2[:, 0])


def test_vocabulary_is_sorted(): assert list(make()[0].vocab) == sorted(set(text))


# --- bad input

def test_empty_text(tmp_path):
    (tmp_path/'empty.txt').write_text('')
    for source in ('', tmp_path/'empty.txt'):
        with pytest.raises(ValueError, match='empty'): DataReader(source)


@pytest.mark.parametrize('source', ['a'*300, 'a'*25, 'a'])
def test_one_character(source):
    with pytest.raises(ValueError, match='one character only'): DataReader(source)


def test_text_shorter_than_a_window():
    with pytest.raises(TextTooShort, match='needs 26 tokens and there are 18'):
        DataReader('twenty characters ..')
    with pytest.raises(TextTooShort, match='bs=64 rows of sl=200'):
        DataReader(text, seq_length=200, batch_size=64)
    DataReader('ab'*15, seq_length=25)  # 27 characters, one window


def test_missing_and_binary_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.txt'): DataReader(tmp_path/'nothing.txt')
    (tmp_path/'image.bin').write_bytes(b'some text first \xff\xfe\x00')
    with pytest.raises(ValueError, match='byte 16'): DataReader(tmp_path/'image.bin')


def test_bad_numbers():
    reader, rnn = make()
    for steps in (0, -3):
        with pytest.raises(ValueError, match='steps must be 1 or more'): rnn.train(reader, steps=steps)
    for kw in (dict(seq_length=0), dict(batch_size=0), dict(valid=1), dict(valid=-0.1)):
        with pytest.raises(ValueError, match=next(iter(kw))): DataReader(text, **kw)
    for kw in (dict(hidden_size=0), dict(vocab_size=0), dict(seq_length=0), dict(learning_rate=0)):
        with pytest.raises(ValueError, match=next(iter(kw))): RNN(**kw)
    assert rnn.steps == 0 and reader.just_started()


def test_unknown_character_is_named(trained):
    reader, rnn = trained
    with pytest.raises(UnknownToken, match="'é'"): rnn.predict(reader, 'thré', 50)
    with pytest.raises(ValueError, match='empty'): rnn.predict(reader, '', 50)
    with pytest.raises(ValueError, match='n, the characters'): rnn.predict(reader, 'one', -1)
    with pytest.raises(ValueError, match='seed_ix'): rnn.sample(rnn.h, reader.vocab_size, 5)


def test_reader_and_model_must_fit():
    reader, _ = make()
    for kw in (dict(vocab_size=5), dict(vocab_size=reader.vocab_size, seq_length=10)):
        with pytest.raises(ValueError, match='make the model with'): RNN(**kw).train(reader, 1)
    with pytest.raises(ValueError, match='BatchRNN'): make()[1].train(make(batch_size=2)[0], 1)
    with pytest.raises(ValueError, match='vocab_size'): RNN(vocab_size=5).loss_on(reader)


def test_characters_that_training_never_saw():
    "X"
    reader = DataReader('abcab '*100 + 'abc?ab'*10, seq_length=10, valid=0.09)
    rnn = RNN(16, reader.vocab_size, 10)
    before, i = rnn.U.copy(), reader.char_to_ix['?']
    rnn.train(reader, steps=100, progress=False)
    assert np.array_equal(rnn.U[:, i], before[:, i]) and not np.array_equal(rnn.U, before)
    assert np.isfinite(rnn.loss_on(reader)) and rnn.loss_on(reader) > rnn.loss_on(reader, 'abcab abcab')


def test_nothing_held_out():
    reader, rnn = make(valid=0)
    with pytest.raises(TextTooShort, match='larger valid'): rnn.loss_on(reader)
    with pytest.raises(TextTooShort): rnn.loss_on(reader, 'o')
    assert rnn.loss_on(reader, 'on') > 0


def test_loss_that_is_no_number_stops_training():
    reader, rnn = make()
    rnn.train(reader, steps=3, progress=False)
    rnn.V[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match='at step 3.*learning_rate'): rnn.train(reader, 5)
    assert rnn.steps == 3 and len(rnn.losses) == 3


def test_huge_scores_are_no_trouble():
    "No overflow, and a loss that is finite even where the probability rounds to 0"
    reader, rnn = make()
    rnn.c[0] = 1e4
    with np.errstate(all='raise', under='ignore'): assert np.isfinite(rnn.loss_on(reader))
    assert rnn.sample(None, 1, 20) == [0]*20


# --- the same seed, the same text

@pytest.mark.parametrize('cls, bs', [(RNN, None), (BatchRNN, 4)])
def test_seeds(cls, bs):
    def run(seed):
        reader, rnn = make(cls=cls, seed=seed, batch_size=bs)
        rnn.train(reader, steps=30, progress=False)
        return rnn.losses, rnn.predict(reader, 'one', 40), rnn.predict(reader, 'one', 40, seed=5)
    assert run(0) == run(0)
    assert run(0)[0] != run(1)[0]


def test_sampling_leaves_training_alone():
    runs = []
    for sampling in (True, False):
        reader, rnn = make()
        for _ in range(3):
            rnn.train(reader, steps=5, progress=False)
            if sampling:
                rnn.predict(reader, 'one', 20)
                rnn.loss_on(reader)
        runs.append(rnn.losses)
    assert runs[0] == runs[1]


def test_it_learns(trained):
    reader, rnn = trained
    assert rnn.loss_on(reader) < 0.5*np.log(reader.vocab_size)


@pytest.mark.parametrize('cls', [RNN, BatchRNN])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_dtype_stays(cls, dtype):
    reader = DataReader(text, batch_size=None if cls is RNN else 3)
    rnn = cls(10, reader.vocab_size, dtype=dtype)
    rnn.train(reader, steps=3, progress=False)
    assert {o.dtype for o in (*rnn.params.values(), *rnn.memory.values(), rnn.h)} == {np.dtype(dtype)}


# --- the names of min-char-rnn's retelling: columns in dictionaries

def by_columns(rnn, reader, steps):
    "That program's loop, word for word"
    for _ in range(steps):
        if reader.just_started(): hprev = np.zeros((rnn.hidden_size, 1))
        inputs, targets = reader.next_batch()
        xs, hs, ps = rnn.forward(inputs, hprev)
        dU, dW, dV, db, dc = rnn.backward(xs, hs, ps, targets)
        loss = rnn.loss(ps, targets)
        rnn.update_model(dU, dW, dV, db, dc)
        hprev = hs[rnn.seq_length-1]
    return loss


def test_columns_are_our_rows():
    reader, rnn = make()
    x, y = reader.next_batch()
    hprev = np.random.default_rng(1).uniform(-1, 1, (20, 1))
    xs, hs, ps = rnn.forward(list(x), hprev)
    states, logps = rnn.forward(x, hprev[:, 0].astype(np.float32))
    n = rnn.vocab_size
    assert set(xs) == set(ps) == set(range(25)) and set(hs) == set(range(-1, 25))
    assert {o.shape for o in (*xs.values(), *ps.values())} == {(n, 1)} and hs[24].shape == (20, 1)
    np.testing.assert_allclose(np.hstack([hs[t] for t in range(-1, 25)]).T, states, rtol=1e-6)
    np.testing.assert_allclose(np.hstack([ps[t] for t in range(25)]).T, np.exp(logps), rtol=1e-6)
    assert all(xs[t][x[t], 0] == 1 and xs[t].sum() == 1 for t in range(25))
    assert rnn.loss(ps, list(y)) == pytest.approx(rnn.loss(logps, y), rel=1e-5)
    ours, theirs = rnn.backward(x, y, states, logps), rnn.backward(xs, hs, ps, list(y))
    assert [o.shape for o in theirs] == [(20, n), (20, 20), (n, 20), (20, 1), (n, 1)]
    for k, o in zip(rnn.names, theirs):
        np.testing.assert_allclose(o.reshape(ours[k].shape), np.clip(ours[k], -5, 5), rtol=1e-3, atol=1e-5)
    scores = rnn.V @ hs[24] + rnn.c[:, None]
    np.testing.assert_allclose(rnn.softmax(scores), ps[24], rtol=1e-5)
    assert rnn.softmax(np.array([0., 1e4])).tolist() == [0, 1]


def test_columns_train_as_rows():
    for dtype, by in ((np.float64, 1e-9), (np.float32, .1)):
        (reader1, _), (reader2, _) = make(), make()
        a, b = (RNN(20, reader1.vocab_size, dtype=dtype) for _ in range(2))
        loss = by_columns(a, reader1, 60)
        b.train(reader2, 60, progress=False)
        for k in a.names: np.testing.assert_allclose(a.params[k], b.params[k], atol=by)
        assert loss/25 == pytest.approx(b.losses[-1], abs=by) and a.params['c'].any()
        assert {o.dtype for o in a.params.values()} == {np.dtype(dtype)}


def test_gradients_in_columns_are_clipped():
    reader, rnn = make()
    x, y = reader.next_batch()
    rnn.V *= 1000
    xs, hs, ps = rnn.forward(x, np.zeros((20, 1)))
    with np.errstate(all='raise', under='ignore'): d = rnn.backward(xs, hs, ps, y)
    assert max(abs(o).max() for o in d) == 5 and all(np.isfinite(o).all() for o in d)


@pytest.mark.parametrize('cls, bs', [(RNN, None), (BatchRNN, 2)])
def test_train_shows_a_sample_every_500(cls, bs, capsys):
    reader, rnn = make(cls=cls, batch_size=bs, seq_length=5)
    rnn.train(reader, 499)
    assert 'iter' not in capsys.readouterr().out
    rnn.train(reader, 501)
    out = capsys.readouterr().out
    at = [int(o.split(',')[0]) for o in out.split('iter ')[1:]]
    assert at == [500, 1000]
    sample, line = out.split('\niter 1000, ')
    assert f'loss {rnn.smooth_loss:.6f}' in line and len(sample) > 300
    quiet = make(cls=cls, batch_size=bs, seq_length=5)
    quiet[1].train(quiet[0], 1000, progress=False)
    assert capsys.readouterr().out == '' and quiet[1].losses == rnn.losses


# --- Ctrl-C

@pytest.mark.parametrize('where', ['reader', 'callback', 'update'])
def test_interrupt_anywhere_leaves_a_usable_model(where, capsys, monkeypatch):
    reader, rnn = make()
    calls = []
    def interrupt(*_):
        calls.append(1)
        if len(calls) == 8: raise KeyboardInterrupt
    if where == 'callback': rnn.train(reader, steps=50, callback=interrupt, progress=False)
    else:
        obj, name = (reader, 'next_batch') if where == 'reader' else (rnn, 'update')
        old = getattr(obj, name)
        monkeypatch.setattr(obj, name, lambda *a: (interrupt(), old(*a))[1])
        rnn.train(reader, steps=50, progress=False)
    said = capsys.readouterr().out
    assert f"Stopped after {rnn.steps} of 50 steps" in said and 'nats per character' in said
    assert rnn.steps == len(rnn.losses) == (8 if where == 'callback' else 7)
    monkeypatch.undo()
    rnn.train(reader, steps=5, progress=False)
    assert len(rnn.predict(reader, 'one', 10)) == 13 and np.isfinite(rnn.loss_on(reader))


program = """
from lmfromscratch.engine.reader import DataReader
from lmfromscratch.numpy_rnn import *
reader = DataReader('one two three four five six seven ' * 50, seq_length=25)
rnn = RNN(20, reader.vocab_size, 25)
def say(rnn): rnn.steps == 20 and print('running', flush=True)
rnn.train(reader, steps=100_000_000, callback=say)
print('after', len(rnn.predict(reader, 'two', 50)), rnn.steps == len(rnn.losses))
"""


@pytest.mark.skipif(os.name == 'nt', reason="SIGINT is sent in another way on Windows")
def test_ctrl_c_in_a_real_process():
    pipe = subprocess.PIPE
    p = subprocess.Popen([sys.executable, '-c', program], stdout=pipe, stderr=pipe, text=True)
    try:
        while 'running' not in (line := p.stdout.readline()): assert line or p.poll() is None, p.stderr.read()
        time.sleep(0.3)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=30)
    finally: p.kill()
    assert p.returncode == 0 and 'Traceback' not in err, err
    assert 'Stopped after' in out and 'of 100,000,000 steps' in out and 'after 53 True' in out
