"Reading on: what a cell of chapter 14 does not show"
import math
from copy import deepcopy

import pandas as pd
import pytest
import torch
from fastcore.test import test_close as close
from torch import nn

from lmfromscratch.all import *
from lmfromscratch.engine.cli import score_command
from lmfromscratch.reading import *

vocab = Vocab([str(i) for i in range(12)])
letters = Vocab('abcdefghijkl', sep='')
makers = dict(
    LMModel3=lambda: LMModel3(12, 8), LMModel4=lambda: LMModel4(12, 8), LMModel5=lambda: LMModel5(12, 8, 2),
    LMModel6=lambda: LMModel6(12, 8, 2), LMModel7=lambda: LMModel7(12, 8, 2, 0.5),
    CharGRU=lambda: CharGRU(12, 8, 2, dropout=0.5, residual=True),
    UnrolledLM=lambda: UnrolledLM(12, 8, dropout=0.5),
    fused=lambda: UnrolledLM(12, 8, 2, carry=False, fused=True),
    CharLSTM=lambda: CharLSTM(12, 8, 2, dropout=0.5), FromZeros=lambda: FromZeros(LMModel4(12, 8)))
ways = dict(plain={}, cache=dict(cache=Cache(1., 0.3, 5)), sgd=dict(learn=LearnSGD(0.3), segment=4),
            both=dict(learn=LearnSGD(0.3, clip=None), segment=4, cache=Cache(1., 0.3, 500)))


@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)


def some_ids(n=40): return torch.randint(12, (n,))


@pytest.mark.parametrize("way", ways)
@pytest.mark.parametrize("name", makers)
def test_every_model_and_way(name, way):
    "Nothing that is scored depends on what comes after it; streams keep their order; the model stays"
    model, ids = makers[name](), some_ids()
    if hasattr(model, "forward"): model(ids[None, :5])
    before, state, mode = deepcopy(model.state_dict()), getattr(model, "h", None), model.training
    t = reading_table(model, vocab, ids, **ways[way])
    assert list(t.columns) == ["token", "nats", "guess", "right"] and len(t) == 39
    assert t.token.tolist() == vocab.decode(ids[1:]) and (t.right == (t.token == t.guess)).all()
    assert t.nats.notna().all() and (t.nats > 0).all()
    other = ids.clone()
    other[33:] = (other[33:] + 1) % 12
    close(reading_table(model, vocab, other, **ways[way]).nats[:32], t.nats[:32], eps=1e-6)
    pairs = reading_table(model, vocab, ids, streams=3, **ways[way])
    assert pairs.token.tolist() == vocab.decode(ids[1:])
    assert model.training == mode and getattr(model, "h", None) is state
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_streams_without_learning_are_independent():
    model, ids = makers["CharGRU"](), some_ids(41)
    for kw in (ways["plain"], ways["cache"]):
        t = reading_table(model, vocab, ids, streams=4, **kw)
        for i in range(4):
            alone = reading_table(model, vocab, ids[10*i:10*i+11], **kw)
            close(t.nats[10*i:10*i+10].tolist(), alone.nats.tolist(), eps=1e-5)


def test_tables_have_the_columns_of_score():
    model, ids = makers["CharLSTM"](), some_ids()
    want = score(model, letters, ids)
    for t in (dynamic_score(model, letters, ids), cache_score(model, letters, ids)):
        assert list(t.columns) == list(want.columns) and t.index[0] == want.index[0]
        close(t.loc["stateful"], want.loc["stateful"], eps=1e-4)
    assert list(dynamic_score(model, vocab, ids).columns) == [*want.columns, "accuracy"]
    assert list(dynamic_score(model, vocab, ids).index) == ["stateful", "dynamic"]
    assert list(cache_score(model, vocab, ids).index) == ["stateful", "cache"]


def test_text_tokens_and_ids_are_the_same():
    model = makers["LMModel6"]()
    a = dynamic_score(model, letters, "abcabcabc", segment=2)
    assert a.equals(dynamic_score(model, letters, list("abcabcabc"), segment=2))
    assert a.equals(dynamic_score(model, letters, letters.encode("abcabcabc"), segment=2))


