"The page in a real browser: what it writes and shows is what Python computes from its files"
import asyncio
import itertools
import json
import math
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('onnx', reason='onnx is not installed: pip install "lmfromscratch[web]"')
pytest.importorskip('onnxruntime', reason='onnxruntime is not installed: pip install "lmfromscratch[web]"')

from lmfromscratch.data import Vocab, human_numbers, number_words
from lmfromscratch.engine.exported import export_onnx, load_onnx
from lmfromscratch.engine.models import save_lm
from lmfromscratch.engine.page import build_page
from lmfromscratch.engine.runs import new_run
from lmfromscratch.engine.scoring import score, segments, token_logps
from lmfromscratch.generate import generate, next_token_table
from lmfromscratch.gru import CharGRU
from lmfromscratch.regularize import LMModel7
from lmfromscratch.runs import CharLSTM
from lmfromscratch.tokens import Bpe
from lmfromscratch.verses import verse_recipe

firefox = shutil.which('firefox-esr') or shutil.which('firefox')
pytestmark = pytest.mark.filterwarnings('ignore')
letters = Vocab('\n !,.abcdefghijklmnopqrstuvwxyz', sep='')
words = Vocab([*dict.fromkeys(w for n in range(1, 200) for w in number_words(n).split()), '.'])
pairs = Bpe.train('the naïve thief 🙂 there and then 🙂\n'*9, 275)
small = {'letters': lambda: (CharLSTM(len(letters), 48, 2, n_emb=8), letters, 'fp32', ['the ', 'a.\n']),
         'gru': lambda: (CharGRU(len(letters), 24, 2, n_emb=5), letters, 'int8', ['once ']),
         'words': lambda: (LMModel7(len(words), 32, 2, 0.4, tied=False), words, 'int8', ['one . two .']),
         'pairs': lambda: (CharLSTM(len(pairs), 24, n_emb=8), pairs, 'int8', ['the '])}


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    "The browser needs the other cores"
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@pytest.fixture(scope='module')
def site(browser, tmp_path_factory):
    "The pretrained Bible and three small models of other kinds, in a sub-folder"
    folder, runs = tmp_path_factory.mktemp('page'), ['bible']
    for name, make in small.items():
        torch.manual_seed(0)
        model, vocab, weights, prompts = make()
        model.h_o.weight.data *= 8
        export_onnx(model, vocab, folder/name, weights, prompts, {'note': 'not trained', 'seconds': 0.5})
        runs.append(folder/name)
    build_page(runs, folder/'www'/'some'/'site')
    shutil.copy(folder/'www'/'some'/'site'/'index.html', folder/'www') # Where the server looks for a policy
    wasm = folder/'www'/'some'/'site'/'vendor'/'ort-wasm-simd-threaded.wasm'
    (folder/'www'/'damaged.wasm').write_bytes(flipped(bytearray(wasm.read_bytes())))
    return folder/'www'/'some'/'site'


@pytest.fixture(scope='module')
def home(site, serve): return serve(site.parent.parent) + 'some/site/'


@pytest.fixture(scope='module')
def python(site):
    loaded = {}
    def get(name):
        if name not in loaded: loaded[name] = load_onnx(site/'models'/name)
        return loaded[name]
    return get


def logps(model, vocab, text):
    "What the model makes of each token but the first"
    return token_logps(model, segments(vocab.encode(text)[None]))[0]


class Reader:
    "A tab, and what a reader does in it"
    def __init__(self, browser, home, moving=False, **kwargs):
        still = {} if moving else dict(reduced_motion='reduce') # Else the page writes by itself
        self.context, self.home = browser.new_context(**kwargs, **still), home
        self.complaints, self.requests = [], []
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(20_000)
        self.tab.on('console', self.heard)
        self.tab.on('pageerror', lambda o: self.complaints.append(str(o)))
        self.context.on('request', lambda o: self.requests.append(o.url))

    def __getattr__(self, name): return getattr(self.tab, name)

    def heard(self, o): # Pixels are read by these tests only
        if o.type in ('error', 'warning') and 'Canvas2D' not in o.text: self.complaints.append(o.text)

    def open(self, query='', state='ready'):
        self.goto(self.home + query)
        self.eval_on_selector('#settings', 'o => { o.open = true }')
        return self.wait(state)

    def wait(self, state='ready'):
        self.wait_for_selector(f'html[data-state={state}]')
        return self

    def set(self, **values):
        for k, v in values.items():
            if k == 'stop': self.set_checked('#stop-line', v)
            elif k == 'temperature':
                move = '(o, v) => { o.value = v; o.dispatchEvent(new Event("input")) }'
                self.eval_on_selector('#temperature', move, v)
            elif k in ('pace', 'colour', 'unit-kind', 'unit-layer'): self.select_option(f'#{k}', v)
            else: self.fill('#' + k.replace('_', '-'), str(v))
        return self

    def write(self, prompt=None, button='#write', **values):
        if prompt is not None: self.fill('#prompt', prompt)
        self.set(**values).click(button)
        return self.wait().all()

    def all(self): return self.eval_on_selector('#text', 'o => o.textContent')
    def said(self, id): return self.text_content(f'#{id}')
    def shades(self):
        return self.eval_on_selector_all('#text .t', 'all => all.map(o => o.shade ?? "")')

    def until(self, js, *args, seconds=10):
        "Not `wait_for_function`: it needs eval, which the page's own rules forbid"
        end = time.monotonic() + seconds
        while not self.evaluate(js, *args):
            assert time.monotonic() < end, f'still not {js}: {self.inner_text("#trouble-text")!r}'
            self.wait_for_timeout(30)

    def close(self):
        foreign = [o for o in self.requests if not o.startswith((self.home, 'data:'))]
        self.context.close()
        assert foreign == [] and self.complaints == []


