"A view beside a model: whatever writes from it or scores it, in any thread, its training does not notice"
import gc
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from weakref import ref

import pytest
import torch
from torch import nn

from lmfromscratch.all import *
from lmfromscratch.engine.layers import by_cells, eval_view, in_threads
from lmfromscratch.reading import LearnSGD, reading_table

vocab = Vocab(list('abcdef'), sep='')
text = vocab.text(torch.randint(6, (60,), generator=torch.Generator().manual_seed(0)))
makers = dict(LMModel7=lambda: LMModel7(6, 16, 2, 0.4), CharLSTM=lambda: CharLSTM(6, 16, 2, dropout=0.3),
              CharGRU=lambda: CharGRU(6, 16, 2, dropout=0.3), AWDLSTM=lambda: AWDLSTM(6, 16, 24))


def make(name):
    torch.manual_seed(0)
    return makers[name]().train()


def modes(model): return [m.training for m in model.modules()]


@pytest.fixture
def often():
    "Threads take turns as often as they can"
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_eight_threads_write_from_one_model(often):
    model, write = make('CharLSTM'), lambda seed: generate(model, vocab, 'abc', n=40, seed=seed)
    with ThreadPoolExecutor(8) as pool: texts = list(pool.map(write, range(8)))
    assert texts == [write(i) for i in range(8)] and all(modes(model))
    assert not any('forward' in vars(m) for m in model.modules())
    pickle.dumps(model)
    twin = deepcopy(model).eval()
    with torch.no_grad():
        for p in twin.parameters(): p.zero_()
        assert not twin(torch.tensor([[0, 1, 2]])).any()


@contextmanager
def in_a_loop(f):
    "Another thread calls `f` as long as the context lasts, and at least once"
    end = threading.Event()
    def loop():
        while True:
            f()
            if end.is_set(): return
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(loop)
        try: yield
        finally: end.set()
    done.result() # Or its error


def trained(model, steps=25):
    "The weights after some steps with dropout"
    opt, x = torch.optim.SGD(model.parameters(), lr=0.5), vocab.encode(text).view(4, 15)
    torch.manual_seed(1)
    for _ in range(steps):
        opt.zero_grad()
        lm_loss(model(x[:, :-1]), x[:, 1:]).backward()
        opt.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize('name', makers)
def test_a_training_beside_a_thread_that_writes_and_scores(name, often):
    alone, model = trained(make(name)), make(name)
    def look():
        generate(model, vocab, 'abc', n=5, seed=0)
        score(model, vocab, text[:20])
        next_token_table(model, vocab, 'abc')
    with in_a_loop(look): together = trained(model)
    assert all(map(torch.equal, alone, together)) and all(modes(model))


def test_layers_that_share_rows_are_seen_by_nobody_else():
    "A training in threads, and other threads that write, score and learn from what they read"
    model = make('LMModel7')
    ways = (lambda: generate(model, vocab, 'abc', n=9, seed=0),
            lambda: score(model, vocab, text).nats.tolist(),
            lambda: reading_table(model, vocab, text, LearnSGD(0.5), segment=9).nats.tolist())
    want = [f() for f in ways]
    with in_threads(model, 2), ThreadPoolExecutor(1) as pool:
        lent = model.rnn.forward
        assert [pool.submit(f).result() for f in ways] == [f() for f in ways] == want
        assert model.rnn.forward is lent and 'forward' not in vars(eval_view(model).rnn)
    assert 'forward' not in vars(model.rnn)


def test_modes_stay_while_it_computes():
    "A model in training, one layer of which is frozen by hand"
    model, seen = make('LMModel7'), []
    model.rnn.eval()
    before = modes(model)
    model.h_o.register_forward_hook(lambda m, args, out: seen.append((modes(model), m.training)))
    generate(model, vocab, 'abc', n=3)
    score(model, vocab, text[:9])
    next_token_table(model, vocab, 'a')
    assert len(seen) == 6 and all(o == (before, False) for o in seen) and modes(model) == before