def test_text_shorter_than_a_segment_and_window_longer_than_the_text():
    model = makers["LMModel7"]()
    for n in (2, 3, 31):
        t = dynamic_score(model, vocab, some_ids(n), segment=1000)
        close(t.nats["dynamic"], t.nats["stateful"], eps=1e-6)
        assert cache_score(model, vocab, some_ids(n), window=10**6).nats.notna().all()


def test_rate_that_breaks_the_model():
    model = makers["CharLSTM"]()
    before = deepcopy(model.state_dict())
    for read in (lambda **kw: dynamic_score(model, vocab, some_ids(), lr=1e38, clip=None, segment=4, **kw),
                 lambda **kw: reading_table(model, vocab, some_ids(), LearnSGD(1e38, None), segment=4, **kw)):
        for kw in ({}, dict(cache=Cache()), dict(streams=2)):
            with pytest.raises(LossNotFinite, match="rate 1e[+]38 is too high.*as it was"): read(**kw)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_broken_model_is_not_blamed_on_the_rate():
    model = makers["LMModel4"]()
    nn.init.constant_(model.h_o.weight, math.nan)
    for kw in ways.values():
        with pytest.raises(LossNotFinite, match="its weights are broken"):
            reading_table(model, vocab, some_ids(), **kw)


@pytest.mark.parametrize("kw", [dict(lr=0), dict(lr=-1), dict(lr=math.nan), dict(lr=math.inf), dict(clip=0),
                                dict(segment=0), dict(streams=0), dict(streams=40)])
def test_bad_settings(kw):
    model, name = makers["LMModel4"](), next(iter(kw))
    with pytest.raises(ValueError, match=name): dynamic_score(model, vocab, some_ids(), **kw)


@pytest.mark.parametrize("kw", [dict(theta=-1), dict(theta=math.nan), dict(theta=math.inf), dict(weight=1),
                                dict(weight=-0.1), dict(window=0)])
def test_bad_cache(kw):
    model, name = makers["LMModel4"](), next(iter(kw))
    with pytest.raises(ValueError, match=name): cache_score(model, vocab, some_ids(), **kw)


def test_bad_text():
    model = makers["LMModel4"]()
    for text, says in (([], "none to predict"), (["1"], "give 2 or more"), (["1", "x"], "'x'"),
                       (torch.tensor([1, 12]), "ids 0 to 11")):
        with pytest.raises(ValueError, match=says): dynamic_score(model, vocab, text)
    with pytest.raises(ValueError, match="has 5 tokens and the vocabulary 12"):
        dynamic_score(LMModel4(5, 8), vocab, some_ids())


def test_models_without_hidden_states():
    class Odd(LM):
        def __init__(self):
            super().__init__()
            self.out = nn.Embedding(12, 12)
        def unroll(self, x, state=None): return self.out(x), x.new_zeros(1, len(x), 1)
    class Silent(LMModel4):
        def unroll(self, x, state=None): return self.i_h(x) @ self.h_o.weight.T, x.new_zeros(1, len(x), 1)
    assert dynamic_score(Odd(), vocab, some_ids()).notna().all(axis=None) # Learning needs none
    for model, says in ((Odd(), "Odd has 0 such layers"), (Silent(12, 8), "without calling h_o")):
        with pytest.raises(TypeError, match=says): cache_score(model, vocab, some_ids())
    with pytest.raises(ValueError, match="written for 3"): dynamic_score(LMModel1(12, 8), vocab, some_ids())


def test_models_without_a_state():
    "LMModel2 is shown the last three tokens, and learns from them as well"
    model, ids = LMModel2(12, 8), some_ids()
    logits = torch.cat([model(ids[None, max(0, i-2):i+1]) for i in range(39)])
    nats = nn.functional.cross_entropy(logits, ids[1:], reduction='none').tolist()
    close(reading_table(model, vocab, ids).nats.tolist(), nats, eps=1e-5)
    close(score(model, vocab, ids).nats['stateful'], sum(nats)/39, eps=1e-5)
    table = reading_table(model, vocab, ids, **ways['both'])
    close(table.nats[:1].tolist(), nats[:1], eps=1e-5)
    assert max(abs(a-b) for a, b in zip(table.nats[8:], nats[8:])) > 1e-3


