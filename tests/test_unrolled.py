"The unrolled LSTM of chapter 11: bad input, the state protocol, equality in float64, broken checkpoints"
import json
import math
import os
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from fastai.torch_core import set_seed
from torch import nn

from lmfromscratch.data import StreamLoader, UnknownToken, Vocab, human_numbers, lm_dls
from lmfromscratch.engine.loaders import TextTooShort
from lmfromscratch.generate import generate
from lmfromscratch.state import keep_state
from lmfromscratch.engine.callbacks import SaveEachEpoch, TokensPerSecond, best_epoch, saved_epochs
from lmfromscratch.engine.graphs import autograd_graph, draw_graph, graph_dot
from lmfromscratch.engine.models import ModelFileError, load_lm, save_lm
from lmfromscratch.engine.scoring import Perplexity, evaluate
from lmfromscratch.engine.learner import history, lm_learner
from lmfromscratch.unrolled import *

text = '\n'.join(human_numbers()[:300])
vocab = Vocab.from_tokens(text, order='sorted')


@pytest.fixture(params=[False, True], ids=['loop', 'fused'])
def model(request):
    set_seed(0)
    return UnrolledLM(30, 16, n_layers=2, fused=request.param).double().eval()


def ids(bs, sl): return torch.randint(30, (bs, sl))


def learner(*cbs, metrics=None, **kwargs):
    set_seed(0)
    dls = lm_dls(text, bs=8, sl=16, valid=0.2, vocab=vocab, device='cpu')
    learn = lm_learner(dls, UnrolledLM(len(vocab), 16, fused=True, **kwargs), cbs=cbs, metrics=metrics)
    return learn


def fit(learn, epochs=1):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(epochs, 1e-2)
    return learn


def close(a, b, eps=1e-10): assert torch.allclose(a, b, rtol=0, atol=eps)


# --- equality

@pytest.mark.parametrize('n_layers', [1, 2, 4])
@pytest.mark.parametrize('sl', [1, 40])
def test_outputs_states_and_gradients_are_those_of_nn_lstm(n_layers, sl):
    set_seed(n_layers)
    rnn = nn.LSTM(5, 8, n_layers, batch_first=True).double()
    x = torch.randn(3, sl, 5).double().requires_grad_()
    h, c = torch.randn(2, n_layers, 3, 8).double()
    states = [LSTMState(*o) for o in zip(c, h)]
    outs, last = unroll_lstm(x.unbind(1), lstm_params(rnn), states, state_out=True)
    ours = torch.stack(outs, 1), torch.stack([o.h for o in last]), torch.stack([o.c for o in last])
    out, state = rnn(x, (h, c))
    theirs = out, *state
    weights = [torch.randn_like(o) for o in theirs]
    def grads(outs):
        loss = sum((w*o).sum() for w, o in zip(weights, outs))
        return torch.autograd.grad(loss, [x, *rnn.parameters()])
    for a, b in zip((*ours, *grads(ours)), (*theirs, *grads(theirs))): close(a, b)


def test_zero_state_and_carried_state_are_those_of_nn_lstm():
    rnn = nn.LSTM(5, 8, 2).double() # Time first
    x = torch.randn(20, 3, 5).double()
    close(torch.stack(unroll_lstm(x, lstm_params(rnn))), rnn(x)[0])
    first, state = unroll_lstm(x[:11], lstm_params(rnn), state_out=True)
    close(torch.stack(first + unroll_lstm(x[11:], lstm_params(rnn), state)), rnn(x)[0])


def test_states_given_are_not_changed():
    params = lstm_params(nn.LSTM(5, 8, 2))
    states = zero_states(3, params)
    unroll_lstm(torch.randn(4, 3, 5), params, states)
    assert all((o == 0).all() for s in states for o in s)


