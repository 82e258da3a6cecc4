"Train and generate with the package as installed: no checkout, no nbdev. `make test-newest` runs it"
import importlib.util
import sys
from importlib.metadata import version
from tempfile import TemporaryDirectory

assert importlib.util.find_spec("nbdev") is None, "nbdev is installed here, so this proves nothing"

import lmfromscratch
from lmfromscratch.all import *
from lmfromscratch.engine.cli import lmfs

assert lmfromscratch.__file__.startswith(sys.prefix), f"not the installed package: {lmfromscratch.__file__}"
print(", ".join(f"{o} {version(o)}" for o in ("lmfromscratch", "fastai", "fastcore", "torch")))

dls = human_numbers_dls(bs=64, sl=16)
learn = lm_learner(dls, LMModel7(len(dls.vocab), 64, 2, 0.4))
with learn.no_bar(): learn.fit_one_cycle(1, 1e-2)
losses = [float(o) for o in learn.recorder.losses]
assert losses[-1] < losses[0], f"the loss did not fall: {losses[0]:.3f} to {losses[-1]:.3f}"
print(f"loss {losses[0]:.2f} to {losses[-1]:.2f} in one epoch")
print(generate(learn.model, dls.vocab, "one thousand", n=10, seed=0))

with TemporaryDirectory() as out:
    lmfs(["course", "--models", "3,7", "--epochs", "1", "--quiet", "--out", out])
    lmfs(["sample", out, "--top-k", "3", "--seed", "0", "--n", "8"])

lmfs(["sample", "model7", "--n", "6", "--temperature", "0"])
lmfs(["sample", "bible", "--seed", "1"])
