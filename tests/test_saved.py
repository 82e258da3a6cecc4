"Saved models as somebody else loads them: by name in a process that has imported little, whole, on the disk"
import os
import subprocess
import sys

import pytest
import torch
from fastai.metrics import accuracy

from lmfromscratch.all import *
from lmfromscratch.engine.models import model_class, model_files, write_whole

vocab = Vocab(list('abcdef'), sep='')
make = dict(
    LMModel1=lambda n: LMModel1(n, 8), LMModel2=lambda n: LMModel2(n, 8), LMModel3=lambda n: LMModel3(n, 8),
    LMModel4=lambda n: LMModel4(n, 8), LMModel5=lambda n: LMModel5(n, 8, 2),
    LMModel6=lambda n: LMModel6(n, 8, 2), LMModel7=lambda n: LMModel7(n, 8, 2, 0.3),
    CharGRU=lambda n: CharGRU(n, 8, 3, residual=True), CharLSTM=lambda n: CharLSTM(n, 8, 2),
    UnrolledLM=lambda n: UnrolledLM(n, 8), AWDLSTM=lambda n: AWDLSTM(n, 8, 12),
    FromZeros=lambda n: FromZeros(AWDLSTM(n, 8, 12)), Counts=lambda n: Counts.of(torch.arange(99) % n, 3, n),
    Mixture=lambda n: Mixture([CharLSTM(n, 8), make['Counts'](n)], [.7, .3]))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    "One of each, and what each makes of some tokens"
    folder, x, says = tmp_path_factory.mktemp('saved'), torch.tensor([[0, 1, 2]]), {}
    for name, f in make.items():
        torch.manual_seed(0)
        model = f(len(vocab)).eval()
        save_lm(model, vocab, folder/name)
        says[name] = logits_of(model(x)).flatten()[-6:]
    return folder, says


def test_every_model_of_the_package_is_here():
    ours = {k for k, o in LM.classes.items() if o.__module__.startswith('lmfromscratch.')}
    assert set(make) == ours - {'OnnxLM'} # That one is a file's graph


def test_any_saved_model_loads_in_a_process_that_has_imported_little(saved):
    folder, says = saved
    code = ("import sys, torch\n"
            "from lmfromscratch.engine.models import load_lm\n"
            "from lmfromscratch.regularize import logits_of\n"
            "for name in sys.argv[2:]:\n"
            "    model, vocab = load_lm(f'{sys.argv[1]}/{name}')\n"
            "    out = logits_of(model(torch.tensor([[0, 1, 2]]))).flatten()[-6:]\n"
            "    print(name, type(model).__name__, len(vocab), *out.tolist())\n"
            "assert 'lmfromscratch.all' not in sys.modules, 'a circle: all imports everything'\n")
    r = subprocess.run([sys.executable, '-c', code, folder, *make], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    lines = [o.split() for o in r.stdout.splitlines()]
    assert [o[0] for o in lines] == [o[1] for o in lines] == list(make)
    for name, _, n, *out in lines:
        assert n == '6'
        torch.testing.assert_close(torch.tensor([float(o) for o in out]), says[name])


def test_an_unknown_name_lists_all_models():
    with pytest.raises(ModelFileError, match="no model 'LMModel9'; known are AWDLSTM.*LMModel7"):
        model_class('LMModel9')


def test_a_name_with_a_dot(tmp_path):
    name = 'epoch003_loss1.4523'
    weights = save_lm(LMModel6(6, 8, 1), vocab, tmp_path/name)
    assert sorted(o.name for o in tmp_path.iterdir()) == [f'{name}.json', f'{name}.safetensors']
    for file in (tmp_path/name, weights, tmp_path/f'{name}.json'):
        assert model_files(file)[0] == weights
        assert len(load_lm(file)[1]) == 6


def recorded(monkeypatch):
    "A list of what was forced to the disk and what was renamed, in order"
    done, fsync, replace = [], os.fsync, os.replace
    def note_sync(handle):
        done.append(('sync', os.path.basename(os.readlink(f'/proc/self/fd/{handle}'))))
        fsync(handle)
    def note_rename(a, b):
        done.append(('rename', os.path.basename(b)))
        replace(a, b)
    monkeypatch.setattr(os, 'fsync', note_sync)
    monkeypatch.setattr(os, 'replace', note_rename)
    return done


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='needs /proc to tell a handle\'s file')
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folder_after(tmp_path, monkeypatch):
    done = recorded(monkeypatch)
    write_whole(tmp_path/'a', lambda o: o.write_text('a'))
    assert done == [('sync', 'a.part'), ('rename', 'a'), ('sync', tmp_path.name)]
    done.clear()
    save_lm(LMModel6(6, 8, 1), vocab, tmp_path/'m')
    assert done == [('sync', 'm.safetensors.part'), ('sync', 'm.json.part'), ('rename', 'm.safetensors'),
                    ('rename', 'm.json'), ('sync', tmp_path.name)]


