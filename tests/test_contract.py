"The contract of chapter 3, for every model, each in a fresh process (`python tests/test_contract.py NAME`)"
import os
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

vocab_sz = 11
configs = dict(
    LMModel1=dict(n_hidden=8), LMModel2=dict(n_hidden=8), LMModel3=dict(n_hidden=8),
    LMModel4=dict(n_hidden=8),
    LMModel5=dict(n_hidden=8, n_layers=2), LMModel6=dict(n_hidden=8, n_layers=2),
    LMModel7=dict(n_hidden=8, n_layers=2, p=0.4),
    CharGRU=dict(n_hidden=8, n_layers=2, residual=True, dropout=0.2),
    CharLSTM=dict(n_hidden=8, n_layers=2, dropout=0.2, emb_dropout=0.1),
    UnrolledLM=dict(n_hidden=8, dropout=0.2), AWDLSTM=dict(n_emb=8, n_hidden=12),
    Counts=dict(n=4), Mixture='CharLSTM',
    FromZeros='AWDLSTM', OnnxLM='LMModel6') # Made of another


@pytest.fixture(scope='module')
def processes():
    "Two at a time, one thread each"
    env = os.environ | dict(OMP_NUM_THREADS='1', MKL_NUM_THREADS='1')
    def run(name):
        return subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, env=env)
    with ThreadPoolExecutor(2) as pool: yield {name: pool.submit(run, name) for name in configs}


@pytest.mark.parametrize('name', configs)
def test_contract(processes, name):
    r = processes[name].result()
    assert r.returncode == 0, f'{r.stdout}\n{r.stderr[-2000:]}'


def test_no_model_is_left_out():
    import lmfromscratch.all  # noqa: F401  Else only those would be known that another test has imported
    from lmfromscratch.state import LM
    ours = {k for k, o in LM.classes.items() if o.__module__.startswith('lmfromscratch.')}
    assert ours == set(configs) - {'OnnxLM'}, 'a model without a line in `configs`, or the other way round'
    assert 'Windowed' not in LM.classes


# --- What runs in the fresh process

def make(name, folder):
    "A model of that class, found by its name alone"
    import torch

    from lmfromscratch.engine.models import model_class
    torch.manual_seed(0)
    if name == 'FromZeros': return model_class(name)(make(configs[name], folder)).eval()
    if name == 'Counts':
        return model_class(name).of(ids(1, 20_000)[0], vocab_sz=vocab_sz, **configs[name]).eval()
    if name == 'Mixture':
        members = [make(o, folder) for o in ('Counts', configs[name], 'LMModel3')]
        return model_class(name)(members, [.5, .3, .2]).eval()
    if name == 'OnnxLM':
        from lmfromscratch.engine.exported import export_onnx, load_onnx
        export_onnx(make(configs[name], folder), vocab(), folder/'onnx', weights='fp32', text='abcde'*20)
        return load_onnx(folder/'onnx')[0]
    return model_class(name)(vocab_sz, **configs[name]).eval()


def vocab():
    from lmfromscratch.data import Vocab
    return Vocab(list('abcdefghijk'), sep='')


def ids(bs, sl, seed=0):
    import torch
    return torch.randint(vocab_sz, (bs, sl), generator=torch.Generator().manual_seed(seed))


def logits(output): return output[0] if isinstance(output, (tuple, list)) else output
def last(output): return logits(output)[:, -1] if logits(output).ndim == 3 else logits(output)
def tensors(state):
    if state is None: return []
    return [t for o in state for t in tensors(o)] if isinstance(state, (tuple, list)) else [state]


