"`python -m lmfromscratch` and `lmfs`"
import signal

# Until the command line has a handler of its own, Ctrl-C just ends it: no traceback out of an import
signal.signal(signal.SIGINT, signal.SIG_DFL)

from .engine.cli import lmfs  # noqa: E402

if __name__ == '__main__': lmfs()