def test_dropout_of_the_model_is_off_in_evaluation_only(model):
    noisy = UnrolledLM(30, 16, n_layers=2, dropout=0.5, fused=model.fused).double()
    noisy.load_state_dict(model.state_dict())
    x = ids(4, 9)
    close(noisy.eval().unroll(x)[0], model.unroll(x)[0])
    assert not torch.allclose(noisy.train().unroll(x)[0], noisy.unroll(x)[0])


def test_lstm_params_refuses_what_it_does_not_know():
    for kwargs in (dict(bidirectional=True), dict(bias=False), dict(proj_size=3)):
        with pytest.raises(TypeError, match='one direction'): lstm_params(nn.LSTM(5, 8, **kwargs))


# --- the state protocol

def test_any_batch_size(model):
    for bs in (64, 7, 64):
        out = model(ids(bs, 5))
        assert out.shape == (bs, 5, 30) and model.h[0].shape == (2, bs, 16)


@pytest.mark.parametrize('sl', [1, 300])
def test_any_length(model, sl):
    x = ids(3, sl)
    out, state = model.unroll(x)
    assert out.shape == (3, sl, 30) and torch.isfinite(out).all()
    close(model(x), out)


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


def test_without_carry_each_batch_starts_from_zeros(model):
    model.carry = False
    x = ids(4, 6)
    first = model(x)
    close(model(x), first)


def test_deepcopy_has_a_life_of_its_own(model):
    model(ids(4, 6))
    twin, x, before = deepcopy(model), ids(4, 6), model.h[0].clone()
    close(twin(x), model.unroll(x, model.h)[0])
    close(model.h[0], before)
    with torch.no_grad(): twin.h_o.bias += 1
    assert not torch.allclose(twin.h_o.bias, model.h_o.bias)


def test_state_follows_the_dtype(model):
    model(ids(4, 6))
    model.float()
    assert model.h[0].dtype == torch.float32 and model(ids(4, 6)).dtype == torch.float32
    assert model.unroll(ids(2, 3))[1][0].dtype == torch.float32


def test_state_is_not_saved_and_not_disturbed(model):
    model(ids(4, 6))
    assert {k.split('.')[0] for k in model.state_dict()} == {'i_h', 'rnn', 'h_o'}
    before = model.h
    with keep_state(model): model(ids(2, 3))
    evaluate(model, StreamLoader(torch.arange(29).repeat(3), 2, 8))
    generate(model, Vocab([chr(97+i) for i in range(30)], ''), 'abc', n=5)
    assert model.h is before


def test_no_gradient_flows_into_the_last_batch(model):
    model.train()
    for _ in range(2): model(ids(4, 6)).sum().backward()


# --- bad input

@pytest.mark.parametrize('p', [-0.1, 1, 1.5, math.nan])
def test_dropout_must_be_a_share(p):
    with pytest.raises(ValueError, match=r'\[0, 1\)'): UnrolledLM(30, 16, dropout=p)
    with pytest.raises(ValueError, match=r'\[0, 1\)'):
        unroll_lstm(torch.randn(2, 3, 5), lstm_params(nn.LSTM(5, 8)), dropout=p)


@pytest.mark.parametrize('name', ['vocab_sz', 'n_hidden', 'n_layers', 'n_emb'])
def test_sizes_must_be_positive(name):
    sizes = dict(vocab_sz=5, n_hidden=4, n_layers=1) | {name: 0}
    with pytest.raises(ValueError, match=name): UnrolledLM(**sizes)


def test_text_must_fill_a_window():
    with pytest.raises(ValueError, match='no'): lm_dls('')
    with pytest.raises(TextTooShort): lm_dls('short', bs=1, sl=32)
    with pytest.raises(TextTooShort): KneserNey([], 1, 3)
    with pytest.raises(ValueError, match='n must be'): KneserNey([0, 1], 0, 3)
    with pytest.raises(ValueError, match='n must be'): KneserNey([0, 1], 40, 65)
    with pytest.raises(ValueError, match='at least one step'): unroll_lstm([], lstm_params(nn.LSTM(5, 8)))


