"The GRU of chapter 10: equality, the state protocol, live lines, coloured texts, bad input"
import math
import os
import pickle
import re
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.torch_core import set_seed
from torch import nn

from lmfromscratch.data import (StreamLoader, UnknownToken, Vocab, WindowLoader, human_numbers,
                                lm_dls)
from lmfromscratch.engine.loaders import TextTooShort
from lmfromscratch.generate import generate
from lmfromscratch.gru import *
from lmfromscratch.lstm import GRU, copy_weights
from lmfromscratch.rnn import LMModel2
from lmfromscratch.state import LMModel3, LMModel4, keep_state
from lmfromscratch.engine.callbacks import SampleLine
from lmfromscratch.engine.models import load_lm, save_lm
from lmfromscratch.engine.scoring import evaluate
from lmfromscratch.engine.style import TwoColors
from lmfromscratch.engine.learner import history, lm_learner

text = '\n'.join(human_numbers()[:300])
vocab = Vocab.from_tokens(text, order='sorted')
kinds = dict(plain=dict(n_layers=2), residual=dict(n_layers=3, residual=True),
             relus=dict(n_emb=5, relu_emb=True, relu_out=True))


@pytest.fixture(params=kinds.values(), ids=kinds)
def model(request):
    set_seed(0)
    return CharGRU(30, 16, **request.param).double().eval()


def ids(bs, sl): return torch.randint(30, (bs, sl))


def learner(*cbs, wrap=lambda o: o, **config):
    set_seed(0)
    dls = lm_dls(text, bs=8, sl=16, valid=0.2, vocab=vocab, device='cpu')
    return lm_learner(dls, wrap(CharGRU(len(vocab), 16, **config)), cbs=cbs)


def fit(learn, epochs=1):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2)
    return learn


def close(a, b, eps=1e-10): assert torch.allclose(a, b, rtol=0, atol=eps)


def bare(colored): return re.sub('[][↵]', '', repr(colored))


def same_weights(a, b): return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


@pytest.fixture(scope='module')
def trained(): return fit(learner(), 2).model


# --- equality

@pytest.mark.parametrize('n_layers', [1, 2, 4])
def test_plain_stack_is_our_own_gru(n_layers):
    set_seed(n_layers)
    model = CharGRU(30, 16, n_layers).double()
    ours = copy_weights(GRU(16, 16, n_layers).double(), model.rnn)
    x, state = ids(3, 20), torch.randn(n_layers, 3, 16).double()
    for a, b in zip(model.hidden(x, state), ours(model.i_h(x), state)): close(a, b)


def test_residual_stack_layer_by_layer():
    set_seed(0)
    rnn = ResidualGRU(5, 8, 3).double()
    x, state = torch.randn(2, 7, 5).double(), torch.randn(3, 2, 8).double()
    out, last = rnn.layers[0](x, state[:1])
    lasts = [last]
    for i in (1, 2):
        new, last = rnn.layers[i](out, state[i:i+1])
        out, lasts = out + new, lasts + [last]
    for a, b in zip(rnn(x, state), (out, torch.cat(lasts))): close(a, b)


def test_residual_dropout_leaves_the_shortcut_whole():
    set_seed(0)
    rnn = ResidualGRU(5, 8, 2, dropout=0.5)
    with torch.no_grad():
        for p in rnn.layers[1].parameters(): p.zero_() # This layer says 0, whatever it reads
    x = torch.randn(2, 7, 5)
    assert torch.equal(rnn(x)[0], rnn.layers[0](x)[0])


def test_layer_gradients_are_those_of_backward(model):
    model.train()
    x, y = ids(4, 9), ids(4, 9)
    norms = layer_gradients(model, x, y)
    nn.functional.cross_entropy(model.unroll(x)[0].flatten(0, 1), y.flatten()).backward()
    whole = math.sqrt(sum(p.grad.square().sum().item() for p in model.rnn.parameters()))
    assert len(norms) == model.config['n_layers'] and math.hypot(*norms) == pytest.approx(whole)


# --- the state protocol

def test_any_batch_size(model):
    for bs in (64, 7, 64):
        assert model(ids(bs, 5)).shape == (bs, 5, 30)
        assert model.h.shape == (model.config['n_layers'], bs, 16)


def test_token_by_token_is_one_pass(model):
    x = ids(3, 12)
    whole = model.unroll(x)[0]
    close(torch.cat([model(o) for o in x.split(1, 1)], 1), whole)
    model.reset()
    close(model(x), whole)


