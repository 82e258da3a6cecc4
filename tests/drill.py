"""Attacks on runs, files, server and command line, and a table of what came of them

`make drill` runs all of it, test_drill.py a part. PyTorch is imported once; each attack is a process of its
own, made by fork. What must not happen stands in capitals."""
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import torch  # noqa: F401 (imported here once, and not in each child)

from lmfromscratch.all import *
from lmfromscratch.engine import cli

text = '\n'.join(human_numbers()[:1500])
lines = ''.join(f"<{'odd' if i % 2 else 'even'}>\t{o}\n" for i, o in enumerate(human_numbers()[:400]))
sizes = ('--hidden', '12', '--bs', '4', '--sl', '8', '--threads', '2', '--precision', 'float32')


# --- one command in one process

def command(*args):
    "`lmfs args` in this process, with the status that a shell would see"
    try: cli.lmfs([str(o) for o in args])
    except SystemExit as e:
        if isinstance(e.code, str): print(e.code, file=sys.stderr)
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    return 0


def begun(f, *args, log):
    "The id of a child that calls `f`, whose result is its status; what it prints goes to the file `log`"
    child = os.fork()
    if child: return child
    try:
        out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        for o in (1, 2): os.dup2(out, o)
        for name in ('stdout', 'stderr'): setattr(sys, name, os.fdopen(1 if name == 'stdout' else 2, 'w'))
        signal.signal(signal.SIGINT, signal.default_int_handler) # A shell's background jobs ignore it
        status = f(*args)
    except BaseException:
        traceback.print_exc()
        status = 70
    finally:
        with contextlib.suppress(Exception):
            for o in (sys.stdout, sys.stderr): o.flush()
        os._exit(status)


def ended(child, seconds=60, then=signal.SIGKILL):
    "The status of a child, negative for a signal; if it takes too long, it gets one; 'hangs' if it is killed"
    until = time.time() + seconds
    while time.time() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid: return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, then)
    if then != signal.SIGKILL: return ended(child, 30)
    os.waitpid(child, 0)
    return 'hangs'


# --- lives: what a run does from its beginning to its end

def run_life(kind, text_file):
    "A life with a Ctrl-C at step 6: train, and resume to the end"
    def life(out):
        step = Run.train_step
        def train_step(self):
            step(self)
            if self.step == 6: signal.raise_signal(signal.SIGINT)
        Run.train_step = train_step
        how = ['--verses'] if kind == 'verses' else ['--model', 'lstm']
        try:
            for _ in range(2):
                if (out/'run.json').exists(): status = command('resume', out)
                else: status = command('train', text_file, '--steps', 12, '--out', out, *how, *sizes)
                if status: return status
        finally: Run.train_step = step
        return 0
    return life


def ladder_life(out): return command('course', '--models', '1,3', '--epochs', 1, '--out', out, '--quiet')


def result(out):
    "What must be the same in the end, however often it was interrupted: everything but times"
    found = {}
    for o in sorted(out.glob('[!.]*')):
        if o.name.startswith('checkpoint') or o.suffix in ('.svg', '.part'): continue
        if o.suffix == '.csv':
            d = pd.read_csv(o)
            found[o.name] = d.drop(columns={*d} & {'seconds', 's_epoch', 'times_first'}).to_csv()
        elif o.suffix == '.json':
            d = json.loads(o.read_text())
            d.get('training', {}).pop('seconds', None)
            found[o.name] = json.dumps(d, sort_keys=True)
        else: found[o.name] = hashlib.sha256(o.read_bytes()).hexdigest()
    return found


def finished(life, out, log):
    "Let a life come to its end"
    for _ in range(3):
        status = ended(begun(life, out, log=log))
        said = log.read_text()
        if status == 0 or 'is done' in said: return True
        if 'Traceback' in said: return False
    return False