@pytest.fixture(scope='module')
def shared(browser, home):
    "One tab for what leaves no trace; it must not complain in all this time"
    reader = Reader(browser, home, viewport=dict(width=1280, height=900))
    yield reader.open('?pace=full')
    reader.close()


@pytest.fixture
def page(shared):
    def get(name='letters'):
        if not shared.is_checked(f'input[value={name}]'):
            shared.check(f'input[value={name}]')
            shared.wait()
        if shared.is_enabled('#clear'): shared.click('#clear')
        shared.wait().click('#tab-write')
        shared.click('#examples .chip >> nth=0')
        if shared.is_visible('#stop-line'): shared.set(stop=False)
        return shared.set(temperature='1', top_k='', top_p='', length=200, seed=1, colour='none', pace='full')
    return get


@pytest.fixture
def reader(browser, home):
    readers = []
    def new(**kwargs):
        readers.append(Reader(browser, home, **kwargs))
        return readers[-1]
    yield new
    for o in readers: o.context.close()


# --- the text

@pytest.mark.parametrize('name, prompt, settings', [
    ('bible', '<Genesis>\t', {}), ('letters', 'the ', {}), ('gru', 'once ', {}), ('words', 'one . two .', {}),
    ('letters', 'a', dict(temperature=0)), ('letters', 'b', dict(temperature=0.7, top_k=6)),
    ('words', 'ten .', dict(temperature=1.3, top_p=0.8)), ('bible', '<', dict(top_k=9, top_p=0.9)),
    ('pairs', 'then 🙂', {}), ('pairs', 'na', dict(top_k=40))])
def test_page_writes_what_python_writes(page, python, name, prompt, settings):
    model, vocab = python(name)
    want = generate(model, vocab, prompt, 200, seed=7, **settings)
    got = page(name).write(prompt, seed=7, **{k: str(v) for k, v in settings.items()})
    assert got == vocab.text(vocab.encode(prompt)) + vocab.sep + want


def test_same_seed_same_text_another_seed_another_text(page):
    p = page()
    first = p.write('the ', seed=3)
    assert p.write('the ', seed=3) == first and p.write('the ', seed=4) != first
    p.click('#another')
    assert p.input_value('#seed') != '4' and p.wait().all() != first


def test_the_second_engine_writes_the_same(reader, site, python):
    "ONNX Runtime, for a model without a plan; it is fetched for nobody else who does not ask"
    r, (model, vocab) = reader(), python('words')
    index = (site/'models'/'index.json').read_text('utf-8').replace('"light": true', '"light": false')
    r.route('**/models/index.json', lambda o: o.fulfill(body=index))
    r.open('?model=words&pace=full&temperature=1&n=150')
    prompt = model.about['prompts'][0]
    want = generate(model, vocab, prompt, 150, seed=1)
    assert r.write(prompt) == vocab.text(vocab.encode(prompt)) + vocab.sep + want
    assert 'onnxruntime-web' in r.inner_text('#facts') and any('.wasm' in o for o in r.requests)
    r.close()


def test_writes_by_itself_on_arrival_and_again_who_comes_back(reader, python):
    r, (model, vocab) = reader(moving=True), python('letters')
    r.goto(r.home + '?model=letters&n=12&temperature=1&seed=5')
    want = 'the ' + generate(model, vocab, 'the ', 12, seed=5)
    r.until('want => document.querySelector("#text").textContent === want', want)
    assert any(r.wait().shades()) and 'surprised' in r.inner_text('.lead')
    r.goto('about:blank')
    r.go_back()
    r.until('want => document.querySelector("#text").textContent === want', want)
    r.check('input[value=gru]') # Another model writes, too
    r.until('/^once .{12}$/s.test(document.querySelector("#text").textContent)')
    r.close()