class Contract:
    "Each method that begins with `check` is a promise; `self.lm()` is a new model from one seed"
    def __init__(self, name, folder):
        from copy import deepcopy

        from lmfromscratch.state import as_lm
        self.name, self.folder, self.copy, self.as_lm = name, folder, deepcopy, as_lm
        self.model = lambda: make(name, folder)
        self.lm = lambda: as_lm(make(name, folder))
        self.least = 3 if name == 'LMModel1' else 1 # It is written out for three words
        self.onnx = name == 'OnnxLM'                # A file's graph: on the CPU, in single precision

    def check_any_batch_and_length(self):
        lm = self.lm()
        for bs, sl in ((64, 16), (7, 3), (1, 300), (64, max(1, self.least)), (2, 299)):
            out = logits(lm(ids(bs, sl)))
            assert out.shape in ((bs, vocab_sz), (bs, sl, vocab_sz)) and out.isfinite().all(), out.shape
            kept = tensors(lm.h)
            assert all(t.shape[1] == bs and not t.requires_grad for t in kept), 'another batch, or a graph'
        if self.name == 'LMModel1':
            with pytest.raises(ValueError, match='written for 3 tokens and got 2'): self.lm()(ids(4, 2))

    def check_every_length(self):
        lm, x = self.lm(), ids(1, 300)
        for sl in range(self.least, 301, 7):
            assert last(lm.unroll(x[:, :sl])[0]).shape == (1, vocab_sz), sl

    def check_another_batch_size_starts_from_an_empty_past(self):
        lm = self.lm()
        lm(ids(8, 5))
        for bs in (3, 8): assert close(logits(lm(ids(bs, 6))), logits(self.lm()(ids(bs, 6))))

    def check_unroll_is_pure(self):
        lm, x = self.lm(), ids(4, 9)
        lm(ids(4, 5))
        kept, before = lm.h, [t.clone() for t in tensors(lm.h)]
        a, b = lm.unroll(x), lm.unroll(x)
        assert close(logits(a[0]), logits(b[0])) and lm.h is kept
        assert all(close(s, t) for s, t in zip(before, tensors(lm.h)))

    def check_pieces_are_the_whole(self):
        lm, x = self.lm(), ids(3, 12)
        whole, end = lm.unroll(x)
        first, state = lm.unroll(x[:, :5])
        middle, state = lm.unroll(x[:, 5:6], state)
        rest, state = lm.unroll(x[:, 6:], state)
        assert close(last(rest), last(whole))
        assert all(close(s, t) for s, t in zip(tensors(state), tensors(end)))
        if logits(whole).ndim == 2: return
        assert close(torch.cat([logits(o) for o in (first, middle, rest)], 1), logits(whole))

    def check_single_steps_are_the_whole(self):
        lm, x = self.lm(), ids(3, 20)
        out, state = lm.unroll(x[:, :self.least])
        for t in range(self.least, 20):
            out, state = lm.unroll(x[:, t:t+1], state)
            assert close(last(out), last(lm.unroll(x[:, :t+1])[0])), f'at token {t}'

    def check_it_remembers(self):
        lm, x = self.lm(), ids(3, 12)
        for back in (1, 2, 5, 9):
            other = x.clone()
            other[:, -1-back] = (other[:, -1-back] + 1) % vocab_sz
            seen = lm.n_context is None or back < lm.n_context
            for split in (12-back, 12): # The word in a piece before, and in the same
                a, b = (lm.unroll(o[:, :split]) for o in (x, other))
                if split < 12: a, b = (lm.unroll(o[:, split:], s) for o, (_, s) in ((x, a), (other, b)))
                assert close(last(a[0]), last(b[0]), 1e-8) != seen, f'{back} words back'

    def check_forward_goes_on_and_reset_forgets(self):
        lm, x = self.lm(), ids(3, 12)
        first, second = logits(lm(x[:, :6])), last(lm(x[:, 6:]))
        goes_on = lm.h is not None
        past = lm.unroll(x[:, :6])[1] if goes_on else None
        assert close(second, last(lm.unroll(x[:, 6:], past)[0]))
        lm.reset()
        assert lm.h is None and close(logits(lm(x[:, :6])), first)

    def check_without_carry_nothing_is_kept(self):
        lm, x = self.lm(), ids(3, 6)
        lm.carry = False
        assert close(logits(lm(x)), logits(lm(x))) and lm.h is None

    def check_dtype(self):
        if self.onnx: return
        lm, x = self.lm(), ids(4, 10)
        lm(x)
        for dtype, eps in ((torch.float64, 1e-5), (torch.bfloat16, 0.1)):
            other = self.copy(lm).to(dtype)
            assert all(t.dtype in (dtype, torch.int64) for t in tensors(other.h)), 'the state stayed behind'
            try: out = logits(other(x))
            except RuntimeError as e: # A processor without bfloat16
                assert dtype == torch.bfloat16 and 'primitive' in str(e), e
                continue
            assert out.dtype == dtype and close(out.float(), logits(self.copy(lm)(x)).float(), eps)
        assert all(t.dtype in (torch.float32, torch.int64) for t in tensors(lm.h)), 'both moved'

    def check_device(self):
        if self.onnx: return
        lm, x = self.lm(), ids(4, 10)
        lm(x)
        for device in ['meta'] + ['cuda']*torch.cuda.is_available():
            other = self.copy(lm).to(device)
            assert {t.device.type for t in tensors(other.h)} <= {device}, 'the state stayed behind'
            out = logits(other(x.to(device)))
            assert out.device.type == device and {t.device.type for t in tensors(other.h)} <= {device}
        assert {t.device.type for t in tensors(lm.h)} <= {'cpu'}, 'both moved'

    def check_a_copy_goes_its_own_way(self):
        if self.onnx: return
        lm, x = self.lm(), ids(4, 10)
        lm(x)
        twin, once_more = self.copy(lm), self.copy(lm)
        twin(ids(4, 10, seed=1))
        assert close(logits(lm(x)), logits(once_more(x)))
        twin.reset()
        assert (lm.h is None) == (once_more.h is None)

    def check_state_dict_holds_weights_alone(self):
        model, again = self.model(), self.model()
        self.as_lm(model)(ids(4, 10))
        model(ids(4, 3))
        assert set(model.state_dict()) == {k for k, _ in model.named_parameters(remove_duplicate=False)}
        again.load_state_dict(model.state_dict())
        assert self.as_lm(again).h is None

    def check_compile(self):
        lm = self.lm()
        fast, x = torch.compile(self.lm(), backend='eager'), ids(4, 5)
        for _ in range(3): assert close(logits(fast(x)), logits(lm(x)), 1e-5)

    def check_sampling_in_the_middle_of_training(self):
        from lmfromscratch.generate import generate
        def losses(sample):
            model = self.model().train()
            weights = [p for p in model.parameters() if p.requires_grad]
            list(model.modules())[-1].eval() # A part that was frozen by hand stays so
            modes, res = [m.training for m in model.modules()], []
            for i in range(3):
                if sample:
                    kept, random = self.as_lm(model).h, torch.get_rng_state()
                    generate(model, vocab(), 'abc', n=4, seed=1, batch=3)
                    generate(model, vocab(), 'abc', n=4) # From chance: of its own
                    assert self.as_lm(model).h is kept and torch.equal(torch.get_rng_state(), random)
                    assert [m.training for m in model.modules()] == modes and torch.is_grad_enabled()
                loss = torch.nn.functional.cross_entropy(last(model(ids(4, 3, i))), ids(4, 1, i)[:, 0])
                res.append(loss.item())
                if not weights: continue
                loss.backward()
                with torch.no_grad():
                    for p in weights: p -= 0.1*p.grad
                model.zero_grad()
            return res
        assert losses(True) == losses(False)

    def check_a_text_is_what_the_model_says_step_by_step(self):
        from lmfromscratch.generate import Stepper, generate, next_probs, pick
        step, x, text = Stepper(self.lm()), vocab().encode('abcabc')[None], ''
        dice = torch.Generator().manual_seed(1)
        theirs = self.lm().uniforms(1, 1) if self.onnx else None
        with torch.no_grad():
            for _ in range(20):
                u = next(theirs) if self.onnx else torch.rand(1, generator=dice, dtype=torch.double)
                x = pick(next_probs(step(x)), u)[:, None]
                text += vocab().text(x[0])
        assert generate(self.model().train(), vocab(), 'abcabc', n=20, seed=1) == text

    def check_save_and_load(self):
        from lmfromscratch.engine.models import UnfitModel, load_lm, save_lm
        model, file = self.model(), self.folder/'saved'
        if self.onnx: # Its file is its own
            with pytest.raises(UnfitModel, match='could not be loaded again'): save_lm(model, vocab(), file)
            return
        save_lm(model, vocab(), file)
        self.as_lm(model)(ids(4, 3))
        again, its = load_lm(file)
        assert type(again) is type(model) and again.config == model.config
        assert its == vocab() and not again.training
        want = last(self.lm()(ids(4, 3)))
        assert close(last(self.as_lm(again)(ids(4, 3))), want), 'a state was saved, or no weights'

    def check_another_vocabulary_is_refused(self):
        from lmfromscratch.data import Vocab
        from lmfromscratch.engine.models import check_vocab
        check_vocab(self.model(), vocab())
        with pytest.raises(ValueError, match='has 11 tokens and the vocabulary 2'):
            check_vocab(self.model(), Vocab('ab'))

    def check_onnx(self):
        from lmfromscratch.engine.exported import export_onnx, load_onnx
        model, x = self.model(), ids(3, 7)
        write = lambda: export_onnx(model, vocab(), self.folder/'exported', weights='fp32', text='abcde'*20)
        if self.name in ('LMModel1', 'LMModel2'):
            with pytest.raises(ValueError, match='export_onnx takes recurrent models'): write()
        if self.name in ('Counts', 'Mixture'):
            with pytest.raises(ValueError, match='looks up counts in tables'): write()
            return
        if self.onnx or self.name in ('LMModel1', 'LMModel2'): return
        write()
        theirs, _ = load_onnx(self.folder/'exported')
        whole = last(model.unroll(x)[0])
        assert close(last(theirs.unroll(x)[0]).float(), whole.log_softmax(-1), 1e-4)


def close(a, b, eps=1e-5): return torch.allclose(a, b, atol=eps, rtol=eps)


def main(name):
    "All checks for one model; 1 if one of them fails"
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        contract = Contract(name, Path(folder))
        for check in [o for o in dir(contract) if o.startswith('check_')]:
            try: getattr(contract, check)()
            except Exception:
                failed.append(check)
                print(f'--- {name} fails {check}\n{traceback.format_exc()}')
    print(name, 'keeps the contract' if not failed else f'fails: {", ".join(failed)}')
    return bool(failed)


if __name__ == '__main__':
    import torch
    sys.exit(main(sys.argv[1]))