def test_the_past_counts(model):
    x = ids(2, 10)
    y = x.clone()
    y[:, 3] = (y[:, 3] + 1) % 30
    assert not torch.allclose(model.unroll(x)[0][:, -1], model.unroll(y)[0][:, -1])


def test_from_zeros_forgets(model):
    fresh, x = FromZeros(model), ids(4, 6)
    assert torch.equal(fresh(x), fresh(x)) and model.h is None
    assert torch.equal(fresh(x), model.unroll(x)[0])


def test_state_is_not_saved_and_not_disturbed(model):
    model(ids(4, 6))
    assert {k.split('.')[0] for k in model.state_dict()} == {'i_h', 'rnn', 'h_o'}
    before, letters = model.h, Vocab([chr(97+i) for i in range(30)], '')
    with keep_state(model): model(ids(2, 3))
    evaluate(model, StreamLoader(torch.arange(29).repeat(3), 2, 8))
    generate(model, letters, 'abc', n=5)
    model.train()
    show_errors(model, letters, 'abc')
    show_surprise(model, letters, 'abc')
    show_unit(model, letters, 'abc', 0)
    assert model.h is before and model.training and model.rnn.training


def test_state_follows_dtype_and_a_copy_has_its_own(model):
    model(ids(4, 6))
    twin = deepcopy(model)
    twin.float()
    assert twin.h.dtype == torch.float32 and twin(ids(4, 6)).dtype == torch.float32
    assert model.h.dtype == torch.float64
    close(pickle.loads(pickle.dumps(model)).unroll(x := ids(2, 3))[0], model.unroll(x)[0])


def test_state_follows_the_device():
    model = CharGRU(30, 16, 2, residual=True)
    model(ids(4, 6))
    model.to('meta')
    assert model.h.device.type == 'meta' and model(ids(4, 6).to('meta')).device.type == 'meta'


def test_dropout_is_off_in_evaluation_only():
    for residual in (False, True):
        set_seed(0)
        noisy, x = CharGRU(30, 16, 2, dropout=0.5, residual=residual), ids(4, 9)
        assert not torch.allclose(noisy.unroll(x)[0], noisy.unroll(x)[0])
        noisy.eval()
        assert torch.equal(noisy.unroll(x)[0], noisy.unroll(x)[0])


def test_saved_and_loaded(tmp_path, model):
    for config in kinds.values():
        ours = CharGRU(len(vocab), 16, dropout=0.1, **config).eval()
        save_lm(ours, vocab, tmp_path/'m')
        again, v = load_lm(tmp_path/'m')
        assert type(again) is CharGRU and again.config == ours.config and v == vocab
        assert torch.equal(again.unroll(x := torch.randint(len(vocab), (2, 9)))[0], ours.unroll(x)[0])


# --- training

def test_trains_in_streams_and_in_windows():
    for learn in (learner(n_layers=2, residual=True, dropout=0.1), learner(wrap=FromZeros)):
        before = evaluate(learn.model, learn.dls.valid)['loss']
        assert evaluate(fit(learn, 2).model, learn.dls.valid)['loss'] < before


def test_windows_from_zeros_are_scored_one_by_one(trained):
    dl = WindowLoader(vocab.encode(text), 8, 16, last=False)
    losses = [nn.functional.cross_entropy(trained.unroll(x[None])[0][0], y).item() for x, y in
              ((x, y) for xs, ys in dl for x, y in zip(xs, ys))]
    assert evaluate(FromZeros(trained), dl)['loss'] == pytest.approx(np.mean(losses), abs=1e-5)


def test_lines_do_not_change_training(capsys):
    plain = fit(learner(dropout=0.3), 2)
    lined = fit(learner(SampleLine(vocab, 'one', every=7, n=20), dropout=0.3), 2)
    assert same_weights(plain.model, lined.model)
    assert history(plain).equals(history(lined))
    lines = lined.sample_line.lines
    assert len(lines) == 2*len(lined.dls.train) // 7
    assert capsys.readouterr().out.splitlines() == lines


def test_lines_do_not_touch_state_or_random_numbers(capsys):
    seen = []
    class Watch(Callback):
        def __init__(self, order): self.order = order
        def after_batch(self):
            if not self.learn.training: return
            m, numpy_state = self.learn.model, np.random.get_state()[1].sum()
            seen.append((self.order, m.h.clone(), torch.get_rng_state(), m.training, numpy_state))
    fit(learner(SampleLine(vocab, 'one', every=1, n=3), Watch(61), Watch(63), dropout=0.2))
    for a, b in zip(seen[::2], seen[1::2]):
        assert (a[0], b[0]) == (61, 63) and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2])
        assert a[3] and b[3] and a[4] == b[4]
    assert seen


