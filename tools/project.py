"Where the project keeps what: settings, chapters, the engine room's notebooks, and a copy of what git has"
import json
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def settings(root=root):
    ini = ConfigParser(delimiters=["="])
    ini.read(root/"settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def chapters(nbs=root/"nbs"): return sorted(nbs.glob("[0-9][0-9]_*.ipynb"))


def notebooks(nbs=root/"nbs"):
    "The chapters and the front page, then the engine room"
    return [*sorted(nbs.glob("[!_.]*.ipynb")), *sorted((nbs/"engine").glob("[!_.]*.ipynb"))]


def name_of(path, nbs=root/"nbs"):
    "A notebook as the sidebar, `make notebooks` and messages call it: 01_data, engine/runs"
    return path.relative_to(nbs).with_suffix("").as_posix()


def joined(s): return s if isinstance(s, str) else "".join(s)


def cells(path, *kinds):
    "The cells of a notebook, all or those of some kinds, each with its source as one string"
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [c | dict(source=joined(c["source"])) for c in found if not kinds or c["cell_type"] in kinds]


def copy_checkout(dest, root=root):
    "The files that git has or would take, as they are now; without git, all but what is made again"
    r = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                       capture_output=True, text=True)
    if r.returncode:
        skip = shutil.ignore_patterns(".git", ".venv*", "_docs", "_proc", "_site", "build", "__pycache__")
        shutil.copytree(root, dest, symlinks=True, ignore=skip, dirs_exist_ok=True)
    for f in r.stdout.split("\0"):
        if not f or not (root/f).exists(): continue
        (dest/f).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root/f, dest/f, follow_symlinks=False)
    return dest