def test_a_link_replays_exactly(reader, python):
    r, (model, vocab) = reader(permissions=['clipboard-read', 'clipboard-write']), python('letters')
    r.open('?model=letters&pace=full').set(temperature='1.3', top_k=9, seed=8, length=50)
    r.write('the ')
    text = r.write(button='#more', length=30)
    r.fill('#prompt', 'now') # What is typed since is not what was written
    r.set(seed=2).click('#link')
    r.until('document.querySelector("#link").textContent === "Copied"')
    link = r.evaluate('navigator.clipboard.readText()')
    assert 'n=80' in link and f"file={model.about['sha256'][:8]}" in link
    r.write(button='#more', temperature='0.4')
    r.click('#link') # Two settings are no address
    r.until('/up to/.test(document.querySelector("#link").textContent)')
    assert 'n=80' in r.evaluate('navigator.clipboard.readText()')
    r.open(link[len(r.home):].replace('file=', 'file=0') + '&pace=full')
    assert 'earlier file' in r.said('notice')
    assert r.write() == text == 'the ' + generate(model, vocab, 'the ', 80, temperature=1.3, top_k=9, seed=8)
    r.close()


def test_a_picture_of_the_text(page):
    p = page('bible').set(colour='bits')
    p.write('<Ruth>\tAnd she said', length=150)
    with p.expect_download() as o: p.click('#picture')
    with Image.open(o.value.path()) as card:
        assert card.size[0] == 1200 and card.size[1] >= 630
        orange = [c for n, c in card.convert('RGB').getcolors(2**24) if c[0] > 200 and c[2] < 180]
        assert orange, 'no surprise is coloured'


def test_streams_stops_and_continues_where_it_was(page, python):
    p, (model, vocab) = page('letters'), python('letters')
    p.set(pace='read', length=300).fill('#prompt', 'the ')
    p.press('#prompt', 'Enter')
    p.wait('busy')
    p.until("document.querySelectorAll('#text .t').length > 6")
    grown = len(p.all())
    p.until(f"document.querySelectorAll('#text .t').length > {grown}")
    p.press('#prompt', 'Escape')
    stopped = p.wait().all()
    assert 6 < len(stopped) < 300 and 'Stopped' in p.said('stats')
    both = p.write(button='#more', pace='full', length=100)
    assert len(both) == len(stopped) + 100
    assert both == 'the ' + generate(model, vocab, 'the ', len(both) - 4, seed=1)
    p.click('#clear')
    assert p.all() == '' and p.is_disabled('#more')


def test_a_verse_ends_with_its_line_and_another_begins_afresh(page):
    p = page('bible').set(stop=True, length=2000)
    first = p.write('<Ruth>\t')
    assert first.endswith('\n') and first.count('\n') == 1
    second = p.write(button='#more')[len(first):]
    assert second.startswith('<Ruth>\t') and second.count('\n') == 1 and second != first
    p.set(stop=False)


def test_a_new_order_in_the_middle_of_a_stream(page, python):
    p, (model, vocab) = page('letters'), python('words')
    p.set(pace='read', length=2000).click('#write')
    p.until("document.querySelectorAll('#text .t').length > 5")
    p.click('#write')
    p.until("document.querySelectorAll('#text .t').length > 5")
    p.check('input[value=gru]')
    p.check('input[value=words]')
    p.wait()
    assert p.all() == '' and p.input_value('#prompt') == 'one . two .' # Not what another model knows
    text = p.write('one .', seed=2, length=50, pace='full')
    assert text == 'one . ' + generate(model, vocab, 'one .', 50, seed=2)


def test_wrong_settings_are_named(page):
    p = page().set(seed='-1')
    p.click('#write')
    assert 'Seed must be a whole number from 0 to 4294967295' in p.said('wrong') and p.all() == ''
    p.set(seed=1).fill('#prompt', '')
    p.click('#write')
    assert 'one character or more' in p.said('wrong')


# --- why

def test_bars_are_the_likeliest_next_tokens(page, python):
    p, (model, vocab) = page('letters'), python('letters')
    text = p.write('the ', length=40)
    p.hover('#text .t >> nth=20')
    p.until(f"document.querySelector('.bar.taken .bar-token')?.title.includes({json.dumps(text[20])})"
                        if text[20].strip() else "document.querySelector('.bar.taken')")
    rows = next_token_table(model, vocab, text[:20], 10)
    row = 'all => all.filter(o => !o.hidden).slice(0, 10).map(o => '
    shown = p.eval_on_selector_all('.bar', row + 'o.querySelector(".bar-token").textContent)')
    assert [o.replace('␣', ' ').replace('↵', '\n') for o in shown] == rows.token.tolist()
    widths = p.eval_on_selector_all('.bar', row + 'parseFloat(o.querySelector(".bar-fill").style.width))')
    np.testing.assert_allclose(widths, np.maximum(.5, 100*rows.probability), atol=1e-3)
    assert p.locator('.bar.taken').count() == 1
    bits = -logps(model, vocab, text[:21])[-1] / math.log(2)
    assert f'{bits:.2f} bits' in p.said('why-where')
    p.mouse.move(2, 2)
    p.focus('#text')
    p.press('#text', 'Home')
    p.until("document.querySelector('#why-where').textContent.includes('is the first')")
    p.press('#text', 'ArrowRight')
    p.until("document.querySelector('#say').textContent.includes('“h” came with')")


