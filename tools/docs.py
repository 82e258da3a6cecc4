"Build the site into `_docs` and README.md beside it, with Sphinx, and check every link. No network but npm's"
import argparse
import io
import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import yaml
from project import cells, name_of, notebooks, root, settings

if not find_spec("sphinx"): sys.exit("The site needs Sphinx 8.2, which needs Python 3.11 or newer.")
import names
import pages
import readme

tools = root/"tools"


def stop(*lines): sys.exit("\n".join(lines))


# --- before: what would make a bad page

def cell_faults(c):
    "What is wrong with one code cell"
    lines = re.findall(r"(?m)^#\| *([\w-]+:.*)$", c["source"])
    try: options = yaml.safe_load("\n".join(lines)) or {}
    except yaml.YAMLError:
        yield "has #| options that are not YAML, so none of them counts. Is there a colon in a caption?"
        options = {}
    for o in c["outputs"]:
        if o["output_type"] == "error": yield f"stores an error, {o['ename']}. Mend and run it."
        drawn = any(k.startswith("image/") for k in o.get("data", {}))
        if drawn and not options.get("fig-alt"): yield "shows a picture without words. Add a #| fig-alt."


def faults(nbs=root/"nbs"):
    "What is wrong with the sources: each line names a file and what to do"
    listed = [f for _, f in names.sidebar(nbs)]
    for p in notebooks(nbs):
        name, code = name_of(p, nbs), cells(p, "code")
        if f"{name}.ipynb" not in listed:
            yield f"nbs/{name}.ipynb: no page of the site leads to it. Add it to nbs/sidebar.yml."
        if code and not any(c["outputs"] for c in code):
            yield f"nbs/{name}.ipynb: no outputs are stored. Run `make notebooks NB={name}`."
        for c in code:
            for o in cell_faults(c): yield f"nbs/{name}.ipynb: cell {c['id']} {o}"
    for f in listed:
        if not (nbs/f).exists() and not f.startswith("reference/"):
            yield f"nbs/sidebar.yml: there is no nbs/{f}. Remove it there, or add the file."


# --- the pages

def sphinx(src, out):
    "The pages of the sources in `src`; what Sphinx has to say against them, with the files' own names"
    from sphinx.application import Sphinx
    from sphinx.util.console import strip_colors
    from sphinx.util.docutils import docutils_namespace
    said = io.StringIO()
    with docutils_namespace():
        Sphinx(src, tools/"site", out, src/".doctrees", "html", status=None, warning=said).build()
    text = strip_colors(said.getvalue()).strip()
    for f in (f for _, f in names.sidebar()):
        text = text.replace(f"{src}/{names.page_of(f)}.", f"nbs/{f.rpartition('.')[0]}.")
    return text.splitlines()


def node_modules():
    "The packages that tools/package-lock.json names"
    from lmfromscratch.engine.page import node_modules
    return node_modules(tools)


def assets(out):
    "What Sphinx does not make: KaTeX with its fonts, the picture for links to the site, the site's map"
    katex, to = node_modules()/"katex", out/"_static"/"katex"
    to.mkdir()
    for f in ("LICENSE", "dist/katex.min.js"): shutil.copy2(katex/f, to)
    # woff2 is what every browser of the last ten years takes
    css = (katex/"dist"/"katex.min.css").read_text(encoding="utf-8")
    (to/"katex.min.css").write_text(re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"\w+\"\)", "", css), encoding="utf-8")
    shutil.copytree(katex/"dist"/"fonts", to/"fonts", ignore=shutil.ignore_patterns("*.woff", "*.ttf"))
    shutil.copytree(root/"nbs"/"images", out/"images", ignore=shutil.ignore_patterns("readme-*"))
    for f in ("scripts/fontawesome.js", "vendor/fontawesome/webfonts/fa-brands-400.woff2"): (out/"_static"/f).unlink()
    for p in (*out.rglob("*.map"), *out.glob("*.inv"), *out.glob(".buildinfo*")): p.unlink()
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.html") if p.stem not in ("404", "search"))
    urls = "\n".join(f"<url><loc>{pages.address}/{o}</loc></url>" for o in files)
    (out/"sitemap.xml").write_text('<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns='
                                   f'"http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}\n</urlset>\n')
    (out/".nojekyll").touch()


def playground(out):
    "The page that runs the trained models, with links back to their chapters"
    from lmfromscratch.engine.page import build_page
    build_page(out=out/"playground", chapters="..")


# --- after: what a reader would run into

def broken(out):
    "`(page, what)` for each link in `out` to a page, a file or an anchor that is not there"
    files = sorted(out.rglob("*.html"))
    pages = {p.relative_to(out).as_posix(): p.read_text(encoding="utf-8") for p in files}
    ids = {name: set(re.findall(r'\sid="([^"]+)"', s)) for name, s in pages.items()}
    for name, s in pages.items():
        if name.startswith("playground/") or name in ("404.html", "search.html"): continue
        for to in re.findall(r'<a\b[^>]*\shref="([^"]*)"', s):
            if re.match(r"[a-z]+:|//", to): continue
            file, _, anchor = to.partition("#")
            file = file.partition("?")[0]
            file = os.path.normpath(os.path.join(os.path.dirname(name), file)) if file else name
            if not (out/file).is_file(): yield name, f"the link {to} leads nowhere"
            elif anchor and file in ids and anchor not in ids[file]:
                yield name, f"the page of {to} has no #{anchor}"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--check", action="store_true", help="fail if README.md is stale, instead of writing it")
    p.add_argument("--out", type=Path, help="folder for the site; _docs if none is given")
    p.add_argument("--draft", action="store_true", help="leave out the notebooks that are not ready")
    args = p.parse_args()
    start = time.perf_counter()
    os.chdir(root)
    bad = list(faults())
    if args.check and readme.stale(): bad.append("README.md: differs from index.ipynb. Run `make readme`.")
    if bad and not args.draft: stop(*bad, "The site was not built.")
    if not args.check: readme.write()
    if args.draft: names.left_out.update(o.split(":")[0][4:] for o in bad if o.startswith("nbs/"))
    out, src = args.out or root/settings()["doc_path"], root/"_site"
    shutil.rmtree(src, ignore_errors=True)
    src.mkdir()
    pages.write(src)
    new = src/".new"
    said = sphinx(src, new)
    if said and not args.draft: stop(*said, "The site was not built: mend what stands above, and run `make docs` again.")
    if args.draft: print(*bad, *said, "Left out of this draft, with the links to them: the notebooks above.", sep="\n")
    assets(new)
    playground(new)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(new, out)
    shutil.rmtree(src)
    source = {f"{names.page_of(f)}.html": f"nbs/{f}" for _, f in names.sidebar()}
    bad = [f"{source.get(name, name)}: {what}" for name, what in broken(out)]
    if bad and not args.draft:
        stop(*bad, f"The site is in {out.name}, but a reader would meet what stands above. Mend the links.")
    n = len(list(out.rglob("*.html")))
    print(f"{n} pages in {out.name}/ in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__": main()
