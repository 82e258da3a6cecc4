"Build the site into `_docs` with Sphinx, check sources and links, and write README.md. No network but npm's"
import argparse
import io
import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from project import cells, name_of, notebooks, root

if not find_spec("sphinx"): sys.exit("The site needs Sphinx 8.2, which needs Python 3.11 or newer.")
import names
import pages
import readme

from lmfromscratch.engine.page import build_page


def faults(nbs=root/"nbs"):
    "What is wrong with the sources: a file and what to do, line by line"
    listed, made = [f for _, f in names.sidebar()], [f"{name_of(p)}.ipynb" for p in notebooks()]
    for f in made:
        if f not in listed: yield f"nbs/{f}: no page of the site leads to it. Add it to nbs/sidebar.yml."
        if not any(c["outputs"] for c in cells(nbs/f, "code")):
            yield f"nbs/{f}: no outputs are stored. Run `make notebooks NB={f[:-6]}`."
    for f in listed:
        if not (nbs/f).exists() and f != "reference/index.md":
            yield f"nbs/sidebar.yml: there is no nbs/{f}. Remove it there, or add the file."


def sphinx(src, out):
    "The pages of the sources in `src`; what Sphinx has to say against them, with the files' own names"
    from sphinx.application import Sphinx
    from sphinx.util.console import strip_colors
    said = io.StringIO()
    Sphinx(src, root/"tools"/"site", out, src/".doctrees", "html", status=None, warning=said).build()
    text = strip_colors(said.getvalue()).strip()
    for f in (f for _, f in names.sidebar()):
        text = text.replace(f"{src}/{names.page_of(f)}.", f"nbs/{f.rpartition('.')[0]}.")
    return text.splitlines()


def assets(out):
    "The playground comes. What no page uses goes, rules for classes in style sheets too"
    (out/"_static"/"scripts"/"fontawesome.js").write_text("") # Its style sheet has the icons as a font
    for p in (*out.rglob("*.map"), *out.rglob("webpack-macros.html"), *out.glob(".buildinfo*")): p.unlink()
    made = [p.read_text(encoding="utf-8") for o in ("*.html", "_static/**/*.js") for p in out.rglob(o)]
    words = set(re.findall(r"[\w-]+", " ".join(made)))
    def used(rule):
        some = [o for o in re.split(r",(?![^(]*\))", rule[1])
                if words.issuperset(re.findall(r"\.([a-zA-Z][\w-]*)", o.partition("(")[0]))]
        return ",".join(some) + rule[2] if some else ""
    for p in {*out.rglob("*.css")} - {*out.rglob("katex*")}: # KaTeX puts its classes together
        css = re.sub(r"/\*.*?\*/|(?<=\n)\s+", "", p.read_text(encoding="utf-8"), flags=re.S)
        p.write_text(re.sub(r"([^{}@;]+)(\{[^{}]*\})", used, css), encoding="utf-8")
    build_page(out=out/"playground", chapters="..")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--check", action="store_true", help="fail if README.md is stale, instead of writing it")
    p.add_argument("--out", type=Path, default=root/names.cfg["doc_path"], help="folder for the site")
    p.add_argument("--draft", action="store_true", help="build in spite of what is not ready, and name it")
    args, start, src = p.parse_args(), time.perf_counter(), root/"_site"
    os.chdir(root)
    bad = list(faults())
    if args.check and readme.stale(): bad.append("README.md: differs from index.ipynb. Run `make readme`.")
    # A page that sidebar.yml lists has to be there, in a draft too
    stop = [o for o in bad if not args.draft or o.startswith("nbs/sidebar.yml")]
    if stop: sys.exit("\n".join([*stop, "The site was not built."]))
    if not args.check: readme.write()
    shutil.rmtree(src, ignore_errors=True)
    pages.write(src)
    bad += sphinx(src, new := src/".new")
    if bad and not args.draft: sys.exit("\n".join([*bad, "The site was not built: mend what stands above."]))
    assets(new)
    shutil.rmtree(args.out, ignore_errors=True)
    shutil.move(new, args.out)
    shutil.rmtree(src)
    if bad: print("A draft, not to be put online. It was built in spite of:", *bad, sep="\n")
    print(len(list(args.out.rglob("*.html"))), f"pages in {args.out} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__": main()
