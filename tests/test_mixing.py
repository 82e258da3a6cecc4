"Mixtures from the command line, and what they're made of"
import re

import numpy as np
import pandas as pd
import pytest
import torch

from test_cli import complaint, lmfs

from lmfromscratch.data import Vocab, human_numbers
from lmfromscratch.engine.counts import Counts, CountTables, LiveTables
from lmfromscratch.engine.places import open_model
from lmfromscratch.engine.scoring import score, segments, token_logps, windows
from lmfromscratch.mixing import Mixture, check_reader, mix, with_counts
from lmfromscratch.reading import LearnSGD, reading_table
from lmfromscratch.runs import CharLSTM

small = ('--steps', '8', '--hidden', '16', '--precision', 'float32', '--threads', '1', '--quiet')
text = '\n'.join(human_numbers()[:1200])
vocab = Vocab(sorted(set(text)), sep='')
ids = vocab.encode(text)


def table(said):
    "The last table of scores that was printed: name -> nats"
    return {k: float(v) for k, v in re.findall(r'^([a-z][a-z ,0-9]*?) +(\d+\.\d{4}) ', said, re.M)}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "A run of running text with counts of six, and what was printed"
    folder = tmp_path_factory.mktemp('mixing')
    (folder/'numbers.txt').write_text(text)
    r = lmfs('train', folder/'numbers.txt', *small, '--count', 6, '--out', folder/'run')
    assert r.returncode == 0, r.stderr
    return folder, r.stdout


def test_train_with_counts_saves_a_mixture(trained):
    folder, said = trained
    assert 'Mixed with counts of sequences of 6, which have 0.3 of the weight' in said
    opened = open_model(folder/'run'/'mixture')
    net, counts = opened.model.members
    assert type(net) is CharLSTM and type(counts) is Counts and counts.n == 6
    held_out = ids[int(len(ids)*.9):]
    want = score(opened.model, opened.vocab, held_out).nats
    assert list(table(said).values()) == pytest.approx(list(want), abs=2e-4)
    r = lmfs('sample', folder/'run'/'mixture', '--n', 20, '--seed', 1)
    assert r.returncode == 0 and len(r.stdout.strip('\n')) <= 21


def test_score_with_counts_has_a_row_for_each_way(trained):
    folder, said = trained
    r = lmfs('score', folder/'run', '--count', 6, '--dynamic', '--cache')
    assert r.returncode == 0, r.stderr
    t = table(r.stdout)
    ways = ['stateful', 'windows of 256']
    counted = [f'{o}, counts' for o in ways]
    assert list(t) == ways + counted + ['cache', 'cache, counts', 'dynamic', 'dynamic, counts']
    assert [t[o] for o in counted] == pytest.approx(list(table(said).values()), abs=2e-4)
    assert t['dynamic, counts'] < t['stateful, counts'] < t['stateful']
    alone = table(lmfs('score', folder/'run', '--count', 6, '--mix', 1).stdout)
    counts = Counts.of(ids[:int(len(ids)*.9)], 6, len(vocab))
    want = score(counts, vocab, ids[int(len(ids)*.9):]).nats
    assert [alone[f'{o}, counts'] for o in ways] == pytest.approx(list(want), abs=2e-4)


def test_verses_are_counted_each_from_an_empty_past(tmp_path):
    (tmp_path/'names.txt').write_text('\n'.join(human_numbers()[:300]))
    r = lmfs('train', tmp_path/'names.txt', '--verses', *small, '--count', 9, '--out', tmp_path/'run')
    assert r.returncode == 0 and 'which have 0.5 of the weight' in r.stdout, r.stderr
    r = lmfs('score', tmp_path/'run', '--count', 9)
    t = table(r.stdout)
    assert t['each verse alone, counts'] < t['each verse alone'] - .3
    r = lmfs('sample', tmp_path/'run'/'mixture', '--batch', 3, '--seed', 0)
    assert r.returncode == 0 and len(r.stdout.splitlines()) == 3


