"Write constraints.txt: one pinned version of every package, for each Python that the course accepts"
import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from project import root, settings

out = root/"constraints.txt"
torch = "torch==2.13.0"
header = """\
# The versions that `make` installs on Python 3.10 to 3.13, for settings.ini and all that it needs.
# Made by `make constraints` (uv pip compile --universal). Pins that still fit are kept. Not edited by hand.
"""


def requirements():
    "What settings.ini asks for, and the one version of torch that is tested"
    cfg = settings()
    keys = ("requirements", "dev_requirements", "bible_requirements", "tokens_requirements",
            "web_requirements")
    lines = "\n".join(cfg[o] for o in keys).splitlines()
    return [o.strip() for o in lines if o.strip()] + [torch]


def compile_pins(uv, upgrade):
    "Resolve from the packages' metadata alone: nothing of theirs is downloaded or installed"
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        (tmp/"in.txt").write_text("\n".join(requirements()) + "\n")
        if out.exists(): shutil.copy(out, tmp/"out.txt")
        cmd = [uv, "pip", "compile", "--universal", "--python-version", "3.10", "--no-config", "--quiet",
               "--no-annotate", "--no-header", "-o", tmp/"out.txt", tmp/"in.txt"]
        subprocess.run(cmd + ["--upgrade"]*upgrade, check=True, cwd=tmp)
        return (tmp/"out.txt").read_text()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--upgrade", action="store_true", help="move every pin to its newest version")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as env:
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        pip = [f"{env}/bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "uv"]
        subprocess.run(pip, check=True)
        pins = compile_pins(f"{env}/bin/uv", args.upgrade)
    old = out.read_text() if out.exists() else ""
    new = header + pins
    out.write_text(new)
    def names(s): return set(re.findall(r"^[a-z0-9].*", s, re.M))
    for o in sorted(names(new) ^ names(old)): print("+" if o in names(new) else "-", o)
    print(f"constraints.txt: {len(names(new))} pins")


if __name__ == "__main__": main()