def random_kills(life, n, folder, seed=0, longest=None):
    "Kill a life at random moments, at least `n` times in all, and compare each end with that of a quiet one"
    folder.mkdir()
    log, dice, found = folder/'log', random.Random(seed), Counter()
    start = time.time()
    assert finished(life, folder/'quiet', log), log.read_text()
    longest = longest or time.time() - start
    want = result(folder/'quiet')
    while found['tried'] < n:
        out = folder/f"run{found['tried']}"
        while True: # Until it survives
            child = begun(life, out, log=log)
            time.sleep(dice.uniform(0, longest))
            with contextlib.suppress(ProcessLookupError): os.kill(child, signal.SIGKILL)
            if ended(child) != -signal.SIGKILL: break
            found['tried'] += 1
        check_end(life, out, log, want, found)
    return found


def check_end(life, out, log, want, found):
    same = finished(life, out, log) and result(out) == want
    found['equal, bit for bit' if same else 'LOST'] += 1
    if same: shutil.rmtree(out)
    else: print(f"{out}: {log.read_text()[-2000:]}")


def killing_at(life, n):
    "A life that is killed before its n-th write, rename, flush or removal; a flush finds half of the file"
    def f(out):
        seen = [0]
        def count(path=None):
            seen[0] += 1
            if seen[0] != n: return
            if path is not None: os.ftruncate(path, os.fstat(path).st_size//2)
            os.kill(os.getpid(), signal.SIGKILL)
        def watch(event, args):
            writes = event == 'open' and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and str(out) in str(args[0]) or event in ('os.rename', 'os.remove', 'os.mkdir'): count()
        fsync = os.fsync
        def counted(handle):
            count(handle if os.path.isfile(f'/proc/self/fd/{handle}') else None)
            fsync(handle)
        os.fsync = counted
        sys.addaudithook(watch)
        return life(out)
    return f


def every_write(life, folder, every=1, first=1):
    "Kill a life once at each of its writes, and compare each end with that of a quiet one"
    folder.mkdir()
    log, found = folder/'log', Counter()
    assert finished(life, folder/'quiet', log), log.read_text()
    want = result(folder/'quiet')
    for i in range(first, 10_000, every):
        out = folder/f'run{i}'
        status = ended(begun(killing_at(life, i), out, log=log))
        if status == 0: return found # It has no such write any more
        found['tried'] += 1
        check_end(life, out, log, want, found)


# --- hostile files

def nasty_value(dice):
    return dice.choice([None, True, -1, 0, 10**9, 10**30, 1e308, float('nan'), float('inf'), '', 'x'*5000,
                        '\0', '²', [], {}, [[]], [None], {'a': 1}, '../../etc', 3.5, [1, 'a'], '<script>',
                        '\ud800'])


def nasty_json(data, dice):
    "Valid JSON with something else in one place of it, or no JSON at all"
    d = json.loads(data)
    kind = dice.randrange(6)
    if kind == 0: return b'[' * 100_000
    if kind == 1: return data[:dice.randrange(len(data))]
    for _ in range(dice.randrange(1, 3)): # Walk down to some place
        at = d
        while isinstance(at, (dict, list)) and at:
            key = dice.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if dice.random() < 0.5 or not isinstance(at[key], (dict, list)) or not at[key]:
                if isinstance(at, dict) and dice.random() < 0.2: del at[key]
                else: at[key] = nasty_value(dice)
                break
            at = at[key]
    return json.dumps(d).encode()


def nasty_tensors(data, dice):
    "A safetensors file with another header, cut off, with other bytes, or of another kind"
    size = struct.unpack('<Q', data[:8])[0]
    header, rest = json.loads(data[8:8+size]), bytearray(data[8+size:])
    kind, names = dice.randrange(9), [k for k in header if k != '__metadata__']
    name = dice.choice(names)
    if kind == 0: return data[:dice.randrange(len(data))]
    if kind == 1: return b'PK\3\4' + data[4:]
    if kind == 2: return struct.pack('<Q', dice.choice([0, 1, 2**62, size+1, size-1])) + data[8:]
    if kind == 3: # Other numbers: weights become infinite, or only others
        for _ in range(50): rest[dice.randrange(len(rest))] = dice.choice([0, 127, 255])
    if kind == 4: header[name]['shape'] = header[name]['shape'][::-1] + [1]
    if kind == 5: header[name + 'x'] = header.pop(name)
    if kind == 6: header[name]['dtype'] = dice.choice(['F64', 'I64', 'U8', 'BOOL', 'F16', 'X9'])
    if kind == 7: header[name]['data_offsets'] = [0, dice.choice([0, 4, 10**12])]
    if kind == 8: header['__metadata__'] = {'run': dice.choice(['[' * 100_000, '{}', '{"step": -1}', '"'])}
    new = json.dumps(header).encode()
    return struct.pack('<Q', len(new)) + new + bytes(rest)


def nasty_bytes(data, dice):
    data = bytearray(data)
    kind = dice.randrange(4)
    if kind == 0: return bytes(data[:dice.randrange(len(data))])
    if kind == 1: return b''
    if kind == 2: return b'\x80\x04cos\nsystem\n(S"touch owned"\ntR.' # A pickle that would run a command
    for _ in range(20): data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def examples(folder):
    "A run, its model, an exported model and a page that are whole; file -> the commands that read it"
    folder.mkdir()
    (folder/'text.txt').write_text(text)
    for args in (('train', folder/'text.txt', '--steps', 4, '--out', folder/'run', *sizes, '--quiet'),
                 ('export', folder/'run', '--out', folder/'exported')):
        log = folder.with_suffix('.log')
        assert ended(begun(command, *args, log=log)) == 0, log.read_text()
    (folder/'run'/checkpoints[1]).unlink() # So that the newest counts
    shutil.copytree(folder/'run', folder/'alone')
    for o in ('run.json', checkpoints[0]): (folder/'alone'/o).unlink()
    of_run = [('sample', 'run', '--n', 5), ('resume', 'run', '--minutes', 0.001, '--quiet'), ('score', 'run')]
    of_model = [('sample', 'alone', '--n', 5), ('score', 'alone', 'text.txt'),
                ('export', 'alone', '--out', 'there')]
    of_graph = [('sample', 'exported', '--n', 5), ('score', 'exported', 'text.txt')]
    return {f'run/{checkpoints[0]}': (nasty_tensors, of_run), 'run/run.json': (nasty_json, of_run),
            'alone/model.json': (nasty_json, of_model), 'alone/model.safetensors': (nasty_tensors, of_model),
            'exported/model.json': (nasty_json, of_graph), 'exported/model.onnx': (nasty_bytes, of_graph),
            'text.txt': (nasty_bytes, [('score', 'alone', 'text.txt'), ('resume', 'run')])}


def in_folder(folder, *args):
    "A command that may take 3 GB more than what it has now"
    os.chdir(folder)
    now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 3 * 2**30,) * 2)
    return command(*args)