def test_wrong_states_are_said():
    params = lstm_params(nn.LSTM(5, 8, 2))
    with pytest.raises(ValueError, match='2 layers'):
        unroll_lstm(torch.randn(4, 3, 5), params, zero_states(3, params)[:1])
    with pytest.raises(ValueError, match=r'should be \(3, 8\)'):
        unroll_lstm(torch.randn(4, 3, 5), params, zero_states(1, params))


# --- training

def test_loop_and_fused_train_alike():
    runs = [fit(learner(n_layers=2)), fit(learner(n_layers=2))]
    set_seed(0)
    loop = learner(n_layers=2)
    loop.model.fused = False
    fit(loop)
    for a, b, c in zip(*(o.model.parameters() for o in (*runs, loop))):
        assert torch.equal(a, b)
        close(a, c, 1e-3)


def test_loop_trains_with_dropout_and_from_zeros():
    learn = learner(n_layers=2, dropout=0.5, carry=False)
    learn.model.fused = False
    before = evaluate(learn.model, learn.dls.valid)['loss']
    assert evaluate(fit(learn, 2).model, learn.dls.valid)['loss'] < before


# --- metrics and speed

def test_metrics_agree_with_evaluate():
    speed = TokensPerSecond()
    learn = fit(learner(speed, metrics=[NLL(), BitsPerCharacter(), Perplexity()]), 2)
    row, scores = history(learn).iloc[-1], evaluate(learn.model, learn.dls.valid)
    assert row.nll == pytest.approx(scores['loss'], rel=1e-5)
    assert row.bpc == pytest.approx(scores['loss']/math.log(2), rel=1e-5)
    assert row.perplexity == pytest.approx(scores['perplexity'], rel=1e-5)
    assert len(speed.rates) == 2 and min(speed.rates) > 0


def test_speed_is_shown_beside_the_bar():
    speed, comments = TokensPerSecond(), []
    learn = learner(speed)
    def watch(): comments.append(learn.progress.pbar.comment)
    speed.after_step = watch # What the batch before left there
    with learn.no_logging(): learn.fit_one_cycle(1, 1e-2)
    assert any(o.endswith(' tokens/s') for o in comments if o)


# --- checkpoints

def test_each_epoch_is_saved_under_its_loss(tmp_path, capsys):
    learn = fit(learner(SaveEachEpoch(tmp_path)), 3)
    losses, saved = list(history(learn).valid_loss), saved_epochs(tmp_path)
    assert [o.epoch for o in saved] == [1, 2, 3]
    assert [o.loss for o in saved] == [round(o, 4) for o in losses]
    assert best_epoch(tmp_path).loss == round(min(losses), 4)
    assert f"Best: epoch {best_epoch(tmp_path).epoch}, {min(losses):.4f} nats" in capsys.readouterr().out
    model, _ = load_lm(saved[-1].file)
    for a, b in zip(model.parameters(), learn.model.parameters()): assert torch.equal(a, b)
    training = json.loads((tmp_path/f'{saved[-1].file.name}.json').read_text())['training']
    assert training == dict(epoch=3, valid_loss=losses[-1])


def test_a_second_fit_counts_on(tmp_path):
    learn = learner(SaveEachEpoch(tmp_path))
    fit(fit(learn), 2)
    assert [o.epoch for o in saved_epochs(tmp_path)] == [1, 2, 3]


def test_only_the_best_and_the_last_are_kept(tmp_path):
    learn = learner(SaveEachEpoch(tmp_path, keep=1))
    fit(learn, 3)
    best = learn.save_each_epoch.best
    for p in learn.model.parameters(): p.data.mul_(3) # Worse from here
    learn.opt.set_hyper('lr', 1e-9)
    with learn.no_bar(), learn.no_logging(): learn.fit(2, 1e-9)
    assert [o.epoch for o in saved_epochs(tmp_path)] == [best.epoch, 5]
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(ValueError, match='keep'): SaveEachEpoch(tmp_path, keep=0)