def test_lines_in_windows(capsys):
    learn = fit(learner(SampleLine(vocab, 'one', every=20, n=5), wrap=FromZeros))
    assert learn.sample_line.lines


@pytest.mark.filterwarnings('ignore:numpy.core')
def test_no_lines_while_a_rate_is_searched(capsys):
    learn = learner(SampleLine(vocab, 'one', every=1, n=3))
    with learn.no_bar(), learn.no_logging(): learn.lr_find(num_it=5, show_plot=False)
    assert not learn.sample_line.lines


def test_lines_in_a_terminal():
    "Without IPython: a line stands alone, and the bar goes on below it"
    code = """
import sys
sys.modules['IPython'] = None
from fastai.torch_core import set_seed
from lmfromscratch.data import Vocab, human_numbers, lm_dls
from lmfromscratch.engine.callbacks import SampleLine
from lmfromscratch.gru import CharGRU
from lmfromscratch.train import lm_learner
text = '\\n'.join(human_numbers()[:200])
vocab = Vocab.from_tokens(text, order='sorted')
set_seed(0)
dls = lm_dls(text, bs=8, sl=16, vocab=vocab, device='cpu')
learn = lm_learner(dls, CharGRU(len(vocab), 8), cbs=SampleLine(vocab, 'one', every=10, n=20))
learn.fit_one_cycle(1, 1e-2)
print('LINES', len(learn.sample_line.lines))
"""
    env = os.environ | dict(OMP_NUM_THREADS='1', COLUMNS='100', PYTHONIOENCODING='utf-8')
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, timeout=120, env=env)
    out = r.stdout.decode() # Not text=True, which would turn \r into \n
    assert r.returncode == 0, r.stderr[-2000:]
    shown = [o.rsplit('\r', 1)[-1] for o in out.split('\n')] # What is left of each line on the screen
    steps = [int(o[:6]) for o in shown if re.match(r' {4}\d\d \d\.\d{3} ', o)]
    n = int(out.split('LINES')[1])
    assert n > 1 and steps == [10*(i+1) for i in range(n)]


# --- tables and colours

def test_table_is_the_loss(trained):
    table = letter_table(trained, vocab, text[:500])
    x = vocab.encode(text[:500])[None]
    loss = nn.functional.cross_entropy(trained.unroll(x[:, :-1])[0][0], x[0, 1:]).item()
    assert table.bits.mean()*math.log(2) == pytest.approx(loss, rel=1e-5)
    assert ''.join(table.token) == text[1:500] and (table.sure >= table.p).all()
    assert ((table.guess == table.token) == (table.sure == table.p)).all()


def test_text_before_is_read_and_not_shown(trained):
    table = letter_table(trained, vocab, text[50:90], before=text[:50])
    assert np.allclose(table.bits, letter_table(trained, vocab, text[:90]).bits[49:], atol=1e-5)
    assert len(letter_table(trained, vocab, 'o', before='t')) == 1
    assert bare(show_surprise(trained, vocab, text[50:90], text[:50])) == text[50:90]
    assert bare(show_unit(trained, vocab, 'one', 3, before='two\n')) == 'one'


def test_colours_in_a_terminal(trained):
    wrong = letter_table(trained, vocab, 'one\ntwo three')
    wrong = (wrong.guess != wrong.token).tolist()
    out = str(show_errors(trained, vocab, 'one\ntwo three'))
    assert out.count('\x1b[48;2;') == sum(wrong) == out.count('\x1b[0m')
    for line in out.split('\n'): # No colour runs over a line end
        assert line.count('\x1b[48;2;') == line.count('\x1b[0m')
    assert out.startswith('o')                             # The first letter is not predicted
    plain = re.sub(r'\x1b\[[0-9;]*m', '', out)
    assert plain.replace('↵', '') == 'one\ntwo three'
    for o in (show_surprise(trained, vocab, 'one\ntwo'), show_unit(trained, vocab, 'one', 0)):
        assert '\x1b[48;2;' in str(o)


