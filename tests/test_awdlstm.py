"The AWD-LSTM in the rest of the course, and its two callbacks in other learners"
import warnings
from copy import deepcopy

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Learner
from fastai.optimizer import SGD, Adam
from fastai.torch_core import set_seed
from torch import nn

from lmfromscratch.all import *
from lmfromscratch.awdlstm import *

text = 'the quick brown fox jumps over the lazy dog. ' * 60
small = dict(n_emb=8, n_hidden=12, n_layers=3)


def a_model(n=30, **kwargs):
    set_seed(0)
    return AWDLSTM(n, **(small | kwargs))


@pytest.mark.parametrize('n_layers', [1, 2, 3])
@pytest.mark.parametrize('n_hidden', [4, 8, 12])
def test_any_sizes_any_batch(n_layers, n_hidden):
    model = a_model(n_layers=n_layers, n_hidden=n_hidden)
    for bs, sl in ((64, 16), (7, 1), (64, 40)):
        out = model(torch.randint(30, (bs, sl)))
        assert out[0].shape == (bs, sl, 30) and out[1].shape == (bs, sl, 8)
        assert model.h[0].shape == (n_layers, bs, max([8] + [n_hidden]*(n_layers > 1)))
    model.double()(torch.randint(30, (64, 3)))
    assert model.h[0].dtype == torch.double


def test_untied_has_a_matrix_of_its_own():
    tied, untied = a_model(), a_model(tied=False)
    assert n_params(untied) - n_params(tied) == 30*8
    assert untied.h_o.weight is not untied.i_h.weight


@pytest.mark.parametrize('rnn', [torch.nn.GRU, torch.nn.RNN, torch.nn.LSTM])
def test_weight_dropout_of_any_rnn_of_several_layers(rnn):
    m = WeightDropout(rnn(6, 6, 2, batch_first=True), 0.5)
    x, names = torch.randn(3, 5, 6), [k for k, _ in m.named_parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        m(x)[0].sum().backward()
        deepcopy(m)(x)
    zeros = {k: (p.grad == 0).float().mean().item() for k, p in m.rnn.named_parameters()}
    assert zeros['weight_hh_l0'] > 0.3 and zeros['weight_hh_l1'] > 0.3 and zeros['weight_ih_l1'] < 0.2
    assert [k for k, _ in m.named_parameters()] == names
    with torch.no_grad(): assert torch.equal(m.eval()(x)[0], m.rnn(x)[0])


def test_weight_dropout_after_an_error_inside():
    m = WeightDropout(torch.nn.LSTM(6, 6, batch_first=True), 0.5)
    with pytest.raises(RuntimeError): m(torch.randn(3, 5, 7))
    assert torch.equal(m.eval()(torch.ones(1, 2, 6))[0], m.rnn(torch.ones(1, 2, 6))[0])


def test_a_run_of_chapter_12(tmp_path):
    recipe = TextRecipe('AWDLSTM', small, bs=4, sl=16)
    run = new_run(text, tmp_path/'a', recipe, steps=6, threads=2)
    run.train(progress=False)
    again = open_run(tmp_path/'a', text)
    for a, b in zip(run.model.parameters(), again.model.parameters()): assert torch.equal(a, b)
    run.finish()
    model, vocab = load_run(tmp_path/'a')
    assert len(generate(model, vocab, 'the ', 9)) == 9


def test_export_is_the_same_model(tmp_path):
    pytest.importorskip('onnxruntime')
    vocab = Vocab.from_tokens(text, order='sorted')
    check_graph(trace_onnx(a_model(len(vocab)).eval()), a_model(len(vocab)).eval())


def numbers(): return lm_dls(number_tokens(human_numbers()[:1200]), bs=32, sl=8, device='cpu')


class Stop(Callback):
    order = 60
    def after_step(self):
        if self.epoch == 3: raise CancelFitException


@pytest.mark.parametrize('opt', [AdamW, SGD, Adam])
def test_callbacks_with_any_optimiser(opt):
    learn = lm_learner(numbers(), a_model(), opt_func=opt, cbs=[VariableBPTT(std=2., least=2), NTASGD(1)])
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 1e-2)
        learn.fit_one_cycle(2, 1e-2)
        learn.fit_one_cycle(2, slice(1e-3, 1e-2))
    assert all(p.isfinite().all() for p in learn.model.parameters())


def test_stock_learner():
    learn = Learner(numbers(), a_model(), loss_func=lm_loss, cbs=[VariableBPTT(), NTASGD(1), ModelResetter()])
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 1e-2)


def test_average_after_a_fit_that_was_ended():
    class Early(NTASGD):
        def after_epoch(self):
            if self.epoch == 0: self.begin()
    learn = lm_learner(numbers(), a_model(), cbs=[Early(1), Stop()])
    with learn.no_bar(), learn.no_logging(): learn.fit(6, 1e-2)
    mean = learn.early.mean
    for p, m in zip(learn.model.parameters(), mean): assert torch.equal(p, m)
    before = [p.clone() for p in learn.model.parameters()]
    with learn.no_bar(): learn.validate()
    for p, b in zip(learn.model.parameters(), before): assert torch.equal(p, b)


def test_without_validation_nothing_is_averaged():
    learn = lm_learner(numbers(), a_model(), cbs=NTASGD(1))
    learn._do_epoch_validate = lambda *_: None
    with learn.no_bar(), learn.no_logging(): learn.fit(4, 1e-2)
    assert learn.ntasgd.start is None


def test_a_dropped_layer_keeps_no_masked_weight():
    "PyTorch lists the weights that an RNN used last: a copy would take the masked ones along"
    layer = WeightDropout(nn.LSTM(4, 4, batch_first=True), 0.5)
    layer(torch.randn(2, 3, 4))
    assert all(a is b for a, b in zip(layer.rnn._flat_weights, layer.rnn.parameters()))
    twin = deepcopy(layer).eval()
    x = torch.randn(2, 3, 4)
    assert torch.equal(twin(x)[0], layer.eval()(x)[0])


def fitted(epochs, *cbs):
    set_seed(0)
    learn = lm_learner(numbers(), a_model(), cbs=cbs)
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        learn.fit(epochs, 1e-2)
    return learn, [str(o.message) for o in said if 'NTASGD' in str(o.message)]


def test_the_trigger_looks_at_the_validation_loss():
    "Not at the accuracy, which stands beside it in the recorder and rises where the loss falls"
    learn, _ = fitted(4, NTASGD(1))
    assert learn.ntasgd.losses == history(learn).valid_loss.tolist()


@pytest.mark.parametrize('n, epochs', [(5, 1), (5, 7), (1, 3)])
def test_averaging_that_can_never_begin_is_said(n, epochs):
    learn, said = fitted(epochs, NTASGD(n))
    assert learn.ntasgd.start is None
    [message] = said
    assert f'in epoch {n+3} of a fit at the earliest, and this one ends after {epochs}' in message


def test_averaging_that_can_begin_is_silent():
    class Worse(NTASGD):
        def after_epoch(self):
            self.losses.append(len(self.losses)) # Each loss is worse than the one before
            if self.start is None and is_stuck(self.losses, self.n): self.begin()
    learn, said = fitted(4, Worse(1))
    assert said == [] and learn.worse.start == 3 and learn.worse.mean


def test_lr_find_needs_no_averaging():
    learn = lm_learner(numbers(), a_model(), cbs=NTASGD())
    with warnings.catch_warnings(record=True) as said, learn.no_bar(), learn.no_logging():
        warnings.simplefilter('always')
        learn.lr_find(num_it=5, show_plot=False)
    assert not [o for o in said if 'NTASGD' in str(o.message)]
