"What every model of the ladder promises to whoever imports it elsewhere (chapter 03, the state protocol)"
from copy import deepcopy

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
make = {
    LMModel1: lambda: LMModel1(vocab_sz, 16), LMModel2: lambda: LMModel2(vocab_sz, 16),
    LMModel3: lambda: LMModel3(vocab_sz, 16), LMModel4: lambda: LMModel4(vocab_sz, 16),
    LMModel5: lambda: LMModel5(vocab_sz, 16, 2), LMModel6: lambda: LMModel6(vocab_sz, 16, 2),
    LMModel7: lambda: LMModel7(vocab_sz, 16, 2, 0.4),
}
stateful = [LMModel3, LMModel4, LMModel5, LMModel6, LMModel7]
devices = ['cpu'] + (['cuda'] if torch.cuda.is_available() else [])


def ids(bs, sl, seed=0):
    return torch.randint(0, vocab_sz, (bs, sl), generator=torch.Generator().manual_seed(seed))


def out(model, x): return logits_of(model(x))
def last(logits): return logits[:, -1] if logits.ndim == 3 else logits


def tensors(state):
    return [state] if isinstance(state, torch.Tensor) else [t for o in state for t in tensors(o)]


@pytest.fixture(params=stateful, ids=lambda c: c.__name__)
def cls(request): return request.param


@pytest.fixture
def model(cls):
    torch.manual_seed(0)
    return make[cls]().eval()


def test_batch_of_another_size_starts_from_zeros(model, cls):
    out(model, ids(64, 16))
    fresh = make[cls]().eval()
    fresh.load_state_dict(model.state_dict())
    for bs in (7, 64):
        x = ids(bs, 16, seed=bs)
        fresh.reset()
        assert torch.equal(out(model, x), out(fresh, x)), "a state of another batch size was used"


def test_same_batch_size_goes_on(model):
    x = ids(7, 12)
    whole, _ = model.unroll(x)
    out(model, x[:, :5])
    torch.testing.assert_close(last(out(model, x[:, 5:])), last(logits_of(whole)))


@pytest.mark.parametrize('sl', [1, 300])
@pytest.mark.parametrize('bs', [1, 64])
def test_any_length_and_batch(model, sl, bs):
    y = out(model, ids(bs, sl))
    assert y.shape[0] == bs and y.shape[-1] == vocab_sz and y.isfinite().all()
    assert all(t.shape[1:] == (bs, 16) and not t.requires_grad for t in tensors(model.h))


@pytest.mark.parametrize('device', devices)
def test_a_copy_in_another_dtype_or_on_another_device(model, device):
    x = ids(4, 10)
    out(model, x)
    other = deepcopy(model).to(device, torch.float64)
    moved = tensors(other.h)
    assert all(t.dtype == torch.float64 and t.device.type == device for t in moved), "it stayed behind"
    assert all(t.dtype == torch.float32 and t.device.type == 'cpu' for t in tensors(model.h)), "both moved"
    a, b = out(model, x), out(other, x.to(device))
    torch.testing.assert_close(a.double(), b.cpu(), atol=1e-5, rtol=1e-5)


def test_deepcopy_has_a_state_of_its_own(model):
    x = ids(4, 10)
    out(model, x)
    copied = deepcopy(model)
    out(copied, ids(4, 10, seed=1))
    once_more = deepcopy(model)
    assert torch.equal(out(model, x), out(once_more, x))
    copied.reset()
    assert model.h is not None


def test_state_dict_holds_weights_alone(model, cls):
    names = set(model.state_dict())
    x = ids(4, 10)
    first = out(model, x)
    assert set(model.state_dict()) == names == {n for n, _ in model.named_parameters(remove_duplicate=False)}
    again = make[cls]().eval()
    again.load_state_dict(model.state_dict())
    assert again.h is None
    assert torch.equal(out(again, x), first)


def test_reset_forgets(model):
    x = ids(4, 10)
    first = out(model, x)
    assert not torch.equal(out(model, x), first), "nothing was kept"
    model.reset()
    assert torch.equal(out(model, x), first)


@pytest.mark.parametrize('back', [1, 5])
def test_output_depends_on_earlier_tokens(model, back):
    x = ids(3, 8)
    changed = x.clone()
    changed[:, -1-back] = (changed[:, -1-back] + 1) % vocab_sz
    a, b = (last(logits_of(model.unroll(o)[0])) for o in (x, changed))
    assert not torch.allclose(a, b, atol=1e-7)


def test_output_depends_on_a_token_before_the_batch(model):
    x, then = ids(3, 8), ids(3, 6, seed=1)
    changed = x.clone()
    changed[:, -2] = (changed[:, -2] + 1) % vocab_sz
    res = []
    for o in (x, changed):
        model.reset()
        out(model, o)
        res.append(last(out(model, then)))
    assert not torch.allclose(*res, atol=1e-7)


def test_unroll_leaves_the_kept_state_alone(model):
    out(model, ids(4, 10))
    before = [t.clone() for t in tensors(model.h)]
    model.unroll(ids(4, 10, seed=1))
    model.unroll(ids(9, 3), None)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(model.h)))


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


def test_sampling_in_the_middle_of_an_epoch_changes_nothing(cls):
    def sample(learn):
        assert learn.model.training
        generate(learn.model, learn.dls.vocab, 'one hundred one . one', n=5, seed=1, batch=3)
        assert learn.model.training
    assert losses(cls, sample) == losses(cls)


def test_evaluating_in_the_middle_of_an_epoch_changes_nothing(cls):
    assert losses(cls, lambda learn: evaluate(learn.model, learn.dls.valid)) == losses(cls)


@pytest.mark.parametrize('cls_', list(make), ids=lambda c: c.__name__)
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