def test_deeper_where_surer(trained):
    line = text[:300].replace('\n', ' ')
    table = letter_table(trained, vocab, line)
    strength = np.array(show_errors(trained, vocab, line).strength)[1:]
    wrong = (table.guess != table.token).to_numpy()
    assert (strength[~wrong] == 0).all() and 0 < strength[wrong].min() and strength.max() <= 1
    assert (np.argsort(strength[wrong]) == np.argsort(table.sure[wrong])).all()
    full = show_surprise(trained, vocab, line, full=0.1)
    assert max(full.strength) == 1 and len(full.strength) == 300


def test_html_is_escaped_and_readable():
    o = TwoColors(['<', '&', 'c'], [-1, 0.4, 0], sep='', notes=['a"b', '', None])
    page = o._repr_html_()
    assert '&lt;' in page and '&amp;' in page and 'a&quot;b' in page and page.count('background-color') == 2
    assert page.count('color:') == 2 # The letters keep the page's own colour
    assert str(o).count('\x1b[48;2;') == 2


def test_words_work_as_well():
    words = Vocab.from_tokens('one two three . four'.split())
    model = LMModel4(len(words), 8)
    assert bare(show_surprise(model, words, 'one two . three')) == 'one two . three'


def test_correlations():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    assert np.allclose(correlations(a, b), np.corrcoef(a.T, b.T)[:3, 3:])
    assert np.allclose(np.diag(correlations(a, -2*a + 1)), -1)
    assert (correlations(np.zeros((5, 2)), rng.normal(size=(5, 1))) == 0).all()


def test_unit_values_are_the_states(trained):
    values = unit_values(trained, vocab, text[:40])
    states = [trained.unroll(vocab.encode(text[:i+1])[None])[1][-1, 0] for i in (0, 17, 39)]
    for i, h in zip((0, 17, 39), states): assert np.allclose(values[i], h.detach(), atol=1e-6)


# --- bad input

@pytest.mark.parametrize('name', ['vocab_sz', 'n_hidden', 'n_layers', 'n_emb'])
@pytest.mark.parametrize('size', [0, -3])
def test_sizes_must_be_positive(name, size):
    with pytest.raises(ValueError, match=f'{name} must be 1 or more'):
        CharGRU(**dict(vocab_sz=5, n_hidden=4, n_layers=1) | {name: size})


@pytest.mark.parametrize('p', [-0.1, 1, 1.5, math.nan])
def test_dropout_must_be_a_share(p):
    with pytest.raises(ValueError, match=r'\[0, 1\)'): CharGRU(30, 16, dropout=p)


def test_bad_texts(trained):
    with pytest.raises(TextTooShort): lm_dls('short', bs=1, sl=32)
    for f in (letter_table, show_errors, show_surprise):
        for o in ('', 'o'):
            with pytest.raises(TextTooShort, match='two or more'): f(trained, vocab, o)
        with pytest.raises(TextTooShort): f(trained, vocab, '', before='one')
        with pytest.raises(UnknownToken, match="'Ä'"): f(trained, vocab, 'one Ä')
    with pytest.raises(TextTooShort): unit_values(trained, vocab, '')
    with pytest.raises(ValueError, match='unit must be'): show_unit(trained, vocab, 'one', 16)


def test_bad_states(model):
    with pytest.raises((ValueError, RuntimeError)): model.unroll(ids(3, 4), torch.zeros(9, 3, 16).double())
    with pytest.raises((ValueError, RuntimeError)):
        model.unroll(ids(3, 4), torch.zeros(model.config['n_layers'], 1, 16).double())


def test_bad_sample_lines():
    with pytest.raises(UnknownToken): SampleLine(vocab, 'one?')
    with pytest.raises(ValueError, match='empty'): SampleLine(vocab, '')
    with pytest.raises(ValueError, match='every'): SampleLine(vocab, 'one', every=0)
    with pytest.raises(ValueError, match='n must'): SampleLine(vocab, 'one', n=0)


def test_models_that_predict_after_the_last_token_only():
    ids = vocab.encode('one two')
    for model, shown in ((LMModel2(len(vocab), 8), 3), (LMModel3(len(vocab), 8), len(ids))):
        table = letter_table(model, vocab, 'one two')
        for i, p in enumerate(table.p): # LMModel2 has no state: it is shown the last three
            want = model(ids[None, max(0, i+1-shown):i+1]).softmax(-1)[0, ids[i+1]]
            assert p == pytest.approx(want.item(), rel=1e-5)
            if isinstance(model, LMModel3): model.reset()