def test_what_is_wrong_with_counts_is_said(trained, tmp_path):
    folder, _ = trained
    run, numbers = folder/'run', folder/'numbers.txt'
    assert 'must be 1 to 64, not 0' in complaint('score', run, '--count', 0)
    assert 'must be 1 to 64, not 65' in complaint('train', numbers, '--count', 65, '--out', tmp_path/'no')
    assert '--mix is for --count: add it' in complaint('score', run, '--mix', .2)
    wrong = ('--count', 3, '--mix', 1.5, '--out', tmp_path/'no')
    assert 'must be in [0, 1], not 1.5' in complaint('train', numbers, *wrong)
    assert 'is none: name the folder of one' in complaint('score', run/'mixture', numbers, '--count', 3)
    assert 'no graph holds: export the network alone' in complaint('export', run/'mixture')
    assert not (tmp_path/'no').exists()
    (tmp_path/'short.txt').write_text(text[:40])
    args = ('--bs', 1, '--sl', 8, '--count', 50, '--out', tmp_path/'short')
    assert 'need a text that is as long' in complaint('train', tmp_path/'short.txt', *small, *args)


def test_counting_on_is_counting_again_wherever_it_is_cut():
    tables, past = CountTables(ids[:3000], 5, len(vocab)), ids[:4000].unfold(0, 4, 1).numpy()
    live, end = LiveTables(tables), 3000
    for n in (1, 7, 200, 512):
        live.add(past[end-4:end-4+n], ids[end:end+n].numpy())
        end += n
    again, asked = CountTables(ids[:end], 5, len(vocab)), past[2000:3900]
    for a, b in zip(live.probs(asked), again.probs(asked)): assert np.allclose(a, b, atol=1e-12)
    known = np.arange(len(asked)) % 5 # Also where only a part of the past is known
    for a, b in zip(live.probs(asked, known), again.probs(asked, known)): assert np.allclose(a, b, atol=1e-12)


def test_a_mixture_passes_every_check_and_each_cheat_fails_one():
    torch.manual_seed(0)
    team = with_counts(CharLSTM(len(vocab), 8), ids[:3000], 4, .6, live=True)
    part = ids[5000:5041]
    def read(o, **how): return torch.tensor(reading_table(team, vocab, o, segment=8, **how).nats)
    for how in ({}, dict(learn=LearnSGD(.5))):
        found = check_reader(lambda o, how=how: read(o, **how), part, len(vocab))
        assert found['changed'] == 0 and found['total'] == pytest.approx(1, abs=1e-4)
    backwards = lambda o: read(o).flip(0) # The last price comes first
    looks_back = check_reader(backwards, part, len(vocab))
    assert looks_back['changed'] == 1
    too_much = check_reader(lambda o: read(o) - .1, part, len(vocab))
    assert too_much['changed'] == 0 and too_much['total'] == pytest.approx(1.105, abs=1e-2)


def test_windows_begin_from_an_empty_past_for_all_members():
    team = with_counts(CharLSTM(len(vocab), 8), ids[:3000], 4)
    a, b = ids[4000:4097], ids[4000:4097].clone()
    b[:20] = ids[:20]
    one, two = [token_logps(team, windows(o, 32), carry=False)[0].view(3, 32) for o in (a, b)]
    assert torch.equal(one[1:], two[1:]) and not torch.equal(one[0], two[0])
    whole = token_logps(team, segments(a[None]))[0]
    assert torch.allclose(whole[:32], one[0], atol=1e-5)
    assert not torch.allclose(whole[32:64], one[1], atol=1e-2)


def test_members_are_weighted_as_told():
    torch.manual_seed(0)
    nets = [CharLSTM(len(vocab), 8).eval() for _ in range(3)]
    x, w = ids[None, :20], [.2, .5, .3]
    logps = torch.stack([m.unroll(x)[0].log_softmax(-1) for m in nets])
    got = Mixture(nets, w).eval().unroll(x)[0]
    assert torch.allclose(got.exp(), (torch.tensor(w)[:, None, None, None]*logps.exp()).sum(0), atol=1e-6)
    assert torch.allclose(mix(logps, torch.tensor([1., 0, 0])), logps[0], atol=1e-6)
    assert pd.Series(Mixture(nets).weights).round(4).eq(.3333).all()