def test_saving_does_not_change_training(tmp_path):
    plain, saving = fit(learner(), 2), fit(learner(SaveEachEpoch(tmp_path)), 2)
    for a, b in zip(plain.model.parameters(), saving.model.parameters()): assert torch.equal(a, b)


def test_config_and_switches_survive(tmp_path):
    model = UnrolledLM(len(vocab), 16, n_layers=2, dropout=0.3, carry=False, fused=True)
    model.carry = True
    save_lm(model, vocab, tmp_path/'m')
    again, _ = load_lm(tmp_path/'m')
    assert again.config == model.config and again.carry and not again.training


@pytest.mark.parametrize('n_emb', [3, 40])
def test_the_embedding_has_a_width_of_its_own(n_emb, tmp_path):
    set_seed(0)
    model = UnrolledLM(len(vocab), 16, n_layers=2, n_emb=n_emb).eval()
    x = torch.randint(len(vocab), (3, 7))
    loop = model.unroll(x)[0]
    model.fused = True
    close(model.unroll(x)[0], loop, 1e-5)
    assert model.i_h.weight.shape == (len(vocab), n_emb)
    save_lm(model, vocab, tmp_path/'m')
    again, _ = load_lm(tmp_path/'m')
    assert torch.equal(again.unroll(x)[0], model.unroll(x)[0]) and again.config == model.config


def test_a_model_saved_before_the_embedding_had_a_width_loads(tmp_path):
    model = UnrolledLM(len(vocab), 16)
    save_lm(model, vocab, tmp_path/'m')
    about = json.loads((tmp_path/'m.json').read_text(encoding='utf-8'))
    assert about['config'].pop('n_emb') == 16
    (tmp_path/'m.json').write_text(json.dumps(about), encoding='utf-8')
    assert load_lm(tmp_path/'m')[0].config == model.config


def test_half_written_checkpoints_are_ignored(tmp_path):
    fit(learner(SaveEachEpoch(tmp_path)), 1)
    [good] = saved_epochs(tmp_path)
    weights, about = [(tmp_path/f'{good.file.name}.{o}').read_bytes() for o in ('safetensors', 'json')]
    def put(name, *parts):
        for end, data in zip(('safetensors', 'json'), parts):
            if data is not None: (tmp_path/f'{name}.{end}').write_bytes(data)
    put('epoch002_loss0.1000', weights[:500], about)  # Cut
    put('epoch003_loss0.1000', b'', about)            # Empty
    put('epoch004_loss0.1000', weights)               # No description
    put('epoch005_loss0.1000', None, about)           # No weights
    put('epoch006_loss0.1000', weights, about[:100])  # Half a description
    (tmp_path/'epoch007_loss0.1000.safetensors.part').write_bytes(weights)
    (tmp_path/'notes.safetensors').write_bytes(weights)
    assert saved_epochs(tmp_path) == [good] and best_epoch(tmp_path) == good
    put('epoch008_loss0.1000', weights, about)
    assert best_epoch(tmp_path).epoch == 8


def test_no_checkpoint_at_all(tmp_path):
    assert saved_epochs(tmp_path) == saved_epochs(tmp_path/'missing') == []
    with pytest.raises(ModelFileError, match='no whole checkpoint'): best_epoch(tmp_path)


def test_unwritable_folder_is_said_before_training(tmp_path):
    (tmp_path/'file').write_text('')
    learn = learner(SaveEachEpoch(tmp_path/'file'/'runs'))
    before = [p.clone() for p in learn.model.parameters()]
    with pytest.raises(ValueError, match="Can't write to the folder"): fit(learn)
    for a, b in zip(before, learn.model.parameters()): assert torch.equal(a, b)


