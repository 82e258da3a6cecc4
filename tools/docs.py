"Build the site into `_docs` with nbdev's own processing and smalldocs, and check its links. No Quarto needed"
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs

root = Path(__file__).resolve().parent.parent
re_page = re.compile(r"(?<![\w-])(\d\d_\w+)\.html")


def page_name(name):
    "The name that nbdev's links use: 01_data.html is data.html"
    return re.sub(r"^\d+_", "", name)


def smalldocs(cmd, src):
    r = subprocess.run([sys.executable, "-m", "smalldocs.cli", *cmd.split(), str(src)])
    if r.returncode: sys.exit(f"`smalldocs {cmd}` found what stands above; the old site is left as it was")


def process(src):
    "The notebooks as the site shows them, in `src`: hidden cells gone, documentation of each function added"
    refresh_quarto_yml()
    shutil.rmtree(src, ignore_errors=True)
    shutil.copytree(proc_nbs(force=True), src)
    for p in src.rglob("*.ipynb"):
        # nbdev names the page in the front matter; smalldocs would show it, so `rename` does it instead
        nb = json.loads(p.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            if c["cell_type"] != "raw": continue
            c["source"] = re.sub(r"^output-file:.*\n", "", "".join(c["source"]), flags=re.M)
        p.write_text(json.dumps(nb), encoding="utf-8")


def rename(out, base):
    "Give each page nbdev's name, and make own links relative, so that the site works at any address"
    for p in sorted(out.rglob("*")):
        if p.suffix not in (".html", ".json", ".xml", ".txt", ".md"): continue
        s = re_page.sub(lambda m: page_name(m.group()), p.read_text(encoding="utf-8"))
        if p.suffix == ".html": s = re.sub(rf'(<a\b[^>]*\shref="){re.escape(base)}/', r"\1", s)
        p.write_text(s, encoding="utf-8")
        p.rename(p.with_name(page_name(p.name)))


def broken(out):
    "Links in `out` to pages, files or anchors that are not there"
    res = []
    pages = {p.name: p.read_text(encoding="utf-8") for p in sorted(out.glob("*.html"))}
    ids = {name: set(re.findall(r'\sid="([^"]+)"', s)) for name, s in pages.items()}
    for name, s in pages.items():
        for to in re.findall(r'<a\b[^>]*\shref="([^"]+)"', s):
            if re.match(r"[a-z]+:|//", to): continue
            file, _, anchor = to.partition("#")
            file = re.sub(r"^\./", "", file) or name
            if not (out/file).exists() or (anchor and file in ids and anchor not in ids[file]):
                res.append(f"{name}: {to}")
    return res


def main():
    if not find_spec("smalldocs"): sys.exit("The site needs smalldocs, which needs Python 3.11 or newer.")
    os.chdir(root)
    cfg = get_config()
    src = root/"_site"
    process(src)
    smalldocs("render -q", src)
    smalldocs("check", src)
    out = src/cfg.doc_path.name
    rename(out, cfg.doc_host + cfg.doc_baseurl)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(out, cfg.doc_path)
    shutil.rmtree(src)
    bad = broken(cfg.doc_path)
    for o in bad: print(f"broken link in {o}")
    print(f"{len(list(cfg.doc_path.glob('*.html')))} pages in {cfg.doc_path.name}/")
    sys.exit(bool(bad))


if __name__ == "__main__": main()