def test_frozen_weights_stay():
    model, ids = makers["LMModel6"](), some_ids()
    model.i_h.requires_grad_(False)
    assert dynamic_score(model, vocab, ids, segment=4).nats.nunique() == 2
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"): dynamic_score(model, vocab, ids)


def test_works_where_gradients_are_off():
    with torch.no_grad(): a = dynamic_score(makers["LMModel6"](), vocab, some_ids(), segment=4)
    torch.manual_seed(0)
    assert a.equals(dynamic_score(makers["LMModel6"](), vocab, some_ids(), segment=4))


def test_hook_is_gone_afterwards():
    model = makers["LMModel6"]()
    with OutputInputs(model) as inputs: model(some_ids()[None])
    assert inputs.take(40).shape == (1, 40, 8) and not model.h_o._forward_pre_hooks
    with pytest.raises(RuntimeError), OutputInputs(model): raise RuntimeError
    assert not model.h_o._forward_pre_hooks


def test_rms_pulls_back_to_the_trained_weights():
    "With the pull at its fullest, and a rate near 0, every segment is read with the trained weights"
    model, ids = makers["LMModel6"](), some_ids()
    sizes = [torch.ones_like(p) for p in model.parameters()]
    plain = reading_table(model, vocab, ids).nats
    close(reading_table(model, vocab, ids, LearnRMS(1e-9, 1., sizes), segment=4).nats, plain, eps=1e-5)
    far = reading_table(model, vocab, ids, LearnRMS(1e-2, 0., sizes), segment=4).nats
    assert (far - plain).abs().max() > 1e-3
    same = LearnRMS(0.1, 0., sizes, eps=1e-9) # Sizes of 1 change nothing
    close(reading_table(model, vocab, ids, same, segment=4).nats,
          reading_table(model, vocab, ids, LearnSGD(0.1, None), segment=4).nats, eps=1e-5)


def test_learning_twice_with_one_object_is_the_same():
    model, ids = makers["LMModel6"](), some_ids()
    rms = gradient_rms(model, vocab, ids, 4)
    for learn in (LearnSGD(0.3), LearnRMS(1e-2, 0.01), LearnRMS(1e-2, 0.01, rms)):
        a, b = [reading_table(model, vocab, ids, learn, ways["cache"]["cache"], segment=4) for _ in range(2)]
        pd.testing.assert_frame_equal(a, b)


def test_score_command_reads_the_text_once_a_row(tmp_path, monkeypatch, capsys):
    "Stateful, windows, cache, dynamic: a reading each, with the numbers that the functions give"
    model, words = load_lm(pretrained_file("model7"))
    text = " ".join(number_tokens(human_numbers()[9000:9060]))
    (tmp_path/"words.txt").write_text(text)
    seen, unroll = [], LMModel7.unroll
    def counted(self, x, state=None):
        seen.append(x.numel())
        return unroll(self, x, state)
    monkeypatch.setattr(LMModel7, "unroll", counted)
    score_command("model7", tmp_path/"words.txt", cache=True, dynamic=True)
    assert sum(seen) == 4 * (len(words.encode(text)) - 1)
    out = {o.split()[0]: float(o.split()[-4]) for o in capsys.readouterr().out.splitlines()[2:]}
    close(out["cache"], cache_score(model, words, text, 10., .5, 1000).nats["cache"], eps=1e-4)
    close(out["dynamic"], dynamic_score(model, words, text, .05, 16).nats["dynamic"], eps=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    ids = some_ids()
    for name in ("LMModel7", "CharGRU", "CharLSTM"):
        model = makers[name]()
        for kw in ways.values():
            there = reading_table(model.cuda(), vocab, ids, **kw).nats
            close(there, reading_table(model.cpu(), vocab, ids, **kw).nats, eps=1e-3)