@pytest.mark.skipif(os.name != 'posix', reason="needs a signal")
def test_killed_while_saving(tmp_path):
    "The process dies after the weights are in place, before the description is: the epoch before counts"
    code = f"""
import os, signal

from lmfromscratch.all import *
from lmfromscratch.unrolled import *
text = '\\n'.join(human_numbers()[:100])
dls = lm_dls(text, bs=8, sl=16, device='cpu')
replace, calls = os.replace, []
def dying(a, b):
    calls.append(b)
    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
os.replace = dying
learn = lm_learner(dls, UnrolledLM(len(dls.vocab), 8, fused=True), cbs=SaveEachEpoch({str(tmp_path)!r}))
with learn.no_bar(), learn.no_logging(): learn.fit(3, 1e-3)
"""
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert r.returncode == -9, r.stderr[-2000:]
    assert [o.epoch for o in saved_epochs(tmp_path)] == [1]


# --- many sentences at once

def test_each_text_starts_with_its_letter_and_is_what_it_would_be_alone():
    model = fit(learner(), 2).model
    texts = sample_each(model, vocab, 'otf', n=20, temperature=0)
    assert texts == [c + generate(model, vocab, c, n=20, temperature=0) for c in 'otf']
    assert sample_each(model, vocab, 'oo', n=30, seed=1) == sample_each(model, vocab, 'oo', n=30, seed=1)
    assert len(set(sample_each(model, vocab, 'o'*8, n=30, seed=1))) > 1


def test_bad_starts():
    model = UnrolledLM(len(vocab), 8)
    with pytest.raises(ValueError, match='no token'): sample_each(model, vocab, '')
    with pytest.raises(UnknownToken): sample_each(model, vocab, 'o?')
    with pytest.raises(ValueError, match='must be 0 or more'): sample_each(model, vocab, 'o', n=-1)


# --- the graph

@pytest.mark.parametrize('n_layers', [1, 2])
def test_graph_has_the_nodes_of_the_code(n_layers):
    params, states, ends = lstm_params(nn.LSTM(3, 4, n_layers)), None, []
    for x in torch.randn(4, 2, 3):
        [out], states = unroll_lstm([x], params, states, state_out=True)
        ends.append(out)
    nodes = autograd_graph(ends)
    names = [o.name for o in nodes]
    assert len(nodes) == 4*13*n_layers + 4*n_layers and len(set(names)) == len(names)
    seen = set()
    for o in nodes: # Inputs come first
        assert set(o.inputs) <= seen
        seen.add(o.name)
    dot = graph_dot(nodes)
    assert dot.count('{') == dot.count('}') == 5
    assert dot.count(' -> ') == sum(len(o.inputs) for o in nodes)
    draw_graph(nodes).figure.canvas.draw()


def test_graph_needs_a_gradient():
    with pytest.raises(ValueError, match='noted nothing'): autograd_graph([torch.zeros(3)])


# --- counting

@pytest.mark.parametrize('n', [1, 2, 5])
def test_probabilities_add_up_to_one(n):
    train = torch.randint(4, (200,)).numpy()
    model = KneserNey(train, n, 6) # Two tokens that never occur
    for context in torch.randint(6, (20, n-1)).tolist():
        assert sum(model.probs([*context, w])[0] for w in range(6)) == pytest.approx(1)


def test_bigram_by_hand():
    "Text abab: D = 1/3 for pairs; the shorter model is uniform"
    assert KneserNey([0, 1, 0, 1], 2, 2).probs([0, 1])[0] == pytest.approx(11/12)


def test_counting_beats_guessing_and_knows_its_text():
    ids = vocab.encode(text)
    cut = len(ids) * 3 // 4
    losses = [KneserNey(ids[:cut], n, len(vocab)).loss(ids[cut:]) for n in (1, 2, 5)]
    assert losses == sorted(losses, reverse=True) and losses[0] < math.log(len(vocab))


def test_loss_is_cross_entropy_over_all_tokens():
    learn = learner()
    x, y = learn.dls.valid.one_batch()
    out = learn.model.eval().unroll(x)[0]
    loss = F.cross_entropy(out.flatten(0, 1), y.flatten()).item()
    assert evaluate(learn.model, [(x, y)])['loss'] == pytest.approx(loss)