def test_colour_by_surprise(page, python):
    p, (model, vocab) = page('bible').set(colour='bits'), python('bible')
    text = p.write('<Job>\t', length=150)
    want = -logps(model, vocab, text).numpy() / math.log(2)
    got = [int(o[1:] or 0) for o in p.shades()]
    assert got[0] == 0 and max(got) > 3 and all(o[:1] in ('', 'b') for o in p.shades())
    assert np.all(np.abs(got[1:] - np.minimum(9*want/8, 9)) < .51)
    p.set(colour='none')
    assert set(p.shades()) == {''}
    p.set(colour='bits')


@pytest.mark.parametrize('name, kind', [('letters', 'h'), ('letters', 'c'), ('letters', 'o'), ('gru', 'h')])
def test_colour_by_one_unit(page, python, name, kind):
    p, (model, vocab) = page(name), python(name)
    kinds = p.eval_on_selector('#unit-kind', 'o => [...o.options].map(i => i.value)')
    assert kinds == (['h'] if name == 'gru' else ['h', 'c', 'o'])
    p.set(**{'colour': 'unit', 'unit-kind': kind, 'unit-layer': '0', 'unit-n': 5})
    text = p.write(length=60)
    state, values = None, []
    for i in vocab.encode(text):
        _, state = model.unroll(i[None, None], state)
        h, c = state if isinstance(state, tuple) else (state, state)
        values.append(dict(h=h, c=c, o=h/c.tanh())[kind][0, 0, 5].item())
    scale = float(p.said('legend-high'))
    got = [{'': 0, 'p': 1, 'n': -1}[o[:1]] * int(o[1:] or 0) for o in p.shades()]
    assert np.all(np.abs(got - 9*np.array(values)/scale) < .51) and len(set(got)) > 1
    before = ','.join(p.shades())
    p.eval_on_selector('#unit-slide', 'o => { o.value = 9; o.dispatchEvent(new Event("input")) }')
    p.until("before => String([...document.querySelectorAll('#text .t')].map(o => o.shade ?? '')) !== before",
            before)
    assert p.input_value('#unit-n') == '9'


def test_the_state_is_shown_and_chooses_a_unit(page):
    p = page('letters')
    p.write(length=30)
    assert p.locator('#strips canvas').count() == 2*3
    pixels = 'o => [...o.getContext("2d").getImageData(0, 0, 32, 1).data].join()'
    end = p.eval_on_selector('#strips canvas >> nth=0', pixels)
    p.hover('#text .t >> nth=3')
    p.until(f"({pixels})(document.querySelector('#strips canvas')) !== '{end}'")
    p.locator('#strips canvas').first.click(position=dict(x=2, y=2))
    assert p.input_value('#colour') == 'unit' and p.input_value('#unit-n') == '0'
    p.set(**{'unit-n': 48}) # There are 0 to 47
    assert '0 to 47' in p.said('unit-wrong') and p.is_visible('#unit-wrong')
    p.set(**{'unit-n': 47})
    assert not p.is_visible('#unit-wrong')


def test_the_state_stays_where_it_is_while_the_text_changes(page):
    "A square that moves is missed"
    p = page('bible')
    p.write('<Genesis>\t', length=120)
    tops = set()
    for i in range(8, 60, 7):
        p.hover(f'#text .t >> nth={i}')
        p.until("document.querySelector('.bar.taken')")
        tops.add(round(p.locator('#strips').bounding_box()['y']))
    assert len(tops) == 1


# --- scoring

def test_score_is_that_of_python(page, python):
    for name, text in (('letters', 'the cat, and then\nthe dog.'), ('words', 'one . two\n. three . ten')):
        p, (model, vocab) = page(name), python(name)
        p.click('#tab-score')
        p.fill('#own', text)
        p.press('#own', 'Control+Enter')
        p.wait_for_selector('#result:not([hidden])')
        n, want = len(vocab.encode(text)) - 1, score(model, vocab, text, window=256).bits['stateful']
        read = p.eval_on_selector('#result', 'o => ({...o.dataset})')
        assert int(read['tokens']) == n and abs(float(read['bits'])/n - want) < 1e-4
        shown = vocab.text(vocab.encode(text))
        length = len(shown) - len(vocab.tokens(text)[0])
        assert f'{want*n/length:.3f}' in p.said('result') and p.all() == shown
        assert any(p.shades())


def test_verses_are_scored_one_by_one(page, python):
    p, (model, vocab) = page('bible'), python('bible')
    verses = ['<Genesis>\tIn the beginning God created the heaven.\n', '<Ruth>\tAnd she said.\n']
    p.click('#tab-score')
    p.fill('#own', ''.join(verses))
    p.click('#score')
    p.wait_for_selector('#result:not([hidden])')
    want = torch.cat([logps(model, vocab, o) for o in verses])
    read = p.eval_on_selector('#result', 'o => ({...o.dataset})')
    assert int(read['tokens']) == len(want)
    assert abs(float(read['bits']) + want.sum().item()/math.log(2)) < 1e-3 * len(want)


# --- what is unknown, damaged or missing