def test_a_state_of_its_own_is_kept_by_a_model_of_fastai():
    from fastai.text.models import AWD_LSTM
    from fastai.text.models.awdlstm import awd_lstm_lm_config
    from fastai.text.models.core import get_language_model
    config = awd_lstm_lm_config | dict(emb_sz=8, n_hid=8, n_layers=2)
    def outputs(between):
        torch.manual_seed(0)
        model, x = get_language_model(AWD_LSTM, 6, config).train(), torch.tensor([[0, 1, 2]])
        model(x)
        between(model)
        return model(x)[0]
    write = lambda model: generate(model, vocab, 'abc', n=3)
    assert torch.equal(outputs(write), outputs(lambda model: None))


# --- what a view is made of

def test_a_view_shares_weights_and_nothing_else():
    model = make('LMModel7')
    model(torch.zeros(2, 3, dtype=torch.long))
    view = eval_view(model)
    assert type(view) is LMModel7 and not any(modes(view)) and view.h is None is not model.h
    assert not set(view.modules()) & set(model.modules())
    for (a, p), (b, q) in zip(view.named_parameters(), model.named_parameters(), strict=True):
        assert a == b and p is q
    view.h_o.weight = nn.Parameter(torch.zeros(6, 16))
    view.extra = view.rnn.weight_hh_l0 = nn.Parameter(torch.zeros(64, 16))
    assert model.h_o.weight is model.i_h.weight and 'extra' not in dict(model.named_parameters())
    assert model.rnn._flat_weights[1] is model.rnn.weight_hh_l0 is not view.extra
    again = eval_view(by_cells(model))
    assert 'forward' not in vars(again.rnn) and again.rnn.weight_hh_l0 is model.rnn.weight_hh_l0


class Odd(nn.Module):
    "Refers to its layers in all sorts of ways, uses one of them twice, and keeps notes"
    def __init__(self):
        super().__init__()
        self.emb, self.drop, self.out = nn.Embedding(6, 8), nn.Dropout(0.9), nn.Linear(8, 6)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.again, self.parts, self.read = self.drop, [self.drop, {'out': (self.out,)}], self.look_up
        self.notes = []
    def look_up(self, x):
        self.notes.append(x.shape)
        return self.again(self.drop(self.emb(x)))
    def forward(self, x):
        x, h = self.rnn(self.read(x))
        x, _ = self.rnn(self.parts[0](x[:, -1:]), hx=h)
        return self.parts[1]['out'][0](x)


def dressed(name):
    "A model with something on it that a plain copy would stumble over, in training mode"
    torch.manual_seed(0)
    model = Odd() if name == 'odd' else LMModel7(6, 8, 2, 0.9)
    if name == 'parametrized': nn.utils.parametrizations.weight_norm(model.rnn, 'weight_hh_l0')
    if name == 'scripted': model.drop = torch.jit.script(nn.Dropout(0.9))
    if name == 'compiled': model.drop = torch.compile(model.drop, backend='eager')
    if name == 'compiled in place': model.drop.compile(backend='eager')
    return model.train()


@pytest.mark.filterwarnings('ignore:.*torch.jit')
@pytest.mark.parametrize('name', ['odd', 'parametrized', 'scripted', 'compiled', 'compiled in place'])
def test_a_view_of_whatever_a_model_has_on_it(name):
    "It computes what the model does in evaluation mode, without dropout; the model itself stays as it was"
    model, x = dressed(name), torch.tensor([[0, 1, 2]])
    with torch.no_grad(): got = logits_of(by_cells(model)(x))
    assert all(modes(model)) and not getattr(model, 'notes', [])
    text = generate(model, vocab, 'abc', n=12, seed=0)
    assert all(modes(model))
    with torch.no_grad(): assert torch.allclose(got, logits_of(model.eval()(x)), atol=1e-6)
    assert generate(model, vocab, 'abc', n=12, seed=0) == text


def test_a_view_is_gone_when_it_is_let_go():
    "Without waiting for the garbage collector: it would keep the weights of a model that is gone, too"
    model = make('LMModel7')
    gc.disable()
    try:
        generate(model, vocab, 'abc', n=2)
        weight = ref(model.rnn.weight_hh_l0)
        del model
        assert weight() is None
    finally: gc.enable()
