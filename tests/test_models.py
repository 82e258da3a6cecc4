"The models of the ladder in learners: ours, fastai's, and the cells of the older course"
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.rnn import ModelResetter as FastaiResetter
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.text.learner import TextLearner
from fastai.torch_core import set_seed
from fastcore.foundation import L
from torch import tensor
from torch.utils.data import DataLoader as TorchLoader

from lmfromscratch.all import *

vocab_sz = 30
stateful = [LMModel3, LMModel4, LMModel5, LMModel6, LMModel7]


def ids(bs, sl, seed=0):
    return torch.randint(0, vocab_sz, (bs, sl), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=stateful, ids=lambda c: c.__name__)
def cls(request): return request.param


class Interrupt(Callback):
    "Does something in the middle of each training epoch"
    run_valid = False
    def __init__(self, f): self.f = f
    def after_batch(self):
        if self.iter == 2: self.f(self.learn)


def losses(cls, f=lambda learn: None):
    set_seed(0)
    dls = lm_dls(number_tokens(human_numbers()[:1500]), bs=16, sl=8, last=cls is LMModel3, device='cpu')
    learn = lm_learner(dls, cls(*make_args(cls, len(dls.vocab))), cbs=Interrupt(f))
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    return [float(o) for o in learn.recorder.losses]


def make_args(cls, n): return (n, 16) + {LMModel5: (2,), LMModel6: (2,), LMModel7: (2, 0.4)}.get(cls, ())


def test_evaluating_in_the_middle_of_an_epoch_changes_nothing(cls):
    assert losses(cls, lambda learn: evaluate(learn.model, learn.dls.valid)) == losses(cls)


@pytest.mark.parametrize('cls_', [LMModel1, LMModel2, *stateful], ids=lambda c: c.__name__)
def test_every_model_fits_and_writes(cls_):
    short = cls_ in (LMModel1, LMModel2, LMModel3)
    tokens = number_tokens(human_numbers()[:800])
    streams = cls_ not in (LMModel1, LMModel2)
    dls = lm_dls(tokens, bs=8, sl=3 if short else 8, last=short, streams=streams, device='cpu')
    learn = lm_learner(dls, cls_(*make_args(cls_, len(dls.vocab))))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-3)
    assert len(generate(learn.model, dls.vocab, 'one . two', n=6, seed=0).split()) == 6
    assert evaluate(learn.model, dls.valid)['loss'] == pytest.approx(float(learn.validate()[0]), rel=1e-4)


# --- The older chapter's own cells, with our models imported

@pytest.fixture(scope='module')
def older():
    "Its data: lists of tensor pairs, `group_chunks`, `DataLoaders.from_dsets`"
    from fastai.data.core import DataLoaders
    tokens = number_tokens(human_numbers()[:1200])
    vocab = L(*tokens).unique()
    nums = L(vocab.index(t) for t in tokens)
    bs, sl = 8, 16
    seqs = L((tensor(nums[i:i+sl]), tensor(nums[i+1:i+sl+1])) for i in range(0, len(nums)-sl-1, sl))
    cut = int(len(seqs) * 0.8)
    parts = group_chunks(seqs[:cut], bs), group_chunks(seqs[cut:], bs)
    dls = DataLoaders.from_dsets(*parts, bs=bs, drop_last=True, shuffle=False, device='cpu')
    return dls, vocab


def loss_func(inp, targ): return torch.nn.functional.cross_entropy(inp.view(-1, inp.shape[-1]), targ.view(-1))


def fits(learn):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 3e-3)
    assert float(learn.recorder.values[-1][1]) < 4


@pytest.mark.parametrize('resetter', [ModelResetter, FastaiResetter])
def test_older_cells_model_4_to_6(older, resetter):
    dls, vocab = older
    fits(Learner(dls, LMModel4(len(vocab), 64), loss_func=loss_func, metrics=accuracy, cbs=resetter))
    for m in (LMModel5(len(vocab), 64, 2), LMModel6(len(vocab), 64, 2)):
        fits(Learner(dls, m, loss_func=CrossEntropyLossFlat(), metrics=accuracy, cbs=resetter))


def test_older_cells_model_7_as_printed(older):
    dls, vocab = older
    fits(Learner(dls, LMModel7(len(vocab), 64, 2, 0.5), loss_func=CrossEntropyLossFlat(), metrics=accuracy,
                 cbs=[ModelResetter, RNNRegularizer(alpha=2, beta=1)]))


def test_older_cells_model_7_text_learner(older):
    dls, vocab = older
    model = LMModel7(len(vocab), 64, 2, 0.4)
    fits(TextLearner(dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy))


def test_a_plain_torch_loop_with_a_smaller_last_batch():
    pairs = [(ids(1, 5, i)[0], ids(1, 5, i+1)[0]) for i in range(19)]
    model = LMModel6(vocab_sz, 16, 2)
    opt = torch.optim.SGD(model.parameters(), 0.1)
    sizes = []
    for x, y in TorchLoader(pairs, batch_size=8):
        lm_loss(model(x), y).backward()
        opt.step()
        opt.zero_grad()
        sizes.append(model.h[0].shape[1])
    assert sizes == [8, 8, 3]