def test_unknown_characters_are_named_and_removed(page):
    p = page('bible')
    p.fill('#prompt', 'He said “déjà” é 7')
    told = p.said('unknown-write')
    assert all(o in told for o in '“”éà7') and 'é2 times' in told.replace(' 2', '2')
    p.click('#write')
    assert p.all() == ''
    p.click('text=Use plainer ones')
    assert p.input_value('#prompt') == 'He said “deja” e 7' and p.is_visible('#unknown-write')
    p.click('text=Remove them')
    assert p.input_value('#prompt') == 'He said deja e ' and not p.is_visible('#unknown-write')
    assert p.write(length=20).startswith('He said deja e ')
    p = page('words')
    p.fill('#prompt', 'one two zebra')
    assert 'zebra' in p.said('unknown-write')
    p.click('text=Remove it')
    assert p.input_value('#prompt') == 'one two'
    p.fill('#prompt', 'one .')


def damaged(site, name, change):
    def answer(route):
        data = (site/'models'/name).read_bytes()
        route.fulfill(body=change(bytearray(data)), content_type='application/octet-stream')
    return answer

def cut(data): return bytes(data[:1000])
def flipped(data):
    data[len(data)//2] ^= 1
    return bytes(data)

def other_shape(data): return json.dumps(json.loads(data) | dict(hidden=77))
def other_vocab(data):
    d = json.loads(data)
    d['vocab']['chars'] += 'é'
    return json.dumps(d)


@pytest.mark.parametrize('engine', ['light', 'onnx'])
def test_what_failed_is_said_and_tried_again(reader, site, python, engine):
    "Each failure has another message than the one before it: an old one is no answer"
    r, missing = reader(), lambda route: route.fulfill(status=404, body='')
    cases = [
        ('models/index.json', missing, '404'),
        ('models/index.json', lambda o: o.fulfill(body='<html>'), 'is no JSON'),
        ('models/index.json', lambda o: o.fulfill(body='{"format": "x"}'), 'has the format “x”'),
        ('letters/model.onnx', missing, '404'),
        ('letters/model.onnx', lambda o: o.abort(), 'no connection'),
        ('letters/model.onnx', damaged(site, 'letters/model.onnx', cut), 'damaged: it has 1,000 bytes'),
        ('letters/model.onnx', damaged(site, 'letters/model.onnx', flipped), 'SHA-256'),
        ('letters/model.json', lambda o: o.fulfill(body='{'), 'is no JSON'),
        ('letters/model.json', lambda o: o.fulfill(body='{}'), 'has the format'),
        ('letters/model.json', damaged(site, 'letters/model.json', other_shape), 'layers of 77'),
        ('letters/model.json', damaged(site, 'letters/model.json', other_vocab), 'layers of 48')]
    wasm = 'vendor/ort-wasm-simd-threaded.wasm'
    if engine == 'onnx': cases = [
        ('vendor/ort*.mjs', missing, 'could not be loaded'),
        (wasm, missing, '404'),
        (wasm, lambda o: o.fulfill(body=b'abc'), 'damaged: it has 3 bytes'),
        (wasm, lambda o: o.continue_(url=r.home.replace('some/site/', 'damaged.wasm')),
         f'{wasm} is damaged'), # And not the model
        ('letters/model.json', damaged(site, 'letters/model.json', other_shape), 'layers of 77')]
    for path, answer, message in cases:
        r.route(f'**/{path}', answer)
        if r.url == 'about:blank': r.open(f'?model=letters&pace=full&temperature=1&engine={engine}', 'failed')
        else: r.click('#retry')
        r.until('m => document.querySelector("#trouble-text").textContent.includes(m)', message, seconds=40)
        assert r.wait('failed').is_disabled('#write') and r.is_visible('#trouble'), path
        r.unroute(f'**/{path}')
    r.click('#retry')
    r.wait()
    assert not r.is_visible('#trouble')
    model, vocab = python('letters')
    assert r.write('a', length=9) == 'a' + generate(model, vocab, 'a', 9, seed=1)


def test_a_missing_worker_is_said(reader):
    r = reader()
    r.route('**/worker.js', lambda o: o.fulfill(status=404, body=''))
    r.open('', 'failed')
    assert 'worker.js could not be started' in r.said('trouble-text')
    r.unroute('**/worker.js')
    r.click('#retry')
    r.wait()


def test_a_missing_part_is_said(reader):
    r = reader()
    r.route('**/facts.js', lambda o: o.abort())
    r.goto(r.home)
    r.wait_for_selector('#broken:not([hidden])')
    assert 'load the page again' in r.said('broken')


def test_a_page_without_https_says_what_it_could_not_check(reader, site):
    "`crypto.subtle` is missing there"
    r, worker = reader(), 'Object.defineProperty(crypto, "subtle", {value: undefined})\n'
    allowed = {'Cross-Origin-Embedder-Policy': 'require-corp'}
    r.route('**/fetch.js', lambda o: o.fulfill(body=worker + (site/'fetch.js').read_text('utf-8'),
                                               content_type='text/javascript', headers=allowed))
    r.open('?model=letters')
    assert 'by its size alone' in r.inner_text('#facts')


def test_an_unknown_model_in_the_address(reader):
    r = reader().open('?model=none&prompt=%3CJob%3E%09')
    assert 'no model “none”' in r.said('notice') and r.is_checked('input[value=bible]')


def test_wrong_settings_in_the_address_are_left_out_and_named(reader):
    r = reader().open('?model=letters&temperature=abc&top_p=7&seed=-1&n=30')
    told, fields = r.said('notice'), ('temperature', 'top-p', 'seed', 'length')
    assert [o in told for o in ('temperature=abc', 'top_p=7', 'seed=-1', 'n=30')] == [True, True, True, False]
    assert [r.input_value(f'#{o}') for o in fields] == ['0.8', '', '1', '30']


# --- the page around it

def test_address_says_and_keeps_what_is_set(reader):
    query = '?model=letters&prompt=cat&temperature=0.5&seed=12&top_k=4&n=30&pace=full&stop=1'
    r = reader().open(query)
    values = {k: r.input_value(f'#{k}') for k in ('prompt', 'temperature', 'seed', 'top-k', 'length', 'pace')}
    assert list(values.values()) == ['cat', '0.5', '12', '4', '30', 'full'] and r.is_checked('#stop-line')
    r.set(seed=13).check('input[value=words]')
    r.wait().fill('#prompt', 'ten')
    r.until('/seed=13/.test(location.search) && /model=words&prompt=ten/.test(location.search)')
    assert 'n=30' in r.url and r.goto(r.url) and r.wait().input_value('#prompt') == 'ten'
    r.close()


def test_phone_width_and_dark(reader):
    r = reader(viewport=dict(width=360, height=740), color_scheme='dark', has_touch=True).open('?pace=full')
    r.eval_on_selector('#settings', 'o => { o.open = false }')
    bottom = lambda o: (b := r.locator(o).bounding_box())['y'] + b['height']
    assert bottom('#write') < 740
    r.write('<Genesis>\t')
    r.locator('#text .t').nth(4).tap()
    r.wait_for_selector('.bar.taken')
    assert bottom('#why-where') < 740 and r.locator('#text .t').nth(4).bounding_box()['y'] < \
        r.locator('.why').bounding_box()['y'] # What is said of it is seen, and it is seen itself
    r.click('#close')
    r.set(colour='unit').fill('#prompt', 'ö' * 300)
    for tab in ('score', 'guess', 'heat', 'real', 'write'):
        r.click(f'#tab-{tab}')
        assert r.evaluate('document.documentElement.scrollWidth') == 360
    back = 'getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)'
    assert max(r.evaluate(back)) < 60
    r.click('#theme')
    assert min(r.evaluate(back)) > 200
    r.open()
    assert min(r.evaluate(back)) > 200
    r.close()


@pytest.mark.parametrize('width', [1000, 1120, 1280, 700])
def test_nothing_sticks_out(shared, width):
    shared.set_viewport_size(dict(width=width, height=900))
    out = shared.evaluate("""() => [...document.querySelectorAll('.card, .card *')].filter(o => {
        const box = o.parentElement.closest('.card')?.getBoundingClientRect(), own = o.getBoundingClientRect()
        return box && own.width && own.right > box.right + 1 && !o.closest('.examples, .tabs')
    }).map(o => o.id || o.className)""")
    shared.set_viewport_size(dict(width=1280, height=900))
    assert out == []


def test_little_moves_while_it_loads_and_writes(reader):
    for size in (dict(width=1280, height=900), dict(width=390, height=844)):
        r = reader(moving=True, viewport=size)
        r.add_init_script("""window.moved = 0
            new PerformanceObserver(all => { for (const o of all.getEntries()) window.moved += o.value })
              .observe({type: 'layout-shift', buffered: true})""")
        r.goto(r.home + '?model=bible&n=60&stop=0&pace=full')
        r.until('document.querySelectorAll("#text .t").length === 61')
        assert r.evaluate('window.moved') < 0.05


def test_loading_shows_bytes_and_the_facts_stand_on_the_page(reader, site):
    r = reader()
    r.route('**/*.onnx', lambda route: None)
    r.open('?model=gru', 'loading')
    r.until("/^\\d.*kB of \\d.*kB$/.test(document.querySelector('#loading-bytes').textContent)")
    assert 'Loading gru' in r.said('loading-what')
    r.unroute('**/*.onnx')
    r.check('input[value=words]')
    r.wait()
    assert not any('vendor' in o for o in r.requests) # No runtime
    told = r.inner_text('#facts')
    for o in ('Loaded in', 'light.js', 'SHA-256', 'LMModel7', 'not trained', 'Apache-2.0', '0.50\xa0s'):
        assert o in told
    r.write(length=30, pace='full')
    assert re.search(r'[\d,]+ tokens per second, [\d.]+ ms each', r.inner_text('#facts'))
    marks = r.evaluate("performance.getEntriesByType('mark').map(o => o.name)") # For `make bench-web`
    assert {'lmfs-ready', 'lmfs-begin', 'lmfs-first'} <= set(marks)
    r.close()


def test_no_step_has_no_duration(reader, site):
    "A text that is as long as the page keeps: to continue takes no step, and there is no time to tell"
    r, worker = reader(), (site/'worker.js').read_text('utf-8')
    full = re.sub(r'maxTokens = [\d_]+', 'maxTokens = 24', worker)
    assert full != worker
    allowed = {'Cross-Origin-Embedder-Policy': 'require-corp'} # As the server says of each file
    r.route('**/worker.js', lambda o: o.fulfill(body=full, content_type='text/javascript', headers=allowed))
    r.open('?model=words')
    r.write('one . two .', length=100, pace='full')
    assert 'as long as this page keeps, 24\xa0words: start again' in r.said('stats')
    assert r.is_disabled('#more')
    assert '\xa0ms for each' in r.said('stats') and 'NaN' not in r.inner_text('body')
    r.click('#clear')
    r.fill('#prompt', 'one ' * 24)
    r.click('#write') # The prompt alone fills it: no step, and no time to tell
    r.wait().until('/start again/.test(document.querySelector("#stats").textContent)')
    assert 'NaN' not in r.inner_text('body')
    r.close()


def test_reading_is_not_counted_into_the_speed(reader, site):
    "And a number is never parted from its unit by a line's end"
    r, worker = reader(), (site/'worker.js').read_text('utf-8')
    slow = worker.replace('await read(id, true)', 'await sleep(25)\n    await read(id, true)')
    assert slow != worker
    allowed = {'Cross-Origin-Embedder-Policy': 'require-corp'} # As the server says of each file
    r.route('**/worker.js', lambda o: o.fulfill(body=slow, content_type='text/javascript', headers=allowed))
    r.open('?model=letters')
    start = time.monotonic()
    r.write('the ' * 20, length=40, pace='full')
    took, said = time.monotonic() - start, r.said('stats')
    seconds = float(r.get_attribute('#stats', 'data-seconds'))
    assert took > 2 and seconds < took - 1.9 # Eighty characters were read, 25 ms each
    assert re.match(r'40\u00a0characters in [\d.]+\u00a0m?s, [\d,]+ a second\. ', said)
    assert re.search(r'The model takes [\d.]+\u00a0ms ', said)
    r.close()


def test_the_games(reader, python):
    r, (model, vocab) = reader().open('?pace=full'), python('bible')
    r.click('#tab-guess')
    r.until("document.querySelectorAll('#text .t').length > 5")
    before, texts = r.all(), r.evaluate('import("./held_out.js").then(o => o.heldOut.bible)')
    following = {o[len(before)] for o in texts if o.startswith(before)}
    for c in ('@', '@', *following): r.fill('#guess-key', c) # The same guess twice is one
    r.until("/at the first guess/.test(document.querySelector('#guess-said').textContent)")
    r.click('#guess-skip')
    r.until("n => document.querySelector('#text').textContent.length === n", len(before) + 2)
    bits = -logps(model, vocab, r.all())[-2:].mean().item()/math.log(2)
    assert f'{bits:.2f} bits a letter by its probabilities' in r.said('guess-said')
    mine = (math.log2(6) + math.log2(2*(len(vocab) + 1)*len(vocab)))/2 # Two guesses, then given up
    assert len(following) > 1 or f'You: 0 of 2 at the first guess, {mine:.2f} bits' in r.said('guess-said')
    # Whatever was seen, it is a code: the chances of all numbers, and of all letters when given up, make 1
    total = r.evaluate("""import("./games.js").then(({guessBits}) => [0, 1, 2, 3, 4, 5, 6, 7].map(r =>
        (r ? 1 : 7) * 2 ** -guessBits(r, [1, 1, 3, 0], 7)).reduce((a, b) => a + b))""")
    assert abs(total - 1) < 1e-12
    r.click('#tab-heat')
    r.until("document.querySelectorAll('#heat-texts .text:not(:empty)').length === 3")
    heats = r.eval_on_selector_all('#heat-texts .text', 'all => all.map(o => o.textContent)')
    for text, t in zip(heats, (0.3, 0.8, 1.5), strict=True):
        assert text == '<' + generate(model, vocab, '<', len(text) - 1, temperature=t, seed=1)
    r.click('#tab-real')
    r.until("document.querySelectorAll('#real-texts button').length === 2")
    shown = r.eval_on_selector_all('#real-texts button', 'all => all.map(o => o.textContent)')
    r.click('#real-texts button >> nth=0')
    assert 'of 1' in r.said('real-said') and r.locator('#real-texts .right').count() == 1
    real = r.text_content('#real-texts .right')
    assert [o in texts for o in shown] in ([True, False], [False, True]) and real in texts
    r.check('input[value=words]') # It has no texts to play with
    r.until("/no text/.test(document.querySelector('#real-said').textContent)")
    r.click('#tab-write')
    assert r.write(length=5)
    r.close()


def test_readable_by_others_than_eyes(page):
    p = page('letters')
    nameless = p.evaluate("""() => [...document.querySelectorAll('button, input, select, textarea, canvas')]
        .filter(o => !(o.labels?.length || o.textContent.trim() || o.getAttribute('aria-label')))
        .map(o => o.outerHTML)""")
    assert nameless == []
    text = p.write('the ', length=20)
    assert p.get_attribute('#say', 'aria-live') == 'polite' and text[4:].strip()[:9] in p.said('say')
    assert p.get_attribute('#text', 'aria-live') is None # Else each character would be read out


def test_a_name_with_a_dot_and_runs_whose_text_is_gone(site, tmp_path):
    "A checkpoint of SaveEachEpoch; a run over a file of lines that has moved; one that was begun with a list"
    lines = [f'{o}\n' for o in human_numbers()[:60]]
    (tmp_path/'lines.txt').write_text(''.join(lines))
    recipe = replace(verse_recipe, args=dict(n_hidden=8, n_emb=4), bs=4, sl=64)
    tiny = dict(recipe=recipe, kind='verses', threads=1, steps=1)
    moved, listed = tmp_path/'moved', tmp_path/'listed'
    new_run(tmp_path/'lines.txt', moved, **tiny).train(progress=False).write()
    new_run(['>' + o for o in lines], listed, **tiny).train(progress=False).write()
    (tmp_path/'lines.txt').unlink()
    dotted = save_lm(CharLSTM(len(letters), 8), letters, tmp_path/'epoch003_loss1.4523')
    index = build_page([dotted, moved, listed], tmp_path/'www')
    assert [o['title'] for o in index['models']] == ['epoch003_loss1.4523', 'moved', 'listed']
    about = [json.loads((tmp_path/'www'/o['folder']/'model.json').read_text()) for o in index['models']]
    assert [o['prompts'] for o in about] == [[], ['<'], ['>']]


def test_small_and_its_own(site):
    own = [o for o in site.iterdir() if o.is_file()]
    assert {o.suffix for o in own} == {'.html', '.css', '.js'}
    assert sum(o.stat().st_size for o in own) < 120 * 1024
    for o in own:
        text = o.read_text('utf-8')
        assert not re.search('//[a-z]|@import|[^-]http:', re.sub('(?m)^ *//.*| // .*', '', text)), o.name
        assert max(map(len, text.split('\n'))) <= 110, o.name
    whole = [o for o in site.rglob('*') if o.is_file() and not small.keys() & set(o.parts)]
    assert sum(o.stat().st_size for o in whole) < 22e6


def test_all_models_are_a_small_visit(page_site):
    "What a browser fetches that tries each model: everything but the second engine"
    files = [o for o in page_site.rglob('*') if o.is_file() and 'vendor' not in o.parts]
    assert sum(o.stat().st_size for o in files) < 2.5e6


# --- another browser

async def in_firefox(address, js, profile):
    "What `js` gives at an address when it gives something, in a stock Firefox driven over WebDriver BiDi"
    import tornado.websocket
    cmd = ['--headless', '--no-remote', '--remote-debugging-port', '0', '--profile', str(profile)]
    process = subprocess.Popen([firefox, *cmd], stderr=subprocess.PIPE, text=True)
    try:
        url = next(m[1] for o in process.stderr if (m := re.search(r'BiDi listening on (ws://\S+)', o)))
        socket, ids = await tornado.websocket.websocket_connect(f'{url}/session'), itertools.count()

        async def ask(method, **params):
            n = next(ids)
            await socket.write_message(json.dumps(dict(id=n, method=method, params=params)))
            while (got := json.loads(await socket.read_message())).get('id') != n: pass
            assert got['type'] == 'success', got
            return got['result']

        await ask('session.new', capabilities={})
        tab = (await ask('browsingContext.getTree'))['contexts'][0]['context']
        await ask('browsingContext.navigate', context=tab, url=address, wait='complete')
        for _ in range(200):
            got = await ask('script.evaluate', expression=js, target=dict(context=tab), awaitPromise=False)
            if got['result'].get('value'): return got['result']['value']
            await asyncio.sleep(0.1)
    finally: process.terminate()


@pytest.mark.skipif(not firefox, reason='no Firefox on this machine')
@pytest.mark.parametrize('query', ['model=bible', 'model=bible&engine=onnx', 'model=words'])
def test_firefox_writes_what_python_writes(home, python, tmp_path, query):
    js = "document.documentElement.dataset.state === 'ready' && document.querySelector('#text').textContent"
    address = f'{home}?{query}&seed=7&n=90&stop=0&pace=full'
    model, vocab = python(re.search(r'model=(\w+)', query)[1])
    with ThreadPoolExecutor() as pool: # Playwright's loop runs in this thread
        text = pool.submit(asyncio.run, asyncio.wait_for(in_firefox(address, js, tmp_path), 60)).result()
    prompt = 'one . two .' if query == 'model=words' else '<'
    written = generate(model, vocab, prompt, 90, temperature=0.8, seed=7)
    assert text.strip() == (prompt + vocab.sep + written).strip()