def verdict(status, said):
    "What came of a command that may succeed, or fail with a line or two"
    if 'Traceback' in said: return 'TRACEBACK'
    if status == 'hangs': return 'HANGS'
    if status not in (0, 1, 2, 130): return f'STATUS {status}'
    if status in (0, 130): return 'taken'
    told = [o for o in said.splitlines() if o.startswith('lmfs')]
    short = len(said.splitlines()) <= (24 if status == 2 else 4) # argparse shows how the command is used
    return 'refused in a line or two' if told and short else 'UNCLEAR'


def hostile_files(n, folder, seed=0):
    "Change one file of a good example, and have it read"
    found, dice, log = Counter(), random.Random(seed), folder.with_suffix('.log')
    files = examples(folder)
    for i in range(n):
        name = list(files)[i % len(files)]
        change, commands = files[name]
        where, args = folder.with_name('now'), dice.choice(commands)
        shutil.copytree(folder, where)
        data = change((where/name).read_bytes(), dice)
        (where/name).write_bytes(data)
        if name.endswith('.onnx'): # Whoever changes the graph can change what is said of it
            about = json.loads((where/'exported'/'model.json').read_text())
            about |= dict(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            (where/'exported'/'model.json').write_text(json.dumps(about))
        status = ended(begun(in_folder, where, *args, log=log))
        count(found, verdict(status, log.read_text(errors='replace')), (i, name, args, status), log)
        if (where/'owned').exists(): found['CODE RAN'] += 1
        shutil.rmtree(where)
    return found


def count(found, what, told, log):
    found['tried'] += 1
    found[what] += 1
    if what.split()[0].isupper(): print(what, *told, log.read_text(errors='replace')[-1500:], sep='\n  ')


# --- bad command lines

def command_lines(dice, folder):
    "Commands with one or two options whose values nobody should give"
    values = ['-1', '0', 'nan', 'inf', '-inf', '1e400', '1e-9', '1000000000', '9'*30, '²', '', ' ', 'x'*5000,
              '../..', '1.5', '--', '٣', '0x10', 'None', '\0', '/dev/null', '-5', '100000', 'int9', 'run',
              '1-']
    run, file = folder/'run', folder/'text.txt'
    base = dict(
        course=['--models', '1', '--epochs', '1', '--out', folder/'course', '--quiet'],
        train=[file, '--steps', '1', '--out', folder/'new', '--quiet', *sizes], resume=[run, '--quiet'],
        score=[run, file], sample=[run, '--n', '5'], export=[run, '--out', folder/'there'],
        page=[run, '--out', folder/'site'], serve=[folder/'run', '--port', '0'])
    name = dice.choice(list(base))
    parser, args = cli.parser_of(cli.commands[name], name), [str(o) for o in base[name]]
    known = [o.option_strings[-1] for o in parser._actions if o.option_strings and o.nargs != 0]
    for _ in range(dice.choice([1, 1, 2])): args += [dice.choice(known), dice.choice(values)]
    if dice.random() < 0.15: args.insert(0, dice.choice(values)) # Another place, or one too many
    return [name, *args]


def bad_commands(n, folder, seed=0):
    found, dice, log = Counter(), random.Random(seed), folder.with_suffix('.log')
    examples(folder)
    for i in range(n):
        where = folder.with_name('now')
        shutil.copytree(folder, where)
        args = command_lines(dice, where)
        child = begun(in_folder, where, *args, log=log)
        status = ended(child, 8, signal.SIGINT) # Some of them may take long, or have no end
        count(found, verdict(status, log.read_text(errors='replace')), (i, args, status), log)
        shutil.rmtree(where)
    return found


# --- requests

def many_requests(n, folder):
    "All at once, from a page of one file"
    folder.mkdir()
    (folder/'index.html').write_text('x' * 300_000)
    found, lock = Counter(), threading.Lock()
    with page_server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        def ask():
            try: ok = len(urlopen(f'http://127.0.0.1:{server.server_port}/', timeout=30).read()) == 300_000
            except OSError: ok = False
            with lock: found.update({'tried': 1, 'served' if ok else 'FAILED': 1})
        threads = [threading.Thread(target=ask) for _ in range(n)]
        for o in threads: o.start()
        for o in threads: o.join()
        server.shutdown()
    return found


# --- all of it

def drill(kills=50, every=1, files=400, commands=300, requests=200, kinds=('text', 'verses', 'ladder')):
    "Name -> what was tried, and what came of it"
    found = {}
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for name, content in (('text', text), ('verses', lines)): (tmp/f'{name}.txt').write_text(content)
        lives = dict(text=run_life('text', tmp/'text.txt'), verses=run_life('verses', tmp/'verses.txt'),
                     ladder=ladder_life)
        with open(os.devnull, 'w') as nobody, contextlib.redirect_stdout(nobody):
            lives['text'](tmp/'warm') # What is imported, and drawn for the first time, is so for all children
        for kind in kinds:
            life, random_, writes = lives[kind], f'{kind}: kills at random', f'{kind}: kills at a write'
            if kills: found[random_] = random_kills(life, kills, tmp/f'random_{kind}')
            if every: found[writes] = every_write(life, tmp/f'writes_{kind}', every)
        if files: found['hostile files'] = hostile_files(files, tmp/'files')
        if commands: found['bad command lines'] = bad_commands(commands, tmp/'commands')
        if requests: found['requests at once'] = many_requests(requests, tmp/'page')
    return found


def table(found): return pd.DataFrame(found).T.fillna(0).astype(int)
def bad(found): return [o for row in found.values() for o in row if o.split()[0].isupper()]


if __name__ == '__main__':
    options = {k: int(v) for k, v in (o.split('=') for o in sys.argv[1:])}
    start, found = time.time(), drill(**options)
    print(f"\n{table(found).to_string()}\n\n{time.time()-start:.0f} s")
    sys.exit(bool(bad(found)))