def test_an_empty_past_for_every_model():
    "FromZeros of chapter 10 with each recurrent model: it trains, predicts as from zeros, and writes"
    words = number_tokens(human_numbers()[:400])
    dls = lm_dls(words, bs=4, sl=8, device='cpu')
    for name in ('LMModel4', 'LMModel6', 'LMModel7', 'CharGRU', 'AWDLSTM'):
        inner = make[name](len(dls.vocab))
        learn = lm_learner(dls, FromZeros(inner))
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
        x = dls.one_batch()[0]
        learn.model.eval()
        assert torch.equal(logits_of(learn.model(x)), logits_of(inner.unroll(x)[0])), name
        assert len(generate(learn.model, dls.vocab, 'one', n=3, seed=0).split()) == 3


def test_an_empty_past_for_the_model_that_returns_its_activations(tmp_path):
    "FromZeros of LMModel7: metrics see its scores, and it's loaded by name with its shared weights"
    words = number_tokens(human_numbers()[:400])
    dls = lm_dls(words, bs=4, sl=8, device='cpu')
    model = FromZeros(LMModel7(len(dls.vocab), 8, 2, 0.3))
    learn = lm_learner(dls, model, metrics=accuracy)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    assert 0 <= learn.recorder.values[-1][-1] <= 1
    preds, _, guesses = learn.get_preds(with_decoded=True)
    assert torch.equal(guesses, preds.argmax(-1))
    save_lm(model, dls.vocab, tmp_path/'m')
    again, _ = load_lm(tmp_path/'m')
    x = dls.one_batch()[0]
    assert type(again.model) is LMModel7 and again.model.h_o.weight is again.model.i_h.weight
    assert torch.equal(logits_of(again(x)), logits_of(model.eval()(x)))


def test_a_plain_model_writes_from_what_it_is_shown():
    "Any module from ids to logits: no unroll, no n_context"
    class Plain(torch.nn.Module):
        "The last hidden state's logits, or those of all: a GRU from zeros for each batch"
        def __init__(self):
            super().__init__()
            self.emb, self.out = torch.nn.Embedding(6, 8), torch.nn.Linear(8, 6)
            self.rnn = torch.nn.GRU(8, 8, batch_first=True)
        def forward(self, x): return self.out(self.rnn(self.emb(x))[0])
    torch.manual_seed(0)
    model, text, seen = Plain().eval(), 'abcabc', []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    for _ in range(20): # By hand, each time from the beginning
        text += vocab[model(vocab.encode(text)[None])[0, -1].argmax().item()]
    assert generate(model, vocab, 'abcabc', n=20, temperature=0) == text[6:]
    generate(model, vocab, 'abcdef'*60, n=3)
    assert max(seen) == 256
    model.n_context = 4
    seen.clear()
    generate(model, vocab, 'abcdef', n=3)
    assert max(seen) == 4


def test_a_model_of_fastai_with_a_state_of_its_own_reads_from_the_beginning():
    from fastai.text.models import AWD_LSTM
    from fastai.text.models.awdlstm import awd_lstm_lm_config
    from fastai.text.models.core import get_language_model
    torch.manual_seed(0)
    config = awd_lstm_lm_config | dict(emb_sz=8, n_hid=8, n_layers=2)
    model, text = get_language_model(AWD_LSTM, len(vocab), config).eval(), 'abc'
    for _ in range(12):
        model.reset()
        with torch.no_grad(): text += vocab[model(vocab.encode(text)[None])[0][0, -1].argmax().item()]
    assert generate(model, vocab, 'abc', n=12, temperature=0) == text[3:]


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(UnfitModel, match='derive its class from LM'):
        save_lm(as_lm(torch.nn.Embedding(6, 6)), vocab, tmp_path/'m')
    assert not list(tmp_path.iterdir())


def test_half_precision_is_not_called_broken():
    "Logits of 200 add up to more than float16 can hold"
    logits = torch.full((1, 1000), 200., dtype=torch.float16)
    assert logits.sum().isinf()
    assert next_probs(logits).sum().item() == pytest.approx(1)
    for bad in (float('nan'), float('inf')):
        logits[0, 3] = bad
        with pytest.raises(ValueError, match='not finite'): next_probs(logits)


def test_light_imports():
    "Chapter 2's models need PyTorch and nothing else; the command line's help not even that"
    heavy = 'pandas', 'matplotlib', 'fastai', 'sklearn', 'scipy'
    code = "import sys, {}; print(*sorted({{o.split('.')[0] for o in sys.modules}}))"
    def loaded(module):
        cmd = [sys.executable, '-c', code.format(module)]
        return subprocess.run(cmd, capture_output=True, text=True, check=True).stdout.split()
    assert 'torch' in loaded('lmfromscratch.rnn') and not set(heavy) & set(loaded('lmfromscratch.rnn'))
    assert not {'torch', *heavy} & set(loaded('lmfromscratch.engine.cli'))
