"A short form of `make drill`: kills, hostile files, bad command lines, many requests"
import subprocess
import sys
from pathlib import Path


def test_nothing_is_lost_and_nothing_let_in():
    how = 'kills=1', 'every=61', 'files=28', 'commands=16'
    r = subprocess.run([sys.executable, Path(__file__).with_name('drill.py'), *how], capture_output=True,
                       text=True, timeout=600)
    print(r.stdout) # Pytest shows it if the test fails
    assert r.returncode == 0, r.stderr[-3000:]
    for o in ('kills at random', 'kills at a write', 'hostile files', 'bad command lines', 'requests'):
        assert o in r.stdout
